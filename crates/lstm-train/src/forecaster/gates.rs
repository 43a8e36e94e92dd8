//! What goes on inside a network while it reads a window: gates, cells, and the gradient that comes back.

use super::windows::Windows;
use super::{Forecaster, Member, Window};
use crate::{Error, Result};
use lstm_nn::{LayerTrace, Loss, Model, TrainOptions, TrainPass};
use lstm_tensor::{Backend, Float};

/// Outputs whose gradients are taken back at once.
const ABREAST: usize = 32;

/// A network while it reads a window and forecasts.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside {
    /// First row of each step `[T]`, counted from the first row that is predicted: negative in the past.
    pub rows: Vec<isize>,
    /// Gates, cells and hidden states of each layer over the steps; their `B` is 1.
    pub layers: Vec<LayerTrace>,
    /// What the network adds to the base forecast, in the series' unit, `[H]`.
    pub correction: Vec<f64>,
    /// How strongly that answers to the values that each step shows, `[T]`: over the steps of the horizon, the root
    /// mean square of the norms of d correction / d values. Both are in the series' unit. At steps of the horizon the
    /// values are those of the base forecast.
    pub gradient: Vec<f64>,
}

/// How long half of a cell's content stays, in steps, where its forget gate is `forget` throughout: of `c` are
/// `forget^n c` left after `n` steps, half of it after `ln 2 / -ln forget`. The same decay as a time constant is in
/// Tallec and Ollivier 2018 ("Can recurrent neural networks warp time?"). Infinite at 1, 0 at 0.
#[must_use]
pub fn half_life(forget: f64) -> f64 {
    if forget >= 1.0 { f64::INFINITY } else { std::f64::consts::LN_2 / -forget.ln() }
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// All networks, those beside it behind its own, each with what it belongs to.
    pub fn networks(&self) -> impl Iterator<Item = (&Self, &Model<B, F>)> {
        self.ways().flat_map(|way| way.models.iter().map(move |model| (way, model)))
    }

    /// Looks into one of its networks, by index, while it forecasts from a window; without dropout.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network, a series or a row that is not there, and those of the backend.
    pub fn inside(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        window: Window,
        network: usize,
    ) -> Result<Inside> {
        let refuse = |what, value: usize, must| Err(Error::Invalid { what, value: value.to_string(), must });
        let Some((way, model)) = self.networks().nth(network) else {
            return refuse("network", network, format!("less than {}", self.networks().count()));
        };
        let config = &way.config.at_once();
        match panel.get(window.member) {
            None => return refuse("series", window.member, format!("less than {}", panel.len())),
            Some(member) if !(config.reach()..=member.rows()).contains(&window.row) => {
                return refuse("row", window.row, format!("from {} to {}", config.reach(), member.rows()));
            }
            Some(_) => {}
        }
        let all = Windows::new(panel, config, &way.prepared, 0, |_, rows| 0..rows);
        let (steps, width, segment) = (config.all_steps(), config.inputs(), config.segment);
        let options = || TrainOptions::new(Loss::mse());

        let mut x = vec![F::ZERO; steps * width];
        let base = all.inputs(&[window], &mut x);
        let (out, layers) = TrainPass::new(backend, model, steps, 1, options())?.trace(backend, model, &x)?;
        let forecasts = all.forecasts(&[window], &base, &out);
        let parameters = config.parameters();
        let slopes = all.slopes(window, &base, &out);
        let base = all.in_units(&[window], base);
        let correction = forecasts.iter().zip(&base).map(|(forecast, base)| forecast - base).collect();

        // A row of the batch for each output: one pass takes the gradients of many back.
        let abreast = config.horizon.min(ABREAST);
        let mut pass = TrainPass::new(backend, model, steps, abreast, options())?;
        let mut copies = vec![F::ZERO; steps * abreast * width];
        all.inputs(&vec![window; abreast], &mut copies);
        let mut squares = vec![0.0; steps];
        for from in (0..config.horizon).step_by(abreast) {
            let count = abreast.min(config.horizon - from);
            let mut d_out = vec![F::ZERO; steps * abreast * segment * parameters];
            for row in 0..count {
                let h = from + row;
                let step = config.past_steps() + h / segment;
                // The first of the numbers is where the middle of the answer lies.
                d_out[(step * abreast + row) * segment * parameters + h % segment] = F::from_f64(slopes[h]);
            }
            let d_x = pass.input_gradient(backend, model, &copies, &d_out)?;
            for (square, step) in squares.iter_mut().zip(d_x.chunks_exact(abreast * width)) {
                let values = step.chunks_exact(width).take(count).flat_map(|row| &row[..segment]);
                *square += values.map(|d| d.to_f64().powi(2)).sum::<f64>();
            }
        }
        let gradient = squares.iter().map(|square| (square / config.horizon as f64).sqrt()).collect();
        let first = |step: usize| (step * segment) as isize - config.lookback as isize;
        Ok(Inside { rows: (0..steps).map(first).collect(), layers, correction, gradient })
    }
}

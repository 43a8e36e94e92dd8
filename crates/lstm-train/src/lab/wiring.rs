//! The loops of real models.

use super::{ClosedLoop, moments};
use crate::Result;
use crate::forecaster::{Forecaster, Member, Window};
use lstm_nn::{InferPass, Model};
use lstm_tensor::{Backend, Error, Float, State};

/// Rows that a state-carrying network reads before it is measured.
const WARM_UP: usize = 200;
/// Windows that one pass reads at once.
const CHUNK: usize = 256;

/// Values as the network reads them: `(value - centre) / spread`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What is taken off.
    pub centre: f64,
    /// What is divided by.
    pub spread: f64,
}

impl Scale {
    /// The values as they are.
    pub const NONE: Self = Self { centre: 0.0, spread: 1.0 };

    fn apply<F: Float>(self, value: f64) -> F {
        F::from_f64((value - self.centre) / self.spread)
    }

    fn invert(self, value: f64) -> f64 {
        self.centre + self.spread * value
    }
}

/// A forecaster that is fed with the first `stride` values of each of its forecasts. Its state is the rows that the next
/// window reads, in the series' unit.
pub struct ForecastLoop<'a, B: Backend, F: Float> {
    backend: &'a B,
    forecaster: Forecaster<B, F>,
    stride: usize,
    unit: f64,
}

impl<'a, B: Backend, F: Float> ForecastLoop<'a, B, F> {
    /// A loop around `forecaster`, which forecasts `series` or its like. Nothing is fed back of errors: in a closed loop
    /// what came is what was forecast.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] where `stride` is not within the horizon.
    pub fn new(backend: &'a B, forecaster: Forecaster<B, F>, stride: usize, series: &[f64]) -> Result<Self> {
        within("feed", stride, forecaster.config.horizon)?;
        let forecaster = Forecaster { feedback: None, ..forecaster };
        Ok(Self { backend, forecaster, stride, unit: moments(series).1 })
    }
}

impl<B: Backend, F: Float> ClosedLoop for ForecastLoop<'_, B, F> {
    fn dim(&self) -> usize {
        self.forecaster.config.reach()
    }

    fn stride(&self) -> usize {
        self.stride
    }

    fn reach(&self) -> usize {
        self.dim()
    }

    fn unit(&self) -> f64 {
        self.unit
    }

    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        Ok(windows(series, rows, self.dim()))
    }

    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>> {
        let (dim, horizon) = (self.dim(), self.forecaster.config.horizon);
        // Laid end to end, the states are a series: each forecast reads its own rows alone.
        let windows: Vec<Window> =
            (1..=states.len() / dim).map(|count| Window { member: 0, row: count * dim }).collect();
        let forecasts = self.forecaster.forecast_at(self.backend, &[Member::alone(states)], &windows)?;
        let values: Vec<f64> =
            forecasts.chunks_exact(horizon).flat_map(|f| &f[..self.stride]).copied().collect();
        shift(states, dim, &values, self.stride);
        Ok(values)
    }
}

/// A network over one input that reads the last `lookback` values anew for every prediction, from zero state. Its state
/// is those values, scaled.
pub struct WindowLoop<'a, B: Backend, F: Float> {
    backend: &'a B,
    model: Model<B, F>,
    lookback: usize,
    stride: usize,
    scale: Scale,
    /// The pass for the number of rows it was used with last.
    pass: Option<(usize, InferPass<B, F>)>,
}

impl<'a, B: Backend, F: Float> WindowLoop<'a, B, F> {
    /// A loop around `model`, which is fed with the first `stride` values of each answer.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where the network has not one input; [`crate::Error::Invalid`] where `stride` is
    /// not within its outputs.
    pub fn new(
        backend: &'a B,
        model: Model<B, F>,
        (lookback, stride): (usize, usize),
        scale: Scale,
    ) -> Result<Self> {
        Error::check_shape("closed loop", "network's inputs", &[1], &[model.network().inputs()])?;
        within("feed", stride, model.network().outputs())?;
        Ok(Self { backend, model, lookback, stride, scale, pass: None })
    }
}

impl<B: Backend, F: Float> ClosedLoop for WindowLoop<'_, B, F> {
    fn dim(&self) -> usize {
        self.lookback
    }

    fn stride(&self) -> usize {
        self.stride
    }

    fn reach(&self) -> usize {
        self.lookback
    }

    fn unit(&self) -> f64 {
        1.0
    }

    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        let scaled: Vec<f64> = series.iter().map(|v| self.scale.apply::<f64>(*v)).collect();
        Ok(windows(&scaled, rows, self.lookback))
    }

    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>> {
        let (dim, outputs) = (self.lookback, self.model.network().outputs());
        let mut values = Vec::with_capacity(states.len() / dim * self.stride);
        let mut out = Vec::new();
        for part in states.chunks(CHUNK * dim) {
            let rows = part.len() / dim;
            let pass = match self.pass.take() {
                Some((of, pass)) if of == rows => pass,
                _ => InferPass::new(self.backend, &self.model, dim, rows)?,
            };
            let (_, pass) = self.pass.insert((rows, pass));
            let x: Vec<F> =
                (0..dim * rows).map(|at| F::from_f64(part[at % rows * dim + at / rows])).collect();
            pass.predict(self.backend, &self.model, &x, None, &mut out)?;
            // A network that reads every step answers for each; the last answers are to the whole windows.
            let last = &out[out.len() - rows * outputs..];
            values.extend(last.chunks_exact(outputs).flat_map(|o| &o[..self.stride]).map(|v| v.to_f64()));
        }
        shift(states, dim, &values, self.stride);
        Ok(values.into_iter().map(|value| self.scale.invert(value)).collect())
    }
}

/// A network with one input and one output that carries its state from step to step. Its state is hidden and cell state
/// of every layer, then its last output, which is fed next, scaled.
pub struct StateLoop<'a, B: Backend, F: Float> {
    backend: &'a B,
    model: Model<B, F>,
    scale: Scale,
    /// The pass for the number of rows it was used with last.
    pass: Option<(usize, InferPass<B, F>)>,
}

impl<'a, B: Backend, F: Float> StateLoop<'a, B, F> {
    /// A loop around `model`.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where the network has not one input and one output.
    pub fn new(backend: &'a B, model: Model<B, F>, scale: Scale) -> Result<Self> {
        let got = [model.network().inputs(), model.network().outputs()];
        Error::check_shape("closed loop", "network's inputs and outputs", &[1, 1], &got)?;
        Ok(Self { backend, model, scale, pass: None })
    }

    /// Feeds one value to each row of `states [rows, D]`, and puts the prediction of the next in its place.
    fn push(&mut self, states: &mut [f64], inputs: &[f64]) -> Result<()> {
        let (rows, dim) = (inputs.len(), self.dim());
        let pass = match self.pass.take() {
            Some((of, pass)) if of == rows => pass,
            _ => InferPass::new(self.backend, &self.model, 1, rows)?,
        };
        let (_, pass) = self.pass.insert((rows, pass));
        let stack = &self.model.network().stack;
        let hidden = stack.state_len(1).0;
        let mut state = State::<B, F>::zeros(self.backend, stack, rows)?;
        let mut host = [vec![F::ZERO; rows * hidden], vec![F::ZERO; rows * (dim - 1 - hidden)]];
        let places = places(&self.model, rows);
        for (part, at, row, entry) in places.clone() {
            host[part][at] = F::from_f64(states[row * dim + entry]);
        }
        self.backend.upload(&host[0], &mut state.h, 0)?;
        self.backend.upload(&host[1], &mut state.c, 0)?;
        let x: Vec<F> = inputs.iter().map(|value| F::from_f64(*value)).collect();
        let mut out = Vec::new();
        pass.predict(self.backend, &self.model, &x, Some(&mut state), &mut out)?;
        self.backend.download(&state.h, 0, &mut host[0])?;
        self.backend.download(&state.c, 0, &mut host[1])?;
        for (part, at, row, entry) in places {
            states[row * dim + entry] = host[part][at].to_f64();
        }
        for (state, out) in states.chunks_exact_mut(dim).zip(out) {
            state[dim - 1] = out.to_f64();
        }
        Ok(())
    }
}

/// Which element of the hidden (0) or cell (1) state, layer by layer `[B, H]`, is which entry of which row's state.
fn places<B: Backend, F: Float>(
    model: &Model<B, F>,
    rows: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> + Clone {
    let stack = &model.network().stack;
    let hidden = stack.state_len(1).0;
    let mut places = Vec::new();
    for l in 0..stack.layers.len() {
        let (starts, ends) = (stack.state_offset(l, rows), stack.state_offset(l + 1, rows));
        let (one_h, one_c) = stack.state_offset(l, 1);
        for (part, start, end, entry) in [(0, starts.0, ends.0, one_h), (1, starts.1, ends.1, hidden + one_c)]
        {
            let width = (end - start) / rows;
            places.extend((start..end).map(|at| {
                let (row, unit) = ((at - start) / width, (at - start) % width);
                (part, at, row, entry + unit)
            }));
        }
    }
    places.into_iter()
}

impl<B: Backend, F: Float> ClosedLoop for StateLoop<'_, B, F> {
    fn dim(&self) -> usize {
        let (hidden, cell) = self.model.network().stack.state_len(1);
        hidden + cell + 1
    }

    fn stride(&self) -> usize {
        1
    }

    fn reach(&self) -> usize {
        WARM_UP
    }

    fn unit(&self) -> f64 {
        1.0
    }

    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        let mut state = vec![0.0; self.dim()];
        let mut states = Vec::with_capacity(rows.len() * state.len());
        let mut read = 0;
        for &row in rows {
            for value in &series[read..row] {
                let value = self.scale.apply::<f64>(*value);
                self.push(&mut state, &[value])?;
            }
            read = row;
            states.extend_from_slice(&state);
        }
        Ok(states)
    }

    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>> {
        let dim = self.dim();
        let next: Vec<f64> = states.chunks_exact(dim).map(|state| state[dim - 1]).collect();
        self.push(states, &next)?;
        Ok(next.into_iter().map(|value| self.scale.invert(value)).collect())
    }
}

fn within(what: &'static str, stride: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&stride) {
        return Ok(());
    }
    let must = format!("from 1 to {most}, the steps of a forecast");
    Err(crate::Error::Invalid { what, value: stride.to_string(), must })
}

/// The `dim` values before each of `rows`.
fn windows(series: &[f64], rows: &[usize], dim: usize) -> Vec<f64> {
    rows.iter().flat_map(|row| &series[row - dim..*row]).copied().collect()
}

/// Moves each window of `states [rows, dim]` on by its `stride` new values.
fn shift(states: &mut [f64], dim: usize, values: &[f64], stride: usize) {
    for (state, new) in states.chunks_exact_mut(dim).zip(values.chunks_exact(stride)) {
        let fresh = &new[stride.saturating_sub(dim)..];
        state.rotate_left(fresh.len());
        state[dim - fresh.len()..].copy_from_slice(fresh);
    }
}

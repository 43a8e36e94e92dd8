//! A formula's series: random windows are learnt, then the network is fed with its own forecast.

use lstm_data::generate::{Formula, Made};
use lstm_data::{Element, WindowSet, Windows};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float};
use lstm_train::{RandomWindows, free_run};
use ndarray::ArrayView2;

use super::super::cell::{Cell, Shown, rounded};
use super::{Trial, mean, mse, named};
use crate::failure::{Failure, Result};

/// The points of the series and, behind them, what the forecast is held against: a function of the seed alone.
pub(in super::super) fn make(formula: &Formula, ahead: usize, seed: u64) -> Result<Made> {
    // The last item: the first ones are the batches'.
    Ok(formula.make(ahead, &mut Philox::new(seed, Purpose::Data, u32::MAX))?)
}

impl Trial<'_> {
    pub(super) fn series<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        (formula, lookback, ahead): (&Formula, usize, usize),
    ) -> Result<()> {
        let points = formula.grid.points;
        let made = make(formula, ahead, self.seed)?;
        let history = &made.y[..points];
        let values =
            ArrayView2::from_shape((points, 1), history).map_err(|e| Failure::usage(e.to_string()))?;
        let windows = Windows::new(lookback, 1);
        windows.check(&self.experiment.name, points)?;
        let source = RandomWindows(WindowSet::new(values, windows, &[0])?);
        let model = self.train::<B, F, _>(backend, &source, cell, None)?.model;
        self.keep_series(made.y.iter().copied())?;
        let forecast = free_run::recompute(backend, &model, history, lookback, ahead)?;

        let (expected, drawn) = (&made.expected[points..], &made.y[points..]);
        let error = mse(&forecast, expected);
        let of_mean = mse(&vec![mean(history); ahead], expected);
        let centre = mean(&forecast);
        let highest = forecast.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = forecast.iter().copied().fold(f64::INFINITY, f64::min);
        cell.figures.extend(
            [
                ("free-run-mse", error),
                ("mean-mse", of_mean),
                ("skill", 1.0 - error / of_mean),
                ("forecast-deviation", mse(&forecast, &vec![centre; ahead]).sqrt()),
                ("forecast-highest", highest),
                ("forecast-lowest", lowest),
            ]
            .map(named),
        );
        if formula.noise != 0.0 {
            cell.figures.extend(
                [("noise-floor", formula.noise_floor()), ("drawn-mse", mse(&forecast, drawn))].map(named),
            );
        }
        cell.shown = Shown::Forecast { values: forecast.iter().map(|value| rounded(*value)).collect() };
        Ok(())
    }
}

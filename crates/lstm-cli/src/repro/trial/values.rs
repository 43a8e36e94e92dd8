//! A series written out: windows of its first part are learnt, the rest is forecast one step ahead and in one go.

use std::ops::Range;

use lstm_data::generate::Sequences;
use lstm_data::{Element, Method, Scaler};
use lstm_nn::Model;
use lstm_tensor::{Backend, Float};
use lstm_train::baseline::seasonal_naive;
use lstm_train::{SequenceSource, free_run};
use ndarray::{Array3, ArrayView2};

use super::super::cell::{Cell, Shown, rounded};
use super::super::data::{ScaleOn, Values};
use super::{Trial, error_on, mse, named, predict};
use crate::failure::{Failure, Result};

impl Trial<'_> {
    pub(super) fn values<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        data: &Values,
    ) -> Result<()> {
        let Values { values, train, lookback, scale_on, forecast, season, .. } = data;
        let all = ArrayView2::from_shape((values.len(), 1), values.as_slice())
            .map_err(|error| Failure::usage(error.to_string()))?;
        let fitted_on = match scale_on {
            ScaleOn::Train => 0..*train,
            ScaleOn::All => 0..values.len(),
        };
        let scaler = Scaler::fit(Method::Standard, all, fitted_on)?.channels[0];
        let on_train = Scaler::fit(Method::Standard, all, 0..*train)?.channels[0];
        let scaled: Vec<f64> = values.iter().map(|value| scaler.apply(*value)).collect();
        let windows =
            |part: Range<usize>| windows(&scaled[part.clone()], data.windows(part.len()), *lookback);
        let (known, held_out) = (windows(0..*train), windows(*train..values.len()));

        let mut validate = |backend: &B, model: &Model<B, F>| Ok(error_on(backend, model, &held_out)?);
        let trained = self.train::<B, F, _>(backend, &SequenceSource(&known), cell, Some(&mut validate))?;
        let model = &trained.model;
        let test = error_on(backend, model, &held_out)?;

        // The last output of each window, the only one that has read all of it.
        let rows = held_out.rows();
        let predictions = predict(backend, model, &held_out)?;
        let one_step: Vec<f64> =
            predictions[predictions.len() - rows..].iter().map(|v| scaler.invert(*v)).collect();
        let first = train + lookback;
        let seasonal: Vec<f64> = (first..first + rows).map(|row| values[row - season]).collect();
        let came = &values[first..first + rows];

        let alone = free_run::recompute(backend, model, &scaled[..*train], *lookback, *forecast)?;
        let alone: Vec<f64> = alone.into_iter().map(|value| scaler.invert(value)).collect();
        let naive = seasonal_naive(&values[..*train], *season, *forecast);
        let then = &values[*train..train + forecast];

        let ratio = scaler.scale / on_train.scale;
        cell.figures.extend(
            [
                ("test-mse", test),
                ("test-mse-on-train-scale", test * ratio * ratio),
                ("best-step", trained.best_step.unwrap_or(trained.steps) as f64),
                ("one-step-rmse", mse(&one_step, came).sqrt()),
                ("naive-one-step-rmse", mse(&seasonal, came).sqrt()),
                ("free-run-rmse", mse(&alone, then).sqrt()),
                ("naive-free-run-rmse", mse(&naive, then).sqrt()),
            ]
            .map(named),
        );
        let short = |values: Vec<f64>| values.into_iter().map(rounded).collect();
        cell.shown = Shown::Values { one_step: short(one_step), free_run: short(alone) };
        Ok(())
    }
}

/// The first `count` windows of a part: inputs and, one step on, targets, `[lookback, count, 1]`.
fn windows(part: &[f64], count: usize, lookback: usize) -> Sequences {
    let shifted = |by: usize| Array3::from_shape_fn((lookback, count, 1), |(t, row, _)| part[row + t + by]);
    Sequences { inputs: shifted(0), targets: shifted(1) }
}

//! Sequences written out: the model is saved, restored in a new process, and its gates are looked at.

use std::path::Path;
use std::process::Command;

use lstm_data::Element;
use lstm_data::generate::Sequences;
use lstm_nn::{Model, TrainOptions, TrainPass, saved};
use lstm_tensor::{Backend, Float};
use lstm_train::SequenceSource;

use super::super::cell::{Cell, Shown, Trace, rounded};
use super::super::data::{Data, weight_lag};
use super::super::experiment::Experiment;
use super::{Trial, mean, mse, named, predict};
use crate::device::Job;
use crate::failure::{Failure, Result};

/// How far an input is moved up and down to see what the outputs do.
const NUDGE: f64 = 0.05;

impl Trial<'_> {
    pub(super) fn sequences<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        (train, test, lags): (&Sequences, &Sequences, usize),
    ) -> Result<()> {
        let source = SequenceSource(train);
        let model = self.train::<B, F, _>(backend, &source, cell, None)?.model;
        self.save(backend, &model)?;

        let predictions = predict(backend, &model, test)?;
        let again = self.in_a_new_process()?;
        let changed = if again.len() == predictions.len() {
            predictions.iter().zip(&again).filter(|(a, b)| a.to_bits() != b.to_bits()).count()
        } else {
            predictions.len()
        };
        let targets: Vec<f64> = test.targets.iter().copied().collect();
        let worst = predictions.iter().zip(&targets).map(|(p, t)| (p - t).abs()).fold(0.0, f64::max);
        cell.figures.extend(
            [
                ("test-mse", mse(&predictions, &targets)),
                ("worst-test-error", worst),
                ("reload-mismatches", changed as f64),
            ]
            .map(named),
        );
        for (lag, weight) in weights(backend, &model, test, lags)?.into_iter().enumerate() {
            cell.figures.insert(weight_lag(lag), weight);
        }
        cell.shown = Shown::Sequences { sequences: traces(backend, &model, test, self.experiment)? };
        Ok(())
    }

    /// What a new process predicts with the saved model.
    fn in_a_new_process(&self) -> Result<Vec<f64>> {
        let failed = |why: String| {
            Failure::model(format!("{}: predicting in a new process: {why}", self.model.display()))
        };
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let output = Command::new(program)
            .arg("repro")
            .args(&self.found_by)
            .arg("--load")
            .arg(&self.model)
            .args(["--json", "--device", &self.place.name(), "--dtype", self.place.dtype().name()])
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let answer: Answer =
            serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
        Ok(answer.predictions)
    }
}

/// What a loaded model predicts for the test sequences, step by step, the sequences side by side.
#[derive(serde::Serialize, serde::Deserialize)]
pub(in super::super) struct Answer {
    pub(in super::super) experiment: String,
    pub(in super::super) predictions: Vec<f64>,
}

/// A saved model to predict the test sequences with.
pub(in super::super) struct Load<'a> {
    pub(in super::super) experiment: &'a Experiment,
    pub(in super::super) model: &'a Path,
}

impl Job for Load<'_> {
    type Output = Answer;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Answer> {
        let Data::Sequences { test, .. } = &self.experiment.data else {
            return Err(Failure::usage(format!(
                "--load: {} has no test sequences; name an experiment that has",
                self.experiment.name
            )));
        };
        let saved = saved::read(self.model)?;
        if saved.network != self.experiment.network.network() {
            let (path, name) = (self.model.display(), &self.experiment.name);
            return Err(Failure::model(format!(
                "{path}: not a model of {name}; name one that a run of it has saved"
            )));
        }
        let model = saved.load::<B, F>(backend)?;
        let predictions = predict(backend, &model, &test.make()?)?;
        Ok(Answer { experiment: self.experiment.name.clone(), predictions })
    }
}

/// How much an output depends on the input `lag` steps before it, for each lag: central differences, the mean over
/// all steps and sequences.
fn weights<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    data: &Sequences,
    lags: usize,
) -> Result<Vec<f64>> {
    let (steps, rows, _) = data.inputs.dim();
    let mut slopes = vec![Vec::new(); lags];
    for moved in 0..steps {
        let at = |by: f64| {
            let mut nudged = data.clone();
            nudged.inputs.slice_mut(ndarray::s![moved, .., ..]).mapv_inplace(|value| value + by);
            predict(backend, model, &nudged)
        };
        let (up, down) = (at(NUDGE)?, at(-NUDGE)?);
        for (lag, slopes) in slopes.iter_mut().enumerate().take(steps - moved) {
            let outputs = (moved + lag) * rows..(moved + lag + 1) * rows;
            slopes.extend(outputs.map(|o| (up[o] - down[o]) / (2.0 * NUDGE)));
        }
    }
    Ok(slopes.iter().map(|slopes| mean(slopes)).collect())
}

/// Gates and cell of the first layer over each test sequence.
fn traces<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    data: &Sequences,
    experiment: &Experiment,
) -> Result<Vec<Trace>> {
    let (steps, rows, _) = data.inputs.dim();
    let x: Vec<F> = data.inputs.iter().map(|value| F::from_f64(*value)).collect();
    let options = TrainOptions::new(experiment.training.loss.clone());
    let (outputs, layers) =
        TrainPass::new(backend, model, steps, rows, options)?.trace(backend, model, &x)?;
    let Some(layer) = layers.first() else { return Ok(Vec::new()) };
    let units = layer.units;
    let short = |values: &[f64]| values.iter().map(|v| rounded(*v)).collect::<Vec<_>>();
    Ok((0..rows)
        .map(|row| {
            let gate = |gate: usize| {
                let place = move |t: usize| ((t * rows + row) * 4 + gate) * units;
                (0..steps).map(|t| short(&layer.gates[place(t)..place(t) + units])).collect()
            };
            let place = |t: usize| (t * rows + row) * units;
            Trace {
                predictions: (0..steps).map(|t| rounded(outputs[t * rows + row].to_f64())).collect(),
                gates: [gate(0), gate(1), gate(2), gate(3)],
                cell: (0..steps).map(|t| short(&layer.cell[place(t)..place(t) + units])).collect(),
            }
        })
        .collect())
}

//! One experiment with one seed: trained, judged, made a cell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lstm_data::generate::{Formula, Made, Sequences};
use lstm_data::{Element, WindowSet, Windows};
use lstm_nn::{InferPass, Model, TrainOptions, TrainPass, saved};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float};
use lstm_train::{Fit, Flow, Outcome, RandomWindows, SequenceSource, Source, free_run};
use ndarray::ArrayView2;
use serde_json::json;

use super::cell::{self, Cell, Shown, Trace, rounded};
use super::experiment::{Data, Experiment, weight_lag};
use crate::device::{Job, Place};
use crate::failure::{Failure, Kind, Result};
use crate::interrupt;

/// Steps that the final loss is the mean of: the loss of one batch is noisy.
const LAST: usize = 50;
/// How far an input is moved up and down to see what the outputs do.
const NUDGE: f64 = 0.05;

/// An experiment to run with a seed.
pub(super) struct Trial<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) seed: u64,
    /// Where it runs.
    pub(super) place: &'a Place,
    /// Where the model goes.
    pub(super) model: PathBuf,
    /// Arguments after `lstm repro` that let another process find the experiment.
    pub(super) found_by: Vec<OsString>,
    /// Is told after every optimizer step.
    pub(super) tick: &'a mut dyn FnMut(),
}

/// The points of the series and, behind them, what the forecast is held against: a function of the seed alone.
pub(super) fn make(formula: &Formula, ahead: usize, seed: u64) -> Result<Made> {
    // The last item: the first ones are the batches'.
    Ok(formula.make(ahead, &mut Philox::new(seed, Purpose::Data, u32::MAX))?)
}

impl Job for Trial<'_> {
    type Output = Cell;

    fn run<B: Backend, F: Float + Element>(mut self, backend: &B) -> Result<Cell> {
        let start = Instant::now();
        let experiment = self.experiment;
        let mut cell = Cell {
            experiment: experiment.name.clone(),
            seed: self.seed,
            configuration: experiment.configuration(self.place.dtype().name()),
            commit: cell::commit(),
            machine: self.place.hardware().to_owned(),
            seconds: 0.0,
            figures: BTreeMap::new(),
            losses: Vec::new(),
            shown: Shown::Forecast { values: Vec::new() },
        };
        match &experiment.data {
            Data::Series { formula, lookback, forecast } => {
                self.series::<B, F>(backend, &mut cell, (formula, *lookback, *forecast))?;
            }
            Data::Sequences { train, test, lags } => {
                self.sequences::<B, F>(backend, &mut cell, (&train.make()?, &test.make()?, *lags))?;
            }
        }
        // The last step has no loss behind it that would have told.
        if let Some((name, value)) = cell.figures.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Failure::new(Kind::Diverged, format!("training diverged: {name} is {value}")));
        }
        cell.figures.values_mut().for_each(|value| *value = rounded(*value));
        cell.seconds = rounded(start.elapsed().as_secs_f64());
        Ok(cell)
    }
}

impl Trial<'_> {
    fn series<B: Backend, F: Float + Element>(
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
        let model = self.train::<B, F, _>(backend, &source, cell)?;
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

    fn sequences<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        (train, test, lags): (&Sequences, &Sequences, usize),
    ) -> Result<()> {
        let source = SequenceSource(train);
        let model = self.train::<B, F, _>(backend, &source, cell)?;
        if let Some(folder) = self.model.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        }
        saved::write(backend, &model, &json!({ "experiment": self.experiment.name }), &self.model)?;

        let predictions = predict(backend, &model, test)?;
        let again = self.in_a_new_process()?;
        let changed = if again.len() == predictions.len() {
            predictions.iter().zip(&again).filter(|(a, b)| a.to_f64().to_bits() != b.to_bits()).count()
        } else {
            predictions.len()
        };
        let predictions: Vec<f64> = predictions.iter().map(|v| v.to_f64()).collect();
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

    /// Trains and keeps the losses.
    fn train<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
    ) -> Result<Model<B, F>> {
        let Experiment { network, init, training, .. } = self.experiment;
        let model = Model::new(backend, network.network(), init, self.seed)?;
        let mut fit = Fit::new(backend, model, source, training.config(self.seed))?;
        let mut losses = Vec::new();
        let outcome = fit.run(None, &mut |_, progress| {
            losses.extend(progress.map(|progress| progress.last_loss));
            (self.tick)();
            if interrupt::asked() { Flow::Stop } else { Flow::Continue }
        })?;
        if outcome == Outcome::Interrupted {
            let message =
                "interrupted; the results that were finished are kept, the same command goes on from there";
            return Err(Failure::new(Kind::Interrupted, message));
        }
        let logged = (0..).zip(&losses).step_by(usize::try_from(training.log_every).unwrap_or(usize::MAX));
        cell.losses = logged.map(|(step, loss)| (step, rounded(*loss))).collect();
        let last = &losses[losses.len().saturating_sub(LAST)..];
        cell.figures.insert("final-loss".into(), mean(last));
        if let Some((_, loss)) = cell.losses.last() {
            cell.figures.insert("last-logged-loss".into(), *loss);
        }
        Ok(fit.into_model()?)
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
pub(super) struct Answer {
    pub(super) experiment: String,
    pub(super) predictions: Vec<f64>,
}

/// A saved model to predict the test sequences with.
pub(super) struct Load<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) model: &'a Path,
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
        let predictions = predictions.iter().map(|value| value.to_f64()).collect();
        Ok(Answer { experiment: self.experiment.name.clone(), predictions })
    }
}

fn predict<B: Backend, F: Float>(backend: &B, model: &Model<B, F>, data: &Sequences) -> Result<Vec<F>> {
    let (steps, rows, _) = data.inputs.dim();
    let x: Vec<F> = data.inputs.iter().map(|value| F::from_f64(*value)).collect();
    let mut out = Vec::new();
    InferPass::new(backend, model, steps, rows)?.predict(backend, model, &x, None, &mut out)?;
    Ok(out)
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
            slopes.extend(outputs.map(|o| (up[o].to_f64() - down[o].to_f64()) / (2.0 * NUDGE)));
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

fn named((name, value): (&str, f64)) -> (String, f64) {
    (name.to_owned(), value)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn mse(values: &[f64], wanted: &[f64]) -> f64 {
    let squares = values.iter().zip(wanted).map(|(v, w)| (v - w) * (v - w));
    squares.sum::<f64>() / values.len().max(1) as f64
}

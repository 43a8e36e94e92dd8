//! One experiment with one seed: trained, judged, made a cell.

mod log;
mod sequences;
mod series;
mod sines;
mod times;
mod values;
mod waves;
mod whole;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use lstm_data::{Element, Sequences};
use lstm_nn::{InferPass, Model, durable, saved};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float};
use lstm_train::{Culprit, Fault, Fit, Flow, Outcome, Source, Validate};
use serde_json::json;

use self::log::LossLog;
pub(super) use self::sequences::Load;
pub(super) use self::series::make;
use super::cell::{self, Cell, Shown, rounded};
use super::data::Data;
use super::experiment::{Experiment, loss_at};
use crate::device::{Job, Place};
use crate::failure::{Failure, Kind, Result};
use crate::interrupt;

/// An experiment to run with a seed.
pub(super) struct Trial<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) seed: u64,
    /// Where it runs.
    pub(super) place: &'a Place,
    /// Where the model goes, if it is kept.
    pub(super) model: PathBuf,
    /// Whether every model is kept, and not only one that is read again.
    pub(super) keeps_model: bool,
    /// Arguments after `lstm repro` that let another process find the experiment.
    pub(super) found_by: Vec<OsString>,
    /// Is told after every optimizer step.
    pub(super) tick: &'a mut dyn FnMut(),
}

/// A network after its training.
struct Trained<B: Backend, F: Float> {
    model: Model<B, F>,
    steps: u64,
    /// The step whose weights these are, if validations chose it.
    best_step: Option<u64>,
    outcome: Outcome,
}

/// What comes behind a look at a model in training.
enum Then {
    /// More of the same.
    GoOn,
    /// The end: nothing good can come any more.
    End,
}

/// Looks at a model after so many steps.
type Look<'a, B, F> = &'a mut dyn FnMut(&B, &Model<B, F>, u64) -> Result<Then>;

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
            validations: Vec::new(),
            shown: Shown::Forecast { values: Vec::new() },
        };
        match &experiment.data {
            Data::Series { formula, lookback, forecast } => {
                self.series::<B, F>(backend, &mut cell, (formula, *lookback, *forecast))?;
            }
            Data::Sequences { train, test, lags } => {
                self.sequences::<B, F>(backend, &mut cell, (&train.make()?, &test.make()?, *lags))?;
            }
            Data::Sines(sines) => self.sines::<B, F>(backend, &mut cell, sines)?,
            Data::Times(times) => self.times::<B, F>(backend, &mut cell, times)?,
            Data::Values(values) => self.values::<B, F>(backend, &mut cell, values)?,
            Data::Waves(waves) => self.waves::<B, F>(backend, &mut cell, waves)?,
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
    /// Trains and keeps the losses.
    fn train<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
        validate: Option<Validate<'_, B, F>>,
    ) -> Result<Trained<B, F>> {
        let trained = self.train_alone(backend, source, cell, validate)?;
        self.keep(backend, &trained.model)?;
        Ok(trained)
    }

    fn train_alone<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
        validate: Option<Validate<'_, B, F>>,
    ) -> Result<Trained<B, F>> {
        if self.experiment.training.lbfgs.is_some() {
            let trained = self.whole(backend, source, cell, &mut |_, _, _| Ok(Then::GoOn))?;
            return match trained.outcome {
                Outcome::Diverged(fault) => {
                    let message = format!("training diverged at step {}: {fault}", fault.step);
                    Err(Failure::new(Kind::Diverged, message))
                }
                _ => Ok(trained),
            };
        }
        self.by_batches(backend, source, cell, validate, None)
    }

    /// Trains, keeps the losses and shows the model: after every step of L-BFGS, or whenever a loss is kept.
    fn train_watched<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
        look: Look<'_, B, F>,
    ) -> Result<Trained<B, F>> {
        let trained = match self.experiment.training.lbfgs {
            Some(_) => self.whole(backend, source, cell, look),
            None => self.by_batches(backend, source, cell, None, Some(look)),
        }?;
        self.keep(backend, &trained.model)?;
        Ok(trained)
    }

    /// Writes the model, if models are kept.
    fn keep<B: Backend, F: Float>(&self, backend: &B, model: &Model<B, F>) -> Result<()> {
        if self.keeps_model { self.save(backend, model) } else { Ok(()) }
    }

    fn save<B: Backend, F: Float>(&self, backend: &B, model: &Model<B, F>) -> Result<()> {
        self.make_folder()?;
        Ok(saved::write(backend, model, &json!({ "experiment": self.experiment.name }), &self.model)?)
    }

    /// Writes a series that the model can be run on beside it, if models are kept.
    fn keep_series(&self, values: impl IntoIterator<Item = f64>) -> Result<()> {
        if !self.keeps_model {
            return Ok(());
        }
        self.make_folder()?;
        let text: String = values.into_iter().map(|value| format!("{value}\n")).collect();
        let path = self.model.with_extension("csv");
        Ok(durable::write(&path, format!("value\n{text}").as_bytes())?)
    }

    fn make_folder(&self) -> Result<()> {
        let Some(folder) = self.model.parent() else { return Ok(()) };
        std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))
    }

    fn by_batches<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
        mut validate: Option<Validate<'_, B, F>>,
        mut look: Option<Look<'_, B, F>>,
    ) -> Result<Trained<B, F>> {
        let Experiment { network, init, training, .. } = self.experiment;
        let Some(config) = training.config(self.seed) else {
            return Err(Failure::usage(format!("{}: the training has no optimizer", self.experiment.name)));
        };
        let model = Model::new(backend, network.network(), init, self.seed)?;
        let mut fit = Fit::new(backend, model, source, config)?;
        let mut log = LossLog::new(training);
        let (every, watched) = (training.log_every, look.is_some());
        let outcome = loop {
            let validate = validate.as_mut().map(|validate| &mut **validate as Validate<'_, B, F>);
            let outcome = fit.run(validate, &mut |step, report| {
                if let Some(report) = report {
                    log.note(report);
                }
                (self.tick)();
                let due = watched && step.is_multiple_of(every);
                if due || interrupt::asked() { Flow::Stop } else { Flow::Continue }
            })?;
            if interrupt::asked() {
                return Err(interrupted());
            }
            if let Some(look) = &mut look
                && let Then::End = look(backend, fit.model(), fit.steps())?
            {
                break Outcome::Diverged(Box::new(Fault::new(fit.steps(), Culprit::Answer)));
            }
            if outcome != Outcome::Interrupted {
                break outcome;
            }
        };
        cell.figures.insert("final-loss".into(), log.final_loss());
        if let Some((_, loss)) = log.kept.last() {
            cell.figures.insert("last-logged-loss".into(), *loss);
        }
        let at = |step: &u64| Some((loss_at(*step), log.kept.iter().find(|(kept, _)| kept == step)?.1));
        cell.figures.extend(training.losses_at.iter().filter_map(at));
        (cell.losses, cell.validations) = (log.kept, log.validations);
        let (steps, best_step) = (fit.steps(), fit.best().map(|best| best.step));
        Ok(Trained { model: fit.into_model()?, steps, best_step, outcome })
    }

    /// A stream of random numbers for what is measured, `item` by `item`.
    fn stream(&self, item: u32) -> Philox {
        // The last items: the first ones are the batches'.
        Philox::new(self.seed, Purpose::Data, u32::MAX - item)
    }
}

fn interrupted() -> Failure {
    let message = "interrupted; the results that were finished are kept, the same command goes on from there";
    Failure::new(Kind::Interrupted, message)
}

/// Predictions for all sequences, `[R, O]`: time first where every step is read.
fn predict<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    data: &Sequences,
) -> lstm_nn::Result<Vec<f64>> {
    let (steps, rows, _) = data.inputs.dim();
    let x: Vec<F> = data.inputs.iter().map(|value| F::from_f64(*value)).collect();
    let mut out = Vec::new();
    InferPass::new(backend, model, steps, rows)?.predict(backend, model, &x, None, &mut out)?;
    Ok(out.into_iter().map(F::to_f64).collect())
}

/// Mean squared error of the predictions for these sequences.
fn error_on<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    data: &Sequences,
) -> lstm_nn::Result<f64> {
    let targets: Vec<f64> = data.targets.iter().copied().collect();
    Ok(mse(&predict(backend, model, data)?, &targets))
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

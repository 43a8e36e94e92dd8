//! One sine from many starting points: the error of the next value, and of a forecast that is fed with itself.

use lstm_data::Element;
use lstm_data::generate::Sequences;
use lstm_nn::Model;
use lstm_tensor::{Backend, Float};
use lstm_train::free_run::side_by_side;
use lstm_train::{Outcome, SequenceSource};
use ndarray::{Array2, Axis, s};

use super::super::cell::{Cell, Errors, Shown, rounded};
use super::super::data::Waves;
use super::{Then, Trial, named};
use crate::failure::Result;

/// Of so many predictions one is kept for the picture.
const EVERY: usize = 4;
/// Mean squared error of predicting zero: a network that is worse does not follow the wave at all.
const NOTHING: f64 = 0.5;

impl Trial<'_> {
    pub(super) fn waves<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        waves: &Waves,
    ) -> Result<()> {
        let (train, test) = (waves.train()?, waves.test()?);
        let mut looks = Looks { known: waves.length - 1, test, errors: Vec::new(), predictions: None };
        let trained = self.train_watched::<B, F, _>(
            backend,
            &SequenceSource(&train),
            cell,
            &mut |backend, model, step| looks.look(backend, model, step),
        )?;

        // The first test sequence, from its first input to its last target.
        let first = |values: &ndarray::Array3<f64>| values.slice(s![.., 0, 0]).to_vec();
        let (inputs, targets) = (first(&looks.test.inputs), first(&looks.test.targets));
        self.keep_series(inputs.into_iter().chain(targets.last().copied()))?;
        let errors = looks.errors;
        let least = |of: fn(&Errors) -> f64| errors.iter().map(of).fold(f64::INFINITY, f64::min);
        let astray = errors.iter().skip(1).find(|errors| errors.test > NOTHING).map(|errors| errors.step);
        let diverged = match trained.outcome {
            Outcome::Diverged(fault) => astray.or(Some(fault.step)),
            _ => astray,
        };
        cell.figures.insert("diverged".into(), f64::from(u8::from(diverged.is_some())));
        cell.figures.extend(diverged.map(|step| ("diverged-at".into(), step as f64)));
        if let Some(last) = errors.last() {
            cell.figures.extend(
                [
                    ("test-mse", last.test),
                    ("free-run-mse", last.free_run),
                    ("least-test-mse", least(|errors| errors.test)),
                    ("least-free-run-mse", least(|errors| errors.free_run)),
                ]
                .map(named),
            );
        }
        let thinned = |predictions: &Array2<f64>| {
            let row =
                |row: ndarray::ArrayView1<'_, f64>| row.iter().step_by(EVERY).map(|v| shown(*v)).collect();
            predictions.columns().into_iter().map(row).collect()
        };
        let sequences = looks.predictions.as_ref().map_or(Vec::new(), thinned);
        let errors =
            errors.iter().map(|e| Errors { test: rounded(e.test), free_run: rounded(e.free_run), ..*e });
        cell.shown = Shown::Waves { every: EVERY, sequences, errors: errors.collect() };
        Ok(())
    }
}

/// What is seen of a model while it is trained.
struct Looks {
    /// Steps that are read before it is fed with itself.
    known: usize,
    test: Sequences,
    errors: Vec<Errors>,
    /// Those of the last look, `[steps, rows]`.
    predictions: Option<Array2<f64>>,
}

impl Looks {
    /// Measures, and ends the training where what comes is not finite.
    fn look<B: Backend, F: Float>(&mut self, backend: &B, model: &Model<B, F>, step: u64) -> Result<Then> {
        let flat = |values: &ndarray::Array3<f64>| values.index_axis(Axis(2), 0).to_owned();
        let (inputs, targets) = (flat(&self.test.inputs), flat(&self.test.targets));
        let (steps, rows) = inputs.dim();
        let known = inputs.slice(s![..self.known, ..]);
        let run = side_by_side(backend, model, known, &vec![self.known; rows], steps)?;
        let squares = (&run.predictions - &targets).mapv(|error| error * error);
        let mean = |part: ndarray::ArrayView2<'_, f64>| part.mean().unwrap_or(f64::NAN);
        let (test, free_run) =
            (mean(squares.slice(s![..self.known, ..])), mean(squares.slice(s![self.known.., ..])));
        if !(test.is_finite() && free_run.is_finite()) {
            return Ok(Then::End);
        }
        self.errors.push(Errors { step, test, free_run });
        self.predictions = Some(run.predictions);
        Ok(Then::GoOn)
    }
}

/// Four digits are enough for a picture.
fn shown(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

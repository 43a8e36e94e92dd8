//! Sines drawn anew for every batch: the error on fresh ones, by frequency, and some of them drawn.

use lstm_data::Element;
use lstm_data::generate::{Draw, RandomSine};
use lstm_data::order::unit;
use lstm_nn::Model;
use lstm_tensor::{Backend, Float, LossKind};
use lstm_train::{Drawn, Outcome};

use super::super::cell::{Block, Cell, Shown, rounded};
use super::super::data::{Sines, mse_at};
use super::{Trial, error_on, mean, named, predict};
use crate::failure::Result;

/// Sequences that are predicted at once, so that a wide network needs little memory.
const TOGETHER: usize = 250;
/// Items of the streams of random numbers.
const TEST: u32 = 0;
const SHOWN: u32 = 1;
const ALONE: u32 = 2;
const SWEEP: u32 = 1000;
/// Logged losses that the swing is taken of.
const SWING: usize = 20;
/// Mean squared error up to which a frequency counts as learnt: a tenth of a sine's variance.
const GOOD: f64 = 0.05;

impl Trial<'_> {
    pub(super) fn sines<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        sines: &Sines,
    ) -> Result<()> {
        let Sines { generator, test, frequencies, sweep, each } = sines;
        let trained = self.train::<B, F, _>(backend, &Drawn(*generator), cell, None)?;
        let model = &trained.model;
        let training = &self.experiment.training;
        if training.loss.kind == LossKind::Squared.into() {
            // The mean over all predicted values, however the loss is reduced.
            let values = training.batch * generator.outputs;
            let per_value = 1.0 / (training.loss.scale(training.batch, generator.outputs) * values as f64);
            cell.figures.extend(logged(&cell.losses, per_value));
        }
        cell.figures.insert("samples".into(), (trained.steps * training.batch as u64) as f64);
        if training.stop.target_loss.is_some() {
            let reached = trained.outcome == Outcome::TargetReached;
            cell.figures.insert("target-reached".into(), f64::from(u8::from(reached)));
        }

        cell.figures.insert("test-mse".into(), self.error(backend, model, (generator, *test), TEST)?);
        let at = |hertz: f64| RandomSine { frequency: [hertz, hertz], ..*generator };
        for (item, hertz) in (ALONE..).zip(frequencies) {
            let error = self.error(backend, model, (&at(*hertz), *each), item)?;
            cell.figures.insert(mse_at(*hertz), error);
        }
        let mut curve = Vec::new();
        for (item, point) in (SWEEP..).zip(0..sweep.points) {
            let hertz = sweep.x(point);
            curve.push((rounded(hertz), rounded(self.error(backend, model, (&at(hertz), *each), item)?)));
        }
        let good = good_around(&curve, generator.frequency);
        cell.figures.extend(
            good.map(|(from, to)| [("good-from-hz", from), ("good-to-hz", to)])
                .into_iter()
                .flatten()
                .map(named),
        );

        let mut stream = self.stream(SHOWN);
        let draws: Vec<(f64, f64)> =
            frequencies.iter().map(|hertz| (*hertz, rounded(unit(&mut stream) * generator.latest))).collect();
        let predictions = predict(backend, model, &generator.at(&draws)?)?;
        let blocks =
            draws.iter().zip(predictions.chunks(generator.outputs)).map(|((hertz, start), block)| Block {
                hertz: *hertz,
                start: *start,
                prediction: block.iter().copied().map(rounded).collect(),
            });
        cell.shown = Shown::Sines { blocks: blocks.collect(), sweep: curve };
        Ok(())
    }

    /// The mean squared error on `count` fresh sequences.
    fn error<B: Backend, F: Float>(
        &self,
        backend: &B,
        model: &Model<B, F>,
        (generator, count): (&RandomSine, usize),
        item: u32,
    ) -> Result<f64> {
        let mut stream = self.stream(item);
        let mut sum = 0.0;
        for first in (0..count).step_by(TOGETHER) {
            let rows = TOGETHER.min(count - first);
            sum += error_on(backend, model, &generator.draw(rows, &mut stream)?)? * rows as f64;
        }
        Ok(sum / count as f64)
    }
}

/// What the logged losses say, each times `per_value` to be a mean over all predicted values.
fn logged(losses: &[(u64, f64)], per_value: f64) -> Vec<(String, f64)> {
    let errors: Vec<f64> = losses.iter().map(|(_, loss)| loss * per_value).collect();
    let Some(last) = errors.last() else { return Vec::new() };
    let least = |errors: &[f64]| errors.iter().copied().fold(f64::INFINITY, f64::min);
    let late = &errors[errors.len().saturating_sub(SWING)..];
    let most = late.iter().copied().fold(0.0, f64::max);
    let figures = [
        ("last-logged-mse", *last),
        ("best-logged-mse", least(&errors)),
        ("logged-swing", most / mean(late)),
    ];
    figures.map(named).to_vec()
}

/// The frequencies around the trained ones up to which the error stays small.
fn good_around(curve: &[(f64, f64)], [low, high]: [f64; 2]) -> Option<(f64, f64)> {
    let good = |(_, error): &&(f64, f64)| *error <= GOOD;
    let middle = curve.iter().position(|(hertz, _)| *hertz >= 0.5 * (low + high))?;
    let from = curve[..=middle].iter().rev().take_while(good).last()?;
    let to = curve[middle..].iter().take_while(good).last()?;
    Some((from.0, to.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_what_hangs_together_around_the_middle() {
        let curve = [(1.0, 0.01), (2.0, 0.4), (3.0, 0.03), (4.0, 0.01), (5.0, 0.05), (6.0, 0.06), (7.0, 0.0)];
        assert_eq!(good_around(&curve, [3.0, 5.0]), Some((3.0, 5.0)));
        assert_eq!(good_around(&curve, [2.0, 2.0]), None);
        assert_eq!(good_around(&curve, [9.0, 9.0]), None);
    }

    #[test]
    fn logged_losses_are_told_per_value() {
        let figures = logged(&[(100, 8.0), (200, 2.0), (300, 5.0)], 0.01);
        let of = |name: &str| figures.iter().find(|(n, _)| n == name).unwrap().1;
        assert!((of("last-logged-mse") - 0.05).abs() < 1e-12 && (of("best-logged-mse") - 0.02).abs() < 1e-12);
        assert!((of("logged-swing") - 1.6).abs() < 1e-12);
        assert!(logged(&[], 1.0).is_empty());
    }
}

//! The closed-loop laboratory: how a model behaves when it is fed with its own predictions, and why it drifts.
//!
//! Everything is measured through [`ClosedLoop`], a map of a state onto the next one that says values on its way:
//!
//! - [`free_run_errors`]: error against horizon, beside the naive forecasts
//! - [`drift`]: amplitude and phase at one period, as they part from the truth
//! - [`response`]: what the model makes of a sine of each frequency, one step ahead
//! - [`settle`], [`growth`]: where the loop ends up, and whether disturbances die out there
//!
//! [`examine`] does all of it. Loops of real models are [`ForecastLoop`], [`WindowLoop`] and [`StateLoop`].

mod drift;
mod error;
mod response;
mod sine;
mod stability;
mod wiring;

pub use drift::{Drift, Pace, drift, pace};
pub use error::{HorizonError, free_run_errors};
pub use response::{Response, Wave, response};
pub use sine::{Dominant, dominant_period};
pub use stability::{Growth, Repeats, Rest, Settled, growth, settle};
pub use wiring::{ForecastLoop, Scale, StateLoop, WindowLoop};

use crate::{Error, Result};
use serde::Serialize;
use std::ops::Range;

/// A model whose predictions are its next inputs.
///
/// A state is all that the future depends on: the last values for a model that reads a window anew each time; hidden
/// and cell state of every layer, and the value that is fed next, for one that carries its state.
pub trait ClosedLoop {
    /// Numbers of a state `D`.
    fn dim(&self) -> usize;

    /// Values `S` that one turn predicts and takes back.
    fn stride(&self) -> usize;

    /// Rows of a series that must stand before a state: those that a window reads, or those after which
    /// the beginning is forgotten.
    fn reach(&self) -> usize;

    /// Typical size of what a state holds, about which it varies.
    fn unit(&self) -> f64;

    /// The states `[rows, D]` of a model that has read `series` up to each of `rows`, in ascending order; row `n` means
    /// that the first `n` values are known.
    ///
    /// # Errors
    /// Those of the model.
    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>>;

    /// Moves `states [rows, D]` on by one turn and gives the values of it, `[rows, S]`.
    ///
    /// # Errors
    /// Those of the model.
    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>>;
}

/// What is measured of a loop, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Rows that free runs begin behind; as many as [`Protocol::steps`] must follow the last.
    pub rows: Vec<usize>,
    /// Steps of a free run that is held against what came.
    pub steps: usize,
    /// Period that amplitude and phase are followed at, in steps.
    pub period: f64,
    /// Season of the naive forecast that repeats it.
    pub season: usize,
    /// Longest period of a sine whose continuation is measured.
    pub longest: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Findings {
    /// Errors at every horizon.
    pub errors: Vec<HorizonError>,
    /// Amplitude and phase, stretch by stretch.
    pub drift: Vec<Drift>,
    /// How fast they move; absent where the free runs hold fewer than two stretches.
    pub pace: Option<Pace>,
    /// Continuation of a sine as large as the series, by period, from short to long.
    pub response: Vec<Response>,
    /// The same for a sine of a hundredth of that size.
    pub small_response: Vec<Response>,
    /// Continuation of a sine of the protocol's period.
    pub at_period: Option<Response>,
    /// The free run from the last of the rows, beside which the truth is known.
    pub run: Vec<f64>,
    /// Where a free run behind the whole series ends up.
    pub rest: Rest,
    /// What becomes of disturbances there; absent where it diverges so fast that they are no finite numbers.
    pub growth: Option<Growth>,
}

/// Measures all of it on a series.
///
/// # Errors
/// Those of the model.
pub fn examine(subject: &mut dyn ClosedLoop, series: &[f64], protocol: &Protocol) -> Result<Findings> {
    let Protocol { rows, steps, period, season, longest } = protocol;
    let runs = free_runs(subject, series, rows, *steps)?;
    let drift = drift(series, rows, &runs, *steps, *period);

    let (level, deviation) = moments(series);
    let periods = spaced(SHORTEST, *longest);
    let wave = |share: f64| Wave { level, amplitude: share * 2f64.sqrt() * deviation };
    let small_response = response(subject, wave(0.01), &periods)?;
    let response_of = |subject: &mut dyn ClosedLoop, periods: &[f64]| response(subject, wave(1.0), periods);

    let end = subject.start(series, &[series.len()])?;
    let long = (40.0 * period).max(12.0 * *season as f64).clamp(400.0, 20_000.0) as usize;
    let repeats = Repeats { period: *period, season: *season as f64 };
    let settled = settle(subject, end.clone(), long, repeats, deviation)?;
    let (from, period_there, per) = match settled.rest {
        // What leaves every range is followed on its way out.
        Rest::Diverges { .. } => (end, *period, *period),
        Rest::Point { .. } => (settled.state, *period, 1.0),
        Rest::Cycle { period: own, .. } => (settled.state, own, own),
        Rest::Drifts { .. } => (settled.state, *period, *period),
    };
    let growth = match growth(subject, from, period_there, per) {
        Err(Error::TooLarge) => None,
        growth => Some(growth?),
    };
    Ok(Findings {
        errors: free_run_errors(series, rows, &runs, *steps, *season),
        pace: pace(&drift),
        drift,
        response: response_of(subject, &periods)?,
        small_response,
        at_period: response_of(subject, &[*period])?.first().copied(),
        run: runs[runs.len() - steps..].to_vec(),
        rest: settled.rest,
        growth,
    })
}

/// Shortest period of a sine whose continuation is measured, in steps.
const SHORTEST: f64 = 2.5;
/// Periods of sines that are measured.
const PERIODS: usize = 60;

/// Numbers from `first` to `last`, each the same multiple of the one before.
fn spaced(first: f64, last: f64) -> Vec<f64> {
    let ratio = (last / first).max(1.0).ln() / (PERIODS - 1) as f64;
    (0..PERIODS).map(|k| first * (ratio * k as f64).exp()).collect()
}

/// At most `most` evenly spaced rows of a range, the last always among them.
#[must_use]
pub fn evenly(rows: Range<usize>, most: usize) -> Vec<usize> {
    let step = rows.len().div_ceil(most.max(1)).max(1);
    let mut chosen: Vec<usize> = rows.rev().step_by(step).collect();
    chosen.reverse();
    chosen
}

/// Free runs of `steps` values from behind each of `rows`, `[rows, steps]`; each sees only what lies before it.
///
/// # Errors
/// Those of the model.
pub fn free_runs(
    subject: &mut dyn ClosedLoop,
    series: &[f64],
    rows: &[usize],
    steps: usize,
) -> Result<Vec<f64>> {
    let stride = subject.stride();
    let mut states = subject.start(series, rows)?;
    let mut runs = vec![0.0; rows.len() * steps];
    for from in (0..steps).step_by(stride) {
        let values = subject.turn(&mut states)?;
        let count = stride.min(steps - from);
        for (run, values) in runs.chunks_exact_mut(steps).zip(values.chunks_exact(stride)) {
            run[from..from + count].copy_from_slice(&values[..count]);
        }
    }
    Ok(runs)
}

/// Mean and standard deviation.
#[must_use]
pub fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests;

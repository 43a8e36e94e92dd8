//! Forecasts that need no network, which every model is held against.

mod decompose;
mod ets;
mod theta;

pub use ets::Ets;
pub use theta::Theta;

use serde::{Deserialize, Serialize};

/// Rows before a forecast that drift, ETS and Theta look back on at least.
const ROWS: usize = 1000;
/// Seasons that they look back on at least.
const SEASONS: usize = 4;

/// A forecast that needs no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Simple {
    /// [`Linear`](crate::forecaster::Linear).
    Linear,
    /// [`naive`].
    Naive,
    /// [`seasonal_naive`].
    SeasonalNaive,
    /// [`drift`].
    Drift,
    /// [`Ets`].
    Ets,
    /// [`Theta`].
    Theta,
}

impl Simple {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 6] =
        [Self::Linear, Self::Ets, Self::Theta, Self::SeasonalNaive, Self::Naive, Self::Drift];

    /// As files name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal-naive",
            Self::Drift => "drift",
            Self::Ets => "ets",
            Self::Theta => "theta",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|simple| simple.name() == name)
    }
}

/// The last rows of a history that drift, ETS and Theta are fitted to: 1,000, or four seasons where these are longer, so
/// that a long series takes no longer than others.
#[must_use]
pub fn recent(history: &[f64], season: usize) -> &[f64] {
    &history[history.len().saturating_sub(reach(season))..]
}

/// Values divided by the largest of them, whose square may not be a number, and that.
fn in_unit(values: &[f64]) -> (Vec<f64>, f64) {
    let unit = values.iter().fold(f64::MIN_POSITIVE, |largest, value| value.abs().max(largest));
    (values.iter().map(|value| value / unit).collect(), unit)
}

/// How many rows [`recent`] gives at most.
#[must_use]
pub fn reach(season: usize) -> usize {
    ROWS.max(SEASONS * season)
}

/// The value one season before, repeated: `f[h] = y[n - season + h mod season]`. A season of 1 is the
/// naive forecast, the last value repeated. Seasons longer than the history shrink to it.
///
/// Returns `horizon` values; none for an empty history.
#[must_use]
pub fn seasonal_naive(history: &[f64], season: usize, horizon: usize) -> Vec<f64> {
    let season = season.clamp(1, history.len().max(1));
    let last = &history[history.len() - season.min(history.len())..];
    if last.is_empty() { Vec::new() } else { last.iter().copied().cycle().take(horizon).collect() }
}

/// The last value repeated.
#[must_use]
pub fn naive(history: &[f64], horizon: usize) -> Vec<f64> {
    seasonal_naive(history, 1, horizon)
}

/// The line through the first and the last value, continued: `f[h] = y[n] + h (y[n] - y[1]) / (n - 1)`.
///
/// Returns `horizon` values; none for an empty history.
#[must_use]
pub fn drift(history: &[f64], horizon: usize) -> Vec<f64> {
    let [first, .., last] = *history else { return naive(history, horizon) };
    let steps = (history.len() - 1) as f64;
    // Divided before subtracted: the difference of two finite numbers may not be one.
    let slope = last / steps - first / steps;
    (1..=horizon).map(|h| last + h as f64 * slope).collect()
}

/// Lowers `error` over the unit cube from `start`, coordinate by coordinate with a step that shrinks where none helps
/// (Hooke and Jeeves 1961): for a handful of smooth parameters, to within 0.005. Returns the place and its error.
fn minimised(start: &[f64], error: impl Fn(&[f64]) -> f64) -> (Vec<f64>, f64) {
    let (mut at, mut best) = (start.to_vec(), error(start));
    let mut step = 0.25;
    while step > 0.005 {
        let before = best;
        for (coordinate, sign) in (0..at.len()).flat_map(|coordinate| [(coordinate, 1.0), (coordinate, -1.0)])
        {
            let stood = at[coordinate];
            at[coordinate] = (stood + sign * step).clamp(0.0, 1.0);
            let found = error(&at);
            if found < best {
                best = found;
            } else {
                at[coordinate] = stood;
            }
        }
        if best >= before {
            step *= 0.5;
        }
    }
    (at, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasons_repeat() {
        assert_eq!(seasonal_naive(&[1.0, 2.0, 3.0], 2, 5), [2.0, 3.0, 2.0, 3.0, 2.0]);
        assert_eq!(naive(&[1.0, 2.0, 3.0], 2), [3.0, 3.0]);
        assert_eq!(seasonal_naive(&[1.0], 12, 2), [1.0, 1.0]);
        assert!(seasonal_naive(&[], 3, 2).is_empty());
    }

    #[test]
    fn drift_continues_the_line_from_end_to_end() {
        assert_eq!(drift(&[1.0, 7.0, 5.0], 3), [7.0, 9.0, 11.0]);
        assert_eq!(drift(&[4.0], 2), [4.0, 4.0]);
        assert!(drift(&[], 2).is_empty());
        assert!(drift(&[-1e308, 0.0, 1e308], 0).is_empty());
    }

    #[test]
    fn names_are_those_of_files() {
        for simple in Simple::ALL {
            assert_eq!(Simple::named(simple.name()), Some(simple));
            assert_eq!(serde_json::to_value(simple).unwrap(), simple.name());
        }
        assert_eq!(Simple::named("lstm"), None);
    }

    #[test]
    fn only_recent_rows_count() {
        let history: Vec<f64> = (0..3000).map(f64::from).collect();
        assert_eq!(recent(&history, 24), &history[2000..]);
        assert_eq!(recent(&history, 300), &history[1800..]);
        assert_eq!(recent(&history[..7], 24), &history[..7]);
    }

    #[test]
    fn the_lowest_place_is_found() {
        let bowl = |at: &[f64]| (at[0] - 0.3).powi(2) + 2.0 * (at[1] - at[0]).powi(2);
        let (at, error) = minimised(&[0.9, 0.1], bowl);
        assert!((at[0] - 0.3).abs() < 0.02 && (at[1] - 0.3).abs() < 0.02, "{at:?}");
        assert_eq!(error, bowl(&at));
        // At the edge of the cube.
        assert_eq!(minimised(&[0.5], |at| -at[0]), (vec![1.0], -1.0));
    }
}

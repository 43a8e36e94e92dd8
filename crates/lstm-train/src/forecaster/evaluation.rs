//! What rows that nothing was learnt from say about a forecast.

use crate::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// Shares of outcomes that intervals should hold.
pub const LEVELS: [f64; 3] = [0.5, 0.8, 0.95];

/// How far forecasts were off at most, for each of [`LEVELS`], per step of the horizon, in units of what
/// the window was divided by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Half the width of the interval, `[levels][horizon]`.
    pub half_width: Vec<Vec<f64>>,
}

impl Interval {
    /// Split conformal prediction (Lei and others 2018): with `n` errors, the absolute error of rank
    /// `ceil(level (n + 1))`, or the largest. `residuals [windows, horizon]`, NaN where nobody knows; the steps
    /// are pooled where there are fewer than 30 windows.
    #[must_use]
    pub fn new(residuals: &[f64], horizon: usize) -> Self {
        let sorted = |mut errors: Vec<f64>| {
            errors.retain(|error| !error.is_nan());
            errors.sort_by(f64::total_cmp);
            errors
        };
        let sizes = residuals.iter().map(|r| r.abs());
        let pooled = residuals.len() / horizon < 30;
        let steps: Vec<Vec<f64>> = match pooled {
            true => vec![sorted(sizes.collect())],
            false => (0..horizon).map(|h| sorted(sizes.clone().skip(h).step_by(horizon).collect())).collect(),
        };
        let ranked = |errors: &Vec<f64>, level: f64| {
            let rank = (level * (errors.len() + 1) as f64).ceil() as usize;
            errors.get(rank.min(errors.len()).saturating_sub(1)).copied().unwrap_or(0.0)
        };
        let at = |level| (0..horizon).map(|h| ranked(&steps[if pooled { 0 } else { h }], level)).collect();
        Self { half_width: LEVELS.map(at).to_vec() }
    }

    /// The share of `residuals [windows, horizon]` inside, for each of [`LEVELS`].
    #[must_use]
    pub fn coverage(&self, residuals: &[f64]) -> Vec<f64> {
        let share = |widths: &Vec<f64>| {
            let known = residuals.iter().zip(widths.iter().cycle()).filter(|(r, _)| !r.is_nan());
            let (inside, all) = known.fold((0, 0usize), |(inside, all), (r, width)| {
                (inside + usize::from(r.abs() <= *width), all + 1)
            });
            inside as f64 / all.max(1) as f64
        };
        self.half_width.iter().map(share).collect()
    }

    /// Half widths at a level, in the series' unit, of a window that was divided by `scale`.
    #[must_use]
    pub fn around(&self, level: usize, scale: f64) -> Vec<f64> {
        self.half_width.get(level).map_or(Vec::new(), |widths| widths.iter().map(|w| w * scale).collect())
    }
}

/// One forecasting method on the held-out part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `lstm`, or the [name](crate::baseline::Simple::name) of a simple method.
    pub method: String,
    /// Errors over all held-out windows.
    pub metrics: Metrics,
    /// Mean absolute and mean squared error in standard deviations of each series in the rows learnt from: of one
    /// size for all series of a panel.
    pub standardised: [f64; 2],
    /// Mean absolute error at each step of the horizon; absent where no truth is known.
    pub by_step: Vec<Option<f64>>,
    /// Spread of its held-out errors, for forecasts of what follows.
    pub interval: Interval,
    /// Share of held-out values inside the intervals that its errors on the validation part made, for each
    /// of [`LEVELS`].
    pub coverage: Vec<f64>,
}

/// One configuration that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// How it differs: base and normalisation.
    pub what: String,
    /// Its error on the validation part, in standard deviations of each series.
    pub validation: f64,
    /// That of its base forecast alone.
    pub base: f64,
}

/// A trial whose forecasts are used, and how it was trained best: what training on all rows repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Way {
    /// Which trial, from 0.
    pub trial: usize,
    /// Optimizer steps of the best validation, one for each network of the ensemble.
    pub best_steps: Vec<u64>,
    /// Training windows.
    pub train_windows: usize,
    /// Ridge of the linear forecast that did best on the validation part.
    pub ridge: f64,
}

/// What was made of the trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Those whose forecasts are averaged.
    pub ways: Vec<Way>,
    /// Error of the mean on the validation part, in standard deviations of each series.
    pub validation: f64,
    /// The smallest of those of the simple forecasts that were to be corrected.
    pub simple: f64,
}

/// What the held-out part says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The LSTM first, then the baselines.
    pub scores: Vec<Score>,
    /// First row of the held-out part, of the first series.
    pub first_row: usize,
    /// Held-out windows.
    pub windows: usize,
    /// The LSTM's forecast of the last held-out window of each series; none where that has none.
    pub last_forecast: Vec<Vec<f64>>,
    /// What was tried, in this order.
    pub trials: Vec<Trial>,
    /// What was taken of it; nothing where a file was written by an older version.
    #[serde(default)]
    pub taken: Taken,
}

impl Evaluation {
    /// The method with the smallest mean absolute error.
    #[must_use]
    pub fn winner(&self) -> Option<&Score> {
        self.scores.iter().min_by(|a, b| a.metrics.mae.total_cmp(&b.metrics.mae))
    }

    /// Whether the forecasts of a trial are used, by its index.
    #[must_use]
    pub fn is_taken(&self, trial: usize) -> bool {
        self.taken.ways.iter().any(|way| way.trial == trial)
    }

    /// The score of a method.
    #[must_use]
    pub fn score(&self, method: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.method == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_their_share_of_the_errors_that_made_them() {
        let residuals: Vec<f64> = (0..200).map(|i| f64::from(i) - 100.0).collect();
        let interval = Interval::new(&residuals, 2);
        for (share, level) in interval.coverage(&residuals).iter().zip(LEVELS) {
            assert!((share - level).abs() < 0.02, "{share} {level}");
        }
        // 20 windows: pooled, so both steps have the same width.
        let few = Interval::new(&residuals[..40], 2);
        assert!(few.half_width.iter().all(|widths| widths[0] == widths[1]));
        assert_eq!(few.around(1, 2.0)[0], 2.0 * few.half_width[1][0]);
    }
}

//! What rows that nothing was learnt from say about a forecast.

use crate::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// Shares of outcomes that intervals should hold.
pub const LEVELS: [f64; 3] = [0.5, 0.8, 0.95];

/// Levels of the quantiles that intervals and the median are: rising, the median in the middle.
#[must_use]
pub fn quantile_levels() -> [f64; 2 * LEVELS.len() + 1] {
    let mut levels = [0.5; 2 * LEVELS.len() + 1];
    for (at, level) in LEVELS.into_iter().enumerate() {
        let outside = 0.5 * (1.0 - level);
        levels[LEVELS.len() - 1 - at] = outside;
        levels[LEVELS.len() + 1 + at] = 1.0 - outside;
    }
    levels
}

/// Lower and upper edge of the intervals at [`LEVELS`] around a forecast value.
pub type Edges = [[f64; 2]; LEVELS.len()];

/// The edges among quantiles at [`quantile_levels`].
pub(super) fn edges_of(quantiles: &[f64]) -> Edges {
    std::array::from_fn(|level| [quantiles[LEVELS.len() - 1 - level], quantiles[LEVELS.len() + 1 + level]])
}

/// How far outside its intervals a value `y` came, in units of `scale`: negative inside, NaN where nobody knows. It is the
/// score of conformalised quantile regression (Romano and others 2019), of intervals without width the absolute error.
#[must_use]
pub fn outside(y: f64, edges: &Edges, scale: f64) -> [f64; LEVELS.len()] {
    // Not `max`, which would make of NaN the other.
    edges.map(|[lo, hi]| if lo - y > y - hi { (lo - y) / scale } else { (y - hi) / scale })
}

/// How far intervals must reach beyond the edges that a method says, or beyond its forecast where it says none, for each of
/// [`LEVELS`], per step of the horizon, in units of what the window was divided by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// `[levels][horizon]`; negative where the method was less sure than it could be.
    #[serde(alias = "half_width")]
    pub margin: Vec<Vec<f64>>,
}

impl Interval {
    /// Split conformal prediction (Lei and others 2018): with `n` scores, that of rank `ceil(level (n + 1))`, or the
    /// largest. `scores [windows, horizon]` are those of [`outside`]; the steps are pooled where there are fewer than 30
    /// windows.
    #[must_use]
    pub fn new(scores: &[[f64; LEVELS.len()]], horizon: usize) -> Self {
        let pooled = Self::pools(scores.len(), horizon);
        let at = |level: usize| {
            let sorted = |from: usize, step: usize| {
                let scores = scores.iter().skip(from).step_by(step).map(|scores| scores[level]);
                let mut scores: Vec<f64> = scores.filter(|score| !score.is_nan()).collect();
                scores.sort_by(f64::total_cmp);
                ranked(&scores, LEVELS[level])
            };
            match pooled {
                true => vec![sorted(0, 1); horizon],
                false => (0..horizon).map(|h| sorted(h, horizon)).collect(),
            }
        };
        Self { margin: (0..LEVELS.len()).map(at).collect() }
    }

    /// Whether so many scores are too few to tell the steps of the horizon apart.
    pub(super) fn pools(scores: usize, horizon: usize) -> bool {
        scores / horizon < 30
    }

    /// The edges of a value `forecast` at step `h`, which a method says to be `edges`, calibrated: a wider level holds
    /// the narrower ones, and all hold the forecast.
    #[must_use]
    pub fn calibrate(&self, h: usize, forecast: f64, edges: &Edges, scale: f64) -> Edges {
        let margin = |level: usize| self.margin.get(level).map_or(f64::NAN, |margin| margin[h] * scale);
        calibrated(forecast, edges, std::array::from_fn(margin))
    }
}

/// Edges moved outwards by margins in the series' unit.
pub(crate) fn calibrated(forecast: f64, edges: &Edges, margins: [f64; LEVELS.len()]) -> Edges {
    let mut inner = [forecast; 2];
    std::array::from_fn(|level| {
        let ([lo, hi], margin) = (edges[level], margins[level]);
        if !margin.is_nan() {
            inner = [inner[0].min(lo - margin), inner[1].max(hi + margin)];
            return inner;
        }
        [f64::NAN; 2]
    })
}

/// The score of rank `ceil(level (n + 1))` among `n` rising ones, or the largest; 0 where there are none.
pub(crate) fn ranked(rising: &[f64], level: f64) -> f64 {
    let rank = (level * (rising.len() + 1) as f64).ceil() as usize;
    rising.get(rank.min(rising.len()).saturating_sub(1)).copied().unwrap_or(0.0)
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
    /// Of forecasts of what follows: what all errors that are known suggest, the newest ones most.
    pub interval: Interval,
    /// Share of held-out values inside the intervals that were suggested, for each of [`LEVELS`], by the errors that were
    /// known before each forecast: at first those of the validation part. See [`Rolling`](super::Rolling).
    pub coverage: Vec<f64>,
    /// The same of intervals that the validation part alone calibrated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibrated_once: Vec<f64>,
    /// The same of the intervals that the method itself says, before calibration; empty where it says none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncalibrated: Vec<f64>,
    /// Mean weighted quantile loss of the intervals of `coverage`, see [`Measures`](crate::metrics::Measures).
    #[serde(default)]
    pub wql: Option<f64>,
    /// Their continuous ranked probability score, in the series' unit.
    #[serde(default)]
    pub crps: Option<f64>,
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

/// Rows to measure forecasts on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Forecasts begin at this row of each series or behind it.
    pub first_row: &'a [usize],
    /// Rows of each series, from its first on, that the model has learnt from: ETS and Theta are fitted to the same ones,
    /// and MASE's scale is that of these.
    pub learnt: &'a [usize],
    /// Where intervals come from for a model whose validation part is no longer known apart: what was measured when
    /// it was trained.
    pub intervals: Option<&'a Evaluation>,
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
    /// By how much the LSTM's forecasts from some places were off, `[K, H]`, in units of what each window was divided by:
    /// how the errors of a forecast hang together. A model file keeps it beside its weights.
    #[serde(skip)]
    pub templates: Vec<f64>,
    /// How far outside of what each method says the values of the validation part came, `[windows, H]` in the order of
    /// time: what the first margins of [`Rolling`](super::Rolling) are made of. No file keeps them.
    #[serde(skip)]
    pub validation_scores: Vec<(&'static str, Vec<[f64; LEVELS.len()]>)>,
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
        let scores: Vec<_> = residuals.iter().map(|y| outside(*y, &[[0.0; 2]; 3], 1.0)).collect();
        let interval = Interval::new(&scores, 2);
        for (at, level) in LEVELS.into_iter().enumerate() {
            let inside = |(i, y): (usize, &f64)| {
                let [lo, hi] = interval.calibrate(i % 2, 0.0, &[[0.0; 2]; 3], 1.0)[at];
                (lo..=hi).contains(y)
            };
            let share = residuals.iter().enumerate().filter(|pair| inside(*pair)).count() as f64 / 200.0;
            assert!((share - level).abs() < 0.02, "{share} {level}");
        }
        // 20 windows: pooled, so both steps have the same width.
        let few = Interval::new(&scores[..40], 2);
        assert!(few.margin.iter().all(|margin| margin[0] == margin[1]));
        assert_eq!(few.calibrate(0, 1.0, &[[1.0; 2]; 3], 2.0)[1][1], 1.0 + 2.0 * few.margin[1][0]);
    }

    #[test]
    fn intervals_that_are_too_wide_shrink_but_stay_one_inside_the_other() {
        // Each value lies in the middle of edges 1, 2 and 3 away: scores of -1, -2, -3.
        let edges: Edges = [[-1.0, 1.0], [-2.0, 2.0], [-3.0, 3.0]];
        let scores = vec![outside(0.0, &edges, 1.0); 100];
        let interval = Interval::new(&scores, 1);
        assert_eq!(interval.margin, [[-1.0], [-2.0], [-3.0]]);
        assert_eq!(interval.calibrate(0, 0.5, &edges, 1.0), [[0.0, 0.5]; 3]);
        assert!(outside(f64::NAN, &edges, 1.0).iter().all(|score| score.is_nan()));
        assert_eq!(quantile_levels(), [0.5 * (1.0 - 0.95), 0.5 * (1.0 - 0.8), 0.25, 0.5, 0.75, 0.9, 0.975]);
    }
}

//! Errors of forecasts. `y` is what happened, `f` what was forecast.

use crate::forecaster::{Edges, LEVELS, quantile_levels};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Errors of one set of forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean absolute error, `mean |y - f|`, in the series' unit.
    pub mae: f64,
    /// Root mean squared error, `√ mean (y - f)²`, in the series' unit.
    pub rmse: f64,
    /// Mean absolute scaled error (Hyndman and Koehler 2006): `mae` over the mean absolute error of
    /// the seasonal naive one-season-ahead forecast inside the training part; absent where that is 0.
    pub mase: Option<f64>,
    /// Symmetric mean absolute percentage error, `mean 200 |y - f| / (|y| + |f|)`, in percent; elements
    /// where both are 0 count as 0.
    pub smape: f64,
}

impl Metrics {
    /// Errors of `forecasts` against `actual`, element by element; `scale` is [`naive_scale`].
    #[must_use]
    pub fn new(actual: &[f64], forecasts: &[f64], scale: Option<f64>) -> Self {
        Self::of_panel(actual, forecasts, &|_| scale)
    }

    /// The same over several series, each scaled by its own: `scale` of the element's index. Elements of series
    /// without a scale count for all but MASE; where `actual` is NaN nobody knows, and nothing counts.
    #[must_use]
    pub fn of_panel(actual: &[f64], forecasts: &[f64], scale: &dyn Fn(usize) -> Option<f64>) -> Self {
        let mut sums = Sums::default();
        for (at, (&y, &f)) in actual.iter().zip(forecasts).enumerate() {
            sums.add(y, f, scale(at));
        }
        sums.metrics()
    }

    /// Skill against another forecast: `1 - mae / other.mae`; above 0 is better, absent where the other
    /// is perfect.
    #[must_use]
    pub fn skill(&self, other: &Self) -> Option<f64> {
        (other.mae > 0.0).then(|| 1.0 - self.mae / other.mae)
    }
}

/// Mean absolute change over one season inside `values`: the denominator of MASE. Absent where there
/// are too few values or all seasons are equal.
#[must_use]
pub fn naive_scale(values: &[f64], season: usize) -> Option<f64> {
    let season = season.max(1);
    if values.len() <= season {
        return None;
    }
    let changes = values[season..].iter().zip(values).map(|(now, before)| (now - before).abs());
    let scale = changes.sum::<f64>() / (values.len() - season) as f64;
    (scale > 0.0 && scale.is_finite()).then_some(scale)
}

/// Sums over forecast values, from which [`Metrics`] follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    values: u64,
    with_scale: u64,
    absolute: f64,
    squared: f64,
    relative: f64,
    scaled: f64,
}

impl Sums {
    /// Where `y` is NaN nobody knows, and nothing counts.
    fn add(&mut self, y: f64, f: f64, scale: Option<f64>) {
        if y.is_nan() {
            return;
        }
        let error = (y - f).abs();
        self.values += 1;
        self.absolute += error;
        self.squared += error * error;
        if error > 0.0 {
            self.relative += 200.0 * error / (y.abs() + f.abs());
        }
        if let Some(scale) = scale {
            self.with_scale += 1;
            self.scaled += error / scale;
        }
    }

    fn metrics(&self) -> Metrics {
        let n = self.values.max(1) as f64;
        Metrics {
            mae: self.absolute / n,
            rmse: (self.squared / n).sqrt(),
            mase: (self.with_scale > 0).then(|| self.scaled / self.with_scale as f64),
            smape: self.relative / n,
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.values += other.values;
        self.with_scale += other.with_scale;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.relative += other.relative;
        self.scaled += other.scaled;
    }
}

/// Sums over forecast values with intervals, from which [`Measures`] follow: as small for a million values as for one, and
/// those of several series are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    errors: Sums,
    size: f64,
    quantile_loss: f64,
    ranked: f64,
    inside: [u64; LEVELS.len()],
}

/// What forecasts with intervals were worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Values that a forecast was held against.
    pub values: u64,
    /// Errors of the forecast itself.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Weighted absolute percentage error, `100 Σ |y - f| / Σ |y|`, in percent; absent where all truths are 0.
    pub wape: Option<f64>,
    /// Mean weighted quantile loss, the mean over the quantiles `f_q` that are the edges of the intervals and the forecast
    /// itself, as the median, of `2 Σ (y - f_q) (q - [y < f_q]) / Σ |y|`. Absent where all truths are 0.
    pub wql: Option<f64>,
    /// The continuous ranked probability score (Gneiting and Raftery 2007), the mean of
    /// `2 ∫ (y - f_q) (q - [y < f_q]) dq`, in the series' unit: the integral by the trapezoidal rule over the same quantiles,
    /// with 0 at both ends.
    pub crps: f64,
    /// Share of truths inside the interval of each of [`LEVELS`].
    pub coverage: Vec<f64>,
}

impl Tally {
    /// Takes a value that was forecast as `f` and came as `y`, with its intervals at [`LEVELS`]; `scale` is the
    /// [`naive_scale`] of its series. Where `y` is NaN nobody knows, and nothing counts.
    pub fn add(&mut self, y: f64, f: f64, edges: &Edges, scale: Option<f64>) {
        if y.is_nan() {
            return;
        }
        self.errors.add(y, f, scale);
        self.size += y.abs();
        let (levels, middle) = (quantile_levels(), LEVELS.len());
        for (at, q) in levels.into_iter().enumerate() {
            let f = match at.checked_sub(middle) {
                None => edges[middle - 1 - at][0],
                Some(0) => f,
                Some(above) => edges[above - 1][1],
            };
            let next = levels.get(at + 1).copied().unwrap_or(1.0);
            let before = at.checked_sub(1).map_or(0.0, |before| levels[before]);
            let loss = quantile_loss(y, f, q);
            self.quantile_loss += loss;
            self.ranked += 0.5 * (next - before) * loss;
        }
        for ([lo, hi], inside) in edges.iter().zip(&mut self.inside) {
            *inside += u64::from((*lo..=*hi).contains(&y));
        }
    }

    /// The measures; none before a value counts.
    #[must_use]
    pub fn measures(&self) -> Option<Measures> {
        let values = self.errors.values;
        let n = (values > 0).then_some(values as f64)?;
        let of_size = |sum: f64| (self.size > 0.0).then(|| sum / self.size);
        let quantiles = 1 + 2 * LEVELS.len();
        Some(Measures {
            values,
            metrics: self.errors.metrics(),
            wape: of_size(100.0 * self.errors.absolute),
            wql: of_size(self.quantile_loss / quantiles as f64),
            crps: self.ranked / n,
            coverage: self.inside.iter().map(|inside| *inside as f64 / n).collect(),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.errors += other.errors;
        self.size += other.size;
        self.quantile_loss += other.quantile_loss;
        self.ranked += other.ranked;
        self.inside.iter_mut().zip(other.inside).for_each(|(inside, more)| *inside += more);
    }
}

/// Twice the quantile loss (pinball loss) of forecasting the quantile `level` as `f`: at the median the absolute error.
fn quantile_loss(y: f64, f: f64, level: f64) -> f64 {
    2.0 * (y - f) * (level - f64::from(y < f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_measures_as_the_formulas_say() {
        let mut tally = Tally::default();
        assert_eq!(tally.measures(), None);
        // Off by 1 within the wider two intervals, and right on.
        let edges = [[4.5, 5.5], [4.0, 6.0], [3.0, 7.0]];
        tally.add(4.0, 5.0, &edges, Some(0.5));
        tally.add(f64::NAN, 5.0, &edges, Some(0.5));
        let mut other = Tally::default();
        other.add(-6.0, -6.0, &[[-6.0; 2]; 3], None);
        tally += other;
        let measures = tally.measures().unwrap();
        assert_eq!(measures.values, 2);
        let metrics = Metrics { mae: 0.5, rmse: 0.5f64.sqrt(), mase: Some(2.0), smape: 100.0 / 9.0 };
        assert_eq!(measures.metrics, metrics);
        assert_eq!(measures.wape, Some(10.0));
        assert_eq!(measures.coverage, [0.5, 1.0, 1.0]);
        // Of 4: the median 5 costs 1; 4.5 and 5.5 cost 2 * 0.5 * 0.75 and 2 * 1.5 * 0.25; 4 and 6 cost 0 and
        // 2 * 2 * 0.1; 3 and 7 cost 2 * 1 * 0.025 and 2 * 3 * 0.025. The other value costs nothing.
        let loss = 1.0 + 0.75 + 0.75 + 0.0 + 0.4 + 0.05 + 0.15;
        assert!((measures.wql.unwrap() - loss / 7.0 / 10.0).abs() < 1e-15);
        // Half of the way from the level before to the next: .25, .2, .1125 and .05.
        let crps = 0.25 * 1.0 + 0.2 * 1.5 + 0.1125 * 0.4 + 0.05 * 0.2;
        assert!((measures.crps - crps / 2.0).abs() < 1e-15, "{}", measures.crps);
    }

    #[test]
    fn tallies_of_parts_add_up_to_that_of_all() {
        let values =
            [(3.0, 5.0, Some(0.5)), (-6.0, -2.0, None), (1.0, 4.0, Some(4.0)), (8.0, 2.5, Some(0.25))];
        let tally = |values: &[(f64, f64, Option<f64>)]| {
            values.iter().fold(Tally::default(), |mut tally, (y, f, scale)| {
                tally.add(*y, *f, &[1.0, 2.5, 5.0].map(|wide| [f - wide, f + wide]), *scale);
                tally
            })
        };
        let mut sum = tally(&values[..2]);
        sum += tally(&values[2..]);
        let whole = tally(&values);
        assert!(
            (sum.ranked - whole.ranked).abs() < 1e-12
                && (sum.quantile_loss - whole.quantile_loss).abs() < 1e-12
        );
        assert_eq!((sum.errors, sum.size, sum.inside), (whole.errors, whole.size, whole.inside));
        let measures = sum.measures().unwrap();
        assert_eq!(measures.values, 4);
        assert_eq!(measures.metrics.mae, (2.0 + 4.0 + 3.0 + 5.5) / 4.0);
        assert_eq!(measures.metrics.rmse, ((4.0 + 16.0 + 9.0 + 30.25) / 4.0f64).sqrt());
        assert_eq!(measures.metrics.mase, Some((4.0 + 0.75 + 22.0) / 3.0));
        let smape = 200.0 * (2.0 / 8.0 + 4.0 / 8.0 + 3.0 / 5.0 + 5.5 / 10.5) / 4.0;
        assert!((measures.metrics.smape - smape).abs() < 1e-12);
        assert_eq!(measures.wape, Some(100.0 * 14.5 / 18.0));
        assert_eq!(measures.coverage, [0.0, 0.25, 0.75]);
    }

    #[test]
    fn skill_is_the_share_of_error_that_is_gone() {
        let off = |error: f64| Metrics::new(&[10.0], &[10.0 + error], None);
        assert_eq!(off(1.0).skill(&off(4.0)), Some(0.75));
        assert_eq!(off(4.0).skill(&off(1.0)), Some(-3.0));
        assert_eq!(off(4.0).skill(&off(0.0)), None);
    }

    #[test]
    fn zeros_have_no_relative_errors() {
        let mut tally = Tally::default();
        tally.add(0.0, 1.0, &[[-1.0, 3.0]; 3], None);
        let measures = tally.measures().unwrap();
        assert_eq!((measures.wape, measures.wql, measures.metrics.mase), (None, None, None));
    }

    #[test]
    fn formulas() {
        let metrics = Metrics::new(&[1.0, 2.0, 0.0], &[2.0, 2.0, 0.0], Some(0.5));
        assert!((metrics.mae - 1.0 / 3.0).abs() < 1e-15);
        assert!((metrics.rmse - (1.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((metrics.mase.unwrap() - 2.0 / 3.0).abs() < 1e-15);
        assert!((metrics.smape - 200.0 / 9.0).abs() < 1e-12);
        assert_eq!(metrics.skill(&Metrics::new(&[1.0], &[1.0], None)), None);
    }

    #[test]
    fn scale_is_the_seasonal_change() {
        assert_eq!(naive_scale(&[1.0, 5.0, 2.0, 5.0], 2), Some(0.5));
        assert_eq!(naive_scale(&[1.0, 5.0, 2.0, 5.0, 0.0], 2), Some(1.0));
        assert_eq!(naive_scale(&[1.0, 1.0, 1.0], 1), None);
        assert_eq!(naive_scale(&[1.0], 1), None);
    }
}

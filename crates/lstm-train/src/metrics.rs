//! Errors of forecasts. `y` is what happened, `f` what was forecast.

use serde::{Deserialize, Serialize};

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
        let (mut absolute, mut squared, mut relative) = (0.0, 0.0, 0.0);
        let (mut scaled, mut with_scale, mut count) = (0.0, 0usize, 0usize);
        for (at, (&y, &f)) in actual.iter().zip(forecasts).enumerate().filter(|(_, (y, _))| !y.is_nan()) {
            count += 1;
            let error = (y - f).abs();
            absolute += error;
            squared += error * error;
            if error > 0.0 {
                relative += 200.0 * error / (y.abs() + f.abs());
            }
            if let Some(scale) = scale(at) {
                scaled += error / scale;
                with_scale += 1;
            }
        }
        let n = count.max(1) as f64;
        let mase = (with_scale > 0).then(|| scaled / with_scale as f64);
        Self { mae: absolute / n, rmse: (squared / n).sqrt(), mase, smape: relative / n }
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(naive_scale(&[1.0, 1.0, 1.0], 1), None);
        assert_eq!(naive_scale(&[1.0], 1), None);
    }
}

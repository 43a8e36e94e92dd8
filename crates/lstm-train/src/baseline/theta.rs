//! The Theta method (Assimakopoulos and Nikolopoulos 2000).

use super::decompose::{Kind, indices, line};
use super::{in_unit, minimised, recent};

/// The Theta method, as in the M4 competition: half of what is left of the season's indices is the least squares line,
/// the other half simple exponential smoothing of the values twice as far from that line; the same as smoothing with
/// half the line's slope (Hyndman and Billah 2003).
///
/// ```text
/// z[t] = 2 y[t] - (a + b t),   f[h] = (level of z + a + b (n + h)) / 2,   with the season put on again
/// ```
///
/// The season is taken off where the autocorrelation at its lag is significant at 90 %, in proportion where all values are
/// above 0. Plain data; the state is that of the rows before a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theta {
    season: Option<(usize, Kind)>,
    /// Smoothing factor.
    alpha: f64,
}

impl Theta {
    /// Fits smoothing factor and season to the [`recent`] rows of a history.
    #[must_use]
    pub fn fit(history: &[f64], season: usize) -> Self {
        let (values, _) = in_unit(recent(history, season));
        let kind =
            if values.iter().all(|value| *value > 0.0) { Kind::Multiplicative } else { Kind::Additive };
        let season = is_seasonal(&values, season).then_some((season, kind));
        let doubled = Lines::new(values, season).doubled;
        let (at, _) = minimised(&[0.5], |at| smoothed(&doubled, at[0]).1);
        Self { season, alpha: at[0] }
    }

    /// Forecasts `horizon` values behind a history from its [`recent`] rows; none for an empty one.
    #[must_use]
    pub fn forecast(&self, history: &[f64], horizon: usize) -> Vec<f64> {
        let (values, unit) = in_unit(recent(history, self.season.map_or(1, |(season, _)| season)));
        let rows = values.len()..values.len() + if values.is_empty() { 0 } else { horizon };
        let lines = Lines::new(values, self.season);
        let (level, _) = smoothed(&lines.doubled, self.alpha);
        rows.map(|row| unit * lines.with_season(row, 0.5 * (level + lines.at(row)))).collect()
    }
}

/// A series taken apart.
struct Lines {
    /// The least squares line of the values without their season: intercept and slope.
    straight: (f64, f64),
    /// These values twice as far from it.
    doubled: Vec<f64>,
    /// The season that was taken off.
    season: Option<(Kind, Vec<f64>)>,
}

impl Lines {
    fn new(mut values: Vec<f64>, season: Option<(usize, Kind)>) -> Self {
        let season = season.and_then(|(season, kind)| Some((kind, indices(&values, season, kind)?)));
        if let Some((kind, indices)) = &season {
            values
                .iter_mut()
                .zip(indices.iter().cycle())
                .for_each(|(v, index)| *v = kind.taken_off(*v, *index));
        }
        let mut lines = Self { straight: line(&values), doubled: values, season };
        for row in 0..lines.doubled.len() {
            lines.doubled[row] = 2.0 * lines.doubled[row] - lines.at(row);
        }
        lines
    }

    fn at(&self, row: usize) -> f64 {
        self.straight.0 + self.straight.1 * row as f64
    }

    fn with_season(&self, row: usize, value: f64) -> f64 {
        self.season.as_ref().map_or(value, |(kind, indices)| kind.put_on(value, indices[row % indices.len()]))
    }
}

/// The last level of simple exponential smoothing, `l[t] = l[t-1] + α (y[t] - l[t-1])`, and the sum of squared errors
/// one step ahead. Errors are linear in the first level, `e[t] = a[t] - (1 - α)^t l[0]`, which therefore is that of least
/// squares.
fn smoothed(values: &[f64], alpha: f64) -> (f64, f64) {
    let (mut level, mut share) = (0.0, 1.0);
    let (mut errors, mut products, mut shares) = (0.0, 0.0, 0.0);
    for value in values {
        let error = value - level;
        errors += error * error;
        products += error * share;
        shares += share * share;
        level += alpha * error;
        // Numbers below the normal ones would be slow.
        share = if share < 1e-150 { 0.0 } else { share * (1.0 - alpha) };
    }
    let first = products / f64::max(shares, f64::MIN_POSITIVE);
    (level + share * first, errors - first * products)
}

/// Whether the autocorrelation at the season's lag is above 0 at 90 %, by Bartlett's formula.
fn is_seasonal(values: &[f64], season: usize) -> bool {
    if season < 2 || values.len() < 3 * season {
        return false;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let from_mean: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let product = |lag: usize| from_mean[lag..].iter().zip(&from_mean).map(|(a, b)| a * b).sum::<f64>();
    let variance = product(0);
    let correlation = |lag| product(lag) / variance;
    let squares: f64 = (1..season).map(|lag| correlation(lag).powi(2)).sum();
    correlation(season).abs() > 1.645 * ((1.0 + 2.0 * squares) / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::drift;
    use super::*;

    #[test]
    fn smoothing_begins_where_errors_are_least() {
        let values = [3.0, 5.0, 4.0, 8.0, 7.0];
        let by_hand = |first: f64, alpha: f64| {
            values.iter().fold((first, 0.0), |(level, sum), y| {
                (level + alpha * (y - level), sum + (y - level) * (y - level))
            })
        };
        for alpha in [0.0, 0.3, 1.0] {
            let (level, errors) = smoothed(&values, alpha);
            let tried = (0..=1000).map(|i| by_hand(f64::from(i) * 0.01, alpha));
            let best = tried.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert!((level - best.0).abs() < 0.01 && errors <= best.1 && errors > best.1 - 0.01, "{alpha}");
        }
    }

    #[test]
    fn it_is_smoothing_with_half_the_slope() {
        // On a line without noise the level of the doubled values is the line: half of the slope is left.
        let values: Vec<f64> = (0..50).map(|t| 4.0 + 2.0 * f64::from(t)).collect();
        let theta = Theta::fit(&values, 1);
        let forecast = theta.forecast(&values, 3);
        assert!(theta.alpha > 0.9, "{theta:?}");
        for (f, (h, continued)) in forecast.iter().zip((1..).zip(drift(&values, 3))) {
            assert!((f - (continued - f64::from(h))).abs() < 2.0, "{f} {continued}");
        }
        assert!((forecast[2] - forecast[0] - 2.0).abs() < 1e-9, "{forecast:?}");
    }

    #[test]
    fn a_season_is_taken_off_and_put_on_in_its_kind() {
        let shape = [1.0, 1.4, 0.7, 0.9];
        let in_proportion: Vec<f64> = (0..80).map(|t| 20.0 * shape[t % 4]).collect();
        let below_zero: Vec<f64> = in_proportion.iter().map(|value| value - 20.0).collect();
        for (values, kind) in [(in_proportion, Kind::Multiplicative), (below_zero, Kind::Additive)] {
            let theta = Theta::fit(&values[..79], 4);
            assert_eq!(theta.season, Some((4, kind)));
            for (f, y) in theta.forecast(&values[..79], 5).iter().zip(values[79..].iter().chain(&values[..4]))
            {
                assert!((f - y).abs() < 0.5, "{kind:?}: {f} {y}");
            }
        }
        let noise: Vec<f64> = (0..80).map(|t: u32| f64::from(t * t * 7919 % 83)).collect();
        assert_eq!(Theta::fit(&noise, 4).season, None);
    }

    #[test]
    fn any_history_gives_finite_forecasts() {
        for values in [vec![5.0], vec![0.0; 30], vec![7.0; 30], vec![1e308, -1e308, 1e308], vec![1e-300; 3]] {
            let forecast = Theta::fit(&values, 3).forecast(&values, 4);
            assert!(
                forecast.len() == 4 && forecast.iter().all(|f| f.is_finite()),
                "{values:?}: {forecast:?}"
            );
        }
        assert!(Theta::fit(&[], 3).forecast(&[], 4).is_empty());
        assert_eq!(Theta::fit(&[7.0; 30], 3).forecast(&[7.0; 30], 1), [7.0]);
    }
}

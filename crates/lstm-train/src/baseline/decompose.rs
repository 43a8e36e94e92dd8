//! Classical decomposition of a season: what is left of a series over its moving average, averaged by phase.

/// How a season joins the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Added; a season sums to 0.
    Additive,
    /// Multiplied; a season's mean is 1. For values above 0.
    Multiplicative,
}

impl Kind {
    /// A value without its season.
    pub(super) fn taken_off(self, value: f64, index: f64) -> f64 {
        match self {
            Self::Additive => value - index,
            Self::Multiplicative => value / index,
        }
    }

    /// A value with its season again.
    pub(super) fn put_on(self, value: f64, index: f64) -> f64 {
        match self {
            Self::Additive => value + index,
            Self::Multiplicative => value * index,
        }
    }
}

/// The seasonal index of each phase, `[season]`, phase 0 that of the first value: the mean by phase of `values` over their
/// centred moving average, its ends weighted by half where the season is even. None for fewer than two seasons, and
/// where an index is not what its kind needs.
pub(super) fn indices(values: &[f64], season: usize, kind: Kind) -> Option<Vec<f64>> {
    if season < 2 || values.len() < 2 * season {
        return None;
    }
    let half = season / 2;
    let (mut sums, mut counts) = (vec![0.0; season], vec![0usize; season]);
    // The sum of the whole season that begins at `start`.
    let mut sum: f64 = values[..season].iter().sum();
    for start in 0..=values.len() - season {
        let next = values.get(start + season);
        let average = match (season.is_multiple_of(2), next) {
            (true, Some(next)) => sum + 0.5 * (next - values[start]),
            (true, None) => break,
            (false, _) => sum,
        } / season as f64;
        let middle = start + half;
        sums[middle % season] += kind.taken_off(values[middle], average);
        counts[middle % season] += 1;
        sum += next.unwrap_or(&0.0) - values[start];
    }
    let mut means: Vec<f64> = sums.iter().zip(counts).map(|(sum, count)| sum / count as f64).collect();
    let mean = means.iter().sum::<f64>() / season as f64;
    means.iter_mut().for_each(|index| *index = kind.taken_off(*index, mean));
    let fits = |index: &f64| index.is_finite() && (kind == Kind::Additive || *index > 0.0);
    means.iter().all(fits).then_some(means)
}

/// Intercept and slope of the least squares line through `values` at 0, 1, 2 and so on.
pub(super) fn line(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let (middle, mean) = (0.5 * (n - 1.0), values.iter().sum::<f64>() / n.max(1.0));
    let products = values.iter().enumerate().map(|(t, value)| (t as f64 - middle) * (value - mean));
    let squares = n * (n * n - 1.0) / 12.0;
    let slope = if squares > 0.0 { products.sum::<f64>() / squares } else { 0.0 };
    (mean - slope * middle, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_on_a_line_is_found_exactly() {
        for season in [vec![3.0, -1.0, -2.0], vec![4.0, -1.0, -5.0, 2.0]] {
            let n = season.len();
            let values: Vec<f64> = (0..4 * n + 1).map(|t| 10.0 + 0.5 * t as f64 + season[t % n]).collect();
            let found = indices(&values, n, Kind::Additive).unwrap();
            for (found, index) in found.iter().zip(&season) {
                assert!((found - index).abs() < 1e-12, "{found} {index}");
            }
        }
    }

    #[test]
    fn a_season_in_proportion_is_found_exactly_on_a_level() {
        let season = [0.5, 1.5, 1.25, 0.75];
        let values: Vec<f64> = (0..9).map(|t| 8.0 * season[t % 4]).collect();
        let found = indices(&values, 4, Kind::Multiplicative).unwrap();
        for (found, index) in found.iter().zip(season) {
            assert!((found - index).abs() < 1e-12, "{found} {index}");
            assert_eq!(Kind::Multiplicative.put_on(Kind::Multiplicative.taken_off(3.0, index), index), 3.0);
        }
    }

    #[test]
    fn too_little_has_no_season() {
        let values = [1.0, 2.0, 1.0, 2.0];
        assert!(indices(&values, 2, Kind::Additive).is_some());
        assert!(indices(&values[..3], 2, Kind::Additive).is_none());
        assert!(indices(&values, 1, Kind::Additive).is_none());
        assert!(indices(&[0.0; 8], 2, Kind::Multiplicative).is_none());
        assert!(indices(&[1.0, -1.0, 1.0, -1.0, 1.0], 2, Kind::Multiplicative).is_none());
    }

    #[test]
    fn a_line_is_found_exactly() {
        let values: Vec<f64> = (0..7).map(|t| 2.0 - 3.0 * f64::from(t)).collect();
        let (intercept, slope) = line(&values);
        assert!((intercept - 2.0).abs() < 1e-12 && (slope + 3.0).abs() < 1e-12);
        assert_eq!(line(&[5.0]), (5.0, 0.0));
    }
}

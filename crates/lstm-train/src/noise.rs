//! How much of a series is noise to whoever knows its past: what no forecast can do better than.

use crate::forecaster::Member;

/// Places that are looked at; the time grows with their square.
const PLACES: usize = 2000;
/// Fewer places say nothing.
const FEWEST: usize = 60;
/// Neighbours of each place.
const NEIGHBOURS: usize = 10;
/// Most recent values that are tried as what the next one depends on.
const RECENT: [usize; 3] = [1, 3, 6];

/// What the neighbourhoods of a series say.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseFloor {
    /// Steps ahead.
    pub ahead: usize,
    /// Places it was estimated from.
    pub places: usize,
    /// Distances back of the values that tell most about the one that is forecast.
    pub lags: Vec<usize>,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Root mean square error of the last value as forecast, at the same places.
    pub naive: f64,
    /// That of the value one season before or more, as far back as it is known; none without a season.
    pub seasonal: Option<f64>,
}

impl NoiseFloor {
    /// The share of the better naive forecast's squared error that is not noise.
    #[must_use]
    pub fn learnable(&self) -> f64 {
        let naive = self.seasonal.unwrap_or(f64::INFINITY).min(self.naive);
        if naive > 0.0 { (1.0 - (self.noise / naive).powi(2)).max(0.0) } else { 0.0 }
    }
}

/// The noise of a series `ahead` steps after its last known value, by the Gamma test (Stefánsson, Končar and Jones
/// 1997, "A note on the Gamma test"): of places whose pasts are alike, the outcomes differ by what the pasts explain,
/// which vanishes with their distance, and by the noise. Half the mean square of the differences, drawn over the mean
/// square distance of the first to the tenth neighbour, meets distance 0 at the variance of the noise. The pasts are
/// the last 1, 3 or 6 values, with those around the same place of the season or without, as they are or as
/// differences from the last; the least noise of these counts. Neighbours in time are passed over, as their outcomes
/// share their noise. No more than half of what the nearest differ by is put down to their distance: in a short series
/// even they are far, and the line would promise too much.
///
/// It takes the noise for equally strong everywhere, and what depends on more than these values counts as noise. None
/// for a series that is too short.
#[must_use]
pub fn noise_floor(member: &Member<'_>, season: usize, ahead: usize) -> Option<NoiseFloor> {
    let ahead = ahead.max(1);
    let back = season.max(1) * ahead.div_ceil(season.max(1));
    let around: Vec<usize> = match season {
        0 | 1 => Vec::new(),
        _ => (back.saturating_sub(1).max(ahead)..=back + 1).collect(),
    };
    let mut best: Option<NoiseFloor> = None;
    for recent in RECENT {
        let lags: Vec<usize> = (ahead..ahead + recent).collect();
        let mut sets = vec![lags.clone()];
        if !around.is_empty() {
            let far = around.iter().copied().filter(|lag| !lags.contains(lag));
            sets.push(lags.iter().copied().chain(far).collect());
        }
        for lags in sets {
            for relative in [false, true] {
                // A difference from itself says nothing.
                let inputs = if relative { &lags[1..] } else { &lags[..] };
                let Some(places) = Places::new(member, (&lags, inputs), relative) else { continue };
                let noise = places.gamma().sqrt();
                if best.as_ref().is_none_or(|best| noise < best.noise) {
                    best = Some(NoiseFloor {
                        ahead,
                        places: places.rows.len(),
                        naive: places.error(member, ahead),
                        seasonal: (season > 1).then(|| places.error(member, back)),
                        lags: lags.clone(),
                        noise,
                    });
                }
            }
        }
    }
    best
}

/// Pasts and outcomes at places of a series.
struct Places {
    rows: Vec<usize>,
    /// `[places, width]`.
    pasts: Vec<f64>,
    width: usize,
    outcomes: Vec<f64>,
    /// Places nearer in time than this share their noise.
    apart: usize,
}

impl Places {
    fn new(member: &Member<'_>, (lags, inputs): (&[usize], &[usize]), relative: bool) -> Option<Self> {
        let values = member.values;
        let (first, farthest) = (*lags.first()?, *lags.iter().max()?);
        let usable = values.len().checked_sub(farthest).filter(|usable| *usable >= FEWEST)?;
        if inputs.is_empty() {
            return None;
        }
        let step = usable.div_ceil(PLACES);
        let rows: Vec<usize> =
            (farthest..values.len()).step_by(step).filter(|row| member.is_truth(*row)).collect();
        let origin = |row: usize| if relative { values[row - first] } else { 0.0 };
        let past = |row: usize| inputs.iter().map(move |lag| values[row - lag] - origin(row));
        let pasts = rows.iter().flat_map(|row| past(*row)).collect();
        let outcomes = rows.iter().map(|row| values[*row] - origin(*row)).collect();
        (rows.len() >= FEWEST).then_some(Self {
            rows,
            pasts,
            width: inputs.len(),
            outcomes,
            // Both an outcome and what it is a difference from reach so far into those of others.
            apart: 2 * first,
        })
    }

    /// The variance of the noise.
    fn gamma(&self) -> f64 {
        let (mut delta, mut gamma, mut count) = ([0.0; NEIGHBOURS], [0.0; NEIGHBOURS], 0usize);
        for at in 0..self.rows.len() {
            let Some(nearest) = self.nearest(at) else { continue };
            count += 1;
            for (k, (distance, other)) in nearest.into_iter().enumerate() {
                delta[k] += distance;
                gamma[k] += 0.5 * (self.outcomes[at] - self.outcomes[other]).powi(2);
            }
        }
        let count = count.max(1) as f64;
        let (delta, gamma) = (delta.map(|sum| sum / count), gamma.map(|sum| sum / count));
        // A line drawn much further than to its nearest point is a guess.
        intercept(&delta, &gamma).max(0.5 * gamma[0])
    }

    /// Squared distances and indices of the nearest pasts, the nearest first; none where there are too few.
    fn nearest(&self, at: usize) -> Option<[(f64, usize); NEIGHBOURS]> {
        let here = &self.pasts[at * self.width..][..self.width];
        let mut nearest = [(f64::INFINITY, usize::MAX); NEIGHBOURS];
        for (other, past) in self.pasts.chunks_exact(self.width).enumerate() {
            if self.rows[at].abs_diff(self.rows[other]) < self.apart.max(1) {
                continue;
            }
            let distance: f64 = here.iter().zip(past).map(|(a, b)| (a - b).powi(2)).sum();
            if distance < nearest[NEIGHBOURS - 1].0 {
                let place = nearest.partition_point(|(d, _)| *d <= distance);
                nearest[place..].rotate_right(1);
                nearest[place] = (distance, other);
            }
        }
        (nearest[NEIGHBOURS - 1].1 != usize::MAX).then_some(nearest)
    }

    /// Root mean square error of the value `lag` rows before.
    fn error(&self, member: &Member<'_>, lag: usize) -> f64 {
        let rows = self.rows.iter().filter(|row| **row >= lag);
        let (sum, count) = rows.fold((0.0, 0usize), |(sum, count), row| {
            (sum + (member.values[*row] - member.values[row - lag]).powi(2), count + 1)
        });
        (sum / count.max(1) as f64).sqrt()
    }
}

/// Where the line of least squares meets x = 0; the mean of y where all x are one.
fn intercept(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let spread: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    let both: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    // Outcomes that grow more alike with distance are chance; the mean is then the better guess.
    if spread > 0.0 { my - (both / spread).max(0.0) * mx } else { my }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_tensor::philox::{Philox, Purpose};

    fn floor(values: &[f64], season: usize, ahead: usize) -> NoiseFloor {
        noise_floor(&Member::alone(values), season, ahead).unwrap()
    }

    fn near(found: f64, truth: f64, within: f64) {
        assert!((found / truth - 1.0).abs() < within, "{found} for {truth}");
    }

    #[test]
    fn the_noise_of_known_series_is_found() {
        let mut draws = Philox::new(3, Purpose::Data, 0);
        let mut normal = || draws.normal();
        let white: Vec<f64> = (0..3000).map(|_| 2.0 * normal()).collect();
        near(floor(&white, 1, 1).noise, 2.0, 0.1);
        assert!(floor(&white, 1, 1).learnable() < 0.6, "half of the naive error is its own noise");

        let mut value = 0.0;
        let mut autoregressive = || {
            value = 0.8 * value + 0.5 * normal();
            value
        };
        let series: Vec<f64> = (0..3000).map(|_| autoregressive()).collect();
        near(floor(&series, 1, 1).noise, 0.5, 0.1);
        // Four steps ahead the noise of all four is there: 0.5 sqrt(1 + 0.8^2 + 0.8^4 + 0.8^6).
        near(floor(&series, 1, 4).noise, 0.5 * (1.0f64 + 0.64 + 0.4096 + 0.262_144).sqrt(), 0.15);

        let walk: Vec<f64> = (0..3000)
            .scan(0.0, |at, _| {
                *at += normal();
                Some(*at)
            })
            .collect();
        let found = floor(&walk, 1, 1);
        near(found.noise, 1.0, 0.1);
        assert!(found.learnable() < 0.2, "a random walk: {found:?}");
    }

    #[test]
    fn a_season_below_noise_is_learnable_up_to_the_noise() {
        let mut draws = Philox::new(4, Purpose::Data, 0);
        let wave = |t: usize| 10.0 * (std::f64::consts::TAU * t as f64 / 24.0).sin();
        let values: Vec<f64> = (0..2400).map(|t| wave(t) + 0.5 * draws.normal()).collect();
        for ahead in [1, 24, 30] {
            let found = floor(&values, 24, ahead);
            near(found.noise, 0.5, 0.3);
            near(found.seasonal.unwrap(), 0.5 * 2f64.sqrt(), 0.1);
        }
    }

    #[test]
    fn chaos_is_no_noise() {
        let values: Vec<f64> = (0..2000)
            .scan(0.3, |x, _| {
                *x = 3.9 * *x * (1.0 - *x);
                Some(*x)
            })
            .collect();
        let found = floor(&values, 1, 1);
        assert!(found.noise < 0.05 * found.naive && found.learnable() > 0.99, "{found:?}");
    }

    #[test]
    fn short_and_flat_series_say_what_can_be_said() {
        assert_eq!(noise_floor(&Member::alone(&[1.0; 40]), 1, 1), None);
        let flat = floor(&[5.0; 200], 7, 1);
        assert_eq!((flat.noise, flat.learnable()), (0.0, 0.0));
        let repaired = Member { made: std::slice::from_ref(&(0..150)), ..Member::alone(&[5.0; 200]) };
        assert_eq!(noise_floor(&repaired, 1, 1), None);
    }
}

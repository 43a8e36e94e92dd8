//! Exponential smoothing with trend and season (Holt 1957, Winters 1960) as state space models (Hyndman and others 2008).

use super::decompose::{Kind, indices, line};
use super::{in_unit, minimised, naive, recent};

/// ETS(A, N or Ad, N, A or M): additive errors; no trend or a damped one; no season, an added one or one in proportion.
///
/// ```text
/// e = y - (l + φ b) ∘ s,   l' = l + φ b + α e/w,   b' = φ b + β e/w,   s' = s + γ e/v
/// f[h] = (l + (φ + … + φ^h) b) ∘ s[h]
/// ```
///
/// `∘` adds or multiplies; `w` and `v` are 1, or `s` and `l + φ b` where it multiplies. Which of these models serves a
/// history is settled by the corrected information criterion of Akaike, their factors by least squares; the first state is
/// that of a classical decomposition. Plain data; the state is that of the rows before a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ets {
    shape: Shape,
    alpha: f64,
    beta: f64,
    gamma: f64,
    phi: f64,
}

/// Which of the models.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    trend: bool,
    /// Its length and kind; added with a length of 1 it is none, and its one index stays 0.
    season: (usize, Kind),
}

/// Level, slope, and the season's index of each phase.
#[derive(Clone, Debug)]
struct State {
    level: f64,
    slope: f64,
    season: Vec<f64>,
}

impl Ets {
    /// Fits all models to the [`recent`] rows of a history, and takes the best.
    #[must_use]
    pub fn fit(history: &[f64], season: usize) -> Self {
        let (values, _) = in_unit(recent(history, season));
        let mut seasons = vec![(1, Kind::Additive)];
        if season > 1 {
            seasons.push((season, Kind::Additive));
        }
        if season > 1 && values.iter().all(|value| *value > 0.0) {
            seasons.push((season, Kind::Multiplicative));
        }
        let shapes =
            seasons.into_iter().flat_map(|season| [false, true].map(|trend| Shape { trend, season }));
        let mut best = (f64::INFINITY, Shape::NAIVE.model(&[1.0]));
        for shape in shapes {
            let Some(first) = shape.first(&values) else { continue };
            let (at, errors) =
                minimised(&shape.start(), |at| shape.model(at).run(&values, &mut first.clone()));
            let judged = criterion(errors, values.len(), shape.free());
            if judged < best.0 {
                best = (judged, shape.model(&at));
            }
        }
        best.1
    }

    /// Forecasts `horizon` values behind a history from its [`recent`] rows; none for an empty one.
    #[must_use]
    pub fn forecast(&self, history: &[f64], horizon: usize) -> Vec<f64> {
        let (season, kind) = self.shape.season;
        let (values, unit) = in_unit(recent(history, season));
        let Some(mut state) = self.shape.first(&values) else { return naive(history, horizon) };
        self.run(&values, &mut state);
        let (mut damped, mut steps) = (1.0, 0.0);
        let forecast = |row: usize| {
            damped *= self.phi;
            steps += damped;
            unit * kind.put_on(state.level + steps * state.slope, state.season[row % season])
        };
        (values.len()..values.len() + horizon).map(forecast).collect()
    }

    /// Takes a state through all values; the sum of squared errors one step ahead, infinite where the state is.
    fn run(&self, values: &[f64], state: &mut State) -> f64 {
        let (season, kind) = self.shape.season;
        let mut sum = 0.0;
        let mut phase = 0;
        for y in values {
            let slope = self.phi * state.slope;
            let (level, index) = (state.level + slope, state.season[phase]);
            let error = y - kind.put_on(level, index);
            sum += error * error;
            let (of_level, of_season) = match kind {
                Kind::Additive => (error, error),
                Kind::Multiplicative => (error / index, error / level),
            };
            state.level = level + self.alpha * of_level;
            state.slope = slope + self.beta * of_level;
            state.season[phase] = index + self.gamma * of_season;
            phase = if phase + 1 == season { 0 } else { phase + 1 };
        }
        let sizes =
            state.season.iter().chain([&state.level, &state.slope]).map(|value| value.abs()).sum::<f64>();
        if sizes.is_finite() && sum.is_finite() { sum } else { f64::INFINITY }
    }
}

impl Shape {
    const NAIVE: Self = Self { trend: false, season: (1, Kind::Additive) };

    fn is_seasonal(self) -> bool {
        self.season.0 > 1
    }

    /// Where the search for factors begins, each from 0 to 1: what [`Shape::model`] takes.
    fn start(self) -> Vec<f64> {
        let season = self.is_seasonal().then_some(0.1);
        let trend = self.trend.then_some([0.1, 0.9]);
        [0.3].into_iter().chain(season).chain(trend.into_iter().flatten()).collect()
    }

    /// Within the usual bounds: `β < α`, `γ < 1 - α`, `φ` from 0.8 to 0.98.
    fn model(self, at: &[f64]) -> Ets {
        let mut at = at.iter();
        let mut next = || at.next().copied().unwrap_or(0.0);
        let alpha = next().clamp(1e-4, 0.9999);
        let gamma = if self.is_seasonal() { (1.0 - alpha) * next() } else { 0.0 };
        let (beta, phi) = if self.trend { (alpha * next(), 0.8 + 0.18 * next()) } else { (0.0, 1.0) };
        Ets { shape: self, alpha, beta, gamma, phi }
    }

    /// Numbers that are fitted: factors, the first state, the variance of the errors.
    fn free(self) -> usize {
        // The season's indices are one fewer than its phases, as their mean is known.
        let state = 1 + usize::from(self.trend) + (self.season.0 - 1);
        self.start().len() + state + 1
    }

    /// The state before the first value: the indices of the season, and the line through the first values without it.
    /// None where there are too few.
    fn first(self, values: &[f64]) -> Option<State> {
        let (season, kind) = self.season;
        let indices = if self.is_seasonal() { indices(values, season, kind)? } else { vec![0.0] };
        let begun = values.iter().zip(indices.iter().cycle()).take((2 * season).max(10));
        let plain: Vec<f64> = begun.map(|(value, index)| kind.taken_off(*value, *index)).collect();
        let (intercept, slope) = line(&plain);
        let mean = plain.iter().sum::<f64>() / plain.len() as f64;
        let (level, slope) = if self.trend { (intercept - slope, slope) } else { (mean, 0.0) };
        (!plain.is_empty()).then_some(State { level, slope, season: indices })
    }
}

/// The corrected information criterion of Akaike for a sum of squared errors over `n` values, but for a constant; infinite
/// where there are too few values for so many numbers.
fn criterion(errors: f64, n: usize, free: usize) -> f64 {
    let (n, k) = (n as f64, free as f64);
    if n > k + 1.0 {
        n * (errors / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn season(t: usize) -> f64 {
        [3.0, -1.0, 2.0, -4.0][t % 4]
    }

    /// Small numbers without order.
    fn noise(t: usize) -> f64 {
        ((t * 7919 % 101) as f64 / 101.0 - 0.5) * 0.2
    }

    #[test]
    fn each_model_is_found_in_its_own_series() {
        let proportion = |t: usize| 1.0 + 0.1 * season(t);
        let growth = |t: usize| 20.0 + 0.5 * t as f64;
        let level = |t: usize| 20.0 + noise(t);
        type Series<'a> = &'a dyn Fn(usize) -> f64;
        let cases: [(Series<'_>, Option<Kind>); 3] = [
            (&level, None),
            (&|t| growth(t) + season(t) + noise(t), Some(Kind::Additive)),
            (&|t| growth(t) * proportion(t) + noise(t), Some(Kind::Multiplicative)),
        ];
        for (series, kind) in cases {
            let values: Vec<f64> = (0..90).map(series).collect();
            let ets = Ets::fit(&values[..80], 4);
            assert_eq!(ets.shape.is_seasonal().then_some(ets.shape.season.1), kind, "{ets:?}");
            let range = values.iter().copied().fold(0.0, f64::max);
            for (f, y) in ets.forecast(&values[..80], 10).iter().zip(&values[80..]) {
                assert!((f - y).abs() < 0.05 * range, "{kind:?}: {f} {y}");
            }
        }
    }

    #[test]
    fn states_follow_the_equations() {
        // By hand: one step of ETS(A, Ad, M) with a season of 2.
        let shape = Shape { trend: true, season: (2, Kind::Multiplicative) };
        let ets = Ets { shape, alpha: 0.5, beta: 0.25, gamma: 0.2, phi: 0.9 };
        let mut state = State { level: 10.0, slope: 1.0, season: vec![2.0, 0.5] };
        let sum = ets.run(&[24.0], &mut state);
        let error = 24.0 - 10.9 * 2.0;
        assert!((sum - error * error).abs() < 1e-12);
        assert!((state.level - (10.9 + 0.5 * error / 2.0)).abs() < 1e-12);
        assert!((state.slope - (0.9 + 0.25 * error / 2.0)).abs() < 1e-12);
        assert!((state.season[0] - (2.0 + 0.2 * error / 10.9)).abs() < 1e-12);
        assert_eq!(state.season[1], 0.5);
        // Added, without trend.
        let shape = Shape { trend: false, season: (2, Kind::Additive) };
        let ets = Ets { shape, alpha: 0.5, beta: 0.0, gamma: 0.2, phi: 1.0 };
        let mut state = State { level: 10.0, slope: 0.0, season: vec![2.0, -2.0] };
        let sum = ets.run(&[13.0, 7.5], &mut state);
        assert!((sum - 2.0).abs() < 1e-12 && (state.level - 10.0).abs() < 1e-12, "{sum} {state:?}");
        assert!((state.season[0] - 2.2).abs() < 1e-12 && (state.season[1] + 2.2).abs() < 1e-12);
    }

    #[test]
    fn a_trend_is_damped() {
        let shape = Shape { trend: true, ..Shape::NAIVE };
        let ets = Ets { shape, alpha: 0.5, beta: 0.1, gamma: 0.0, phi: 0.9 };
        let values: Vec<f64> = (0..40).map(|t| 5.0 + 2.0 * f64::from(t)).collect();
        let forecast = ets.forecast(&values, 3);
        let steps: Vec<f64> = forecast.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((steps[1] / steps[0] - 0.9).abs() < 1e-9 && steps[0] > 1.0, "{forecast:?}");
    }

    #[test]
    fn any_history_gives_finite_forecasts() {
        let mut step = vec![0.0; 60];
        step[30..].fill(1e12);
        for values in
            [vec![5.0], vec![0.0; 30], vec![7.0; 30], vec![1e308, -1e308, 1e308], vec![1e-300; 3], step]
        {
            let forecast = Ets::fit(&values, 3).forecast(&values, 4);
            assert!(
                forecast.len() == 4 && forecast.iter().all(|f| f.is_finite()),
                "{values:?}: {forecast:?}"
            );
        }
        assert!(Ets::fit(&[], 3).forecast(&[], 4).is_empty());
        assert_eq!(Ets::fit(&[7.0; 30], 3).forecast(&[7.0; 30], 1), [7.0]);
    }
}

//! How trials are compared, and whose forecasts are averaged: `docs/decisions/0012-means-of-trials.md`.

use super::config::{Aim, ForecastConfig};
use super::mean_of_known;
use super::windows::{Window, Windows};

/// Places of the validation part, and what came there.
pub(super) struct Check {
    pub(super) windows: Vec<Window>,
    /// `[windows, H]`; NaN where nobody knows.
    pub(super) actual: Vec<f64>,
    /// Standard deviation of each window's series.
    spreads: Vec<f64>,
    horizon: usize,
    squared: bool,
}

impl Check {
    /// At most `most` of these windows.
    pub(super) fn new(part: &Windows<'_>, most: usize) -> Self {
        let windows = part.sample(most);
        let ForecastConfig { horizon, loss, .. } = *part.config;
        Self {
            actual: part.actual(&windows),
            spreads: windows.iter().map(|window| part.spread(window.member)).collect(),
            windows,
            horizon,
            squared: loss == Aim::Mse,
        }
    }

    /// Mean error of forecasts `[windows, H]`, in standard deviations of each series: absolute, or squared where that is
    /// what training makes small.
    pub(super) fn error(&self, forecasts: &[f64]) -> f64 {
        mean_of_known(self.actual.iter().zip(forecasts).enumerate().map(|(at, (y, f))| {
            let error = ((y - f) / self.spreads[at / self.horizon]).abs();
            (*y, if self.squared { error * error } else { error })
        }))
    }
}

/// What a trial forecast in the validation part.
pub(super) struct Answer {
    pub(super) check: Check,
    /// Those of its networks, `[windows, H]`; of a head that says more than a point, the middle.
    pub(super) forecasts: Vec<f64>,
    /// Those of the simple forecast that it corrects.
    pub(super) base: Vec<f64>,
    /// Horizons that the validation part holds, of all series together.
    pub(super) horizons: usize,
    /// Rows that a forecast looks back on.
    pub(super) reach: usize,
    /// Whether its training came to an end of its own.
    pub(super) whole: bool,
}

impl Answer {
    /// Whether forecasts of `other` can be averaged with its own wherever it can forecast.
    fn goes_with(&self, other: &Self) -> bool {
        let same_places = self.check.windows == other.check.windows;
        same_places && other.reach <= self.reach && self.whole && other.whole
    }
}

/// The mean of several forecasts of the same places.
pub(super) fn mean<T: AsRef<[f64]>>(forecasts: &[T]) -> Vec<f64> {
    let count = forecasts.len() as f64;
    let values = forecasts.first().map_or(0, |first| first.as_ref().len());
    (0..values).map(|at| forecasts.iter().map(|f| f.as_ref()[at]).sum::<f64>() / count).collect()
}

/// The error of the mean of the forecasts of some trials.
pub(super) fn mean_error(answers: &[&Answer], of: fn(&Answer) -> &[f64]) -> f64 {
    let forecasts: Vec<&[f64]> = answers.iter().map(|answer| of(answer)).collect();
    answers.first().map_or(f64::NAN, |first| first.check.error(&mean(&forecasts)))
}

/// The error that trials, and means of them, are compared by. Training ends where the validation part likes it, so a gain
/// over the base forecast there is partly luck, and mostly where that part holds little: of `n` horizons,
/// `1 - 1 / n²` of it counts.
fn judged(answers: &[&Answer]) -> f64 {
    let base = mean_error(answers, |answer| &answer.base);
    let gain = base - mean_error(answers, |answer| &answer.forecasts);
    let n = answers.first().map_or(1, |first| first.horizons.max(1)) as f64;
    base - gain * (1.0 - 1.0 / (n * n))
}

/// The trials whose forecasts are averaged, by index: the one that is judged best and then, up to `most`, always the one
/// that helps the mean most, as long as it helps (forward selection, as of Caruana and others 2004, without repetition).
/// One whose training was cut short counts only if there is no other.
pub(super) fn chosen(answers: &[&Answer], most: usize) -> Vec<usize> {
    let mut taken: Vec<usize> = Vec::new();
    let mut least = f64::INFINITY;
    let any_whole = answers.iter().any(|answer| answer.whole);
    while taken.len() < most.max(1) {
        let fits = |at: &usize| match taken.first() {
            None => answers[*at].whole || !any_whole,
            Some(first) => !taken.contains(at) && answers[*first].goes_with(answers[*at]),
        };
        let with = |at: usize| {
            let all: Vec<&Answer> = taken.iter().chain([&at]).map(|at| answers[*at]).collect();
            (judged(&all), at)
        };
        let best = (0..answers.len()).filter(fits).map(with).min_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((error, at)) if taken.is_empty() || error < least => {
                taken.push(at);
                least = error;
            }
            _ => break,
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forecasts of four places, of which the truth is 0, and base forecasts that are 1 off.
    fn answer(forecasts: [f64; 4], horizons: usize) -> Answer {
        let windows = (10..14).map(|row| Window { member: 0, row }).collect();
        let check =
            Check { windows, actual: vec![0.0; 4], spreads: vec![1.0; 4], horizon: 1, squared: false };
        let base = vec![1.0; 4];
        Answer { check, forecasts: forecasts.to_vec(), base, horizons, reach: 10, whole: true }
    }

    fn taken(answers: &[Answer], most: usize) -> Vec<usize> {
        chosen(&answers.iter().collect::<Vec<_>>(), most)
    }

    #[test]
    fn errors_that_cancel_are_averaged() {
        let all = [
            answer([0.6, -0.6, 0.6, -0.6], 9),
            answer([0.4, 0.4, -0.4, -0.4], 9),
            // Worse alone, but it errs where the best one does not, and the other way.
            answer([-0.5, -0.5, 0.5, 0.5], 9),
        ];
        assert_eq!(taken(&all, 4), [1, 2]);
        assert_eq!(taken(&all, 1), [1]);
        assert!((mean_error(&[&all[1], &all[2]], |answer| &answer.forecasts) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn a_gain_on_little_counts_for_less() {
        let bold = |horizons| Answer { base: vec![2.0; 4], ..answer([0.5; 4], horizons) };
        let careful = |horizons| answer([0.7; 4], horizons);
        // Of two horizons three quarters count: 2 - 0.75 * 1.5 against 1 - 0.75 * 0.3.
        assert_eq!(taken(&[bold(2), careful(2)], 1), [1]);
        assert_eq!(taken(&[bold(9), careful(9)], 1), [0]);
    }

    #[test]
    fn what_cannot_stand_together_is_not_averaged() {
        let leader = answer([0.4, 0.4, -0.4, -0.4], 9);
        let helpful = || answer([-0.5, -0.5, 0.5, 0.5], 9);
        let mut elsewhere = helpful();
        elsewhere.check.windows[0].row += 1;
        let others = [Answer { reach: 11, ..helpful() }, Answer { whole: false, ..helpful() }, elsewhere];
        for other in others {
            assert_eq!(taken(&[answer([0.4, 0.4, -0.4, -0.4], 9), other], 4), [0]);
        }
        assert_eq!(taken(&[leader, helpful()], 4), [0, 1]);
        assert_eq!(taken(&[Answer { whole: false, ..helpful() }], 4), [0]);
    }
}

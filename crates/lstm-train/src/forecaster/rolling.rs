//! Intervals that learn as the truth becomes known, origin by origin.
//!
//! What split conformal prediction promises holds where new rows are like those that it was calibrated on. Where they are
//! not, the newest scores say more than older ones, and a level that holds too little must be aimed higher. So the margin at
//! each step ahead is a quantile of the last 500 scores that are known there, of level `1 - a`, and `a` follows
//! what happens (adaptive conformal inference, Gibbs and Candès 2021): with `1 - l` the share that may lie outside,
//!
//! ```text
//! a  <-  a + 0.002 (1 - l - [the value came outside])      when it comes
//! ```
//!
//! Nothing is used before it is known: the score of step `h` of a forecast from row `n`, when row `n + h` has come.

use super::evaluation::{Interval, LEVELS, ranked};
use std::collections::VecDeque;

/// Scores of a step that count.
const KEPT: usize = 500;
/// How fast levels follow. With it and `KEPT`, chosen on the validation parts of four series, intervals of 80 % held
/// from 78 to 80 %: docs/forecasting.md.
const RATE: f64 = 0.002;

/// Scores of one forecast value at each of [`LEVELS`].
pub type Scores = [f64; LEVELS.len()];

/// What is known at one step ahead.
#[derive(Clone, Debug, Default)]
struct Step {
    /// In the order in which they came.
    kept: VecDeque<Scores>,
    /// The same by level, rising.
    rising: [Vec<f64>; LEVELS.len()],
    /// The share `a` that is aimed to lie outside.
    outside: Scores,
    /// Whose truth has not come: when it will, the score, and whether it lies outside.
    waiting: VecDeque<(i64, Scores, [bool; LEVELS.len()])>,
}

impl Step {
    fn keep(&mut self, scores: Scores, most: usize) {
        if scores.iter().any(|score| score.is_nan()) {
            return;
        }
        let old = (self.kept.len() == most).then(|| self.kept.pop_front()).flatten();
        for (level, rising) in self.rising.iter_mut().enumerate() {
            let place = |rising: &[f64], score: f64| rising.partition_point(|other| *other < score);
            if let Some(old) = old {
                rising.remove(place(rising, old[level]));
            }
            rising.insert(place(rising, scores[level]), scores[level]);
        }
        self.kept.push_back(scores);
    }
}

/// The margins of one method's intervals over the origins of a panel, in the order of time.
#[derive(Clone, Debug)]
pub struct Rolling {
    horizon: usize,
    /// One for each step ahead, or one for all.
    steps: Vec<Step>,
    /// Scores that count in each.
    most: usize,
}

impl Rolling {
    /// From the scores of rows that are known, `[windows, H]` in the order of time: those of the validation part. The steps
    /// are pooled where there are fewer than 30 windows, as in [`Interval::new`].
    #[must_use]
    pub fn new(known: &[Scores], horizon: usize) -> Self {
        let pooled = Interval::pools(known.len(), horizon);
        let outside = LEVELS.map(|level| 1.0 - level);
        let steps = vec![Step { outside, ..Step::default() }; if pooled { 1 } else { horizon }];
        let most = if pooled { KEPT * horizon } else { KEPT };
        let mut rolling = Self { horizon, steps, most };
        for (at, scores) in known.iter().enumerate() {
            let step = rolling.step_of(at % horizon);
            rolling.steps[step].keep(*scores, most);
        }
        rolling
    }

    fn step_of(&self, h: usize) -> usize {
        if self.steps.len() == 1 { 0 } else { h }
    }

    /// The margins of forecasts whose first row is `now`, on any count of rows that all series of the panel share.
    pub fn margins(&mut self, now: i64) -> Interval {
        let rate = RATE * self.steps.len() as f64 / self.horizon as f64;
        for step in &mut self.steps {
            // Where steps are pooled, later ones are not in order.
            let (come, waiting) =
                std::mem::take(&mut step.waiting).into_iter().partition(|(row, ..)| *row < now);
            step.waiting = waiting;
            let come: VecDeque<_> = come;
            for (_, scores, missed) in come {
                for (level, outside) in step.outside.iter_mut().enumerate() {
                    let aim = 1.0 - LEVELS[level];
                    *outside = (*outside + rate * (aim - f64::from(u8::from(missed[level])))).clamp(0.0, 1.0);
                }
                step.keep(scores, self.most);
            }
        }
        let margin = |level: usize| {
            let of = |step: &Step| ranked(&step.rising[level], 1.0 - step.outside[level]);
            (0..self.horizon).map(|h| of(&self.steps[self.step_of(h)])).collect()
        };
        Interval { margin: (0..LEVELS.len()).map(margin).collect() }
    }

    /// Takes the scores `[H]` of a forecast whose first row is `now`, made with these margins; they count when their rows
    /// have come. Where a score is NaN nobody knows.
    pub fn take(&mut self, now: i64, scores: &[Scores], margins: &Interval) {
        for (h, scores) in scores.iter().enumerate().filter(|(_, scores)| !scores[0].is_nan()) {
            let step = self.step_of(h);
            let missed = std::array::from_fn(|level| scores[level] > margins.margin[level][h]);
            self.steps[step].waiting.push_back((now + h as i64, *scores, missed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores like those of errors that are `size` times a fixed set of numbers between 0 and 1.
    fn scores(row: usize, size: f64) -> Scores {
        [size * ((row * 7919 % 1009) as f64 / 1009.0); LEVELS.len()]
    }

    /// Forecasts of 2 steps from row after row, whose errors have sizes that `of` says; shares inside, by level.
    fn roll(rows: usize, of: impl Fn(usize) -> f64) -> Scores {
        let known: Vec<Scores> = (0..400).map(|row| scores(row, 1.0)).collect();
        let mut rolling = Rolling::new(&known, 2);
        let mut inside = [0.0; LEVELS.len()];
        for row in 0..rows {
            let margins = rolling.margins(row as i64);
            // The score of a row is the same whichever forecast it belongs to.
            let came = [0, 1].map(|h| scores(row + h, of(row + h)));
            for (h, scores) in came.iter().enumerate() {
                for level in 0..LEVELS.len() {
                    inside[level] +=
                        f64::from(u8::from(scores[level] <= margins.margin[level][h])) / (2 * rows) as f64;
                }
            }
            rolling.take(row as i64, &came, &margins);
        }
        inside
    }

    #[test]
    fn intervals_hold_what_they_should_where_errors_grow() {
        let fixed = roll(2000, |_| 1.0);
        let grown = roll(2000, |row| 1.0 + row as f64 / 500.0);
        for (level, aim) in LEVELS.into_iter().enumerate() {
            assert!((fixed[level] - aim).abs() < 0.02, "{fixed:?}");
            // Calibrated once, they would hold 25, 40 and 48 %.
            assert!((grown[level] - aim).abs() < 0.06, "{grown:?}");
        }
    }

    #[test]
    fn nothing_counts_before_it_is_known() {
        let known = vec![[1.0; LEVELS.len()]; 60];
        let mut rolling = Rolling::new(&known, 2);
        let first = rolling.margins(10);
        rolling.take(10, &[[9.0; LEVELS.len()], [5.0; LEVELS.len()]], &first);
        assert_eq!(rolling.margins(10), first);
        let at = |rolling: &Rolling, h: usize| rolling.steps[h].rising[0].last().copied().unwrap();
        // Row 10 has come before row 11 is forecast, row 11 has not.
        rolling.margins(11);
        assert_eq!([at(&rolling, 0), at(&rolling, 1)], [9.0, 1.0]);
        rolling.margins(12);
        assert_eq!([at(&rolling, 0), at(&rolling, 1)], [9.0, 5.0]);
        assert!(rolling.steps[0].outside[1] < 1.0 - LEVELS[1]);
    }

    #[test]
    fn old_scores_are_forgotten_and_unknown_ones_never_count() {
        let mut rolling = Rolling::new(&vec![[1.0; LEVELS.len()]; 60], 1);
        for row in 0..600 {
            let margins = rolling.margins(row);
            let score = if row % 2 == 0 { 3.0 } else { f64::NAN };
            rolling.take(row, &[[score; LEVELS.len()]], &margins);
        }
        rolling.margins(600);
        let step = &rolling.steps[0];
        assert_eq!((step.kept.len(), step.rising[0].len()), (360, 360));
        for row in 600..1000 {
            let margins = rolling.margins(row);
            rolling.take(row, &[[2.0; LEVELS.len()]], &margins);
        }
        rolling.margins(1000);
        let step = &rolling.steps[0];
        assert_eq!((step.rising[0].first(), step.rising[0].last()), (Some(&2.0), Some(&3.0)));
        assert_eq!((step.kept.len(), step.rising[2].len()), (KEPT, KEPT));
    }
}

//! Intervals that learn as the truth becomes known, origin by origin.
//!
//! What split conformal prediction promises holds where new rows are like those that it was calibrated on. Where they are
//! not, the newest scores say more than older ones, and a level that holds too little must be aimed higher. So the margin at
//! each step ahead is a quantile of the last 500 scores that are known there, of level `1 - a`, and `a` follows
//! what happens (adaptive conformal inference, Gibbs and Candès 2021): with `1 - l` the share that may lie outside,
//!
//! ```text
//! a  <-  a + 0.002 (1 - l - [the share of the values of a row that came outside])      when the row comes
//! ```
//!
//! Nothing is used before it is known: the score of step `h` of a forecast from row `n`, when row `n + h` has come. The
//! series of a panel share margins, so a row has as many scores as there are series, and all of them make one step of
//! `a`: each by itself would make steps that are too long for what comes so late.

use super::evaluation::{Interval, LEVELS, ranked};
use std::collections::VecDeque;

/// Scores of a series and step that count.
const KEPT: usize = 500;
/// Scores of a step that count where there are several series, unless these are more.
const TOGETHER: usize = 4096;
/// How fast levels follow. With it and `KEPT`, chosen on the validation parts of four series, intervals of 80 % held
/// from 78 to 80 %: docs/forecasting.md.
const RATE: f64 = 0.002;

/// Scores of one forecast value at each of [`LEVELS`].
pub type Scores = [f64; LEVELS.len()];

/// A forecast value whose truth has not come.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When it will.
    row: i64,
    scores: Scores,
    missed: [bool; LEVELS.len()],
}

/// What is known at one step ahead.
#[derive(Clone, Debug, Default)]
struct Step {
    /// In the order in which they came.
    kept: VecDeque<Scores>,
    /// The same by level, rising; one list where all levels have the same.
    rising: Vec<Vec<f64>>,
    /// The share `a` that is aimed to lie outside.
    outside: Scores,
    waiting: VecDeque<Waiting>,
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

    /// Those whose truth has come, in the order of time.
    fn come(&mut self, now: i64, in_order: bool) -> Vec<Waiting> {
        if in_order {
            let known = self.waiting.partition_point(|waiting| waiting.row < now);
            return self.waiting.drain(..known).collect();
        }
        let (mut come, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.row < now);
        self.waiting = waiting.into();
        come.sort_by_key(|waiting| waiting.row);
        come
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
    /// From the scores of rows that are known, `[windows, H]` in the order of time, those of the validation part, of so many
    /// series. The steps are pooled where there are fewer than 30 windows, as in [`Interval::new`].
    #[must_use]
    pub fn new(known: &[Scores], horizon: usize, series: usize) -> Self {
        let pooled = Interval::pools(known.len(), horizon);
        let outside = LEVELS.map(|level| 1.0 - level);
        let same = known.iter().flatten().zip(known.iter().flat_map(|scores| [scores[0]; LEVELS.len()]));
        let lists = if same.clone().all(|(a, b)| a.to_bits() == b.to_bits()) { 1 } else { LEVELS.len() };
        let step = Step { outside, rising: vec![Vec::new(); lists], ..Step::default() };
        let steps = vec![step; if pooled { 1 } else { horizon }];
        let of_row = series * if pooled { horizon } else { 1 };
        let most = (KEPT * of_row).min(TOGETHER.max(KEPT)).max(of_row);
        let mut rolling = Self { horizon, steps, most };
        for (at, scores) in known.iter().enumerate() {
            let step = rolling.step_of(at % horizon);
            rolling.steps[step].keep(*scores, most);
        }
        rolling
    }

    /// The same for a model that takes over from another one: the levels go on, and what was forecast before still counts
    /// as inside or outside when it comes. The scores of the other model do not.
    #[must_use]
    pub fn after(mut self, other: &Self) -> Self {
        if self.steps.len() == other.steps.len() {
            for (step, other) in self.steps.iter_mut().zip(&other.steps) {
                step.outside = other.outside;
                let unscored = |waiting: &Waiting| Waiting { scores: [f64::NAN; LEVELS.len()], ..*waiting };
                step.waiting = other.waiting.iter().map(unscored).collect();
            }
        }
        self
    }

    fn step_of(&self, h: usize) -> usize {
        if self.steps.len() == 1 { 0 } else { h }
    }

    /// The margins of forecasts whose first row is `now`, on any count of rows that all series of the panel share.
    pub fn margins(&mut self, now: i64) -> Interval {
        let in_order = self.steps.len() == self.horizon;
        for step in &mut self.steps {
            for row in step.come(now, in_order).chunk_by(|a, b| a.row == b.row) {
                for (level, outside) in step.outside.iter_mut().enumerate() {
                    let missed = row.iter().filter(|value| value.missed[level]).count();
                    let share = missed as f64 / row.len() as f64;
                    *outside = (*outside + RATE * (1.0 - LEVELS[level] - share)).clamp(0.0, 1.0);
                }
                row.iter().for_each(|value| step.keep(value.scores, self.most));
            }
        }
        let margin = |level: usize| {
            let of = |step: &Step| {
                ranked(&step.rising[level.min(step.rising.len() - 1)], 1.0 - step.outside[level])
            };
            (0..self.horizon).map(|h| of(&self.steps[self.step_of(h)])).collect()
        };
        Interval { margin: (0..LEVELS.len()).map(margin).collect() }
    }

    /// Takes the scores of step `h` of a forecast whose first row is `now`, and which intervals it missed; they count when
    /// that row has come. Where a score is NaN nobody knows.
    pub fn take(&mut self, now: i64, h: usize, scores: Scores, missed: [bool; LEVELS.len()]) {
        if scores.iter().all(|score| !score.is_nan()) {
            let step = self.step_of(h);
            self.steps[step].waiting.push_back(Waiting { row: now + h as i64, scores, missed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number between 0 and 1.
    fn number(row: usize, series: usize) -> f64 {
        ((row * 7919 + series * 104_729) % 1009) as f64 / 1009.0
    }

    fn take(rolling: &mut Rolling, now: i64, came: &[f64], margins: &Interval) {
        for (h, score) in came.iter().enumerate() {
            let missed = std::array::from_fn(|level| *score > margins.margin[level][h]);
            rolling.take(now, h, [*score; LEVELS.len()], missed);
        }
    }

    /// Forecasts of `horizon` steps from row after row of `series` alike, whose errors have sizes that `of` says; shares
    /// inside by level, of all and least and most of 20 rows in a row.
    fn roll(
        (rows, horizon, series): (usize, usize, usize),
        of: impl Fn(usize) -> f64,
    ) -> [(f64, f64, f64); LEVELS.len()] {
        let known: Vec<Scores> = (0..400 * horizon)
            .flat_map(|row| (0..series).map(move |s| [number(row, s); LEVELS.len()]))
            .collect();
        let mut rolling = Rolling::new(&known, horizon, series);
        let mut inside = vec![[0.0; LEVELS.len()]; rows];
        for row in 0..rows {
            let margins = rolling.margins(row as i64);
            for s in 0..series {
                // The score of a row is the same whichever forecast it belongs to.
                let came: Vec<f64> = (row..row + horizon).map(|row| of(row) * number(row, s)).collect();
                for (h, score) in came.iter().enumerate() {
                    for (level, inside) in inside[row].iter_mut().enumerate() {
                        let is_inside = *score <= margins.margin[level][h];
                        *inside += f64::from(u8::from(is_inside)) / (series * horizon) as f64;
                    }
                }
                take(&mut rolling, row as i64, &came, &margins);
            }
        }
        std::array::from_fn(|level| {
            let mean = |rows: &[Scores]| rows.iter().map(|row| row[level]).sum::<f64>() / rows.len() as f64;
            let parts = || inside.chunks_exact(20).map(mean);
            (mean(&inside), parts().fold(1.0, f64::min), parts().fold(0.0, f64::max))
        })
    }

    #[test]
    fn intervals_hold_what_they_should_where_errors_grow() {
        let fixed = roll((2000, 2, 1), |_| 1.0);
        let grown = roll((2000, 2, 1), |row| 1.0 + row as f64 / 500.0);
        for (level, aim) in LEVELS.into_iter().enumerate() {
            assert!((fixed[level].0 - aim).abs() < 0.02, "{fixed:?}");
            // Calibrated once, they would hold 25, 40 and 48 %.
            assert!((grown[level].0 - aim).abs() < 0.06, "{grown:?}");
        }
    }

    #[test]
    fn many_series_that_are_known_late_do_not_make_intervals_swing() {
        // All series have hard days and easy ones together.
        let common = |row: usize| 1.0 + 0.2 * (number(row, 3) - 0.5);
        for (rows, horizon, series) in [(300, 24, 40), (120, 1, 600)] {
            let shares = roll((rows, horizon, series), common);
            for (level, aim) in LEVELS.into_iter().enumerate() {
                let (all, least, most) = shares[level];
                assert!((all - aim).abs() < 0.03 && least > aim - 0.12 && most < aim + 0.12, "{shares:?}");
            }
        }
    }

    #[test]
    fn nothing_counts_before_it_is_known() {
        let known = vec![[1.0; LEVELS.len()]; 60];
        let mut rolling = Rolling::new(&known, 2, 1);
        let first = rolling.margins(10);
        take(&mut rolling, 10, &[9.0, 5.0], &first);
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
    fn a_model_that_takes_over_goes_on_with_the_levels_alone() {
        let known = vec![[1.0; LEVELS.len()]; 60];
        let mut old = Rolling::new(&known, 2, 1);
        for row in 0..50 {
            let margins = old.margins(row);
            take(&mut old, row, &[10.0 + row as f64; 2], &margins);
        }
        let mut new = Rolling::new(&known, 2, 1).after(&old);
        assert_eq!(new.steps[1].outside, old.steps[1].outside);
        let before = new.steps[1].outside[1];
        assert_eq!(new.margins(52).margin, vec![vec![1.0; 2]; LEVELS.len()]);
        // Rows 49 and 50 had not come; both were missed.
        assert!((before - new.steps[1].outside[1] - 2.0 * RATE * LEVELS[1]).abs() < 1e-12);
    }

    #[test]
    fn old_scores_are_forgotten_and_unknown_ones_never_count() {
        let mut rolling = Rolling::new(&vec![[1.0; LEVELS.len()]; 60], 1, 1);
        for row in 0..600 {
            let margins = rolling.margins(row);
            let score = if row % 2 == 0 { 3.0 } else { f64::NAN };
            take(&mut rolling, row, &[score], &margins);
        }
        rolling.margins(600);
        let step = &rolling.steps[0];
        assert_eq!((step.kept.len(), step.rising[0].len()), (360, 360));
        for row in 600..1000 {
            let margins = rolling.margins(row);
            take(&mut rolling, row, &[2.0], &margins);
        }
        rolling.margins(1000);
        let step = &rolling.steps[0];
        assert_eq!((step.rising[0].first(), step.rising[0].last()), (Some(&2.0), Some(&3.0)));
        assert_eq!((step.kept.len(), step.rising.last().unwrap().len()), (KEPT, KEPT));
    }
}

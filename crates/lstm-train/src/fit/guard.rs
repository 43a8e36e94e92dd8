//! When a training has gone wrong, and what has been done about it.

use serde::{Deserialize, Serialize};

/// What is done where a training goes wrong.
///
/// A step whose loss or gradient is no finite number is skipped: weights and moments stay, the data go on. After
/// [`Guard::bad_steps`] of them in a row, or [`Guard::jump_steps`] steps in a row whose loss is over [`Guard::jump`] times
/// the best, or where weights or a validation are no finite numbers, training goes back to the last state that is known
/// to be good, and goes on from there with half the learning rate. Where that was done [`Guard::rollbacks`] times
/// already, it ends with [`Error::Diverged`](crate::Error::Diverged).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Guard {
    /// Bad steps in a row that make training go back.
    pub bad_steps: u32,
    /// How many times the best loss is too much; without it no finite loss is, nor where losses are likelihoods, which may
    /// lie below 0.
    pub jump: Option<f64>,
    /// Steps in a row with such a loss that make training go back. Where the data come in one order, an epoch at least:
    /// a hard stretch of them is no jump.
    pub jump_steps: u64,
    /// How often training goes back at most.
    pub rollbacks: u32,
}

impl Default for Guard {
    /// Three bad steps; ten times the best loss for 100 steps; back three times at most.
    fn default() -> Self {
        Self { bad_steps: 3, jump: Some(10.0), jump_steps: 100, rollbacks: 3 }
    }
}

impl Guard {
    /// The first bad step ends training, and no finite loss does: what a training does by itself.
    #[must_use]
    pub const fn off() -> Self {
        Self { bad_steps: 1, jump: None, jump_steps: 1, rollbacks: 0 }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A batch of so many samples, or the whole set, has a loss that others can be held against.
const TELLING: usize = 16;

/// What has gone wrong so far, and the losses that later ones are held against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Setbacks {
    /// Steps that were skipped, whatever was gone back over since.
    pub skipped: u64,
    /// Those in a row up to the last step.
    pub in_a_row: u32,
    /// How often training went back; so often the rate is halved.
    pub rollbacks: u32,
    /// The best loss: the least mean over as many steps in a row as make a jump. Until there is one, the first loss,
    /// where its batch is large enough to tell.
    pub best: Option<f64>,
    /// Sum of the losses since the last such mean.
    pub sum: f64,
    /// Steps in that sum.
    pub count: u64,
    /// Steps in a row, up to the last one, with a loss that is too high.
    pub high: u64,
}

impl Setbacks {
    /// Takes note of a finite loss, of a batch of `rows` out of `samples`; whether it makes `steps` too high ones in a
    /// row.
    pub(super) fn note(
        &mut self,
        (guard, steps): (&Guard, u64),
        loss: f64,
        (rows, samples): (usize, Option<usize>),
    ) -> bool {
        self.in_a_row = 0;
        let Some(factor) = guard.jump else { return false };
        let too_much = self.best.is_some_and(|best| best > 0.0 && loss > factor * best);
        self.high = if too_much { self.high + 1 } else { 0 };
        if self.best.is_none() && (rows >= TELLING || samples == Some(rows)) {
            self.best = Some(loss);
        }
        (self.sum, self.count) = (self.sum + loss, self.count + 1);
        if self.count >= steps {
            let mean = self.sum / self.count as f64;
            self.best = Some(self.best.map_or(mean, |best| best.min(mean)));
            (self.sum, self.count) = (0.0, 0);
        }
        self.high >= steps
    }

    /// Takes note of a step that is skipped.
    pub(super) fn skip(&mut self) {
        (self.skipped, self.in_a_row) = (self.skipped + 1, self.in_a_row + 1);
    }

    /// Takes note of going back.
    pub(super) fn go_back(&mut self) {
        let Self { skipped, rollbacks, best, .. } = *self;
        *self = Self { skipped, rollbacks: rollbacks + 1, best, ..Self::default() };
    }

    /// What every learning rate is multiplied by.
    pub(super) fn rate_factor(&self) -> f64 {
        (0..self.rollbacks).fold(1.0, |factor, _| 0.5 * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step, from 1, whose loss is the one too many.
    fn jumps_at(losses: impl IntoIterator<Item = f64>, rows: usize) -> Option<usize> {
        let (guard, mut setbacks) = (Guard { jump_steps: 5, ..Guard::default() }, Setbacks::default());
        let note = |loss| setbacks.note((&guard, 5), loss, (rows, Some(100)));
        losses.into_iter().position(note).map(|at| at + 1)
    }

    #[test]
    fn a_loss_jumps_where_it_stays_over_ten_times_the_best_mean() {
        let calm = [2.0, 0.5, 0.5, 1.5, 0.5];
        let then = |loss, count| calm.into_iter().chain(std::iter::repeat_n(loss, count));
        assert_eq!(jumps_at(then(10.1, 9), 1), Some(10), "the best is the mean, 1");
        assert_eq!(jumps_at(then(10.1, 4), 1), None);
        assert_eq!(jumps_at(then(10.0, 50), 1), None);
        assert_eq!(jumps_at(then(10.1, 4).chain([9.0]).chain([10.1; 4]), 1), None, "not in a row");
        assert_eq!(jumps_at(then(10.1, 4).chain([9.0]).chain([10.1; 5]), 1), Some(15));
    }

    #[test]
    fn the_first_loss_counts_where_its_batch_tells() {
        let explodes = || std::iter::once(1.0).chain(std::iter::repeat_n(1e6, 20));
        assert_eq!(jumps_at(explodes(), 16), Some(6));
        assert_eq!(jumps_at(explodes(), 100), Some(6));
        assert_eq!(jumps_at(explodes(), 15), None, "the first mean of five is high itself");
        assert_eq!(jumps_at([0.0; 6].into_iter().chain([1.0; 20]), 16), None, "no multiple of nothing");
    }

    #[test]
    fn going_back_forgets_the_row_and_keeps_the_count() {
        let mut setbacks = Setbacks { best: Some(1.0), sum: 3.0, count: 2, high: 4, ..Setbacks::default() };
        setbacks.skip();
        setbacks.skip();
        setbacks.go_back();
        let left = Setbacks { skipped: 2, rollbacks: 1, best: Some(1.0), ..Setbacks::default() };
        assert_eq!(setbacks, left);
        setbacks.go_back();
        assert_eq!(setbacks.rate_factor(), 0.25);
    }
}

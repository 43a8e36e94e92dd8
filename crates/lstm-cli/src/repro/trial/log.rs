//! The losses of a run: which are kept, and what the last of them are on the mean.

use lstm_train::Progress;

use super::super::cell::rounded;
use super::super::experiment::{Log, Training};
use super::mean;

/// Steps that the final loss is the mean of where every step is seen: the loss of one batch is noisy.
const LAST: usize = 50;

/// Takes down what a run reports.
pub(super) struct LossLog {
    log: Log,
    every: u64,
    /// Step and loss.
    pub(super) kept: Vec<(u64, f64)>,
    /// Step and error on what is not trained on.
    pub(super) validations: Vec<(u64, f64)>,
    last: Vec<f64>,
}

impl LossLog {
    pub(super) fn new(training: &Training) -> Self {
        let Training { log, log_every, .. } = *training;
        LossLog { log, every: log_every, kept: Vec::new(), validations: Vec::new(), last: Vec::new() }
    }

    pub(super) fn note(&mut self, report: &Progress) {
        let (step, loss) = match self.log {
            Log::Before => (report.step - 1, report.last_loss),
            Log::After => (report.step, report.last_loss),
            Log::Mean => (report.step, report.loss),
        };
        // A run may end between two steps whose losses are kept.
        if step.is_multiple_of(self.every) {
            self.kept.push((step, rounded(loss)));
        }
        let room = if self.log == Log::Before { LAST } else { 1 };
        if self.last.len() == room {
            self.last.remove(0);
        }
        self.last.push(report.loss);
        self.validations.extend(report.validation.map(|value| (report.step, rounded(value))));
    }

    /// The mean of the last losses before their updates: of [`LAST`], or of those since the report before.
    pub(super) fn final_loss(&self) -> f64 {
        mean(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(log: Log, every: u64) -> LossLog {
        LossLog { log, every, kept: Vec::new(), validations: Vec::new(), last: Vec::new() }
    }

    fn report(step: u64, loss: f64, last_loss: f64) -> Progress {
        let (max_steps, epoch, samples, learning_rate) = (0, 0, 0, 0.0);
        Progress {
            step,
            max_steps,
            epoch,
            samples,
            loss,
            last_loss,
            validation: Some(loss),
            learning_rate,
            skipped: 0,
            rollbacks: 0,
        }
    }

    #[test]
    fn single_losses_count_from_step_0() {
        let mut log = log(Log::Before, 50);
        (1..=120).for_each(|step| log.note(&report(step, step as f64, step as f64)));
        assert_eq!(log.kept, [(0, 1.0), (50, 51.0), (100, 101.0)]);
        assert!((log.final_loss() - 95.5).abs() < 1e-12, "the mean of 71 to 120: {}", log.final_loss());
    }

    #[test]
    fn what_stands_between_two_steps_is_not_kept() {
        for (kind, kept) in [(Log::After, [(20, 2.0), (40, 4.0)]), (Log::Mean, [(20, 1.0), (40, 3.0)])] {
            let mut log = log(kind, 20);
            [report(20, 1.0, 2.0), report(40, 3.0, 4.0), report(55, 5.0, 6.0)]
                .iter()
                .for_each(|r| log.note(r));
            assert_eq!((&log.kept[..], log.final_loss()), (&kept[..], 5.0));
            assert_eq!(log.validations, [(20, 1.0), (40, 3.0), (55, 5.0)]);
        }
    }
}

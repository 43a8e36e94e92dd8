//! States of a training, plain data.

use super::{FitConfig, Setbacks};
use lstm_optim::OptimizerState;
use lstm_tensor::Float;
use serde::{Deserialize, Serialize};

/// The best weights that a validation has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best<F> {
    /// Optimizer steps taken then.
    pub step: u64,
    /// What the validation gave.
    pub value: f64,
    /// Parameters as they lie in the arena.
    pub params: Vec<F>,
}

/// A state at a check, to which training can go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<F> {
    /// Parameters as they lie in the arena.
    pub params: Vec<F>,
    /// Moments and counters; no moments where training never goes back.
    pub optimizer: OptimizerState<F>,
    /// Epoch.
    pub epoch: u32,
    /// Samples of the epoch that had been used.
    pub index: usize,
    /// Validations since the best one.
    pub strikes: u32,
}

/// All that a run needs to go on exactly where it stood, plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainState<F> {
    /// Settings of the run; another run's state is refused.
    pub config: FitConfig,
    /// Samples of the finite set it trains on.
    pub samples: Option<usize>,
    /// Parameters as they lie in the arena.
    pub params: Vec<F>,
    /// The last check whose weights gave good losses up to the next one; before there is one, the beginning.
    pub proven: Option<Snapshot<F>>,
    /// The last check, if losses were good then.
    pub unproven: Option<Snapshot<F>>,
    /// Moments and counters; the schedule follows from the counters.
    pub optimizer: OptimizerState<F>,
    /// Current epoch.
    pub epoch: u32,
    /// Samples of the current epoch that have been used.
    pub index: usize,
    /// Best validation so far.
    pub best: Option<Best<F>>,
    /// Validations since the best one.
    pub strikes: u32,
    /// Sum of the losses since the last report.
    pub loss_sum: f64,
    /// Steps in that sum.
    pub loss_count: u64,
    /// Loss of the last batch that was not skipped; none before the first.
    pub last_loss: Option<f64>,
    /// [`Progress::last_loss`](super::Progress::last_loss) of the last report.
    pub reported: Option<f64>,
    /// What has gone wrong so far.
    pub setbacks: Setbacks,
}

/// Gives an array in the place of another, by its name.
pub(crate) type Replace<'a, 's, F, G, E> =
    &'a mut dyn FnMut(String, &'s [F]) -> std::result::Result<Vec<G>, E>;

impl<F> TrainState<F> {
    /// The same state with other arrays: `each` is given their names and what they hold.
    ///
    /// # Errors
    /// The first of `each`.
    pub(crate) fn map<'s, G, E>(
        &'s self,
        each: Replace<'_, 's, F, G, E>,
    ) -> std::result::Result<TrainState<G>, E> {
        let best = match &self.best {
            Some(best) => {
                let params = each("best".into(), &best.params)?;
                Some(Best { step: best.step, value: best.value, params })
            }
            None => None,
        };
        let mut snapshot = |name: &str, there: &'s Option<Snapshot<F>>| {
            let Some(there) = there else { return Ok(None) };
            Ok(Some(Snapshot {
                params: each(name.into(), &there.params)?,
                optimizer: map_moments(&there.optimizer, &format!("{name}."), each)?,
                epoch: there.epoch,
                index: there.index,
                strikes: there.strikes,
            }))
        };
        Ok(TrainState {
            proven: snapshot("proven", &self.proven)?,
            unproven: snapshot("unproven", &self.unproven)?,
            config: self.config.clone(),
            samples: self.samples,
            params: each("params".into(), &self.params)?,
            optimizer: map_moments(&self.optimizer, "", each)?,
            epoch: self.epoch,
            index: self.index,
            best,
            strikes: self.strikes,
            loss_sum: self.loss_sum,
            loss_count: self.loss_count,
            last_loss: self.last_loss,
            reported: self.reported,
            setbacks: self.setbacks.clone(),
        })
    }
}

fn map_moments<'s, F, G, E>(
    state: &'s OptimizerState<F>,
    prefix: &str,
    each: Replace<'_, 's, F, G, E>,
) -> std::result::Result<OptimizerState<G>, E> {
    let moments = state.moments.iter().enumerate();
    let moments = moments.map(|(index, values)| each(format!("{prefix}moment.{index}"), values));
    Ok(OptimizerState {
        step: state.step,
        samples: state.samples,
        skipped: state.skipped,
        moments: moments.collect::<std::result::Result<_, _>>()?,
    })
}

/// Whether all of them are finite; without a branch in the middle, so that it costs next to nothing.
pub(super) fn all_finite<F: Float>(values: &[F]) -> bool {
    values.chunks(256).all(|part| part.iter().fold(true, |all, value| all & value.is_finite()))
}

//! Dropout: which elements fall, forward and backward, and what that depends on.

use super::{hold, stack as laws, within};
use crate::case::{Kind, StackCase};
use crate::run::infer;
use crate::strategies::{StackOptions, stack};
use crate::tolerance::{Expected, distance};
use lstm_tensor::{Backend, Float, Mode};
use proptest::prelude::*;

/// Output and state under a draw are those of the scalar loop, which asks Philox element by element.
pub fn masked_forward_is_the_oracle<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::DROPOUT), |case| laws::is_the_oracle::<B, F>(backend, &case));
}

/// All pairings agree under a draw: backward drops what forward dropped.
pub fn masked_pairings_are_the_reference<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::DROPOUT), |case| laws::pairings_are_the_reference::<B, F>(backend, &case));
}

/// A sample's mask does not depend on where it stands in the batch.
pub fn masks_follow_the_sample<B: Backend, F: Float>(backend: &B) {
    hold((stack(StackOptions::DROPOUT), any::<u64>()), |(case, seed)| {
        laws::rows_may_move::<B, F>(backend, &case, seed)
    });
}

/// Inference ignores a draw, and training without one drops nothing.
pub fn inference_drops_nothing<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::DROPOUT), |case| {
        let undrawn = StackCase { draw: None, ..case.clone() };
        let expected = Expected::new::<F>(&undrawn)?;
        for (case, mode) in [(&case, Mode::Infer), (&undrawn, Mode::Train)] {
            let (y, _) = infer::<B, F>(backend, case, mode)?;
            let error = distance(Kind::Value, &y, &expected.outcome.y) / expected.tolerance;
            within((format!("y in {mode:?}"), error))?;
        }
        Ok(())
    });
}

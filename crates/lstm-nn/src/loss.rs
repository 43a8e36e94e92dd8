//! Losses of a network: the loss of one element, how elements are reduced, weights of steps.

use crate::{Error, Result};
use lstm_tensor::LossKind;
use serde::{Deserialize, Serialize};

/// How the losses of all elements become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Mean over all elements.
    #[default]
    Mean,
    /// Sum over steps and outputs, mean over the batch.
    BatchMean,
    /// Sum over all elements.
    Sum,
}

/// What a network is trained to make small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Loss {
    /// Loss of one element.
    pub kind: LossKind,
    /// Reduction over elements.
    #[serde(default)]
    pub reduction: Reduction,
    /// One weight per step, for a readout of every step; divided by their mean before use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_weights: Option<Vec<f64>>,
}

impl Loss {
    /// The mean of `kind` over all elements.
    #[must_use]
    pub const fn mean(kind: LossKind) -> Self {
        Self { kind, reduction: Reduction::Mean, step_weights: None }
    }

    /// Mean squared error.
    #[must_use]
    pub const fn mse() -> Self {
        Self::mean(LossKind::Squared)
    }

    /// Mean absolute error.
    #[must_use]
    pub const fn mae() -> Self {
        Self::mean(LossKind::Absolute)
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduce(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Factor on each element's loss in a batch of `rows` sequences with `per_sequence` elements.
    #[must_use]
    pub fn scale(&self, rows: usize, per_sequence: usize) -> f64 {
        match self.reduction {
            Reduction::Mean => 1.0 / (rows * per_sequence) as f64,
            Reduction::BatchMean => 1.0 / rows as f64,
            Reduction::Sum => 1.0,
        }
    }

    /// Weight of each of `steps` steps, with mean 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] where weights are negative, all zero, not finite or not one per step.
    pub fn weights(&self, steps: usize) -> Result<Option<Vec<f64>>> {
        if let LossKind::Huber { delta } = self.kind
            && !(delta.is_finite() && delta > 0.0)
        {
            return Err(Error::Invalid {
                what: "delta of the Huber loss",
                value: delta.to_string(),
                must: "a finite number above 0".into(),
            });
        }
        let Some(weights) = &self.step_weights else { return Ok(None) };
        let mean = weights.iter().sum::<f64>() / steps as f64;
        if weights.len() != steps
            || weights.iter().any(|w| w.is_nan() || *w < 0.0)
            || !(mean > 0.0 && mean.is_finite())
        {
            return Err(Error::Invalid {
                what: "step weights",
                value: format!("{weights:?}"),
                must: format!("{steps} finite numbers, none negative, not all 0"),
            });
        }
        Ok(Some(weights.iter().map(|w| w / mean).collect()))
    }
}

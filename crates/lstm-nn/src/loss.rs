//! Losses of a network: the loss of one element, how elements are reduced, weights of steps.

use crate::{Answer, Error, Result};
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

/// What is measured at each target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measure {
    /// An error of one element of the output.
    Error(LossKind),
    /// The loss of several numbers of the output, which say together how sure they are. The columns of the output are
    /// then `P` blocks, those of the target `K`, of one column for each value. It is computed on the host.
    Answer(Answer),
}

impl From<LossKind> for Measure {
    fn from(kind: LossKind) -> Self {
        Self::Error(kind)
    }
}

impl From<Answer> for Measure {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// What a network is trained to make small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Loss {
    /// Loss of one value.
    pub kind: Measure,
    /// Reduction over elements.
    #[serde(default)]
    pub reduction: Reduction,
    /// One weight per step, for a readout of every step; divided by their mean before use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_weights: Option<Vec<f64>>,
}

impl Loss {
    /// The mean of `kind` over all values.
    #[must_use]
    pub fn mean(kind: impl Into<Measure>) -> Self {
        Self { kind: kind.into(), reduction: Reduction::Mean, step_weights: None }
    }

    /// Mean squared error.
    #[must_use]
    pub fn mse() -> Self {
        Self::mean(LossKind::Squared)
    }

    /// Mean absolute error.
    #[must_use]
    pub fn mae() -> Self {
        Self::mean(LossKind::Absolute)
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduce(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the output's numbers mean, where it is more than values.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.kind {
            Measure::Error(_) => None,
            Measure::Answer(answer) => Some(answer),
        }
    }

    /// Values that `outputs` columns of the output say something of, and columns of their target.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the columns are no whole number of values.
    pub fn columns(&self, outputs: usize) -> Result<(usize, usize)> {
        let Some(answer) = self.answer() else { return Ok((outputs, outputs)) };
        let (parameters, value) = (answer.parameters(), outputs.to_string());
        if !outputs.is_multiple_of(parameters) {
            let must = format!("a multiple of {parameters}, the numbers of an answer");
            return Err(Error::Invalid { what: "columns of the output", value, must });
        }
        let values = outputs / parameters;
        Ok((values, values * answer.targets()))
    }

    /// Factor on each value's loss in a batch of `rows` sequences with `per_sequence` values.
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
        if let Measure::Answer(answer) = &self.kind
            && !answer.is_sound()
        {
            return Err(Error::Invalid {
                what: "levels of the quantiles",
                value: format!("{answer:?}"),
                must: "an odd number between 0 and 1, rising, with 0.5 in the middle".into(),
            });
        }
        if let Measure::Error(LossKind::Huber { delta }) = self.kind
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

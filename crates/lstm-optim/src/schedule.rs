//! How the learning rate changes with the optimizer steps taken.

use crate::error::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What a [`Schedule::Step`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Optimizer steps.
    #[default]
    Steps,
    /// Training samples.
    Samples,
}

/// Course of the learning rate, in PyTorch's definitions.
///
/// With `k` optimizer steps already taken (the first step has `k = 0`), the base rate is multiplied or
/// replaced as each variant says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// The base rate throughout.
    #[default]
    Constant,
    /// `rate factor^floor(k / every)`; with [`Unit::Samples`] `k` counts samples.
    Step {
        /// Steps or samples between two changes.
        every: u64,
        /// Factor of each change.
        factor: f64,
        /// What `every` counts.
        #[serde(default)]
        unit: Unit,
    },
    /// `rate factor^k`.
    Exponential {
        /// Factor of each step.
        factor: f64,
    },
    /// `minimum + (rate - minimum) (1 + cos(π k / period)) / 2`; rises again after `period`
    /// (Loshchilov and Hutter 2016, without restarts).
    Cosine {
        /// Steps from the base rate to the minimum.
        period: u64,
        /// Lowest rate.
        #[serde(default)]
        minimum: f64,
    },
}

impl Schedule {
    /// Learning rate after `steps` optimizer steps on `samples` samples, from base rate `rate`.
    #[must_use]
    pub fn rate(&self, rate: f64, steps: u64, samples: u64) -> f64 {
        match *self {
            Self::Constant => rate,
            Self::Step { every, factor, unit } => {
                let count = match unit {
                    Unit::Steps => steps,
                    Unit::Samples => samples,
                };
                rate * libm::pow(factor, (count / every.max(1)) as f64)
            }
            Self::Exponential { factor } => rate * libm::pow(factor, steps as f64),
            Self::Cosine { period, minimum } => {
                let angle = std::f64::consts::PI * steps as f64 / period.max(1) as f64;
                minimum + (rate - minimum) * (1.0 + libm::cos(angle)) / 2.0
            }
        }
    }

    /// Checks periods and factors.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the option.
    pub fn validate(&self) -> Result<()> {
        let factor_fits = |option, factor: f64| {
            ensure(factor.is_finite() && factor > 0.0, option, factor, "finite and above 0")
        };
        match *self {
            Self::Constant => Ok(()),
            Self::Step { every, factor, .. } => {
                ensure(every > 0, "schedule.every", every as f64, "at least 1")?;
                factor_fits("schedule.factor", factor)
            }
            Self::Exponential { factor } => factor_fits("schedule.factor", factor),
            Self::Cosine { period, minimum } => {
                ensure(period > 0, "schedule.period", period as f64, "at least 1")?;
                let fits = minimum.is_finite() && minimum >= 0.0;
                ensure(fits, "schedule.minimum", minimum, "finite and at least 0")
            }
        }
    }
}

/// Linear rise of the learning rate at the start: `rate (start + (1 - start) k / steps)` for
/// `k < steps`.
///
/// The schedule begins after it, with `k` counted from there; samples are counted from the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Optimizer steps until the full rate.
    pub steps: u64,
    /// Share of the rate at the first step, in [0, 1].
    #[serde(default)]
    pub start: f64,
}

impl WarmUp {
    /// Factor on the learning rate after `steps` optimizer steps; nothing once the warm-up is over.
    #[must_use]
    pub fn factor(&self, steps: u64) -> Option<f64> {
        let done = steps as f64 / self.steps as f64;
        (steps < self.steps).then_some(self.start + (1.0 - self.start) * done)
    }

    /// Checks the start factor.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the option.
    pub fn validate(&self) -> Result<()> {
        let fits = (0.0..=1.0).contains(&self.start);
        ensure(fits, "warm-up.start", self.start, "at least 0 and at most 1")
    }
}

//! Everything about L-BFGS that a configuration file can say.

use crate::error::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Settings of L-BFGS, with PyTorch's defaults.
///
/// ```
/// use lstm_optim::LbfgsConfig;
///
/// let config = LbfgsConfig::new().learning_rate(0.8).strong_wolfe();
/// assert_eq!(config.evaluations(), 25);
/// config.validate()?;
/// # Ok::<(), lstm_optim::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LbfgsConfig {
    /// Length of a step along the direction, or the first length that a line search tries.
    pub learning_rate: f64,
    /// Directions that one step follows at most.
    pub max_iterations: u32,
    /// Evaluations of loss and gradient after which a step ends; 5/4 of the iterations if absent. A line
    /// search that is under way may take one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_evaluations: Option<u32>,
    /// A step ends where no element of the gradient is larger.
    pub tolerance_gradient: f64,
    /// A step ends where the loss or every parameter changes by less, or would fall by less along the
    /// direction.
    pub tolerance_change: f64,
    /// Pairs of changes (of parameters and of gradient) that are remembered.
    pub history: usize,
    /// How far to go along a direction.
    pub line_search: LineSearch,
}

/// How L-BFGS finds the length of its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LineSearch {
    /// Always the learning rate. May diverge.
    #[default]
    None,
    /// Until the strong Wolfe conditions hold (Nocedal & Wright 2006, section 3.1).
    StrongWolfe,
}

impl Default for LbfgsConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1.0,
            max_iterations: 20,
            max_evaluations: None,
            tolerance_gradient: 1e-7,
            tolerance_change: 1e-9,
            history: 100,
            line_search: LineSearch::None,
        }
    }
}

impl LbfgsConfig {
    /// PyTorch's defaults: rate 1, 20 iterations, 100 pairs, no line search.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// Bounds the iterations of one step.
    #[must_use]
    pub fn max_iterations(mut self, most: u32) -> Self {
        self.max_iterations = most;
        self
    }

    /// Bounds the evaluations of one step.
    #[must_use]
    pub fn max_evaluations(mut self, most: u32) -> Self {
        self.max_evaluations = Some(most);
        self
    }

    /// Sets the tolerances on gradient and change.
    #[must_use]
    pub fn tolerances(mut self, gradient: f64, change: f64) -> Self {
        (self.tolerance_gradient, self.tolerance_change) = (gradient, change);
        self
    }

    /// Bounds the pairs that are remembered.
    #[must_use]
    pub fn history(mut self, pairs: usize) -> Self {
        self.history = pairs;
        self
    }

    /// Searches along each direction until the strong Wolfe conditions hold.
    #[must_use]
    pub fn strong_wolfe(mut self) -> Self {
        self.line_search = LineSearch::StrongWolfe;
        self
    }

    /// Evaluations after which a step ends.
    #[must_use]
    pub fn evaluations(&self) -> u32 {
        self.max_evaluations.unwrap_or((u64::from(self.max_iterations) * 5 / 4).min(u32::MAX.into()) as u32)
    }

    /// Checks every number. A learning rate of 0 is allowed without a line search only, where it moves
    /// nothing; the cubic of a search would divide by it.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the option.
    pub fn validate(&self) -> Result<()> {
        let rate = self.learning_rate;
        match self.line_search {
            LineSearch::None => not_negative("learning-rate", rate)?,
            LineSearch::StrongWolfe => {
                let must = "finite and above 0 with strong-wolfe";
                ensure(rate.is_finite() && rate > 0.0, "learning-rate", rate, must)?;
            }
        }
        at_least_one("max-iterations", self.max_iterations.into())?;
        at_least_one("max-evaluations", self.evaluations().into())?;
        not_negative("tolerance-gradient", self.tolerance_gradient)?;
        not_negative("tolerance-change", self.tolerance_change)?;
        at_least_one("history", self.history as f64)
    }
}

fn not_negative(option: &'static str, value: f64) -> Result<()> {
    ensure(value.is_finite() && value >= 0.0, option, value, "finite and at least 0")
}

fn at_least_one(option: &'static str, value: f64) -> Result<()> {
    ensure(value >= 1.0, option, value, "at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn files_name_what_differs_from_the_defaults() {
        let config: LbfgsConfig =
            serde_json::from_str(r#"{"learning-rate": 0.8, "line-search": "strong-wolfe"}"#).unwrap();
        assert_eq!(config, LbfgsConfig::new().learning_rate(0.8).strong_wolfe());
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LbfgsConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<LbfgsConfig>(r#"{"max-iter": 3}"#).is_err());
    }

    #[test]
    fn nonsense_is_named() {
        let bad = |config: LbfgsConfig| match config.validate() {
            Err(Error::Config { option, .. }) => option,
            other => panic!("expected a configuration error, got {other:?}"),
        };
        let config = LbfgsConfig::new;
        config().learning_rate(0.0).validate().unwrap();
        assert_eq!(bad(config().learning_rate(0.0).strong_wolfe()), "learning-rate");
        assert_eq!(bad(config().learning_rate(-1.0)), "learning-rate");
        assert_eq!(bad(config().learning_rate(f64::NAN)), "learning-rate");
        assert_eq!(bad(config().max_iterations(0)), "max-iterations");
        assert_eq!(bad(config().max_evaluations(0)), "max-evaluations");
        assert_eq!(bad(config().tolerances(-1.0, 0.0)), "tolerance-gradient");
        assert_eq!(bad(config().tolerances(0.0, f64::INFINITY)), "tolerance-change");
        assert_eq!(bad(config().history(0)), "history");
        assert_eq!(config().max_iterations(1).evaluations(), 1);
    }
}

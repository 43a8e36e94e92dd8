//! Everything about an optimizer that a configuration file can say.

use crate::error::{Result, ensure};
use crate::{Schedule, WarmUp};
use lstm_tensor::Rule;
use serde::{Deserialize, Serialize};

/// Rule, learning rate, schedule and limits on the gradient.
///
/// ```
/// use lstm_optim::{OptimizerConfig, Schedule};
///
/// let config = OptimizerConfig::adam(1e-3)
///     .schedule(Schedule::Cosine { period: 1000, minimum: 1e-5 })
///     .clip_norm(1.0);
/// assert_eq!(config.rate(0, 0), 1e-3);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// How parameters change.
    pub rule: Rule,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    #[serde(default)]
    pub schedule: Schedule,
    /// Rise of the learning rate before the schedule begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Bound on the size of each gradient element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Bound on the norm of the whole gradient, applied after `clip_value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
}

impl OptimizerConfig {
    /// `rule` at a constant rate, without clipping.
    #[must_use]
    pub fn new(rule: Rule, learning_rate: f64) -> Self {
        Self {
            rule,
            learning_rate,
            schedule: Schedule::Constant,
            warm_up: None,
            clip_value: None,
            clip_norm: None,
        }
    }

    /// Plain stochastic gradient descent.
    #[must_use]
    pub fn sgd(learning_rate: f64) -> Self {
        let rule = Rule::Sgd { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        Self::new(rule, learning_rate)
    }

    /// Stochastic gradient descent with momentum.
    #[must_use]
    pub fn momentum(learning_rate: f64, momentum: f64) -> Self {
        let rule = Rule::Sgd { momentum, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        Self::new(rule, learning_rate)
    }

    /// Stochastic gradient descent with Nesterov's momentum.
    #[must_use]
    pub fn nesterov(learning_rate: f64, momentum: f64) -> Self {
        let rule = Rule::Sgd { momentum, dampening: 0.0, nesterov: true, weight_decay: 0.0 };
        Self::new(rule, learning_rate)
    }

    /// Adagrad with PyTorch's defaults.
    #[must_use]
    pub fn adagrad(learning_rate: f64) -> Self {
        let rule = Rule::Adagrad { lr_decay: 0.0, initial_accumulator: 0.0, eps: 1e-10, weight_decay: 0.0 };
        Self::new(rule, learning_rate)
    }

    /// RMSprop with PyTorch's defaults.
    #[must_use]
    pub fn rmsprop(learning_rate: f64) -> Self {
        let rule =
            Rule::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 };
        Self::new(rule, learning_rate)
    }

    /// Adam with PyTorch's defaults.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Self::new(adam(0.0, false, false), learning_rate)
    }

    /// `AdamW` with PyTorch's defaults: weight decay 0.01.
    #[must_use]
    pub fn adamw(learning_rate: f64) -> Self {
        Self::new(adam(0.01, true, false), learning_rate)
    }

    /// Adam with epsilon where TensorFlow 1 adds it.
    #[must_use]
    pub fn adam_tf(learning_rate: f64) -> Self {
        Self::new(adam(0.0, false, true), learning_rate)
    }

    /// Sets the course of the learning rate.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Lets the rate rise over `steps` steps, from its `start`-fold.
    #[must_use]
    pub fn warm_up(mut self, steps: u64, start: f64) -> Self {
        self.warm_up = Some(WarmUp { steps, start });
        self
    }

    /// Bounds each element of the gradient.
    #[must_use]
    pub fn clip_value(mut self, limit: f64) -> Self {
        self.clip_value = Some(limit);
        self
    }

    /// Bounds the norm of the gradient.
    #[must_use]
    pub fn clip_norm(mut self, limit: f64) -> Self {
        self.clip_norm = Some(limit);
        self
    }

    /// Learning rate of the next step, after `steps` optimizer steps on `samples` samples.
    #[must_use]
    pub fn rate(&self, steps: u64, samples: u64) -> f64 {
        let Some(warm_up) = self.warm_up else {
            return self.schedule.rate(self.learning_rate, steps, samples);
        };
        match warm_up.factor(steps) {
            Some(factor) => self.learning_rate * factor,
            None => self.schedule.rate(self.learning_rate, steps - warm_up.steps, samples),
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the option.
    pub fn validate(&self) -> Result<()> {
        positive("learning-rate", self.learning_rate)?;
        self.schedule.validate()?;
        self.warm_up.map_or(Ok(()), |warm_up| warm_up.validate())?;
        self.clip_value.map_or(Ok(()), |limit| positive("clip-value", limit))?;
        self.clip_norm.map_or(Ok(()), |limit| positive("clip-norm", limit))?;
        validate_rule(&self.rule)
    }
}

fn adam(weight_decay: f64, decoupled: bool, tf_epsilon: bool) -> Rule {
    Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled, tf_epsilon }
}

fn positive(option: &'static str, value: f64) -> Result<()> {
    ensure(value.is_finite() && value > 0.0, option, value, "finite and above 0")
}

fn not_negative(option: &'static str, value: f64) -> Result<()> {
    ensure(value.is_finite() && value >= 0.0, option, value, "finite and at least 0")
}

/// A share that is kept from step to step.
fn share(option: &'static str, value: f64) -> Result<()> {
    ensure((0.0..1.0).contains(&value), option, value, "at least 0 and below 1")
}

fn validate_rule(rule: &Rule) -> Result<()> {
    match *rule {
        Rule::Sgd { momentum, dampening, nesterov, weight_decay } => {
            share("momentum", momentum)?;
            ensure((0.0..=1.0).contains(&dampening), "dampening", dampening, "at least 0 and at most 1")?;
            ensure(!nesterov || momentum > 0.0, "momentum", momentum, "above 0 with nesterov")?;
            ensure(!nesterov || dampening == 0.0, "dampening", dampening, "0 with nesterov")?;
            not_negative("weight-decay", weight_decay)
        }
        // Epsilon keeps 0 / 0 away from the arena's padding, so it cannot be 0.
        Rule::Adagrad { lr_decay, initial_accumulator, eps, weight_decay } => {
            not_negative("lr-decay", lr_decay)?;
            not_negative("initial-accumulator", initial_accumulator)?;
            positive("eps", eps)?;
            not_negative("weight-decay", weight_decay)
        }
        Rule::RmsProp { alpha, eps, momentum, weight_decay, .. } => {
            share("alpha", alpha)?;
            positive("eps", eps)?;
            share("momentum", momentum)?;
            not_negative("weight-decay", weight_decay)
        }
        Rule::Adam { beta1, beta2, eps, weight_decay, .. } => {
            share("beta1", beta1)?;
            share("beta2", beta2)?;
            positive("eps", eps)?;
            not_negative("weight-decay", weight_decay)
        }
        // A rule added to the contract later: its own limits are checked by the backend.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn the_constructors_are_valid() {
        for config in [
            OptimizerConfig::sgd(0.1),
            OptimizerConfig::momentum(0.1, 0.9),
            OptimizerConfig::nesterov(0.1, 0.9),
            OptimizerConfig::adagrad(0.01),
            OptimizerConfig::rmsprop(0.01),
            OptimizerConfig::adam(1e-3),
            OptimizerConfig::adamw(1e-3),
            OptimizerConfig::adam_tf(1e-3).warm_up(10, 0.1).clip_value(5.0).clip_norm(1.0),
        ] {
            config.validate().unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<OptimizerConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn nonsense_is_named() {
        let bad = |config: OptimizerConfig| match config.validate() {
            Err(Error::Config { option, .. }) => option,
            other => panic!("expected a configuration error, got {other:?}"),
        };
        assert_eq!(bad(OptimizerConfig::adam(0.0)), "learning-rate");
        assert_eq!(bad(OptimizerConfig::adam(f64::NAN)), "learning-rate");
        assert_eq!(bad(OptimizerConfig::adam(f64::INFINITY)), "learning-rate");
        assert_eq!(bad(OptimizerConfig::momentum(0.1, 1.0)), "momentum");
        assert_eq!(bad(OptimizerConfig::nesterov(0.1, 0.0)), "momentum");
        assert_eq!(bad(OptimizerConfig::adam(0.1).clip_norm(-1.0)), "clip-norm");
        assert_eq!(bad(OptimizerConfig::adam(0.1).clip_value(f64::NAN)), "clip-value");
        assert_eq!(bad(OptimizerConfig::adam(0.1).warm_up(3, 1.5)), "warm-up.start");
        let step = Schedule::Step { every: 0, factor: 0.5, unit: crate::Unit::Steps };
        assert_eq!(bad(OptimizerConfig::adam(0.1).schedule(step)), "schedule.every");
        let rule = Rule::Adam {
            beta1: 1.0,
            beta2: 0.9,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            tf_epsilon: false,
        };
        assert_eq!(bad(OptimizerConfig::new(rule, 0.1)), "beta1");
    }

    #[test]
    fn every_number_of_a_rule_has_its_limits() {
        let sgd = |momentum, dampening, nesterov, weight_decay| Rule::Sgd {
            momentum,
            dampening,
            nesterov,
            weight_decay,
        };
        let adagrad = |lr_decay, initial_accumulator, eps, weight_decay| Rule::Adagrad {
            lr_decay,
            initial_accumulator,
            eps,
            weight_decay,
        };
        let rmsprop = |alpha, eps, momentum, weight_decay| Rule::RmsProp {
            alpha,
            eps,
            momentum,
            weight_decay,
            centered: false,
        };
        let adam = |beta1, beta2, eps, weight_decay| Rule::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
            decoupled: false,
            tf_epsilon: false,
        };
        let refused = |rule: Rule| match OptimizerConfig::new(rule, 0.1).validate() {
            Err(Error::Config { option, .. }) => option,
            other => panic!("expected a configuration error, got {other:?}"),
        };
        for (rule, option) in [
            (sgd(-0.1, 0.0, false, 0.0), "momentum"),
            (sgd(0.5, -0.1, false, 0.0), "dampening"),
            (sgd(0.5, 1.1, false, 0.0), "dampening"),
            (sgd(0.0, 0.0, true, 0.0), "momentum"),
            (sgd(0.5, 0.1, true, 0.0), "dampening"),
            (sgd(0.5, 0.0, false, -0.1), "weight-decay"),
            (adagrad(-0.1, 0.0, 1e-8, 0.0), "lr-decay"),
            (adagrad(0.0, -0.1, 1e-8, 0.0), "initial-accumulator"),
            (adagrad(0.0, f64::INFINITY, 1e-8, 0.0), "initial-accumulator"),
            (adagrad(0.0, 0.0, 0.0, 0.0), "eps"),
            (adagrad(0.0, 0.0, 1e-8, -0.1), "weight-decay"),
            (rmsprop(1.0, 1e-8, 0.0, 0.0), "alpha"),
            (rmsprop(0.9, 0.0, 0.0, 0.0), "eps"),
            (rmsprop(0.9, 1e-8, 1.0, 0.0), "momentum"),
            (rmsprop(0.9, 1e-8, 0.0, f64::NAN), "weight-decay"),
            (adam(0.9, 1.0, 1e-8, 0.0), "beta2"),
            (adam(0.9, 0.999, -1e-8, 0.0), "eps"),
            (adam(0.9, 0.999, 1e-8, -0.1), "weight-decay"),
        ] {
            assert_eq!(refused(rule), option);
        }
        // The limits themselves.
        for rule in [
            sgd(0.0, 1.0, false, 0.0),
            sgd(0.5, 0.0, true, 0.0),
            adagrad(0.0, 0.0, 1e-300, 0.0),
            rmsprop(0.0, 1e-300, 0.0, 0.0),
            adam(0.0, 0.0, 1e-300, 0.0),
        ] {
            OptimizerConfig::new(rule, 0.1).validate().unwrap();
        }
    }
}

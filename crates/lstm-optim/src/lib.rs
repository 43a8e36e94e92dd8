//! Optimizers, learning-rate schedules and gradient clipping, on any backend.
//!
//! An [`OptimizerConfig`] is plain data: a rule, a learning rate, a [`Schedule`], limits on the
//! gradient. An [`Optimizer`] holds the moments on the device and applies the configuration to a
//! model's parameter arena; it knows nothing of networks. [`Lbfgs`] stands apart, because it evaluates the
//! function several times within a step.

mod config;
mod error;
mod lbfgs;
mod optimizer;
mod schedule;

pub use config::OptimizerConfig;
pub use error::{Error, Result};
pub use lbfgs::{Advance, Lbfgs, LbfgsConfig, LbfgsState, LbfgsStep, LbfgsStop, LineSearch};
pub use optimizer::{Optimizer, OptimizerState};
pub use schedule::{Schedule, Unit, WarmUp};

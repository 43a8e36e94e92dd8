//! What can go wrong while training and forecasting.

use crate::Fault;
use crate::forecaster::Purpose;

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A training run or a forecast that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network or a model file.
    #[error(transparent)]
    Network(#[from] lstm_nn::Error),
    /// An operation of the backend.
    #[error(transparent)]
    Tensor(#[from] lstm_tensor::Error),
    /// An optimizer setting.
    #[error(transparent)]
    Optimizer(#[from] lstm_optim::Error),
    /// The data.
    #[error(transparent)]
    Data(#[from] lstm_data::Error),
    /// A setting that no run can have.
    #[error("{what} is {value}, but must be {must}")]
    Invalid {
        /// Name of the setting.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be valid.
        must: String,
    },
    /// Training went wrong, and going back with half the rate has not helped; the parameters are the last that are known
    /// to be good.
    #[error(
        "training diverged at step {}: {fault}{}{}; lower the learning rate or clip the gradient",
        fault.step, tried(*rollbacks), after(*last_loss)
    )]
    Diverged {
        /// What it failed at.
        fault: Box<Fault>,
        /// How often it went back.
        rollbacks: u32,
        /// Loss at the last check before, if there was one.
        last_loss: Option<f64>,
    },
    /// The series has too few rows.
    #[error("the series has {rows} rows, but {}", purpose.needs(*needed))]
    TooShort {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        needed: usize,
        /// What they are needed for.
        purpose: Purpose,
    },
    /// Every value that a forecast would be held against was made by a repair.
    #[error(
        "none of the {values} values that forecasts are held against is in the file, all of them were filled in; give a \
         file with values at its end, or say with --held-out how many rows to hold out"
    )]
    NoTruth {
        /// Values there are.
        values: usize,
    },
    /// Numbers of the series are too large to calculate with.
    #[error(
        "the series holds numbers so large that its forecast is no finite number; divide them by a constant"
    )]
    TooLarge,
    /// A saved state belongs to another run.
    #[error("the saved state does not fit this run: {why}")]
    State {
        /// What differs.
        why: String,
    },
}

fn tried(rollbacks: u32) -> String {
    match rollbacks {
        0 => String::new(),
        1 => ", after going back once with half the rate".into(),
        times => format!(", after going back {times} times with half the rate"),
    }
}

fn after(last_loss: Option<f64>) -> String {
    last_loss.map_or_else(String::new, |loss| format!(" (the loss was {loss:.4e} at the last check)"))
}

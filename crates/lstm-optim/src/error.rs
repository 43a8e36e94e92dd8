//! What can go wrong in an optimizer.

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A configuration that makes no sense, a state that does not fit, or a backend that failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that no training could use.
    #[error("{option} is {value}, but must be {must}")]
    Config {
        /// Name of the option, as in a configuration file.
        option: &'static str,
        /// What was given.
        value: f64,
        /// What would be valid.
        must: &'static str,
    },
    /// A saved state belongs to another rule or another model.
    #[error("the optimizer's state has {what} {got:?}, expected {expected:?}")]
    State {
        /// What does not fit.
        what: &'static str,
        /// Lengths of the moments that this optimizer has.
        expected: Vec<usize>,
        /// Lengths of the moments that were given.
        got: Vec<usize>,
    },
    /// A line search or a quasi-Newton step met a number that it cannot go on from; the parameters are
    /// those of the iteration's start.
    #[error(
        "the {what} at evaluation {evaluation} is {value}: the parameters were put back to where the iteration began; lower the learning rate, or set line-search to strong-wolfe"
    )]
    NotFinite {
        /// What is infinite or NaN.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Evaluation of the function, counted from 1 over all steps.
        evaluation: u64,
    },
    /// The backend could not do an operation.
    #[error(transparent)]
    Backend(#[from] lstm_tensor::Error),
}

/// An [`Error::Config`] unless `valid`.
pub(crate) fn ensure(valid: bool, option: &'static str, value: f64, must: &'static str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Config { option, value, must }) }
}

//! What can go wrong with a network or a saved model.

use std::path::PathBuf;

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A network that cannot be built or run, or a model file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation of the backend failed.
    #[error(transparent)]
    Tensor(#[from] lstm_tensor::Error),
    /// A setting that no network can have.
    #[error("{what} is {value}, but must be {must}")]
    Invalid {
        /// Name of the setting.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be valid.
        must: String,
    },
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be, or is damaged.
    #[error("{}: not a readable {what}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be: a model or a checkpoint.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

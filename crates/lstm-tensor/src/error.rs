//! What can go wrong on a backend, with the values in it.

/// Result of every operation of the contract.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation that could not be done; nothing was written unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operand has other dimensions than the operation needs.
    #[error("{op}: {what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Operation that was asked for.
        op: &'static str,
        /// Operand that does not fit.
        what: &'static str,
        /// Dimensions that would fit.
        expected: Vec<usize>,
        /// Dimensions that were given.
        got: Vec<usize>,
    },
    /// A view reaches past the end of its buffer.
    #[error("{op}: {what} needs {needed} elements, its buffer holds {len}")]
    Bounds {
        /// Operation that was asked for.
        op: &'static str,
        /// Operand that does not fit.
        what: &'static str,
        /// Elements the view reaches to.
        needed: usize,
        /// Elements the buffer holds.
        len: usize,
    },
    /// An index of a gather or scatter names a row that does not exist.
    #[error("{op}: row {index} does not exist, there are {rows}")]
    Index {
        /// Operation that was asked for.
        op: &'static str,
        /// Offending index.
        index: usize,
        /// Rows that exist.
        rows: usize,
    },
    /// A valid request that this backend does not serve.
    #[error("{op} does not support {option} on this backend")]
    Unsupported {
        /// Operation that was asked for.
        op: &'static str,
        /// Option that is not supported, in words.
        option: &'static str,
    },
    /// A value that no backend could serve.
    #[error("{what} is {value}, but must be {must}")]
    Invalid {
        /// Name of the option.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be valid.
        must: &'static str,
    },
    /// The packed weights were prepared from other parameters than the ones given.
    #[error("{op}: packed weights are stale; call prepare after every change of the parameters")]
    Stale {
        /// Operation that was asked for.
        op: &'static str,
    },
    /// Memory could not be had.
    #[error("out of memory: {bytes} bytes wanted{}; lower the batch, the lookback or the hidden size",
        .free.map_or(String::new(), |free| format!(", {free} free on the device")))]
    Memory {
        /// Bytes that were wanted.
        bytes: usize,
        /// Bytes that were free, where the device can tell.
        free: Option<usize>,
    },
    /// The device or a library on it failed.
    #[error("{op}: {message}")]
    Device {
        /// Operation that was asked for.
        op: &'static str,
        /// What the device said.
        message: String,
    },
}

impl Error {
    /// A [`Error::Shape`] unless `expected == got`.
    pub fn check_shape(
        op: &'static str,
        what: &'static str,
        expected: &[usize],
        got: &[usize],
    ) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        Err(Self::Shape { op, what, expected: expected.to_vec(), got: got.to_vec() })
    }

    /// A [`Error::Bounds`] unless `needed <= len`.
    pub fn check_bounds(op: &'static str, what: &'static str, needed: usize, len: usize) -> Result<()> {
        if needed <= len { Ok(()) } else { Err(Self::Bounds { op, what, needed, len }) }
    }
}

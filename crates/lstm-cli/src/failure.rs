//! Everything that can end a command: one sentence and one exit code each, decided here and nowhere else.

use std::fmt;
use std::io;
use std::path::Path;

use crate::output::size;

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// What kind of thing is wrong; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An option, a configuration file, or output that is in the way.
    Usage,
    /// The series.
    Data,
    /// A model file or run folder.
    Model,
    /// The device, or its memory.
    Device,
    /// The loss became infinite or no number.
    Diverged,
    /// Ctrl-C.
    Interrupted,
    /// A run made again has other bits.
    Differs,
}

impl Kind {
    /// The exit code, as `lstm --help` lists them.
    fn code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Data => 3,
            Kind::Model => 4,
            Kind::Device => 5,
            Kind::Diverged => 6,
            Kind::Interrupted => 130,
            Kind::Differs => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Data => "data",
            Kind::Model => "model",
            Kind::Device => "device",
            Kind::Diverged => "diverged",
            Kind::Interrupted => "interrupted",
            Kind::Differs => "differs",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    pub(crate) fn device(message: impl Into<String>) -> Self {
        Self::new(Kind::Device, message)
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(Kind::Model, message)
    }

    /// A file or folder of a run that the system would not read or write.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::model(format!("{}: {error}; check the path and its permissions", path.display()))
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    pub(crate) fn code(&self) -> u8 {
        self.kind.code()
    }

    /// The failure as one JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "kind": self.kind.name(), "code": self.code(), "message": self.message }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<lstm_data::Error> for Failure {
    fn from(error: lstm_data::Error) -> Self {
        use lstm_data::Error as E;
        let kind = match error {
            // The file is fine; the command line does not say enough, or the wrong thing.
            E::Setting { .. } | E::BadDelimiter { .. } => Kind::Usage,
            _ => Kind::Data,
        };
        let remedy = if matches!(error, E::Io { .. }) { "; check the path and its permissions" } else { "" };
        Self::new(kind, format!("{error}{remedy}"))
    }
}

impl From<lstm_tensor::Error> for Failure {
    fn from(error: lstm_tensor::Error) -> Self {
        use lstm_tensor::Error as E;
        match error {
            E::Memory { bytes, free } => Self::device(out_of_memory(bytes, free)),
            E::Device { .. } | E::Unsupported { .. } => Self::device(error.to_string()),
            _ => Self::usage(error.to_string()),
        }
    }
}

/// How much memory was wanted, how much there was, and what takes less.
fn out_of_memory(bytes: usize, free: Option<usize>) -> String {
    // Only a GPU can tell what is free.
    let (free, elsewhere) = match free {
        Some(free) => (format!(", {} free on the device", size(free)), ", or use --device cpu"),
        None => (String::new(), ""),
    };
    format!(
        "out of memory: {} wanted{free}; lower the batch, the lookback, the hidden units or the layers{elsewhere}",
        size(bytes)
    )
}

impl From<lstm_optim::Error> for Failure {
    fn from(error: lstm_optim::Error) -> Self {
        match error {
            lstm_optim::Error::Backend(error) => error.into(),
            lstm_optim::Error::NotFinite { .. } => {
                Self::new(Kind::Diverged, format!("training diverged: {error}"))
            }
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<lstm_nn::Error> for Failure {
    fn from(error: lstm_nn::Error) -> Self {
        use lstm_nn::Error as E;
        match error {
            E::Tensor(error) => error.into(),
            E::Invalid { .. } => Self::usage(error.to_string()),
            E::Io { path, source } => Self::file(&path, &source),
            E::Format { .. } => {
                Self::model(format!("{error}; train it again, or name the run folder of another model"))
            }
            other => Self::model(other.to_string()),
        }
    }
}

impl From<lstm_train::Error> for Failure {
    fn from(error: lstm_train::Error) -> Self {
        use lstm_train::Error as E;
        match error {
            E::Network(error) => error.into(),
            E::Tensor(error) => error.into(),
            E::Optimizer(error) => error.into(),
            E::Data(error) => error.into(),
            E::Invalid { .. } => Self::usage(error.to_string()),
            E::Diverged { .. } => Self::new(Kind::Diverged, error.to_string()),
            E::TooShort { .. } | E::TooLarge | E::NoTruth { .. } => Self::data(error.to_string()),
            other => Self::model(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However deep the error came from.
    #[test]
    fn lack_of_memory_says_how_much_and_what_to_lower() {
        let lack = lstm_tensor::Error::Memory { bytes: 3 << 29, free: Some(700 << 20) };
        let wrapped = [
            Failure::from(lack.clone()),
            Failure::from(lstm_train::Error::Tensor(lack.clone())),
            Failure::from(lstm_train::Error::Network(lstm_nn::Error::Tensor(lack.clone()))),
            Failure::from(lstm_train::Error::Optimizer(lstm_optim::Error::Backend(lack))),
        ];
        for failure in wrapped {
            assert_eq!(failure.code(), 5);
            assert_eq!(
                failure.to_string(),
                "out of memory: 1.500 GiB wanted, 700.0 MiB free on the device; lower the batch, the lookback, the \
                 hidden units or the layers, or use --device cpu"
            );
        }
        let host = Failure::from(lstm_tensor::Error::Memory { bytes: 1 << 50, free: None });
        let words =
            "out of memory: 1.000 PiB wanted; lower the batch, the lookback, the hidden units or the layers";
        assert_eq!((host.code(), host.to_string().as_str()), (5, words));
    }
}

//! Everything that can end a command: one sentence and one exit code each, decided here and nowhere else.

use std::fmt;
use std::io;
use std::path::Path;

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
            E::Setting { .. } | E::BadDelimiter { .. } | E::SeveralTargets { .. } => Kind::Usage,
            _ => Kind::Data,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<lstm_tensor::Error> for Failure {
    fn from(error: lstm_tensor::Error) -> Self {
        use lstm_tensor::Error as E;
        let kind = match error {
            E::Memory { .. } | E::Device { .. } | E::Unsupported { .. } => Kind::Device,
            _ => Kind::Usage,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<lstm_optim::Error> for Failure {
    fn from(error: lstm_optim::Error) -> Self {
        match error {
            lstm_optim::Error::Backend(error) => error.into(),
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
            E::TooShort { .. } | E::TooLarge => Self::data(error.to_string()),
            other => Self::model(other.to_string()),
        }
    }
}

//! Networks: an LSTM stack with a readout and a head, their initialisation, training and inference
//! passes, streams, and saved models.
//!
//! - [`Network`]: the shape of a model, plain data
//! - [`Model`]: a network with its parameters on a backend
//! - [`TrainPass`], [`InferPass`]: memory of a pass over a batch of one shape
//! - [`Stream`]: one step at a time with carried state
//! - [`saved`]: models as files
//! - [`sealed`], [`durable`]: files that show damage, and that are written whole or not at all

mod answer;
pub mod durable;
mod error;
mod init;
mod loss;
mod model;
mod network;
mod pass;
pub mod saved;
pub mod sealed;
mod stream;

pub use answer::{Answer, between, softplus_inverse};
pub use error::{Error, Result};
pub use init::{Init, InitSpec};
pub use loss::{Loss, Measure, Reduction};
pub use model::Model;
pub use network::{Network, Readout};
pub use pass::{InferPass, LayerTrace, TrainOptions, TrainPass};
pub use stream::Stream;

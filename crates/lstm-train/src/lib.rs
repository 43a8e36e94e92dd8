//! Training loops, stop rules, forecasting, baselines and metrics, over any backend.
//!
//! - [`Fit`]: steps of training with a state that can be saved and resumed exactly
//! - [`Course`]: several of them one after another, along a [`Journal`] with which all of it can go on
//! - [`Checkpoints`]: journals as files
//! - [`FullBatch`]: the same by L-BFGS, on all data at once
//! - [`Source`]: where batches come from
//! - [`forecaster`]: a series in, a forecast with an honest comparison out
//! - [`backtest`]: what its forecasts would have been worth, had they been made earlier
//! - [`free_run`]: a network fed with its own predictions
//! - [`lab`]: what becomes of it then, and why
//! - [`noise`]: how much of a series no forecast can know
//! - [`metrics`], [`baseline`]: what a forecast is held against

pub mod backtest;
pub mod baseline;
mod checkpoint;
mod error;
mod fit;
pub mod forecaster;
pub mod free_run;
mod full_batch;
mod journal;
pub mod lab;
pub mod metrics;
pub mod noise;
mod source;

pub use checkpoint::Checkpoints;
pub use error::{Error, Result};
pub use fit::{
    Best, Culprit, Fault, Fit, FitConfig, Flow, Guard, Observe, Outcome, Progress, Setbacks, Snapshot, Stop,
    TrainState, Validate,
};
pub use full_batch::FullBatch;
pub use journal::{Course, Journal, Keeper, Trained, UnderWay};
pub use source::{Drawn, Fresh, RandomWindows, Rows, SampleShape, SequenceSource, Source};

//! Naive backend, oracle, laws, tolerances and golden cases for testing lstm backends.
//!
//! The chain of trust, each link tested by the one before: PyTorch → [`oracle`] → the reference on
//! [`Naive`] → every other backend, held to the [`mod@laws`].
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: a broken assumption ends the test"
)]

pub mod alloc;
pub mod case;
pub mod golden;
pub mod laws;
mod naive;
pub mod oracle;
mod planted;
pub mod run;
pub mod strategies;
pub mod tolerance;

pub use naive::{Buffer, Naive};
pub use planted::{Planted, Site};

//! What must hold of any bytes, door by door. `check` panics where it does not, and says whether the bytes were taken.
//!
//! `crates/lstm-cli/tests/corpus.rs` in the workspace includes these files and replays the corpus with them, on any toolchain.

pub mod arguments;
pub mod checkpoint;
pub mod csv;
pub mod model;
mod sealed;
pub mod settings;

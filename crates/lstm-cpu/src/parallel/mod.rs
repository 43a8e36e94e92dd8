//! Work on several threads: a team that runs tasks, and rows of buffers that tasks own.
//!
//! What a task does depends on its number alone, and which numbers there are depends on shapes alone.
//! So results have the same bits on one thread and on many.

mod rows;
mod team;

pub(crate) use rows::{Block, Field, Fields, Rows, share};
pub(crate) use team::Team;

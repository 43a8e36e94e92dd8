//! What is measured, and how: single operations, whole networks, PyTorch beside them.
//!
//! - [`operations`]: one operation of a backend, for criterion
//! - [`shape`], [`case`]: sizes of a network and its batch, with weights and data
//! - [`subject`]: a network on any backend, inferring, streaming and training
//! - [`peer`], [`worker`]: the same network in another library, in a process of its own, and that process
//! - [`measure`]: figures of a subject, with its peer in turn
//! - [`growth`]: how the cost grows with one size, as a table and a picture
//! - [`memory`]: peaks of resident memory, ours and PyTorch's
//! - [`timing`]: turns, samples and medians
//! - [`gpu`]: what a machine with a GPU should check
//! - [`queue`]: tasks for a machine with a GPU, with their results in a folder
//! - [`peak`]: the multiply-adds that the processor can do at best

pub mod case;
pub mod gpu;
pub mod growth;
pub mod measure;
pub mod memory;
pub mod operations;
pub mod peak;
pub mod peer;
pub mod queue;
pub mod shape;
pub mod subject;
pub mod timing;
pub mod worker;

//! CUDA backend: LSTM stacks on an NVIDIA GPU.
//!
//! [`Runtime`] is all that the backend asks of a device: memory, copies, launches, matrix products,
//! capture of a phase as a graph. It has two implementations: the CUDA driver, and an emulator that runs
//! the same kernel sources on the CPU, where every law is tested.
//!
//! **Not yet measured on a device.** What is proved is proved on the emulator, which has no weak memory
//! model and computes `exp` and `tanh` with the C library.
#![allow(unsafe_code, reason = "launches and device addresses; each block says why it is sound")]

mod backend;
mod buffer;
mod cuda;
pub mod driver;
pub mod kernels;
mod phase;
pub mod probe;
mod product;
pub mod routing;
pub mod runtime;
mod stack;

pub use buffer::CudaBuffer;
pub use cuda::Cuda;
pub use runtime::Runtime;

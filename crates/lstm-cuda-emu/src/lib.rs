//! The CUDA backend without a GPU: its kernels, compiled by g++ and run as fibers on the CPU.
//!
//! [`Emulator`] is a [`Runtime`](lstm_cuda::Runtime), so all of the backend runs on it, and every law with
//! it. It holds kernels to what CUDA promises and no more:
//!
//! - fresh device memory and shared memory are NaN,
//! - threads run under a [`Schedule`]; where results differ in a bit, there is a race,
//! - barriers and warp operations must be met by all threads, at one place of the source; otherwise the
//!   launch fails and names kernel and place,
//! - arguments must have the number and the sizes of the kernel's parameters.
//!
//! What it cannot see: a missing fence or a wrong scope (it has no weak memory model), a barrier whose
//! PTX is wrong (it is replaced), fused products and sums, and how fast anything is.
//!
//! ```
//! use lstm_cuda::Cuda;
//! use lstm_cuda_emu::{Emulator, Schedule};
//! use lstm_tensor::{Backend, Operand, Span, Unary, ViewMut};
//!
//! let cuda = Cuda::new(Emulator::new(Schedule::InOrder))?;
//! let mut y = cuda.alloc::<f32>(3)?;
//! let all = Span::dense(0, 1, 3);
//! cuda.map(Unary::Sigmoid, Operand::Here(all), ViewMut::new(&mut y, all))?;
//! let mut host = [0.0; 3];
//! cuda.download(&y, 0, &mut host)?;
//! assert_eq!(host, [0.5; 3]);
//! # Ok::<(), lstm_tensor::Error>(())
//! ```
#![allow(unsafe_code, reason = "device addresses are host addresses; each block says why it is sound")]

mod emulator;
mod gemm;
mod kernel;

pub use emulator::{Emulator, Graph, Memory};
pub use kernel::Schedule;

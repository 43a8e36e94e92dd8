//! The CPU backend: fused LSTM stacks on a team of threads, vectorised for the processor at hand.
//!
//! - [`Cpu`]: the backend; its results do not depend on the number of threads
//! - [`CpuBuffer`]: its memory, readable in place
//! - [`Simd`]: the instruction set it uses, chosen at run time

mod backend;
mod buffer;
mod cpu;
mod gemm;
mod loss;
mod math;
mod optimizer;
mod parallel;
mod primitives;
mod reduce;
mod simd;
mod stack;

pub use buffer::CpuBuffer;
pub use cpu::Cpu;
pub use simd::Simd;

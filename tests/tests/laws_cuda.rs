//! The laws on the CUDA backend, its kernels emulated under a schedule that lets threads drift apart.
#![allow(clippy::unwrap_used, reason = "a broken assumption ends the test")]

use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_testkit::laws;

fn cuda() -> Cuda<Emulator> {
    Cuda::new(Emulator::new(Schedule::Skewed(7))).unwrap()
}

laws!(f32_elements, cuda(), f32);
laws!(f64_elements, cuda(), f64);

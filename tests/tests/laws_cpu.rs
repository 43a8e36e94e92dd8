//! The laws on the CPU backend, with two threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_testkit::laws;

fn cpu() -> Cpu {
    Cpu::new(2).unwrap()
}

laws!(f32_elements, cpu(), f32);
laws!(f64_elements, cpu(), f64);

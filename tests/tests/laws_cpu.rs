//! The laws on the CPU backend, with two threads, by each of its instruction sets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a broken assumption ends the test, a missing instruction set is said"
)]

use lstm_cpu::{Cpu, Simd};
use lstm_testkit::laws;

/// The backend with an instruction set, if this processor has it.
fn cpu(simd: Simd) -> Option<Cpu> {
    if simd.is_available() {
        return Some(Cpu::with_simd(2, simd).unwrap());
    }
    println!("SKIPPED: this processor has no {simd:?}");
    None
}

/// The backend with an instruction set; where the processor lacks it the test ends here.
macro_rules! cpu {
    ($simd:ident) => {
        match cpu(Simd::$simd) {
            Some(cpu) => cpu,
            None => return,
        }
    };
}

laws!(portable_f32, cpu!(Portable), f32);
laws!(portable_f64, cpu!(Portable), f64);
laws!(avx2_f32, cpu!(Avx2), f32);
laws!(avx2_f64, cpu!(Avx2), f64);
laws!(avx512_f32, cpu!(Avx512), f32);
laws!(avx512_f64, cpu!(Avx512), f64);

/// What runs unless a set is named is one of those above.
#[test]
fn the_detected_set_is_among_them() {
    let detected = Cpu::new(1).unwrap().simd();
    assert!(detected.is_available() && [Simd::Portable, Simd::Avx2, Simd::Avx512].contains(&detected));
}

//! One long and wide case through every kernel path: instruction sets, kernels, pairings.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test; it says what it skips")]

use lstm_cpu::{Cpu, Simd};
use lstm_tensor::{BatchShape, Float, KernelChoice, LayerSpec, StackSpec};
use lstm_testkit::case::StackCase;
use lstm_testkit::run::{Route, run};
use lstm_testkit::strategies::filled;
use lstm_testkit::tolerance::{Expected, tolerance};

/// 130 units are no multiple of a vector's width, 37 neither. The other two are cut as large passes are: batch
/// rows into blocks of which the last is smaller, steps into chunks; and weights so large that the threads share
/// each step, the inputs' product of a chunk before it.
fn cases() -> [StackCase; 3] {
    let layers = vec![LayerSpec::new(130).dropout(0.1, 0.2), LayerSpec::new(37).forget_bias(1.0)];
    let wide = StackSpec::new(5, layers).dropout_between(0.3);
    let layers = vec![LayerSpec::new(33).dropout(0.2, 0.1), LayerSpec::new(21).forget_bias(1.0)];
    let many = StackSpec::new(20, layers).dropout_between(0.1);
    let large = StackSpec::new(18, vec![LayerSpec::new(260).dropout(0.1, 0.0)]);
    [
        filled(wide, BatchShape::new(101, 3), 1.0, 41),
        filled(many, BatchShape::new(101, 37), 1.0, 42),
        filled(large, BatchShape::new(50, 11), 1.0, 43),
    ]
}

fn every_path<F: Float>(case: &StackCase, expected: &mut Expected) {
    expected.tolerance = tolerance::<F>(expected.kappa);
    for simd in [Simd::Portable, Simd::Avx2, Simd::Avx512] {
        if !simd.is_available() {
            println!("SKIPPED {simd:?}: this processor lacks it");
            continue;
        }
        let cpu = Cpu::with_simd(2, simd).unwrap();
        for kernel in [KernelChoice::Fused, KernelChoice::Reference] {
            for route in Route::pairings(kernel) {
                let got = run::<_, F>(&cpu, case, route).unwrap();
                let (name, error) = expected.judge(&got);
                assert!(error <= 1.0, "{name} in {} by {simd:?}, {route:?}: {error} tolerances", F::NAME);
            }
        }
    }
}

#[test]
fn long_wide_and_large_cases_by_every_path() {
    for case in cases() {
        let mut expected = Expected::new::<f64>(&case).unwrap();
        every_path::<f64>(&case, &mut expected);
        every_path::<f32>(&case, &mut expected);
    }
}

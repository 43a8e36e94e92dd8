//! One long and wide case through every kernel path: instruction sets, kernels, pairings.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test; it says what it skips")]

use lstm_cpu::{Cpu, Simd};
use lstm_tensor::{BatchShape, Float, KernelChoice, LayerSpec, Mode, StackSpec};
use lstm_testkit::case::StackCase;
use lstm_testkit::run::{By, Route, Run, raw, run};
use lstm_testkit::strategies::filled;
use lstm_testkit::tolerance::{Expected, tolerance};

/// 130 units are no multiple of a vector's width, 37 neither. The next two are cut as large passes are: batch
/// rows into blocks of which the last is smaller, steps into chunks; and weights so large that the threads share
/// each step, the inputs' product of a chunk before it. Then few rows of several layers, which run one behind the
/// other, as those of the first case do; more layers than their steps have chunks; and more layers than can.
fn cases() -> [StackCase; 6] {
    let layers = vec![LayerSpec::new(130).dropout(0.1, 0.2), LayerSpec::new(37).forget_bias(1.0)];
    let wide = StackSpec::new(5, layers).dropout_between(0.3);
    let layers = vec![LayerSpec::new(33).dropout(0.2, 0.1), LayerSpec::new(21).forget_bias(1.0)];
    let many = StackSpec::new(20, layers).dropout_between(0.1);
    let large = StackSpec::new(18, vec![LayerSpec::new(260).dropout(0.1, 0.0)]);
    [
        filled(wide, BatchShape::new(101, 3), 1.0, 41),
        filled(many, BatchShape::new(101, 37), 1.0, 42),
        filled(large, BatchShape::new(50, 11), 1.0, 43),
        filled(deep(&[24, 32, 17, 9]), BatchShape::new(200, 3), 1.0, 46),
        filled(deep(&[64; 8]), BatchShape::new(9, 15), 1.0, 47),
        filled(deep(&[8; 17]), BatchShape::new(40, 20), 1.0, 48),
    ]
}

fn deep(hidden: &[usize]) -> StackSpec {
    let layers = hidden.iter().map(|&hidden| LayerSpec::new(hidden).dropout(0.1, 0.0));
    StackSpec::new(3, layers.collect()).dropout_between(0.1)
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

/// Inference keeps no tape, but a ring of a few steps: by every path it answers what training's forward pass does.
#[test]
fn inference_answers_what_training_does() {
    let cpu = Cpu::new(2).unwrap();
    for case in cases() {
        let case = StackCase { draw: None, ..case };
        let [trained, inferred] = [Mode::Train, Mode::Infer].map(|mode| {
            let mut run = Run::<_, f32>::new(&cpu, &case, mode, KernelChoice::Fused).unwrap();
            run.forward(By::Backend).unwrap();
            [&run.y, &run.last.h, &run.last.c].map(|buffer| raw(&cpu, buffer).unwrap())
        });
        assert!(trained == inferred, "{:?}", case.spec);
    }
}

/// Largest difference of two gradients of the input at a step, and the largest of the second.
fn at_step(case: &StackCase, t: usize, got: &[f32], want: &[f64]) -> (f64, f64) {
    let len = case.rows() * case.spec.input;
    let pairs = got[t * len..][..len].iter().zip(&want[t * len..][..len]);
    pairs.fold((0.0, 0.0), |(off, most): (f64, f64), (&got, &want)| {
        let apart = (f64::from(got) - want).abs();
        (if apart.is_nan() { f64::NAN } else { off.max(apart) }, most.max(want.abs()))
    })
}

/// Where only the end of a sequence has a gradient, it fades on its way back, past what f32 can hold: until then it
/// keeps its digits, and what is left of it is no more than it should be.
fn fades(case: &StackCase) {
    let cpu = Cpu::new(2).unwrap();
    let mut exact = Run::<_, f64>::new(&cpu, case, Mode::Train, KernelChoice::Reference).unwrap();
    exact.forward(By::Reference).unwrap();
    exact.backward(By::Reference).unwrap();
    let mut fused = Run::<_, f32>::new(&cpu, case, Mode::Train, KernelChoice::Fused).unwrap();
    fused.forward(By::Backend).unwrap();
    fused.backward(By::Backend).unwrap();

    let (got, want) = (raw(&cpu, &fused.d_params).unwrap(), raw(&cpu, &exact.d_params).unwrap());
    let most = want.iter().fold(0.0f64, |most, want| most.max(want.abs()));
    assert!(got.iter().zip(&want).all(|(&got, want)| (f64::from(got) - want).abs() < 1e-5 * most));

    let (got, want) = (raw(&cpu, &fused.d_x).unwrap(), raw(&cpu, &exact.d_x).unwrap());
    let (mut normal, mut smaller) = (0, 0);
    for t in 0..case.steps() {
        let (off, most) = at_step(case, t, &got, &want);
        if most > 1e-36 {
            assert!(off < 1e-4 * most, "step {t}: {off:e} of {most:e}");
            normal += usize::from(most < 1e-20);
        } else {
            assert!(off < 1e-37, "step {t}: {off:e}");
            smaller += 1;
        }
    }
    assert!(normal > 5 && smaller > 20, "{normal} steps with small gradients, {smaller} with smaller");
}

#[test]
fn fading_gradients_keep_their_digits() {
    let stack = StackSpec::new(2, vec![LayerSpec::new(20), LayerSpec::new(12)]);
    fades(&StackCase { d_y: None, ..filled(stack, BatchShape::new(260, 5), 0.7, 44) });

    // So fast, and in so many tasks, that nothing at all is left of it.
    let stack = StackSpec::new(1, vec![LayerSpec::new(64)]);
    let mut case =
        StackCase { d_last: None, initial: None, ..filled(stack, BatchShape::new(400, 50), 0.3, 45) };
    let earlier = 399 * 50 * 64;
    case.d_y.as_mut().unwrap()[..earlier].fill(0.0);
    fades(&case);
}

//! What must hold on a real GPU: every law, every recorded case, the same bits on every repeat.
//!
//! Without a device each test prints SKIPPED; `LSTM_REQUIRE_GPU=1` makes a failure of that.
//! `LSTM_GOLDEN_CASES` names the folder of recorded cases where this does not run in the source tree.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is a test; it says what it skips"
)]

use std::path::PathBuf;

use lstm_benches::case::Case;
use lstm_benches::shape::{Dtype, Shape};
use lstm_benches::subject::Subject;
use lstm_cuda::driver::Driver;
use lstm_cuda::{Cuda, probe};
use lstm_tensor::{BatchShape, Float, KernelChoice, LayerSpec, StackSpec};
use lstm_testkit::golden::{self, Verdict};
use lstm_testkit::laws;
use lstm_testkit::run::{Route, run};
use lstm_testkit::strategies::filled;
use lstm_testkit::tolerance::{Expected, tolerance};

/// The first GPU. Each test opens it for itself: a phase would take in what another one asks for meanwhile.
fn device() -> Option<Cuda<Driver>> {
    let missing = probe::probe().missing();
    if missing.is_empty() {
        return Some(Cuda::new(Driver::new(0).unwrap()).unwrap());
    }
    let required = std::env::var_os("LSTM_REQUIRE_GPU").is_some_and(|value| value == "1");
    assert!(!required, "LSTM_REQUIRE_GPU=1, but {}", missing.join("; "));
    println!("SKIPPED: no CUDA device");
    None
}

/// The device, or the end of this test.
macro_rules! device {
    () => {
        match device() {
            Some(device) => device,
            None => return,
        }
    };
}

laws!(laws_f32, device!(), f32);
laws!(laws_f64, device!(), f64);

fn recorded<F: Float>(cuda: &Cuda<Driver>) {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/cases");
    let folder = std::env::var_os("LSTM_GOLDEN_CASES").map_or(here.into(), PathBuf::from);
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let case = golden::Case::read(&entry.unwrap().path()).unwrap();
        for kernel in [KernelChoice::Auto, KernelChoice::Persistent] {
            let report = golden::replay::<_, F>(cuda, &case, kernel).unwrap();
            match &report.verdict {
                Verdict::Unsupported(option) => println!("{}: unsupported: {option}", report.name),
                verdict => {
                    assert!(!verdict.failed(), "{} in {} by {kernel:?}: {verdict:?}", report.name, F::NAME);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 32, "only {compared} cases were compared");
}

#[test]
fn recorded_cases_in_f32() {
    recorded::<f32>(&device!());
}

#[test]
fn recorded_cases_in_f64() {
    recorded::<f64>(&device!());
}

/// 101 steps; neither 130 units nor 100 nor 37 are a multiple of a warp.
fn odd() -> lstm_testkit::case::StackCase {
    let layers = [130, 37, 100].map(LayerSpec::new);
    let layers = vec![layers[0].dropout(0.1, 0.2), layers[1].forget_bias(1.0), layers[2]];
    filled(StackSpec::new(5, layers).dropout_between(0.3), BatchShape::new(101, 3), 1.0, 41)
}

fn by_every_path<F: Float>(cuda: &Cuda<Driver>) {
    let case = odd();
    let mut expected = Expected::new::<F>(&case).unwrap();
    expected.tolerance = tolerance::<F>(expected.kappa);
    for kernel in [KernelChoice::Fused, KernelChoice::Persistent, KernelChoice::Reference] {
        for route in Route::pairings(kernel) {
            let (name, error) = expected.judge(&run::<_, F>(cuda, &case, route).unwrap());
            assert!(error <= 1.0, "{name} in {} by {route:?}: {error} tolerances", F::NAME);
        }
    }
}

#[test]
fn a_long_wide_case_by_every_path() {
    let cuda = device!();
    by_every_path::<f32>(&cuda);
    by_every_path::<f64>(&cuda);
}

fn shape(batch: usize, steps: usize, inputs: usize, hidden: &[usize], dtype: Dtype) -> Shape {
    Shape {
        name: format!("{batch}x{steps}x{inputs}x{hidden:?}"),
        batch,
        steps,
        inputs,
        hidden: hidden.to_vec(),
        outputs: 2,
        dtype,
        readout: lstm_benches::shape::Read::All,
        infer_only: false,
        stream: false,
        decaying: false,
    }
}

/// Bits of a first prediction and of the losses of ten steps.
fn bits<F: Float>(cuda: &Cuda<Driver>, shape: &Shape) -> Vec<u64> {
    let case = Case::draw(shape).unwrap();
    let mut subject = Subject::<_, F>::new(cuda, &case).unwrap();
    let proof = subject.prove().unwrap();
    let weights = subject.weights().unwrap();
    proof.numbers().into_iter().chain(weights).map(f64::to_bits).collect()
}

fn repeated<F: Float>(cuda: &Cuda<Driver>, shape: &Shape) {
    let want = bits::<F>(cuda, shape);
    for repeat in 1..=200 {
        assert_eq!(bits::<F>(cuda, shape), want, "{}, repeat {repeat}", shape.name);
    }
}

/// Predictions, losses and the weights after ten steps, 200 times by each path.
#[test]
fn repeats_200_times_are_bit_equal() {
    for kernel in [KernelChoice::Auto, KernelChoice::Persistent] {
        let cuda = device!().preferring(kernel);
        repeated::<f32>(&cuda, &shape(5, 7, 3, &[33, 17], Dtype::F32));
        repeated::<f32>(&cuda, &shape(32, 25, 1, &[128], Dtype::F32));
        repeated::<f32>(&cuda, &shape(4, 9, 1, &[250, 390], Dtype::F32));
        repeated::<f64>(&cuda, &shape(3, 9, 2, &[31], Dtype::F64));
    }
}

/// Small odd sizes, a few steps each: quick enough for a sanitizer.
#[test]
fn odd_shapes_train() {
    let sizes: [(_, _, _, &[usize]); 5] =
        [(1, 1, 1, &[1]), (3, 2, 5, &[7]), (33, 3, 2, &[9, 5]), (2, 4, 1, &[65]), (2, 3, 1, &[130, 300])];
    for kernel in [KernelChoice::Auto, KernelChoice::Persistent] {
        let cuda = device!().preferring(kernel);
        for (batch, steps, inputs, hidden) in sizes {
            let single = bits::<f32>(&cuda, &shape(batch, steps, inputs, hidden, Dtype::F32));
            let double = bits::<f64>(&cuda, &shape(batch, steps, inputs, hidden, Dtype::F64));
            assert!(single.into_iter().chain(double).all(|bits| f64::from_bits(bits).is_finite()));
        }
    }
}

//! Everything recorded from PyTorch: stacks, losses and optimizers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_tensor::{
    Backend, Control, Float, KernelChoice, LossArgs, LossKind, Rule, Span, View, ViewMut, control_slot,
};
use lstm_testkit::Naive;
use lstm_testkit::golden::{Case, Verdict, replay};
use lstm_testkit::run::{buffer, fetch};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Relative error that sums of a few f64 may have.
const CLOSE: f64 = 1e-12;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= CLOSE * want.abs().max(1.0), "{what}: {got}, PyTorch has {want}");
    }
}

/// Options that no backend serves yet; everything else must be compared.
const UNSUPPORTED: [&str; 3] = ["bidirectional", "lengths", "projection"];

fn stacks<B: Backend, F: Float>(backend: &B, kernel: KernelChoice) {
    let mut compared = 0;
    for entry in std::fs::read_dir(folder().join("cases")).unwrap() {
        let case = Case::read(&entry.unwrap().path()).unwrap();
        let report = replay::<B, F>(backend, &case, kernel).unwrap();
        let name = &report.name;
        match &report.verdict {
            Verdict::Unsupported(why) => assert!(UNSUPPORTED.contains(&name.as_str()), "{name}: {why}"),
            verdict => {
                assert!(!verdict.failed(), "{name} in {}: {verdict:?}", F::NAME);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16, "cases compared");
}

#[test]
fn stacks_on_naive() {
    stacks::<_, f64>(&Naive, KernelChoice::Auto);
    stacks::<_, f32>(&Naive, KernelChoice::Auto);
}

#[test]
fn stacks_on_cpu() {
    let cpu = Cpu::new(2).unwrap();
    stacks::<_, f64>(&cpu, KernelChoice::Auto);
    stacks::<_, f32>(&cpu, KernelChoice::Auto);
}

fn cuda() -> Cuda<Emulator> {
    Cuda::new(Emulator::new(Schedule::Skewed(1))).unwrap()
}

#[test]
fn stacks_on_cuda() {
    for kernel in [KernelChoice::Auto, KernelChoice::Persistent] {
        stacks::<_, f64>(&cuda(), kernel);
        stacks::<_, f32>(&cuda(), kernel);
    }
}

fn losses<B: Backend>(backend: &B) {
    for case in json("losses.json")["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let kind = match case["error"].as_str().unwrap() {
            "squared" => LossKind::Squared,
            "half_squared" => LossKind::HalfSquared,
            "absolute" => LossKind::Absolute,
            "huber" => LossKind::Huber { delta: case["options"]["delta"].as_f64().unwrap() },
            "relative_absolute" => LossKind::RelativeAbsolute,
            other => panic!("{name}: no loss for {other}"),
        };
        // [T, B, O]: rows are T B, each step's weight stands for B of them.
        let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|&n| n as usize).collect();
        let (rows, cols) = (shape[0] * shape[1], shape[2]);
        let scale = match case["reduction"].as_str().unwrap() {
            "mean" => 1.0 / (rows * cols) as f64,
            "sum" => 1.0,
            "batch_mean" => 1.0 / shape[1] as f64,
            other => panic!("{name}: no reduction {other}"),
        };
        let weights = case["weights"].as_array().map(|_| {
            let weights = numbers(&case["weights"]);
            let mean = weights.iter().sum::<f64>() / weights.len() as f64;
            let per_row = weights.iter().flat_map(|w| vec![w / mean; shape[1]]).collect::<Vec<_>>();
            buffer::<B, f64>(backend, &per_row).unwrap()
        });
        let prediction = buffer::<B, f64>(backend, &numbers(&case["pred"])).unwrap();
        let target = buffer::<B, f64>(backend, &numbers(&case["target"])).unwrap();
        let mut gradient = backend.alloc::<f64>(rows * cols).unwrap();
        let mut value = backend.alloc::<f64>(1).unwrap();
        let span = Span::dense(0, rows, cols);
        let args = LossArgs {
            kind,
            scale,
            prediction: View::new(&prediction, span),
            target: View::new(&target, span),
            row_weights: weights.as_ref().map(|weights| View::new(weights, Span::dense(0, 1, rows))),
        };
        backend.loss(args, ViewMut::new(&mut gradient, span), &mut value).unwrap();
        let value = fetch::<B, f64>(backend, &value).unwrap();
        assert_close(name, &value, &[case["value"].as_f64().unwrap()]);
        assert_close(name, &fetch::<B, f64>(backend, &gradient).unwrap(), &numbers(&case["grad"]));
    }
}

#[test]
fn losses_are_pytorchs() {
    losses(&Naive);
    losses(&Cpu::new(2).unwrap());
    losses(&cuda());
}

/// The rule and the learning rate of a recorded optimizer.
fn rule(kind: &str, options: &Value) -> (Rule, f64) {
    let number = |key: &str| options[key].as_f64().unwrap();
    let flag = |key: &str| options[key].as_bool().unwrap();
    let weight_decay = number("weight_decay");
    let rule = match kind {
        "sgd" => Rule::Sgd {
            momentum: number("momentum"),
            dampening: number("dampening"),
            nesterov: flag("nesterov"),
            weight_decay,
        },
        "adagrad" => Rule::Adagrad {
            lr_decay: number("lr_decay"),
            initial_accumulator: number("initial_accumulator_value"),
            eps: number("eps"),
            weight_decay,
        },
        "rmsprop" => Rule::RmsProp {
            alpha: number("alpha"),
            eps: number("eps"),
            momentum: number("momentum"),
            centered: flag("centered"),
            weight_decay,
        },
        "adam" | "adamw" | "adam_tf" => Rule::Adam {
            beta1: number("beta1"),
            beta2: number("beta2"),
            eps: number("eps"),
            weight_decay,
            decoupled: kind == "adamw",
            tf_epsilon: kind == "adam_tf",
        },
        other => panic!("no rule for {other}"),
    };
    (rule, number("lr"))
}

fn optimizers<B: Backend>(backend: &B) {
    for case in json("optimizers.json")["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (rule, rate) = rule(case["optimizer"].as_str().unwrap(), &case["options"]);
        let clip = |key: &str| case["clip"].get(key).and_then(Value::as_f64);
        let mut params = buffer::<B, f64>(backend, &numbers(&case["p0"])).unwrap();
        let n = numbers(&case["p0"]).len();
        let fill = vec![rule.slot_fill(); n];
        let mut slots: Vec<_> =
            (0..rule.slots()).map(|_| buffer::<B, f64>(backend, &fill).unwrap()).collect();
        let mut control = Control::new(backend).unwrap();
        let steps = case["gradients"].as_array().unwrap().iter().zip(case["parameters"].as_array().unwrap());
        for (step, (gradient, want)) in (1..).zip(steps) {
            let mut gradient = buffer::<B, f64>(backend, &numbers(gradient)).unwrap();
            backend.upload(&[rate], &mut control.values, control_slot::RATE).unwrap();
            backend.upload(&[f64::from(step)], &mut control.values, control_slot::STEP).unwrap();
            backend.clip(clip("clip_value"), clip("clip_norm"), &mut gradient, &mut control).unwrap();
            backend.update(&rule, &mut params, &gradient, &mut slots, &control).unwrap();
            let got = fetch::<B, f64>(backend, &params).unwrap();
            assert_close(&format!("{name}, step {step}"), &got, &numbers(want));
        }
    }
}

#[test]
fn optimizers_are_pytorchs() {
    optimizers(&Naive);
    optimizers(&Cpu::new(2).unwrap());
    optimizers(&cuda());
}

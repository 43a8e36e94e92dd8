//! A network with an embedding is one without, over `max(0, W x + b)`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_nn::{InferPass, InitSpec, Loss, Model, Network, Readout, Stream, TrainOptions, TrainPass, saved};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float};
use lstm_testkit::case::Kind;
use lstm_testkit::tolerance::{distance, tolerance};
use serde_json::Value;

const INPUTS: usize = 3;
const UNITS: usize = 7;
const STEPS: usize = 6;
const ROWS: usize = 2;

fn plain() -> Network {
    Network::new(UNITS).lstm(5).lstm(4).head(Readout::Every, 2)
}

fn embedded() -> Network {
    Network::new(INPUTS).embed(UNITS).lstm(5).lstm(4).head(Readout::Every, 2)
}

fn normal<F: Float>(count: usize, stream: u64) -> Vec<F> {
    let mut draws = Philox::new(stream, Purpose::Data, 0);
    (0..count).map(|_| F::from_f64(draws.normal())).collect()
}

fn model<B: Backend, F: Float>(backend: &B) -> Model<B, F> {
    Model::new(backend, embedded(), &InitSpec::torch(), 5).unwrap()
}

fn predicted<B: Backend, F: Float>(backend: &B, model: &Model<B, F>, x: &[F]) -> Vec<f64> {
    let mut out = Vec::new();
    let mut pass = InferPass::new(backend, model, STEPS, ROWS).unwrap();
    pass.predict(backend, model, x, None, &mut out).unwrap();
    out.into_iter().map(F::to_f64).collect()
}

fn is_the_network_behind_it<B: Backend, F: Float>(backend: &B) {
    let model = model::<B, F>(backend);
    let x = normal::<F>(STEPS * ROWS * INPUTS, 1);
    let [weight, bias] = ["weight", "bias"].map(|part| {
        let values = model.params().get(backend, &format!("embedding.{part}")).unwrap();
        values.into_iter().map(F::to_f64).collect::<Vec<f64>>()
    });
    let unit = |row: &[F], unit: usize| {
        let products = weight[unit * INPUTS..].iter().zip(row).map(|(w, x)| w * x.to_f64());
        (bias[unit] + products.sum::<f64>()).max(0.0)
    };
    let read: Vec<f64> = x
        .chunks_exact(INPUTS)
        .flat_map(|row| (0..UNITS).map(move |u| (row, u)))
        .map(|(row, u)| unit(row, u))
        .collect();
    let silent = read.iter().filter(|value| **value == 0.0).count();
    assert!(silent > read.len() / 5 && silent < read.len(), "{silent} of {} are 0", read.len());

    let mut behind = Model::<B, F>::zeros(backend, plain()).unwrap();
    for entry in plain().param_layout().entries() {
        let values = model.params().get(backend, &entry.name).unwrap();
        behind.params_mut().set(backend, &entry.name, &values).unwrap();
    }
    let read: Vec<F> = read.into_iter().map(F::from_f64).collect();
    let far = distance(Kind::Value, &predicted(backend, &model, &x), &predicted(backend, &behind, &read));
    assert!(far <= tolerance::<F>(1.0), "{far:e}");
}

#[test]
fn it_is_the_network_behind_it_on_every_backend() {
    let cuda = Cuda::new(Emulator::new(Schedule::Skewed(3))).unwrap();
    is_the_network_behind_it::<_, f32>(&Cpu::new(2).unwrap());
    is_the_network_behind_it::<_, f64>(&Cpu::new(2).unwrap());
    is_the_network_behind_it::<_, f32>(&cuda);
    is_the_network_behind_it::<_, f64>(&cuda);
}

/// Loss of a batch, and the gradients of all parameters.
fn gradients<B: Backend>(backend: &B, model: &Model<B, f64>) -> (f64, Vec<f64>) {
    let x = normal(STEPS * ROWS * INPUTS, 1);
    let target = normal(STEPS * ROWS * 2, 2);
    let mut pass = TrainPass::new(backend, model, STEPS, ROWS, TrainOptions::new(Loss::mse())).unwrap();
    let mut accumulated = || {
        let mut grads = model.gradients(backend).unwrap();
        pass.accumulate(backend, model, &mut grads, &x, &target, (0, &[0, 1]), ROWS).unwrap();
        let mut all = vec![0.0; model.params().layout().len()];
        backend.download(grads.values(), 0, &mut all).unwrap();
        (pass.take_loss(backend).unwrap(), all)
    };
    let first = accumulated();
    assert_eq!(first, accumulated(), "a pass that is used again says something else");
    first
}

#[test]
fn gradients_are_those_of_differences() {
    let cpu = Cpu::new(1).unwrap();
    let mut model = model::<_, f64>(&cpu);
    let (_, found) = gradients(&cpu, &model);
    let values = model.download(&cpu).unwrap();
    let step = 1e-6;
    let differences: Vec<f64> = (0..values.len())
        .map(|at| {
            let mut moved = |by: f64| {
                let mut values = values.clone();
                values[at] += by;
                model.upload(&cpu, &values).unwrap();
                gradients(&cpu, &model).0
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        })
        .collect();
    let far = distance(Kind::Gradient, &found, &differences);
    assert!(far < 1e-8, "{far:e}");

    let cuda = Cuda::new(Emulator::new(Schedule::Skewed(8))).unwrap();
    let far = distance(Kind::Gradient, &gradients(&cuda, &self::model(&cuda)).1, &found);
    assert!(far <= tolerance::<f64>(1.0), "{far:e}");
}

#[test]
fn a_stream_says_the_same_step_by_step() {
    let cpu = Cpu::new(1).unwrap();
    let model = model::<_, f64>(&cpu);
    let x = normal::<f64>(STEPS * ROWS * INPUTS, 1);
    let mut stream = Stream::new(&cpu, &model, ROWS).unwrap();
    let mut all = Vec::new();
    for step in x.chunks_exact(ROWS * INPUTS) {
        let mut out = [0.0; ROWS * 2];
        stream.push(&cpu, &model, step, &mut out).unwrap();
        all.extend(out);
    }
    let far = distance(Kind::Value, &all, &predicted(&cpu, &model, &x));
    assert!(far <= tolerance::<f64>(1.0), "{far:e}");
}

#[test]
fn a_file_keeps_it_in_a_form_of_its_own() {
    let cpu = Cpu::new(1).unwrap();
    let model = model::<_, f32>(&cpu);
    let bytes = saved::to_bytes(&cpu, &model, &Value::Null).unwrap();
    let says = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(says(r#"\"version\":4"#), "older programs would not say why they refuse it");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let read = saved::read(&path).unwrap();
    assert_eq!(read.network, embedded());
    assert_eq!(read.load::<_, f32>(&cpu).unwrap().download(&cpu).unwrap(), model.download(&cpu).unwrap());
}

#[test]
fn impossible_ones_are_refused() {
    for inputs in [0, 1 << 40] {
        let error = Network { embedding: Some(inputs), ..embedded() }.validate().unwrap_err().to_string();
        assert!(error.contains("inputs of the embedding"), "{error}");
    }
    assert!(Network::new(3).embed(0).lstm(2).validate().is_err());
}

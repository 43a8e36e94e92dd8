//! Models move between devices: trained, saved, loaded and trained on, on either, they are the reference's within the
//! tolerance; and a device that is too small says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda::driver::Driver;
use lstm_cuda::probe::probe;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_data::{Element, Sequences};
use lstm_nn::{InferPass, InitSpec, Model, Network, Readout, saved};
use lstm_optim::OptimizerConfig;
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Error, Float, LayerSpec};
use lstm_testkit::Naive;
use lstm_testkit::case::Kind;
use lstm_testkit::tolerance::{distance, tolerance};
use lstm_train::{Fit, FitConfig, Flow, Outcome, SequenceSource, Stop, TrainState};
use ndarray::Array3;
use serde_json::json;

/// Steps of a sequence, sequences, inputs.
const SHAPE: (usize, usize, usize) = (7, 10, 2);
/// Perturbed runs that measure how strongly training answers to noise, as for the laws.
const PERTURBATIONS: u32 = 3;

fn cpu() -> Cpu {
    Cpu::new(2).unwrap()
}

fn cuda() -> Cuda<Emulator> {
    Cuda::new(Emulator::new(Schedule::Skewed(3))).unwrap()
}

/// Two layers of unequal width with dropout, so that random numbers have to agree too.
fn network() -> Network {
    let layer = |units| LayerSpec::new(units).forget_bias(1.0).dropout(0.2, 0.1);
    Network::new(SHAPE.2).layer(layer(9)).layer(layer(5)).head(Readout::Last, 2)
}

fn config(steps: u64) -> FitConfig {
    let mut config = FitConfig::new(4, OptimizerConfig::adam(0.01).clip_norm(0.5), Stop::after(steps));
    (config.seed, config.input_noise) = (5, 0.05);
    config
}

/// Noise of one `eps` of f64 on a number, for the run of this index; none without one.
struct Noise(Option<Philox>);

impl Noise {
    fn new(index: Option<u32>) -> Self {
        Self(index.map(|index| Philox::new(0, Purpose::Data, index)))
    }

    fn on(&mut self, value: f64) -> f64 {
        let Some(signs) = &mut self.0 else { return value };
        value * (1.0 + if signs.uniform() < 0.5 { f64::EPSILON } else { -f64::EPSILON })
    }
}

fn sequences(noise: &mut Noise) -> Sequences {
    let (steps, rows, width) = SHAPE;
    let mut stream = Philox::new(9, Purpose::Data, 0);
    let inputs = Array3::from_shape_fn((steps, rows, width), |_| noise.on(stream.normal()));
    let targets = Array3::from_shape_fn((1, rows, 2), |(_, row, o)| {
        inputs[[steps - 1, row, o]] - 0.5 * inputs[[1, row, 0]]
    });
    Sequences { inputs, targets }
}

/// A model after six steps of training from one seed.
fn trained<B: Backend, F: Float + Element>(backend: &B, mut noise: Noise, config: FitConfig) -> Model<B, F> {
    let data = sequences(&mut noise);
    let source = SequenceSource(&data);
    let mut model = Model::<B, F>::new(backend, network(), &InitSpec::torch(), 3).unwrap();
    let params = model.download(backend).unwrap();
    let params: Vec<F> = params.into_iter().map(|value| Float::from_f64(noise.on(value.to_f64()))).collect();
    model.upload(backend, &params).unwrap();
    let mut fit = Fit::new(backend, model, &source, config).unwrap();
    assert_eq!(fit.run(None, &mut |_, _| Flow::Continue).unwrap(), Outcome::Finished);
    fit.into_model().unwrap()
}

fn as_f64<F: Float>(values: &[F]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

/// Parameters and forecasts of a model.
struct Numbers([(&'static str, Vec<f64>); 2]);

impl Numbers {
    fn of<B: Backend, F: Float>(backend: &B, model: &Model<B, F>) -> Self {
        let (steps, rows, _) = SHAPE;
        let x: Vec<F> = sequences(&mut Noise(None)).inputs.iter().map(|value| F::from_f64(*value)).collect();
        let mut out = Vec::new();
        let mut pass = InferPass::new(backend, model, steps, rows).unwrap();
        pass.predict(backend, model, &x, None, &mut out).unwrap();
        assert_eq!(out.len(), rows * 2);
        Self([("parameters", as_f64(&model.download(backend).unwrap())), ("forecasts", as_f64(&out))])
    }

    /// Name of what lies farthest from `reference`, and how far.
    fn farthest(&self, reference: &Self) -> (&'static str, f64) {
        let distances =
            self.0.iter().zip(&reference.0).map(|(a, b)| (a.0, distance(Kind::Value, &a.1, &b.1)));
        distances.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }
}

/// What training gives by the reference in f64, and its answer to noise of one `eps`, in `eps`.
struct Expected {
    numbers: Numbers,
    kappa: f64,
}

impl Expected {
    fn new() -> Self {
        let run = |index| Numbers::of(&Naive, &trained::<_, f64>(&Naive, Noise::new(index), config(6)));
        let numbers = run(None);
        let answers = (0..PERTURBATIONS).map(|index| run(Some(index)).farthest(&numbers).1 / f64::EPSILON);
        let kappa = answers.fold(0.0, f64::max);
        Self { numbers, kappa }
    }

    /// Distance over tolerance of what lies farthest; more than 1 is wrong.
    fn judge<B: Backend, F: Float>(&self, backend: &B, model: &Model<B, F>) -> (&'static str, f64) {
        let (what, distance) = Numbers::of(backend, model).farthest(&self.numbers);
        (what, distance / tolerance::<F>(self.kappa))
    }
}

#[track_caller]
fn assert_sound(judged: (&str, f64)) {
    assert!(judged.1 <= 1.0, "{judged:?}");
}

/// Training is the reference's.
fn trains<B: Backend, F: Float + Element>(backend: &B, expected: &Expected) {
    assert_sound(expected.judge(backend, &trained::<B, F>(backend, Noise(None), config(6))));
    // Another order of samples and other masks, or one step less, are noticed.
    let mut other = config(6);
    other.seed += 1;
    for other in [other, config(5)] {
        let judged = expected.judge(backend, &trained::<B, F>(backend, Noise(None), other));
        assert!(judged.1 > 1.0, "{judged:?}");
    }
}

/// A model that was saved on one device is the same on the other, to the bit, and forecasts there.
fn moves<A: Backend, B: Backend, F: Float + Element>(from: &A, to: &B, expected: &Expected) {
    let (folder, task) = (tempfile::tempdir().unwrap(), json!({ "forecasts": "sums" }));
    let path = folder.path().join("model.safetensors");
    let model = trained::<A, F>(from, Noise(None), config(6));
    saved::write(from, &model, &task, &path).unwrap();
    let loaded = saved::read(&path).unwrap().load::<B, F>(to).unwrap();
    let bits = |values: Vec<F>| values.iter().map(|v| v.to_f64().to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(loaded.download(to).unwrap()), bits(model.download(from).unwrap()));
    let bytes = saved::to_bytes(to, &loaded, &task).unwrap();
    assert!(bytes == std::fs::read(&path).unwrap(), "the file says where it was written");
    assert_sound(expected.judge(to, &loaded));
}

/// All of it on a device beside the CPU.
fn all_on<B: Backend>(device: &B) {
    let (cpu, expected) = (cpu(), Expected::new());
    trains::<_, f32>(device, &expected);
    trains::<_, f64>(device, &expected);
    moves::<_, _, f32>(&cpu, device, &expected);
    moves::<_, _, f64>(&cpu, device, &expected);
    moves::<_, _, f32>(device, &cpu, &expected);
    moves::<_, _, f64>(device, &cpu, &expected);
}

#[test]
fn models_move_between_processors() {
    all_on(&cpu());
}

#[test]
fn models_move_between_cpu_and_emulator() {
    all_on(&cuda());
}

#[test]
fn models_move_between_cpu_and_gpu() {
    if let Some(missing) = probe().missing().first() {
        let required = std::env::var_os("LSTM_REQUIRE_GPU").is_some_and(|value| value == "1");
        assert!(!required, "LSTM_REQUIRE_GPU=1, but {missing}");
        eprintln!("SKIPPED: {missing}");
        return;
    }
    all_on(&Cuda::new(Driver::new(0).unwrap()).unwrap());
}

#[test]
fn training_goes_on_on_another_device() {
    fn moved<A: Backend, B: Backend>(from: &A, to: &B, expected: &Expected) {
        let data = sequences(&mut Noise(None));
        let source = SequenceSource(&data);
        let model = Model::<A, f64>::new(from, network(), &InitSpec::torch(), 3).unwrap();
        let mut fit = Fit::new(from, model, &source, config(3)).unwrap();
        fit.run(None, &mut |_, _| Flow::Continue).unwrap();
        let state: TrainState<f64> = fit.state().unwrap();
        let blank = Model::<B, f64>::zeros(to, network()).unwrap();
        let mut fit = Fit::resume(to, blank, &source, config(6), state).unwrap();
        fit.run(None, &mut |_, _| Flow::Continue).unwrap();
        assert_sound(expected.judge(to, &fit.into_model().unwrap()));
    }
    let expected = Expected::new();
    moved(&cpu(), &cuda(), &expected);
    moved(&cuda(), &cpu(), &expected);
}

/// What is too large is refused with both figures, leaves nothing behind, and what is smaller then fits.
#[test]
fn a_device_that_is_too_small_says_so() {
    const MEMORY: usize = 4 << 20;
    let small = Cuda::new(Emulator::new(Schedule::InOrder).with_memory(MEMORY)).unwrap();
    let (steps, rows) = (64, 128);
    let inputs = Array3::from_elem((steps, rows, 1), 0.5);
    let data = Sequences { inputs, targets: Array3::zeros((1, rows, 1)) };
    let source = SequenceSource(&data);
    let network = Network::new(1).lstm(24).head(Readout::Last, 1);
    let run = |batch| {
        let model = Model::<_, f32>::new(&small, network.clone(), &InitSpec::torch(), 1)?;
        let config = FitConfig::new(batch, OptimizerConfig::adam(0.01), Stop::after(1));
        Fit::new(&small, model, &source, config)?.run(None, &mut |_, _| Flow::Continue)
    };
    // The gates alone are 64 x 128 x 4 x 24 numbers of 4 bytes: 3 MiB; cell states and the backward pass come on top.
    for _ in 0..2 {
        let error = run(rows).unwrap_err();
        let (lstm_train::Error::Tensor(cause) | lstm_train::Error::Network(lstm_nn::Error::Tensor(cause))) =
            error
        else {
            panic!("{error}")
        };
        let Error::Memory { bytes, free: Some(free) } = cause else { panic!("{cause}") };
        assert!(free < bytes && free < MEMORY, "{bytes} wanted, {free} free");
    }
    assert_eq!(run(8).unwrap(), Outcome::Finished);
}

//! Networks in training: PyTorch's losses replayed, resume, thread counts, shards, stop rules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule as Order};
use lstm_data::Sequences;
use lstm_data::generate::{Draw, RandomSine};
use lstm_nn::{
    Answer, InferPass, Init, InitSpec, Loss, Model, Network, Readout, Reduction, Stream, TrainOptions,
    TrainPass,
};
use lstm_optim::{OptimizerConfig, Schedule, Unit};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Bias, LayerSpec, LossKind};
use lstm_train::{Drawn, Error, Fit, FitConfig, Flow, Fresh, Outcome, SequenceSource, Stop, TrainState};
use ndarray::Array3;
use serde::Deserialize;

fn sequences(rows: usize, steps: usize, every: bool) -> Sequences {
    let mut stream = Philox::new(9, Purpose::Data, 0);
    let inputs = Array3::from_shape_fn((steps, rows, 2), |_| stream.normal());
    let read = if every { steps } else { 1 };
    let targets = Array3::from_shape_fn((read, rows, 1), |(t, r, _)| {
        let t = if every { t } else { steps - 1 };
        inputs[[t, r, 0]] - 0.5 * inputs[[t.saturating_sub(1), r, 1]]
    });
    Sequences { inputs, targets }
}

fn network(dropout: f64) -> Network {
    let layer = LayerSpec::new(6).forget_bias(1.0).dropout(dropout, dropout);
    Network::new(2).layer(layer).layer(layer).head(Readout::Last, 1)
}

fn config() -> FitConfig {
    let optimizer =
        OptimizerConfig::adam(0.01).clip_norm(0.5).schedule(Schedule::Cosine { period: 40, minimum: 1e-4 });
    let mut config = FitConfig::new(4, optimizer, Stop::after(23));
    config.seed = 5;
    config.check_every = 7;
    config.input_noise = 0.05;
    config
}

/// Weights, moments and losses of a run that is cut into pieces of `piece` steps, each resumed from
/// the serialised state of the one before.
fn run_in_pieces<B: Backend>(device: &B, shard_rows: Option<usize>, piece: u64) -> TrainState<f32> {
    run_until(config().stop, device, shard_rows, piece)
}

fn run_until<B: Backend>(stop: Stop, device: &B, shard_rows: Option<usize>, piece: u64) -> TrainState<f32> {
    let data = sequences(10, 5, false);
    let source = SequenceSource(&data);
    let mut config = config();
    (config.stop, config.shard_rows) = (stop, shard_rows);
    let fresh = || Model::<B, f32>::new(device, network(0.3), &InitSpec::torch(), 3).unwrap();
    let mut state: Option<TrainState<f32>> = None;
    loop {
        let mut fit = match state.take() {
            None => Fit::new(device, fresh(), &source, config.clone()).unwrap(),
            Some(state) => Fit::resume(device, fresh(), &source, config.clone(), state).unwrap(),
        };
        let mut validate = |device: &B, model: &Model<B, f32>| {
            // What was best must survive a cut too.
            let first = f64::from(model.download(device)?[0]);
            Ok((first - 0.1).abs())
        };
        let mut left = piece;
        let mut observe = |_, _: Option<&_>| {
            left -= 1;
            if left == 0 { Flow::Stop } else { Flow::Continue }
        };
        let outcome = fit.run(Some(&mut validate), &mut observe).unwrap();
        let json = serde_json::to_string(&fit.state().unwrap()).unwrap();
        let restored: TrainState<f32> = serde_json::from_str(&json).unwrap();
        if outcome == Outcome::Finished {
            return restored;
        }
        state = Some(restored);
    }
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(threads).unwrap()
}

#[test]
fn resumed_at_any_step_the_bits_are_the_same() {
    let whole = run_in_pieces(&cpu(1), None, 1000);
    for piece in [1, 2, 3, 5, 22] {
        assert!(run_in_pieces(&cpu(1), None, piece) == whole, "cut every {piece} steps");
    }
}

/// Phases of a step are recorded in the first epoch, the smaller last batch and shards too; then replayed.
#[test]
fn a_device_records_each_batch_shape_once_and_resumes_with_the_same_bits() {
    for shard_rows in [None, Some(3)] {
        let device = || Cuda::new(Emulator::new(Order::InOrder)).unwrap();
        let whole = device();
        let state = run_in_pieces(&whole, shard_rows, 1000);
        assert!(run_in_pieces(&device(), shard_rows, 5) == state, "cut every 5 steps");
        let epoch = device();
        let first = run_until(Stop::after(3), &epoch, shard_rows, 1000);
        assert_eq!((first.epoch, first.index, state.epoch), (1, 0, 7), "an epoch has three steps");
        assert_eq!(whole.recordings(), epoch.recordings(), "later epochs record nothing");
        let expected = run_in_pieces(&cpu(1), shard_rows, 1000);
        for (a, b) in state.params.iter().zip(&expected.params) {
            assert!((a - b).abs() < 1e-3, "{a} on the device, {b} on the CPU");
        }
    }
}

#[test]
fn threads_change_no_bit_with_and_without_shards() {
    for shard_rows in [None, Some(1), Some(3)] {
        let one = run_in_pieces(&cpu(1), shard_rows, 1000);
        for threads in [2, 3, 4] {
            assert!(
                run_in_pieces(&cpu(threads), shard_rows, 1000) == one,
                "{threads} threads, shards of {shard_rows:?}"
            );
        }
    }
}

/// Where a head says two numbers of each value, a batch is cut by the columns of its targets.
#[test]
fn shards_of_what_says_how_sure_it_is_change_the_sum_by_rounding_only() {
    let data = sequences(10, 5, false);
    let source = SequenceSource(&data);
    let run = |shard_rows| {
        let network = Network::new(2).layer(LayerSpec::new(6)).head(Readout::Last, 2);
        let model = Model::<Cpu, f64>::new(&cpu(1), network, &InitSpec::torch(), 3).unwrap();
        let mut config = config();
        (config.loss, config.shard_rows) = (Loss::mean(Answer::Gaussian), shard_rows);
        config.stop.max_steps = 5;
        let device = cpu(1);
        let mut fit = Fit::new(&device, model, &source, config).unwrap();
        fit.run(None, &mut |_, _| Flow::Continue).unwrap();
        fit.state().unwrap().params
    };
    let whole = run(None);
    for rows in [1, 3] {
        for (a, b) in run(Some(rows)).iter().zip(&whole) {
            assert!((a - b).abs() < 1e-9, "{a} in shards of {rows}, {b} in one");
        }
    }
}

#[test]
fn shards_change_the_sum_by_rounding_only() {
    let whole = run_in_pieces(&cpu(1), None, 1000);
    let one = TrainState { config: whole.config.clone(), ..run_in_pieces(&cpu(1), Some(4), 1000) };
    assert!(one == whole, "one shard is the whole batch");
    for rows in [1, 2, 3] {
        let sharded = run_in_pieces(&cpu(1), Some(rows), 1000);
        for (a, b) in sharded.params.iter().zip(&whole.params) {
            assert!((a - b).abs() < 1e-3, "shards of {rows}: {a} against {b}");
        }
    }
}

#[test]
fn a_state_of_another_run_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let data = sequences(10, 5, false);
    let source = SequenceSource(&data);
    let model = || Model::<Cpu, f32>::new(&cpu, network(0.0), &InitSpec::torch(), 3).unwrap();
    let state = Fit::new(&cpu, model(), &source, config()).unwrap().state().unwrap();
    let mut other = config();
    other.seed = 6;
    assert!(matches!(Fit::resume(&cpu, model(), &source, other, state.clone()), Err(Error::State { .. })));
    let mut other = config();
    other.batch = 3;
    assert!(matches!(Fit::resume(&cpu, model(), &source, other, state.clone()), Err(Error::State { .. })));
    let fewer = sequences(9, 5, false);
    let smaller = SequenceSource(&fewer);
    assert!(matches!(
        Fit::resume(&cpu, model(), &smaller, config(), state.clone()),
        Err(Error::State { .. })
    ));
    let beyond = TrainState { index: 10, ..state.clone() };
    assert!(matches!(Fit::resume(&cpu, model(), &source, config(), beyond), Err(Error::State { .. })));
    let mut longer = config();
    longer.stop = Stop::after(50);
    assert!(Fit::resume(&cpu, model(), &source, longer, state.clone()).is_ok(), "a run may be prolonged");
    let wider =
        Model::<Cpu, f32>::new(&cpu, Network::new(2).lstm(7).head(Readout::Last, 1), &InitSpec::torch(), 3);
    assert!(Fit::resume(&cpu, wider.unwrap(), &source, config(), state).is_err());
}

#[test]
fn stop_rules() {
    let cpu = Cpu::new(1).unwrap();
    let data = sequences(10, 5, false);
    let source = SequenceSource(&data);
    let run = |stop: Stop, values: &[f64]| {
        let mut config = config();
        config.stop = stop;
        let model = Model::<Cpu, f32>::new(&cpu, network(0.0), &InitSpec::torch(), 3).unwrap();
        let mut fit = Fit::new(&cpu, model, &source, config).unwrap();
        let mut seen = Vec::new();
        let mut values = values.iter();
        let mut validate = |cpu: &Cpu, model: &Model<Cpu, f32>| {
            seen.push(model.download(cpu)?);
            Ok(*values.next().unwrap())
        };
        let outcome = fit.run(Some(&mut validate), &mut |_, _| Flow::Continue).unwrap();
        (outcome, fit.steps(), fit.best().unwrap().step, seen, fit.model().download(&cpu).unwrap())
    };
    let patient = Stop { patience: Some(2), ..Stop::after(1000) };
    let (outcome, steps, best, seen, last) = run(patient, &[3.0, 2.0, 2.0, 4.0]);
    assert_eq!((outcome, steps, best), (Outcome::OutOfPatience, 28, 14));
    assert_eq!(last, seen[1], "the best weights are restored");

    let easy = Stop { target_loss: Some(1e9), ..Stop::after(1000) };
    assert_eq!(run(easy, &[1.0; 20]).1, 7, "checked at the first interval");
    // Epochs of ten samples have batches of 4, 4 and 2: 21 steps are 70 samples.
    let later = Stop { min_samples: 60, ..easy };
    let (outcome, steps, ..) = run(later, &[1.0; 20]);
    assert_eq!((outcome, steps), (Outcome::TargetReached, 21));
    assert_eq!(run(Stop::after(9), &[1.0, 0.5]).1, 9);
}

/// The rule of seed program 001: after enough samples, the loss of one drawn batch, seen again after its update, and a
/// learning rate that falls with the samples.
#[test]
fn a_drawn_batch_is_judged_again_after_its_update() {
    let cpu = Cpu::new(1).unwrap();
    let sines = RandomSine {
        inputs: 5,
        outputs: 3,
        rate: 100.0,
        frequency: [0.5, 4.0],
        latest: std::f64::consts::TAU,
    };
    let network = Network::new(1).lstm(6).head(Readout::Last, 3);
    let schedule = Schedule::Step { every: 20, factor: 0.1, unit: Unit::Samples };
    let mut config = FitConfig::new(4, OptimizerConfig::adam(0.01).schedule(schedule), Stop::after(24));
    config.loss = Loss::mse().reduce(Reduction::BatchMean);
    (config.check_every, config.loss_after_update, config.seed) = (3, true, 7);
    let run = |config: &FitConfig| {
        let model = Model::<Cpu, f64>::new(&cpu, network.clone(), &InitSpec::tf1(), 3).unwrap();
        let source = Drawn(sines);
        let mut fit = Fit::new(&cpu, model, &source, config.clone()).unwrap();
        let mut reports = Vec::new();
        let outcome = fit.run(None, &mut |_, report| {
            reports.extend(report.copied());
            Flow::Continue
        });
        (outcome.unwrap(), reports, fit.into_model().unwrap())
    };
    let (outcome, reports, model) = run(&config);
    assert_eq!((outcome, reports.len()), (Outcome::Finished, 8));
    for report in &reports {
        let falls = i32::try_from(report.samples / 20).unwrap();
        assert!((report.learning_rate - 0.01 * 0.1_f64.powi(falls)).abs() < 1e-15, "{report:?}");
    }

    let last = reports.last().unwrap();
    let fresh = Fresh { seed: 7, step: 23, count: 4 };
    let batch = sines.draw(4, &mut fresh.stream()).unwrap();
    let x: Vec<f64> = batch.inputs.iter().copied().collect();
    let mut out = Vec::new();
    InferPass::new(&cpu, &model, 5, 4).unwrap().predict(&cpu, &model, &x, None, &mut out).unwrap();
    let squares = out.iter().zip(&batch.targets).map(|(p, y)| (p - y) * (p - y)).sum::<f64>();
    assert!((last.last_loss - squares / 4.0).abs() < 1e-12, "{} {}", last.last_loss, squares / 4.0);

    // Looking again changes nothing of the run, nor do shards of the batch change what is seen.
    config.loss_after_update = false;
    let (_, plain, same) = run(&config);
    assert_eq!(model.download(&cpu).unwrap(), same.download(&cpu).unwrap());
    assert!(plain.iter().zip(&reports).all(|(a, b)| a.loss == b.loss && a.last_loss != b.last_loss));
    (config.loss_after_update, config.shard_rows) = (true, Some(3));
    let sharded = run(&config).1.last().unwrap().last_loss;
    assert!((sharded - last.last_loss).abs() < 1e-9 * last.last_loss);

    // The first check that the rule may hold at is the first one from 40 samples on with a loss below the target.
    config.shard_rows = None;
    let target = reports[4].last_loss.max(reports[5].last_loss);
    config.stop = Stop { min_samples: 40, target_loss: Some(target), ..config.stop };
    let fires = reports.iter().find(|r| r.samples >= 40 && r.last_loss <= target).unwrap();
    let (outcome, stopped, _) = run(&config);
    assert_eq!((outcome, stopped.last()), (Outcome::TargetReached, Some(fires)));
}

#[test]
fn divergence_names_the_step_and_keeps_finite_weights() {
    let cpu = Cpu::new(1).unwrap();
    let data = sequences(10, 5, false);
    let source = SequenceSource(&data);
    let mut config = config();
    config.optimizer = OptimizerConfig::sgd(1e30);
    let model = Model::<Cpu, f32>::new(&cpu, network(0.0), &InitSpec::torch(), 3).unwrap();
    let mut fit = Fit::new(&cpu, model, &source, config).unwrap();
    let error = fit.run(None, &mut |_, _| Flow::Continue).unwrap_err();
    let Error::Diverged { fault, .. } = error else { panic!("{error}") };
    assert!(fault.step >= 2, "the first gradient was finite");
    assert!(fit.model().download(&cpu).unwrap().iter().all(|v| v.is_finite()));
}

#[test]
fn training_stream_and_inference_see_the_same_network() {
    let cpu = Cpu::new(2).unwrap();
    let layer = LayerSpec::new(5).forget_bias(0.7).bias(Bias::One);
    let network = Network::new(2).layer(layer).lstm(9).head(Readout::Every, 3);
    let init = InitSpec { recurrent: Init::Orthogonal, ..InitSpec::torch() };
    let model = Model::<Cpu, f64>::new(&cpu, network, &init, 1).unwrap();
    let (steps, rows) = (7, 4);
    let mut stream = Philox::new(1, Purpose::Data, 0);
    let x: Vec<f64> = (0..steps * rows * 2).map(|_| stream.normal()).collect();
    let options = TrainOptions::new(Loss::mse());
    let (trained, traces) =
        TrainPass::new(&cpu, &model, steps, rows, options).unwrap().trace(&cpu, &model, &x).unwrap();
    let mut inferred = Vec::new();
    InferPass::new(&cpu, &model, steps, rows)
        .unwrap()
        .predict(&cpu, &model, &x, None, &mut inferred)
        .unwrap();
    let mut streamed = Vec::new();
    let mut live = Stream::new(&cpu, &model, rows).unwrap();
    for step in x.chunks(rows * 2) {
        let mut out = vec![0.0; rows * 3];
        live.push(&cpu, &model, step, &mut out).unwrap();
        streamed.extend(out);
    }
    let close =
        |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13) && a.len() == b.len();
    assert!(close(&trained, &inferred) && close(&trained, &streamed));
    assert_eq!(traces[1].gates.len(), steps * rows * 4 * 9);
    // h = o tanh(c), read through the tape's layout.
    for (i, h) in traces[1].hidden.iter().enumerate() {
        let (row, unit) = (i / 9, i % 9);
        let o = traces[1].gates[(row * 4 + 3) * 9 + unit];
        assert!((h - o * traces[1].cell[i].tanh()).abs() < 1e-13);
    }
}

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: usize,
    batch: usize,
    input: usize,
    hidden: Vec<usize>,
    output: usize,
    readout: String,
    reduction: String,
    optimizer: String,
    options: serde_json::Map<String, serde_json::Value>,
    losses: Vec<f64>,
    final_loss: f64,
}

/// Ten optimizer steps of whole networks, as PyTorch recorded them in f64.
#[test]
fn ten_losses_of_pytorch() {
    let recorded: Recorded = serde_json::from_str(include_str!("../golden/training.json")).unwrap();
    let file =
        safetensors::SafeTensors::deserialize(include_bytes!("../golden/training.safetensors")).unwrap();
    let cpu = Cpu::new(2).unwrap();
    for case in recorded.cases {
        let tensor = |name: &str| -> Vec<f64> {
            let tensor = file.tensor(&format!("{}.{name}", case.name)).unwrap();
            tensor.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
        };
        let readout = if case.readout == "last" { Readout::Last } else { Readout::Every };
        let network =
            case.hidden.iter().fold(Network::new(case.input), |n, &h| n.lstm(h)).head(readout, case.output);
        let mut model = Model::<Cpu, f64>::zeros(&cpu, network).unwrap();
        let names: Vec<_> = model.params().layout().entries().iter().map(|e| e.name.clone()).collect();
        for name in &names {
            model.params_mut().set(&cpu, name, &tensor(&format!("initial.{name}"))).unwrap();
        }
        let number = |key: &str| case.options[key].as_f64().unwrap();
        let optimizer = match case.optimizer.as_str() {
            "adam" => OptimizerConfig::adam(number("lr")),
            "sgd" => OptimizerConfig::momentum(number("lr"), number("momentum")),
            other => panic!("{other}"),
        };
        let reduction = if case.reduction == "sum" { Reduction::Sum } else { Reduction::Mean };
        let loss = Loss::mean(LossKind::Squared).reduce(reduction);
        let mut pass = TrainPass::new(&cpu, &model, case.steps, case.batch, TrainOptions::new(loss)).unwrap();
        let mut grads = model.gradients(&cpu).unwrap();
        let mut optimizer = lstm_optim::Optimizer::new(&cpu, &optimizer, model.params().layout()).unwrap();
        let (x, target) = (tensor("data.x"), tensor("data.target"));
        let samples: Vec<u32> = (0..case.batch as u32).collect();
        for (step, expected) in case.losses.iter().chain([&case.final_loss]).enumerate() {
            let address = (step as u32, samples.as_slice());
            pass.accumulate(&cpu, &model, &mut grads, &x, &target, address, case.batch).unwrap();
            let loss = pass.take_loss(&cpu).unwrap();
            assert!(
                (loss - expected).abs() <= 1e-11 * expected.abs(),
                "{} step {step}: {loss} {expected}",
                case.name
            );
            if step < case.losses.len() {
                optimizer.apply(&cpu, model.params_mut(), &mut grads, case.batch).unwrap();
            }
        }
        for name in &names {
            let got = model.params().get(&cpu, name).unwrap();
            for (a, b) in got.iter().zip(tensor(&format!("final.{name}"))) {
                assert!((a - b).abs() < 1e-11, "{} {name}: {a} {b}", case.name);
            }
        }
    }
}

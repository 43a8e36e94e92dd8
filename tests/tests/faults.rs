//! Faults planted in trainings: each is noticed in its step, and what comes of it is exactly what [`Guard`] says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_data::generate::RandomSine;
use lstm_data::{Element, Sequences, shuffled};
use lstm_nn::{InitSpec, Loss, Model, Network, Readout};
use lstm_optim::{OptimizerConfig, Schedule};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float, LayerSpec, LossKind};
use lstm_testkit::{Planted, Site};
use lstm_train::{
    Checkpoints, Culprit, Drawn, Error, Fault, Fit, FitConfig, Flow, Guard, Journal, Outcome, Progress,
    Result, Rows, SampleShape, SequenceSource, Setbacks, Source, Stop, TrainState, UnderWay,
};
use ndarray::Array3;
use serde_json::Value;

/// Samples, rows of a batch, steps, steps between checks: the last batch of an epoch has two rows.
const SAMPLES: usize = 10;
const BATCH: usize = 4;
const STEPS: u64 = 23;
const CHECK: u64 = 7;

fn data() -> Sequences {
    let mut stream = Philox::new(9, Purpose::Data, 0);
    let inputs = Array3::from_shape_fn((5, SAMPLES, 2), |_| stream.normal());
    let targets =
        Array3::from_shape_fn((1, SAMPLES, 1), |(_, r, _)| inputs[[4, r, 0]] - 0.5 * inputs[[3, r, 1]]);
    Sequences { inputs, targets }
}

fn network() -> Network {
    let layer = LayerSpec::new(6).forget_bias(1.0).dropout(0.2, 0.2);
    Network::new(2).layer(layer).layer(layer).head(Readout::Last, 1)
}

fn config() -> FitConfig {
    let optimizer =
        OptimizerConfig::adam(0.01).clip_norm(0.5).schedule(Schedule::Cosine { period: 40, minimum: 1e-4 });
    let mut config = FitConfig::new(BATCH, optimizer, Stop::after(STEPS));
    (config.seed, config.check_every) = (5, CHECK);
    config
}

fn model<B: Backend, F: Float>(backend: &B) -> Model<B, F> {
    Model::new(backend, network(), &InitSpec::torch(), 3).unwrap()
}

/// Names and offsets of all tensors.
fn tensors() -> Vec<(String, usize)> {
    let layout = network().param_layout();
    layout.entries().iter().map(|entry| (entry.name.clone(), entry.offset + entry.len() / 2)).collect()
}

/// What came of a training.
#[derive(Debug, PartialEq)]
struct Ended<F> {
    fault: Option<Fault>,
    setbacks: Setbacks,
    /// Those that are kept.
    params: Vec<F>,
    reports: Vec<Progress>,
}

impl<F: Float> Ended<F> {
    /// Skipped steps and times that it went back, of a training that came to its end with finite weights.
    fn helped(&self) -> (u64, u32) {
        assert_eq!(self.fault, None);
        self.sound()
    }

    fn sound(&self) -> (u64, u32) {
        assert!(self.params.iter().all(|value| value.is_finite()), "weights that are kept are finite");
        (self.setbacks.skipped, self.setbacks.rollbacks)
    }

    /// The step and the tensor of a training that ended in a fault with finite weights, after so many skipped steps.
    fn failed(&self, skipped: u64) -> (u64, &Culprit) {
        assert_eq!(self.sound(), (skipped, 3));
        let fault = self.fault.as_ref().unwrap();
        (fault.step, &fault.culprit)
    }

    fn samples(&self) -> &[usize] {
        &self.fault.as_ref().unwrap().samples
    }
}

/// Trains in pieces of so many steps, each resumed from the checkpoint of the one before; `change` is made to
/// the state that it begins with.
fn train_in_pieces<B: Backend, F: Float, S: Source<F>>(
    backend: &B,
    source: &S,
    config: &FitConfig,
    piece: u64,
    change: impl FnOnce(&mut TrainState<F>),
) -> Ended<F> {
    let mut state = Fit::new(backend, model(backend), source, config.clone()).unwrap().state().unwrap();
    change(&mut state);
    let mut reports = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    let mut files = Checkpoints::of(folder.path()).unwrap();
    loop {
        let mut fit = Fit::new(backend, model(backend), source, config.clone()).unwrap();
        fit.restore(state).unwrap();
        let mut left = piece;
        let ended = fit.run(None, &mut |_, report| {
            reports.extend(report.copied());
            left -= 1;
            if left == 0 { Flow::Stop } else { Flow::Continue }
        });
        let fault = match ended {
            Ok(Outcome::Interrupted) => {
                let current = Some(UnderWay { state: fit.state().unwrap(), reports: Vec::new() });
                files.keep(&Journal { finished: Vec::new(), current }, &Value::Null).unwrap();
                let (journal, _): (Journal<F>, Value) = files.newest().unwrap().unwrap();
                state = journal.current.unwrap().state;
                continue;
            }
            Ok(_) => None,
            Err(Error::Diverged { fault, .. }) => Some(*fault),
            Err(error) => panic!("{error}"),
        };
        let setbacks = fit.setbacks().clone();
        return Ended { fault, setbacks, params: fit.model().download(backend).unwrap(), reports };
    }
}

fn train<B: Backend, F: Float, S: Source<F>>(backend: &B, source: &S, config: &FitConfig) -> Ended<F> {
    train_in_pieces(backend, source, config, u64::MAX, |_| {})
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(threads).unwrap()
}

/// The data with one value that is not what it should be.
struct Sick {
    data: Sequences,
    sample: usize,
    of_target: bool,
    value: f64,
}

impl Sick {
    fn new(sample: usize, of_target: bool, value: f64) -> Self {
        Self { data: data(), sample, of_target, value }
    }

    /// Steps whose batch holds the sample.
    fn steps(&self) -> u64 {
        let seed = config().seed;
        let batches = (0..).flat_map(|epoch| {
            let order = shuffled(SAMPLES as u32, &mut Philox::new(seed, Purpose::Order, epoch));
            order.chunks(BATCH).map(<[u32]>::to_vec).collect::<Vec<_>>()
        });
        batches.take(STEPS as usize).filter(|batch| batch.contains(&(self.sample as u32))).count() as u64
    }
}

impl<F: Float + Element> Source<F> for Sick {
    fn shape(&self) -> SampleShape {
        <SequenceSource<'_> as Source<F>>::shape(&SequenceSource(&self.data))
    }

    fn samples(&self) -> Option<usize> {
        Some(SAMPLES)
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        SequenceSource(&self.data).fill(rows, x, y)?;
        let Rows::Chosen(rows) = rows else { return Ok(()) };
        if let Some(row) = rows.iter().position(|row| *row == self.sample) {
            let place = if self.of_target { &mut y[row] } else { &mut x[2 * row + 1] };
            *place = <F as Float>::from_f64(self.value);
        }
        Ok(())
    }
}

/// A value of one sample makes every step bad whose batch holds it, and no other; two of three batches are sound, so that
/// the training needs no rescue.
fn a_sick_sample_costs_its_steps<F: Float + Element>() {
    for (of_target, value) in [
        (false, f64::NAN),
        (false, f64::INFINITY),
        (false, f64::NEG_INFINITY),
        (true, f64::NAN),
        (true, f64::INFINITY),
        (true, f64::NEG_INFINITY),
    ] {
        let sick = Sick::new(3, of_target, value);
        let ended: Ended<F> = train(&cpu(2), &sick, &config());
        assert_eq!(ended.helped(), (sick.steps(), 0), "{of_target} {value}");
        assert!((7..=8).contains(&sick.steps()));
        let last = ended.reports.last().unwrap();
        assert_eq!((last.step, last.skipped, last.rollbacks), (STEPS, sick.steps(), 0));
        assert!(ended.reports.iter().all(|report| report.loss.is_finite() && report.last_loss.is_finite()));
    }
}

#[test]
fn values_that_are_no_numbers_in_f32() {
    a_sick_sample_costs_its_steps::<f32>();
}

#[test]
fn values_that_are_no_numbers_in_f64() {
    a_sick_sample_costs_its_steps::<f64>();
}

/// An infinite target has a finite gradient where the loss is absolute: the loss itself must be looked at.
#[test]
fn a_loss_is_noticed_where_the_gradient_is_finite() {
    let sick = Sick::new(3, true, f64::INFINITY);
    let mut config = config();
    config.loss = Loss::mean(LossKind::Absolute);
    assert_eq!(train::<_, f32, _>(&cpu(1), &sick, &config).helped(), (sick.steps(), 0));
    config.optimizer = OptimizerConfig::sgd(0.01);
    assert_eq!(train::<_, f64, _>(&cpu(1), &sick, &config).helped(), (sick.steps(), 0));
}

/// One batch is the whole set: every step is bad, at the first already.
#[test]
fn a_lasting_value_names_its_sample() {
    for (of_target, value, culprit) in
        [(false, f64::NAN, Culprit::Input), (true, f64::INFINITY, Culprit::Target)]
    {
        let mut config = config();
        config.batch = SAMPLES;
        let sick = Sick::new(7, of_target, value);
        let ended: Ended<f32> = train(&cpu(1), &sick, &config);
        assert_eq!(ended.failed(12), (3, &culprit));
        assert_eq!(ended.samples(), [7]);
        let text = ended.fault.unwrap().to_string();
        assert!(text.ends_with("is no finite number, in sample 7"), "{text}");
    }
    // Finite, but its square is not: found by computing halves of the batch again.
    let mut config = config();
    config.batch = SAMPLES;
    let ended: Ended<f64> = train(&cpu(1), &Sick::new(7, true, 1e200), &config);
    assert_eq!(ended.failed(12), (3, &Culprit::Loss));
    assert_eq!(ended.samples(), [7]);
    config.loss = Loss::mean(LossKind::Absolute);
    let ended: Ended<f64> = train(&cpu(1), &Sick::new(7, false, 1e300), &config);
    assert_eq!(ended.helped(), (0, 0), "large, but nothing of it is not finite");
}

/// Once, in each tensor, at the first step, in the middle, in the last batch of an epoch, at the last step; with and
/// without clipping: the step is skipped, and nothing else happens.
#[test]
fn a_passing_gradient_costs_one_step() {
    let data = data();
    let source = SequenceSource(&data);
    let rules = [
        OptimizerConfig::adam(0.01),
        OptimizerConfig::adam(0.01).clip_norm(0.5),
        OptimizerConfig::adam(0.01).clip_value(0.1),
        OptimizerConfig::momentum(0.01, 0.9),
    ];
    for (index, (name, offset)) in tensors().into_iter().enumerate() {
        for (at, step) in [1, 6, CHECK, 10, STEPS].into_iter().enumerate() {
            let value = [f64::INFINITY, f64::NAN, f64::NEG_INFINITY][(index + at) % 3];
            let mut config = config();
            config.optimizer = rules[(index + at) % 4].clone();
            let sick = Planted::new(cpu(1), (Site::Gradient, step), (offset, value), 1);
            let ended: Ended<f32> = train(&sick, &source, &config);
            assert_eq!(ended.helped(), (1, 0), "{name} at step {step}: {value}");
            assert_eq!(sick.left(), 0);
        }
    }
}

/// Whatever a gradient is clipped to by value, an infinite one is noticed.
#[test]
fn clipping_hides_nothing() {
    let data = data();
    let mut config = config();
    config.optimizer = OptimizerConfig::adam(0.01).clip_value(0.1);
    for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let sick = Planted::new(cpu(1), (Site::Gradient, 5), (0, value), u32::MAX);
        let ended: Ended<f64> = train(&sick, &SequenceSource(&data), &config);
        let name = &tensors()[0].0;
        assert_eq!(ended.failed(12), (7, &Culprit::Gradient(name.clone())));
    }
    // The CPU's own, without the reference in between.
    let sick = Sick::new(3, false, f64::INFINITY);
    assert_eq!(train::<_, f32, _>(&cpu(1), &sick, &config).helped(), (sick.steps(), 0));
}

/// Again and again, in each tensor: back three times, then the end, with its name.
#[test]
fn a_lasting_gradient_names_its_tensor() {
    let data = data();
    let source = SequenceSource(&data);
    for (name, offset) in tensors() {
        for (step, value) in [(1, f64::NAN), (9, f64::INFINITY)] {
            let sick = Planted::new(cpu(1), (Site::Gradient, step), (offset, value), u32::MAX);
            let ended: Ended<f32> = train(&sick, &source, &config());
            assert_eq!(ended.failed(12), (step + 2, &Culprit::Gradient(name.clone())), "{name}");
            assert!(ended.samples().len() <= BATCH && !ended.samples().is_empty());
        }
    }
}

/// Two bad steps and a good one, three bad steps; and a fault that is gone when it is looked for.
#[test]
fn three_in_a_row_go_back_once() {
    let data = data();
    let source = SequenceSource(&data);
    let times = |times| Planted::new(cpu(1), (Site::Gradient, 9), (1, f64::NAN), times);
    assert_eq!(train::<_, f32, _>(&times(2), &source, &config()).helped(), (2, 0));
    let ended: Ended<f32> = train(&times(3), &source, &config());
    assert_eq!(ended.helped(), (3, 1));
    // The check at step 7 is not proven at step 11: back to the beginning, with half the rate.
    let steps: Vec<(u64, u32)> = ended.reports.iter().map(|report| (report.step, report.rollbacks)).collect();
    assert_eq!(steps, [(7, 0), (7, 1), (14, 1), (21, 1), (23, 1)]);
    let rates: Vec<f64> = ended.reports.iter().map(|report| report.learning_rate).collect();
    assert_eq!(rates[1], 0.5 * rates[0]);
    assert_eq!(train::<_, f32, _>(&times(12), &source, &config()).failed(12), (11, &Culprit::Passing));
    let later = Planted::new(cpu(1), (Site::Gradient, 16), (1, f64::NAN), 3);
    let ended: Ended<f32> = train(&later, &source, &config());
    let steps: Vec<(u64, u32)> = ended.reports.iter().map(|report| (report.step, report.rollbacks)).collect();
    assert_eq!(
        steps,
        [(7, 0), (14, 0), (14, 1), (21, 1), (23, 1)],
        "that at step 14 was not proven, at 7 was"
    );
}

/// What a training comes back to is what it left: had the rate been half from there on, the bits would be the same.
#[test]
fn what_is_gone_back_to_is_the_whole_state() {
    let data = data();
    let source = SequenceSource(&data);
    let sick = Planted::new(cpu(1), (Site::Gradient, 2), (1, f64::NAN), 3);
    let mut config = config();
    config.guard.jump = None;
    let ended: Ended<f64> = train(&sick, &source, &config);
    assert_eq!(ended.helped(), (3, 1));
    let mut halved = config.clone();
    halved.optimizer =
        OptimizerConfig::adam(0.005).clip_norm(0.5).schedule(Schedule::Cosine { period: 40, minimum: 5e-5 });
    let whole: Ended<f64> = train(&Planted::healthy(cpu(1)), &source, &halved);
    let losses = |ended: &Ended<f64>| ended.reports.iter().map(|report| report.loss).collect::<Vec<_>>();
    assert_eq!(losses(&ended), losses(&whole));
    assert_eq!(ended.params, whole.params);
}

/// A weight that is no number from the start cannot be helped, and is named.
#[test]
fn weights_that_are_no_numbers_are_named() {
    let data = data();
    for (name, offset) in tensors() {
        let ended: Ended<f32> =
            train_in_pieces(&cpu(1), &SequenceSource(&data), &config(), u64::MAX, |state| {
                state.params[offset] = f32::NAN;
            });
        let fault = ended.fault.unwrap();
        assert_eq!((fault.step, fault.culprit), (3, Culprit::Weight(name)));
        assert_eq!((ended.setbacks.skipped, ended.setbacks.rollbacks), (12, 3));
    }
}

/// A moment spoils the weights in its step, which has a finite loss; the one after it has not. At the last step no other
/// loss would tell: the check does.
#[test]
fn moments_that_are_no_numbers() {
    let data = data();
    let source = SequenceSource(&data);
    for (step, skipped) in [(1, 3), (9, 3), (CHECK, 0), (STEPS, 0)] {
        let sick = Planted::new(cpu(1), (Site::Moment, step), (2, f64::NAN), 1);
        let ended: Ended<f32> = train(&sick, &source, &config());
        assert_eq!(ended.helped(), (skipped, 1), "at step {step}");
    }
    let sick = Planted::new(cpu(1), (Site::Moment, 9), (2, f64::NAN), u32::MAX);
    let ended: Ended<f32> = train(&sick, &source, &config());
    assert_eq!(ended.failed(12), (12, &Culprit::Moment(tensors()[0].0.clone())));
    // From a checkpoint, and kept there.
    let ended: Ended<f64> = train_in_pieces(&cpu(1), &source, &config(), u64::MAX, |state| {
        state.optimizer.moments[1][2] = f64::INFINITY;
    });
    // An infinite second moment only stops its weight: found at the first check.
    assert_eq!(ended.failed(0), (CHECK, &Culprit::Moment(tensors()[0].0.clone())));
}

/// A rate that is far too high: weights that overflow, and weights that are finite and useless.
#[test]
fn an_exploding_rate_ends_with_good_weights() {
    let data = data();
    let source = SequenceSource(&data);
    let mut config = config();
    config.optimizer = OptimizerConfig::sgd(1e38);
    let ended: Ended<f32> = train(&cpu(1), &source, &config);
    assert!(ended.sound().1 == 3 && ended.fault.is_some(), "{ended:?}");
    (config.optimizer, config.batch, config.stop) = (OptimizerConfig::adam(1e4), SAMPLES, Stop::after(1000));
    let ended: Ended<f32> = train(&cpu(1), &source, &config);
    assert_eq!(ended.failed(0), (101, &Culprit::Jump { factor: 10.0, steps: 100 }));
    config.stop = Stop::after(1);
    let first: Ended<f32> = train(&cpu(1), &source, &config);
    let start: Vec<f32> = model(&cpu(1)).download(&cpu(1)).unwrap();
    assert!(
        ended.params == start && first.params != start,
        "the weights before the first step are the good ones"
    );
}

/// Endless data whose targets are too large by `factor` in some steps.
struct Shaken {
    sines: RandomSine,
    steps: std::ops::Range<u32>,
    factor: f64,
}

impl<F: Float + Element> Source<F> for Shaken {
    fn shape(&self) -> SampleShape {
        <Drawn<RandomSine> as Source<F>>::shape(&Drawn(self.sines))
    }

    fn samples(&self) -> Option<usize> {
        None
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        Drawn(self.sines).fill(rows, x, y)?;
        if matches!(rows, Rows::Fresh(fresh) if self.steps.contains(&fresh.step)) {
            y.iter_mut().for_each(|value| *value = <F as Float>::from_f64(self.factor * value.to_f64()));
        }
        Ok(())
    }
}

/// A loss that is ten times the best for as many steps as make a jump, and for one fewer.
#[test]
fn a_loss_that_jumps_goes_back() {
    let sines = RandomSine { inputs: 5, outputs: 1, rate: 10.0, frequency: [1.0, 1.0], latest: 1.0 };
    let network = Network::new(1).lstm(4).head(Readout::Last, 1);
    let mut config = FitConfig::new(32, OptimizerConfig::adam(1e-3), Stop::after(60));
    (config.check_every, config.guard.jump_steps) = (5, 10);
    let run = |steps: std::ops::Range<u32>, config: &FitConfig| {
        let cpu = cpu(1);
        let source = Shaken { sines, steps, factor: 20.0 };
        let model = Model::<Cpu, f64>::new(&cpu, network.clone(), &InitSpec::torch(), 3).unwrap();
        let mut fit = Fit::new(&cpu, model, &source, config.clone()).unwrap();
        let mut back = Vec::new();
        let mut last = 0;
        let ended = fit.run(None, &mut |step, _| {
            if step <= last {
                back.push((last, step));
            }
            last = step;
            Flow::Continue
        });
        let fault = match ended {
            Err(Error::Diverged { fault, .. }) => Some(*fault),
            ended => ended.map(|_| None).unwrap(),
        };
        (back, fault, fit.setbacks().clone())
    };
    // Steps 31 to 40: the last check before is the one at 30, and high losses since have not proven it.
    let (back, fault, setbacks) = run(30..40, &config);
    assert_eq!((setbacks.skipped, setbacks.rollbacks), (0, 3), "the data stay as they are");
    assert_eq!(back, [(39, 25), (39, 25), (39, 25)]);
    assert_eq!(fault, Some(Fault::new(40, Culprit::Jump { factor: 10.0, steps: 10 })));
    let (back, fault, setbacks) = run(30..39, &config);
    assert_eq!((back, fault, setbacks.rollbacks), (Vec::new(), None, 0));
    config.guard.jump = None;
    assert_eq!(run(30..40, &config).1, None);
    (config.guard.jump, config.guard.rollbacks) = (Some(1000.0), 3);
    assert_eq!(run(30..40, &config).1, None);
}

#[test]
fn a_validation_that_is_no_number_goes_back() {
    let (cpu, data) = (cpu(1), data());
    let source = SequenceSource(&data);
    let run = |bad: &[usize]| {
        let mut fit = Fit::new(&cpu, model::<_, f32>(&cpu), &source, config()).unwrap();
        let mut asked = 0;
        let mut validate = |_: &Cpu, _: &Model<Cpu, f32>| {
            asked += 1;
            Ok(if bad.contains(&asked) { f64::NAN } else { 1.0 / f64::from(asked as u32) })
        };
        let ended = fit.run(Some(&mut validate), &mut |_, _| Flow::Continue);
        (ended, fit.setbacks().clone(), fit.best().map(|best| best.step))
    };
    let (ended, setbacks, best) = run(&[2]);
    assert_eq!((ended.unwrap(), setbacks.rollbacks, best), (Outcome::Finished, 1, Some(STEPS)));
    let (ended, setbacks, best) = run(&[2, 4, 6, 8]);
    let Err(Error::Diverged { fault, rollbacks, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!((*fault, rollbacks), (Fault::new(14, Culprit::Answer), 3));
    assert_eq!((setbacks.rollbacks, best), (3, Some(7)));
}

/// The same bits for every number of threads, for a device that runs ahead, and for a run that is cut to pieces between
/// any two steps, those of a row of bad ones too.
#[test]
fn what_is_done_about_faults_has_the_same_bits_however_it_runs() {
    let data = data();
    let source = SequenceSource(&data);
    for (site, step, times) in
        [(Site::Gradient, 1, 1), (Site::Gradient, 9, 3), (Site::Gradient, 16, 7), (Site::Moment, 9, 1)]
    {
        let planted = |threads| Planted::new(cpu(threads), (site, step), (1, f64::NAN), times);
        let whole: Ended<f32> = train(&planted(1), &source, &config());
        assert!(whole.helped() != (0, 0));
        for threads in [2, 3, 4] {
            assert_eq!(train(&planted(threads), &source, &config()), whole, "{threads} threads");
        }
        for piece in [1, 2, 3, 5] {
            let pieces = train_in_pieces(&planted(2), &source, &config(), piece, |_| {});
            assert_eq!(pieces, whole, "cut every {piece} steps");
            let pieces = train_in_pieces(&planted(1).ahead(), &source, &config(), piece, |_| {});
            assert_eq!(pieces, whole, "cut every {piece} steps, ahead");
        }
        assert_eq!(train(&planted(1).ahead(), &source, &config()), whole, "ahead");
    }
    let sick = Sick::new(3, false, f64::NAN);
    let whole: Ended<f32> = train(&cpu(1), &sick, &config());
    let device = Planted::healthy(cpu(1));
    let by_reference: Ended<f32> = train(&device, &sick, &config());
    assert_eq!(train(&device.ahead(), &sick, &config()), by_reference);
    assert_eq!(train_in_pieces(&cpu(3), &sick, &config(), 1, |_| {}), whole);
    assert_eq!((whole.helped(), by_reference.helped()), ((sick.steps(), 0), (sick.steps(), 0)));
}

/// Steps by hand are guarded as those of a run.
#[test]
fn steps_by_hand() {
    let data = data();
    let source = SequenceSource(&data);
    for ahead in [false, true] {
        let sick = Planted::new(cpu(1), (Site::Gradient, 4), (0, f64::NAN), u32::MAX);
        let sick = if ahead { sick.ahead() } else { sick };
        let mut fit = Fit::new(&sick, model::<_, f64>(&sick), &source, config()).unwrap();
        let error = (0..1000).find_map(|_| fit.step().err()).unwrap();
        let text = error.to_string();
        let name = &tensors()[0].0;
        assert!(
            text.starts_with(&format!(
                "training diverged at step 6: the gradient of {name} is no finite number, in sample "
            )),
            "{text}"
        );
        assert!(
            text.contains("after going back 3 times with half the rate; lower the learning rate"),
            "{text}"
        );
    }
}

/// Without a guard the first bad step ends the training.
#[test]
fn the_guard_can_be_switched_off() {
    let data = data();
    let source = SequenceSource(&data);
    let mut config = config();
    config.guard = Guard::off();
    let sick = Planted::new(cpu(1), (Site::Gradient, 9), (0, f64::NAN), 1);
    let ended: Ended<f32> = train(&sick, &source, &config);
    let fault = ended.fault.as_ref().unwrap();
    assert_eq!((fault.step, &fault.culprit), (9, &Culprit::Passing));
    assert_eq!(ended.sound(), (1, 0));
    for wrong in [
        Guard { bad_steps: 0, ..Guard::default() },
        Guard { jump_steps: 0, ..Guard::default() },
        Guard { jump: Some(1.0), ..Guard::default() },
        Guard { jump: Some(f64::NAN), ..Guard::default() },
    ] {
        config.guard = wrong;
        let made = Fit::<_, f32, _>::new(&sick, model(&sick), &source, config.clone());
        assert!(matches!(made.err(), Some(Error::Invalid { .. })), "{wrong:?}");
    }
}

/// A healthy training has the bits that it has without a guard.
#[test]
fn the_guard_changes_no_bit_of_a_healthy_training() {
    let data = data();
    let source = SequenceSource(&data);
    let guarded: Ended<f32> = train(&cpu(2), &source, &config());
    let mut bare = config();
    bare.guard = Guard::off();
    let bare: Ended<f32> = train(&cpu(2), &source, &bare);
    assert_eq!(guarded.helped(), (0, 0));
    assert_eq!((guarded.params, guarded.reports), (bare.params, bare.reports));
}

//! L-BFGS: PyTorch's evaluations replayed, resume at each of them, and what ends a step.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_nn::{Loss, Model, Network, Readout, TrainOptions, TrainPass};
use lstm_optim::{Advance, Error, Lbfgs, LbfgsConfig, LbfgsState, LbfgsStep, LbfgsStop};
use lstm_tensor::{Arena, Backend, Float, LossKind, ParamLayout};
use lstm_testkit::Naive;
use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Relative error of losses and points of a small function.
const CLOSE: f64 = 1e-10;

#[derive(Deserialize)]
struct Recorded {
    small: Vec<Small>,
    networks: Vec<Trained>,
}

#[derive(Deserialize)]
struct Small {
    name: String,
    function: String,
    #[serde(default)]
    matrix: Vec<f64>,
    #[serde(default)]
    vector: Vec<f64>,
    options: Options,
    start: Vec<f64>,
    losses: Vec<f64>,
    points: Vec<Vec<f64>>,
    ends: Vec<End>,
}

#[derive(Deserialize)]
struct Trained {
    name: String,
    steps: usize,
    batch: usize,
    input: usize,
    hidden: Vec<usize>,
    output: usize,
    options: Options,
    losses: Vec<f64>,
    spread: Vec<f64>,
    ends: Vec<End>,
}

#[derive(Deserialize)]
struct End {
    iterations: u64,
    evaluations: u64,
    spread: f64,
    #[serde(default)]
    point: Vec<f64>,
}

#[derive(Deserialize)]
struct Options {
    lr: f64,
    max_iter: u32,
    max_eval: u32,
    tolerance_grad: f64,
    tolerance_change: f64,
    history_size: usize,
    line_search_fn: Option<String>,
}

impl Options {
    fn config(&self) -> LbfgsConfig {
        let config = LbfgsConfig::new()
            .learning_rate(self.lr)
            .max_iterations(self.max_iter)
            .max_evaluations(self.max_eval)
            .tolerances(self.tolerance_grad, self.tolerance_change)
            .history(self.history_size);
        match self.line_search_fn.as_deref() {
            None => config,
            Some("strong_wolfe") => config.strong_wolfe(),
            Some(other) => panic!("no line search {other}"),
        }
    }
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../golden/lbfgs.json")).unwrap()
}

impl Small {
    fn named(name: &str) -> Self {
        recorded().small.into_iter().find(|case| case.name == name).unwrap()
    }

    fn value(&self, x: &[f64]) -> (f64, Vec<f64>) {
        match self.function.as_str() {
            "quadratic" => self.quadratic(x),
            "rosenbrock" => rosenbrock(x),
            other => panic!("no function {other}"),
        }
    }

    /// `x'Ax/2 - b'x`.
    fn quadratic(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let product: Vec<f64> = self.matrix.chunks(x.len()).map(|row| dot(row, x)).collect();
        let gradient = product.iter().zip(&self.vector).map(|(p, b)| p - b).collect();
        (dot(x, &product) / 2.0 - dot(&self.vector, x), gradient)
    }
}

fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
    let (mut value, mut gradient) = (0.0, vec![0.0; x.len()]);
    for i in 0..x.len() - 1 {
        let (valley, slope) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
        value += 100.0 * valley * valley + slope * slope;
        gradient[i] -= 400.0 * x[i] * valley + 2.0 * slope;
        gradient[i + 1] += 200.0 * valley;
    }
    (value, gradient)
}

/// A function of a few variables on a backend, its parameters and its optimizer.
struct Problem<'a, B: Backend, F: Float> {
    backend: &'a B,
    params: Arena<B, F>,
    grads: Arena<B, F>,
    lbfgs: Lbfgs<B, F>,
}

impl<'a, B: Backend, F: Float> Problem<'a, B, F> {
    fn new(backend: &'a B, config: &LbfgsConfig, start: &[f64]) -> Self {
        let mut layout = ParamLayout::new();
        // Two tensors, so that padding lies between them.
        layout.push("first", &[1]);
        layout.push("rest", &[start.len() - 1]);
        let layout = Arc::new(layout);
        let lbfgs = Lbfgs::new(backend, config, &layout).unwrap();
        let mut params = Arena::zeros(backend, &layout).unwrap();
        set(backend, &mut params, start);
        Self { backend, params, grads: Arena::zeros(backend, &layout).unwrap(), lbfgs }
    }

    fn point(&self) -> Vec<f64> {
        point(self.backend, &self.params)
    }

    /// One step on `function`, noting every evaluation.
    fn step(
        &mut self,
        mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
        seen: &mut Vec<(f64, Vec<f64>)>,
    ) -> Result<LbfgsStep, Error> {
        let backend = self.backend;
        self.lbfgs.step(backend, &mut self.params, &mut self.grads, |params, grads| {
            let at = point(backend, params);
            let (loss, gradient) = function(&at);
            set(backend, grads, &gradient);
            seen.push((loss, at));
            Ok(loss)
        })
    }

    /// One evaluation of `function`, told to the optimizer.
    fn advance(&mut self, function: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Advance {
        let (loss, gradient) = function(&self.point());
        set(self.backend, &mut self.grads, &gradient);
        self.lbfgs.advance(self.backend, &mut self.params, &mut self.grads, loss).unwrap()
    }
}

fn set<B: Backend, F: Float>(backend: &B, arena: &mut Arena<B, F>, values: &[f64]) {
    let values: Vec<F> = values.iter().map(|&x| F::from_f64(x)).collect();
    arena.set(backend, "first", &values[..1]).unwrap();
    arena.set(backend, "rest", &values[1..]).unwrap();
}

fn point<B: Backend, F: Float>(backend: &B, arena: &Arena<B, F>) -> Vec<f64> {
    let both = ["first", "rest"].map(|name| arena.get(backend, name).unwrap());
    both.concat().into_iter().map(Float::to_f64).collect()
}

fn all<B: Backend, F: Float>(backend: &B, arena: &Arena<B, F>) -> Vec<F> {
    let mut values = vec![F::ZERO; arena.layout().len()];
    backend.download(arena.values(), 0, &mut values).unwrap();
    values
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= CLOSE * want.abs().max(1.0), "{what}: {got}, PyTorch has {want}");
    }
}

/// Replays the small functions; gives the reasons for which steps ended.
fn small_functions<B: Backend>(backend: &B) -> Vec<LbfgsStop> {
    let mut stops = vec![];
    for case in recorded().small {
        let mut problem = Problem::<B, f64>::new(backend, &case.options.config(), &case.start);
        let mut seen = vec![];
        for (step, end) in case.ends.iter().enumerate() {
            let what = format!("{} on {}, step {step}", case.name, backend.name());
            let before = seen.len();
            let done = problem.step(|x| case.value(x), &mut seen).unwrap();
            assert_eq!(seen[before].0, done.loss, "{what}: the loss before the step");
            assert_eq!(seen.len() - before, done.evaluations as usize, "{what}");
            assert_eq!(problem.lbfgs.iterations(), end.iterations, "{what}: iterations");
            assert_eq!(problem.lbfgs.evaluations(), end.evaluations, "{what}: evaluations");
            assert_close(&what, &problem.point(), &end.point);
            stops.push(done.stop);
        }
        for (number, ((loss, at), (want, point))) in
            seen.iter().zip(case.losses.iter().zip(&case.points)).enumerate()
        {
            let what = format!("{} on {}, evaluation {number}", case.name, backend.name());
            assert!((loss - want).abs() <= CLOSE * want.abs(), "{what}: loss {loss}, PyTorch has {want}");
            assert_close(&what, at, point);
        }
        let parameters = all(backend, &problem.params).iter().filter(|x| **x != 0.0).count();
        assert_eq!(parameters, case.start.len(), "{}: the padding stays zero", case.name);
        assert!(all(backend, &problem.grads).iter().all(|&g| g == 0.0), "{}: gradients are taken", case.name);
    }
    stops
}

#[test]
fn small_functions_are_minimised_as_by_pytorch() {
    let stops = small_functions(&Naive);
    use LbfgsStop::*;
    for stop in [Level, Iterations, Evaluations, Gradient, Change, Loss] {
        assert!(stops.contains(&stop), "no recorded step ends by {stop:?}");
    }
    assert_eq!(small_functions(&Cpu::new(2).unwrap()), stops);
    assert_eq!(small_functions(&Cuda::new(Emulator::new(Schedule::Skewed(1))).unwrap()), stops);
}

/// A float that can be saved.
trait Saved: Float + Serialize + DeserializeOwned {}
impl<F: Float + Serialize + DeserializeOwned> Saved for F {}

/// A recorded network in training.
struct Training<'a, F: Saved> {
    case: &'a Trained,
    cpu: &'a Cpu,
    model: Model<Cpu, F>,
    pass: TrainPass<Cpu, F>,
    grads: Arena<Cpu, F>,
    lbfgs: Lbfgs<Cpu, F>,
    x: Vec<F>,
    target: Vec<F>,
}

fn tensor(case: &Trained, name: &str) -> Vec<f64> {
    let file = SafeTensors::deserialize(include_bytes!("../golden/lbfgs.safetensors")).unwrap();
    let tensor = file.tensor(&format!("{}.{name}", case.name)).unwrap();
    tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}

impl<'a, F: Saved> Training<'a, F> {
    fn new(cpu: &'a Cpu, case: &'a Trained) -> Self {
        let load = |name: &str| tensor(case, name).into_iter().map(F::from_f64).collect::<Vec<_>>();
        let network =
            case.hidden.iter().fold(Network::new(case.input), |network, &units| network.lstm(units));
        let mut model = Model::<Cpu, F>::zeros(cpu, network.head(Readout::Every, case.output)).unwrap();
        for entry in Arc::clone(model.params().layout()).entries() {
            model.params_mut().set(cpu, &entry.name, &load(&format!("initial.{}", entry.name))).unwrap();
        }
        let options = TrainOptions::new(Loss::mean(LossKind::Squared));
        Self {
            pass: TrainPass::new(cpu, &model, case.steps, case.batch, options).unwrap(),
            grads: model.gradients(cpu).unwrap(),
            lbfgs: Lbfgs::new(cpu, &case.options.config(), model.params().layout()).unwrap(),
            x: load("data.x"),
            target: load("data.target"),
            case,
            cpu,
            model,
        }
    }

    /// One evaluation.
    fn advance(&mut self) -> (f64, Advance) {
        let samples: Vec<u32> = (0..self.case.batch as u32).collect();
        let (model, grads) = (&self.model, &mut self.grads);
        let batch = self.case.batch;
        self.pass.accumulate(self.cpu, model, grads, &self.x, &self.target, (0, &samples), batch).unwrap();
        let loss = self.pass.take_loss(self.cpu).unwrap();
        (loss, self.lbfgs.advance(self.cpu, self.model.params_mut(), grads, loss).unwrap())
    }

    /// The same training in a new process: from text and the parameters.
    fn resumed(&self) -> Self {
        let state = serde_json::to_string(&self.lbfgs.state(self.cpu).unwrap()).unwrap();
        let mut other = Self::new(self.cpu, self.case);
        other.model.upload(self.cpu, &self.model.download(self.cpu).unwrap()).unwrap();
        other.lbfgs.restore(self.cpu, &serde_json::from_str(&state).unwrap()).unwrap();
        other
    }
}

#[test]
fn networks_are_trained_as_by_pytorch() {
    let cpu = Cpu::new(2).unwrap();
    for case in &recorded().networks {
        let mut training = Training::<f64>::new(&cpu, case);
        let mut losses = vec![];
        for (step, end) in case.ends.iter().enumerate() {
            loop {
                let (loss, advance) = training.advance();
                losses.push(loss);
                if advance != Advance::Evaluate {
                    break;
                }
            }
            assert_eq!(training.lbfgs.iterations(), end.iterations, "{}, step {step}", case.name);
            assert_eq!(training.lbfgs.evaluations(), end.evaluations, "{}, step {step}", case.name);
            let tolerance = grown(end.spread);
            for entry in training.model.params().layout().entries() {
                let got = training.model.params().get(&cpu, &entry.name).unwrap();
                for (got, want) in got.iter().zip(tensor(case, &format!("step{step}.{}", entry.name))) {
                    let what = format!("{}, {} after step {step}", case.name, entry.name);
                    assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{what}: {got} {want}");
                }
            }
        }
        assert_eq!(losses.len(), case.losses.len(), "{}", case.name);
        for (number, (loss, want)) in losses.iter().zip(&case.losses).enumerate() {
            let tolerance = grown(case.spread[number]);
            assert!(tolerance <= 1e-8 || number >= 40, "{}: evaluation {number} says nothing", case.name);
            let error = (loss - want).abs() / want;
            assert!(error <= tolerance, "{}, evaluation {number}: {loss}, PyTorch has {want}", case.name);
        }
    }
}

/// What rounding may change where a change of one eps at the start moves PyTorch by `spread`: the rule of
/// docs/numerics.md.
fn grown(spread: f64) -> f64 {
    16.0 * spread.max(4.0 * f64::EPSILON)
}

/// Trains for some steps; with `resume`, saved and resumed after every evaluation.
fn train<F: Saved>(
    cpu: &Cpu,
    case: &Trained,
    steps: usize,
    resume: bool,
) -> (Vec<f64>, Vec<F>, LbfgsState<F>) {
    let mut training = Training::<F>::new(cpu, case);
    let mut losses = vec![];
    let mut left = steps;
    while left > 0 {
        let (loss, advance) = training.advance();
        losses.push(loss);
        left -= usize::from(advance != Advance::Evaluate);
        if resume {
            training = training.resumed();
        }
    }
    (losses, training.model.download(cpu).unwrap(), training.lbfgs.state(cpu).unwrap())
}

fn resumes<F: Saved>() {
    let cpu = Cpu::new(2).unwrap();
    for case in &recorded().networks {
        let whole = train::<F>(&cpu, case, 2, false);
        assert!(train::<F>(&cpu, case, 2, true) == whole, "{} in {}, resumed", case.name, F::NAME);
        assert!(train::<F>(&Cpu::new(1).unwrap(), case, 2, false) == whole, "{}: threads", case.name);
    }
}

#[test]
fn resumed_at_any_evaluation_the_bits_are_the_same() {
    resumes::<f64>();
    resumes::<f32>();
}

#[test]
fn resumed_with_a_full_history_the_bits_are_the_same() {
    let case = Small::named("rosenbrock_wolfe_short_history");
    let run = |resume: bool| {
        let fresh = || Problem::<Naive, f64>::new(&Naive, &case.options.config(), &case.start);
        let mut problem = fresh();
        let mut at = vec![];
        while matches!(problem.advance(|x| case.value(x)), Advance::Evaluate) {
            at.push(problem.point());
            if resume {
                let mut next = fresh();
                set(&Naive, &mut next.params, &problem.point());
                next.lbfgs.restore(&Naive, &problem.lbfgs.state(&Naive).unwrap()).unwrap();
                problem = next;
            }
        }
        at
    };
    assert!(run(true) == run(false));
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let case = Small::named("quadratic_wolfe");
    let config = case.options.config();
    let mut problem = Problem::<Naive, f64>::new(&Naive, &config, &case.start);
    problem.step(|x| case.value(x), &mut vec![]).unwrap();
    let state = problem.lbfgs.state(&Naive).unwrap();
    let refused = |config: &LbfgsConfig, start: &[f64]| {
        let mut other = Problem::<Naive, f64>::new(&Naive, config, start);
        let before = other.lbfgs.state(&Naive).unwrap();
        let error = other.lbfgs.restore(&Naive, &state).unwrap_err();
        assert!(other.lbfgs.state(&Naive).unwrap() == before, "nothing has changed");
        assert!(matches!(error, Error::State { .. }), "{error}");
        error.to_string()
    };
    let larger = vec![0.0; 100];
    assert!(refused(&config, &larger).contains("vectors of lengths"));
    assert!(refused(&LbfgsConfig::new(), &case.start).contains("vectors of lengths"));
    assert!(refused(&config.clone().history(1), &case.start).contains("more pairs"));
}

#[test]
fn a_state_with_the_search_of_another_configuration_is_refused() {
    let case = Small::named("quadratic_wolfe");
    let configs = [case.options.config(), LbfgsConfig::new()];
    let under_way = |config: &LbfgsConfig| {
        let mut problem = Problem::<Naive, f64>::new(&Naive, config, &case.start);
        assert!(matches!(problem.advance(|x| case.value(x)), Advance::Evaluate));
        serde_json::to_value(problem.lbfgs.state(&Naive).unwrap()).unwrap()
    };
    for (own, other) in [(0, 1), (1, 0)] {
        let mut state = under_way(&configs[own]);
        let mut problem = Problem::<Naive, f64>::new(&Naive, &configs[own], &case.start);
        problem.lbfgs.restore(&Naive, &serde_json::from_value(state.clone()).unwrap()).unwrap();
        state["progress"]["phase"] = under_way(&configs[other])["progress"]["phase"].clone();
        let error = problem.lbfgs.restore(&Naive, &serde_json::from_value(state).unwrap()).unwrap_err();
        assert!(error.to_string().contains("line searches under way"), "{error}");
    }
}

/// Breaks the `bad`-th evaluation (from 1) of every kind, and goes on after it.
fn breaks(name: &str, bad: usize, loss: f64, slope: f64) {
    let case = Small::named(name);
    let mut problem = Problem::<Naive, f64>::new(&Naive, &case.options.config(), &case.start);
    let (mut seen, mut count) = (vec![], 0);
    let error = loop {
        let broken = |x: &[f64]| {
            count += 1;
            let (value, mut gradient) = case.value(x);
            gradient[1] *= if count == bad { slope } else { 1.0 };
            (if count == bad { loss } else { value }, gradient)
        };
        match problem.step(broken, &mut seen) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let what = format!("{name}, evaluation {bad}: {error}");
    assert!(matches!(error, Error::NotFinite { evaluation, .. } if evaluation == bad as u64), "{what}");
    let at = problem.point();
    let accepted = seen[..bad].iter().filter(|(value, x)| value.is_finite() && *x == at).count();
    assert!(accepted > 0, "{what}: {at:?} is a place that was evaluated before");
    assert!(bad == 1 || case.value(&at).0 <= seen[0].0, "{what}: no worse than the start");
    assert!(!problem.lbfgs.mid_step(), "{what}");
    assert!(all(&Naive, &problem.grads).iter().all(|&g| g == 0.0), "{what}: gradients are taken");
    let near = |x: &[f64]| case.value(x).1.iter().all(|g| g.abs() < 1e-3);
    for _ in 0..40 {
        if !near(&problem.point()) {
            problem.step(|x| case.value(x), &mut seen).unwrap();
        }
    }
    assert!(near(&problem.point()), "{what}: it goes on to a minimum");
}

#[test]
fn what_is_not_finite_ends_the_step_where_its_iteration_began() {
    for name in ["quadratic", "quadratic_wolfe", "rosenbrock_wolfe", "rosenbrock"] {
        for bad in 2..8 {
            breaks(name, bad, f64::NAN, 1.0);
            breaks(name, bad, f64::INFINITY, 1.0);
            breaks(name, bad, f64::NEG_INFINITY, 1.0);
            breaks(name, bad, 1.0, f64::NAN);
            breaks(name, bad, 1.0, f64::INFINITY);
        }
    }
}

#[test]
fn a_first_loss_that_is_not_finite_changes_nothing() {
    for config in [LbfgsConfig::new(), LbfgsConfig::new().strong_wolfe()] {
        let mut problem = Problem::<Naive, f64>::new(&Naive, &config, &[1.0, 2.0]);
        let error = problem.step(|x| (f64::NAN, x.to_vec()), &mut vec![]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { what: "loss", evaluation: 1, .. }), "{error}");
        assert_eq!(problem.point(), [1.0, 2.0]);
    }
}

#[test]
fn a_gradient_of_zero_ends_the_step_at_once() {
    for config in [LbfgsConfig::new(), LbfgsConfig::new().strong_wolfe()] {
        let mut problem = Problem::<Naive, f64>::new(&Naive, &config, &[1.0, 2.0]);
        let done = problem.step(|_| (7.0, vec![0.0, 0.0]), &mut vec![]).unwrap();
        assert_eq!((done.stop, done.evaluations, done.iterations), (LbfgsStop::Gradient, 1, 0));
        assert_eq!((done.loss, problem.point()), (7.0, vec![1.0, 2.0]));
    }
}

#[test]
fn what_it_was_told_and_what_it_did_is_counted() {
    let case = Small::named("quadratic_wolfe");
    let config = case.options.config();
    let mut problem = Problem::<Naive, f64>::new(&Naive, &config, &case.start);
    assert_eq!((problem.lbfgs.config(), problem.lbfgs.evaluations()), (&config, 0));
    assert_ne!(config, LbfgsConfig::new());
    let (mut evaluations, mut iterations) = (0, 0);
    for _ in 0..2 {
        let done = problem.step(|x| case.value(x), &mut vec![]).unwrap();
        evaluations += u64::from(done.evaluations);
        iterations += u64::from(done.iterations);
        assert_eq!((problem.lbfgs.evaluations(), problem.lbfgs.iterations()), (evaluations, iterations));
        assert_eq!(problem.lbfgs.state(&Naive).unwrap().evaluations(), evaluations);
    }
}

#[test]
fn parameters_and_gradients_of_another_layout_are_refused() {
    let (two, hundred) = (vec![1.0; 2], vec![1.0; 100]);
    let problem = |start: &[f64]| Problem::<Naive, f64>::new(&Naive, &LbfgsConfig::new(), start);
    let (mut own, mut other) = (problem(&two), problem(&hundred));
    let before = own.lbfgs.state(&Naive).unwrap();
    let wrong = [
        own.lbfgs.advance(&Naive, &mut other.params, &mut own.grads, 1.0),
        own.lbfgs.advance(&Naive, &mut own.params, &mut other.grads, 1.0),
    ];
    for (outcome, what) in wrong.into_iter().zip(["parameters", "gradients"]) {
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(what), "{text}");
    }
    assert!(own.lbfgs.state(&Naive).unwrap() == before, "nothing has changed");
}

#[test]
fn a_search_takes_one_evaluation_too_many_at_most() {
    let case = Small::named("rosenbrock_wolfe_long_first_step");
    for most in 1..12 {
        let config = case.options.config().max_evaluations(most);
        let mut problem = Problem::<Naive, f64>::new(&Naive, &config, &case.start);
        let mut before = case.value(&case.start).0;
        for _ in 0..8 {
            let done = problem.step(|x| case.value(x), &mut vec![]).unwrap();
            let after = case.value(&problem.point()).0;
            assert!(done.evaluations <= most + 1, "{done:?} of {most}");
            assert!(after <= before, "{after} after {before}: {done:?}");
            before = after;
        }
    }
}

#[test]
fn an_error_of_the_function_leaves_a_step_that_goes_on() {
    let case = Small::named("quadratic_wolfe");
    let mut whole = Problem::<Naive, f64>::new(&Naive, &case.options.config(), &case.start);
    let done = whole.step(|x| case.value(x), &mut vec![]).unwrap();
    let mut cut = Problem::<Naive, f64>::new(&Naive, &case.options.config(), &case.start);
    for number in 1..5 {
        let mut count = 0;
        let error = cut.lbfgs.step(&Naive, &mut cut.params, &mut cut.grads, |params, grads| {
            count += 1;
            let (loss, gradient) = case.value(&point(&Naive, params));
            set(&Naive, grads, &gradient);
            // The second evaluation of each try fails after it has written a gradient.
            if count == 2 { Err(Error::Config { option: "test", value: 0.0, must: "cut" }) } else { Ok(loss) }
        });
        assert!(matches!(error, Err(Error::Config { .. })), "{error:?}");
        assert_eq!(cut.lbfgs.evaluations(), number);
    }
    assert!(cut.lbfgs.mid_step());
    assert_eq!(cut.step(|x| case.value(x), &mut vec![]).unwrap(), done);
    assert_eq!(cut.point(), whole.point());
}

#[test]
fn networks_learn_in_f32_too() {
    let cpu = Cpu::new(2).unwrap();
    for case in &recorded().networks {
        let (losses, ..) = train::<f32>(&cpu, case, case.ends.len(), false);
        // PyTorch's f64 ends at a hundredth of the first loss.
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!((first / case.losses[0] - 1.0).abs() < 1e-6 && last < 0.05 * first, "{}: {last}", case.name);
    }
}

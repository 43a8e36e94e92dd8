//! L-BFGS: a quasi-Newton method that follows all parameters at once, evaluation by evaluation.

mod config;
mod search;
mod vectors;

pub use config::{LbfgsConfig, LineSearch};

use crate::{Error, Result};
use lstm_tensor::{Arena, Backend, Float, ParamLayout, Storage};
use search::{Point, Search, Slot, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use vectors::Vectors;

/// A pair of changes is remembered if `y · s` is larger; else the inverse Hessian could lose its
/// positive definiteness.
const CURVATURE: f64 = 1e-10;

/// Limited-memory BFGS with the semantics of PyTorch's `torch.optim.LBFGS`.
///
/// It minimises a function that is the same at every evaluation: use the full batch, without dropout and
/// noise. One *step* follows up to `max_iterations` directions
///
/// ```text
/// d = -H ∇f      by the two loops of Nocedal & Wright 2006, algorithm 7.4,
/// H₀ = (s·y / y·y) I                                          (equation 7.20)
/// s = t d, y = ∇f(x + t d) - ∇f(x)       kept if y·s > 1e-10, the last `history` of them
/// x += t d,      t = learning rate       (the first time min(1, 1/|∇f|₁) of it), or a line search's
/// ```
///
/// and ends at the first [`LbfgsStop`] that applies. The two loops cost `8 history` passes over the
/// parameters and `2 history` numbers that the host waits for.
///
/// [`Lbfgs::step`] runs a whole step on a closure. Underneath lies [`Lbfgs::advance`], which is told one
/// evaluation and says whether another is needed, so that the caller keeps its loop: between any two
/// evaluations it may look, stop, or save [`Lbfgs::state`] and the parameters, and go on later to the
/// same bits.
///
/// # When something is not finite
/// PyTorch goes on with a loss or a gradient that is infinite or NaN, and ends with parameters that are
/// NaN. Here the evaluation answers [`Error::NotFinite`]: the parameters are put back to where the
/// iteration began, the last place with a finite loss that was accepted, and the step is over. A later
/// step begins there.
///
/// # Memory
/// Four buffers of the arena's size (six with a line search) and two per pair, for one pair more than
/// `history`; those of the pairs are allocated as they come.
///
/// # Example
/// ```
/// use lstm_optim::{Lbfgs, LbfgsConfig};
/// use lstm_tensor::{Arena, ParamLayout};
/// use lstm_testkit::Naive;
/// use std::sync::Arc;
///
/// let mut layout = ParamLayout::new();
/// layout.push("x", &[1]);
/// let layout = Arc::new(layout);
/// let mut params = Arena::<_, f64>::zeros(&Naive, &layout)?;
/// let mut grads = Arena::zeros(&Naive, &layout)?;
/// let mut lbfgs = Lbfgs::new(&Naive, &LbfgsConfig::new().strong_wolfe(), &layout)?;
/// // f(x) = (x - 3)²
/// let step = lbfgs.step(&Naive, &mut params, &mut grads, |params, grads| {
///     let x = params.get(&Naive, "x")?[0];
///     grads.set(&Naive, "x", &[2.0 * (x - 3.0)])?;
///     Ok::<_, lstm_optim::Error>((x - 3.0) * (x - 3.0))
/// })?;
/// assert_eq!(step.loss, 9.0);
/// assert!((params.get(&Naive, "x")?[0] - 3.0).abs() < 1e-9);
/// # Ok::<(), lstm_optim::Error>(())
/// ```
pub struct Lbfgs<B: Backend, F: Float> {
    config: LbfgsConfig,
    vectors: Vectors<B, F>,
    /// Oldest first.
    memory: VecDeque<Pair<B::Buffer<F>>>,
    /// Room for the next pair.
    spare: Option<Pair<B::Buffer<F>>>,
    direction: B::Buffer<F>,
    /// Gradient where the iteration began.
    gradient: B::Buffer<F>,
    /// Parameters where the iteration began.
    origin: B::Buffer<F>,
    /// Gradients of the points that a line search holds on to.
    ends: Option<[B::Buffer<F>; 2]>,
    at: Progress,
}

/// Change of the gradient and of the parameters over one iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair<V> {
    y: V,
    s: V,
    /// `1 / (y · s)`.
    rho: f64,
}

/// Numbers that change from evaluation to evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Progress {
    iterations: u64,
    evaluations: u64,
    /// Length of the last iteration's step along its direction, `t`.
    length: f64,
    /// Scale of the initial inverse Hessian, `s·y / y·y` of the last pair.
    scale: f64,
    phase: Phase,
}

/// What the next evaluation is for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    /// Begins a step.
    Begin,
    /// Follows a move by the learning rate.
    Moved(Current),
    /// Tells a line search.
    Search(Current, Search),
}

/// Numbers of the step that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Current {
    /// Loss of the first evaluation.
    first_loss: f64,
    iterations: u32,
    evaluations: u32,
    /// Loss where the iteration began.
    loss: f64,
    /// Largest size of an element of the gradient there.
    gradient_max: f64,
    /// Largest size of an element of the direction.
    direction_max: f64,
}

/// What [`Lbfgs::advance`] wants next.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Advance {
    /// Loss and gradient at the parameters as they now are.
    Evaluate,
    /// Nothing: the step is over, and the parameters are where it led.
    Done(LbfgsStep),
}

/// What one step of L-BFGS did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LbfgsStep {
    /// Loss at the parameters before the step, as PyTorch returns it.
    pub loss: f64,
    /// Directions that were followed.
    pub iterations: u32,
    /// Evaluations of loss and gradient.
    pub evaluations: u32,
    /// Why it ended.
    pub stop: LbfgsStop,
}

/// Why a step of L-BFGS ended, in the order in which the conditions are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LbfgsStop {
    /// The loss would fall by less than `tolerance_change` along the direction.
    Level,
    /// `max_iterations` directions were followed. Without a line search the loss at the last parameters
    /// is not evaluated.
    Iterations,
    /// `max_evaluations` evaluations were made.
    Evaluations,
    /// No element of the gradient is larger than `tolerance_gradient`.
    Gradient,
    /// No parameter changed by more than `tolerance_change`.
    Change,
    /// The loss changed by less than `tolerance_change`.
    Loss,
}

/// All of an [`Lbfgs`] that a later run needs to go on exactly where this one stands, in or between
/// steps. The parameters have to be saved beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LbfgsState<F> {
    progress: Progress,
    direction: Vec<F>,
    gradient: Vec<F>,
    origin: Vec<F>,
    ends: Option<[Vec<F>; 2]>,
    memory: Vec<Pair<Vec<F>>>,
}

impl<F> LbfgsState<F> {
    /// Evaluations so far.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.progress.evaluations
    }

    fn lengths(&self) -> Vec<usize> {
        let ends = self.ends.iter().flatten();
        let pairs = self.memory.iter().flat_map(|pair| [&pair.y, &pair.s]);
        [&self.direction, &self.gradient, &self.origin]
            .into_iter()
            .chain(ends)
            .chain(pairs)
            .map(Vec::len)
            .collect()
    }
}

impl<B: Backend, F: Float> Lbfgs<B, F> {
    /// An optimizer before its first step, for parameters laid out by `layout`.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible configuration, [`Error::Backend`] where memory is lacking.
    pub fn new(backend: &B, config: &LbfgsConfig, layout: &ParamLayout) -> Result<Self> {
        config.validate()?;
        let alloc = || backend.alloc(layout.len());
        let ends = match config.line_search {
            LineSearch::None => None,
            LineSearch::StrongWolfe => Some([alloc()?, alloc()?]),
        };
        let at = Progress { iterations: 0, evaluations: 0, length: 0.0, scale: 1.0, phase: Phase::Begin };
        Ok(Self {
            config: config.clone(),
            vectors: Vectors::new(backend, layout.len())?,
            memory: VecDeque::new(),
            spare: None,
            direction: alloc()?,
            gradient: alloc()?,
            origin: alloc()?,
            ends,
            at,
        })
    }

    /// Changes `params` by one step. `evaluate` gives the loss at the parameters it is handed and adds
    /// its gradient to the arena it is handed, which is zero then; `grads` is zero again at the end.
    ///
    /// A step that was cut short is continued: [`Lbfgs::mid_step`].
    ///
    /// # Errors
    /// Those of `evaluate`, after which the same step can be continued, and of [`Lbfgs::advance`].
    pub fn step<E: From<Error>>(
        &mut self,
        backend: &B,
        params: &mut Arena<B, F>,
        grads: &mut Arena<B, F>,
        mut evaluate: impl FnMut(&Arena<B, F>, &mut Arena<B, F>) -> std::result::Result<f64, E>,
    ) -> std::result::Result<LbfgsStep, E> {
        self.check(params, grads)?;
        loop {
            self.vectors.zero(backend, grads.values_mut()).map_err(Error::from)?;
            let loss = evaluate(params, grads)?;
            if let Advance::Done(step) = self.advance(backend, params, grads, loss)? {
                return Ok(step);
            }
        }
    }

    /// Takes the evaluation at `params`: the loss, and its gradient in `grads`. Then `params` lie where
    /// the next evaluation is wanted, or where the step ended; `grads` is zero.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the loss, the gradient or what follows from them is infinite or NaN:
    /// `params` are those of the iteration's start again, and the step is over. [`Error::Backend`] where
    /// an arena has another layout than [`Lbfgs::new`] was given, or where the device failed.
    pub fn advance(
        &mut self,
        backend: &B,
        params: &mut Arena<B, F>,
        grads: &mut Arena<B, F>,
        loss: f64,
    ) -> Result<Advance> {
        self.check(params, grads)?;
        let mut run = Run { backend, params, grads };
        let advance = self.take(&mut run, loss);
        self.vectors.zero(backend, grads.values_mut())?;
        advance
    }

    fn check(&self, params: &Arena<B, F>, grads: &Arena<B, F>) -> Result<()> {
        let expected = [self.vectors.len()];
        lstm_tensor::Error::check_shape("L-BFGS", "parameters", &expected, &[params.layout().len()])?;
        Ok(lstm_tensor::Error::check_shape("L-BFGS", "gradients", &expected, &[grads.layout().len()])?)
    }

    fn take(&mut self, run: &mut Run<'_, B, F>, loss: f64) -> Result<Advance> {
        self.at.evaluations += 1;
        let gradient_max = self.vectors.max_abs(run.backend, run.grads.values())?;
        self.ensure_finite(run, "loss", loss)?;
        self.ensure_finite(run, "gradient", gradient_max)?;
        match self.at.phase {
            Phase::Begin => self.begin(run, loss, gradient_max),
            Phase::Moved(mut current) => {
                current.evaluations += 1;
                self.settle(run, current, loss, gradient_max)
            }
            Phase::Search(current, search) => self.search(run, current, search, loss, gradient_max),
        }
    }

    fn begin(&mut self, run: &mut Run<'_, B, F>, loss: f64, gradient_max: f64) -> Result<Advance> {
        let current = Current {
            first_loss: loss,
            iterations: 0,
            evaluations: 1,
            loss,
            gradient_max,
            direction_max: 0.0,
        };
        if gradient_max <= self.config.tolerance_gradient {
            return Ok(self.finish(current, LbfgsStop::Gradient));
        }
        self.iterate(run, current)
    }

    /// Begins an iteration where the parameters are, with their gradient in `run.grads`.
    fn iterate(&mut self, run: &mut Run<'_, B, F>, mut current: Current) -> Result<Advance> {
        let Run { backend, params, grads } = run;
        current.iterations += 1;
        self.at.iterations += 1;
        self.vectors.copy(backend, params.values(), &mut self.origin)?;
        let mut length = self.config.learning_rate;
        if self.at.iterations == 1 {
            self.vectors.scaled(backend, -1.0, grads.values(), &mut self.direction)?;
            length *= (1.0 / self.vectors.sum_abs(backend, grads.values())?).min(1.0);
        } else {
            self.remember(backend, grads.values())?;
            self.aim(backend, grads.values())?;
        }
        self.at.length = length;
        self.vectors.copy(backend, grads.values(), &mut self.gradient)?;
        let slope = self.vectors.dot(backend, grads.values(), &self.direction)?;
        self.ensure_finite(run, "slope along the direction", slope)?;
        if slope > -self.config.tolerance_change {
            return Ok(self.finish(current, LbfgsStop::Level));
        }
        current.direction_max = self.vectors.max_abs(run.backend, &self.direction)?;
        self.move_to(run, length, &current)?;
        if self.ends.is_some() {
            let Current { loss, gradient_max, direction_max, .. } = current;
            let start = Point { t: 0.0, loss, slope, gradient_max, slot: Slot::Start };
            let most = self.config.evaluations().saturating_sub(current.evaluations);
            let search = Search::new(start, length, direction_max, self.config.tolerance_change, most);
            self.at.phase = Phase::Search(current, search);
        } else if current.iterations >= self.config.max_iterations {
            return Ok(self.finish(current, LbfgsStop::Iterations));
        } else {
            self.at.phase = Phase::Moved(current);
        }
        Ok(Advance::Evaluate)
    }

    /// Remembers the changes of the last iteration, if the function curves upwards along them.
    fn remember(&mut self, backend: &B, gradient: &B::Buffer<F>) -> Result<()> {
        let n = self.vectors.len();
        let mut pair = match self.spare.take() {
            Some(pair) => pair,
            None => Pair { y: backend.alloc(n)?, s: backend.alloc(n)?, rho: 0.0 },
        };
        self.vectors.difference(backend, gradient, &self.gradient, &mut pair.y)?;
        self.vectors.scaled(backend, self.at.length, &self.direction, &mut pair.s)?;
        let ys = self.vectors.dot(backend, &pair.y, &pair.s)?;
        if ys > CURVATURE {
            if self.memory.len() >= self.config.history {
                self.spare = self.memory.pop_front();
            }
            pair.rho = 1.0 / ys;
            self.at.scale = ys / self.vectors.dot(backend, &pair.y, &pair.y)?;
            self.memory.push_back(pair);
        } else {
            self.spare = Some(pair);
        }
        Ok(())
    }

    /// Sets the direction to `-H gradient` (Nocedal & Wright 2006, algorithm 7.4).
    fn aim(&mut self, backend: &B, gradient: &B::Buffer<F>) -> Result<()> {
        let (vectors, direction) = (&mut self.vectors, &mut self.direction);
        vectors.scaled(backend, -1.0, gradient, direction)?;
        let mut alphas = Vec::with_capacity(self.memory.len());
        for pair in self.memory.iter().rev() {
            let alpha = pair.rho * vectors.dot(backend, &pair.s, direction)?;
            vectors.add_scaled(backend, -alpha, &pair.y, direction)?;
            alphas.push(alpha);
        }
        vectors.scale(backend, self.at.scale, direction)?;
        for (pair, alpha) in self.memory.iter().zip(alphas.iter().rev()) {
            let beta = pair.rho * vectors.dot(backend, &pair.y, direction)?;
            vectors.add_scaled(backend, alpha - beta, &pair.s, direction)?;
        }
        Ok(())
    }

    /// Tells the line search an evaluation, and goes where it says.
    fn search(
        &mut self,
        run: &mut Run<'_, B, F>,
        mut current: Current,
        mut search: Search,
        loss: f64,
        gradient_max: f64,
    ) -> Result<Advance> {
        let slope = self.vectors.dot(run.backend, run.grads.values(), &self.direction)?;
        self.ensure_finite(run, "slope along the direction", slope)?;
        current.evaluations += 1;
        let (verdict, slot) = search.tell(loss, slope, gradient_max);
        if let Some(end) = end(&mut self.ends, slot) {
            self.vectors.copy(run.backend, run.grads.values(), end)?;
        }
        match verdict {
            Verdict::Try(t) => {
                self.move_to(run, t, &current)?;
                self.at.phase = Phase::Search(current, search);
                Ok(Advance::Evaluate)
            }
            Verdict::Accept(point) => {
                self.move_to(run, point.t, &current)?;
                self.at.length = point.t;
                let gradient = match end(&mut self.ends, point.slot) {
                    Some(end) => end,
                    None => &mut self.gradient,
                };
                self.vectors.copy(run.backend, gradient, run.grads.values_mut())?;
                self.settle(run, current, point.loss, point.gradient_max)
            }
        }
    }

    /// Ends the iteration where the parameters are now: the step may be over, or the next one begins.
    fn settle(
        &mut self,
        run: &mut Run<'_, B, F>,
        mut current: Current,
        loss: f64,
        gradient_max: f64,
    ) -> Result<Advance> {
        let LbfgsConfig { max_iterations, tolerance_gradient, tolerance_change, .. } = self.config;
        let change = (self.at.length * current.direction_max).abs();
        let stop = if current.iterations >= max_iterations {
            LbfgsStop::Iterations
        } else if current.evaluations >= self.config.evaluations() {
            LbfgsStop::Evaluations
        } else if gradient_max <= tolerance_gradient {
            LbfgsStop::Gradient
        } else if change <= tolerance_change {
            LbfgsStop::Change
        } else if (loss - current.loss).abs() < tolerance_change {
            LbfgsStop::Loss
        } else {
            (current.loss, current.gradient_max) = (loss, gradient_max);
            return self.iterate(run, current);
        };
        Ok(self.finish(current, stop))
    }

    fn finish(&mut self, current: Current, stop: LbfgsStop) -> Advance {
        self.at.phase = Phase::Begin;
        let Current { first_loss: loss, iterations, evaluations, .. } = current;
        Advance::Done(LbfgsStep { loss, iterations, evaluations, stop })
    }

    /// `params = origin + t direction`.
    fn move_to(&mut self, run: &mut Run<'_, B, F>, t: f64, current: &Current) -> Result<()> {
        self.ensure_finite(run, "change of the parameters", F::from_f64(t * current.direction_max).to_f64())?;
        let params = run.params.values_mut();
        self.vectors.copy(run.backend, &self.origin, params)?;
        Ok(self.vectors.add_scaled(run.backend, t, &self.direction, params)?)
    }

    /// Unless `value` is finite, ends the step where its last iteration began.
    fn ensure_finite(&mut self, run: &mut Run<'_, B, F>, what: &'static str, value: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        if self.mid_step() {
            self.vectors.copy(run.backend, &self.origin, run.params.values_mut())?;
            self.at.phase = Phase::Begin;
        }
        Err(Error::NotFinite { what, value, evaluation: self.at.evaluations })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &LbfgsConfig {
        &self.config
    }

    /// Directions followed in all steps.
    #[must_use]
    pub fn iterations(&self) -> u64 {
        self.at.iterations
    }

    /// Evaluations in all steps.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.at.evaluations
    }

    /// Whether a step is under way: the parameters may be a trial that the step will not keep.
    #[must_use]
    pub fn mid_step(&self) -> bool {
        self.at.phase != Phase::Begin
    }

    /// Everything but the parameters, on the host.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn state(&self, backend: &B) -> Result<LbfgsState<F>> {
        let fetch = |buffer: &B::Buffer<F>| -> Result<Vec<F>> {
            let mut values = vec![F::ZERO; buffer.len()];
            backend.download(buffer, 0, &mut values)?;
            Ok(values)
        };
        let ends = match &self.ends {
            None => None,
            Some([first, second]) => Some([fetch(first)?, fetch(second)?]),
        };
        let pairs = self
            .memory
            .iter()
            .map(|Pair { y, s, rho }| -> Result<_> { Ok(Pair { y: fetch(y)?, s: fetch(s)?, rho: *rho }) });
        Ok(LbfgsState {
            progress: self.at,
            direction: fetch(&self.direction)?,
            gradient: fetch(&self.gradient)?,
            origin: fetch(&self.origin)?,
            ends,
            memory: pairs.collect::<Result<_>>()?,
        })
    }

    /// Continues from a saved state. The parameters have to be those that were saved with it.
    ///
    /// # Errors
    /// [`Error::State`] if it belongs to another model, to another line search or to a longer history;
    /// nothing is changed then.
    pub fn restore(&mut self, backend: &B, state: &LbfgsState<F>) -> Result<()> {
        self.check_state(state)?;
        let n = self.vectors.len();
        let load = |values: &[F], buffer: &mut B::Buffer<F>| backend.upload(values, buffer, 0);
        let mut memory = VecDeque::with_capacity(state.memory.len());
        for Pair { y, s, rho } in &state.memory {
            let mut pair = Pair { y: backend.alloc(n)?, s: backend.alloc(n)?, rho: *rho };
            load(y, &mut pair.y)?;
            load(s, &mut pair.s)?;
            memory.push_back(pair);
        }
        load(&state.direction, &mut self.direction)?;
        load(&state.gradient, &mut self.gradient)?;
        load(&state.origin, &mut self.origin)?;
        for (buffer, values) in self.ends.iter_mut().flatten().zip(state.ends.iter().flatten()) {
            load(values, buffer)?;
        }
        (self.memory, self.at) = (memory, state.progress);
        Ok(())
    }

    fn check_state(&self, state: &LbfgsState<F>) -> Result<()> {
        let vectors = 3 + if self.ends.is_some() { 2 } else { 0 } + 2 * state.memory.len();
        let (expected, got) = (vec![self.vectors.len(); vectors], state.lengths());
        if expected != got {
            return Err(Error::State { what: "vectors of lengths", expected, got });
        }
        if state.memory.len() > self.config.history {
            let (expected, got) = (vec![self.config.history], vec![state.memory.len()]);
            return Err(Error::State { what: "more pairs than its history:", expected, got });
        }
        let searching = matches!(state.progress.phase, Phase::Search(..));
        let moved = matches!(state.progress.phase, Phase::Moved(..));
        if (self.ends.is_some() && moved) || (self.ends.is_none() && searching) {
            let (expected, got) = (vec![usize::from(moved)], vec![usize::from(searching)]);
            return Err(Error::State { what: "line searches under way:", expected, got });
        }
        Ok(())
    }
}

/// The buffer of a gradient that a line search keeps; none for the one at its start.
fn end<V>(ends: &mut Option<[V; 2]>, slot: Slot) -> Option<&mut V> {
    let [first, second] = ends.as_mut()?;
    match slot {
        Slot::Start => None,
        Slot::First => Some(first),
        Slot::Second => Some(second),
    }
}

/// What one call of [`Lbfgs::advance`] works on.
struct Run<'a, B: Backend, F: Float> {
    backend: &'a B,
    params: &'a mut Arena<B, F>,
    grads: &'a mut Arena<B, F>,
}

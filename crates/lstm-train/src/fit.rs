//! The training loop: one state, one step, and rules that say when to stop.

mod fault;
mod guard;
mod state;

pub use fault::{Culprit, Fault};
pub use guard::{Guard, Setbacks};
pub use state::{Best, Snapshot, TrainState};

use crate::{Error, Fresh, Result, Rows, Source};
use fault::Wrong;
use lstm_data::shuffled;
use lstm_nn::{Answer, Loss, Model, TrainOptions, TrainPass};
use lstm_optim::{Optimizer, OptimizerConfig};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Arena, Backend, Binary, Float, Operand, Span, View, ViewMut};
use serde::{Deserialize, Serialize};
use state::all_finite;

/// When training ends: at the first rule that applies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stop {
    /// Optimizer steps at most.
    pub max_steps: u64,
    /// The target loss is not looked at before this many samples.
    #[serde(default)]
    pub min_samples: u64,
    /// End where the loss of the last batch is at most this, looked at every `check_every` steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_loss: Option<f64>,
    /// End after this many validations without a new best one; the best weights are restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
}

impl Stop {
    /// After a fixed number of optimizer steps.
    #[must_use]
    pub const fn after(max_steps: u64) -> Self {
        Self { max_steps, min_samples: 0, target_loss: None, patience: None }
    }
}

/// Steps after which a run looks at a device that runs ahead, if no check comes first: so much work at most is done again
/// after a bad step, and for so long nothing waits.
const LOOK_EVERY: usize = 100;

/// Everything that a training run depends on, besides its data and network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct FitConfig {
    /// Samples of a step.
    pub batch: usize,
    /// Rows of a micro-shard, whose gradients are added in a fixed binary tree; the whole batch if
    /// absent. The sum depends on this number, not on how many threads compute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_rows: Option<usize>,
    /// What is made small.
    pub loss: Loss,
    /// Standard deviation of Gaussian noise on the inputs.
    #[serde(default)]
    pub input_noise: f64,
    /// Update rule, rate, schedule, clipping.
    pub optimizer: OptimizerConfig,
    /// What is done where it goes wrong.
    #[serde(default, skip_serializing_if = "Guard::is_default")]
    pub guard: Guard,
    /// When to end.
    pub stop: Stop,
    /// Steps from one report, validation and check to the next.
    pub check_every: u64,
    /// Whether a check computes the loss of its batch again, after the update: that one is then
    /// [`Progress::last_loss`], and is held against the target loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loss_after_update: bool,
    /// Whether an epoch goes through a finite set in random order.
    pub shuffle: bool,
    /// Seed of order, dropout and noise.
    pub seed: u64,
}

impl FitConfig {
    /// Mean squared error with this optimizer, shuffled, checked every 100 steps, seed 0.
    #[must_use]
    pub fn new(batch: usize, optimizer: OptimizerConfig, stop: Stop) -> Self {
        Self {
            batch,
            shard_rows: None,
            loss: Loss::mse(),
            input_noise: 0.0,
            optimizer,
            guard: Guard::default(),
            stop,
            check_every: 100,
            loss_after_update: false,
            shuffle: true,
            seed: 0,
        }
    }

    fn validate(&self) -> Result<()> {
        let positive = |what, value: u64| {
            if value > 0 {
                return Ok(());
            }
            Err(Error::Invalid { what, value: "0".into(), must: "at least 1".into() })
        };
        positive("batch", self.batch as u64)?;
        positive("shard rows", self.shard_rows.unwrap_or(1) as u64)?;
        positive("number of steps", self.stop.max_steps)?;
        positive("bad steps in a row", self.guard.bad_steps.into())?;
        positive("steps of a jump", self.guard.jump_steps)?;
        if let Some(jump) = self.guard.jump.filter(|jump| !(jump.is_finite() && *jump > 1.0)) {
            let must = "a finite number above 1".into();
            return Err(Error::Invalid { what: "jump of the loss", value: jump.to_string(), must });
        }
        positive("steps between checks", self.check_every)
    }
}

/// A report of the running loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken.
    pub step: u64,
    /// Steps at most.
    pub max_steps: u64,
    /// Current epoch, from 0.
    pub epoch: u32,
    /// Samples used so far.
    pub samples: u64,
    /// Mean loss since the last report.
    pub loss: f64,
    /// Loss of the last batch, before its update or, with [`FitConfig::loss_after_update`], after it.
    pub last_loss: f64,
    /// What the validation gave, if there is one.
    pub validation: Option<f64>,
    /// Learning rate of the next step.
    pub learning_rate: f64,
    /// Steps so far that were skipped, because their loss or gradient was no finite number.
    pub skipped: u64,
    /// How often training has gone back to an earlier state, to go on with half the rate.
    pub rollbacks: u32,
}

/// Answer of an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End after this step.
    Stop,
}

/// Measures what should become small, after every `check_every` steps.
pub type Validate<'a, B, F> = &'a mut dyn FnMut(&B, &Model<B, F>) -> Result<f64>;

/// Is told after every step how many were taken, and given a report every `check_every` steps. Where training goes
/// back, they are fewer than before.
pub type Observe<'a> = &'a mut dyn FnMut(u64, Option<&Progress>) -> Flow;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// The target loss was reached.
    TargetReached,
    /// Validation got no better.
    OutOfPatience,
    /// The observer asked for it.
    Interrupted,
    /// It went wrong and could not be helped; the last good weights stay. Only of a
    /// [`Forecaster`](crate::forecaster::Forecaster): elsewhere it is [`Error::Diverged`].
    Diverged(Box<Fault>),
}

impl Outcome {
    /// Whether training ended before its time, so that what was planned after it has no ground to stand on.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Diverged(_))
    }
}

/// Where a batch is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    epoch: u32,
    /// Samples of the epoch before it.
    index: usize,
    /// Samples of all epochs before it.
    samples: u64,
}

/// A model in training.
pub struct Fit<'a, B: Backend, F: Float, S: Source<F>> {
    backend: &'a B,
    source: &'a S,
    config: FitConfig,
    model: Model<B, F>,
    optimizer: Optimizer<B, F>,
    /// Gradient arenas of the shard tree; the first is the batch's gradient.
    gradients: Vec<Arena<B, F>>,
    /// One pass per number of rows that occurs.
    passes: Vec<TrainPass<B, F>>,
    order: Vec<u32>,
    order_of: Option<u32>,
    x: Vec<F>,
    y: Vec<F>,
    /// Each row's index, of the batch that `x` and `y` hold.
    samples: Vec<u32>,
    /// Of the next batch.
    place: Place,
    best: Option<Best<F>>,
    /// Weights may be finite and yet so large that nothing after them is: only the losses that follow
    /// tell whether they were good.
    proven: Option<Snapshot<F>>,
    unproven: Option<Snapshot<F>>,
    strikes: u32,
    reported: Option<f64>,
    /// Batches of the steps that nobody has looked at.
    ahead: Vec<Place>,
    /// Their losses, on the device, so that a step waits for nothing: `[LOOK_EVERY]`.
    losses: B::Buffer<f64>,
    loss_sum: f64,
    loss_count: u64,
    last_loss: Option<f64>,
    setbacks: Setbacks,
}

impl<'a, B: Backend, F: Float, S: Source<F>> Fit<'a, B, F, S> {
    /// A run before its first step.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the source does not fit the network or a setting is impossible.
    pub fn new(backend: &'a B, model: Model<B, F>, source: &'a S, config: FitConfig) -> Result<Self> {
        config.validate()?;
        source.shape().check(model.network(), &config.loss)?;
        if source.samples() == Some(0) {
            return Err(Error::Invalid {
                what: "data",
                value: "empty".into(),
                must: "at least one sample".into(),
            });
        }
        let optimizer = Optimizer::new(backend, &config.optimizer, model.params().layout())?;
        let gradients = vec![model.gradients(backend)?];
        Ok(Self {
            backend,
            source,
            config,
            model,
            optimizer,
            gradients,
            passes: Vec::new(),
            order: Vec::new(),
            order_of: None,
            x: Vec::new(),
            y: Vec::new(),
            samples: Vec::new(),
            place: Place::default(),
            best: None,
            proven: None,
            unproven: None,
            strikes: 0,
            reported: None,
            ahead: Vec::new(),
            losses: backend.alloc(LOOK_EVERY)?,
            loss_sum: 0.0,
            loss_count: 0,
            last_loss: None,
            setbacks: Setbacks::default(),
        })
    }

    /// A run that goes on where `state` was taken, bit for bit.
    ///
    /// # Errors
    /// As [`Fit::new`]; [`Error::State`] where the state belongs to another run.
    pub fn resume(
        backend: &'a B,
        model: Model<B, F>,
        source: &'a S,
        config: FitConfig,
        state: TrainState<F>,
    ) -> Result<Self> {
        let mut fit = Self::new(backend, model, source, config)?;
        fit.restore(state)?;
        Ok(fit)
    }

    /// Goes on where `state` was taken, whatever was done before.
    ///
    /// # Errors
    /// As [`Fit::resume`].
    pub fn restore(&mut self, state: TrainState<F>) -> Result<()> {
        self.check_state(&state)?;
        self.model.upload(self.backend, &state.params)?;
        self.optimizer.restore(self.backend, &state.optimizer)?;
        self.optimizer.set_rate_factor(state.setbacks.rate_factor());
        self.place = Place { epoch: state.epoch, index: state.index, samples: state.optimizer.samples };
        self.best = state.best;
        self.proven = state.proven;
        self.unproven = state.unproven;
        self.strikes = state.strikes;
        self.reported = state.reported;
        self.ahead.clear();
        (self.loss_sum, self.loss_count) = (state.loss_sum, state.loss_count);
        self.last_loss = state.last_loss;
        self.setbacks = state.setbacks;
        Ok(())
    }

    /// Only the stop rule may differ, so that a run can be prolonged.
    fn check_state(&self, state: &TrainState<F>) -> Result<()> {
        let refuse = |why: String| Err(Error::State { why });
        if (FitConfig { stop: self.config.stop, ..state.config.clone() }) != self.config {
            return refuse("it was trained with other settings".into());
        }
        let samples = self.source.samples();
        if state.samples != samples || samples.is_some_and(|count| state.index >= count) {
            return refuse(format!("it was trained on {:?} samples, not {samples:?}", state.samples));
        }
        let len = self.model.params().layout().len();
        let best = state.best.as_ref().map(|best| &best.params);
        let snapshots = [&state.proven, &state.unproven].into_iter().flatten();
        let sets = [Some(&state.params), best].into_iter().flatten();
        if sets.chain(snapshots.clone().map(|snapshot| &snapshot.params)).any(|params| params.len() != len) {
            return refuse("it has another number of parameters".into());
        }
        let slots = if self.goes_back() { self.config.optimizer.rule.slots() } else { 0 };
        let fits = |snapshot: &Snapshot<F>| {
            let moments = &snapshot.optimizer.moments;
            moments.len() == slots && moments.iter().all(|moment| moment.len() == len)
        };
        if !snapshots.clone().all(fits) {
            return refuse("the states that it could go back to have other moments".into());
        }
        if samples.is_some_and(|count| snapshots.clone().any(|snapshot| snapshot.index >= count)) {
            return refuse("the states that it could go back to lie behind the data".into());
        }
        Ok(())
    }

    /// All that [`Fit::resume`] needs.
    ///
    /// # Errors
    /// As [`Backend::download`]; [`Error::Diverged`] where a step before has gone wrong, and nobody has seen it yet.
    pub fn state(&mut self) -> Result<TrainState<F>> {
        self.look()?;
        Ok(TrainState {
            config: self.config.clone(),
            samples: self.source.samples(),
            params: self.model.download(self.backend)?,
            proven: self.proven.clone(),
            unproven: self.unproven.clone(),
            optimizer: self.optimizer.state(self.backend)?,
            epoch: self.place.epoch,
            index: self.place.index,
            best: self.best.clone(),
            strikes: self.strikes,
            loss_sum: self.loss_sum,
            loss_count: self.loss_count,
            last_loss: self.last_loss,
            reported: self.reported,
            setbacks: self.setbacks.clone(),
        })
    }

    /// The model as it stands.
    #[must_use]
    pub fn model(&self) -> &Model<B, F> {
        &self.model
    }

    /// Ends training and gives the model with the best weights that a validation has seen; without
    /// one, as it stands.
    ///
    /// # Errors
    /// As [`Backend::upload`].
    pub fn into_model(mut self) -> Result<Model<B, F>> {
        self.restore_best()?;
        Ok(self.model)
    }

    /// The best validation so far.
    #[must_use]
    pub fn best(&self) -> Option<&Best<F>> {
        self.best.as_ref()
    }

    /// Optimizer steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.optimizer.step()
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn setbacks(&self) -> &Setbacks {
        &self.setbacks
    }

    /// One optimizer step over one batch; the last batch of an epoch may be smaller. Where it makes [`Guard`] go back,
    /// [`Fit::steps`] are fewer afterwards.
    ///
    /// # Errors
    /// Of the source and of the backend; [`Error::Diverged`] where going back has not helped.
    pub fn step(&mut self) -> Result<()> {
        self.advance().map(|_| ())
    }

    /// One step, and a look at it where it is time; whether training went back.
    fn advance(&mut self) -> Result<bool> {
        if self.proven.is_none() {
            self.proven = Some(self.snapshot()?);
        }
        let (step, place) = (self.optimizer.step(), self.place);
        self.load(step, place)?;
        let samples = std::mem::take(&mut self.samples);
        let batch = samples.len();
        self.tree(step as u32, &samples, 0, batch, 0)?;
        self.samples = samples;
        self.note_loss()?;
        self.optimizer.apply(self.backend, self.model.params_mut(), &mut self.gradients[0], batch)?;
        self.keep_loss()?;
        self.ahead.push(place);
        self.place = self.behind(place, batch);
        let waits = !self.backend.runs_ahead() || self.setbacks.in_a_row > 0;
        let due = waits || self.ahead.len() == LOOK_EVERY || self.is_check(step + 1);
        if due { self.look() } else { Ok(false) }
    }

    /// Brings the batch of a step, from 0: `x`, `y`, `samples`. The rows of a finite set that it is of.
    fn load(&mut self, step: u64, place: Place) -> Result<Vec<usize>> {
        let batch = self.rows_at(place);
        let (first, end) = (place.index, place.index + batch);
        let rows: Vec<usize> = match self.source.samples() {
            None => Vec::new(),
            Some(count) => {
                self.arrange(place.epoch, count);
                self.order[first..end].iter().map(|&row| row as usize).collect()
            }
        };
        self.samples.clear();
        self.samples.extend((0..batch as u32).map(|row| first as u32 + row));
        let shape = self.source.shape();
        // Endless data is drawn for the whole batch at once, then cut into shards.
        self.x.resize(shape.steps * shape.inputs * batch, F::ZERO);
        self.y.resize(shape.targets * batch, F::ZERO);
        let fresh = Fresh { seed: self.config.seed, step: step as u32, count: batch };
        let which = if rows.is_empty() { Rows::Fresh(fresh) } else { Rows::Chosen(&rows) };
        self.source.fill(which, &mut self.x, &mut self.y)?;
        Ok(rows)
    }

    /// Rows of the batch at a place.
    fn rows_at(&self, place: Place) -> usize {
        let left = self.source.samples().map_or(usize::MAX, |count| count - place.index);
        self.config.batch.min(left)
    }

    /// The place behind a batch.
    fn behind(&self, place: Place, batch: usize) -> Place {
        let (index, samples) = (place.index + batch, place.samples + batch as u64);
        match self.source.samples() {
            Some(count) if index >= count => Place { epoch: place.epoch + 1, index: 0, samples },
            _ => Place { index, samples, ..place },
        }
    }

    fn is_check(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.check_every) || step == self.config.stop.max_steps
    }

    /// Whether training may go back, so that it must know whereto.
    fn goes_back(&self) -> bool {
        self.config.guard.rollbacks > 0
    }

    /// The loss of the last batch with the weights as they are now. Waits for the device.
    fn loss_again(&mut self) -> Result<f64> {
        let samples = std::mem::take(&mut self.samples);
        let step = self.optimizer.step().saturating_sub(1) as u32;
        self.tree(step, &samples, 0, samples.len(), 0)?;
        self.samples = samples;
        // The gradient that came with it is not wanted.
        let all = Span::dense(0, 1, self.model.params().layout().len());
        self.backend.fill(F::ZERO, ViewMut::new(self.gradients[0].values_mut(), all))?;
        let mut loss = 0.0;
        for pass in &mut self.passes {
            loss += pass.take_loss(self.backend)?;
        }
        Ok(loss)
    }

    /// Tells the optimizer the losses of the passes.
    fn note_loss(&mut self) -> Result<()> {
        let Self { backend, optimizer, passes, .. } = self;
        backend.phase(|backend| {
            let (loss, slot) = optimizer.loss_mut();
            backend.fill(0.0, ViewMut::new(loss, Span::dense(slot, 1, 1)))?;
            passes.iter_mut().try_for_each(|pass| Ok(pass.move_loss(backend, loss, slot)?))
        })
    }

    /// Puts the loss of the batch behind those that nobody has looked at.
    fn keep_loss(&mut self) -> Result<()> {
        let (loss, slot) = self.optimizer.loss();
        let (from, to) = (Span::dense(slot, 1, 1), Span::dense(self.ahead.len(), 1, 1));
        Ok(self.backend.copy(View::new(loss, from), ViewMut::new(&mut self.losses, to))?)
    }

    /// Looks at the steps that nobody has looked at, in their order, up to the first that is bad. Waits for the device.
    /// Whether training went back.
    fn look(&mut self) -> Result<bool> {
        if self.ahead.is_empty() {
            return Ok(false);
        }
        let bad_step = self.optimizer.bad_step(self.backend)?;
        let mut losses = [0.0; LOOK_EVERY];
        let taken = self.ahead.len();
        self.backend.download(&self.losses, 0, &mut losses[..taken])?;
        let first = self.optimizer.step() + 1 - taken as u64;
        for (at, (step, loss)) in (first..).zip(losses).take(taken).enumerate() {
            let place = self.ahead[at];
            let bad = bad_step == Some(step);
            let too_high = !bad && !self.took(place, loss);
            if bad || too_high {
                // Those behind it are taken again.
                self.ahead.clear();
            }
            if bad {
                return self.skip(step, place);
            }
            if too_high {
                return self.go_back(step, Wrong::Jump { steps: self.jump_steps() });
            }
        }
        self.ahead.clear();
        Ok(false)
    }

    /// Takes note of the finite loss of a step; false where losses have been too high for too long.
    fn took(&mut self, place: Place, loss: f64) -> bool {
        self.last_loss = Some(loss);
        (self.loss_sum, self.loss_count) = (self.loss_sum + loss, self.loss_count + 1);
        let batch = (self.rows_at(place), self.source.samples());
        let (mut guard, steps) = (self.config.guard, self.jump_steps());
        if self.config.loss.answer().is_some_and(Answer::is_likelihood) {
            guard.jump = None;
        }
        !self.setbacks.note((&guard, steps), loss, batch)
    }

    /// Steps in a row that make a jump.
    fn jump_steps(&self) -> u64 {
        let epoch = match self.source.samples() {
            Some(count) if !self.config.shuffle => count.div_ceil(self.config.batch) as u64,
            _ => 0,
        };
        self.config.guard.jump_steps.max(epoch)
    }

    /// Goes on behind a bad step, which has changed nothing, or back. Whether it went back.
    fn skip(&mut self, step: u64, place: Place) -> Result<bool> {
        self.place = self.behind(place, self.rows_at(place));
        self.optimizer.skip(self.backend, step, self.place.samples)?;
        self.setbacks.skip();
        if self.setbacks.in_a_row >= self.config.guard.bad_steps {
            return self.go_back(step, Wrong::Step(place));
        }
        Ok(false)
    }

    /// Goes back to the last good state, to go on with half the rate; where that was done often enough, ends.
    fn go_back(&mut self, step: u64, wrong: Wrong) -> Result<bool> {
        if self.setbacks.rollbacks >= self.config.guard.rollbacks {
            let fault = self.diagnose(step, wrong)?;
            if let Some(proven) = &self.proven {
                self.model.upload(self.backend, &proven.params)?;
            }
            self.restore_best()?;
            return Err(Error::Diverged {
                fault: Box::new(fault),
                rollbacks: self.setbacks.rollbacks,
                last_loss: self.reported,
            });
        }
        self.setbacks.go_back();
        self.optimizer.set_rate_factor(self.setbacks.rate_factor());
        self.unproven = None;
        let Some(proven) = &self.proven else { return Ok(true) };
        self.model.upload(self.backend, &proven.params)?;
        self.optimizer.restore(self.backend, &proven.optimizer)?;
        self.place = Place { epoch: proven.epoch, index: proven.index, samples: proven.optimizer.samples };
        self.strikes = proven.strikes;
        (self.loss_sum, self.loss_count) = (0.0, 0);
        Ok(true)
    }

    /// The state as it could be gone back to. Waits for the device.
    fn snapshot(&self) -> Result<Snapshot<F>> {
        let optimizer = match self.goes_back() {
            true => self.optimizer.state(self.backend)?,
            false => lstm_optim::OptimizerState::default(),
        };
        Ok(Snapshot {
            params: self.model.download(self.backend)?,
            optimizer,
            epoch: self.place.epoch,
            index: self.place.index,
            strikes: self.strikes,
        })
    }

    /// Brings the order of an epoch: a pure function of (seed, epoch).
    fn arrange(&mut self, epoch: u32, count: usize) {
        if self.order_of == Some(epoch) {
            return;
        }
        self.order = if self.config.shuffle {
            shuffled(count as u32, &mut Philox::new(self.config.seed, Purpose::Order, epoch))
        } else {
            (0..count as u32).collect()
        };
        self.order_of = Some(epoch);
    }

    /// Gradient of rows `first .. end` of the batch into arena `depth`: halves at the largest power of
    /// two of shards, the left one first.
    fn tree(&mut self, step: u32, samples: &[u32], first: usize, end: usize, depth: usize) -> Result<()> {
        if self.gradients.len() <= depth {
            self.gradients.push(self.model.gradients(self.backend)?);
        }
        let shard = self.config.shard_rows.unwrap_or(samples.len()).min(samples.len());
        let shards = (end - first).div_ceil(shard);
        if shards <= 1 {
            return self.leaf(step, samples, first, end, depth);
        }
        let middle = first + shards.next_power_of_two() / 2 * shard;
        self.tree(step, samples, first, middle, depth)?;
        self.tree(step, samples, middle, end, depth + 1)?;
        let (left, right) = self.gradients.split_at_mut(depth + 1);
        let all = Span::dense(0, 1, self.model.params().layout().len());
        let (sum, added) = (Operand::Here(all), Operand::of(right[0].values(), all));
        self.backend.zip(Binary::Add, sum, added, ViewMut::new(left[depth].values_mut(), all))?;
        Ok(self.backend.fill(F::ZERO, ViewMut::new(right[0].values_mut(), all))?)
    }

    /// Gradient of one shard, added to arena `depth`.
    fn leaf(&mut self, step: u32, samples: &[u32], first: usize, end: usize, depth: usize) -> Result<()> {
        let (rows, batch) = (end - first, samples.len());
        let shape = self.source.shape();
        let at = match self.passes.iter().position(|pass| pass.rows() == rows) {
            Some(at) => at,
            None => {
                let options = TrainOptions::new(self.config.loss.clone())
                    .input_noise(self.config.input_noise)
                    .seed(self.config.seed);
                self.passes.push(TrainPass::new(self.backend, &self.model, shape.steps, rows, options)?);
                self.passes.len() - 1
            }
        };
        let network = self.model.network();
        let read = network.output_rows(shape.steps, 1);
        let (x, y);
        let (x, y) = if rows == batch {
            (self.x.as_slice(), self.y.as_slice())
        } else {
            x = columns(&self.x, shape.steps, batch, shape.inputs, first..end);
            y = columns(&self.y, read, batch, self.config.loss.columns(network.outputs())?.1, first..end);
            (x.as_slice(), y.as_slice())
        };
        let address = (step, &samples[first..end]);
        let grads = &mut self.gradients[depth];
        Ok(self.passes[at].accumulate(self.backend, &self.model, grads, x, y, address, batch)?)
    }

    /// Trains until a rule of [`Stop`] applies. `validate` measures what should become small; where it
    /// is given, the best weights are restored at the end, unless the observer ended the run: then it
    /// stands as it is, so that [`Fit::state`] can be resumed. `observe` is called after every step.
    ///
    /// What has gone wrong is noticed on the device in the step where it happens, and that step changes nothing; a device
    /// that runs ahead is asked at every check, and every 100 steps at most, and what was asked of it meanwhile is done
    /// again. So the bits depend on neither.
    ///
    /// # Errors
    /// [`Error::Diverged`] where it went wrong and [`Guard`] has not helped; the model then holds the best weights seen,
    /// or those of the last check that led to good losses up to the next.
    pub fn run(&mut self, mut validate: Option<Validate<'_, B, F>>, observe: Observe<'_>) -> Result<Outcome> {
        let outcome = loop {
            if self.optimizer.step() >= self.config.stop.max_steps {
                break Outcome::Finished;
            }
            let back = self.advance()?;
            let report = match !back && self.ahead.is_empty() && self.is_check(self.optimizer.step()) {
                true => self.check(&mut validate)?,
                false => None,
            };
            self.reported = report.map(|report| report.last_loss).or(self.reported);
            let flow = observe(self.optimizer.step(), report.as_ref());
            let stop = &self.config.stop;
            let long_enough = self.optimizer.samples() >= stop.min_samples;
            let reached = |target| long_enough && report.is_some_and(|report| report.last_loss <= target);
            if stop.target_loss.is_some_and(reached) {
                break Outcome::TargetReached;
            }
            if stop.patience.is_some_and(|patience| self.strikes >= patience) {
                break Outcome::OutOfPatience;
            }
            // After the rules: a run that has ended is not taken up again.
            if flow == Flow::Stop {
                self.look()?;
                return Ok(Outcome::Interrupted);
            }
        };
        self.restore_best()?;
        Ok(outcome)
    }

    /// Validates and reports; or goes back, and does not, where what it sees is not finite.
    fn check(&mut self, validate: &mut Option<Validate<'_, B, F>>) -> Result<Option<Progress>> {
        let step = self.optimizer.step();
        let now = self.snapshot()?;
        let sound = all_finite(&now.params) && now.optimizer.moments.iter().all(|moment| all_finite(moment));
        if !sound || !self.loss_sum.is_finite() {
            return self.go_back(step, Wrong::Weights).map(|_| None);
        }
        // None where all steps so far were skipped.
        let Some(mut last_loss) = self.last_loss else { return Ok(None) };
        // The last step has no loss behind it that would tell. Of a step that was skipped it would tell the same again.
        let last = step == self.config.stop.max_steps && validate.is_none() && self.goes_back();
        if (self.config.loss_after_update || last) && self.setbacks.in_a_row == 0 {
            let again = self.loss_again()?;
            if !again.is_finite() {
                return self.go_back(step, Wrong::Answer).map(|_| None);
            }
            if self.config.loss_after_update {
                last_loss = again;
            }
        }
        let validation = match validate {
            Some(validate) => Some(validate(self.backend, &self.model)?),
            None => None,
        };
        if validation.is_some_and(|value| !value.is_finite()) {
            return self.go_back(step, Wrong::Answer).map(|_| None);
        }
        // What followed on the check before was good, unless losses have been high since.
        if self.setbacks.high == 0 {
            self.proven = self.unproven.replace(now).or(self.proven.take());
        }
        if let Some(value) = validation {
            self.judge(value)?;
        }
        Ok(Some(self.report(last_loss, validation)))
    }

    fn judge(&mut self, value: f64) -> Result<()> {
        if self.best.as_ref().is_none_or(|best| value < best.value) {
            let params = self.model.download(self.backend)?;
            self.best = Some(Best { step: self.optimizer.step(), value, params });
            self.strikes = 0;
        } else {
            self.strikes += 1;
        }
        Ok(())
    }

    fn report(&mut self, last_loss: f64, validation: Option<f64>) -> Progress {
        let steps = std::mem::take(&mut self.loss_count);
        let sum = std::mem::take(&mut self.loss_sum);
        Progress {
            step: self.optimizer.step(),
            max_steps: self.config.stop.max_steps,
            epoch: self.place.epoch,
            samples: self.optimizer.samples(),
            // Where every step since the last report was skipped, the last loss before it is what there is.
            loss: if steps == 0 { last_loss } else { sum / steps as f64 },
            last_loss,
            validation,
            learning_rate: self.optimizer.learning_rate(),
            skipped: self.setbacks.skipped,
            rollbacks: self.setbacks.rollbacks,
        }
    }

    fn restore_best(&mut self) -> Result<()> {
        match &self.best {
            Some(best) => Ok(self.model.upload(self.backend, &best.params)?),
            None => Ok(()),
        }
    }
}

/// Rows `range` of every step of a time-first `[steps, rows, width]` array.
fn columns<F: Float>(
    all: &[F],
    steps: usize,
    rows: usize,
    width: usize,
    range: std::ops::Range<usize>,
) -> Vec<F> {
    (0..steps)
        .flat_map(|t| &all[(t * rows + range.start) * width..(t * rows + range.end) * width])
        .copied()
        .collect()
}

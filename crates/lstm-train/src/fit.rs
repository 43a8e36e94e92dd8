//! The training loop: one state, one step, and rules that say when to stop.

use crate::{Error, Fresh, Result, Rows, Source};
use lstm_data::shuffled;
use lstm_nn::{Loss, Model, TrainOptions, TrainPass};
use lstm_optim::{Optimizer, OptimizerConfig, OptimizerState};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Arena, Backend, Binary, Float, Operand, Span, ViewMut};
use serde::{Deserialize, Serialize};

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

/// Steps after which a run looks at the device, if no check comes first: so much work at most is lost to
/// a gradient that was not finite, and for so long nothing waits.
const LOOK_EVERY: u64 = 100;

/// Places of [`Fit::losses`].
mod loss_slot {
    /// Loss of the last batch.
    pub(super) const LAST: usize = 0;
    /// Sum of the losses since the last report.
    pub(super) const SUM: usize = 1;
    pub(super) const COUNT: usize = 2;
}

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
        positive("steps between checks", self.check_every)
    }
}

/// The best weights that a validation has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best<F> {
    /// Optimizer steps taken then.
    pub step: u64,
    /// What the validation gave.
    pub value: f64,
    /// Parameters as they lie in the arena.
    pub params: Vec<F>,
}

/// All that a run needs to go on exactly where it stood, plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainState<F> {
    /// Settings of the run; another run's state is refused.
    pub config: FitConfig,
    /// Samples of the finite set it trains on.
    pub samples: Option<usize>,
    /// Parameters as they lie in the arena.
    pub params: Vec<F>,
    /// Parameters at the last check that gave finite losses up to the next one.
    pub proven: Option<Vec<F>>,
    /// Parameters at the last check.
    pub unproven: Option<Vec<F>>,
    /// Moments and counters; the schedule follows from the counters.
    pub optimizer: OptimizerState<F>,
    /// Current epoch.
    pub epoch: u32,
    /// Samples of the current epoch that have been used.
    pub index: usize,
    /// Best validation so far.
    pub best: Option<Best<F>>,
    /// Validations since the best one.
    pub strikes: u32,
    /// Sum of the losses since the last report.
    pub loss_sum: f64,
    /// Steps in that sum.
    pub loss_count: u64,
    /// Loss of the last batch; none before the first.
    pub last_loss: Option<f64>,
    /// [`Progress::last_loss`] of the last report.
    pub reported: Option<f64>,
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

/// Is told after every step how many were taken, and given a report every `check_every` steps.
pub type Observe<'a> = &'a mut dyn FnMut(u64, Option<&Progress>) -> Flow;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The loss or a gradient was no finite number at this step; the last good weights stay. Only of a
    /// [`Forecaster`](crate::forecaster::Forecaster): elsewhere it is [`Error::Diverged`].
    Diverged {
        /// Optimizer step, from 1.
        step: u64,
    },
}

impl Outcome {
    /// Whether training ended before its time, so that what was planned after it has no ground to stand on.
    #[must_use]
    pub fn is_cut_short(self) -> bool {
        matches!(self, Self::Interrupted | Self::Diverged { .. })
    }
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
    epoch: u32,
    index: usize,
    best: Option<Best<F>>,
    /// Weights may be finite and yet so large that nothing after them is: only the losses that follow
    /// tell whether they were good.
    proven: Option<Vec<F>>,
    unproven: Option<Vec<F>>,
    strikes: u32,
    reported: Option<f64>,
    /// On the device, so that a step waits for nothing; see [`loss_slot`].
    losses: B::Buffer<f64>,
    loss_count: u64,
}

impl<'a, B: Backend, F: Float, S: Source<F>> Fit<'a, B, F, S> {
    /// A run before its first step.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the source does not fit the network or a setting is impossible.
    pub fn new(backend: &'a B, model: Model<B, F>, source: &'a S, config: FitConfig) -> Result<Self> {
        config.validate()?;
        source.shape().check(model.network())?;
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
            epoch: 0,
            index: 0,
            best: None,
            proven: None,
            unproven: None,
            strikes: 0,
            reported: None,
            losses: backend.alloc(loss_slot::COUNT)?,
            loss_count: 0,
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
        self.epoch = state.epoch;
        self.index = state.index;
        self.best = state.best;
        self.proven = state.proven;
        self.unproven = state.unproven;
        self.strikes = state.strikes;
        self.reported = state.reported;
        self.backend.upload(&[state.last_loss.unwrap_or(0.0), state.loss_sum], &mut self.losses, 0)?;
        self.loss_count = state.loss_count;
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
        let sets = [Some(&state.params), best, state.proven.as_ref(), state.unproven.as_ref()];
        if sets.into_iter().flatten().any(|params| params.len() != len) {
            return refuse("it has another number of parameters".into());
        }
        Ok(())
    }

    /// All that [`Fit::resume`] needs.
    ///
    /// # Errors
    /// As [`Backend::download`].
    pub fn state(&self) -> Result<TrainState<F>> {
        let losses = self.fetch_losses()?;
        Ok(TrainState {
            config: self.config.clone(),
            samples: self.source.samples(),
            params: self.model.download(self.backend)?,
            proven: self.proven.clone(),
            unproven: self.unproven.clone(),
            optimizer: self.optimizer.state(self.backend)?,
            epoch: self.epoch,
            index: self.index,
            best: self.best.clone(),
            strikes: self.strikes,
            loss_sum: losses[loss_slot::SUM],
            loss_count: self.loss_count,
            last_loss: (self.optimizer.step() > 0).then_some(losses[loss_slot::LAST]),
            reported: self.reported,
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

    /// One optimizer step over one batch; the last batch of an epoch may be smaller.
    ///
    /// # Errors
    /// Of the source and of the backend.
    pub fn step(&mut self) -> Result<()> {
        let step = self.optimizer.step();
        let (rows, samples): (Vec<usize>, Vec<u32>) = match self.source.samples() {
            None => (Vec::new(), (0..self.config.batch as u32).map(|r| self.index as u32 + r).collect()),
            Some(count) => {
                self.arrange(count);
                let end = (self.index + self.config.batch).min(count);
                let rows = self.order[self.index..end].iter().map(|&row| row as usize).collect();
                (rows, (self.index as u32..end as u32).collect())
            }
        };
        let batch = samples.len();
        let shape = self.source.shape();
        // Endless data is drawn for the whole batch at once, then cut into shards.
        self.x.resize(shape.steps * shape.inputs * batch, F::ZERO);
        self.y.resize(shape.targets * batch, F::ZERO);
        let fresh = Fresh { seed: self.config.seed, step: step as u32, count: batch };
        let which = if rows.is_empty() { Rows::Fresh(fresh) } else { Rows::Chosen(&rows) };
        self.source.fill(which, &mut self.x, &mut self.y)?;

        self.tree(step as u32, &samples, 0, batch, 0)?;
        self.optimizer.apply(self.backend, self.model.params_mut(), &mut self.gradients[0], batch)?;
        self.count_loss()?;
        self.samples = samples;
        self.index += batch;
        if self.source.samples().is_some_and(|count| self.index >= count) {
            (self.epoch, self.index) = (self.epoch + 1, 0);
        }
        Ok(())
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

    /// Makes the losses of the passes the last one, and adds it to the sum.
    fn count_loss(&mut self) -> Result<()> {
        let slot = |index| Span::dense(index, 1, 1);
        let (last, sum) = (slot(loss_slot::LAST), slot(loss_slot::SUM));
        self.loss_count += 1;
        self.backend.phase(|backend| {
            backend.fill(0.0, ViewMut::new(&mut self.losses, last))?;
            for pass in &mut self.passes {
                pass.move_loss(backend, &mut self.losses, loss_slot::LAST)?;
            }
            let (sum_now, added) = (Operand::Here(sum), Operand::Here(last));
            Ok(backend.zip(Binary::Add, sum_now, added, ViewMut::new(&mut self.losses, sum))?)
        })
    }

    /// The losses by [`loss_slot`]. Waits for the device.
    fn fetch_losses(&self) -> Result<[f64; loss_slot::COUNT]> {
        let mut losses = [0.0; loss_slot::COUNT];
        self.backend.download(&self.losses, 0, &mut losses)?;
        Ok(losses)
    }

    /// Brings the order of the current epoch: a pure function of (seed, epoch).
    fn arrange(&mut self, count: usize) {
        if self.order_of == Some(self.epoch) {
            return;
        }
        self.order = if self.config.shuffle {
            shuffled(count as u32, &mut Philox::new(self.config.seed, Purpose::Order, self.epoch))
        } else {
            (0..count as u32).collect()
        };
        self.order_of = Some(self.epoch);
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
            y = columns(&self.y, read, batch, network.outputs(), first..end);
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
    /// # Errors
    /// [`Error::Diverged`] where a loss, a gradient or a validation is not finite; the model then holds
    /// the best weights seen, or the last ones at a check that gave finite losses up to the next. So that
    /// nothing waits for a device, this is looked for at every check and every 100 steps at most; the step
    /// that is named is that of the first such gradient, or of the look if only a loss was not finite.
    pub fn run(&mut self, mut validate: Option<Validate<'_, B, F>>, observe: Observe<'_>) -> Result<Outcome> {
        if self.proven.is_none() {
            self.proven = Some(self.model.download(self.backend)?);
        }
        let outcome = loop {
            if self.optimizer.step() >= self.config.stop.max_steps {
                break Outcome::Finished;
            }
            self.step()?;
            let step = self.optimizer.step();
            let check = step.is_multiple_of(self.config.check_every) || step == self.config.stop.max_steps;
            let mut losses = [0.0; loss_slot::COUNT];
            let mut bad_step = None;
            if check || step.is_multiple_of(LOOK_EVERY) {
                losses = self.fetch_losses()?;
                bad_step = self.bad_step(&losses)?;
            }
            if check && self.config.loss_after_update && bad_step.is_none() {
                losses[loss_slot::LAST] = self.loss_again()?;
                bad_step = (!losses[loss_slot::LAST].is_finite()).then_some(step);
            }
            let validation = match &mut validate {
                Some(validate) if check && bad_step.is_none() => Some(validate(self.backend, &self.model)?),
                _ => None,
            };
            if validation.is_some_and(|value| !value.is_finite()) {
                bad_step = Some(step);
            }
            if let Some(step) = bad_step {
                return self.give_up(step);
            }
            let report = match check {
                false => None,
                true => {
                    let now = self.model.download(self.backend)?;
                    self.proven = self.unproven.replace(now).or(self.proven.take());
                    if let Some(value) = validation {
                        self.judge(value)?;
                    }
                    Some(self.report(losses, validation)?)
                }
            };
            self.reported = report.map(|report| report.last_loss).or(self.reported);
            let flow = observe(step, report.as_ref());
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
                return match self.bad_step(&self.fetch_losses()?)? {
                    None => Ok(Outcome::Interrupted),
                    Some(step) => self.give_up(step),
                };
            }
        };
        self.restore_best()?;
        Ok(outcome)
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

    /// The first step whose gradient was not finite; this one if only a loss since the last report was not.
    fn bad_step(&self, losses: &[f64; loss_slot::COUNT]) -> Result<Option<u64>> {
        let latched = self.optimizer.bad_step(self.backend)?;
        let sound = losses[loss_slot::SUM].is_finite();
        Ok(latched.or((!sound).then_some(self.optimizer.step())))
    }

    /// Goes back to weights that were good.
    fn give_up(&mut self, step: u64) -> Result<Outcome> {
        if let Some(proven) = &self.proven {
            self.model.upload(self.backend, proven)?;
        }
        self.restore_best()?;
        Err(Error::Diverged { step, last_loss: self.reported })
    }

    fn report(&mut self, losses: [f64; loss_slot::COUNT], validation: Option<f64>) -> Result<Progress> {
        let (last_loss, loss) = (losses[loss_slot::LAST], losses[loss_slot::SUM] / self.loss_count as f64);
        self.backend.upload(&[0.0], &mut self.losses, loss_slot::SUM)?;
        self.loss_count = 0;
        Ok(Progress {
            step: self.optimizer.step(),
            max_steps: self.config.stop.max_steps,
            epoch: self.epoch,
            samples: self.optimizer.samples(),
            loss,
            last_loss,
            validation,
            learning_rate: self.optimizer.learning_rate(),
        })
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

//! The optimizer: moments and counters, and the step that applies a gradient.

use crate::{Error, OptimizerConfig, Result};
use lstm_tensor::{Arena, Backend, Control, Float, ParamLayout, Span, Storage, ViewMut, control_slot};
use serde::{Deserialize, Serialize};

/// Applies gradients to a model's parameters.
///
/// Nothing in [`Optimizer::apply`] waits for the device: the learning rate and the step go to it, the
/// norm and the first bad step are fetched when somebody asks. From a bad step on nothing changes any more, until
/// [`Optimizer::skip`] goes on behind it.
pub struct Optimizer<B: Backend, F: Float> {
    config: OptimizerConfig,
    slots: Vec<B::Buffer<F>>,
    control: Control<B>,
    step: u64,
    samples: u64,
    skipped: u64,
    rate_factor: f64,
}

/// All of an optimizer that a later run needs to go on exactly where this one stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerState<F> {
    /// Optimizer steps taken.
    pub step: u64,
    /// Samples seen.
    pub samples: u64,
    /// Steps among them that changed nothing: rules that count their updates do not count these.
    #[serde(default)]
    pub skipped: u64,
    /// The rule's moments, each laid out like the parameter arena, padding included.
    pub moments: Vec<Vec<F>>,
}

impl<B: Backend, F: Float> Optimizer<B, F> {
    /// An optimizer before its first step, for parameters laid out by `layout`.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible configuration, [`Error::Backend`] where memory is lacking.
    pub fn new(backend: &B, config: &OptimizerConfig, layout: &ParamLayout) -> Result<Self> {
        config.validate()?;
        let mut slots = Vec::with_capacity(config.rule.slots());
        for _ in 0..config.rule.slots() {
            let mut slot = backend.alloc(layout.len())?;
            let fill = config.rule.slot_fill();
            if fill != 0.0 {
                let all = Span::dense(0, 1, layout.len());
                backend.fill(F::from_f64(fill), ViewMut::new(&mut slot, all))?;
            }
            slots.push(slot);
        }
        Ok(Self {
            config: config.clone(),
            slots,
            control: Control::new(backend)?,
            step: 0,
            samples: 0,
            skipped: 0,
            rate_factor: 1.0,
        })
    }

    /// Where [`Optimizer::apply`] finds the loss of its batch, on the device: a buffer and an index. Without one the
    /// gradient alone says whether a step is bad.
    pub fn loss_mut(&mut self) -> (&mut B::Buffer<f64>, usize) {
        (&mut self.control.values, control_slot::LOSS)
    }

    /// The loss that [`Optimizer::loss_mut`] was given, and the buffer and index that it lies at.
    #[must_use]
    pub fn loss(&self) -> (&B::Buffer<f64>, usize) {
        (&self.control.values, control_slot::LOSS)
    }

    /// Changes `params` along `grads`, the gradient of a batch of `batch_samples` samples, and zeroes
    /// `grads`. Once a gradient or a loss was not finite, parameters and moments stay as they are.
    ///
    /// # Errors
    /// [`Error::Backend`] where an arena has another layout than [`Optimizer::new`] was given.
    pub fn apply(
        &mut self,
        backend: &B,
        params: &mut Arena<B, F>,
        grads: &mut Arena<B, F>,
        batch_samples: usize,
    ) -> Result<()> {
        let len = params.layout().len();
        lstm_tensor::Error::check_shape("apply", "gradients", &[len], &[grads.layout().len()])?;
        for slot in &self.slots {
            lstm_tensor::Error::check_shape("apply", "moments", &[len], &[slot.len()])?;
        }
        let step = self.step + 1;
        // Rate and step are neighbours in the control block, so that one upload carries both.
        const { assert!(control_slot::STEP == control_slot::RATE + 1) };
        let scalars = [self.learning_rate(), (step - self.skipped) as f64];
        backend.upload(&scalars, &mut self.control.values, control_slot::RATE)?;
        let OptimizerConfig { rule, clip_value, clip_norm, .. } = &self.config;
        backend.phase(|backend| {
            backend.clip(*clip_value, *clip_norm, grads.values_mut(), &mut self.control)?;
            backend.update(rule, params.values_mut(), grads.values(), &mut self.slots, &self.control)?;
            let all = Span::dense(0, 1, len);
            backend.fill(F::ZERO, ViewMut::new(grads.values_mut(), all))
        })?;
        self.step = step;
        self.samples += batch_samples as u64;
        Ok(())
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Optimizer steps taken.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Samples seen.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Learning rate of the next step.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.rate_factor * self.config.rate(self.step, self.samples)
    }

    /// Multiplies every learning rate of the schedule by `factor` from now on.
    pub fn set_rate_factor(&mut self, factor: f64) {
        self.rate_factor = factor;
    }

    /// Goes back to right behind a bad step, which changed nothing, as nothing after it did: `step` and `samples` count
    /// it. The next step changes parameters again.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn skip(&mut self, backend: &B, step: u64, samples: u64) -> Result<()> {
        self.forget_bad_step(backend)?;
        (self.step, self.samples) = (step, samples);
        self.skipped += 1;
        Ok(())
    }

    fn forget_bad_step(&mut self, backend: &B) -> Result<()> {
        backend.upload(&[0], &mut self.control.bad_step, 0)?;
        Ok(backend.upload(&[0.0], &mut self.control.values, control_slot::LOSS)?)
    }

    /// Clips a gradient as [`Optimizer::apply`] would, and changes nothing else.
    ///
    /// # Errors
    /// As [`Optimizer::apply`].
    pub fn clip(&mut self, backend: &B, grads: &mut Arena<B, F>) -> Result<()> {
        let OptimizerConfig { clip_value, clip_norm, .. } = self.config;
        Ok(backend.clip(clip_value, clip_norm, grads.values_mut(), &mut self.control)?)
    }

    /// The first step (from 1) whose gradient or loss was not finite. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn bad_step(&self, backend: &B) -> Result<Option<u64>> {
        let mut step = [0];
        backend.download(&self.control.bad_step, 0, &mut step)?;
        Ok((step[0] != 0).then_some(u64::from(step[0]) + self.skipped))
    }

    /// Counters and moments, on the host.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn state(&self, backend: &B) -> Result<OptimizerState<F>> {
        let mut moments = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut values = vec![F::ZERO; slot.len()];
            backend.download(slot, 0, &mut values)?;
            moments.push(values);
        }
        Ok(OptimizerState { step: self.step, samples: self.samples, skipped: self.skipped, moments })
    }

    /// Continues from a saved state and forgets a bad step.
    ///
    /// # Errors
    /// [`Error::State`] if the moments are not those of this rule and model; nothing is changed then.
    pub fn restore(&mut self, backend: &B, state: &OptimizerState<F>) -> Result<()> {
        let expected: Vec<_> = self.slots.iter().map(Storage::len).collect();
        let got: Vec<_> = state.moments.iter().map(Vec::len).collect();
        if expected != got {
            return Err(Error::State { what: "moments of lengths", expected, got });
        }
        for (slot, values) in self.slots.iter_mut().zip(&state.moments) {
            backend.upload(values, slot, 0)?;
        }
        self.forget_bad_step(backend)?;
        (self.step, self.samples, self.skipped) = (state.step, state.samples, state.skipped);
        Ok(())
    }
}

//! What a training failed at: the step, the samples and the tensor.

use super::{Fit, Place};
use crate::{Result, Source};
use lstm_tensor::{Backend, Float, ParamLayout, Span, ViewMut};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Samples of a fault that are named one by one.
const NAMED: usize = 3;

/// What was no finite number, or too large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Culprit {
    /// Weights of the tensor of this name.
    Weight(String),
    /// A moment of the optimizer, for the tensor of this name.
    Moment(String),
    /// An input of the network.
    Input,
    /// A value that it should predict.
    Target,
    /// The loss, although inputs, targets and weights are finite.
    Loss,
    /// The gradient of the tensor of this name.
    Gradient(String),
    /// The loss was so many times the best one for so many steps.
    #[serde(rename_all = "kebab-case")]
    Jump {
        /// How many times.
        factor: f64,
        /// How long.
        steps: u64,
    },
    /// What the network answers, as a validation or a forecast sees it.
    Answer,
    /// Loss or gradient, which are finite when they are computed again.
    Passing,
}

/// What ended a training that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Optimizer step, from 1.
    pub step: u64,
    /// The tensor.
    pub culprit: Culprit,
    /// The samples that it came of, as the source counts them; places in the batch where the source is endless. None
    /// where it is not of a batch.
    pub samples: Vec<usize>,
    /// What the source calls the first few of them.
    pub windows: Vec<String>,
}

impl Fault {
    /// A fault that no batch is to blame for.
    #[must_use]
    pub fn new(step: u64, culprit: Culprit) -> Self {
        Self { step, culprit, samples: Vec::new(), windows: Vec::new() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Culprit::Weight(name) => write!(f, "{name} holds a weight that is no finite number")?,
            Culprit::Moment(name) => write!(f, "the optimizer's moment of {name} is no finite number")?,
            Culprit::Input => f.write_str("an input is no finite number")?,
            Culprit::Target => f.write_str("a target is no finite number")?,
            Culprit::Loss => f.write_str("the loss is no finite number")?,
            Culprit::Gradient(name) => write!(f, "the gradient of {name} is no finite number")?,
            Culprit::Jump { factor, steps } => {
                write!(f, "the loss has been over {factor} times its best one for {steps} steps")?;
            }
            Culprit::Answer => f.write_str("what the network answers is no finite number")?,
            Culprit::Passing => f.write_str(
                "the loss or a gradient was no finite number, but is one when it is computed again, as after a fault of \
                 the machine",
            )?,
        }
        let Some((last, before)) = self.windows.split_last() else { return Ok(()) };
        let others = self.samples.len() - self.windows.len();
        match (before.is_empty(), others) {
            (true, 0) => write!(f, ", in {last}"),
            (false, 0) => write!(f, ", in {} and {last}", before.join(", ")),
            (_, others) => write!(f, ", in {} and {others} more of its batch", self.windows.join(", ")),
        }
    }
}

/// What made training stop, before it is known whose fault it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    /// Loss or gradient of the batch that was taken from here.
    Step(Place),
    /// Finite losses.
    Jump { steps: u64 },
    /// Weights at a check.
    Weights,
    /// A validation, or the loss of a batch that is seen again.
    Answer,
}

impl<B: Backend, F: Float, S: Source<F>> Fit<'_, B, F, S> {
    /// Looks for the tensor and the samples that made a step a bad one. The weights are still those of that step.
    pub(super) fn diagnose(&mut self, step: u64, wrong: Wrong) -> Result<Fault> {
        let layout = self.model.params().layout().clone();
        let moments = self.optimizer.state(self.backend)?.moments;
        if let Some(name) = moments.iter().find_map(|moment| first_bad(&layout, moment)) {
            return Ok(Fault::new(step, Culprit::Moment(name)));
        }
        if let Some(name) = first_bad(&layout, &self.model.download(self.backend)?) {
            return Ok(Fault::new(step, Culprit::Weight(name)));
        }
        match wrong {
            Wrong::Jump { steps } => {
                let factor = self.config.guard.jump.unwrap_or(f64::INFINITY);
                Ok(Fault::new(step, Culprit::Jump { factor, steps }))
            }
            Wrong::Weights | Wrong::Answer => Ok(Fault::new(step, Culprit::Answer)),
            Wrong::Step(place) => self.diagnose_batch(step, place, &layout),
        }
    }

    /// Computes the step again: its input, its target, its loss, its gradient; then parts of its batch.
    fn diagnose_batch(&mut self, step: u64, place: Place, layout: &ParamLayout) -> Result<Fault> {
        let rows = self.load(step - 1, place)?;
        let batch = self.samples.len();
        let shape = self.source.shape();
        let targets = self.config.loss.columns(self.model.network().outputs())?.1;
        for (values, width, culprit) in
            [(&self.x, shape.inputs, Culprit::Input), (&self.y, targets, Culprit::Target)]
        {
            // Time first: rows of the batch follow one another within a step.
            let bad = |row: &usize| {
                let of_row = values.chunks(width).skip(*row).step_by(batch);
                of_row.flatten().any(|value| !value.is_finite())
            };
            let bad: Vec<usize> = (0..batch).filter(bad).collect();
            if !bad.is_empty() {
                return Ok(self.fault(step, culprit, &rows, &bad));
            }
        }
        let whole = 0..batch;
        let Some(mut culprit) = self.computed_again(step, whole, true, layout)? else {
            let all: Vec<usize> = (0..batch).collect();
            return Ok(self.fault(step, Culprit::Passing, &rows, &all));
        };
        // The half that is bad by itself, and its half, as far as that goes.
        let (mut first, mut end) = (0, batch);
        while end - first > 1 {
            let middle = first.midpoint(end);
            let left = self.computed_again(step, first..middle, false, layout)?;
            let (part, found) = match left {
                Some(found) => ((first, middle), found),
                None => match self.computed_again(step, middle..end, false, layout)? {
                    Some(found) => ((middle, end), found),
                    None => break,
                },
            };
            ((first, end), culprit) = (part, found);
        }
        let bad: Vec<usize> = (first..end).collect();
        Ok(self.fault(step, culprit, &rows, &bad))
    }

    /// What is bad about the gradient of some rows of the batch, if it still is; `clipped` as a step clips it.
    fn computed_again(
        &mut self,
        step: u64,
        rows: std::ops::Range<usize>,
        clipped: bool,
        layout: &ParamLayout,
    ) -> Result<Option<Culprit>> {
        let samples = std::mem::take(&mut self.samples);
        let done = self.leaf((step - 1) as u32, &samples, rows.start, rows.end, 0);
        self.samples = samples;
        done?;
        if clipped {
            self.optimizer.clip(self.backend, &mut self.gradients[0])?;
        }
        let mut loss = 0.0;
        for pass in &mut self.passes {
            loss += pass.take_loss(self.backend)?;
        }
        let mut gradient = vec![F::ZERO; layout.len()];
        self.backend.download(self.gradients[0].values(), 0, &mut gradient)?;
        let all = Span::dense(0, 1, layout.len());
        self.backend.fill(F::ZERO, ViewMut::new(self.gradients[0].values_mut(), all))?;
        if !loss.is_finite() {
            return Ok(Some(Culprit::Loss));
        }
        let squares: f64 = gradient.iter().map(|g| g.to_f64() * g.to_f64()).sum();
        if squares.is_finite() {
            return Ok(None);
        }
        let name = first_bad(layout, &gradient).or_else(|| largest(layout, &gradient));
        Ok(Some(Culprit::Gradient(name.unwrap_or_default())))
    }

    /// A fault of some rows of a batch, whose samples in the source are `rows` if that is finite.
    fn fault(&self, step: u64, culprit: Culprit, rows: &[usize], bad: &[usize]) -> Fault {
        let finite = !rows.is_empty();
        let samples: Vec<usize> = bad.iter().map(|&row| if finite { rows[row] } else { row }).collect();
        let named = samples.iter().take(NAMED);
        let called = |sample: &usize| match finite {
            true => self.source.called(*sample),
            false => format!("row {sample} of the batch that is drawn for step {step}"),
        };
        Fault { step, culprit, windows: named.map(called).collect(), samples }
    }
}

/// The first tensor with a value that is not finite.
fn first_bad<F: Float>(layout: &ParamLayout, values: &[F]) -> Option<String> {
    let bad = layout.entries().iter().find(|entry| {
        values[entry.offset..entry.offset + entry.len()].iter().any(|value| !value.is_finite())
    });
    bad.map(|entry| entry.name.clone())
}

/// The tensor with the largest value: where each is finite and the sum of their squares is not.
fn largest<F: Float>(layout: &ParamLayout, values: &[F]) -> Option<String> {
    let most = |offset: usize, len: usize| {
        values[offset..offset + len].iter().fold(0.0, |most: f64, value| value.to_f64().abs().max(most))
    };
    let entries = layout.entries().iter();
    let largest = entries.max_by(|a, b| most(a.offset, a.len()).total_cmp(&most(b.offset, b.len())));
    largest.map(|entry| entry.name.clone())
}

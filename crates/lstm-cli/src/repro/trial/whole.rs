//! Training by L-BFGS, on all samples at once.

use lstm_data::Element;
use lstm_nn::Model;
use lstm_tensor::{Backend, Float};
use lstm_train::{Culprit, Error, Fault, Flow, FullBatch, Outcome, Source};

use super::super::cell::{Cell, rounded};
use super::super::experiment::{Experiment, loss_at};
use super::{Look, Then, Trained, Trial, interrupted};
use crate::failure::{Failure, Result};
use crate::interrupt;

impl Trial<'_> {
    /// Trains and keeps the losses, by evaluation. Where a loss or gradient is not finite, the model is the last one
    /// that was accepted, and the outcome says at which step.
    pub(super) fn whole<B: Backend, F: Float + Element, S: Source<F>>(
        &mut self,
        backend: &B,
        source: &S,
        cell: &mut Cell,
        look: Look<'_, B, F>,
    ) -> Result<Trained<B, F>> {
        let Experiment { name, network, init, training, .. } = self.experiment;
        let Some(config) = training.lbfgs.clone() else {
            return Err(Failure::usage(format!("{name}: the training has no lbfgs")));
        };
        let model = Model::new(backend, network.network(), init, self.seed)?;
        let mut fit = FullBatch::new(backend, model, source, training.loss.clone(), config)?;
        let mut losses = Vec::new();
        let outcome = loop {
            if fit.steps() >= training.stop.max_steps {
                break Outcome::Finished;
            }
            let step = fit.step(&mut |loss| {
                losses.push(loss);
                if interrupt::asked() { Flow::Stop } else { Flow::Continue }
            });
            match step {
                Ok(Some(_)) => {}
                Ok(None) => return Err(interrupted()),
                Err(Error::Optimizer(lstm_optim::Error::NotFinite { what, .. })) => {
                    let culprit = match what {
                        "loss" => Culprit::Loss,
                        _ => Culprit::Gradient("the network".into()),
                    };
                    break Outcome::Diverged(Box::new(Fault::new(fit.steps() + 1, culprit)));
                }
                Err(error) => return Err(error.into()),
            }
            (self.tick)();
            match look(backend, fit.model(), fit.steps())? {
                Then::GoOn => {}
                Then::End => break Outcome::Diverged(Box::new(Fault::new(fit.steps(), Culprit::Answer))),
            }
        };
        cell.losses =
            (0..).zip(losses).map(|(evaluation, loss)| (evaluation, rounded(loss))).collect::<Vec<_>>();
        if let Some((_, last)) = cell.losses.last() {
            cell.figures.extend(["final-loss", "last-logged-loss"].map(|name| (name.to_owned(), *last)));
        }
        let at = |n: &u64| Some((loss_at(*n), cell.losses.get(usize::try_from(*n).ok()?)?.1));
        cell.figures.extend(training.losses_at.iter().filter_map(at));
        cell.losses.retain(|(evaluation, _)| evaluation.is_multiple_of(training.log_every));
        cell.figures.insert("evaluations".into(), fit.evaluations() as f64);
        let steps = fit.steps();
        Ok(Trained { model: fit.into_model(), steps, best_step: None, outcome })
    }
}

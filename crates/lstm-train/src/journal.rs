//! What a training of several networks has behind it, so that it can be broken off and go on exactly there.
//!
//! The networks of a forecaster are trained one after another, each from settings that follow from the data and from the
//! networks before it. So a run goes on by taking the networks that are finished from its journal instead of training
//! them, and the one under way from its state: everything else is computed again, and has the same bits.

use crate::{Error, Fit, Flow, Observe, Outcome, Progress, Result, Source, TrainState, Validate};
use lstm_nn::Model;
use lstm_tensor::{Backend, Float};
use serde::{Deserialize, Serialize};

/// A network whose training has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained<F> {
    /// Parameters as they lie in the arena: the best, if a validation decided.
    pub params: Vec<F>,
    /// Steps that led to them.
    pub steps: u64,
    /// How the training ended.
    pub outcome: Outcome,
    /// What was reported on the way.
    pub reports: Vec<Progress>,
}

/// A network in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnderWay<F> {
    /// Where it stands.
    pub state: TrainState<F>,
    /// What was reported on the way.
    pub reports: Vec<Progress>,
}

/// Networks in the order in which they are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal<F> {
    /// Those that are finished.
    pub finished: Vec<Trained<F>>,
    /// The one after them, if it was begun.
    pub current: Option<UnderWay<F>>,
}

impl<F> Default for Journal<F> {
    fn default() -> Self {
        Self { finished: Vec::new(), current: None }
    }
}

/// Keeps journals somewhere.
pub trait Keeper<F> {
    /// Whether the journal should be kept now; asked after every step.
    fn due(&mut self) -> bool;

    /// Keeps it.
    ///
    /// # Errors
    /// Where training should not go on without it.
    fn keep(&mut self, journal: &Journal<F>) -> Result<()>;
}

/// Trains networks one after another along a journal.
pub struct Course<'a, F> {
    journal: Journal<F>,
    /// Network that comes next.
    next: usize,
    keeper: Option<&'a mut dyn Keeper<F>>,
}

impl<F> Default for Course<'_, F> {
    fn default() -> Self {
        Self { journal: Journal::default(), next: 0, keeper: None }
    }
}

impl<'a, F: Float> Course<'a, F> {
    /// Goes on where the journal ends, and lets `keeper` keep what is added to it.
    pub fn kept(journal: Journal<F>, keeper: &'a mut dyn Keeper<F>) -> Self {
        Self { journal, next: 0, keeper: Some(keeper) }
    }

    /// Trains the next network by [`Fit::run`], from where the journal left it; one that is finished there is taken
    /// from it, and its reports are told again. Divergence is an [`Outcome`], with the last good model.
    ///
    /// # Errors
    /// Those of [`Fit::run`] and of the keeper; [`Error::State`] where the journal belongs to another run.
    pub fn train<B: Backend, S: Source<F>>(
        &mut self,
        backend: &B,
        mut fit: Fit<'_, B, F, S>,
        mut validate: Option<Validate<'_, B, F>>,
        observe: Observe<'_>,
    ) -> Result<(Model<B, F>, u64, Outcome)> {
        let index = self.next;
        self.next += 1;
        if let Some(done) = self.journal.finished.get(index) {
            for report in &done.reports {
                observe(report.step, Some(report));
            }
            let mut model = fit.into_model()?;
            if done.params.len() != model.params().layout().len() {
                return Err(Error::State {
                    why: format!("network {index} has another number of parameters"),
                });
            }
            model.upload(backend, &done.params)?;
            return Ok((model, done.steps, done.outcome.clone()));
        }
        let mut reports = Vec::new();
        if let Some(current) = self.journal.current.take() {
            fit.restore(current.state)?;
            reports = current.reports;
            for report in &reports {
                observe(report.step, Some(report));
            }
        }
        let outcome = loop {
            let mut stopped = false;
            let keeper = &mut self.keeper;
            let mut watch = |step: u64, report: Option<&Progress>| {
                reports.extend(report);
                stopped = observe(step, report) == Flow::Stop;
                let due = keeper.as_mut().is_some_and(|keeper| keeper.due());
                if stopped || due { Flow::Stop } else { Flow::Continue }
            };
            let validate: Option<Validate<'_, B, F>> = match &mut validate {
                Some(validate) => Some(&mut **validate),
                None => None,
            };
            let outcome = match fit.run(validate, &mut watch) {
                Err(Error::Diverged { fault, .. }) => Outcome::Diverged(fault),
                outcome => outcome?,
            };
            if outcome == Outcome::Interrupted
                && let Some(keeper) = &mut self.keeper
            {
                self.journal.current = Some(UnderWay { state: fit.state()?, reports });
                keeper.keep(&self.journal)?;
                reports = self.journal.current.take().map_or(Vec::new(), |current| current.reports);
            }
            if outcome != Outcome::Interrupted || stopped {
                break outcome;
            }
        };
        let steps = fit.best().map_or(fit.steps(), |best| best.step);
        let model = fit.into_model()?;
        if outcome != Outcome::Interrupted && self.keeper.is_some() {
            let params = model.download(backend)?;
            self.journal.finished.push(Trained { params, steps, outcome: outcome.clone(), reports });
        }
        Ok((model, steps, outcome))
    }
}

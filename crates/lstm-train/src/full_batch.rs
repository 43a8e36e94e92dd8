//! Training on all data at once by L-BFGS, evaluation by evaluation.

use crate::{Error, Flow, Result, Rows, Source};
use lstm_nn::{Loss, Model, TrainOptions, TrainPass};
use lstm_optim::{Advance, Lbfgs, LbfgsConfig, LbfgsStep};
use lstm_tensor::{Arena, Backend, Float};

/// A model in training by [`Lbfgs`], on the whole of a finite set at every evaluation.
///
/// A network with dropout is refused: the function must be the same at every evaluation. The bits of a run
/// depend neither on the number of threads nor on where it was stopped and taken up again.
pub struct FullBatch<'a, B: Backend, F: Float> {
    backend: &'a B,
    model: Model<B, F>,
    lbfgs: Lbfgs<B, F>,
    gradient: Arena<B, F>,
    pass: TrainPass<B, F>,
    x: Vec<F>,
    y: Vec<F>,
    samples: Vec<u32>,
    steps: u64,
    evaluations: u64,
}

impl<'a, B: Backend, F: Float> FullBatch<'a, B, F> {
    /// A run before its first step.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the source is endless, empty or does not fit the network, and for a network
    /// with dropout; those of the settings.
    pub fn new<S: Source<F>>(
        backend: &'a B,
        model: Model<B, F>,
        source: &S,
        loss: Loss,
        config: LbfgsConfig,
    ) -> Result<Self> {
        let shape = source.shape();
        shape.check(model.network(), &loss)?;
        if model.network().stack.has_dropout() {
            let value = "one with dropout".into();
            return Err(Error::Invalid { what: "network", value, must: "one without, for L-BFGS".into() });
        }
        let (x, y) = all(source)?;
        let rows = x.len() / (shape.steps * shape.inputs);
        let pass = TrainPass::new(backend, &model, shape.steps, rows, TrainOptions::new(loss))?;
        Ok(Self {
            lbfgs: Lbfgs::new(backend, &config, model.params().layout())?,
            gradient: model.gradients(backend)?,
            samples: (0..rows as u32).collect(),
            steps: 0,
            evaluations: 0,
            backend,
            model,
            pass,
            x,
            y,
        })
    }

    /// Follows up to `max_iterations` directions. `observe` is told the loss of every evaluation; where it
    /// answers [`Flow::Stop`], the step is left where it is, without an answer, and the next call goes on with it.
    ///
    /// # Errors
    /// [`lstm_optim::Error::NotFinite`] within [`Error::Optimizer`] where a loss or gradient is infinite or NaN:
    /// the parameters are then those of the last place that was accepted.
    pub fn step(&mut self, observe: &mut dyn FnMut(f64) -> Flow) -> Result<Option<LbfgsStep>> {
        loop {
            let loss = self.evaluate()?;
            let advance =
                self.lbfgs.advance(self.backend, self.model.params_mut(), &mut self.gradient, loss)?;
            self.evaluations += 1;
            let flow = observe(loss);
            if let Advance::Done(step) = advance {
                self.steps += 1;
                return Ok(Some(step));
            }
            if flow == Flow::Stop {
                return Ok(None);
            }
        }
    }

    fn evaluate(&mut self) -> Result<f64> {
        let (model, grads, address) = (&self.model, &mut self.gradient, (0, self.samples.as_slice()));
        self.pass.accumulate(self.backend, model, grads, &self.x, &self.y, address, self.samples.len())?;
        Ok(self.pass.take_loss(self.backend)?)
    }

    /// The model as it stands; within a step, where the next evaluation is wanted.
    #[must_use]
    pub fn model(&self) -> &Model<B, F> {
        &self.model
    }

    /// The model as it stands.
    #[must_use]
    pub fn into_model(self) -> Model<B, F> {
        self.model
    }

    /// Steps that were finished.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Evaluations of loss and gradient.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
}

/// All samples of a finite set, time first.
fn all<F: Float, S: Source<F>>(source: &S) -> Result<(Vec<F>, Vec<F>)> {
    let shape = source.shape();
    let rows: Vec<usize> = match source.samples() {
        Some(rows @ 1..) => (0..rows).collect(),
        Some(0) => {
            return Err(Error::Invalid {
                what: "data",
                value: "empty".into(),
                must: "at least one sample".into(),
            });
        }
        None => {
            let must = "a finite set, to be seen whole at every evaluation".into();
            return Err(Error::Invalid { what: "data", value: "endless".into(), must });
        }
    };
    let mut x = vec![F::ZERO; shape.steps * shape.inputs * rows.len()];
    let mut y = vec![F::ZERO; shape.targets * rows.len()];
    source.fill(Rows::Chosen(&rows), &mut x, &mut y)?;
    Ok((x, y))
}

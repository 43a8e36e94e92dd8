//! A network on a backend: inferring, streaming, training, and proving that it does.

use anyhow::Result;
use lstm_nn::{InferPass, Loss, Model, Stream, TrainOptions, TrainPass};
use lstm_optim::{Optimizer, OptimizerConfig};
use lstm_tensor::{Arena, Backend, Float};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::timing::{Contender, What, sample};

/// Learning rate of Adam.
const RATE: f64 = 1e-3;

/// Steps until the last loss of a [`Proof`].
pub(crate) const STEPS: usize = 10;

/// What shows that the work was done: numbers that come out of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Sum of the outputs of the first inference.
    pub y_sum: f64,
    /// Loss of the first step of training.
    pub loss_1: Option<f64>,
    /// Loss of the tenth.
    pub loss_10: Option<f64>,
}

impl Proof {
    /// Its numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        std::iter::once(self.y_sum).chain(self.loss_1).chain(self.loss_10).collect()
    }
}

/// A case on a backend, with all memory that its passes need.
pub struct Subject<'a, B: Backend, F: Float> {
    backend: &'a B,
    model: Model<B, F>,
    batches: Vec<(Vec<F>, Vec<F>)>,
    turn: usize,
    inference: Inference<B, F>,
    out: Vec<F>,
    training: Option<Training<B, F>>,
}

enum Inference<B: Backend, F: Float> {
    Pass(InferPass<B, F>),
    Stream(Stream<B, F>),
}

struct Training<B: Backend, F: Float> {
    pass: TrainPass<B, F>,
    grads: Arena<B, F>,
    optimizer: Optimizer<B, F>,
    samples: Vec<u32>,
    step: u32,
}

impl<B: Backend, F: Float> Training<B, F> {
    fn new(backend: &B, model: &Model<B, F>, steps: usize, rows: usize) -> Result<Self> {
        Ok(Self {
            pass: TrainPass::new(backend, model, steps, rows, TrainOptions::new(Loss::mse()))?,
            grads: model.gradients(backend)?,
            optimizer: Optimizer::new(backend, &OptimizerConfig::adam(RATE), model.params().layout())?,
            samples: (0..rows as u32).collect(),
            step: 0,
        })
    }
}

impl<'a, B: Backend, F: Float> Subject<'a, B, F> {
    /// The network of `case` with its weights.
    ///
    /// # Errors
    /// Those of the backend; so for all below.
    pub fn new(backend: &'a B, case: &Case) -> Result<Self> {
        let convert = |values: &[f64]| values.iter().map(|&value| F::from_f64(value)).collect::<Vec<_>>();
        let shape = &case.shape;
        let mut model = Model::zeros(backend, shape.network())?;
        for (name, _, values) in &case.params {
            model.params_mut().set(backend, name, &convert(values))?;
        }
        let inference = match shape.stream {
            true => Inference::Stream(Stream::new(backend, &model, shape.batch)?),
            false => Inference::Pass(InferPass::new(backend, &model, shape.steps, shape.batch)?),
        };
        let training = match shape.infer_only {
            true => None,
            false => Some(Training::new(backend, &model, shape.steps, shape.batch)?),
        };
        Ok(Self {
            backend,
            out: vec![
                F::ZERO;
                model.network().output_rows(shape.steps, shape.batch) * model.network().outputs()
            ],
            model,
            batches: case.batches.iter().map(|batch| (convert(&batch.x), convert(&batch.target))).collect(),
            turn: 0,
            inference,
            training,
        })
    }

    /// Predicts from the next batch, or feeds it to the stream.
    ///
    /// # Errors
    /// As [`Subject::new`].
    pub fn infer(&mut self) -> Result<()> {
        let (x, _) = &self.batches[self.turn % self.batches.len()];
        self.turn += 1;
        match &mut self.inference {
            Inference::Pass(pass) => pass.predict(self.backend, &self.model, x, None, &mut self.out)?,
            Inference::Stream(stream) => stream.push(self.backend, &self.model, x, &mut self.out)?,
        }
        Ok(())
    }

    /// A step of training on the next batch: forward, squared error, backward, Adam. Nothing where the
    /// shape does not train.
    ///
    /// # Errors
    /// As [`Subject::new`].
    pub fn train(&mut self) -> Result<()> {
        let Some(Training { pass, grads, optimizer, samples, step }) = &mut self.training else {
            return Ok(());
        };
        let (x, target) = &self.batches[self.turn % self.batches.len()];
        self.turn += 1;
        let rows = samples.len();
        pass.accumulate(self.backend, &self.model, grads, x, target, (*step, samples), rows)?;
        optimizer.apply(self.backend, self.model.params_mut(), grads, rows)?;
        *step += 1;
        Ok(())
    }

    /// Bytes that a pass of training holds: tape, workspaces and packed weights; `None` where the shape does
    /// not train.
    #[must_use]
    pub fn train_bytes(&self) -> Option<usize> {
        self.training.as_ref().map(|training| training.pass.bytes())
    }

    /// All parameters as they are now.
    ///
    /// # Errors
    /// As [`Subject::new`].
    pub fn weights(&self) -> Result<Vec<f64>> {
        Ok(self.model.download(self.backend)?.into_iter().map(F::to_f64).collect())
    }

    /// The first inference and the first ten steps; to be asked for before anything else.
    ///
    /// # Errors
    /// As [`Subject::new`].
    pub fn prove(&mut self) -> Result<Proof> {
        self.infer()?;
        let mut proof =
            Proof { y_sum: self.out.iter().map(|y| y.to_f64()).sum(), loss_1: None, loss_10: None };
        self.turn = 0;
        if self.training.is_some() {
            for step in 1..=STEPS {
                self.train()?;
                let Some(training) = &mut self.training else { break };
                let loss = Some(training.pass.take_loss(self.backend)?);
                match step {
                    1 => proof.loss_1 = loss,
                    STEPS => proof.loss_10 = loss,
                    _ => {}
                }
            }
        }
        Ok(proof)
    }
}

impl<B: Backend, F: Float> Contender for Subject<'_, B, F> {
    fn turn(&mut self, what: What, samples: usize, seconds: [f64; 2]) -> Result<Vec<f64>> {
        let backend = self.backend;
        let run = |subject: &mut Self, times| {
            for _ in 0..times {
                match what {
                    What::Infer => subject.infer()?,
                    What::Train => subject.train()?,
                }
            }
            Ok(backend.synchronize()?)
        };
        sample(|times| run(self, times), samples, seconds)
    }
}

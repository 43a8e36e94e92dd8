//! One step at a time with carried state.

use crate::pass::Body;
use crate::{Model, Result};
use lstm_tensor::{Backend, Error, Float, KernelChoice, Mode, State, Storage};

/// A model that is fed one step at a time and remembers.
pub struct Stream<B: Backend, F: Float> {
    body: Body<B, F>,
    state: State<B, F>,
}

impl<B: Backend, F: Float> Stream<B, F> {
    /// `rows` streams that start from zero state.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Invalid`], [`lstm_tensor::Error::Memory`].
    pub fn new(backend: &B, model: &Model<B, F>, rows: usize) -> Result<Self> {
        let body = Body::new(backend, model, 1, rows, Mode::Infer, KernelChoice::Auto)?;
        Ok(Self { state: State::zeros(backend, &body.plan.spec, rows)?, body })
    }

    /// Feeds `x [B, I]` and writes the network's output of this step to `out [B, O]`.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where sizes differ.
    pub fn push(&mut self, backend: &B, model: &Model<B, F>, x: &[F], out: &mut [F]) -> Result<()> {
        let (body, params) = (&mut self.body, model.params());
        let outputs = body.plan.shape.rows * model.network().outputs();
        Error::check_shape("push", "x", &[body.x.len()], &[x.len()])?;
        Error::check_shape("push", "out", &[outputs], &[out.len()])?;
        body.prepare(backend, params)?;
        backend.upload(x, &mut body.x, 0)?;
        body.embed(backend, params)?;
        body.step(backend, params, &mut self.state)?;
        body.apply_head(backend, params)?;
        let output = body.output();
        Ok(backend.download(output.buffer, output.span.offset, out)?)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn reset(&mut self, backend: &B) -> Result<()> {
        self.state = State::zeros(backend, &self.body.plan.spec, self.body.plan.shape.rows)?;
        Ok(())
    }
}

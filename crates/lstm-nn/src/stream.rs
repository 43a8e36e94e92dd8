//! One step at a time with carried state.

use crate::{Model, Result};
use lstm_tensor::{
    Backend, BatchShape, Float, KernelChoice, Mode, Packed, Plan, Scratch, Span, State, View, ViewMut,
    Weights,
};

/// A model that is fed one step at a time and remembers.
pub struct Stream<B: Backend, F: Float> {
    plan: Plan,
    packed: Packed<B, F>,
    scratch: Scratch<B, F>,
    state: State<B, F>,
    x: B::Buffer<F>,
    y: B::Buffer<F>,
    out: B::Buffer<F>,
}

impl<B: Backend, F: Float> Stream<B, F> {
    /// `rows` streams that start from zero state.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Invalid`], [`lstm_tensor::Error::Memory`].
    pub fn new(backend: &B, model: &Model<B, F>, rows: usize) -> Result<Self> {
        let network = model.network();
        let plan =
            backend.plan::<F>(&network.stack, &BatchShape::new(1, rows), Mode::Infer, KernelChoice::Auto)?;
        Ok(Self {
            packed: Packed::empty(backend, plan.packed)?,
            scratch: plan.scratch(backend)?,
            state: State::zeros(backend, &network.stack, rows)?,
            x: backend.alloc(rows * network.inputs())?,
            y: backend.alloc(rows * network.stack.output())?,
            out: backend.alloc(rows * network.head.unwrap_or(0))?,
            plan,
        })
    }

    /// Feeds `x [B, I]` and writes the network's output of this step to `out [B, O]`.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where sizes differ.
    pub fn push(&mut self, backend: &B, model: &Model<B, F>, x: &[F], out: &mut [F]) -> Result<()> {
        use lstm_tensor::{Error, Storage};
        Error::check_shape("push", "x", &[self.x.len()], &[x.len()])?;
        Error::check_shape("push", "out", &[self.plan.shape.rows * model.network().outputs()], &[out.len()])?;
        let params = model.params();
        if !self.packed.follows(params) {
            backend.prepare(&self.plan, params, &mut self.packed)?;
        }
        backend.upload(x, &mut self.x, 0)?;
        let weights = Weights { params, packed: &self.packed };
        backend.step(&self.plan, weights, &self.x, &mut self.state, &mut self.y, &mut self.scratch)?;
        let layout = params.layout();
        let (Some(weight), Some(bias)) = (layout.get("head.weight"), layout.get("head.bias")) else {
            return Ok(backend.download(&self.y, 0, out)?);
        };
        let read = Span::dense(0, self.plan.shape.rows, self.plan.spec.output());
        let to = Span::dense(0, read.rows, weight.span().rows);
        let (weight, bias) =
            (View::new(params.values(), weight.span()), View::new(params.values(), bias.span()));
        backend.linear_forward(
            View::new(&self.y, read),
            weight,
            Some(bias),
            ViewMut::new(&mut self.out, to),
        )?;
        Ok(backend.download(&self.out, 0, out)?)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn reset(&mut self, backend: &B) -> Result<()> {
        self.state = State::zeros(backend, &self.plan.spec, self.plan.shape.rows)?;
        Ok(())
    }
}

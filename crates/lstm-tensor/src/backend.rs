//! The contract: what a device must do, and what it gets for free.

use crate::philox::Place;
use crate::{
    Arena, BatchShape, Binary, Distribution, Element, Error, Float, GemmArgs, KernelChoice, LossKind, Mode,
    Operand, Packed, Plan, Reduce, Result, Rule, Scratch, Span, StackSpec, Unary, View, ViewMut, reference,
};

/// A buffer on a device.
pub trait Storage: Send {
    /// Number of elements.
    fn len(&self) -> usize;

    /// Whether it holds no elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parameters of a stack, as stored and as packed.
pub struct Weights<'a, B: Backend, F: Float> {
    /// The model's arena; the stack's tensors come first.
    pub params: &'a Arena<B, F>,
    /// What `prepare` made of them for this plan.
    pub packed: &'a Packed<B, F>,
}

impl<B: Backend, F: Float> Clone for Weights<'_, B, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend, F: Float> Copy for Weights<'_, B, F> {}

/// Hidden and cell state of every layer: `h [L, B, P]` and `c [L, B, H]`, layer after layer where
/// widths differ ([`StackSpec::state_offset`]).
pub struct State<B: Backend, F: Float> {
    /// Hidden state.
    pub h: B::Buffer<F>,
    /// Cell state.
    pub c: B::Buffer<F>,
}

impl<B: Backend, F: Float> State<B, F> {
    /// Zero state for `rows` rows.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn zeros(backend: &B, spec: &StackSpec, rows: usize) -> Result<Self> {
        let (h, c) = spec.state_len(rows);
        Ok(Self { h: backend.alloc(h)?, c: backend.alloc(c)? })
    }
}

/// What the random numbers of a training pass depend on.
pub struct Draw<'a, B: Backend> {
    /// Seed of the model.
    pub seed: u64,
    /// Optimizer step, `[1]`.
    pub step: &'a B::Buffer<u32>,
    /// Index of each row's sample in the order of the epoch, `[B]`: never its place in a batch.
    pub samples: &'a B::Buffer<u32>,
}

impl<B: Backend> Clone for Draw<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend> Copy for Draw<'_, B> {}

/// Operands of [`Backend::stack_forward`].
pub struct Forward<'a, B: Backend, F: Float> {
    /// Parameters.
    pub weights: Weights<'a, B, F>,
    /// Randomness; without it nothing is dropped.
    pub draw: Option<Draw<'a, B>>,
    /// Input `[T, B, I]`.
    pub x: &'a B::Buffer<F>,
    /// State before the first step; zero if absent.
    pub initial: Option<&'a State<B, F>>,
    /// Output of the last layer after its dropout, `[T, B, P]`.
    pub y: &'a mut B::Buffer<F>,
    /// State after the last step.
    pub last: Option<&'a mut State<B, F>>,
}

/// Operands of [`Backend::stack_backward`].
pub struct Backward<'a, B: Backend, F: Float> {
    /// The parameters of the forward pass.
    pub weights: Weights<'a, B, F>,
    /// The randomness of the forward pass.
    pub draw: Option<Draw<'a, B>>,
    /// The input of the forward pass, `[T, B, I]`.
    pub x: &'a B::Buffer<F>,
    /// The initial state of the forward pass.
    pub initial: Option<&'a State<B, F>>,
    /// Gradient of the output, `[T, B, P]`; zero if absent.
    pub d_y: Option<&'a B::Buffer<F>>,
    /// Gradient of the last state; zero if absent.
    pub d_last: Option<&'a State<B, F>>,
    /// Gradient arena; the stack's gradients are added to its first tensors.
    pub d_params: &'a mut B::Buffer<F>,
    /// Receives the gradient of the input, `[T, B, I]`.
    pub d_x: Option<&'a mut B::Buffer<F>>,
    /// Receives the gradient of the initial state.
    pub d_initial: Option<&'a mut State<B, F>>,
}

/// Where [`Backend::linear_backward`] adds the gradients of a linear layer.
pub struct LinearGrad<'a, B: Backend, F: Float> {
    /// Gradient arena.
    pub d_params: &'a mut B::Buffer<F>,
    /// Gradient of the weight, `[O, I]`.
    pub weight: Span,
    /// Gradient of the bias, `[1, O]`.
    pub bias: Option<Span>,
}

/// Operands of [`Backend::loss`].
pub struct LossArgs<'a, B: Backend, F: Float> {
    /// Loss of one element.
    pub kind: LossKind,
    /// Factor on every element: 1 over the number that the sum is divided by.
    pub scale: f64,
    /// Predictions `[R, O]`.
    pub prediction: View<'a, B, F>,
    /// Targets `[R, O]`.
    pub target: View<'a, B, F>,
    /// Factor on every row, `[1, R]`; 1 if absent.
    pub row_weights: Option<View<'a, B, F>>,
}

/// Scalars of the update phase, on the device so that a captured phase needs no host.
pub struct Control<B: Backend> {
    /// Five numbers per model, see [`control_slot`].
    pub values: B::Buffer<f64>,
    /// First optimizer step (from 1) whose gradient or loss was not finite, 0 if none: `[models]`.
    pub bad_step: B::Buffer<u32>,
}

/// Meaning of the five numbers of [`Control::values`].
pub mod control_slot {
    /// Learning rate of this step.
    pub const RATE: usize = 0;
    /// Optimizer step, from 1.
    pub const STEP: usize = 1;
    /// Sum of squares of the gradient.
    pub const SQUARE_NORM: usize = 2;
    /// Factor on the gradient that clips its norm.
    pub const CLIP_SCALE: usize = 3;
    /// Loss of the batch, where the caller says it.
    pub const LOSS: usize = 4;
    /// Numbers per model.
    pub const COUNT: usize = 5;
}

impl<B: Backend> Control<B> {
    /// All zero, for one model.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub fn new(backend: &B) -> Result<Self> {
        Ok(Self { values: backend.alloc(control_slot::COUNT)?, bad_step: backend.alloc(1)? })
    }
}

/// A device that runs LSTM networks.
///
/// Required are primitives on rectangles of flat buffers; everything else is provided by
/// [`mod@reference`], composed from them, and may be overridden by something faster that computes the
/// same. Every method checks its operands and answers wrong shapes with an error, never with a panic.
/// An operation that returned an error has written nothing.
///
/// All element-wise operands have the output's shape; an operand in the output's own buffer is either
/// the output's rectangle itself or shares no element with it.
pub trait Backend: Sized + Send + Sync {
    /// Memory on the device. Two buffers never overlap.
    type Buffer<E: Element>: Storage;

    /// Name for people, `"cpu"`.
    fn name(&self) -> &'static str;

    /// A buffer of `len` zeros.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    fn alloc<E: Element>(&self, len: usize) -> Result<Self::Buffer<E>>;

    /// Copies host values to `to[offset ..]`.
    ///
    /// # Errors
    /// [`Error::Bounds`](crate::Error::Bounds).
    fn upload<E: Element>(&self, from: &[E], to: &mut Self::Buffer<E>, offset: usize) -> Result<()>;

    /// Copies `from[offset ..]` to the host, after all operations asked for so far.
    ///
    /// # Errors
    /// [`Error::Bounds`](crate::Error::Bounds).
    fn download<E: Element>(&self, from: &Self::Buffer<E>, offset: usize, to: &mut [E]) -> Result<()>;

    /// Whether operations may still be under way when they return, so that looking at a result costs a wait.
    fn runs_ahead(&self) -> bool {
        false
    }

    /// Waits for all operations asked for so far.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) for failures that surface late.
    fn synchronize(&self) -> Result<()>;

    /// Runs a phase of a training step: operations on the device alone, which neither allocate nor
    /// upload, download or wait. A device may record what the phase asks for and replay it when the same
    /// is asked for again; `run` is called every time.
    ///
    /// # Errors
    /// Those of the phase; what it would have written is then undefined.
    fn phase<E: From<Error>>(
        &self,
        run: impl FnOnce(&Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        run(self)
    }

    /// Copies a rectangle.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), [`Error::Bounds`](crate::Error::Bounds); so for all below.
    fn copy<E: Element>(&self, from: View<'_, Self, E>, to: ViewMut<'_, Self, E>) -> Result<()>;

    /// Sets every element of a rectangle.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn fill<E: Element>(&self, value: E, to: ViewMut<'_, Self, E>) -> Result<()>;

    /// Matrix product `C = alpha A B + beta C`. Each operand has a stride of 1 in one direction.
    ///
    /// # Shapes
    /// `A [M, K]`, `B [K, N]`, `C [M, N]`, each repeated `batch` times at its batch stride.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn gemm<F: Float>(
        &self,
        args: &GemmArgs,
        a: View<'_, Self, F>,
        b: View<'_, Self, F>,
        c: ViewMut<'_, Self, F>,
    ) -> Result<()>;

    /// `y = op(x)`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn map<F: Float>(&self, op: Unary, x: Operand<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()>;

    /// `y = op(a, b)`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn zip<F: Float>(
        &self,
        op: Binary,
        a: Operand<'_, Self, F>,
        b: Operand<'_, Self, F>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()>;

    /// Adds `row [1, N]` to every row of `y [M, N]`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn add_row<F: Float>(&self, row: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()>;

    /// Adds the rows of `x [M, N]` onto `y [1, N]`, in a fixed order.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn sum_rows<F: Float>(&self, x: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()>;

    /// Adds a reduction of `x`, accumulated in f64 in a fixed order, onto `out[index]`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn reduce<F: Float>(
        &self,
        op: Reduce,
        x: View<'_, Self, F>,
        out: &mut Self::Buffer<f64>,
        index: usize,
    ) -> Result<()>;

    /// Row `r` of `to` becomes row `rows[r]` of `from`.
    ///
    /// # Errors
    /// As [`Backend::copy`]; [`Error::Index`](crate::Error::Index) where the device can tell at once.
    fn gather_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &Self::Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()>;

    /// Adds row `r` of `from` onto row `rows[r]` of `to`, for `r` in ascending order.
    ///
    /// # Errors
    /// As [`Backend::gather_rows`].
    fn scatter_add_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &Self::Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()>;

    /// Fills `y [T B, N]` with random numbers: row `r` belongs to step `first_step + r / B` and to
    /// sample `draw.samples[r mod B]`. Formulas: [`philox`](crate::philox) and docs/numerics.md.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn random<F: Float>(
        &self,
        distribution: Distribution,
        draw: Draw<'_, Self>,
        place: Place,
        first_step: usize,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()>;

    /// Decides what a pass stores and which kernel runs it. Pure: touches no device.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid), [`Error::Unsupported`](crate::Error::Unsupported).
    fn plan<F: Float>(
        &self,
        spec: &StackSpec,
        shape: &BatchShape,
        mode: Mode,
        choice: KernelChoice,
    ) -> Result<Plan> {
        reference::plan(spec, shape, mode, choice)
    }

    /// Brings the weights into the order the plan's kernel wants. Needed after every change of them.
    ///
    /// # Errors
    /// [`Error::Bounds`](crate::Error::Bounds) where `params` or `packed` are too small.
    fn prepare<F: Float>(
        &self,
        plan: &Plan,
        params: &Arena<Self, F>,
        packed: &mut Packed<Self, F>,
    ) -> Result<()> {
        reference::prepare(plan, params, packed)
    }

    /// Runs a stack over a batch of sequences; see [`reference::stack_forward`] for the equations.
    ///
    /// # Errors
    /// As [`Backend::copy`]; [`Error::Stale`](crate::Error::Stale) in debug builds.
    fn stack_forward<F: Float>(
        &self,
        plan: &Plan,
        args: Forward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        reference::stack_forward(self, plan, args, scratch)
    }

    /// Back-propagation through time after [`Backend::stack_forward`] with the same plan and scratch.
    ///
    /// # Errors
    /// As [`Backend::stack_forward`].
    fn stack_backward<F: Float>(
        &self,
        plan: &Plan,
        args: Backward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        reference::stack_backward(self, plan, args, scratch)
    }

    /// One step of a stream: `x [B, I]`, `y [B, P]`, the state updated in place. `plan` is one for a
    /// single step in [`Mode::Infer`].
    ///
    /// # Errors
    /// As [`Backend::stack_forward`].
    fn step<F: Float>(
        &self,
        plan: &Plan,
        weights: Weights<'_, Self, F>,
        x: &Self::Buffer<F>,
        state: &mut State<Self, F>,
        y: &mut Self::Buffer<F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        reference::step(self, plan, weights, x, state, y, scratch)
    }

    /// `y = x Wᵀ + b`.
    ///
    /// # Shapes
    /// `x [R, I]`, `weight [O, I]`, `bias [1, O]`, `y [R, O]`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn linear_forward<F: Float>(
        &self,
        x: View<'_, Self, F>,
        weight: View<'_, Self, F>,
        bias: Option<View<'_, Self, F>>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        reference::linear_forward(self, x, weight, bias, y)
    }

    /// Adds `d_yᵀ x` and the row sum of `d_y` to the gradients and sets `d_x = d_y W`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn linear_backward<F: Float>(
        &self,
        x: View<'_, Self, F>,
        weight: View<'_, Self, F>,
        d_y: View<'_, Self, F>,
        grad: LinearGrad<'_, Self, F>,
        d_x: Option<ViewMut<'_, Self, F>>,
    ) -> Result<()> {
        reference::linear_backward(self, x, weight, d_y, grad, d_x)
    }

    /// Loss over all elements, each multiplied by `scale` and by its row's weight: adds the value onto
    /// `value[0]` and sets `d_prediction [R, O]`.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn loss<F: Float>(
        &self,
        args: LossArgs<'_, Self, F>,
        d_prediction: ViewMut<'_, Self, F>,
        value: &mut Self::Buffer<f64>,
    ) -> Result<()> {
        reference::loss(self, args, d_prediction, value)
    }

    /// Clips every finite gradient to `[-limit, limit]` if `limit` is given, measures the norm, sets the
    /// scale that brings it down to `max_norm` (PyTorch's: `max_norm / (norm + 1e-6)`, at most 1) and
    /// latches the step if the norm or the loss is not finite. An infinite gradient is not clipped to `limit`: it is
    /// no large one, but a wrong one, and is to be noticed.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn clip<F: Float>(
        &self,
        limit: Option<f64>,
        max_norm: Option<f64>,
        grads: &mut Self::Buffer<F>,
        control: &mut Control<Self>,
    ) -> Result<()> {
        reference::clip(self, limit, max_norm, grads, control)
    }

    /// Applies an update rule to a whole arena with the scalars of `control`; does nothing once a bad
    /// step is latched.
    ///
    /// # Errors
    /// As [`Backend::copy`].
    fn update<F: Float>(
        &self,
        rule: &Rule,
        params: &mut Self::Buffer<F>,
        grads: &Self::Buffer<F>,
        slots: &mut [Self::Buffer<F>],
        control: &Control<Self>,
    ) -> Result<()> {
        reference::update(self, rule, params, grads, slots, control)
    }
}

//! Runs a [`StackCase`] on a backend, by its own operations or by the reference's.

use crate::case::{HostState, Outcome, StackCase};
use lstm_tensor::{
    Arena, Backend, Backward, Draw, Element, Float, Forward, KernelChoice, Mode, Packed, Plan, Result,
    Scratch, State, Storage, Weights, reference,
};
use std::sync::Arc;

/// Whose operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The backend's own.
    Backend,
    /// The reference's, on the primitives of the backend and on the tape that the backend planned.
    Reference,
}

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Kernel that the plan asks for.
    pub kernel: KernelChoice,
    /// Who runs forward.
    pub forward: By,
    /// Who runs backward.
    pub backward: By,
}

impl Route {
    /// Everything by the backend, its routing included.
    pub const OWN: Self = Self { kernel: KernelChoice::Auto, forward: By::Backend, backward: By::Backend };

    /// The four pairings of forward and backward with one kernel.
    #[must_use]
    pub fn pairings(kernel: KernelChoice) -> [Self; 4] {
        [
            Self { kernel, forward: By::Backend, backward: By::Backend },
            Self { kernel, forward: By::Backend, backward: By::Reference },
            Self { kernel, forward: By::Reference, backward: By::Backend },
            Self { kernel, forward: By::Reference, backward: By::Reference },
        ]
    }
}

/// Randomness of a pass, on a device.
pub struct DeviceDraw<B: Backend> {
    /// Seed of the model.
    pub seed: u64,
    /// Optimizer step, `[1]`.
    pub step: B::Buffer<u32>,
    /// Index of each row's sample, `[B]`.
    pub samples: B::Buffer<u32>,
}

impl<B: Backend> DeviceDraw<B> {
    fn draw(&self) -> Draw<'_, B> {
        Draw { seed: self.seed, step: &self.step, samples: &self.samples }
    }
}

/// A case on a device: everything that its passes read and write.
pub struct Run<'a, B: Backend, F: Float> {
    /// The device.
    pub backend: &'a B,
    /// The backend's plan.
    pub plan: Plan,
    /// Parameters.
    pub params: Arena<B, F>,
    /// Packed parameters.
    pub packed: Packed<B, F>,
    /// Memory of the backend's passes.
    pub scratch: Scratch<B, F>,
    /// Input.
    pub x: B::Buffer<F>,
    /// Initial state.
    pub initial: Option<State<B, F>>,
    /// Gradient of the output.
    pub d_y: Option<B::Buffer<F>>,
    /// Gradient of the last state.
    pub d_last: Option<State<B, F>>,
    /// Output.
    pub y: B::Buffer<F>,
    /// Last state.
    pub last: State<B, F>,
    /// Gradient of the parameters.
    pub d_params: B::Buffer<F>,
    /// Gradient of the input.
    pub d_x: B::Buffer<F>,
    /// Gradient of the initial state.
    pub d_initial: State<B, F>,
    /// Randomness.
    pub draw: Option<DeviceDraw<B>>,
    reference: Plan,
    reference_scratch: Scratch<B, F>,
}

impl<'a, B: Backend, F: Float> Run<'a, B, F> {
    /// Uploads a case, plans and packs.
    ///
    /// # Errors
    /// Those of [`Backend::plan`] and of allocation.
    pub fn new(backend: &'a B, case: &StackCase, mode: Mode, kernel: KernelChoice) -> Result<Self> {
        let plan = backend.plan::<F>(&case.spec, &case.shape, mode, kernel)?;
        let mut reference = reference::plan(&case.spec, &case.shape, mode, KernelChoice::Reference)?;
        reference.tape = plan.tape.clone();
        let layout = Arc::new(case.layout());
        let mut params = Arena::zeros(backend, &layout)?;
        backend.upload(&numbers::<F>(&case.params), params.values_mut(), 0)?;
        let mut packed = Packed::empty(backend, plan.packed)?;
        backend.prepare(&plan, &params, &mut packed)?;
        let state = |s: &HostState| Ok(State { h: buffer(backend, &s.h)?, c: buffer(backend, &s.c)? });
        let words = |words: &[u32]| -> Result<B::Buffer<u32>> {
            let mut buffer = backend.alloc(words.len())?;
            backend.upload(words, &mut buffer, 0)?;
            Ok(buffer)
        };
        let (rows, sequence) = (case.rows(), case.steps() * case.rows());
        Ok(Self {
            scratch: plan.scratch(backend)?,
            reference_scratch: reference.scratch(backend)?,
            x: buffer(backend, &case.x)?,
            initial: case.initial.as_ref().map(state).transpose()?,
            d_y: case.d_y.as_ref().map(|d_y| buffer(backend, d_y)).transpose()?,
            d_last: case.d_last.as_ref().map(state).transpose()?,
            y: backend.alloc(sequence * case.spec.output())?,
            last: State::zeros(backend, &case.spec, rows)?,
            d_params: backend.alloc(layout.len())?,
            d_x: backend.alloc(case.x.len())?,
            d_initial: State::zeros(backend, &case.spec, rows)?,
            draw: match &case.draw {
                Some(draw) => Some(DeviceDraw {
                    seed: draw.seed,
                    step: words(&[draw.step])?,
                    samples: words(&draw.samples)?,
                }),
                None => None,
            },
            backend,
            plan,
            params,
            packed,
            reference,
        })
    }

    /// Runs the forward pass.
    ///
    /// # Errors
    /// Those of [`Backend::stack_forward`].
    pub fn forward(&mut self, by: By) -> Result<()> {
        let args = Forward {
            weights: Weights { params: &self.params, packed: &self.packed },
            draw: self.draw.as_ref().map(DeviceDraw::draw),
            x: &self.x,
            initial: self.initial.as_ref(),
            y: &mut self.y,
            last: Some(&mut self.last),
        };
        match by {
            By::Backend => self.backend.stack_forward(&self.plan, args, &mut self.scratch),
            By::Reference => {
                std::mem::swap(&mut self.scratch.tape, &mut self.reference_scratch.tape);
                let scratch = &mut self.reference_scratch;
                let result = reference::stack_forward(self.backend, &self.reference, args, scratch);
                std::mem::swap(&mut self.scratch.tape, &mut self.reference_scratch.tape);
                result
            }
        }
    }

    /// Runs the backward pass.
    ///
    /// # Errors
    /// Those of [`Backend::stack_backward`].
    pub fn backward(&mut self, by: By) -> Result<()> {
        let args = Backward {
            weights: Weights { params: &self.params, packed: &self.packed },
            draw: self.draw.as_ref().map(DeviceDraw::draw),
            x: &self.x,
            initial: self.initial.as_ref(),
            d_y: self.d_y.as_ref(),
            d_last: self.d_last.as_ref(),
            d_params: &mut self.d_params,
            d_x: Some(&mut self.d_x),
            d_initial: Some(&mut self.d_initial),
        };
        match by {
            By::Backend => self.backend.stack_backward(&self.plan, args, &mut self.scratch),
            By::Reference => {
                std::mem::swap(&mut self.scratch.tape, &mut self.reference_scratch.tape);
                let scratch = &mut self.reference_scratch;
                let result = reference::stack_backward(self.backend, &self.reference, args, scratch);
                std::mem::swap(&mut self.scratch.tape, &mut self.reference_scratch.tape);
                result
            }
        }
    }

    /// What the output buffers hold.
    ///
    /// # Errors
    /// Those of [`Backend::download`].
    pub fn outcome(&self) -> Result<Outcome> {
        let host = |buffer: &B::Buffer<F>| fetch::<B, F>(self.backend, buffer);
        let state =
            |state: &State<B, F>| -> Result<_> { Ok(HostState { h: host(&state.h)?, c: host(&state.c)? }) };
        Ok(Outcome {
            y: host(&self.y)?,
            last: state(&self.last)?,
            d_x: host(&self.d_x)?,
            d_initial: state(&self.d_initial)?,
            d_params: host(&self.d_params)?,
        })
    }
}

/// Runs a case forward and backward.
///
/// # Errors
/// Those of the operations.
pub fn run<B: Backend, F: Float>(backend: &B, case: &StackCase, route: Route) -> Result<Outcome> {
    let mut run = Run::<B, F>::new(backend, case, Mode::Train, route.kernel)?;
    run.forward(route.forward)?;
    run.backward(route.backward)?;
    run.outcome()
}

/// Runs a case forward only, in the given mode.
///
/// # Errors
/// Those of the operations.
pub fn infer<B: Backend, F: Float>(
    backend: &B,
    case: &StackCase,
    mode: Mode,
) -> Result<(Vec<f64>, HostState)> {
    let mut run = Run::<B, F>::new(backend, case, mode, KernelChoice::Auto)?;
    run.forward(By::Backend)?;
    let outcome = run.outcome()?;
    Ok((outcome.y, outcome.last))
}

/// Nearest values of the element type.
#[must_use]
pub fn numbers<F: Float>(values: &[f64]) -> Vec<F> {
    values.iter().map(|&value| F::from_f64(value)).collect()
}

/// A buffer with these values.
///
/// # Errors
/// Those of allocation.
pub fn buffer<B: Backend, F: Float>(backend: &B, values: &[f64]) -> Result<B::Buffer<F>> {
    let mut buffer = backend.alloc(values.len())?;
    backend.upload(&numbers::<F>(values), &mut buffer, 0)?;
    Ok(buffer)
}

/// All elements of a buffer, as they are.
///
/// # Errors
/// Those of [`Backend::download`].
pub fn raw<B: Backend, E: Element>(backend: &B, buffer: &B::Buffer<E>) -> Result<Vec<E>> {
    let mut host = vec![E::default(); buffer.len()];
    backend.download(buffer, 0, &mut host)?;
    Ok(host)
}

/// All elements of a buffer, in f64.
///
/// # Errors
/// Those of [`Backend::download`].
pub fn fetch<B: Backend, F: Float>(backend: &B, buffer: &B::Buffer<F>) -> Result<Vec<f64>> {
    Ok(raw(backend, buffer)?.into_iter().map(F::to_f64).collect())
}

//! Path S: a stack as library products and one pointwise kernel per step; and the persistent path, on which a layer that
//! fits on the chip takes one launch of [`sequence`] instead of all of its steps.
//!
//! Per layer there is one product for the inputs of all steps, then per step a recurrent product and
//! [`cell`](crate::kernels::cell). Backward turns the gates on the tape into gradients step by step; the
//! gradients of the weights are one product each over all steps. Equations:
//! [`reference`](lstm_tensor::reference). Nothing here waits for the device or allocates.
//!
//! In training the tape is the plain one. In inference it is a ring of a few steps (two for large batches),
//! and all layers share the gates' place.

mod backward;
mod forward;

pub(crate) use backward::backward;
pub(crate) use forward::{forward, step};

use crate::kernels::random::{self, DeviceDraw, Sites};
use crate::kernels::sequence;
use crate::runtime::Address;
use crate::{Cuda, Runtime};
use lstm_tensor::philox::{Place, Site};
use lstm_tensor::{
    BatchShape, Bias, Draw, Error, Float, KernelChoice, Mode, Plan, Result, Scratch, StackSpec, State,
    TapeLayout, Weights,
};
use std::marker::PhantomData;

/// Rows (steps times batch) that inference runs through the whole stack at a time.
const CHUNK: usize = 1024;

/// Steps that the tape holds.
fn kept(shape: &BatchShape, mode: Mode) -> usize {
    match mode {
        Mode::Train => shape.steps,
        Mode::Infer => shape.steps.min(CHUNK.div_ceil(shape.rows).max(2)),
    }
}

fn tape(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> TapeLayout {
    let kept = kept(shape, mode);
    let mut layout = TapeLayout::standard(spec, &BatchShape::new(kept, shape.rows), Mode::Train);
    layout.steps = (0..shape.steps).map(|t| t % kept * shape.rows).collect();
    if mode == Mode::Infer {
        layout.gates_len =
            layout.layers.iter().map(|layer| kept * shape.rows * layer.gate_row).max().unwrap_or(0);
        layout.layers.iter_mut().for_each(|layer| layer.gates = 0);
    }
    layout
}

/// Override of [`Backend::plan`](lstm_tensor::Backend::plan).
pub(crate) fn plan(spec: &StackSpec, shape: &BatchShape, mode: Mode, kernel: KernelChoice) -> Result<Plan> {
    Plan::check_supported("plan", spec, shape)?;
    let widest = |of: &dyn Fn(usize) -> usize| (0..spec.layers.len()).map(of).max().unwrap_or(0);
    let (sequence, hidden) = (shape.steps * shape.rows, widest(&|l| spec.layers[l].hidden));
    let input = widest(&|l| spec.input_of(l));
    // A layer's input after dropout; gradients of a layer's output, then of its input; gradient of the cell
    // state.
    let dropped = if spec.has_dropout() { sequence * input } else { 0 };
    // By the last the blocks of a grid meet.
    let told = usize::from(kernel == KernelChoice::Persistent);
    let workspace = match mode {
        Mode::Infer => vec![told],
        Mode::Train => vec![dropped, sequence * input.max(hidden), shape.rows * hidden, told],
    };
    Ok(Plan {
        spec: spec.clone(),
        shape: shape.clone(),
        mode,
        kernel,
        params: spec.param_layout(""),
        tape: tape(spec, shape, mode),
        consumes_gates: mode == Mode::Train,
        packed: 0,
        workspace,
    })
}

/// One layer's sizes, and where its parts start, in elements.
struct Layer {
    input: usize,
    hidden: usize,
    forget_bias: f64,
    /// In the arena: `[4H, I]`, `[4H, H]`, `[4H]` each.
    w_ih: usize,
    w_hh: usize,
    biases: [Option<usize>; 2],
    /// On the tape: gates, and cell and hidden state alike.
    gates: usize,
    tape: usize,
    /// In a state.
    state: usize,
}

impl Layer {
    fn find(plan: &Plan, l: usize) -> Option<Self> {
        let (spec, rows) = (&plan.spec, plan.shape.rows);
        let tensors = |bias: Bias| match bias {
            Bias::None => 2,
            Bias::One => 3,
            Bias::Two => 4,
        };
        let first: usize = spec.layers[..l].iter().map(|layer| tensors(layer.cell.bias)).sum();
        let (layer, laid) = (spec.layers.get(l)?, plan.tape.layers.get(l)?);
        let offset = |index: usize| plan.params.entries().get(first + index).map(|entry| entry.offset);
        let bias = |index| if index < tensors(layer.cell.bias) { offset(index) } else { None };
        Some(Self {
            input: spec.input_of(l),
            hidden: layer.hidden,
            forget_bias: layer.cell.forget_bias,
            w_ih: offset(0)?,
            w_hh: offset(1)?,
            biases: [bias(2), bias(3)],
            gates: laid.gates,
            tape: laid.cell,
            state: spec.state_offset(l, rows).1,
        })
    }
}

/// The places of hidden and cell state, of a [`State`] or of its gradient.
#[derive(Clone, Copy)]
struct StateAt {
    h: Address,
    c: Address,
}

impl StateAt {
    fn new<R: Runtime, F: Float>(cuda: &Cuda<R>, state: &State<Cuda<R>, F>) -> Self {
        Self { h: cuda.at(&state.h), c: cuda.at(&state.c) }
    }
}

/// A pass over a stack: its sizes and all of its memory but the sequences.
struct Pass<'a, R: Runtime, F: Float> {
    cuda: &'a Cuda<R>,
    plan: &'a Plan,
    layers: Vec<Layer>,
    params: Address,
    gates: Address,
    cell: Address,
    hidden: Address,
    workspace: Vec<Address>,
    draw: Option<DeviceDraw>,
    elements: PhantomData<F>,
}

impl<'a, R: Runtime, F: Float> Pass<'a, R, F> {
    /// The pass of a plan on operands that have been checked against it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a plan that is not from [`plan`]: addresses follow from it unchecked.
    fn new(
        cuda: &'a Cuda<R>,
        plan: &'a Plan,
        weights: Weights<'_, Cuda<R>, F>,
        draw: Option<Draw<'_, Cuda<R>>>,
        scratch: &Scratch<Cuda<R>, F>,
    ) -> Result<Self> {
        let foreign = || Error::Invalid {
            what: "plan",
            value: "another backend's or altered".into(),
            must: "made by Cuda::plan",
        };
        if *plan != self::plan(&plan.spec, &plan.shape, plan.mode, plan.kernel)? {
            return Err(foreign());
        }
        let layers = (0..plan.spec.layers.len()).map(|l| Layer::find(plan, l)).collect::<Option<Vec<_>>>();
        let draw = draw.filter(|_| plan.mode == Mode::Train && plan.spec.has_dropout());
        Ok(Self {
            cuda,
            plan,
            layers: layers.ok_or_else(foreign)?,
            params: cuda.at(weights.params.values()),
            gates: cuda.at(&scratch.tape.gates),
            cell: cuda.at(&scratch.tape.cell),
            hidden: cuda.at(&scratch.tape.hidden),
            workspace: scratch.workspace.iter().map(|buffer| cuda.at(buffer)).collect(),
            draw: draw.map(|draw| DeviceDraw::new(cuda, draw)),
            elements: PhantomData,
        })
    }

    /// Element `index` from an address on.
    fn nth(&self, from: Address, index: usize) -> Address {
        from.plus(index * size_of::<F>())
    }

    /// Sizes of so many steps of a layer that takes one launch for all of them; none where it takes one for each.
    fn persistent(&self, layer: &Layer, steps: usize) -> Option<sequence::Sizes> {
        if self.plan.kernel != KernelChoice::Persistent {
            return None;
        }
        let rows = self.plan.shape.rows;
        let fit = sequence::Fit::of::<F>(layer.hidden, [steps, rows], self.cuda.runtime.room())?;
        let told = self.workspace.last().copied().unwrap_or(Address::NULL);
        Some(sequence::Sizes { steps, rows, units: layer.hidden, fit, told })
    }

    /// A workspace of the plan.
    fn workspace(&self, index: usize) -> Address {
        self.workspace.get(index).copied().unwrap_or(Address::NULL)
    }

    /// Row 0 of a layer's gates, cell state and hidden state in a slot of the tape.
    fn slot(&self, layer: &Layer, slot: usize) -> [Address; 3] {
        let row = slot * self.plan.shape.rows;
        let state = layer.tape + row * layer.hidden;
        let gates = layer.gates + row * 4 * layer.hidden;
        [self.nth(self.gates, gates), self.nth(self.cell, state), self.nth(self.hidden, state)]
    }

    /// A layer's part of a state.
    fn state_of(&self, layer: &Layer, state: StateAt) -> StateAt {
        StateAt { h: self.nth(state.h, layer.state), c: self.nth(state.c, layer.state) }
    }

    /// Masks between the hidden state of layer `l - 1` (or the input) and layer `l` (or the output), in the
    /// order in which they act; with the randomness, where anything is dropped.
    fn masks(&self, l: usize) -> Option<(Sites, DeviceDraw)> {
        let spec = &self.plan.spec;
        let place = |site, layer| Place { site, layer, reverse: false };
        let (below, own) = (l.checked_sub(1), spec.layers.get(l));
        let sites = Sites::new([
            (
                place(Site::Output, l.saturating_sub(1)),
                below.map_or(0.0, |below| spec.layers[below].dropout_output),
            ),
            (
                place(Site::Between, l),
                if below.is_some() && own.is_some() { spec.dropout_between } else { 0.0 },
            ),
            (place(Site::Input, l), own.map_or(0.0, |layer| layer.dropout_input)),
        ]);
        self.draw.filter(|_| !sites.is_empty()).map(|draw| (sites, draw))
    }

    /// `to = from` through the masks in front of layer `l`, both dense `[rows, cols]` from step `first` on.
    ///
    /// # Safety
    /// Both rectangles lie in their buffers; they are the same or apart.
    unsafe fn drop(
        &self,
        l: usize,
        first: usize,
        [from, to]: [Address; 2],
        [rows, cols]: [usize; 2],
    ) -> Result<()> {
        match self.masks(l) {
            // SAFETY: the caller's promise.
            Some((sites, draw)) => unsafe {
                random::dropout::<R, F>(self.cuda, sites, draw, first, [from, to], [rows, cols])
            },
            None if from == to => Ok(()),
            // SAFETY: the caller's promise.
            None => unsafe { self.cuda.copy_bytes(from, to, rows * cols * size_of::<F>()) },
        }
    }

    /// What layer `l` sees: `from [rows, I]` itself, or what the masks leave of it, in the workspace.
    ///
    /// # Safety
    /// The rectangle lies in its buffer.
    unsafe fn seen(&self, l: usize, first: usize, from: Address, shape: [usize; 2]) -> Result<Address> {
        if self.masks(l).is_none() {
            return Ok(from);
        }
        let to = self.workspace(0);
        // SAFETY: the caller's promise; the workspace takes the input of any layer over all steps.
        unsafe { self.drop(l, first, [from, to], shape)? };
        Ok(to)
    }
}

//! What a pass over a stack stores and where: the tape, packed weights, workspaces.

use crate::{
    Backend, BatchShape, Direction, Error, Float, KernelChoice, Mode, ParamLayout, Result, Span, StackSpec,
};

/// Where a layer's part of the tape lies. Row `r` of step `t` stands at row `steps[t] + r`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerTape {
    /// Hidden units `H`.
    pub units: usize,
    /// State width `P`.
    pub state: usize,
    /// First element of the gates.
    pub gates: usize,
    /// Elements from one row of gates to the next.
    pub gate_row: usize,
    /// Elements from one gate to the next (i, f, g, o).
    pub gate_stride: usize,
    /// Elements from one unit of a gate to the next.
    pub unit_stride: usize,
    /// First element of the cell state.
    pub cell: usize,
    /// Elements from one row of cell state to the next.
    pub cell_row: usize,
    /// First element of the hidden state.
    pub hidden: usize,
    /// Elements from one row of hidden state to the next.
    pub hidden_row: usize,
}

/// Where activations of a pass lie in the three buffers of a [`Tape`].
///
/// Gates are kept after their activation, the cell state before the output's tanh, the hidden state
/// before dropout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeLayout {
    /// Batch rows `B`.
    pub rows: usize,
    /// Row at which each step starts. `t B` when all steps are kept; `(t mod 2) B` in inference.
    pub steps: Vec<usize>,
    /// One entry per layer.
    pub layers: Vec<LayerTape>,
    /// Elements of the gate buffer.
    pub gates_len: usize,
    /// Elements of the cell buffer.
    pub cell_len: usize,
    /// Elements of the hidden buffer.
    pub hidden_len: usize,
}

impl TapeLayout {
    /// The plain layout: gates `[T, B, 4H]`, cell `[T, B, H]`, hidden `[T, B, P]` per layer, or two
    /// steps of each in inference.
    #[must_use]
    pub fn standard(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> Self {
        let kept = match mode {
            Mode::Train => shape.steps,
            Mode::Infer => shape.steps.min(2),
        };
        let rows = shape.rows;
        let mut layout = Self {
            rows,
            steps: (0..shape.steps).map(|t| t % kept * rows).collect(),
            layers: Vec::with_capacity(spec.layers.len()),
            gates_len: 0,
            cell_len: 0,
            hidden_len: 0,
        };
        for layer in &spec.layers {
            layout.layers.push(LayerTape {
                units: layer.hidden,
                state: layer.state,
                gates: layout.gates_len,
                gate_row: 4 * layer.hidden,
                gate_stride: layer.hidden,
                unit_stride: 1,
                cell: layout.cell_len,
                cell_row: layer.hidden,
                hidden: layout.hidden_len,
                hidden_row: layer.state,
            });
            layout.gates_len += kept * rows * 4 * layer.hidden;
            layout.cell_len += kept * rows * layer.hidden;
            layout.hidden_len += kept * rows * layer.state;
        }
        layout
    }

    /// Gate `k` (0 i, 1 f, 2 g, 3 o) of layer `l` at step `t`: `[B, H]`.
    #[must_use]
    pub fn gate(&self, l: usize, t: usize, k: usize) -> Span {
        let layer = &self.layers[l];
        Span {
            offset: layer.gates + self.steps[t] * layer.gate_row + k * layer.gate_stride,
            rows: self.rows,
            cols: layer.units,
            row_stride: layer.gate_row,
            col_stride: layer.unit_stride,
        }
    }

    /// Cell state of layer `l` after step `t`: `[B, H]`.
    #[must_use]
    pub fn cell(&self, l: usize, t: usize) -> Span {
        let layer = &self.layers[l];
        let offset = layer.cell + self.steps[t] * layer.cell_row;
        Span { row_stride: layer.cell_row, ..Span::dense(offset, self.rows, layer.units) }
    }

    /// Hidden state of layer `l` after step `t`: `[B, P]`.
    #[must_use]
    pub fn hidden(&self, l: usize, t: usize) -> Span {
        let layer = &self.layers[l];
        let offset = layer.hidden + self.steps[t] * layer.hidden_row;
        Span { row_stride: layer.hidden_row, ..Span::dense(offset, self.rows, layer.state) }
    }
}

/// Everything that a pass over a stack needs to be allocated, and the kernel that will run it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The stack.
    pub spec: StackSpec,
    /// The batch.
    pub shape: BatchShape,
    /// What the pass is for.
    pub mode: Mode,
    /// The implementation that was chosen: never [`KernelChoice::Auto`].
    pub kernel: KernelChoice,
    /// Places of the stack's parameters; they come first in the model's arena.
    pub params: ParamLayout,
    /// Meaning of the tape.
    pub tape: TapeLayout,
    /// Whether backward overwrites the tape's gates.
    pub consumes_gates: bool,
    /// Elements of the packed weights.
    pub packed: usize,
    /// Elements of each workspace.
    pub workspace: Vec<usize>,
}

impl Plan {
    /// Bytes that [`Plan::scratch`] will allocate for elements of `F`.
    #[must_use]
    pub fn bytes<F: Float>(&self) -> usize {
        let tape = self.tape.gates_len + self.tape.cell_len + self.tape.hidden_len;
        (tape + self.packed + self.workspace.iter().sum::<usize>()) * size_of::<F>()
    }

    /// Allocates tape and workspaces.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn scratch<B: Backend, F: Float>(&self, backend: &B) -> Result<Scratch<B, F>> {
        Ok(Scratch {
            tape: Tape {
                gates: backend.alloc(self.tape.gates_len)?,
                cell: backend.alloc(self.tape.cell_len)?,
                hidden: backend.alloc(self.tape.hidden_len)?,
            },
            workspace: self.workspace.iter().map(|&len| backend.alloc(len)).collect::<Result<_>>()?,
        })
    }

    /// What no backend serves yet, and what none could.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible sizes, [`Error::Unsupported`] naming the option.
    pub fn check_supported(op: &'static str, spec: &StackSpec, shape: &BatchShape) -> Result<()> {
        spec.validate()?;
        for (what, value) in [("steps", shape.steps), ("batch", shape.rows)] {
            if value == 0 || value > 1 << 24 {
                return Err(Error::Invalid { what, value: value.to_string(), must: "from 1 to 16777216" });
            }
        }
        let elements = spec.layers.iter().try_fold(0usize, |sum, layer| {
            let row = layer.hidden.checked_mul(8)?.checked_mul(shape.rows)?;
            sum.checked_add(row.checked_mul(shape.steps)?)
        });
        if elements.is_none_or(|n| n > isize::MAX as usize / 64) {
            return Err(Error::Memory { bytes: usize::MAX, free: None });
        }
        let unsupported = |option| Err(Error::Unsupported { op, option });
        if spec.models > 1 {
            return unsupported("several models in one stack");
        }
        if shape.lengths.is_some() {
            return unsupported("rows of different length");
        }
        if spec.layers.iter().any(|layer| layer.direction == Direction::Both) {
            return unsupported("bidirectional layers");
        }
        if spec.layers.iter().any(|layer| layer.state != layer.hidden) {
            return unsupported("projection");
        }
        Ok(())
    }
}

/// Activations of a pass, laid out by a [`TapeLayout`].
pub struct Tape<B: Backend, F: Float> {
    /// Gate activations.
    pub gates: B::Buffer<F>,
    /// Cell states.
    pub cell: B::Buffer<F>,
    /// Hidden states before dropout.
    pub hidden: B::Buffer<F>,
}

/// Memory of a pass: allocated once per plan, used by forward and then by backward.
pub struct Scratch<B: Backend, F: Float> {
    /// Activations.
    pub tape: Tape<B, F>,
    /// Workspaces, as many and as large as the plan says.
    pub workspace: Vec<B::Buffer<F>>,
}

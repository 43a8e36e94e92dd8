//! Whole stacks of LSTM layers, fused: what is stored where, and the order of packed weights.
//!
//! Per layer there is one product for the inputs of many steps. Then tasks take blocks of batch rows and
//! run all steps of them, without waiting for each other: a recurrent product, and one loop that does
//! bias, gates, cell and hidden state. Equations: [`reference`](lstm_tensor::reference).
//!
//! In training the tape is the plain one; pre-activations are calculated in the gates' place, and
//! backward turns the gates into gradients there. In inference the tape is a ring of a few steps, and
//! all layers share the gates' place.

mod backward;
mod cell;
mod dropout;
mod forward;

pub(crate) use backward::backward;
pub(crate) use forward::{forward, step};

use crate::parallel::Rows;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{
    Arena, BatchShape, Bias, Error, Float, KernelChoice, LayerTape, Mode, Packed, Plan, Result, StackSpec,
    TapeLayout, check,
};
use std::ops::Range;

/// Rows (steps times batch) that inference runs through the whole stack at a time.
const CHUNK: usize = 128;
/// Batch rows of a task, about: enough for a product to be efficient, few enough to keep threads busy.
const BLOCK: usize = 16;
/// Tasks of a transposition, at most.
const BLOCKS: usize = 16;
/// Multiply-adds of a layer below which one task runs all rows: some tens of microseconds.
const SMALL: usize = 1 << 20;

/// Elements of a cache line in f32, two of them in f64.
const LINE: usize = 16;

/// One layer's sizes and places.
#[derive(Clone, Debug, Default)]
struct Layer {
    input: usize,
    hidden: usize,
    forget_bias: f64,
    /// In the arena: `[4H, I]`, `[4H, H]`, `[4H]` each.
    w_ih: Range<usize>,
    w_hh: Range<usize>,
    biases: [Option<Range<usize>>; 2],
    /// In the packed weights: `[I, 4H]`, `[H, 4H]`, `[4H]`.
    packed_ih: Range<usize>,
    packed_hh: Range<usize>,
    packed_bias: Range<usize>,
    /// In a state, of hidden and of cell state alike.
    state: Range<usize>,
}

/// Layer `l` of a stack over `rows` batch rows.
fn layer(plan: &Plan, l: usize) -> Result<Layer> {
    let (spec, mut entries) = (&plan.spec, plan.params.entries().iter());
    let (mut packed, mut state) = (0, 0);
    for (i, of) in spec.layers.iter().enumerate().take(l + 1) {
        let (input, hidden) = (spec.input_of(i), of.hidden);
        let mut tensor = |len: usize| match entries.next() {
            Some(entry) if entry.len() == len => Ok(entry.offset..entry.offset + len),
            _ => Err(foreign()),
        };
        let w_ih = tensor(4 * hidden * input)?;
        let w_hh = tensor(4 * hidden * hidden)?;
        let first = if of.cell.bias == Bias::None { None } else { Some(tensor(4 * hidden)?) };
        let second = if of.cell.bias == Bias::Two { Some(tensor(4 * hidden)?) } else { None };
        let packed_ih = take(&mut packed, 4 * hidden * input, LINE);
        let packed_hh = take(&mut packed, 4 * hidden * hidden, LINE);
        let packed_bias = take(&mut packed, 4 * hidden, LINE);
        let state = take(&mut state, plan.shape.rows * hidden, 1);
        if i == l {
            let (biases, forget_bias) = ([first, second], of.cell.forget_bias);
            return Ok(Layer {
                input,
                hidden,
                forget_bias,
                w_ih,
                w_hh,
                biases,
                packed_ih,
                packed_hh,
                packed_bias,
                state,
            });
        }
    }
    Err(foreign())
}

/// The next `len` elements from `end` on, starting at a multiple of `alignment`.
fn take(end: &mut usize, len: usize, alignment: usize) -> Range<usize> {
    let start = end.next_multiple_of(alignment);
    *end = start + len;
    start..*end
}

fn foreign() -> Error {
    Error::Invalid { what: "plan", value: "another backend's or altered".into(), must: "made by Cpu::plan" }
}

/// Steps that the tape holds.
fn kept(shape: &BatchShape, mode: Mode) -> usize {
    match mode {
        Mode::Train => shape.steps,
        Mode::Infer => shape.steps.min(CHUNK.div_ceil(shape.rows).max(2)),
    }
}

fn tape(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> TapeLayout {
    let mut layout = TapeLayout::standard(spec, shape, Mode::Train);
    let kept = kept(shape, mode);
    if kept < shape.steps || mode == Mode::Infer {
        layout = TapeLayout::standard(spec, &BatchShape::new(kept, shape.rows), Mode::Train);
        layout.steps = (0..shape.steps).map(|t| t % kept * shape.rows).collect();
        let widest = layout.layers.iter().map(|layer| layer.gate_row).max().unwrap_or(0);
        layout.gates_len = kept * shape.rows * widest;
        layout.layers.iter_mut().for_each(|layer| layer.gates = 0);
    }
    layout
}

/// Rows of a task: equal blocks of about [`BLOCK`], or all rows where there is little to do.
fn block(plan: &Plan, hidden: usize, input: usize) -> usize {
    let BatchShape { steps, rows, .. } = plan.shape;
    if steps.saturating_mul(rows).saturating_mul(4 * hidden * (hidden + input)) <= SMALL {
        return rows;
    }
    rows.div_ceil(rows.div_ceil(BLOCK))
}

pub(crate) fn plan(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> Result<Plan> {
    Plan::check_supported("plan", spec, shape)?;
    let sequence = shape.steps * shape.rows;
    let mut plan = Plan {
        spec: spec.clone(),
        shape: shape.clone(),
        mode,
        kernel: KernelChoice::Fused,
        params: spec.param_layout(""),
        tape: tape(spec, shape, mode),
        consumes_gates: mode == Mode::Train,
        packed: 0,
        workspace: vec![],
    };
    let layers = (0..spec.layers.len()).map(|l| layer(&plan, l)).collect::<Result<Vec<_>>>()?;
    let widest = |of: &dyn Fn(&Layer) -> usize| layers.iter().map(of).max().unwrap_or(0);
    let width = widest(&|l| l.input.max(l.hidden));
    let state = shape.rows * widest(&|l| l.hidden);
    let input = if mode == Mode::Train && spec.has_dropout() { sequence * width } else { 0 };
    // Layer input after dropout; in training gradients of a layer's output, of the hidden and of the cell
    // state, and each task's part of the bias gradient.
    let mut workspace = vec![input];
    if mode == Mode::Train {
        let parts = widest(&|l| shape.rows.div_ceil(block(&plan, l.hidden, l.input)) * 4 * l.hidden);
        workspace.extend([sequence * width, state, state, parts]);
    }
    plan.packed = layers.last().map_or(0, |l| l.packed_bias.end);
    plan.workspace = workspace;
    Ok(plan)
}

/// Checks that the tape is one that [`plan`] lays out: the kernels index it without looking.
fn check_tape(plan: &Plan) -> Result<()> {
    let (rows, kept) = (plan.shape.rows, kept(&plan.shape, plan.mode));
    let (mut gates, mut state) = (0, 0);
    for (layer, laid) in plan.spec.layers.iter().zip(&plan.tape.layers) {
        let units = layer.hidden;
        let expected = LayerTape {
            units,
            state: units,
            gates: if plan.mode == Mode::Train { gates } else { 0 },
            gate_row: 4 * units,
            gate_stride: units,
            unit_stride: 1,
            cell: state,
            cell_row: units,
            hidden: state,
            hidden_row: units,
        };
        if *laid != expected {
            return Err(foreign());
        }
        gates += kept * rows * 4 * units;
        state += kept * rows * units;
    }
    let steps_fit = plan.tape.steps.iter().enumerate().all(|(t, &step)| step == t % kept * rows);
    let sizes_fit = plan.tape.layers.len() == plan.spec.layers.len()
        && plan.tape.steps.len() == plan.shape.steps
        && plan.tape.rows == rows
        && (plan.mode == Mode::Infer || plan.tape.gates_len >= gates)
        && plan.tape.layers.iter().all(|layer| plan.tape.gates_len >= kept * rows * layer.gate_row)
        && plan.tape.cell_len >= state
        && plan.tape.hidden_len >= state;
    if steps_fit && sizes_fit { Ok(()) } else { Err(foreign()) }
}

pub(crate) fn prepare<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    params: &Arena<Cpu, F>,
    packed: &mut Packed<Cpu, F>,
) -> Result<()> {
    check::prepare(plan, params, packed)?;
    let values = params.values().as_slice();
    for l in 0..plan.spec.layers.len() {
        let layer = layer(plan, l)?;
        let to = part_mut(&mut packed.buffer, &layer.packed_ih)?;
        transpose(cpu, part(values, &layer.w_ih)?, layer.input, to);
        let to = part_mut(&mut packed.buffer, &layer.packed_hh)?;
        transpose(cpu, part(values, &layer.w_hh)?, layer.hidden, to);
        let bias = part_mut(&mut packed.buffer, &layer.packed_bias)?;
        bias.fill(F::ZERO);
        bias[layer.hidden..2 * layer.hidden].fill(F::from_f64(layer.forget_bias));
        for from in layer.biases.iter().flatten() {
            bias.iter_mut().zip(part(values, from)?).for_each(|(to, &from)| *to += from);
        }
    }
    packed.mark(params);
    Ok(())
}

/// `to [cols, rows] = from [rows, cols]`, in tiles that fit the innermost cache.
fn transpose<F: Float>(cpu: &Cpu, from: &[F], cols: usize, to: &mut [F]) {
    const TILE: usize = 16;
    let rows = from.len() / cols;
    let block = cols.div_ceil(BLOCKS).next_multiple_of(TILE);
    cpu.team.blocks([Rows::new(to, 1, cols, rows, block)], |i, [mut to]| {
        let to = to.at_mut(0);
        for row in (0..rows).step_by(TILE) {
            for (c, column) in to.chunks_exact_mut(rows).enumerate() {
                for (r, to) in column[row..rows.min(row + TILE)].iter_mut().enumerate() {
                    *to = from[(row + r) * cols + i * block + c];
                }
            }
        }
    });
}

/// A range of a slice, or an error where the slice is too short.
fn part<'a, T>(values: &'a [T], range: &Range<usize>) -> Result<&'a [T]> {
    values.get(range.clone()).ok_or_else(foreign)
}

fn part_mut<'a, F: Float>(buffer: &'a mut CpuBuffer<F>, range: &Range<usize>) -> Result<&'a mut [F]> {
    buffer.as_mut_slice().get_mut(range.clone()).ok_or_else(foreign)
}

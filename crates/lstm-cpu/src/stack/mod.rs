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

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_tensor::{Backend, Forward, LayerSpec, Weights};
    use std::sync::Arc;

    fn two_layers() -> StackSpec {
        let layers = vec![LayerSpec::new(3).forget_bias(0.5), LayerSpec::new(2).bias(Bias::None)];
        StackSpec::new(5, layers)
    }

    #[test]
    fn weights_are_packed_transposed_and_biases_added() {
        let cpu = Cpu::new(2).unwrap();
        let plan = plan(&two_layers(), &BatchShape::new(4, 2), Mode::Infer).unwrap();
        let layout = Arc::new(plan.params.clone());
        let mut params = Arena::<Cpu, f64>::zeros(&cpu, &layout).unwrap();
        for (i, value) in params.values_mut().as_mut_slice().iter_mut().enumerate() {
            *value = i as f64;
        }
        let mut packed = Packed::empty(&cpu, plan.packed).unwrap();
        prepare(&cpu, &plan, &params, &mut packed).unwrap();
        let (values, packed) = (params.values().as_slice(), packed.buffer.as_slice());
        for l in 0..2 {
            let layer = layer(&plan, l).unwrap();
            for gate in 0..4 * layer.hidden {
                for (from, to, cols) in [
                    (&layer.w_ih, &layer.packed_ih, layer.input),
                    (&layer.w_hh, &layer.packed_hh, layer.hidden),
                ] {
                    for c in 0..cols {
                        let turned = packed[to.start + c * 4 * layer.hidden + gate];
                        assert_eq!(turned, values[from.start + gate * cols + c]);
                    }
                }
                let biases = layer.biases.iter().flatten().map(|bias| values[bias.start + gate]);
                let forget = gate / layer.hidden == 1;
                let sum = biases.sum::<f64>() + if forget { layer.forget_bias } else { 0.0 };
                assert_eq!(packed[layer.packed_bias.start + gate], sum);
            }
        }
    }

    #[test]
    fn memory_of_inference_does_not_grow_with_the_sequence() {
        let bytes =
            |steps, mode| plan(&two_layers(), &BatchShape::new(steps, 3), mode).unwrap().bytes::<f32>();
        assert_eq!(bytes(1_000, Mode::Infer), bytes(100_000, Mode::Infer));
        assert!(bytes(1_000, Mode::Train) < bytes(100_000, Mode::Train));
    }

    #[test]
    fn rows_are_cut_into_equal_blocks_where_there_is_work() {
        let block = |rows, steps, hidden| {
            let spec = StackSpec::uniform(1, hidden, 1);
            block(&plan(&spec, &BatchShape::new(steps, rows), Mode::Train).unwrap(), hidden, 1)
        };
        assert_eq!(
            [block(3, 4, 10), block(32, 30, 128), block(50, 25, 500), block(7, 100, 500)],
            [3, 16, 13, 7]
        );
    }

    #[test]
    fn an_altered_plan_is_an_error() {
        let cpu = Cpu::new(1).unwrap();
        let plan = plan(&two_layers(), &BatchShape::new(4, 2), Mode::Train).unwrap();
        let alterations: [fn(&mut Plan); 4] = [
            |plan| plan.tape.steps[1] += 1,
            |plan| plan.tape.layers[1].gate_stride += 1,
            |plan| plan.tape.layers.truncate(1),
            |plan| plan.params = StackSpec::uniform(1, 1, 1).param_layout(""),
        ];
        for alter in alterations {
            let mut plan = plan.clone();
            alter(&mut plan);
            let params = Arena::<Cpu, f32>::zeros(&cpu, &Arc::new(two_layers().param_layout(""))).unwrap();
            let mut packed = Packed::empty(&cpu, plan.packed).unwrap();
            packed.mark(&params);
            let mut scratch = plan.scratch(&cpu).unwrap();
            let (x, mut y) = (cpu.alloc(4 * 2 * 5).unwrap(), cpu.alloc(4 * 2 * 2).unwrap());
            let weights = Weights { params: &params, packed: &packed };
            let args = Forward { weights, draw: None, x: &x, initial: None, y: &mut y, last: None };
            let result = cpu.stack_forward(&plan, args, &mut scratch);
            assert!(matches!(result, Err(Error::Invalid { .. })), "{result:?}");
        }
    }
}

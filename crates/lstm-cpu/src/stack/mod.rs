//! Whole stacks of LSTM layers, fused: what is stored where, and the order of packed weights.
//!
//! Per layer there is one product for the inputs of many steps, unless the inputs are few. Then tasks take
//! blocks of batch rows and run all steps of them, without waiting for each other: [`cell`] does the
//! recurrent product, gates, cell and hidden state of a step. Equations:
//! [`reference`](lstm_tensor::reference).
//!
//! Rows of the tape are padded to whole panels of units. In training pre-activations are calculated in the
//! gates' place, and backward turns the gates into gradients there. In inference the tape is a ring of a
//! few steps, and all layers share the gates' place.

mod backward;
mod cell;
mod dropout;
mod forward;

pub(crate) use backward::backward;
pub(crate) use forward::{forward, step};

use self::cell::panel;
use self::dropout::{drop_before, drops_before};
use crate::gemm::Matrix;
use crate::parallel::Rows;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{
    Arena, BatchShape, Bias, Draw, Error, Float, KernelChoice, LayerTape, Mode, Packed, Plan, Result, Span,
    StackSpec, TapeLayout, check,
};
use std::ops::Range;

/// Rows (steps times batch) that inference runs through the whole stack at a time.
const CHUNK: usize = 128;
/// Batch rows of a task, about: enough for a product to be efficient, few enough to keep threads busy.
const BLOCK: usize = 16;
/// The same where the weights of a step come from far: each task reads them once per step.
const LARGE_BLOCK: usize = 32;
/// Weights of a layer that count as large: more than stays in a core's own cache beside everything else.
const LARGE: usize = 1 << 18;
/// Inputs up to which they are multiplied together with the hidden state.
const JOINT: usize = 16;
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
    /// Inputs that are multiplied together with the hidden state: all or none.
    joint: usize,
    hidden: usize,
    /// Hidden units with padding, `U`.
    units: usize,
    forget_bias: f64,
    /// In the arena: `[4H, I]`, `[4H, H]`, `[4H]` each.
    w_ih: Range<usize>,
    w_hh: Range<usize>,
    biases: [Option<Range<usize>>; 2],
    /// In the packed weights: `[I, 4U]`, unless inputs and hidden state are multiplied together.
    packed_input: Range<usize>,
    /// Panels of [`StepForward`](cell::StepForward): `[U / panel, K, 4, panel]`, with the inputs' rows first
    /// if they are there.
    packed_forward: Range<usize>,
    /// Panels `[U / panel, 4, panel]`.
    packed_bias: Range<usize>,
    /// Panels of [`StepBackward`](cell::StepBackward): `[U / panel, 4H, panel]`; in training only.
    packed_backward: Range<usize>,
    /// In a state, of hidden and of cell state alike.
    state: Range<usize>,
}

impl Layer {
    /// The columns of gates `[R, 4U]` that are not padding, and the rows of weights `[4H, _]` that belong to
    /// them: first of each, and number.
    fn gate_columns(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Self { hidden, units, .. } = *self;
        let (parts, width) = if units == hidden { (1, 4 * hidden) } else { (4, hidden) };
        (0..parts).map(move |part| (part * units, part * hidden, width))
    }
}

/// Layer `l` of a stack over `rows` batch rows.
fn layer<F: Float>(plan: &Plan, l: usize) -> Result<Layer> {
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
        let units = padded::<F>(hidden);
        let joint = if input <= JOINT { input } else { 0 };
        let packed_input = take(&mut packed, if joint == 0 { 4 * units * input } else { 0 }, LINE);
        let packed_forward = take(&mut packed, 4 * units * (joint + hidden), LINE);
        let packed_bias = take(&mut packed, 4 * units, LINE);
        let trained = plan.mode == Mode::Train;
        let packed_backward = take(&mut packed, if trained { 4 * hidden * units } else { 0 }, LINE);
        let state = take(&mut state, plan.shape.rows * hidden, 1);
        if i == l {
            let (biases, forget_bias) = ([first, second], of.cell.forget_bias);
            return Ok(Layer {
                input,
                joint,
                hidden,
                units,
                forget_bias,
                w_ih,
                w_hh,
                biases,
                packed_input,
                packed_forward,
                packed_bias,
                packed_backward,
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

/// Units with padding to whole panels.
fn padded<F>(units: usize) -> usize {
    units.next_multiple_of(panel::<F>())
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

/// Places of the layers: rows padded to whole panels; of all steps in training, else of a ring of them in
/// which all layers share the gates' place.
fn layer_tapes<F>(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> impl Iterator<Item = LayerTape> {
    let rows = kept(shape, mode) * shape.rows;
    let (mut gates, mut state) = (0, 0);
    spec.layers.iter().map(move |layer| {
        let units = padded::<F>(layer.hidden);
        let place = LayerTape {
            units: layer.hidden,
            state: layer.hidden,
            gates,
            gate_row: 4 * units,
            gate_stride: units,
            unit_stride: 1,
            cell: state,
            cell_row: units,
            hidden: state,
            hidden_row: units,
        };
        gates += if mode == Mode::Train { rows * 4 * units } else { 0 };
        state += rows * units;
        place
    })
}

fn tape<F>(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> TapeLayout {
    let kept = kept(shape, mode);
    let rows = kept * shape.rows;
    let mut layout = TapeLayout {
        rows: shape.rows,
        steps: (0..shape.steps).map(|t| t % kept * shape.rows).collect(),
        layers: layer_tapes::<F>(spec, shape, mode).collect(),
        gates_len: 0,
        cell_len: 0,
        hidden_len: 0,
    };
    for layer in &layout.layers {
        layout.gates_len = layout.gates_len.max(layer.gates + rows * layer.gate_row);
        layout.cell_len = layer.cell + rows * layer.cell_row;
    }
    layout.hidden_len = layout.cell_len;
    layout
}

/// Rows of a task: equal blocks of about [`BLOCK`] or [`LARGE_BLOCK`], or all rows where there is little to
/// do.
fn block(plan: &Plan, hidden: usize, input: usize) -> usize {
    let BatchShape { steps, rows, .. } = plan.shape;
    if steps.saturating_mul(rows).saturating_mul(4 * hidden * (hidden + input)) <= SMALL {
        return rows;
    }
    let about = if 4 * hidden * hidden > LARGE { LARGE_BLOCK } else { BLOCK };
    rows.div_ceil(rows.div_ceil(about))
}

pub(crate) fn plan<F: Float>(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> Result<Plan> {
    Plan::check_supported("plan", spec, shape)?;
    let sequence = shape.steps * shape.rows;
    let mut plan = Plan {
        spec: spec.clone(),
        shape: shape.clone(),
        mode,
        kernel: KernelChoice::Fused,
        params: spec.param_layout(""),
        tape: tape::<F>(spec, shape, mode),
        consumes_gates: mode == Mode::Train,
        packed: 0,
        workspace: vec![],
    };
    let layers = (0..spec.layers.len()).map(|l| layer::<F>(&plan, l)).collect::<Result<Vec<_>>>()?;
    let widest = |of: &dyn Fn(&Layer) -> usize| layers.iter().map(of).max().unwrap_or(0);
    let units = widest(&|l| l.units);
    let state = shape.rows * units;
    let inputs = widest(&|l| l.input);
    let dropped = if mode == Mode::Train && spec.has_dropout() { sequence * inputs } else { 0 };
    // Layer input after dropout, padded initial cell state; in training gradients of a layer's output, of the
    // last hidden state and of the cell state, and each task's part of the bias gradient.
    let mut workspace = vec![dropped, state];
    if mode == Mode::Train {
        let parts = widest(&|l| shape.rows.div_ceil(block(&plan, l.hidden, l.input)) * 4 * l.units);
        workspace.extend([sequence * units, state, state, parts]);
    }
    plan.packed = layers.last().map_or(0, |l| l.packed_backward.end);
    plan.workspace = workspace;
    Ok(plan)
}

/// Checks that the tape is one that [`plan`] lays out: the kernels index it without looking.
fn check_tape<F>(plan: &Plan) -> Result<()> {
    let Plan { spec, shape, mode, tape, .. } = plan;
    let kept = kept(shape, *mode);
    let rows = kept * shape.rows;
    let fits = |layer: &LayerTape| {
        layer.gates + rows * layer.gate_row <= tape.gates_len
            && layer.cell + rows * layer.cell_row <= tape.cell_len
            && layer.hidden + rows * layer.hidden_row <= tape.hidden_len
    };
    let as_laid_out = tape.rows == shape.rows
        && tape.steps.len() == shape.steps
        && tape.steps.iter().enumerate().all(|(t, &step)| step == t % kept * shape.rows)
        && layer_tapes::<F>(spec, shape, *mode).eq(tape.layers.iter().copied())
        && tape.layers.iter().all(fits);
    if as_laid_out { Ok(()) } else { Err(foreign()) }
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
        let layer = layer::<F>(plan, l)?;
        let (w_ih, w_hh) = (part(values, &layer.w_ih)?, part(values, &layer.w_hh)?);
        pack_input(cpu, &layer, w_ih, part_mut(&mut packed.buffer, &layer.packed_input)?);
        pack_forward(cpu, &layer, [w_ih, w_hh], part_mut(&mut packed.buffer, &layer.packed_forward)?);
        pack_backward(cpu, &layer, w_hh, part_mut(&mut packed.buffer, &layer.packed_backward)?);
        pack_bias(&layer, values, part_mut(&mut packed.buffer, &layer.packed_bias)?)?;
    }
    packed.mark(params);
    Ok(())
}

/// `to [I, 4U]` from `w_ih [4H, I]`; nothing where `to` is empty.
fn pack_input<F: Float>(cpu: &Cpu, layer: &Layer, w_ih: &[F], to: &mut [F]) {
    let Layer { input, hidden, units, .. } = *layer;
    if to.is_empty() {
        return;
    }
    let block = input.div_ceil(BLOCKS).next_multiple_of(LINE);
    cpu.team.blocks([Rows::new(to, 1, input, 4 * units, block)], |i, [mut to]| {
        let to = to.at_mut(0);
        for gate in 0..4 {
            let from = &w_ih[gate * hidden * input..][..hidden * input];
            turn(from, input, i * block, to, 4 * units, gate * units, units);
        }
    });
}

/// Panels `[K, 4, panel]` from `w_ih [4H, I]`, if it is multiplied with them, and `w_hh [4H, H]`.
fn pack_forward<F: Float>(cpu: &Cpu, layer: &Layer, [w_ih, w_hh]: [&[F]; 2], to: &mut [F]) {
    let (hidden, joint, width) = (layer.hidden, layer.joint, panel::<F>());
    let (depth, panels) = (joint + hidden, layer.units / width);
    cpu.team.blocks([Rows::new(to, 1, panels, depth * 4 * width, 1)], |number, [mut to]| {
        let (to_inputs, to_hidden) = to.at_mut(0).split_at_mut(joint * 4 * width);
        let count = width.min(hidden - number * width);
        for gate in 0..4 {
            let first = gate * hidden + number * width;
            for (from, cols, to) in [(w_ih, joint, &mut *to_inputs), (w_hh, hidden, &mut *to_hidden)] {
                turn(&from[first * cols..][..count * cols], cols, 0, to, 4 * width, gate * width, width);
            }
        }
    });
}

/// Columns `first ..` of `from [_, cols]` become the rows of `to`, which are `row` long, from element `at`
/// on; what is left of `width` elements there becomes 0. In tiles that fit the innermost cache.
fn turn<F: Float>(from: &[F], cols: usize, first: usize, to: &mut [F], row: usize, at: usize, width: usize) {
    for (tile, to) in to.chunks_mut(LINE * row).enumerate() {
        for to in to.chunks_exact_mut(row) {
            to[at..at + width].fill(F::ZERO);
        }
        for (unit, from) in from.chunks_exact(cols).enumerate() {
            let from = &from[first + tile * LINE..];
            for (to, &from) in to.chunks_exact_mut(row).zip(from) {
                to[at + unit] = from;
            }
        }
    }
}

/// Panels `[4H, panel]` of `w_hh [4H, H]`; nothing where `to` is empty.
fn pack_backward<F: Float>(cpu: &Cpu, layer: &Layer, w_hh: &[F], to: &mut [F]) {
    let (hidden, width) = (layer.hidden, panel::<F>());
    if to.is_empty() {
        return;
    }
    let panels = layer.units / width;
    cpu.team.blocks([Rows::new(to, 1, panels, 4 * hidden * width, 1)], |number, [mut to]| {
        let (first, count) = (number * width, width.min(hidden - number * width));
        for (to, from) in to.at_mut(0).chunks_exact_mut(width).zip(w_hh.chunks_exact(hidden)) {
            to[..count].copy_from_slice(&from[first..first + count]);
            to[count..].fill(F::ZERO);
        }
    });
}

/// Panels `[4, panel]` of the sum of the biases.
fn pack_bias<F: Float>(layer: &Layer, values: &[F], to: &mut [F]) -> Result<()> {
    let (hidden, width) = (layer.hidden, panel::<F>());
    to.fill(F::ZERO);
    let place = |gate: usize, unit: usize| unit / width * 4 * width + gate * width + unit % width;
    for unit in 0..hidden {
        to[place(1, unit)] = F::from_f64(layer.forget_bias);
    }
    for bias in layer.biases.iter().flatten() {
        for (gate, bias) in part(values, bias)?.chunks_exact(hidden).enumerate() {
            for (unit, &bias) in bias.iter().enumerate() {
                to[place(gate, unit)] += bias;
            }
        }
    }
    Ok(())
}

/// What layer `l` reads at `count` steps from `first` on, after dropout: rows of the inputs `x` or of the
/// hidden state below. `dropped` has room for it.
#[allow(clippy::too_many_arguments, reason = "the parts of a pass that hold a layer's input")]
fn layer_input<'a, F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    draw: Option<Draw<'_, Cpu>>,
    l: usize,
    [first, count]: [usize; 2],
    x: &'a [F],
    hidden: &'a [F],
    dropped: &'a mut [F],
) -> Result<Matrix<'a, F>> {
    let (width, rows) = (plan.spec.input_of(l), count * plan.shape.rows);
    let (input, stride) = match l.checked_sub(1) {
        Some(below) => {
            let place = &plan.tape.layers[below];
            (&hidden[place.hidden..], place.hidden_row)
        }
        None => (&x[first * plan.shape.rows * width..], width),
    };
    if !drops_before(plan, draw, l) {
        return Ok(Matrix::new(input, Span { row_stride: stride, ..Span::dense(0, rows, width) }));
    }
    let dropped = dropped.get_mut(..rows * width).ok_or_else(foreign)?;
    unpad(input, stride, width, dropped);
    drop_before(cpu, plan, draw, l, first, dropped, [width; 2]);
    Ok(Matrix::dense(dropped, rows, width))
}

/// Copies rows of `units` elements, of which `hidden` count, to rows of `hidden`: as many as `to` has.
fn unpad<F: Copy>(from: &[F], units: usize, hidden: usize, to: &mut [F]) {
    if units == hidden {
        return to.copy_from_slice(&from[..to.len()]);
    }
    for (to, from) in to.chunks_exact_mut(hidden).zip(from.chunks(units)) {
        to.copy_from_slice(&from[..hidden]);
    }
}

/// Copies rows of `hidden` elements to rows of `units`, and fills these up with zeros.
fn pad<F: Float>(from: &[F], hidden: usize, units: usize, to: &mut [F]) {
    for (to, from) in to.chunks_exact_mut(units).zip(from.chunks_exact(hidden)) {
        to[..hidden].copy_from_slice(from);
        to[hidden..].fill(F::ZERO);
    }
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
        let plan = plan::<f64>(&two_layers(), &BatchShape::new(4, 2), Mode::Train).unwrap();
        let layout = Arc::new(plan.params.clone());
        let mut params = Arena::<Cpu, f64>::zeros(&cpu, &layout).unwrap();
        for (i, value) in params.values_mut().as_mut_slice().iter_mut().enumerate() {
            *value = i as f64;
        }
        let mut packed = Packed::empty(&cpu, plan.packed).unwrap();
        prepare(&cpu, &plan, &params, &mut packed).unwrap();
        let (values, packed) = (params.values().as_slice(), packed.buffer.as_slice());
        let width = panel::<f64>();
        for l in 0..2 {
            let layer = layer::<f64>(&plan, l).unwrap();
            let Layer { input, hidden, .. } = layer;
            for (gate, unit) in (0..4).flat_map(|gate| (0..width).map(move |unit| (gate, unit))) {
                let weight = |from: &Range<usize>, cols: usize, c: usize| match unit < hidden {
                    true => values[from.start + (gate * hidden + unit) * cols + c],
                    false => 0.0,
                };
                let forward = |k: usize| packed[layer.packed_forward.start + (k * 4 + gate) * width + unit];
                for c in 0..input {
                    assert_eq!(forward(c), weight(&layer.w_ih, input, c));
                }
                for c in 0..hidden {
                    assert_eq!(forward(input + c), weight(&layer.w_hh, hidden, c));
                }
                for k in 0..if unit < hidden { 4 * hidden } else { 0 } {
                    let backward = packed[layer.packed_backward.start + k * width + unit];
                    assert_eq!(backward, values[layer.w_hh.start + k * hidden + unit]);
                }
                let biases = layer.biases.iter().flatten().map(|bias| weight(bias, 1, 0));
                let forget = if gate == 1 && unit < hidden { layer.forget_bias } else { 0.0 };
                let sum = biases.sum::<f64>() + forget;
                assert_eq!(packed[layer.packed_bias.start + gate * width + unit], sum);
            }
        }
    }

    #[test]
    fn memory_of_inference_does_not_grow_with_the_sequence() {
        let bytes = |steps, mode| {
            plan::<f32>(&two_layers(), &BatchShape::new(steps, 3), mode).unwrap().bytes::<f32>()
        };
        assert_eq!(bytes(1_000, Mode::Infer), bytes(100_000, Mode::Infer));
        assert!(bytes(1_000, Mode::Train) < bytes(100_000, Mode::Train));
    }

    #[test]
    fn rows_are_cut_into_equal_blocks_where_there_is_work() {
        let block = |rows, steps, hidden| {
            let spec = StackSpec::uniform(1, hidden, 1);
            block(&plan::<f32>(&spec, &BatchShape::new(steps, rows), Mode::Train).unwrap(), hidden, 1)
        };
        assert_eq!(
            [block(3, 4, 10), block(32, 30, 128), block(50, 25, 500), block(7, 100, 500)],
            [3, 16, 25, 7]
        );
    }

    #[test]
    fn an_altered_plan_is_an_error() {
        let cpu = Cpu::new(1).unwrap();
        let plan = plan::<f32>(&two_layers(), &BatchShape::new(4, 2), Mode::Train).unwrap();
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

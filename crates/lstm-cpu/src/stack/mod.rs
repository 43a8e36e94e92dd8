//! Whole stacks of LSTM layers, fused: what is stored where, and the order of packed weights.
//!
//! A pass goes through the sequence in chunks of steps, and each chunk through all layers, so that what a layer
//! hands to the next is still in the cache. Tasks take blocks of batch rows ([`route`]) and go through all chunks
//! and layers without waiting for each other: [`cell`] does all of a step. Where there are too few rows, the tasks are
//! layers, each a chunk behind the one below: a wave. Backward, a task also adds up its share
//! of the gradient of the weights while the chunk's gradients are near. Equations:
//! [`reference`](lstm_tensor::reference).
//!
//! Rows of the tape are padded to whole panels of units. In inference the tape is a ring of the steps of a chunk,
//! and all layers share the gates' place.

mod backward;
mod cell;
mod dropout;
mod forward;
mod pack;
mod power;
mod route;

pub(crate) use backward::backward;
pub(crate) use forward::{forward, step};
pub(crate) use pack::prepare;

use self::cell::panel;
use self::dropout::{Part, drop_before, drops_before};
use self::route::{DEEP, Route};
use crate::parallel::{Block, Field};
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{
    BatchShape, Bias, Draw, Error, Float, KernelChoice, LayerTape, Mode, Plan, Result, StackSpec, State,
    TapeLayout,
};
use std::ops::Range;

/// Elements of a cache line in f32, two of them in f64.
const LINE: usize = 16;

/// One layer's sizes and places.
#[derive(Clone, Debug, Default)]
struct Layer {
    input: usize,
    /// Whether inputs are multiplied together with the hidden state.
    joins: bool,
    hidden: usize,
    /// Hidden units and inputs with padding, `U` and `N`.
    units: usize,
    columns: usize,
    /// Factors of the gradient of the weights: inputs, hidden state and 1, with padding.
    depth: usize,
    forget_bias: f64,
    /// In the arena: `[4H, I]`, `[4H, H]`, `[4H]` each.
    w_ih: Range<usize>,
    w_hh: Range<usize>,
    biases: [Option<Range<usize>>; 2],
    /// In the packed weights: panels of [`StepForward`](cell::StepForward), `[U / panel, I + H, 4, panel]`.
    packed_forward: Range<usize>,
    /// Panels `[U / panel, 4, panel]`.
    packed_bias: Range<usize>,
    /// In training only, panels of [`StepBackward`](cell::StepBackward), `[U / panel, 4H, panel]` of the
    /// recurrent weights and `[N / panel, 4H, panel]` of the input's.
    packed_recurrent: Range<usize>,
    packed_input: Range<usize>,
    /// In a state, of hidden and of cell state alike.
    state: Range<usize>,
    /// In training: of each task the gradients of the earliest step's pre-activations, `[4U / panel, block,
    /// panel]`; the gradient of the cell state, `[B, U]`; each task's gradient of the weights,
    /// `[4U / panel, depth, panel]`.
    after: Range<usize>,
    d_cell: Range<usize>,
    sums: Range<usize>,
}

/// Layer `l` of a stack over `rows` batch rows.
fn layer<F: Float>(plan: &Plan, route: Route, l: usize) -> Result<Layer> {
    let (spec, mut entries) = (&plan.spec, plan.params.entries().iter());
    let trained = plan.mode == Mode::Train;
    let [mut packed, mut state, mut after, mut d_cell, mut sums] = [0; 5];
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
        let (units, columns) = (padded::<F>(hidden), padded::<F>(input));
        let depth = (input + hidden + 1).next_multiple_of(4);
        let in_training = |len: usize| if trained { len } else { 0 };
        let layer = Layer {
            input,
            joins: route.joins(input, hidden, size_of::<F>()),
            hidden,
            units,
            columns,
            depth,
            forget_bias: of.cell.forget_bias,
            w_ih,
            w_hh,
            biases: [first, second],
            packed_forward: take(&mut packed, 4 * units * (input + hidden), LINE),
            packed_bias: take(&mut packed, 4 * units, LINE),
            packed_recurrent: take(&mut packed, in_training(4 * hidden * units), LINE),
            packed_input: take(&mut packed, in_training(4 * hidden * columns), LINE),
            state: take(&mut state, plan.shape.rows * hidden, 1),
            after: take(&mut after, in_training(route.blocks * 4 * units * route.block), LINE),
            d_cell: take(&mut d_cell, in_training(plan.shape.rows * units), LINE),
            sums: take(&mut sums, in_training(route.blocks * 4 * units * depth), LINE),
        };
        if i == l {
            return Ok(layer);
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

/// How passes over it are cut.
fn cut<F>(plan: &Plan) -> Route {
    Route::of(&plan.spec, &plan.shape, size_of::<F>(), plan.mode == Mode::Train)
}

/// Steps that the tape holds.
fn kept(plan: &Plan, route: Route) -> usize {
    match plan.mode {
        Mode::Train => plan.shape.steps,
        Mode::Infer => route.chunk,
    }
}

/// Places of the layers: rows padded to whole panels; of all steps in training, else of a ring of them in
/// which layers that run one after the other share the gates' place.
fn layer_tapes<F>(plan: &Plan, route: Route) -> impl Iterator<Item = LayerTape> {
    let (rows, trained) = (kept(plan, route) * plan.shape.rows, plan.mode == Mode::Train);
    let (mut gates, mut state) = (0, 0);
    let shares_gates = !trained && !route.wave && route.blocks == 1;
    plan.spec.layers.iter().enumerate().map(move |(l, layer)| {
        let units = padded::<F>(layer.hidden);
        // In inference they hold products of inputs alone, where these are made for a whole chunk.
        let has_gates = trained || !route.joins(plan.spec.input_of(l), layer.hidden, size_of::<F>());
        let place = LayerTape {
            units: layer.hidden,
            state: layer.hidden,
            gates,
            gate_row: if has_gates { 4 * units } else { 0 },
            gate_stride: units,
            unit_stride: 1,
            cell: state,
            cell_row: units,
            hidden: state,
            hidden_row: units,
        };
        gates += if shares_gates { 0 } else { rows * place.gate_row };
        state += rows * units;
        place
    })
}

fn tape<F>(plan: &Plan, route: Route) -> TapeLayout {
    let BatchShape { steps, rows: batch, .. } = plan.shape;
    let kept = kept(plan, route);
    let rows = kept * batch;
    let mut layout = TapeLayout {
        rows: batch,
        steps: (0..steps).map(|t| t % kept * batch).collect(),
        layers: layer_tapes::<F>(plan, route).collect(),
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

pub(crate) fn plan<F: Float>(spec: &StackSpec, shape: &BatchShape, mode: Mode) -> Result<Plan> {
    Plan::check_supported("plan", spec, shape)?;
    let mut plan = Plan {
        spec: spec.clone(),
        shape: shape.clone(),
        mode,
        kernel: KernelChoice::Fused,
        params: spec.param_layout(""),
        tape: TapeLayout { rows: 0, steps: vec![], layers: vec![], gates_len: 0, cell_len: 0, hidden_len: 0 },
        consumes_gates: false,
        packed: 0,
        workspace: vec![],
    };
    let route = cut::<F>(&plan);
    plan.tape = tape::<F>(&plan, route);
    let layers = (0..spec.layers.len()).map(|l| layer::<F>(&plan, route, l)).collect::<Result<Vec<_>>>()?;
    let widest = |of: &dyn Fn(&Layer) -> usize| layers.iter().map(of).max().unwrap_or(0);
    // Tasks that run at once, each with a workspace of its own.
    let (units, at_once) = (widest(&|l| l.units), if route.wave { layers.len() } else { route.blocks });
    let state = at_once * route.block * units;
    let tasks = at_once * route.chunk * route.block;
    let dropped = if mode == Mode::Train && spec.has_dropout() { tasks * widest(&|l| l.input) } else { 0 };
    let handed =
        if mode == Mode::Train || route.wave { tasks * units.max(widest(&|l| l.columns)) } else { 0 };
    // A chunk's inputs after dropout, padded initial cell state, what layers hand on: forward in waves their output,
    // backward the gradients of it; in training gradients of pre-activations of a chunk and factors of its weights;
    // one row of these of each task; padded gradient of the last hidden state; of each layer what `Layer` names; and
    // exponents, of each layer and task and of what is handed on.
    let mut workspace = vec![dropped, state, handed];
    if mode == Mode::Train {
        let depth = widest(&|l| l.depth);
        workspace.extend([tasks * 4 * units, tasks * depth, at_once * depth, state]);
        let last = |of: fn(&Layer) -> &Range<usize>| layers.last().map_or(0, |l| of(l).end);
        workspace.extend([last(|l| &l.after), last(|l| &l.d_cell), last(|l| &l.sums)]);
        workspace.extend([layers.len() * route.blocks, at_once]);
    }
    plan.packed = layers.last().map_or(0, |l| l.packed_input.end);
    plan.workspace = workspace;
    Ok(plan)
}

/// Checks that the tape is one that [`plan`] lays out: the kernels index it without looking.
fn check_tape<F>(plan: &Plan, route: Route) -> Result<()> {
    let Plan { shape, tape, .. } = plan;
    let kept = kept(plan, route);
    let rows = kept * shape.rows;
    let fits = |layer: &LayerTape| {
        layer.gates + rows * layer.gate_row <= tape.gates_len
            && layer.cell + rows * layer.cell_row <= tape.cell_len
            && layer.hidden + rows * layer.hidden_row <= tape.hidden_len
    };
    let as_laid_out = tape.rows == shape.rows
        && tape.steps.len() == shape.steps
        && tape.steps.iter().enumerate().all(|(t, &step)| step == t % kept * shape.rows)
        && layer_tapes::<F>(plan, route).eq(tape.layers.iter().copied())
        && tape.layers.iter().all(fits);
    if as_laid_out { Ok(()) } else { Err(foreign()) }
}

/// Fields of the layers, in the first places of an array.
fn listed(layers: impl Iterator<Item = Field>) -> [Field; DEEP] {
    let mut list = [Field::default(); DEEP];
    list.iter_mut().zip(layers).for_each(|(place, field)| *place = field);
    list
}

/// Rows that a layer multiplies at the steps of a chunk.
enum Input<'a, F> {
    /// Row `r` of the `slot`th step starts at `slot step + r stride` of `data`.
    Rows { data: &'a [F], step: usize, stride: usize },
    /// Rows of the layer below in the tape, from slot `first` on.
    Lent { block: Block<'a, F>, first: usize, stride: usize },
}

impl<'a, F: Float> Input<'a, F> {
    /// What layer `l` reads from step `first` on at batch rows from `row` on: of the inputs `x`, or of the hidden state
    /// below on a tape of all steps.
    fn of(plan: &Plan, l: usize, [first, row]: [usize; 2], [x, hidden]: [&'a [F]; 2]) -> Self {
        let (width, rows) = (plan.spec.input_of(l), plan.shape.rows);
        match l.checked_sub(1) {
            Some(below) => {
                let place = &plan.tape.layers[below];
                let stride = place.hidden_row;
                let data = &hidden[place.hidden + (first * rows + row) * stride..];
                Self::Rows { data, step: rows * stride, stride }
            }
            None => {
                Self::Rows { data: &x[(first * rows + row) * width..], step: rows * width, stride: width }
            }
        }
    }

    /// Rows of the `slot`th step.
    fn at(&self, slot: usize) -> &[F] {
        match self {
            Self::Rows { data, step, .. } => &data[slot * step..],
            Self::Lent { block, first, .. } => block.at(first + slot),
        }
    }

    /// Rows of `count` steps, one after the other, where they are all rows of the batch.
    fn all(&self, count: usize) -> &[F] {
        match self {
            Self::Rows { data, .. } => data,
            Self::Lent { block, first, .. } => block.slots(*first, count),
        }
    }

    fn stride(&self) -> usize {
        match *self {
            Self::Rows { stride, .. } | Self::Lent { stride, .. } => stride,
        }
    }

    /// The same at `count` steps after the dropout before layer `l`; `dropped` has room for it.
    fn after_dropout(
        self,
        plan: &Plan,
        draw: Option<Draw<'_, Cpu>>,
        l: usize,
        (part, count): (Part, usize),
        dropped: &'a mut [F],
    ) -> Self {
        if !drops_before(plan, draw, l) {
            return self;
        }
        let width = plan.spec.input_of(l);
        let step = part.rows * width;
        for (slot, to) in dropped.chunks_exact_mut(step).take(count).enumerate() {
            for (to, from) in to.chunks_exact_mut(width).zip(self.at(slot).chunks(self.stride())) {
                to.copy_from_slice(&from[..width]);
            }
        }
        drop_before(plan, draw, l, part, &mut dropped[..count * step], [width; 2]);
        Self::Rows { data: dropped, step, stride: width }
    }
}

/// Hidden and cell state of a layer.
fn of_layer<'a, F: Float>(state: Option<&'a State<Cpu, F>>, layer: &Layer) -> Result<Option<[&'a [F]; 2]>> {
    let Some(State { h, c, .. }) = state else { return Ok(None) };
    Ok(Some([part(h.as_slice(), &layer.state)?, part(c.as_slice(), &layer.state)?]))
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
    use lstm_tensor::{Arena, Backend, Forward, LayerSpec, Packed, Weights};
    use std::sync::Arc;

    pub(super) fn two_layers() -> StackSpec {
        let layers = vec![LayerSpec::new(3).forget_bias(0.5), LayerSpec::new(2).bias(Bias::None)];
        StackSpec::new(5, layers)
    }

    #[test]
    fn memory_of_inference_does_not_grow_with_the_sequence() {
        let bytes = |steps, mode| {
            plan::<f32>(&two_layers(), &BatchShape::new(steps, 3), mode).unwrap().bytes::<f32>()
        };
        for [few, many] in [[100, 1_000], [100_000, 10_000_000]] {
            assert_eq!(bytes(few, Mode::Infer), bytes(many, Mode::Infer));
            assert!(bytes(few, Mode::Train) < bytes(many, Mode::Train));
        }
    }

    #[test]
    fn an_altered_plan_is_an_error() {
        let cpu = Cpu::new(1).unwrap();
        let plan = plan::<f32>(&two_layers(), &BatchShape::new(4, 2), Mode::Train).unwrap();
        let alterations: [fn(&mut Plan); 5] = [
            |plan| plan.tape.steps[1] += 1,
            |plan| plan.tape.layers[1].gate_stride += 1,
            |plan| plan.tape.layers.truncate(1),
            // Sizes that are 0 when they are counted without looking.
            |plan| (plan.shape.rows, plan.tape.rows) = (1 << 60, 1 << 60),
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

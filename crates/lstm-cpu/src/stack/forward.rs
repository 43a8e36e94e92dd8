//! Forward passes: over sequences and over one step of a stream.

use super::cell::{Crew, Factor, InputProduct, StepForward};
use super::dropout::{Part, drop_before};
use super::route::{CREST, Route};
use super::{Input, Layer, check_tape, cut, foreign, kept, layer, listed, of_layer, pad, part, unpad};
use crate::parallel::{Block, Field, Fields, Rows, share};
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{
    Draw, Float, Forward, LayerTape, Mode, Packed, Plan, Result, Scratch, State, Tape, Weights, check,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Override of [`Backend::stack_forward`](lstm_tensor::Backend::stack_forward).
pub(crate) fn forward<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    args: Forward<'_, Cpu, F>,
    scratch: &mut Scratch<Cpu, F>,
) -> Result<()> {
    check::stack_forward(plan, &args, scratch)?;
    let Forward { weights, draw, x, initial, y, last } = args;
    let draw = draw.filter(|_| plan.mode == Mode::Train);
    let route = cut::<F>(plan);
    let pass = Pass { cpu, plan, route, packed: weights.packed, draw, initial };
    pass.run(x.as_slice(), y.as_mut_slice(), scratch)?;
    match last {
        Some(last) => save_state(plan, route, &scratch.tape, last),
        None => Ok(()),
    }
}

/// Override of [`Backend::step`](lstm_tensor::Backend::step).
pub(crate) fn step<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    weights: Weights<'_, Cpu, F>,
    x: &CpuBuffer<F>,
    state: &mut State<Cpu, F>,
    y: &mut CpuBuffer<F>,
    scratch: &mut Scratch<Cpu, F>,
) -> Result<()> {
    check::step(plan, &weights, x, state, y, scratch)?;
    let route = cut::<F>(plan);
    let pass = Pass { cpu, plan, route, packed: weights.packed, draw: None, initial: Some(state) };
    pass.run(x.as_slice(), y.as_mut_slice(), scratch)?;
    save_state(plan, route, &scratch.tape, state)
}

/// Copies the state after the last step out of the tape.
fn save_state<F: Float>(
    plan: &Plan,
    route: Route,
    tape: &Tape<Cpu, F>,
    to: &mut State<Cpu, F>,
) -> Result<()> {
    let end = plan.shape.steps - 1;
    for l in 0..plan.spec.layers.len() {
        let Layer { state, hidden, units, .. } = layer::<F>(plan, route, l)?;
        let (h, c) = (plan.tape.hidden(l, end).offset, plan.tape.cell(l, end).offset);
        unpad(&tape.hidden.as_slice()[h..], units, hidden, &mut to.h.as_mut_slice()[state.clone()]);
        unpad(&tape.cell.as_slice()[c..], units, hidden, &mut to.c.as_mut_slice()[state]);
    }
    Ok(())
}

/// What all layers and chunks of steps of a forward pass share.
struct Pass<'a, F: Float> {
    cpu: &'a Cpu,
    plan: &'a Plan,
    route: Route,
    packed: &'a Packed<Cpu, F>,
    draw: Option<Draw<'a, Cpu>>,
    initial: Option<&'a State<Cpu, F>>,
}

/// A layer's chunk of steps. It is small, since in a wave each thread fetches it from the one that made it.
struct Chunk<'a, F: Float> {
    pass: &'a Pass<'a, F>,
    l: usize,
    input: usize,
    hidden: usize,
    units: usize,
    joins: bool,
    first: usize,
    count: usize,
    weights: &'a [F],
    bias: &'a [F],
    /// Hidden and cell state before the first step.
    initial: Option<[&'a [F]; 2]>,
}

/// What a task writes of a layer; the last one writes the output of the stack, too.
struct Task<'a, 'b, F> {
    gates: Block<'a, F>,
    cell: Block<'a, F>,
    hidden: &'a mut Block<'b, F>,
    /// The padded initial cell state.
    before: &'a mut [F],
    /// Inputs after dropout.
    dropped: &'a mut [F],
}

impl<F: Float> Pass<'_, F> {
    /// All steps of all layers.
    fn run(&self, x: &[F], y: &mut [F], scratch: &mut Scratch<Cpu, F>) -> Result<()> {
        let (plan, layers) = (self.plan, self.plan.spec.layers.len());
        check_tape::<F>(plan, self.route)?;
        let chunks = plan.shape.steps.div_ceil(self.route.chunk);
        match self.route.wave {
            true => (0..chunks + layers - 1).try_for_each(|wave| self.wave(wave, x, y, scratch)),
            false => self.blocks(chunks, x, y, scratch),
        }
    }

    fn chunk(&self, l: usize, chunk: usize) -> Result<Chunk<'_, F>> {
        let (packed, layer) = (self.packed.buffer.as_slice(), layer::<F>(self.plan, self.route, l)?);
        let first = chunk * self.route.chunk;
        Ok(Chunk {
            pass: self,
            l,
            first,
            count: self.route.chunk.min(self.plan.shape.steps - first),
            weights: part(packed, &layer.packed_forward)?,
            bias: part(packed, &layer.packed_bias)?,
            // Later chunks find the state before them in the tape.
            initial: of_layer(self.initial.filter(|_| first == 0), &layer)?,
            input: layer.input,
            hidden: layer.hidden,
            units: layer.units,
            joins: layer.joins,
        })
    }

    /// Blocks of batch rows, each through all steps: a chunk through all layers, then the next.
    fn blocks(&self, chunks: usize, x: &[F], y: &mut [F], scratch: &mut Scratch<Cpu, F>) -> Result<()> {
        let (plan, blocks, layers) = (self.plan, self.route.blocks, self.plan.spec.layers.len());
        let (steps, rows, kept) = (plan.shape.steps, plan.shape.rows, kept(plan, self.route));
        let Scratch { tape: Tape { gates, cell, hidden }, workspace } = scratch;
        let [dropped, before, ..] = workspace.as_mut_slice() else { return Err(foreign()) };
        let lists = [of_gates, of_cell, of_hidden].map(|of| listed(plan.tape.layers.iter().map(of)));
        // A task alone need not announce what it asks for.
        let listed = if blocks > 1 { layers } else { 0 };
        let fields = [
            Fields::new(gates.as_mut_slice(), [kept, rows], &lists[0][..listed]),
            Fields::new(cell.as_mut_slice(), [kept, rows], &lists[1][..listed]),
            Fields::new(hidden.as_mut_slice(), [kept, rows], &lists[2][..listed]),
        ];
        let buffers = [
            Rows::each(before.as_mut_slice(), blocks, 0),
            Rows::each(dropped.as_mut_slice(), blocks, 0),
            Rows::shared(y, steps, rows, plan.spec.output(), blocks),
        ];
        let (crew, altered) = (Crew::of(self.cpu, blocks), AtomicBool::new(false));
        self.cpu.team.fields(blocks, fields, buffers, |i, [mut gates, mut cell, mut hidden], buffers| {
            let [mut before, mut dropped, mut y] = buffers;
            let row = share(rows, blocks, i);
            for (chunk, l) in (0..chunks).flat_map(|chunk| (0..layers).map(move |l| (chunk, l))) {
                let Ok(chunk) = self.chunk(l, chunk) else { return altered.store(true, Ordering::Relaxed) };
                let place = &plan.tape.layers[l];
                let (input, mut hidden) = match l.checked_sub(1) {
                    None => {
                        (Input::of(plan, l, [chunk.first, row], [x, &[]]), hidden.field(l, of_hidden(place)))
                    }
                    Some(below) => {
                        let below = of_hidden(&plan.tape.layers[below]);
                        let [read, write] = hidden.pair(l, [below, of_hidden(place)]);
                        (Input::Lent { first: chunk.first % kept, block: read, stride: below.width }, write)
                    }
                };
                let (gates, cell) = (gates.field(l, of_gates(place)), cell.field(l, of_cell(place)));
                let (before, dropped) = (before.at_mut(0), dropped.at_mut(0));
                chunk.run(
                    row,
                    input,
                    Task { gates, cell, hidden: &mut hidden, before, dropped },
                    &mut y,
                    crew,
                );
            }
        });
        if altered.into_inner() { Err(foreign()) } else { Ok(()) }
    }

    /// Chunk `wave - l` of each layer `l` that has one, all at once. What a layer hands to the next travels with the
    /// chunk in a buffer of its own, since the tape below is being written to.
    fn wave(&self, wave: usize, x: &[F], y: &mut [F], scratch: &mut Scratch<Cpu, F>) -> Result<()> {
        let (plan, layers) = (self.plan, self.plan.spec.layers.len());
        let (steps, rows, kept) = (plan.shape.steps, plan.shape.rows, kept(plan, self.route));
        let mut chunks = [const { None }; CREST];
        for (l, chunk) in chunks.iter_mut().enumerate().take(layers) {
            let own = wave.checked_sub(l).filter(|own| own * self.route.chunk < steps);
            *chunk = own.map(|own| self.chunk(l, own)).transpose()?;
        }
        let Scratch { tape: Tape { gates, cell, hidden: states }, workspace } = scratch;
        let [dropped, before, handed, ..] = workspace.as_mut_slice() else { return Err(foreign()) };
        let lists = [of_gates, of_cell, of_hidden]
            .map(|of| listed(plan.tape.layers.iter().map(of)).map(|field| field.start));
        let buffers = [
            Rows::pieces(gates.as_mut_slice(), &lists[0][..layers]),
            Rows::pieces(cell.as_mut_slice(), &lists[1][..layers]),
            Rows::pieces(states.as_mut_slice(), &lists[2][..layers]),
            Rows::each(before.as_mut_slice(), layers, 0),
            Rows::each(dropped.as_mut_slice(), layers, 0),
            // Nothing for the layers below the last.
            Rows::pieces(y, &[0; CREST][..layers]),
            Rows::each(handed.as_mut_slice(), layers, layers - wave % layers),
        ];
        let crew = Crew::of(self.cpu, layers);
        self.cpu.team.blocks(buffers, |l, [gates, cell, hidden, before, dropped, y, handed]| {
            let Some(chunk) = &chunks[l] else { return };
            let Chunk { units, .. } = *chunk;
            let handed = handed.only();
            let input = match l.checked_sub(1) {
                None => Input::of(plan, l, [chunk.first, 0], [x, &[]]),
                Some(below) => {
                    let stride = plan.tape.layers[below].hidden_row;
                    Input::Rows { data: handed, step: rows * stride, stride }
                }
            };
            let mut hidden = hidden.shaped([kept, rows, units]);
            let task = Task {
                gates: gates.shaped([kept, rows, plan.tape.layers[l].gate_row]),
                cell: cell.shaped([kept, rows, units]),
                hidden: &mut hidden,
                before: before.only(),
                dropped: dropped.only(),
            };
            let mut y = y.shaped([steps, rows, if chunk.is_top() { chunk.hidden } else { 0 }]);
            chunk.run(0, input, task, &mut y, crew);
            if !chunk.is_top() {
                let out = hidden.slots(chunk.first % kept, chunk.count);
                handed[..out.len()].copy_from_slice(out);
            }
        });
        Ok(())
    }
}

impl<F: Float> Chunk<'_, F> {
    fn is_top(&self) -> bool {
        self.l + 1 == self.pass.plan.spec.layers.len()
    }

    /// A task: batch rows from `row` on, of all the steps. `input` is that of these rows.
    fn run(
        &self,
        row: usize,
        input: Input<'_, F>,
        task: Task<'_, '_, F>,
        y: &mut Block<'_, F>,
        crew: Crew<'_>,
    ) {
        let Self { pass: Pass { plan, route, draw, .. }, l, first, count, weights, bias, .. } = *self;
        let Self { input: width, joins, hidden, units, .. } = *self;
        let Task { mut gates, mut cell, hidden: out, before, dropped } = task;
        let (kept, keeps) = (kept(plan, *route), plan.mode == Mode::Train);
        let part = Part { first, row, rows: cell.at(0).len() / units };
        let input = input.after_dropout(plan, *draw, l, (part, count), dropped);
        if !joins {
            let factor = Factor { data: input.all(count), stride: input.stride(), first: 0, len: width };
            let gates = gates.slots_mut(first % kept, count);
            InputProduct { rows: count * part.rows, units, weights, input: factor, gates }.run(crew);
        }
        let initial = self.initial.map(|[h, c]| {
            let before = &mut before[..part.rows * units];
            pad(&c[row * hidden..], hidden, units, before);
            (&h[row * hidden..], &*before)
        });
        for t in first..first + count {
            let (slot, last) = (t % kept, (t + kept - 1) % kept);
            let (before, cell) = match (t, initial) {
                (0, None) => (None, cell.at_mut(slot)),
                (0, Some((_, c))) => (Some(c), cell.at_mut(slot)),
                _ => {
                    let (before, cell) = cell.pair(last, slot);
                    (Some(before), cell)
                }
            };
            let (data, stride) = (input.at(t - first), input.stride());
            let inputs = Factor { data, stride, first: 0, len: if joins { width } else { 0 } };
            let hidden_state = |data, stride| Factor { data, stride, first: width, len: hidden };
            let (recurrent, out) = match (t, initial) {
                (0, None) => (Factor::NONE, out.at_mut(slot)),
                (0, Some((h, _))) => (hidden_state(h, hidden), out.at_mut(slot)),
                _ => {
                    let (h, out) = out.pair(last, slot);
                    (hidden_state(h, units), out)
                }
            };
            StepForward {
                rows: part.rows,
                units,
                weights,
                bias,
                factors: [inputs, recurrent],
                gates: (keeps || !joins).then(|| gates.at_mut(slot)),
                adds: !joins,
                keeps,
                before,
                cell,
                out: &mut *out,
            }
            .run(crew);
            if self.is_top() {
                let y = y.at_mut(t);
                unpad(out, units, hidden, y);
                drop_before(plan, *draw, l + 1, Part { first: t, ..part }, y, [hidden; 2]);
            }
        }
    }
}

fn of_gates(place: &LayerTape) -> Field {
    Field { start: place.gates, width: place.gate_row }
}

fn of_cell(place: &LayerTape) -> Field {
    Field { start: place.cell, width: place.cell_row }
}

fn of_hidden(place: &LayerTape) -> Field {
    Field { start: place.hidden, width: place.hidden_row }
}

//! Forward passes: over sequences and over one step of a stream.

use super::cell::{Crew, Factor, InputProduct, StepForward};
use super::dropout::{Part, drop_before};
use super::route::Route;
use super::{Layer, check_tape, cut, foreign, kept, layer, layer_input, pad, part, unpad};
use crate::parallel::{Rows, share};
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Draw, Float, Forward, Mode, Packed, Plan, Result, Scratch, State, Tape, Weights, check};

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

impl<F: Float> Pass<'_, F> {
    /// All steps, a chunk at a time, each time through all layers.
    fn run(&self, x: &[F], y: &mut [F], scratch: &mut Scratch<Cpu, F>) -> Result<()> {
        let plan = self.plan;
        check_tape::<F>(plan, self.route)?;
        let (steps, chunk) = (plan.shape.steps, self.route.chunk);
        for first in (0..steps).step_by(chunk) {
            for l in 0..plan.spec.layers.len() {
                self.layer(l, [first, chunk.min(steps - first)], x, y, scratch)?;
            }
        }
        Ok(())
    }

    /// `count` steps of one layer from `first` on.
    fn layer(
        &self,
        l: usize,
        [first, count]: [usize; 2],
        x: &[F],
        y: &mut [F],
        scratch: &mut Scratch<Cpu, F>,
    ) -> Result<()> {
        let (plan, route, draw) = (self.plan, self.route, self.draw);
        let (steps, rows, kept) = (plan.shape.steps, plan.shape.rows, kept(plan, route));
        let layer = layer::<F>(plan, route, l)?;
        let Layer { input: width, joins, hidden, units, .. } = layer;
        let Scratch { tape: Tape { gates, cell, hidden: states }, workspace } = scratch;
        let [dropped, before, ..] = workspace.as_mut_slice() else { return Err(foreign()) };
        // Hidden states are in the tape, which is written to: no borrow of it may last.
        let place = &plan.tape.layers[l];
        let (below, states) = states.as_mut_slice().split_at_mut(place.hidden);
        let packed = self.packed.buffer.as_slice();
        let (weights, bias) = (part(packed, &layer.packed_forward)?, part(packed, &layer.packed_bias)?);
        // Later chunks of steps find the state before them in the tape.
        let initial = match self.initial.filter(|_| first == 0) {
            Some(state) => {
                Some((part(state.h.as_slice(), &layer.state)?, part(state.c.as_slice(), &layer.state)?))
            }
            None => None,
        };
        let (blocks, top) = (route.blocks, l + 1 == plan.spec.layers.len());
        let (dropped, y) = (dropped.as_mut_slice(), if top { y } else { &mut [] });
        let room = dropped.len() / blocks;
        let buffers = [
            Rows::shared(&mut gates.as_mut_slice()[place.gates..], kept, rows, 4 * units, blocks),
            Rows::shared(&mut cell.as_mut_slice()[place.cell..], kept, rows, units, blocks),
            Rows::shared(states, kept, rows, units, blocks),
            Rows::shared(before.as_mut_slice(), 1, rows, units, blocks),
            Rows::new(dropped, 1, blocks, room, 1),
            Rows::shared(y, steps, rows, if top { hidden } else { 0 }, blocks),
        ];
        let (keeps, crew) = (plan.mode == Mode::Train, Crew::of(self.cpu, blocks));
        self.cpu.team.blocks(buffers, |i, [mut gates, mut cell, mut out, mut before, mut dropped, mut y]| {
            let part = Part { first, row: share(rows, blocks, i), rows: cell.at_mut(0).len() / units };
            let at = (part, first % kept, count);
            let input = layer_input(plan, draw, l, at, [x, below], dropped.at_mut(0));
            if !joins {
                let factor = Factor { data: input.data, stride: input.stride, first: 0, len: width };
                let gates = gates.slots_mut(first % kept, count);
                InputProduct { rows: count * part.rows, units, weights, input: factor, gates }.run(crew);
            }
            let initial = initial.map(|(h, c)| {
                pad(&c[part.row * hidden..], hidden, units, before.at_mut(0));
                (&h[part.row * hidden..], &*before.at_mut(0))
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
                let data = input.at(t - first);
                let inputs =
                    Factor { data, stride: input.stride, first: 0, len: if joins { width } else { 0 } };
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
                if top {
                    let y = y.at_mut(t);
                    unpad(out, units, hidden, y);
                    drop_before(plan, draw, l + 1, Part { first: t, ..part }, y, [hidden; 2]);
                }
            }
        });
        Ok(())
    }
}

//! Forward passes: over sequences and over one step of a stream.

use super::cell::{Factor, StepForward};
use super::dropout::drop_before;
use super::{Layer, block, check_tape, foreign, kept, layer, layer_input, pad, part, unpad};
use crate::gemm::{Matrix, Scale, multiply_on};
use crate::parallel::Rows;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{
    Draw, Float, Forward, Mode, Packed, Plan, Result, Scratch, Span, State, Tape, Weights, check,
};

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
    let pass = Pass { cpu, plan, packed: weights.packed, draw, initial };
    pass.run(x.as_slice(), y.as_mut_slice(), scratch)?;
    match last {
        Some(last) => save_state(plan, &scratch.tape, last),
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
    let pass = Pass { cpu, plan, packed: weights.packed, draw: None, initial: Some(state) };
    pass.run(x.as_slice(), y.as_mut_slice(), scratch)?;
    save_state(plan, &scratch.tape, state)
}

/// Copies the state after the last step out of the tape.
fn save_state<F: Float>(plan: &Plan, tape: &Tape<Cpu, F>, to: &mut State<Cpu, F>) -> Result<()> {
    let end = plan.shape.steps - 1;
    for l in 0..plan.spec.layers.len() {
        let Layer { state, hidden, units, .. } = layer::<F>(plan, l)?;
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
    packed: &'a Packed<Cpu, F>,
    draw: Option<Draw<'a, Cpu>>,
    initial: Option<&'a State<Cpu, F>>,
}

impl<F: Float> Pass<'_, F> {
    /// All steps, as many at a time as the tape holds, each time through all layers.
    fn run(&self, x: &[F], y: &mut [F], scratch: &mut Scratch<Cpu, F>) -> Result<()> {
        let plan = self.plan;
        check_tape::<F>(plan)?;
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let kept = kept(&plan.shape, plan.mode);
        let Scratch { tape, workspace } = scratch;
        let [dropped, before, ..] = workspace.as_mut_slice() else { return Err(foreign()) };
        for first in (0..steps).step_by(kept) {
            let count = kept.min(steps - first);
            for l in 0..plan.spec.layers.len() {
                let layer = layer::<F>(plan, l)?;
                self.layer(
                    l,
                    &layer,
                    [first, count],
                    x,
                    tape,
                    dropped.as_mut_slice(),
                    before.as_mut_slice(),
                )?;
            }
            let top = plan.spec.layers.len() - 1;
            let Layer { hidden, units, .. } = layer::<F>(plan, top)?;
            let y = &mut y[first * rows * hidden..][..count * rows * hidden];
            unpad(&tape.hidden.as_slice()[plan.tape.layers[top].hidden..], units, hidden, y);
            drop_before(self.cpu, plan, self.draw, top + 1, first, y, [hidden; 2]);
        }
        Ok(())
    }

    /// `count` steps of one layer from `first` on.
    #[allow(clippy::too_many_arguments, reason = "the parts of a scratch, lent apart")]
    fn layer(
        &self,
        l: usize,
        layer: &Layer,
        [first, count]: [usize; 2],
        x: &[F],
        tape: &mut Tape<Cpu, F>,
        dropped: &mut [F],
        before: &mut [F],
    ) -> Result<()> {
        let (plan, rows) = (self.plan, self.plan.shape.rows);
        let Layer { input: width, joint, hidden, units, .. } = *layer;
        // Hidden states are in the tape, which is written to: no borrow of it may last.
        let place = &plan.tape.layers[l];
        let (below, tape_hidden) = tape.hidden.as_mut_slice().split_at_mut(place.hidden);
        let input = layer_input(self.cpu, plan, self.draw, l, [first, count], x, below, dropped)?;
        let gates = &mut tape.gates.as_mut_slice()[place.gates..];
        if joint == 0 {
            let weights = part(self.packed.buffer.as_slice(), &layer.packed_input)?;
            let weights = Matrix::dense(weights, width, 4 * units);
            let to = Span::dense(0, count * rows, 4 * units);
            multiply_on(self.cpu, Scale::SET, input, weights, gates, to);
        }

        let packed = self.packed.buffer.as_slice();
        let (weights, bias) = (part(packed, &layer.packed_forward)?, part(packed, &layer.packed_bias)?);
        // Later chunks of steps find the state before them in the tape.
        let initial = match self.initial.filter(|_| first == 0) {
            Some(state) => {
                let before = &mut before[..rows * units];
                pad(part(state.c.as_slice(), &layer.state)?, hidden, units, before);
                Some((part(state.h.as_slice(), &layer.state)?, &*before))
            }
            None => None,
        };
        let (kept, block) = (kept(&plan.shape, plan.mode), block(plan, hidden, width));
        let buffers = [
            Rows::new(gates, kept, rows, 4 * units, block),
            Rows::new(&mut tape.cell.as_mut_slice()[place.cell..], kept, rows, units, block),
            Rows::new(tape_hidden, kept, rows, units, block),
        ];
        let keeps = plan.mode == Mode::Train;
        self.cpu.team.blocks(buffers, |i, [mut gates, mut cell, mut out]| {
            for t in first..first + count {
                let (slot, last) = (t % kept, (t + kept - 1) % kept);
                let (before, cell) = match (t, initial) {
                    (0, None) => (None, cell.at_mut(slot)),
                    (0, Some((_, c))) => (Some(&c[i * block * units..]), cell.at_mut(slot)),
                    _ => {
                        let (before, cell) = cell.pair(last, slot);
                        (Some(before), cell)
                    }
                };
                let inputs = Factor {
                    data: &input.data[input.span.at((t - first) * rows + i * block, 0)..],
                    stride: input.span.row_stride,
                    first: 0,
                    len: joint,
                };
                let hidden_state = |data, stride| Factor { data, stride, first: joint, len: hidden };
                let (recurrent, out) = match (t, initial) {
                    (0, None) => (Factor::NONE, out.at_mut(slot)),
                    (0, Some((h, _))) => (hidden_state(&h[i * block * hidden..], hidden), out.at_mut(slot)),
                    _ => {
                        let (h, out) = out.pair(last, slot);
                        (hidden_state(h, units), out)
                    }
                };
                StepForward {
                    rows: cell.len() / units,
                    units,
                    weights,
                    bias,
                    factors: [inputs, recurrent],
                    gates: (keeps || joint == 0).then(|| gates.at_mut(slot)),
                    adds: joint == 0,
                    keeps,
                    before,
                    cell,
                    out,
                }
                .run(self.cpu.simd);
            }
        });
        Ok(())
    }
}

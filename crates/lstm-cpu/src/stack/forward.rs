//! Forward passes: over sequences and over one step of a stream.

use super::cell::CellForward;
use super::dropout::{drop_before, drops_before};
use super::{Layer, block, check_tape, kept, layer, part};
use crate::gemm::{Matrix, Scale, multiply, multiply_on};
use crate::gemv::{AddProduct, MAX_ROWS};
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
        let state = layer(plan, l)?.state;
        let (hidden, cell) = (plan.tape.hidden(l, end), plan.tape.cell(l, end));
        to.h.as_mut_slice()[state.clone()]
            .copy_from_slice(&tape.hidden.as_slice()[hidden.offset..][..state.len()]);
        to.c.as_mut_slice()[state.clone()]
            .copy_from_slice(&tape.cell.as_slice()[cell.offset..][..state.len()]);
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
        check_tape(plan)?;
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let kept = kept(&plan.shape, plan.mode);
        let Scratch { tape, workspace } = scratch;
        let dropped = workspace.first_mut().map(CpuBuffer::as_mut_slice).unwrap_or_default();
        for first in (0..steps).step_by(kept) {
            let count = kept.min(steps - first);
            for l in 0..plan.spec.layers.len() {
                let layer = layer(plan, l)?;
                let len = count * rows * layer.input;
                let input = match l.checked_sub(1) {
                    Some(below) => &tape.hidden.as_slice()[plan.tape.layers[below].hidden..][..len],
                    None => &x[first * rows * layer.input..][..len],
                };
                let input = if drops_before(plan, self.draw, l) {
                    let dropped = &mut dropped[..len];
                    dropped.copy_from_slice(input);
                    drop_before(self.cpu, plan, self.draw, l, first, dropped, layer.input);
                    &*dropped
                } else {
                    input
                };
                let gates = &mut tape.gates.as_mut_slice()[plan.tape.layers[l].gates..];
                self.input_product(&layer, input, &mut gates[..count * rows * 4 * layer.hidden])?;
                self.recur(l, &layer, first, count, tape)?;
            }
            let top = plan.spec.layers.len() - 1;
            let width = plan.spec.layers[top].hidden;
            let y = &mut y[first * rows * width..][..count * rows * width];
            y.copy_from_slice(&tape.hidden.as_slice()[plan.tape.layers[top].hidden..][..y.len()]);
            drop_before(self.cpu, plan, self.draw, top + 1, first, y, width);
        }
        Ok(())
    }

    /// `gates [R, 4H] = input [R, I] W_ihᵀ`.
    fn input_product(&self, layer: &Layer, input: &[F], gates: &mut [F]) -> Result<()> {
        let weights = part(self.packed.buffer.as_slice(), &layer.packed_ih)?;
        let rows = input.len() / layer.input;
        let to = Span::dense(0, rows, 4 * layer.hidden);
        if rows <= MAX_ROWS {
            gates.fill(F::ZERO);
            self.cpu.simd.run(AddProduct { x: input, weights, y: gates, rows });
        } else {
            let input = Matrix::dense(input, rows, layer.input);
            let weights = Matrix::dense(weights, layer.input, 4 * layer.hidden);
            multiply_on(self.cpu, Scale::SET, input, weights, gates, to);
        }
        Ok(())
    }

    /// `count` steps from `first` on, of which the gates hold the inputs' share.
    fn recur(
        &self,
        l: usize,
        layer: &Layer,
        first: usize,
        count: usize,
        tape: &mut Tape<Cpu, F>,
    ) -> Result<()> {
        let (plan, hidden, rows) = (self.plan, layer.hidden, self.plan.shape.rows);
        let packed = self.packed.buffer.as_slice();
        let (weights, bias) = (part(packed, &layer.packed_hh)?, part(packed, &layer.packed_bias)?);
        let initial = match self.initial {
            Some(state) => {
                Some((part(state.h.as_slice(), &layer.state)?, part(state.c.as_slice(), &layer.state)?))
            }
            None => None,
        };
        let (kept, block) = (kept(&plan.shape, plan.mode), block(plan, hidden, layer.input));
        let place = &plan.tape.layers[l];
        let gates = &mut tape.gates.as_mut_slice()[place.gates..];
        let cell = &mut tape.cell.as_mut_slice()[place.cell..];
        let out = &mut tape.hidden.as_mut_slice()[place.hidden..];
        let buffers = [
            Rows::new(gates, kept, rows, 4 * hidden, block),
            Rows::new(cell, kept, rows, hidden, block),
            Rows::new(out, kept, rows, hidden, block),
        ];
        self.cpu.team.blocks(buffers, |i, [mut gates, mut cell, mut out]| {
            let own = |state: &[F]| -> std::ops::Range<usize> {
                let start = i * block * hidden;
                start..state.len().min(start + block * hidden)
            };
            for t in first..first + count {
                let (slot, last) = (t % kept, (t + kept - 1) % kept);
                let gates = gates.at_mut(slot);
                match (t, initial) {
                    (0, None) => {}
                    (0, Some((h, _))) => self.recurrent_product(hidden, &h[own(h)], weights, gates),
                    _ => self.recurrent_product(hidden, out.at(last), weights, gates),
                }
                let (before, cell) = match (t, initial) {
                    (0, None) => (None, cell.at_mut(slot)),
                    (0, Some((_, c))) => (Some(&c[own(c)]), cell.at_mut(slot)),
                    _ => {
                        let (before, cell) = cell.pair(last, slot);
                        (Some(before), cell)
                    }
                };
                let out = out.at_mut(slot);
                self.cpu.simd.run(CellForward { hidden, bias, gates, before, cell, out });
            }
        });
        Ok(())
    }

    /// `gates [R, 4H] += h [R, H] W_hhᵀ`.
    fn recurrent_product(&self, hidden: usize, h: &[F], weights: &[F], gates: &mut [F]) {
        let rows = h.len() / hidden;
        if rows <= MAX_ROWS {
            self.cpu.simd.run(AddProduct { x: h, weights, y: gates, rows });
        } else {
            let to = Span::dense(0, rows, 4 * hidden);
            let weights = Matrix::dense(weights, hidden, 4 * hidden);
            multiply(self.cpu.simd, Scale::ADD, Matrix::dense(h, rows, hidden), weights, gates, to);
        }
    }
}

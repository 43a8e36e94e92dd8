//! Back-propagation through time.

use super::cell::CellBackward;
use super::dropout::{drop_before, drops_before};
use super::{Layer, block, check_tape, foreign, layer, part, part_mut};
use crate::gemm::{Matrix, Scale, multiply, multiply_on};
use crate::parallel::Rows;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Backward, Float, Plan, Result, Scratch, Span, State, Tape, check};
use std::ops::Range;

/// Override of [`Backend::stack_backward`](lstm_tensor::Backend::stack_backward).
pub(crate) fn backward<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    args: Backward<'_, Cpu, F>,
    scratch: &mut Scratch<Cpu, F>,
) -> Result<()> {
    check::stack_backward(plan, &args, scratch)?;
    check_tape(plan)?;
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, mut d_x, mut d_initial } = args;
    let Scratch { tape, workspace } = scratch;
    let [dropped, d_out, d_hidden, d_cell, d_bias] = workspace.as_mut_slice() else { return Err(foreign()) };
    let params = weights.params.values().as_slice();
    let pass = Pass { cpu, plan, params, initial };
    let (sequence, top) = (plan.shape.steps * plan.shape.rows, plan.spec.layers.len());

    // `d_out` is the gradient of a layer's output on the way in and of its input on the way out.
    let width = plan.spec.output();
    let above = &mut d_out.as_mut_slice()[..sequence * width];
    match d_y {
        Some(d_y) => above.copy_from_slice(d_y.as_slice()),
        None => above.fill(F::ZERO),
    }
    drop_before(cpu, plan, draw, top, 0, above, width);
    for l in (0..top).rev() {
        let layer = layer(plan, l)?;
        let state = 0..plan.shape.rows * layer.hidden;
        let (d_hidden, d_cell) = (part_mut(d_hidden, &state)?, part_mut(d_cell, &state)?);
        match d_last {
            Some(d_last) => {
                d_hidden.copy_from_slice(part(d_last.h.as_slice(), &layer.state)?);
                d_cell.copy_from_slice(part(d_last.c.as_slice(), &layer.state)?);
            }
            None => {
                d_hidden.fill(F::ZERO);
                d_cell.fill(F::ZERO);
            }
        }
        pass.recur(l, &layer, tape, d_out.as_slice(), [d_hidden, d_cell, d_bias.as_mut_slice()])?;
        let dz = &tape.gates.as_slice()[plan.tape.layers[l].gates..][..sequence * 4 * layer.hidden];
        pass.bias_gradient(&layer, d_bias.as_slice(), d_params.as_mut_slice())?;
        pass.recurrent_gradient(l, &layer, tape, dz, d_params)?;
        if let Some(d_initial) = d_initial.as_deref_mut() {
            part_mut(&mut d_initial.c, &layer.state)?.copy_from_slice(d_cell);
            let first = &dz[..plan.shape.rows * 4 * layer.hidden];
            let d_h = part_mut(&mut d_initial.h, &layer.state)?;
            pass.through(first, &layer.w_hh, layer.hidden, d_h)?;
        }

        let len = sequence * layer.input;
        let input = match l.checked_sub(1) {
            Some(below) => &tape.hidden.as_slice()[plan.tape.layers[below].hidden..][..len],
            None => &x.as_slice()[..len],
        };
        let input = if drops_before(plan, draw, l) {
            let dropped = part_mut(dropped, &(0..len))?;
            dropped.copy_from_slice(input);
            drop_before(cpu, plan, draw, l, 0, dropped, layer.input);
            &*dropped
        } else {
            input
        };
        pass.weight_gradient(dz, input, layer.input, d_params, &layer.w_ih)?;
        let to = match (l, d_x.as_deref_mut()) {
            (0, d_x) => d_x,
            _ => Some(&mut *d_out),
        };
        if let Some(to) = to {
            let d_input = part_mut(to, &(0..len))?;
            pass.through(dz, &layer.w_ih, layer.input, d_input)?;
            drop_before(cpu, plan, draw, l, 0, d_input, layer.input);
        }
    }
    Ok(())
}

/// What all layers of a backward pass share.
struct Pass<'a, F: Float> {
    cpu: &'a Cpu,
    plan: &'a Plan,
    params: &'a [F],
    initial: Option<&'a State<Cpu, F>>,
}

impl<F: Float> Pass<'_, F> {
    /// Turns the gates of a layer into the gradients of their pre-activations, step by step.
    fn recur(
        &self,
        l: usize,
        layer: &Layer,
        tape: &mut Tape<Cpu, F>,
        d_out: &[F],
        [d_hidden, d_cell, d_bias]: [&mut [F]; 3],
    ) -> Result<()> {
        let (plan, hidden) = (self.plan, layer.hidden);
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let weights = Matrix::dense(part(self.params, &layer.w_hh)?, 4 * hidden, hidden);
        let initial = self.initial.map(|state| part(state.c.as_slice(), &layer.state)).transpose()?;
        let place = &plan.tape.layers[l];
        let block = block(plan, hidden, layer.input);
        let gates = &mut tape.gates.as_mut_slice()[place.gates..];
        let cell = &tape.cell.as_slice()[place.cell..];
        let buffers = [
            Rows::new(gates, steps, rows, 4 * hidden, block),
            Rows::new(d_hidden, 1, rows, hidden, block),
            Rows::new(d_cell, 1, rows, hidden, block),
            Rows::new(d_bias, 1, rows.div_ceil(block), 4 * hidden, 1),
        ];
        self.cpu.team.blocks(buffers, |i, [mut gates, mut d_hidden, mut d_cell, mut d_bias]| {
            let (d_hidden, d_cell, d_bias) = (d_hidden.at_mut(0), d_cell.at_mut(0), d_bias.at_mut(0));
            let count = d_hidden.len() / hidden;
            let own = |t: usize| (t * rows + i * block) * hidden..(t * rows + i * block + count) * hidden;
            d_bias.fill(F::ZERO);
            for t in (0..steps).rev() {
                if t + 1 < steps {
                    let after = Matrix::dense(gates.at(t + 1), count, 4 * hidden);
                    multiply(
                        self.cpu.simd,
                        Scale::SET,
                        after,
                        weights,
                        d_hidden,
                        Span::dense(0, count, hidden),
                    );
                }
                let before = match t {
                    0 => initial.map(|c| &c[own(0)]),
                    _ => Some(&cell[own(t - 1)]),
                };
                let (gates, cell, d_out) = (gates.at_mut(t), &cell[own(t)], &d_out[own(t)]);
                let d_cell = &mut *d_cell;
                let d_bias = &mut *d_bias;
                self.cpu.simd.run(CellBackward {
                    hidden,
                    gates,
                    before,
                    cell,
                    d_out,
                    d_hidden,
                    d_cell,
                    d_bias,
                });
            }
        });
        Ok(())
    }

    /// Adds the tasks' parts of the bias gradient, in order.
    fn bias_gradient(&self, layer: &Layer, parts: &[F], d_params: &mut [F]) -> Result<()> {
        let tasks = self.plan.shape.rows.div_ceil(block(self.plan, layer.hidden, layer.input));
        for bias in layer.biases.iter().flatten() {
            let d_bias = d_params.get_mut(bias.clone()).ok_or_else(foreign)?;
            for part in parts.chunks_exact(4 * layer.hidden).take(tasks) {
                d_bias.iter_mut().zip(part).for_each(|(sum, &d)| *sum += d);
            }
        }
        Ok(())
    }

    /// Adds `dzᵀ h` to the gradient of the recurrent weights, each step with the hidden state before it.
    fn recurrent_gradient(
        &self,
        l: usize,
        layer: &Layer,
        tape: &Tape<Cpu, F>,
        dz: &[F],
        d_params: &mut CpuBuffer<F>,
    ) -> Result<()> {
        let (rows, hidden) = (self.plan.shape.rows, layer.hidden);
        let later = (self.plan.shape.steps - 1) * rows;
        let (first, rest) = dz.split_at(rows * 4 * hidden);
        if let Some(initial) = self.initial {
            self.weight_gradient(
                first,
                part(initial.h.as_slice(), &layer.state)?,
                hidden,
                d_params,
                &layer.w_hh,
            )?;
        }
        if later > 0 {
            let h = &tape.hidden.as_slice()[self.plan.tape.layers[l].hidden..][..later * hidden];
            self.weight_gradient(rest, h, hidden, d_params, &layer.w_hh)?;
        }
        Ok(())
    }

    /// Adds `dz [R, 4H]ᵀ u [R, N]` to the gradient of weights `[4H, N]`.
    fn weight_gradient(
        &self,
        dz: &[F],
        u: &[F],
        cols: usize,
        d_params: &mut CpuBuffer<F>,
        at: &Range<usize>,
    ) -> Result<()> {
        let d_weights = part_mut(d_params, at)?;
        let (rows, gates) = (u.len() / cols, d_weights.len() / cols);
        let to = Span::dense(0, gates, cols);
        let (dz, u) = (Matrix::dense(dz, rows, gates).transposed(), Matrix::dense(u, rows, cols));
        multiply_on(self.cpu, Scale::ADD, dz, u, d_weights, to);
        Ok(())
    }

    /// `to [R, N] = dz [R, 4H] W [4H, N]`.
    fn through(&self, dz: &[F], weights: &Range<usize>, cols: usize, to: &mut [F]) -> Result<()> {
        let weights = part(self.params, weights)?;
        let (gates, rows) = (weights.len() / cols, to.len() / cols);
        let (dz, weights) = (Matrix::dense(dz, rows, gates), Matrix::dense(weights, gates, cols));
        multiply_on(self.cpu, Scale::SET, dz, weights, to, Span::dense(0, rows, cols));
        Ok(())
    }
}

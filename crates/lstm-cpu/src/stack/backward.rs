//! Back-propagation through time.

use super::cell::StepBackward;
use super::dropout::drop_before;
use super::{Layer, block, check_tape, foreign, layer, layer_input, pad, part, part_mut, unpad};
use crate::gemm::{Matrix, Scale, multiply_on};
use crate::parallel::Rows;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Backward, Float, Packed, Plan, Result, Scratch, Span, State, Tape, check};
use std::ops::Range;

/// Override of [`Backend::stack_backward`](lstm_tensor::Backend::stack_backward).
pub(crate) fn backward<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    args: Backward<'_, Cpu, F>,
    scratch: &mut Scratch<Cpu, F>,
) -> Result<()> {
    check::stack_backward(plan, &args, scratch)?;
    check_tape::<F>(plan)?;
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, mut d_x, mut d_initial } = args;
    let Scratch { tape, workspace } = scratch;
    let [dropped, before, d_out, d_last_h, d_cell, d_bias] = workspace.as_mut_slice() else {
        return Err(foreign());
    };
    let pass =
        Pass { cpu, plan, params: weights.params.values().as_slice(), packed: weights.packed, initial };
    let (steps, rows, top) = (plan.shape.steps, plan.shape.rows, plan.spec.layers.len());

    // `d_out` is the gradient of a layer's output on the way in and of its input on the way out.
    let Layer { hidden, units, .. } = layer::<F>(plan, top - 1)?;
    let above = &mut d_out.as_mut_slice()[..steps * rows * units];
    match d_y {
        Some(d_y) => pad(d_y.as_slice(), hidden, units, above),
        None => above.fill(F::ZERO),
    }
    drop_before(cpu, plan, draw, top, 0, above, [hidden, units]);
    for l in (0..top).rev() {
        let layer = layer::<F>(plan, l)?;
        let Layer { input: width, hidden, units, .. } = layer;
        let state = 0..rows * units;
        let (d_last_h, d_cell) = (part_mut(d_last_h, &state)?, part_mut(d_cell, &state)?);
        match d_last {
            Some(d_last) => {
                pad(part(d_last.h.as_slice(), &layer.state)?, hidden, units, d_last_h);
                pad(part(d_last.c.as_slice(), &layer.state)?, hidden, units, d_cell);
            }
            None => d_cell.fill(F::ZERO),
        }
        let d_last_h = d_last.is_some().then_some(&*d_last_h);
        let before = before.as_mut_slice();
        pass.recur(l, &layer, tape, d_out.as_slice(), d_last_h, [before, d_cell, d_bias.as_mut_slice()])?;
        let dz = &tape.gates.as_slice()[plan.tape.layers[l].gates..][..steps * rows * 4 * units];
        pass.bias_gradient(&layer, d_bias.as_slice(), d_params.as_mut_slice())?;
        pass.recurrent_gradient(l, &layer, tape, dz, d_params)?;
        if let Some(d_initial) = d_initial.as_deref_mut() {
            unpad(d_cell, units, hidden, part_mut(&mut d_initial.c, &layer.state)?);
            let first = &dz[..rows * 4 * units];
            let d_h = part_mut(&mut d_initial.h, &layer.state)?;
            pass.through(&layer, first, &layer.w_hh, d_h, Span::dense(0, rows, hidden))?;
        }

        let (hidden, dropped) = (tape.hidden.as_slice(), dropped.as_mut_slice());
        let input = layer_input(cpu, plan, draw, l, [0, steps], x.as_slice(), hidden, dropped)?;
        pass.weight_gradient(&layer, dz, input, d_params, &layer.w_ih)?;
        let (to, stride) = match (l.checked_sub(1), d_x.as_deref_mut()) {
            (None, None) => continue,
            (None, Some(d_x)) => (d_x, width),
            (Some(below), _) => (&mut *d_out, plan.tape.layers[below].hidden_row),
        };
        let to = &mut to.as_mut_slice()[..steps * rows * stride];
        let span = Span { row_stride: stride, ..Span::dense(0, steps * rows, width) };
        pass.through(&layer, dz, &layer.w_ih, to, span)?;
        drop_before(cpu, plan, draw, l, 0, to, [width, stride]);
    }
    Ok(())
}

/// What all layers of a backward pass share.
struct Pass<'a, F: Float> {
    cpu: &'a Cpu,
    plan: &'a Plan,
    params: &'a [F],
    packed: &'a Packed<Cpu, F>,
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
        d_last: Option<&[F]>,
        [before, d_cell, d_bias]: [&mut [F]; 3],
    ) -> Result<()> {
        let plan = self.plan;
        let Layer { hidden, units, .. } = *layer;
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let weights = part(self.packed.buffer.as_slice(), &layer.packed_backward)?;
        let initial = match self.initial {
            Some(state) => {
                let before = &mut before[..rows * units];
                pad(part(state.c.as_slice(), &layer.state)?, hidden, units, before);
                Some(&*before)
            }
            None => None,
        };
        let place = &plan.tape.layers[l];
        let block = block(plan, hidden, layer.input);
        let cell = &tape.cell.as_slice()[place.cell..];
        let buffers = [
            Rows::new(&mut tape.gates.as_mut_slice()[place.gates..], steps, rows, 4 * units, block),
            Rows::new(d_cell, 1, rows, units, block),
            Rows::new(d_bias, 1, rows.div_ceil(block), 4 * units, 1),
        ];
        self.cpu.team.blocks(buffers, |i, [mut gates, mut d_cell, mut d_bias]| {
            let (d_cell, d_bias) = (d_cell.at_mut(0), d_bias.at_mut(0));
            let own = |t: usize| (t * rows + i * block) * units..;
            d_bias.fill(F::ZERO);
            for t in (0..steps).rev() {
                let end = t + 1 == steps;
                let (after, gates) = match end {
                    true => (None, gates.at_mut(t)),
                    false => {
                        let (after, gates) = gates.pair(t + 1, t);
                        (Some(after), gates)
                    }
                };
                StepBackward {
                    rows: d_cell.len() / units,
                    units,
                    hidden,
                    weights,
                    after,
                    gates,
                    before: if t == 0 { initial.map(|c| &c[own(0)]) } else { Some(&cell[own(t - 1)]) },
                    cell: &cell[own(t)],
                    d_out: &d_out[own(t)],
                    d_last: d_last.filter(|_| end).map(|d_last| &d_last[own(0)]),
                    d_cell,
                    d_bias,
                }
                .run(self.cpu.simd);
            }
        });
        Ok(())
    }

    /// Adds the tasks' parts of the bias gradient, in order.
    fn bias_gradient(&self, layer: &Layer, parts: &[F], d_params: &mut [F]) -> Result<()> {
        let Layer { input, hidden, units, .. } = *layer;
        let tasks = self.plan.shape.rows.div_ceil(block(self.plan, hidden, input));
        for bias in layer.biases.iter().flatten() {
            let d_bias = d_params.get_mut(bias.clone()).ok_or_else(foreign)?;
            for part in parts.chunks_exact(4 * units).take(tasks) {
                for (d_bias, part) in d_bias.chunks_exact_mut(hidden).zip(part.chunks_exact(units)) {
                    d_bias.iter_mut().zip(part).for_each(|(sum, &d)| *sum += d);
                }
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
        let Layer { hidden, units, .. } = *layer;
        let rows = self.plan.shape.rows;
        let later = (self.plan.shape.steps - 1) * rows;
        let (first, rest) = dz.split_at(rows * 4 * units);
        if let Some(initial) = self.initial {
            let h = Matrix::dense(part(initial.h.as_slice(), &layer.state)?, rows, hidden);
            self.weight_gradient(layer, first, h, d_params, &layer.w_hh)?;
        }
        if later > 0 {
            let h = &tape.hidden.as_slice()[self.plan.tape.layers[l].hidden..];
            let h = Matrix::new(h, Span { row_stride: units, ..Span::dense(0, later, hidden) });
            self.weight_gradient(layer, rest, h, d_params, &layer.w_hh)?;
        }
        Ok(())
    }

    /// Adds `dz [R, 4U]ᵀ u [R, N]` to the gradient of weights `[4H, N]`.
    fn weight_gradient(
        &self,
        layer: &Layer,
        dz: &[F],
        u: Matrix<'_, F>,
        d_params: &mut CpuBuffer<F>,
        at: &Range<usize>,
    ) -> Result<()> {
        let d_weights = part_mut(d_params, at)?;
        let Span { rows, cols, .. } = u.span;
        for (column, row, count) in layer.gate_columns() {
            let from = Span { row_stride: 4 * layer.units, ..Span::dense(column, rows, count) };
            let to = Span::dense(row * cols, count, cols);
            multiply_on(self.cpu, Scale::ADD, Matrix::new(dz, from).transposed(), u, d_weights, to);
        }
        Ok(())
    }

    /// `to [R, N] = dz [R, 4U] W [4H, N]`.
    fn through(
        &self,
        layer: &Layer,
        dz: &[F],
        weights: &Range<usize>,
        to: &mut [F],
        span: Span,
    ) -> Result<()> {
        let weights = part(self.params, weights)?;
        let mut scale = Scale::SET;
        for (column, row, count) in layer.gate_columns() {
            let from = Span { row_stride: 4 * layer.units, ..Span::dense(column, span.rows, count) };
            let weights = Matrix::new(weights, Span::dense(row * span.cols, count, span.cols));
            multiply_on(self.cpu, scale, Matrix::new(dz, from), weights, to, span);
            scale = Scale::ADD;
        }
        Ok(())
    }
}

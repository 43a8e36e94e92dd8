//! Backward pass of path S: dz in the gates' place, then one product per gradient over all steps.

use super::{Layer, Pass, StateAt};
use crate::kernels::{cell, rows, sequence};
use crate::product::{self, Operand};
use crate::runtime::Address;
use crate::{Cuda, Runtime};
use lstm_tensor::{Backward, Float, GemmArgs, Plan, Result, Scratch, Span, check};

/// Override of [`Backend::stack_backward`](lstm_tensor::Backend::stack_backward).
pub(crate) fn backward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    plan: &Plan,
    args: Backward<'_, Cuda<R>, F>,
    scratch: &Scratch<Cuda<R>, F>,
) -> Result<()> {
    check::stack_backward(plan, &args, scratch)?;
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, d_x, d_initial } = args;
    let pass = Pass::new(cuda, plan, weights, draw, scratch)?;
    let gradients = Gradients {
        x: cuda.at(x),
        initial: initial.map(|state| StateAt::new(cuda, state)),
        d_y: d_y.map(|d_y| cuda.at(d_y)),
        d_last: d_last.map(|state| StateAt::new(cuda, state)),
        d_params: cuda.at(d_params),
        d_x: d_x.map(|d_x| cuda.at(d_x)),
        d_initial: d_initial.map(|state| StateAt::new(cuda, state)),
    };
    // SAFETY: all operands were checked against the plan.
    unsafe { pass.backward(&gradients) }
}

/// Places of the operands of [`Backward`].
struct Gradients {
    x: Address,
    initial: Option<StateAt>,
    d_y: Option<Address>,
    d_last: Option<StateAt>,
    d_params: Address,
    d_x: Option<Address>,
    d_initial: Option<StateAt>,
}

impl<R: Runtime, F: Float> Pass<'_, R, F> {
    /// From the top layer down; the second workspace holds the gradient of a layer's output on the way in
    /// and of its input on the way out.
    ///
    /// # Safety
    /// The operands are as large as the plan says.
    unsafe fn backward(&self, of: &Gradients) -> Result<()> {
        let sequence = self.plan.shape.steps * self.plan.shape.rows;
        let (top, width, d_out) = (self.layers.len(), self.plan.spec.output(), self.workspace(1));
        // SAFETY: the workspace takes the output and the input of any layer over all steps; the caller's
        // promise.
        unsafe {
            match of.d_y {
                Some(d_y) => self.drop(top, 0, [d_y, d_out], [sequence, width])?,
                None => self.cuda.clear_bytes(d_out, sequence * width * size_of::<F>())?,
            }
            for (l, layer) in self.layers.iter().enumerate().rev() {
                self.through_time(layer, of)?;
                let below = match l.checked_sub(1) {
                    None => of.x,
                    Some(below) => self.slot(&self.layers[below], 0)[2],
                };
                let input = self.seen(l, 0, below, [sequence, layer.input])?;
                self.add_gradients(layer, input, of)?;
                let d_input = if l == 0 { of.d_x } else { Some(d_out) };
                if let Some(d_input) = d_input {
                    let weights =
                        Operand::dense(self.nth(self.params, layer.w_ih), 4 * layer.hidden, layer.input);
                    let to = Operand::dense(d_input, sequence, layer.input);
                    product::multiply::<R, F>(
                        self.cuda,
                        &GemmArgs::SET,
                        self.dz(layer, 0, sequence),
                        weights,
                        to,
                    )?;
                    self.drop(l, 0, [d_input, d_input], [sequence, layer.input])?;
                }
            }
        }
        Ok(())
    }

    /// `n` rows of a layer's gradients of pre-activations, from step `t` on.
    fn dz(&self, layer: &Layer, t: usize, n: usize) -> Operand {
        Operand::dense(self.slot(layer, t)[0], n, 4 * layer.hidden)
    }

    /// From the last step to the first: gates become gradients of pre-activations; sets the gradient of the
    /// initial state.
    ///
    /// # Safety
    /// As [`Pass::backward`].
    unsafe fn through_time(&self, layer: &Layer, of: &Gradients) -> Result<()> {
        let (steps, rows, units) = (self.plan.shape.steps, self.plan.shape.rows, layer.hidden);
        let w_hh = Operand::dense(self.nth(self.params, layer.w_hh), 4 * units, units);
        let d_last = of.d_last.map(|state| self.state_of(layer, state));
        let initial = of.initial.map(|state| self.state_of(layer, state));
        let (d_out, d_cell) = (self.workspace(1), self.workspace(2));
        if let Some(sizes) = self.persistent(layer, steps) {
            let both = |state: Option<StateAt>| state.map_or([Address::NULL; 2], |state| [state.h, state.c]);
            let operands = sequence::Backward {
                w_hh: w_hh.address,
                gates: self.slot(layer, 0)[0],
                cell: self.slot(layer, 0)[1],
                cell_before: both(initial)[1],
                d_out,
                d_last: both(d_last),
                d_before: both(of.d_initial.map(|state| self.state_of(layer, state))),
            };
            // SAFETY: tape and workspace are as large as the plan says and lie apart; the caller's promise for the states.
            return unsafe { sequence::backward::<R, F>(self.cuda, sizes, operands) };
        }
        for t in (0..steps).rev() {
            let at_end = t + 1 == steps;
            let d_hidden = self.nth(d_out, t * rows * units);
            let before = match t.checked_sub(1) {
                Some(before) => self.slot(layer, before)[1],
                None => initial.map_or(Address::NULL, |initial| initial.c),
            };
            let last = d_last.filter(|_| at_end);
            let operands = cell::Backward {
                gates: self.slot(layer, t)[0],
                d_hidden: [d_hidden, last.map_or(Address::NULL, |last| last.h)],
                cell: self.slot(layer, t)[1],
                before,
                d_cell: if at_end { last.map_or(Address::NULL, |last| last.c) } else { d_cell },
                d_before: d_cell,
            };
            // SAFETY: tape and workspaces are as large as the plan says and lie apart; the caller's promise
            // for the states.
            unsafe {
                if !at_end {
                    let to = Operand::dense(d_hidden, rows, units);
                    let after = self.dz(layer, t + 1, rows);
                    product::multiply::<R, F>(self.cuda, &GemmArgs::ADD, after, w_hh, to)?;
                }
                cell::backward::<R, F>(self.cuda, [rows, units], operands)?;
            }
        }
        let Some(d_initial) = of.d_initial.map(|state| self.state_of(layer, state)) else { return Ok(()) };
        let to = Operand::dense(d_initial.h, rows, units);
        // SAFETY: as above.
        unsafe {
            product::multiply::<R, F>(self.cuda, &GemmArgs::SET, self.dz(layer, 0, rows), w_hh, to)?;
            self.cuda.copy_bytes(d_cell, d_initial.c, rows * units * size_of::<F>())
        }
    }

    /// Adds the gradients of a layer's parameters, each over all steps at once.
    ///
    /// # Safety
    /// `input` holds what the layer saw; the rest as [`Pass::backward`].
    unsafe fn add_gradients(&self, layer: &Layer, input: Address, of: &Gradients) -> Result<()> {
        let (steps, rows, units) = (self.plan.shape.steps, self.plan.shape.rows, layer.hidden);
        let gradient = |at: usize, cols: usize| Operand::dense(self.nth(of.d_params, at), 4 * units, cols);
        let add = |dz: Operand, values: Address, to: Operand| {
            let values = Operand::dense(values, dz.span.rows, to.span.cols);
            // SAFETY: the caller's promise; gradients lie apart from tape, input and states.
            unsafe { product::multiply::<R, F>(self.cuda, &GemmArgs::ADD, dz.transposed(), values, to) }
        };
        let d_w_hh = gradient(layer.w_hh, units);
        if let Some(initial) = of.initial {
            add(self.dz(layer, 0, rows), self.state_of(layer, initial).h, d_w_hh)?;
        }
        if steps > 1 {
            // Row by row, step t's gradient stands beside step t - 1's hidden state.
            add(self.dz(layer, 1, (steps - 1) * rows), self.slot(layer, 0)[2], d_w_hh)?;
        }
        let all = self.dz(layer, 0, steps * rows);
        add(all, input, gradient(layer.w_ih, layer.input))?;
        let [Some(first), second] = layer.biases else { return Ok(()) };
        let bias = |at: Option<usize>| at.map_or(Address::NULL, |at| self.nth(of.d_params, at));
        let to = [bias(Some(first)), bias(second)];
        // SAFETY: the caller's promise.
        unsafe { rows::sum::<R, F>(self.cuda, (all.address, all.span), to, Span::dense(0, 1, 4 * units)) }
    }
}

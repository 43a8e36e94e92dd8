//! Forward passes of path S.

use super::{Layer, Pass, StateAt, kept};
use crate::kernels::{cell, sequence};
use crate::product::{self, Operand};
use crate::runtime::Address;
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Float, Forward, GemmArgs, Mode, Plan, Result, Scratch, State, Weights, check};

/// Override of [`Backend::stack_forward`](lstm_tensor::Backend::stack_forward).
pub(crate) fn forward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    plan: &Plan,
    args: Forward<'_, Cuda<R>, F>,
    scratch: &Scratch<Cuda<R>, F>,
) -> Result<()> {
    check::stack_forward(plan, &args, scratch)?;
    let Forward { weights, draw, x, initial, y, last } = args;
    let pass = Pass::new(cuda, plan, weights, draw, scratch)?;
    let initial = initial.map(|state| StateAt::new(cuda, state));
    let last = last.map(|state| StateAt::new(cuda, state));
    // SAFETY: all operands were checked against the plan.
    unsafe { pass.forward([cuda.at(x), cuda.at(y)], initial, last) }
}

/// Override of [`Backend::step`](lstm_tensor::Backend::step): the last state takes the initial one's place.
pub(crate) fn step<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    plan: &Plan,
    weights: Weights<'_, Cuda<R>, F>,
    x: &CudaBuffer<R, F>,
    state: &State<Cuda<R>, F>,
    y: &CudaBuffer<R, F>,
    scratch: &Scratch<Cuda<R>, F>,
) -> Result<()> {
    check::step(plan, &weights, x, state, y, scratch)?;
    let pass = Pass::new(cuda, plan, weights, None, scratch)?;
    let carried = Some(StateAt::new(cuda, state));
    // SAFETY: all operands were checked against the plan. A layer reads its initial state before it
    // writes its last.
    unsafe { pass.forward([cuda.at(x), cuda.at(y)], carried, carried) }
}

impl<R: Runtime, F: Float> Pass<'_, R, F> {
    /// Runs as many steps at a time as the tape holds through all layers.
    ///
    /// # Safety
    /// The sequences and states are as large as the plan says.
    unsafe fn forward(
        &self,
        [x, y]: [Address; 2],
        initial: Option<StateAt>,
        last: Option<StateAt>,
    ) -> Result<()> {
        let (steps, rows) = (self.plan.shape.steps, self.plan.shape.rows);
        let kept = kept(&self.plan.shape, self.plan.mode);
        for first in (0..steps).step_by(kept) {
            let count = kept.min(steps - first);
            let mut below = self.nth(x, first * rows * self.plan.spec.input);
            for (l, layer) in self.layers.iter().enumerate() {
                // SAFETY: `below` holds the layer's input, the gates' slots as many rows; the caller's
                // promise for the states.
                unsafe {
                    let input = self.seen(l, first, below, [count * rows, layer.input])?;
                    let initial = initial.map(|state| self.state_of(layer, state));
                    let before =
                        |slot| if first + slot == 0 { initial } else { self.before(layer, slot, kept) };
                    if let Some(sizes) = self.persistent(layer, count) {
                        self.whole(layer, sizes, input, before(0))?;
                    } else {
                        self.input_product(layer, input, count * rows)?;
                        for slot in 0..count {
                            self.recur(layer, slot, before(slot))?;
                        }
                    }
                    if let Some(last) = last.filter(|_| first + count == steps) {
                        self.keep_last(layer, count - 1, self.state_of(layer, last))?;
                    }
                }
                below = self.slot(layer, 0)[2];
            }
            let (top, width) = (self.layers.len(), self.plan.spec.output());
            let out = self.nth(y, first * rows * width);
            // SAFETY: `below` holds the top layer's hidden states, `y` as many rows from `first` on.
            unsafe { self.drop(top, first, [below, out], [count * rows, width])? };
        }
        Ok(())
    }

    /// The state that the slot before `slot` of the ring holds.
    fn before(&self, layer: &Layer, slot: usize, kept: usize) -> Option<StateAt> {
        let [_, c, h] = self.slot(layer, (slot + kept - 1) % kept);
        Some(StateAt { h, c })
    }

    /// `gates [n, 4H] = input [n, I] W_ihᵀ`, from the first slot on.
    ///
    /// # Safety
    /// `input` holds `n` rows, and the tape's slots as many.
    unsafe fn input_product(&self, layer: &Layer, input: Address, n: usize) -> Result<()> {
        let weights = Operand::dense(self.nth(self.params, layer.w_ih), 4 * layer.hidden, layer.input);
        let gates = Operand::dense(self.slot(layer, 0)[0], n, 4 * layer.hidden);
        let input = Operand::dense(input, n, layer.input);
        // SAFETY: the caller's promise; the tape is neither input nor parameters.
        unsafe { product::multiply::<R, F>(self.cuda, &GemmArgs::SET, input, weights.transposed(), gates) }
    }

    /// All steps from the first slot on, in one launch.
    ///
    /// # Safety
    /// As [`Pass::input_product`] and [`Pass::recur`].
    unsafe fn whole(
        &self,
        layer: &Layer,
        sizes: sequence::Sizes,
        input: Address,
        before: Option<StateAt>,
    ) -> Result<()> {
        let inside = sizes.fit.inside(layer.input);
        if !inside {
            // SAFETY: the caller's promise.
            unsafe { self.input_product(layer, input, sizes.steps * sizes.rows)? };
        }
        let [gates, cell, hidden] = self.slot(layer, 0);
        let bias = |at: Option<usize>| at.map_or(Address::NULL, |at| self.nth(self.params, at));
        let operands = sequence::Forward {
            weights: [layer.w_ih, layer.w_hh].map(|at| self.nth(self.params, at)),
            biases: layer.biases.map(bias),
            forget_bias: layer.forget_bias,
            input: if inside { input } else { Address::NULL },
            inputs: layer.input,
            gates,
            keep: self.plan.mode == Mode::Train,
            before: before.map_or([Address::NULL; 2], |before| [before.h, before.c]),
            cell,
            hidden,
        };
        // SAFETY: slots and parameters are as large as the plan says; the caller's promise for the rest.
        unsafe { sequence::forward::<R, F>(self.cuda, sizes, operands) }
    }

    /// One step: the recurrent product, unless there is no state before it, and the cell.
    ///
    /// # Safety
    /// `before` holds a state of this layer.
    unsafe fn recur(&self, layer: &Layer, slot: usize, before: Option<StateAt>) -> Result<()> {
        let (rows, units) = (self.plan.shape.rows, layer.hidden);
        let [gates, cell, hidden] = self.slot(layer, slot);
        if let Some(before) = before {
            let weights = Operand::dense(self.nth(self.params, layer.w_hh), 4 * units, units);
            let (h, z) = (Operand::dense(before.h, rows, units), Operand::dense(gates, rows, 4 * units));
            // SAFETY: the caller's promise; slots of the tape lie apart.
            unsafe { product::multiply::<R, F>(self.cuda, &GemmArgs::ADD, h, weights.transposed(), z)? };
        }
        let bias = |at: Option<usize>| at.map_or(Address::NULL, |at| self.nth(self.params, at));
        let operands = cell::Forward {
            gates,
            biases: layer.biases.map(bias),
            forget_bias: layer.forget_bias,
            before: before.map_or(Address::NULL, |before| before.c),
            cell,
            hidden,
        };
        // SAFETY: the slot and the biases are as large as the plan says; the caller's promise for `before`.
        unsafe { cell::forward::<R, F>(self.cuda, [rows, units], operands) }
    }

    /// Copies the state in a slot to `to`.
    ///
    /// # Safety
    /// `to` holds a state of this layer.
    unsafe fn keep_last(&self, layer: &Layer, slot: usize, to: StateAt) -> Result<()> {
        let [_, cell, hidden] = self.slot(layer, slot);
        let bytes = self.plan.shape.rows * layer.hidden * size_of::<F>();
        // SAFETY: the caller's promise.
        unsafe {
            self.cuda.copy_bytes(hidden, to.h, bytes)?;
            self.cuda.copy_bytes(cell, to.c, bytes)
        }
    }
}

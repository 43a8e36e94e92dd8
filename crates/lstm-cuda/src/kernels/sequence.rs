//! Launches of sequence.cu.

use super::args;
use crate::cuda::Threads;
use crate::runtime::Address;
use crate::{Cuda, Runtime};
use lstm_tensor::{Float, Result};

/// Inputs of a layer that its kernel multiplies itself at most.
pub(crate) const INPUTS: usize = 16;
/// Values between the gates' stretches of shared memory.
const APART: usize = 8;

/// Units of a block that holds a layer of so many: its weights fill registers. None where they would not fit.
pub(crate) fn padded<F: Float>(units: usize) -> Option<usize> {
    match (units, size_of::<F>()) {
        (0..=32, _) => Some(32),
        (33..=64, 4) => Some(64),
        _ => None,
    }
}

fn over<F: Float>(rows: usize, padded: usize, shared: usize) -> Threads {
    let block = [4 * padded as u32, 1, 1];
    Threads { grid: [rows as u32, 1, 1], block, shared: (shared * size_of::<F>()) as u32 }
}

/// Sizes of a layer's sequence.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    pub(crate) units: usize,
    /// [`padded`].
    pub(crate) padded: usize,
}

/// Operands of [`forward`]; what may be absent is null then.
pub(crate) struct Forward {
    /// `[4H, I]`, `[4H, H]`.
    pub(crate) weights: [Address; 2],
    /// Up to two biases `[4H]`.
    pub(crate) biases: [Address; 2],
    pub(crate) forget_bias: f64,
    /// `[T, B, I]` of at most [`INPUTS`] inputs; null where `gates` holds the product with `W_ih`.
    pub(crate) input: Address,
    pub(crate) inputs: usize,
    /// `[T, B, 4H]`; receives the gates where they are kept.
    pub(crate) gates: Address,
    pub(crate) keep: bool,
    /// Hidden and cell state before the first step `[B, H]`, may be absent.
    pub(crate) before: [Address; 2],
    /// Receive the cell and the hidden state `[T, B, H]`.
    pub(crate) cell: Address,
    pub(crate) hidden: Address,
}

/// A layer's sequence forward.
///
/// # Safety
/// Every operand that is not null has the elements said above.
pub(crate) unsafe fn forward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    sizes: Sizes,
    operands: Forward,
) -> Result<()> {
    let Forward { weights, biases, forget_bias, input, inputs, gates, keep, before, cell, hidden } = operands;
    let Sizes { steps, rows, units, padded } = sizes;
    let kernel = match (input == Address::NULL, size_of::<F>(), padded) {
        (false, 4, 32) => "sequence_inside_f32_32",
        (false, 4, _) => "sequence_inside_f32_64",
        (false, ..) => "sequence_inside_f64_32",
        (true, 4, 32) => "sequence_f32_32",
        (true, 4, _) => "sequence_f32_64",
        (true, ..) => "sequence_f64_32",
    };
    let args = args![
        weights[0],
        weights[1],
        biases[0],
        biases[1],
        forget_bias,
        input,
        gates,
        before[0],
        before[1],
        cell,
        hidden,
        steps as u32,
        rows as u32,
        units as u32,
        inputs as u32,
        u32::from(keep),
    ];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { cuda.launch(kernel, over::<F>(rows, padded, 2 * (padded + INPUTS)), &args) }
}

/// Operands of [`backward`], `[B, H]` unless said otherwise; what may be absent is null then.
pub(crate) struct Backward {
    /// `[4H, H]`.
    pub(crate) w_hh: Address,
    /// Gates `[T, B, 4H]`, turned into the gradients of their pre-activations.
    pub(crate) gates: Address,
    /// `[T, B, H]`.
    pub(crate) cell: Address,
    /// May be absent.
    pub(crate) cell_before: Address,
    /// Gradient of the hidden states `[T, B, H]`.
    pub(crate) d_out: Address,
    /// Gradient of the last hidden and cell state, may be absent.
    pub(crate) d_last: [Address; 2],
    /// Receive the gradient of the state before the first step, may be absent.
    pub(crate) d_before: [Address; 2],
}

/// A layer's sequence backward.
///
/// # Safety
/// Every operand that is not null has the elements said above.
pub(crate) unsafe fn backward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    sizes: Sizes,
    operands: Backward,
) -> Result<()> {
    let Backward { w_hh, gates, cell, cell_before, d_out, d_last, d_before } = operands;
    let Sizes { steps, rows, units, padded } = sizes;
    let kernel = match (size_of::<F>(), padded) {
        (4, 32) => "sequence_backward_f32_32",
        (4, _) => "sequence_backward_f32_64",
        _ => "sequence_backward_f64_32",
    };
    let args = args![
        w_hh,
        gates,
        cell,
        cell_before,
        d_out,
        d_last[0],
        d_last[1],
        d_before[0],
        d_before[1],
        steps as u32,
        rows as u32,
        units as u32,
    ];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { cuda.launch(kernel, over::<F>(rows, padded, 8 * (padded + APART)), &args) }
}

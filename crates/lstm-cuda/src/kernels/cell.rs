//! Launches of cell.cu.

use super::{args, kernel};
use crate::cuda::Threads;
use crate::runtime::Address;
use crate::{Cuda, Runtime};
use lstm_tensor::{Float, Result};

/// Blocks that a grid may have in y.
const GRID_Y: usize = 65535;

/// One thread per unit of a row.
fn over(rows: usize, units: usize) -> Threads {
    let each = Threads::each(units);
    Threads { grid: [each.grid[0], rows.min(GRID_Y) as u32, 1], ..each }
}

/// Operands of [`forward`]; what may be absent is null then.
pub(crate) struct Forward {
    /// Pre-activations `[B, 4H]`, turned into gates.
    pub(crate) gates: Address,
    /// Up to two biases `[4H]`.
    pub(crate) biases: [Address; 2],
    pub(crate) forget_bias: f64,
    /// Cell state before the step `[B, H]`, may be absent.
    pub(crate) before: Address,
    /// Receives the cell state `[B, H]`.
    pub(crate) cell: Address,
    /// Receives the hidden state `[B, H]`.
    pub(crate) hidden: Address,
}

/// The pointwise half of a step forward.
///
/// # Safety
/// Every operand that is not null has the elements said above.
pub(crate) unsafe fn forward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    [rows, units]: [usize; 2],
    operands: Forward,
) -> Result<()> {
    let Forward { gates, biases: [bias, second], forget_bias, before, cell, hidden } = operands;
    let sizes = [rows as u32, units as u32];
    let args = args![gates, bias, second, forget_bias, before, cell, hidden, sizes[0], sizes[1]];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { cuda.launch(kernel!(F, "cell_forward"), over(rows, units), &args) }
}

/// Operands of [`backward`], each `[B, H]` unless said otherwise; what may be absent is null then.
pub(crate) struct Backward {
    /// Gates `[B, 4H]`, turned into the gradients of their pre-activations.
    pub(crate) gates: Address,
    /// Two terms of the gradient of the hidden state; the second may be absent.
    pub(crate) d_hidden: [Address; 2],
    pub(crate) cell: Address,
    /// Cell state before the step, may be absent.
    pub(crate) before: Address,
    /// Gradient of the cell state from the step after, may be absent.
    pub(crate) d_cell: Address,
    /// Receives the gradient of the cell state before the step; may be `d_cell`.
    pub(crate) d_before: Address,
}

/// The pointwise half of a step backward.
///
/// # Safety
/// Every operand that is not null has the elements said above.
pub(crate) unsafe fn backward<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    [rows, units]: [usize; 2],
    operands: Backward,
) -> Result<()> {
    let Backward { gates, d_hidden, cell, before, d_cell, d_before } = operands;
    let sizes = [rows as u32, units as u32];
    let args = args![gates, d_hidden[0], d_hidden[1], cell, before, d_cell, d_before, sizes[0], sizes[1]];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { cuda.launch(kernel!(F, "cell_backward"), over(rows, units), &args) }
}

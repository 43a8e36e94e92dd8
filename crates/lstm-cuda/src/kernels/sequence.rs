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

/// How a block holds a layer's recurrent weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Units that it has room for.
    padded: usize,
    /// Weights of a thread in registers; the others lie in shared memory.
    held: usize,
}

impl Fit {
    /// The smallest block for so many units whose shared memory has at most so many bytes. None where there is none.
    pub(crate) fn of<F: Float>(units: usize, shared: usize) -> Option<Self> {
        let sizes: &[(usize, usize)] = match size_of::<F>() {
            4 => &[(32, 32), (64, 64), (128, 56)],
            _ => &[(32, 32), (64, 24)],
        };
        let fits = sizes.iter().map(|&(padded, held)| Self { padded, held });
        let mut wide = fits.filter(|fit| units <= fit.padded);
        // Backward, more lies in shared memory than forward.
        wide.find(|fit| fit.backward() * size_of::<F>() <= shared)
    }

    /// Weights of all threads in shared memory.
    fn lent(&self) -> usize {
        (self.padded - self.held) * 4 * self.padded
    }

    /// Elements of shared memory forward: twice a hidden state and inputs.
    fn forward(&self) -> usize {
        2 * (self.padded + INPUTS) + self.lent()
    }

    /// Elements of shared memory backward: twice the gradients of a step's gates.
    fn backward(&self) -> usize {
        8 * (self.padded + APART) + self.lent()
    }
}

fn over<F: Float>(rows: usize, fit: Fit, shared: usize) -> Threads {
    let block = [4 * fit.padded as u32, 1, 1];
    Threads { grid: [rows as u32, 1, 1], block, shared: (shared * size_of::<F>()) as u32 }
}

/// Sizes of a layer's sequence.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    pub(crate) units: usize,
    pub(crate) fit: Fit,
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
    let Sizes { steps, rows, units, fit } = sizes;
    let kernel = match (input == Address::NULL, size_of::<F>(), fit.padded) {
        (false, 4, 32) => "sequence_inside_f32_32",
        (false, 4, 64) => "sequence_inside_f32_64",
        (false, 4, _) => "sequence_inside_f32_128",
        (false, _, 32) => "sequence_inside_f64_32",
        (false, ..) => "sequence_inside_f64_64",
        (true, 4, 32) => "sequence_f32_32",
        (true, 4, 64) => "sequence_f32_64",
        (true, 4, _) => "sequence_f32_128",
        (true, _, 32) => "sequence_f64_32",
        (true, ..) => "sequence_f64_64",
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
    unsafe { cuda.launch(kernel, over::<F>(rows, fit, fit.forward()), &args) }
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
    let Sizes { steps, rows, units, fit } = sizes;
    let kernel = match (size_of::<F>(), fit.padded) {
        (4, 32) => "sequence_backward_f32_32",
        (4, 64) => "sequence_backward_f32_64",
        (4, _) => "sequence_backward_f32_128",
        (_, 32) => "sequence_backward_f64_32",
        _ => "sequence_backward_f64_64",
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
    unsafe { cuda.launch(kernel, over::<F>(rows, fit, fit.backward()), &args) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_takes_the_smallest_block_that_the_device_has_room_for() {
        let fit = |units, shared| Fit::of::<f32>(units, shared).map(|fit| (fit.padded, fit.held));
        assert_eq!(fit(1, 48 << 10), Some((32, 32)));
        assert_eq!(fit(64, 48 << 10), Some((64, 64)));
        // Consumer cards lend a block 99 KiB, an A100 163, an H100 227.
        assert_eq!([99, 163, 227].map(|kib| fit(65, kib << 10)), [None, Some((128, 56)), Some((128, 56))]);
        assert_eq!(fit(129, 1 << 20), None);
        assert_eq!(Fit::of::<f64>(33, 99 << 10).map(|fit| fit.padded), Some(64));
        assert_eq!(Fit::of::<f64>(65, 1 << 20), None);
    }
}

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

/// Weights of a thread of a cluster, and values between the stretches that it receives.
const STRETCH: usize = 128;
const APART_IN_CLUSTERS: usize = 4;

/// How the chip holds a layer's recurrent weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Units that there is room for.
    padded: usize,
    /// Blocks that share a layer.
    blocks: usize,
    /// Weights of a thread in registers; the others lie in shared memory.
    held: usize,
}

/// What a device has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of shared memory of a block.
    pub shared: usize,
    /// Blocks of a cluster: 8, 16, or 1 where there are no clusters.
    pub cluster: usize,
}

impl Fit {
    /// The smallest that holds so many units. None where there is none.
    pub(crate) fn of<F: Float>(units: usize, room: Room) -> Option<Self> {
        let fits: &[[usize; 3]] = match size_of::<F>() {
            4 => &[[32, 1, 32], [64, 1, 64], [128, 2, 128], [128, 1, 56], [256, 8, 128], [512, 16, 56]],
            _ => &[[32, 1, 32], [64, 1, 24]],
        };
        let mut fits = fits.iter().map(|&[padded, blocks, held]| Self { padded, blocks, held });
        // Backward, more lies in shared memory than forward.
        let roomy = |fit: &Self| fit.blocks <= room.cluster && fit.backward() * size_of::<F>() <= room.shared;
        fits.find(|fit| units <= fit.padded && roomy(fit))
    }

    /// Whether the kernel multiplies so many inputs itself.
    pub(crate) fn inside(self, inputs: usize) -> bool {
        self.blocks == 1 && inputs <= INPUTS
    }

    /// Weights of a thread.
    fn weights(self) -> usize {
        if self.blocks == 1 { self.padded } else { STRETCH }
    }

    /// Threads of a block.
    fn threads(self) -> usize {
        4 * self.padded * self.padded / (self.blocks * self.weights())
    }

    /// Elements of shared memory of a block: weights of all threads, and `values` that are received, twice.
    fn elements(self, values: usize) -> usize {
        // Between stretches lies room, and in front of all are two inboxes of 8 bytes.
        let received =
            if self.blocks == 1 { values } else { values / STRETCH * (STRETCH + APART_IN_CLUSTERS) + 2 };
        2 * received + self.threads() * (self.weights() - self.held)
    }

    /// Forward, a hidden state is received, and inputs.
    fn forward(self) -> usize {
        self.elements(if self.blocks == 1 { self.padded + INPUTS } else { self.padded })
    }

    /// Backward, the gradients of a step's gates.
    fn backward(self) -> usize {
        self.elements(if self.blocks == 1 { 4 * (self.padded + APART) } else { 4 * self.padded })
    }

    fn over<F: Float>(self, rows: usize, shared: usize) -> Threads {
        let grid = [(rows * self.blocks) as u32, 1, 1];
        Threads { grid, block: [self.threads() as u32, 1, 1], shared: (shared * size_of::<F>()) as u32 }
    }
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
    let kernel = match (input == Address::NULL, size_of::<F>(), fit.padded, fit.blocks) {
        (_, _, 128, 2..) => "cluster_f32_128",
        (_, _, 256, _) => "cluster_f32_256",
        (_, _, 512, _) => "cluster_f32_512",
        (false, 4, 32, _) => "sequence_inside_f32_32",
        (false, 4, 64, _) => "sequence_inside_f32_64",
        (false, 4, ..) => "sequence_inside_f32_128",
        (false, _, 32, _) => "sequence_inside_f64_32",
        (false, ..) => "sequence_inside_f64_64",
        (true, 4, 32, _) => "sequence_f32_32",
        (true, 4, 64, _) => "sequence_f32_64",
        (true, 4, ..) => "sequence_f32_128",
        (true, _, 32, _) => "sequence_f64_32",
        (true, ..) => "sequence_f64_64",
    };
    if fit.blocks > 1 {
        let args = args![
            weights[1],
            biases[0],
            biases[1],
            forget_bias,
            gates,
            before[0],
            before[1],
            cell,
            hidden,
            steps as u32,
            rows as u32,
            units as u32,
            u32::from(keep),
        ];
        // SAFETY: the kernel's parameters; the caller's promise.
        return unsafe { cuda.launch(kernel, fit.over::<F>(rows, fit.forward()), &args) };
    }
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
    unsafe { cuda.launch(kernel, fit.over::<F>(rows, fit.forward()), &args) }
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
        (_, 128) if fit.blocks > 1 => "cluster_backward_f32_128",
        (_, 256) => "cluster_backward_f32_256",
        (_, 512) => "cluster_backward_f32_512",
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
    unsafe { cuda.launch(kernel, fit.over::<F>(rows, fit.backward()), &args) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_takes_the_smallest_block_that_the_device_has_room_for() {
        let room = |kib: usize, cluster| Room { shared: kib << 10, cluster };
        let fit = |units, room| Fit::of::<f32>(units, room).map(|fit| (fit.padded, fit.blocks));
        assert_eq!(fit(1, room(48, 1)), Some((32, 1)));
        assert_eq!(fit(64, room(48, 16)), Some((64, 1)));
        // Consumer cards lend a block 99 KiB, an A100 163, an H100 227.
        assert_eq!([99, 163].map(|kib| fit(65, room(kib, 1))), [None, Some((128, 1))]);
        assert_eq!([8, 16].map(|most| fit(65, room(227, most))), [Some((128, 2)); 2]);
        assert_eq!([1, 8, 16].map(|most| fit(129, room(227, most))), [None, Some((256, 8)), Some((256, 8))]);
        assert_eq!([1, 8, 16].map(|most| fit(257, room(227, most))), [None, None, Some((512, 16))]);
        assert_eq!(fit(513, room(1000, 16)), None);
        let double = |units, room| Fit::of::<f64>(units, room).map(|fit| fit.padded);
        assert_eq!([33, 65].map(|units| double(units, room(99, 16))), [Some(64), None]);
    }

    #[test]
    fn a_block_has_threads_for_all_weights() {
        for (padded, blocks, held, threads) in
            [(64, 1, 64, 256), (128, 2, 128, 256), (256, 8, 128, 256), (512, 16, 56, 512)]
        {
            let fit = Fit { padded, blocks, held };
            assert_eq!(
                (fit.threads(), fit.threads() * fit.weights() * blocks),
                (threads, 4 * padded * padded)
            );
        }
    }
}

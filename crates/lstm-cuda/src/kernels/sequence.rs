//! Launches of sequence.cu, cluster.cu and grid.cu.

use super::args;
use crate::cuda::{Threads, WARP};
use crate::runtime::{Address, Arg};
use crate::{Cuda, Runtime};
use lstm_tensor::{Float, Result};

/// Inputs of a layer that its kernel multiplies itself at most.
pub(crate) const INPUTS: usize = 16;
/// Values between the gates' stretches of shared memory.
const APART: usize = 8;

/// Weights of a thread of a cluster, and values between the stretches that it receives.
const STRETCH: usize = 128;
const APART_IN_CLUSTERS: usize = 4;

/// Units of a block that shares a layer with the whole grid, a warp for each.
const UNITS_ON_GRID: usize = 8;
/// Rows of a batch that the grid takes at most, a lane for each.
const ROWS_ON_GRID: usize = 32;

/// What shares a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Block,
    /// So many blocks, which send to each other's shared memory.
    Cluster(usize),
    /// As many blocks as the layer has units for, which meet in global memory.
    Grid,
}

/// How the chip holds a layer's recurrent weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Units that there is room for.
    padded: usize,
    spread: Spread,
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
    /// Blocks that surely run at the same time, however many registers they need: multiprocessors.
    pub blocks: usize,
}

impl Fit {
    /// The smallest that holds so many units, for a sequence of so many steps and rows. None where there is none.
    pub(crate) fn of<F: Float>(units: usize, [steps, rows]: [usize; 2], room: Room) -> Option<Self> {
        use Spread::{Block, Cluster, Grid};
        let fits: &[(usize, Spread, usize)] = match size_of::<F>() {
            4 => &[
                (32, Block, 32),
                (64, Block, 64),
                (128, Cluster(2), 128),
                (128, Block, 56),
                (256, Cluster(8), 128),
                (512, Cluster(16), 56),
                (512, Grid, 64),
                (768, Grid, 96),
                (1024, Grid, 128),
            ],
            _ => &[(32, Block, 32), (64, Block, 24), (512, Grid, 64)],
        };
        let mut fits = fits.iter().map(|&(padded, spread, held)| Self { padded, spread, held });
        let roomy = |fit: &Self| match fit.spread {
            Block => true,
            Cluster(blocks) => blocks <= room.cluster,
            // All weights must be loaded, which a single step does not pay for.
            Grid => units.div_ceil(UNITS_ON_GRID) <= room.blocks && rows <= ROWS_ON_GRID && steps > 1,
        };
        let lies = |fit: &Self| fit.forward().max(fit.backward()) * size_of::<F>() <= room.shared;
        fits.find(|fit| units <= fit.padded && roomy(fit) && lies(fit))
    }

    /// Whether the kernel multiplies so many inputs itself.
    pub(crate) fn inside(self, inputs: usize) -> bool {
        self.spread == Spread::Block && inputs <= INPUTS
    }

    /// Weights of a thread.
    fn weights(self) -> usize {
        match self.spread {
            Spread::Block => self.padded,
            Spread::Cluster(_) => STRETCH,
            Spread::Grid => self.padded / UNITS_ON_GRID,
        }
    }

    /// Threads of a block.
    fn threads(self) -> usize {
        match self.spread {
            Spread::Block => 4 * self.padded,
            Spread::Cluster(blocks) => 4 * self.padded * self.padded / (blocks * STRETCH),
            Spread::Grid => WARP * UNITS_ON_GRID,
        }
    }

    /// Elements of shared memory of a block forward: hidden states that are received, and what it has no registers for.
    fn forward(self) -> usize {
        let lent = self.threads() * (self.weights() - self.held);
        match self.spread {
            // Inputs too.
            Spread::Block => 2 * (self.padded + INPUTS) + lent,
            Spread::Cluster(_) => Self::inboxes(self.padded) + lent,
            // The warps' parts of all gates.
            Spread::Grid => ROWS_ON_GRID * (UNITS_ON_GRID * 4 * UNITS_ON_GRID + 1),
        }
    }

    /// Backward, the gradients of a step's gates are received.
    fn backward(self) -> usize {
        let lent = self.threads() * (self.weights() - self.held);
        match self.spread {
            Spread::Block => 2 * 4 * (self.padded + APART) + lent,
            Spread::Cluster(_) => Self::inboxes(4 * self.padded) + lent,
            Spread::Grid => ROWS_ON_GRID * (UNITS_ON_GRID * UNITS_ON_GRID + 1),
        }
    }

    /// Two places for so many values that are sent, and two inboxes of 8 bytes in front of them.
    fn inboxes(values: usize) -> usize {
        2 * (values / STRETCH * (STRETCH + APART_IN_CLUSTERS) + 2)
    }

    /// A launch over these rows and units, with so many elements of shared memory.
    fn over<F: Float>(self, rows: usize, units: usize, shared: usize) -> Threads {
        let blocks = match self.spread {
            Spread::Block => rows,
            Spread::Cluster(blocks) => rows * blocks,
            Spread::Grid => units.div_ceil(UNITS_ON_GRID),
        };
        let (block, shared) = ([self.threads() as u32, 1, 1], (shared * size_of::<F>()) as u32);
        Threads { grid: [blocks as u32, 1, 1], block, shared }
    }
}

/// Sizes of a layer's sequence.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    pub(crate) units: usize,
    pub(crate) fit: Fit,
    /// A number of global memory, 4 bytes, by which the blocks of a grid meet.
    pub(crate) told: Address,
}

/// A launch whose last argument, by which blocks meet, the grid alone takes.
///
/// # Safety
/// As [`Cuda::launch_together`]; `told` is 4 bytes of memory that nobody else uses.
unsafe fn spread<R: Runtime>(
    cuda: &Cuda<R>,
    fit: Fit,
    kernel: &'static str,
    over: Threads,
    args: &[Arg],
    told: Address,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        if fit.spread != Spread::Grid {
            return cuda.launch(kernel, over, &args[..args.len() - 1]);
        }
        cuda.clear_bytes(told, size_of::<u32>())?;
        cuda.launch_together(kernel, over, args)
    }
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
    let Sizes { steps, rows, units, fit, told } = sizes;
    let inside = input != Address::NULL;
    let kernel = match (fit.spread, size_of::<F>(), fit.padded) {
        (Spread::Grid, 4, 512) => "grid_f32_512",
        (Spread::Grid, 4, 768) => "grid_f32_768",
        (Spread::Grid, 4, _) => "grid_f32_1024",
        (Spread::Grid, ..) => "grid_f64_512",
        (Spread::Cluster(_), _, 128) => "cluster_f32_128",
        (Spread::Cluster(_), _, 256) => "cluster_f32_256",
        (Spread::Cluster(_), ..) => "cluster_f32_512",
        (Spread::Block, 4, 32) if inside => "sequence_inside_f32_32",
        (Spread::Block, 4, 64) if inside => "sequence_inside_f32_64",
        (Spread::Block, 4, _) if inside => "sequence_inside_f32_128",
        (Spread::Block, _, 32) if inside => "sequence_inside_f64_32",
        (Spread::Block, _, _) if inside => "sequence_inside_f64_64",
        (Spread::Block, 4, 32) => "sequence_f32_32",
        (Spread::Block, 4, 64) => "sequence_f32_64",
        (Spread::Block, 4, _) => "sequence_f32_128",
        (Spread::Block, _, 32) => "sequence_f64_32",
        (Spread::Block, ..) => "sequence_f64_64",
    };
    let over = fit.over::<F>(rows, units, fit.forward());
    if fit.spread != Spread::Block {
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
            told,
        ];
        // SAFETY: the kernel's parameters; the caller's promise.
        return unsafe { spread(cuda, fit, kernel, over, &args, told) };
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
    unsafe { cuda.launch(kernel, over, &args) }
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
    let Sizes { steps, rows, units, fit, told } = sizes;
    let kernel = match (fit.spread, size_of::<F>(), fit.padded) {
        (Spread::Grid, 4, 512) => "grid_backward_f32_512",
        (Spread::Grid, 4, 768) => "grid_backward_f32_768",
        (Spread::Grid, 4, _) => "grid_backward_f32_1024",
        (Spread::Grid, ..) => "grid_backward_f64_512",
        (Spread::Cluster(_), _, 128) => "cluster_backward_f32_128",
        (Spread::Cluster(_), _, 256) => "cluster_backward_f32_256",
        (Spread::Cluster(_), ..) => "cluster_backward_f32_512",
        (Spread::Block, 4, 32) => "sequence_backward_f32_32",
        (Spread::Block, 4, 64) => "sequence_backward_f32_64",
        (Spread::Block, 4, _) => "sequence_backward_f32_128",
        (Spread::Block, _, 32) => "sequence_backward_f64_32",
        (Spread::Block, ..) => "sequence_backward_f64_64",
    };
    let over = fit.over::<F>(rows, units, fit.backward());
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
        told,
    ];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { spread(cuda, fit, kernel, over, &args, told) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_takes_the_smallest_block_that_the_device_has_room_for() {
        let room = |kib: usize, cluster, blocks| Room { shared: kib << 10, cluster, blocks };
        let fit = |units, room| Fit::of::<f32>(units, [2, 32], room).map(|fit| (fit.padded, fit.spread));
        // Cards of desks lend a block 99 KiB, an A100 163, an H100 227.
        let [plain, older, consumer, a100, h100] =
            [(48, 1, 8), (99, 1, 68), (99, 8, 170), (163, 1, 108), (227, 16, 132)]
                .map(|(kib, cluster, blocks)| room(kib, cluster, blocks));
        let all = |units| [plain, older, consumer, a100, h100].map(|room| fit(units, room));
        let grid = |units| Some((units, Spread::Grid));
        assert_eq!(all(1), [Some((32, Spread::Block)); 5]);
        assert_eq!(all(64), [Some((64, Spread::Block)); 5]);
        let two = Some((128, Spread::Cluster(2)));
        assert_eq!(all(65), [None, grid(512), two, Some((128, Spread::Block)), two]);
        let eight = Some((256, Spread::Cluster(8)));
        assert_eq!(all(129), [None, grid(512), eight, grid(512), eight]);
        assert_eq!(all(257), [None, grid(512), grid(512), grid(512), Some((512, Spread::Cluster(16)))]);
        assert_eq!(all(545), [None, None, grid(768), grid(768), grid(768)]);
        assert_eq!(all(865), [None, None, grid(1024), None, grid(1024)]);
        assert_eq!(all(1025), [None; 5]);
        // Neither more rows than lanes, nor a single step.
        assert_eq!([[2, 33], [1, 1]].map(|shape| Fit::of::<f32>(600, shape, h100)), [None; 2]);
        let double = |units, room| Fit::of::<f64>(units, [2, 32], room).map(|fit| (fit.padded, fit.spread));
        assert_eq!(double(33, h100), Some((64, Spread::Block)));
        assert_eq!([65, 513].map(|units| double(units, h100)), [grid(512), None]);
    }

    #[test]
    fn a_block_has_threads_for_all_weights() {
        use Spread::{Block, Cluster, Grid};
        for (padded, spread, blocks, threads) in [
            (64, Block, 1, 256),
            (128, Cluster(2), 2, 256),
            (256, Cluster(8), 8, 256),
            (512, Cluster(16), 16, 512),
            (768, Grid, 96, 256),
        ] {
            let fit = Fit { padded, spread, held: 0 };
            assert_eq!(
                (fit.threads(), fit.threads() * fit.weights() * blocks),
                (threads, 4 * padded * padded)
            );
        }
    }
}

//! Routing: which path serves a pass over a stack, and which kernels the path launches.
//!
//! [`Route::all`] lists everything that routing can answer. Tests run each route on the emulator and compare
//! what was launched with [`Route::kernels`]; the gate over machine code takes its hot list from here. A new
//! path, kernel or bucket of sizes is caught by both until it stands in these tables.

use crate::runtime::{Precision, Room};
use lstm_tensor::{Float, KernelChoice, Mode, Plan};
use std::collections::BTreeMap;

/// How a stack is calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// A library product and a pointwise kernel per step.
    Steps,
    /// One launch for the sequence of each layer that fits on the chip; the others as [`Path::Steps`].
    Persistent,
    /// The operations of [`lstm_tensor::reference`] on this backend's primitives.
    Reference,
}

impl Path {
    /// The path that a choice leads to.
    #[must_use]
    pub const fn of(choice: KernelChoice) -> Self {
        match choice {
            KernelChoice::Reference => Self::Reference,
            KernelChoice::Persistent => Self::Persistent,
            _ => Self::Steps,
        }
    }
}

/// What is asked of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// The forward pass of training.
    Train,
    /// The backward pass.
    Backward,
    /// The forward pass of inference.
    Infer,
    /// One step of inference with a state that is carried on.
    Step,
}

/// Sizes that a path tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// The tape holds every step of the sequence.
    Whole,
    /// The tape is a ring that the sequence goes round.
    Ring,
}

/// One of the ways in which a pass can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// How it is calculated.
    pub path: Path,
    /// What is calculated.
    pub pass: Pass,
    /// Type of elements.
    pub precision: Precision,
    /// Bucket of sizes.
    pub size: Size,
    /// Whether masks are drawn.
    pub dropout: bool,
    /// Blocks of the device's widest cluster, which one path alone asks for: 1, 8 or 16.
    pub cluster: usize,
}

impl Route {
    /// The route of a pass that this plan is made for.
    #[must_use]
    pub fn of<F: Float>(plan: &Plan, pass: Pass, room: Room) -> Self {
        let rows = plan.tape.steps.iter().copied().max().unwrap_or(0) + plan.shape.rows;
        Self {
            path: Path::of(plan.kernel),
            cluster: if plan.kernel == KernelChoice::Persistent { room.cluster } else { 1 },
            pass,
            precision: Precision::of::<F>(),
            size: if rows < plan.shape.steps * plan.shape.rows { Size::Ring } else { Size::Whole },
            dropout: plan.mode == Mode::Train && plan.spec.has_dropout(),
        }
    }

    /// Every route that a plan can lead to.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let paths = [
            (Path::Steps, 1),
            (Path::Persistent, 1),
            (Path::Persistent, 8),
            (Path::Persistent, 16),
            (Path::Reference, 1),
        ];
        for (path, cluster) in paths {
            for (pass, size, dropout) in [
                (Pass::Train, Size::Whole, false),
                (Pass::Train, Size::Whole, true),
                (Pass::Backward, Size::Whole, false),
                (Pass::Backward, Size::Whole, true),
                (Pass::Infer, Size::Whole, false),
                (Pass::Infer, Size::Ring, false),
                (Pass::Step, Size::Whole, false),
            ] {
                for precision in [Precision::F32, Precision::F64] {
                    all.push(Self { path, pass, precision, size, dropout, cluster });
                }
            }
        }
        all
    }

    /// The kernels that it launches, each for some options of the stack at least.
    #[must_use]
    pub fn kernels(&self) -> Vec<Kernel> {
        let pairs: &[&[Pair]] = match (self.path, self.pass) {
            (Path::Steps, Pass::Backward) => &[&[CELL_BACKWARD, SUM_ROWS]],
            (Path::Steps, _) => &[&[CELL_FORWARD]],
            (Path::Persistent, Pass::Backward) => &[&[CELL_BACKWARD, SUM_ROWS], SEQUENCES_BACKWARD],
            (Path::Persistent, _) => &[&[CELL_FORWARD], SEQUENCES],
            (Path::Reference, Pass::Backward) => &[LOOPS, &[FILL, SUM_ROWS]],
            // A step has a state before it, so no zeros in the place of one.
            (Path::Reference, Pass::Step) => &[LOOPS, &[ADD_ROW]],
            (Path::Reference, _) => &[LOOPS, &[FILL, ADD_ROW]],
        };
        let masks = match self.path {
            Path::Steps | Path::Persistent => DROPOUT,
            Path::Reference => RANDOM,
        };
        let pairs = pairs.iter().copied().flatten().copied().chain(self.dropout.then_some(masks));
        let double = usize::from(self.precision == Precision::F64);
        pairs.map(|pair| pair[double]).chain(self.large()).collect()
    }

    /// What the persistent path launches for layers that are too large for all weights to lie in a block's registers.
    fn large(&self) -> Vec<Kernel> {
        let devices = match self.cluster {
            1 => 0,
            8 => 1,
            _ => 2,
        };
        let all: &[Kernel] = match (self.path, self.precision, self.pass) {
            (Path::Persistent, Precision::F32, Pass::Backward) => LARGE_BACKWARD[devices],
            (Path::Persistent, Precision::F32, _) => LARGE[devices],
            (Path::Persistent, Precision::F64, Pass::Backward) => &[on_grid("grid_backward_f64_512")],
            (Path::Persistent, Precision::F64, _) => &[on_grid("grid_f64_512")],
            _ => &[],
        };
        // The grid takes no single step.
        let fits = |kernel: &&Kernel| self.pass != Pass::Step || kernel.meeting != Meeting::Grid;
        all.iter().filter(fits).copied().collect()
    }
}

/// A kernel of the hot list, with what its machine code must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Name of the entry point.
    pub name: &'static str,
    /// Whether it multiplies on tensor cores: none does so far, this is for paths to come. Where it is false the
    /// check of the machine code refuses such products, as sums would not be exact.
    pub tensor_cores: bool,
    /// Registers of a thread at most.
    pub registers: u32,
    /// How its blocks reach each other.
    pub meeting: Meeting,
}

/// How blocks of a launch reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Not at all, so nothing has to be fenced.
    None,
    /// In a cluster, which came with compute capability 9.0; a fence before the first step.
    Cluster,
    /// All of them, through global memory; a fence in each step.
    Grid,
}

/// Every kernel that a route launches, by its name.
#[must_use]
pub fn hot() -> BTreeMap<&'static str, Kernel> {
    let kernels = Route::all().into_iter().flat_map(|route| route.kernels());
    kernels.map(|kernel| (kernel.name, kernel)).collect()
}

/// A kernel for f32 and for f64.
type Pair = [Kernel; 2];

/// The most registers that leave room for a block of 1024 threads.
pub const FEW_REGISTERS: u32 = 64;
/// For those that keep weights in registers.
const MANY_REGISTERS: u32 = 168;
/// The most that leave room for a block of 512 threads.
const HALF_REGISTERS: u32 = 128;
/// All that a thread can have; a block of 256 threads has room for them.
const ALL_REGISTERS: u32 = 255;

const fn exact(name: &'static str) -> Kernel {
    Kernel { name, tensor_cores: false, registers: FEW_REGISTERS, meeting: Meeting::None }
}

const fn holding(name: &'static str) -> Kernel {
    Kernel { registers: MANY_REGISTERS, ..exact(name) }
}

/// For those that keep half of them in shared memory.
const fn lending(name: &'static str) -> Kernel {
    Kernel { registers: HALF_REGISTERS, ..exact(name) }
}

const fn spread(name: &'static str) -> Kernel {
    Kernel { registers: ALL_REGISTERS, meeting: Meeting::Cluster, ..exact(name) }
}

const fn spread_and_lending(name: &'static str) -> Kernel {
    Kernel { registers: HALF_REGISTERS, meeting: Meeting::Cluster, ..exact(name) }
}

const fn on_grid(name: &'static str) -> Kernel {
    Kernel { registers: ALL_REGISTERS, meeting: Meeting::Grid, ..exact(name) }
}

const CELL_FORWARD: Pair = [exact("cell_forward_f32"), exact("cell_forward_f64")];
const CELL_BACKWARD: Pair = [exact("cell_backward_f32"), exact("cell_backward_f64")];
const SUM_ROWS: Pair = [exact("sum_rows_f32"), exact("sum_rows_f64")];
const ADD_ROW: Pair = [exact("add_row_f32"), exact("add_row_f64")];
const FILL: Pair = [exact("fill_32"), exact("fill_64")];
const DROPOUT: Pair = [exact("dropout_f32"), exact("dropout_f64")];
const RANDOM: Pair = [exact("random_f32"), exact("random_f64")];

/// For layers of up to 32 and 64 units, with few inputs and with more.
const SEQUENCES: &[Pair] = &[
    [holding("sequence_inside_f32_32"), holding("sequence_inside_f64_32")],
    [holding("sequence_inside_f32_64"), holding("sequence_inside_f64_64")],
    [holding("sequence_f32_32"), holding("sequence_f64_32")],
    [holding("sequence_f32_64"), holding("sequence_f64_64")],
];
const SEQUENCES_BACKWARD: &[Pair] = &[
    [holding("sequence_backward_f32_32"), holding("sequence_backward_f64_32")],
    [holding("sequence_backward_f32_64"), holding("sequence_backward_f64_64")],
];

/// For larger layers of f32: in a block and on the grid where there are no clusters; in clusters of 8 blocks at most; of 16.
const LARGE: [&[Kernel]; 3] = [
    &[
        lending("sequence_inside_f32_128"),
        lending("sequence_f32_128"),
        on_grid("grid_f32_512"),
        on_grid("grid_f32_768"),
        on_grid("grid_f32_1024"),
    ],
    &[
        spread("cluster_f32_128"),
        spread("cluster_f32_256"),
        on_grid("grid_f32_512"),
        on_grid("grid_f32_768"),
        on_grid("grid_f32_1024"),
    ],
    &[
        spread("cluster_f32_128"),
        spread("cluster_f32_256"),
        spread_and_lending("cluster_f32_512"),
        on_grid("grid_f32_768"),
        on_grid("grid_f32_1024"),
    ],
];
const LARGE_BACKWARD: [&[Kernel]; 3] = [
    &[
        lending("sequence_backward_f32_128"),
        on_grid("grid_backward_f32_512"),
        on_grid("grid_backward_f32_768"),
        on_grid("grid_backward_f32_1024"),
    ],
    &[
        spread("cluster_backward_f32_128"),
        spread("cluster_backward_f32_256"),
        on_grid("grid_backward_f32_512"),
        on_grid("grid_backward_f32_768"),
        on_grid("grid_backward_f32_1024"),
    ],
    &[
        spread("cluster_backward_f32_128"),
        spread("cluster_backward_f32_256"),
        spread_and_lending("cluster_backward_f32_512"),
        on_grid("grid_backward_f32_768"),
        on_grid("grid_backward_f32_1024"),
    ],
];

/// What the reference's loops over steps are made of.
const LOOPS: &[Pair] = &[
    [exact("copy_32"), exact("copy_64")],
    [exact("map_f32"), exact("map_f64")],
    [exact("zip_f32"), exact("zip_f64")],
];

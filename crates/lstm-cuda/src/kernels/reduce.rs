//! Launches of reduce.cu, and how all sums to one number are cut into parts.

use super::{args, kernel};
use crate::cuda::{DeviceSpan, Threads, WARP};
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Error, Float, Reduce, Result, View};

/// Elements of a part, at least.
const PART: usize = 512;
/// Parts of a sum, at most.
const PARTS: usize = 128;

/// Blocks that each make one part of a sum over `count` elements: a function of `count` alone.
pub(crate) fn parts_of(count: usize) -> Threads {
    let blocks = count.div_ceil(PART).clamp(1, PARTS);
    let block = Threads::block(count.div_ceil(blocks));
    Threads { grid: [blocks as u32, 1, 1], block: [block as u32, 1, 1], shared: (block / WARP * 8) as u32 }
}

/// The one block that adds up parts.
pub(crate) const FINISH: Threads = Threads { grid: [1; 3], block: [WARP as u32, 1, 1], shared: 8 };

/// Adds a reduction of `x` onto `out[index]`; the operands have been checked.
pub(crate) fn reduce<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    op: Reduce,
    x: View<'_, Cuda<R>, F>,
    out: &CudaBuffer<R, f64>,
    index: usize,
) -> Result<()> {
    let square: u32 = match op {
        Reduce::Sum => 0,
        Reduce::SquareSum => 1,
        _ => return Err(Error::Unsupported { op: "reduce", option: "this reduction" }),
    };
    let over = parts_of(x.span.rows * x.span.cols);
    let (room, from, to) = (cuda.parts(), cuda.at(x.buffer), cuda.at(out).plus(index * size_of::<f64>()));
    // SAFETY: the kernels' parameters; the rectangle and `out[index]` lie in their buffers, and there is
    // room for 128 parts.
    unsafe {
        let args = args![square, from, DeviceSpan::from(x.span), room.address];
        cuda.launch(kernel!(F, "reduce"), over, &args)?;
        cuda.launch("reduce_parts", FINISH, &args![room.address, over.grid[0], to])
    }
}

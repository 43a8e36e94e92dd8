//! Launches of rows.cu.

use super::{args, kernel};
use crate::cuda::{DeviceSpan, Parts, Threads};
use crate::runtime::Address;
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Float, Result, Span, View, ViewMut};

/// Rows of a part of a sum over rows, at least.
const ROWS_OF_PART: usize = 32;
/// Parts of a sum over rows, at most.
const PARTS: usize = 64;
/// Columns of a block, and threads that share the rows of a column.
const TILE: [usize; 2] = [32, 8];

/// Row `r` of `to` becomes row `rows[r]` of `from`; the operands have been checked, here and below.
pub(crate) fn gather<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    from: View<'_, Cuda<R>, F>,
    rows: &CudaBuffer<R, u32>,
    to: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let (x, y) = (cuda.at(from.buffer), cuda.at(to.buffer));
    let args = args![x, DeviceSpan::from(from.span), cuda.at(rows), y, DeviceSpan::from(to.span)];
    // SAFETY: the kernel's parameters; both rectangles lie in their buffers, and the kernel reads no row
    // that does not exist.
    unsafe { cuda.launch(kernel!(F, "gather_rows"), Threads::each(to.span.rows * to.span.cols), &args) }
}

/// Adds row `r` of `from` onto row `rows[r]` of `to`.
pub(crate) fn scatter_add<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    from: View<'_, Cuda<R>, F>,
    rows: &CudaBuffer<R, u32>,
    to: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let (x, y) = (cuda.at(from.buffer), cuda.at(to.buffer));
    let args = args![x, DeviceSpan::from(from.span), cuda.at(rows), y, DeviceSpan::from(to.span)];
    // SAFETY: as in `gather`.
    unsafe { cuda.launch(kernel!(F, "scatter_add_rows"), Threads::each(to.span.cols), &args) }
}

/// Adds the rows of `x` onto the row at `y`, and onto that at `twin` if it is not null: in one stage for
/// few rows, in two for many. The number of parts depends on the shape alone.
///
/// # Safety
/// `x_span` lies in the buffer at `x`, `y_span` (one row) in those at `y` and `twin`.
pub(crate) unsafe fn sum<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    (x, x_span): (Address, Span),
    [y, twin]: [Address; 2],
    y_span: Span,
) -> Result<()> {
    let [rows, cols] = x_span.shape();
    if rows == 0 {
        return Ok(());
    }
    let room = Parts::<R>::BYTES / size_of::<F>() / cols.max(1);
    let wanted = rows.div_ceil(ROWS_OF_PART).min(PARTS).min(room).max(1);
    let rows_of_part = rows.div_ceil(wanted);
    let parts = rows.div_ceil(rows_of_part);
    let stage =
        |x: (Address, Span), rows_of_part: usize, parts: usize, to: [Address; 2], to_span, add: u32| {
            let over = Threads {
                grid: [cols.div_ceil(TILE[0]) as u32, parts as u32, 1],
                block: [TILE[0] as u32, TILE[1] as u32, 1],
                shared: (TILE[0] * TILE[1] * size_of::<F>()) as u32,
            };
            let (x_span, to_span) = (DeviceSpan::from(x.1), DeviceSpan::from(to_span));
            let args = args![x.0, x_span, rows_of_part as u64, to[0], to[1], to_span, add];
            // SAFETY: the kernel's parameters; the caller's promise, and the parts fit their room.
            unsafe { cuda.launch(kernel!(F, "sum_rows"), over, &args) }
        };
    if parts == 1 {
        return stage((x, x_span), rows, 1, [y, twin], y_span, 1);
    }
    let room = cuda.parts();
    let parts_span = Span::dense(0, parts, cols);
    stage((x, x_span), rows_of_part, parts, [room.address, Address::NULL], parts_span, 0)?;
    stage((room.address, parts_span), parts, 1, [y, twin], y_span, 1)
}

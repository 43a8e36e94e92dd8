//! Launches of elementwise.cu.

use super::{args, kernel};
use crate::cuda::{DeviceSpan, Threads};
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Binary, Element, Error, Float, Operand, Result, Unary, View, ViewMut};

/// Elements of an output.
fn each<R: Runtime, E: Element>(to: &ViewMut<'_, Cuda<R>, E>) -> Threads {
    Threads::each(to.span.rows * to.span.cols)
}

/// Copies a rectangle; the operands have been checked, here and below.
pub(crate) fn copy<R: Runtime, E: Element>(
    cuda: &Cuda<R>,
    from: View<'_, Cuda<R>, E>,
    to: ViewMut<'_, Cuda<R>, E>,
) -> Result<()> {
    let name = if size_of::<E>() == 4 { "copy_32" } else { "copy_64" };
    let (x, y) = (cuda.at(from.buffer), cuda.at(to.buffer));
    let args = args![x, DeviceSpan::from(from.span), y, DeviceSpan::from(to.span)];
    // SAFETY: the kernel's parameters; both rectangles lie in their buffers.
    unsafe { cuda.launch(name, each(&to), &args) }
}

/// Sets every element of a rectangle.
pub(crate) fn fill<R: Runtime, E: Element>(
    cuda: &Cuda<R>,
    value: E,
    to: ViewMut<'_, Cuda<R>, E>,
) -> Result<()> {
    let (y, span) = (cuda.at(to.buffer), DeviceSpan::from(to.span));
    let value = [value];
    let bits = crate::buffer::bytes(&value);
    // SAFETY: the kernels' parameters; the rectangle lies in its buffer.
    unsafe {
        match *bits {
            [a, b, c, d] => {
                cuda.launch("fill_32", each(&to), &args![u32::from_ne_bytes([a, b, c, d]), y, span])
            }
            [a, b, c, d, e, f, g, h] => {
                let bits = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                cuda.launch("fill_64", each(&to), &args![bits, y, span])
            }
            _ => Err(Error::Unsupported { op: "fill", option: "elements of this size" }),
        }
    }
}

/// Where an operand lies: the address of its buffer and the rectangle.
fn operand<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    x: &Operand<'_, Cuda<R>, F>,
    own: &CudaBuffer<R, F>,
) -> (crate::runtime::Address, DeviceSpan) {
    match x {
        Operand::Of(view) => (cuda.at(view.buffer), view.span.into()),
        Operand::Here(span) => (cuda.at(own), (*span).into()),
    }
}

/// A function of one element as elementwise.cu numbers it, with its two constants.
fn unary(op: Unary) -> Result<(u32, f64, f64)> {
    Ok(match op {
        Unary::Affine { scale, shift } => (0, scale, shift),
        Unary::Sigmoid => (1, 0.0, 0.0),
        Unary::Tanh => (2, 0.0, 0.0),
        Unary::Square => (3, 0.0, 0.0),
        Unary::Sqrt => (4, 0.0, 0.0),
        Unary::Reciprocal => (5, 0.0, 0.0),
        Unary::Abs => (6, 0.0, 0.0),
        Unary::Sign => (7, 0.0, 0.0),
        Unary::Clamp { low, high } => (8, low, high),
        _ => return Err(Error::Unsupported { op: "map", option: "this function" }),
    })
}

/// `y = op(x)`.
pub(crate) fn map<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    op: Unary,
    x: Operand<'_, Cuda<R>, F>,
    y: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let (code, a, b) = unary(op)?;
    let (x, x_span) = operand(cuda, &x, y.buffer);
    let args = args![code, a, b, x, x_span, cuda.at(y.buffer), DeviceSpan::from(y.span)];
    // SAFETY: the kernel's parameters; both rectangles lie in their buffers.
    unsafe { cuda.launch(kernel!(F, "map"), each(&y), &args) }
}

/// `y = op(a, b)`.
pub(crate) fn zip<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    op: Binary,
    a: Operand<'_, Cuda<R>, F>,
    b: Operand<'_, Cuda<R>, F>,
    y: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let code: u32 = match op {
        Binary::Add => 0,
        Binary::Sub => 1,
        Binary::Mul => 2,
        Binary::Div => 3,
        Binary::Max => 4,
        _ => return Err(Error::Unsupported { op: "zip", option: "this function" }),
    };
    let ((a, a_span), (b, b_span)) = (operand(cuda, &a, y.buffer), operand(cuda, &b, y.buffer));
    let args = args![code, a, a_span, b, b_span, cuda.at(y.buffer), DeviceSpan::from(y.span)];
    // SAFETY: the kernel's parameters; all rectangles lie in their buffers.
    unsafe { cuda.launch(kernel!(F, "zip"), each(&y), &args) }
}

/// Adds a row to every row of `y`.
pub(crate) fn add_row<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    row: View<'_, Cuda<R>, F>,
    y: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let (x, to) = (cuda.at(row.buffer), cuda.at(y.buffer));
    let args = args![x, DeviceSpan::from(row.span), to, DeviceSpan::from(y.span)];
    // SAFETY: the kernel's parameters; both rectangles lie in their buffers.
    unsafe { cuda.launch(kernel!(F, "add_row"), each(&y), &args) }
}

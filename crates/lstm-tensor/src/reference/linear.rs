//! Linear layer `y = x Wᵀ + b`, forward and backward.

use crate::{Backend, Error, Float, GemmArgs, LinearGrad, Result, View, ViewMut};

/// Default of [`Backend::linear_forward`].
///
/// # Errors
/// As [`Backend::linear_forward`].
pub fn linear_forward<B: Backend, F: Float>(
    backend: &B,
    x: View<'_, B, F>,
    weight: View<'_, B, F>,
    bias: Option<View<'_, B, F>>,
    y: ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "linear_forward";
    let outputs = weight.span.rows;
    x.check(OP, "x", [x.span.rows, weight.span.cols])?;
    Error::check_shape(OP, "y", &[x.span.rows, outputs], &y.span.shape())?;
    if let Some(bias) = bias {
        bias.check(OP, "bias", [1, outputs])?;
    }
    let span = y.span;
    let transposed = View::new(weight.buffer, weight.span.transposed());
    backend.gemm(&GemmArgs::SET, x, transposed, ViewMut::new(y.buffer, span))?;
    match bias {
        Some(bias) => backend.add_row(bias, ViewMut::new(y.buffer, span)),
        None => Ok(()),
    }
}

/// Default of [`Backend::linear_backward`].
///
/// # Errors
/// As [`Backend::linear_backward`].
pub fn linear_backward<B: Backend, F: Float>(
    backend: &B,
    x: View<'_, B, F>,
    weight: View<'_, B, F>,
    d_y: View<'_, B, F>,
    grad: LinearGrad<'_, B, F>,
    d_x: Option<ViewMut<'_, B, F>>,
) -> Result<()> {
    const OP: &str = "linear_backward";
    let (rows, outputs) = (x.span.rows, weight.span.rows);
    x.check(OP, "x", [rows, weight.span.cols])?;
    d_y.check(OP, "d_y", [rows, outputs])?;
    Error::check_shape(OP, "d_weight", &weight.span.shape(), &grad.weight.shape())?;
    if let Some(bias) = grad.bias {
        Error::check_shape(OP, "d_bias", &[1, outputs], &bias.shape())?;
    }
    if let Some(d_x) = &d_x {
        Error::check_shape(OP, "d_x", &x.span.shape(), &d_x.span.shape())?;
    }
    let d_y_transposed = View::new(d_y.buffer, d_y.span.transposed());
    backend.gemm(&GemmArgs::ADD, d_y_transposed, x, ViewMut::new(grad.d_params, grad.weight))?;
    if let Some(bias) = grad.bias {
        backend.sum_rows(d_y, ViewMut::new(grad.d_params, bias))?;
    }
    match d_x {
        Some(d_x) => backend.gemm(&GemmArgs::SET, d_y, weight, d_x),
        None => Ok(()),
    }
}

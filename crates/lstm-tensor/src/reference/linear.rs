//! Linear layer `y = x Wᵀ + b`, forward and backward.

use crate::{Backend, Float, GemmArgs, LinearGrad, Result, View, ViewMut, check};

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
    check::linear_forward(&x, &weight, bias.as_ref(), &y)?;
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
    check::linear_backward(&x, &weight, &d_y, &grad, d_x.as_ref())?;
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

//! Launch of loss.cu.

use super::reduce::{FINISH, parts_of};
use super::{args, kernel};
use crate::cuda::DeviceSpan;
use crate::runtime::Address;
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Error, Float, LossArgs, LossKind, Result, Span, ViewMut, check};

/// A loss as loss.cu numbers it, with its constant.
fn code(kind: LossKind) -> Result<(u32, f64)> {
    Ok(match kind {
        LossKind::Squared => (0, 0.0),
        LossKind::HalfSquared => (1, 0.0),
        LossKind::Absolute => (2, 0.0),
        LossKind::Huber { delta } => (3, delta),
        LossKind::RelativeAbsolute => (4, 0.0),
        _ => return Err(Error::Unsupported { op: "loss", option: "this loss" }),
    })
}

/// Override of [`Backend::loss`](lstm_tensor::Backend::loss).
pub(crate) fn loss<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    args: LossArgs<'_, Cuda<R>, F>,
    d_prediction: ViewMut<'_, Cuda<R>, F>,
    value: &CudaBuffer<R, f64>,
) -> Result<()> {
    check::loss(&args, &d_prediction, value)?;
    let (kind, delta) = code(args.kind)?;
    let (prediction, target) = (cuda.at(args.prediction.buffer), cuda.at(args.target.buffer));
    let (weights, weights_span) = match args.row_weights {
        Some(weights) => (cuda.at(weights.buffer), weights.span),
        None => (Address::NULL, Span::dense(0, 0, 0)),
    };
    let [prediction_span, target_span, weights_span, gradient_span] =
        [args.prediction.span, args.target.span, weights_span, d_prediction.span].map(DeviceSpan::from);
    let over = parts_of(d_prediction.span.rows * d_prediction.span.cols);
    let (room, gradient) = (cuda.parts(), cuda.at(d_prediction.buffer));
    let args = args![
        kind,
        delta,
        args.scale,
        prediction,
        prediction_span,
        target,
        target_span,
        weights,
        weights_span,
        gradient,
        gradient_span,
        room.address
    ];
    // SAFETY: the kernels' parameters; all rectangles were checked against their buffers, and there is room
    // for the parts.
    unsafe {
        cuda.launch(kernel!(F, "loss"), over, &args)?;
        cuda.launch("reduce_parts", FINISH, &args![room.address, over.grid[0], cuda.at(value)])
    }
}

//! Losses: value and gradient. With `e = prediction - target` and weight `w` (scale times row weight):
//!
//! | kind | value | gradient |
//! |---|---|---|
//! | squared | `w e²` | `2 w e` |
//! | half squared | `w e² / 2` | `w e` |
//! | absolute | `w |e|` | `w sign e` |
//! | Huber | `w (k² / 2 + delta (|e| - |k|))`, `k = clamp(e, ±delta)` | `w k` |
//! | relative absolute | `w |e| / target` | `w sign(e) / target` |

use crate::{
    Backend, Binary, Float, LossArgs, LossKind, Operand, Reduce, Result, Span, Unary, View, ViewMut, check,
};

/// Default of [`Backend::loss`].
///
/// # Errors
/// As [`Backend::loss`].
pub fn loss<B: Backend, F: Float>(
    backend: &B,
    args: LossArgs<'_, B, F>,
    d_prediction: ViewMut<'_, B, F>,
    value: &mut B::Buffer<f64>,
) -> Result<()> {
    check::loss(&args, &d_prediction, value)?;
    let LossArgs { kind, scale, prediction, target, row_weights } = args;
    let [rows, cols] = prediction.span.shape();
    let whole = Span::dense(0, rows, cols);
    let mut weight = backend.alloc::<F>(rows * cols)?;
    backend.fill(F::from_f64(scale), ViewMut::new(&mut weight, whole))?;
    if let Some(row_weights) = row_weights {
        let column = View::new(row_weights.buffer, row_weights.span.transposed());
        for c in 0..cols {
            let here = whole.cols_at(c, 1);
            backend.zip(
                Binary::Mul,
                Operand::Here(here),
                Operand::Of(column),
                ViewMut::new(&mut weight, here),
            )?;
        }
    }

    let (mut error, mut term) = (backend.alloc::<F>(rows * cols)?, backend.alloc::<F>(rows * cols)?);
    let grad = d_prediction.span;
    let d_prediction = d_prediction.buffer;
    backend.zip(
        Binary::Sub,
        Operand::Of(prediction),
        Operand::Of(target),
        ViewMut::new(&mut error, whole),
    )?;
    // `term` becomes the unweighted value of each element, `d_prediction` the unweighted gradient.
    let e = || Operand::of(&error, whole);
    match kind {
        LossKind::Squared => {
            backend.map(Unary::Square, e(), ViewMut::new(&mut term, whole))?;
            backend.map(scaled(2.0), e(), ViewMut::new(d_prediction, grad))?;
        }
        LossKind::HalfSquared => {
            backend.map(Unary::Square, e(), ViewMut::new(&mut term, whole))?;
            backend.map(scaled(0.5), Operand::Here(whole), ViewMut::new(&mut term, whole))?;
            backend.map(scaled(1.0), e(), ViewMut::new(d_prediction, grad))?;
        }
        LossKind::Absolute => {
            backend.map(Unary::Abs, e(), ViewMut::new(&mut term, whole))?;
            backend.map(Unary::Sign, e(), ViewMut::new(d_prediction, grad))?;
        }
        LossKind::Huber { delta } => {
            let clamp = Unary::Clamp { low: -delta, high: delta };
            backend.map(clamp, e(), ViewMut::new(d_prediction, grad))?;
            let mut beyond = backend.alloc::<F>(rows * cols)?;
            backend.map(Unary::Abs, e(), ViewMut::new(&mut beyond, whole))?;
            let k = || Operand::of(&*d_prediction, grad);
            backend.map(Unary::Abs, k(), ViewMut::new(&mut term, whole))?;
            let (total, inner) = (Operand::Here(whole), Operand::of(&term, whole));
            backend.zip(Binary::Sub, total, inner, ViewMut::new(&mut beyond, whole))?;
            backend.map(scaled(delta), Operand::Here(whole), ViewMut::new(&mut beyond, whole))?;
            backend.map(Unary::Square, k(), ViewMut::new(&mut term, whole))?;
            backend.map(scaled(0.5), Operand::Here(whole), ViewMut::new(&mut term, whole))?;
            let (half, rest) = (Operand::Here(whole), Operand::of(&beyond, whole));
            backend.zip(Binary::Add, half, rest, ViewMut::new(&mut term, whole))?;
        }
        LossKind::RelativeAbsolute => {
            backend.map(Unary::Abs, e(), ViewMut::new(&mut term, whole))?;
            let (size, by) = (Operand::Here(whole), Operand::Of(target));
            backend.zip(Binary::Div, size, by, ViewMut::new(&mut term, whole))?;
            backend.map(Unary::Sign, e(), ViewMut::new(d_prediction, grad))?;
            let (sign, by) = (Operand::Here(grad), Operand::Of(target));
            backend.zip(Binary::Div, sign, by, ViewMut::new(d_prediction, grad))?;
        }
    }
    let w = || Operand::of(&weight, whole);
    backend.zip(Binary::Mul, Operand::Here(whole), w(), ViewMut::new(&mut term, whole))?;
    backend.zip(Binary::Mul, Operand::Here(grad), w(), ViewMut::new(d_prediction, grad))?;
    backend.reduce(Reduce::Sum, View::new(&term, whole), value, 0)
}

fn scaled(scale: f64) -> Unary {
    Unary::Affine { scale, shift: 0.0 }
}

//! Element-wise primitives as loops over rows.

use crate::Cpu;
use crate::math::{sigmoid, tanh};
use crate::simd::Kernel;
use lstm_tensor::{Binary, Element, Float, Operand, Span, Unary, View, ViewMut};

/// An operand's elements; `None` where they lie in the output's own buffer.
type Source<'a, F> = (Option<&'a [F]>, Span);

fn source<'a, F: Float>(operand: &'a Operand<'_, Cpu, F>) -> Source<'a, F> {
    match operand {
        Operand::Of(view) => (Some(view.buffer.as_slice()), view.span),
        Operand::Here(span) => (None, *span),
    }
}

/// `y = op(x)`; `false` if the operation is not known.
pub(crate) struct Map<'a, 'b, F: Float> {
    pub(crate) op: Unary,
    pub(crate) x: Operand<'a, Cpu, F>,
    pub(crate) y: ViewMut<'b, Cpu, F>,
}

impl<F: Float> Kernel for Map<'_, '_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) -> bool {
        let Self { op, x, y } = self;
        let (x, to, y) = (source(&x), y.span, y.buffer.as_mut_slice());
        match op {
            Unary::Affine { scale, shift } => {
                let (scale, shift) = (F::from_f64(scale), F::from_f64(shift));
                map(x, to, y, |x| scale * x + shift);
            }
            Unary::Sigmoid => map(x, to, y, sigmoid::<F, FUSED>),
            Unary::Tanh => map(x, to, y, tanh::<F, FUSED>),
            Unary::Square => map(x, to, y, |x| x * x),
            Unary::Sqrt => map(x, to, y, F::sqrt),
            Unary::Reciprocal => map(x, to, y, |x| F::ONE / x),
            Unary::Abs => map(x, to, y, F::abs),
            Unary::Sign => map(x, to, y, sign),
            Unary::Clamp { low, high } => {
                let (low, high) = (F::from_f64(low), F::from_f64(high));
                map(x, to, y, |x| clamp(x, low, high));
            }
            _ => return false,
        }
        true
    }
}

/// -1, 0 or 1; NaN stays.
#[inline(always)]
pub(crate) fn sign<F: Float>(x: F) -> F {
    if x > F::ZERO {
        F::ONE
    } else if x < F::ZERO {
        -F::ONE
    } else {
        x
    }
}

/// Nearest value in `[low, high]`; NaN stays.
#[inline(always)]
pub(crate) fn clamp<F: Float>(x: F, low: F, high: F) -> F {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The larger one; NaN if either is.
#[inline(always)]
#[allow(clippy::eq_op, reason = "NaN is what differs from itself, and `Float` has no other test")]
fn max<F: Float>(a: F, b: F) -> F {
    // A comparison with NaN is false, so `b` is taken where it is NaN.
    if a > b || a != a { a } else { b }
}

#[inline(always)]
fn map<F: Float>((x, from): Source<'_, F>, to: Span, y: &mut [F], f: impl Fn(F) -> F) {
    let adjacent = from.col_stride == 1 && to.col_stride == 1;
    for r in 0..to.rows {
        match x {
            Some(x) if adjacent => {
                let x = &x[from.at(r, 0)..][..to.cols];
                for (y, &x) in y[to.at(r, 0)..][..to.cols].iter_mut().zip(x) {
                    *y = f(x);
                }
            }
            None if adjacent && from == to => {
                for y in &mut y[to.at(r, 0)..][..to.cols] {
                    *y = f(*y);
                }
            }
            Some(x) => (0..to.cols).for_each(|c| y[to.at(r, c)] = f(x[from.at(r, c)])),
            None => (0..to.cols).for_each(|c| y[to.at(r, c)] = f(y[from.at(r, c)])),
        }
    }
}

/// `y = op(a, b)`; `false` if the operation is not known.
pub(crate) struct Zip<'a, 'b, F: Float> {
    pub(crate) op: Binary,
    pub(crate) a: Operand<'a, Cpu, F>,
    pub(crate) b: Operand<'a, Cpu, F>,
    pub(crate) y: ViewMut<'b, Cpu, F>,
}

impl<F: Float> Kernel for Zip<'_, '_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) -> bool {
        let Self { op, a, b, y } = self;
        let (a, b, to, y) = (source(&a), source(&b), y.span, y.buffer.as_mut_slice());
        match op {
            Binary::Add => zip(a, b, to, y, |a, b| a + b),
            Binary::Sub => zip(a, b, to, y, |a, b| a - b),
            Binary::Mul => zip(a, b, to, y, |a, b| a * b),
            Binary::Div => zip(a, b, to, y, |a, b| a / b),
            Binary::Max => zip(a, b, to, y, max),
            _ => return false,
        }
        true
    }
}

#[inline(always)]
fn zip<F: Float>(
    (a, a_at): Source<'_, F>,
    (b, b_at): Source<'_, F>,
    to: Span,
    y: &mut [F],
    f: impl Fn(F, F) -> F,
) {
    let adjacent = a_at.col_stride == 1 && b_at.col_stride == 1 && to.col_stride == 1;
    for r in 0..to.rows {
        match (a, b) {
            (Some(a), Some(b)) if adjacent => {
                let (a, b) = (&a[a_at.at(r, 0)..][..to.cols], &b[b_at.at(r, 0)..][..to.cols]);
                for ((y, &a), &b) in y[to.at(r, 0)..][..to.cols].iter_mut().zip(a).zip(b) {
                    *y = f(a, b);
                }
            }
            (None, Some(b)) if adjacent && a_at == to => {
                let b = &b[b_at.at(r, 0)..][..to.cols];
                for (y, &b) in y[to.at(r, 0)..][..to.cols].iter_mut().zip(b) {
                    *y = f(*y, b);
                }
            }
            _ => {
                for c in 0..to.cols {
                    let a = a.map_or_else(|| y[a_at.at(r, c)], |a| a[a_at.at(r, c)]);
                    let b = b.map_or_else(|| y[b_at.at(r, c)], |b| b[b_at.at(r, c)]);
                    y[to.at(r, c)] = f(a, b);
                }
            }
        }
    }
}

pub(crate) fn copy<E: Element>(from: View<'_, Cpu, E>, to: ViewMut<'_, Cpu, E>) {
    let (x, from, to, y) = (from.buffer.as_slice(), from.span, to.span, to.buffer.as_mut_slice());
    for r in 0..to.rows {
        copy_row(x, from, r, to, r, y);
    }
}

/// Row `to_row` of `to` becomes row `from_row` of `from`.
pub(crate) fn copy_row<E: Element>(
    x: &[E],
    from: Span,
    from_row: usize,
    to: Span,
    to_row: usize,
    y: &mut [E],
) {
    if from.col_stride == 1 && to.col_stride == 1 {
        let x = &x[from.at(from_row, 0)..][..to.cols];
        y[to.at(to_row, 0)..][..to.cols].copy_from_slice(x);
    } else {
        (0..to.cols).for_each(|c| y[to.at(to_row, c)] = x[from.at(from_row, c)]);
    }
}

pub(crate) fn fill<E: Element>(value: E, to: ViewMut<'_, Cpu, E>) {
    let (to, y) = (to.span, to.buffer.as_mut_slice());
    for r in 0..to.rows {
        if to.col_stride == 1 {
            y[to.at(r, 0)..][..to.cols].fill(value);
        } else {
            (0..to.cols).for_each(|c| y[to.at(r, c)] = value);
        }
    }
}

/// Adds row `from_row` of `from` onto row `to_row` of `to`.
pub(crate) fn add_row<F: Float>(x: &[F], from: Span, from_row: usize, to: Span, to_row: usize, y: &mut [F]) {
    if from.col_stride == 1 && to.col_stride == 1 {
        let x = &x[from.at(from_row, 0)..][..to.cols];
        for (y, &x) in y[to.at(to_row, 0)..][..to.cols].iter_mut().zip(x) {
            *y += x;
        }
    } else {
        (0..to.cols).for_each(|c| y[to.at(to_row, c)] += x[from.at(from_row, c)]);
    }
}

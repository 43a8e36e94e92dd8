//! Matrix products: from rectangles with strides to what a BLAS takes.

use crate::runtime::{Address, Gemm, Matrix, Precision};
use crate::{Cuda, Runtime};
use lstm_tensor::{Error, Float, GemmArgs, Math, Result, Span};

/// A matrix in device memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// What the span counts from.
    pub(crate) address: Address,
    pub(crate) span: Span,
}

impl Operand {
    /// A dense matrix.
    pub(crate) fn dense(address: Address, rows: usize, cols: usize) -> Self {
        Self { address, span: Span::dense(0, rows, cols) }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { span: self.span.transposed(), ..self }
    }

    fn matrix<F: Float>(self, batch_stride: usize) -> Result<Matrix> {
        let address = self.address.plus(self.span.offset * size_of::<F>());
        let (transposed, leading) = layout(self.span)
            .ok_or(Error::Unsupported { op: "gemm", option: "an operand whose rows overlap" })?;
        Ok(Matrix { address, transposed, leading, batch_stride })
    }
}

/// Whether columns lie apart instead of rows, and how far. None if elements lie upon each other.
fn layout(span: Span) -> Option<(bool, usize)> {
    let Span { rows, cols, row_stride, col_stride, .. } = span;
    let apart = |count: usize, inner: usize, inner_stride: usize, stride: usize| {
        // A single row may claim any stride; what lies behind it is never looked at.
        let leading = if count <= 1 { inner } else { stride };
        ((inner_stride == 1 || inner <= 1) && leading >= inner).then_some(leading.max(1))
    };
    let by_row = apart(rows, cols, col_stride, row_stride).map(|leading| (false, leading));
    by_row.or_else(|| apart(cols, rows, row_stride, col_stride).map(|leading| (true, leading)))
}

/// `C = alpha A B + beta C`.
///
/// # Safety
/// All elements lie in their buffers, those of `C` apart from those of `A` and `B` and from each other; at
/// least one row, column, term and product.
pub(crate) unsafe fn multiply<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    args: &GemmArgs,
    a: Operand,
    b: Operand,
    c: Operand,
) -> Result<()> {
    if args.math != Math::Exact {
        return Err(Error::Unsupported { op: "gemm", option: "another arithmetic than exact" });
    }
    let [a_stride, b_stride, c_stride] = args.batch_strides;
    let [m, n] = c.span.shape();
    let (a_matrix, b_matrix, c_matrix) =
        (a.matrix::<F>(a_stride)?, b.matrix::<F>(b_stride)?, c.matrix::<F>(c_stride)?);
    let flipped = |matrix: Matrix| Matrix { transposed: !matrix.transposed, ..matrix };
    let product = Gemm {
        precision: Precision::of::<F>(),
        m,
        n,
        k: a.span.cols,
        alpha: args.alpha,
        beta: args.beta,
        batch: args.batch,
        a: a_matrix,
        b: b_matrix,
        c: c_matrix,
    };
    // A transposed result is the product Cᵀ = Bᵀ Aᵀ.
    let product = match c_matrix.transposed {
        false => product,
        true => {
            Gemm { m: n, n: m, a: flipped(b_matrix), b: flipped(a_matrix), c: flipped(c_matrix), ..product }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { cuda.multiply(product) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_become_leading_dimensions() {
        let dense = Span::dense(3, 4, 5);
        assert_eq!(layout(dense), Some((false, 5)));
        assert_eq!(layout(dense.transposed()), Some((true, 5)));
        assert_eq!(layout(Span { row_stride: 9, ..dense }), Some((false, 9)));
        // One row of any stride, one column in steps of 5.
        assert_eq!(layout(Span { row_stride: 1, ..dense.rows_at(0, 1) }), Some((false, 5)));
        assert_eq!(layout(dense.cols_at(2, 1)), Some((false, 5)));
        assert_eq!(layout(dense.rows_at(0, 1).transposed()), Some((false, 1)));
        // One row in steps of 4: a column of them.
        let apart = Span { col_stride: 4, row_stride: 1, ..Span::dense(0, 1, 5) };
        assert_eq!(layout(apart), Some((true, 4)));
        // Elements upon each other.
        assert_eq!(layout(Span { row_stride: 0, ..dense }), None);
        assert_eq!(layout(Span { row_stride: 1, ..dense }), None);
    }
}

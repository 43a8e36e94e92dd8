//! Matrix products by a plain loop.

use lstm_cuda::runtime::{Gemm, Matrix, Precision};
use std::ops::{Add, Mul};

/// `C = alpha A B + beta C`, sums in the element type.
///
/// # Safety
/// All elements lie in memory that lives; those of `C` apart from those of `A` and `B`.
pub(crate) unsafe fn gemm(product: &Gemm) {
    // SAFETY: the caller's promise.
    unsafe {
        match product.precision {
            Precision::F32 => {
                multiply(product, product.alpha as f32, product.beta as f32, product.beta == 0.0)
            }
            Precision::F64 => multiply(product, product.alpha, product.beta, product.beta == 0.0),
        }
    }
}

/// # Safety
/// As [`gemm`]; `F` is the element type of the product.
unsafe fn multiply<F: Copy + Default + Add<Output = F> + Mul<Output = F>>(
    product: &Gemm,
    alpha: F,
    beta: F,
    overwrite: bool,
) {
    let Gemm { m, n, k, batch, a, b, c, .. } = *product;
    let at = |matrix: Matrix, index: usize, row: usize, col: usize| -> *mut F {
        let (outer, inner) = if matrix.transposed { (col, row) } else { (row, col) };
        let element = index * matrix.batch_stride + outer * matrix.leading + inner;
        matrix.address.plus(element * size_of::<F>()).0 as *mut F
    };
    for index in 0..batch {
        for row in 0..m {
            for col in 0..n {
                let mut sum = F::default();
                for j in 0..k {
                    // SAFETY: the caller's promise.
                    sum = sum + unsafe { *at(a, index, row, j) * *at(b, index, j, col) };
                }
                // SAFETY: the caller's promise.
                unsafe {
                    let to = at(c, index, row, col);
                    *to = if overwrite { alpha * sum } else { alpha * sum + beta * *to };
                }
            }
        }
    }
}

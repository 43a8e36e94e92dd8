//! Matrix products through the `gemm` crate, cut into blocks of the result that threads share out.
//!
//! Each element of a result is summed by one thread in one call, and blocks depend on shapes alone; so
//! the number of threads changes no bit.
#![allow(unsafe_code, reason = "the gemm crate takes pointers; see SAFETY at its call")]

use crate::parallel::Team;
use lstm_tensor::{Float, Span};

/// Multiply-adds below which a product runs on the caller's thread: some microseconds.
const SMALL: usize = 1 << 18;
/// Rows or columns of a block, at least.
const BLOCK: usize = 64;
/// Blocks of a product, at most.
const BLOCKS: usize = 16;

/// A matrix to read.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, F> {
    pub(crate) data: &'a [F],
    pub(crate) span: Span,
}

impl<'a, F> Matrix<'a, F> {
    pub(crate) fn new(data: &'a [F], span: Span) -> Self {
        Self { data, span }
    }

    /// All of `data` as `[rows, cols]`.
    pub(crate) fn dense(data: &'a [F], rows: usize, cols: usize) -> Self {
        Self::new(data, Span::dense(0, rows, cols))
    }

    pub(crate) fn transposed(self) -> Self {
        Self { span: self.span.transposed(), ..self }
    }
}

/// `C = alpha A B + beta C`, `count` times at `strides`.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    pub(crate) count: usize,
    pub(crate) strides: [usize; 3],
}

impl Scale {
    /// `C = A B`.
    pub(crate) const SET: Self = Self { alpha: 1.0, beta: 0.0, count: 1, strides: [0; 3] };
    /// `C = A B + C`.
    pub(crate) const ADD: Self = Self { beta: 1.0, ..Self::SET };
}

/// The product on the caller's thread.
pub(crate) fn multiply<F: Float>(scale: Scale, a: Matrix<'_, F>, b: Matrix<'_, F>, c: &mut [F], to: Span) {
    Product::new(scale, a, b, c, to).run();
}

/// The product on all threads of `team`.
pub(crate) fn multiply_on<F: Float>(
    team: &Team,
    scale: Scale,
    a: Matrix<'_, F>,
    b: Matrix<'_, F>,
    c: &mut [F],
    to: Span,
) {
    let whole = Product::new(scale, a, b, c, to);
    let (by_rows, block) = split(to.rows, to.cols, a.span.cols);
    let blocks = (if by_rows { to.rows } else { to.cols }).div_ceil(block);
    team.run(scale.count * blocks, &|task| {
        let first = task % blocks * block;
        whole.repeat(task / blocks).part(by_rows, first, block).run();
    });
}

/// Whether a product `[m, k] [k, n]` is cut along its rows, and the size of a block.
fn split(m: usize, n: usize, k: usize) -> (bool, usize) {
    let by_rows = m >= n;
    let longer = m.max(n);
    if m.saturating_mul(n).saturating_mul(k) <= SMALL {
        return (by_rows, longer.max(1));
    }
    (by_rows, longer.div_ceil(BLOCKS).next_multiple_of(16).max(BLOCK))
}

/// Pointers and strides of one product; what they reach was checked when it was made.
#[derive(Clone, Copy)]
struct Product<F> {
    scale: Scale,
    sizes: [usize; 3],
    a: (*const F, usize, usize),
    b: (*const F, usize, usize),
    c: (*mut F, usize, usize),
}

// SAFETY: a `Product` is made of borrows that outlive its use, and threads get parts of it that share no
// element of C (`part`, `repeat`).
unsafe impl<F: Sync> Sync for Product<F> {}

impl<F: Float> Product<F> {
    fn new(scale: Scale, a: Matrix<'_, F>, b: Matrix<'_, F>, c: &mut [F], to: Span) -> Self {
        let (m, n, k) = (to.rows, to.cols, a.span.cols);
        assert!(a.span.shape() == [m, k] && b.span.shape() == [k, n], "shapes of a product");
        let fits = |span: Span, stride: usize, len: usize| {
            span.end() == 0 || span.end() + (scale.count.max(1) - 1) * stride <= len
        };
        let [a_stride, b_stride, c_stride] = scale.strides;
        assert!(fits(a.span, a_stride, a.data.len()), "A inside its buffer");
        assert!(fits(b.span, b_stride, b.data.len()), "B inside its buffer");
        assert!(fits(to, c_stride, c.len()), "C inside its buffer");
        // An empty matrix may lie anywhere, even past the end.
        let place = |span: Span| if span.end() == 0 { 0 } else { span.offset };
        Self {
            scale,
            sizes: [m, n, k],
            a: (a.data[place(a.span)..].as_ptr(), a.span.row_stride, a.span.col_stride),
            b: (b.data[place(b.span)..].as_ptr(), b.span.row_stride, b.span.col_stride),
            c: (c[place(to)..].as_mut_ptr(), to.row_stride, to.col_stride),
        }
    }

    /// Product number `index` of a batch.
    fn repeat(mut self, index: usize) -> Self {
        let [a, b, c] = self.scale.strides;
        self.a.0 = self.a.0.wrapping_add(index * a);
        self.b.0 = self.b.0.wrapping_add(index * b);
        self.c.0 = self.c.0.wrapping_add(index * c);
        self
    }

    /// `count` rows or columns of the result from `first` on, or what there is of them.
    fn part(mut self, by_rows: bool, first: usize, count: usize) -> Self {
        if by_rows {
            self.a.0 = self.a.0.wrapping_add(first * self.a.1);
            self.c.0 = self.c.0.wrapping_add(first * self.c.1);
            self.sizes[0] = count.min(self.sizes[0] - first);
        } else {
            self.b.0 = self.b.0.wrapping_add(first * self.b.2);
            self.c.0 = self.c.0.wrapping_add(first * self.c.2);
            self.sizes[1] = count.min(self.sizes[1] - first);
        }
        self
    }

    fn run(self) {
        let [m, n, k] = self.sizes;
        let Scale { alpha, beta, .. } = self.scale;
        let (a, b, c) = (self.a, self.b, self.c);
        let stride = |stride: usize| stride as isize;
        // SAFETY: `new` asserted that all elements of A, B and C lie inside the slices they came from,
        // and `part` and `repeat` only move within them. C comes from a `&mut`, and no other thread has
        // these elements of it. Nothing is read from C if beta is 0.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.0,
                stride(c.2),
                stride(c.1),
                beta != 0.0,
                a.0,
                stride(a.2),
                stride(a.1),
                b.0,
                stride(b.2),
                stride(b.1),
                F::from_f64(beta),
                F::from_f64(alpha),
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_change_no_bit() {
        let (m, n, k) = (200, 150, 33);
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5;
        let (a, b): (Vec<_>, Vec<_>) = ((0..m * k).map(value).collect(), (0..k * n).map(value).collect());
        let results: Vec<_> = (1..=4)
            .map(|threads| {
                let mut c = vec![f32::NAN; m * n];
                let (a, b) = (Matrix::dense(&a, m, k), Matrix::dense(&b, k, n));
                let team = Team::new(threads).unwrap();
                multiply_on(&team, Scale::SET, a, b, &mut c, Span::dense(0, m, n));
                c
            })
            .collect();
        assert!(results.iter().all(|c| *c == results[0]));
        let exact: f64 = (0..k).map(|i| f64::from(a[7 * k + i]) * f64::from(b[i * n + 9])).sum();
        assert!((f64::from(results[0][7 * n + 9]) - exact).abs() < 1e-5);
    }

    #[test]
    fn blocks_follow_shapes() {
        assert_eq!(split(8, 8, 8), (true, 8));
        assert_eq!(split(960, 512, 128), (true, 64));
        assert_eq!(split(128, 4096, 64), (false, 256));
        assert_eq!(split(0, 0, 0), (true, 1));
    }
}

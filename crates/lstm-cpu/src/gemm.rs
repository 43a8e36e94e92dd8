//! Matrix products, cut into blocks of the result that threads share out.
//!
//! Each element of a result is summed by one thread in one order, and blocks depend on shapes alone; so
//! the number of threads changes no bit. Nothing is allocated: parts of operands that a tile could not load
//! as vectors, or that several tiles read, are copied to the stack.
#![allow(unsafe_code, reason = "threads write to parts of one matrix, tiles are read without checks")]

use crate::Cpu;
use crate::math::Concrete;
use crate::simd::{Simd, kernel};
use lstm_tensor::{Float, Span};
use std::mem::MaybeUninit;

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
}

/// `C = alpha A B + beta C`, `count` times at `strides`.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    pub(crate) count: usize,
    pub(crate) strides: [usize; 3],
}

/// The product on all threads.
pub(crate) fn multiply_on<F: Float>(
    cpu: &Cpu,
    scale: Scale,
    a: Matrix<'_, F>,
    b: Matrix<'_, F>,
    c: &mut [F],
    to: Span,
) {
    let whole = Product::new(scale, a, b, c, to);
    let (by_rows, block) = split(to.rows, to.cols, a.span.cols);
    let blocks = (if by_rows { to.rows } else { to.cols }).div_ceil(block);
    cpu.team.run(scale.count * blocks, &|task| {
        let first = task % blocks * block;
        let part = whole.repeat(task / blocks).part(by_rows, first, block);
        part.run(cpu.simd);
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

/// Pointers and strides (of rows, of columns) of one product; what they reach was checked when it was made.
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
unsafe impl<F: Send + Sync> Sync for Product<F> {}

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

    /// The same product over the type that `F` is.
    fn cast<T>(self) -> Product<T> {
        assert!(size_of::<T>() == size_of::<F>(), "another type");
        let Self { scale, sizes, a, b, c } = self;
        Product {
            scale,
            sizes,
            a: (a.0.cast(), a.1, a.2),
            b: (b.0.cast(), b.1, b.2),
            c: (c.0.cast(), c.1, c.2),
        }
    }

    /// The same product with rows and columns exchanged.
    fn transposed(self) -> Self {
        let ([m, n, k], turn) = (self.sizes, |(at, row, col)| (at, col, row));
        let (c, row, col) = self.c;
        Self { sizes: [n, m, k], a: turn(self.b), b: turn(self.a), c: (c, col, row), ..self }
    }
}

/// Length of the sums that are kept in registers at a time: so much of A and B stays in the caches.
const DEPTH: usize = 256;
/// Rows of A that are brought together at a time, a multiple of every tile's.
const HEIGHT: usize = 64;
/// Tiles that use a strip of B, from which on it pays to bring the strip together.
const REUSED: usize = 3;

impl<F: Float> Product<F> {
    /// Calculates it on this thread.
    fn run(self, simd: Simd) {
        // Rows of C must be adjacent for vectors to be written.
        let product = if self.c.2 == 1 { self } else { self.transposed() };
        product.on(simd);
    }
}

// Rows, then columns: two vectors wide, and as many rows as there are registers for; half as wide at the edge.
kernel!(Product::tiles, f32: [8, 32, 16] [4, 16, 8] [4, 8, 4], f64: [8, 16, 8] [4, 8, 4] [4, 4, 2]);

/// Room for a part of A or B; on the stack, and not filled before it is used.
type Room<F, const N: usize, const M: usize> = MaybeUninit<[[F; N]; M]>;

impl<F: Concrete> Product<F> {
    /// All of C in tiles of `ROWS` by `WIDE` or, at the right edge, `NARROW` columns.
    ///
    /// Strides of a power of two would put all rows of a tile into a few sets of a cache: what is used
    /// more than once is copied to where it lies together.
    ///
    /// # Safety
    /// All elements of A, B and C exist, those of C for this thread alone; C's rows are adjacent.
    #[inline(always)]
    unsafe fn tiles<const FUSED: bool, const ROWS: usize, const WIDE: usize, const NARROW: usize>(self) {
        let [m, n, k] = self.sizes;
        let Scale { alpha, beta, .. } = self.scale;
        let mut room: Room<F, DEPTH, HEIGHT> = MaybeUninit::uninit();
        let mut first = 0;
        // Once for an empty sum too, which sets C to 0 or scales it.
        while first == 0 || first < k {
            let beta = if first == 0 { beta } else { 1.0 };
            let depth = DEPTH.min(k - first);
            for row in (0..m).step_by(HEIGHT) {
                let rows = HEIGHT.min(m - row);
                let (a, a_row, a_col) = self.a;
                let mut a = Left {
                    start: a.wrapping_add(row * a_row + first * a_col),
                    row: a_row,
                    col: a_col,
                    tile: a_row * ROWS,
                };
                if a_col != 1 && n > WIDE {
                    // SAFETY: A has these rows and columns; the room holds `HEIGHT` rows of `DEPTH`.
                    a = unsafe { a.together::<ROWS>(rows, depth, room.as_mut_ptr().cast()) };
                }
                let strip = Strip {
                    rows,
                    depth,
                    a,
                    b: (self.b.0.wrapping_add(first * self.b.1), self.b.1, self.b.2),
                    c: (self.c.0.wrapping_add(row * self.c.1), self.c.1),
                    alpha: F::from_f64(alpha),
                    beta: (beta != 0.0).then(|| F::from_f64(beta)),
                };
                let mut column = 0;
                while column < n {
                    let left = n - column;
                    let strip = strip.at(column);
                    // SAFETY: the strip's columns and rows are those of this product.
                    unsafe {
                        if left > NARROW {
                            strip.run::<FUSED, ROWS, WIDE>(left.min(WIDE));
                        } else {
                            strip.run::<FUSED, ROWS, NARROW>(left);
                        }
                    }
                    column += WIDE;
                }
            }
            first += DEPTH;
        }
    }
}

/// Rows of A: element `(r, p)` of tile `t` lies at `start + t tile + r row + p col`.
#[derive(Clone, Copy)]
struct Left<F> {
    start: *const F,
    row: usize,
    col: usize,
    tile: usize,
}

impl<F: Concrete> Left<F> {
    /// A copy in `room`, in which the rows of a tile are adjacent.
    ///
    /// # Safety
    /// A has `rows` rows and `depth` columns; the room holds as many, the rows rounded up to whole tiles.
    #[inline(always)]
    unsafe fn together<const ROWS: usize>(self, rows: usize, depth: usize, room: *mut F) -> Self {
        for first in (0..rows).step_by(ROWS) {
            let count = ROWS.min(rows - first);
            let (from, to) = (self.start.wrapping_add(first * self.row), room.wrapping_add(first * depth));
            for p in 0..depth {
                let (from, to) = (from.wrapping_add(p * self.col), to.wrapping_add(p * ROWS));
                // SAFETY: as this function's.
                unsafe {
                    if count == ROWS && self.row == 1 {
                        to.cast::<[F; ROWS]>().write(from.cast::<[F; ROWS]>().read());
                    } else {
                        for r in 0..count {
                            to.add(r).write(*from.add(r * self.row));
                        }
                    }
                }
            }
        }
        Self { start: room, row: 1, col: ROWS, tile: ROWS * depth }
    }
}

/// Columns of C, and the part of the sums that is added to them.
#[derive(Clone, Copy)]
struct Strip<F> {
    /// At most [`HEIGHT`].
    rows: usize,
    /// At most [`DEPTH`].
    depth: usize,
    a: Left<F>,
    b: (*const F, usize, usize),
    /// First element and row stride.
    c: (*mut F, usize),
    alpha: F,
    /// Factor on what C holds; C is not read without.
    beta: Option<F>,
}

impl<F: Concrete> Strip<F> {
    /// The strip that starts `column` columns further right.
    fn at(mut self, column: usize) -> Self {
        self.b.0 = self.b.0.wrapping_add(column * self.b.2);
        self.c.0 = self.c.0.wrapping_add(column);
        self
    }

    /// `width` columns, at most `COLS`.
    ///
    /// # Safety
    /// All elements of A, B and C exist, those of C for this thread alone.
    #[inline(always)]
    unsafe fn run<const FUSED: bool, const ROWS: usize, const COLS: usize>(self, width: usize) {
        let (b, b_row, b_col) = self.b;
        let whole = width == COLS && b_col == 1;
        // SAFETY: as this function's.
        unsafe {
            if whole && self.rows < REUSED * ROWS {
                return self.down::<FUSED, ROWS, COLS>(b, b_row, width);
            }
            let mut room: Room<F, COLS, DEPTH> = MaybeUninit::uninit();
            let panel = room.as_mut_ptr().cast::<[F; COLS]>();
            for p in 0..self.depth {
                let (from, to) = (b.add(p * b_row), panel.add(p));
                if whole {
                    to.write(from.cast::<[F; COLS]>().read());
                } else {
                    let mut row = [F::ZERO; COLS];
                    for (j, to) in row[..width].iter_mut().enumerate() {
                        *to = *from.add(j * b_col);
                    }
                    to.write(row);
                }
            }
            self.down::<FUSED, ROWS, COLS>(panel.cast(), COLS, width);
        }
    }

    /// From the first row to the last, in the highest tiles that fit.
    ///
    /// # Safety
    /// As [`Strip::run`]; `b` holds `depth` rows of `COLS` elements at `b_row`.
    #[inline(always)]
    unsafe fn down<const FUSED: bool, const ROWS: usize, const COLS: usize>(
        self,
        b: *const F,
        b_row: usize,
        width: usize,
    ) {
        let mut row = 0;
        while row < self.rows {
            // SAFETY: as this function's; no tile is higher than the rows that are left.
            row += unsafe {
                match self.rows - row {
                    left if left >= ROWS => self.tile::<FUSED, ROWS, ROWS, COLS>(row, b, b_row, width),
                    4.. => self.tile::<FUSED, ROWS, 4, COLS>(row, b, b_row, width),
                    2.. => self.tile::<FUSED, ROWS, 2, COLS>(row, b, b_row, width),
                    _ => self.tile::<FUSED, ROWS, 1, COLS>(row, b, b_row, width),
                }
            };
        }
    }

    /// `ROWS` rows from row `row` on, inside one of A's tiles of `TILE`; answers their number.
    ///
    /// # Safety
    /// As [`Strip::down`].
    #[inline(always)]
    unsafe fn tile<const FUSED: bool, const TILE: usize, const ROWS: usize, const COLS: usize>(
        self,
        row: usize,
        b: *const F,
        b_row: usize,
        width: usize,
    ) -> usize {
        let a = self.a.start.wrapping_add(row / TILE * self.a.tile + row % TILE * self.a.row);
        let a = (a, self.a.row, self.a.col);
        let c = self.c.0.wrapping_add(row * self.c.1);
        // SAFETY: as this function's: C has these rows and `width` columns, and this thread alone has
        // them; B has `COLS` columns, padded where C has fewer.
        unsafe {
            if width == COLS {
                let sums = sums::<F, FUSED, ROWS, COLS>(self.depth, a, b, b_row);
                for (i, sums) in sums.iter().enumerate() {
                    self.store(sums, &mut *c.add(i * self.c.1).cast::<[F; COLS]>());
                }
            } else {
                // Indexing the sums by a variable would keep them in memory, were they not a black box.
                let sums = std::hint::black_box(sums::<F, FUSED, ROWS, COLS>(self.depth, a, b, b_row));
                for (i, sums) in sums.iter().enumerate() {
                    self.store(&sums[..width], std::slice::from_raw_parts_mut(c.add(i * self.c.1), width));
                }
            }
        }
        ROWS
    }

    /// `to = alpha sums + beta to`.
    #[inline(always)]
    fn store(&self, sums: &[F], to: &mut [F]) {
        match self.beta {
            Some(beta) => to.iter_mut().zip(sums).for_each(|(c, &sum)| *c = self.alpha * sum + beta * *c),
            None => to.iter_mut().zip(sums).for_each(|(c, &sum)| *c = self.alpha * sum),
        }
    }
}

/// `A B` over `depth`, for a few rows of A and columns of B.
///
/// # Safety
/// A has `ROWS` rows and `depth` columns, B `depth` rows of `COLS` adjacent elements.
#[inline(always)]
unsafe fn sums<F: Concrete, const FUSED: bool, const ROWS: usize, const COLS: usize>(
    depth: usize,
    (a, a_row, a_col): (*const F, usize, usize),
    b: *const F,
    b_row: usize,
) -> [[F; COLS]; ROWS] {
    let mut sums = [[F::ZERO; COLS]; ROWS];
    // Indices, not iterators: so the compiler unrolls all of it and keeps the sums in registers.
    #[allow(clippy::needless_range_loop, reason = "unrolled only so")]
    for p in 0..depth {
        // SAFETY: as this function's.
        let b: [F; COLS] = unsafe { b.add(p * b_row).cast::<[F; COLS]>().read() };
        for i in 0..ROWS {
            // SAFETY: as this function's.
            let a = unsafe { *a.add(i * a_row + p * a_col) };
            for j in 0..COLS {
                sums[i][j] = a.times_plus::<FUSED>(b[j], sums[i][j]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Scale = Scale { alpha: 1.0, beta: 0.0, count: 1, strides: [0; 3] };

    fn dense<F>(data: &[F], rows: usize, cols: usize) -> Matrix<'_, F> {
        Matrix::new(data, Span::dense(0, rows, cols))
    }

    #[test]
    fn threads_change_no_bit() {
        let (m, n, k) = (200, 150, 33);
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5;
        let (a, b): (Vec<_>, Vec<_>) = ((0..m * k).map(value).collect(), (0..k * n).map(value).collect());
        let results: Vec<_> = (1..=4)
            .map(|threads| {
                let mut c = vec![f32::NAN; m * n];
                let (a, b) = (dense(&a, m, k), dense(&b, k, n));
                let cpu = Cpu::new(threads).unwrap();
                multiply_on(&cpu, SET, a, b, &mut c, Span::dense(0, m, n));
                c
            })
            .collect();
        assert!(results.iter().all(|c| *c == results[0]));
        let exact: f64 = (0..k).map(|i| f64::from(a[7 * k + i]) * f64::from(b[i * n + 9])).sum();
        assert!((f64::from(results[0][7 * n + 9]) - exact).abs() < 1e-5);
    }

    #[test]
    fn every_layout_gives_the_sum() {
        let (m, n, k) = (131, 75, 300);
        let value = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0 - 0.5;
        let (a, b): (Vec<_>, Vec<_>) = ((0..m * k).map(value).collect(), (0..k * n).map(value).collect());
        for simd in [Simd::Portable, Simd::Avx2, Simd::Avx512].into_iter().filter(|s| s.is_available()) {
            for (turn_a, turn_b, turn_c) in
                [(false, false, false), (true, false, true), (false, true, false), (true, true, true)]
            {
                let matrix = |data, rows, cols, turn| match turn {
                    true => Matrix::new(data, Span::dense(0, cols, rows).transposed()),
                    false => dense(data, rows, cols),
                };
                let (a, b) = (matrix(&a, m, k, turn_a), matrix(&b, k, n, turn_b));
                let to = if turn_c { Span::dense(0, n, m).transposed() } else { Span::dense(0, m, n) };
                let mut c = vec![1.0; m * n];
                Product::new(Scale { alpha: 2.0, beta: 1.0, ..SET }, a, b, &mut c, to).run(simd);
                for (i, j) in [(0, 0), (63, 31), (64, 32), (130, 74), (7, 74), (130, 3)] {
                    let at = |x: Matrix<'_, f64>, r, c| x.data[x.span.at(r, c)];
                    let exact = 1.0 + 2.0 * (0..k).map(|p| at(a, i, p) * at(b, p, j)).sum::<f64>();
                    assert!((c[to.at(i, j)] - exact).abs() < 1e-12, "{simd:?} {turn_a} {turn_b} {i} {j}");
                }
            }
        }
    }

    #[test]
    fn blocks_follow_shapes() {
        assert_eq!(split(8, 8, 8), (true, 8));
        assert_eq!(split(960, 512, 128), (true, 64));
        assert_eq!(split(128, 4096, 64), (false, 256));
        assert_eq!(split(0, 0, 0), (true, 1));
    }
}

//! Gradient of a layer's weights: what every step multiplied, times the gradients of its pre-activations.

use super::{Crew, FRESH, NEAR, load, panel, store};
use crate::math::Concrete;
use crate::simd::{Simd, kernel};
use lstm_tensor::Float;
use std::ops::Range;

/// Rows of the next tile where `left` of them, a multiple of 4, are to be done.
pub(in super::super) fn tile_height(simd: Simd, left: usize) -> usize {
    match (simd, left) {
        (Simd::Avx512, 12..) => 12,
        (Simd::Avx512, 8..) => 8,
        _ => 4,
    }
}

/// `sums += uᵀ dz` over all slots and rows.
pub(in super::super) struct WeightGradient<'a, F> {
    /// Time steps.
    pub(in super::super) slots: usize,
    /// Batch rows `R` of each.
    pub(in super::super) rows: usize,
    /// Factors `K`, a multiple of 4.
    pub(in super::super) depth: usize,
    /// `[slots, 4U / panel, R, panel]`.
    pub(in super::super) dz: &'a [F],
    /// `[slots, tiles, R, height]`, the heights of tiles as [`tile_height`] gives them.
    pub(in super::super) u: &'a [F],
    /// Panels `[4U / panel, K, panel]`.
    pub(in super::super) sums: &'a mut [F],
    /// Whether `sums` holds something to add to.
    pub(in super::super) adds: bool,
}

/// Places of a [`WeightGradient`]; what they reach was checked when it was made.
#[derive(Clone, Copy)]
struct Gradient<F> {
    slots: usize,
    rows: usize,
    depth: usize,
    /// Panels of all gates, and those to be done.
    panels: usize,
    from: usize,
    to: usize,
    dz: *const F,
    u: *const F,
    sums: *mut F,
    adds: bool,
    simd: Simd,
}

// SAFETY: it is made of borrows that outlive its use, and threads get panels of their own.
unsafe impl<F: Send + Sync> Sync for Gradient<F> {}

impl<F: Float> WeightGradient<'_, F> {
    /// Calculates it.
    pub(in super::super) fn run(self, crew: Crew<'_>) {
        let Self { slots, rows, depth, dz, u, sums, adds } = self;
        let panels = sums.len() / (depth * panel::<F>());
        assert!(depth.is_multiple_of(4) && sums.len() == panels * depth * panel::<F>(), "sums");
        assert!(
            dz.len() >= slots * panels * rows * panel::<F>() && u.len() >= slots * depth * rows,
            "factors"
        );
        let (dz, u, sums) = (dz.as_ptr(), u.as_ptr(), sums.as_mut_ptr());
        let all =
            Gradient { slots, rows, depth, panels, from: 0, to: panels, dz, u, sums, adds, simd: crew.simd };
        // As many panels as stay in the cache while all factors pass by, and whole pairs.
        let size = (NEAR / (64 * slots * rows).max(1)).min(panels.div_ceil(16)).next_multiple_of(2).max(2);
        let work = slots * rows * depth * panels * panel::<F>();
        crew.panels(panels, size, work / FRESH, |range| all.of(range).on(crew.simd));
    }
}

impl<F: Float> Gradient<F> {
    fn of(&self, panels: Range<usize>) -> Self {
        Self { from: panels.start, to: panels.end, ..*self }
    }

    fn cast<T>(self) -> Gradient<T> {
        assert!(size_of::<T>() == size_of::<F>(), "another type");
        let Self { slots, rows, depth, panels, from, to, dz, u, sums, adds, simd } = self;
        let (dz, u, sums) = (dz.cast(), u.cast(), sums.cast());
        Gradient { slots, rows, depth, panels, from, to, dz, u, sums, adds, simd }
    }
}

// Lanes, and vectors side by side.
kernel!(Gradient::all, f32: [16, 2] [8, 2] [4, 2], f64: [8, 2] [4, 2] [2, 2]);

impl<F: Concrete> Gradient<F> {
    /// All of these panels, `VECTORS` vectors at a time, in the highest tiles that fit: first all panels with as
    /// many factors as stay in the cache, then with the next ones.
    ///
    /// # Safety
    /// All places exist, the sums for this thread alone.
    #[inline(always)]
    unsafe fn all<const FUSED: bool, const LANES: usize, const VECTORS: usize>(self) {
        let near = (NEAR / (size_of::<F>() * self.slots * self.rows).max(1)).next_multiple_of(24).max(24);
        let (mut factors, end) = (0, self.to * panel::<F>());
        while factors < self.depth {
            let last = self.depth.min(factors + near);
            let mut column = self.from * panel::<F>();
            while column < end {
                let wide = end - column >= VECTORS * LANES;
                let mut first = factors;
                while first < last {
                    let height = tile_height(self.simd, self.depth - first);
                    // SAFETY: as this function's.
                    unsafe {
                        match (height, wide) {
                            (12, true) => self.tile::<FUSED, LANES, 12, VECTORS>(first, column),
                            (12, _) => self.tile::<FUSED, LANES, 12, 1>(first, column),
                            (8, true) => self.tile::<FUSED, LANES, 8, VECTORS>(first, column),
                            (8, _) => self.tile::<FUSED, LANES, 8, 1>(first, column),
                            (_, true) => self.tile::<FUSED, LANES, 4, VECTORS>(first, column),
                            _ => self.tile::<FUSED, LANES, 4, 1>(first, column),
                        }
                    }
                    first += height;
                }
                column += if wide { VECTORS * LANES } else { LANES };
            }
            factors = last;
        }
    }

    /// Sums of `HEIGHT` factors from `first` on, with `VECTORS` vectors of gradients from `column` on.
    ///
    /// # Safety
    /// All of that exists.
    #[inline(always)]
    unsafe fn tile<const FUSED: bool, const LANES: usize, const HEIGHT: usize, const VECTORS: usize>(
        self,
        first: usize,
        column: usize,
    ) {
        let (rows, width) = (self.rows, panel::<F>());
        // Of vector `n`: its panel, and the place in it.
        let at = |n: usize| ((column + n * LANES) / width, (column + n * LANES) % width);
        let mut sums = [[[F::ZERO; LANES]; VECTORS]; HEIGHT];
        // SAFETY: as this function's; so for all below.
        unsafe {
            if self.adds {
                unrolled!(k < HEIGHT => {
                    for n in 0..VECTORS {
                        let (panel, inside) = at(n);
                        let place = self.sums.add((panel * self.depth + first + k) * width + inside);
                        sums[k][n] = load::<F, LANES>(place);
                    }
                });
            }
            for slot in 0..self.slots {
                let mut u = self.u.add((slot * self.depth + first) * rows);
                let mut dz = [self.dz; VECTORS];
                for n in 0..VECTORS {
                    let (panel, inside) = at(n);
                    dz[n] = self.dz.add((slot * self.panels + panel) * rows * width + inside);
                }
                for _ in 0..rows {
                    let mut vectors = [[F::ZERO; LANES]; VECTORS];
                    for n in 0..VECTORS {
                        vectors[n] = load::<F, LANES>(dz[n]);
                        dz[n] = dz[n].wrapping_add(width);
                    }
                    unrolled!(k < HEIGHT => {
                        let factor = *u.add(k);
                        for n in 0..VECTORS {
                            for j in 0..LANES {
                                sums[k][n][j] = factor.times_plus::<FUSED>(vectors[n][j], sums[k][n][j]);
                            }
                        }
                    });
                    u = u.wrapping_add(HEIGHT);
                }
            }
            unrolled!(k < HEIGHT => {
                for n in 0..VECTORS {
                    let (panel, inside) = at(n);
                    store(self.sums.add((panel * self.depth + first + k) * width + inside), sums[k][n]);
                }
            });
        }
    }
}

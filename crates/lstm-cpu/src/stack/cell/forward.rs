//! One time step of a block of rows forward: recurrent product, gates and states, all of a unit's numbers in
//! registers from the first multiply-add to the last store.

use super::{Crew, load, panel, prefetch, store};
use crate::math::{Concrete, sigmoid, tanh};
use crate::simd::kernel;
use lstm_tensor::Float;
use std::ops::Range;
use std::ptr::{null, null_mut};

/// Numbers that are multiplied with weights: `len` of each row, with the weights' rows from `first` on.
#[derive(Clone, Copy)]
pub(in super::super) struct Factor<'a, F> {
    pub(in super::super) data: &'a [F],
    /// Elements from one row to the next.
    pub(in super::super) stride: usize,
    pub(in super::super) first: usize,
    pub(in super::super) len: usize,
}

impl<F> Factor<'_, F> {
    /// Nothing to multiply.
    pub(in super::super) const NONE: Self = Self { data: &[], stride: 0, first: 0, len: 0 };
}

/// One step forward. `U` are the units with padding.
pub(in super::super) struct StepForward<'a, F> {
    /// Rows `R`.
    pub(in super::super) rows: usize,
    /// Units with padding.
    pub(in super::super) units: usize,
    /// Panels of `[K, 4, panel]`.
    pub(in super::super) weights: &'a [F],
    /// Panels of `[4, panel]`.
    pub(in super::super) bias: &'a [F],
    /// Inputs, if they are multiplied here, and the hidden state before the step.
    pub(in super::super) factors: [Factor<'a, F>; 2],
    /// `[R, 4U]`; none if nothing was multiplied before and nothing is to be kept.
    pub(in super::super) gates: Option<&'a mut [F]>,
    /// Whether the gates hold the inputs' share of the pre-activations.
    pub(in super::super) adds: bool,
    /// Whether the gates receive the activations.
    pub(in super::super) keeps: bool,
    /// Cell state before the step, `[R, U]`; zero if absent.
    pub(in super::super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, U]`.
    pub(in super::super) cell: &'a mut [F],
    /// Hidden state after the step, `[R, U]`.
    pub(in super::super) out: &'a mut [F],
}

/// The inputs' share of pre-activations, where they are too many to be multiplied in the step. `U` as there.
pub(in super::super) struct InputProduct<'a, F> {
    /// Rows `R`: steps times batch rows.
    pub(in super::super) rows: usize,
    /// Units with padding.
    pub(in super::super) units: usize,
    /// Panels of `[K, 4, panel]`.
    pub(in super::super) weights: &'a [F],
    /// Inputs.
    pub(in super::super) input: Factor<'a, F>,
    /// Receives them, `[R, 4U]`.
    pub(in super::super) gates: &'a mut [F],
}

/// Places of a [`StepForward`] or an [`InputProduct`]; what they reach was checked when it was made.
#[derive(Clone, Copy)]
struct Forward<F> {
    rows: usize,
    units: usize,
    /// Panels to be done.
    from: usize,
    to: usize,
    depth: usize,
    weights: *const F,
    /// None in an input product, which ends with the sums.
    bias: *const F,
    factors: [(*const F, usize, usize, usize); 2],
    gates: *mut F,
    adds: bool,
    keeps: bool,
    before: *const F,
    cell: *mut F,
    out: *mut F,
}

// SAFETY: it is made of borrows that outlive its use, and threads get panels of their own.
unsafe impl<F: Send + Sync> Sync for Forward<F> {}

impl<F: Float> StepForward<'_, F> {
    /// Runs the step.
    pub(in super::super) fn run(self, crew: Crew<'_>) {
        let Self { rows, units, weights, bias, factors, gates, adds, keeps, before, cell, out } = self;
        let state = rows * units;
        assert!(bias.len() == 4 * units && cell.len() >= state && out.len() >= state, "states");
        assert!(before.is_none_or(|before| before.len() >= state), "state before");
        assert!(gates.as_ref().map_or(!adds && !keeps, |gates| gates.len() >= 4 * state), "gates");
        let places = Forward {
            bias: bias.as_ptr(),
            gates: gates.map_or(null_mut(), <[F]>::as_mut_ptr),
            adds,
            keeps,
            before: before.map_or(null(), <[F]>::as_ptr),
            cell: cell.as_mut_ptr(),
            out: out.as_mut_ptr(),
            ..Forward::new(rows, units, weights, factors)
        };
        places.share(crew);
    }
}

impl<F: Float> InputProduct<'_, F> {
    /// Calculates it.
    pub(in super::super) fn run(self, crew: Crew<'_>) {
        let Self { rows, units, weights, input, gates } = self;
        assert!(gates.len() >= 4 * rows * units, "gates");
        let places = Forward {
            gates: gates.as_mut_ptr(),
            ..Forward::new(rows, units, weights, [input, Factor::NONE])
        };
        places.share(crew);
    }
}

impl<F: Float> Forward<F> {
    /// The sums of `factors`, and no place for anything else.
    fn new(rows: usize, units: usize, weights: &[F], factors: [Factor<'_, F>; 2]) -> Self {
        let depth = weights.len() / (4 * units);
        assert!(units.is_multiple_of(panel::<F>()) && weights.len() == 4 * units * depth, "packed weights");
        for factor in &factors {
            let fits = factor.len == 0 || (rows - 1) * factor.stride + factor.len <= factor.data.len();
            assert!(rows > 0 && fits && factor.first + factor.len <= depth, "factors");
        }
        Self {
            rows,
            units,
            from: 0,
            to: units / panel::<F>(),
            depth,
            weights: weights.as_ptr(),
            bias: null(),
            factors: factors.map(|f| (f.data.as_ptr(), f.stride, f.first, f.len)),
            gates: null_mut(),
            adds: false,
            keeps: false,
            before: null(),
            cell: null_mut(),
            out: null_mut(),
        }
    }

    /// All panels, shared out.
    fn share(&self, crew: Crew<'_>) {
        let depth: usize = self.factors.iter().map(|&(.., len)| len).sum();
        // Few rows are calculated two panels at a time.
        let size = if self.rows <= 2 { 2 } else { 1 };
        crew.panels(self.to, size, self.rows * 4 * self.units * depth, |panels: Range<usize>| {
            Self { from: panels.start, to: panels.end, ..*self }.on(crew.simd);
        });
    }

    /// The same over the type that `F` is.
    fn cast<T>(self) -> Forward<T> {
        assert!(size_of::<T>() == size_of::<F>(), "another type");
        let Self {
            rows,
            units,
            from,
            to,
            depth,
            weights,
            bias,
            factors,
            gates,
            adds,
            keeps,
            before,
            cell,
            out,
        } = self;
        Forward {
            rows,
            units,
            from,
            to,
            depth,
            weights: weights.cast(),
            bias: bias.cast(),
            factors: factors.map(|(data, stride, first, len)| (data.cast(), stride, first, len)),
            gates: gates.cast(),
            adds,
            keeps,
            before: before.cast(),
            cell: cell.cast(),
            out: out.cast(),
        }
    }
}

// Lanes, and as many rows as there are registers for four gates of them.
kernel!(Forward::all, f32: [16, 6] [8, 2] [4, 2], f64: [8, 6] [4, 2] [2, 2]);

impl<F: Concrete> Forward<F> {
    /// All rows of these panels, in tiles of about equal height, at most `ROWS`, and one vector of units; two
    /// vectors where rows are too few to keep the multipliers busy.
    ///
    /// # Safety
    /// All places exist.
    #[inline(always)]
    unsafe fn all<const FUSED: bool, const LANES: usize, const ROWS: usize>(self) {
        let tiles = self.rows.div_ceil(ROWS);
        let (mut unit, end_unit) = (self.from * panel::<F>(), self.to * panel::<F>());
        while unit < end_unit {
            let wide = self.rows <= 2 && unit + 2 * LANES <= end_unit;
            for tile in 0..tiles {
                let (row, end) = (self.rows * tile / tiles, self.rows * (tile + 1) / tiles);
                // SAFETY: as this function's.
                unsafe {
                    match (end - row, wide) {
                        (1, true) => self.tile::<FUSED, LANES, 1, 2>(row, unit),
                        (2, true) => self.tile::<FUSED, LANES, 2, 2>(row, unit),
                        (1, _) => self.tile::<FUSED, LANES, 1, 1>(row, unit),
                        (2, _) => self.tile::<FUSED, LANES, 2, 1>(row, unit),
                        (3, _) if ROWS > 2 => self.tile::<FUSED, LANES, 3, 1>(row, unit),
                        (4, _) if ROWS > 2 => self.tile::<FUSED, LANES, 4, 1>(row, unit),
                        (5, _) if ROWS > 2 => self.tile::<FUSED, LANES, 5, 1>(row, unit),
                        _ if ROWS > 2 => self.tile::<FUSED, LANES, 6, 1>(row, unit),
                        _ => {}
                    }
                }
            }
            unit += if wide { 2 * LANES } else { LANES };
        }
    }

    /// Pre-activations of `ROWS` rows from `row` on, `VECTORS` vectors of units from `unit` on.
    ///
    /// # Safety
    /// All of that exists.
    #[inline(always)]
    #[allow(clippy::type_complexity, reason = "[row][vector][gate][lane]")]
    unsafe fn sums<const FUSED: bool, const LANES: usize, const ROWS: usize, const VECTORS: usize>(
        self,
        row: usize,
        unit: usize,
    ) -> [[[[F; LANES]; 4]; VECTORS]; ROWS] {
        let (units, wide) = (self.units, 4 * panel::<F>());
        // Of vector `n`: its first unit, and the place of that in its panel.
        let at = |n: usize| {
            (unit + n * LANES, (unit + n * LANES) / panel::<F>(), (unit + n * LANES) % panel::<F>())
        };
        let mut sums = [[[[F::ZERO; LANES]; 4]; VECTORS]; ROWS];
        // SAFETY: as this function's; so for all below.
        unsafe {
            for n in 0..VECTORS {
                let (unit, number, inside) = at(n);
                for gate in 0..4 {
                    let bias = match self.bias.is_null() {
                        true => [F::ZERO; LANES],
                        false => {
                            load::<F, LANES>(self.bias.add(number * wide + gate * panel::<F>() + inside))
                        }
                    };
                    for r in 0..ROWS {
                        sums[r][n][gate] = bias;
                        if self.adds {
                            let given = self.gates.add((row + r) * 4 * units + gate * units + unit);
                            let given = load::<F, LANES>(given);
                            for j in 0..LANES {
                                sums[r][n][gate][j] += given[j];
                            }
                        }
                    }
                }
            }
            // While the tiles of this panel are calculated, the next panel comes nearer, a share of it in each. Where
            // there is but one tile, weights are read once, and as they come.
            let lines = wide * self.depth * size_of::<F>();
            let tiles = self.rows.div_ceil(ROWS);
            let next =
                self.weights.wrapping_add((unit / panel::<F>() + VECTORS) * wide * self.depth).cast::<u8>();
            let mut next = next.wrapping_add(lines / tiles * (row / ROWS));
            let share = wide * size_of::<F>() / tiles;
            for (data, stride, first, len) in self.factors {
                let data = data.wrapping_add(row * stride);
                for k in 0..len {
                    if VECTORS == 1 && tiles > 1 {
                        prefetch::<true, _>(next);
                        next = next.wrapping_add(share);
                    }
                    let mut weights = [[[F::ZERO; LANES]; 4]; VECTORS];
                    for n in 0..VECTORS {
                        let (_, number, inside) = at(n);
                        let from = self.weights.add((number * self.depth + first + k) * wide + inside);
                        for gate in 0..4 {
                            weights[n][gate] = load::<F, LANES>(from.add(gate * panel::<F>()));
                        }
                    }
                    for r in 0..ROWS {
                        let factor = *data.add(r * stride + k);
                        for n in 0..VECTORS {
                            for gate in 0..4 {
                                for j in 0..LANES {
                                    sums[r][n][gate][j] =
                                        factor.times_plus::<FUSED>(weights[n][gate][j], sums[r][n][gate][j]);
                                }
                            }
                        }
                    }
                }
            }
        }
        sums
    }

    /// `ROWS` rows from `row` on, `VECTORS` vectors of units from `unit` on.
    ///
    /// # Safety
    /// All of that exists.
    #[inline(always)]
    unsafe fn tile<const FUSED: bool, const LANES: usize, const ROWS: usize, const VECTORS: usize>(
        self,
        row: usize,
        unit: usize,
    ) {
        let units = self.units;
        // SAFETY: as this function's; so for all below.
        unsafe {
            // What follows is too long to be unrolled. Sums that it indexes by a variable would stand in memory
            // while they are summed up, were they not a black box.
            let mut sums = std::hint::black_box(self.sums::<FUSED, LANES, ROWS, VECTORS>(row, unit));
            if self.bias.is_null() {
                return self.keep(row, unit, &sums);
            }
            for r in 0..ROWS {
                for n in 0..VECTORS {
                    let unit = unit + n * LANES;
                    let state = (row + r) * units + unit;
                    let [mut i, mut f, mut g, mut o] = sums[r][n];
                    let before = match self.before.is_null() {
                        true => [F::ZERO; LANES],
                        false => load::<F, LANES>(self.before.add(state)),
                    };
                    let mut cell = [F::ZERO; LANES];
                    for j in 0..LANES {
                        i[j] = sigmoid::<F, FUSED>(i[j]);
                        f[j] = sigmoid::<F, FUSED>(f[j]);
                        g[j] = tanh::<F, FUSED>(g[j]);
                        o[j] = sigmoid::<F, FUSED>(o[j]);
                        cell[j] = f[j].times_plus::<FUSED>(before[j], i[j] * g[j]);
                    }
                    store(self.cell.add(state), cell);
                    sums[r][n] = [i, f, cell, o];
                    if self.keeps {
                        let to = self.gates.add((row + r) * 4 * units + unit);
                        store(to, i);
                        store(to.add(units), f);
                        store(to.add(2 * units), g);
                        store(to.add(3 * units), o);
                    }
                }
            }
            // Apart from the gates: none of these waits for another, so that the processor works on many at once.
            for r in 0..ROWS {
                for n in 0..VECTORS {
                    let [.., cell, o] = sums[r][n];
                    let mut out = [F::ZERO; LANES];
                    for j in 0..LANES {
                        out[j] = o[j] * tanh::<F, FUSED>(cell[j]);
                    }
                    store(self.out.add((row + r) * units + unit + n * LANES), out);
                }
            }
        }
    }

    /// Stores pre-activations.
    ///
    /// # Safety
    /// As [`Forward::tile`].
    #[inline(always)]
    unsafe fn keep<const LANES: usize, const ROWS: usize, const VECTORS: usize>(
        self,
        row: usize,
        unit: usize,
        sums: &[[[[F; LANES]; 4]; VECTORS]; ROWS],
    ) {
        for r in 0..ROWS {
            for n in 0..VECTORS {
                for gate in 0..4 {
                    let at = (row + r) * 4 * self.units + gate * self.units + unit + n * LANES;
                    // SAFETY: as this function's.
                    unsafe { store(self.gates.add(at), sums[r][n][gate]) };
                }
            }
        }
    }
}

//! One time step of a block of rows: recurrent product, gates, states and their gradients, all of a unit's
//! numbers in registers from the first multiply-add to the last store.
//!
//! Weights are packed in panels of [`panel`] units, so that a tile reads them as they follow each other.
//! Rows of gates and states are padded to whole panels; what stands in the padding is never read but by the
//! padding itself.
#![allow(
    unsafe_code,
    reason = "tiles read and write rows without checks; what they reach is asserted before"
)]
// Indices, not iterators: so the compiler unrolls all of a tile and keeps it in registers.
#![allow(clippy::needless_range_loop, reason = "unrolled only so")]

use crate::math::{Concrete, sigmoid, tanh, tanh_and_slope};
use crate::simd::{Kernel, Simd};
use lstm_tensor::Float;
use std::ptr::{null, null_mut};

/// Units of a panel of weights: a cache line of them.
pub(super) const fn panel<F>() -> usize {
    64 / size_of::<F>()
}

/// Numbers that are multiplied with weights: `len` of each row, with the weights' rows from `first` on.
#[derive(Clone, Copy)]
pub(super) struct Factor<'a, F> {
    pub(super) data: &'a [F],
    /// Elements from one row to the next.
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) len: usize,
}

impl<F> Factor<'_, F> {
    /// Nothing to multiply.
    pub(super) const NONE: Self = Self { data: &[], stride: 0, first: 0, len: 0 };
}

/// One step forward. `U` are the units with padding.
pub(super) struct StepForward<'a, F> {
    /// Rows `R`.
    pub(super) rows: usize,
    /// Units with padding.
    pub(super) units: usize,
    /// Panels of `[K, 4, panel]`.
    pub(super) weights: &'a [F],
    /// Panels of `[4, panel]`.
    pub(super) bias: &'a [F],
    /// Inputs, if they are multiplied here, and the hidden state before the step.
    pub(super) factors: [Factor<'a, F>; 2],
    /// `[R, 4U]`; none if nothing was multiplied before and nothing is to be kept.
    pub(super) gates: Option<&'a mut [F]>,
    /// Whether the gates hold the inputs' share of the pre-activations.
    pub(super) adds: bool,
    /// Whether the gates receive the activations.
    pub(super) keeps: bool,
    /// Cell state before the step, `[R, U]`; zero if absent.
    pub(super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, U]`.
    pub(super) cell: &'a mut [F],
    /// Hidden state after the step, `[R, U]`.
    pub(super) out: &'a mut [F],
}

/// Places of a [`StepForward`]; what they reach was checked when it was made.
#[derive(Clone, Copy)]
struct Forward<F> {
    rows: usize,
    units: usize,
    depth: usize,
    weights: *const F,
    bias: *const F,
    factors: [(*const F, usize, usize, usize); 2],
    gates: *mut F,
    adds: bool,
    keeps: bool,
    before: *const F,
    cell: *mut F,
    out: *mut F,
}

impl<F: Float> StepForward<'_, F> {
    /// The same over the type that `F` is.
    fn places<T>(self) -> Forward<T> {
        let Self { rows, units, weights, bias, factors, gates, adds, keeps, before, cell, out } = self;
        assert!(size_of::<T>() == size_of::<F>() && units.is_multiple_of(panel::<F>()), "type and panels");
        let depth = weights.len() / (4 * units);
        let state = rows * units;
        assert!(weights.len() == 4 * units * depth && bias.len() == 4 * units, "packed weights");
        assert!(cell.len() >= state && out.len() >= state, "states");
        assert!(before.is_none_or(|before| before.len() >= state), "state before");
        assert!(gates.as_ref().map_or(!adds && !keeps, |gates| gates.len() >= 4 * state), "gates");
        for factor in &factors {
            let fits = factor.len == 0 || (rows - 1) * factor.stride + factor.len <= factor.data.len();
            assert!(rows > 0 && fits && factor.first + factor.len <= depth, "factors");
        }
        Forward {
            rows,
            units,
            depth,
            weights: weights.as_ptr().cast(),
            bias: bias.as_ptr().cast(),
            factors: factors.map(|f| (f.data.as_ptr().cast(), f.stride, f.first, f.len)),
            gates: gates.map_or(null_mut(), |gates| gates.as_mut_ptr().cast()),
            adds,
            keeps,
            before: before.map_or(null(), |before| before.as_ptr().cast()),
            cell: cell.as_mut_ptr().cast(),
            out: out.as_mut_ptr().cast(),
        }
    }
}

impl<F: Float> StepForward<'_, F> {
    /// Runs the step.
    pub(super) fn run(self, simd: Simd) {
        if size_of::<F>() == size_of::<f32>() {
            forward_single(simd, self.places());
        } else {
            forward_double(simd, self.places());
        }
    }
}

// Not generic, so that tiles are compiled here, once, and not in every crate that trains something.
fn forward_single(simd: Simd, step: Forward<f32>) {
    simd.run(step);
}

fn forward_double(simd: Simd, step: Forward<f64>) {
    simd.run(step);
}

impl Kernel for Forward<f32> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        // SAFETY: `places` asserted that everything lies inside the slices, of which this step has the
        // mutable ones for itself.
        unsafe {
            // As many rows as there are registers for four gates of them.
            match VECTOR {
                64 => self.all::<FUSED, 16, 6>(),
                32 => self.all::<FUSED, 8, 2>(),
                _ => self.all::<FUSED, 4, 2>(),
            }
        }
    }
}

impl Kernel for Forward<f64> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        // SAFETY: as above.
        unsafe {
            match VECTOR {
                64 => self.all::<FUSED, 8, 6>(),
                32 => self.all::<FUSED, 4, 2>(),
                _ => self.all::<FUSED, 2, 2>(),
            }
        }
    }
}

impl<F: Concrete> Forward<F> {
    /// All rows and units, in tiles of about equal height, at most `ROWS`, and one vector of units; two
    /// vectors where rows are too few to keep the multipliers busy.
    ///
    /// # Safety
    /// All places exist.
    #[inline(always)]
    unsafe fn all<const FUSED: bool, const LANES: usize, const ROWS: usize>(self) {
        let tiles = self.rows.div_ceil(ROWS);
        let mut unit = 0;
        while unit < self.units {
            let wide = self.rows <= 2 && unit + 2 * LANES <= self.units;
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
                    let bias = load::<F, LANES>(self.bias.add(number * wide + gate * panel::<F>() + inside));
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
            for (data, stride, first, len) in self.factors {
                let data = data.wrapping_add(row * stride);
                for k in 0..len {
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
            let sums = std::hint::black_box(self.sums::<FUSED, LANES, ROWS, VECTORS>(row, unit));
            for r in 0..ROWS {
                for n in 0..VECTORS {
                    let unit = unit + n * LANES;
                    let state = (row + r) * units + unit;
                    let [mut i, mut f, mut g, mut o] = sums[r][n];
                    let before = match self.before.is_null() {
                        true => [F::ZERO; LANES],
                        false => load::<F, LANES>(self.before.add(state)),
                    };
                    let (mut cell, mut out) = ([F::ZERO; LANES], [F::ZERO; LANES]);
                    for j in 0..LANES {
                        i[j] = sigmoid::<F, FUSED>(i[j]);
                        f[j] = sigmoid::<F, FUSED>(f[j]);
                        g[j] = tanh::<F, FUSED>(g[j]);
                        o[j] = sigmoid::<F, FUSED>(o[j]);
                        cell[j] = f[j].times_plus::<FUSED>(before[j], i[j] * g[j]);
                        out[j] = o[j] * tanh::<F, FUSED>(cell[j]);
                    }
                    store(self.cell.add(state), cell);
                    store(self.out.add(state), out);
                    if self.keeps {
                        let gates = self.gates.add((row + r) * 4 * units + unit);
                        store(gates, i);
                        store(gates.add(units), f);
                        store(gates.add(2 * units), g);
                        store(gates.add(3 * units), o);
                    }
                }
            }
        }
    }
}

/// One step backward. `U` are the units with padding.
pub(super) struct StepBackward<'a, F> {
    /// Rows `R`.
    pub(super) rows: usize,
    /// Units with padding.
    pub(super) units: usize,
    /// Hidden units `H`.
    pub(super) hidden: usize,
    /// Panels of `[4H, panel]`.
    pub(super) weights: &'a [F],
    /// Gradients of the next step's pre-activations, `[R, 4U]`; none after the last step.
    pub(super) after: Option<&'a [F]>,
    /// Activations on the way in, gradients of the pre-activations on the way out, `[R, 4U]`.
    pub(super) gates: &'a mut [F],
    /// Cell state before the step, `[R, U]`; zero if absent.
    pub(super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, U]`.
    pub(super) cell: &'a [F],
    /// Gradient of the output, from above, `[R, U]`.
    pub(super) d_out: &'a [F],
    /// Gradient of the last hidden state, at the last step, `[R, U]`.
    pub(super) d_last: Option<&'a [F]>,
    /// Gradient of the cell state after the step, then of that before, `[R, U]`.
    pub(super) d_cell: &'a mut [F],
    /// Receives the sum of the rows of `gates`, `[4U]`.
    pub(super) d_bias: &'a mut [F],
}

/// Places of a [`StepBackward`]; what they reach was checked when it was made.
#[derive(Clone, Copy)]
struct Backward<F> {
    rows: usize,
    units: usize,
    hidden: usize,
    weights: *const F,
    after: *const F,
    gates: *mut F,
    before: *const F,
    cell: *const F,
    d_out: *const F,
    d_last: *const F,
    d_cell: *mut F,
    d_bias: *mut F,
}

impl<F: Float> StepBackward<'_, F> {
    /// The same over the type that `F` is.
    fn places<T>(self) -> Backward<T> {
        let Self { rows, units, hidden, weights, after, gates, before, cell, d_out, d_last, d_cell, d_bias } =
            self;
        assert!(size_of::<T>() == size_of::<F>() && units.is_multiple_of(panel::<F>()), "type and panels");
        let state = rows * units;
        assert!(hidden <= units && weights.len() == 4 * hidden * units, "packed weights");
        assert!(after.is_none_or(|after| after.len() >= 4 * state) && gates.len() >= 4 * state, "gates");
        for read in [before, Some(cell), Some(d_out), d_last].into_iter().flatten() {
            assert!(read.len() >= state, "states");
        }
        assert!(d_cell.len() >= state && d_bias.len() >= 4 * units, "gradients");
        let place = |read: Option<&[F]>| read.map_or(null(), |read| read.as_ptr().cast());
        Backward {
            rows,
            units,
            hidden,
            weights: weights.as_ptr().cast(),
            after: place(after),
            gates: gates.as_mut_ptr().cast(),
            before: place(before),
            cell: cell.as_ptr().cast(),
            d_out: d_out.as_ptr().cast(),
            d_last: place(d_last),
            d_cell: d_cell.as_mut_ptr().cast(),
            d_bias: d_bias.as_mut_ptr().cast(),
        }
    }
}

impl<F: Float> StepBackward<'_, F> {
    /// Runs the step.
    pub(super) fn run(self, simd: Simd) {
        if size_of::<F>() == size_of::<f32>() {
            backward_single(simd, self.places());
        } else {
            backward_double(simd, self.places());
        }
    }
}

fn backward_single(simd: Simd, step: Backward<f32>) {
    simd.run(step);
}

fn backward_double(simd: Simd, step: Backward<f64>) {
    simd.run(step);
}

impl Kernel for Backward<f32> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        // SAFETY: as for `Forward`.
        unsafe {
            match VECTOR {
                64 => self.all::<FUSED, 16, 8>(),
                32 => self.all::<FUSED, 8, 4>(),
                _ => self.all::<FUSED, 4, 4>(),
            }
        }
    }
}

impl Kernel for Backward<f64> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        // SAFETY: as for `Forward`.
        unsafe {
            match VECTOR {
                64 => self.all::<FUSED, 8, 8>(),
                32 => self.all::<FUSED, 4, 4>(),
                _ => self.all::<FUSED, 2, 4>(),
            }
        }
    }
}

impl<F: Concrete> Backward<F> {
    /// All rows and units, in the highest tiles that fit, two vectors of units wide; four where rows are
    /// too few to keep the multipliers busy.
    ///
    /// # Safety
    /// All places exist.
    #[inline(always)]
    unsafe fn all<const FUSED: bool, const LANES: usize, const ROWS: usize>(self) {
        let mut unit = 0;
        while unit < self.units {
            let left = (self.units - unit) / LANES;
            let vectors = if left >= 4 && self.rows <= 2 { 4 } else { left.min(2) };
            let mut row = 0;
            while row < self.rows {
                let rows = self.rows - row;
                // SAFETY: as this function's.
                row += unsafe {
                    match (rows, vectors) {
                        (8.., 2) if ROWS >= 8 => self.tile::<FUSED, LANES, 8, 2>(row, unit),
                        (8.., _) if ROWS >= 8 => self.tile::<FUSED, LANES, 8, 1>(row, unit),
                        (4.., 2) => self.tile::<FUSED, LANES, 4, 2>(row, unit),
                        (4.., _) => self.tile::<FUSED, LANES, 4, 1>(row, unit),
                        (2.., 4) => self.tile::<FUSED, LANES, 2, 4>(row, unit),
                        (2.., 2) => self.tile::<FUSED, LANES, 2, 2>(row, unit),
                        (2.., _) => self.tile::<FUSED, LANES, 2, 1>(row, unit),
                        (_, 4) => self.tile::<FUSED, LANES, 1, 4>(row, unit),
                        (_, 2) => self.tile::<FUSED, LANES, 1, 2>(row, unit),
                        _ => self.tile::<FUSED, LANES, 1, 1>(row, unit),
                    }
                };
            }
            unit += vectors * LANES;
        }
    }

    /// Gradient of the hidden state of `ROWS` rows from `row` on, `VECTORS` vectors of units from `unit` on.
    ///
    /// # Safety
    /// All of that exists.
    #[inline(always)]
    unsafe fn sums<const FUSED: bool, const LANES: usize, const ROWS: usize, const VECTORS: usize>(
        self,
        row: usize,
        unit: usize,
    ) -> [[[F; LANES]; VECTORS]; ROWS] {
        let (units, hidden) = (self.units, self.hidden);
        let at = |n: usize| unit + n * LANES;
        let mut d_hidden = [[[F::ZERO; LANES]; VECTORS]; ROWS];
        // SAFETY: as this function's; so for all below.
        unsafe {
            for r in 0..ROWS {
                for n in 0..VECTORS {
                    let place = (row + r) * units + at(n);
                    d_hidden[r][n] = load::<F, LANES>(self.d_out.add(place));
                    if !self.d_last.is_null() {
                        let last = load::<F, LANES>(self.d_last.add(place));
                        for j in 0..LANES {
                            d_hidden[r][n][j] += last[j];
                        }
                    }
                }
            }
            if !self.after.is_null() {
                for gate in 0..4 {
                    let after = self.after.add(row * 4 * units + gate * units);
                    for k in 0..hidden {
                        let mut weights = [[F::ZERO; LANES]; VECTORS];
                        for n in 0..VECTORS {
                            let (number, inside) = (at(n) / panel::<F>(), at(n) % panel::<F>());
                            let line = (number * 4 + gate) * hidden + k;
                            weights[n] = load::<F, LANES>(self.weights.add(line * panel::<F>() + inside));
                        }
                        for r in 0..ROWS {
                            let factor = *after.add(r * 4 * units + k);
                            for n in 0..VECTORS {
                                for j in 0..LANES {
                                    d_hidden[r][n][j] =
                                        factor.times_plus::<FUSED>(weights[n][j], d_hidden[r][n][j]);
                                }
                            }
                        }
                    }
                }
            }
        }
        d_hidden
    }

    /// `ROWS` rows from `row` on, `VECTORS` vectors of units from `unit` on; answers the number of rows.
    ///
    /// # Safety
    /// All of that exists.
    #[inline(always)]
    unsafe fn tile<const FUSED: bool, const LANES: usize, const ROWS: usize, const VECTORS: usize>(
        self,
        row: usize,
        unit: usize,
    ) -> usize {
        let (units, one) = (self.units, F::ONE);
        let at = |n: usize| unit + n * LANES;
        // SAFETY: as this function's; so for all below.
        unsafe {
            // As in the forward step.
            let d_hidden = std::hint::black_box(self.sums::<FUSED, LANES, ROWS, VECTORS>(row, unit));
            for n in 0..VECTORS {
                let mut d_bias = [[F::ZERO; LANES]; 4];
                for r in 0..ROWS {
                    let place = (row + r) * units + at(n);
                    let gates = self.gates.add((row + r) * 4 * units + at(n));
                    let mut i = load::<F, LANES>(gates);
                    let mut f = load::<F, LANES>(gates.add(units));
                    let mut g = load::<F, LANES>(gates.add(2 * units));
                    let mut o = load::<F, LANES>(gates.add(3 * units));
                    let cell = load::<F, LANES>(self.cell.add(place));
                    let before = match self.before.is_null() {
                        true => [F::ZERO; LANES],
                        false => load::<F, LANES>(self.before.add(place)),
                    };
                    let mut d_cell = load::<F, LANES>(self.d_cell.add(place));
                    for j in 0..LANES {
                        let (squashed, slope) = tanh_and_slope::<F, FUSED>(cell[j]);
                        let d_h = d_hidden[r][n][j];
                        let d_c = (d_h * o[j]).times_plus::<FUSED>(slope, d_cell[j]);
                        let (i_j, f_j, g_j, o_j) = (i[j], f[j], g[j], o[j]);
                        i[j] = d_c * g_j * (i_j * (one - i_j));
                        f[j] = d_c * before[j] * (f_j * (one - f_j));
                        g[j] = d_c * i_j * ((one - g_j) * (one + g_j));
                        o[j] = d_h * squashed * (o_j * (one - o_j));
                        d_cell[j] = d_c * f_j;
                    }
                    store(self.d_cell.add(place), d_cell);
                    store(gates, i);
                    store(gates.add(units), f);
                    store(gates.add(2 * units), g);
                    store(gates.add(3 * units), o);
                    for j in 0..LANES {
                        d_bias[0][j] += i[j];
                        d_bias[1][j] += f[j];
                        d_bias[2][j] += g[j];
                        d_bias[3][j] += o[j];
                    }
                }
                for gate in 0..4 {
                    let place = self.d_bias.add(gate * units + at(n));
                    let mut sum = load::<F, LANES>(place);
                    for j in 0..LANES {
                        sum[j] += d_bias[gate][j];
                    }
                    store(place, sum);
                }
            }
        }
        ROWS
    }
}

/// # Safety
/// So many elements from there on can be read.
#[inline(always)]
unsafe fn load<F: Copy, const LANES: usize>(from: *const F) -> [F; LANES] {
    // SAFETY: as this function's; an array has the alignment of its elements.
    unsafe { from.cast::<[F; LANES]>().read() }
}

/// # Safety
/// So many elements from there on can be written.
#[inline(always)]
unsafe fn store<F: Copy, const LANES: usize>(to: *mut F, values: [F; LANES]) {
    // SAFETY: as this function's.
    unsafe { to.cast::<[F; LANES]>().write(values) }
}

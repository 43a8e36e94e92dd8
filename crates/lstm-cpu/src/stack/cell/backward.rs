//! One time step of a block of rows backward: the product with the next step's gradients, and the gradients of
//! states and pre-activations, all of a unit's numbers in registers from the first multiply-add to the last
//! store.

use super::{Crew, FRESH, NEAR, load, panel, prefetch, store};
use crate::math::{Concrete, tanh_and_slope};
use crate::simd::kernel;
use lstm_tensor::Float;
use std::ops::Range;
use std::ptr::{null, null_mut};

/// One step backward. `U` are the units with padding.
pub(in super::super) struct StepBackward<'a, F> {
    /// Rows `R`.
    pub(in super::super) rows: usize,
    /// Units with padding.
    pub(in super::super) units: usize,
    /// Hidden units `H`.
    pub(in super::super) hidden: usize,
    /// Panels of `[4H, panel]`.
    pub(in super::super) weights: &'a [F],
    /// Gradients of the next step's pre-activations, panels of `[R, panel]`; none after the last step.
    pub(in super::super) after: Option<&'a [F]>,
    /// Activations, `[R, 4U]`.
    pub(in super::super) gates: &'a [F],
    /// Cell state before the step, `[R, U]`; zero if absent.
    pub(in super::super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, U]`.
    pub(in super::super) cell: &'a [F],
    /// Gradient of the output, from above, `[R, U]`.
    pub(in super::super) d_out: &'a [F],
    /// Gradient of the last hidden state, at the last step, `[R, U]`.
    pub(in super::super) d_last: Option<&'a [F]>,
    /// Gradient of the cell state after the step, then of that before, `[R, U]`.
    pub(in super::super) d_cell: &'a mut [F],
    /// Receives the gradients of pre-activations, panels of `[R, panel]`.
    pub(in super::super) dz: &'a mut [F],
}

/// `to = dz W`: gradients of what a step multiplied. `N` are its columns with padding.
pub(in super::super) struct BackwardProduct<'a, F> {
    /// Rows `R`.
    pub(in super::super) rows: usize,
    /// Units with padding.
    pub(in super::super) units: usize,
    /// Hidden units `H`.
    pub(in super::super) hidden: usize,
    /// Panels of `[4H, panel]`, `N / panel` of them.
    pub(in super::super) weights: &'a [F],
    /// Time steps, and the gradients of their pre-activations: panels of `[R, panel]` each.
    pub(in super::super) slots: usize,
    pub(in super::super) dz: &'a [F],
    /// Receives the product, `[slots, R, N]`.
    pub(in super::super) to: &'a mut [F],
}

/// Places of a [`StepBackward`] or a slot of a [`BackwardProduct`]; what they reach was checked when it was
/// made.
#[derive(Clone, Copy)]
struct Backward<F> {
    rows: usize,
    /// Units of `after`, with padding and without.
    units: usize,
    hidden: usize,
    /// Columns of the result with padding, and the panels of them to be done.
    columns: usize,
    from: usize,
    end: usize,
    weights: *const F,
    after: *const F,
    /// Receives the product; none in a step.
    to: *mut F,
    gates: *const F,
    before: *const F,
    cell: *const F,
    d_out: *const F,
    d_last: *const F,
    d_cell: *mut F,
    dz: *mut F,
}

// SAFETY: it is made of borrows that outlive its use, and threads get panels of their own.
unsafe impl<F: Send + Sync> Sync for Backward<F> {}

impl<F: Float> StepBackward<'_, F> {
    /// Runs the step.
    pub(in super::super) fn run(self, crew: Crew<'_>) {
        let Self { rows, units, hidden, weights, after, gates, before, cell, d_out, d_last, d_cell, dz } =
            self;
        let state = rows * units;
        assert!(gates.len() >= 4 * state && dz.len() >= 4 * state && d_cell.len() >= state, "gates");
        for read in [before, Some(cell), Some(d_out), d_last].into_iter().flatten() {
            assert!(read.len() >= state, "states");
        }
        let places = Backward {
            gates: gates.as_ptr(),
            before: before.map_or(null(), <[F]>::as_ptr),
            cell: cell.as_ptr(),
            d_out: d_out.as_ptr(),
            d_last: d_last.map_or(null(), <[F]>::as_ptr),
            d_cell: d_cell.as_mut_ptr(),
            dz: dz.as_mut_ptr(),
            ..Backward::new(rows, [units, hidden, units], weights, after)
        };
        let work = if after.is_some() { rows * 4 * hidden * units } else { 0 };
        crew.panels(places.end, places.near(), work, |panels| places.of(panels).on(crew.simd));
    }
}

impl<F: Float> BackwardProduct<'_, F> {
    /// Calculates it.
    pub(in super::super) fn run(self, crew: Crew<'_>) {
        let Self { rows, units, hidden, weights, slots, dz, to } = self;
        let columns = weights.len() / (4 * hidden);
        assert!(dz.len() >= slots * 4 * rows * units && to.len() >= slots * rows * columns, "product");
        if slots == 0 {
            return;
        }
        let first = Backward {
            to: to.as_mut_ptr(),
            ..Backward::new(rows, [units, hidden, columns], weights, Some(dz))
        };
        let work = slots * rows * 4 * hidden * columns / FRESH;
        crew.panels(first.end, first.near(), work, |panels| {
            for slot in 0..slots {
                first.at(slot).of(panels.clone()).on(crew.simd);
            }
        });
    }
}

impl<F: Float> Backward<F> {
    /// The product of `after` with weights, and no place for anything else.
    fn new(rows: usize, [units, hidden, columns]: [usize; 3], weights: &[F], after: Option<&[F]>) -> Self {
        assert!(units.is_multiple_of(panel::<F>()) && columns.is_multiple_of(panel::<F>()), "panels");
        assert!(rows > 0 && hidden <= units && weights.len() == 4 * hidden * columns, "packed weights");
        assert!(after.is_none_or(|after| after.len() >= 4 * rows * units), "gradients");
        Self {
            rows,
            units,
            hidden,
            columns,
            from: 0,
            end: columns / panel::<F>(),
            weights: weights.as_ptr(),
            after: after.map_or(null(), <[F]>::as_ptr),
            to: null_mut(),
            gates: null(),
            before: null(),
            cell: null(),
            d_out: null(),
            d_last: null(),
            d_cell: null_mut(),
            dz: null_mut(),
        }
    }

    /// Panels of a part: as many as stay in the cache while all rows pass by, in whole pairs, and not more than leave
    /// something to do for threads that are done.
    fn near(&self) -> usize {
        let bytes = 4 * self.hidden * panel::<F>() * size_of::<F>();
        (2 * NEAR / bytes).min(self.end.div_ceil(8)).next_multiple_of(2).max(2)
    }

    /// The product of a later slot.
    fn at(&self, slot: usize) -> Self {
        let after = self.after.wrapping_add(slot * 4 * self.rows * self.units);
        Self { after, to: self.to.wrapping_add(slot * self.rows * self.columns), ..*self }
    }

    fn of(&self, panels: Range<usize>) -> Self {
        Self { from: panels.start, end: panels.end, ..*self }
    }

    /// The same over the type that `F` is.
    fn cast<T>(self) -> Backward<T> {
        assert!(size_of::<T>() == size_of::<F>(), "another type");
        let Self { rows, units, hidden, columns, from, end, .. } = self;
        Backward {
            rows,
            units,
            hidden,
            columns,
            from,
            end,
            weights: self.weights.cast(),
            after: self.after.cast(),
            to: self.to.cast(),
            gates: self.gates.cast(),
            before: self.before.cast(),
            cell: self.cell.cast(),
            d_out: self.d_out.cast(),
            d_last: self.d_last.cast(),
            d_cell: self.d_cell.cast(),
            dz: self.dz.cast(),
        }
    }
}

// Lanes, and rows at most.
kernel!(Backward::all, f32: [16, 8] [8, 4] [4, 4], f64: [8, 8] [4, 4] [2, 4]);

impl<F: Concrete> Backward<F> {
    /// All rows of these panels, in tiles of about equal height, at most `ROWS`, two vectors of units wide; four
    /// where rows are too few to keep the multipliers busy.
    ///
    /// # Safety
    /// All places exist.
    #[inline(always)]
    unsafe fn all<const FUSED: bool, const LANES: usize, const ROWS: usize>(self) {
        let tiles = self.rows.div_ceil(ROWS);
        for tile in 0..tiles {
            let (row, end) = (self.rows * tile / tiles, self.rows * (tile + 1) / tiles);
            let (mut unit, last) = (self.from * panel::<F>(), self.end * panel::<F>());
            while unit < last {
                let left = (last - unit) / LANES;
                let vectors = if left >= 4 && self.rows <= 2 { 4 } else { left.min(2) };
                // SAFETY: as this function's.
                unsafe {
                    match (end - row, vectors) {
                        (1, 4) => self.tile::<FUSED, LANES, 1, 4>(row, unit),
                        (1, 2) => self.tile::<FUSED, LANES, 1, 2>(row, unit),
                        (1, _) => self.tile::<FUSED, LANES, 1, 1>(row, unit),
                        (2, 4) => self.tile::<FUSED, LANES, 2, 4>(row, unit),
                        (2, 2) => self.tile::<FUSED, LANES, 2, 2>(row, unit),
                        (2, _) => self.tile::<FUSED, LANES, 2, 1>(row, unit),
                        (3, 2) => self.tile::<FUSED, LANES, 3, 2>(row, unit),
                        (3, _) => self.tile::<FUSED, LANES, 3, 1>(row, unit),
                        (4, 2) => self.tile::<FUSED, LANES, 4, 2>(row, unit),
                        (4, _) => self.tile::<FUSED, LANES, 4, 1>(row, unit),
                        (5, 2) if ROWS > 4 => self.tile::<FUSED, LANES, 5, 2>(row, unit),
                        (5, _) if ROWS > 4 => self.tile::<FUSED, LANES, 5, 1>(row, unit),
                        (6, 2) if ROWS > 4 => self.tile::<FUSED, LANES, 6, 2>(row, unit),
                        (6, _) if ROWS > 4 => self.tile::<FUSED, LANES, 6, 1>(row, unit),
                        (7, 2) if ROWS > 4 => self.tile::<FUSED, LANES, 7, 2>(row, unit),
                        (7, _) if ROWS > 4 => self.tile::<FUSED, LANES, 7, 1>(row, unit),
                        (_, 2) if ROWS > 4 => self.tile::<FUSED, LANES, 8, 2>(row, unit),
                        _ if ROWS > 4 => self.tile::<FUSED, LANES, 8, 1>(row, unit),
                        _ => {}
                    }
                }
                unit += vectors * LANES;
            }
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
        let (hidden, width) = (self.hidden, panel::<F>());
        let at = |n: usize| unit + n * LANES;
        let mut d_hidden = [[[F::ZERO; LANES]; VECTORS]; ROWS];
        // SAFETY: as this function's; so for all below.
        unsafe {
            if !self.d_out.is_null() {
                for r in 0..ROWS {
                    for n in 0..VECTORS {
                        let place = (row + r) * self.columns + at(n);
                        d_hidden[r][n] = load::<F, LANES>(self.d_out.add(place));
                        if !self.d_last.is_null() {
                            let last = load::<F, LANES>(self.d_last.add(place));
                            for j in 0..LANES {
                                d_hidden[r][n][j] += last[j];
                            }
                        }
                    }
                }
            }
            if !self.after.is_null() {
                for gate in 0..4 {
                    for number in 0..self.units / width {
                        let first = number * width;
                        let after = (gate * self.units + first) * self.rows + row * width;
                        let after = self.after.add(after);
                        let mut lines = [self.weights; VECTORS];
                        for n in 0..VECTORS {
                            let line = (at(n) / width * 4 + gate) * hidden + first;
                            lines[n] = self.weights.add(line * width + at(n) % width);
                        }
                        // The rows of a panel are adjacent, the next panel is not: no processor would guess it.
                        for r in 0..ROWS {
                            prefetch::<false, _>(after.wrapping_add((self.rows + r) * width));
                        }
                        if self.to.is_null() {
                            let panels = self.units / width;
                            for r in ROWS * number / panels..ROWS * (number + 1) / panels {
                                self.ask_for(row + r, unit, VECTORS * LANES, gate);
                            }
                        }
                        for k in 0..width.min(hidden - first) {
                            let mut weights = [[F::ZERO; LANES]; VECTORS];
                            for n in 0..VECTORS {
                                weights[n] = load::<F, LANES>(lines[n].add(k * width));
                            }
                            for r in 0..ROWS {
                                let factor = *after.add(r * width + k);
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
        }
        d_hidden
    }

    /// Asks for what comes after the product, which the passes forward left far away: of one row and `len` units
    /// from `unit` on a gate, and a state with it.
    #[inline(always)]
    fn ask_for(&self, row: usize, unit: usize, len: usize, gate: usize) {
        let state = row * self.units + unit;
        let of_gate = self.gates.wrapping_add(state + (3 * row + gate) * self.units);
        let with = match gate {
            0 => self.cell,
            1 => self.before,
            2 => self.d_cell.cast_const(),
            _ => of_gate,
        };
        for line in (0..len).step_by(panel::<F>()) {
            prefetch::<false, _>(of_gate.wrapping_add(line));
            prefetch::<false, _>(with.wrapping_add(if gate < 3 { state + line } else { line }));
        }
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
        let (units, one, width) = (self.units, F::ONE, panel::<F>());
        let at = |n: usize| unit + n * LANES;
        // SAFETY: as this function's; so for all below.
        unsafe {
            // As in the forward step.
            let d_hidden = std::hint::black_box(self.sums::<FUSED, LANES, ROWS, VECTORS>(row, unit));
            if !self.to.is_null() {
                for r in 0..ROWS {
                    for n in 0..VECTORS {
                        store(self.to.add((row + r) * self.columns + at(n)), d_hidden[r][n]);
                    }
                }
                return;
            }
            for n in 0..VECTORS {
                let dz = self.dz.add((at(n) / width * self.rows + row) * width + at(n) % width);
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
                    for (gate, values) in [i, f, g, o].into_iter().enumerate() {
                        store(dz.add(gate * units * self.rows + r * width), values);
                    }
                }
            }
        }
    }
}

//! The element-wise part of a step: bias, gates, cell and hidden state, and their gradients.

use crate::math::{mul_add, sigmoid, tanh, tanh_and_slope};
use crate::simd::Kernel;
use lstm_tensor::Float;

/// One step forward for some rows.
pub(super) struct CellForward<'a, F> {
    /// Hidden units `H`.
    pub(super) hidden: usize,
    /// `[4H]`.
    pub(super) bias: &'a [F],
    /// Pre-activations without bias on the way in, activations on the way out, `[R, 4H]`.
    pub(super) gates: &'a mut [F],
    /// Cell state before the step, `[R, H]`; zero if absent.
    pub(super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, H]`.
    pub(super) cell: &'a mut [F],
    /// Hidden state after the step, `[R, H]`.
    pub(super) out: &'a mut [F],
}

impl<F: Float> Kernel for CellForward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        let Self { hidden, bias, gates, before, cell, out } = self;
        let states = cell.chunks_exact_mut(hidden).zip(out.chunks_exact_mut(hidden));
        for (r, (gates, (cell, out))) in gates.chunks_exact_mut(4 * hidden).zip(states).enumerate() {
            let [i, f, g, o] = quarters_mut(gates);
            match before {
                Some(before) => {
                    let before = &before[r * hidden..][..hidden];
                    forward_row::<F, FUSED>(i, f, g, o, quarters(bias), cell, out, |j| before[j]);
                }
                None => forward_row::<F, FUSED>(i, f, g, o, quarters(bias), cell, out, |_| F::ZERO),
            }
        }
    }
}

// Slices of one length that do not overlap, as arguments: so the compiler knows, and vectorises.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "separate slices are what the compiler vectorises")]
fn forward_row<F: Float, const FUSED: bool>(
    i: &mut [F],
    f: &mut [F],
    g: &mut [F],
    o: &mut [F],
    bias: [&[F]; 4],
    cell: &mut [F],
    out: &mut [F],
    before: impl Fn(usize) -> F,
) {
    let n = cell.len();
    let (i, f, g, o, out) = (&mut i[..n], &mut f[..n], &mut g[..n], &mut o[..n], &mut out[..n]);
    let [b_i, b_f, b_g, b_o] = bias.map(|b| &b[..n]);
    for j in 0..n {
        i[j] = sigmoid::<F, FUSED>(i[j] + b_i[j]);
        f[j] = sigmoid::<F, FUSED>(f[j] + b_f[j]);
        g[j] = tanh::<F, FUSED>(g[j] + b_g[j]);
        o[j] = sigmoid::<F, FUSED>(o[j] + b_o[j]);
        cell[j] = mul_add::<F, FUSED>(f[j], before(j), i[j] * g[j]);
        out[j] = o[j] * tanh::<F, FUSED>(cell[j]);
    }
}

/// One step backward for some rows.
pub(super) struct CellBackward<'a, F> {
    /// Hidden units `H`.
    pub(super) hidden: usize,
    /// Activations on the way in, gradients of the pre-activations on the way out, `[R, 4H]`.
    pub(super) gates: &'a mut [F],
    /// Cell state before the step, `[R, H]`; zero if absent.
    pub(super) before: Option<&'a [F]>,
    /// Cell state after the step, `[R, H]`.
    pub(super) cell: &'a [F],
    /// Gradient of the output, from above, `[R, H]`.
    pub(super) d_out: &'a [F],
    /// Gradient of the hidden state, from the next step, `[R, H]`.
    pub(super) d_hidden: &'a [F],
    /// Gradient of the cell state after the step, then of that before, `[R, H]`.
    pub(super) d_cell: &'a mut [F],
    /// Receives the sum of the rows of `gates`, `[4H]`.
    pub(super) d_bias: &'a mut [F],
}

impl<F: Float> Kernel for CellBackward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        let Self { hidden, gates, before, cell, d_out, d_hidden, d_cell, d_bias } = self;
        let rows = gates.chunks_exact_mut(4 * hidden).zip(d_cell.chunks_exact_mut(hidden));
        for (r, (gates, d_cell)) in rows.enumerate() {
            let row = |of| -> &[F] { &<[F]>::as_ref(of)[r * hidden..][..hidden] };
            let [i, f, g, o] = quarters_mut(gates);
            let read = [row(cell), row(d_out), row(d_hidden)];
            match before {
                Some(before) => {
                    let before = row(before);
                    backward_row::<F, FUSED>(i, f, g, o, read, d_cell, |j| before[j]);
                }
                None => backward_row::<F, FUSED>(i, f, g, o, read, d_cell, |_| F::ZERO),
            }
            for (sum, &d) in d_bias.iter_mut().zip(gates.iter()) {
                *sum += d;
            }
        }
    }
}

#[inline(always)]
fn backward_row<F: Float, const FUSED: bool>(
    i: &mut [F],
    f: &mut [F],
    g: &mut [F],
    o: &mut [F],
    [cell, d_out, d_hidden]: [&[F]; 3],
    d_cell: &mut [F],
    before: impl Fn(usize) -> F,
) {
    let n = cell.len();
    let (i, f, g, o) = (&mut i[..n], &mut f[..n], &mut g[..n], &mut o[..n]);
    let (d_out, d_hidden, d_cell) = (&d_out[..n], &d_hidden[..n], &mut d_cell[..n]);
    let one = F::ONE;
    for j in 0..n {
        let (squashed, slope) = tanh_and_slope::<F, FUSED>(cell[j]);
        let d_h = d_out[j] + d_hidden[j];
        let d_c = mul_add::<F, FUSED>(d_h * o[j], slope, d_cell[j]);
        let (i_j, f_j, g_j, o_j) = (i[j], f[j], g[j], o[j]);
        i[j] = d_c * g_j * (i_j * (one - i_j));
        f[j] = d_c * before(j) * (f_j * (one - f_j));
        g[j] = d_c * i_j * ((one - g_j) * (one + g_j));
        o[j] = d_h * squashed * (o_j * (one - o_j));
        d_cell[j] = d_c * f_j;
    }
}

/// The gates i, f, g, o of a row.
#[inline(always)]
fn quarters<F>(row: &[F]) -> [&[F]; 4] {
    let n = row.len() / 4;
    let (i, rest) = row.split_at(n);
    let (f, rest) = rest.split_at(n);
    let (g, o) = rest.split_at(n);
    [i, f, g, o]
}

/// The gates i, f, g, o of a row, for writing.
#[inline(always)]
fn quarters_mut<F>(row: &mut [F]) -> [&mut [F]; 4] {
    let n = row.len() / 4;
    let (i, rest) = row.split_at_mut(n);
    let (f, rest) = rest.split_at_mut(n);
    let (g, o) = rest.split_at_mut(n);
    [i, f, g, o]
}

//! The linear forecast: ridge regression on differences to the last value, in closed form.
//!
//! With `x[0..L]` the window and `l = x[L-1]`,
//!
//! ```text
//! f[h] = l + sum over j < L-1 of W[j, h] (x[j] - l)
//! W    = argmin of  sum over windows of |y - f|² / s²  +  λ |W|²
//! ```
//!
//! where `s` is the scale of the window's series. It moves with the level and grows with the size of a
//! series, needs no iteration, and is hard to beat: see `docs/forecasting.md`.

use ndarray::{ArrayView2, ArrayViewMut2, linalg::general_mat_mul};

/// Weights of a linear forecast; plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    lookback: usize,
    horizon: usize,
    /// `[L - 1, H]`.
    weights: Vec<f64>,
}

impl Linear {
    /// From weights `[lookback - 1, horizon]`; none where their number is another.
    #[must_use]
    pub fn from_weights(lookback: usize, horizon: usize, weights: Vec<f64>) -> Option<Self> {
        (lookback >= 1 && weights.len() == (lookback - 1) * horizon).then_some(Self {
            lookback,
            horizon,
            weights,
        })
    }

    /// The weights `[lookback - 1, horizon]`.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Forecasts `out [N, H]` of the windows `x [N, L]`, in the unit of `x`, which is overwritten with the
    /// differences to each last value.
    pub(crate) fn forecast(&self, x: &mut [f64], out: &mut [f64]) {
        let (lookback, horizon) = (self.lookback, self.horizon);
        let windows = out.len() / horizon;
        for (x, out) in x.chunks_exact_mut(lookback).zip(out.chunks_exact_mut(horizon)) {
            let last = x[lookback - 1];
            x.iter_mut().for_each(|value| *value -= last);
            out.fill(last);
        }
        let all = |rows, cols, data| ArrayView2::from_shape((rows, cols), data);
        if let (Ok(x), Ok(weights), Ok(mut out)) = (
            all(windows, lookback, &*x),
            all(lookback - 1, horizon, &self.weights),
            ArrayViewMut2::from_shape((windows, horizon), out),
        ) {
            general_mat_mul(1.0, &x.slice(ndarray::s![.., ..lookback - 1]), &weights, 1.0, &mut out);
        }
    }
}

/// Sums of products of the values of all windows, from which a [`Linear`] of any strength is solved.
pub(crate) struct Normal {
    lookback: usize,
    horizon: usize,
    /// `[L + H, L + H]`, of values from their series' mean, over its scale.
    products: Vec<f64>,
    windows: usize,
}

impl Normal {
    pub(crate) fn new(lookback: usize, horizon: usize) -> Self {
        let span = lookback + horizon;
        Self { lookback, horizon, products: vec![0.0; span * span], windows: 0 }
    }

    /// Adds all windows inside `values`, divided by `scale`. The products of neighbouring windows share all but
    /// their ends, so this takes `O(N (L + H) + (L + H)²)` operations.
    pub(crate) fn add(&mut self, values: &[f64], scale: f64) {
        let span = self.lookback + self.horizon;
        let Some(windows) = (values.len() + 1).checked_sub(span).filter(|windows| *windows > 0) else {
            return;
        };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let x: Vec<f64> = values.iter().map(|value| (value - mean) / scale).collect();
        let mut diagonal = vec![0.0; span];
        for lag in 0..span {
            let ahead = x[lag..].iter().take(windows);
            diagonal[lag] = x.iter().zip(ahead).map(|(a, b)| a * b).sum::<f64>();
        }
        // `diagonal[lag]` holds the sum for (i, i + lag) while i goes from 0 to the end.
        for i in 0..span {
            let row = &mut self.products[i * span..(i + 1) * span];
            for (lag, sum) in diagonal[..span - i].iter_mut().enumerate() {
                row[i + lag] += *sum;
                let next = i + windows;
                if next + lag < x.len() {
                    *sum += x[next] * x[next + lag] - x[i] * x[i + lag];
                }
            }
        }
        self.windows += windows;
    }

    /// The weights for a ridge of `strength` added to the diagonal, as if there were 1,000 windows; none where
    /// there is nothing to solve.
    pub(crate) fn solve(&self, strength: f64) -> Option<Linear> {
        let (lookback, horizon) = (self.lookback, self.horizon);
        let (span, free) = (lookback + horizon, lookback - 1);
        if self.windows == 0 || lookback == 0 || horizon == 0 {
            return None;
        }
        let product = |i: usize, j: usize| self.products[i.min(j) * span + i.max(j)];
        let difference = |i, j| product(i, j) - product(i, free) - product(free, j) + product(free, free);
        let ridge = strength * self.windows as f64 / 1000.0;
        let mut matrix: Vec<f64> = (0..free * free)
            .map(|at| difference(at / free, at % free) + if at / free == at % free { ridge } else { 0.0 })
            .collect();
        let mut weights: Vec<f64> =
            (0..free * horizon).map(|at| difference(at / horizon, lookback + at % horizon)).collect();
        cholesky(&mut matrix, free)?;
        substitute(&matrix, &mut weights, free, horizon);
        weights.iter().all(|w| w.is_finite()).then_some(Linear { lookback, horizon, weights })
    }
}

/// The factor `C` with `C Cᵀ` the symmetric matrix, in its lower half; none where that is not positive definite.
fn cholesky(matrix: &mut [f64], n: usize) -> Option<()> {
    for i in 0..n {
        let (above, row) = matrix.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            let sum: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - sum) / other[j];
        }
        let rest = row[i] - row[..i].iter().map(|a| a * a).sum::<f64>();
        row[i] = (rest > 0.0).then(|| rest.sqrt())?;
    }
    Some(())
}

/// Solves `C Cᵀ X = B` in place of `B [n, columns]`.
fn substitute(factor: &[f64], b: &mut [f64], n: usize, columns: usize) {
    let subtract = |to: &mut [f64], from: &[f64], by: f64| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to -= by * from);
    };
    for i in 0..n {
        let (above, row) = b.split_at_mut(i * columns);
        for (j, known) in above.chunks_exact(columns).enumerate() {
            subtract(&mut row[..columns], known, factor[i * n + j]);
        }
        row[..columns].iter_mut().for_each(|value| *value /= factor[i * n + i]);
    }
    for i in (0..n).rev() {
        let (row, below) = b[i * columns..].split_at_mut(columns);
        for (j, known) in (i + 1..n).zip(below.chunks_exact(columns)) {
            subtract(row, known, factor[j * n + i]);
        }
        row.iter_mut().for_each(|value| *value /= factor[i * n + i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(rows: usize) -> Vec<f64> {
        (0..rows).map(|t| 50.0 + 3.0 * (t as f64 * 0.7).sin() + 0.3 * ((t * 7919 % 31) as f64)).collect()
    }

    #[test]
    fn products_are_those_of_every_window() {
        let (values, lookback, horizon) = (wave(40), 5, 3);
        let mut normal = Normal::new(lookback, horizon);
        normal.add(&values, 2.0);
        let mean = values.iter().sum::<f64>() / 40.0;
        let windows = 40 - 8 + 1;
        assert_eq!(normal.windows, windows);
        for i in 0..8 {
            for j in i..8 {
                let sum: f64 =
                    (0..windows).map(|r| (values[r + i] - mean) * (values[r + j] - mean) / 4.0).sum();
                assert!((normal.products[i * 8 + j] - sum).abs() < 1e-10 * sum.abs().max(1.0), "{i} {j}");
            }
        }
    }

    #[test]
    fn no_small_change_of_the_weights_does_better() {
        let (values, lookback, horizon, strength) = (wave(60), 4, 2, 5.0);
        let mut normal = Normal::new(lookback, horizon);
        normal.add(&values, 1.0);
        let windows = values.len() - 5;
        let cost = |linear: &Linear| {
            let mut sum =
                strength * windows as f64 / 1000.0 * linear.weights.iter().map(|w| w * w).sum::<f64>();
            for window in values.windows(lookback + horizon) {
                let (mut x, mut out) = (window[..lookback].to_vec(), vec![0.0; horizon]);
                linear.forecast(&mut x, &mut out);
                sum += out.iter().zip(&window[lookback..]).map(|(f, y)| (f - y) * (f - y)).sum::<f64>();
            }
            sum
        };
        let best = normal.solve(strength).unwrap();
        for at in 0..best.weights.len() {
            for step in [-1e-3, 1e-3] {
                let mut other = best.clone();
                other.weights[at] += step;
                assert!(cost(&other) > cost(&best), "{at} {step}");
            }
        }
    }

    #[test]
    fn a_sine_is_continued_exactly() {
        let values: Vec<f64> = (0..200).map(|t| 10.0 + (f64::from(t) * 0.3).sin()).collect();
        let mut normal = Normal::new(6, 4);
        normal.add(&values[..150], 1.0);
        let linear = normal.solve(1e-9).unwrap();
        let (mut x, mut out) = (values[160..166].to_vec(), vec![0.0; 4]);
        linear.forecast(&mut x, &mut out);
        for (f, y) in out.iter().zip(&values[166..170]) {
            assert!((f - y).abs() < 1e-4, "{f} {y}");
        }
    }

    #[test]
    fn nothing_to_learn_from_is_no_line() {
        let mut normal = Normal::new(5, 5);
        normal.add(&wave(9), 1.0);
        assert!(normal.solve(1.0).is_none());
    }
}

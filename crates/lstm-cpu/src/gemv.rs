//! Products with a few rows, where a general product would spend its time on preparations.

use crate::math::mul_add;
use crate::simd::Kernel;
use lstm_tensor::Float;

/// Up to so many rows this is faster than a general product.
pub(crate) const MAX_ROWS: usize = 2;
/// Columns whose sums stand in registers.
const TILE: usize = 64;

/// `y [R, N] += x [R, K] weights [K, N]`.
pub(crate) struct AddProduct<'a, F> {
    pub(crate) x: &'a [F],
    pub(crate) weights: &'a [F],
    pub(crate) y: &'a mut [F],
    pub(crate) rows: usize,
}

impl<F: Float> Kernel for AddProduct<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        let Self { x, weights, y, rows } = self;
        let (inputs, cols) = (x.len() / rows, y.len() / rows);
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(cols)) {
            let (tiles, rest) = y.as_chunks_mut::<TILE>();
            let rest_at = tiles.len() * TILE;
            for (i, tile) in tiles.iter_mut().enumerate() {
                let mut sums = *tile;
                for (&x, weights) in x.iter().zip(weights.chunks_exact(cols)) {
                    let weights = &weights[i * TILE..][..TILE];
                    for (sum, &w) in sums.iter_mut().zip(weights) {
                        *sum = mul_add::<F, FUSED>(x, w, *sum);
                    }
                }
                *tile = sums;
            }
            for (&x, weights) in x.iter().zip(weights.chunks_exact(cols)) {
                for (y, &w) in rest.iter_mut().zip(&weights[rest_at..]) {
                    *y = mul_add::<F, FUSED>(x, w, *y);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Simd;

    #[test]
    fn equals_the_sum() {
        for (rows, inputs, cols) in [(1, 1, 4), (1, 7, 64), (2, 5, 200), (2, 3, 67)] {
            let x: Vec<f64> = (0..rows * inputs).map(|i| i as f64 - 3.0).collect();
            let weights: Vec<f64> = (0..inputs * cols).map(|i| (i % 11) as f64).collect();
            let mut y = vec![1.0; rows * cols];
            Simd::detect().run(AddProduct { x: &x, weights: &weights, y: &mut y, rows });
            for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
                let exact: f64 = (0..inputs).map(|k| x[r * inputs + k] * weights[k * cols + c]).sum();
                assert_eq!(y[r * cols + c], 1.0 + exact);
            }
        }
    }
}

//! Sums in f64, in an order that depends on the number of elements alone.

use crate::parallel::Team;
use crate::simd::{Kernel, Simd};
use lstm_tensor::Float;
use std::sync::atomic::{AtomicU64, Ordering};

/// Running sums side by side, so that a sum is not one long chain of additions.
const LANES: usize = 16;
/// Parts of a sum over a flat buffer, at most.
const PARTS: usize = 64;
/// Elements of a part, at least.
const PART: usize = 1 << 14;

/// Sum of `f(x)` over a slice.
#[inline(always)]
pub(crate) fn sum<F: Float>(x: &[F], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x.to_f64());
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for x in rest {
        total += f(x.to_f64());
    }
    total
}

/// Sum of squares of a slice.
pub(crate) struct SquareSum<'a, F>(pub(crate) &'a [F]);

impl<F: Float> Kernel for SquareSum<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        sum(self.0, |x| x * x)
    }
}

/// Elements of each part that a flat buffer of `len` elements is worked on in.
pub(crate) fn part(len: usize) -> usize {
    len.div_ceil(PARTS).next_multiple_of(LANES).max(PART)
}

/// Sum of squares of a whole buffer, on all threads.
pub(crate) fn square_sum<F: Float>(team: &Team, simd: Simd, x: &[F]) -> f64 {
    let part = part(x.len());
    let sums = [const { AtomicU64::new(0) }; PARTS];
    team.run(x.len().div_ceil(part), &|i| {
        let x = &x[i * part..x.len().min((i + 1) * part)];
        sums[i].store(simd.run(SquareSum(x)).to_bits(), Ordering::Relaxed);
    });
    sums.iter().map(|sum| f64::from_bits(sum.load(Ordering::Relaxed))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_their_bits() {
        for len in [0, 1, 15, 16, 17, PART, PART + 1, PARTS * PART + 5] {
            let x: Vec<f32> = (0..len).map(|i| (i % 7) as f32 - 3.0).collect();
            let exact: f64 = x.iter().map(|x| f64::from(x * x)).sum();
            for threads in 1..=3 {
                let team = Team::new(threads).unwrap();
                assert_eq!(square_sum(&team, Simd::detect(), &x), exact);
            }
        }
    }
}

//! Sums in f64, in an order that depends on the number of elements alone.

use lstm_tensor::Float;

/// Running sums side by side, so that a sum is not one long chain of additions.
const LANES: usize = 16;
/// Parts that a flat buffer is worked on in, at most.
pub(crate) const PARTS: usize = 64;
/// Elements of a part, at least.
const PART: usize = 1 << 14;

/// Elements of each part that a flat buffer of `len` elements is worked on in.
pub(crate) fn part(len: usize) -> usize {
    len.div_ceil(PARTS).next_multiple_of(LANES).max(PART)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let x: Vec<f32> = (0..len).map(|i| (i % 7) as f32 - 3.0).collect();
            let exact: f64 = x.iter().map(|x| f64::from(x * x)).sum();
            assert_eq!(sum(&x, |x| x * x), exact);
        }
    }

    #[test]
    fn parts_are_few_and_not_small() {
        for len in [0, 1, PART, PART + 1, PART * PARTS, 100_000_000] {
            assert!(part(len) >= PART && len.div_ceil(part(len)) <= PARTS);
        }
    }
}

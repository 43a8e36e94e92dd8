//! The multiply-adds that a processor can do at best, measured with registers alone.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Chains of multiply-adds that do not wait for each other: two units of four cycles need eight.
const CHAINS: usize = 12;

/// Multiply-adds of each chain in a run, about a millisecond.
const LENGTH: usize = 1 << 18;

/// Runs, of which the best counts.
const RUNS: usize = 40;

/// GF/s of `threads` threads together; a multiply-add counts two.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Peak {
    /// In single precision.
    pub f32: f64,
    /// In double precision.
    pub f64: f64,
}

impl Peak {
    /// Measures both with the widest instructions that the processor has.
    #[must_use]
    pub fn measure(threads: usize) -> Self {
        let arch = Arch::new();
        Self {
            f32: together(threads, || arch.dispatch(Single)),
            f64: together(threads, || arch.dispatch(Double)),
        }
    }
}

/// GF/s of all threads in their best run; `work` says how many operations it did.
fn together(threads: usize, work: impl Fn() -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let rate = || {
        barrier.wait();
        let run = |_| {
            let start = Instant::now();
            work() / start.elapsed().as_secs_f64()
        };
        (0..RUNS).map(run).fold(0.0, f64::max)
    };
    std::thread::scope(|scope| {
        let team: Vec<_> = (0..threads).map(|_| scope.spawn(rate)).collect();
        team.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum::<f64>() / 1e9
    })
}

struct Single;

impl WithSimd for Single {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(1.0)));
        let mut chains = [term; CHAINS];
        for _ in 0..LENGTH {
            for chain in &mut chains {
                *chain = simd.mul_add_e_f32s(*chain, factor, term);
            }
        }
        for chain in chains {
            black_box(simd.reduce_sum_f32s(chain));
        }
        (2 * CHAINS * LENGTH * S::F32_LANES) as f64
    }
}

struct Double;

impl WithSimd for Double {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat_f64s(black_box(0.5)), simd.splat_f64s(black_box(1.0)));
        let mut chains = [term; CHAINS];
        for _ in 0..LENGTH {
            for chain in &mut chains {
                *chain = simd.mul_add_e_f64s(*chain, factor, term);
            }
        }
        for chain in chains {
            black_box(simd.reduce_sum_f64s(chain));
        }
        (2 * CHAINS * LENGTH * S::F64_LANES) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_peak() {
        let peak = Peak::measure(1);
        assert!(peak.f32 > 0.1 && peak.f64 > 0.1, "{peak:?}");
    }
}

//! What a processor can do at best: multiply-adds, measured with registers alone, and reading memory again and again.

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

/// Milliseconds that `threads` threads take to read `bytes` bytes once, each its part of them, over and over: what the
/// caches keep of a part, they keep. The median of 40 runs.
#[must_use]
pub fn read_ms(bytes: usize, threads: usize) -> f64 {
    let part = bytes.div_ceil(threads * size_of::<u64>());
    let barrier = Barrier::new(threads);
    let read = || {
        let values = black_box(vec![1u64; part]);
        // A turn of many reads, so that the clock costs nothing.
        let turns = (1 << 24) / bytes + 1;
        barrier.wait();
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..turns {
                    black_box(values.iter().fold(0u64, |sum, value| sum.wrapping_add(*value)));
                    black_box(&values);
                }
                start.elapsed().as_secs_f64() * 1e3 / turns as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    };
    std::thread::scope(|scope| {
        let team: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        team.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).fold(0.0, f64::max)
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

    #[test]
    fn more_bytes_take_longer() {
        let [few, many] = [1 << 16, 1 << 24].map(|bytes| read_ms(bytes, 2));
        assert!(few > 0.0 && many > 4.0 * few, "{few} {many}");
    }
}

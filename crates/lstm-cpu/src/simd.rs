//! Vector instructions chosen at run time: a plain build runs the widest ones that the processor has.
//!
//! Loops are written once, in plain Rust, as a [`Kernel`]. [`Simd::run`] compiles each of them for every
//! instruction set, so that the compiler vectorises it for that set.
#![allow(
    unsafe_code,
    reason = "functions with target features; Simd::new checked that the processor has them"
)]

use lstm_tensor::{Error, Result};

/// Instruction set that loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Simd {
    /// What the build's target guarantees.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, BW and DQ.
    Avx512,
}

/// A loop to be compiled for every instruction set.
///
/// `run` and all that it calls in the loop must be `#[inline(always)]`: only then it is compiled for
/// the set it is called in.
pub(crate) trait Kernel {
    /// Result of the loop.
    type Output;
    /// Runs the loop; with `FUSED` a multiply-add is one instruction, a register has `VECTOR` bytes.
    fn run<const FUSED: bool, const VECTOR: usize>(self) -> Self::Output;
}

/// Makes `$method` of `$kernel<F>` a [`Kernel`] for f32 and f64, with the constants that stand in brackets for
/// registers of 64, 32 and 16 bytes, and gives it `on`, which runs it with an instruction set.
macro_rules! kernel {
    ($kernel:ident::$method:ident, f32: $($single:tt)*) => {
        kernel!(@split $kernel, $method, $($single)*);
    };
    (@split $kernel:ident, $method:ident, $a:tt $b:tt $c:tt, f64: $d:tt $e:tt $f:tt) => {
        impl<F: lstm_tensor::Float> $kernel<F> {
            /// Runs it, as the type that `F` is.
            fn on(self, simd: $crate::simd::Simd) {
                if size_of::<F>() == size_of::<f32>() {
                    single(simd, self.cast());
                } else {
                    double(simd, self.cast());
                }
            }
        }

        // Not generic, so that tiles are compiled here, once, and not in every crate that uses them.
        fn single(simd: $crate::simd::Simd, kernel: $kernel<f32>) {
            simd.run(kernel);
        }

        fn double(simd: $crate::simd::Simd, kernel: $kernel<f64>) {
            simd.run(kernel);
        }

        kernel!(@impl $kernel<f32>, $method, $a $b $c);
        kernel!(@impl $kernel<f64>, $method, $d $e $f);
    };
    (@impl $kernel:ty, $method:ident, [$($wide:literal),*] [$($middle:literal),*] [$($narrow:literal),*]) => {
        impl $crate::simd::Kernel for $kernel {
            type Output = ();

            #[inline(always)]
            fn run<const FUSED: bool, const VECTOR: usize>(self) {
                // SAFETY: when it was made it was asserted that all its places lie inside the slices they came
                // from; what it writes to is this thread's alone.
                unsafe {
                    match VECTOR {
                        64 => self.$method::<FUSED, $($wide),*>(),
                        32 => self.$method::<FUSED, $($middle),*>(),
                        _ => self.$method::<FUSED, $($narrow),*>(),
                    }
                }
            }
        }
    };
}
pub(crate) use kernel;

impl Simd {
    /// The widest set that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|simd| simd.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Itself, if this processor has it.
    pub(crate) fn checked(self) -> Result<Self> {
        if self.is_available() {
            return Ok(self);
        }
        Err(Error::Unsupported { op: "cpu", option: "an instruction set that this processor lacks" })
    }

    /// Runs a loop with this set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: a `Simd` inside a `Cpu` passed `checked`, so the processor has these features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(kernel) },
            // Without the instruction a fused multiply-add would be a slow library call.
            _ => kernel.run::<{ cfg!(target_arch = "aarch64") }, 16>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true, 64>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true, 32>()
}

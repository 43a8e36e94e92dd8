//! Functions of one element that vectorise: no branch, no table, no library call.
//!
//! `exp(x) = 2ⁿ exp(r)` with `|r| ≤ ln 2 / 2`, and `exp(r) - 1 = r + r² q(r)` with the polynomial `q` whose worst
//! error relative to `r` is the smallest (by Remez's exchange): 2.4e-10 in f32, 1.8e-17 in f64. The tests below
//! hold the worst differences from the `libm` crate in f64, over all magnitudes and both signs, in units
//! of the last place, to these limits (`libm` itself is within one):
//!
//! | | f32 | f64 |
//! |---|---|---|
//! | tanh | 2.2 | 3 |
//! | sigmoid | 2.3 | 2 |
//! | slope of tanh, where it exceeds 1e-8 (f32), 1e-16 (f64) | 4 | 4 |
//!
//! Where a sigmoid would be smaller than the smallest normal number it is 0. NaN stays NaN.

use lstm_tensor::Float;

/// What a generic [`Float`] turns out to be, f32 or f64, with the one operation that `Float` lacks.
pub(crate) trait Concrete: Float {
    /// `self b + c`, rounded once if `FUSED`.
    fn times_plus<const FUSED: bool>(self, b: Self, c: Self) -> Self;
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<F: Float, const FUSED: bool>(x: F) -> F {
    if size_of::<F>() == size_of::<f32>() {
        F::from_f64(f64::from(single::tanh::<FUSED>(x.to_f64() as f32)))
    } else {
        F::from_f64(double::tanh::<FUSED>(x.to_f64()))
    }
}

/// Hyperbolic tangent and its derivative `1 - tanh²`, precise where the tangent is nearly 1.
#[inline(always)]
pub(crate) fn tanh_and_slope<F: Float, const FUSED: bool>(x: F) -> (F, F) {
    if size_of::<F>() == size_of::<f32>() {
        let (tanh, slope) = single::tanh_and_slope::<FUSED>(x.to_f64() as f32);
        (F::from_f64(f64::from(tanh)), F::from_f64(f64::from(slope)))
    } else {
        let (tanh, slope) = double::tanh_and_slope::<FUSED>(x.to_f64());
        (F::from_f64(tanh), F::from_f64(slope))
    }
}

/// Logistic function `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<F: Float, const FUSED: bool>(x: F) -> F {
    if size_of::<F>() == size_of::<f32>() {
        F::from_f64(f64::from(single::sigmoid::<FUSED>(x.to_f64() as f32)))
    } else {
        F::from_f64(double::sigmoid::<FUSED>(x.to_f64()))
    }
}

macro_rules! functions {
    ($module:ident, $t:ident, $bits:ty, q: $q:expr, ln2: ($hi:expr, $lo:expr),
     tanh is 1 from: $one:expr, exp is 0 from: $zero:expr) => {
        mod $module {
            use super::Concrete;

            impl Concrete for $t {
                #[inline(always)]
                fn times_plus<const FUSED: bool>(self, b: $t, c: $t) -> $t {
                    if FUSED { self.mul_add(b, c) } else { self * b + c }
                }
            }

            #[inline(always)]
            fn times_plus<const FUSED: bool>(a: $t, b: $t, c: $t) -> $t {
                a.times_plus::<FUSED>(b, c)
            }

            /// Coefficients of `q`, from the constant one on.
            const Q: &[$t] = &$q;
            /// Adding it rounds to a whole number, which then stands in the lowest bits.
            const ROUND: $t = 1.5 / $t::EPSILON;
            const FRACTION_BITS: u32 = $t::MANTISSA_DIGITS - 1;
            const BIAS: $bits = $t::MAX_EXP as $bits - 1;

            /// `(2ⁿ, exp(r) - 1)` with `exp(x) = 2ⁿ exp(r)`; `x` so that `2ⁿ` is a normal number.
            #[inline(always)]
            fn split_exp<const FUSED: bool>(x: $t) -> ($t, $t) {
                let rounded = times_plus::<FUSED>(x, std::$t::consts::LOG2_E, ROUND);
                let n = rounded - ROUND;
                let r = times_plus::<FUSED>(-n, $lo, times_plus::<FUSED>(-n, $hi, x));
                let mut k = Q.len() - 1;
                let mut q = Q[k];
                while k > 0 {
                    k -= 1;
                    q = times_plus::<FUSED>(q, r, Q[k]);
                }
                let power = $t::from_bits(rounded.to_bits().wrapping_add(BIAS) << FRACTION_BITS);
                (power, times_plus::<FUSED>(q * r, r, r))
            }

            /// `exp(2 |x|) - 1`, precise near 0 too, bounded where tanh is 1.
            #[inline(always)]
            fn growth<const FUSED: bool>(x: $t) -> $t {
                let size = x.abs();
                // Written so that NaN passes.
                let size = if size > $one { $one } else { size };
                let (power, part) = split_exp::<FUSED>(size + size);
                times_plus::<FUSED>(power, part, power - 1.0)
            }

            /// `sign(x) e / (e + 2)` with `e = exp(2 |x|) - 1`.
            #[inline(always)]
            pub(super) fn tanh<const FUSED: bool>(x: $t) -> $t {
                let e = growth::<FUSED>(x);
                (e / (e + 2.0)).copysign(x)
            }

            /// `sign(x) e / (e + 2)` and `4 (e + 1) / (e + 2)²`.
            #[inline(always)]
            pub(super) fn tanh_and_slope<const FUSED: bool>(x: $t) -> ($t, $t) {
                let e = growth::<FUSED>(x);
                let q = 1.0 / (e + 2.0);
                ((e * q).copysign(x), (2.0 * q) * (2.0 * q) * (e + 1.0))
            }

            /// `1 / (1 + e)` or `e / (1 + e)` with `e = exp(-|x|)`, by the sign of `x`.
            #[inline(always)]
            pub(super) fn sigmoid<const FUSED: bool>(x: $t) -> $t {
                let size = x.abs();
                let bounded = if size > $zero { $zero } else { size };
                let (power, part) = split_exp::<FUSED>(-bounded);
                let e = times_plus::<FUSED>(power, part, power);
                let e = if size > $zero { 0.0 } else { e };
                let above = if x < 0.0 { e } else { 1.0 };
                above / (1.0 + e)
            }
        }
    };
}

functions!(single, f32, u32,
    q: [0.5, 0.166_666_67, 0.041_666_355, 0.008_333_273, 0.001_394_100_8, 0.000_199_141_71],
    ln2: (355.0 / 512.0, -2.121_944_4e-4),
    tanh is 1 from: 10.0, exp is 0 from: 87.0);
functions!(double, f64, u64,
    q: [
        0.500_000_000_000_000_6, 0.166_666_666_666_666_86, 0.041_666_666_666_573_62,
        0.008_333_333_333_314_6, 0.001_388_888_893_237_957_5, 1.984_126_990_301_210_3e-4,
        2.480_150_444_508_059_7e-5, 2.755_722_797_052_169e-6, 2.762_632_685_416_427e-7,
        2.511_446_787_914_047e-8,
    ],
    ln2: (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10),
    tanh is 1 from: 20.0, exp is 0 from: 708.0);

#[cfg(test)]
mod tests {
    use super::*;

    /// Magnitudes from the smallest normal number to 1000, with both signs.
    fn magnitudes<F: Float>() -> impl Iterator<Item = F> {
        let smallest = if F::EPSILON > 1e-10 { -126.0 } else { -1000.0 };
        let count = 400_000;
        (0..count).flat_map(move |i| {
            let exponent = smallest + (10.0 - smallest) * f64::from(i) / f64::from(count);
            let x = libm::exp2(exponent);
            [F::from_f64(x), F::from_f64(-x)]
        })
    }

    /// Worst error in units of the last place of the exact value, which `exact` gives.
    fn worst<F: Float>(of: impl Fn(F) -> F, exact: impl Fn(f64) -> f64) -> f64 {
        let mut worst = 0.0f64;
        let dense = (-400_000..400_000).map(|i| F::from_f64(f64::from(i) * 2.5e-5));
        for x in magnitudes::<F>().chain(dense) {
            let (got, want) = (of(x).to_f64(), exact(x.to_f64()));
            let normal = if F::EPSILON > 1e-10 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
            if want.abs() < 2.0 * normal {
                assert!((got - want).abs() <= 2.0 * normal, "{x}: {got} against {want}");
                continue;
            }
            let place = libm::exp2(libm::floor(libm::log2(want.abs()))) * F::EPSILON;
            worst = worst.max((got - want).abs() / place);
        }
        worst
    }

    #[test]
    fn errors_are_as_documented() {
        let sigmoid_exact = |x: f64| {
            let e = libm::exp(-x.abs());
            if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
        };
        let errors = [
            worst::<f32>(tanh::<f32, true>, libm::tanh),
            worst::<f32>(tanh::<f32, false>, libm::tanh),
            worst::<f64>(tanh::<f64, true>, libm::tanh),
            worst::<f64>(tanh::<f64, false>, libm::tanh),
            worst::<f32>(sigmoid::<f32, true>, sigmoid_exact),
            worst::<f32>(sigmoid::<f32, false>, sigmoid_exact),
            worst::<f64>(sigmoid::<f64, true>, sigmoid_exact),
            worst::<f64>(sigmoid::<f64, false>, sigmoid_exact),
        ];
        println!("worst errors in units of the last place: {errors:.2?}");
        let limits = [2.2, 2.2, 3.0, 3.0, 2.3, 2.3, 2.0, 2.0];
        assert!(errors.iter().zip(limits).all(|(&error, limit)| error <= limit), "{errors:?}");
    }

    #[test]
    fn slopes_are_precise_where_tanh_is_nearly_one() {
        fn worst<F: Float>(bound: f64) -> f64 {
            let mut worst = 0.0f64;
            for i in -200_000..200_000 {
                let x = F::from_f64(f64::from(i) * 0.5e-4 * bound / 10.0);
                let (value, slope) = tanh_and_slope::<F, true>(x);
                let cosh = libm::cosh(x.to_f64());
                let exact = 1.0 / (cosh * cosh);
                worst = worst.max((slope.to_f64() / exact - 1.0).abs() / F::EPSILON);
                assert!((value - tanh::<F, true>(x)).abs().to_f64() <= 2.0 * F::EPSILON);
            }
            worst
        }
        let errors = [worst::<f32>(9.9), worst::<f64>(19.0)];
        assert!(errors.iter().all(|&error| error <= 4.0), "{errors:?}");
    }

    fn edges<F: Float>() {
        let (inf, nan) = (F::from_f64(f64::INFINITY), F::from_f64(f64::NAN));
        let one = F::ONE;
        assert_eq!((tanh::<F, true>(inf), tanh::<F, true>(-inf)), (one, -one));
        assert_eq!((sigmoid::<F, true>(inf), sigmoid::<F, true>(-inf)), (one, F::ZERO));
        assert!(tanh::<F, true>(nan).to_f64().is_nan() && sigmoid::<F, true>(nan).to_f64().is_nan());
        assert!(tanh::<F, false>(nan).to_f64().is_nan() && sigmoid::<F, false>(nan).to_f64().is_nan());
        assert_eq!(tanh::<F, true>(F::ZERO), F::ZERO);
        assert!(tanh::<F, true>(-F::ZERO).to_f64().is_sign_negative());
        assert_eq!(sigmoid::<F, true>(F::ZERO).to_f64(), 0.5);
    }

    #[test]
    fn infinities_zeros_and_nan() {
        edges::<f32>();
        edges::<f64>();
    }
}

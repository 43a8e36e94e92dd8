//! Scalers: fitted on one range of rows, the training part, and applied to all.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a channel is scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Left as it is.
    None,
    /// To mean 0 and population standard deviation 1.
    #[default]
    Standard,
    /// To the range from 0 to 1.
    MinMax,
}

/// A reversible change of scale: `(value - shift) / scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// What is subtracted.
    pub shift: f64,
    /// What is divided by; positive.
    pub scale: f64,
}

impl Affine {
    /// Changes nothing.
    pub const IDENTITY: Self = Self { shift: 0.0, scale: 1.0 };

    /// A value on the new scale.
    pub fn apply(self, value: f64) -> f64 {
        (value - self.shift) / self.scale
    }

    /// A value back on the old scale.
    pub fn invert(self, value: f64) -> f64 {
        value * self.scale + self.shift
    }
}

/// One change of scale for each channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// How the channels were scaled.
    pub method: Method,
    /// The change of each channel.
    pub channels: Vec<Affine>,
}

impl Scaler {
    /// Fits each channel of `values [time, channels]` on the rows of `range` alone.
    ///
    /// A channel that is constant there is shifted but not stretched.
    ///
    /// # Errors
    /// [`Error::Size`] for an empty range or one beyond the rows, [`Error::Setting`] for values that are not finite.
    pub fn fit(method: Method, values: ArrayView2<'_, f64>, range: Range<usize>) -> Result<Self> {
        if range.is_empty() || range.end > values.nrows() {
            let (expected, got) = (range.end.max(range.start + 1), values.nrows().min(range.end));
            return Err(Error::Size { what: "rows to fit a scaler on", expected, got });
        }
        let part = values.slice(ndarray::s![range, ..]);
        let channels = part.columns().into_iter().map(|column| fit(method, column)).collect::<Result<_>>()?;
        Ok(Self { method, channels })
    }

    /// Scales `values [time, channels]`.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of channels.
    pub fn apply(&self, values: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.map(values, Affine::apply)
    }

    /// Brings scaled `values [time, channels]` back.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of channels.
    pub fn invert(&self, values: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.map(values, Affine::invert)
    }

    fn map(&self, values: ArrayView2<'_, f64>, change: impl Fn(Affine, f64) -> f64) -> Result<Array2<f64>> {
        if values.ncols() != self.channels.len() {
            let (expected, got) = (self.channels.len(), values.ncols());
            return Err(Error::Size { what: "channels of a scaler", expected, got });
        }
        let mut out = values.to_owned();
        for (mut column, affine) in out.columns_mut().into_iter().zip(&self.channels) {
            column.mapv_inplace(|value| change(*affine, value));
        }
        Ok(out)
    }
}

fn fit(method: Method, column: ArrayView1<'_, f64>) -> Result<Affine> {
    if let Some(value) = column.iter().find(|value| !value.is_finite()) {
        let fault = "a scaler needs finite numbers";
        return Err(Error::Setting { name: "value", value: value.to_string(), fault });
    }
    let (shift, scale) = match method {
        Method::None => return Ok(Affine::IDENTITY),
        Method::Standard => mean_and_deviation(column.iter().copied()),
        Method::MinMax => {
            let low = column.iter().copied().fold(f64::INFINITY, f64::min);
            let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (low, high - low)
        }
    };
    // The mean of equal numbers may be off by rounding: such a deviation is no deviation.
    let constant = scale <= 4.0 * f64::EPSILON * shift.abs() || !scale.is_finite();
    Ok(Affine { shift, scale: if constant { 1.0 } else { scale } })
}

/// Mean and population standard deviation, in two passes and without overflow; NaN mean for no values.
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let largest = values.clone().fold(0.0, |most: f64, value| most.max(value.abs()));
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let mean = values.clone().map(|value| value / unit).sum::<f64>() / count;
    let square = |value: f64| (value / unit - mean) * (value / unit - mean);
    let variance = values.map(square).sum::<f64>() / count;
    (mean * unit, variance.sqrt() * unit)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_range_counts() {
        let values = array![[1.0, 5.0], [3.0, 5.0], [100.0, 9.0]];
        let scaler = Scaler::fit(Method::Standard, values.view(), 0..2).unwrap();
        assert_eq!(scaler.channels, [Affine { shift: 2.0, scale: 1.0 }, Affine { shift: 5.0, scale: 1.0 }]);
        assert_eq!(scaler.apply(values.view()).unwrap(), array![[-1.0, 0.0], [1.0, 0.0], [98.0, 4.0]]);
        let scaler = Scaler::fit(Method::MinMax, values.view(), 0..3).unwrap();
        assert_eq!(scaler.channels[0], Affine { shift: 1.0, scale: 99.0 });
        let none = Scaler::fit(Method::None, values.view(), 0..3).unwrap();
        assert_eq!(none.apply(values.view()).unwrap(), values);
    }

    #[test]
    fn a_constant_column_is_not_stretched() {
        let values = array![[0.1], [0.1], [0.1]];
        for method in [Method::Standard, Method::MinMax] {
            assert_eq!(Scaler::fit(method, values.view(), 0..3).unwrap().channels[0].scale, 1.0);
        }
        // Neighbouring numbers differ by no more than rounding does; others are stretched, however far from 0.
        for (other, scale) in [(1e9_f64.next_up(), 1.0), (1e9 + 0.5, 0.5)] {
            let values = array![[1e9], [other]];
            assert_eq!(Scaler::fit(Method::MinMax, values.view(), 0..2).unwrap().channels[0].scale, scale);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_an_error() {
        let values = array![[1.0], [f64::NAN]];
        assert!(matches!(Scaler::fit(Method::Standard, values.view(), 0..2), Err(Error::Setting { .. })));
        for (range, rows) in [(0..3, (3, 2)), (1..1, (2, 1))] {
            let refused = Scaler::fit(Method::Standard, values.view(), range);
            assert!(matches!(refused, Err(Error::Size { expected, got, .. }) if (expected, got) == rows));
        }
        let scaler = Scaler::fit(Method::Standard, values.view(), 0..1).unwrap();
        assert!(matches!(scaler.apply(array![[1.0, 2.0]].view()), Err(Error::Size { .. })));
    }

    #[test]
    fn huge_numbers_do_not_overflow_and_zeros_divide_nothing() {
        assert_eq!(mean_and_deviation([0.0, 0.0].into_iter()), (0.0, 0.0));
        let (mean, deviation) = mean_and_deviation([1e308, -1e308].into_iter());
        assert_eq!((mean, deviation), (0.0, 1e308));
    }

    proptest! {
        #[test]
        fn scaling_is_reversible(
            values in proptest::collection::vec(-1e6_f64..1e6, 2..40),
            method in prop_oneof![Just(Method::None), Just(Method::Standard), Just(Method::MinMax)],
        ) {
            let rows = values.len();
            let values = Array2::from_shape_vec((rows, 1), values).unwrap();
            let scaler = Scaler::fit(method, values.view(), 0..rows).unwrap();
            let scaled = scaler.apply(values.view()).unwrap();
            let back = scaler.invert(scaled.view()).unwrap();
            for (a, b) in values.iter().zip(&back) {
                prop_assert!((a - b).abs() <= 1e-8);
            }
            if method == Method::Standard {
                let (mean, deviation) = mean_and_deviation(scaled.iter().copied());
                prop_assert!(mean.abs() < 1e-9 && (deviation - 1.0).abs() < 1e-9);
            }
        }
    }
}

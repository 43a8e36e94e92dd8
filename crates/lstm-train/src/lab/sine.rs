//! Sines fitted by least squares, and the period that carries most of a series.

use std::f64::consts::TAU;

/// Rows that a period is looked for in; more would say little more.
const MOST_ROWS: usize = 4096;

/// Amplitude and phase as a complex number: `Re(z exp(i w t))`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Phasor {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Phasor {
    pub(super) fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// `self` times the conjugate of `other`: its angle is how far `self` is ahead.
    pub(super) fn against(self, other: Self) -> Self {
        let (re, im) = (self.re * other.re + self.im * other.im, self.im * other.re - self.re * other.im);
        Self { re, im }
    }

    pub(super) fn angle(self) -> f64 {
        self.im.atan2(self.re)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

/// The least-squares fit of level, slope and a sine of known period to values at fixed times: a linear map, made once.
pub(super) struct SineFit {
    /// What each value adds to the cosine's and to the sine's coefficient.
    weights: Vec<[f64; 2]>,
}

impl SineFit {
    /// For values at `times`; none where those do not determine the four coefficients.
    pub(super) fn new(period: f64, times: &[f64]) -> Option<Self> {
        let (first, last) = (*times.first()?, *times.last()?);
        let (middle, half) = (0.5 * (first + last), (0.5 * (last - first)).max(1.0));
        let column = |time: f64| {
            let angle = TAU * (time / period).fract();
            [1.0, (time - middle) / half, angle.cos(), angle.sin()]
        };
        let mut normal = [[0.0; 4]; 4];
        for column in times.iter().map(|time| column(*time)) {
            for (row, a) in normal.iter_mut().zip(column) {
                row.iter_mut().zip(column).for_each(|(cell, b)| *cell += a * b);
            }
        }
        let inverse = inverse(normal, 1e-9 * times.len() as f64)?;
        let weight = |time: &f64| {
            let column = column(*time);
            [2, 3].map(|k| inverse[k].iter().zip(column).map(|(a, b)| a * b).sum())
        };
        Some(Self { weights: times.iter().map(weight).collect() })
    }

    /// Amplitude and phase of `values`.
    pub(super) fn phasor(&self, values: &[f64]) -> Phasor {
        let mut phasor = Phasor::default();
        for (weight, value) in self.weights.iter().zip(values) {
            // a cos(wt) + b sin(wt) = Re((a - ib) exp(iwt)).
            phasor = phasor.plus(Phasor { re: weight[0] * value, im: -weight[1] * value });
        }
        phasor
    }
}

/// Gauss and Jordan with pivots; none where a pivot is below `least`.
fn inverse(mut a: [[f64; 4]; 4], least: f64) -> Option<[[f64; 4]; 4]> {
    let mut inverse = [[0.0; 4]; 4];
    for (i, row) in inverse.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    for k in 0..4 {
        let pivot = (k..4).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        inverse.swap(k, pivot);
        let scale = a[k][k];
        if scale.abs() < least {
            return None;
        }
        a[k].iter_mut().chain(&mut inverse[k]).for_each(|cell| *cell /= scale);
        for i in (0..4).filter(|i| *i != k) {
            let factor = a[i][k];
            for j in 0..4 {
                a[i][j] -= factor * a[k][j];
                inverse[i][j] -= factor * inverse[k][j];
            }
        }
    }
    Some(inverse)
}

/// The period that carries most of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dominant {
    /// The period, in steps.
    pub period: f64,
    /// Share of the variance about a straight line that a sine of this period explains.
    pub share: f64,
}

/// The highest peak of the periodogram (Schuster 1898) of the last rows less their straight line, among periods from 2
/// steps to a quarter of these rows, refined between the periodogram's frequencies by least squares.
///
/// None for fewer than 12 values, and where all lie on a line.
#[must_use]
pub fn dominant_period(series: &[f64]) -> Option<Dominant> {
    let series = detrended(&series[series.len().saturating_sub(MOST_ROWS)..]);
    let n = series.len();
    let total: f64 = series.iter().map(|value| value * value).sum();
    if n < 12 || !total.is_normal() {
        return None;
    }
    let power = |frequency: f64| -> f64 {
        let step = (TAU * frequency).sin_cos();
        let (mut sine, mut cosine, mut re, mut im) = (0.0, 1.0, 0.0, 0.0);
        for value in &series {
            (re, im) = (re + value * cosine, im + value * sine);
            (sine, cosine) = (sine * step.1 + cosine * step.0, cosine * step.1 - sine * step.0);
        }
        re * re + im * im
    };
    let width = 1.0 / n as f64;
    let peak = (4..=n / 2).map(|k| k as f64 * width);
    let peak = peak.map(|f| (f, power(f))).max_by(|a, b| a.1.total_cmp(&b.1))?.0;
    let times: Vec<f64> = (0..n).map(|t| t as f64).collect();
    let explained = |frequency: f64| {
        let fit = SineFit::new(1.0 / frequency, &times);
        fit.map_or(0.0, |fit| fit.phasor(&series).size())
    };
    let (mut low, mut high) = ((peak - width).max(3.5 * width), (peak + width).min(0.5));
    for _ in 0..40 {
        let third = (high - low) / 3.0;
        if explained(low + third) < explained(high - third) { low += third } else { high -= third }
    }
    let frequency = 0.5 * (low + high);
    let share = 0.5 * explained(frequency).powi(2) * n as f64 / total;
    Some(Dominant { period: 1.0 / frequency, share: share.min(1.0) })
}

/// `values` less the straight line that fits them best.
fn detrended(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let middle = 0.5 * (n - 1.0);
    let mean = values.iter().sum::<f64>() / n;
    let times = || (0..values.len()).map(|t| t as f64 - middle);
    let slope = times().zip(values).map(|(t, v)| t * (v - mean)).sum::<f64>()
        / times().map(|t| t * t).sum::<f64>().max(1.0);
    times().zip(values).map(|(t, v)| v - mean - slope * t).collect()
}

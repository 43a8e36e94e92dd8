//! What a network answers where it says how sure it is: quantiles, or the parameters of a distribution.
//!
//! A value has `P` numbers of the answer, `a`, and `K` of the target. With `s(a) = ln(1 + e^a)`, so that widths are above 0:
//!
//! | answer | numbers | loss of the target `y` |
//! |---|---|---|
//! | quantiles at `q_0 < … < q_2m`, `q_m = 1/2` | `f_m = a_0`, `f_{m-j} = f_{m-j+1} - s(a_j)`, `f_{m+j} = f_{m+j-1} + s(a_{m+j})` | mean over `i` of `2 (y - f_i) (q_i - [y < f_i])` |
//! | Gaussian | `mu = a_0`, `sigma = s(a_1) + 1e-3` | `ln sigma + z²/2 + ln(2 pi)/2`, `z = (y - mu) / sigma` |
//! | Student-t | `mu`, `sigma` as there, `nu = 2 + s(a_2)` | `ln B(nu/2, 1/2) + ln(nu)/2 + ln sigma + (nu + 1)/2 ln(1 + z²/nu)` |
//! | negative binomial | mean `mu = t s(c + a_0)`, `alpha = (s(a_1) + 1e-3) / √t`, variance `mu + alpha mu²` | `-ln Γ(y + r)/(Γ(r) y!) - r ln(r/(r + mu)) - y ln(mu/(r + mu))`, `r = 1/alpha` |
//!
//! Quantiles that cannot cross are those of Park and others 2022 ("Learning quantile functions without quantile crossing"),
//! their loss is Koenker's and Bassett's 1978. The others are negative logarithms of densities. Location, scale and degrees of
//! freedom are parametrised as in Salinas and others 2020 (DeepAR), as is the negative binomial distribution, whose target
//! has three numbers: the count `y`, the size `t` of the series, and `c`, with which an answer of 0 gives the forecast
//! that the network corrects.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, DiscreteCDF, NegativeBinomial, Normal, StudentsT};
use statrs::function::beta::ln_beta;
use statrs::function::gamma::{digamma, ln_gamma};
use std::f64::consts::TAU;

/// Least width, in units of the target: a network that were certain could not learn from a surprise.
const LEAST: f64 = 1e-3;

/// What the numbers of a network's answer mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Answer {
    /// Quantiles that do not cross.
    Quantiles {
        /// Their levels: an odd number, rising, with 0.5 in the middle.
        levels: Vec<f64>,
    },
    /// Mean and standard deviation of a normal distribution.
    Gaussian,
    /// Location, scale and degrees of freedom, above 2, of Student's t.
    StudentT,
    /// Mean and dispersion of counts.
    NegativeBinomial,
}

/// `ln(1 + e^a)`.
fn softplus(a: f64) -> f64 {
    a.max(0.0) + (-a.abs()).exp().ln_1p()
}

/// The slope of [`softplus`].
fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// The number whose `ln(1 + e^a)` is `value`, above 0.
#[must_use]
pub fn softplus_inverse(value: f64) -> f64 {
    value + (-(-value).exp_m1()).ln()
}

impl Answer {
    /// Numbers `P` of the answer for each value.
    #[must_use]
    pub fn parameters(&self) -> usize {
        match self {
            Self::Quantiles { levels } => levels.len(),
            Self::Gaussian | Self::NegativeBinomial => 2,
            Self::StudentT => 3,
        }
    }

    /// Numbers `K` of the target for each value.
    #[must_use]
    pub fn targets(&self) -> usize {
        if *self == Self::NegativeBinomial { 3 } else { 1 }
    }

    /// Whether levels are as they must be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Quantiles { levels } => {
                levels.len() % 2 == 1
                    && levels[levels.len() / 2] == 0.5
                    && levels.iter().all(|level| (0.0..1.0).contains(level) && *level > 0.0)
                    && levels.windows(2).all(|pair| pair[0] < pair[1])
            }
            _ => true,
        }
    }

    /// The loss of an answer `a [P]` to a target `y [K]`; its gradient goes to `d_a [P]`.
    pub fn loss(&self, a: &[f64], y: &[f64], d_a: &mut [f64]) -> f64 {
        match self {
            Self::Quantiles { levels } => quantile_loss(levels, a, y[0], d_a),
            Self::Gaussian => {
                let (sigma, z) = standardised(a, y[0]);
                d_a[0] = -z / sigma;
                d_a[1] = (1.0 - z * z) / sigma * sigmoid(a[1]);
                sigma.ln() + 0.5 * (z * z + TAU.ln())
            }
            Self::StudentT => {
                let (sigma, z) = standardised(a, y[0]);
                let nu = freedom(a);
                let (weight, log) = ((nu + 1.0) / (nu + z * z), (z * z / nu).ln_1p());
                d_a[0] = -weight * z / sigma;
                d_a[1] = (1.0 - weight * z * z) / sigma * sigmoid(a[1]);
                let d_nu = digamma(0.5 * nu) - digamma(0.5 * (nu + 1.0)) + (1.0 - weight * z * z) / nu + log;
                d_a[2] = 0.5 * d_nu * sigmoid(a[2]);
                ln_beta(0.5 * nu, 0.5) + 0.5 * nu.ln() + sigma.ln() + 0.5 * (nu + 1.0) * log
            }
            Self::NegativeBinomial => {
                let (mu, alpha) = count(a, y);
                let (y, size, link) = (y[0], y[1], y[2]);
                let (r, rest) = (1.0 / alpha, (alpha * mu).ln_1p());
                let d_r = digamma(r) - digamma(y + r) + rest - (mu - y) / (r + mu);
                d_a[0] = (mu - y) / (mu * (1.0 + alpha * mu)) * size * sigmoid(link + a[0]);
                d_a[1] = -r * r * d_r * sigmoid(a[1]) / size.sqrt();
                let chosen = ln_gamma(y + r) - ln_gamma(r) - ln_gamma(y + 1.0);
                (r + y) * rest - y * (alpha * mu).ln() - chosen
            }
        }
    }

    /// The quantiles at rising `levels`, in (0, 1), of an answer `a [P]` to a target of which `y [K]` holds all but the first
    /// number. Between the quantiles of a network it is a line, beyond the outermost an exponential through the last two.
    #[must_use]
    pub fn quantiles(&self, a: &[f64], y: &[f64], levels: &[f64]) -> Vec<f64> {
        let located = |standard: &dyn Fn(f64) -> f64| {
            let scale = softplus(a[1]) + LEAST;
            levels.iter().map(|level| a[0] + scale * standard(*level)).collect()
        };
        match self {
            Self::Quantiles { levels: known } => {
                let mut f = vec![0.0; a.len()];
                quantiles(a, &mut f);
                levels.iter().map(|level| between(known, &f, *level)).collect()
            }
            Self::Gaussian => located(&standard_normal),
            Self::StudentT => {
                let nu = freedom(a);
                // Beyond, the two differ by less than 1e-4, and the inverse of the incomplete beta function fails.
                let t = (nu < 1e5).then(|| StudentsT::new(0.0, 1.0, nu).ok()).flatten();
                match t {
                    Some(t) => located(&|level| t.inverse_cdf(level)),
                    None => located(&standard_normal),
                }
            }
            Self::NegativeBinomial => {
                let (mu, alpha) = count(a, y);
                count_quantiles(mu, alpha, levels)
            }
        }
    }

    /// Whether its loss is the negative logarithm of a density or a probability, which may lie below 0.
    #[must_use]
    pub fn is_likelihood(&self) -> bool {
        !matches!(self, Self::Quantiles { .. })
    }

    /// The slope of the middle of the answer with respect to `a[0]`, in units of the target's first number.
    #[must_use]
    pub fn slope(&self, a: &[f64], y: &[f64]) -> f64 {
        match self {
            Self::NegativeBinomial => y[1] * sigmoid(y[2] + a[0]),
            _ => 1.0,
        }
    }
}

/// Standard deviation or scale, and how many of them the target lies above the location.
fn standardised(a: &[f64], y: f64) -> (f64, f64) {
    let sigma = softplus(a[1]) + LEAST;
    (sigma, (y - a[0]) / sigma)
}

/// Degrees of freedom.
fn freedom(a: &[f64]) -> f64 {
    2.0 + softplus(a[2])
}

/// Mean and dispersion of a count.
fn count(a: &[f64], y: &[f64]) -> (f64, f64) {
    let (size, link) = (y[1], y[2]);
    ((size * softplus(link + a[0])).max(f64::MIN_POSITIVE), (softplus(a[1]) + LEAST) / size.sqrt())
}

fn standard_normal(level: f64) -> f64 {
    Normal::standard().inverse_cdf(level)
}

/// The least counts whose distribution function reaches each of rising `levels`; not numbers where the mean is none.
fn count_quantiles(mu: f64, alpha: f64, levels: &[f64]) -> Vec<f64> {
    /// From here on counts are taken for normally distributed: integers end, and the distribution function's series does
    /// not converge.
    const LARGE: f64 = 1e12;
    let (r, deviation) = (1.0 / alpha, (mu + alpha * mu * mu).sqrt());
    // Not `max`, which would make 0 of what is no number.
    let normal = |level: f64| match mu + deviation * standard_normal(level) {
        below if below < 0.0 => 0.0,
        value => value,
    };
    let distribution =
        NegativeBinomial::new(r, r / (r + mu)).ok().filter(|_| mu < LARGE && deviation < LARGE);
    let Some(distribution) = distribution else {
        return levels.iter().map(|level| normal(*level).round()).collect();
    };
    let mut least = 0;
    let quantile = |level: &f64| {
        let reaches = |k: u64| distribution.cdf(k) >= *level;
        // Around the normal distribution's, and not below the quantile before; in steps that double, then halve.
        let mut high = (normal(*level) as u64).max(least);
        let mut step = (0.125 * deviation) as u64 + 1;
        let mut low = least.checked_sub(1);
        while !reaches(high) {
            low = Some(high);
            high += step;
            step *= 2;
        }
        while low.is_none() && high > 0 {
            let below = high.saturating_sub(step);
            match reaches(below) {
                true => high = below,
                false => low = Some(below),
            }
            step *= 2;
        }
        while let Some(below) = low.filter(|low| high - low > 1) {
            let middle = below + (high - below) / 2;
            match reaches(middle) {
                true => high = middle,
                false => low = Some(middle),
            }
        }
        least = high;
        high as f64
    };
    levels.iter().map(quantile).collect()
}

/// The quantiles that an answer says, rising, into `f` of its length.
fn quantiles(a: &[f64], f: &mut [f64]) {
    let m = a.len() / 2;
    f[m] = a[0];
    for j in 1..=m {
        f[m - j] = f[m - j + 1] - softplus(a[j]);
        f[m + j] = f[m + j - 1] + softplus(a[m + j]);
    }
}

fn quantile_loss(levels: &[f64], a: &[f64], y: f64, d_a: &mut [f64]) -> f64 {
    let (count, m) = (levels.len() as f64, levels.len() / 2);
    // The quantiles lie where their slopes will.
    quantiles(a, d_a);
    let slope = |f: f64, level: f64| 2.0 / count * (f64::from(u8::from(y < f)) - level);
    let mut loss = 0.0;
    for (f, level) in d_a.iter_mut().zip(levels) {
        let slope = slope(*f, *level);
        loss += slope * (*f - y);
        *f = slope;
    }
    // With respect to each quantile; then to what these are sums of: all of the middle, outer ones of what lies inside.
    let all = d_a.iter().sum();
    (1..m).for_each(|i| d_a[i] += d_a[i - 1]);
    (m + 1..2 * m).rev().for_each(|i| d_a[i] += d_a[i + 1]);
    d_a[..m].reverse();
    d_a.copy_within(..m, 1);
    d_a[0] = all;
    for (j, (d_a, a)) in d_a.iter_mut().zip(a).enumerate().skip(1) {
        *d_a *= if j <= m { -sigmoid(*a) } else { sigmoid(*a) };
    }
    loss
}

/// The quantile at `level` of a distribution of which some `f` are known at rising `levels`.
#[must_use]
pub fn between(levels: &[f64], f: &[f64], level: f64) -> f64 {
    let last = levels.len() - 1;
    if last == 0 {
        return f[0];
    }
    let tail = |end: usize, inner: usize, share: fn(f64) -> f64| {
        let slope = (f[end] - f[inner]) / (share(levels[end]) / share(levels[inner])).ln();
        f[end] + slope * (share(level) / share(levels[end])).ln()
    };
    match levels.partition_point(|known| *known < level) {
        0 => tail(0, 1, |level| level),
        after if after > last => tail(last, last - 1, |level| 1.0 - level),
        after => {
            let share = (level - levels[after - 1]) / (levels[after] - levels[after - 1]);
            f[after - 1] + share * (f[after] - f[after - 1])
        }
    }
}

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

    /// The quantile at `level`, in (0, 1), of an answer `a [P]` to a target of which `y [K]` holds all but the first number.
    /// Between the quantiles of a network it is a line, beyond the outermost an exponential through the last two.
    #[must_use]
    pub fn quantile(&self, a: &[f64], y: &[f64], level: f64) -> f64 {
        match self {
            Self::Quantiles { levels } => {
                let mut f = vec![0.0; a.len()];
                quantiles(a, &mut f);
                between(levels, &f, level)
            }
            Self::Gaussian => a[0] + (softplus(a[1]) + LEAST) * standard_normal(level),
            Self::StudentT => {
                let standard =
                    StudentsT::new(0.0, 1.0, freedom(a)).map_or(f64::NAN, |t| t.inverse_cdf(level));
                a[0] + (softplus(a[1]) + LEAST) * standard
            }
            Self::NegativeBinomial => {
                let (mu, alpha) = count(a, y);
                count_quantile(mu, alpha, level)
            }
        }
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

/// The least count whose distribution function reaches `level`.
fn count_quantile(mu: f64, alpha: f64, level: f64) -> f64 {
    let r = 1.0 / alpha;
    let Ok(distribution) = NegativeBinomial::new(r, r / (r + mu)) else { return f64::NAN };
    let deviation = (mu + alpha * mu * mu).sqrt();
    let reaches = |k: u64| distribution.cdf(k) >= level;
    // Around the normal distribution's, in steps that double, then halve.
    let mut high = (mu + deviation * standard_normal(level)).max(0.0) as u64;
    let mut step = (0.125 * deviation) as u64 + 1;
    let mut low = None;
    while !reaches(high) {
        low = Some(high);
        high += step;
        step *= 2;
    }
    while low.is_none() && high > 0 {
        let below = high.saturating_sub(step);
        if reaches(below) {
            high = below
        } else {
            low = Some(below)
        }
        step *= 2;
    }
    while let Some(below) = low.filter(|low| high - low > 1) {
        let middle = below + (high - below) / 2;
        if reaches(middle) { high = middle } else { low = Some(middle) }
    }
    high as f64
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

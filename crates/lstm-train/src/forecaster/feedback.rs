//! Correction of forecasts by what earlier ones missed: `docs/decisions/0015-feedback.md`.
//!
//! At a place `n`, two errors of each step `h` of the horizon `H` are known: `e`, what the forecast from the row before
//! missed of its first step, and `s[h]`, what the forecast from `H` rows before missed of the same step. The forecast
//! becomes
//!
//! ```text
//! f[h] + a[h] e + b[h] s[h]
//! ```
//!
//! with shares `a`, `b` by least squares on the validation part, each step for itself, times `1 - 2 / F` or 0, whichever is
//! more (James and Stein 1961, Baranchik 1964). `F` is the ratio of the variances explained and left, with as many
//! degrees of freedom as there are forecasts that do not overlap: neighbours share all but one of their rows.

use super::windows::Window;
use super::{CHECKED, Forecaster, Member};
use crate::Result;
use lstm_tensor::{Backend, Float};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;

/// How much of the last errors goes into a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Shares of each step: of the error of the step before, and of the same step one horizon before.
    pub shares: Vec<[f64; 2]>,
}

/// Known errors of a place: of the step before, and of each step one horizon before; 0 where there was no forecast.
pub(super) struct Missed {
    before: f64,
    horizon: Vec<f64>,
}

impl Missed {
    fn of_step(&self, h: usize) -> [f64; 2] {
        [self.before, self.horizon[h]]
    }
}

impl Feedback {
    /// What is added to the forecast of step `h`.
    pub(super) fn correction(&self, missed: &Missed, h: usize) -> f64 {
        let [before, horizon] = missed.of_step(h);
        let [a, b] = self.shares[h];
        a * before + b * horizon
    }

    /// From what was missed at places of one series after another, `spacing` rows apart: `known` before, `came` after,
    /// `[places, H]`, all in one unit; NaN where nobody knows. None where nothing is worth to be fed back.
    fn fit(known: &[Missed], came: &[f64], horizon: usize, spacing: usize) -> Option<Self> {
        let step = |h: usize| {
            let pairs = known.iter().map(|known| known.of_step(h)).zip(came.iter().skip(h).step_by(horizon));
            let apart = (spacing as f64 / (h + 1) as f64).min(1.0);
            shares(pairs.filter(|(_, came)| came.is_finite()).map(|(known, came)| (known, *came)), apart)
        };
        let shares: Vec<[f64; 2]> = (0..horizon).map(step).collect();
        shares.iter().flatten().any(|share| *share != 0.0).then_some(Self { shares })
    }
}

/// Shrunken least squares of `y` on two columns without a mean; `apart` is the part of the rows that counts as independent.
fn shares(rows: impl Iterator<Item = ([f64; 2], f64)>, apart: f64) -> [f64; 2] {
    // Of the diagonal: enough to tell the columns apart where they are one.
    const RIDGE: f64 = 0.01;
    let ([mut aa, mut ab, mut bb], [mut ay, mut by], mut yy, mut count) = ([0.0; 3], [0.0; 2], 0.0, 0usize);
    for ([a, b], y) in rows {
        (aa, ab, bb) = (aa + a * a, ab + a * b, bb + b * b);
        (ay, by, yy) = (ay + a * y, by + b * y, yy + y * y);
        count += 1;
    }
    let (ra, rb) = (aa * (1.0 + RIDGE), bb * (1.0 + RIDGE));
    let determinant = ra * rb - ab * ab;
    let [a, b] = match () {
        () if determinant > 0.0 => [(ay * rb - by * ab) / determinant, (by * ra - ay * ab) / determinant],
        () if ra > 0.0 => [ay / ra, 0.0],
        () if rb > 0.0 => [0.0, by / rb],
        () => return [0.0; 2],
    };
    let left = yy - 2.0 * (a * ay + b * by) + a * a * aa + 2.0 * a * b * ab + b * b * bb;
    let ratio = count as f64 * apart * (yy - left) / (2.0 * left);
    let kept = if left > 0.0 { 1.0 - 2.0 / ratio } else { 1.0 };
    if ratio > 2.0 || left <= 0.0 { [a * kept, b * kept] } else { [0.0; 2] }
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// What its forecasts missed before each of these places, in the series' unit.
    pub(super) fn missed(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
    ) -> Result<Vec<Missed>> {
        let (horizon, reach) = (self.config.horizon, self.config.reach());
        let earlier = |window: &Window, rows: usize| {
            let row = window.row.checked_sub(rows).filter(|row| *row >= reach)?;
            Some(Window { member: window.member, row })
        };
        let mut places: Vec<Window> =
            windows.iter().flat_map(|w| [earlier(w, 1), earlier(w, horizon)]).flatten().collect();
        places.sort_by_key(|place| (place.member, place.row));
        places.dedup();
        let forecasts = self.quantiles_unfed(backend, panel, &places, |_| &[0.5])?;
        let at: HashMap<(usize, usize), &[f64]> = places
            .iter()
            .map(|place| (place.member, place.row))
            .zip(forecasts.chunks_exact(horizon))
            .collect();
        let errors = |place: Option<Window>| {
            let place = place?;
            let forecast = at.get(&(place.member, place.row))?;
            let values = panel[place.member].values.get(place.row..)?;
            Some(values.iter().zip(*forecast).map(|(y, f)| y - f))
        };
        let of = |window: &Window| Missed {
            before: errors(earlier(window, 1)).and_then(|mut errors| errors.next()).unwrap_or(0.0),
            horizon: errors(earlier(window, horizon)).map_or(vec![0.0; horizon], Iterator::collect),
        };
        Ok(windows.iter().map(of).collect())
    }

    /// What it learns from forecasts in some rows of each series, of which it must have seen nothing before.
    pub(super) fn learnt_feedback(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        unseen: impl Fn(usize) -> Range<usize>,
    ) -> Result<Option<Feedback>> {
        let horizon = self.config.horizon;
        // The forecasts before a place must lie there too.
        let part = |_, rows| {
            let rows = unseen(rows);
            (rows.start + horizon).min(rows.end)..rows.end
        };
        let all = self.windows(panel, horizon, part);
        let (windows, spacing) = (all.sample(CHECKED), all.len().div_ceil(CHECKED).max(1));
        let mut known = self.missed(backend, panel, &windows)?;
        let forecasts = self.quantiles_unfed(backend, panel, &windows, |_| &[0.5])?;
        let mut came = all.actual(&windows);
        came.iter_mut().zip(forecasts).for_each(|(y, f)| *y -= f);
        for ((window, known), came) in windows.iter().zip(&mut known).zip(came.chunks_exact_mut(horizon)) {
            let unit = all.spread(window.member);
            known.before /= unit;
            known.horizon.iter_mut().chain(came).for_each(|error| *error /= unit);
        }
        Ok(Feedback::fit(&known, &came, horizon, spacing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors of 200 places of which those of two steps follow by these shares, and noise that repeats.
    fn learnt(shares: [[f64; 2]; 2], noise: f64, spacing: usize) -> Option<Feedback> {
        let wave = |n: usize, period: f64| (n as f64 * period).sin();
        let known: Vec<Missed> = (0..200)
            .map(|n| Missed { before: wave(n, 1.3), horizon: vec![wave(n, 2.9), wave(n, 0.7)] })
            .collect();
        let came: Vec<f64> = known
            .iter()
            .enumerate()
            .flat_map(|(n, known)| {
                [0, 1].map(|h| {
                    let [a, b] = known.of_step(h);
                    shares[h][0] * a + shares[h][1] * b + noise * wave(n * n, 0.37)
                })
            })
            .collect();
        Feedback::fit(&known, &came, 2, spacing)
    }

    #[test]
    fn shares_are_found_and_added() {
        let feedback = learnt([[0.8, 0.0], [0.1, -0.4]], 0.0, 1).unwrap();
        for (found, wanted) in feedback.shares.iter().flatten().zip([0.8, 0.0, 0.1, -0.4]) {
            assert!((found - wanted).abs() < 0.02, "{feedback:?}");
        }
        let missed = Missed { before: 2.0, horizon: vec![5.0, 10.0] };
        let [a, b] = feedback.shares[1];
        assert!((feedback.correction(&missed, 1) - (2.0 * a + 10.0 * b)).abs() < 1e-12);
    }

    #[test]
    fn what_may_be_chance_is_not_fed_back() {
        assert_eq!(learnt([[0.0; 2]; 2], 1.0, 2), None);
        // Clear where forecasts stand apart, and less so where they overlap.
        let weak = |spacing| learnt([[0.0; 2], [0.3, 0.0]], 1.0, spacing).map_or(0.0, |f| f.shares[1][0]);
        assert!(weak(2) > weak(1) && weak(2) > 0.2, "{} {}", weak(2), weak(1));
        assert!(weak(2) < 0.35);
    }

    #[test]
    fn nothing_is_learnt_from_nothing() {
        assert_eq!(Feedback::fit(&[], &[], 3, 1), None);
        let silent = || Missed { before: 0.0, horizon: vec![0.0] };
        assert_eq!(Feedback::fit(&[silent(), silent()], &[1.0, f64::NAN], 1, 1), None);
        let before = [1.0, -1.0, 2.0, -2.0].map(|before| Missed { before, horizon: vec![0.0] });
        let feedback = Feedback::fit(&before, &[0.5, -0.5, 1.0, -1.0], 1, 1).unwrap();
        assert!((feedback.shares[0][0] - 0.5).abs() < 0.01 && feedback.shares[0][1] == 0.0);
    }
}

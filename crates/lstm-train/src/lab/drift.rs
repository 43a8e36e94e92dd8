//! How amplitude and phase of free runs part from those of what came.

use super::sine::{Phasor, SineFit};
use serde::Serialize;
use std::f64::consts::TAU;

/// Values that a sine is fitted to at least.
const LEAST_VALUES: f64 = 8.0;

/// Amplitude and phase in one stretch of the free runs, beside the same stretch of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drift {
    /// Steps ahead of the stretch's last value.
    pub ahead: usize,
    /// Periods from the last known value to the stretch's middle.
    pub cycles: f64,
    /// Root mean squared amplitude of the free runs over that of the truth.
    pub amplitude: f64,
    /// Steps that the free runs are ahead of the truth; behind where negative.
    pub phase: f64,
    /// How well the free runs agree about the phase, from 0, not at all, to 1.
    pub coherence: f64,
}

/// Fits a sine of `period` to stretches of one period (of several, where one has fewer than 8 values) of every run in
/// `runs [rows, steps]` and of what came, by least squares with level and slope, and compares them over all runs.
#[must_use]
pub fn drift(series: &[f64], rows: &[usize], runs: &[f64], steps: usize, period: f64) -> Vec<Drift> {
    let length = ((LEAST_VALUES / period).ceil().max(1.0) * period).round() as usize;
    let times: Vec<f64> = (0..length).map(|t| t as f64).collect();
    let Some(fit) = SineFit::new(period, &times) else { return Vec::new() };
    let mut turned = 0.0;
    let stretches = (0..steps / length).map(|stretch| {
        let here = stretch * length..(stretch + 1) * length;
        let (mut ours, mut theirs, mut cross) = (0.0, 0.0, Phasor::default());
        for (&row, run) in rows.iter().zip(runs.chunks_exact(steps)) {
            let mine = fit.phasor(&run[here.clone()]);
            let truth = fit.phasor(&series[row + here.start..row + here.end]);
            ours += mine.size().powi(2);
            theirs += truth.size().powi(2);
            cross = cross.plus(mine.against(truth));
        }
        // A phase is known up to whole turns: the nearest to the one before is meant.
        let angle = cross.angle();
        turned = angle + TAU * ((turned - angle) / TAU).round();
        Drift {
            ahead: here.end,
            cycles: (here.start as f64 + 0.5 * length as f64) / period,
            amplitude: (ours / theirs).sqrt(),
            phase: turned * period / TAU,
            coherence: cross.size() / (ours * theirs).sqrt(),
        }
    });
    stretches.collect()
}

/// How fast amplitude and phase move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pace {
    /// Factor of the amplitude in one cycle.
    pub amplitude: f64,
    /// Steps gained on the truth in one cycle.
    pub phase: f64,
}

/// Straight lines through the logarithm of the amplitude and through the phase against cycles, by least squares,
/// weighted with the coherence; none for fewer than two stretches.
#[must_use]
pub fn pace(drifts: &[Drift]) -> Option<Pace> {
    let sound: Vec<&Drift> =
        drifts.iter().filter(|d| d.amplitude.ln().is_finite() && d.coherence > 0.0).collect();
    let total: f64 = sound.iter().map(|d| d.coherence).sum();
    let mean =
        |pick: &dyn Fn(&Drift) -> f64| sound.iter().map(|d| d.coherence * pick(d)).sum::<f64>() / total;
    let centre = mean(&|d| d.cycles);
    let spread = mean(&|d| (d.cycles - centre).powi(2));
    let slope = |pick: &dyn Fn(&Drift) -> f64| mean(&|d| (d.cycles - centre) * pick(d)) / spread;
    (sound.len() > 1 && spread > 0.0)
        .then(|| Pace { amplitude: slope(&|d| d.amplitude.ln()).exp(), phase: slope(&|d| d.phase) })
}

//! What a model makes of sines: gain and phase of its one-step prediction, by frequency.

use super::ClosedLoop;
use super::sine::SineFit;
use crate::Result;
use serde::Serialize;
use std::f64::consts::TAU;

/// Predictions that each sine is judged by.
const SAMPLES: usize = 64;

/// A sine about a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wave {
    /// What it swings about.
    pub level: f64,
    /// How far it swings.
    pub amplitude: f64,
}

/// The one-step prediction of a sine against its true next value; gain 1 and lead 0 continue it perfectly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Response {
    /// Period of the sine, in steps.
    pub period: f64,
    /// Amplitude of the prediction over that of the sine.
    pub gain: f64,
    /// Degrees by which the prediction is ahead of the sine; behind where negative.
    pub lead: f64,
}

/// Feeds a sine of each of `periods` and measures the first prediction behind 64 of its rows.
///
/// Each sine is read from the start for [`ClosedLoop::reach`] rows before the first prediction; the predictions then
/// spread over two of its periods, or over 64 rows where those are more.
///
/// # Errors
/// Those of the model.
pub fn response(subject: &mut dyn ClosedLoop, wave: Wave, periods: &[f64]) -> Result<Vec<Response>> {
    let (reach, stride) = (subject.reach(), subject.stride());
    let mut responses = Vec::with_capacity(periods.len());
    for &period in periods {
        let apart = ((2.0 * period / SAMPLES as f64).ceil() as usize).max(1);
        let rows: Vec<usize> = (0..SAMPLES).map(|sample| reach + sample * apart).collect();
        let times: Vec<f64> = rows.iter().map(|row| *row as f64).collect();
        let Some(fit) = SineFit::new(period, &times) else { continue };
        let sine = |row: usize| wave.level + wave.amplitude * (TAU * (row as f64 / period).fract()).sin();
        let series: Vec<f64> = (0..=reach + SAMPLES * apart).map(sine).collect();
        let mut states = subject.start(&series, &rows)?;
        let predictions: Vec<f64> = subject.turn(&mut states)?.into_iter().step_by(stride).collect();
        let truth: Vec<f64> = rows.iter().map(|row| series[*row]).collect();
        let (truth, ours) = (fit.phasor(&truth), fit.phasor(&predictions));
        let lead = ours.against(truth).angle().to_degrees();
        responses.push(Response { period, gain: ours.size() / truth.size(), lead });
    }
    Ok(responses)
}

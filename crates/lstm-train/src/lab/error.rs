//! Error of the free run against horizon.

use crate::baseline::seasonal_naive;
use serde::Serialize;

/// Errors at one distance from the last known value, over all free runs, in the series' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HorizonError {
    /// Steps ahead, from 1.
    pub ahead: usize,
    /// Root mean squared error of the free runs.
    pub rmse: f64,
    /// That of the last value repeated.
    pub naive: f64,
    /// That of the last season repeated.
    pub seasonal_naive: f64,
}

/// Root mean squared errors at every horizon of `runs [rows, steps]`, which begin behind each of `rows`, beside the
/// naive forecasts.
#[must_use]
pub fn free_run_errors(
    series: &[f64],
    rows: &[usize],
    runs: &[f64],
    steps: usize,
    season: usize,
) -> Vec<HorizonError> {
    let mut squares = vec![[0.0; 3]; steps];
    for (&row, run) in rows.iter().zip(runs.chunks_exact(steps)) {
        let known = &series[..row];
        let (naive, seasonal) = (series[row - 1], seasonal_naive(known, season, steps));
        for (h, sums) in squares.iter_mut().enumerate() {
            for (sum, forecast) in sums.iter_mut().zip([run[h], naive, seasonal[h]]) {
                *sum += (forecast - series[row + h]).powi(2);
            }
        }
    }
    let root = |sum: f64| (sum / rows.len().max(1) as f64).sqrt();
    let errors = squares.iter().enumerate().map(|(h, sums)| {
        let [rmse, naive, seasonal_naive] = sums.map(root);
        HorizonError { ahead: h + 1, rmse, naive, seasonal_naive }
    });
    errors.collect()
}

//! Forecasts that need no training, which every model is held against.

/// The value one season before, repeated: `f[h] = y[n - season + h mod season]`. A season of 1 is the
/// naive forecast, the last value repeated. Seasons longer than the history shrink to it.
///
/// Returns `horizon` values; none for an empty history.
#[must_use]
pub fn seasonal_naive(history: &[f64], season: usize, horizon: usize) -> Vec<f64> {
    let season = season.clamp(1, history.len().max(1));
    let last = &history[history.len() - season.min(history.len())..];
    if last.is_empty() { Vec::new() } else { last.iter().copied().cycle().take(horizon).collect() }
}

/// The last value repeated.
#[must_use]
pub fn naive(history: &[f64], horizon: usize) -> Vec<f64> {
    seasonal_naive(history, 1, horizon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasons_repeat() {
        assert_eq!(seasonal_naive(&[1.0, 2.0, 3.0], 2, 5), [2.0, 3.0, 2.0, 3.0, 2.0]);
        assert_eq!(naive(&[1.0, 2.0, 3.0], 2), [3.0, 3.0]);
        assert_eq!(seasonal_naive(&[1.0], 12, 2), [1.0, 1.0]);
        assert!(seasonal_naive(&[], 3, 2).is_empty());
    }
}

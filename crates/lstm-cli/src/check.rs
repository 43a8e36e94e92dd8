//! A second look at the held-out rows of one series: what the LSTM, trained without them, missed in each.

use lstm_data::panel::{Member, Panel};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{self, Forecaster, Window};

/// Places that are forecast from at most; where there are more, the last ones.
const PLACES: usize = 4000;
/// Lags of the autocorrelation at most.
const LAGS: usize = 200;

/// Forecasts from one place after another.
#[derive(Debug, Default)]
pub(crate) struct HeldOut {
    /// Whose.
    pub(crate) member: usize,
    /// First row that the first of them predicts; the next predicts from the next row on.
    pub(crate) first: usize,
    /// `[places, H]`.
    forecasts: Vec<f64>,
    horizon: usize,
    /// Whether earlier held-out rows are left out.
    cut: bool,
}

impl HeldOut {
    /// Of the first series that is long enough, by a forecaster that has not seen its held-out rows.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) fn new<B: Backend, F: Float>(
        backend: &B,
        forecaster: &Forecaster<B, F>,
        members: &[forecaster::Member<'_>],
        panel: &Panel,
    ) -> lstm_train::Result<Self> {
        let config = &forecaster.config;
        // What is known in advance ends with the data.
        let last = |rows: usize| {
            if panel.known.is_empty() { rows } else { (rows + 1).saturating_sub(config.horizon) }
        };
        let places = |m: &forecaster::Member<'_>| {
            let (first, end) = (m.rows().saturating_sub(config.held_out).max(config.reach()), last(m.rows()));
            (first < end).then(|| first.max(end.saturating_sub(PLACES))..end)
        };
        let found = members.iter().enumerate().find_map(|(member, m)| Some((member, places(m)?)));
        let Some((member, rows)) = found else { return Ok(Self::default()) };
        let cut = rows.len() == PLACES;
        let windows: Vec<Window> = rows.clone().map(|row| Window { member, row }).collect();
        let mut in_turn = forecaster.in_turn();
        let forecasts = forecaster.lstm_at(backend, members, &windows, in_turn.as_mut())?.forecasts;
        Ok(Self { member, first: rows.start, forecasts, horizon: config.horizon, cut })
    }

    /// Every forecast value whose truth is known: its row, steps ahead from 0, truth and forecast.
    pub(crate) fn pairs<'a>(
        &'a self,
        member: &'a Member,
    ) -> impl Iterator<Item = (usize, usize, f64, f64)> + 'a {
        let pair = |(at, forecast): (usize, &f64)| {
            let (place, ahead) = (at / self.horizon, at % self.horizon);
            let row = self.first + place + ahead;
            member.is_truth(row).then(|| (row, ahead, member.values[row], *forecast))
        };
        self.forecasts.iter().enumerate().filter_map(pair)
    }

    /// On which rows, for titles.
    pub(crate) fn said(&self) -> String {
        if self.cut { format!("on the last {PLACES} held-out rows") } else { "on held-out rows".into() }
    }

    /// What one step ahead was missed.
    pub(crate) fn residuals(&self, member: &Member) -> Residuals {
        let places = self.forecasts.len() / self.horizon.max(1);
        let mut all = Residuals {
            first: self.first,
            forecasts: vec![f64::NAN; places],
            missed: vec![f64::NAN; places],
        };
        for (row, _, truth, forecast) in self.pairs(member).filter(|(_, ahead, ..)| *ahead == 0) {
            let at = row - self.first;
            (all.forecasts[at], all.missed[at]) = (forecast, truth - forecast);
        }
        all
    }
}

/// Truth less forecast, one step ahead, row after row; NaN where nobody knows.
#[derive(Debug, Default)]
pub(crate) struct Residuals {
    /// The row of the first.
    pub(crate) first: usize,
    pub(crate) forecasts: Vec<f64>,
    pub(crate) missed: Vec<f64>,
}

impl Residuals {
    /// Those that are known.
    pub(crate) fn known(&self) -> impl Iterator<Item = f64> + '_ {
        self.missed.iter().copied().filter(|value| !value.is_nan())
    }

    /// Mean and standard deviation; none of fewer than two.
    pub(crate) fn moments(&self) -> Option<(f64, f64)> {
        let count = self.known().count() as f64;
        let mean = self.known().sum::<f64>() / count;
        let variance = self.known().map(|e| (e - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (count >= 2.0).then(|| (mean, variance.sqrt()))
    }

    /// Autocorrelation at lags 1, 2, …, two seasons of them or 40, at most 200 and a quarter of the rows; none where
    /// nothing varies. `r_k = sum (e_t - m)(e_{t+k} - m) / sum (e_t - m)^2` (Box and Jenkins 1970).
    pub(crate) fn autocorrelation(&self, season: usize) -> Vec<f64> {
        let Some((mean, _)) = self.moments() else { return Vec::new() };
        let centred: Vec<f64> = self.missed.iter().map(|e| if e.is_nan() { 0.0 } else { e - mean }).collect();
        let all: f64 = centred.iter().map(|e| e * e).sum();
        let lags = (2 * season + 1).clamp(40, LAGS).min(centred.len() / 4);
        if all <= 0.0 {
            return Vec::new();
        }
        (1..=lags).map(|k| centred.iter().zip(&centred[k..]).map(|(a, b)| a * b).sum::<f64>() / all).collect()
    }

    /// What the autocorrelation of white noise exceeds once in twenty lags: `1.96 / sqrt(n)`.
    pub(crate) fn bound(&self) -> f64 {
        1.96 / (self.known().count().max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residuals(missed: Vec<f64>) -> Residuals {
        Residuals { first: 0, forecasts: vec![0.0; missed.len()], missed }
    }

    #[test]
    fn what_comes_again_is_seen_in_the_autocorrelation() {
        let wave: Vec<f64> = (0..240).map(|t| (std::f64::consts::TAU * t as f64 / 12.0).sin()).collect();
        let found = residuals(wave).autocorrelation(12);
        assert_eq!(found.len(), 40);
        assert!(found[11] > 0.9 && found[5] < -0.9, "{found:?}");
        assert!(residuals(vec![3.0; 100]).autocorrelation(1).is_empty());
        assert!(residuals(vec![f64::NAN; 100]).moments().is_none());
    }

    #[test]
    fn unknown_rows_count_nowhere() {
        let with_gaps = residuals(vec![1.0, f64::NAN, 3.0, f64::NAN, 5.0]);
        assert_eq!(with_gaps.moments(), Some((3.0, 2.0)));
        assert!((with_gaps.bound() - 1.96 / 3f64.sqrt()).abs() < 1e-15);
    }
}

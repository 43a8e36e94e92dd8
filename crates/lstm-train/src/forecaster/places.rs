//! Every method at any place of the series, and how sure it was before: what a backtest is made of.

use super::evaluation::Interval;
use super::windows::Windows;
use super::{CHECKED, CHUNK, ForecastConfig, Forecaster, Member, Window, horizons};
use crate::Result;
use crate::baseline::{Ets, Simple, Theta, drift, naive, recent, seasonal_naive};
use lstm_tensor::{Backend, Float};

/// Forecasts of a method, `[windows, H]`, by its name.
pub type OfMethod = (&'static str, Vec<f64>);

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// Forecasts of every method at several places: the LSTM's first, then those of the baselines. Each sees only
    /// what lies before its place.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) and those of the backend.
    pub fn methods_at(&self, backend: &B, panel: &[Member<'_>], windows: &[Window]) -> Result<Vec<OfMethod>> {
        let mut methods = vec![("lstm", self.forecast_at(backend, panel, windows)?)];
        let fits = |kind: &Simple| match kind {
            Simple::Linear => self.prepared.linear.is_some(),
            Simple::SeasonalNaive => self.config.season > 1,
            Simple::Naive | Simple::Drift | Simple::Ets | Simple::Theta => true,
        };
        let kinds = Simple::ALL.into_iter().filter(fits);
        methods.extend(kinds.map(|kind| (kind.name(), self.baseline_at(kind, panel, windows))));
        Ok(methods)
    }

    /// Forecasts of a simple method at several places, `[windows, H]`. ETS and Theta are fitted to the rows before the first
    /// of a series' places, and go on from the rows before each.
    #[must_use]
    pub fn baseline_at(&self, kind: Simple, panel: &[Member<'_>], windows: &[Window]) -> Vec<f64> {
        let ForecastConfig { season, horizon, .. } = self.config;
        let before = |w: &Window| &panel[w.member].values[..w.row];
        match kind {
            Simple::Linear => {
                let all = self.windows(panel, 0, |_, rows| 0..rows);
                windows.chunks(CHUNK).flat_map(|part| horizons(&self.config, &all.linear(part))).collect()
            }
            Simple::Naive => windows.iter().flat_map(|w| naive(before(w), horizon)).collect(),
            Simple::SeasonalNaive => {
                windows.iter().flat_map(|w| seasonal_naive(before(w), season, horizon)).collect()
            }
            Simple::Drift => windows.iter().flat_map(|w| drift(recent(before(w), season), horizon)).collect(),
            Simple::Ets => {
                let fitted = of_first(panel.len(), windows, |w| Ets::fit(before(w), season));
                let forecast = |w: &Window| fitted[w.member].map(|ets| ets.forecast(before(w), horizon));
                windows.iter().flat_map(forecast).flatten().collect()
            }
            Simple::Theta => {
                let fitted = of_first(panel.len(), windows, |w| Theta::fit(before(w), season));
                let forecast = |w: &Window| fitted[w.member].map(|theta| theta.forecast(before(w), horizon));
                windows.iter().flat_map(forecast).flatten().collect()
            }
        }
    }

    /// The unit of each window's [`Interval`]: the standard deviation of the window or of its series.
    #[must_use]
    pub fn scales_at(&self, panel: &[Member<'_>], windows: &[Window]) -> Vec<f64> {
        let all = self.windows(panel, 0, |_, rows| 0..rows);
        windows.iter().map(|window| all.unit(*window)).collect()
    }

    /// What came behind each of these places, `[windows, H]`; NaN where nobody knows.
    #[must_use]
    pub fn actual_at(&self, panel: &[Member<'_>], windows: &[Window]) -> Vec<f64> {
        self.windows(panel, 0, |_, rows| 0..rows).actual(windows)
    }

    /// How far forecasts `[windows, H]` were off, in units of what each window is divided by; NaN where nobody knows.
    pub(super) fn residuals(&self, panel: &[Member<'_>], windows: &[Window], forecasts: &[f64]) -> Vec<f64> {
        let (actual, scales) = (self.actual_at(panel, windows), self.scales_at(panel, windows));
        let errors = actual.iter().zip(forecasts).enumerate();
        errors.map(|(at, (y, f))| (y - f) / scales[at / self.config.horizon]).collect()
    }

    /// How far each method was off in the validation part, as intervals around forecasts of later rows: for a
    /// forecaster that [`Forecaster::hold_out`] has trained on the rows before that part.
    ///
    /// # Errors
    /// As [`Forecaster::methods_at`].
    pub fn calibrated(&self, backend: &B, panel: &[Member<'_>]) -> Result<Vec<(&'static str, Interval)>> {
        let horizon = self.config.horizon;
        let part = |_, rows| self.config.parts_of(rows).check;
        let check = Windows::new(panel, &self.config, &self.prepared, horizon, part).sample(CHECKED);
        let interval = |(method, forecasts): OfMethod| {
            (method, Interval::new(&self.residuals(panel, &check, &forecasts), horizon))
        };
        Ok(self.methods_at(backend, panel, &check)?.into_iter().map(interval).collect())
    }
}

/// What `fit` makes of the first place of each series; none where it has none.
fn of_first<T: Copy>(members: usize, windows: &[Window], fit: impl Fn(&Window) -> T) -> Vec<Option<T>> {
    let mut first: Vec<Option<&Window>> = vec![None; members];
    for window in windows {
        let earliest = first[window.member].get_or_insert(window);
        if window.row < earliest.row {
            *earliest = window;
        }
    }
    first.into_iter().map(|window| window.map(&fit)).collect()
}

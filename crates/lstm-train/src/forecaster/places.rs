//! Every method at any place of the series, and how sure it was before: what a backtest is made of.

use super::evaluation::{Edges, Interval, edges_of, outside, quantile_levels};
use super::feedback::InTurn;
use super::paths::TEMPLATES;
use super::rolling::{Rolling, Scores};
use super::windows::Windows;
use super::{CHECKED, CHUNK, ForecastConfig, Forecaster, Head, LEVELS, Member, Window, horizons};
use crate::Result;
use crate::baseline::{Ets, Simple, Theta, drift, naive, recent, seasonal_naive};
use lstm_tensor::{Backend, Float};

/// Forecasts of a method at some places.
#[derive(Clone, Debug, PartialEq)]
pub struct OfMethod {
    /// `lstm`, or the [name](Simple::name) of a simple method.
    pub method: &'static str,
    /// `[windows, H]`.
    pub forecasts: Vec<f64>,
    /// Edges of the intervals that the method itself says, `[windows, H]`; none where it gives a point.
    pub said: Option<Vec<Edges>>,
}

impl OfMethod {
    /// The edges that it says of a value, or the value itself.
    #[must_use]
    pub fn edges(&self, at: usize) -> Edges {
        match &self.said {
            Some(said) => said[at],
            None => [[self.forecasts[at]; 2]; LEVELS.len()],
        }
    }
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// Forecasts of every method at several places: the LSTM's first, then those of the baselines. Each sees only
    /// what lies before its place. `first` says of each series how many rows ETS and Theta are fitted to, where these are
    /// not those before its first place; `in_turn` learns what to feed back from one place after another.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) and those of the backend.
    pub fn methods_at(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        first: Option<&[usize]>,
        in_turn: Option<&mut InTurn>,
    ) -> Result<Vec<OfMethod>> {
        let mut methods = vec![self.lstm_at(backend, panel, windows, in_turn)?];
        let fits = |kind: &Simple| match kind {
            Simple::Linear => self.prepared.linear.is_some(),
            Simple::SeasonalNaive => self.config.season > 1,
            Simple::Naive | Simple::Drift | Simple::Ets | Simple::Theta => true,
        };
        let kinds = Simple::ALL.into_iter().filter(fits);
        methods.extend(kinds.map(|kind| {
            let forecasts = self.baseline_at(kind, panel, windows, first);
            OfMethod { method: kind.name(), forecasts, said: None }
        }));
        Ok(methods)
    }

    /// Forecasts of a simple method at several places, `[windows, H]`. ETS and Theta are fitted to the rows before the first
    /// of a series' places, or to the first `first` rows of each series, and go on from the rows before each.
    #[must_use]
    pub fn baseline_at(
        &self,
        kind: Simple,
        panel: &[Member<'_>],
        windows: &[Window],
        first: Option<&[usize]>,
    ) -> Vec<f64> {
        let ForecastConfig { season, horizon, .. } = self.config;
        let before = |w: &Window| &panel[w.member].values[..w.row];
        let mut forecasts: Vec<f64> = match kind {
            Simple::Linear if self.config.block.is_some() => {
                windows.chunks(CHUNK).flat_map(|part| self.linear_in_blocks(panel, part)).collect()
            }
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
                let fitted = of_first(panel.len(), (windows, first), |w| Ets::fit(before(w), season));
                let forecast = |w: &Window| fitted[w.member].map(|ets| ets.forecast(before(w), horizon));
                windows.iter().flat_map(forecast).flatten().collect()
            }
            Simple::Theta => {
                let fitted = of_first(panel.len(), (windows, first), |w| Theta::fit(before(w), season));
                let forecast = |w: &Window| fitted[w.member].map(|theta| theta.forecast(before(w), horizon));
                windows.iter().flat_map(forecast).flatten().collect()
            }
        };
        forecasts.iter_mut().for_each(|value| *value = self.above(*value));
        forecasts
    }

    /// The value, or the lowest that there may be.
    pub(super) fn above(&self, value: f64) -> f64 {
        match self.config.lowest {
            Some(lowest) if value < lowest => lowest,
            _ => value,
        }
    }

    /// [`Interval::calibrate`], and nothing below the lowest value that there may be.
    #[must_use]
    pub fn calibrated(
        &self,
        interval: &Interval,
        h: usize,
        forecast: f64,
        said: &Edges,
        scale: f64,
    ) -> Edges {
        interval.calibrate(h, forecast, said, scale).map(|edges| edges.map(|edge| self.above(edge)))
    }

    /// Those of the LSTM alone.
    ///
    /// # Errors
    /// As [`Forecaster::methods_at`].
    pub fn lstm_at(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        in_turn: Option<&mut InTurn>,
    ) -> Result<OfMethod> {
        let method = "lstm";
        if self.config.head == Head::Point {
            let forecasts = self.quantiles_fed(backend, panel, windows, |_| &[0.5], in_turn)?;
            return Ok(OfMethod { method, forecasts, said: None });
        }
        let levels = quantile_levels();
        let quantiles = self.quantiles_fed(backend, panel, windows, |_| &levels, in_turn)?;
        let quantiles = quantiles.chunks_exact(levels.len());
        Ok(OfMethod {
            method,
            forecasts: quantiles.clone().map(|quantiles| quantiles[levels.len() / 2]).collect(),
            said: Some(quantiles.map(edges_of).collect()),
        })
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

    /// How far outside of what a method says the truth came, `[windows, H]`: [`outside`], in units of what each window is
    /// divided by.
    pub(crate) fn scores(&self, panel: &[Member<'_>], windows: &[Window], of: &OfMethod) -> Vec<Scores> {
        let (actual, scales) = (self.actual_at(panel, windows), self.scales_at(panel, windows));
        let score = |(at, y): (usize, &f64)| outside(*y, &of.edges(at), scales[at / self.config.horizon]);
        actual.iter().enumerate().map(score).collect()
    }

    /// Errors at evenly spaced ones of these places, as many as are kept, where all truth is known.
    pub(super) fn templates(&self, panel: &[Member<'_>], windows: &[Window], of: &OfMethod) -> Vec<f64> {
        let (horizon, actual) = (self.config.horizon, self.actual_at(panel, windows));
        let all = actual.chunks_exact(horizon).zip(of.forecasts.chunks_exact(horizon));
        let known =
            all.zip(self.scales_at(panel, windows)).filter(|((y, _), _)| !y.iter().any(|y| y.is_nan()));
        let known: Vec<_> = known.collect();
        let kept = known.iter().step_by(known.len().div_ceil(TEMPLATES).max(1));
        kept.flat_map(|((y, f), scale)| y.iter().zip(*f).map(move |(y, f)| (y - f) / scale)).collect()
    }

    /// The scores of each method in the validation part, `[windows, H]` in the order of time, from which intervals of later
    /// rows follow: for a forecaster that [`Forecaster::hold_out`] has trained on the rows before that part.
    ///
    /// # Errors
    /// As [`Forecaster::methods_at`].
    pub(super) fn validation_scores(
        &self,
        backend: &B,
        panel: &[Member<'_>],
    ) -> Result<Vec<(&'static str, Vec<Scores>)>> {
        let part = |_, rows| self.config.parts_of(rows).check;
        let check = Windows::new(panel, &self.config, &self.prepared, self.config.horizon, part);
        let mut check = check.sample(CHECKED);
        check.sort_by_key(|window| before_end(panel, window));
        let of = |of: OfMethod| (of.method, self.scores(panel, &check, &of));
        // What is fed back was learnt from this very part: here it begins with nothing.
        let mut in_turn = self.feedback.as_ref().map(|_| InTurn::from_nothing(self.config.horizon));
        Ok(self.methods_at(backend, panel, &check, None, in_turn.as_mut())?.into_iter().map(of).collect())
    }

    /// Tells `each` the index in `[windows, H]` and the edges of every value that a method forecasts at these places,
    /// calibrated by what `rolling` knows there, which then learns how the method did.
    pub(crate) fn roll(
        &self,
        panel: &[Member<'_>],
        windows: &[Window],
        of: &OfMethod,
        rolling: &mut Rolling,
        mut each: impl FnMut(usize, Edges),
    ) {
        let horizon = self.config.horizon;
        let (actual, scales) = (self.actual_at(panel, windows), self.scales_at(panel, windows));
        let mut order: Vec<usize> = (0..windows.len()).collect();
        let time = |at: &usize| before_end(panel, &windows[*at]);
        order.sort_by_key(time);
        for origin in order.chunk_by(|a, b| time(a) == time(b)) {
            let now = time(&origin[0]);
            let margins = rolling.margins(now);
            for &window in origin {
                for h in 0..horizon {
                    let (at, scale) = (window * horizon + h, scales[window]);
                    let (y, said) = (actual[at], of.edges(at));
                    let edges = self.calibrated(&margins, h, of.forecasts[at], &said, scale);
                    let missed = edges.map(|[lo, hi]| !(lo..=hi).contains(&y));
                    rolling.take(now, h, outside(y, &said, scale), missed);
                    each(at, edges);
                }
            }
        }
    }
}

/// What `fit` makes of so many rows of each series as lie before its first place, or as `first` says; none where it has no
/// place.
fn of_first<T: Copy>(
    members: usize,
    (windows, first): (&[Window], Option<&[usize]>),
    fit: impl Fn(&Window) -> T,
) -> Vec<Option<T>> {
    let mut earliest: Vec<Option<Window>> = vec![None; members];
    for window in windows {
        let earliest = earliest[window.member].get_or_insert(*window);
        earliest.row = first.map_or(earliest.row.min(window.row), |first| first[window.member]);
    }
    earliest.into_iter().map(|window| window.as_ref().map(&fit)).collect()
}

/// The first row that a window predicts, counted from behind the last row of its series: what all series of a panel share.
pub(super) fn before_end(panel: &[Member<'_>], window: &Window) -> i64 {
    window.row as i64 - panel[window.member].rows() as i64
}

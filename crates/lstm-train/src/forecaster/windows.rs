//! Windows of a panel as batches: normalised, cut into segments, with the base forecast ahead.
//!
//! A window of series `m` before row `n`, with `last` its final value, `s` its scale and `b` the base
//! forecast, becomes a sequence of `L / segment` past and `H / segment` future steps:
//!
//! ```text
//! past     (y[t] - last) / s,  covariates,  0,                    whose it is
//! future   (b[h] - last) / s,  those known, share of the horizon, whose it is
//! target   (y[n + h] - b[h]) / s    at future steps
//! ```
//!
//! Where the head says more than a point, the future steps have `P` numbers of the output, and those of counts three of the
//! target: [`Windows::asked`]. Normalised by logarithms, `y`, `last`, `b` and `s` are those of `ln y`; what leaves this file is in the series' unit.

use super::config::{Base, ForecastConfig, Head, Normalise};
use super::linear::{Linear, Normal};
use super::series::Member;
use crate::baseline::seasonal_naive;
use crate::{Error, Result, Rows, SampleShape, Source};
use lstm_nn::softplus_inverse;
use lstm_tensor::Float;
use std::ops::Range;

/// Lookback and horizon of the widest linear forecast: solving it takes memory of their square and time of their cube.
pub(super) const WIDEST_LINE: usize = 4096;

/// What is settled by formulas before a network is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    /// The linear forecast.
    pub linear: Option<Linear>,
    /// Standard deviation of each series.
    pub spreads: Vec<f64>,
    /// Mean and standard deviation of each covariate: known, past, fixed.
    pub columns: Vec<[f64; 2]>,
}

impl Prepared {
    /// From the first rows of each series, as many as `seen` says, with a ridge of `strength`.
    pub(super) fn new(
        config: &ForecastConfig,
        panel: &[Member<'_>],
        seen: impl Fn(usize) -> usize,
        strength: f64,
    ) -> Self {
        let prepared = Self::scales(config, panel, &seen);
        let linear = prepared.normal(config, panel, &seen).and_then(|normal| normal.solve(strength));
        Self { linear, ..prepared }
    }

    /// What a linear forecast of any strength is solved from; none where it would be too wide to be solved.
    pub(super) fn normal(
        &self,
        config: &ForecastConfig,
        panel: &[Member<'_>],
        seen: impl Fn(usize) -> usize,
    ) -> Option<Normal> {
        if config.lookback + config.answered() > WIDEST_LINE {
            return None;
        }
        let mut normal = Normal::new(config.lookback, config.answered());
        for (member, spread) in panel.iter().zip(&self.spreads) {
            let values = &member.values[..seen(member.rows())];
            match config.normalise {
                Normalise::Log => {
                    let logs = logarithms(values, *spread);
                    normal.add(&logs, deviation(&logs)[1]);
                }
                Normalise::Window | Normalise::Series => normal.add(values, *spread),
            }
        }
        Some(normal)
    }

    /// Without a linear forecast.
    pub(super) fn scales(
        config: &ForecastConfig,
        panel: &[Member<'_>],
        seen: impl Fn(usize) -> usize,
    ) -> Self {
        let spreads = spreads(panel, |member| seen(panel[member].rows()));
        let column = |at: usize| {
            let values: Vec<f64> = panel
                .iter()
                .flat_map(|member| {
                    let (columns, at) = match at.checked_sub(config.known) {
                        None => (member.known, at),
                        Some(at) => (member.past, at),
                    };
                    (0..seen(member.rows())).filter_map(move |row| columns.get(row, at))
                })
                .collect();
            deviation(&values)
        };
        let fixed = |at: usize| deviation(&panel.iter().map(|member| member.fixed[at]).collect::<Vec<_>>());
        let moving = (0..config.known + config.past).map(column);
        Self { linear: None, spreads, columns: moving.chain((0..config.fixed).map(fixed)).collect() }
    }
}

/// Standard deviation of the first rows of each series, as many as `seen` says. A series with nothing in them, or one
/// value throughout, has that of the one in the middle: it must not outweigh all others.
pub(super) fn spreads(panel: &[Member<'_>], seen: impl Fn(usize) -> usize) -> Vec<f64> {
    let known = |(index, member): (usize, &Member<'_>)| {
        let values = &member.values[..seen(index).min(member.rows())];
        values.windows(2).any(|pair| pair[0] != pair[1]).then(|| deviation(values)[1])
    };
    let spreads: Vec<Option<f64>> = panel.iter().enumerate().map(known).collect();
    let mut sorted: Vec<f64> = spreads.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
    spreads.into_iter().map(|spread| spread.unwrap_or(middle)).collect()
}

/// Logarithms; values below a thousandth of the series' `spread`, which may have none, count as that.
fn logarithms(values: &[f64], spread: f64) -> Vec<f64> {
    values.iter().map(|value| value.max(1e-3 * spread).ln()).collect()
}

/// A forecast of a logarithm at most so far above the largest that its window holds: 20 times the value.
const HIGHEST: f64 = 3.0;

/// Mean and standard deviation, which is never 0.
fn deviation(values: &[f64]) -> [f64; 2] {
    let n = values.len().max(1) as f64;
    // Divided by the largest value first, whose square may not be a number.
    let largest = values.iter().fold(f64::MIN_POSITIVE, |largest, v| v.abs().max(largest));
    let mean = values.iter().map(|v| v / largest).sum::<f64>() / n;
    let variance = values.iter().map(|v| (v / largest - mean).powi(2)).sum::<f64>() / n;
    [mean * largest, (variance.sqrt().max(1e-6 * mean.abs()) * largest).max(1e-12)]
}

/// A window: whose it is, and the first row that it predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Index of the series.
    pub member: usize,
    /// First row that is predicted.
    pub row: usize,
}

/// Windows of a panel.
pub(super) struct Windows<'a> {
    pub(super) panel: &'a [Member<'a>],
    pub(super) config: &'a ForecastConfig,
    prepared: &'a Prepared,
    /// For each series the first row that may be predicted, and the number of windows up to its first.
    first: Vec<(usize, usize)>,
    count: usize,
    /// Of each series, where the network sees logarithms.
    logs: Vec<Vec<f64>>,
}

impl<'a> Windows<'a> {
    /// Windows whose first `rows` targets lie in the rows that `part` chooses of each series, by its index and rows.
    pub(super) fn new(
        panel: &'a [Member<'a>],
        config: &'a ForecastConfig,
        prepared: &'a Prepared,
        rows: usize,
        part: impl Fn(usize, usize) -> Range<usize>,
    ) -> Self {
        let mut count = 0;
        let first = panel.iter().enumerate().map(|(index, member)| {
            let part = part(index, member.rows());
            let (first, before) = (part.start.max(config.reach()), count);
            count += (part.end + 1).saturating_sub(first + rows);
            (first, before)
        });
        let first = first.collect();
        let mut windows = Self { panel, config, prepared, first, count, logs: Vec::new() };
        if config.normalise == Normalise::Log {
            let logs = |(at, member): (usize, &Member<'_>)| logarithms(member.values, windows.spread(at));
            windows.logs = panel.iter().enumerate().map(logs).collect();
        }
        windows
    }

    /// The values of a series as the network works with them.
    fn values(&self, member: usize) -> &[f64] {
        self.logs.get(member).map_or(self.panel[member].values, Vec::as_slice)
    }

    /// Forecasts `[windows, ahead]` as the network works with them, in the series' unit.
    pub(super) fn in_units(&self, windows: &[Window], mut forecasts: Vec<f64>) -> Vec<f64> {
        if self.logs.is_empty() {
            return forecasts;
        }
        let ahead = forecasts.len() / windows.len().max(1);
        for (window, forecasts) in windows.iter().zip(forecasts.chunks_exact_mut(ahead)) {
            let before = &self.values(window.member)[window.row - self.config.lookback..window.row];
            let highest = before.iter().fold(f64::MIN, |highest, value| value.max(highest)) + HIGHEST;
            forecasts.iter_mut().for_each(|forecast| *forecast = forecast.min(highest).exp());
        }
        forecasts
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, index: usize) -> Window {
        let member = self.first.partition_point(|(_, before)| *before <= index) - 1;
        let (first, before) = self.first[member];
        Window { member, row: first + index - before }
    }

    /// At most `most` windows, evenly spaced; the last one is always among them.
    pub(super) fn sample(&self, most: usize) -> Vec<Window> {
        let step = self.count.div_ceil(most).max(1);
        (0..self.count).rev().step_by(step).map(|index| self.get(index)).rev().collect()
    }

    /// Standard deviation of a series: in the rows learnt from, or of all for one that is new.
    pub(super) fn spread(&self, member: usize) -> f64 {
        let index = self.panel[member].index;
        match self.prepared.spreads.get(index.unwrap_or(member)) {
            // A panel of other series has scales of its own.
            Some(spread) if index.is_some() || self.prepared.spreads.len() == self.panel.len() => *spread,
            _ => deviation(self.panel[member].values)[1],
        }
    }

    /// What the window's values are divided by.
    fn scale(&self, Window { member, row }: Window) -> f64 {
        let window = || deviation(&self.values(member)[row - self.config.lookback..row])[1];
        match self.config.normalise {
            Normalise::Series => self.spread(member),
            // A flat window must not blow up.
            Normalise::Window => window().max(1e-4 * self.spread(member)),
            Normalise::Log => window().max(1e-4),
        }
    }

    /// The unit of errors in a window, in the series' unit: what its values are divided by, or would be if they were no
    /// logarithms.
    pub(super) fn unit(&self, window: Window) -> f64 {
        let Window { member, row } = window;
        match self.config.normalise {
            Normalise::Series | Normalise::Window => self.scale(window),
            Normalise::Log => {
                let values = &self.panel[member].values[row - self.config.lookback..row];
                deviation(values)[1].max(1e-4 * self.spread(member))
            }
        }
    }

    /// Linear forecasts in the series' unit, `[windows, answered]`.
    pub(super) fn linear(&self, windows: &[Window]) -> Vec<f64> {
        self.in_units(windows, self.base(Base::Linear, windows))
    }

    /// Forecasts of `kind` as the network works with them, `[windows, answered]`.
    fn base(&self, kind: Base, windows: &[Window]) -> Vec<f64> {
        let (lookback, ahead) = (self.config.lookback, self.config.answered());
        let Some(linear) = self.prepared.linear.as_ref().filter(|_| kind == Base::Linear) else {
            let season = if kind == Base::Season { self.config.season } else { 1 };
            let naive = |w: &Window| seasonal_naive(&self.values(w.member)[..w.row], season, ahead);
            return windows.iter().flat_map(naive).collect();
        };
        let before = |w: &Window| self.values(w.member)[w.row - lookback..w.row].iter().copied();
        let mut x: Vec<f64> = windows.iter().flat_map(before).collect();
        let mut out = vec![0.0; windows.len() * ahead];
        linear.forecast(&mut x, &mut out);
        out
    }

    /// Inputs `[T, B, I]` of these windows; returns their base forecasts `[B, answered]`, as the network works with them.
    pub(super) fn inputs<F: Float>(&self, windows: &[Window], x: &mut [F]) -> Vec<f64> {
        let Self { config, .. } = *self;
        let (batch, width) = (windows.len(), config.inputs());
        let (segment, past, future) = (config.segment, config.past_steps(), config.future_steps());
        let base = self.base(config.base, windows);
        x.fill(F::ZERO);
        for (b, &window) in windows.iter().enumerate() {
            let member = &self.panel[window.member];
            let seen = self.values(window.member);
            let (last, scale) = (seen[window.row - 1], 1.0 / self.scale(window));
            let base = &base[b * config.answered()..][..config.answered()];
            for step in 0..past + future {
                let ahead = step.checked_sub(past);
                let row = window.row + step * segment - config.lookback;
                let cells = &mut x[(step * batch + b) * width..][..width];
                let (values, rest) = cells.split_at_mut(segment);
                let shown = match ahead {
                    None => &seen[row..row + segment],
                    Some(step) => &base[step * segment..][..segment],
                };
                for (cell, value) in values.iter_mut().zip(shown) {
                    *cell = F::from_f64((value - last) * scale);
                }
                let columns = config.known + config.past;
                let (told, rest) = rest.split_at_mut(segment * columns);
                for (k, cell) in told.iter_mut().enumerate() {
                    let (row, column) = (row + k / columns.max(1), k % columns.max(1));
                    let value = match column.checked_sub(config.known) {
                        None => member.known.get(row, column),
                        Some(column) if ahead.is_none() => member.past.get(row, column),
                        Some(_) => None,
                    };
                    let [mean, spread] = self.prepared.columns[column];
                    *cell = F::from_f64(value.map_or(0.0, |value| (value - mean) / spread));
                }
                rest[0] = F::from_f64(ahead.map_or(0.0, |step| (step + 1) as f64 / future as f64));
                let (fixed, whose) = rest[1..].split_at_mut(config.fixed);
                for ((cell, value), [mean, spread]) in
                    fixed.iter_mut().zip(member.fixed).zip(&self.prepared.columns[columns..])
                {
                    *cell = F::from_f64((value - mean) / spread);
                }
                if let Some(cell) = whose.get_mut(member.index.unwrap_or(window.member)) {
                    *cell = F::ONE;
                }
            }
        }
        base
    }

    /// What outputs `[T, B, P segment]` forecast, in the series' unit, `[B, H]`: the middle of what they say.
    pub(super) fn forecasts<F: Float>(&self, windows: &[Window], base: &[f64], out: &[F]) -> Vec<f64> {
        self.quantiles((windows, windows.len()), base, out, |_| &[0.5])
    }

    /// What outputs `[T, B, P segment]` say of the first windows of a batch of `B`, in the series' unit, `[windows, H, L]`:
    /// the quantiles at the `L` rising levels that are wanted of each step of the horizon. Where the head is a point, all
    /// are that.
    pub(super) fn quantiles<'l, F: Float>(
        &self,
        (windows, batch): (&[Window], usize),
        base: &[f64],
        out: &[F],
        levels: impl Fn(usize) -> &'l [f64],
    ) -> Vec<f64> {
        let (horizon, answer) = (self.config.horizon, self.config.head.answer());
        let mut quantiles = Vec::new();
        let mut a = vec![0.0; self.config.parameters()];
        for (b, &window) in windows.iter().enumerate() {
            let scale = self.divisor(window);
            for (h, base) in base[b * self.config.answered()..][..horizon].iter().enumerate() {
                self.answer_at(out, (batch, b), h, &mut a);
                let Some(answer) = &answer else {
                    quantiles.extend(levels(h).iter().map(|_| base + a[0] * scale));
                    continue;
                };
                let y = self.asked(scale, 0.0, *base);
                let (from, unit) = if answer.targets() == 1 { (*base, scale) } else { (0.0, 1.0) };
                let said = answer.quantiles(&a, &y[..answer.targets()], levels(h));
                quantiles.extend(said.into_iter().map(|quantile| from + unit * quantile));
            }
        }
        self.in_units(windows, quantiles)
    }

    /// The mean loss of outputs `[T, B, P segment]`, where the head is more than a point, over what came, `[B, H]`.
    pub(super) fn loss<F: Float>(&self, windows: &[Window], actual: &[f64], base: &[f64], out: &[F]) -> f64 {
        let Some(answer) = self.config.head.answer() else { return f64::NAN };
        let (horizon, answered) = (self.config.horizon, self.config.answered());
        let (mut a, mut d_a) = (vec![0.0; answer.parameters()], vec![0.0; answer.parameters()]);
        let (mut sum, mut count) = (0.0, 0usize);
        for (b, &window) in windows.iter().enumerate() {
            let divisor = self.divisor(window);
            for h in (0..horizon).filter(|h| !actual[b * horizon + h].is_nan()) {
                self.answer_at(out, (windows.len(), b), h, &mut a);
                let came = self.values(window.member)[window.row + h];
                let asked = self.asked(divisor, came, base[b * answered + h]);
                sum += answer.loss(&a, &asked[..answer.targets()], &mut d_a);
                count += 1;
            }
        }
        sum / count.max(1) as f64
    }

    /// What an output `[T, B, P segment]` says of step `h` of the horizon of window `b` of `batch`: `a [P]`.
    fn answer_at<F: Float>(&self, out: &[F], (batch, b): (usize, usize), h: usize, a: &mut [f64]) {
        let segment = self.config.segment;
        let row = (self.config.past_steps() + h / segment) * batch + b;
        let count = a.len();
        a.iter_mut()
            .enumerate()
            .for_each(|(p, a)| *a = out[(row * count + p) * segment + h % segment].to_f64());
    }

    /// What the network's answer to a window is measured in: what its values are divided by, or the size of counts, which is
    /// their mean and 1, so that it is never 0 (Salinas and others 2020).
    fn divisor(&self, window: Window) -> f64 {
        match self.config.head {
            Head::NegativeBinomial => {
                let before = &self.values(window.member)[window.row - self.config.lookback..window.row];
                1.0 + before.iter().sum::<f64>() / before.len() as f64
            }
            _ => self.scale(window),
        }
    }

    /// What the network is asked to answer with where `actual` came and the base forecast is `base`: by how many divisors it
    /// missed; of counts, the count itself, the divisor, and where the answer's mean lies that says the base forecast.
    fn asked(&self, divisor: f64, actual: f64, base: f64) -> [f64; 3] {
        /// Share of the divisor that the base forecast of a mean, which may lie below 0, counts for at least.
        const LEAST: f64 = 0.01;
        match self.config.head {
            Head::NegativeBinomial => {
                [actual.round().max(0.0), divisor, softplus_inverse((base / divisor).max(LEAST))]
            }
            _ => [(actual - base) * (1.0 / divisor), 0.0, 0.0],
        }
    }

    /// Numbers of the target for each value.
    fn numbers(&self) -> usize {
        self.config.head.answer().map_or(1, |answer| answer.targets())
    }

    /// How the middle of each answer to a window alone moves with its first number, in units of what the window is
    /// divided by, `[H]`.
    pub(super) fn slopes<F: Float>(&self, window: Window, base: &[f64], out: &[F]) -> Vec<f64> {
        let Some(answer) = self.config.head.answer() else { return vec![1.0; self.config.horizon] };
        let (divisor, mut a) = (self.divisor(window), vec![0.0; answer.parameters()]);
        let slope = |h: usize| {
            self.answer_at(out, (1, 0), h, &mut a);
            let slope = answer.slope(&a, &self.asked(divisor, 0.0, base[h])[..answer.targets()]);
            if answer.targets() == 1 { slope } else { slope / self.scale(window) }
        };
        (0..self.config.horizon).map(slope).collect()
    }

    /// What came, `[B, H]`; NaN where nobody knows.
    pub(super) fn actual(&self, windows: &[Window]) -> Vec<f64> {
        let value = |member: &Member<'_>, row: usize| {
            member.values.get(row).copied().filter(|_| member.is_truth(row)).unwrap_or(f64::NAN)
        };
        let of = |w: &Window| {
            let (member, row) = (&self.panel[w.member], w.row);
            (row..row + self.config.horizon).map(move |row| value(member, row))
        };
        windows.iter().flat_map(of).collect()
    }
}

impl<F: Float> Source<F> for Windows<'_> {
    fn shape(&self) -> SampleShape {
        let steps = self.config.all_steps();
        let targets = steps * self.config.segment * self.numbers();
        SampleShape { steps, inputs: self.config.inputs(), targets }
    }

    fn samples(&self) -> Option<usize> {
        Some(self.count)
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        let Rows::Chosen(indices) = rows else {
            return Err(Error::Invalid { what: "rows", value: "fresh".into(), must: "chosen".into() });
        };
        let windows: Vec<Window> = indices.iter().map(|index| self.get(*index)).collect();
        let base = self.inputs(&windows, x);
        let (batch, segment) = (windows.len(), self.config.segment);
        let (past, answered) = (self.config.past_steps(), self.config.answered());
        let numbers = self.numbers();
        y.fill(F::ZERO);
        for (b, &window) in windows.iter().enumerate() {
            let divisor = self.divisor(window);
            let actual = &self.values(window.member)[window.row..];
            for (h, (base, actual)) in base[b * answered..][..answered].iter().zip(actual).enumerate() {
                let asked = self.asked(divisor, *actual, *base);
                let row = (past + h / segment) * batch + b;
                for (k, number) in asked.iter().take(numbers).enumerate() {
                    y[(row * numbers + k) * segment + h % segment] = F::from_f64(*number);
                }
            }
        }
        Ok(())
    }

    /// People count rows and series from 1.
    fn called(&self, sample: usize) -> String {
        let Window { member, row } = self.get(sample);
        let of_series =
            if self.panel.len() > 1 { format!(" of series {}", member + 1) } else { String::new() };
        format!("the window{of_series} that predicts row {} and on", row + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(normalise: Normalise) -> ForecastConfig {
        let mut config = ForecastConfig::plain();
        (config.lookback, config.horizon, config.normalise, config.season) = (12, 6, normalise, 6);
        (config.held_out, config.validation) = (6, 6);
        config
    }

    /// Growth in proportion, with a season in proportion.
    fn growing(rows: usize) -> Vec<f64> {
        let season = [1.0, 1.3, 0.8, 1.1, 0.6, 1.2];
        (0..rows).map(|row| 20.0 * (0.01 * row as f64).exp() * season[row % 6]).collect()
    }

    #[test]
    fn a_line_of_logarithms_is_one_of_another_series() {
        let values = growing(120);
        let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let forecasts = |normalise, values: &[f64]| {
            let panel = [Member::alone(values)];
            let config = config(normalise);
            let prepared = Prepared::new(&config, &panel, |_| 90, 10.0);
            let windows = Windows::new(&panel, &config, &prepared, 6, |_, rows| 90..rows);
            windows.linear(&windows.sample(100))
        };
        let (own, other) = (forecasts(Normalise::Log, &values), forecasts(Normalise::Series, &logs));
        for (own, log) in own.iter().zip(&other) {
            assert!((own.ln() - log).abs() < 1e-12, "{own} {log}");
        }
        assert!(own.len() > 100 && own != forecasts(Normalise::Series, &values));
    }

    #[test]
    fn what_is_asked_for_gives_what_came() {
        let values = growing(60);
        let panel = [Member::alone(&values)];
        for normalise in [Normalise::Window, Normalise::Series, Normalise::Log] {
            let config = config(normalise);
            let prepared = Prepared::new(&config, &panel, |_| 48, 1.0);
            let windows = Windows::new(&panel, &config, &prepared, 6, |_, rows| 12..rows);
            let shape = Source::<f64>::shape(&windows);
            let mut x = vec![0.0; shape.steps * shape.inputs];
            let mut y = vec![0.0; shape.targets];
            windows.fill(Rows::Chosen(&[5]), &mut x, &mut y).unwrap();
            let window = windows.get(5);
            let base = windows.inputs(&[window], &mut x);
            let forecasts = windows.forecasts(&[window], &base, &y);
            for (f, y) in forecasts.iter().zip(windows.actual(&[window])) {
                assert!((f - y).abs() < 1e-9 * y, "{normalise:?}: {f} {y}");
            }
        }
    }

    #[test]
    fn values_without_a_logarithm_and_wild_forecasts_stay_finite() {
        let mut values = growing(60);
        (values[30], values[31]) = (0.0, -4.0);
        let panel = [Member::alone(&values)];
        let config = config(Normalise::Log);
        let prepared = Prepared::new(&config, &panel, |rows| rows, 1.0);
        let windows = Windows::new(&panel, &config, &prepared, 6, |_, rows| 0..rows);
        let window = [Window { member: 0, row: 36 }];
        let forecasts = windows.in_units(&window, vec![1e6; 6]);
        let largest = values[24..36].iter().copied().fold(0.0, f64::max);
        assert!(forecasts.iter().all(|f| (f / largest - HIGHEST.exp()).abs() < 1e-9), "{forecasts:?}");
        assert!(windows.linear(&window).iter().all(|f| f.is_finite() && *f > 0.0));
    }
}

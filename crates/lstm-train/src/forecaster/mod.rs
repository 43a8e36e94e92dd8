//! A panel of series in, forecasts with an honest comparison out.
//!
//! One network serves all series. It reads a window of `lookback` values in steps of `segment` values, goes
//! on through the steps of the horizon, where it sees what a simple forecast says and what is known in
//! advance, and answers with what that forecast misses. Each window is normalised by itself, reversibly, so
//! that the network is asked for shape, not for level: `docs/decisions/0008-forecaster.md`.

mod budget;
mod combine;
mod config;
mod evaluation;
mod feedback;
mod gates;
mod linear;
mod paths;
mod places;
mod recursive;
mod rolling;
mod series;
mod windows;

pub use budget::Plan;
pub use config::{
    Aim, Base, Decay, EFFORT, ForecastChoices, ForecastConfig, Head, Normalise, Purpose, refuse_unless_counts,
};
pub use evaluation::{
    Edges, Evaluation, Interval, LEVELS, Part, Score, Taken, Trial, Way, outside, quantile_levels,
};
pub use feedback::{Feedback, InTurn};
pub use gates::{Inside, half_life};
pub use linear::Linear;
pub use places::OfMethod;

pub use rolling::{Rolling, Scores};
pub use series::{Columns, Member};
pub use windows::{Prepared, Window};

use crate::metrics::{Metrics, Tally, naive_scale};
use crate::{Course, Error, Fit, FitConfig, Flow, Outcome, Progress, Result, Stop};
use combine::{Answer, Check};
use lstm_nn::{InferPass, Init, InitSpec, Model};
use lstm_tensor::{Backend, Float};
use std::ops::Range;
use windows::Windows;

/// Windows forecast at once outside training.
const CHUNK: usize = 256;
/// Windows of the validation part that are looked at.
const CHECKED: usize = 1024;
/// Numbers that a method says of held-out values and that an evaluation holds, at most: as points enough for every window
/// of the test part of ETTh1.
const EVALUATED: usize = 11_000_000;
/// Strengths of the ridge that are tried.
const RIDGES: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 100.0];

/// A network under way: which of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its number, from 0.
    pub index: usize,
    /// How many there will be.
    pub of: usize,
}

/// Is told after every step.
pub type Watch<'a> = &'a mut dyn FnMut(Stage, u64, Option<&Progress>) -> Flow;

/// Networks that forecast the series of a panel.
pub struct Forecaster<B: Backend, F: Float> {
    /// Settings.
    pub config: ForecastConfig,
    /// What formulas settled.
    pub prepared: Prepared,
    /// The networks, whose forecasts are averaged.
    pub models: Vec<Model<B, F>>,
    /// Others, of other settings, whose forecasts are averaged with its own; none looks back further than it does.
    pub beside: Vec<Self>,
    /// How much of the last errors goes into its forecasts; none of those beside another.
    pub feedback: Option<Feedback>,
}

/// What training one configuration gave.
struct Attempt<B: Backend, F: Float> {
    forecaster: Forecaster<B, F>,
    outcome: Outcome,
    way: Way,
    answer: Answer,
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// Trains each of `trials` on all but the validation and held-out parts, keeps those whose mean does best on the
    /// validation part, and measures it and the baselines on the held-out part. The networks are those of `course`
    /// that come next.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`] and those of the backend. Divergence is an [`Outcome`], with the last
    /// good model.
    pub fn hold_out(
        backend: &B,
        trials: &[ForecastConfig],
        panel: &[Member<'_>],
        course: &mut Course<'_, F>,
        watch: Watch<'_>,
    ) -> Result<(Self, Evaluation, Outcome)> {
        if panel.iter().any(|member| !range(member.values).is_finite()) {
            return Err(Error::TooLarge);
        }
        let networks = trials.iter().map(|trial| trial.ensemble).sum();
        let (mut begun, mut interrupted) = (0, false);
        let mut attempts: Vec<Option<Attempt<B, F>>> = Vec::new();
        for (trial, config) in trials.iter().enumerate() {
            let attempt =
                Self::attempt(backend, (trial, config), panel, course, &mut |network, step, report| {
                    watch(Stage { index: begun + network, of: networks }, step, report)
                })?;
            begun += config.ensemble;
            interrupted = attempt.outcome == Outcome::Interrupted;
            attempts.push(Some(attempt));
            if interrupted {
                break;
            }
        }
        let (known, taken) = Evaluation::of(&attempts.iter().flatten().collect::<Vec<_>>());
        let mut taken = taken.into_iter().filter_map(|at| attempts[at].take());
        let Attempt { mut forecaster, outcome, .. } = taken.next().ok_or_else(|| Error::Invalid {
            what: "trials",
            value: "none".into(),
            must: "at least one configuration".into(),
        })?;
        forecaster.beside = taken.map(|attempt| attempt.forecaster).collect();
        if forecaster.config.feedback {
            let parts = |rows| forecaster.config.parts_of(rows);
            let unseen = panel.iter().map(|member| parts(member.rows()).check.start).collect();
            let feedback =
                forecaster.learnt_feedback(backend, panel, unseen, |rows| parts(rows).check.end)?;
            forecaster.feedback = Some(feedback);
        }
        let held: Vec<usize> =
            panel.iter().map(|member| forecaster.config.parts_of(member.rows()).held.start).collect();
        let part = Part { first_row: &held, learnt: &held, intervals: None };
        let evaluation = forecaster.evaluate_part(backend, panel, &part, known)?;
        Ok((forecaster, evaluation, if interrupted { Outcome::Interrupted } else { outcome }))
    }

    /// Trains what [`Forecaster::hold_out`] has taken on all rows, for as many steps as served best there.
    ///
    /// # Errors
    /// As [`Forecaster::hold_out`].
    pub fn fit_all(
        backend: &B,
        held: &Self,
        panel: &[Member<'_>],
        evaluation: &Evaluation,
        course: &mut Course<'_, F>,
        watch: Watch<'_>,
    ) -> Result<(Self, Outcome)> {
        let ways = &evaluation.taken.ways;
        let of = ways.iter().map(|way| way.best_steps.len()).sum();
        let (mut index, mut all) = (0, Vec::new());
        for (config, way) in held.ways().map(|held| &held.config).zip(ways) {
            let prepared = Prepared::new(config, panel, |rows| rows, way.ridge);
            let planned = config.steps(way.train_windows);
            let windows = Windows::new(panel, config, &prepared, config.answered(), |_, rows| 0..rows);
            let mut models = Vec::new();
            for (network, steps) in way.best_steps.iter().enumerate() {
                let fit = fit(backend, config, &windows, ((*steps).max(1), planned), (network, false))?;
                let mut watch =
                    |step: u64, report: Option<&Progress>| watch(Stage { index, of }, step, report);
                let (model, _, outcome) = course.train(backend, fit, None, &mut watch)?;
                models.push(model);
                index += 1;
                if outcome.is_cut_short() {
                    let cut =
                        Self { config: config.clone(), prepared, models, beside: Vec::new(), feedback: None };
                    return Ok((cut, outcome));
                }
            }
            all.push(Self { config: config.clone(), prepared, models, beside: Vec::new(), feedback: None });
        }
        let mut all = all.into_iter();
        let mut first = all.next().ok_or(Error::NoTruth { values: 0 })?;
        first.beside = all.collect();
        if let Some(before) = &held.feedback {
            // From the held-out part too, which has been measured.
            first.feedback = Some(held.learnt_feedback(backend, panel, before.unseen.clone(), |rows| rows)?);
        }
        Ok((first, Outcome::Finished))
    }

    fn attempt(
        backend: &B,
        (trial, config): (usize, &ForecastConfig),
        panel: &[Member<'_>],
        course: &mut Course<'_, F>,
        watch: &mut dyn FnMut(usize, u64, Option<&Progress>) -> Flow,
    ) -> Result<Attempt<B, F>> {
        config.parts(panel)?;
        let whole = config;
        let config = &config.at_once();
        let (prepared, ridge, _) = prepare(config, panel);
        let parts = |rows| config.parts_of(rows);
        let train = Windows::new(panel, config, &prepared, config.answered(), |_, rows| parts(rows).train);
        let part = Windows::new(panel, config, &prepared, config.horizon, |_, rows| parts(rows).check);
        let check = Check::new(&part, CHECKED);
        let checked = &check.windows;
        let mut inputs = vec![F::ZERO; config.all_steps() * checked.len() * config.inputs()];
        let base = part.inputs(checked, &mut inputs);
        let steps = config.steps(train.len());
        let mut way = Way { trial, best_steps: Vec::new(), train_windows: train.len(), ridge };
        let (mut models, mut last) = (Vec::new(), Outcome::Finished);
        let mut forecasts = Vec::new();
        for index in 0..config.ensemble {
            let mut out = Vec::new();
            let mut pass: Option<InferPass<B, F>> = None;
            let mut validate = |backend: &B, model: &Model<B, F>| -> Result<f64> {
                let pass = match &mut pass {
                    Some(pass) => pass,
                    none => none.insert(InferPass::new(backend, model, config.all_steps(), checked.len())?),
                };
                pass.predict(backend, model, &inputs, None, &mut out)?;
                Ok(match config.head {
                    Head::Point => check.error(&part.forecasts(checked, &base, &out)),
                    _ => part.loss(checked, &check.actual, &base, &out),
                })
            };
            let fit = fit(backend, config, &train, (steps, steps), (index, true))?;
            let mut watch = |step: u64, report: Option<&Progress>| watch(index, step, report);
            let (model, taken, outcome) = course.train(backend, fit, Some(&mut validate), &mut watch)?;
            way.best_steps.push(taken);
            validate(backend, &model)?;
            forecasts.push(part.forecasts(checked, &base, &out));
            models.push(model);
            if outcome.is_cut_short() {
                last = outcome;
                break;
            }
        }
        let answer = Answer {
            forecasts: combine::mean(&forecasts),
            base: horizons(config, &part.in_units(checked, base)),
            check,
            horizons: panel.iter().map(|member| parts(member.rows()).check.len() / whole.horizon).sum(),
            reach: config.reach(),
            whole: !last.is_cut_short(),
        };
        let forecaster = Self { config: whole.clone(), prepared, models, beside: Vec::new(), feedback: None };
        Ok(Attempt { forecaster, outcome: last, way, answer })
    }

    /// Itself and those beside it.
    pub fn ways(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.beside)
    }

    /// Forecasts the horizon behind each series, in its unit, `[members, H]`.
    ///
    /// # Errors
    /// [`Error::TooShort`] where a series is shorter than a window, [`Error::TooLarge`].
    pub fn forecast(&self, backend: &B, panel: &[Member<'_>]) -> Result<Vec<Vec<f64>>> {
        self.check_reach(panel)?;
        let forecasts = self.forecast_at(backend, panel, &ends(panel))?;
        Ok(forecasts.chunks_exact(self.config.horizon).map(<[f64]>::to_vec).collect())
    }

    fn check_reach(&self, panel: &[Member<'_>]) -> Result<()> {
        let needed = self.config.reach();
        match panel.iter().find(|member| member.rows() < needed) {
            Some(short) => Err(Error::TooShort { rows: short.rows(), needed, purpose: Purpose::Forecast }),
            None => Ok(()),
        }
    }

    /// What the last window of each series is divided by: the unit of [`Interval`].
    ///
    /// # Errors
    /// [`Error::TooShort`] where a series is shorter than a window.
    pub fn scales(&self, panel: &[Member<'_>]) -> Result<Vec<f64>> {
        self.check_reach(panel)?;
        Ok(self.scales_at(panel, &ends(panel)))
    }

    /// Forecasts at several places, `[windows, H]`; each sees only what lies before it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and those of the backend.
    pub fn forecast_at(&self, backend: &B, panel: &[Member<'_>], windows: &[Window]) -> Result<Vec<f64>> {
        self.quantiles_at(backend, panel, windows, |_| &[0.5])
    }

    /// Quantiles at several places, `[windows, H, L]`, at the `L` levels that are wanted of each step of the horizon:
    /// of several networks the means of
    /// theirs. Where the head is a point, all are that.
    ///
    /// # Errors
    /// As [`Forecaster::forecast_at`].
    pub fn quantiles_at<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        levels: impl Fn(usize) -> &'l [f64] + Copy,
    ) -> Result<Vec<f64>> {
        self.quantiles_fed(backend, panel, windows, levels, None)
    }

    /// [`Forecaster::quantiles_at`], with feedback that learns from one place after another if there is any.
    fn quantiles_fed<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        levels: impl Fn(usize) -> &'l [f64] + Copy,
        in_turn: Option<&mut InTurn>,
    ) -> Result<Vec<f64>> {
        let mut quantiles = self.quantiles_unfed(backend, panel, windows, levels)?;
        match in_turn {
            Some(in_turn) => {
                self.feed_in_turn(backend, panel, windows, (&mut quantiles, levels), in_turn)?;
            }
            None => self.feed(backend, panel, windows, &mut quantiles, levels)?,
        }
        if quantiles.iter().any(|quantile| !quantile.is_finite()) {
            return Err(Error::TooLarge);
        }
        quantiles.iter_mut().for_each(|value| *value = self.above(*value));
        Ok(quantiles)
    }

    /// [`Forecaster::quantiles_at`] as the networks say them.
    fn quantiles_unfed<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        levels: impl Fn(usize) -> &'l [f64] + Copy,
    ) -> Result<Vec<f64>> {
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let mut quantiles: Vec<f64> = Vec::new();
        for way in self.ways() {
            let own = match way.config.block {
                Some(_) => way.quantiles_in_blocks(backend, panel, windows, levels)?,
                None => way.quantiles_at_once(backend, &way.config, panel, windows, levels)?,
            };
            match quantiles.is_empty() {
                true => quantiles = own,
                false => quantiles.iter_mut().zip(own).for_each(|(sum, own)| *sum += own),
            }
        }
        let ways = self.ways().count() as f64;
        quantiles.iter_mut().for_each(|sum| *sum /= ways);
        Ok(quantiles)
    }

    /// The means of its own networks' quantiles, of the horizon of `config`, which they answer at once.
    fn quantiles_at_once<'l>(
        &self,
        backend: &B,
        config: &ForecastConfig,
        panel: &[Member<'_>],
        windows: &[Window],
        levels: impl Fn(usize) -> &'l [f64],
    ) -> Result<Vec<f64>> {
        let all = Windows::new(panel, config, &self.prepared, 0, |_, rows| 0..rows);
        let chunk = windows.len().min(CHUNK);
        let each: usize = (0..config.horizon).map(|h| levels(h).len()).sum();
        let mut sums = vec![0.0; windows.len() * each];
        for model in &self.models {
            let mut pass = InferPass::new(backend, model, config.all_steps(), chunk)?;
            let mut x = vec![F::ZERO; config.all_steps() * chunk * config.inputs()];
            let mut out = Vec::new();
            let parts = windows.chunks(chunk).zip(sums.chunks_mut(chunk * each));
            for (part, sums) in parts {
                // The last chunk is filled up with copies of its last window, so that one pass serves all.
                let mut padded = part.to_vec();
                padded.resize(chunk, part[part.len() - 1]);
                let base = all.inputs(&padded, &mut x);
                pass.predict(backend, model, &x, None, &mut out)?;
                let forecasts = all.quantiles((part, chunk), &base, &out, &levels);
                sums.iter_mut().zip(forecasts).for_each(|(sum, forecast)| *sum += forecast);
            }
        }
        let networks = self.models.len() as f64;
        sums.iter_mut().for_each(|sum| *sum /= networks);
        Ok(sums)
    }

    /// Measures the model and the baselines on all windows of a part.
    ///
    /// # Errors
    /// [`Error::TooShort`] where no window fits.
    pub fn evaluate(&self, backend: &B, panel: &[Member<'_>], part: &Part<'_>) -> Result<Evaluation> {
        self.evaluate_part(backend, panel, part, Evaluation::nothing())
    }

    /// The same forecaster for other series: they have scales of their own, those of their first rows, as many as
    /// `seen` says of each.
    #[must_use]
    pub fn for_others(mut self, panel: &[Member<'_>], seen: impl Fn(usize) -> usize) -> Self {
        let spreads = windows::spreads(panel, seen);
        self.beside.iter_mut().for_each(|way| way.prepared.spreads.clone_from(&spreads));
        self.prepared.spreads = spreads;
        self
    }

    fn windows<'a>(
        &'a self,
        panel: &'a [Member<'a>],
        rows: usize,
        part: impl Fn(usize, usize) -> Range<usize>,
    ) -> Windows<'a> {
        Windows::new(panel, &self.config, &self.prepared, rows, part)
    }

    fn evaluate_part(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        part: &Part<'_>,
        known: Evaluation,
    ) -> Result<Evaluation> {
        let config = &self.config;
        let all = self.windows(panel, config.horizon, |member, rows| part.first_row[member]..rows);
        if all.len() == 0 {
            let rows = panel.iter().map(Member::rows).max().unwrap_or(0);
            let purpose = Purpose::Evaluation { horizon: config.horizon };
            return Err(Error::TooShort { rows, needed: config.span(), purpose });
        }
        // Long series are measured on evenly spaced windows, so that memory stays bounded.
        let held = all.sample((EVALUATED / (config.horizon * config.head.said())).max(30));
        let seen = panel.iter().zip(part.learnt);
        let scales: Vec<Option<f64>> = seen
            .map(|(member, learnt)| naive_scale(&member.values[..*learnt], config.mase_season()))
            .collect();
        let actual = all.actual(&held);
        if actual.iter().all(|truth| truth.is_nan()) {
            return Err(Error::NoTruth { values: actual.len() });
        }
        let end = |(index, member): (usize, &Member<'_>)| {
            let row = member.rows().checked_sub(config.horizon)?;
            let held = row >= part.first_row[index].max(config.reach());
            held.then_some(Window { member: index, row })
        };
        let ends: Vec<Window> = panel.iter().enumerate().filter_map(end).collect();
        let mut last_forecast = vec![Vec::new(); panel.len()];
        // Only a model that has not seen the validation part can be calibrated on it.
        let known_scores =
            if known.taken.ways.is_empty() { Vec::new() } else { self.validation_scores(backend, panel)? };
        let before = |(member, learnt): (&Member<'_>, &usize)| {
            learnt.max(&config.reach()).min(&member.rows()).to_owned()
        };
        let fitted: Vec<usize> = panel.iter().zip(part.learnt).map(before).collect();
        // As a model that is read forecasts newer rows, it does not learn from them.
        let mut in_turn = self.in_turn().filter(|_| !known.taken.ways.is_empty());
        let methods = self.methods_at(backend, panel, &held, Some(&fitted), in_turn.as_mut())?;
        let forecasts = self.lstm_at(backend, panel, &ends, in_turn.as_mut())?.forecasts;
        for (window, forecast) in ends.iter().zip(forecasts.chunks_exact(config.horizon)) {
            last_forecast[window.member] = forecast.to_vec();
        }
        let templates = self.templates(panel, &held, &methods[0]);
        let scale = |at: usize| scales[held[at / config.horizon].member];
        let units = self.scales_at(panel, &held);
        let scores = methods.into_iter().map(|of| {
            let forecasts = &of.forecasts;
            let in_spreads = |power: i32| {
                let pairs = actual.iter().zip(forecasts).enumerate();
                mean_of_known(pairs.map(|(at, (y, f))| {
                    (*y, ((y - f) / all.spread(held[at / config.horizon].member)).abs().powi(power))
                }))
            };
            let step = |h: usize| {
                let pairs = || actual.iter().zip(forecasts).skip(h).step_by(config.horizon);
                let known = pairs().any(|(y, _)| !y.is_nan());
                known.then(|| mean_of_known(pairs().map(|(y, f)| (*y, (y - f).abs()))))
            };
            let take = |tally: &mut Tally, at: usize, edges: &Edges| {
                tally.add(actual[at], forecasts[at], edges, scale(at));
            };
            let measured = |edges: &dyn Fn(usize) -> Edges| {
                let mut tally = Tally::default();
                (0..forecasts.len()).for_each(|at| take(&mut tally, at, &edges(at)));
                tally.measures()
            };
            let by = |interval: &Interval| {
                measured(&|at| {
                    let (h, unit) = (at % config.horizon, units[at / config.horizon]);
                    self.calibrated(interval, h, forecasts[at], &of.edges(at), unit)
                })
            };
            let known = known_scores.iter().find(|known| known.0 == of.method).map(|(_, known)| known);
            let once = known.and_then(|known| by(&Interval::new(known, config.horizon)));
            let mut rolling = known.map(|known| Rolling::new(known, config.horizon, panel.len()));
            let rolled = rolling.as_mut().and_then(|rolling| {
                let mut tally = Tally::default();
                self.roll(panel, &held, &of, rolling, |at, edges| take(&mut tally, at, &edges));
                tally.measures()
            });
            let stored = part.intervals.and_then(|before| before.score(of.method));
            let told = rolled.or_else(|| by(&stored?.interval));
            let said = of.said.as_ref().and_then(|said| measured(&|at| said[at]));
            let interval = match rolling {
                Some(mut rolling) => rolling.margins(0),
                None => Interval::new(&self.scores(panel, &held, &of), config.horizon),
            };
            Score {
                method: of.method.to_owned(),
                metrics: Metrics::of_panel(&actual, forecasts, &scale),
                standardised: [in_spreads(1), in_spreads(2)],
                by_step: (0..config.horizon).map(step).collect(),
                interval,
                wql: told.as_ref().and_then(|measures| measures.wql),
                crps: told.as_ref().map(|measures| measures.crps),
                coverage: told.map_or(Vec::new(), |measures| measures.coverage),
                calibrated_once: once.map_or(Vec::new(), |measures| measures.coverage),
                uncalibrated: said.map_or(Vec::new(), |measures| measures.coverage),
            }
        });
        let scores = scores.collect();
        Ok(Evaluation {
            scores,
            templates,
            validation_scores: known_scores,
            first_row: all.get(0).row,
            windows: held.len(),
            last_forecast,
            ..known
        })
    }
}

/// What formulas settle with the ridge that does best on the validation part, that ridge, and the error there.
fn prepare(config: &ForecastConfig, panel: &[Member<'_>]) -> (Prepared, f64, f64) {
    let seen = |rows| config.parts_of(rows).train.end;
    let scales = Prepared::scales(config, panel, seen);
    let normal = scales.normal(config, panel, seen);
    let part = |_, rows| config.parts_of(rows).check;
    let check = Check::new(&Windows::new(panel, config, &scales, config.horizon, part), CHECKED);
    let attempt = |strength| {
        let linear = normal.as_ref().and_then(|normal| normal.solve(strength));
        let prepared = Prepared { linear, ..scales.clone() };
        let part = Windows::new(panel, config, &prepared, config.horizon, part);
        let forecasts = horizons(config, &part.linear(&check.windows));
        (check.error(&forecasts), strength, prepared)
    };
    let best = RIDGES.map(attempt).into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(
        || (Prepared::default(), 0.0, f64::INFINITY),
        |(error, strength, prepared)| (prepared, strength, error),
    )
}

/// Error of the best linear forecast of this lookback on the validation part; none where no window fits.
fn linear_error(
    panel: &[Member<'_>],
    lookback: usize,
    (held_out, validation): (usize, usize),
    horizon: usize,
) -> Option<f64> {
    let config = ForecastConfig { lookback, held_out, validation, horizon, ..ForecastConfig::plain() };
    config.parts(panel).ok()?;
    let (_, _, error) = prepare(&config, panel);
    Some(error)
}

/// The place behind the last row of each series.
fn ends(panel: &[Member<'_>]) -> Vec<Window> {
    panel.iter().enumerate().map(|(member, m)| Window { member, row: m.rows() }).collect()
}

/// The largest difference between two values.
fn range(values: &[f64]) -> f64 {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (v.min(low), v.max(high)));
    if values.is_empty() { 0.0 } else { high - low }
}

/// The horizon's part of base forecasts, which fill whole segments.
fn horizons(config: &ForecastConfig, base: &[f64]) -> Vec<f64> {
    base.chunks_exact(config.answered()).flat_map(|f| &f[..config.horizon]).copied().collect()
}

/// The mean of the errors of all truths that are known.
fn mean_of_known(errors: impl Iterator<Item = (f64, f64)>) -> f64 {
    let known = errors.filter(|(truth, _)| !truth.is_nan());
    let (sum, count) = known.fold((0.0, 0usize), |(sum, count), (_, error)| (sum + error, count + 1));
    sum / count.max(1) as f64
}

/// How a configuration differs from the others that are tried.
fn described(config: &ForecastConfig) -> String {
    let base = match config.base {
        Base::Last => "last value",
        Base::Season => "seasonal naive",
        Base::Linear => "linear forecast",
    };
    let by = match config.normalise {
        Normalise::Window => "normalised by window",
        Normalise::Series => "normalised by series",
        Normalise::Log => "in logarithms",
    };
    format!("corrects the {base}, {by}")
}

fn fit<'a, B: Backend, F: Float>(
    backend: &'a B,
    config: &ForecastConfig,
    source: &'a Windows<'a>,
    (steps, planned): (u64, u64),
    (index, patient): (usize, bool),
) -> Result<Fit<'a, B, F, Windows<'a>>> {
    let init = InitSpec {
        recurrent: Init::Orthogonal,
        input: Init::Glorot,
        bias: Init::Zeros,
        // The first forecast is the base forecast.
        head_weight: Init::Zeros,
        head_bias: Init::Zeros,
        ..InitSpec::tf1()
    };
    let seed = config.seed + 1000 * index as u64;
    let model = Model::new(backend, config.network(), &init, seed)?;
    let mut fit_config = FitConfig::new(config.batch, config.optimizer(planned)?, Stop::after(steps));
    fit_config.loss = config.loss();
    fit_config.check_every = (planned / 40).clamp(1, 100);
    fit_config.stop.patience = Some(config.patience).filter(|looks| patient && *looks > 0);
    fit_config.seed = seed;
    Fit::new(backend, model, source, fit_config)
}

impl Evaluation {
    /// Before anything was measured.
    fn nothing() -> Self {
        Self {
            scores: Vec::new(),
            first_row: 0,
            windows: 0,
            last_forecast: Vec::new(),
            trials: Vec::new(),
            taken: Taken::default(),
            templates: Vec::new(),
            validation_scores: Vec::new(),
        }
    }

    /// Of trials before their forecasts are measured, and which of them are taken.
    fn of<B: Backend, F: Float>(attempts: &[&Attempt<B, F>]) -> (Self, Vec<usize>) {
        let answers: Vec<&Answer> = attempts.iter().map(|attempt| &attempt.answer).collect();
        let trial = |attempt: &&Attempt<B, F>| Trial {
            what: described(&attempt.forecaster.config),
            validation: attempt.answer.check.error(&attempt.answer.forecasts),
            base: attempt.answer.check.error(&attempt.answer.base),
        };
        let trials: Vec<Trial> = attempts.iter().map(trial).collect();
        let most = attempts.first().map_or(1, |attempt| attempt.forecaster.config.average);
        let chosen = combine::chosen(&answers, most);
        let of_mean: Vec<&Answer> = chosen.iter().map(|at| answers[*at]).collect();
        let taken = Taken {
            ways: chosen.iter().map(|at| attempts[*at].way.clone()).collect(),
            validation: combine::mean_error(&of_mean, |answer| &answer.forecasts),
            simple: trials.iter().map(|trial| trial.base).fold(f64::INFINITY, f64::min),
        };
        (Self { trials, taken, ..Self::nothing() }, chosen)
    }
}

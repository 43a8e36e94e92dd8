//! Rolling origins: what forecasts would have been worth, had they been made when the past ended there.
//!
//! Every forecast sees only what lies before its origin, and so do the weights, the settings and the intervals that
//! it is made with. A step of [`Backtest::next`] forecasts so few windows at once that memory does not grow with the
//! number of origins.

use crate::forecaster::{
    Columns, Edges, ForecastConfig, Forecaster, InTurn, LEVELS, Member, OfMethod, Rolling, Stage, Taken,
    Trial, Window,
};
use crate::{Course, Error, Flow, Outcome, Progress, Result};
use lstm_tensor::{Backend, Float};
use std::num::NonZero;

/// Windows that are forecast at once, unless one origin of all series has more.
const AT_ONCE: usize = 256;

/// Where forecasts begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// Rows of each series from the first origin on.
    pub held_out: usize,
    /// The origins, in rows behind the first.
    pub offsets: Vec<usize>,
}

impl Origins {
    /// `count` evenly spaced ones: the first forecast of `horizon` rows begins with the held-out rows, the last one ends
    /// with them.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the held-out rows leave no step between them.
    pub fn evenly(held_out: usize, horizon: usize, count: NonZero<usize>) -> Result<Self> {
        let most = Self::most(held_out, horizon);
        let count = count.get();
        if count > most {
            let must = format!(
                "at most {most}, as {held_out} held-out rows leave room for so many of {horizon} steps"
            );
            return Err(Error::Invalid { what: "origins", value: count.to_string(), must });
        }
        let (room, gaps) = (most - 1, (count - 1).max(1));
        Ok(Self { held_out, offsets: (0..count).map(|at| at * room / gaps).collect() })
    }

    /// How many origins so many held-out rows have room for.
    #[must_use]
    pub fn most(held_out: usize, horizon: usize) -> usize {
        (held_out + 1).saturating_sub(horizon)
    }

    /// Rows that must be held out for so many origins.
    #[must_use]
    pub fn needed(horizon: usize, count: NonZero<usize>) -> usize {
        horizon + count.get() - 1
    }

    /// The row of a series of `rows` rows that an origin lies before; none where the series begins later.
    fn row(&self, origin: usize, rows: usize) -> Option<usize> {
        (rows + self.offsets[origin]).checked_sub(self.held_out)
    }
}

/// A stretch of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Which of how many times the model learns.
    pub time: Stage,
    /// Whether it learns from all rows before the origin; before that it chooses steps, the first time settings too, and
    /// measures intervals, all without the validation part.
    pub all_rows: bool,
    /// Networks of this stretch.
    pub network: Stage,
}

/// Is told after every step.
pub type Watch<'a> = &'a mut dyn FnMut(Learning, u64, Option<&Progress>) -> Flow;

/// Forecasts of every method at some places.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The places, origin after origin.
    pub windows: Vec<Window>,
    /// What came, `[windows, H]`; NaN where nobody knows.
    pub actual: Vec<f64>,
    /// The LSTM's forecasts first, then those of the baselines.
    pub methods: Vec<Forecasts>,
}

/// Forecasts of one method.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecasts {
    /// `lstm`, or the [name](crate::baseline::Simple::name) of a simple method.
    pub method: &'static str,
    /// `[windows, H]`.
    pub mean: Vec<f64>,
    /// Edges of the intervals at [`LEVELS`], `[windows, H]`.
    pub edges: Vec<Edges>,
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Forecasts of the next origins.
    Forecasts(Batch),
    /// Training was interrupted, or diverged; there is nothing to go on with.
    CutShort(Outcome),
    /// No origin is left.
    Ended,
}

/// A model that has learnt from the rows before an origin.
struct Learnt<B: Backend, F: Float> {
    forecaster: Forecaster<B, F>,
    /// Of each method.
    rolling: Vec<(&'static str, Rolling)>,
    /// What it feeds back.
    in_turn: Option<InTurn>,
    /// The first row that it forecasts of each series: what ETS and Theta are fitted to lies before it.
    first: Vec<usize>,
}

/// A backtest under way.
pub struct Backtest<'a, B: Backend, F: Float> {
    backend: &'a B,
    panel: &'a [Member<'a>],
    origins: Origins,
    /// Origins that one model serves.
    served: usize,
    /// What is tried the next time.
    trials: Vec<ForecastConfig>,
    /// What was tried the first time, and what was taken of it.
    tried: (Vec<Trial>, Taken),
    learnt: Option<Learnt<B, F>>,
    /// The next origin.
    next: usize,
}

impl<'a, B: Backend, F: Float> Backtest<'a, B, F> {
    /// Of `trials`, the first time the model learns; those that follow, every `refit` origins, try only what was taken
    /// then.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there are no trials.
    pub fn new(
        backend: &'a B,
        trials: &[ForecastConfig],
        panel: &'a [Member<'a>],
        origins: Origins,
        refit: Option<NonZero<usize>>,
    ) -> Result<Self> {
        if trials.is_empty() {
            let must = "at least one configuration".into();
            return Err(Error::Invalid { what: "trials", value: "none".into(), must });
        }
        // Behind the rows that a model learns from lies one horizon, which its training measures and nothing uses.
        let trials = trials.iter().map(|trial| ForecastConfig { held_out: trial.horizon, ..trial.clone() });
        let served = refit.map_or(origins.offsets.len(), NonZero::get);
        let trials = trials.collect();
        Ok(Self { backend, panel, origins, served, trials, tried: Default::default(), learnt: None, next: 0 })
    }

    /// The settings of what was taken, the first where forecasts are averaged; before, what is tried first.
    #[must_use]
    pub fn config(&self) -> &ForecastConfig {
        &self.trials[0]
    }

    /// What was tried the first time, and what was taken of it.
    #[must_use]
    pub fn tried(&self) -> &(Vec<Trial>, Taken) {
        &self.tried
    }

    /// How often the model learns.
    #[must_use]
    pub fn times(&self) -> usize {
        self.origins.offsets.len().div_ceil(self.served)
    }

    /// Forecasts the next origins, having learnt anew where it is time to.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLarge`] and those of the backend.
    pub fn next(&mut self, watch: Watch<'_>) -> Result<Next> {
        if self.next >= self.origins.offsets.len() {
            return Ok(Next::Ended);
        }
        if self.next.is_multiple_of(self.served)
            && let Some(outcome) = self.learn(watch)?
        {
            return Ok(Next::CutShort(outcome));
        }
        if self.learnt.is_none() {
            return Ok(Next::Ended);
        }
        let until = (self.next / self.served + 1) * self.served;
        let together = (AT_ONCE / self.panel.len().max(1)).max(1);
        let end = (self.next + together).min(until).min(self.origins.offsets.len());
        let windows = self.windows(self.next..end);
        self.next = end;
        self.forecasts(windows).map(Next::Forecasts)
    }

    /// The windows of some origins that have enough rows before them.
    fn windows(&self, origins: std::ops::Range<usize>) -> Vec<Window> {
        let at = |origin| {
            self.panel.iter().enumerate().filter_map(move |(member, series)| {
                let row = self.origins.row(origin, series.rows())?;
                (row >= self.config().reach()).then_some(Window { member, row })
            })
        };
        origins.flat_map(at).collect()
    }

    fn forecasts(&mut self, windows: Vec<Window>) -> Result<Batch> {
        let (backend, panel) = (self.backend, self.panel);
        let Some(Learnt { forecaster, rolling, in_turn, first }) = &mut self.learnt else {
            return Ok(Batch { windows: Vec::new(), actual: Vec::new(), methods: Vec::new() });
        };
        let methods = forecaster.methods_at(backend, panel, &windows, Some(first), in_turn.as_mut())?;
        let with_edges = |of: OfMethod| {
            let mut edges = vec![[[f64::NAN; 2]; LEVELS.len()]; of.forecasts.len()];
            if let Some((_, rolling)) = rolling.iter_mut().find(|(method, _)| *method == of.method) {
                forecaster.roll(panel, &windows, &of, rolling, |at, calibrated| edges[at] = calibrated);
            }
            Forecasts { method: of.method, mean: of.forecasts, edges }
        };
        let methods = methods.into_iter().map(with_edges).collect();
        Ok(Batch { actual: forecaster.actual_at(panel, &windows), windows, methods })
    }

    /// Learns from the rows before the next origin: first without the validation part, which chooses and calibrates, then
    /// from all of them. Says where that was cut short.
    fn learn(&mut self, watch: Watch<'_>) -> Result<Option<Outcome>> {
        let time = Stage { index: self.next / self.served, of: self.times() };
        let until = |behind: usize| -> Vec<Member<'a>> {
            let end = |member: &Member<'_>| {
                self.origins.row(self.next, member.rows()).map_or(0, |row| row + behind)
            };
            self.panel.iter().map(|member| before(member, end(member))).collect()
        };
        let mut tell = |all_rows: bool, network: Stage, step: u64, report: Option<&Progress>| {
            watch(Learning { time, all_rows, network }, step, report)
        };
        let panel = until(self.config().horizon);
        let (held, evaluation, outcome) = Forecaster::<B, F>::hold_out(
            self.backend,
            &self.trials,
            &panel,
            &mut Course::default(),
            &mut |network, step, report| tell(false, network, step, report),
        )?;
        if outcome.is_cut_short() {
            return Ok(Some(outcome));
        }
        let horizon = held.config.horizon;
        let earlier = self.learnt.take();
        let rolling = evaluation.validation_scores.iter().map(|(method, known)| {
            let rolling = Rolling::new(known, horizon, panel.len());
            let earlier = earlier.iter().flat_map(|learnt| &learnt.rolling).find(|(of, _)| of == method);
            (*method, earlier.map_or(rolling.clone(), |(_, earlier)| rolling.after(earlier)))
        });
        let rolling = rolling.collect();
        let all = until(0);
        let (forecaster, outcome) = Forecaster::fit_all(
            self.backend,
            &held,
            &all,
            &evaluation,
            &mut Course::default(),
            &mut |network, step, report| tell(true, network, step, report),
        )?;
        if outcome.is_cut_short() {
            return Ok(Some(outcome));
        }
        if self.tried.0.is_empty() {
            self.tried = (evaluation.trials, evaluation.taken);
            self.trials = held.ways().map(|way| way.config.clone()).collect();
        }
        let served = self.windows(self.next..(self.next + self.served).min(self.origins.offsets.len()));
        let mut first = vec![usize::MAX; self.panel.len()];
        served.iter().for_each(|window| first[window.member] = first[window.member].min(window.row));
        let in_turn = forecaster.in_turn();
        self.learnt = Some(Learnt { forecaster, rolling, in_turn, first });
        Ok(None)
    }
}

/// The series up to a row, with what was known of it then.
fn before<'a>(member: &Member<'a>, row: usize) -> Member<'a> {
    let row = row.min(member.rows());
    let cells = row * member.past.width;
    let past = Columns { cells: member.past.cells.get(..cells).unwrap_or(member.past.cells), ..member.past };
    Member { values: &member.values[..row], past, ..*member }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(held_out: usize, horizon: usize, count: usize) -> Vec<usize> {
        Origins::evenly(held_out, horizon, NonZero::new(count).unwrap()).unwrap().offsets
    }

    #[test]
    fn origins_span_the_held_out_rows() {
        assert_eq!(offsets(10, 4, 7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(offsets(10, 4, 3), [0, 3, 6]);
        assert_eq!(offsets(10, 4, 1), [0]);
        assert_eq!(offsets(4, 4, 1), [0]);
        let count = NonZero::new(8).unwrap();
        let refused = Origins::evenly(10, 4, count).unwrap_err().to_string();
        assert_eq!(
            refused,
            "origins is 8, but must be at most 7, as 10 held-out rows leave room for so many of 4 steps"
        );
        assert_eq!(offsets(Origins::needed(4, count), 4, 8).last(), Some(&7));
    }

    #[test]
    fn what_a_member_was_ends_with_its_row() {
        let (values, cells) = ([1.0, 2.0, 3.0], [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let columns = Columns { cells: &cells, width: 2 };
        let member = Member { known: columns, past: columns, ..Member::alone(&values) };
        let then = before(&member, 2);
        assert_eq!((then.values, then.past.cells, then.known.cells), (&values[..2], &cells[..4], &cells[..]));
        assert_eq!(before(&member, 9), member);
        assert_eq!(before(&member, 0).rows(), 0);
    }
}

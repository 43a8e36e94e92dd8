//! Everything that a forecast depends on besides the series, and how what the user left open is filled in.

use super::evaluation::quantile_levels;
use super::linear::Linear;
use super::linear_error;
use super::series::Member;
use super::windows::WIDEST_LINE;
use crate::{Error, Result};
use lstm_nn::{Answer, Loss, Network, Readout};
use lstm_optim::{OptimizerConfig, Schedule};
use lstm_tensor::{LayerSpec, LossKind};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Training effort by default, in floating-point operations: a fixed number, so that the number of steps
/// follows from the configuration and never from the clock.
pub const EFFORT: f64 = 2e12;

/// Trials at most whose forecasts are averaged by default.
const AVERAGED: usize = 4;

/// Series from which on windows may reach back over most of one, as others show what it does not.
const MANY: usize = 10;

/// Longest lookback that is chosen unasked.
const LONGEST: usize = 1024;

/// The simple forecast that the network corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The last value.
    Last,
    /// The value one season before.
    Season,
    /// The linear forecast.
    Linear,
}

/// What the values of a window are divided by, after its last value was subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// The standard deviation of the window itself.
    Window,
    /// The standard deviation of the series in the training part.
    Series,
    /// The standard deviation of the window of logarithms: errors in proportion. For series above 0.
    Log,
}

/// What training makes small, in units of the normalised window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// Squared errors below half a standard deviation, absolute ones above.
    Huber,
    /// Absolute errors.
    Mae,
    /// Squared errors.
    Mse,
}

/// What the network says of each value that it forecasts. The forecast itself is the middle of it; its formulas are those
/// of [`Answer`], in units of the normalised window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// One number.
    #[default]
    Point,
    /// The edges of the intervals, and the median.
    Quantile,
    /// A normal distribution.
    Gaussian,
    /// Student's t distribution.
    StudentT,
    /// A negative binomial distribution of counts, scaled by their mean.
    NegativeBinomial,
}

impl Head {
    /// Whether it is one number.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_point(&self) -> bool {
        *self == Self::Point
    }

    /// Numbers that are kept of what it says of a value: the forecast, and edges of intervals.
    pub(super) fn said(self) -> usize {
        if self == Self::Point { 1 } else { quantile_levels().len() }
    }

    /// What the numbers of the network mean; none where they are values.
    #[must_use]
    pub fn answer(self) -> Option<Answer> {
        match self {
            Self::Point => None,
            Self::Quantile => Some(Answer::Quantiles { levels: quantile_levels().to_vec() }),
            Self::Gaussian => Some(Answer::Gaussian),
            Self::StudentT => Some(Answer::StudentT),
            Self::NegativeBinomial => Some(Answer::NegativeBinomial),
        }
    }
}

/// How the learning rate falls over the planned steps of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// To 0 along half a cosine.
    #[default]
    Cosine,
    /// To a hundredth, by the same factor in each step.
    Exponential,
    /// Not at all.
    Constant,
}

impl Decay {
    fn schedule(self, steps: u64) -> Schedule {
        match self {
            Self::Cosine => Schedule::Cosine { period: steps, minimum: 0.0 },
            Self::Exponential => Schedule::Exponential { factor: 0.01f64.powf(1.0 / steps.max(1) as f64) },
            Self::Constant => Schedule::Constant,
        }
    }
}

/// Everything that a forecast depends on besides the series; fully resolved, plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct ForecastConfig {
    /// Steps that are forecast.
    pub horizon: usize,
    /// Steps that the network forecasts at once, where they are fewer: farther ones follow from its own forecasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Steps that a window reads; a multiple of `segment`.
    pub lookback: usize,
    /// Season of the seasonal naive forecast and of MASE, in steps; 1 = none.
    pub season: usize,
    /// What the network corrects.
    pub base: Base,
    /// What the network sees windows in units of.
    pub normalise: Normalise,
    /// Neighbouring values that the LSTM reads, and predicts, in one step.
    pub segment: usize,
    /// Columns beside the values that are known in advance.
    pub known: usize,
    /// Columns beside the values that are known up to the present only.
    pub past: usize,
    /// Numbers of a series as a whole.
    pub fixed: usize,
    /// Series that the network tells apart; 0 where it treats all alike.
    pub told_apart: usize,
    /// Units of the embedding through which a step passes before the LSTM reads it; 0 = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub embedding: usize,
    /// Hidden units of each layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Dropout on the output of each layer.
    pub dropout: f64,
    /// Forget bias, added at run time.
    pub forget_bias: f64,
    /// What training makes small where the head is a point; of other heads it is the loss of the [`Answer`].
    pub loss: Aim,
    /// What the network says of each value.
    #[serde(default, skip_serializing_if = "Head::is_point")]
    pub head: Head,
    /// Optimizer: `adam`, `adamw`, `sgd`, `rmsprop` or `adagrad`.
    pub optimizer: String,
    /// Learning rate at the beginning.
    pub lr: f64,
    /// How it falls.
    #[serde(default)]
    pub schedule: Decay,
    /// Looks at the validation part without a smaller error after which a training ends; 0 = none ends early. There are 40
    /// in a training, more where they would be over 100 steps apart.
    #[serde(default = "patient")]
    pub patience: u32,
    /// Bound on the gradient's norm; 0 = none.
    pub clip: f64,
    /// Samples of a step.
    pub batch: usize,
    /// Passes over the training windows at most.
    pub epochs: u64,
    /// Floating-point operations of one fit at most.
    pub effort: f64,
    /// Networks, trained from different seeds, whose forecasts are averaged.
    pub ensemble: usize,
    /// Trials at most whose forecasts are averaged; 1 in what an older version wrote.
    #[serde(default = "one")]
    pub average: usize,
    /// Whether forecasts are corrected by what earlier ones missed; not so in what an older version wrote.
    #[serde(default)]
    pub feedback: bool,
    /// What no forecast and no interval goes below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<f64>,
    /// Steps between the values whose mean absolute difference is the unit of MASE; where it is not said, the season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mase_season: Option<usize>,
    /// Rows at the end of each series that only measure the forecast.
    pub held_out: usize,
    /// Rows before these that decide when training ends.
    pub validation: usize,
    /// Seed.
    pub seed: u64,
}

/// What a user has decided; the rest follows from the series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ForecastChoices {
    /// See [`ForecastConfig::horizon`]; so for all below.
    pub horizon: Option<usize>,
    /// See [`ForecastConfig`].
    pub block: Option<usize>,
    /// See [`ForecastConfig`].
    pub lookback: Option<usize>,
    /// See [`ForecastConfig`].
    pub season: Option<usize>,
    /// See [`ForecastConfig`].
    pub base: Option<Base>,
    /// See [`ForecastConfig`].
    pub normalise: Option<Normalise>,
    /// See [`ForecastConfig`].
    pub segment: Option<usize>,
    /// See [`ForecastConfig`].
    pub embedding: Option<usize>,
    /// See [`ForecastConfig`].
    pub hidden: Option<usize>,
    /// See [`ForecastConfig`].
    pub layers: Option<usize>,
    /// See [`ForecastConfig`].
    pub dropout: Option<f64>,
    /// See [`ForecastConfig`].
    pub forget_bias: Option<f64>,
    /// See [`ForecastConfig`].
    pub loss: Option<Aim>,
    /// See [`ForecastConfig`].
    pub head: Option<Head>,
    /// See [`ForecastConfig`].
    pub optimizer: Option<String>,
    /// See [`ForecastConfig`].
    pub lr: Option<f64>,
    /// See [`ForecastConfig`].
    pub schedule: Option<Decay>,
    /// See [`ForecastConfig`].
    pub patience: Option<u32>,
    /// See [`ForecastConfig`].
    pub clip: Option<f64>,
    /// See [`ForecastConfig`].
    pub batch: Option<usize>,
    /// See [`ForecastConfig`].
    pub epochs: Option<u64>,
    /// Floating-point operations of all trials together.
    pub effort: Option<f64>,
    /// See [`ForecastConfig`].
    pub ensemble: Option<usize>,
    /// See [`ForecastConfig`].
    pub average: Option<usize>,
    /// See [`ForecastConfig`].
    pub feedback: Option<bool>,
    /// See [`ForecastConfig`].
    pub lowest: Option<f64>,
    /// See [`ForecastConfig`].
    pub mase_season: Option<usize>,
    /// See [`ForecastConfig`].
    pub held_out: Option<usize>,
    /// See [`ForecastConfig`].
    pub validation: Option<usize>,
    /// See [`ForecastConfig`].
    pub seed: Option<u64>,
}

impl ForecastConfig {
    /// Fills in what the user left open, and returns what is to be tried: one configuration for each way of
    /// normalising and correcting that the user left open, the most promising first. `seasons` are the
    /// candidates that the step suggests, shortest first; the one whose seasonal naive forecast errs least
    /// before the validation and held-out parts is taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible settings, [`Error::TooShort`] where no window fits.
    pub fn trials(choices: &ForecastChoices, seasons: &[usize], panel: &[Member<'_>]) -> Result<Vec<Self>> {
        let first = Self::resolve(choices, seasons, panel)?;
        let bases = match choices.base {
            Some(base) => vec![base],
            None if first.season > 1 => vec![Base::Linear, Base::Season, Base::Last],
            None => vec![Base::Linear, Base::Last],
        };
        let normalised = match choices.normalise {
            Some(normalise) => vec![normalise],
            // More series, or few rows: there logarithms pay, and one more training costs little.
            None if (panel.len() > 1 || is_small(panel)) && is_proportional(panel, first.held_out) => {
                vec![Normalise::Window, Normalise::Series, Normalise::Log]
            }
            None => vec![Normalise::Window, Normalise::Series],
        };
        let mut trials = Vec::new();
        for base in bases {
            for normalise in &normalised {
                // What pays least of what is left open to try.
                let unlikely = [(Base::Season, Normalise::Series), (Base::Last, Normalise::Log)];
                let open = choices.base.is_none() && choices.normalise.is_none();
                if open && unlikely.contains(&(base, *normalise)) {
                    continue;
                }
                let trial = Self { base, normalise: *normalise, ..first.clone() };
                if trial.validate().is_ok() && trial.parts(panel).is_ok() {
                    trials.push(trial);
                }
            }
        }
        let effort = choices.effort.unwrap_or(EFFORT) / (trials.len() * first.ensemble) as f64;
        trials.iter_mut().for_each(|trial| trial.effort = effort);
        Ok(trials)
    }

    /// The first of [`ForecastConfig::trials`].
    ///
    /// # Errors
    /// As there.
    pub fn resolve(choices: &ForecastChoices, seasons: &[usize], panel: &[Member<'_>]) -> Result<Self> {
        let rows = panel.iter().map(Member::rows).max().unwrap_or(0);
        let first = panel.first().copied().unwrap_or_default();
        let candidates: Vec<usize> =
            seasons.iter().copied().filter(|season| *season > 1 && 4 * season <= rows).collect();
        let shortest = candidates.first().copied().unwrap_or(1);
        let horizon = choices.horizon.unwrap_or(match shortest {
            1 => (rows / 10).clamp(1, 24),
            season => season.min(96),
        });
        let positive = |member: &Member<'_>| member.values.iter().all(|value| value.is_nan() || *value > 0.0);
        if choices.normalise == Some(Normalise::Log) && !panel.iter().all(positive) {
            return Err(Error::Invalid {
                what: "normalise",
                value: "log".into(),
                must: "window or series where a series holds values that are not above 0".into(),
            });
        }
        if horizon == 0 {
            return Err(Error::Invalid { what: "horizon", value: "0".into(), must: "at least 1".into() });
        }
        if let Some(lowest) = choices.lowest {
            let least = panel.iter().flat_map(|member| member.values).fold(f64::INFINITY, |a, b| a.min(*b));
            if !(lowest.is_finite() && lowest <= least) {
                let must = format!("at most {least}, the smallest value there is");
                return Err(Error::Invalid { what: "lowest", value: lowest.to_string(), must });
            }
        }
        let head = choices.head.unwrap_or_default();
        if head == Head::NegativeBinomial {
            panel.iter().try_for_each(refuse_unless_counts)?;
        }
        if let Some(loss) = choices.loss.filter(|_| head != Head::Point) {
            let must = "left out unless the head is a point: others have a loss of their own".into();
            return Err(Error::Invalid { what: "loss", value: format!("{loss:?}").to_lowercase(), must });
        }
        let longest_season = choices.season.or(candidates.last().copied()).unwrap_or(1);
        let most = (10 * horizon.max(longest_season)).max(500);
        let held_out = choices.held_out.unwrap_or_else(|| (rows / 6).clamp(horizon, most));
        let validation = choices.validation.unwrap_or_else(|| {
            // One window says little; but there must be enough to learn from before it.
            let two = if rows >= held_out + 7 * horizon { 2 * horizon } else { horizon };
            (held_out / 2).max(two)
        });
        let error = |season: usize| season_error(panel, held_out + validation, season, horizon);
        let season = choices
            .season
            .or_else(|| candidates.iter().copied().min_by(|&a, &b| error(a).total_cmp(&error(b))));
        let season = season.unwrap_or(1).max(1);
        let usable = |rows: usize| rows.saturating_sub(held_out + validation);
        let shortest_series = panel.iter().map(Member::rows).min().unwrap_or(0);
        // A third of the rows; where many series make up for few windows of each, all but a few of the shortest.
        let room = match panel.len() {
            0..MANY => usable(rows) / 3,
            _ => (usable(rows) / 3).max(usable(shortest_series).saturating_sub(2 * horizon)),
        };
        let lookback = choices.lookback.unwrap_or_else(|| {
            let unit = if season > 1 { season } else { 16 };
            let wanted = [2, 3, 4, 8, 16, 52].map(|units| units * unit).into_iter();
            let fitting: Vec<usize> = wanted.filter(|rows| *rows <= room.min(LONGEST)).collect();
            let shortest = (2 * unit).min(room).max(1);
            best_lookback(panel, &fitting, (held_out, validation), choices.block.unwrap_or(horizon).max(1))
                .unwrap_or(shortest)
        });
        // As many values in a step as leave some 16 steps to read.
        let segment = choices.segment.unwrap_or_else(|| {
            let wanted = if shortest > 1 && lookback / shortest >= 8 { shortest } else { lookback / 16 };
            (1..=wanted.clamp(1, 48)).rev().find(|segment| lookback.is_multiple_of(*segment)).unwrap_or(1)
        });
        let small = is_small(panel);
        let config = Self {
            horizon,
            block: choices.block,
            // What was asked for is refused where it does not fit, not changed.
            lookback: match choices.lookback {
                Some(asked) => asked,
                None => lookback.div_ceil(segment.max(1)) * segment.max(1),
            },
            season,
            base: choices.base.unwrap_or(Base::Linear),
            normalise: choices.normalise.unwrap_or(Normalise::Window),
            segment,
            known: first.known.width,
            past: first.past.width,
            fixed: first.fixed.len(),
            told_apart: if (2..=32).contains(&panel.len()) { panel.len() } else { 0 },
            embedding: choices.embedding.unwrap_or(0),
            hidden: choices.hidden.unwrap_or(if small { 32 } else { 64 }),
            layers: choices.layers.unwrap_or(1),
            dropout: choices.dropout.unwrap_or(if small { 0.2 } else { 0.0 }),
            forget_bias: choices.forget_bias.unwrap_or(1.0),
            loss: choices.loss.unwrap_or(Aim::Huber),
            head,
            optimizer: choices.optimizer.clone().unwrap_or_else(|| "adam".into()),
            lr: choices.lr.unwrap_or(3e-3),
            schedule: choices.schedule.unwrap_or_default(),
            patience: choices.patience.unwrap_or(patient()),
            clip: choices.clip.unwrap_or(1.0),
            // A correction would make counts of what is none.
            feedback: choices.feedback.unwrap_or(head != Head::NegativeBinomial),
            lowest: choices.lowest,
            mase_season: choices.mase_season,
            batch: choices.batch.unwrap_or(if small { 16 } else { 64 }),
            epochs: choices.epochs.unwrap_or(200),
            effort: choices.effort.unwrap_or(EFFORT),
            ensemble: choices.ensemble.unwrap_or(if small { 5 } else { 1 }),
            average: choices.average.unwrap_or(AVERAGED),
            held_out,
            validation,
            seed: choices.seed.unwrap_or(1),
        };
        config.validate()?;
        config.parts(panel)?;
        Ok(config)
    }

    /// One value a step, and nothing beside the values.
    pub(super) fn plain() -> Self {
        Self {
            horizon: 1,
            block: None,
            lookback: 1,
            season: 1,
            base: Base::Linear,
            normalise: Normalise::Series,
            segment: 1,
            known: 0,
            past: 0,
            fixed: 0,
            told_apart: 0,
            embedding: 0,
            hidden: 1,
            layers: 1,
            dropout: 0.0,
            forget_bias: 1.0,
            loss: Aim::Huber,
            head: Head::Point,
            optimizer: "adam".into(),
            lr: 3e-3,
            schedule: Decay::Cosine,
            patience: patient(),
            clip: 1.0,
            feedback: false,
            lowest: None,
            mase_season: None,
            batch: 64,
            epochs: 200,
            effort: EFFORT,
            ensemble: 1,
            average: 1,
            held_out: 1,
            validation: 1,
            seed: 1,
        }
    }

    /// Checks sizes, the optimizer and the network.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what, value: String, must: String| Err(Error::Invalid { what, value, must });
        let range = |what, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                refuse(what, value.to_string(), format!("from 1 to {most}"))
            }
        };
        range("horizon", self.horizon, 100_000)?;
        range("block", self.block.unwrap_or(1), self.horizon)?;
        if let Some(block) = self.block.filter(|_| self.past > 0) {
            let must =
                "left out where columns are known up to the present only: nobody forecasts them".into();
            return refuse("block", block.to_string(), must);
        }
        if self.feedback && self.head == Head::NegativeBinomial {
            let must = "false where the head is negative-binomial, as a correction is no count".into();
            return refuse("feedback", "true".into(), must);
        }
        range("lookback", self.lookback, 1_000_000)?;
        range("season", self.season, 1_000_000)?;
        range("mase-season", self.mase_season.unwrap_or(1), 1_000_000)?;
        range("segment", self.segment, 10_000)?;
        range("embedding", self.embedding.max(1), 1 << 14)?;
        range("hidden", self.hidden, 1 << 14)?;
        range("layers", self.layers, 64)?;
        range("batch", self.batch, 1 << 20)?;
        range("ensemble", self.ensemble, 100)?;
        range("average", self.average, 100)?;
        range("held-out", self.held_out, 1 << 32)?;
        range("validation", self.validation, 1 << 32)?;
        range("epochs", usize::try_from(self.epochs).unwrap_or(usize::MAX), 1_000_000)?;
        let columns = [self.known, self.past, self.fixed, self.told_apart];
        if let Some(most) = columns.into_iter().find(|columns| *columns > 1 << 16) {
            return refuse("columns beside the values", most.to_string(), "at most 65536".into());
        }
        if self.base == Base::Linear && self.lookback + self.answered() > WIDEST_LINE {
            let must =
                format!("last or season where lookback and horizon are more than {WIDEST_LINE} together");
            return refuse("base", "linear".into(), must);
        }
        if !self.lookback.is_multiple_of(self.segment) {
            return refuse(
                "lookback",
                self.lookback.to_string(),
                format!("a multiple of the segment, {}", self.segment),
            );
        }
        if self.held_out < self.horizon || self.validation < self.horizon {
            let must = format!("at least the horizon, {}", self.horizon);
            return match self.held_out < self.horizon {
                true => refuse("held-out", self.held_out.to_string(), must),
                false => refuse("validation", self.validation.to_string(), must),
            };
        }
        if self.head == Head::NegativeBinomial && self.normalise == Normalise::Log {
            let must = "window or series where the head is negative-binomial, which works on counts".into();
            return refuse("normalise", "log".into(), must);
        }
        if self.base == Base::Season && self.season == 1 {
            return refuse("base", "season".into(), "last or linear where there is no season".into());
        }
        if !(self.clip.is_finite() && self.clip >= 0.0) {
            return refuse(
                "clip",
                self.clip.to_string(),
                "a finite number, not negative (0 = no clipping)".into(),
            );
        }
        if !(self.effort.is_finite() && self.effort > 0.0) {
            return refuse("effort", self.effort.to_string(), "a finite number above 0".into());
        }
        self.network().validate()?;
        Ok(self.optimizer(1)?.validate()?)
    }

    /// The network: an embedding if there is one, `layers` LSTM layers over past and future segments, and a head that
    /// answers each with the segment's values.
    #[must_use]
    pub fn network(&self) -> Network {
        let layer = LayerSpec::new(self.hidden).forget_bias(self.forget_bias).dropout(0.0, self.dropout);
        let network = Network::new(self.inputs());
        let network = if self.embedding > 0 { network.embed(self.embedding) } else { network };
        let network = (0..self.layers).fold(network, |network, _| network.layer(layer));
        network.head(Readout::Every, self.segment * self.parameters())
    }

    /// Numbers that the network says of each value.
    pub(super) fn parameters(&self) -> usize {
        self.head.answer().map_or(1, |answer| answer.parameters())
    }

    /// The same for as many steps as the network forecasts at once.
    pub(super) fn at_once(&self) -> Self {
        Self { horizon: self.block.unwrap_or(self.horizon), block: None, ..self.clone() }
    }

    /// Columns of a step: the values of a segment, how far ahead it lies, its covariates, whose it is.
    pub(super) fn inputs(&self) -> usize {
        self.segment * (1 + self.known + self.past) + 1 + self.fixed + self.told_apart
    }

    /// Steps that read the past.
    pub(super) fn past_steps(&self) -> usize {
        self.lookback / self.segment
    }

    /// Steps that answer.
    pub(super) fn future_steps(&self) -> usize {
        self.block.unwrap_or(self.horizon).div_ceil(self.segment)
    }

    /// All steps of a sequence.
    pub(super) fn all_steps(&self) -> usize {
        self.past_steps() + self.future_steps()
    }

    /// Rows that a target fills: whole segments.
    pub(super) fn answered(&self) -> usize {
        self.future_steps() * self.segment
    }

    /// The linear forecast of a window with these weights, `[lookback - 1, whole segments of the horizon]`; none
    /// where their number is another.
    #[must_use]
    pub fn linear(&self, weights: Vec<f64>) -> Option<Linear> {
        Linear::from_weights(self.lookback, self.answered(), weights)
    }

    pub(super) fn loss(&self) -> Loss {
        let kind = match self.loss {
            Aim::Huber => LossKind::Huber { delta: 0.5 },
            Aim::Mae => LossKind::Absolute,
            Aim::Mse => LossKind::Squared,
        };
        let weights = (0..self.all_steps()).map(|step| if step < self.past_steps() { 0.0 } else { 1.0 });
        let loss = self.head.answer().map_or_else(|| Loss::mean(kind), Loss::mean);
        Loss { step_weights: Some(weights.collect()), ..loss }
    }

    pub(super) fn optimizer(&self, steps: u64) -> Result<OptimizerConfig> {
        let config = match self.optimizer.as_str() {
            "adam" => OptimizerConfig::adam(self.lr),
            "adamw" => OptimizerConfig::adamw(self.lr),
            "sgd" => OptimizerConfig::sgd(self.lr),
            "rmsprop" => OptimizerConfig::rmsprop(self.lr),
            "adagrad" => OptimizerConfig::adagrad(self.lr),
            other => {
                return Err(Error::Invalid {
                    what: "optimizer",
                    value: other.to_owned(),
                    must: "adam, adamw, sgd, rmsprop or adagrad".into(),
                });
            }
        };
        let config = config.schedule(self.schedule.schedule(steps));
        Ok(if self.clip > 0.0 { config.clip_norm(self.clip) } else { config })
    }

    /// Steps between the values whose differences MASE is in units of.
    #[must_use]
    pub fn mase_season(&self) -> usize {
        self.mase_season.unwrap_or(self.season)
    }

    /// Rows that a forecast looks back on.
    #[must_use]
    pub fn reach(&self) -> usize {
        if self.base == Base::Season { self.lookback.max(self.season) } else { self.lookback }
    }

    /// Rows that some window covers.
    pub(super) fn span(&self) -> usize {
        self.reach() + self.horizon
    }

    /// Cuts a series of `rows` rows into training, validation and held-out part. A window belongs to the
    /// part that its targets lie in; its inputs may reach back.
    pub(super) fn parts_of(&self, rows: usize) -> Parts {
        let held = rows.saturating_sub(self.held_out);
        let check = held.saturating_sub(self.validation);
        Parts { train: 0..check, check: check..held, held: held..rows }
    }

    /// Makes sure that at least one series is long enough to train on.
    pub(super) fn parts(&self, panel: &[Member<'_>]) -> Result<()> {
        let rows = panel.iter().map(Member::rows).max().unwrap_or(0);
        let needed = self.reach() + self.answered() + self.validation + self.held_out;
        if rows < needed {
            let purpose = Purpose::Training { lookback: self.lookback, horizon: self.horizon };
            return Err(Error::TooShort { rows, needed, purpose });
        }
        Ok(())
    }

    /// Floating-point operations of a training step.
    pub(super) fn operations(&self) -> f64 {
        let (inputs, embedding, width) = (self.inputs() as f64, self.embedding as f64, self.hidden as f64);
        let read = if self.embedding > 0 { embedding } else { inputs };
        let below = |layer: usize| if layer == 0 { read } else { width };
        let per_row: f64 = (0..self.layers).map(|layer| 4.0 * (width + below(layer))).sum();
        let multiplied = (per_row + (self.segment * self.parameters()) as f64) * width + inputs * embedding;
        6.0 * multiplied * (self.all_steps() * self.batch) as f64
    }

    /// Optimizer steps of a fit over `windows` windows.
    pub(super) fn steps(&self, windows: usize) -> u64 {
        let affordable = (self.effort / self.operations()).max(50.0) as u64;
        let per_epoch = windows.div_ceil(self.batch) as u64;
        (self.epochs * per_epoch).min(affordable).max(1)
    }
}

const fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

const fn patient() -> u32 {
    12
}

/// The lookback with which the linear forecast errs least in the validation part: fitting it takes no time beside
/// training, and what helps it helps the network.
fn best_lookback(
    panel: &[Member<'_>],
    lookbacks: &[usize],
    (held_out, validation): (usize, usize),
    horizon: usize,
) -> Option<usize> {
    let error = |lookback| linear_error(panel, lookback, (held_out, validation), horizon);
    let errors = lookbacks.iter().filter_map(|lookback| Some((error(*lookback)?, *lookback)));
    errors.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, lookback)| lookback)
}

/// Makes sure that a series is one of counts, as the head [`Head::NegativeBinomial`] wants it.
///
/// # Errors
/// [`Error::Invalid`] that names the first row which holds no count.
pub fn refuse_unless_counts(member: &Member<'_>) -> Result<()> {
    let wrong = |row: &usize| {
        let value = member.values[*row];
        member.is_truth(*row) && value.is_finite() && (value < 0.0 || value.fract() != 0.0)
    };
    match (0..member.rows()).find(wrong) {
        None => Ok(()),
        Some(row) => Err(Error::Invalid {
            what: "head",
            value: "negative-binomial".into(),
            must: format!(
                "quantile, gaussian or student-t for a series that is no count, as this one, which holds {} in row {}",
                member.values[row],
                row + 1
            ),
        }),
    }
}

/// Whether there are so few rows that several networks are trained in no time, and need each other.
fn is_small(panel: &[Member<'_>]) -> bool {
    panel.iter().map(Member::rows).sum::<usize>() < 1000
}

/// Whether logarithms may say more: values above 0 of which the largest are several times the smallest, in all but the
/// last `hidden` rows of more than a quarter of the series.
fn is_proportional(panel: &[Member<'_>], hidden: usize) -> bool {
    const TIMES: f64 = 3.0;
    let bounds = |member: &Member<'_>| {
        let values = &member.values[..member.rows().saturating_sub(hidden)];
        values.iter().fold((f64::MAX, 0.0f64), |(low, high), value| (value.min(low), value.max(high)))
    };
    let bounds: Vec<(f64, f64)> = panel.iter().map(bounds).filter(|(low, high)| low <= high).collect();
    let wide = bounds.iter().filter(|(low, high)| *high >= TIMES * low).count();
    bounds.iter().all(|(low, _)| *low > 0.0) && 4 * wide > bounds.len()
}

/// Mean absolute error of seasonal naive forecasts `horizon` ahead in all but the last `hidden` rows, each
/// series in units of its own changes.
fn season_error(panel: &[Member<'_>], hidden: usize, season: usize, horizon: usize) -> f64 {
    let errors = panel.iter().filter_map(|member| {
        let values = &member.values[..member.rows().saturating_sub(hidden)];
        let (mut sum, mut count) = (0.0, 0usize);
        for h in 0..horizon {
            let lag = season * (h / season + 1);
            sum += values.iter().skip(lag).zip(values).map(|(now, before)| (now - before).abs()).sum::<f64>();
            count += values.len().saturating_sub(lag);
        }
        let changes: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
        let change = changes / values.len().saturating_sub(1) as f64;
        (count > 0 && change > 0.0).then(|| sum / count as f64 / change)
    });
    let (sum, count) = errors.fold((0.0, 0usize), |(sum, count), error| (sum + error, count + 1));
    if count == 0 { f64::INFINITY } else { sum / count as f64 }
}

/// What the rows of a series are wanted for; it decides what helps where they are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Windows of these sizes to train, validate and test on.
    Training {
        /// Rows that a window reads.
        lookback: usize,
        /// Rows that a window predicts.
        horizon: usize,
    },
    /// A forecast by a trained model, whose sizes are settled.
    Forecast,
    /// A comparison of a trained model's forecasts with what came.
    Evaluation {
        /// Rows that a forecast is held against.
        horizon: usize,
    },
}

impl Purpose {
    /// So many rows are needed, and what to do.
    pub(crate) fn needs(self, rows: usize) -> String {
        match self {
            Self::Training { lookback, horizon } => {
                let advice = match (lookback > 1, horizon > 1) {
                    (true, true) => "lower --lookback or --horizon, or give more rows",
                    (true, false) => "lower --lookback, or give more rows",
                    (false, true) => "lower --horizon, or give more rows",
                    (false, false) => "give more rows",
                };
                format!(
                    "a lookback of {lookback} and a horizon of {horizon} need {rows} to train, validate and test on; \
                     {advice}"
                )
            }
            Self::Forecast => {
                format!("the model needs the last {rows} rows before the forecast; give the history too")
            }
            Self::Evaluation { horizon } => format!(
                "the model needs the {} rows before a forecast and the {horizon} that it is held against, {rows} in \
                 all; give the history too",
                rows.saturating_sub(horizon)
            ),
        }
    }
}

/// Rows of a series by use.
pub(super) struct Parts {
    pub(super) train: Range<usize>,
    pub(super) check: Range<usize>,
    pub(super) held: Range<usize>,
}

//! A series in, a forecast with an honest comparison out.
//!
//! The network reads a window of `lookback` values and answers with the whole horizon at once. Each
//! window is normalised by itself, reversibly: with `last` its final value, `spread` its standard
//! deviation and `b[h]` what the base forecast (the last value, or the value one season before)
//! predicts for step `h`,
//!
//! ```text
//! input   (y[t] - last) / spread   and, with a season m, (y[t] - y[t - m]) / spread
//! target  (y[n + h] - b[h]) / spread
//! ```
//!
//! so that the network learns what the base forecast misses, at whatever level and size the series is.

use crate::baseline::{naive, seasonal_naive};
use crate::metrics::{Metrics, naive_scale};
use crate::{Error, Fit, FitConfig, Observe, Outcome, Result, Rows, SampleShape, Source, Stop, Validate};
use lstm_nn::{InferPass, Init, InitSpec, Loss, Model, Network, Readout};
use lstm_optim::{OptimizerConfig, Schedule};
use lstm_tensor::{Backend, Float, LayerSpec, LossKind};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Windows forecast at once outside training.
const CHUNK: usize = 256;
/// Training effort of one fit, in floating-point operations: a fixed number, so that the number of
/// steps follows from the configuration and never from the clock.
const EFFORT: f64 = 8e11;
/// Forecast values of a method that an evaluation holds at most.
const EVALUATED: usize = 2_000_000;
/// Share of outcomes that an interval should hold.
const COVERAGE: f64 = 0.8;

/// Everything that a forecast depends on besides the series; fully resolved, plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct ForecastConfig {
    /// Steps that are forecast.
    pub horizon: usize,
    /// Steps that a window reads.
    pub lookback: usize,
    /// Season of the seasonal naive forecast and of MASE, in steps; 1 = none.
    pub season: usize,
    /// Season of the base forecast that the network corrects, in steps; 1 = the last value.
    pub base: usize,
    /// Hidden units of each layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Dropout on the output of each layer.
    pub dropout: f64,
    /// Forget bias, added at run time.
    pub forget_bias: f64,
    /// Optimizer: `adam`, `adamw`, `sgd`, `rmsprop` or `adagrad`.
    pub optimizer: String,
    /// Learning rate, falling to 0 along a cosine.
    pub lr: f64,
    /// Bound on the gradient's norm; 0 = none.
    pub clip: f64,
    /// Samples of a step.
    pub batch: usize,
    /// Passes over the training windows at most.
    pub epochs: u64,
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
    pub lookback: Option<usize>,
    /// See [`ForecastConfig`].
    pub season: Option<usize>,
    /// See [`ForecastConfig`].
    pub base: Option<usize>,
    /// See [`ForecastConfig`].
    pub hidden: Option<usize>,
    /// See [`ForecastConfig`].
    pub layers: Option<usize>,
    /// See [`ForecastConfig`].
    pub dropout: Option<f64>,
    /// See [`ForecastConfig`].
    pub forget_bias: Option<f64>,
    /// See [`ForecastConfig`].
    pub optimizer: Option<String>,
    /// See [`ForecastConfig`].
    pub lr: Option<f64>,
    /// See [`ForecastConfig`].
    pub clip: Option<f64>,
    /// See [`ForecastConfig`].
    pub batch: Option<usize>,
    /// See [`ForecastConfig`].
    pub epochs: Option<u64>,
    /// See [`ForecastConfig`].
    pub seed: Option<u64>,
}

impl ForecastConfig {
    /// Fills in what the user left open. `seasons` are the candidates that the step suggests, shortest
    /// first; the one whose seasonal naive forecast errs least on the training part is taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible settings, [`Error::TooShort`] where no window fits.
    pub fn resolve(choices: &ForecastChoices, seasons: &[usize], values: &[f64]) -> Result<Self> {
        let rows = values.len();
        let fits = |season: &usize| *season > 1 && 4 * *season <= rows;
        let candidates: Vec<usize> = seasons.iter().copied().filter(fits).collect();
        let shortest = candidates.first().copied().unwrap_or(1);
        let horizon = choices.horizon.unwrap_or_else(|| match shortest {
            1 => (rows / 10).clamp(1, 24),
            season => season.min(96),
        });
        // Seasons are compared on rows that lie before every validation and held-out row.
        let held = (rows / 6).max(horizon);
        let seen = &values[..rows.saturating_sub(held + (held / 2).max(horizon))];
        let error = |season: usize| season_error(seen, season, horizon);
        let best_of = |list: &[usize]| list.iter().copied().min_by(|&a, &b| error(a).total_cmp(&error(b)));
        let season = choices.season.or_else(|| best_of(&candidates)).unwrap_or(1).max(1);
        let base = choices.base.or_else(|| best_of(&[1, season])).unwrap_or(1);
        let lookback = choices.lookback.unwrap_or_else(|| {
            let natural = if shortest > 1 { (2 * shortest).clamp(16, 128) } else { 32 };
            let room = rows.saturating_sub(if base > 1 { base } else { 0 });
            natural.min((room / 4).max(1))
        });
        let config = Self {
            horizon,
            lookback,
            season,
            base,
            hidden: choices.hidden.unwrap_or(if rows < 1000 { 32 } else { 64 }),
            layers: choices.layers.unwrap_or(1),
            dropout: choices.dropout.unwrap_or(if rows < 1000 { 0.2 } else { 0.0 }),
            forget_bias: choices.forget_bias.unwrap_or(1.0),
            optimizer: choices.optimizer.clone().unwrap_or_else(|| "adam".into()),
            lr: choices.lr.unwrap_or(3e-3),
            clip: choices.clip.unwrap_or(1.0),
            batch: choices.batch.unwrap_or(if rows < 1000 { 16 } else { 64 }),
            epochs: choices.epochs.unwrap_or(200),
            seed: choices.seed.unwrap_or(1),
        };
        config.validate()?;
        config.parts(rows)?;
        Ok(config)
    }

    /// Checks sizes, the optimizer and the network.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let range = |what, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::Invalid { what, value: value.to_string(), must: format!("from 1 to {most}") })
        };
        range("horizon", self.horizon, 100_000)?;
        range("lookback", self.lookback, 1_000_000)?;
        range("season", self.season, 1_000_000)?;
        range("base", self.base, 1_000_000)?;
        range("hidden", self.hidden, 1 << 14)?;
        range("layers", self.layers, 64)?;
        range("batch", self.batch, 1 << 20)?;
        range("epochs", usize::try_from(self.epochs).unwrap_or(usize::MAX), 1_000_000)?;
        if !(self.clip.is_finite() && self.clip >= 0.0) {
            return Err(Error::Invalid {
                what: "clip",
                value: self.clip.to_string(),
                must: "a finite number, not negative (0 = no clipping)".into(),
            });
        }
        self.network().validate()?;
        Ok(self.optimizer(1)?.validate()?)
    }

    /// The network: `layers` LSTM layers and a head that answers with the whole horizon.
    #[must_use]
    pub fn network(&self) -> Network {
        let layer = LayerSpec::new(self.hidden).forget_bias(self.forget_bias).dropout(0.0, self.dropout);
        let inputs = if self.base > 1 { 2 } else { 1 };
        let network = (0..self.layers).fold(Network::new(inputs), |network, _| network.layer(layer));
        network.head(Readout::Last, self.horizon)
    }

    fn optimizer(&self, steps: u64) -> Result<OptimizerConfig> {
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
        let config = config.schedule(Schedule::Cosine { period: steps, minimum: 0.0 });
        Ok(if self.clip > 0.0 { config.clip_norm(self.clip) } else { config })
    }

    /// Rows before a window that its inputs refer to.
    fn reach(&self) -> usize {
        if self.base > 1 { self.base } else { 0 }
    }

    /// Rows that a forecast reads: its window, and those before that its inputs refer to.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.reach() + self.lookback
    }

    /// Rows that a window covers, its references included.
    fn span(&self) -> usize {
        self.needed() + self.horizon
    }

    /// Cuts `rows` rows into training, validation and held-out part. A window belongs to the part that
    /// its targets lie in; its inputs may reach back.
    fn parts(&self, rows: usize) -> Result<Parts> {
        let most = (10 * self.horizon.max(self.season)).max(500);
        let held = (rows / 6).clamp(self.horizon, most);
        let check = (held / 2).max(self.horizon);
        let needed = self.span() + check + held;
        if rows < needed {
            let purpose = Purpose::Training { lookback: self.lookback, horizon: self.horizon };
            return Err(Error::TooShort { rows, needed, purpose });
        }
        Ok(Parts {
            train: 0..rows - held - check,
            check: rows - held - check..rows - held,
            held: rows - held..rows,
        })
    }

    /// Optimizer steps of a fit over `windows` windows.
    fn steps(&self, windows: usize) -> u64 {
        let width = self.hidden as f64;
        let per_row: f64 = (0..self.layers).map(|l| if l == 0 { width + 2.0 } else { 2.0 * width }).sum();
        let per_step = 24.0 * width * per_row * (self.lookback * self.batch) as f64;
        let affordable = (EFFORT / per_step).max(50.0) as u64;
        let per_epoch = windows.div_ceil(self.batch) as u64;
        (self.epochs * per_epoch).min(affordable).max(1)
    }
}

/// Mean absolute error of seasonal naive forecasts `horizon` ahead inside `values`.
fn season_error(values: &[f64], season: usize, horizon: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for h in 0..horizon {
        let lag = season * (h / season + 1);
        for t in lag..values.len() {
            sum += (values[t] - values[t - lag]).abs();
        }
        count += values.len().saturating_sub(lag);
    }
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
struct Parts {
    train: Range<usize>,
    check: Range<usize>,
    held: Range<usize>,
}

/// Windows of a series, by the row behind their inputs (the first row they predict).
struct Windowed<'a> {
    values: &'a [f64],
    config: &'a ForecastConfig,
    /// First row that may be predicted, and how many windows there are from there on.
    first: usize,
    count: usize,
}

impl<'a> Windowed<'a> {
    /// Windows whose targets lie in `rows`.
    fn new(values: &'a [f64], config: &'a ForecastConfig, rows: Range<usize>) -> Self {
        let first = rows.start.max(config.reach() + config.lookback);
        let count = (rows.end + 1).saturating_sub(first + config.horizon);
        Self { values, config, first, count }
    }

    /// Standard deviation of the window before `row`; a flat window must not blow up.
    fn spread(&self, row: usize) -> f64 {
        let window = &self.values[row - self.config.lookback..row];
        let n = window.len() as f64;
        // Divided by the largest value first, whose square may not be a number.
        let largest = window.iter().fold(f64::MIN_POSITIVE, |largest, v| v.abs().max(largest));
        let mean = window.iter().map(|v| v / largest).sum::<f64>() / n;
        let variance = window.iter().map(|v| (v / largest - mean).powi(2)).sum::<f64>() / n;
        (variance.sqrt().max(1e-6 * mean.abs()) * largest).max(1e-12)
    }

    fn base(&self, row: usize) -> Vec<f64> {
        seasonal_naive(&self.values[..row], self.config.base, self.config.horizon)
    }

    /// Inputs of the windows before `rows`, `[T, B, I]`.
    fn inputs<F: Float>(&self, rows: &[usize], x: &mut [F]) {
        let (batch, lookback, base) = (rows.len(), self.config.lookback, self.config.base);
        let width = if base > 1 { 2 } else { 1 };
        for (b, &row) in rows.iter().enumerate() {
            let (last, scale) = (self.values[row - 1], 1.0 / self.spread(row));
            for t in 0..lookback {
                let at = row - lookback + t;
                let cell = &mut x[(t * batch + b) * width..][..width];
                cell[0] = F::from_f64((self.values[at] - last) * scale);
                if base > 1 {
                    cell[1] = F::from_f64((self.values[at] - self.values[at - base]) * scale);
                }
            }
        }
    }

    fn rows(&self, indices: &[usize]) -> Vec<usize> {
        indices.iter().map(|index| self.first + index).collect()
    }
}

impl<F: Float> Source<F> for Windowed<'_> {
    fn shape(&self) -> SampleShape {
        let inputs = if self.config.base > 1 { 2 } else { 1 };
        SampleShape { steps: self.config.lookback, inputs, targets: self.config.horizon }
    }

    fn samples(&self) -> Option<usize> {
        Some(self.count)
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        let Rows::Chosen(indices) = rows else {
            return Err(Error::Invalid { what: "rows", value: "fresh".into(), must: "chosen".into() });
        };
        let rows = self.rows(indices);
        self.inputs(&rows, x);
        for (target, &row) in y.chunks_exact_mut(self.config.horizon).zip(&rows) {
            let scale = 1.0 / self.spread(row);
            for ((target, base), actual) in target.iter_mut().zip(self.base(row)).zip(&self.values[row..]) {
                *target = F::from_f64((actual - base) * scale);
            }
        }
        Ok(())
    }
}

/// How far 80 % of held-out forecasts were off at most, per step of the horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Half the width of the interval around a forecast, one per step of the horizon.
    pub half_width: Vec<f64>,
}

impl Interval {
    /// Split conformal prediction (Lei and others 2018): with `n` held-out errors, the absolute error of
    /// rank `ceil(0.8 (n + 1))`, or the largest. `residuals [windows, horizon]`; the steps are pooled
    /// where there are fewer than 30 windows.
    fn new(residuals: &[f64], horizon: usize) -> Self {
        let rank_error = |errors: &mut Vec<f64>| {
            errors.sort_by(f64::total_cmp);
            let rank = (COVERAGE * (errors.len() + 1) as f64).ceil() as usize;
            errors.get(rank.min(errors.len()).saturating_sub(1)).copied().unwrap_or(0.0)
        };
        let sizes = residuals.iter().map(|r| r.abs());
        if residuals.len() / horizon < 30 {
            return Self { half_width: vec![rank_error(&mut sizes.collect()); horizon] };
        }
        let step = |h: usize| rank_error(&mut sizes.clone().skip(h).step_by(horizon).collect());
        Self { half_width: (0..horizon).map(step).collect() }
    }
}

/// One forecasting method on the held-out part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `lstm`, `naive` or `seasonal-naive`.
    pub method: String,
    /// Errors over all held-out windows.
    pub metrics: Metrics,
    /// Spread of its errors.
    pub interval: Interval,
}

/// What the held-out part says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The LSTM first, then the baselines.
    pub scores: Vec<Score>,
    /// First row of the held-out part.
    pub first_row: usize,
    /// Held-out windows.
    pub windows: usize,
    /// The LSTM's forecast of the last held-out window.
    pub last_forecast: Vec<f64>,
    /// Optimizer steps of the best validation.
    pub best_step: u64,
    /// Training windows.
    pub train_windows: usize,
}

impl Evaluation {
    /// The method with the smallest mean absolute error.
    #[must_use]
    pub fn winner(&self) -> Option<&Score> {
        self.scores.iter().min_by(|a, b| a.metrics.mae.total_cmp(&b.metrics.mae))
    }

    /// The score of a method.
    #[must_use]
    pub fn score(&self, method: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.method == method)
    }
}

/// A model that forecasts one series.
pub struct Forecaster<B: Backend, F: Float> {
    /// Settings.
    pub config: ForecastConfig,
    /// The network.
    pub model: Model<B, F>,
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// Trains on all but the held-out part, with early stopping on the validation part, and measures
    /// itself and the baselines on the held-out part. `observe` is called after every step.
    ///
    /// # Errors
    /// [`Error::TooShort`] and those of the backend. Divergence is an [`Outcome`], with the last good model.
    pub fn hold_out(
        backend: &B,
        config: ForecastConfig,
        values: &[f64],
        observe: Observe<'_>,
    ) -> Result<(Self, Evaluation, Outcome)> {
        let parts = config.parts(values.len())?;
        let train = Windowed::new(values, &config, parts.train.clone());
        let check = Windowed::new(values, &config, parts.check.clone());
        let checked: Vec<usize> = (0..check.count).step_by(check.count.div_ceil(CHUNK)).collect();
        let mut target = vec![F::ZERO; checked.len() * config.horizon];
        let mut inputs = vec![F::ZERO; checked.len() * config.lookback * if config.base > 1 { 2 } else { 1 }];
        check.fill(Rows::Chosen(&checked), &mut inputs, &mut target)?;
        let mut out = Vec::new();
        let mut pass: Option<InferPass<B, F>> = None;
        let mut validate = |backend: &B, model: &Model<B, F>| -> Result<f64> {
            let pass = match &mut pass {
                Some(pass) => pass,
                none => none.insert(InferPass::new(backend, model, config.lookback, checked.len())?),
            };
            pass.predict(backend, model, &inputs, None, &mut out)?;
            let errors = out.iter().zip(&target).map(|(f, y)| (f.to_f64() - y.to_f64()).abs());
            Ok(errors.sum::<f64>() / target.len() as f64)
        };
        let steps = config.steps(train.count);
        let (forecaster, outcome, best_step) =
            Self::fit(backend, &config, &train, steps, steps, Some(&mut validate), observe)?;
        let evaluation = forecaster.evaluate_part(backend, values, parts.held, best_step, train.count)?;
        Ok((forecaster, evaluation, outcome))
    }

    /// Trains on the whole series, for as many steps as served best in [`Forecaster::hold_out`].
    ///
    /// # Errors
    /// As [`Forecaster::hold_out`].
    pub fn fit_all(
        backend: &B,
        config: ForecastConfig,
        values: &[f64],
        evaluation: &Evaluation,
        observe: Observe<'_>,
    ) -> Result<(Self, Outcome)> {
        let all = Windowed::new(values, &config, 0..values.len());
        let planned = config.steps(evaluation.train_windows);
        let steps = evaluation.best_step.max(1);
        let (forecaster, outcome, _) = Self::fit(backend, &config, &all, steps, planned, None, observe)?;
        Ok((forecaster, outcome))
    }

    fn fit(
        backend: &B,
        config: &ForecastConfig,
        source: &Windowed<'_>,
        steps: u64,
        planned: u64,
        validate: Option<Validate<'_, B, F>>,
        observe: Observe<'_>,
    ) -> Result<(Self, Outcome, u64)> {
        let init = InitSpec {
            recurrent: Init::Orthogonal,
            input: Init::Glorot,
            bias: Init::Zeros,
            ..InitSpec::tf1()
        };
        let init = InitSpec { head_weight: Init::Torch, ..init };
        let model = Model::new(backend, config.network(), &init, config.seed)?;
        let mut fit_config = FitConfig::new(config.batch, config.optimizer(planned)?, Stop::after(steps));
        fit_config.loss = Loss::mean(LossKind::Huber { delta: 0.5 });
        fit_config.check_every = (planned / 40).clamp(1, 100);
        fit_config.stop.patience = validate.is_some().then_some(12);
        fit_config.seed = config.seed;
        let mut fit = Fit::new(backend, model, source, fit_config)?;
        let outcome = match fit.run(validate, observe) {
            // The weights from before are worth keeping, so this is no error here.
            Err(Error::Diverged { step, .. }) => Outcome::Diverged { step },
            outcome => outcome?,
        };
        let best_step = fit.best().map_or(fit.steps(), |best| best.step);
        Ok((Self { config: config.clone(), model: fit.into_model()? }, outcome, best_step))
    }

    /// Forecasts the horizon behind `history`, in the series' unit.
    ///
    /// # Errors
    /// [`Error::TooShort`] where `history` is shorter than a window needs.
    pub fn forecast(&self, backend: &B, history: &[f64]) -> Result<Vec<f64>> {
        let needed = self.config.needed();
        if history.len() < needed {
            return Err(Error::TooShort { rows: history.len(), needed, purpose: Purpose::Forecast });
        }
        self.forecast_at(backend, history, &[history.len()])
    }

    /// Forecasts from several rows of a series, `[rows, horizon]`; each sees only what lies before it.
    pub(crate) fn forecast_at(&self, backend: &B, values: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        let config = &self.config;
        let windows = Windowed::new(values, config, 0..values.len());
        let width = config.network().inputs();
        let chunk = rows.len().min(CHUNK);
        let mut pass = InferPass::new(backend, &self.model, config.lookback, chunk)?;
        let mut x = vec![F::ZERO; chunk * config.lookback * width];
        let (mut out, mut forecasts) = (Vec::new(), Vec::with_capacity(rows.len() * config.horizon));
        for part in rows.chunks(chunk.max(1)) {
            // The last chunk is filled up with copies of its last row, so that one pass serves all.
            let mut padded = part.to_vec();
            padded.resize(chunk, part[part.len() - 1]);
            windows.inputs(&padded, &mut x);
            pass.predict(backend, &self.model, &x, None, &mut out)?;
            for (&row, out) in part.iter().zip(out.chunks_exact(config.horizon)) {
                let spread = windows.spread(row);
                let base = windows.base(row);
                forecasts.extend(out.iter().zip(base).map(|(f, b)| b + f.to_f64() * spread));
            }
        }
        if forecasts.iter().any(|f| !f.is_finite()) {
            return Err(Error::TooLarge);
        }
        Ok(forecasts)
    }

    /// Measures the model and the baselines on all windows whose targets lie behind the first
    /// `first_row` rows of `values`.
    ///
    /// # Errors
    /// [`Error::TooShort`] where no window fits.
    pub fn evaluate(&self, backend: &B, values: &[f64], first_row: usize) -> Result<Evaluation> {
        self.evaluate_part(backend, values, first_row..values.len(), 0, 0)
    }

    fn evaluate_part(
        &self,
        backend: &B,
        values: &[f64],
        part: Range<usize>,
        best_step: u64,
        train_windows: usize,
    ) -> Result<Evaluation> {
        let config = &self.config;
        let windows = Windowed::new(values, config, part);
        if windows.count == 0 {
            let purpose = Purpose::Evaluation { horizon: config.horizon };
            return Err(Error::TooShort { rows: values.len(), needed: config.span(), purpose });
        }
        // Long series are measured on evenly spaced windows, so that memory stays bounded.
        let most = (EVALUATED / config.horizon).max(30);
        let step = windows.count.div_ceil(most);
        // The last window is always among them.
        let rows: Vec<usize> =
            (0..windows.count).rev().step_by(step).map(|i| windows.first + i).rev().collect();
        let actual: Vec<f64> =
            rows.iter().flat_map(|&row| &values[row..row + config.horizon]).copied().collect();
        let scale = naive_scale(&values[..windows.first], config.season);
        let lstm = self.forecast_at(backend, values, &rows)?;
        let baseline = |forecast: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<f64> {
            rows.iter().flat_map(|&row| forecast(&values[..row])).collect()
        };
        let mut methods =
            vec![("lstm", lstm.clone()), ("naive", baseline(&|history| naive(history, config.horizon)))];
        if config.season > 1 {
            let seasonal = baseline(&|history| seasonal_naive(history, config.season, config.horizon));
            methods.push(("seasonal-naive", seasonal));
        }
        let scores = methods.into_iter().map(|(method, forecasts)| {
            let residuals: Vec<f64> = actual.iter().zip(&forecasts).map(|(y, f)| y - f).collect();
            Score {
                method: method.to_owned(),
                metrics: Metrics::new(&actual, &forecasts, scale),
                interval: Interval::new(&residuals, config.horizon),
            }
        });
        Ok(Evaluation {
            scores: scores.collect(),
            first_row: windows.first,
            windows: rows.len(),
            last_forecast: lstm[lstm.len() - config.horizon..].to_vec(),
            best_step,
            train_windows,
        })
    }
}

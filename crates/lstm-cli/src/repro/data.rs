//! What an experiment learns from and what is measured of it: one description for each kind of data.

use lstm_data::Sequences;
use lstm_data::generate::{Draw, Formula, Grid, RandomSine, ShiftedSine, TableSpec, TimeInput, randint};
use lstm_tensor::philox::{Philox, Purpose};
use serde::Deserialize;

use crate::failure::Result;

/// What is learnt and how it is judged.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Data {
    /// Random windows of one series, then a forecast that is fed with itself.
    Series {
        formula: Formula,
        /// Values that a prediction is made from.
        lookback: usize,
        /// Steps of the forecast.
        forecast: usize,
    },
    /// Sequences written out, with a target at every step.
    Sequences {
        train: TableSpec,
        test: TableSpec,
        /// How many steps back the influence of an input is measured, step 0 included.
        lags: usize,
    },
    /// Sines drawn anew for every batch.
    Sines(Sines),
    /// Clock times drawn anew for every batch.
    Times(Times),
    /// A series written out.
    Values(Values),
    /// One sine from many starting points.
    Waves(Waves),
}

/// Sines drawn anew for every batch, whose next samples are predicted as a block.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Sines {
    pub(super) generator: RandomSine,
    /// Fresh sequences of the generator that the error is measured on.
    pub(super) test: usize,
    /// Frequencies in hertz that are drawn, and measured alone.
    pub(super) frequencies: Vec<f64>,
    /// Frequencies in hertz that the error is measured at for a curve.
    pub(super) sweep: Grid,
    /// Fresh sequences of each such frequency.
    pub(super) each: usize,
}

/// Clock times drawn anew for every batch, of which a sine is predicted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Times {
    pub(super) generator: TimeInput,
    /// Fresh sequences of the generator that the errors are measured on.
    pub(super) test: usize,
    /// The first time of the sequence whose outputs are shown.
    pub(super) shown: f64,
    /// Steps of a test sequence: the generator's, or more.
    pub(super) longest: usize,
}

/// A series written out, cut into a training part and a test part; at every step of a window the next value is
/// predicted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Values {
    /// What the values are, for the picture.
    pub(super) unit: String,
    pub(super) values: Vec<f64>,
    /// Values of the training part; the rest is for testing.
    pub(super) train: usize,
    /// Steps of a window.
    pub(super) lookback: usize,
    /// Windows at the end of each part that are not used.
    #[serde(default)]
    pub(super) leave_out: usize,
    /// The part whose mean and standard deviation the values are scaled with.
    pub(super) scale_on: ScaleOn,
    /// Steps of the forecast that is fed with itself, from the end of the training part.
    pub(super) forecast: usize,
    /// Steps after which the naive forecast repeats itself.
    pub(super) season: usize,
}

/// One sine from many starting points; at every step the next value is predicted, and behind the end of the test
/// sequences the network is fed with its own predictions.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Waves {
    /// Values of a sequence, one more than the steps that are read.
    pub(super) length: usize,
    /// What the position is divided by.
    scale: f64,
    shifts: Shifts,
    /// Sequences at the beginning that are for testing; the rest is trained on.
    pub(super) test: usize,
    /// Steps of the forecast that is fed with itself.
    pub(super) forecast: usize,
}

/// Where the sequences begin: numbers of numpy's `randint(-within, within)`, whatever the seed of a run.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Shifts {
    numpy_seed: u32,
    within: i32,
    count: usize,
}

/// What mean and standard deviation are taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ScaleOn {
    /// The training part.
    Train,
    /// All values: what is to be predicted leaks into what is read.
    All,
}

/// Figures of every experiment on a formula's series; with noise there are more.
const OF_SERIES: [&str; 8] = [
    "free-run-mse",
    "mean-mse",
    "skill",
    "forecast-deviation",
    "forecast-highest",
    "forecast-lowest",
    "last-logged-loss",
    "final-loss",
];
/// Figures of an experiment on a series with noise: what stands beside the loss.
const OF_NOISE: [&str; 2] = ["noise-floor", "drawn-mse"];
/// Figures of every experiment on sequences, besides a weight for each lag.
const OF_SEQUENCES: [&str; 5] =
    ["final-loss", "last-logged-loss", "test-mse", "worst-test-error", "reload-mismatches"];
/// Figures of every experiment on drawn sines, besides an error for each frequency.
const OF_SINES: [&str; 9] = [
    "last-logged-loss",
    "last-logged-mse",
    "best-logged-mse",
    "logged-swing",
    "final-loss",
    "samples",
    "target-reached",
    "good-from-hz",
    "good-to-hz",
];
/// Figures of every experiment on clock times.
const OF_TIMES: [&str; 6] =
    ["last-step-mse", "first-step-mse", "every-step-mse", "longer-mse", "last-logged-loss", "final-loss"];
/// Figures of every experiment on a series written out.
const OF_VALUES: [&str; 9] = [
    "test-mse",
    "test-mse-on-train-scale",
    "best-step",
    "one-step-rmse",
    "naive-one-step-rmse",
    "free-run-rmse",
    "naive-free-run-rmse",
    "last-logged-loss",
    "final-loss",
];

/// Figures of every experiment on one sine from many starting points.
const OF_WAVES: [&str; 8] = [
    "free-run-mse",
    "test-mse",
    "least-test-mse",
    "least-free-run-mse",
    "diverged",
    "diverged-at",
    "evaluations",
    "last-logged-loss",
];

impl Data {
    /// The figures that a run gives, the one that seeds are ordered by first.
    pub(super) fn figure_names(&self) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self {
            Data::Series { formula, .. } if formula.noise == 0.0 => owned(&OF_SERIES),
            Data::Series { .. } => [owned(&OF_SERIES), owned(&OF_NOISE)].concat(),
            Data::Sequences { lags, .. } => {
                let weights = (0..*lags).map(weight_lag);
                owned(&OF_SEQUENCES).into_iter().chain(weights).collect()
            }
            Data::Sines(sines) => {
                let alone = sines.frequencies.iter().map(|hertz| mse_at(*hertz));
                std::iter::once("test-mse".to_owned()).chain(alone).chain(owned(&OF_SINES)).collect()
            }
            Data::Times(_) => owned(&OF_TIMES),
            Data::Values(_) => owned(&OF_VALUES),
            Data::Waves(_) => owned(&OF_WAVES),
        }
    }

    /// Samples of a finite set that is trained on as it is; none of others.
    pub(super) fn samples(&self) -> Option<usize> {
        match self {
            Data::Sequences { train, .. } => Some(train.inputs.len()),
            Data::Waves(waves) => Some(waves.shifts.count - waves.test),
            Data::Series { .. } | Data::Sines(_) | Data::Times(_) | Data::Values(_) => None,
        }
    }

    /// Steps of the sequences where each of them has a target and they are all alike.
    pub(super) fn steps(&self) -> Option<usize> {
        match self {
            Data::Waves(waves) => Some(waves.length - 1),
            _ => None,
        }
    }

    /// Says what is wrong with it: the key, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        match self {
            // The lists of a table and the numbers of a formula are checked where they are made.
            Data::Series { .. } | Data::Sequences { .. } => None,
            Data::Sines(sines) => sines.fault(),
            Data::Times(times) => times.fault(),
            Data::Values(values) => values.fault(),
            Data::Waves(waves) => waves.fault(),
        }
    }
}

/// What a generator refuses, if it does.
fn refused(generator: &impl Draw) -> Option<(&'static str, String)> {
    let error = generator.draw(1, &mut Philox::new(0, Purpose::Data, 0)).err()?;
    Some(("generator", error.to_string()))
}

impl Sines {
    fn fault(&self) -> Option<(&'static str, String)> {
        let zero = [("test", self.test), ("each", self.each), ("points", self.sweep.points)];
        let zero = zero.into_iter().find(|(_, count)| *count == 0);
        refused(&self.generator).or(zero.map(|(key, _)| (key, "must be at least 1".into())))
    }
}

impl Times {
    /// Times that are read and labels of the sequence whose outputs are shown.
    pub(super) fn shown(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let whole = TimeInput { every_step: true, inputs: self.longest, ..self.generator };
        let one = whole.at(&[self.shown])?;
        Ok((one.inputs.into_iter().collect(), one.targets.into_iter().collect()))
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let few = (self.test == 0).then(|| ("test", "must be at least 1".into()));
        let short = (self.longest < self.generator.inputs)
            .then(|| ("longest", format!("must be at least {}, the steps read", self.generator.inputs)));
        refused(&self.generator).or(few).or(short)
    }
}

impl Values {
    /// Windows of a part of `rows` values that are used.
    pub(super) fn windows(&self, rows: usize) -> usize {
        rows.saturating_sub(self.lookback + self.leave_out)
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let (all, rows) = (self.values.len(), |rows| self.windows(rows));
        let test = all.saturating_sub(self.train);
        match () {
            () if self.lookback == 0 => Some(("lookback", "must be at least 1".into())),
            () if self.train > all || rows(self.train) == 0 || rows(test) == 0 => {
                Some(("train", "leaves no window in one of the two parts".into()))
            }
            () if self.forecast == 0 || self.forecast > test => {
                Some(("forecast", format!("must be from 1 to {test}, the values behind the training part")))
            }
            () if self.season == 0 || self.season > self.train => {
                Some(("season", format!("must be from 1 to {}, the values of the training part", self.train)))
            }
            () => None,
        }
    }
}

impl Waves {
    /// The sequences that are trained on.
    pub(super) fn train(&self) -> Result<Sequences> {
        let shifts = self.shifts().split_off(self.test);
        Ok(ShiftedSine { length: self.length, scale: self.scale, shifts }.make()?)
    }

    /// The sequences for testing, going on to the end of the forecast.
    pub(super) fn test(&self) -> Result<Sequences> {
        let mut shifts = self.shifts();
        shifts.truncate(self.test);
        Ok(ShiftedSine { length: self.length + self.forecast, scale: self.scale, shifts }.make()?)
    }

    fn shifts(&self) -> Vec<f64> {
        let Shifts { numpy_seed, within, count } = self.shifts;
        randint(numpy_seed, within.saturating_neg(), within, count).into_iter().map(f64::from).collect()
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let count = self.shifts.count;
        if self.test == 0 || self.test >= count {
            return Some((
                "test",
                format!("must be from 1 to {}, one less than count", count.saturating_sub(1)),
            ));
        }
        let failed = self.train().and_then(|_| self.test()).err()?;
        Some(("data", failed.to_string()))
    }
}

/// The figure that says how much an output depends on the input `lag` steps back.
pub(super) fn weight_lag(lag: usize) -> String {
    format!("weight-lag-{lag}")
}

/// The figure of the error at one frequency.
pub(super) fn mse_at(hertz: f64) -> String {
    format!("test-mse-{hertz}-hz")
}

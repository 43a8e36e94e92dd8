//! What an experiment is: one TOML file with data, network, training, and what it is held against.

use std::collections::BTreeMap;

use lstm_data::generate::{Formula, TableSpec};
use lstm_nn::{InitSpec, Loss, Network, Readout};
use lstm_optim::OptimizerConfig;
use lstm_tensor::{Bias, LayerSpec};
use lstm_train::{FitConfig, Stop};
use serde::Deserialize;

use super::document::{Document, Result};

/// One experiment, as its file says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Experiment {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(super) name: String,
    /// What the file says of all that decides the result.
    #[serde(skip)]
    settings: toml::Table,
    /// A few words.
    pub(super) title: String,
    /// The seed program that it comes from.
    pub(super) program: String,
    pub(super) data: Data,
    pub(super) network: Net,
    pub(super) init: InitSpec,
    pub(super) training: Training,
    /// What was published, what PyTorch gives, and what is wanted of our median, by figure.
    #[serde(default)]
    pub(super) figures: BTreeMap<String, Expected>,
}

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
}

/// Equal layers and a linear head.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Net {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) bias: Bias,
    pub(super) forget_bias: f64,
    pub(super) dropout: f64,
    pub(super) readout: Readout,
    pub(super) outputs: usize,
    /// How many numbers are learnt: a check on all that stands above.
    pub(super) parameters: usize,
}

impl Net {
    pub(super) fn network(&self) -> Network {
        let layer = LayerSpec::new(self.hidden)
            .bias(self.bias)
            .forget_bias(self.forget_bias)
            .dropout(self.dropout, self.dropout);
        let stack = (0..self.layers).fold(Network::new(1), |network, _| network.layer(layer));
        stack.head(self.readout, self.outputs)
    }
}

/// How it is trained.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Training {
    pub(super) batch: usize,
    #[serde(default)]
    pub(super) shuffle: bool,
    pub(super) loss: Loss,
    pub(super) optimizer: OptimizerConfig,
    pub(super) stop: Stop,
    /// Steps from one kept loss to the next, from step 0.
    pub(super) log_every: u64,
}

impl Training {
    pub(super) fn config(&self, seed: u64) -> FitConfig {
        let mut config = FitConfig::new(self.batch, self.optimizer.clone(), self.stop);
        config.loss = self.loss.clone();
        config.shuffle = self.shuffle;
        config.seed = seed;
        // Each step's loss is looked at, so that those can be kept that the original printed.
        config.check_every = 1;
        config
    }
}

/// What a figure is held against.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Expected {
    /// What the original reports, a single draw.
    pub(super) published: Option<String>,
    /// What PyTorch gives on the same experiment, seed by seed or at least the ends of its range.
    #[serde(default)]
    pub(super) pytorch: Vec<f64>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl Expected {
    /// What is wanted of the median: the bounds of the file, or else "within or below PyTorch's range".
    pub(super) fn target(&self) -> Option<Target> {
        let target = Target { at_least: self.at_least, at_most: self.at_most };
        if target != Target::default() {
            return Some(target);
        }
        let worst = self.pytorch.iter().copied().reduce(f64::max)?;
        Some(Target { at_most: Some(worst), ..target })
    }
}

/// Bounds, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Target {
    pub(super) at_least: Option<f64>,
    pub(super) at_most: Option<f64>,
}

impl Target {
    pub(super) fn holds(&self, value: f64) -> bool {
        self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most)
    }
}

/// Figures of every experiment on a series; with noise there are more.
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

impl Experiment {
    /// Reads an experiment; `place` is what messages call the file.
    pub(super) fn parse(name: &str, place: &str, text: &str) -> Result<Self> {
        let document = Document { place, text };
        let mut settings: toml::Table = document.read()?;
        settings.retain(|key, _| ["data", "network", "init", "training"].contains(&key));
        let experiment = Experiment { name: name.to_owned(), settings, ..document.read()? };
        let known = experiment.figure_names();
        for figure in experiment.figures.keys() {
            document.known("figure", figure, known.iter().map(String::as_str))?;
        }
        let network = experiment.network.network();
        network.validate().map_err(|error| document.wrong("network", &error.to_string()))?;
        let held =
            network.param_layout().entries().iter().map(|e| e.shape.iter().product::<usize>()).sum::<usize>();
        if held != experiment.network.parameters {
            let told = experiment.network.parameters;
            return Err(document
                .wrong("parameters", &format!("the network has {held}, not {told}; correct one of them")));
        }
        if experiment.training.log_every == 0 {
            return Err(document.wrong("log-every", "must be at least 1"));
        }
        let optimizer = &experiment.training.optimizer;
        optimizer.validate().map_err(|error| document.wrong("optimizer", &error.to_string()))?;
        Ok(experiment)
    }

    /// The figures that a run of it gives.
    pub(super) fn figure_names(&self) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match &self.data {
            Data::Series { formula, .. } if formula.noise == 0.0 => owned(&OF_SERIES),
            Data::Series { .. } => [owned(&OF_SERIES), owned(&OF_NOISE)].concat(),
            Data::Sequences { lags, .. } => {
                let weights = (0..*lags).map(weight_lag);
                owned(&OF_SEQUENCES).into_iter().chain(weights).collect()
            }
        }
    }

    /// A fingerprint of all that decides the result: data, network, training, element type. It is taken of what the
    /// file says, so that a program with more options does not make old results stale.
    pub(super) fn configuration(&self, dtype: &str) -> String {
        let text = format!("{} {} {dtype}", self.settings, self.training.stop.max_steps);
        // FNV-1a (Fowler, Noll, Vo): to notice a change, not to withstand an attack.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// The figure that says how much an output depends on the input `lag` steps back.
pub(super) fn weight_lag(lag: usize) -> String {
    format!("weight-lag-{lag}")
}

//! What an experiment is: one TOML file with data, network, training, and what it is held against.

use std::collections::BTreeMap;

use lstm_nn::{InitSpec, Loss, Network, Readout};
use lstm_optim::{LbfgsConfig, OptimizerConfig};
use lstm_tensor::{Bias, LayerSpec};
use lstm_train::{FitConfig, Guard, Stop};
use serde::Deserialize;

use super::data::Data;
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
    /// What the original prints as the outputs, after training, of the sequence that is shown.
    #[serde(default)]
    pub(super) published_outputs: Vec<f64>,
    /// What is calculated in, unless the command line says it.
    #[serde(default)]
    pub(super) dtype: Precision,
    pub(super) data: Data,
    pub(super) network: Net,
    pub(super) init: InitSpec,
    pub(super) training: Training,
    /// What was published, what PyTorch gives, and what is wanted of our median, by figure.
    #[serde(default)]
    pub(super) figures: BTreeMap<String, Expected>,
}

/// Element type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 64 bits.
    F64,
}

/// Layers and, mostly, a linear head.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Net {
    pub(super) layers: usize,
    pub(super) hidden: Hidden,
    pub(super) bias: Bias,
    pub(super) forget_bias: f64,
    pub(super) dropout: f64,
    pub(super) readout: Readout,
    /// Columns of the head; without one the hidden state of the last layer is the output.
    pub(super) outputs: Option<usize>,
    /// How many numbers are learnt: a check on all that stands above.
    pub(super) parameters: usize,
}

/// Units of the layers.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "must be a number of units or a list of one for each layer")]
pub(super) enum Hidden {
    /// The same number in all.
    Same(usize),
    /// One number for each layer, the lowest first.
    Each(Vec<usize>),
}

impl Net {
    pub(super) fn network(&self) -> Network {
        let widths = match &self.hidden {
            Hidden::Same(width) => vec![*width; self.layers],
            Hidden::Each(widths) => widths.clone(),
        };
        let layer = |width| {
            LayerSpec::new(width)
                .bias(self.bias)
                .forget_bias(self.forget_bias)
                .dropout(self.dropout, self.dropout)
        };
        let stack = widths.into_iter().fold(Network::new(1), |network, width| network.layer(layer(width)));
        match self.outputs {
            Some(outputs) => stack.head(self.readout, outputs),
            None => stack.read(self.readout),
        }
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
    /// Weight of a step in the loss, as a multiple of that of the step before it.
    step_decay: Option<f64>,
    /// Standard deviation of Gaussian noise on the inputs, drawn anew for every optimizer step.
    #[serde(default)]
    input_noise: f64,
    /// A rule that takes one step for each batch; or else, and not both, `lbfgs`.
    pub(super) optimizer: Option<OptimizerConfig>,
    /// L-BFGS, on all samples at once.
    pub(super) lbfgs: Option<LbfgsConfig>,
    pub(super) stop: Stop,
    /// Steps from one kept loss to the next.
    pub(super) log_every: u64,
    #[serde(default)]
    pub(super) log: Log,
    /// Kept losses that are figures, by their step.
    #[serde(default)]
    pub(super) losses_at: Vec<u64>,
}

/// Which losses are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Log {
    /// Those of single batches before their update, from step 0 on.
    #[default]
    Before,
    /// Those of single batches, seen again after their update.
    After,
    /// The mean of all losses since the one kept before.
    Mean,
}

impl Training {
    /// Settings of a run with a rule; none with L-BFGS.
    pub(super) fn config(&self, seed: u64) -> Option<FitConfig> {
        let mut config = FitConfig::new(self.batch, self.optimizer.clone()?, self.stop);
        config.loss = self.loss.clone();
        config.input_noise = self.input_noise;
        config.shuffle = self.shuffle;
        config.seed = seed;
        config.check_every = match self.log {
            // Each step's loss is looked at: those are kept that the original printed, and the last ones averaged.
            Log::Before => 1,
            Log::After | Log::Mean => self.log_every,
        };
        config.loss_after_update = self.log == Log::After;
        // What is shown is what a training does by itself, where it diverges too.
        config.guard = Guard::off();
        Some(config)
    }

    /// Says what is wrong with it for this data: the key, and why.
    fn fault(&self, data: &Data, dropout: f64) -> Option<(&'static str, String)> {
        let told = |key, why: &str| Some((key, why.to_owned()));
        if let Some(optimizer) = &self.optimizer {
            return match optimizer.validate() {
                Err(error) => told("optimizer", &error.to_string()),
                Ok(()) if self.lbfgs.is_some() => told("lbfgs", "stands beside optimizer; leave one out"),
                Ok(()) => None,
            };
        }
        let Some(lbfgs) = &self.lbfgs else { return told("training", "give optimizer or lbfgs") };
        let samples = data.samples();
        match () {
            () if samples.is_none() => told("lbfgs", "goes with data of kind sequences or waves alone"),
            () if samples != Some(self.batch) => {
                Some(("batch", format!("must be {}, all samples, for lbfgs", samples.unwrap_or(0))))
            }
            () if self.shuffle || self.input_noise != 0.0 || dropout != 0.0 || self.log != Log::Before => {
                told("lbfgs", "goes without shuffle, input-noise, dropout and log")
            }
            () if self.stop != Stop::after(self.stop.max_steps) => {
                told("stop", "can be max-steps alone for lbfgs")
            }
            () => lbfgs.validate().err().and_then(|error| told("lbfgs", &error.to_string())),
        }
    }

    /// Weights of the steps as `step-decay` has them.
    fn weigh(&mut self, data: &Data) -> Result<(), &'static str> {
        let Some(ratio) = self.step_decay else { return Ok(()) };
        let Some(steps) = data.steps() else { return Err("goes with data of kind waves alone") };
        if self.loss.step_weights.is_some() {
            return Err("stands beside step-weights; leave one out");
        }
        let weights = std::iter::successors(Some(1.0), |weight| Some(weight * ratio));
        self.loss.step_weights = Some(weights.take(steps).collect());
        match self.loss.weights(steps) {
            Ok(_) => Ok(()),
            Err(_) => Err("must be a number above 0 whose powers are finite"),
        }
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

impl Experiment {
    /// Reads an experiment; `place` is what messages call the file.
    pub(super) fn parse(name: &str, place: &str, text: &str) -> Result<Self> {
        let document = Document { place, text };
        let mut settings: toml::Table = document.read()?;
        settings.retain(|key, _| ["data", "network", "init", "training"].contains(&key));
        let mut experiment = Experiment { name: name.to_owned(), settings, ..document.read()? };
        let known = experiment.figure_names();
        for figure in experiment.figures.keys() {
            document.known("figure", figure, known.iter().map(String::as_str))?;
        }
        if let Some((key, fault)) = experiment.data.fault() {
            return Err(document.wrong(key, &fault));
        }
        let told = experiment.network.layers;
        if let Hidden::Each(widths) = &experiment.network.hidden
            && widths.len() != told
        {
            return Err(document.wrong("hidden", &format!("{} numbers, but {told} layers", widths.len())));
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
        let Training { losses_at, log_every, .. } = &experiment.training;
        if let Some(step) = losses_at.iter().find(|step| !step.is_multiple_of(*log_every)) {
            return Err(document.wrong("losses-at", &format!("{step} is no multiple of log-every")));
        }
        if let Some((key, fault)) = experiment.training.fault(&experiment.data, experiment.network.dropout) {
            return Err(document.wrong(key, &fault));
        }
        let weighed = experiment.training.weigh(&experiment.data);
        weighed.map_err(|fault| document.wrong("step-decay", fault))?;
        Ok(experiment)
    }

    /// The figures that a run of it gives.
    pub(super) fn figure_names(&self) -> Vec<String> {
        let mut names = self.data.figure_names();
        names.extend(self.training.losses_at.iter().map(|step| loss_at(*step)));
        names
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

/// The figure of one kept loss.
pub(super) fn loss_at(step: u64) -> String {
    format!("loss-at-{step}")
}

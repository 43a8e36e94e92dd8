//! The run folder: which files it holds, that nothing in it is overwritten unasked, and what a model file
//! says besides its weights.

use std::fs;
use std::path::{Path, PathBuf};

use lstm_data::TimeAxis;
use lstm_nn::Network;
use lstm_nn::saved::{self, SavedModel};
use lstm_train::forecaster::{Evaluation, ForecastConfig};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::settings::{Dtype, Output, Reading};

/// The model.
pub(crate) const MODEL: &str = "model.safetensors";
/// All settings, with which the run can be repeated.
pub(crate) const SETTINGS: &str = "settings.toml";
/// The comparison with the baselines.
pub(crate) const METRICS: &str = "metrics.json";
/// The course of the loss.
pub(crate) const HISTORY: &str = "history.csv";
/// The forecast as numbers.
pub(crate) const FORECAST: &str = "forecast.csv";
/// The forecast as a picture.
pub(crate) const PICTURE: &str = "forecast.png";

/// What a training run leaves.
pub(crate) const OF_TRAINING: [&str; 4] = [MODEL, SETTINGS, METRICS, HISTORY];
/// What a forecast leaves.
pub(crate) const OF_FORECAST: [&str; 2] = [FORECAST, PICTURE];

/// More rows than any series has, few enough for the calendar.
const MOST_ROWS: usize = u32::MAX as usize;

/// A folder that results go to.
pub(crate) struct Folder {
    path: PathBuf,
    force: bool,
}

impl Folder {
    /// The folder that the user named, or one after the file.
    pub(crate) fn named(output: &Output, file: &Path) -> Self {
        let stem = match file.file_stem() {
            Some(stem) if file.as_os_str() != "-" => stem,
            _ => "stdin".as_ref(),
        };
        let path = output.out.clone().unwrap_or_else(|| Path::new("runs").join(stem));
        Self { path, force: output.force }
    }

    /// The folder that the user named, or this one.
    pub(crate) fn named_or(output: &Output, path: &Path) -> Self {
        Self { path: output.out.clone().unwrap_or_else(|| path.to_owned()), force: output.force }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes sure, before any work is done, that these files may be written.
    ///
    /// # Errors
    /// A usage failure where one of them exists, unless it may be replaced; what is read from may not.
    pub(crate) fn check(&self, names: &[&str], input: Option<&Path>) -> Result<()> {
        if self.path.exists() && !self.path.is_dir() {
            return Err(Failure::usage(format!(
                "{} exists and is not a folder; name another with --out",
                self.path.display()
            )));
        }
        let place = |path: &Path| path.canonicalize().ok();
        if let Some(input) = input.filter(|input| place(input).is_some())
            && names.iter().any(|name| place(&self.file(name)) == place(input))
        {
            return Err(Failure::usage(format!(
                "{} would be replaced by a result; name another folder with --out",
                input.display()
            )));
        }
        if let Some(name) = names.iter().find(|name| self.file(name).exists()).filter(|_| !self.force) {
            return Err(Failure::usage(format!(
                "{} exists already; name another folder with --out, or pass --force to replace it",
                self.file(name).display()
            )));
        }
        Ok(())
    }

    /// Creates the folder; before long work, so that a wrong place is known at once.
    ///
    /// # Errors
    /// A model failure that names the folder.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(|error| Failure::file(&self.path, &error))
    }

    /// Writes a file whole, or not at all.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(saved::write_atomic(&self.file(name), bytes)?)
    }

    /// Removes what an earlier run left under these names, where it may be replaced: it belongs to another model.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn clear(&self, names: &[&str]) -> Result<()> {
        for path in names.iter().map(|name| self.file(name)).filter(|path| self.force && path.exists()) {
            fs::remove_file(&path).map_err(|error| Failure::file(&path, &error))?;
        }
        Ok(())
    }

    /// Takes back an empty folder, after work that left nothing.
    pub(crate) fn abandon(&self) {
        // It fails where the folder holds anything, and then it stays.
        let _ = fs::remove_dir(&self.path);
    }
}

/// What a model file says besides the network and its weights: all that prediction needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Task {
    /// What the forecaster was told.
    pub(crate) config: ForecastConfig,
    /// How the file was read.
    pub(crate) reading: Reading,
    /// Name of the forecast column.
    pub(crate) target: String,
    /// Rows that the series had.
    pub(crate) rows: usize,
    /// The time axis, if there is one.
    pub(crate) time: Option<TimeAxis>,
    /// The last rows of the series: enough for a forecast of what follows.
    pub(crate) tail: Vec<f64>,
    /// The comparison on held-out rows, where it gave numbers.
    pub(crate) evaluation: Option<Evaluation>,
    /// Why training ended before its time; the weights are then the best that never saw the held-out rows.
    pub(crate) cut_short: Option<String>,
}

impl Task {
    /// Rows of the tail.
    pub(crate) fn tail_rows(config: &ForecastConfig, rows: usize) -> usize {
        (config.base + config.lookback).max(config.season).max(4 * config.horizon).min(rows)
    }

    /// Whether the parts fit each other and the network, as they do unless somebody has changed the file.
    ///
    /// # Errors
    /// What does not fit.
    fn check(&self, network: &Network) -> Result<(), String> {
        let Self { config, rows, tail, .. } = self;
        config.validate().map_err(|error| error.to_string())?;
        if config.network() != *network {
            return Err("its network is not the one that its settings describe".into());
        }
        if *rows < config.base + config.lookback || *rows > MOST_ROWS {
            return Err(format!("a series of {rows} rows does not fit its settings"));
        }
        if tail.len() != Self::tail_rows(config, *rows) {
            return Err(format!(
                "the end of its series has {} rows, which do not fit its settings",
                tail.len()
            ));
        }
        if self.time.as_ref().is_some_and(|axis| axis.rows() != *rows) {
            return Err("its time axis has another number of rows than its series".into());
        }
        let scores = self.evaluation.iter().flat_map(|evaluation| &evaluation.scores);
        if let Some(score) = scores.into_iter().find(|s| s.interval.half_width.len() != config.horizon) {
            return Err(format!("the interval of {} is not one of {} steps", score.method, config.horizon));
        }
        Ok(())
    }
}

/// A model that was saved, with its task.
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    pub(crate) model: SavedModel,
    pub(crate) task: Task,
}

impl Saved {
    /// Reads the model of a run folder, or a model file.
    ///
    /// # Errors
    /// A model failure that names the file and what is wrong with it.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = if run.is_dir() { run.join(MODEL) } else { run.to_owned() };
        if !path.exists() {
            return Err(Failure::model(format!(
                "{}: there is no such model; name a run folder that `lstm train` or `lstm forecast` wrote",
                path.display()
            )));
        }
        let model = saved::read(&path)?;
        let unfit = |why: String| {
            Failure::model(format!("{}: not a forecasting model: {why}; train it again", path.display()))
        };
        let task: Task =
            serde_json::from_value(model.task.clone()).map_err(|error| unfit(error.to_string()))?;
        task.check(&model.network).map_err(unfit)?;
        Ok(Self { path, model, task })
    }

    /// Folder that the model lies in.
    pub(crate) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Element type that it was trained in.
    pub(crate) fn dtype(&self) -> Dtype {
        if self.model.dtype == "f64" { Dtype::F64 } else { Dtype::F32 }
    }
}

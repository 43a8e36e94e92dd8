//! The run folder: which files it holds, that nothing in it is overwritten unasked, and what a model file
//! says besides its weights.

use std::fs;
use std::path::{Path, PathBuf};

use lstm_data::TimeAxis;
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
    /// A usage failure where one of them exists, unless it may be replaced.
    pub(crate) fn check(&self, names: &[&str]) -> Result<()> {
        if self.path.exists() && !self.path.is_dir() {
            return Err(Failure::usage(format!(
                "{} exists and is not a folder; name another with --out",
                self.path.display()
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

    /// Removes what an earlier run left under these names, which belongs to another model now.
    pub(crate) fn clear(&self, names: &[&str]) -> Result<()> {
        for path in names.iter().map(|name| self.file(name)).filter(|path| path.exists()) {
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
        if task.config.network() != model.network {
            return Err(unfit("its network is not the one that its settings describe".into()));
        }
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

//! Cells: the result of one experiment with one seed, each a small file, so that a long run can stop and go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lstm_nn::durable;
use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use crate::failure::{Failure, Result};

/// One experiment with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    pub(super) experiment: String,
    pub(super) seed: u64,
    /// [`Experiment::configuration`] when it ran.
    pub(super) configuration: String,
    /// State of the source tree, if it was under git.
    pub(super) commit: Option<String>,
    /// Model name of the processor, or of the GPU that did the work.
    pub(super) machine: String,
    pub(super) seconds: f64,
    pub(super) figures: BTreeMap<String, f64>,
    /// Step and loss, as [`Log`](super::experiment::Log) says.
    pub(super) losses: Vec<(u64, f64)>,
    /// Step and error on what is not trained on, where training ends by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) validations: Vec<(u64, f64)>,
    pub(super) shown: Shown,
}

/// What the picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Shown {
    /// The closed-loop forecast.
    Forecast { values: Vec<f64> },
    /// What the network did on each test sequence.
    Sequences { sequences: Vec<Trace> },
    /// A sine of each frequency, and the mean squared error at each of more frequencies in hertz.
    Sines { blocks: Vec<Block>, sweep: Vec<(f64, f64)> },
    /// The outputs for one sequence before and after training, and the mean squared error of each on many.
    Times { before: Vec<f64>, after: Vec<f64>, errors: Vec<f64> },
    /// What was forecast for the value behind each test window, and in one go behind the training part.
    Values { one_step: Vec<f64>, free_run: Vec<f64> },
    /// Every `every`-th prediction for each test sequence, those of the forecast last, and by step the mean squared
    /// errors of both.
    Waves { every: usize, sequences: Vec<Vec<f64>>, errors: Vec<Errors> },
}

/// How a network stands while it is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Errors {
    pub(super) step: u64,
    /// Mean squared error of the next value on the test sequences.
    pub(super) test: f64,
    /// Mean squared error of the forecast that is fed with itself.
    pub(super) free_run: f64,
}

/// One sine and what the network says comes next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    pub(super) hertz: f64,
    /// In seconds.
    pub(super) start: f64,
    pub(super) prediction: Vec<f64>,
}

/// One test sequence through the first layer; each list has one entry a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trace {
    pub(super) predictions: Vec<f64>,
    /// Activations of the input, forget, candidate and output gate of every unit.
    pub(super) gates: [Vec<Vec<f64>>; 4],
    pub(super) cell: Vec<Vec<f64>>,
}

/// What is on disk for an experiment and a seed.
pub(super) enum Found {
    Nothing,
    Valid(Box<Cell>),
    /// Made by an experiment that has changed since.
    Stale,
}

/// The file of a cell.
pub(super) fn path(folder: &Path, experiment: &Experiment, seed: u64) -> PathBuf {
    folder.join(&experiment.name).join(format!("seed-{seed}.json"))
}

/// Looks for a cell.
///
/// # Errors
/// A model failure where the file cannot be read or is no cell.
pub(super) fn find(folder: &Path, experiment: &Experiment, dtype: &str, seed: u64) -> Result<Found> {
    let path = path(folder, experiment, seed);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(Failure::file(&path, &error)),
    };
    let cell: Cell = serde_json::from_str(&text).map_err(|error| {
        Failure::model(format!(
            "{}: not a result of an experiment ({error}); remove it or add --force",
            path.display()
        ))
    })?;
    if cell.configuration == experiment.configuration(dtype) {
        Ok(Found::Valid(Box::new(cell)))
    } else {
        Ok(Found::Stale)
    }
}

impl Cell {
    /// Writes the cell, one line for each part of it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let unwritable =
            |error: &dyn std::fmt::Display| Failure::model(format!("{}: {error}", path.display()));
        let parts = serde_json::to_value(self).map_err(|error| unwritable(&error))?;
        let lines: Vec<String> = parts
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("  \"{key}\": {value}"))
            .collect();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        }
        Ok(durable::write(path, format!("{{\n{}\n}}\n", lines.join(",\n")).as_bytes())?)
    }
}

/// Six significant digits: more would be noise in a committed file.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// The commit of the source tree we stand in, marked where files differ from it; those that runs make do not count.
pub(super) fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let made = ["experiments/results", "docs/experiments.md", "docs/images"];
    let but_made = made.map(|path| format!(":(top,exclude){path}"));
    let mut changed = vec!["status", "--porcelain", "--untracked-files=no", "--", ":(top)"];
    changed.extend(but_made.iter().map(String::as_str));
    let mark = if git(&changed)?.is_empty() { "" } else { "-dirty" };
    Some(commit + mark)
}

//! Cells: what one series, horizon and seed gave, each a small committed file, so that a long run can stop and go on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::series::{Measure, Part, Series};
use crate::root;
use crate::source::Source;

/// Raise it with a change of the forecaster that changes figures: all cells from before are then stale.
const REVISION: u32 = 5;

/// What is said to the program besides what every run of a series is told.
pub(super) struct Variant {
    /// Its files begin with this.
    pub(super) stem: String,
    /// Separated by spaces.
    pub(super) options: String,
    /// Whether what was chosen for the series is said too.
    pub(super) chosen: bool,
}

impl Variant {
    /// What the program does by itself: the network corrects what serves best.
    pub(super) fn whole() -> Self {
        Self { stem: "seed".into(), options: String::new(), chosen: true }
    }

    /// The network corrects the last value and nothing else, so that all there is to the forecast is its own.
    pub(super) fn alone() -> Self {
        Self { stem: "alone".into(), options: "--base last".into(), chosen: true }
    }
}

/// What one run gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Cell {
    /// Hash of [`arguments`] and [`REVISION`].
    pub(super) configuration: String,
    /// Hash of the file that it was given.
    pub(super) data: String,
    pub(super) commit: String,
    pub(super) machine: String,
    /// For all of it: reading, trials, training on all rows.
    pub(super) seconds: f64,
    /// What the program settled on, in the first of the trials that it averages.
    pub(super) settings: BTreeMap<String, Value>,
    /// Those trials, in words.
    #[serde(default)]
    averaged: Vec<String>,
    /// How much lower the error in the rows that decide is than that of the best simple forecast.
    pub(super) gain: f64,
    pub(super) windows: u64,
    /// By method.
    pub(super) errors: BTreeMap<String, Errors>,
}

/// Errors of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Errors {
    mae: f64,
    scaled_mae: f64,
    scaled_mse: f64,
    smape: f64,
    mase: Option<f64>,
    /// Shares of values inside the intervals of 50, 80 and 95 %.
    pub(super) coverage: Vec<f64>,
}

impl Errors {
    pub(super) fn of(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Mae => Some(self.mae),
            Measure::ScaledMae => Some(self.scaled_mae),
            Measure::ScaledMse => Some(self.scaled_mse),
            Measure::Smape => Some(self.smape),
            Measure::Mase => self.mase,
        }
    }
}

/// All options of a run but file, seed and where the result goes.
pub(super) fn arguments(series: &Series, part: Part, variant: &Variant) -> Vec<String> {
    let mut arguments = series.arguments(part);
    let chosen = if variant.chosen { series.chosen } else { "" };
    arguments
        .extend([chosen, &variant.options].into_iter().flat_map(str::split_whitespace).map(str::to_owned));
    arguments
}

/// What a cell must have been made by.
pub(super) fn configuration(series: &Series, part: Part, variant: &Variant) -> String {
    hash(format!("{REVISION} {} {}", series.file, arguments(series, part, variant).join(" ")).as_bytes())
}

/// The file of a cell.
pub(super) fn path(series: &Series, part: Part, variant: &Variant, seed: u64) -> PathBuf {
    let folder = root().join("experiments/accuracy").join(part.name()).join(series.name);
    folder.join(format!("{}-{seed}.json", variant.stem))
}

/// The cells that there are, by seed.
pub(super) fn all(series: &Series, part: Part, variant: &Variant) -> Result<Vec<Cell>> {
    let seeds = (0..100).map(|seed| path(series, part, variant, seed));
    seeds.filter(|path| path.exists()).map(|path| read(&path)).collect()
}

pub(super) fn read(path: &Path) -> Result<Cell> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{}: not a cell", path.display()))
}

impl Cell {
    /// From the metrics.json of a run.
    pub(super) fn new(
        metrics: &Value,
        made: (String, String),
        source: &Source,
        seconds: f64,
    ) -> Result<Self> {
        let number = |value: &Value, what: &str| {
            value.as_f64().map(rounded).with_context(|| format!("metrics.json has no {what}"))
        };
        let evaluation = &metrics["evaluation"];
        let taken = &evaluation["taken"];
        let ways = taken["ways"].as_array().context("metrics.json does not say what was taken")?;
        let trial = |way: &Value| evaluation["trials"][way["trial"].as_u64()? as usize]["what"].as_str();
        let averaged = ways.iter().filter_map(trial).map(str::to_owned).collect();
        let scores = evaluation["scores"].as_array().context("metrics.json has no scores")?;
        let errors = scores.iter().map(|score| {
            let (sums, scaled) = (&score["metrics"], &score["standardised"]);
            let coverage = score["coverage"].as_array().map(Vec::as_slice).unwrap_or_default();
            let errors = Errors {
                mae: number(&sums["mae"], "mae")?,
                scaled_mae: number(&scaled[0], "standardised error")?,
                scaled_mse: number(&scaled[1], "standardised error")?,
                smape: number(&sums["smape"], "smape")?,
                mase: sums["mase"].as_f64().map(rounded),
                coverage: coverage.iter().filter_map(Value::as_f64).map(rounded).collect(),
            };
            Ok((score["method"].as_str().unwrap_or_default().to_owned(), errors))
        });
        let kept = [
            "base",
            "lookback",
            "segment",
            "normalise",
            "embedding",
            "hidden",
            "ensemble",
            "effort",
            "season",
        ];
        // What is left at none is not said.
        let setting = |name: &str| Some((name.to_owned(), metrics["config"].get(name)?.clone()));
        Ok(Self {
            configuration: made.0,
            data: made.1,
            commit: source.commit.clone(),
            machine: source.machine.clone(),
            seconds: rounded(seconds),
            settings: kept.into_iter().filter_map(setting).collect(),
            averaged,
            gain: rounded(
                1.0 - number(&taken["validation"], "validation")? / number(&taken["simple"], "simple")?,
            ),
            windows: evaluation["windows"].as_u64().unwrap_or(0),
            errors: errors.collect::<Result<_>>()?,
        })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo): tells files and options apart, no more.
pub(super) fn hash(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{sum:016x}")
}

/// Six significant digits: more would be noise in a committed file.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), "cbf29ce484222325");
        assert_eq!(hash(b"a"), "af63dc4c8601ec8c");
    }

    #[test]
    fn a_cell_takes_what_the_program_says() {
        let metrics = serde_json::json!({
            "config": { "base": "linear", "lookback": 24 },
            "evaluation": {
                "trials": [{ "what": "corrects" }],
                "taken": { "validation": 0.9, "simple": 1.2, "ways": [{ "trial": 0 }] },
                "windows": 7,
                "scores": [{
                    "method": "lstm",
                    "metrics": { "mae": 1.0, "smape": 2.0, "mase": null },
                    "standardised": [0.3, 0.1234567],
                    "coverage": [0.5, 0.8, 0.95],
                }],
            },
        });
        let source = Source { commit: "c".into(), machine: "m".into() };
        let cell = Cell::new(&metrics, ("a".into(), "b".into()), &source, 1.0).unwrap();
        assert_eq!((cell.gain, cell.windows), (0.25, 7));
        assert_eq!(cell.errors["lstm"].of(Measure::ScaledMse), Some(0.123457));
        assert_eq!(cell.errors["lstm"].of(Measure::Mase), None);
        assert_eq!((&cell.settings["lookback"], &cell.averaged[..]), (&24.into(), &["corrects".into()][..]));
    }
}

//! The settings of a run. One list serves flags and configuration file alike: a key of the file is the
//! name of a flag, and precedence is defaults < file < flags.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use lstm_data::panel::{Layout, Panel, PanelOptions};
use lstm_data::{CsvOptions, DateOrder, Decimal, Duplicates, Fill, TimeChoice, closest};
use lstm_train::forecaster::{Aim, Base, Decay, Head, Normalise};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::failure::{Failure, Result};
use crate::value::{Device, Finite, Names, NotNegative, Number, Positive, Share, Whole, words};

/// A stretch of the series.
type Steps = Whole<1, 1_000_000>;

/// How the CSV file is read, and what may be repaired in it.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Reading the file")]
pub(crate) struct Reading {
    /// Columns to forecast, with commas between them; `all` for all numbers [default: one, by its name and what it holds]
    #[arg(long, value_name = "COLUMNS", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub(crate) target: Names,
    /// Column that tells series apart which stand one below another [default: found by its cells]
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Columns that help to forecast and are known in advance
    #[arg(long, value_name = "COLUMNS", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub(crate) known: Names,
    /// CSV file with the known columns of the rows to come
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) future: Option<PathBuf>,
    /// Columns that help to forecast and are known up to the present only
    #[arg(long, value_name = "COLUMNS", default_value = "", hide_default_value = true)]
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub(crate) past: Names,
    /// Columns that help to tell series apart and never change
    #[arg(long = "static", value_name = "COLUMNS", default_value = "", hide_default_value = true)]
    #[serde(rename = "static", skip_serializing_if = "Names::is_empty")]
    pub(crate) fixed: Names,
    /// Let the network read all columns that are forecast at each step, not only the one that it forecasts
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) joint: bool,
    /// Let the network read hour, weekday and time of the year
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) calendar: bool,
    /// Column of times; `none` numbers the rows [default: found by its cells]
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
    /// Order of day and month where the dates leave it open
    #[arg(long, value_name = "ORDER", value_parser = words::<DateOrder>(&["dmy", "mdy"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) date_order: Option<DateOrder>,
    /// Character between fields; `tab` works too [default: found among , ; tab |]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<char>,
    /// What stands before the fraction of a number; where it is a comma, points may part thousands [default: point]
    #[arg(long, value_name = "WHICH", value_parser = words::<Decimal>(&["point", "comma"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decimal: Option<Decimal>,
    /// The first row holds data; columns are called c1, c2, …
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) no_header: bool,
    /// What to keep of rows with the same time [default: their mean, unless they are more than 5%]
    #[arg(long, value_name = "WHICH", value_parser = words::<Duplicates>(&["error", "first", "last", "mean"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duplicates: Option<Duplicates>,
    /// How to fill missing values and rows [default: season or else linear, unless more than 5% are missing]
    #[arg(long, value_name = "HOW", value_parser = words::<Fill>(&["none", "linear", "previous", "season"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fill: Option<Fill>,
    /// Steps in a season, 1 for none [default: from the step: 12 for months, 24 or 168 for hours, whichever repeats best]
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) season: Option<Steps>,
}

impl Reading {
    pub(crate) fn csv(&self) -> CsvOptions {
        CsvOptions {
            delimiter: self.delimiter,
            header: self.no_header.then_some(false),
            decimal: self.decimal.unwrap_or_default(),
            ..CsvOptions::default()
        }
    }

    pub(crate) fn time_choice(&self) -> TimeChoice {
        match self.time.as_deref() {
            None | Some("auto") => TimeChoice::Auto,
            Some("none") => TimeChoice::None,
            Some(name) => TimeChoice::Column(name.to_owned()),
        }
    }

    /// The same way of reading, with the columns named that were found.
    pub(crate) fn resolved(&self, panel: &Panel) -> Self {
        let mut reading = self.clone();
        if panel.layout == Layout::Columns {
            reading.target = Names(panel.members.iter().map(|member| member.id.clone()).collect());
        }
        let axis = panel.members.iter().find_map(|member| member.axis.as_ref());
        reading.time = Some(axis.map_or("none".into(), |axis| axis.name.clone()));
        // The season of the run is part of its configuration.
        reading.season = None;
        reading
    }

    pub(crate) fn panel(&self) -> PanelOptions {
        PanelOptions {
            targets: self.target.0.clone().into(),
            id: self.id.iter().cloned().collect(),
            time: self.time_choice(),
            date_order: self.date_order,
            known: self.known.0.clone(),
            past: self.past.0.clone(),
            joint: self.joint,
            fixed: self.fixed.0.clone(),
            duplicates: self.duplicates,
            fill: self.fill,
            season: self.season.map(Whole::get),
            ..PanelOptions::default()
        }
    }
}

/// The network and how it is trained.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Network and training")]
pub(crate) struct Training {
    /// Steps to forecast [default: one season, at most 96; without a season a tenth of the rows, at most 24]
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) horizon: Option<Whole<1, 100_000>>,
    /// Steps that the network forecasts at once, and is compared by; farther ones follow from its own forecasts, so --past
    /// and --joint cannot be given [default: all]
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block: Option<Whole<1, 100_000>>,
    /// Steps that a forecast looks back on [default: from 2 to 52 seasons, whichever serves a linear forecast best]
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lookback: Option<Steps>,
    /// Simple forecast that the network corrects [default: all are tried]
    #[arg(long, value_name = "WHICH", value_parser = words::<Base>(&["last", "season", "linear"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Base>,
    /// What a window is divided by: its own standard deviation, that of its series, or that of its logarithms, which are
    /// then forecast [default: the first two are tried; for few rows or several series also the last]
    #[arg(long, value_name = "BY", value_parser = words::<Normalise>(&["window", "series", "log"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) normalise: Option<Normalise>,
    /// Values that the LSTM reads, and answers with, in one step [default: such that it reads about 16 steps]
    #[arg(long, value_name = "VALUES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) segment: Option<Whole<1, 10_000>>,
    /// Units with max(0, x) through which all columns of a step pass before the LSTM reads them; 0 for none [default: 0]
    #[arg(long, value_name = "UNITS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) embedding: Option<Whole<0, 16_384>>,
    /// Units of each LSTM layer [default: 32, from 1000 rows on 64]
    #[arg(long, value_name = "UNITS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hidden: Option<Whole<1, 16_384>>,
    /// LSTM layers [default: 1]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<Whole<1, 64>>,
    /// Share of each layer's output dropped while training [default: 0.2, from 1000 rows on 0]
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropout: Option<Number<Share>>,
    /// Added to the input of the forget gate [default: 1]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forget_bias: Option<Number<Finite>>,
    /// Error that training makes small [default: huber]
    #[arg(long, value_name = "WHICH", value_parser = words::<Aim>(&["huber", "mae", "mse"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<Aim>,
    /// What the network says of each value: one number, the quantiles that are the edges of the intervals, or a
    /// distribution; all but a point have a loss of their own [default: point]
    #[arg(long, value_name = "WHICH", value_parser = words::<Head>(&["point", "quantile", "gaussian", "student-t", "negative-binomial"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) head: Option<Head>,
    /// Networks of each trial, whose forecasts are averaged [default: 5, from 1000 rows on 1]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ensemble: Option<Whole<1, 100>>,
    /// Trials at most whose forecasts are averaged: the best and those with which the mean is better [default: 4]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) average: Option<Whole<1, 100>>,
    /// Floating-point operations of all trials together, in 1e9; some 50 a second on two cores [default: 2000]
    #[arg(long, value_name = "GFLOP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effort: Option<Number<Positive>>,
    /// Whether forecasts are corrected by what earlier ones missed [default: true, but not for counts]
    #[arg(long, value_name = "WHETHER", action = clap::ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) feedback: Option<bool>,
    /// What no forecast and no interval goes below, 0 for what is counted or measured from 0 [default: none]
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lowest: Option<Number<Finite>>,
    /// Steps between the values whose mean difference is the unit of MASE [default: the season]
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mase_season: Option<Steps>,
    /// Rows at the end of each series that only measure the forecast [default: a sixth, at most ten seasons or 500]
    #[arg(long, value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_out: Option<Whole<1, 4_000_000_000>>,
    /// Rows before these that decide when training ends and what is kept [default: half as many]
    #[arg(long, value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<Whole<1, 4_000_000_000>>,
    /// Passes over the series at most; training ends earlier where it stops helping [default: 200]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epochs: Option<Whole<1, 1_000_000>>,
    /// Windows in one training step [default: 16, from 1000 rows on 64]
    #[arg(long, value_name = "WINDOWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<Whole<1, 1_048_576>>,
    /// Learning rate at the beginning [default: 0.003]
    #[arg(long, value_name = "RATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lr: Option<Number<Positive>>,
    /// How the learning rate falls: to 0 along a cosine, to a hundredth by the same factor in each step, or not at all
    /// [default: cosine]
    #[arg(long, value_name = "WHICH", value_parser = words::<Decay>(&["cosine", "exponential", "constant"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<Decay>,
    /// Looks at the validation rows without a smaller error after which a training ends early, of some 40 in all; 0 for
    /// never [default: 12]
    #[arg(long, value_name = "LOOKS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<Whole<0, 1_000_000>>,
    /// Rule that changes the weights [default: adam]
    #[arg(long, value_name = "RULE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) optimizer: Option<Optimizer>,
    /// Largest norm of the gradient, 0 for no limit [default: 1]
    #[arg(long, value_name = "NORM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clip: Option<Number<NotNegative>>,
    /// Seed of initial weights, order of windows and dropout [default: 1]
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<Whole<0, { i64::MAX.unsigned_abs() }>>,
}

/// Update rules by the name that a flag gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Optimizer {
    /// Stochastic gradient descent
    Sgd,
    /// Adagrad
    Adagrad,
    /// RMSprop
    Rmsprop,
    /// Adam
    Adam,
    /// Adam with decoupled weight decay of 0.01
    Adamw,
}

/// Where the numbers are crunched.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// cpu, cuda, cuda:N for the GPU of that number, or auto: training goes to cuda:0 if `lstm devices` lists
    /// it as usable, all else to the CPU [default: auto]
    #[arg(long, value_name = "DEVICE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Device>,
    /// Precision of the computation [default: f32]
    #[arg(long, value_name = "TYPE", hide_possible_values = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<Dtype>,
    /// Threads of the CPU, which auto then takes; the result does not depend on it [default: one per core]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<Whole<1, 1024>>,
}

/// Element types of the computation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
    /// 32 bits
    #[default]
    F32,
    /// 64 bits
    F64,
}

impl Dtype {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// Where results go.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Folder of the run [default: runs/ and the file's name without its ending; for a trained model its own]
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) out: Option<PathBuf>,
    /// Replace results that exist already
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) force: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) say: Say,
}

/// How much is said, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Output")]
pub(crate) struct Say {
    /// Print the result, or the error, as one JSON object on standard output
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) json: bool,
    /// Show no progress, and no result but JSON; errors are still told
    #[arg(long)]
    #[serde(skip_serializing_if = "is_off")]
    pub(crate) quiet: bool,
}

/// All that flags and a configuration file can say about a run.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct Settings {
    /// TOML file with settings: its keys are the names of these flags, and a flag wins over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) training: Training,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Settings {
    /// The flags over what the configuration file says.
    ///
    /// # Errors
    /// A usage failure that names file, line and key.
    pub(crate) fn with_file(self) -> Result<Self> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("{}: cannot be read ({error}); check --config", path.display()))
        })?;
        let file = Self::of_text(&path, &text)?;
        Ok(Self {
            config: None,
            reading: over(&self.reading, file.reading),
            training: over(&self.training, file.training),
            machine: over(&self.machine, file.machine),
            output: over(&self.output, file.output),
        })
    }

    /// What the text of a configuration file says.
    ///
    /// # Errors
    /// As [`Settings::with_file`].
    pub(crate) fn of_text(path: &Path, text: &str) -> Result<Self> {
        let file = File { path, text };
        file.check_keys()?;
        Ok(Self {
            config: None,
            reading: file.part()?,
            training: file.part()?,
            machine: file.part()?,
            output: file.part()?,
        })
    }
}

/// `flags` over `file`: what is not set in either stays unset.
pub(crate) fn over<T: Serialize + DeserializeOwned + Clone>(flags: &T, file: T) -> T {
    let merged = (|| {
        let mut table = toml::Table::try_from(&file).ok()?;
        table.extend(toml::Table::try_from(flags).ok()?);
        table.try_into().ok()
    })();
    // Both sides were read from such tables, so merging them cannot fail.
    merged.unwrap_or(file)
}

/// The settings as TOML, in the order of the flags; reading the text gives the same settings.
pub(crate) fn to_toml(parts: &[(&str, toml::Table)]) -> String {
    let mut text = String::new();
    for (heading, part) in parts.iter().filter(|(_, part)| !part.is_empty()) {
        text += &format!("\n# {heading}\n{part}");
    }
    text
}

/// A configuration file and its text.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// Refuses keys that no flag has.
    fn check_keys(&self) -> Result<()> {
        let document = DeTable::parse(self.text).map_err(|error| self.syntax(&error))?;
        let command = Settings::augment_args(clap::Command::new("lstm"));
        let known: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|name| *name != "config")
            .collect();
        // In the order of the file, so that the first slip is told first.
        let mut keys: Vec<_> = document.get_ref().keys().collect();
        keys.sort_by_key(|key| key.span().start);
        let Some(key) = keys.into_iter().find(|key| !known.contains(&key.get_ref().as_ref())) else {
            return Ok(());
        };
        let name = key.get_ref();
        let advice = match closest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("the keys are {}", known.join(", ")),
        };
        Err(Failure::usage(format!("{}: unknown key '{name}'; {advice}", self.at(key.span().start))))
    }

    /// The keys of one part.
    fn part<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| self.wrong_value(&error))
    }

    fn at(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        format!("{}, line {}", self.path.display(), before.matches('\n').count() + 1)
    }

    fn syntax(&self, error: &toml::de::Error) -> Failure {
        let at = self.at(error.span().map_or(0, |span| span.start));
        Failure::usage(format!("{at}: not TOML: {}; write lines such as 'hidden = 64'", error.message()))
    }

    /// A value of the wrong type or size: what stands there, and what should.
    fn wrong_value(&self, error: &toml::de::Error) -> Failure {
        let Some(span) = error.span() else {
            return Failure::usage(format!("{}: {}", self.path.display(), error.message()));
        };
        let wanted = match error.message().rsplit_once("expected ") {
            Some((_, wanted)) => wanted.replace('`', "'"),
            None => return Failure::usage(format!("{}: {}", self.at(span.start), error.message())),
        };
        let document = DeTable::parse(self.text).ok();
        let holds = |value: &toml::Spanned<DeValue<'_>>| {
            value.span().start <= span.start && span.end <= value.span().end
        };
        let entry = document.as_ref().and_then(|d| d.get_ref().iter().find(|(_, value)| holds(value)));
        let Some((key, value)) = entry else {
            return Failure::usage(format!("{}: must be {wanted}", self.at(span.start)));
        };
        let shown: String = self.text.get(value.span()).unwrap_or("").chars().take(40).collect();
        Failure::usage(format!("{}: {} = {shown}, but must be {wanted}", self.at(span.start), key.get_ref()))
    }
}

pub(crate) fn delimiter(text: &str) -> Result<char, String> {
    match text {
        "tab" | "\\t" => Ok('\t'),
        _ => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) => Ok(only),
                _ => Err("must be one character, or the word tab".into()),
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_off(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Training> {
        let file = File { path: Path::new("a.toml"), text };
        file.check_keys()?;
        let _: Output = file.part()?;
        let _: Machine = file.part()?;
        let _: Reading = file.part()?;
        file.part()
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_as_the_flags_are() {
        let training = read("hidden = 8\nlr = 1\nseed = 0\noptimizer = \"adamw\"\ntarget = \"x\"\n").unwrap();
        assert_eq!(training.hidden, Some("8".parse().unwrap()));
        assert_eq!(training.lr.map(Number::get), Some(1.0));
        assert_eq!(training.optimizer, Some(Optimizer::Adamw));
        assert_eq!(training.epochs, None);
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = read("hidden = 8\nbatch = 2\n").unwrap();
        let flags = Training { hidden: Some("3".parse().unwrap()), ..Training::default() };
        let both = over(&flags, file);
        assert_eq!((both.hidden, both.batch.map(Whole::get)), (Some("3".parse().unwrap()), Some(2)));
    }

    #[test]
    fn what_is_written_reads_back() {
        let training = read("hidden = 8\nlr = 0.001\nseed = 7\nclip = 1\ndropout = 0.25\n").unwrap();
        let text = to_toml(&[("Training", toml::Table::try_from(&training).unwrap())]);
        assert_eq!(read(&text).unwrap(), training);
    }

    #[test]
    fn slips_are_named_with_their_line() {
        for (text, expected) in [
            ("lr = 1\nhiden = 3\n", "a.toml, line 2: unknown key 'hiden'; did you mean 'hidden'?"),
            ("hidden = 0\n", "a.toml, line 1: hidden = 0, but must be a whole number from 1 to 16384"),
            ("hidden = [4]\n", "a.toml, line 1: hidden = [4], but must be a whole number from 1 to 16384"),
            (
                "\nepochs = \"many\"\n",
                "a.toml, line 2: epochs = \"many\", but must be a whole number from 1 to 1000000",
            ),
            ("dropout = 1.0", "a.toml, line 1: dropout = 1.0, but must be a number from 0 to below 1"),
            (
                "optimizer = \"adm\"",
                "a.toml, line 1: optimizer = \"adm\", but must be one of 'sgd', 'adagrad', 'rmsprop', 'adam', 'adamw'",
            ),
            (
                "device = \"gpu\"",
                "a.toml, line 1: device = \"gpu\", but must be auto, cpu, cuda or cuda:N, where N is the number of a \
                 GPU, as in cuda:0",
            ),
            ("calendar = 1", "a.toml, line 1: calendar = 1, but must be a boolean"),
            ("force = 1", "a.toml, line 1: force = 1, but must be a boolean"),
        ] {
            assert_eq!(message(text), expected);
        }
        assert!(message("hidden = = 3").starts_with("a.toml, line 1: not TOML: "));
        assert!(message("[train]\nhidden = 3").contains("unknown key 'train'"));
        assert!(message("zebra = 3").contains("; the keys are target, id, "));
    }
}

//! The command line: commands, their arguments, and the help that a person learns from.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::resume::every;
use crate::settings::{Machine, Output, Reading, Say, Settings};
use crate::value::{Number, Positive, Seconds, Whole};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  lstm forecast sales.csv                 train, compare with simple forecasts, and forecast
  lstm forecast sales.csv --horizon 24    24 steps ahead
  lstm inspect sales.csv                  what the file holds, before anything else
  lstm train sales.csv --out runs/sales   train only
  lstm forecast --model runs/sales        forecast with what was trained

Exit codes:
  0 fine · 1 a run made again has other bits · 2 usage or configuration · 3 data
  4 model or run file · 5 device · 6 training diverged · 130 interrupted";

/// Forecast a series with an LSTM: from a CSV file to a forecast, a picture and an honest comparison.
#[derive(Debug, Parser)]
#[command(
    name = "lstm",
    version,
    after_help = EXAMPLES,
    styles = STYLES,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Forecast(Box<Forecast>),
    Train(Box<Train>),
    Eval(Box<Eval>),
    Backtest(Box<crate::backtest::Args>),
    Lab(Box<Lab>),
    Gates(Box<crate::gates::Args>),
    Inspect(Inspect),
    Export(Export),
    Repro(Box<crate::repro::Args>),
    Devices(Devices),
    Completions(Completions),
    /// Print docs/cli.md
    #[command(hide = true)]
    MarkdownHelp,
}

/// Train on a CSV file and forecast what comes next, or forecast with a trained model
///
/// Finds the series, their times and their step, repairs what is little and says so, holds out the last
/// part of each series, trains on the rest, and compares the LSTM with simple forecasts: a linear one, exponential
/// smoothing (ETS), the Theta method, the last season repeated (seasonal naive), the last value repeated (naive), and the
/// line through the first and the last value (drift). Then it trains on all rows and forecasts.
///
/// The run folder holds forecast.csv, the model, the metrics, the settings with which the run can be repeated exactly,
/// with --samples as many futures that could come (samples.csv: series, sample, time, value, each path with steps that
/// hang together as the errors on held-out rows did), and pictures, each as PNG and SVG: forecast, error-by-horizon, season (a typical day, week or year), residuals
/// (what was missed on held-out rows) and loss. The course of training is in history.csv, the same bytes whenever the
/// run is repeated, and in metrics.jsonl, an object on each line, written as training goes: trial (null for the
/// training on all rows), network, step, epoch, loss, validation, rate, skipped (steps so far that changed nothing,
/// because their loss or gradient was no finite number), rollbacks (how often it has gone back to a good state, to half
/// the rate), and seconds since training began. All of it on one page, with the table, what was found in the data and
/// whether it is learnable, is report.html. With --model there are the forecast, its pictures, and forecast.html.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm forecast air.csv
  lstm forecast taxi.csv --target passengers --horizon 48 --out runs/taxi
  lstm forecast demand.csv --target demand --past temperature --calendar
  lstm forecast stores.csv --target all --horizon 14
  lstm forecast air.csv --config runs/air/settings.toml --out runs/again
  lstm forecast --model runs/air newer.csv --out runs/newer
  cat air.csv | lstm forecast - --json")]
pub(crate) struct Forecast {
    /// CSV files with header lines, of one kind; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Forecast with the model of this run folder instead of training; without FILE, what follows the
    /// series that it was trained on
    #[arg(long, value_name = "RUN")]
    pub(crate) model: Option<PathBuf>,
    /// Go on with the training in this run folder, which was broken off; everything is as it was begun, to the bit
    #[arg(long, value_name = "RUN", conflicts_with_all = ["files", "config", "Reading", "Training", "device", "dtype", "out", "force", "model"])]
    pub(crate) resume: Option<PathBuf>,
    /// Time from one checkpoint to the next, such as 90s or 5m: what a crash loses at most [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = every, conflicts_with = "model")]
    pub(crate) checkpoint_every: Option<Duration>,
    /// Futures that could come, drawn from what the LSTM says: samples.csv holds them, the picture shows a few
    /// [default: none]
    #[arg(long, value_name = "COUNT", conflicts_with = "resume")]
    pub(crate) samples: Option<Whole<1, 10_000>>,
    /// Time that training may take, such as 90s, 2m or 1h30m: measured against this machine's speed, it becomes an
    /// effort, which the settings of the run then hold [default: an effort]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["effort", "model", "resume"])]
    pub(crate) budget: Option<Seconds>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Train a model on a CSV file and keep it in a run folder
///
/// As `lstm forecast`, without the forecast.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm train air.csv
  lstm train taxi.csv --hidden 64 --layers 2 --epochs 20 --seed 7 --out runs/taxi
  lstm train taxi.csv --config settings.toml
  lstm train --resume runs/taxi           go on where it was broken off")]
pub(crate) struct Train {
    /// CSV files with header lines, of one kind; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "resume")]
    pub(crate) files: Vec<PathBuf>,
    /// Go on with the training in this run folder, which was broken off; everything is as it was begun, to the bit
    #[arg(long, value_name = "RUN", conflicts_with_all = ["files", "config", "Reading", "Training", "device", "dtype", "out", "force"])]
    pub(crate) resume: Option<PathBuf>,
    /// Time from one checkpoint to the next, such as 90s or 5m: what a crash loses at most [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = every)]
    pub(crate) checkpoint_every: Option<Duration>,
    /// Time that training may take, such as 90s, 2m or 1h30m: measured against this machine's speed, it becomes an
    /// effort, which the settings of the run then hold [default: an effort]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["effort", "resume"])]
    pub(crate) budget: Option<Seconds>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Measure a trained model on a CSV file, against simple forecasts
///
/// Forecasts from every place of the file that has enough rows before and after it. Where the file holds
/// the rows that the model was trained on, only the rows after them are used; if there are none, the
/// result says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm eval runs/air newer.csv
  lstm eval runs/air newer.csv --json")]
pub(crate) struct Eval {
    /// Run folder, or the model file in it
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// CSV files with the columns that the model was trained on; `-` reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// Feed a trained model with its own predictions, and see how and why it drifts
///
/// Lets the model run freely from many places of the series and tells: its error against the horizon, beside the naive
/// forecasts; how amplitude and phase part from the truth; what it makes of a sine of each frequency, one step ahead;
/// where a long free run ends up, and whether small disturbances grow or die out there.
///
/// A model of `lstm train` reads its window anew for every forecast. Any other model file will do that holds a network of
/// one input whose output is the next value: with --lookback it reads a window anew too, without it carries its state from
/// step to step.
///
/// Leaves lab.json with all numbers, and the pictures lab.png and lab.svg.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm lab runs/air
  lstm lab runs/air newer.csv --steps 60 --feed 1 --out runs/lab
  lstm lab model.safetensors waves.csv --lookback 30
  lstm lab model.safetensors waves.csv --standardise --period 20")]
pub(crate) struct Lab {
    /// Run folder, or a model file
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// CSV file with the series; `-` reads standard input [default: the file that the run was trained on]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Steps of a free run [default: 10 horizons, 2 seasons or 10 periods, whichever is most, as far as the file goes]
    #[arg(long, value_name = "STEPS")]
    pub(crate) steps: Option<Whole<1, 100_000>>,
    /// Free runs, from evenly spaced rows [default: 200, as far as the file goes]
    #[arg(long, value_name = "COUNT")]
    pub(crate) origins: Option<Whole<1, 100_000>>,
    /// Period that amplitude and phase are followed at, in steps [default: the strongest of the series]
    #[arg(long, value_name = "STEPS")]
    pub(crate) period: Option<Number<Positive>>,
    /// Values of each forecast that are fed back before the next one [default: all of them]
    #[arg(long, value_name = "COUNT")]
    pub(crate) feed: Option<Whole<1, 100_000>>,
    /// Values that a bare model reads anew for every prediction [default: one, carrying its state]
    #[arg(long, value_name = "STEPS")]
    pub(crate) lookback: Option<Whole<1, 1_000_000>>,
    /// Feed a bare model with the values less their mean, over their standard deviation
    #[arg(long)]
    pub(crate) standardise: bool,
    #[command(flatten)]
    pub(crate) reading: Reading,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Show what a CSV file, a model file or a run folder holds
///
/// Of a CSV file: columns and what they hold, the step of the times, gaps, duplicates, the season. Of a
/// model: sizes and settings.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm inspect air.csv
  lstm inspect runs/air")]
pub(crate) struct Inspect {
    /// CSV file, model file or run folder; `-` reads a CSV file from standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Column of times; `none` numbers the rows [default: found by its cells]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// Order of day and month where the dates leave it open
    #[arg(long, value_name = "ORDER", value_parser = crate::value::words::<lstm_data::DateOrder>(&["dmy", "mdy"]))]
    pub(crate) date_order: Option<lstm_data::DateOrder>,
    /// Character between fields; `tab` works too [default: found among , ; tab |]
    #[arg(long, value_name = "CHAR", value_parser = crate::settings::delimiter)]
    pub(crate) delimiter: Option<char>,
    /// What stands before the fraction of a number; where it is a comma, points may part thousands [default: point]
    #[arg(long, value_name = "WHICH", value_parser = crate::value::words::<lstm_data::Decimal>(&["point", "comma"]))]
    pub(crate) decimal: Option<lstm_data::Decimal>,
    /// The first row holds data; columns are called c1, c2, …
    #[arg(long)]
    pub(crate) no_header: bool,
    /// Print the result, or the error, as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write a trained model in a form that other programs read
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  lstm export runs/air --to torch-lstm -o air.safetensors

In Python, with the constructor that the command prints:
  lstm = torch.nn.LSTM(3, 32, 1)
  lstm.load_state_dict(safetensors.torch.load_file(\"air.safetensors\"))

The head, which turns hidden states into the forecast, is no part of torch.nn.LSTM and is left out.")]
pub(crate) struct Export {
    /// Run folder, or the model file in it
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Form to write
    #[arg(long, value_name = "FORM")]
    pub(crate) to: Form,
    /// Which of several networks [default: 1, the first]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) network: Option<Whole<1, 100>>,
    /// File to write [default: FORM.safetensors in the run folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a file that exists already
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// Forms of a model that other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// The LSTM layers alone, under the names that torch.nn.LSTM takes
    TorchLstm,
}

/// List the devices that can be computed on, and what is missing for the others
///
/// The processor with its threads and instruction set; every NVIDIA GPU with its memory; the versions of CUDA's parts,
/// or what to install.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm devices
  lstm devices --json")]
pub(crate) struct Devices {
    /// Print the list as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lstm completions bash > ~/.local/share/bash-completion/completions/lstm
  lstm completions zsh > ~/.zfunc/_lstm
  lstm completions fish > ~/.config/fish/completions/lstm.fish")]
pub(crate) struct Completions {
    /// Shell that will read the script
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

impl Command {
    /// Whether results and errors are wanted as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Command::Forecast(args) => args.settings.output.say.json,
            Command::Train(args) => args.settings.output.say.json,
            Command::Eval(args) => args.say.json,
            Command::Backtest(args) => args.settings.output.say.json,
            Command::Lab(args) => args.output.say.json,
            Command::Gates(args) => args.output.say.json,
            Command::Inspect(args) => args.json,
            Command::Export(args) => args.say.json,
            Command::Repro(args) => args.say.json,
            Command::Devices(args) => args.json,
            Command::Completions(_) | Command::MarkdownHelp => false,
        }
    }
}

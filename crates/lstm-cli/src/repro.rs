//! `lstm repro`: published experiments, each one TOML file, run again and held against what was published.
//!
//! A run is cut into cells, one experiment with one seed each: small files that are kept, so that the same command
//! goes on where it was stopped, and from which all tables and pictures are made.

mod cell;
mod claim;
mod data;
mod document;
mod experiment;
mod page;
mod picture;
mod report;
mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use lstm_data::closest;
use serde_json::{Value, json};

use self::cell::Found;
use self::claim::Claims;
use self::data::Data;
use self::experiment::{Experiment, Precision};
use self::report::Results;
use self::trial::{Load, Trial};
use crate::device::{self, Place, Work};
use crate::failure::{Failure, Kind, Result};
use crate::progress::say;
use crate::settings::{Dtype, Machine, Say};
use crate::{interrupt, output, replay};

include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

/// Where cells and pictures go unless told otherwise.
const RESULTS: &str = "experiments/results";

/// Repeat published experiments and print published against obtained
///
/// Each experiment is one TOML file: data, network, training, what was published and what is wanted. A result is kept
/// for every experiment and seed, so the same command goes on where it was stopped; --force runs all of it again.
///
/// With the run folder of `lstm train` or `lstm forecast`, that run is made again from its settings, in a folder that is
/// removed afterwards, and its model, its printed losses, its metrics and its forecast are compared bit for bit. The exit
/// code is 0 where they are the same, 1 where a bit differs, 3 where a file has changed since. The promise is for one version
/// of lstm, one instruction set and one device; where they differ from those of the run, it is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lstm repro list
  lstm repro 000-learning-rate1
  lstm repro 000 --seeds 10                  all experiments of seed program 000
  lstm repro --file mine.toml --out runs/mine
  lstm repro runs/air                        a run of yours: the same bits?
  lstm repro 002-lbfgs-wolfe --models --out here
  lstm lab here/002-lbfgs-wolfe/seed-0.safetensors here/002-lbfgs-wolfe/seed-0.csv
  lstm repro 004-adjacent-sum --load experiments/results/004-adjacent-sum/seed-0.safetensors")]
pub(crate) struct Args {
    /// Experiments, or programs for all of theirs; `list` lists them; or one run folder
    #[arg(value_name = "NAME|RUN", required_unless_present_any = ["all", "file", "report"])]
    pub(crate) names: Vec<String>,
    /// All experiments there are
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// An experiment of your own
    #[arg(long, value_name = "TOML", conflicts_with_all = ["names", "all"])]
    file: Option<PathBuf>,
    /// Seeds to run each experiment with: 0, 1, … [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: Option<u32>,
    /// Keep each trained model beside its result, and of programs 000 and 002 a series to run it on, for `lstm lab`;
    /// what has a result but no model is run again
    #[arg(long)]
    models: bool,
    /// Predict with the model of an earlier run instead of training
    #[arg(long, value_name = "MODEL", conflicts_with_all = [
        "all", "seeds", "steps", "out", "force", "quiet", "models",
    ])]
    load: Option<PathBuf>,
    /// Write this page from the results there are, with its pictures, and run nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "names", "all", "file", "load", "seeds", "steps", "device", "threads", "json", "quiet", "models",
    ])]
    report: Option<PathBuf>,
    /// Steps of training instead of those of the experiment, to try things out
    #[arg(long, value_name = "COUNT", hide = true)]
    steps: Option<u64>,
    #[command(flatten)]
    machine: Machine,
    /// Folder of results and pictures [default: experiments/results]
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Run again what has a result, and replace it; with --report, any page and pictures
    #[arg(long, help_heading = "Output")]
    force: bool,
    #[command(flatten)]
    pub(crate) say: Say,
}

impl Args {
    /// No option is accepted and ignored; `list` is a name, of which clap knows nothing.
    fn refuse_with_list(&self) -> Result<()> {
        let threads = ("threads", self.machine.threads.is_some());
        self.refuse(&[threads, ("quiet", self.say.quiet)], "a list")
    }

    /// Refuses what says nothing about this: these options, and all that are about experiments.
    fn refuse(&self, more: &[(&str, bool)], what: &str) -> Result<()> {
        let Self { seeds, models, load, steps, machine, out, force, .. } = self;
        let given = [
            ("seeds", seeds.is_some()),
            ("models", *models),
            ("load", load.is_some()),
            ("steps", steps.is_some()),
            ("device", machine.device.is_some()),
            ("dtype", machine.dtype.is_some()),
            ("out", out.is_some()),
            ("force", *force),
        ];
        match given.iter().chain(more).find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(Failure::usage(format!("--{name} says nothing about {what}; leave it out")))
            }
            None => Ok(()),
        }
    }

    /// The seeds to run.
    fn seeds(&self) -> std::ops::Range<u64> {
        0..u64::from(self.seeds.unwrap_or(1))
    }
}

/// Lists, runs, predicts or reports, as asked.
///
/// # Errors
/// A usage failure for an unknown name or a wrong file; those of device and files; divergence; Ctrl-C; those of
/// [`replay::run`].
pub(crate) fn run(args: &Args) -> Result<()> {
    let (experiments, claims) = library()?;
    if let Some(page) = &args.report {
        let folder = args.out.clone().unwrap_or_else(|| RESULTS.into());
        return page::write(page, &experiments, &claims, &folder, (&args.machine, args.force));
    }
    if args.names == ["list"] {
        args.refuse_with_list()?;
        return list(&experiments, args.say.json);
    }
    let known = |name: &String| experiments.iter().any(|e| e.name == *name || e.program == *name);
    if let Some(folder) = replay::folder(&args.names).filter(|_| !args.names.iter().any(known)) {
        args.refuse(&[], "a run that is made again")?;
        return replay::run(folder, &args.machine, args.say);
    }
    let mut chosen = match &args.file {
        Some(path) => vec![from_disk(path)?],
        None if args.all => experiments,
        None => choose(experiments, &args.names)?,
    };
    if let Some(steps) = args.steps {
        chosen.iter_mut().for_each(|experiment| experiment.training.stop.max_steps = steps);
    }
    match &args.load {
        Some(model) => predict(args, &chosen, model),
        None => repeat(args, &chosen, &claims),
    }
}

/// All that is built in.
fn library() -> Result<(Vec<Experiment>, Vec<Claims>)> {
    let place = |folder: &str, name: &str| format!("experiments/{folder}{name}.toml");
    let experiments = EXPERIMENTS.iter().map(|(name, text)| Experiment::parse(name, &place("", name), text));
    let experiments = experiments.collect::<Result<Vec<_>>>()?;
    let claims = CLAIMS.iter().map(|(name, text)| Claims::parse(&place("claims/", name), text, &experiments));
    let claims = claims.collect::<Result<_>>()?;
    Ok((experiments, claims))
}

fn from_disk(path: &Path) -> Result<Experiment> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{shown}: cannot be read ({error}); check --file")))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Experiment::parse(&name, &shown.to_string(), &text)
}

/// The experiments of these names or programs, in their own order.
fn choose(experiments: Vec<Experiment>, names: &[String]) -> Result<Vec<Experiment>> {
    let is = |experiment: &Experiment, name: &str| experiment.name == name || experiment.program == name;
    if let Some(name) = names.iter().find(|name| !experiments.iter().any(|e| is(e, name))) {
        let advice = match closest(name, experiments.iter().map(|e| e.name.as_str())) {
            Some(near) => format!("did you mean '{near}'?"),
            None => "`lstm repro list` shows what there is".to_owned(),
        };
        return Err(Failure::usage(format!("no experiment is called '{name}'; {advice}")));
    }
    Ok(experiments.into_iter().filter(|e| names.iter().any(|name| is(e, name))).collect())
}

fn list(experiments: &[Experiment], json: bool) -> Result<()> {
    if json {
        let all: Vec<Value> = experiments
            .iter()
            .map(|e| json!({ "name": e.name, "title": e.title, "program": e.program, "parameters": e.network.parameters }))
            .collect();
        return output::print_json(&json!({ "experiments": all }));
    }
    let line = |e: &Experiment| format!("{:<20} {}\n", e.name, e.title);
    output::print(experiments.iter().map(line).collect::<String>().as_bytes())
}

/// Predicts the test sequences with a saved model.
fn predict(args: &Args, chosen: &[Experiment], model: &Path) -> Result<()> {
    let [experiment] = chosen else {
        return Err(Failure::usage("--load: a model belongs to one experiment; name just that one"));
    };
    let place = device::open(&args.machine, Work::Forecasting, dtype(&args.machine, experiment))?;
    let answer = place.run(Load { experiment, model })?;
    if args.say.json {
        return output::print_json(&json!(answer));
    }
    let Data::Sequences { test, .. } = &experiment.data else { return Ok(()) };
    let rows = test.inputs.len();
    let mut text = String::new();
    for (row, (inputs, targets)) in test.inputs.iter().zip(&test.targets).enumerate() {
        let ours: Vec<String> =
            answer.predictions.iter().skip(row).step_by(rows).map(|p| format!("{p:.3}")).collect();
        text += &format!("{inputs:?} -> [{}], labels {targets:?}\n", ours.join(", "));
    }
    output::print(text.as_bytes())
}

/// Runs what is not there yet, and tells how all of it stands.
fn repeat(args: &Args, chosen: &[Experiment], claims: &[Claims]) -> Result<()> {
    interrupt::listen()?;
    let folder = args.out.clone().unwrap_or_else(|| RESULTS.into());
    let places = Places::open(&args.machine, chosen)?;
    let todo = todo(args, chosen, &folder)?;
    let steps = todo.iter().map(|(experiment, _)| experiment.training.stop.max_steps).sum();
    let bar = if args.say.quiet { ProgressBar::hidden() } else { ProgressBar::new(steps) };
    let style = ProgressStyle::with_template("{msg:<28} {bar:30.cyan/dim} {pos:>6}/{len:<6} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut diverged = Vec::new();
    for (experiment, seed) in todo {
        let place = places.of(experiment)?;
        bar.set_message(format!("{} seed {seed} on {}", experiment.name, place.name()));
        let trial = Trial {
            experiment,
            seed,
            place,
            model: model_path(&folder, experiment, seed),
            keeps_model: args.models,
            found_by: found_by(args, experiment),
            tick: &mut || bar.inc(1),
        };
        let cell = match place.run(trial) {
            // What one seed makes of an experiment says nothing about the next.
            Err(failure) if failure.is(Kind::Diverged) => {
                diverged.push(format!("{} seed {seed}: {failure}", experiment.name));
                continue;
            }
            cell => cell?,
        };
        cell.write(&cell::path(&folder, experiment, seed))?;
        if !args.say.quiet && bar.is_hidden() {
            say(&format!("{} seed {seed}: {:.1} s on {}", experiment.name, cell.seconds, place.name()));
        }
    }
    bar.finish_and_clear();

    let mut results = Vec::new();
    for experiment in chosen {
        let mut result = Results { experiment, cells: Vec::new(), stale: 0 };
        for seed in args.seeds() {
            let dtype = dtype(&args.machine, experiment).name();
            if let Found::Valid(cell) = cell::find(&folder, experiment, dtype, seed)? {
                result.cells.push(*cell);
            }
        }
        save_picture(&folder, &result)?;
        results.push(result);
    }
    let outcome = match diverged[..] {
        [] => Ok(()),
        _ => Err(Failure::new(Kind::Diverged, format!("no result: {}", diverged.join("; ")))),
    };
    let place = places.first()?;
    if args.say.json {
        // One object: the results are in the folder all the same.
        outcome?;
        let all: Vec<Value> = results.iter().map(Results::to_json).collect();
        let claims = report::claims_json(claims, &results);
        return output::print_json(&json!({
            "experiments": all,
            "claims": claims,
            "folder": folder,
            "device": place.name(),
            "device-fallback": place.fallback(),
        }));
    }
    if args.say.quiet {
        return outcome;
    }
    let mut text: String = results.iter().map(|result| result.text() + "\n").collect();
    text += &report::claims_text(claims, &results);
    text += &format!("Results and pictures are in {}.\n", folder.display());
    output::print(text.as_bytes())?;
    outcome
}

/// The cells that are missing, the cheap experiments first, so that something is there early.
fn todo<'a>(args: &Args, chosen: &'a [Experiment], folder: &Path) -> Result<Vec<(&'a Experiment, u64)>> {
    let mut todo = Vec::new();
    for experiment in chosen {
        for seed in args.seeds() {
            if !args.force {
                match cell::find(folder, experiment, dtype(&args.machine, experiment).name(), seed)? {
                    Found::Valid(_) if args.models && !model_path(folder, experiment, seed).exists() => {}
                    Found::Valid(_) => continue,
                    Found::Nothing => {}
                    Found::Stale => {
                        let path = cell::path(folder, experiment, seed);
                        return Err(Failure::usage(format!(
                            "{}: made by other settings than those of the experiment now; add --force to replace it, \
                             or --out to keep both",
                            path.display()
                        )));
                    }
                }
            }
            todo.push((experiment, seed));
        }
    }
    todo.sort_by_key(|(experiment, _)| {
        experiment.network.parameters as u64 * experiment.training.stop.max_steps
    });
    Ok(todo)
}

fn model_path(folder: &Path, experiment: &Experiment, seed: u64) -> PathBuf {
    cell::path(folder, experiment, seed).with_extension("safetensors")
}

/// Arguments that let another process find the same experiment.
fn found_by(args: &Args, experiment: &Experiment) -> Vec<OsString> {
    match &args.file {
        Some(path) => vec!["--file".into(), path.into()],
        None => vec![experiment.name.clone().into()],
    }
}

/// What an experiment is calculated in: as the command line says, or else the experiment.
fn dtype(machine: &Machine, experiment: &Experiment) -> Dtype {
    machine.dtype.unwrap_or(match experiment.dtype {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    })
}

/// The device, once for each element type that experiments want.
struct Places<'a> {
    machine: &'a Machine,
    open: Vec<Place>,
}

impl<'a> Places<'a> {
    fn open(machine: &'a Machine, experiments: &[Experiment]) -> Result<Self> {
        let mut open: Vec<Place> = Vec::new();
        for wanted in experiments.iter().map(|experiment| dtype(machine, experiment)) {
            if open.iter().all(|place| place.dtype() != wanted) {
                open.push(device::open(machine, Work::Training, wanted)?);
            }
        }
        Ok(Self { machine, open })
    }

    fn of(&self, experiment: &Experiment) -> Result<&Place> {
        let wanted = dtype(self.machine, experiment);
        let place = self.open.iter().find(|place| place.dtype() == wanted);
        place.ok_or_else(|| Failure::device(format!("no device is open for {}", wanted.name())))
    }

    /// They differ in the element type alone.
    fn first(&self) -> Result<&Place> {
        self.open.first().ok_or_else(|| Failure::usage("no experiment is chosen"))
    }
}

/// Draws the experiment beside the folder of its cells.
fn save_picture(folder: &Path, result: &Results<'_>) -> Result<()> {
    let Some(cell) = result.middle() else { return Ok(()) };
    let figure = picture::figure(result.experiment, cell)?;
    let path = |ending: &str| folder.join(format!("{}.{ending}", result.experiment.name));
    figure.save_png(&path("png")).map_err(|error| Failure::model(format!("{error:#}")))?;
    figure.save_svg(&path("svg")).map_err(|error| Failure::model(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_an_experiment() {
        let (experiments, claims) = library().unwrap();
        assert_eq!(experiments.iter().filter(|e| e.program == "000").count(), 17);
        assert!(experiments.iter().any(|e| e.name == "004-adjacent-sum"));
        assert!(claims.iter().all(|c| experiments.iter().any(|e| e.program == c.program)));
    }

    #[test]
    fn a_wrong_file_is_told_by_line() {
        let (_, text) = EXPERIMENTS.iter().find(|(name, _)| *name == "000-aug4").unwrap();
        let told = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Experiment::parse("a", "a.toml", &text.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("readout =", "redout =", "line 22: redout: unknown key; did you mean 'readout'?"),
            ("points = 1000", "point = 1000", "line 12: point: unknown key; did you mean 'points'?"),
            ("lookback = 30", "lokback = 30", "line 8: lokback: unknown key; did you mean 'lookback'?"),
            (
                "layers = 5",
                "layers = 4",
                "parameters: the network has 461441, not 593025; correct one of them",
            ),
            ("layers = 5", "layers = \"many\"", "line 17: invalid type: string \"many\", expected usize"),
            ("figures.free-run-mse", "figures.free-rum-mse", "unknown figure; did you mean 'free-run-mse'?"),
            ("log-every = 50", "log-every = 0", "line 37: log-every: must be at least 1"),
            ("hidden = 128", "hidden = 0", "network: "),
        ] {
            let message = told(from, to);
            assert!(message.starts_with("a.toml, line ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_a_kind_of_data_does_not_allow_is_told_by_line() {
        let told = |name: &str, from: &str, to: &str| {
            let (_, text) = EXPERIMENTS.iter().find(|(known, _)| *known == name).unwrap();
            assert!(text.contains(from), "{from}");
            Experiment::parse("a", "a.toml", &text.replacen(from, to, 1)).unwrap_err().to_string()
        };
        for (name, from, to, expected) in [
            ("001-e2", "rate = 100.0", "rate = 0.0", "generator: rate = 0: must be positive"),
            ("001-e2", "each = 200", "each = 0", "each: must be at least 1"),
            ("001-e2", "\"after\"", "\"behind\"", "unknown variant 'behind'"),
            ("003-adam", "longest = 18", "longest = 8", "longest: must be at least 9, the steps read"),
            ("003-adam", "[10, 20, 1]", "[10, 1]", "hidden: 2 numbers, but 3 layers"),
            ("003-adam", "[10, 20, 1]", "\"many\"", "must be a number of units or a list"),
            ("003-adam", "80, 100]", "80, 100, 130]", "losses-at: 130 is no multiple of log-every"),
            (
                "004-airline-5",
                "train = 116",
                "train = 140",
                "train: leaves no window in one of the two parts",
            ),
            ("004-airline-5", "forecast = 20", "forecast = 29", "forecast: must be from 1 to 28"),
            ("004-airline-5", "season = 12", "season = 0", "season: must be from 1 to 116"),
            ("002-lbfgs", "test = 3 ", "test = 100 ", "test: must be from 1 to 99, one less than count"),
            ("002-lbfgs", "scale = 20.0", "scale = 0.0", "data: scale = 0: must not be zero"),
            ("002-lbfgs", "length = 1000", "length = 0", "data: length = 0: must be at least 2"),
            ("002-lbfgs", "batch = 97", "batch = 96", "batch: must be 97, all samples, for lbfgs"),
            ("002-lbfgs", "batch = 97", "batch = 97\nshuffle = true", "lbfgs: goes without shuffle"),
            ("002-lbfgs", "dropout = 0.0", "dropout = 0.1", "lbfgs: goes without shuffle"),
            ("002-lbfgs", "max-steps = 15", "max-steps = 15, patience = 2", "stop: can be max-steps alone"),
            ("002-lbfgs", "= 0.8", "= -0.8", "lbfgs: learning-rate is -0.8, but must be"),
            ("002-lbfgs", "[training.lbfgs]", "[training.lbgfs]", "unknown key; did you mean 'lbfgs'?"),
            (
                "002-adagrad",
                "[training.optimizer]",
                "lbfgs = {}\n[training.optimizer]",
                "lbfgs: stands beside",
            ),
            ("002-adagrad-weighted", "decay = 0.99", "decay = -2", "step-decay: must be a number above 0"),
            (
                "003-adam",
                "batch = 300",
                "batch = 300\nstep-decay = 0.9",
                "step-decay: goes with data of kind waves",
            ),
        ] {
            let message = told(name, from, to);
            assert!(message.starts_with("a.toml, line ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_airline_passengers_are_those_of_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/air_passengers.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let column = text.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap());
        let column: Vec<f64> = column.collect();
        let (experiments, _) = library().unwrap();
        let series = experiments.iter().filter_map(|e| match &e.data {
            Data::Values(values) => Some(values),
            _ => None,
        });
        let series: Vec<_> = series.collect();
        assert_eq!((series.len(), column.len()), (4, 144));
        for data in series {
            assert_eq!(data.values, column);
            // As many windows as the original trains and tests on.
            assert_eq!((data.windows(116), data.windows(28)), (110, 22));
        }
    }

    #[test]
    fn a_wrong_claim_is_told_by_line() {
        let (experiments, _) = library().unwrap();
        let (_, text) = CLAIMS.iter().find(|(name, _)| *name == "000").unwrap();
        let told = |from: &str, to: &str| {
            Claims::parse("c.toml", &text.replacen(from, to, 1), &experiments).unwrap_err().to_string()
        };
        assert_eq!(
            told("\"000-base1\"", "\"000-bass1\""),
            "c.toml, line 9: 000-bass1: unknown experiment; did you mean '000-base1'?"
        );
        assert!(told("at-most = 0.5", "").contains("give either below"), "{}", told("at-most = 0.5", ""));
    }

    #[test]
    fn a_change_that_matters_changes_the_fingerprint() {
        let (_, text) = EXPERIMENTS.iter().find(|(name, _)| *name == "000-base2").unwrap();
        let of = |text: &str| Experiment::parse("a", "a", text).unwrap().configuration("f32");
        assert_eq!(of(text), of(&text.replace("peak 13.9", "peak 13.8")));
        assert_ne!(of(text), of(&text.replace("learning-rate = 0.01", "learning-rate = 0.02")));
        assert_ne!(of(text), Experiment::parse("a", "a", text).unwrap().configuration("f64"));
    }
}

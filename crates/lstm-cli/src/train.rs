//! `lstm train`, and the training that `lstm forecast` begins with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lstm_data::Element;
use lstm_data::calendar::Calendar;
use lstm_data::panel::Panel;
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{
    EFFORT, Evaluation, ForecastChoices, ForecastConfig, Forecaster, Head, Plan, Stage,
};
use lstm_train::{Course, Culprit, Fault, Flow, Outcome, Progress as Report};
use serde_json::{Value, json};

use crate::args::Train;
use crate::check::{HeldOut, Residuals};
use crate::device::{self, Job, Place, Work};
use crate::failure::{Failure, Kind, Result};
use crate::forecast::{Future, Prediction};
use crate::input::Beside;
use crate::learnable::Learnable;
use crate::origin::{Asked, Origin};
use crate::picture::Pictures;
use crate::progress::{Progress, say};
use crate::report::{self, Page};
use crate::resume::{Broken, Keeping, Kept};
use crate::run::{self, Folder, Task};
use crate::settings::{Dtype, Machine, Output, Reading, Settings, Training, to_toml};
use crate::value::Seconds;
use crate::{input, interrupt, memory, output};

/// Trains, writes the run folder, and prints the comparison.
///
/// # Errors
/// Those of settings, data, device and files; divergence and Ctrl-C, after the last good model is kept.
pub(crate) fn run(args: Train) -> Result<()> {
    let every = args.checkpoint_every;
    let (trained, say) = match &args.resume {
        Some(run) => (go_on("train", run, &args.settings, every)?, args.settings.output.say),
        None => {
            let settings = args.settings.with_file()?;
            (
                learn(Asked::to("train"), &args.files, &settings, (args.budget, Keeping::new(every)))?,
                settings.output.say,
            )
        }
    };
    trained.finish()?;
    if say.json {
        return output::print_json(&trained.to_json());
    }
    if say.quiet {
        return Ok(());
    }
    let folder = trained.folder.path().display();
    output::print(format!("The run is in {folder}: lstm forecast --model {folder}\n").as_bytes())
}

/// A trained model and what is known about it; all of it is in the run folder already.
pub(crate) struct Trained {
    pub(crate) panel: Panel,
    pub(crate) config: ForecastConfig,
    /// Where it was trained.
    place: Place,
    pub(crate) evaluation: Evaluation,
    /// Forecasts of what follows the series.
    pub(crate) future: Future,
    pub(crate) folder: Folder,
    /// Checkpoints, from which the rest could be made again.
    kept: Option<Kept>,
}

impl Trained {
    /// Removes the checkpoints, when all that belongs to the run is written.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn finish(&self) -> Result<()> {
        self.kept.as_ref().map_or(Ok(()), Kept::clear)
    }

    /// What a program wants to know.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = metrics(&self.panel, &self.config, &self.place, Some(&self.evaluation));
        value["run"] = json!(self.folder.path());
        value
    }
}

/// Goes on with a run that was broken off; of `flags` those count that change no result.
///
/// # Errors
/// As [`run`]; a model failure where there is nothing to go on from.
pub(crate) fn go_on(command: &str, run: &Path, flags: &Settings, every: Option<Duration>) -> Result<Trained> {
    let broken = Broken::read(run, command)?;
    let mut settings = broken.settings.clone();
    settings.machine.threads = flags.machine.threads.or(settings.machine.threads);
    settings.output = Output { out: Some(run.to_owned()), force: true, ..flags.output.clone() };
    let files = broken.run.files.clone();
    let asked = Asked { command, samples: broken.run.samples };
    learn(asked, &files, &settings, (None, Keeping::again(every, broken)))
}

/// A run folder in the place of a file.
///
/// # Errors
/// A usage failure that says where it belongs.
fn refuse_run(file: &Path) -> Result<()> {
    if !file.join(run::MODEL).exists() {
        return Ok(());
    }
    let file = file.display();
    Err(Failure::usage(format!(
        "{file} is a run folder, where a CSV file is expected; its model forecasts with `lstm forecast --model {file}`"
    )))
}

/// Reads files, trains on them, writes the run folder, and prints what the held-out part says; what is asked for repeats
/// it.
///
/// # Errors
/// As [`run`].
pub(crate) fn learn(
    asked: Asked<'_>,
    files: &[PathBuf],
    settings: &Settings,
    (budget, keeping): (Option<Seconds>, Keeping),
) -> Result<Trained> {
    let arrived = Instant::now();
    let command = asked.command;
    if budget.is_some() && settings.training.effort.is_some() {
        const BOTH: &str = "--budget and effort, of a flag or of the file of --config, both say how much is to be \
                            computed; leave one of them out";
        return Err(Failure::usage(BOTH));
    }
    let first = files.first().ok_or_else(|| Failure::usage("name a CSV file"))?;
    let folder = Folder::named(&settings.output, first);
    // The forecast of another model must not lie beside this one, so it is in the way too.
    keeping.check(&folder, files, settings)?;
    for file in files {
        refuse_run(file)?;
    }
    // What cannot be read is said first, when it is read.
    for file in files.iter().filter(|file| file.exists() || input::is_standard_input(file)) {
        let names = [&run::OF_TRAINING[..], &run::OF_RESULT, &run::OF_FORECAST].concat();
        folder.check(&names, Some(file))?;
    }
    memory::check(&settings.training, settings.machine.dtype)?;
    let (panel, sources) = input::read_seen(files, &settings.reading)?;
    let calendar = input::calendar(&panel, &settings.reading);
    let seen = Beside::new(&panel, calendar.as_ref(), 0);
    let trials = |training: &Training| {
        let choices = choices(training, &settings.reading);
        ForecastConfig::trials(&choices, &input::seasons(&panel), &seen.members(&panel))
            .map_err(|error| in_file(error, &panel.file))
    };
    let mut training = settings.training.clone();
    let mut tried = trials(&training)?;
    if command == "forecast" {
        input::check_ahead(&panel, tried[0].horizon)?;
    }
    memory::check_samples(asked.samples, panel.members.len(), tried[0].horizon)?;
    let place = device::open(&settings.machine, Work::Training, Dtype::default())?;
    if let Some(budget) = budget {
        let left = budget.get() - arrived.elapsed().as_secs_f64();
        training = place.run(Budgeted { panel: &panel, seen: &seen, trials: &tried, left, training })?;
        tried = trials(&training)?;
    }
    let trials = tried;
    let settings = &Settings { training, ..settings.clone() };
    let tell = !settings.output.say.json && !settings.output.say.quiet;
    if tell {
        output::print(announced(&panel, &trials).as_bytes())?;
    }
    interrupt::listen()?;
    folder.create()?;
    let begun = Instant::now();
    let reading = settings.reading.resolved(&panel);
    let machine = place.resolved(&settings.machine);
    let training = repeated(&trials, &settings.training);
    let text = settings_text((asked, files), &folder, &reading, training, &machine);
    let origin = Origin::new(asked, &place, files, sources);
    let quiet = settings.output.say.quiet;
    let mut kept = keeping.begin(&folder, (&origin, files), (&text, &trials), quiet)?;
    let mut progress = Progress::new(settings.output.say).logged(folder.file(run::COURSE))?;
    let job = Learn {
        panel: &panel,
        calendar: calendar.as_ref(),
        trials: &trials,
        reading,
        samples: asked.samples,
        progress: &mut progress,
        kept: kept.as_mut(),
    };
    let learned = place.run(job);
    progress.finish();
    let learned = learned.inspect_err(|_| {
        progress.discard();
        folder.abandon();
    })?;

    folder.clear(&[&run::OF_RESULT[..], &run::OF_FORECAST].concat())?;
    progress.written()?;
    folder.write(run::MODEL, &learned.model)?;
    let config = learned.task.config.clone();
    folder.write(run::SETTINGS, text.as_bytes())?;
    let known = learned.evaluation.as_ref().filter(|evaluation| is_sound(evaluation));
    let mut metrics = metrics(&panel, &config, &place, known);
    metrics["made"] = json!(origin);
    metrics["setbacks"] = json!(progress.setbacks());
    metrics["cut-short"] = json!(learned.cut_short.as_ref().map(CutShort::to_string));
    folder.write(run::METRICS, format!("{metrics:#}\n").as_bytes())?;
    folder.write(run::HISTORY, progress.history().as_bytes())?;
    if let Some(cut) = learned.cut_short {
        if let (CutShort::Diverged(_), Some(kept)) = (&cut, &kept) {
            // Going on would only diverge again.
            kept.clear()?;
        }
        let resumable = kept.as_ref().is_some_and(|kept| kept.safe);
        return Err(cut.in_folder(&folder, resumable.then_some(command)));
    }
    let evaluation = learned.evaluation.ok_or_else(|| Failure::model("training gave no evaluation"))?;
    let pictures = Pictures::new(&panel, &evaluation, &learned.check, &config, progress.course());
    pictures.write(&folder)?;
    let prediction = Prediction {
        panel: &panel,
        config: &config,
        held_out: &evaluation.last_forecast,
        future: &learned.future,
    };
    let member = panel.members.get(learned.check.member);
    let page = Page {
        panel: &panel,
        config: &config,
        evaluation: Some(&evaluation),
        forecast: prediction.figure(),
        training: Some(report::Training {
            pictures: &pictures,
            residuals: member.map_or(Residuals::default(), |member| learned.check.residuals(member)),
            learnable: Learnable::of(&panel, &config),
            settings: &text,
            setbacks: progress.setbacks().sentence(),
        }),
        machine: place.described(),
        command: again(asked, files, &folder),
    };
    folder.write(run::REPORT, page.html().as_bytes())?;
    if tell {
        let text = format!("{}{}", held_out(&evaluation, &config), output::comparison(&evaluation));
        output::print(text.as_bytes())?;
        if let Some(sentence) = progress.setbacks().sentence() {
            say(&format!("warning: {sentence}"));
        }
        say(&format!("{:.1} s of training on {}", begun.elapsed().as_secs_f64(), place.described()));
    }
    Ok(Trained { panel, config, place, evaluation, future: learned.future, folder, kept })
}

/// A budget that becomes settings, by a measurement on the device.
struct Budgeted<'a> {
    panel: &'a Panel,
    seen: &'a Beside,
    trials: &'a [ForecastConfig],
    /// Seconds.
    left: f64,
    training: Training,
}

impl Job for Budgeted<'_> {
    type Output = Training;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Training> {
        let Self { panel, seen, trials, left, training } = self;
        let members = seen.members(panel);
        let wrong = |error| in_file(error, &panel.file);
        let step = Forecaster::<B, F>::seconds_a_step(backend, &trials[0], &members).map_err(wrong)?;
        let more = training.ensemble.is_none();
        let plan = Plan::new((left, step), trials, &members, more).map_err(wrong)?;
        let single = plan.trials < trials.len();
        // Numbers in the range that these settings have.
        let unsettable =
            |why: String| Failure::usage(format!("--budget gives a plan that cannot be set: {why}"));
        Ok(Training {
            effort: Some(format!("{}", plan.effort / 1e9).parse().map_err(unsettable)?),
            ensemble: Some(plan.ensemble.to_string().parse().map_err(unsettable)?),
            base: training.base.or(single.then_some(trials[0].base)),
            normalise: training.normalise.or(single.then_some(trials[0].normalise)),
            ..training
        })
    }
}

/// The work on the device.
struct Learn<'a> {
    panel: &'a Panel,
    calendar: Option<&'a Calendar>,
    trials: &'a [ForecastConfig],
    reading: Reading,
    /// Paths that are sampled.
    samples: Option<usize>,
    progress: &'a mut Progress,
    kept: Option<&'a mut Kept>,
}

/// What came of it.
struct Learned {
    /// Bytes of the model file.
    model: Vec<u8>,
    task: Task,
    evaluation: Option<Evaluation>,
    future: Future,
    /// What was missed on held-out rows.
    check: HeldOut,
    cut_short: Option<CutShort>,
}

/// Why training ended before its time; the model is the last good one.
enum CutShort {
    Interrupted,
    Diverged(Box<Fault>),
}

impl CutShort {
    fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Interrupted => Some(Self::Interrupted),
            Outcome::Diverged(fault) => Some(Self::Diverged(fault)),
            _ => None,
        }
    }

    fn in_folder(&self, folder: &Folder, resumable: Option<&str>) -> Failure {
        let model = folder.file(run::MODEL);
        let (kind, advice) = match (self, resumable) {
            (Self::Interrupted, Some(command)) => {
                let advice = format!("; go on with lstm {command} --resume {}", folder.path().display());
                (Kind::Interrupted, advice)
            }
            (Self::Interrupted, None) => (Kind::Interrupted, String::new()),
            (Self::Diverged(_), _) => (Kind::Diverged, "; lower --lr or --clip".to_owned()),
        };
        Failure::new(kind, format!("{self}{advice}; the best model so far is kept in {}", model.display()))
    }
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Diverged(fault) => write!(f, "training diverged at step {}: {fault}", fault.step),
        }
    }
}

impl Job for Learn<'_> {
    type Output = Learned;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Learned> {
        let Learn { panel, calendar, trials, reading, samples, progress, kept } = self;
        let beside = Beside::new(panel, calendar, trials[0].horizon + trials[0].segment);
        let members = beside.members(panel);
        let course = &mut kept.map_or_else(|| Ok(Course::default()), Kept::course)?;
        let keep = |forecaster: &Forecaster<B, F>, evaluation: &Evaluation, cut_short: Option<CutShort>| {
            let task = Task {
                beside: forecaster.beside.iter().map(|way| way.config.clone()).collect(),
                evaluation: Some(evaluation.clone()).filter(is_sound),
                cut_short: cut_short.as_ref().map(CutShort::to_string),
                ..Task::new(&forecaster.config, reading.clone(), panel, calendar)
            };
            Ok::<_, Failure>(Learned {
                model: run::to_bytes(backend, forecaster, &task, panel)?,
                task,
                evaluation: Some(evaluation.clone()),
                future: Future::default(),
                check: HeldOut::default(),
                cut_short,
            })
        };
        // The networks of all trials follow one another.
        let parts: Vec<(usize, usize)> = trials
            .iter()
            .enumerate()
            .flat_map(|(trial, config)| (0..config.ensemble).map(move |network| (trial, network)))
            .collect();
        let mut watch = |stage: Stage, step: u64, report: Option<&Report>| -> Flow {
            // At most all of them learn again from all rows.
            let ahead = 2 * stage.of - stage.index - 1;
            progress.stage(&format!("trial {} of {}", stage.index + 1, stage.of), step, ahead);
            if let Some((trial, network)) = parts.get(stage.index) {
                progress.part(Some(*trial), *network);
            }
            progress.observe(step, report)
        };
        let (held, evaluation, outcome) =
            Forecaster::<B, F>::hold_out(backend, trials, &members, course, &mut watch)
                .map_err(|error| in_file(error, &panel.file))?;
        if let Some(reason) = CutShort::of(outcome) {
            return keep(&held, &evaluation, Some(reason));
        }
        let check =
            HeldOut::new(backend, &held, &members, panel).map_err(|error| in_file(error, &panel.file))?;
        let mut last = 0;
        let mut watch = |stage: Stage, step: u64, report: Option<&Report>| -> Flow {
            last = step;
            let name = match stage.of {
                1 => "training on all rows".to_owned(),
                of => format!("training on all rows, {} of {of}", stage.index + 1),
            };
            progress.stage(&name, step, stage.of - stage.index - 1);
            progress.part(None, stage.index);
            progress.observe(step, report)
        };
        let (whole, outcome) =
            Forecaster::<B, F>::fit_all(backend, &held, &members, &evaluation, course, &mut watch)?;
        if let Some(reason) = CutShort::of(outcome) {
            return keep(&held, &evaluation, Some(reason));
        }
        let ready = panel.known.is_empty() || input::check_ahead(panel, held.config.horizon).is_ok();
        let future = match Future::new(backend, &whole, &members, (Some(&evaluation), samples)) {
            _ if !ready => Future::default(),
            // The loss of the last batch is no forecast. Where the model that was tested can forecast, it is not the numbers that are too large but the weights.
            Err(lstm_train::Error::TooLarge) if held.forecast(backend, &members).is_ok() => {
                let fault = Box::new(Fault::new(last, Culprit::Answer));
                return keep(&held, &evaluation, Some(CutShort::Diverged(fault)));
            }
            future => future.map_err(|error| in_file(error, &panel.file))?,
        };
        Ok(Learned { future, check, ..keep(&whole, &evaluation, None)? })
    }
}

/// Whether every number in it is one, so that it can be written as JSON and read again.
fn is_sound(evaluation: &Evaluation) -> bool {
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    evaluation.last_forecast.iter().all(|forecast| finite(forecast))
        && evaluation.trials.iter().all(|trial| finite(&[trial.validation, trial.base]))
        && finite(&[evaluation.taken.validation, evaluation.taken.simple])
        && evaluation.scores.iter().all(|score| {
            let metrics = [score.metrics.mae, score.metrics.rmse, score.metrics.smape];
            finite(&metrics)
                && finite(&score.standardised)
                && score.by_step.iter().flatten().all(|error| error.is_finite())
                && finite(&score.coverage)
                && score.wql.iter().chain(&score.crps).all(|loss| loss.is_finite())
                && score.interval.margin.iter().all(|margin| finite(margin))
        })
}

/// What the user decided, as the library asks for it.
pub(crate) fn choices(training: &Training, reading: &Reading) -> ForecastChoices {
    ForecastChoices {
        horizon: training.horizon.map(|v| v.get()),
        lookback: training.lookback.map(|v| v.get()),
        season: reading.season.map(|v| v.get()),
        base: training.base,
        normalise: training.normalise,
        segment: training.segment.map(|v| v.get()),
        embedding: training.embedding.map(|v| v.get()),
        hidden: training.hidden.map(|v| v.get()),
        layers: training.layers.map(|v| v.get()),
        dropout: training.dropout.map(|v| v.get()),
        forget_bias: training.forget_bias.map(|v| v.get()),
        loss: training.loss,
        head: training.head,
        optimizer: training.optimizer.map(|rule| format!("{rule:?}").to_lowercase()),
        lr: training.lr.map(|v| v.get()),
        schedule: training.schedule,
        patience: training.patience.map(|v| u32::try_from(v.wide()).unwrap_or(u32::MAX)),
        clip: training.clip.map(|v| v.get()),
        block: training.block.map(|v| v.get()),
        feedback: training.feedback,
        lowest: training.lowest.map(|v| v.get()),
        mase_season: training.mase_season.map(|v| v.get()),
        batch: training.batch.map(|v| v.get()),
        epochs: training.epochs.map(|v| v.wide()),
        effort: training.effort.map(|v| 1e9 * v.get()),
        ensemble: training.ensemble.map(|v| v.get()),
        average: training.average.map(|v| v.get()),
        held_out: training.held_out.map(|v| v.get()),
        validation: training.validation.map(|v| v.get()),
        seed: training.seed.map(|v| v.wide()),
    }
}

/// The settings under which the same is tried again, as a configuration file says them: all that was settled, and what
/// the trials decide left open.
fn repeated(trials: &[ForecastConfig], training: &Training) -> toml::Table {
    let mut table = toml::Table::try_from(&trials[0]).unwrap_or_default();
    let of_data = ["known", "past", "fixed", "told-apart"];
    let open = [("base", training.base.is_none()), ("normalise", training.normalise.is_none())];
    for name in of_data.into_iter().chain(open.into_iter().filter(|(_, open)| *open).map(|(name, _)| name)) {
        table.remove(name);
    }
    if trials[0].head != Head::Point {
        // It has a loss of its own.
        table.remove("loss");
    }
    // That of all trials, not of one network.
    let effort = training.effort.map_or(EFFORT / 1e9, |effort| effort.get());
    table.insert("effort".into(), toml::Value::Float(effort));
    table
}

/// The file's name before what is wrong with its numbers.
pub(crate) fn in_file(error: lstm_train::Error, file: &str) -> Failure {
    match error {
        lstm_train::Error::TooShort { .. } | lstm_train::Error::TooLarge => {
            Failure::data(format!("{file}: {error}"))
        }
        other => other.into(),
    }
}

/// The layers of a network, in words.
pub(crate) fn in_words(config: &ForecastConfig) -> String {
    let ForecastConfig { layers, hidden, embedding, .. } = config;
    let embedded =
        if *embedding > 0 { format!(" behind an embedding of {embedding}") } else { String::new() };
    format!("LSTM of {layers} x {hidden} units{embedded}")
}

fn announced(panel: &Panel, trials: &[ForecastConfig]) -> String {
    let config = &trials[0];
    let season = if config.season > 1 { config.season.to_string() } else { "none".into() };
    let tried = if trials.len() > 1 { format!("; {} ways are tried", trials.len()) } else { String::new() };
    format!(
        "{}horizon {}, lookback {}, season {season}; {}, seed {}{tried}\n",
        input::described(panel),
        config.horizon,
        config.lookback,
        in_words(config),
        config.seed
    )
}

fn held_out(evaluation: &Evaluation, config: &ForecastConfig) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (held, windows, horizon) = (config.held_out, evaluation.windows, config.horizon);
    let taken = output::taken(&evaluation.trials, &evaluation.taken, "on the validation part");
    let taken = taken.map_or(String::new(), |sentence| format!("{sentence}\n"));
    format!(
        "\n{taken}On the last {held} rows, which it has not seen ({windows} forecast{} of {horizon} step{}):\n",
        plural(windows),
        plural(horizon)
    )
}

fn metrics(panel: &Panel, config: &ForecastConfig, place: &Place, evaluation: Option<&Evaluation>) -> Value {
    json!({
        "file": panel.file,
        "series": panel.members.len(),
        "target": panel.members.iter().take(100).map(|member| &member.id).collect::<Vec<_>>(),
        "rows": panel.longest(),
        "step": panel.step().map(|step| step.to_string()),
        "repairs": panel.repairs,
        "notes": panel.notes,
        "config": config,
        "device": place.name(),
        "device-fallback": place.fallback(),
        "dtype": place.dtype(),
        "evaluation": evaluation,
        "winner": evaluation.and_then(Evaluation::winner).map(|score| &score.method),
        "skill": evaluation.and_then(output::skill),
    })
}

/// All settings of the run, with the device that it was on, so that it can be repeated.
fn settings_text(
    (asked, files): (Asked<'_>, &[PathBuf]),
    folder: &Folder,
    reading: &Reading,
    training: toml::Table,
    machine: &Machine,
) -> String {
    // A table of plain values cannot fail to be one.
    let part = |table: std::result::Result<toml::Table, toml::ser::Error>| table.unwrap_or_default();
    format!(
        "# All settings of this run. It is repeated exactly by\n#   {}\n{}",
        again(asked, files, folder),
        to_toml(&[
            ("Reading the file", part(toml::Table::try_from(reading))),
            ("Network and training", training),
            ("Machine", part(toml::Table::try_from(machine))),
        ])
    )
}

/// The command that repeats the run.
fn again(asked: Asked<'_>, files: &[PathBuf], folder: &Folder) -> String {
    let Asked { command, samples } = asked;
    let samples = samples.map_or(String::new(), |samples| format!(" --samples {samples}"));
    let files: Vec<String> = files.iter().map(|file| in_shell(file)).collect();
    let settings = in_shell(&folder.file(run::SETTINGS));
    format!("lstm {command} {} --config {settings}{samples} --out ANOTHER", files.join(" "))
}

/// A path as a POSIX shell takes it, in quotes where it needs them.
pub(crate) fn in_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_part_them() {
        for (path, words) in [
            ("runs/a-1.csv", "runs/a-1.csv"),
            ("my file.csv", "'my file.csv'"),
            ("it's", "'it'\\''s'"),
            ("zählung", "zählung"),
        ] {
            assert_eq!(in_shell(Path::new(path)), words);
        }
    }
}

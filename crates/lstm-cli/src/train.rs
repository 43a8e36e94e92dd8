//! `lstm train`, and the training that `lstm forecast` begins with.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use lstm_data::{Element, Series};
use lstm_nn::saved;
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Evaluation, ForecastChoices, ForecastConfig, Forecaster};
use lstm_train::{Flow, Outcome, Progress as Report};
use serde_json::{Value, json};

use crate::args::Train;
use crate::device::{self, Job, Place, Work};
use crate::failure::{Failure, Kind, Result};
use crate::progress::{Progress, say};
use crate::run::{self, Folder, Task};
use crate::settings::{Dtype, Machine, Settings, Training, to_toml};
use crate::{interrupt, output, series};

/// Trains, writes the run folder, and prints the comparison.
///
/// # Errors
/// Those of settings, data, device and files; divergence and Ctrl-C, after the last good model is kept.
pub(crate) fn run(args: Train) -> Result<()> {
    let settings = args.settings.with_file()?;
    let trained = learn("train", &args.file, &settings)?;
    let say = settings.output.say;
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
    pub(crate) series: Series,
    pub(crate) values: Vec<f64>,
    pub(crate) config: ForecastConfig,
    /// Where it was trained.
    place: Place,
    pub(crate) evaluation: Evaluation,
    /// Forecast of what follows the series.
    pub(crate) future: Vec<f64>,
    pub(crate) folder: Folder,
}

impl Trained {
    /// What a program wants to know.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = metrics(&self.series, &self.config, &self.place, Some(&self.evaluation));
        value["run"] = json!(self.folder.path());
        value
    }
}

/// Reads a file, trains on it, writes the run folder, and prints what the held-out part says; `command` is the one that
/// repeats it.
///
/// # Errors
/// As [`run`].
pub(crate) fn learn(command: &str, file: &Path, settings: &Settings) -> Result<Trained> {
    let folder = Folder::named(&settings.output, file);
    // The forecast of another model must not lie beside this one, so it is in the way too.
    folder.check(&[&run::OF_TRAINING[..], &run::OF_FORECAST].concat(), Some(file))?;
    let series = series::read(file, &settings.reading)?;
    let values = series::values(&series);
    let choices = choices(&settings.training, &settings.reading);
    let config = ForecastConfig::resolve(&choices, &series::seasons(&series), &values)
        .map_err(|error| in_file(error, &series.file))?;
    let place = device::open(&settings.machine, Work::Training, Dtype::default())?;
    let tell = !settings.output.say.json && !settings.output.say.quiet;
    if tell {
        output::print(announced(&series, &config).as_bytes())?;
    }
    let tail = values.len() - Task::tail_rows(&config, values.len());
    let task = Task {
        config: config.clone(),
        reading: series::resolved(&settings.reading, &series),
        target: series.names.first().cloned().unwrap_or_default(),
        rows: values.len(),
        time: series.time.clone(),
        tail: values[tail..].to_vec(),
        evaluation: None,
        cut_short: None,
    };
    interrupt::listen()?;
    folder.create()?;
    let begun = Instant::now();
    let mut progress = Progress::new(settings.output.say);
    let job = Learn { file: &series.file, task: &task, values: &values, progress: &mut progress };
    let learned = place.run(job).inspect_err(|_| folder.abandon());
    progress.finish();
    let learned = learned?;

    folder.clear(&run::OF_FORECAST)?;
    folder.write(run::MODEL, &learned.model)?;
    folder.write(
        run::SETTINGS,
        settings_text(command, file, &folder, &task, &place.resolved(&settings.machine)).as_bytes(),
    )?;
    let known = learned.evaluation.as_ref().filter(|evaluation| is_sound(evaluation));
    let mut metrics = metrics(&series, &config, &place, known);
    metrics["cut-short"] = json!(learned.cut_short.as_ref().map(CutShort::to_string));
    folder.write(run::METRICS, format!("{metrics:#}\n").as_bytes())?;
    folder.write(run::HISTORY, progress.history().as_bytes())?;
    if let Some(cut) = learned.cut_short {
        return Err(cut.in_folder(&folder));
    }
    let evaluation = learned.evaluation.ok_or_else(|| Failure::model("training gave no evaluation"))?;
    if tell {
        let text = format!(
            "{}{}",
            held_out(&evaluation, values.len(), config.horizon),
            output::comparison(&evaluation)
        );
        output::print(text.as_bytes())?;
        say(&format!("{:.1} s of training on {}", begun.elapsed().as_secs_f64(), place.described()));
    }
    Ok(Trained { series, values, config, place, evaluation, future: learned.future, folder })
}

/// The work on the device.
struct Learn<'a> {
    /// What messages call the file.
    file: &'a str,
    task: &'a Task,
    values: &'a [f64],
    progress: &'a mut Progress,
}

/// What came of it.
struct Learned {
    /// Bytes of the model file.
    model: Vec<u8>,
    evaluation: Option<Evaluation>,
    future: Vec<f64>,
    cut_short: Option<CutShort>,
}

/// Why training ended before its time; the model is the last good one.
enum CutShort {
    Interrupted,
    Diverged { step: u64 },
}

impl CutShort {
    fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Interrupted => Some(Self::Interrupted),
            Outcome::Diverged { step } => Some(Self::Diverged { step }),
            _ => None,
        }
    }

    fn in_folder(&self, folder: &Folder) -> Failure {
        let model = folder.file(run::MODEL);
        let (kind, advice) = match self {
            Self::Interrupted => (Kind::Interrupted, ""),
            Self::Diverged { .. } => (Kind::Diverged, "; lower --lr or --clip"),
        };
        Failure::new(kind, format!("{self}{advice}; the best model so far is kept in {}", model.display()))
    }
}

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Diverged { step } => {
                write!(f, "training diverged at step {step}: the loss or a gradient is no finite number")
            }
        }
    }
}

impl Job for Learn<'_> {
    type Output = Learned;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Learned> {
        let Learn { file, task, values, progress } = self;
        let config = || task.config.clone();
        let bytes = |forecaster: &Forecaster<B, F>, evaluation: &Evaluation, cut_short| -> Result<Vec<u8>> {
            let evaluation = Some(evaluation.clone()).filter(is_sound);
            let task = serde_json::to_value(Task { evaluation, cut_short, ..task.clone() })
                .map_err(|error| Failure::model(error.to_string()))?;
            Ok(saved::to_bytes(backend, &forecaster.model, &task)?)
        };
        progress.begin("training on a part");
        let mut observe = |step: u64, report: Option<&Report>| -> Flow { progress.observe(step, report) };
        let (held, evaluation, outcome) =
            Forecaster::<B, F>::hold_out(backend, config(), values, &mut observe)
                .map_err(|error| in_file(error, file))?;
        let cut_short = |reason: CutShort| -> Result<Learned> {
            let model = bytes(&held, &evaluation, Some(reason.to_string()))?;
            let (evaluation, future) = (Some(evaluation.clone()), Vec::new());
            Ok(Learned { model, evaluation, future, cut_short: Some(reason) })
        };
        if let Some(reason) = CutShort::of(outcome) {
            return cut_short(reason);
        }
        progress.begin("training on all rows");
        let mut last = 0;
        let mut observe = |step: u64, report: Option<&Report>| -> Flow {
            last = step;
            progress.observe(step, report)
        };
        let (whole, outcome) =
            Forecaster::<B, F>::fit_all(backend, config(), values, &evaluation, &mut observe)?;
        if let Some(reason) = CutShort::of(outcome) {
            return cut_short(reason);
        }
        let future = match whole.forecast(backend, values) {
            // The last step has no loss behind it that would have told. Where the model that was tested can forecast,
            // it is not the numbers that are too large but the weights.
            Err(lstm_train::Error::TooLarge) if held.forecast(backend, values).is_ok() => {
                return cut_short(CutShort::Diverged { step: last });
            }
            future => future.map_err(|error| in_file(error, file))?,
        };
        Ok(Learned {
            model: bytes(&whole, &evaluation, None)?,
            evaluation: Some(evaluation),
            future,
            cut_short: None,
        })
    }
}

/// Whether every number in it is one, so that it can be written as JSON and read again.
fn is_sound(evaluation: &Evaluation) -> bool {
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    finite(&evaluation.last_forecast)
        && evaluation.scores.iter().all(|score| {
            let metrics = [score.metrics.mae, score.metrics.rmse, score.metrics.smape];
            finite(&metrics) && finite(&score.interval.half_width)
        })
}

/// What the user decided, as the library asks for it.
fn choices(training: &Training, reading: &crate::settings::Reading) -> ForecastChoices {
    ForecastChoices {
        horizon: training.horizon.map(|v| v.get()),
        lookback: training.lookback.map(|v| v.get()),
        season: reading.season.map(|v| v.get()),
        base: training.base.map(|v| v.get()),
        hidden: training.hidden.map(|v| v.get()),
        layers: training.layers.map(|v| v.get()),
        dropout: training.dropout.map(|v| v.get()),
        forget_bias: training.forget_bias.map(|v| v.get()),
        optimizer: training.optimizer.map(|rule| format!("{rule:?}").to_lowercase()),
        lr: training.lr.map(|v| v.get()),
        clip: training.clip.map(|v| v.get()),
        batch: training.batch.map(|v| v.get()),
        epochs: training.epochs.map(|v| v.wide()),
        seed: training.seed.map(|v| v.wide()),
    }
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

fn announced(series: &Series, config: &ForecastConfig) -> String {
    let season = if config.season > 1 { config.season.to_string() } else { "none".into() };
    format!(
        "{}horizon {}, lookback {}, season {season}; LSTM of {} x {} units, seed {}\n",
        series::described(series),
        config.horizon,
        config.lookback,
        config.layers,
        config.hidden,
        config.seed
    )
}

fn held_out(evaluation: &Evaluation, rows: usize, horizon: usize) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (held, windows) = (rows - evaluation.first_row, evaluation.windows);
    format!(
        "\nOn the last {held} rows, which it has not seen ({windows} forecast{} of {horizon} step{}):\n",
        plural(windows),
        plural(horizon)
    )
}

fn metrics(
    series: &Series,
    config: &ForecastConfig,
    place: &Place,
    evaluation: Option<&Evaluation>,
) -> Value {
    json!({
        "file": series.file,
        "target": series.names.first(),
        "rows": series.rows(),
        "step": series.time.as_ref().map(|axis| axis.step.to_string()),
        "repairs": series.repairs,
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
fn settings_text(command: &str, file: &Path, folder: &Folder, task: &Task, machine: &Machine) -> String {
    // A table of plain values cannot fail to be one.
    let part = |table: std::result::Result<toml::Table, toml::ser::Error>| table.unwrap_or_default();
    let settings = folder.file(run::SETTINGS);
    format!(
        "# All settings of this run. It is repeated exactly by\n#   lstm {command} {} --config {} --out ANOTHER\n{}",
        file.display(),
        settings.display(),
        to_toml(&[
            ("Reading the file", part(toml::Table::try_from(&task.reading))),
            ("Network and training", part(toml::Table::try_from(&task.config))),
            ("Machine", part(toml::Table::try_from(machine))),
        ])
    )
}

//! `lstm forecast`: what comes next, by training on the file or by a model trained before.

use std::path::Path;

use lstm_data::{Element, Step, TimeAxis};
use lstm_tensor::{Backend, Float};
use lstm_train::baseline::seasonal_naive;
use lstm_train::forecaster::{Evaluation, ForecastConfig, Forecaster};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Forecast;
use crate::device::{self, Job, Work};
use crate::failure::{Failure, Result};
use crate::picture::Scene;
use crate::progress::say;
use crate::run::{self, Folder, Saved};
use crate::settings::{Reading, Settings, Training, over};
use crate::train::{self, in_file};
use crate::{output, plot, series};

/// Forecasts, writes forecast.csv and forecast.png, and shows them.
///
/// # Errors
/// Those of settings, data, models, device and files; divergence and Ctrl-C.
pub(crate) fn run(args: Forecast) -> Result<()> {
    let settings = args.settings.with_file()?;
    match (&args.model, &args.file) {
        (Some(model), file) => with_model(model, file.as_deref(), &settings),
        (None, Some(file)) => by_training(file, &settings),
        (None, None) => Err(Failure::usage("name a CSV file, or a run folder with --model")),
    }
}

fn by_training(file: &Path, settings: &Settings) -> Result<()> {
    let trained = train::learn("forecast", file, settings)?;
    let prediction = Prediction {
        file: &trained.series.file,
        config: &trained.config,
        target: trained.series.names.first().map_or("", String::as_str),
        time: trained.series.time.as_ref(),
        rows: trained.values.len(),
        history: &trained.values,
        held_out: &trained.evaluation.last_forecast,
        evaluation: Some(&trained.evaluation),
        mean: &trained.future,
    };
    prediction.deliver(&trained.folder, settings, trained.to_json())
}

fn with_model(model: &Path, file: Option<&Path>, settings: &Settings) -> Result<()> {
    let saved = Saved::read(model)?;
    refuse_settled(&settings.training, &settings.reading)?;
    if file.is_none() {
        refuse(&settings.reading, "says how to read a file, and none is named; name one, or leave it out")?;
    }
    let folder = Folder::named_or(&settings.output, saved.folder());
    folder.check(&run::OF_FORECAST, file)?;
    let task = &saved.task;
    let (values, time, rows);
    if let Some(file) = file {
        let series = series::read(file, &reading(&settings.reading, &saved))?;
        same_step(&series.file, series.time.as_ref(), task.time.as_ref())?;
        (values, time, rows) = (series::values(&series), series.time.clone(), series.rows());
    } else {
        (values, time, rows) = (task.tail.clone(), task.time.clone(), task.rows);
    }
    let job = Predict { saved: &saved, values: &values };
    let named = file.map_or(saved.path.display().to_string(), |file| file.display().to_string());
    let place = device::open(&settings.machine, Work::Forecasting, saved.dtype())?;
    let mean = place.run(job)?.map_err(|error| in_file(error, &named))?;
    if !settings.output.say.json && !settings.output.say.quiet {
        say(&format!("forecast on {}", place.described()));
    }
    let prediction = Prediction {
        file: &named,
        config: &task.config,
        target: &task.target,
        time: time.as_ref(),
        rows,
        history: &values,
        held_out: &[],
        evaluation: task.evaluation.as_ref(),
        mean: &mean,
    };
    let known = json!({
        "run": folder.path(),
        "model": saved.path,
        "device": place.name(),
        "dtype": place.dtype(),
    });
    prediction.deliver(&folder, settings, known)
}

/// How a new file is read for a saved model: as its own was, unless a flag says otherwise.
pub(crate) fn reading(flags: &Reading, saved: &Saved) -> Reading {
    let mut reading = over(flags, saved.task.reading.clone());
    reading.season = saved.task.config.season.to_string().parse().ok();
    reading
}

/// What a trained model has settled cannot be set again; no setting is accepted and ignored.
///
/// # Errors
/// A usage failure that names the setting.
pub(crate) fn refuse_settled(training: &Training, reading: &Reading) -> Result<()> {
    const WHY: &str = "is settled in a trained model; leave it out, or train a new model without --model";
    refuse(training, WHY)?;
    refuse(&Reading { season: reading.season, ..Reading::default() }, WHY)
}

/// Refuses the first of these settings that is given.
fn refuse(settings: &impl Serialize, why: &str) -> Result<()> {
    let given = toml::Table::try_from(settings).unwrap_or_default();
    match given.keys().next() {
        Some(name) => Err(Failure::usage(format!("--{name} {why}"))),
        None => Ok(()),
    }
}

/// A model of hours cannot forecast days.
///
/// # Errors
/// A data failure that names both steps.
pub(crate) fn same_step(file: &str, found: Option<&TimeAxis>, wanted: Option<&TimeAxis>) -> Result<()> {
    match (found.map(|axis| axis.step), wanted.map(|axis| axis.step)) {
        (Some(found), Some(wanted)) if found != wanted => Err(Failure::data(format!(
            "{file}: its step is {found}, but the model was trained on a step of {wanted}; use a file with that \
             step, or train a model on this one"
        ))),
        _ => Ok(()),
    }
}

/// A saved model at work.
struct Predict<'a> {
    saved: &'a Saved,
    values: &'a [f64],
}

impl Job for Predict<'_> {
    type Output = lstm_train::Result<Vec<f64>>;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output> {
        let model = self.saved.model.load::<B, F>(backend)?;
        Ok(Forecaster { config: self.saved.task.config.clone(), model }.forecast(backend, self.values))
    }
}

/// A forecast with all that is written and shown beside it.
struct Prediction<'a> {
    /// What messages call the series.
    file: &'a str,
    config: &'a ForecastConfig,
    target: &'a str,
    time: Option<&'a TimeAxis>,
    /// Rows of the series.
    rows: usize,
    /// Its last rows, or all.
    history: &'a [f64],
    held_out: &'a [f64],
    evaluation: Option<&'a Evaluation>,
    mean: &'a [f64],
}

/// One method's forecast.
struct Line<'a> {
    method: &'a str,
    mean: Vec<f64>,
    band: Option<(Vec<f64>, Vec<f64>)>,
}

impl Prediction<'_> {
    /// Writes the files, and prints a small plot or, with `--json`, `value` and the forecast.
    fn deliver(&self, folder: &Folder, settings: &Settings, mut value: Value) -> Result<()> {
        let lines = self.lines()?;
        folder.create()?;
        let figure = self.figure(&lines);
        folder.write(run::FORECAST, self.csv(&lines).as_bytes())?;
        let png = figure
            .to_png_bytes()
            .map_err(|error| Failure::model(format!("{}: {error:#}", folder.file(run::PICTURE).display())))?;
        folder.write(run::PICTURE, &png)?;
        let say = settings.output.say;
        if say.json {
            value["forecast"] = self.records(&lines);
            return output::print_json(&value);
        }
        if say.quiet {
            return Ok(());
        }
        let picture = plot::terminal(&figure, output::width(), 18, output::colours());
        let (path, csv) = (folder.path().display(), folder.file(run::FORECAST));
        let text = format!("\n{picture}\nThe forecast is in {}, all of the run in {path}\n", csv.display());
        output::print(text.as_bytes())
    }

    /// The LSTM, and the best baseline where that was better on held-out rows.
    ///
    /// # Errors
    /// A data failure where a number of them is not finite.
    fn lines(&self) -> Result<Vec<Line<'_>>> {
        let mut lines = vec![self.line("lstm", self.mean.to_vec())];
        let winner = self.evaluation.and_then(Evaluation::winner).map_or("lstm", |score| &score.method);
        if winner != "lstm" {
            let season = if winner == "naive" { 1 } else { self.config.season };
            lines.push(self.line(winner, seasonal_naive(self.history, season, self.config.horizon)));
        }
        if lines.iter().all(Line::is_finite) {
            Ok(lines)
        } else {
            Err(in_file(lstm_train::Error::TooLarge, self.file))
        }
    }

    fn line<'m>(&self, method: &'m str, mean: Vec<f64>) -> Line<'m> {
        let interval = self.evaluation.and_then(|e| e.score(method)).map(|score| &score.interval);
        let edge = |sign: f64, by: &[f64]| mean.iter().zip(by).map(|(mean, by)| mean + sign * by).collect();
        let band = interval.map(|i| (edge(-1.0, &i.half_width), edge(1.0, &i.half_width)));
        Line { method, mean, band }
    }

    /// Times of the forecast steps; without a time column the numbers of the rows, from 1.
    fn times(&self) -> Vec<String> {
        let rows = self.rows..self.rows + self.mean.len();
        rows.map(|row| self.time.map_or_else(|| (row + 1).to_string(), |axis| axis.label(row))).collect()
    }

    fn csv(&self, lines: &[Line<'_>]) -> String {
        let mut text = String::from("time,model,mean,lo-80,hi-80\n");
        let times = self.times();
        for line in lines {
            for (step, (time, mean)) in times.iter().zip(&line.mean).enumerate() {
                let (lo, hi) = line.edges(step);
                let cell = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
                text += &format!("{time},{},{mean},{},{}\n", line.method, cell(lo), cell(hi));
            }
        }
        text
    }

    fn records(&self, lines: &[Line<'_>]) -> Value {
        let times = self.times();
        let records = lines.iter().flat_map(|line| {
            times.iter().zip(&line.mean).enumerate().map(|(step, (time, mean))| {
                let (lo, hi) = line.edges(step);
                json!({ "time": time, "model": line.method, "mean": mean, "lo-80": lo, "hi-80": hi })
            })
        });
        records.collect()
    }

    fn figure(&self, lines: &[Line<'_>]) -> plot::Figure {
        // Enough of the past to see the pattern, not so much that the forecast shrinks to a dot.
        let horizon = self.config.horizon;
        let shown = (4 * horizon).max(2 * self.config.season).max(48).min(self.history.len());
        let history = &self.history[self.history.len() - shown..];
        let baseline = lines.iter().find(|line| line.method != "lstm");
        Scene {
            title: format!("{}: {}", self.target, ahead(horizon, self.time.map(|time| time.step))),
            target: self.target,
            time: self.time,
            first: self.rows - shown,
            history,
            held_out: self.held_out,
            mean: self.mean,
            band: lines.first().and_then(|line| line.band.clone()),
            baseline: baseline.map(|line| (output::spoken(line.method), line.mean.as_slice())),
        }
        .figure()
    }
}

/// What is forecast, in words: a step of one unit needs no naming of steps.
fn ahead(horizon: usize, step: Option<Step>) -> String {
    let (length, of) = match step.map(|step| step.to_string()) {
        None => ("step".to_owned(), String::new()),
        Some(step) => match step.strip_prefix("1 ") {
            Some(unit) => (unit.to_owned(), String::new()),
            None => ("step".to_owned(), format!(" of {step}")),
        },
    };
    if horizon == 1 { format!("the next {length}{of}") } else { format!("the next {horizon} {length}s{of}") }
}

impl Line<'_> {
    fn is_finite(&self) -> bool {
        let (lo, hi) = self.band.as_ref().map_or((&[][..], &[][..]), |(lo, hi)| (lo, hi));
        [&self.mean, lo, hi].into_iter().flatten().all(|value| value.is_finite())
    }

    /// Edges of the 80% interval at a step.
    fn edges(&self, step: usize) -> (Option<f64>, Option<f64>) {
        let Some((lo, hi)) = &self.band else { return (None, None) };
        (lo.get(step).copied(), hi.get(step).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_by_their_unit() {
        for (horizon, step, words) in [
            (7, Some(Step::Micros(86_400_000_000)), "the next 7 days"),
            (48, Some(Step::Micros(1_800_000_000)), "the next 48 steps of 30 minutes"),
            (1, Some(Step::Months(1)), "the next month"),
            (1, Some(Step::Months(2)), "the next step of 2 months"),
            (3, None, "the next 3 steps"),
        ] {
            assert_eq!(ahead(horizon, step), words);
        }
    }
}

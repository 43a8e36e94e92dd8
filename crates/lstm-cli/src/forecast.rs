//! `lstm forecast`: what comes next, by training on the file or by a model trained before.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use lstm_data::panel::{Panel, PanelOptions};
use lstm_data::{Element, Step};
use lstm_nn::durable::Durable;
use lstm_tensor::{Backend, Float};
use lstm_train::baseline::Simple;
use lstm_train::forecaster::{self, Edges, Evaluation, ForecastConfig, Forecaster, LEVELS, OfMethod, Window};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Forecast;
use crate::device::{self, Job, Work};
use crate::failure::{Failure, Result};
use crate::input::Beside;
use crate::origin::Asked;
use crate::picture::{Scene, label};
use crate::progress::say;
use crate::report::Page;
use crate::resume::Keeping;
use crate::run::{self, Folder, Saved};
use crate::settings::{Reading, Settings, Training, over};
use crate::train::{self, Trained, in_file};
use crate::value::Whole;
use crate::{eval, input, memory, output, plot};

/// Sample paths that a picture shows at most.
const PATHS: usize = 5;
/// Series that a picture shows at most.
const DRAWN: usize = 6;

/// Forecasts, writes forecast.csv and pictures, and shows them.
///
/// # Errors
/// Those of settings, data, models, device and files; divergence and Ctrl-C.
pub(crate) fn run(args: Forecast) -> Result<()> {
    let every = args.checkpoint_every;
    if let Some(run) = &args.resume {
        return deliver(&train::go_on("forecast", run, &args.settings, every)?, &args.settings);
    }
    let settings = args.settings.with_file()?;
    let samples = args.samples.map(Whole::get);
    match &args.model {
        Some(model) => with_model(model, &args.files, &settings, samples),
        None if args.files.is_empty() => Err(Failure::usage("name a CSV file, or a run folder with --model")),
        None => deliver(
            &train::learn(
                Asked { command: "forecast", samples },
                &args.files,
                &settings,
                (args.budget, Keeping::new(every)),
            )?,
            &settings,
        ),
    }
}

/// Writes and shows the forecast of a training that has ended.
///
/// # Errors
/// A model failure that names the file.
pub(crate) fn deliver(trained: &Trained, settings: &Settings) -> Result<()> {
    let prediction = Prediction {
        panel: &trained.panel,
        config: &trained.config,
        held_out: &trained.evaluation.last_forecast,
        future: &trained.future,
    };
    prediction.deliver(&trained.folder, settings, trained.to_json())?;
    trained.finish()
}

fn with_model(model: &Path, files: &[PathBuf], settings: &Settings, samples: Option<usize>) -> Result<()> {
    let saved = Saved::read(model)?;
    refuse_settled(&settings.training, &settings.reading)?;
    let task = &saved.task;
    let folder = Folder::named_or(&settings.output, saved.folder());
    folder.check(&run::OF_FORECAST, None)?;
    for file in files {
        folder.check(&run::OF_FORECAST, Some(file))?;
    }
    let panel = if files.is_empty() {
        let Reading { future, .. } = &settings.reading;
        refuse(
            &Reading { future: None, ..settings.reading.clone() },
            "says how to read a file, and none is named; name one, or leave it out",
        )?;
        let mut tail = saved.tail().clone();
        if let Some(future) = future {
            input::extend(&mut tail, &input::table(future, &task.reading)?, &task.reading.panel())?;
        }
        tail
    } else {
        new_panel(files, &settings.reading, &saved)?
    };
    input::check_ahead(&panel, task.config.horizon)?;
    memory::check_samples(samples, panel.members.len(), task.config.horizon)?;
    if !files.is_empty() && !settings.output.say.json && !settings.output.say.quiet {
        let text = input::described(&panel) + &eval::news(&panel, &saved).unwrap_or_default();
        output::print(text.as_bytes())?;
    }
    let known = task.evaluation.as_ref().is_some_and(|evaluation| evaluation.templates.is_empty());
    if samples.is_some() && known && !settings.output.say.quiet {
        say(
            "warning: the model keeps no errors of earlier forecasts, so the steps of its sample paths hang together by chance \
             alone; train it again for better ones",
        );
    }
    let place = device::open(&settings.machine, Work::Forecasting, saved.dtype())?;
    let future = place.run(Predict { saved: &saved, panel: &panel, samples })?;
    if !settings.output.say.json && !settings.output.say.quiet {
        say(&format!("forecast on {}", place.described()));
    }
    let prediction = Prediction { panel: &panel, config: &task.config, held_out: &[], future: &future };
    let known = json!({
        "run": folder.path(),
        "model": saved.path,
        "device": place.name(),
        "dtype": place.dtype(),
    });
    folder.create()?;
    let page = Page {
        panel: &panel,
        config: &task.config,
        evaluation: task.evaluation.as_ref(),
        forecast: prediction.figure(),
        training: None,
        machine: place.described(),
        command: given(),
    };
    folder.write(run::PAGE, page.html().as_bytes())?;
    prediction.deliver(&folder, settings, known)
}

/// The command that is under way, as a shell takes it.
fn given() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| train::in_shell(Path::new(&argument)));
    std::iter::once("lstm".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The series of new files, read for a saved model: as its own were, unless a flag says otherwise.
///
/// # Errors
/// A data failure, also where the model was trained on series of another kind.
pub(crate) fn new_panel(files: &[PathBuf], flags: &Reading, saved: &Saved) -> Result<Panel> {
    let mut reading = over(flags, saved.task.reading.clone());
    reading.season = saved.task.config.season.to_string().parse().ok();
    let options = PanelOptions { categories: saved.task.categories(), ..reading.panel() };
    let panel = input::read_as(files, &reading, &options)?;
    saved.task.fits(&panel)?;
    Ok(panel)
}

/// What a trained model has settled cannot be set again; no setting is accepted and ignored.
///
/// # Errors
/// A usage failure that names the setting.
pub(crate) fn refuse_settled(training: &Training, reading: &Reading) -> Result<()> {
    const WHY: &str = "is settled in a trained model; leave it out, or train a new model without --model";
    refuse(training, WHY)?;
    let Reading { season, calendar, joint, .. } = *reading;
    refuse(&Reading { season, calendar, joint, ..Reading::default() }, WHY)
}

/// What is to come says nothing where forecasts are held against what came.
///
/// # Errors
/// A usage failure where it is named.
pub(crate) fn refuse_future(reading: &Reading) -> Result<()> {
    const WHY: &str =
        "gives what is known of rows to come, and forecasts are held against rows that came; leave it out";
    refuse(&Reading { future: reading.future.clone(), ..Reading::default() }, WHY)
}

/// Refuses the first of these settings that is given.
///
/// # Errors
/// A usage failure that names it.
pub(crate) fn refuse(settings: &impl Serialize, why: &str) -> Result<()> {
    let given = toml::Table::try_from(settings).unwrap_or_default();
    match given.keys().next() {
        Some(name) => Err(Failure::usage(format!("--{name} {why}"))),
        None => Ok(()),
    }
}

/// A saved model at work.
struct Predict<'a> {
    saved: &'a Saved,
    panel: &'a Panel,
    samples: Option<usize>,
}

impl Job for Predict<'_> {
    type Output = Future;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Future> {
        let Self { saved, panel, samples } = self;
        let config = &saved.task.config;
        let beside = Beside::new(panel, saved.task.calendar.as_ref(), config.horizon + config.segment);
        let members = beside.members(panel);
        let all = |member: usize| panel.members[member].rows();
        let forecaster: Forecaster<B, F> = saved.forecaster(backend, panel, (&members, all))?;
        Future::new(backend, &forecaster, &members, (saved.task.evaluation.as_ref(), samples))
            .map_err(|error| in_file(error, &panel.file))
    }
}

/// Forecasts of what follows each series.
#[derive(Default)]
pub(crate) struct Future {
    /// The LSTM's first; then those of the best baseline where that was better on held-out rows.
    lines: Vec<Line>,
    /// Sample paths of each series, from the LSTM, `[samples, H]`.
    paths: Vec<Vec<f64>>,
}

/// One method's forecasts.
struct Line {
    method: &'static str,
    /// One for each series.
    mean: Vec<Vec<f64>>,
    /// Edges of the intervals, of each series; none where nothing was measured.
    edges: Option<Vec<Vec<Edges>>>,
}

impl Future {
    /// Behind the last row of each of `members`.
    ///
    /// # Errors
    /// [`lstm_train::Error::TooShort`] and [`lstm_train::Error::TooLarge`].
    pub(crate) fn new<B: Backend, F: Float>(
        backend: &B,
        forecaster: &Forecaster<B, F>,
        members: &[forecaster::Member<'_>],
        (evaluation, samples): (Option<&Evaluation>, Option<usize>),
    ) -> lstm_train::Result<Self> {
        let reach = forecaster.config.reach();
        let window = |(member, m): (usize, &forecaster::Member<'_>)| {
            (m.rows() >= reach).then_some(Window { member, row: m.rows() })
        };
        let windows: Vec<Window> = members.iter().enumerate().filter_map(window).collect();
        if windows.is_empty() {
            // Says what is missing.
            forecaster.forecast(backend, members)?;
        }
        let scales = forecaster.scales_at(members, &windows);
        let horizon = forecaster.config.horizon;
        let line = |of: OfMethod| {
            let score = evaluation.and_then(|evaluation| evaluation.score(of.method));
            let edges = score.map(|score| {
                let scaled = |at: usize| {
                    let (window, h) = (at / horizon, at % horizon);
                    forecaster.calibrated(&score.interval, h, of.forecasts[at], &of.edges(at), scales[window])
                };
                by_member(&windows, members.len(), (0..of.forecasts.len()).map(scaled).collect(), horizon)
            });
            let mean = by_member(&windows, members.len(), of.forecasts.clone(), horizon);
            Line { method: of.method, mean, edges }
        };
        let mut lines = vec![line(forecaster.lstm_at(backend, members, &windows, None)?)];
        let winner = evaluation.and_then(Evaluation::winner).map_or("lstm", |score| &score.method);
        if let Some(kind) = Simple::named(winner) {
            let forecasts = forecaster.baseline_at(kind, members, &windows, None);
            lines.push(line(OfMethod { method: kind.name(), forecasts, said: None }));
        }
        let known = evaluation.and_then(|evaluation| Some((evaluation, evaluation.score("lstm")?)));
        let paths = match (samples, known) {
            (Some(samples), Some((evaluation, score))) => {
                let past = (&score.interval, evaluation.templates.as_slice());
                let drawn = (samples, forecaster.config.seed);
                let paths = forecaster.paths(backend, members, &windows, past, drawn)?;
                by_member(&windows, members.len(), paths, samples * horizon)
            }
            (Some(samples), None) => {
                let must = "left out for a model that was not measured on held-out rows".into();
                let value = samples.to_string();
                return Err(lstm_train::Error::Invalid { what: "samples", value, must });
            }
            (None, _) => Vec::new(),
        };
        if lines.iter().all(Line::is_finite) {
            Ok(Self { lines, paths })
        } else {
            Err(lstm_train::Error::TooLarge)
        }
    }
}

/// What windows have, one step of `width` after the other, by series.
fn by_member<T: Clone>(windows: &[Window], members: usize, values: Vec<T>, width: usize) -> Vec<Vec<T>> {
    let mut all = vec![Vec::new(); members];
    for (window, values) in windows.iter().zip(values.chunks_exact(width)) {
        all[window.member] = values.to_vec();
    }
    all
}

impl Line {
    fn is_finite(&self) -> bool {
        let edges = self.edges.iter().flatten().flatten().flat_map(|edges| edges.as_flattened());
        self.mean.iter().flatten().chain(edges).all(|value| value.is_finite())
    }

    /// Edges of the interval of a level around the forecast of a series.
    fn band(&self, level: usize, series: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let edges = self.edges.as_ref()?.get(series)?;
        Some(edges.iter().map(|edges| (edges[level][0], edges[level][1])).unzip())
    }
}

/// Forecasts with all that is written and shown beside them.
pub(crate) struct Prediction<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) config: &'a ForecastConfig,
    /// The LSTM's forecast of the last held-out rows of each series.
    pub(crate) held_out: &'a [Vec<f64>],
    pub(crate) future: &'a Future,
}

impl Prediction<'_> {
    /// Writes the files, and prints a small plot or, with `--json`, `value` and the forecast.
    fn deliver(&self, folder: &Folder, settings: &Settings, mut value: Value) -> Result<()> {
        folder.create()?;
        let figure = self.figure();
        folder.write(run::FORECAST, self.csv().as_bytes())?;
        self.write_samples(folder)?;
        folder.draw(run::PICTURE, &figure)?;
        let say = settings.output.say;
        if say.json {
            value["forecast"] = self.records();
            value["without-forecast"] = json!(self.without_forecast());
            return output::print_json(&value);
        }
        if say.quiet {
            return Ok(());
        }
        let picture = plot::terminal(&figure, output::width(), 18, output::colours());
        let (path, csv) = (folder.path().display(), folder.file(run::FORECAST));
        let short = self.without_forecast();
        let short = match short.as_slice() {
            [] => String::new(),
            [first, ..] => format!(
                "{} series of fewer than {} rows get no forecast, {first} first; a smaller --lookback reaches them\n",
                short.len(),
                self.config.reach()
            ),
        };
        let below = self.below_zero().map_or(String::new(), |series| {
            format!(
                "{series} was never below 0, and its forecast is: train with `--lowest 0` if it cannot be\n"
            )
        });
        let text = format!(
            "\n{picture}\n{short}{below}The forecast is in {}, all of the run in {path}\n",
            csv.display()
        );
        output::print(text.as_bytes())
    }

    /// The first series that was never below 0 and whose forecast is.
    fn below_zero(&self) -> Option<&str> {
        let lstm = self.future.lines.first()?;
        let below = |values: &[f64]| values.iter().any(|value| *value < 0.0);
        let found =
            self.panel.members.iter().zip(&lstm.mean).find(|(m, mean)| !below(&m.values) && below(mean));
        found.map(|(member, _)| member.id.as_str())
    }

    /// Series that are too short for one.
    fn without_forecast(&self) -> Vec<&str> {
        let lstm = self.future.lines.first();
        let none = |series: usize| lstm.is_none_or(|line| line.mean[series].is_empty());
        let members = self.panel.members.iter().enumerate();
        members.filter(|(series, _)| none(*series)).map(|(_, member)| member.id.as_str()).collect()
    }

    /// Calls `each` with series, time, method, mean, and edges by level of every forecast value.
    fn visit(&self, mut each: impl FnMut(&str, &str, &str, f64, &[(f64, f64)])) {
        for (series, member) in self.panel.members.iter().enumerate() {
            let rows = member.rows()..member.rows() + self.config.horizon;
            let times: Vec<String> = rows.map(|row| label(member, row)).collect();
            for line in &self.future.lines {
                let bands: Vec<_> = (0..LEVELS.len()).filter_map(|level| line.band(level, series)).collect();
                for (step, (time, mean)) in times.iter().zip(&line.mean[series]).enumerate() {
                    let edges: Vec<_> = bands.iter().map(|(lo, hi)| (lo[step], hi[step])).collect();
                    each(&member.id, time, line.method, *mean, &edges);
                }
            }
        }
    }

    fn csv(&self) -> String {
        let mut text = format!("series,time,model,mean{}\n", names().map(|name| format!(",{name}")).concat());
        self.visit(|series, time, method, mean, edges| {
            text += &format!("{},{},{method},{mean}", quoted(series), quoted(time));
            for level in 0..LEVELS.len() {
                text += &edges.get(level).map_or(",,".into(), |(lo, hi)| format!(",{lo},{hi}"));
            }
            text.push('\n');
        });
        text
    }

    /// Line by line: they may be more than memory holds as text.
    fn write_samples(&self, folder: &Folder) -> Result<()> {
        if self.future.paths.is_empty() {
            // Those of an earlier forecast are of another one.
            return folder.clear(&[run::SAMPLES]);
        }
        let path = folder.file(run::SAMPLES);
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        let mut file = BufWriter::new(Durable::create(&path)?);
        writeln!(file, "series,sample,time,value").map_err(failed)?;
        let horizon = self.config.horizon;
        for (member, paths) in self.panel.members.iter().zip(&self.future.paths) {
            let rows = member.rows()..member.rows() + horizon;
            let (series, times) =
                (quoted(&member.id), rows.map(|row| quoted(&label(member, row))).collect::<Vec<_>>());
            for (number, path) in paths.chunks_exact(horizon).enumerate() {
                for (time, value) in times.iter().zip(path) {
                    writeln!(file, "{series},{},{time},{value}", number + 1).map_err(failed)?;
                }
            }
        }
        Ok(file.into_inner().map_err(|error| failed(error.into_error()))?.finish()?)
    }

    fn records(&self) -> Value {
        let mut records = Vec::new();
        self.visit(|series, time, method, mean, edges| {
            let mut record = json!({ "series": series, "time": time, "model": method, "mean": mean });
            let edges = (0..LEVELS.len()).flat_map(|level| match edges.get(level) {
                Some((lo, hi)) => [json!(lo), json!(hi)],
                None => [Value::Null, Value::Null],
            });
            for (name, edge) in names().iter().zip(edges) {
                record[name] = edge;
            }
            records.push(record);
        });
        records.into()
    }

    /// What was known, what was held back, what comes.
    pub(crate) fn figure(&self) -> plot::Figure {
        // Enough of the past to see the pattern, not so much that the forecast shrinks to a dot.
        let horizon = self.config.horizon;
        let shown = (4 * horizon).max(2 * self.config.season).max(48);
        let lstm = self.future.lines.first();
        let scenes = self.panel.members.iter().enumerate().take(DRAWN).map(|(series, member)| {
            let shown = shown.min(member.rows());
            let baseline = self.future.lines.get(1);
            Scene {
                target: &member.id,
                time: member.axis.as_ref(),
                first: member.rows() - shown,
                history: &member.values[member.rows() - shown..],
                held_out: self.held_out.get(series).map_or(&[], Vec::as_slice),
                mean: lstm.map_or(&[], |line| line.mean[series].as_slice()),
                paths: self
                    .future
                    .paths
                    .get(series)
                    .map_or(Vec::new(), |paths| paths.chunks_exact(horizon).take(PATHS).collect()),
                bands: (0..LEVELS.len()).rev().filter_map(|level| lstm?.band(level, series)).collect(),
                baseline: baseline.map(|line| (output::spoken(line.method), line.mean[series].as_slice())),
            }
        });
        let ahead = ahead(horizon, self.panel.step());
        let title = match self.panel.members.as_slice() {
            [only] => format!("{}: {ahead}", only.id),
            all if all.len() > DRAWN => format!("{ahead} of the first {DRAWN} of {} series", all.len()),
            _ => ahead,
        };
        Scene::figure(title, scenes)
    }
}

/// Names of the edges of all levels, narrowest first.
pub(crate) fn names() -> [String; 2 * LEVELS.len()] {
    std::array::from_fn(|at| {
        let edge = if at % 2 == 0 { "lo" } else { "hi" };
        format!("{edge}-{:.0}", 100.0 * LEVELS[at / 2])
    })
}

/// A field of a CSV file, in quotes where it needs them.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
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

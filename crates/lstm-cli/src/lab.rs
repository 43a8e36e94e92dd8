//! `lstm lab`: a model fed with its own predictions.

mod picture;
mod report;

use std::path::{Path, PathBuf};

use lstm_data::Element;
use lstm_data::panel::{Member as Series, Panel};
use lstm_nn::Readout;
use lstm_nn::saved::{self, SavedModel};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Member, Purpose};
use lstm_train::lab::{
    ClosedLoop, Dominant, Findings, ForecastLoop, Protocol, Scale, StateLoop, WindowLoop, dominant_period,
    evenly, examine, moments,
};
use serde_json::Value;

use crate::args::Lab;
use crate::device::{self, Job, Work};
use crate::eval::rows_seen;
use crate::failure::{Failure, Result};
use crate::forecast::{new_panel, refuse, refuse_future, refuse_settled};
use crate::progress::say;
use crate::run::{self, Folder, Saved};
use crate::settings::{Dtype, Reading, Training};
use crate::train::in_file;
use crate::value::Number;
use crate::{input, output};

/// All numbers.
const NUMBERS: &str = "lab.json";
/// The pictures.
const PICTURES: [&str; 2] = ["lab.png", "lab.svg"];
/// Free runs unless told otherwise.
const ORIGINS: usize = 200;
/// Fewer steps are no period.
const SHORTEST: f64 = 2.0;

/// Measures the loop, writes lab.json and the pictures, and prints a table and what it means.
///
/// # Errors
/// Those of settings, data, models, device and files.
pub(crate) fn run(args: &Lab) -> Result<()> {
    if args.machine.dtype == Some(Dtype::F32) {
        return Err(Failure::usage(
            "--dtype f32: the laboratory takes differences and computes in f64; leave it out",
        ));
    }
    let subject = Subject::read(args)?;
    let file = subject.file(args)?;
    let folder = Folder::named_or(&args.output, subject.folder());
    folder.check(&[&[NUMBERS][..], &PICTURES].concat(), Some(&file))?;
    let panel = subject.panel(args, file)?;
    let [series] = panel.members.as_slice() else {
        return Err(Failure::usage(format!(
            "{}: it holds {} series, and a loop is of one; choose it with --target",
            panel.file,
            panel.members.len()
        )));
    };
    let plan = Plan::new(args, &subject, &panel, series)?;
    let place = device::open(&args.machine, Work::Forecasting, Dtype::F64)?;
    if !args.output.say.json && !args.output.say.quiet {
        output::print(report::announced(&panel, &subject, &plan).as_bytes())?;
    }
    let job = Examine { subject: &subject, panel: &panel, series, plan: &plan };
    let findings = place.run(job)?.map_err(|error| in_file(error, &panel.file))?;

    let numbers = report::to_json(&panel, series, &subject, &plan, &findings);
    let figure = picture::figure(series, &plan, &findings);
    folder.create()?;
    folder.write(NUMBERS, format!("{numbers:#}\n").as_bytes())?;
    folder.draw(PICTURES, &figure)?;
    if args.output.say.json {
        return output::print_json(&numbers);
    }
    if args.output.say.quiet {
        return Ok(());
    }
    let mut text = report::table(&plan, &findings);
    text += &report::judgement(&plan, &findings);
    text += &format!(
        "\nAll numbers are in {}, the picture is {}\n",
        folder.file(NUMBERS).display(),
        folder.file(PICTURES[0]).display()
    );
    output::print(text.as_bytes())?;
    say(&format!("measured on {}", place.described()));
    Ok(())
}

/// The model whose loop is closed.
enum Subject {
    /// A forecaster of `lstm train`, so many values of whose forecasts are fed back.
    Forecaster { saved: Box<Saved>, feed: usize },
    /// Any other network over one input.
    Bare { path: PathBuf, model: Box<SavedModel>, lookback: Option<usize>, feed: usize, standardise: bool },
}

impl Subject {
    fn read(args: &Lab) -> Result<Self> {
        let feed = args.feed.map(|feed| feed.get());
        let bare = !args.run.is_dir() && args.run.exists();
        if bare {
            let model = saved::read(&args.run)?;
            if model.task.get("config").is_none() {
                return Self::bare(args, model);
            }
        }
        let saved = Saved::read(&args.run)?;
        refuse_settled(&Training { lookback: args.lookback, ..Training::default() }, &args.reading)?;
        refuse_future(&args.reading)?;
        if args.standardise {
            return Err(Failure::usage(
                "--standardise is about a bare model; this one scales its windows by itself, leave it out",
            ));
        }
        let config = &saved.task.config;
        if saved.task.members.len() != 1 || config.known + config.past + config.fixed > 0 {
            return Err(Failure::model(format!(
                "{}: its network reads more than the values of one series, and a loop feeds it with these alone; train \
                 a model on one series without other columns",
                saved.path.display()
            )));
        }
        let feed = fed(feed, config.horizon)?;
        Ok(Self::Forecaster { saved: Box::new(saved), feed })
    }

    fn bare(args: &Lab, model: SavedModel) -> Result<Self> {
        let (inputs, outputs) = (model.network.inputs(), model.network.outputs());
        let unfit = |why: String| Failure::model(format!("{}: {why}", args.run.display()));
        if inputs != 1 {
            return Err(unfit(format!(
                "its network reads {inputs} columns, but a loop needs one: the value that it predicts"
            )));
        }
        let Reading { known, past, fixed, calendar, future, .. } = args.reading.clone();
        refuse(
            &Reading { known, past, fixed, calendar, future, ..Reading::default() },
            "is about a model that reads more than the values, and this one does not; leave it out",
        )?;
        let lookback = args.lookback.map(|lookback| lookback.get());
        if lookback.is_none() && (outputs != 1 || model.network.readout == Readout::Last) {
            return Err(Failure::usage(format!(
                "{}: its network answers once for a whole window; say with --lookback how many values that is",
                args.run.display()
            )));
        }
        let feed = fed(args.feed.map(|feed| feed.get()), outputs)?;
        let (path, model) = (args.run.clone(), Box::new(model));
        Ok(Self::Bare { path, model, lookback, feed, standardise: args.standardise })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Forecaster { saved, .. } => &saved.path,
            Self::Bare { path, .. } => path,
        }
    }

    /// Folder that the model lies in.
    fn folder(&self) -> &Path {
        match self.path().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The file with the series: the one that was named, or the one that the run was trained on.
    fn file(&self, args: &Lab) -> Result<PathBuf> {
        if let Some(file) = &args.file {
            return Ok(file.clone());
        }
        if matches!(self, Self::Bare { .. }) {
            return Err(Failure::usage(format!(
                "{}: a bare model does not say which series it belongs to; name a CSV file after it",
                args.run.display()
            )));
        }
        let metrics = std::fs::read_to_string(self.folder().join(run::METRICS)).ok();
        let metrics: Option<Value> = metrics.and_then(|text| serde_json::from_str(&text).ok());
        let trained_on = metrics.as_ref().and_then(|metrics| metrics["file"].as_str()).map(PathBuf::from);
        match trained_on {
            Some(file) if file.exists() => Ok(file),
            Some(file) => Err(Failure::usage(format!(
                "{}: the run was trained on this file, but it is not there; name a CSV file after the run",
                file.display()
            ))),
            None => Err(Failure::usage(format!(
                "{}: there is no {} that says which file it was trained on; name a CSV file after it",
                args.run.display(),
                run::METRICS
            ))),
        }
    }

    fn panel(&self, args: &Lab, file: PathBuf) -> Result<Panel> {
        match self {
            Self::Forecaster { saved, .. } => new_panel(&[file], &args.reading, saved),
            Self::Bare { .. } => input::read(&[file], &args.reading),
        }
    }

    /// Values that one turn of the loop takes back.
    fn feed(&self) -> usize {
        match self {
            Self::Forecaster { feed, .. } | Self::Bare { feed, .. } => *feed,
        }
    }

    /// Rows that must stand before a free run.
    fn needed(&self) -> usize {
        match self {
            Self::Forecaster { saved, .. } => saved.task.config.reach(),
            Self::Bare { lookback, .. } => lookback.unwrap_or(1),
        }
    }

    /// Values of one forecast.
    fn horizon(&self) -> usize {
        match self {
            Self::Forecaster { saved, .. } => saved.task.config.horizon,
            Self::Bare { model, .. } => model.network.outputs(),
        }
    }
}

/// Values that are fed back: all of them unless told otherwise.
fn fed(asked: Option<usize>, most: usize) -> Result<usize> {
    match asked.unwrap_or(most) {
        feed if feed <= most => Ok(feed),
        feed => Err(Failure::usage(format!(
            "--feed is {feed}, but a forecast of this model has {most} step{}",
            if most == 1 { "" } else { "s" }
        ))),
    }
}

/// What is measured, where, and what is known of it.
struct Plan {
    protocol: Protocol,
    /// Share of the variance that a sine of the period explains, where the period was found and not given.
    share: Option<f64>,
    /// Whether the rows may have been trained on; unknown for a bare model.
    seen: Option<bool>,
}

impl Plan {
    fn new(args: &Lab, subject: &Subject, panel: &Panel, series: &Series) -> Result<Self> {
        let rows = series.rows();
        let season = match subject {
            Subject::Forecaster { saved, .. } => Some(saved.task.config.season).filter(|season| *season > 1),
            Subject::Bare { .. } => args.reading.season.map(|season| season.get()),
        };
        let (period, share) = period(args, (&panel.file, &series.values), season)?;
        let season = season.unwrap_or(period.round() as usize);
        let (needed, horizon) = (subject.needed(), subject.horizon());
        // Half of the rows, unless enough of them are new to the model.
        let (mut first, mut seen) = (needed.max(rows / 2), None);
        if let Subject::Forecaster { saved, .. } = subject {
            let after = rows_seen(series, saved);
            let fresh =
                after >= needed && after as f64 + (4.0 * period).max(2.0 * horizon as f64) <= rows as f64;
            seen = Some(!fresh && after > 0);
            if fresh {
                first = after;
            } else if after == 0 {
                first = needed;
            }
        }
        let wanted = (10 * horizon).max(2 * season).max((10.0 * period).ceil() as usize);
        let steps = match args.steps {
            Some(steps) => steps.get(),
            // A quarter of the rows is left for other places to begin at.
            None => wanted.min((3 * rows.saturating_sub(first) / 4).max(1)),
        };
        if needed + steps > rows {
            let purpose = Purpose::Evaluation { horizon: steps };
            let short = lstm_train::Error::TooShort { rows, needed: needed + steps, purpose };
            return Err(in_file(short, &panel.file));
        }
        let first = first.min(rows - steps);
        if let Subject::Forecaster { saved, .. } = subject
            && seen == Some(false)
        {
            seen = Some(first < rows_seen(series, saved));
        }
        let rows = evenly(first..rows - steps + 1, args.origins.map_or(ORIGINS, |origins| origins.get()));
        let longest = match subject {
            Subject::Bare { lookback: None, .. } => 4.0 * period,
            _ => 4.0 * needed as f64,
        };
        let protocol = Protocol { rows, steps, period, season, longest: longest.max(4.0 * period) };
        Ok(Self { protocol, share, seen })
    }
}

/// The period that was named, or the strongest and its share; a whole part of the season where so many rows cannot tell
/// the two apart.
fn period(args: &Lab, (file, values): (&str, &[f64]), season: Option<usize>) -> Result<(f64, Option<f64>)> {
    let rows = values.len() as f64;
    let whole = |period: f64| {
        let season = season? as f64;
        let part = season / (season / period).round();
        ((1.0 / part - 1.0 / period).abs() < 0.5 / rows).then_some(part)
    };
    match args.period.map(Number::get) {
        None => match dominant_period(values) {
            Some(Dominant { period, share }) => Ok((whole(period).unwrap_or(period), Some(share))),
            None => Err(Failure::data(format!(
                "{file}: no period is found in {} rows; name one with --period",
                values.len()
            ))),
        },
        Some(period) if (SHORTEST..=rows / 2.0).contains(&period) => Ok((period, None)),
        Some(period) => Err(Failure::usage(format!(
            "--period is {period}, but must be from {SHORTEST} to {}, half of the rows",
            values.len() / 2
        ))),
    }
}

/// A loop under examination.
struct Examine<'a> {
    subject: &'a Subject,
    panel: &'a Panel,
    series: &'a Series,
    plan: &'a Plan,
}

impl Job for Examine<'_> {
    type Output = lstm_train::Result<Findings>;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output> {
        let values = &self.series.values;
        let mut subject: Box<dyn ClosedLoop + '_> = match self.subject {
            Subject::Forecaster { saved, feed } => {
                let alone = [Member::alone(values)];
                let forecaster = saved.forecaster::<B, F>(backend, self.panel, (&alone, |_| values.len()))?;
                Box::new(ForecastLoop::new(backend, forecaster, *feed, values)?)
            }
            Subject::Bare { model, lookback, feed, standardise, .. } => {
                let model = model.load::<B, F>(backend)?;
                let (centre, spread) = moments(values);
                let scale = if *standardise { Scale { centre, spread } } else { Scale::NONE };
                match lookback {
                    Some(lookback) => Box::new(WindowLoop::new(backend, model, (*lookback, *feed), scale)?),
                    None => Box::new(StateLoop::new(backend, model, scale)?),
                }
            }
        };
        Ok(examine(subject.as_mut(), values, &self.plan.protocol))
    }
}

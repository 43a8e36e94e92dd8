//! The run folder: which files it holds, that nothing in it is overwritten unasked, and what a model file
//! says besides its weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lstm_data::calendar::Calendar;
use lstm_data::panel::{Feature, Layout, Member, Panel};
use lstm_data::{Repairs, TimeAxis};
use lstm_nn::durable;
use lstm_nn::saved::{self, SavedModel};
use lstm_tensor::{Backend, Float};
use lstm_train::baseline;
use lstm_train::forecaster::{
    self, Base, Evaluation, Feedback, ForecastConfig, Forecaster, Head, LEVELS, Prepared, Score,
};
use ndarray::ArcArray2;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::input::Beside;
use crate::plot::Figure;
use crate::settings::{Dtype, Output, Reading};
use crate::value::Whole;

/// The model.
pub(crate) const MODEL: &str = "model.safetensors";
/// All settings, with which the run can be repeated.
pub(crate) const SETTINGS: &str = "settings.toml";
/// The comparison with the baselines.
pub(crate) const METRICS: &str = "metrics.json";
/// The same as training goes on, with the time that it took: an object on each line.
pub(crate) const COURSE: &str = "metrics.jsonl";
/// The course of the loss.
pub(crate) const HISTORY: &str = "history.csv";
/// The forecast as numbers.
pub(crate) const FORECAST: &str = "forecast.csv";
/// Futures that could come.
pub(crate) const SAMPLES: &str = "samples.csv";
/// The forecast as a picture, of pixels and of lines.
pub(crate) const PICTURE: [&str; 2] = ["forecast.png", "forecast.svg"];
/// Training and validation error over the steps of training.
pub(crate) const LOSSES: [&str; 2] = ["loss.png", "loss.svg"];
/// Errors of all methods by steps ahead.
pub(crate) const ERRORS: [&str; 2] = ["error-by-horizon.png", "error-by-horizon.svg"];
/// What the LSTM missed on held-out rows.
pub(crate) const RESIDUALS: [&str; 2] = ["residuals.png", "residuals.svg"];
/// The season, as it was and as it is forecast.
pub(crate) const SEASON: [&str; 2] = ["season.png", "season.svg"];
/// All of a run on one page.
pub(crate) const REPORT: &str = "report.html";
/// All of a forecast by a model trained before on one page.
pub(crate) const PAGE: &str = "forecast.html";

/// What a training run leaves.
pub(crate) const OF_TRAINING: [&str; 5] = [MODEL, SETTINGS, METRICS, HISTORY, COURSE];
/// What is shown of one that ended well.
pub(crate) const OF_RESULT: [&str; 9] =
    [LOSSES[0], LOSSES[1], ERRORS[0], ERRORS[1], RESIDUALS[0], RESIDUALS[1], SEASON[0], SEASON[1], REPORT];
/// What a forecast leaves.
pub(crate) const OF_FORECAST: [&str; 5] = [FORECAST, SAMPLES, PICTURE[0], PICTURE[1], PAGE];

/// More rows than any series has, few enough for the calendar.
const MOST_ROWS: usize = u32::MAX as usize;

/// A folder that results go to.
pub(crate) struct Folder {
    path: PathBuf,
    force: bool,
}

impl Folder {
    /// The folder that the user named, or one after the file.
    pub(crate) fn named(output: &Output, file: &Path) -> Self {
        let stem = match file.file_stem() {
            Some(stem) if file.as_os_str() != "-" => stem,
            _ => "stdin".as_ref(),
        };
        let path = output.out.clone().unwrap_or_else(|| Path::new("runs").join(stem));
        Self { path, force: output.force }
    }

    /// The folder that the user named, or this one.
    pub(crate) fn named_or(output: &Output, path: &Path) -> Self {
        Self { path: output.out.clone().unwrap_or_else(|| path.to_owned()), force: output.force }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether results that exist may be replaced.
    pub(crate) fn may_replace(&self) -> bool {
        self.force
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes sure, before any work is done, that these files may be written.
    ///
    /// # Errors
    /// A usage failure where one of them exists, unless it may be replaced; what is read from may not.
    pub(crate) fn check(&self, names: &[&str], input: Option<&Path>) -> Result<()> {
        if self.path.exists() && !self.path.is_dir() {
            return Err(Failure::usage(format!(
                "{} exists and is not a folder; name another with --out",
                self.path.display()
            )));
        }
        let place = |path: &Path| path.canonicalize().ok();
        if let Some(input) = input.filter(|input| place(input).is_some())
            && names.iter().any(|name| place(&self.file(name)) == place(input))
        {
            return Err(Failure::usage(format!(
                "{} would be replaced by a result; name another folder with --out",
                input.display()
            )));
        }
        if let Some(name) = names.iter().find(|name| self.file(name).exists()).filter(|_| !self.force) {
            return Err(Failure::usage(format!(
                "{} exists already; name another folder with --out, or pass --force to replace it",
                self.file(name).display()
            )));
        }
        Ok(())
    }

    /// Creates the folder; before long work, so that a wrong place is known at once.
    ///
    /// # Errors
    /// A model failure that names the folder.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(|error| Failure::file(&self.path, &error))?;
        // What writers left that were killed.
        Ok(durable::sweep(&self.path)?)
    }

    /// Writes a file whole, or not at all.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(durable::write(&self.file(name), bytes)?)
    }

    /// Writes a picture, of pixels and of lines.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn draw(&self, [png, svg]: [&str; 2], figure: &Figure) -> Result<()> {
        let pixels = figure.to_png_bytes();
        let pixels =
            pixels.map_err(|error| Failure::model(format!("{}: {error:#}", self.file(png).display())))?;
        self.write(png, &pixels)?;
        self.write(svg, figure.to_svg().as_bytes())
    }

    /// Removes what an earlier run left under these names, where it may be replaced: it belongs to another model.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn clear(&self, names: &[&str]) -> Result<()> {
        for path in names.iter().map(|name| self.file(name)).filter(|path| self.force && path.exists()) {
            fs::remove_file(&path).map_err(|error| Failure::file(&path, &error))?;
        }
        Ok(())
    }

    /// Takes back an empty folder, after work that left nothing.
    pub(crate) fn abandon(&self) {
        // It fails where the folder holds anything, and then it stays.
        let _ = fs::remove_dir(&self.path);
    }
}

/// What a model file says besides the network and its weights: all that prediction needs but numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Task {
    /// What the forecaster was told.
    pub(crate) config: ForecastConfig,
    /// The same of those whose forecasts are averaged with its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) beside: Vec<ForecastConfig>,
    /// How the files were read.
    pub(crate) reading: Reading,
    /// The series, of which the file holds the last rows.
    pub(crate) members: Vec<Ended>,
    /// Covariates: known in advance, up to the present, and of a series as a whole.
    pub(crate) known: Vec<Feature>,
    pub(crate) past: Vec<Feature>,
    #[serde(rename = "static")]
    pub(crate) fixed: Vec<Feature>,
    /// Cycles that the network reads.
    pub(crate) calendar: Option<Calendar>,
    /// The comparison on held-out rows, where it gave numbers.
    pub(crate) evaluation: Option<Evaluation>,
    /// Why training ended before its time; the weights are then the best that never saw the held-out rows.
    pub(crate) cut_short: Option<String>,
}

/// A series that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Ended {
    pub(crate) id: String,
    /// Rows that it had.
    pub(crate) rows: usize,
    /// Rows at its end that are kept, and rows of the columns known in advance from the first of these on.
    pub(crate) kept: usize,
    pub(crate) known: usize,
    /// Its times, all of them.
    pub(crate) axis: Option<TimeAxis>,
}

impl Task {
    /// Of a forecaster of these series that stands alone.
    pub(crate) fn new(
        config: &ForecastConfig,
        reading: Reading,
        panel: &Panel,
        calendar: Option<&Calendar>,
    ) -> Self {
        let kept = Self::kept(config);
        let ended = |member: &Member| {
            let kept = kept.min(member.rows());
            Ended {
                id: member.id.clone(),
                rows: member.rows(),
                kept,
                known: member.known.nrows().saturating_sub(member.rows() - kept),
                axis: member.axis.clone(),
            }
        };
        Self {
            config: config.clone(),
            beside: Vec::new(),
            // What was to come has come when the model is used again.
            reading: Reading { future: None, ..reading },
            members: panel.members.iter().map(ended).collect(),
            known: panel.known.clone(),
            past: panel.past.clone(),
            fixed: panel.fixed.clone(),
            calendar: calendar.cloned(),
            evaluation: None,
            cut_short: None,
        }
    }

    /// Rows at the end of a series that are kept: enough for a forecast of what follows, and for its picture.
    fn kept(config: &ForecastConfig) -> usize {
        // With feedback also of what was forecast a horizon before.
        let reach = config.reach() + if config.feedback { config.horizon } else { 0 };
        reach.max(baseline::reach(config.season)).max(4 * config.horizon)
    }

    /// How a file is read for this model: as its own was, with the categories that it knows.
    pub(crate) fn categories(&self) -> BTreeMap<String, Vec<String>> {
        let mut categories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for feature in self.known.iter().chain(&self.past).chain(&self.fixed) {
            if let Some(category) = &feature.category {
                categories.entry(feature.column.clone()).or_default().push(category.clone());
            }
        }
        categories
    }

    /// Whether a panel is one of the kind that the model was trained on.
    ///
    /// # Errors
    /// A data failure that says what differs.
    pub(crate) fn fits(&self, panel: &Panel) -> Result<()> {
        if (&self.known, &self.past, &self.fixed) != (&panel.known, &panel.past, &panel.fixed) {
            let names =
                |features: &[Feature]| features.iter().map(Feature::name).collect::<Vec<_>>().join(", ");
            let own = [&self.known[..], &self.past, &self.fixed].concat();
            return Err(Failure::data(format!(
                "{}: the model reads {} beside the values; give these columns, or train a new model",
                panel.file,
                names(&own)
            )));
        }
        if self.config.head == Head::NegativeBinomial {
            let members = Beside::new(panel, self.calendar.as_ref(), 0);
            members.members(panel).iter().try_for_each(forecaster::refuse_unless_counts).map_err(
                |error| Failure::data(format!("{}: {error}; the model was trained on counts", panel.file)),
            )?;
        }
        let step = self.members.iter().find_map(|member| member.axis.as_ref()).map(|axis| axis.step);
        if let (Some(found), Some(wanted)) = (panel.step(), step)
            && found != wanted
        {
            return Err(Failure::data(format!(
                "{}: its step is {found}, but the model was trained on a step of {wanted}; use a file with that \
                 step, or train a model on this one",
                panel.file
            )));
        }
        if self.config.told_apart > 0 && !self.same_series(panel) {
            return Err(Failure::data(format!(
                "{}: the model tells {} series apart, from {} to {}; give the same ones, or train a new model",
                panel.file,
                self.members.len(),
                self.members.first().map_or("", |member| &member.id),
                self.members.last().map_or("", |member| &member.id)
            )));
        }
        Ok(())
    }

    /// The settings of all whose forecasts are averaged.
    fn ways(&self) -> impl Iterator<Item = &ForecastConfig> {
        std::iter::once(&self.config).chain(&self.beside)
    }

    /// The settings that each of so many networks belongs to, and the number of these settings; none where the networks
    /// are too few for them.
    pub(crate) fn of_networks(&self, count: usize) -> Option<Vec<(usize, &ForecastConfig)>> {
        let beside: usize = self.beside.iter().map(|config| config.ensemble).sum();
        let own = count.checked_sub(beside).filter(|own| *own > 0)?;
        let counts = std::iter::once(own).chain(self.beside.iter().map(|config| config.ensemble));
        let ways = self.ways().enumerate().zip(counts);
        Some(ways.flat_map(|(way, count)| std::iter::repeat_n(way, count)).collect())
    }

    /// Whether these are the series that the model was trained on.
    pub(crate) fn same_series(&self, panel: &Panel) -> bool {
        self.members.iter().map(|member| &member.id).eq(panel.members.iter().map(|member| &member.id))
    }

    /// Whether the parts fit each other and the network, as they do unless somebody has changed the file.
    ///
    /// # Errors
    /// What does not fit.
    fn check(&self, model: &SavedModel) -> Result<(), String> {
        let Self { config, beside, members, .. } = self;
        // Before anything is computed from their number.
        let times = self.calendar.as_ref().map_or(0, |calendar| 2 * calendar.cycles.len());
        let columns = [times + self.known.len(), self.past.len(), self.fixed.len()];
        if [config.known, config.past, config.fixed] != columns {
            return Err("its columns are not those that its settings describe".into());
        }
        if members.is_empty() || (config.told_apart > 0 && config.told_apart != members.len()) {
            return Err("its series are not those that its settings describe".into());
        }
        let same = |other: &ForecastConfig| {
            let told = |c: &ForecastConfig| [c.horizon, c.season, c.known, c.past, c.fixed, c.told_apart];
            told(other) == told(config) && other.reach() <= config.reach()
        };
        if !beside.iter().all(same) {
            return Err("the settings of its networks do not go together".into());
        }
        for config in self.ways() {
            config.validate().map_err(|error| error.to_string())?;
        }
        let of_networks = self.of_networks(model.networks()).unwrap_or_default();
        let described = of_networks.iter().map(|(_, config)| config.network());
        if !model.each_network().cloned().eq(described) {
            return Err("its network is not the one that its settings describe".into());
        }
        for member in members {
            let Ended { rows, kept, .. } = member;
            if *rows > MOST_ROWS || *kept != Self::kept(config).min(*rows) {
                return Err(format!("{kept} rows kept of {rows} do not fit its settings"));
            }
            if member.known > MOST_ROWS {
                return Err(format!("{} rows known in advance do not fit its series", member.known));
            }
            if member.axis.as_ref().is_some_and(|axis| axis.rows() != *rows) {
                return Err("a time axis has another number of rows than its series".into());
            }
        }
        let scores = self.evaluation.iter().flat_map(|evaluation| &evaluation.scores);
        let unfit = |score: &&Score| {
            let margin = &score.interval.margin;
            margin.len() != LEVELS.len() || margin.iter().any(|margin| margin.len() != config.horizon)
        };
        if let Some(score) = scores.into_iter().find(unfit) {
            return Err(format!("the interval of {} is not one of {} steps", score.method, config.horizon));
        }
        Ok(())
    }
}

/// Names of the numbers that a model file holds besides its weights.
pub(crate) mod kept {
    pub(super) const TEMPLATES: &str = "templates";
    pub(super) const FEEDBACK: &str = "feedback";
    pub(super) const SPREADS: &str = "spreads";
    pub(super) const COLUMNS: &str = "columns";
    pub(super) const VALUES: &str = "values";
    pub(super) const KNOWN: &str = "known";
    pub(super) const PAST: &str = "past";
    pub(super) const FIXED: &str = "static";

    /// The linear forecast of one of those whose forecasts are averaged.
    pub(crate) fn linear(way: usize) -> String {
        if way == 0 { "linear".into() } else { format!("linear.{way}") }
    }
}

/// The bytes of a model file.
///
/// # Errors
/// A model failure, which a model in memory cannot cause.
pub(crate) fn to_bytes<B: Backend, F: Float>(
    backend: &B,
    forecaster: &Forecaster<B, F>,
    task: &Task,
    panel: &Panel,
) -> Result<Vec<u8>> {
    let prepared = &forecaster.prepared;
    let mut extra = saved::Extra::new();
    for (at, way) in forecaster.ways().enumerate() {
        if let Some(linear) = &way.prepared.linear {
            extra.insert(kept::linear(at), linear.weights().to_vec());
        }
    }
    if let Some(evaluation) = task.evaluation.as_ref().filter(|evaluation| !evaluation.templates.is_empty()) {
        extra.insert(kept::TEMPLATES.into(), evaluation.templates.clone());
    }
    if let Some(feedback) = &forecaster.feedback {
        extra.insert(kept::FEEDBACK.into(), feedback.numbers());
    }
    extra.insert(kept::SPREADS.into(), prepared.spreads.clone());
    extra.insert(kept::COLUMNS.into(), prepared.columns.as_flattened().to_vec());
    let ends =
        panel.members.iter().zip(&task.members).map(|(member, ended)| (member, ended.rows - ended.kept));
    let mut put = |name: &str, cells: Vec<f64>| {
        extra.insert(name.to_owned(), cells);
    };
    put(kept::VALUES, ends.clone().flat_map(|(member, from)| &member.values[from..]).copied().collect());
    let rows = |columns: &ArcArray2<f64>, from: usize| -> Vec<f64> {
        columns.rows().into_iter().skip(from).flatten().copied().collect()
    };
    put(kept::KNOWN, ends.clone().flat_map(|(member, from)| rows(&member.known, from)).collect());
    put(kept::PAST, ends.clone().flat_map(|(member, from)| rows(&member.past, from)).collect());
    put(kept::FIXED, ends.flat_map(|(member, _)| &member.fixed).copied().collect());
    let task = serde_json::to_value(task).map_err(|error| Failure::model(error.to_string()))?;
    Ok(saved::all_to_bytes(backend, forecaster.networks().map(|(_, model)| model), &extra, &task)?)
}

/// A model that was saved, with its task.
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    pub(crate) model: SavedModel,
    pub(crate) task: Task,
    /// Of each whose forecasts are averaged.
    prepared: Vec<Prepared>,
    /// How much of the last errors goes into a forecast.
    feedback: Option<Feedback>,
    /// The last rows of its series.
    tail: Panel,
}

impl Saved {
    /// The index of the network with this number, of the first without one, and the settings that it belongs to.
    ///
    /// # Errors
    /// A usage failure where there are not so many.
    pub(crate) fn network(&self, number: Option<Whole<1, 100>>) -> Result<(usize, (usize, &ForecastConfig))> {
        let (index, count) = (number.map_or(0, |number| number.get() - 1), self.model.networks());
        let of_networks = self.task.of_networks(count).unwrap_or_default();
        let own = of_networks.get(index).copied();
        let missing = || Failure::usage(format!("--network is {}, but the model has {count}", index + 1));
        Ok((index, own.ok_or_else(missing)?))
    }

    /// Reads the model of a run folder, or a model file.
    ///
    /// # Errors
    /// A model failure that names the file and what is wrong with it.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = if run.is_dir() { run.join(MODEL) } else { run.to_owned() };
        if !path.exists() {
            return Err(Failure::model(format!(
                "{}: there is no such model; name a run folder that `lstm train` or `lstm forecast` wrote",
                path.display()
            )));
        }
        let model = saved::read(&path).map_err(|error| {
            let is_data = path
                .extension()
                .is_some_and(|kind| ["csv", "tsv", "txt", "parquet"].iter().any(|data| kind == *data));
            match is_data {
                true => Failure::model(format!(
                    "{}: a file of data, where a model is expected; name the run folder first, then the file",
                    path.display()
                )),
                false => error.into(),
            }
        })?;
        let unfit = |why: String| {
            Failure::model(format!("{}: not a forecasting model: {why}; train it again", path.display()))
        };
        let mut task: Task =
            serde_json::from_value(model.task.clone()).map_err(|error| unfit(error.to_string()))?;
        task.check(&model).map_err(unfit)?;
        if let (Some(evaluation), Some(templates)) = (&mut task.evaluation, model.extra.get(kept::TEMPLATES))
        {
            if !templates.len().is_multiple_of(task.config.horizon) {
                return Err(unfit(format!("task.{} are none of its horizon", kept::TEMPLATES)));
            }
            evaluation.templates.clone_from(templates);
        }
        let (prepared, tail) = restored(&task, &model.extra, &path).map_err(unfit)?;
        let horizon = task.config.horizon;
        let feedback = match model.extra.get(kept::FEEDBACK).filter(|_| task.config.feedback) {
            None if task.config.feedback => return Err(unfit("what it feeds back is missing".into())),
            None => None,
            Some(numbers) => {
                let feedback = Feedback::from_numbers(numbers, horizon);
                Some(feedback.ok_or_else(|| unfit(format!("what it feeds back is not of {horizon} steps")))?)
            }
        };
        Ok(Self { path, model, task, prepared, feedback, tail })
    }

    /// The forecaster on a backend, for these series; of others than its own it knows as many rows as `seen` says.
    ///
    /// # Errors
    /// A model failure where memory is short.
    pub(crate) fn forecaster<B: Backend, F: Float>(
        &self,
        backend: &B,
        panel: &Panel,
        (members, seen): (&[forecaster::Member<'_>], impl Fn(usize) -> usize),
    ) -> Result<Forecaster<B, F>> {
        let networks = self.task.of_networks(self.model.networks()).unwrap_or_default();
        let mut models: Vec<Vec<_>> = self.prepared.iter().map(|_| Vec::new()).collect();
        for ((way, _), model) in networks.into_iter().zip(self.model.load_all(backend)?) {
            models[way].push(model);
        }
        let parts = self.task.ways().cloned().zip(&self.prepared).zip(models);
        let mut ways = parts.map(|((config, prepared), models)| Forecaster {
            config,
            prepared: prepared.clone(),
            models,
            beside: Vec::new(),
            feedback: None,
        });
        // A task has settings of its own.
        let first = ways.next().ok_or_else(|| Failure::model("there are no settings"))?;
        let own = Forecaster { beside: ways.collect(), feedback: self.feedback.clone(), ..first };
        Ok(if self.task.same_series(panel) { own } else { own.for_others(members, seen) })
    }

    /// The last rows of the series that it was trained on.
    pub(crate) fn tail(&self) -> &Panel {
        &self.tail
    }

    /// Folder that the model lies in.
    pub(crate) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Element type that it was trained in.
    pub(crate) fn dtype(&self) -> Dtype {
        if self.model.dtype == "f64" { Dtype::F64 } else { Dtype::F32 }
    }
}

/// What formulas settled, and the ends of the series, from the numbers of a model file.
fn restored(task: &Task, extra: &saved::Extra, path: &Path) -> Result<(Vec<Prepared>, Panel), String> {
    let numbers = |name: &str| extra.get(name).map(Vec::as_slice);
    let all = |name: &str, count: usize| {
        let found = numbers(name).unwrap_or(&[]);
        if found.len() == count {
            Ok(found)
        } else {
            Err(format!("task.{name} has {} numbers, not {count}", found.len()))
        }
    };
    let config = &task.config;
    let columns = all(kept::COLUMNS, 2 * (config.known + config.past + config.fixed))?;
    let spreads = all(kept::SPREADS, task.members.len())?;
    if spreads.iter().chain(columns.iter().skip(1).step_by(2)).any(|spread| *spread <= 0.0) {
        return Err("a scale is not positive".into());
    }
    let prepared = |(way, config): (usize, &ForecastConfig)| {
        let unfit = "the weights of its linear forecast do not fit";
        let linear = match numbers(&kept::linear(way)) {
            None if config.base == Base::Linear => {
                return Err("the linear forecast that it corrects is missing");
            }
            None => None,
            Some(weights) => Some(config.linear(weights.to_vec()).ok_or(unfit)?),
        };
        Ok(Prepared { linear, spreads: spreads.to_vec(), columns: columns.as_chunks().0.to_vec() })
    };
    let prepared = task.ways().enumerate().map(prepared).collect::<Result<Vec<_>, _>>()?;

    let sum = |of: fn(&Ended) -> usize| {
        task.members.iter().try_fold(0usize, |sum, member| sum.checked_add(of(member))).ok_or("too many rows")
    };
    let (kept, ahead) = (sum(|member| member.kept)?, sum(|member| member.known)?);
    let widths = [task.known.len(), task.past.len(), task.fixed.len()];
    let mut values = all(kept::VALUES, kept)?;
    let cells = ahead.checked_mul(widths[0]).ok_or("too many rows")?;
    let mut known = all(kept::KNOWN, cells)?;
    let mut past = all(kept::PAST, kept * widths[1])?;
    let mut fixed = all(kept::FIXED, task.members.len() * widths[2])?;
    fn cut<'a>(from: &mut &'a [f64], count: usize) -> &'a [f64] {
        let (taken, rest) = from.split_at(count);
        *from = rest;
        taken
    }
    let mut members = Vec::new();
    for member in &task.members {
        let array = |cells: &[f64], rows: usize, width: usize| {
            ArcArray2::from_shape_vec((rows, width), cells.to_vec()).map_err(|error| error.to_string())
        };
        members.push(Member {
            id: member.id.clone(),
            group: member.id.clone(),
            values: cut(&mut values, member.kept).to_vec(),
            axis: member.axis.as_ref().map(|axis| axis.after(member.rows - member.kept)),
            made: Vec::new(),
            past: array(cut(&mut past, member.kept * widths[1]), member.kept, widths[1])?,
            known: match widths[0] {
                0 => array(&[], member.kept, 0)?,
                width => array(cut(&mut known, member.known * width), member.known, width)?,
            },
            fixed: cut(&mut fixed, widths[2]).to_vec(),
        });
    }
    let tail = Panel {
        file: path.display().to_string(),
        layout: Layout::Columns,
        id: Vec::new(),
        members,
        past: task.past.clone(),
        known: task.known.clone(),
        fixed: task.fixed.clone(),
        notes: Vec::new(),
        repairs: Repairs::default(),
    };
    Ok((prepared, tail))
}

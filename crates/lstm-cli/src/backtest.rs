//! `lstm backtest`: forecasts from many earlier places of the file, each from its past alone, against what came.

mod picture;
mod report;
mod sheet;

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Instant;

use lstm_data::Element;
use lstm_data::calendar::Calendar;
use lstm_data::panel::Panel;
use lstm_tensor::{Backend, Float};
use lstm_train::backtest::{Backtest, Batch, Forecasts, Learning, Next, Origins};
use lstm_train::forecaster::{ForecastChoices, ForecastConfig, Taken, Trial};
use lstm_train::metrics::{Tally, naive_scale};
use lstm_train::{Outcome, Progress as Report};

use self::picture::{Shown, Subject};
use self::sheet::Sheet;
use crate::device::{self, Job, Place, Work};
use crate::failure::{Failure, Kind, Result};
use crate::forecast::refuse_future;
use crate::input::Beside;
use crate::progress::{Progress, say};
use crate::run::Folder;
use crate::settings::{Dtype, Settings};
use crate::train::{choices, in_file};
use crate::value::Whole;
use crate::{input, interrupt, memory, output, plot};

/// Every forecast value.
const VALUES: &str = "backtest.csv";
/// All measures.
const NUMBERS: &str = "backtest.json";
/// Forecasts over the truth.
const STRIP: [&str; 2] = ["backtest.png", "backtest.svg"];
/// Errors by steps ahead.
const ERRORS: [&str; 2] = ["backtest-horizon.png", "backtest-horizon.svg"];
/// Origins unless told otherwise.
const ORIGINS: usize = 20;
/// Steps ahead from which on a plot of them says something.
const WORTH_A_PLOT: usize = 4;

/// Forecast from many earlier places of a CSV file, and compare with what came
///
/// Takes evenly spaced origins in the last part of each series. Before the first one the settings are chosen, the model is
/// trained and its intervals are measured, as `lstm forecast` does it, on rows before that origin only; then every
/// origin is forecast from the rows before it, and its intervals learn from the origins whose rows have come. With --refit
/// the model is trained anew, with the same settings, as the origins go on.
///
/// Prints errors and coverage of the LSTM and of the simple forecasts. Leaves backtest.csv with every
/// forecast value, backtest.json with all measures, over all and for each series, and two pictures: backtest.png with
/// forecasts over the truth, backtest-horizon.png with the errors by steps ahead; each as SVG too. They go to
/// runs/NAME-backtest unless --out names another folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lstm backtest air.csv
  lstm backtest air.csv --horizon 12 --origins 24 --refit every 6
  lstm backtest stores.csv --target all --horizon 14 --out runs/test")]
pub(crate) struct Args {
    /// CSV files with header lines, of one kind; `-` reads standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Places to forecast from; rows are held out to make room for them [default: 20, or as many as the held-out rows
    /// have room for]
    #[arg(long, value_name = "COUNT")]
    origins: Option<Whole<1, 1_000_000>>,
    /// When the model learns anew: `never`, or `every K` origins [default: never]
    #[arg(long, value_names = ["WHEN", "K"], num_args = 1..=2)]
    refit: Vec<String>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Forecasts from all origins, writes the folder, and prints the comparison.
///
/// # Errors
/// Those of settings, data, device and files; divergence and Ctrl-C, which leave nothing.
pub(crate) fn run(args: &Args) -> Result<()> {
    let settings = args.settings.clone().with_file()?;
    refuse_future(&settings.reading)?;
    memory::check(&settings.training, settings.machine.dtype)?;
    let refit = refit(&args.refit)?;
    let first = args.files.first().ok_or_else(|| Failure::usage("name a CSV file"))?;
    let folder = folder(&settings, Folder::named(&settings.output, first));
    let names = [&[VALUES, NUMBERS][..], &STRIP, &ERRORS].concat();
    for file in &args.files {
        folder.check(&names, Some(file))?;
    }
    let panel = input::read(&args.files, &settings.reading)?;
    let calendar = input::calendar(&panel, &settings.reading);
    let plan = Plan::new(args, &settings, refit, &panel, calendar.as_ref())?;
    let place = device::open(&settings.machine, Work::Training, Dtype::default())?;
    let tell = !settings.output.say.json && !settings.output.say.quiet;
    if tell {
        output::print(report::announced(&panel, &plan).as_bytes())?;
    }
    interrupt::listen()?;
    folder.create()?;
    let begun = Instant::now();
    let found = roll(&place, &panel, calendar.as_ref(), &plan, &settings, &folder);
    let found = found.inspect_err(|_| folder.abandon())?;
    let seconds = begun.elapsed().as_secs_f64();

    let numbers = report::to_json(&panel, &plan, &found, &place);
    folder.write(NUMBERS, format!("{numbers:#}\n").as_bytes())?;
    let errors = picture::errors(&panel, &found);
    folder.draw(STRIP, &picture::strip(&panel, &found))?;
    folder.draw(ERRORS, &errors)?;
    if settings.output.say.json {
        let mut numbers = numbers;
        numbers["run"] = serde_json::json!(folder.path());
        return output::print_json(&numbers);
    }
    if settings.output.say.quiet {
        return Ok(());
    }
    let mut text = report::table(&panel, &found);
    if found.config.horizon >= WORTH_A_PLOT {
        text += &format!("\n{}", plot::terminal(&errors, output::width(), 14, output::colours()));
    }
    let (values, path) = (folder.file(VALUES), folder.path().display());
    text += &format!("\nEvery forecast is in {}, measures and pictures are in {path}\n", values.display());
    output::print(text.as_bytes())?;
    say(&format!("{seconds:.1} s on {}", place.described()));
    Ok(())
}

/// The folder that the user named, or one beside that of the run.
fn folder(settings: &Settings, run: Folder) -> Folder {
    if settings.output.out.is_some() {
        return run;
    }
    let name = run.path().file_name().unwrap_or_default().to_string_lossy();
    Folder::named_or(&settings.output, &run.path().with_file_name(format!("{name}-backtest")))
}

/// Origins between two trainings; none where the first serves all.
fn refit(words: &[String]) -> Result<Option<NonZero<usize>>> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    match words.as_slice() {
        [] | ["never"] => Ok(None),
        ["every", count] if count.parse::<NonZero<usize>>().is_ok() => Ok(count.parse().ok()),
        ["never", more, ..] => Err(Failure::usage(format!(
            "--refit never takes nothing more, but '{more}' follows; name files before it"
        ))),
        words => Err(Failure::usage(format!(
            "--refit is '{}', but must be never or every K, as in --refit every 5",
            words.join(" ")
        ))),
    }
}

/// What is to be done.
struct Plan {
    trials: Vec<ForecastConfig>,
    origins: Origins,
    refit: Option<NonZero<usize>>,
}

impl Plan {
    fn new(
        args: &Args,
        settings: &Settings,
        refit: Option<NonZero<usize>>,
        panel: &Panel,
        calendar: Option<&Calendar>,
    ) -> Result<Self> {
        let seen = Beside::new(panel, calendar, 0);
        let members = seen.members(panel);
        let seasons = input::seasons(panel);
        let trials = |choices: &ForecastChoices| {
            ForecastConfig::trials(choices, &seasons, &members).map_err(|error| in_file(error, &panel.file))
        };
        let mut choices = choices(&settings.training, &settings.reading);
        let mut tried = trials(&choices)?;
        let asked = args.origins.and_then(|count| NonZero::new(count.get()));
        let horizon = tried[0].horizon;
        let needed = asked.map_or(0, |count| Origins::needed(horizon, count));
        if choices.held_out.is_none() && needed > tried[0].held_out {
            choices = ForecastChoices { horizon: Some(horizon), held_out: Some(needed), ..choices };
            tried = trials(&choices)?;
        }
        let held_out = tried[0].held_out;
        let room = Origins::most(held_out, horizon).clamp(1, ORIGINS);
        let count = asked.or(NonZero::new(room)).unwrap_or(NonZero::<usize>::MIN);
        Ok(Self { trials: tried, origins: Origins::evenly(held_out, horizon, count)?, refit })
    }

    /// How often the model learns.
    fn times(&self) -> usize {
        let origins = self.origins.offsets.len();
        self.refit.map_or(1, |every| origins.div_ceil(every.get()))
    }
}

/// What the origins say.
struct Found {
    config: ForecastConfig,
    tried: (Vec<Trial>, Taken),
    methods: Vec<Method>,
    /// Forecasts of each series.
    forecasts: Vec<usize>,
    /// What the picture shows.
    subject: Subject,
    shown: Vec<Shown>,
}

/// Errors of one method.
struct Method {
    name: &'static str,
    by_series: Vec<Tally>,
    by_step: Vec<Tally>,
}

impl Method {
    /// Over all series.
    fn all(&self) -> Tally {
        self.by_series.iter().fold(Tally::default(), |mut sum, tally| {
            sum += *tally;
            sum
        })
    }
}

fn roll(
    place: &Place,
    panel: &Panel,
    calendar: Option<&Calendar>,
    plan: &Plan,
    settings: &Settings,
    folder: &Folder,
) -> Result<Found> {
    let mut progress = Progress::new(settings.output.say);
    let mut sheet = Sheet::create(folder.file(VALUES))?;
    let roll = Roll { panel, calendar, plan, progress: &mut progress, sheet: &mut sheet };
    let found = place.run(roll);
    progress.finish();
    let found = found?;
    sheet.finish()?;
    Ok(found)
}

/// The work on the device.
struct Roll<'a> {
    panel: &'a Panel,
    calendar: Option<&'a Calendar>,
    plan: &'a Plan,
    progress: &'a mut Progress,
    sheet: &'a mut Sheet,
}

impl Job for Roll<'_> {
    type Output = Found;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Found> {
        let Roll { panel, calendar, plan, progress, sheet } = self;
        let Plan { trials, origins, refit } = plan;
        let beside = Beside::new(panel, calendar, trials[0].horizon + trials[0].segment);
        let members = beside.members(panel);
        let wrong = |error| in_file(error, &panel.file);
        let mut test =
            Backtest::<B, F>::new(backend, trials, &members, origins.clone(), *refit).map_err(wrong)?;
        let mut found = Found::nothing(panel, plan);
        // In units of what was known before the first forecast.
        let scales: Vec<Option<f64>> = members
            .iter()
            .map(|m| {
                let learnt = m.rows().saturating_sub(origins.held_out);
                naive_scale(&m.values[..learnt], trials[0].mase_season())
            })
            .collect();
        let mut watch = |learning: Learning, step: u64, report: Option<&Report>| {
            progress.stage(&stage(learning), step, ahead(learning));
            progress.observe(step, report)
        };
        loop {
            if interrupt::asked() {
                return Err(cut_short(Outcome::Interrupted));
            }
            match test.next(&mut watch).map_err(wrong)? {
                Next::Forecasts(batch) => {
                    sheet.write(panel, &batch, trials[0].horizon)?;
                    found.take(&batch, &scales);
                }
                Next::CutShort(outcome) => return Err(cut_short(outcome)),
                Next::Ended => break,
            }
        }
        found.config = test.config().clone();
        // Its own is the one horizon that each training sets aside.
        found.config.held_out = origins.held_out;
        found.tried = test.tried().clone();
        Ok(found)
    }
}

impl Found {
    fn nothing(panel: &Panel, plan: &Plan) -> Self {
        Self {
            config: plan.trials[0].clone(),
            tried: Default::default(),
            methods: Vec::new(),
            forecasts: vec![0; panel.members.len()],
            subject: Subject::of(panel, plan),
            shown: Vec::new(),
        }
    }

    /// Counts the forecasts of some origins; `scales` are those of each series.
    fn take(&mut self, batch: &Batch, scales: &[Option<f64>]) {
        let (horizon, series) = (self.config.horizon, self.forecasts.len());
        if self.methods.is_empty() {
            let nothing = |forecasts: &Forecasts| Method {
                name: forecasts.method,
                by_series: vec![Tally::default(); series],
                by_step: vec![Tally::default(); horizon],
            };
            self.methods = batch.methods.iter().map(nothing).collect();
        }
        for window in &batch.windows {
            self.forecasts[window.member] += 1;
        }
        for (method, forecasts) in self.methods.iter_mut().zip(&batch.methods) {
            for (at, (y, f)) in batch.actual.iter().zip(&forecasts.mean).enumerate() {
                let (member, edges) = (batch.windows[at / horizon].member, &forecasts.edges[at]);
                for tally in [&mut method.by_series[member], &mut method.by_step[at % horizon]] {
                    tally.add(*y, *f, edges, scales[member]);
                }
            }
        }
        if let Some(lstm) = batch.methods.first() {
            self.shown.extend(Shown::of(lstm, &batch.windows, horizon, &self.subject));
        }
    }
}

/// What is under way, in few words.
fn stage(Learning { time, all_rows, network }: Learning) -> String {
    let which = if time.of > 1 { format!("{} of {}: ", time.index + 1, time.of) } else { String::new() };
    match (all_rows, network.of) {
        (false, of) => format!("{which}trial {} of {of}", network.index + 1),
        (true, 1) => format!("{which}all rows"),
        (true, of) => format!("{which}all rows, {} of {of}", network.index + 1),
    }
}

/// Networks that may follow: the rest of this stretch, the same from all rows, and as many each later time.
fn ahead(Learning { time, all_rows, network }: Learning) -> usize {
    let stretches = 2 * (time.of - time.index - 1) + usize::from(!all_rows);
    network.of - network.index - 1 + stretches * network.of
}

fn cut_short(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Diverged(fault) => Failure::new(
            Kind::Diverged,
            format!("training diverged at step {}: {fault}; lower --lr or --clip", fault.step),
        ),
        _ => Failure::new(Kind::Interrupted, "interrupted; nothing was written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refits_are_read_as_they_are_said() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            refit(&words).map(|every| every.map(NonZero::get)).map_err(|failure| failure.to_string())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["never"]), Ok(None));
        assert_eq!(read(&["every", "5"]), Ok(Some(5)));
        assert_eq!(read(&["every 5"]), Ok(Some(5)));
        let said = read(&["never", "air.csv"]).unwrap_err();
        assert_eq!(said, "--refit never takes nothing more, but 'air.csv' follows; name files before it");
        for wrong in [&["every"][..], &["every", "0"], &["every", "air.csv"], &["5"], &["now", "then"]] {
            let said = read(wrong).unwrap_err();
            assert!(said.contains("must be never or every K"), "{said}");
        }
    }
}

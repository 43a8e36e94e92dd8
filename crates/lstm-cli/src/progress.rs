//! How training is going: a bar on a terminal, a line now and then elsewhere, nothing for the quiet.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use lstm_train::{Flow, Progress as Report};

use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::forecast::quoted;
use crate::interrupt;
use crate::settings::Say;

/// Time between two lines off a terminal.
const INTERVAL: Duration = Duration::from_secs(5);
/// The bar until the first report says how many steps there are at most.
const WITHOUT_LENGTH: &str = "{prefix:<20} step {pos}";
const WITH_LENGTH: &str = "{prefix:<20} {wide_bar:.cyan/dim} {pos}/{len} {msg}";

/// What one report says, and of which network.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Point {
    /// Which of the ways that are tried, from 0; none where the one that was taken learns from all rows.
    pub(crate) trial: Option<usize>,
    /// Which of its networks, from 0.
    pub(crate) network: usize,
    pub(crate) step: u64,
    pub(crate) epoch: u32,
    pub(crate) loss: f64,
    pub(crate) validation: Option<f64>,
    pub(crate) rate: f64,
    /// Steps so far that were skipped, because their loss or gradient was no finite number.
    pub(crate) skipped: u64,
    /// How often training has gone back, to go on with half the rate.
    pub(crate) rollbacks: u32,
    /// Since training began.
    pub(crate) seconds: f64,
}

/// What went wrong in training and was helped, by all networks together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Setbacks {
    /// Steps that were skipped.
    skipped: u64,
    /// Times that training went back.
    rollbacks: u32,
}

impl Setbacks {
    /// One plain sentence, if there is anything to say.
    pub(crate) fn sentence(self) -> Option<String> {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let Self { skipped, rollbacks } = self;
        let were = if skipped == 1 { "was" } else { "were" };
        let steps = format!(
            "{skipped} step{} {were} skipped, because the loss or a gradient was no finite number",
            plural(skipped)
        );
        let back = match rollbacks {
            1 => "training went back to the last good state once and went on with half the learning rate"
                .to_owned(),
            times => {
                format!(
                    "training went back to the last good state {times} times, each time to half the learning rate"
                )
            }
        };
        match (skipped, rollbacks) {
            (0, 0) => None,
            (_, 0) => Some(format!("{steps}.")),
            (0, _) => Some(format!("The loss became too large: {back}.")),
            _ => Some(format!("{steps}; {back}.")),
        }
    }
}

/// Watches training, shows it, and remembers the course of the loss.
pub(crate) struct Progress {
    display: Display,
    stage: String,
    /// When its first step here was seen, and which that was: a run that goes on does not begin at the first.
    since: (Instant, u64),
    /// Networks of its size that may follow.
    ahead: usize,
    /// Trial and network under way.
    part: (Option<usize>, usize),
    begun: Instant,
    course: Vec<Point>,
    log: Option<Log>,
    /// One line for each report, in CSV.
    history: String,
}

enum Display {
    Bar(ProgressBar),
    Lines { told: Instant },
    Nothing,
}

impl Progress {
    pub(crate) fn new(say: Say) -> Self {
        let now = Instant::now();
        let display = if say.quiet {
            Display::Nothing
        } else if Term::stderr().is_term() {
            Display::Bar(ProgressBar::hidden())
        } else {
            Display::Lines { told: now }
        };
        Self {
            display,
            stage: String::new(),
            since: (now, 0),
            ahead: 0,
            part: (None, 0),
            begun: now,
            course: Vec::new(),
            log: None,
            history: "stage,step,epoch,loss,validation,learning-rate\n".into(),
        }
    }

    /// The same, writing each report to a file as it comes.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn logged(self, path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Self { log: Some(Log { path, file, failed: None }), ..self })
    }

    /// Says which trial, none for training on all rows, and which of its networks is under way, both from 0.
    pub(crate) fn part(&mut self, trial: Option<usize>, network: usize) {
        self.part = (trial, network);
    }

    /// Every report so far.
    pub(crate) fn course(&self) -> &[Point] {
        &self.course
    }

    /// What went wrong and was helped: what the last report of each network counts.
    pub(crate) fn setbacks(&self) -> Setbacks {
        let networks = self.course.chunk_by(|a, b| (a.trial, a.network) == (b.trial, b.network));
        networks.filter_map(<[Point]>::last).fold(Setbacks::default(), |sum, point| Setbacks {
            skipped: sum.skipped + point.skipped,
            rollbacks: sum.rollbacks + point.rollbacks,
        })
    }

    /// Says what has gone wrong since the report before.
    fn warn(&self, report: &Report) {
        let before = self.course.last().filter(|point| (point.trial, point.network) == self.part);
        let before = before.map_or((0, 0), |point| (point.skipped, point.rollbacks));
        let new = Setbacks {
            skipped: report.skipped.saturating_sub(before.0),
            rollbacks: report.rollbacks.saturating_sub(before.1),
        };
        let Some(sentence) = new.sentence() else { return };
        let line = format!("warning: {}, up to step {}: {sentence}", self.stage, report.step);
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| say(&line)),
            Display::Lines { .. } => say(&line),
            Display::Nothing => {}
        }
    }

    /// Whether all of the log could be written.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn written(&mut self) -> Result<()> {
        match self.log.as_mut().and_then(|log| Some((log.failed.take()?, &log.path))) {
            Some((error, path)) => Err(Failure::file(path, &error)),
            None => Ok(()),
        }
    }

    /// Takes the log back, after work that failed.
    pub(crate) fn discard(&mut self) {
        if let Some(Log { path, .. }) = self.log.take() {
            // Where it is gone already, nothing is left to take back.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Names the network under way at its first step here, and says how many of its size may follow; another name
    /// begins another.
    pub(crate) fn stage(&mut self, stage: &str, step: u64, ahead: usize) {
        if self.stage == stage {
            return;
        }
        self.finish();
        stage.clone_into(&mut self.stage);
        (self.since, self.ahead) = ((Instant::now(), step), ahead);
        match &mut self.display {
            Display::Bar(bar) => {
                *bar = ProgressBar::no_length()
                    .with_style(style(WITHOUT_LENGTH))
                    .with_prefix(self.stage.clone());
            }
            Display::Lines { told } => *told = self.since.0,
            Display::Nothing => {}
        }
    }

    /// Takes note of a step, and says whether there should be another.
    pub(crate) fn observe(&mut self, step: u64, report: Option<&Report>) -> Flow {
        if let Some(report) = report {
            self.warn(report);
            self.record(report);
        }
        match &mut self.display {
            Display::Bar(bar) => {
                if let Some(report) = report {
                    if bar.length().is_none() {
                        bar.set_style(style(WITH_LENGTH));
                    }
                    bar.set_length(report.max_steps);
                    let left = left(report, self.since, self.ahead);
                    bar.set_message(format!("{}, {left}", losses(report)));
                }
                bar.set_position(step);
            }
            Display::Lines { told } => {
                if let Some(report) = report.filter(|_| told.elapsed() >= INTERVAL) {
                    let left = left(report, self.since, self.ahead);
                    let (stage, most, losses) = (&self.stage, report.max_steps, losses(report));
                    say(&format!("{stage}: step {step} of {most}, {losses}, {left}"));
                    *told = Instant::now();
                }
            }
            Display::Nothing => {}
        }
        if interrupt::asked() { Flow::Stop } else { Flow::Continue }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    /// The course of the loss as CSV.
    pub(crate) fn history(&self) -> &str {
        &self.history
    }

    fn record(&mut self, report: &Report) {
        let (trial, network) = self.part;
        let point = Point {
            trial,
            network,
            step: report.step,
            epoch: report.epoch,
            loss: report.loss,
            validation: report.validation,
            rate: report.learning_rate,
            skipped: report.skipped,
            rollbacks: report.rollbacks,
            seconds: self.begun.elapsed().as_secs_f64(),
        };
        if let Some(log) = &mut self.log {
            log.write(&point);
        }
        self.course.push(point);
        let validation = report.validation.map_or(String::new(), |value| value.to_string());
        self.history += &format!(
            "{},{},{},{},{validation},{}\n",
            quoted(&self.stage),
            report.step,
            report.epoch,
            report.loss,
            report.learning_rate
        );
    }
}

/// A file of one JSON object for each report.
struct Log {
    path: PathBuf,
    file: File,
    /// Why nothing is written any more; training goes on without.
    failed: Option<std::io::Error>,
}

impl Log {
    fn write(&mut self, point: &Point) {
        if self.failed.is_none() {
            self.failed = self.try_write(point).err();
        }
    }

    fn try_write(&mut self, point: &Point) -> std::io::Result<()> {
        // People count from 1.
        let counted =
            Point { trial: point.trial.map(|trial| trial + 1), network: point.network + 1, ..point.clone() };
        // One write for a line, so that a reader never sees a part of it.
        self.file.write_all(format!("{}\n", serde_json::to_string(&counted)?).as_bytes())
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn losses(report: &Report) -> String {
    match report.validation {
        Some(validation) => format!("loss {:.4}, validation {validation:.4}", report.loss),
        None => format!("loss {:.4}", report.loss),
    }
}

/// The longest that a network and those which may follow it will take, by its steps since the first one here: each may
/// end early.
fn left(report: &Report, (since, first): (Instant, u64), ahead: usize) -> String {
    let a_step = since.elapsed().as_secs_f64() / report.step.saturating_sub(first).max(1) as f64;
    let own = a_step * (report.max_steps - report.step) as f64;
    let all = own + a_step * (report.max_steps * ahead as u64) as f64;
    match ahead {
        0 => format!("at most {own:.0} s left"),
        _ => format!("at most {own:.0} s left, {all:.0} s with all networks to come"),
    }
}

/// One line to standard error; where nobody reads it, nothing is lost.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

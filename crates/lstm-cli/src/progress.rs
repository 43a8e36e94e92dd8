//! How training is going: a bar on a terminal, a line now and then elsewhere, nothing for the quiet.

use std::io::Write;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use lstm_train::{Flow, Progress as Report};

use crate::interrupt;
use crate::settings::Say;

/// Time between two lines off a terminal.
const INTERVAL: Duration = Duration::from_secs(5);
/// The bar until the first report says how many steps there are at most.
const WITHOUT_LENGTH: &str = "{prefix:<20} step {pos}";
const WITH_LENGTH: &str = "{prefix:<20} {wide_bar:.cyan/dim} {pos}/{len} {msg}, {eta} left";

/// Watches training, shows it, and remembers the course of the loss.
pub(crate) struct Progress {
    display: Display,
    stage: String,
    /// One line for each report, in CSV.
    history: String,
}

enum Display {
    Bar(ProgressBar),
    Lines { begun: Instant, told: Instant },
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
            Display::Lines { begun: now, told: now }
        };
        Self {
            display,
            stage: String::new(),
            history: "stage,step,epoch,loss,validation,learning-rate\n".into(),
        }
    }

    /// Names the stretch of training that is under way; another name begins another.
    pub(crate) fn stage(&mut self, stage: &str) {
        if self.stage == stage {
            return;
        }
        self.finish();
        stage.clone_into(&mut self.stage);
        match &mut self.display {
            Display::Bar(bar) => {
                *bar = ProgressBar::no_length()
                    .with_style(style(WITHOUT_LENGTH))
                    .with_prefix(self.stage.clone());
            }
            Display::Lines { begun, told } => (*begun, *told) = (Instant::now(), Instant::now()),
            Display::Nothing => {}
        }
    }

    /// Takes note of a step, and says whether there should be another.
    pub(crate) fn observe(&mut self, step: u64, report: Option<&Report>) -> Flow {
        if let Some(report) = report {
            self.record(report);
        }
        match &mut self.display {
            Display::Bar(bar) => {
                if let Some(report) = report {
                    if bar.length().is_none() {
                        bar.set_style(style(WITH_LENGTH));
                    }
                    bar.set_length(report.max_steps);
                    bar.set_message(losses(report));
                }
                bar.set_position(step);
            }
            Display::Lines { begun, told } => {
                if let Some(report) = report.filter(|_| told.elapsed() >= INTERVAL) {
                    let left = begun.elapsed().as_secs_f64() / step as f64 * (report.max_steps - step) as f64;
                    let (stage, most, losses) = (&self.stage, report.max_steps, losses(report));
                    say(&format!("{stage}: step {step} of {most}, {losses}, at most {left:.0} s left"));
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
        let validation = report.validation.map_or(String::new(), |value| value.to_string());
        self.history += &format!(
            "{},{},{},{},{validation},{}\n",
            self.stage, report.step, report.epoch, report.loss, report.learning_rate
        );
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

/// One line to standard error; where nobody reads it, nothing is lost.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

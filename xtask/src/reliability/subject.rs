//! The program under test, a training that takes a moment, and what it gives when nobody disturbs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{lstm, target};

/// Files whose bits are compared.
const RESULTS: [&str; 2] = ["model.safetensors", "history.csv"];
/// A training with a checkpoint after every step.
const TRAIN: &str =
    "--quiet --checkpoint-every 0s --threads 1 --epochs 3 --hidden 4 --ensemble 2 --lookback 21";

pub(super) struct Subject {
    program: PathBuf,
    place: PathBuf,
    /// Of the training that nobody disturbs.
    results: Vec<Vec<u8>>,
    /// How long it takes.
    pub(super) seconds: f64,
}

/// A run folder by its name.
pub(super) struct Run {
    pub(super) name: String,
    path: PathBuf,
}

impl Subject {
    /// Builds the program, and trains once.
    ///
    /// # Errors
    /// If it cannot be built or trained.
    pub(super) fn new() -> Result<Self> {
        let program = lstm()?;
        let place = target().join("reliability");
        fs::create_dir_all(&place)?;
        let week = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0];
        let rows =
            (0..90).map(|day| format!("{:.3}\n", 50.0 + 0.05 * f64::from(day) + week[day as usize % 7]));
        fs::write(place.join("series.csv"), format!("sales\n{}", rows.collect::<String>()))?;
        let mut subject = Self { program, place, results: Vec::new(), seconds: 0.0 };
        let run = subject.folder("whole")?;
        let begun = Instant::now();
        let status = run.start(&subject)?.wait()?;
        ensure!(status.success(), "the undisturbed training ended with {status}");
        subject.seconds = begun.elapsed().as_secs_f64();
        subject.results = run.results()?;
        Ok(subject)
    }

    /// A run folder of this name that does not exist yet.
    ///
    /// # Errors
    /// If an old one cannot be removed.
    pub(super) fn folder(&self, name: &str) -> Result<Run> {
        let path = self.place.join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(Run { name: name.to_owned(), path })
    }

    /// `lstm` with these arguments.
    fn lstm(&self, arguments: &str) -> Command {
        self.command(&self.program, arguments)
    }

    fn command(&self, program: &Path, arguments: &str) -> Command {
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace()).current_dir(&self.place).stdin(Stdio::null());
        command
    }

    /// Trains under another program, to its end or not.
    ///
    /// # Errors
    /// If that program is missing.
    pub(super) fn under(&self, program: &str, arguments: &[&str], run: &Run) -> Result<Output> {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.program).args(run.training().split_whitespace());
        command.current_dir(&self.place).stdin(Stdio::null());
        command.output().with_context(|| format!("{program} does not start; install it"))
    }

    /// Lets a run go on to its end, and holds its results against those of the one that nobody disturbed.
    ///
    /// # Errors
    /// What was lost.
    pub(super) fn ends_as_planned(&self, run: &Run) -> Result<()> {
        if run.newest_checkpoint()? > 0 {
            let output = self.lstm(&format!("train --resume {} --quiet", run.name)).output()?;
            if !output.status.success() {
                bail!("it cannot go on: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
        } else if !run.has_ended()? {
            // Before the first checkpoint there is nothing that could be lost.
            let output = self.lstm(&format!("{} --force", run.training())).output()?;
            ensure!(
                output.status.success(),
                "it cannot begin again: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        for (name, (found, wanted)) in RESULTS.iter().zip(run.results()?.iter().zip(&self.results)) {
            ensure!(found == wanted, "{name} has other bits");
        }
        let stale =
            run.names()?.into_iter().find(|name| name.ends_with(".tmp") || name.starts_with("checkpoint-"));
        ensure!(stale.is_none(), "{stale:?} is left");
        Ok(())
    }
}

impl Run {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn training(&self) -> String {
        format!("train series.csv --out {} {TRAIN}", self.name)
    }

    /// Begins, or goes on where there is a checkpoint.
    ///
    /// # Errors
    /// If the program does not start.
    pub(super) fn start(&self, subject: &Subject) -> Result<Child> {
        let arguments = if self.newest_checkpoint()? > 0 {
            format!("train --resume {} --quiet --checkpoint-every 0s", self.name)
        } else {
            format!("{} --force", self.training())
        };
        let mut command = subject.lstm(&arguments);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Whether all is written: then the checkpoints are gone.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn has_ended(&self) -> Result<bool> {
        Ok(self.newest_checkpoint()? == 0 && self.path.join("report.html").exists())
    }

    /// Its number, 0 where there is none.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn newest_checkpoint(&self) -> Result<u64> {
        let number =
            |name: &String| name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok();
        Ok(self.names()?.iter().filter_map(number).max().unwrap_or(0))
    }

    fn names(&self) -> Result<Vec<String>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn results(&self) -> Result<Vec<Vec<u8>>> {
        RESULTS
            .iter()
            .map(|name| fs::read(self.path.join(name)).with_context(|| (*name).to_owned()))
            .collect()
    }
}

//! Runs that were broken off: what is kept while they go, and how they go on.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use lstm_tensor::Float;
use lstm_train::forecaster::ForecastConfig;
use lstm_train::{Checkpoints, Course, Journal, Keeper};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::origin::{Maker, Origin};
use crate::progress::say;
use crate::run::Folder;
use crate::settings::Settings;

/// Time between two checkpoints: what a crash loses at most.
const EVERY: Duration = Duration::from_secs(60);

/// A file that was read, and what it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
}

impl Source {
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn new(path: &Path, hash: Sha256) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| Failure::file(path, &error))?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path, sha256 })
    }

    /// # Errors
    /// A model failure that names the file.
    fn of(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| Failure::file(path, &error);
        let mut hash = Sha256::new();
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        loop {
            let bytes = file.fill_buf().map_err(failed)?;
            if bytes.is_empty() {
                break;
            }
            hash.update(bytes);
            let count = bytes.len();
            file.consume(count);
        }
        Self::new(path, hash)
    }

    fn readable_again(files: &[PathBuf], settings: &Settings) -> bool {
        files.iter().chain(&settings.reading.future).all(|path| path.as_os_str() != "-" && path.is_file())
    }

    /// # Errors
    /// A data failure where the file is another than it was.
    pub(crate) fn check(&self) -> Result<()> {
        if Self::of(&self.path)?.sha256 == self.sha256 { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> Failure {
        Failure::data(format!(
            "{}: the file is not what it was when the run began; bring that one back, or train again",
            self.path.display()
        ))
    }
}

/// What a checkpoint says of its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// `train` or `forecast`.
    pub(crate) command: String,
    /// Sample paths of a forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<usize>,
    /// Files with series; those of covariates to come stand in the settings.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) sources: Vec<Source>,
    /// All settings, as settings.toml says them.
    pub(crate) settings: String,
    pub(crate) trials: Vec<ForecastConfig>,
    /// What it was begun with.
    pub(crate) maker: Maker,
}

/// A run that was broken off.
pub(crate) struct Broken {
    pub(crate) run: Run,
    pub(crate) settings: Settings,
    checkpoints: Checkpoints,
}

impl Broken {
    /// The run of a folder, whose files are still the same.
    ///
    /// # Errors
    /// A model failure where there is none, a data failure where a file has changed.
    pub(crate) fn read(folder: &Path, command: &str) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Failure::model(format!(
                "{}: there is no such folder; name the run folder of a training that was broken off",
                folder.display()
            )));
        }
        let checkpoints = Checkpoints::of(folder)?;
        let Some(run) = checkpoints.run()? else {
            return Err(Failure::model(format!(
                "{}: there is no checkpoint to go on from: the run has ended, or was broken off before its first one; \
                 train again with --force",
                folder.display()
            )));
        };
        let run: Run = serde_json::from_value(run).map_err(|error| {
            Failure::model(format!("{}: not a checkpoint of a training: {error}", folder.display()))
        })?;
        if run.command != command {
            return Err(Failure::usage(format!(
                "{}: this run was begun by `lstm {}`; go on with lstm {} --resume {}",
                folder.display(),
                run.command,
                run.command,
                folder.display()
            )));
        }
        let settings = Settings::of_text(folder, &run.settings)?;
        for (file, source) in run.files.iter().chain(&settings.reading.future).zip(&run.sources) {
            if file.canonicalize().is_ok_and(|path| path != source.path) || !file.exists() {
                return Err(Failure::data(format!(
                    "{}: from here this is not {}, which the run was begun with; go on from the folder in which it was \
                     begun",
                    file.display(),
                    source.path.display()
                )));
            }
        }
        run.sources.iter().try_for_each(Source::check)?;
        Ok(Self { run, settings, checkpoints })
    }
}

/// How a run is to be kept, before it begins.
pub(crate) struct Keeping {
    every: Option<Duration>,
    /// What it goes on from.
    broken: Option<Broken>,
}

impl Keeping {
    /// For a run that goes on.
    pub(crate) fn again(every: Option<Duration>, broken: Broken) -> Self {
        Self { every, broken: Some(broken) }
    }

    /// Makes sure that a run can be kept as it was asked for, and that none which could go on is in its way.
    ///
    /// # Errors
    /// A usage failure; it says how the run in the way goes on.
    pub(crate) fn check(&self, folder: &Folder, files: &[PathBuf], settings: &Settings) -> Result<()> {
        let there = files.iter().all(|file| file.as_os_str() == "-" || file.exists());
        if self.every.is_some() && there && !Source::readable_again(files, settings) {
            return Err(Failure::usage(
                "--checkpoint-every: standard input and pipes cannot be read again, so that nothing could go on from a \
                 checkpoint; give a file, or leave it out",
            ));
        }
        if self.broken.is_some() || folder.may_replace() || !folder.path().is_dir() {
            return Ok(());
        }
        let checkpoints = Checkpoints::of(folder.path())?;
        let Some(run) = checkpoints.run()? else { return Ok(()) };
        let command = serde_json::from_value(run).map_or("train".into(), |run: Run| run.command);
        let folder = folder.path().display();
        Err(Failure::usage(format!(
            "{folder} holds a training that was broken off; go on with lstm {command} --resume {folder}, name another folder \
             with --out, or pass --force to begin again"
        )))
    }

    pub(crate) fn new(every: Option<Duration>) -> Self {
        Self { every, broken: None }
    }

    /// For a run in this folder, with what `lstm` was told and what that came to; none where a file cannot be read
    /// again. Where another program or machine goes on with a run, its bits are others from there on, and it is said
    /// unless `quiet`.
    ///
    /// # Errors
    /// A model failure that names a file; one where a run that was broken off would not come to the same.
    pub(crate) fn begin(
        self,
        folder: &Folder,
        (origin, files): (&Origin, &[PathBuf]),
        (text, trials): (&str, &[ForecastConfig]),
        quiet: bool,
    ) -> Result<Option<Kept>> {
        let Some(sources) = &origin.sources else {
            // Those of a run before this one.
            Checkpoints::of(folder.path())?.clear()?;
            return Ok(None);
        };
        if let Some(Broken { run, .. }) = &self.broken {
            let changed = run.sources.iter().zip(sources).find(|(was, is)| was != is);
            if let Some((was, _)) = changed {
                return Err(was.changed());
            }
            if run.maker != origin.maker && !quiet {
                say(&format!(
                    "warning: this training was begun by {} and goes on by {}: its bits may differ from here on",
                    run.maker.described(),
                    origin.maker.described()
                ));
            }
        }
        let run = Run {
            command: origin.command.clone(),
            samples: origin.samples,
            files: files.to_vec(),
            sources: sources.clone(),
            settings: text.to_owned(),
            trials: trials.to_vec(),
            maker: origin.maker.clone(),
        };
        let resumed = self.broken.is_some();
        let checkpoints = match self.broken {
            Some(broken) if broken.run.trials != run.trials => {
                return Err(Failure::model(format!(
                    "{}: this version of lstm plans another training than the one that was broken off; go on with the \
                     version that began it, or train again with --force",
                    folder.path().display()
                )));
            }
            Some(broken) => broken.checkpoints,
            None => {
                let checkpoints = Checkpoints::of(folder.path())?;
                checkpoints.clear()?;
                checkpoints
            }
        };
        let run = serde_json::to_value(run).map_err(|error| Failure::model(error.to_string()))?;
        let every = self.every.unwrap_or(EVERY);
        Ok(Some(Kept { checkpoints, run, every, last: Instant::now(), resumed, safe: false }))
    }
}

/// A time such as `90s` or `5m`; 0s is every step.
pub(crate) fn every(text: &str) -> std::result::Result<Duration, String> {
    let time: Option<SignedDuration> = text.parse().ok();
    time.and_then(|time| time.try_into().ok())
        .ok_or_else(|| "must be a time such as 90s, 5m or 1h".to_owned())
}

/// Keeps checkpoints of a run while it goes.
pub(crate) struct Kept {
    checkpoints: Checkpoints,
    run: Value,
    every: Duration,
    last: Instant,
    /// Whether the journal comes from the files.
    resumed: bool,
    /// Whether the last checkpoint could be written.
    pub(crate) safe: bool,
}

impl Kept {
    /// The course of a run from its beginning, or from its newest checkpoint.
    ///
    /// # Errors
    /// A model failure where the checkpoint cannot be read.
    pub(crate) fn course<F: Float>(&mut self) -> Result<Course<'_, F>> {
        let journal = match self.resumed.then(|| self.checkpoints.newest()).transpose()?.flatten() {
            Some((journal, _)) => journal,
            None => Journal::default(),
        };
        Ok(Course::kept(journal, self))
    }

    /// Removes the checkpoints of a run that has ended, or of one before it.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn clear(&self) -> Result<()> {
        Ok(self.checkpoints.clear()?)
    }
}

impl<F: Float> Keeper<F> for Kept {
    fn due(&mut self) -> bool {
        self.last.elapsed() >= self.every
    }

    /// A disk that is full for a while is no reason to lose the training.
    fn keep(&mut self, journal: &Journal<F>) -> lstm_train::Result<()> {
        let written = self.checkpoints.keep(journal, &self.run);
        if let Err(error) = &written {
            say(&format!("warning: no checkpoint could be written ({error}); training goes on without it"));
        }
        self.safe = written.is_ok();
        self.last = Instant::now();
        Ok(())
    }
}

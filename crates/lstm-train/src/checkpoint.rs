//! Journals as files: the newest and the one before it are kept, and the newest that is whole is read.

use crate::{Journal, Outcome, Progress, Result, TrainState, Trained, UnderWay};
use lstm_nn::sealed::Sealed;
use lstm_nn::{Error as FileError, durable};
use lstm_tensor::Float;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What kind of sealed file it is, and the version of its form.
const KIND: &str = "checkpoint";
const VERSION: u32 = 2;

/// Checkpoints of one run, in its folder.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// Of the next file.
    number: u64,
    /// Of the last one that was whole.
    whole: Option<u64>,
}

/// What a file says besides numbers of the element type.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// What the caller needs to take the run up again.
    run: Value,
    finished: Vec<Ended>,
    current: Option<Begun>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    steps: u64,
    outcome: Outcome,
    reports: Vec<Progress>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    /// With empty arrays: they are tensors.
    state: TrainState<f64>,
    reports: Vec<Progress>,
}

impl Checkpoints {
    /// Those of a run folder, if it has any.
    ///
    /// # Errors
    /// [`lstm_nn::Error::Io`] where the folder cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let number = numbered(folder)?.last().map_or(1, |(number, _)| number + 1);
        Ok(Self { folder: folder.to_owned(), number, whole: None })
    }

    /// The newest journal that is whole, with what was kept beside it. Damaged files are passed over as long as an older
    /// one is whole.
    ///
    /// # Errors
    /// That of the newest where none is whole.
    pub fn newest<F: Float>(&mut self) -> Result<Option<(Journal<F>, Value)>> {
        let found = self.newest_by(read)?;
        self.whole = found.as_ref().map(|(number, _)| *number).or(self.whole);
        Ok(found.map(|(_, read)| read))
    }

    /// What was kept beside the newest journal that is whole, whatever its element type.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn run(&self) -> Result<Option<Value>> {
        let found = self.newest_by(|path| Ok(Sealed::read(path, KIND, VERSION..=VERSION)?))?;
        Ok(found.and_then(|(_, file)| file.about().get("run").cloned()))
    }

    /// What the newest file that can be read gives, with its number; where none can, the error of the newest.
    fn newest_by<T>(&self, read: impl Fn(&Path) -> Result<T>) -> Result<Option<(u64, T)>> {
        let mut first_error = None;
        for (number, path) in numbered(&self.folder)?.iter().rev() {
            match read(path) {
                Ok(read) => return Ok(Some((*number, read))),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    /// Keeps a journal, and what is needed beside it; when it is safe, all files are removed but the one that was whole
    /// before.
    ///
    /// # Errors
    /// [`lstm_nn::Error::Io`]; the files before are then still there.
    pub fn keep<F: Float>(&mut self, journal: &Journal<F>, run: &Value) -> Result<()> {
        let path = self.folder.join(format!("checkpoint-{}.safetensors", self.number));
        durable::write(&path, &to_bytes(journal, run)?)?;
        let stay = [self.whole.replace(self.number), Some(self.number)];
        self.number += 1;
        let mut files = numbered(&self.folder)?;
        files.retain(|(number, _)| !stay.contains(&Some(*number)));
        remove(&files)
    }

    /// Removes all of them, when the run has ended.
    ///
    /// # Errors
    /// [`lstm_nn::Error::Io`].
    pub fn clear(&self) -> Result<()> {
        remove(&numbered(&self.folder)?)
    }
}

fn remove(files: &[(u64, PathBuf)]) -> Result<()> {
    for (_, path) in files {
        match fs::remove_file(path) {
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.map_err(|source| FileError::Io { path: path.clone(), source })?,
        }
    }
    Ok(())
}

/// The checkpoints in a folder by their numbers, the newest last.
fn numbered(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let io = |source| FileError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix("checkpoint-").and_then(|name| name.strip_suffix(".safetensors"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of a checkpoint.
fn to_bytes<'j, F: Float>(journal: &'j Journal<F>, run: &Value) -> Result<Vec<u8>> {
    let ended = |network: &Trained<F>| Ended {
        steps: network.steps,
        outcome: network.outcome.clone(),
        reports: network.reports.clone(),
    };
    let mut arrays = Vec::new();
    let mut begun = |current: &'j UnderWay<F>| {
        let state = current.state.map(&mut |name, values| {
            arrays.push((name, values));
            Ok::<Vec<f64>, Infallible>(Vec::new())
        });
        let Ok(state) = state;
        Begun { state, reports: current.reports.clone() }
    };
    let header = Header {
        run: run.clone(),
        finished: journal.finished.iter().map(ended).collect(),
        current: journal.current.as_ref().map(&mut begun),
    };
    let about = serde_json::to_value(&header).map_err(|error| invalid(&error))?;
    let mut file = Sealed::new(KIND, VERSION, about);
    let mut put = |name: String, values: &[F]| file.put(&name, &[values.len()], values);
    for (index, network) in journal.finished.iter().enumerate() {
        put(finished(index), &network.params);
    }
    for (name, values) in arrays {
        put(name, values);
    }
    Ok(file.to_bytes()?)
}

fn read<F: Float>(path: &Path) -> Result<(Journal<F>, Value)> {
    let file = Sealed::read(path, KIND, VERSION..=VERSION)?;
    from_sealed(&file).map_err(|why| FileError::Format { path: path.to_owned(), what: KIND, why }.into())
}

fn from_sealed<F: Float>(file: &Sealed) -> std::result::Result<(Journal<F>, Value), String> {
    let header: Header = serde_json::from_value(file.about().clone()).map_err(|error| error.to_string())?;
    let take = |name: &str| {
        file.get::<F>(name).ok_or_else(|| format!("it has no tensor {name} of {} numbers", F::NAME))
    };
    let mut journal = Journal::default();
    for (index, Ended { steps, outcome, reports }) in header.finished.into_iter().enumerate() {
        journal.finished.push(Trained { params: take(&finished(index))?, steps, outcome, reports });
    }
    if let Some(Begun { state, reports }) = header.current {
        let state = state.map(&mut |name, _: &[f64]| take(&name))?;
        journal.current = Some(UnderWay { state, reports });
    }
    Ok((journal, header.run))
}

fn finished(index: usize) -> String {
    format!("finished.{index}")
}

fn invalid(error: &dyn std::fmt::Display) -> FileError {
    FileError::Invalid { what: "run", value: error.to_string(), must: "plain JSON".into() }
}

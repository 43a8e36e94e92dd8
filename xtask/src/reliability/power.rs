//! A loss of power is not a signal: what was not synced may be there or not.
//!
//! A model of a disk follows the system calls of a training. Bytes of a file are durable once it is synced; names in a
//! folder are durable once the folder is synced, and until then any of the changes may have arrived. At every point of
//! two saves, every state that the disk may be in is laid out and the training goes on from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};

use super::subject::Subject;
use super::trace::{self, Call, Detail};

/// How a call names the run folder itself.
const FOLDER: &str = "/traced>";

/// Syncs that the disk obeys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obeyed {
    All,
    /// All but those of files.
    Folders,
    /// All but those of folders.
    Files,
}

/// A change to the names of a folder.
#[derive(Clone)]
enum Change {
    Put(String, usize),
    Remove(String),
}

/// The run folder on a disk.
#[derive(Default)]
struct Disk {
    /// Bytes of each file: written, and durable.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    now: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Changes since the folder was synced.
    pending: Vec<Change>,
}

/// Names and bytes.
type State = BTreeMap<String, Vec<u8>>;

/// All states are tried; then the same without the syncs, which must be noticed.
pub(super) fn run(subject: &Subject, _: u32) -> Result<String> {
    let traced = subject.folder("traced")?;
    let calls = trace::record(subject, &traced, Detail::Bytes)?;
    let states = states(&calls, Obeyed::All);
    ensure!(states.len() > 5, "only {} states", states.len());
    for state in &states {
        try_state(subject, state).with_context(|| format!("with {:?}", state.keys()))?;
    }
    for (obeyed, what) in [(Obeyed::Folders, "of files"), (Obeyed::Files, "of folders")] {
        let lost = self::states(&calls, obeyed).iter().any(|state| try_state(subject, state).is_err());
        ensure!(lost, "without the syncs {what} nothing is lost, so this check shows nothing");
    }
    Ok(format!(
        "{} states of the disk, 0 lost; without the syncs of files or of folders it is noticed",
        states.len()
    ))
}

/// Lays the state out, and lets the training go on: there was a checkpoint before, so there must be one now.
fn try_state(subject: &Subject, state: &State) -> Result<()> {
    let run = subject.folder("restored")?;
    fs::create_dir_all(run.path())?;
    for (name, bytes) in state {
        fs::write(run.path().join(name), bytes)?;
    }
    ensure!(run.newest_checkpoint()? > 0, "no checkpoint is left");
    subject.ends_as_planned(&run)
}

/// Every state of the disk at every point from the third checkpoint to the fifth, and while the model is written.
fn states(calls: &[Call], obeyed: Obeyed) -> BTreeSet<State> {
    let at = |words: &str| calls.iter().position(|call| call.name == "openat" && call.line.contains(words));
    let stretch = |from: &str, to: &str| at(from).unwrap_or(0)..at(to).unwrap_or(calls.len());
    let looked_at =
        [stretch(".checkpoint-3.", ".checkpoint-5."), stretch(".model.safetensors.", ".settings.toml.")];
    let mut disk = Disk::default();
    let mut states = BTreeSet::new();
    for (index, call) in calls.iter().enumerate() {
        disk.apply(call, obeyed);
        if looked_at.iter().any(|stretch| stretch.contains(&index)) {
            disk.states(&mut states);
        }
    }
    states
}

impl Disk {
    fn apply(&mut self, call: &Call, obeyed: Obeyed) {
        // A call that failed changed nothing.
        if call.line.contains(" = -1 ") {
            return;
        }
        let names: Vec<&str> = quoted(&call.line).into_iter().filter_map(kept_name).collect();
        let open = call.line.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0));
        let file = open.and_then(kept_name).and_then(|name| self.now.get(name)).copied();
        match (call.name.as_str(), names.as_slice()) {
            ("openat", [name]) if call.line.contains("O_CREAT") => {
                self.files.push(Default::default());
                self.change(Change::Put((*name).to_owned(), self.files.len() - 1));
            }
            ("rename", [from, to]) => {
                if let Some(file) = self.now.get(*from).copied() {
                    self.change(Change::Put((*to).to_owned(), file));
                    self.change(Change::Remove((*from).to_owned()));
                }
            }
            ("unlink", [name]) => self.change(Change::Remove((*name).to_owned())),
            ("write", _) => {
                let bytes =
                    call.line.split_once(", \"").and_then(|(_, rest)| Some(rest.rsplit_once("\", ")?.0));
                if let (Some(file), Some(bytes)) = (file, bytes) {
                    self.files[file].0.extend(bytes.chars().map(|c| c as u8));
                }
            }
            ("fsync", _) => match file {
                Some(file) if obeyed != Obeyed::Folders => self.files[file].1 = self.files[file].0.clone(),
                None if call.line.contains(FOLDER) && obeyed != Obeyed::Files => {
                    self.durable = self.now.clone();
                    self.pending.clear();
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }

    /// What may be found after a loss of power now.
    fn states(&self, states: &mut BTreeSet<State>) {
        // Where a folder is never synced, the changes are too many; that none has arrived is bad enough.
        let subsets = if self.pending.len() > 8 { 1 } else { 1usize << self.pending.len() };
        for subset in 0..subsets {
            let mut names = self.durable.clone();
            let arrived =
                self.pending.iter().enumerate().take(8).filter(|(index, _)| subset >> index & 1 == 1);
            arrived.for_each(|(_, change)| apply(&mut names, change));
            states.insert(
                names.iter().map(|(name, file)| (name.clone(), self.files[*file].1.clone())).collect(),
            );
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Put(name, file) => drop(names.insert(name.clone(), *file)),
        Change::Remove(name) => drop(names.remove(name)),
    }
}

/// The strings among the arguments of a call.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// The name of a checkpoint or of its temporary, without its folder: all that going on needs.
fn kept_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    name.trim_start_matches('.').starts_with("checkpoint-").then_some(name)
}

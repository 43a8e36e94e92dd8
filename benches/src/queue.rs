//! A queue of tasks, each a process of its own with a time limit, whose results lie in a folder: one that has
//! a result is not done again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How often a running task is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// The end of what a task printed that its result keeps, in bytes.
const TAIL: u64 = 4000;

/// Something to run.
#[derive(Clone, Debug)]
pub struct Task {
    /// Name, and name of the result's file.
    pub name: String,
    /// Program; a bare name is looked up as a shell does.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables it gets beside those of this process.
    pub variables: Vec<(&'static str, String)>,
    /// Seconds that it may take.
    pub limit: u64,
    /// What it must not print even if its exit code is 0.
    pub forbidden: Option<&'static str>,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// With exit code 0.
    Passed,
    /// With another one, or by a signal.
    Failed,
    /// It was ended, for it took too long.
    TimedOut,
    /// The program is not on this machine.
    Missing,
}

/// What is kept of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the task.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// Seconds it took.
    pub seconds: f64,
    /// What it printed last, if that is JSON.
    pub data: Value,
    /// The end of all that it printed, unless it passed with data.
    pub output: String,
}

/// Folder of results, and when no task is started any more.
#[derive(Clone, Debug)]
pub struct Queue {
    folder: PathBuf,
    until: Option<Instant>,
}

impl Queue {
    /// A queue with its results in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(folder: &Path, until: Option<Instant>) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), until })
    }

    /// Does what is left of `tasks`, in order, and gives all results there are. After each task that was done
    /// `say` gets the results up to it.
    ///
    /// # Errors
    /// If a result cannot be written, and those of `say`. A task that fails is a result.
    pub fn work(
        &self,
        tasks: &[Task],
        mut say: impl FnMut(&[Outcome]) -> Result<()>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for task in tasks {
            if let Some(known) = self.known(&task.name) {
                outcomes.push(known);
            } else if self.until.is_none_or(|until| Instant::now() < until) {
                let outcome = self.run(task)?;
                self.keep(&outcome)?;
                outcomes.push(outcome);
                say(&outcomes)?;
            }
        }
        Ok(outcomes)
    }

    /// The result of a task that has one; half a file is none.
    fn known(&self, name: &str) -> Option<Outcome> {
        let text = std::fs::read(self.folder.join(format!("{name}.json"))).ok()?;
        serde_json::from_slice(&text).ok().filter(|outcome: &Outcome| outcome.name == name)
    }

    fn keep(&self, outcome: &Outcome) -> Result<()> {
        let text = serde_json::to_string_pretty(outcome)? + "\n";
        write(&self.folder.join(format!("{}.json", outcome.name)), &text)
    }

    fn run(&self, task: &Task) -> Result<Outcome> {
        let start = Instant::now();
        // To a file, because a pipe that nobody empties would stop the task.
        let mut output = tempfile::tempfile_in(&self.folder).context("no temporary file can be made")?;
        let started = Command::new(&task.program)
            .args(&task.args)
            .envs(task.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn();
        let (status, reason) = match started {
            Err(error) => (Status::Missing, format!("{} does not start: {error}", task.program.display())),
            Ok(mut child) => {
                let limit = start + Duration::from_secs(task.limit);
                loop {
                    if let Some(ended) = child.try_wait()? {
                        break (judge(ended), ended.to_string());
                    }
                    if Instant::now() >= limit {
                        // It may have ended by itself just now.
                        let _ = child.kill();
                        child.wait()?;
                        break (Status::TimedOut, format!("took more than {} s", task.limit));
                    }
                    std::thread::sleep(GLANCE);
                }
            }
        };
        let printed = tail(&mut output)?;
        let said = task.forbidden.filter(|forbidden| printed.contains(forbidden));
        let (status, reason) = match said {
            Some(said) if status == Status::Passed => (Status::Failed, format!("must not say {said:?}")),
            _ => (status, reason),
        };
        let last = printed.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let data = match last.starts_with(['{', '[']) {
            true => serde_json::from_str(last).unwrap_or_default(),
            false => Value::Null,
        };
        let output = match status {
            Status::Passed if !data.is_null() => String::new(),
            Status::Passed => printed,
            _ => format!("{printed}\n{reason}").trim().to_owned(),
        };
        Ok(Outcome { name: task.name.clone(), status, seconds: start.elapsed().as_secs_f64(), data, output })
    }
}

fn judge(ended: ExitStatus) -> Status {
    if ended.success() { Status::Passed } else { Status::Failed }
}

/// The last [`TAIL`] bytes; a line of data may be longer than that, so it is kept whole.
fn tail(file: &mut File) -> Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(16 * TAIL)))?;
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let last = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let from = last.min(text.len().saturating_sub(TAIL as usize));
    Ok(text[text.ceil_char_boundary(from)..].to_owned())
}

/// Writes a file beside its place and moves it there, so that half of it never stands there.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("part");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Task {
        Task {
            name: name.to_owned(),
            program: "sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            variables: vec![("WORD", "hello".to_owned())],
            limit: 20,
            forbidden: None,
        }
    }

    fn statuses(outcomes: &[Outcome]) -> Vec<Status> {
        outcomes.iter().map(|outcome| outcome.status).collect()
    }

    #[test]
    fn each_task_ends_in_its_own_way_and_the_queue_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = [
            shell("data", "echo $WORD; echo '{\"ms\": 2}'"),
            shell("crash", "echo before; kill -SEGV $$"),
            Task { limit: 0, ..shell("slow", "sleep 20") },
            Task { program: "lstm-no-such-program".into(), ..shell("absent", "") },
            shell("plain", "echo $WORD"),
            Task { forbidden: Some("hell"), ..shell("forbidden", "echo $WORD") },
        ];
        let queue = Queue::new(folder.path(), None).unwrap();
        let outcomes = queue.work(&tasks, |_| Ok(())).unwrap();
        use Status::{Failed, Missing, Passed, TimedOut};
        assert_eq!(statuses(&outcomes), [Passed, Failed, TimedOut, Missing, Passed, Failed]);
        assert_eq!(outcomes[0].data["ms"], 2);
        assert!(outcomes[1].output.contains("before") && outcomes[1].output.contains("signal"));
        assert!(outcomes[3].output.contains("lstm-no-such-program does not start"));
        assert_eq!(outcomes[4].output.trim(), "hello");
        assert_eq!(folder.path().read_dir().unwrap().count(), tasks.len(), "nothing else is left");
    }

    #[test]
    fn what_has_a_result_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let count = |name| shell(name, &format!("echo x >> {}", mark.display()));
        let results = folder.path().join("results");
        let queue = Queue::new(&results, None).unwrap();
        queue.work(&[count("a")], |_| Ok(())).unwrap();
        // Half a result, as a lost machine may leave it, is none.
        std::fs::write(results.join("b.json"), "{\"name\": \"b\"").unwrap();
        let mut done = Vec::new();
        let say = |outcomes: &[Outcome]| {
            done.extend(outcomes.last().map(|outcome| outcome.name.clone()));
            Ok(())
        };
        let outcomes = queue.work(&[count("a"), count("b")], say).unwrap();
        assert_eq!((statuses(&outcomes).len(), done), (2, vec!["b".to_owned()]));
        assert_eq!(std::fs::read_to_string(&mark).unwrap().lines().count(), 2);
    }

    #[test]
    fn when_the_time_is_over_no_task_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = [shell("a", "true"), shell("b", "true")];
        Queue::new(folder.path(), None).unwrap().work(&tasks[..1], |_| Ok(())).unwrap();
        let over = Queue::new(folder.path(), Some(Instant::now())).unwrap();
        assert_eq!(statuses(&over.work(&tasks, |_| Ok(())).unwrap()), [Status::Passed]);
    }
}

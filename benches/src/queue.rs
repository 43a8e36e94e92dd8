//! A queue of tasks, each a process of its own with a time limit, whose results lie in a folder: one that has
//! a result of the same programs on the same device is not done again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What a result speaks of. Where any of it has changed, the result says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Hash of programs, kernels and recorded cases.
    pub hash: String,
    /// Names of the GPUs.
    pub gpu: String,
    /// Version of their driver.
    pub driver: String,
}

/// What is kept of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the task.
    pub name: String,
    /// What was run, and on what.
    pub identity: Identity,
    /// How it ended.
    pub status: Status,
    /// Seconds it took.
    pub seconds: f64,
    /// What it printed last, if that is JSON.
    pub data: Value,
    /// The end of all that it printed, unless it passed with data.
    pub output: String,
}

/// Folder of results, what they speak of, and when no task is started any more.
#[derive(Clone, Debug)]
pub struct Queue {
    folder: PathBuf,
    identity: Identity,
    until: Option<Instant>,
    stop: Arc<AtomicBool>,
}

impl Queue {
    /// A queue with its results in `folder`, which is made if need be. It starts no task after `until`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: &Path, identity: Identity, until: Option<Instant>) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), identity, until, stop: Arc::default() })
    }

    /// Once this is true, the task that runs is ended without a result and no other is started. A signal to
    /// this process alone does not reach the tasks, as they are in groups of their own.
    #[must_use]
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
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
            } else if !self.is_over()
                && let Some(outcome) = self.run(task)?
            {
                self.keep(&outcome)?;
                outcomes.push(outcome);
                say(&outcomes)?;
            }
        }
        Ok(outcomes)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// The result of a task that has one; half a file is none, and neither is one of other programs or of
    /// another device.
    fn known(&self, name: &str) -> Option<Outcome> {
        let text = std::fs::read(self.folder.join(format!("{name}.json"))).ok()?;
        serde_json::from_slice(&text)
            .ok()
            .filter(|known: &Outcome| known.name == name && known.identity == self.identity)
    }

    fn keep(&self, outcome: &Outcome) -> Result<()> {
        let text = serde_json::to_string_pretty(outcome)? + "\n";
        write(&self.folder.join(format!("{}.json", outcome.name)), text)
    }

    /// Runs a task to its end; nothing if it was stopped.
    fn run(&self, task: &Task) -> Result<Option<Outcome>> {
        let start = Instant::now();
        // To a file, because a pipe that nobody empties would stop the task.
        let mut output = tempfile::tempfile_in(&self.folder).context("no temporary file can be made")?;
        let mut command = Command::new(&task.program);
        // A group of its own, to be ended as a whole.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = command
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
                    if self.stop.load(Ordering::Relaxed) {
                        end(&mut child)?;
                        return Ok(None);
                    }
                    if Instant::now() >= limit {
                        end(&mut child)?;
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
        let (name, identity) = (task.name.clone(), self.identity.clone());
        Ok(Some(Outcome { name, identity, status, seconds: start.elapsed().as_secs_f64(), data, output }))
    }
}

/// Ends a process and all that it started.
fn end(child: &mut Child) -> Result<()> {
    // A failure means that it has ended by itself just now.
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    );
    #[cfg(not(unix))]
    let _ = child.kill();
    child.wait()?;
    Ok(())
}

/// How a queue stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every task passed.
    Passed,
    /// Some failed, or took too long.
    Failed,
    /// None failed, but some were not done: for want of a program, or of time.
    Incomplete,
}

/// How `tasks` stand with these results, and a sentence that says so.
#[must_use]
pub fn verdict(tasks: &[Task], outcomes: &[Outcome]) -> (Verdict, String) {
    let named = |status| -> Vec<&str> {
        outcomes.iter().filter(|o| o.status == status).map(|o| o.name.as_str()).collect()
    };
    let (passed, missing) = (named(Status::Passed).len(), named(Status::Missing));
    let failed = [named(Status::Failed), named(Status::TimedOut)].concat();
    let left = tasks.len() - outcomes.len();
    let mut sentence = format!("{passed} of {} tasks passed", tasks.len());
    for (names, what) in [(&failed, "failed"), (&missing, "lack their program on this machine")] {
        if !names.is_empty() {
            sentence += &format!("; {} {what}: {}", names.len(), names.join(", "));
        }
    }
    if left > 0 {
        sentence += &format!("; {left} were not done: run again");
    }
    let verdict = match (failed.len(), missing.len() + left) {
        (0, 0) => Verdict::Passed,
        (0, _) => Verdict::Incomplete,
        _ => Verdict::Failed,
    };
    (verdict, sentence)
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

/// Writes a file beside its place and moves it there, so that half of it never stands there. What is no plain
/// file, as `/dev/null`, is written to.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    let beside = path.with_extension("part");
    let written = match path.metadata() {
        Ok(there) if !there.is_file() => std::fs::write(path, contents),
        _ => std::fs::write(&beside, contents).and_then(|()| std::fs::rename(&beside, path)),
    };
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
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

    fn queue(folder: &Path, until: Option<Instant>) -> Queue {
        Queue::new(folder, Identity::default(), until).unwrap()
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
        let queue = queue(folder.path(), None);
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
        let queue = queue(&results, None);
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
        queue(folder.path(), None).work(&tasks[..1], |_| Ok(())).unwrap();
        let over = queue(folder.path(), Some(Instant::now()));
        let outcomes = over.work(&tasks, |_| Ok(())).unwrap();
        assert_eq!(statuses(&outcomes), [Status::Passed]);
        let (is, sentence) = verdict(&tasks, &outcomes);
        assert_eq!(is, Verdict::Incomplete, "{sentence}");
        assert_eq!(sentence, "1 of 2 tasks passed; 1 were not done: run again");
    }

    #[test]
    fn only_a_queue_that_is_done_and_passed_has_passed() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue(folder.path(), None);
        let tasks = [
            shell("a", "true"),
            Task { program: "lstm-no-such-program".into(), ..shell("absent", "") },
            shell("b", "false"),
        ];
        let mut verdicts = Vec::new();
        for count in 1..=tasks.len() {
            let outcomes = queue.work(&tasks[..count], |_| Ok(())).unwrap();
            verdicts.push(verdict(&tasks[..count], &outcomes));
        }
        use Verdict::{Failed, Incomplete, Passed};
        assert_eq!(verdicts.iter().map(|v| v.0).collect::<Vec<_>>(), [Passed, Incomplete, Failed]);
        assert_eq!(
            verdicts[2].1,
            "1 of 3 tasks passed; 1 failed: b; 1 lack their program on this machine: absent"
        );
    }

    /// Results of another build, GPU or driver count as none.
    #[test]
    fn what_other_programs_or_devices_gave_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let base = Identity { hash: "1".to_owned(), gpu: "H200".to_owned(), driver: "580".to_owned() };
        let others = [
            Identity { hash: "2".to_owned(), ..base.clone() },
            Identity { gpu: "H100".to_owned(), ..base.clone() },
            Identity { driver: "590".to_owned(), ..base.clone() },
        ];
        let (good, bad) = ([shell("a", "true")], [shell("a", "false")]);
        let over = Some(Instant::now());
        let work = |identity: &Identity, until, tasks: &[Task]| {
            let queue = Queue::new(folder.path(), identity.clone(), until).unwrap();
            queue.work(tasks, |_| Ok(())).unwrap()
        };
        for other in &others {
            assert_eq!(statuses(&work(&base, None, &good)), [Status::Passed]);
            assert_eq!(statuses(&work(&base, over, &bad)), [Status::Passed], "it has a result");
            assert_eq!(statuses(&work(other, over, &bad)), [], "not of this one");
            assert_eq!(statuses(&work(other, None, &bad)), [Status::Failed]);
        }
    }

    /// A shell that starts a sleeper, and a file with the number of the sleeper.
    fn sleeper(folder: &Path) -> (Task, PathBuf) {
        let file = folder.join("sleeper");
        let script = format!("sleep 600 & echo $! > {0}.part; mv {0}.part {0}; wait", file.display());
        (shell("parent", &script), file)
    }

    /// Whether a process runs. One that has ended is none, even where nobody has taken note of it yet.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    fn ends(pid: &str) -> bool {
        let limit = Instant::now() + Duration::from_secs(5);
        while runs(pid) && Instant::now() < limit {
            std::thread::sleep(GLANCE);
        }
        !runs(pid)
    }

    #[test]
    fn what_a_task_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (task, file) = sleeper(folder.path());
        let queue = queue(&folder.path().join("results"), None);
        let outcomes = queue.work(&[Task { limit: 1, ..task }], |_| Ok(())).unwrap();
        assert_eq!(statuses(&outcomes), [Status::TimedOut]);
        let pid = std::fs::read_to_string(file).unwrap();
        assert!(ends(pid.trim()), "{pid}");
    }

    #[test]
    fn a_queue_that_is_stopped_ends_its_task_and_starts_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (task, file) = sleeper(folder.path());
        let queue = queue(&folder.path().join("results"), None);
        let stop = queue.stop();
        let outcomes = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !file.exists() {
                    std::thread::sleep(GLANCE);
                }
                assert!(runs(std::fs::read_to_string(&file).unwrap().trim()));
                stop.store(true, Ordering::Relaxed);
            });
            queue.work(&[task, shell("next", "true")], |_| Ok(())).unwrap()
        });
        assert_eq!(statuses(&outcomes), []);
        assert!(ends(std::fs::read_to_string(&file).unwrap().trim()));
    }
}

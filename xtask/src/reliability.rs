//! `cargo xtask reliability`: whether anything is lost when a training is stopped at the worst moment, by signals, by
//! failing system calls, and by a loss of power; and whether anything grows while it goes on. Needs strace, hence Linux.

mod power;
mod soak;
mod subject;
mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use subject::Subject;
use trace::Call;

/// How much, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer random points: what CI runs
    #[arg(long)]
    quick: bool,
    /// One of the checks
    #[arg(long, value_name = "CHECK", value_parser = CHECKS.map(|check| check.name))]
    only: Option<String>,
    /// How long the soak goes on: 120, or 1 with `--quick`
    #[arg(long, value_name = "N")]
    minutes: Option<u32>,
    /// Judge the samples of a soak that is over
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "minutes"])]
    samples: Option<PathBuf>,
}

impl Args {
    /// As CI runs it.
    pub(crate) fn quick() -> Self {
        Self { quick: true, only: None, minutes: None, samples: None }
    }
}

struct Check {
    name: &'static str,
    /// Random points or minutes, of all and of the quick ones.
    points: [u32; 2],
    run: fn(&Subject, u32) -> Result<String>,
}

/// The check that takes minutes, not points.
const SOAK: &str = "soak";

const CHECKS: [Check; 5] = [
    Check { name: "stop-points", points: [0, 0], run: stop_points },
    Check { name: "power-loss", points: [0, 0], run: power::run },
    Check { name: "kills", points: [1000, 40], run: kills },
    Check { name: "resume", points: [200, 20], run: resume },
    Check { name: SOAK, points: [120, 1], run: |_, minutes| soak::run(60 * minutes) },
];

/// Runs the checks and prints a line for each.
///
/// # Errors
/// What was lost, and when.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(samples) = &args.samples {
        println!("{SOAK:<12} {}", soak::judge(samples)?);
        return Ok(());
    }
    let subject = Subject::new()?;
    for check in CHECKS.iter().filter(|check| args.only.as_ref().is_none_or(|only| only == check.name)) {
        let begun = Instant::now();
        let points = check.points[usize::from(args.quick)];
        let points = args.minutes.filter(|_| check.name == SOAK).unwrap_or(points);
        let told = (check.run)(&subject, points);
        let told = told.with_context(|| format!("reliability check {}", check.name))?;
        println!("{:<12} {told} ({:.0} s)", check.name, begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Every system call of one checkpoint and of the model file, with SIGKILL and three errors at that call.
fn stop_points(subject: &Subject, _: u32) -> Result<String> {
    const FAULTS: [&str; 4] = ["signal=KILL", "error=EIO", "error=ENOSPC", "error=EINTR"];
    let run = subject.folder("traced")?;
    let calls = trace::record(subject, &run, trace::Detail::Names)?;
    let mut saves = trace::save(&calls, ".checkpoint-3.", ".checkpoint-4.");
    saves.extend(trace::save(&calls, ".model.safetensors.", ".settings.toml."));
    ensure!(saves.len() > 10, "the trace shows only {} calls of two saves", saves.len());
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for Call { name, nth, .. } in &saves {
        *kinds.entry(name).or_default() += 1;
        for fault in FAULTS {
            let run = subject.folder("stopped")?;
            let inject = format!("inject={name}:{fault}:when={nth}");
            let log = run.path().with_extension("strace");
            let strace = ["-f", "-o", &log.to_string_lossy(), "-e", &format!("trace={name}"), "-e", &inject];
            subject.under("strace", &strace, &run)?;
            let log = std::fs::read_to_string(&log)?;
            ensure!(
                log.contains("(INJECTED)") || log.contains("killed by SIGKILL"),
                "{inject} was never met"
            );
            subject.ends_as_planned(&run).with_context(|| inject.clone())?;
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(name, count)| format!("{count} {name}")).collect();
    Ok(format!(
        "{} faults at the {} calls of two saves ({}), 0 lost",
        4 * saves.len(),
        saves.len(),
        kinds.join(", ")
    ))
}

/// SIGKILL at random moments of runs that save after every step.
fn kills(subject: &Subject, points: u32) -> Result<String> {
    let mut random = Random(1);
    let (mut ended, mut run) = (0, subject.folder("killed")?);
    let mut newest = 0;
    for _ in 0..points {
        let mut child = run.start(subject)?;
        std::thread::sleep(random.below(0.7 * subject.seconds));
        // One that has ended needs no signal.
        let _ = child.kill();
        let status = child.wait()?;
        if status.success() || run.has_ended()? {
            subject.ends_as_planned(&run)?;
            (ended, newest, run) = (ended + 1, 0, subject.folder("killed")?);
            continue;
        }
        ensure!(status.code().is_none(), "a run that was taken up again ended with {status}");
        let now = run.newest_checkpoint()?;
        ensure!(now >= newest, "checkpoint {newest} was there, and now only {now} is");
        newest = now;
    }
    subject.ends_as_planned(&run)?;
    Ok(format!("{points} kills, {ended} runs ended among them, 0 lost, 0 stale files"))
}

/// SIGINT, SIGTERM or SIGKILL at a random moment, then on to the end.
fn resume(subject: &Subject, points: u32) -> Result<String> {
    let mut random = Random(2);
    let mut stopped = 0;
    let mut sent = 0usize;
    while stopped < points {
        let run = subject.folder("resumed")?;
        let mut child = run.start(subject)?;
        std::thread::sleep(random.below(subject.seconds));
        let signal = ["-INT", "-TERM", "-KILL"][sent % 3];
        sent += 1;
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).output()?;
        let status = child.wait()?;
        match status.code() {
            Some(0) => {}
            Some(130) | None => stopped += 1,
            Some(_) => bail!("stopped by {signal}, the run ended with {status}"),
        }
        subject.ends_as_planned(&run).with_context(|| format!("after {signal}"))?;
    }
    Ok(format!("{stopped} runs stopped by SIGINT, SIGTERM or SIGKILL, the same bits each time"))
}

/// Moments that are the same in every run of a check.
struct Random(u64);

impl Random {
    /// A time below `seconds`.
    fn below(&mut self, seconds: f64) -> Duration {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_secs_f64(seconds * (self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

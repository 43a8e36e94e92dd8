//! `cargo xtask reliability`: whether anything is lost when a training is stopped at the worst moment, by signals, by
//! failing system calls, and by a loss of power; whether anything grows while it goes on; and what tests over damaged
//! files and bad input, fuzzers, a sanitizer and mutants say. Needs strace, hence Linux.
//!
//! All of it takes days. A check that is done leaves a cell in `experiments/reliability`, and the next run goes on with those
//! that have none of this commit.

mod commands;
mod power;
mod soak;
mod subject;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::source::Source;
use crate::{planted, root};
use commands::Mutants;
use subject::Subject;
use trace::Call;

/// How much, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer random points of the checks that take seconds then: what CI runs; leaves no cells
    #[arg(long)]
    quick: bool,
    /// One of the checks, whether it has a cell or not
    #[arg(long, value_name = "CHECK", value_parser = CHECKS.map(|check| check.name))]
    only: Option<String>,
    /// Random points, executions or mutants of `--only` at most, minutes of the soak
    #[arg(long, value_name = "N", requires = "only")]
    points: Option<u32>,
    /// Judge the samples of a soak that is over
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "points"])]
    samples: Option<PathBuf>,
}

impl Args {
    /// As CI runs it.
    pub(crate) fn quick() -> Self {
        Self { quick: true, only: None, points: None, samples: None }
    }
}

struct Check {
    name: &'static str,
    /// Random points, executions, mutants or minutes.
    points: u32,
    /// As many in CI; none where CI runs the check elsewhere, or never.
    quick: Option<u32>,
    run: Run,
}

enum Run {
    /// Needs the program and its undisturbed training.
    Stopped(fn(&Subject, u32) -> Result<String>),
    Alone(fn(u32) -> Result<String>),
}

impl Check {
    const fn stopped(
        name: &'static str,
        [points, quick]: [u32; 2],
        run: fn(&Subject, u32) -> Result<String>,
    ) -> Self {
        Self { name, points, quick: Some(quick), run: Run::Stopped(run) }
    }

    const fn alone(name: &'static str, points: u32, run: fn(u32) -> Result<String>) -> Self {
        Self { name, points, quick: None, run: Run::Alone(run) }
    }
}

const SOAK: &str = "soak";
/// Executions of each fuzzer.
const EXECUTIONS: u32 = 10_000_000;
/// More mutants than there are.
const EVERY: u32 = 100_000;

const CHECKS: [Check; 21] = [
    Check::stopped("stop-points", [0, 0], stop_points),
    Check::stopped("power-loss", [0, 0], power::run),
    Check::stopped("kills", [1000, 40], kills),
    Check::stopped("resume", [200, 20], resume),
    Check { name: SOAK, points: 120, quick: Some(1), run: Run::Alone(|minutes| soak::run(60 * minutes)) },
    Check::alone("files", 0, |_| commands::tests("-p lstm-tests --test saved --test damaged --test resume")),
    Check::alone("threads", 0, |_| commands::tests("-p lstm-tests --test threads --test training")),
    Check::alone("faults", 0, |_| commands::tests("-p lstm-tests --test faults")),
    Check::alone("input", 0, |_| {
        commands::tests(
            "-p lstm-cli -p lstm-data --test cli_bad_input --test corpus --test second_reader -- --include-ignored",
        )
    }),
    Check::alone("planted", 0, |_| planted::all().map(|count| format!("{count} mistakes, all noticed"))),
    Check::alone("sanitize", 0, commands::sanitize),
    Check::alone("fuzz-csv", EXECUTIONS, |executions| commands::fuzz("csv", executions)),
    Check::alone("fuzz-settings", EXECUTIONS, |executions| commands::fuzz("settings", executions)),
    Check::alone("fuzz-model", EXECUTIONS, |executions| commands::fuzz("model", executions)),
    Check::alone("fuzz-checkpoint", EXECUTIONS, |executions| commands::fuzz("checkpoint", executions)),
    Check::alone("fuzz-arguments", EXECUTIONS, |executions| commands::fuzz("arguments", executions)),
    Check::alone("mutants-metrics", EVERY, |most| {
        let files = &["crates/lstm-train/src/metrics.rs"];
        let tests = "--lib metrics";
        commands::mutants("metrics", &Mutants { package: "lstm-train", files, others: &[], tests }, most)
    }),
    Check::alone("mutants-scalers", EVERY, |most| {
        let files = &["crates/lstm-data/src/scale.rs", "crates/lstm-data/src/split.rs"];
        commands::mutants(
            "scalers",
            &Mutants { package: "lstm-data", files, others: &[], tests: "--lib" },
            most,
        )
    }),
    Check::alone("mutants-windows", EVERY, |most| {
        let files = &["crates/lstm-data/src/window.rs"];
        commands::mutants(
            "windows",
            &Mutants { package: "lstm-data", files, others: &[], tests: "--lib" },
            most,
        )
    }),
    Check::alone("mutants-optimizers", EVERY, |most| {
        let files = &["crates/lstm-optim/src/*.rs", "crates/lstm-optim/src/lbfgs/*.rs"];
        let tests = "--lib --test schedules --test lbfgs --test golden --test training --test faults";
        let others = &["lstm-tests"];
        commands::mutants("optimizers", &Mutants { package: "lstm-optim", files, others, tests }, most)
    }),
    Check::alone("mutants-cells", EVERY, |most| {
        let files = &["crates/lstm-cpu/src/stack/cell*.rs", "crates/lstm-cpu/src/stack/cell/*.rs"];
        // Not the laws, which take minutes to build for each.
        let tests = "--lib --test golden --test kernels";
        let others = &["lstm-tests"];
        commands::mutants("cells", &Mutants { package: "lstm-cpu", files, others, tests }, most)
    }),
];

/// What a check gave when it was last run as a whole.
#[derive(Serialize, Deserialize)]
struct Cell {
    check: String,
    obtained: String,
    seconds: f64,
    points: u32,
    #[serde(flatten)]
    source: Source,
}

/// Runs the checks and prints a line for each.
///
/// # Errors
/// What was lost, and when.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(samples) = &args.samples {
        println!("{SOAK:<18} {}", soak::judge(samples)?);
        return Ok(());
    }
    let source = Source::now()?;
    let mut subject = None;
    for check in &CHECKS {
        let points = match (&args.only, args.quick) {
            (Some(only), _) if only != check.name => continue,
            (_, true) => check.quick,
            (_, false) => Some(check.points),
        };
        let Some(points) = args.points.or(points) else { continue };
        let path = root().join("experiments/reliability").join(check.name).with_extension("json");
        let before = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Cell>(&bytes).ok());
        if let Some(cell) = before.filter(|cell| {
            !args.quick && args.only.is_none() && cell.source.commit == source.commit && cell.points == points
        }) {
            println!("{:<18} {} ({:.0} s, before)", check.name, cell.obtained, cell.seconds);
            continue;
        }
        let begun = Instant::now();
        let obtained = match check.run {
            Run::Alone(run) => run(points),
            Run::Stopped(run) => {
                if subject.is_none() {
                    subject = Some(Subject::new()?);
                }
                subject.as_ref().context("no program to test").and_then(|subject| run(subject, points))
            }
        };
        let obtained = obtained.with_context(|| format!("reliability check {}", check.name))?;
        let seconds = begun.elapsed().as_secs_f64().round();
        println!("{:<18} {obtained} ({seconds:.0} s)", check.name);
        if !args.quick {
            let cell = Cell { check: check.name.into(), obtained, seconds, points, source: source.clone() };
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(&path, serde_json::to_string_pretty(&cell)? + "\n")?;
        }
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

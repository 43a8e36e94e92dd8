//! Checks and measures on a machine with a GPU; `cargo xtask gpu` packs it with all that it needs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program reports to a terminal")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lstm_benches::gpu::{Folder, page, write_cells};
use lstm_benches::queue::{Identity, Outcome, Queue, Status, Verdict, verdict, write};
use lstm_cuda::probe;
use serde_json::{Value, json};

/// Exit code without a device, as that of the binary `lstm`.
const NO_DEVICE: u8 = 5;

/// Exit code where a check failed.
const FAILED: u8 = 1;

/// Exit code where nothing failed, but not everything was done.
const INCOMPLETE: u8 = 7;

/// Checks and measures on this machine's GPU: laws, recorded cases, repeats, sanitizers, times beside PyTorch.
///
/// Results go to `results/`, a file for each task; what has a result of the same pack, GPU and driver is not done
/// again. The page made of them is `results/table.md`. Exit codes: 0 all passed, 1 something failed, 5 there is no
/// device, 7 nothing failed but tasks are left or their programs are missing.
#[derive(Parser)]
#[command(name = "run")]
struct Args {
    /// Start no task after so many minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// The Python that may have PyTorch
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Forget the results of tasks that did not pass, and do them again
    #[arg(long)]
    again: bool,
    /// Folder of results [default: `results` beside this program]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// A task of the queue that this program does itself
    #[command(hide = true)]
    Task {
        #[command(subcommand)]
        task: Own,
    },
}

#[derive(Subcommand)]
enum Own {
    /// Prints what of CUDA is there
    Versions,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.part {
        Some(Part::Task { task: Own::Versions }) => versions(&args.python),
        None => run(&args),
    };
    match outcome {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            FAILED.into()
        }
    }
}

fn run(args: &Args) -> Result<u8> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let root = program.parent().context("this program lies in no folder")?.to_owned();
    let results = args.results.clone().unwrap_or_else(|| root.join("results"));
    let until = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    std::fs::create_dir_all(&results).with_context(|| format!("{} cannot be made", results.display()))?;
    let prefix = ask_python(&args.python, "import sys; print(sys.prefix)");

    // In a process of its own: a driver that crashes must not end the queue.
    let mut look = Command::new(&program);
    look.args(["task", "versions"]).stderr(Stdio::inherit());
    let kernels = root.join("lstm-kernels");
    if kernels.is_dir() {
        look.env("LSTM_KERNELS", kernels);
    }
    if let Some(prefix) = &prefix {
        look.env("VIRTUAL_ENV", prefix);
    }
    let seen = look.output().context("this program cannot start itself")?;
    let absent = results.join("no-device.json");
    let versions: Value = serde_json::from_slice(&seen.stdout).unwrap_or_default();
    if !seen.status.success() {
        let missing =
            versions["missing"].as_str().unwrap_or("the look at the driver ended before it could say");
        println!("no device: {missing}");
        write(&absent, serde_json::to_string_pretty(&json!({ "missing": missing }))? + "\n")?;
        write(&results.join("table.md"), format!("# Results on this machine\n\nNo device: {missing}.\n"))?;
        return Ok(NO_DEVICE);
    }
    if absent.exists() {
        std::fs::remove_file(&absent)?;
    }
    let identity = identity(&packed(&root), &versions).with_context(|| {
        format!("{} is no whole pack: make one by `cargo xtask gpu --pack`", root.display())
    })?;
    let queue = Queue::new(&results, identity, until)?;
    let stop = queue.stop();
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed)).context("signals cannot be handled")?;

    write_cells(&root)?;
    let has_torch =
        ask_python(&args.python, "import torch; assert torch.cuda.is_available(); print(1)").is_some();
    let folder = Folder { root, python: args.python.clone(), prefix, torch: has_torch };
    let tasks = folder.tasks();
    if args.again {
        forget(&results)?;
    }
    let table = results.join("table.md");
    let say = |outcomes: &[Outcome]| {
        if let Some(Outcome { name, status, seconds, .. }) = outcomes.last() {
            println!("{:>4} {name:<40}{:<10}{seconds:>8.1} s", outcomes.len(), word(*status));
        }
        write(&table, page(outcomes, tasks.len() - outcomes.len()))
    };
    let outcomes = queue.work(&tasks, say)?;
    write(&table, page(&outcomes, tasks.len() - outcomes.len()))?;
    let (verdict, sentence) = verdict(&tasks, &outcomes);
    println!("{sentence}\n{} tells more", table.display());
    Ok(match verdict {
        Verdict::Passed => 0,
        Verdict::Failed => FAILED,
        Verdict::Incomplete => INCOMPLETE,
    })
}

/// What `cargo xtask gpu` says of the folder that it packed.
fn packed(root: &Path) -> Value {
    let text = std::fs::read(root.join("pack.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What results speak of; nothing if the pack is not whole.
fn identity(packed: &Value, versions: &Value) -> Option<Identity> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Identity {
        hash: text(&packed["hash"])?,
        gpu: text(&versions["GPU"])?,
        driver: text(&versions["driver"])?,
    })
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "FAILED",
        Status::TimedOut => "TOO LONG",
        Status::Missing => "missing",
    }
}

/// Removes results of tasks that did not pass.
fn forget(results: &Path) -> Result<()> {
    for entry in results.read_dir()? {
        let path = entry?.path();
        let outcome =
            std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Outcome>(&text).ok());
        if outcome.is_some_and(|outcome| outcome.status != Status::Passed) {
            std::fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// Prints versions as JSON; without a usable device also what is missing.
fn versions(python: &Path) -> Result<u8> {
    let report = probe::probe();
    let missing = report.missing();
    let version = |part: &Result<probe::Version, String>| match part {
        Ok(version) => version.to_string(),
        Err(reason) => reason.clone(),
    };
    let gpus: Vec<String> = report
        .devices
        .iter()
        .map(|d| format!("{}, compute capability {}.{}", d.name, d.capability.0, d.capability.1))
        .collect();
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut versions = json!({
        "commit": packed(program.parent().unwrap_or(&program))["commit"].as_str().unwrap_or("not packed"),
        "GPU": gpus.join("; "),
        "CUDA of the driver": version(&report.driver),
        "NVRTC": version(&report.nvrtc),
        "cuBLAS": version(&report.cublas),
        "lstm": env!("CARGO_PKG_VERSION"),
    });
    if missing.is_empty() {
        let query = |what: &str| {
            let query = format!("--query-gpu={what}");
            said(Command::new("nvidia-smi").args([&query, "--format=csv,noheader"]))
        };
        let torch = "import torch; print(torch.__version__, 'cuDNN', torch.backends.cudnn.version())";
        versions["PyTorch"] = ask_python(python, torch).unwrap_or_else(|| "not there".to_owned()).into();
        versions["driver"] = query("driver_version").into();
        versions["clocks now and at most; power"] =
            query("clocks.sm,clocks.mem,clocks.max.sm,power.limit").into();
    } else {
        versions["missing"] = missing.join("; ").into();
    }
    println!("{versions}");
    Ok(if missing.is_empty() { 0 } else { NO_DEVICE })
}

/// What a program prints, or that it is not there.
fn said(command: &mut Command) -> String {
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => format!("{} is not there", command.get_program().to_string_lossy()),
    }
}

/// What a line of Python prints; nothing if it fails.
fn ask_python(python: &Path, line: &str) -> Option<String> {
    let output = Command::new(python).args(["-c", line]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_a_whole_pack_on_a_device() {
        let versions = json!({"GPU": "H200", "driver": "580", "clocks": "1980 MHz"});
        let whole = identity(&json!({"commit": "c", "hash": "h"}), &versions).unwrap();
        assert_eq!((&*whole.hash, &*whole.gpu, &*whole.driver), ("h", "H200", "580"));
        assert_eq!(identity(&json!({}), &versions), None, "half a pack");
        assert_eq!(identity(&packed(Path::new("no-such-folder")), &versions), None);
    }
}

//! `cargo xtask gpu`: what a machine with a GPU should check, run here or packed into a folder for it.
//!
//! The folder needs neither Rust nor a network there:
//!
//! ```text
//! run            does the queue; results/ and results/table.md are what it leaves
//! bin/           lstm, bench (networks beside PyTorch), device (laws, recorded cases, repeats)
//! cases/         recorded cases
//! lstm-kernels/  machine code of all kernels, for machines without NVRTC
//! gpu/           latencies: Python that calls the driver, and its machine code
//! pack.json      commit and hash of all that: the folder is ours, and results know whose they are
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;
use lstm_cuda::driver::compile::{self, Compiler};

use crate::root;

/// Where to pack, and what to hand on to the runner.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pack everything into this folder instead of running it here
    #[arg(long, value_name = "DIR", conflicts_with_all = ["minutes", "python", "again"])]
    pack: Option<PathBuf>,
    /// Start no task after so many minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// The Python that may have PyTorch
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Forget the results of tasks that did not pass, and do them again
    #[arg(long)]
    again: bool,
}

/// Architectures whose machine code is packed.
const ARCHITECTURES: [&str; 4] = ["sm_90a", "sm_80", "sm_100", "sm_120"];

/// Sources of latencies, and whether they need clusters, which came with sm_90.
const LATENCIES: [(&str, bool); 2] = [("latency", false), ("cluster", true)];

/// Folders that packing empties.
const EMPTIED: [&str; 4] = ["bin", "cases", "gpu", "lstm-kernels"];

/// The file that marks a folder as packed, with commit and hash once it is whole.
const MARK: &str = "pack.json";

/// The most that a folder may weigh.
const MOST_BYTES: u64 = 64 << 20;

/// Packs, and runs unless only packing was asked for. The runner's exit code becomes that of this process.
///
/// # Errors
/// If something does not build or compile, or the folder cannot be written or grows too large.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(folder) = &args.pack {
        pack(folder)?;
        println!("packed {} KiB into {}; start ./run there", bytes(folder)? / 1024, folder.display());
        return Ok(());
    }
    let folder = root().join("target/gpu");
    pack(&folder)?;
    let mut runner = Command::new(folder.join("run"));
    runner.args(args.minutes.map(|minutes| format!("--minutes={minutes}")));
    if let Some(python) = &args.python {
        runner.arg("--python").arg(python);
    }
    let status =
        runner.args(args.again.then_some("--again")).status().context("the runner does not start")?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

fn pack(folder: &Path) -> Result<()> {
    claim(folder)?;
    machine_code(folder)?;
    let tests = ["test", "--no-run", "--package", "lstm-benches", "--test", "device"];
    let program = ["build", "--package", "lstm-cli"];
    let built = [build(&tests)?, build(&program)?].concat();
    for (name, to) in [("run", "run"), ("bench", "bin/bench"), ("device", "bin/device"), ("lstm", "bin/lstm")]
    {
        let found = built.iter().find(|(target, _)| target == name);
        let (_, executable) = found.with_context(|| format!("cargo built no {name}"))?;
        copy(executable, &folder.join(to))?;
    }
    copy(&root().join("benches/gpu/latency.py"), &folder.join("gpu/latency.py"))?;
    let cases = root().join("tests/golden/cases");
    for entry in cases.read_dir().with_context(|| format!("{} cannot be read", cases.display()))? {
        let entry = entry?;
        copy(&entry.path(), &folder.join("cases").join(entry.file_name()))?;
    }
    let weight = bytes(folder)?;
    ensure!(weight <= MOST_BYTES, "the folder has {weight} bytes, more than {MOST_BYTES}");
    mark(folder, &format!("{{\"commit\": \"{}\", \"hash\": \"{:016x}\"}}\n", commit()?, hash(folder)?))
}

/// Empties what an older source packed, so that it is not mixed with this one's.
///
/// # Errors
/// If the folder holds anything, but was not packed by this command: that is not ours to remove.
fn claim(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let is_empty = folder.read_dir()?.next().is_none();
    ensure!(
        is_empty || folder.join(MARK).is_file(),
        "{} is not empty and lacks {MARK}, so it was not packed by this command: name a new or empty folder",
        folder.display()
    );
    // Half a pack has no identity, but may be packed again.
    mark(folder, "{}\n")?;
    for below in EMPTIED.map(|below| folder.join(below)) {
        if below.exists() {
            std::fs::remove_dir_all(&below)
                .with_context(|| format!("{} cannot be emptied", below.display()))?;
        }
        std::fs::create_dir_all(&below).with_context(|| format!("{} cannot be made", below.display()))?;
    }
    Ok(())
}

fn mark(folder: &Path, text: &str) -> Result<()> {
    let path = folder.join(MARK);
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// The commit that is checked out; with "-changed" where files differ from it. Without git it is "unknown".
fn commit() -> Result<String> {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").args(args).current_dir(root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return Ok("unknown".to_owned()) };
    let changes = git(&["status", "--porcelain"]).context("git status failed")?;
    Ok(if changes.is_empty() { commit } else { format!("{commit}-changed") })
}

/// Names and contents of all that is packed. It finds changes, not forgery; std's hash does, as another Rust,
/// which may hash in another way, packs other programs too.
fn hash(folder: &Path) -> Result<u64> {
    let mut files = vec![folder.join("run")];
    for below in EMPTIED {
        for entry in folder.join(below).read_dir()? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        let contents = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        (file.strip_prefix(folder)?, contents).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Compiles all kernels, and the sources of latencies, for every architecture.
fn machine_code(folder: &Path) -> Result<()> {
    let compiler = Compiler::open(&installed())
        .context("there is no compiler of kernels; `cargo xtask kernels` installs one")?;
    let source = lstm_cuda::kernels::source();
    for architecture in ARCHITECTURES {
        let image = compiler.compile(&source, architecture, &[])?.image;
        compile::pack(&source, architecture, &image, &folder.join("lstm-kernels"))?;
        for (stem, clusters) in LATENCIES {
            if clusters && architecture == "sm_80" {
                continue;
            }
            let path = root().join(format!("benches/gpu/{stem}.cu"));
            let source = std::fs::read_to_string(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let image = compiler.compile(&source, architecture, &[])?.image;
            let to = folder.join(format!("gpu/{stem}.{architecture}.cubin"));
            std::fs::write(&to, image).with_context(|| format!("{} cannot be written", to.display()))?;
        }
    }
    Ok(())
}

/// Where `cargo xtask kernels` puts the compiler.
fn installed() -> Vec<PathBuf> {
    let versions = root().join("target/kernels-venv/lib").read_dir().into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages/nvidia/cu13/lib")).collect()
}

/// Runs cargo in release mode and gives the programs that it built, by the names of their targets.
fn build(args: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let output = crate::cargo()
        .args(args)
        .args(["--release", "--quiet", "--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    let mut programs = Vec::new();
    for message in Message::parse_stream(&output.stdout[..]) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo's words are not understood")? {
            let name = artifact.target.name;
            programs.extend(artifact.executable.map(|executable| (name, executable.into_std_path_buf())));
        }
    }
    Ok(programs)
}

/// Copies a file, its permissions included, even over a program that is running.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("part");
    std::fs::copy(from, &beside)
        .and_then(|_| std::fs::rename(&beside, to))
        .with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))
}

/// Bytes of all that the folder packs; results are none of it.
fn bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sum += if entry.file_name() == "results" { 0 } else { bytes(&entry.path())? };
        } else {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn files_are_copied_whole_and_results_weigh_nothing() {
        let folder = std::env::temp_dir().join(format!("lstm-xtask-gpu-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("results")).unwrap();
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(folder.join("results/a.json"), "{}").unwrap();
        std::fs::write(folder.join("one"), "12345").unwrap();
        copy(&folder.join("one"), &folder.join("bin/two")).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("bin/two")).unwrap(), "12345");
        assert_eq!(bytes(&folder).unwrap(), 10);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_our_own_folders_are_emptied() {
        let folder = std::env::temp_dir().join(format!("lstm-xtask-claim-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(folder.join("bin/precious"), "1").unwrap();
        let error = claim(&folder).unwrap_err().to_string();
        assert!(error.contains("is not empty and lacks pack.json"), "{error}");
        assert!(folder.join("bin/precious").is_file() && !folder.join("cases").exists());
        std::fs::remove_dir_all(&folder).unwrap();

        claim(&folder).unwrap();
        std::fs::write(folder.join("bin/old"), "1").unwrap();
        std::fs::create_dir(folder.join("results")).unwrap();
        claim(&folder).unwrap();
        assert!(!folder.join("bin/old").exists() && folder.join("results").is_dir());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_pack_is_known_by_what_it_holds_and_not_by_its_place() {
        let base = std::env::temp_dir().join(format!("lstm-xtask-hash-{}", std::process::id()));
        let packed = |name: &str, file: &str, contents: &str| {
            let folder = base.join(name);
            claim(&folder).unwrap();
            std::fs::write(folder.join("run"), "run").unwrap();
            std::fs::write(folder.join(file), contents).unwrap();
            std::fs::write(folder.join("cells.json"), name).unwrap();
            hash(&folder).unwrap()
        };
        let first = packed("a", "bin/bench", "x");
        assert_eq!(packed("b", "bin/bench", "x"), first);
        for (file, contents) in [("bin/bench", "y"), ("bin/other", "x"), ("lstm-kernels/bench", "x")] {
            assert_ne!(packed("b", file, contents), first, "{file}");
        }
        std::fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn sources_of_latencies_are_there() {
        for (stem, _) in LATENCIES {
            assert!(root().join(format!("benches/gpu/{stem}.cu")).is_file(), "{stem}");
        }
    }
}

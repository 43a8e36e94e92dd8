//! `cargo xtask planted`: plants each mistake of `tests/planted` in a copy of the workspace and asks the laws,
//! then the goldens, until one notices. Slow (minutes), so no part of CI.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{root, tidy};

/// Which mistakes to plant; all of them unless told otherwise.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plant this mistake alone (may be given several times): the name of its file without `.patch`
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// A copy of the workspace, with its own build folder, kept from run to run.
struct Copy {
    tree: PathBuf,
    build: PathBuf,
}

/// Plants every chosen mistake and prints what noticed it.
///
/// # Errors
/// If a mistake survives or cannot be planted, or if the tests fail without one.
pub(crate) fn run(args: &Args) -> Result<()> {
    let patches = patches(&root().join("tests/planted"), &args.only)?;
    let copy = Copy::new(&root())?;
    let needed: BTreeSet<&str> = patches.iter().flat_map(|patch| judges(patch)).copied().collect();
    for judge in needed {
        let failed = copy.failures(judge)?;
        if !failed.is_empty() {
            bail!("{judge} fails without any mistake planted: {failed:?}");
        }
    }
    println!("{:<44}{:>8}{:>9}  the first that noticed", "mistake", "tests", "seconds");
    let mut survived = 0;
    for patch in &patches {
        let start = Instant::now();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        copy.apply(patch, &[])?;
        let killers = copy.killers(judges(patch));
        copy.apply(patch, &["--reverse"])?;
        let killers = killers.with_context(|| format!("{name} cannot be tried"))?;
        let first = killers.first().map_or("NOTHING", String::as_str);
        let seconds = start.elapsed().as_secs_f64();
        println!("{name:<44}{:>8}{seconds:>9.0}  {first}", killers.len());
        survived += usize::from(killers.is_empty());
    }
    if survived > 0 {
        bail!("{survived} of {} mistakes survived", patches.len());
    }
    println!("all {} mistakes were noticed", patches.len());
    Ok(())
}

/// Plants every mistake, and says how many they were.
///
/// # Errors
/// As [`run`].
pub(crate) fn all() -> Result<usize> {
    run(&Args { only: Vec::new() })?;
    Ok(patches(&root().join("tests/planted"), &[])?.len())
}

/// The test binaries that a mistake must not get past, by the start of the name of its file.
fn judges(patch: &Path) -> &'static [&'static str] {
    let name = patch.file_stem().unwrap_or_default().to_string_lossy();
    match name.split('-').next() {
        // Large passes are cut into chunks and blocks, which the laws' small cases are not.
        Some("cpu") => &["laws_cpu", "golden", "kernels"],
        // A race may show between schedules alone.
        Some("cuda") => &["laws_cuda", "laws_cuda_device", "golden"],
        Some("network") => &["embedding"],
        // A mistake in the reference shows on the backend that has nothing else.
        _ => &["laws_naive", "golden"],
    }
}

/// The chosen patches, in order of their names.
fn patches(folder: &Path, only: &[String]) -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let chosen = only.is_empty() || only.contains(&name);
        if chosen && path.extension().is_some_and(|extension| extension == "patch") {
            patches.push(path);
        }
    }
    if patches.is_empty() {
        bail!("no such mistake in {}", folder.display());
    }
    patches.sort();
    Ok(patches)
}

impl Copy {
    /// Copies every file that git tracks or would track, as it is now.
    fn new(root: &Path) -> Result<Self> {
        let base = root.join("target/planted");
        let copy = Self { tree: base.join("tree"), build: base.join("build") };
        if copy.tree.exists() {
            std::fs::remove_dir_all(&copy.tree).context("the last copy cannot be removed")?;
        }
        for file in tidy::tracked_files(root)? {
            let (from, to) = (root.join(&file), copy.tree.join(&file));
            // A deleted file is listed until the deletion is committed.
            if !from.is_file() {
                continue;
            }
            std::fs::create_dir_all(to.parent().unwrap_or(&copy.tree))?;
            std::fs::copy(&from, &to).with_context(|| format!("{file} cannot be copied"))?;
        }
        Ok(copy)
    }

    fn apply(&self, patch: &Path, options: &[&str]) -> Result<()> {
        // The copy lies inside a repository but is none: git must not look further up.
        let ceiling = self.tree.parent().unwrap_or(&self.tree);
        let mut git = Command::new("git");
        git.arg("apply").args(options).arg(patch).current_dir(&self.tree);
        let output = git.env("GIT_CEILING_DIRECTORIES", ceiling).output().context("git does not start")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("{} does not apply, so its source has changed: {}", patch.display(), why.trim());
        }
        Ok(())
    }

    /// Names of the tests that fail in the first of these binaries where any does.
    fn killers(&self, judges: &[&str]) -> Result<BTreeSet<String>> {
        for judge in judges {
            let failed = self.failures(judge)?;
            if !failed.is_empty() {
                return Ok(failed);
            }
        }
        Ok(BTreeSet::new())
    }

    /// Names of the tests of one binary that fail.
    ///
    /// # Errors
    /// If the binary does not compile.
    fn failures(&self, binary: &str) -> Result<BTreeSet<String>> {
        let built = self.cargo(binary, &["--no-run"])?;
        if !built.status.success() {
            bail!("{binary} does not compile: {}", String::from_utf8_lossy(&built.stderr));
        }
        let tested = self.cargo(binary, &[])?;
        let text = String::from_utf8_lossy(&tested.stdout);
        let failed = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let failed: BTreeSet<String> = failed.map(|name| format!("{binary}: {name}")).collect();
        if failed.is_empty() && !tested.status.success() {
            bail!("{binary} ended with {} and no test's name", tested.status);
        }
        Ok(failed)
    }

    fn cargo(&self, binary: &str, options: &[&str]) -> Result<Output> {
        crate::cargo()
            .args(["test", "--offline", "--package", "lstm-tests", "--test", binary])
            .args(options)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("RUST_BACKTRACE", "0")
            .output()
            .context("cargo does not start")
    }
}

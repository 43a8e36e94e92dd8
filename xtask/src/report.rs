//! `cargo xtask report`: makes the pages of docs/ that are results, or hold some, from the cells that are committed.

mod accuracy;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cargo, root};

/// Which page, and how it is made.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    page: Page,
}

#[derive(clap::Subcommand)]
enum Page {
    /// docs/experiments.md: every experiment of the seed programs, published against obtained
    Experiments {
        /// Write nothing, and fail if the page or one of its pictures is not what the cells give
        #[arg(long)]
        check: bool,
    },
    /// The tables of docs/forecasting.md: every series, horizon and seed, beside the baselines
    Accuracy(accuracy::Args),
}

/// Makes the page, or holds the committed one against a fresh one.
///
/// # Errors
/// If `lstm` cannot be built or refuses its work; if a committed page is another than the fresh one.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.page {
        Page::Experiments { check: true } => check_experiments(),
        Page::Experiments { check: false } => experiments(&root().join("docs")),
        Page::Accuracy(args) => accuracy::run(args),
    }
}

/// Holds every page against its cells.
///
/// # Errors
/// If `lstm` cannot be built or refuses a cell, or a page is another.
pub(crate) fn check_all() -> Result<()> {
    accuracy::check()?;
    check_experiments()
}

/// The fresh page lies under `target`, where it can be looked at.
fn check_experiments() -> Result<()> {
    let fresh = root().join("target/report");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    experiments(&fresh)?;
    for path in written(&fresh)? {
        let committed = root().join("docs").join(path.strip_prefix(&fresh)?);
        if std::fs::read(&committed).ok() != Some(std::fs::read(&path)?) {
            bail!("{} is not what the cells give: run `cargo xtask report experiments`", committed.display());
        }
    }
    Ok(())
}

/// Writes the page and its pictures into `folder`.
fn experiments(folder: &Path) -> Result<()> {
    let status = cargo()
        .args(["run", "--quiet", "--locked", "--release", "--package", "lstm-cli", "--", "repro"])
        .args(["--out", "experiments/results", "--force", "--report"])
        .arg(folder.join("experiments.md"))
        .current_dir(root())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("lstm repro --report ended with {status}");
    }
    Ok(())
}

/// The page and its pictures.
fn written(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![folder.join("experiments.md")];
    for entry in std::fs::read_dir(folder.join("images"))? {
        paths.push(entry?.path());
    }
    Ok(paths)
}

//! `cargo xtask tidy`: the invariants of the workspace, executed.
//!
//! Two kinds of check, both pure functions that return sentences: [`edges`] reads the dependency graph,
//! [`text`] reads the files. An empty answer means tidy.

mod edges;
mod text;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;

/// Runs every check and prints each problem on its own line.
///
/// # Errors
/// If a problem was found, or if `cargo metadata` or `git ls-files` fails.
pub(crate) fn run() -> Result<()> {
    let root = root();
    let crates = edges::read(&root)?;
    let files = tracked_files(&root)?;

    let mut problems = edges::check(&crates);
    for file in &files {
        // Binary files (pictures, tensors) have no lines to check, and a deleted file is not there to read.
        if let Ok(contents) = std::fs::read_to_string(root.join(file)) {
            problems.extend(text::check(file, &contents, &|link| root.join(link).exists()));
        }
    }

    for problem in &problems {
        println!("tidy: {problem}");
    }
    if !problems.is_empty() {
        bail!("tidy found {} problem(s)", problems.len());
    }
    println!("tidy: {} crates, {} files", crates.len(), files.len());
    Ok(())
}

/// Paths, relative to the root, of all files that git tracks or would track.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git is needed to list the files of the workspace")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list = String::from_utf8_lossy(&output.stdout);
    let mut files: Vec<String> =
        list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

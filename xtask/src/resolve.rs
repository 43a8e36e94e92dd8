//! Do projects that use CUDA through lstm-cuda and through another library still resolve?
//!
//! `examples/resolve` holds one manifest for each such library. Nothing is built, and no lock file is kept:
//! what counts is what a project gets that starts today.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::root;

/// The libraries, as folders of `examples/resolve`; and whether what they demand of cudarc is looked at too,
/// for which cargo downloads all of their dependencies: a few for candle, very many for burn.
const LIBRARIES: [(&str, bool); 2] = [("candle", true), ("burn", false)];

/// Features of cudarc of which a build takes one.
const LINKING: [&str; 3] = ["dynamic-loading", "dynamic-linking", "static-linking"];

/// Resolves each manifest.
///
/// # Errors
/// If one does not resolve, with two cudarcs or to a cudarc that cannot be built. Without a network nothing is
/// known: that is said, and no error.
pub(crate) fn run() -> Result<()> {
    for (library, look) in LIBRARIES {
        let folder = root().join("examples/resolve").join(library);
        if let Err(error) = cargo(&folder, &["generate-lockfile"]) {
            if is_network(&error) {
                println!("SKIPPED: {library}: without a network nobody knows what it resolves to today");
                continue;
            }
            bail!("{library} does not resolve:\n{error}");
        }
        let lock = std::fs::read_to_string(folder.join("Cargo.lock")).context("cargo wrote no lock file")?;
        let versions = versions(&lock, "cudarc");
        if versions.len() != 1 {
            bail!("{library} resolves to {} versions of cudarc: {versions:?}", versions.len());
        }
        if look {
            let tree = ["tree", "--edges", "features", "--invert", "cudarc", "--depth", "1"];
            let tree = cargo(&folder, &tree).map_err(|error| anyhow::anyhow!("{library}: {error}"))?;
            let chosen: Vec<&str> =
                LINKING.into_iter().filter(|f| tree.contains(&format!("\"{f}\""))).collect();
            if chosen.len() > 1 {
                bail!("{library} and lstm-cuda ask cudarc for {chosen:?} at once, of which it builds one");
            }
        }
        println!("{library} and lstm-cuda resolve to cudarc {}", versions.join(", "));
    }
    Ok(())
}

/// What cargo printed, or what it complained about.
fn cargo(folder: &Path, args: &[&str]) -> Result<String, String> {
    let output = crate::cargo().args(args).current_dir(folder).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether a complaint of cargo is about the network.
fn is_network(error: &str) -> bool {
    let signs =
        ["download of", "failed to fetch", "--offline", "spurious network error", "Could not resolve"];
    signs.iter().any(|sign| error.contains(sign))
}

/// Versions of `package` in a lock file.
fn versions(lock: &str, package: &str) -> Vec<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut versions = Vec::new();
    while lines.any(|line| line == name) {
        let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        versions.extend(version.map(str::to_owned));
    }
    versions
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn versions_are_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"cudarc\"\nversion = \"0.19.10\"\n\n[[package]]\nname = \"cudarc\"\nversion = \"0.17.0\"\n";
        assert_eq!(versions(lock, "cudarc"), ["0.19.10", "0.17.0"]);
        assert!(versions(lock, "burn").is_empty());
    }

    #[test]
    fn a_lost_network_is_told_from_a_conflict() {
        assert!(is_network("error: failed to fetch `https://index`"));
        assert!(is_network("warning: spurious network error (3 tries remaining)"));
        assert!(!is_network("error: failed to select a version for `cudarc`"));
    }
}

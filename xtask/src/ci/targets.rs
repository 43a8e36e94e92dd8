//! Checks that what is published compiles for other machines than those that CI runs on.

use std::process::Command;

use anyhow::Result;

use super::package::{metadata, published};
use super::{cargo, finish};
use crate::root;

/// Linux on ARM processors, and Windows. `cargo check` needs no linker, and so nothing else of theirs.
pub(super) const TARGETS: [&str; 2] = ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc"];

/// Installs the targets and checks every published crate for each; a warning is an error.
///
/// # Errors
/// If a crate does not compile. Where the targets cannot be had nothing is known: that is said, and no error.
pub(super) fn run() -> Result<()> {
    if let Err(reason) = install() {
        println!("SKIPPED: the targets {} cannot be had: {reason}", TARGETS.join(" and "));
        return Ok(());
    }
    let mut check = cargo("check --locked --features lstm/cuda");
    check.env("RUSTFLAGS", "-D warnings");
    for target in TARGETS {
        check.args(["--target", target]);
    }
    for package in published(&metadata()?) {
        check.args(["--package", package.name.as_str()]);
    }
    finish(&mut check)
}

/// Has rustup add the targets to the toolchain of this folder; those that are there cost no network.
fn install() -> Result<(), String> {
    let output = Command::new("rustup").args(["target", "add"]).args(TARGETS).current_dir(root()).output();
    let output = output.map_err(|error| format!("rustup does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(reason(&String::from_utf8_lossy(&output.stderr)))
}

/// The first complaint among the lines that rustup writes.
fn reason(text: &str) -> String {
    let mut complaints = text.lines().filter_map(|line| line.strip_prefix("error: "));
    complaints.next().unwrap_or("rustup gives no reason").to_owned()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_reason_is_the_first_complaint() {
        let text = "info: downloading component rust-std\nerror: could not download file\nerror: more\n";
        assert_eq!(reason(text), "could not download file");
        assert_eq!(reason(""), "rustup gives no reason");
    }
}

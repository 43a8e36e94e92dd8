//! `cargo xtask bench`: builds the program that measures, in release mode, and runs it.
//!
//! The program is `bench` of the package in `benches/`, which parses its own options: `cargo xtask bench --help`
//! shows what it measures, `cargo xtask bench lstm --help` how. Nothing is ever measured in a debug build, which
//! this one may be.

use anyhow::{Context, Result};

/// What to hand on.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What to measure, and its options: `--help`, `lstm --help` and `growth --help` list them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// Runs the program in the folder from which this was called, so that paths mean what they meant there.
///
/// # Errors
/// If cargo does not start. What the program has to complain about it says itself, and its exit code becomes
/// that of this process.
pub(crate) fn run(args: &Args) -> Result<()> {
    let status = crate::cargo()
        .args(["run", "--quiet", "--release", "--package", "lstm-benches", "--bin", "bench", "--"])
        .args(&args.args)
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    Ok(())
}

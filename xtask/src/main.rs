//! Project automation, run as `cargo xtask`: one subcommand, one file.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask is a program that reports to a terminal"
)]

mod bench;
mod ci;
mod deny;
mod golden;
mod gpu;
mod kernels;
mod planted;
mod reliability;
mod report;
mod resolve;
mod source;
mod tidy;

use std::path::PathBuf;
use std::process::{self, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

/// Project automation.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Time networks of many sizes, on the CPU and on a GPU, beside PyTorch
    Bench(bench::Args),
    /// Run everything that CI runs, cheapest first, and print the seconds of each step
    Ci(ci::Args),
    /// Hold what is built on against deny.toml: licences, doubled and banned crates, sources
    Deny,
    /// Replay golden cases of PyTorch on a backend and print the error of each
    Golden(golden::Args),
    /// Check and measure on this machine's GPU, or pack what another machine needs for that
    Gpu(gpu::Args),
    /// Compile every CUDA kernel for every architecture and look at the machine code; no GPU needed
    Kernels(kernels::Args),
    /// Plant each mistake of tests/planted in a copy and ask whether the laws notice (minutes)
    Planted(planted::Args),
    /// Stop trainings at the worst moments and ask whether anything is lost; needs strace (minutes)
    Reliability(reliability::Args),
    /// Make the results in docs/ from the cells that are committed, or the cells too
    Report(report::Args),
    /// Ask whether projects that use CUDA through candle or burn too still resolve
    Resolve,
    /// Check the workspace's invariants: who imports whom, who prints, what the files may hold
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Deny => deny::run(),
        Command::Golden(args) => golden::run(&args),
        Command::Gpu(args) => gpu::run(&args),
        Command::Kernels(args) => kernels::run(&args),
        Command::Planted(args) => planted::run(&args),
        Command::Reliability(args) => reliability::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Resolve => resolve::run(),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The `cargo` that runs this.
fn cargo() -> process::Command {
    process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds `lstm` as people get it, and says where it is.
fn lstm() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--quiet", "--locked", "--release", "--package", "lstm-cli"])
        .current_dir(root())
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "lstm does not build: {status}");
    Ok(target().join("release/lstm"))
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

/// The root of the workspace, where every command runs.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

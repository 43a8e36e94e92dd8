//! The program behind `cargo xtask bench`: networks of many sizes on the CPU and on a GPU, beside PyTorch.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program reports to a terminal")]

mod growth;
mod lstm;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use lstm_benches::memory;
use lstm_benches::timing::Budget;

/// Exit code where there is no such device, as that of the binary `lstm`.
const NO_DEVICE: u8 = 5;

/// What to measure.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Command {
    /// Times inference and training of networks of many sizes
    Lstm(lstm::Args),
    /// Times one network on the CPU while steps, batch, hidden units and layers grow, one of them at a time
    Growth(growth::Args),
    /// One step of training in this process, and what memory it took; `lstm --memory` starts it
    #[command(hide = true)]
    Step(Step),
}

#[derive(clap::Args)]
struct Step {
    /// The shape as JSON
    shape: String,
    /// Threads of the CPU
    #[arg(long, value_name = "N")]
    threads: usize,
}

/// How long to measure.
#[derive(clap::Args)]
struct Time {
    /// How long to measure each figure
    #[arg(long, value_enum, default_value_t = Length::Full)]
    length: Length,
    /// Short for `--length quick`
    #[arg(long, conflicts_with = "length")]
    quick: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Length {
    /// At least 20 samples and 0.4 seconds, at most 2 seconds
    Full,
    /// At least 10 samples and 0.2 seconds, at most a second
    Cell,
    /// At least 4 samples and 0.05 seconds, at most 0.3 seconds
    Quick,
}

impl Time {
    fn budget(&self) -> Budget {
        match self.length {
            _ if self.quick => Budget::QUICK,
            Length::Full => Budget::FULL,
            Length::Cell => Budget::CELL,
            Length::Quick => Budget::QUICK,
        }
    }
}

/// Threads as they were asked for, all there are for 0.
fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Lstm(args) => {
            if let Some(missing) = args.missing() {
                eprintln!("error: no CUDA device can be used: {missing}");
                return NO_DEVICE.into();
            }
            lstm::run(&args)
        }
        Command::Growth(args) => growth::run(&args),
        Command::Step(args) => step(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn step(args: &Step) -> Result<()> {
    let shape = serde_json::from_str(&args.shape).context("that is no shape")?;
    println!("{}", serde_json::to_string(&memory::step(&shape, args.threads)?)?);
    Ok(())
}

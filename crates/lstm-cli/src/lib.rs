//! The `lstm` command: reads the command line, runs one command, tells how it ended.
#![allow(clippy::print_stderr, reason = "errors and progress of a command-line program go to standard error")]

mod args;
mod backtest;
mod check;
mod device;
mod devices;
pub mod doors;
mod eval;
mod export;
mod failure;
mod forecast;
mod gates;
mod input;
mod inspect;
mod interrupt;
mod lab;
mod learnable;
mod markdown;
mod memory;
mod origin;
mod output;
mod picture;
mod plot;
mod progress;
mod replay;
mod report;
mod repro;
mod resume;
mod run;
mod settings;
mod train;
mod value;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::{Failure, Result};

/// The whole program; `lstm --help` lists its exit codes.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let json = cli.command.json();
    match perform(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tell(&failure, json),
    }
}

fn perform(command: Command) -> Result<()> {
    match command {
        Command::Forecast(args) => forecast::run(*args),
        Command::Train(args) => train::run(*args),
        Command::Eval(args) => eval::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Gates(args) => gates::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Repro(args) => repro::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "lstm", &mut script);
            output::print(&script)
        }
        Command::MarkdownHelp => output::print(markdown::page().as_bytes()),
    }
}

/// Tells what went wrong: one sentence for a person, and one object for a program that asked for it.
fn tell(failure: &Failure, json: bool) -> ExitCode {
    // Where even this cannot be written, the exit code has to do.
    progress::say(&format!("error: {failure}"));
    if json {
        let _ = output::print_json(&failure.to_json());
    }
    ExitCode::from(failure.code())
}

/// Help and version, which clap calls errors too, and commands that do not parse.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader who has gone is no mistake.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let _ = error.print();
    let text = error.to_string();
    let failure = Failure::usage(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
    if std::env::args_os().any(|argument| argument == "--json") {
        let _ = output::print_json(&failure.to_json());
    }
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! `cargo xtask ci`: all that CI runs, cheapest first, with the seconds of each step.
//!
//! The steps are the table [`STEPS`]. The last one is the README's own test command; its seconds are split
//! among the named groups of [`tests`], so that no test runs twice.

mod package;
mod targets;
mod tests;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{deny, kernels, reliability, report, resolve, root, tidy};

/// Which steps to run; all of them unless told otherwise.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Start at this step
    #[arg(long, value_name = "STEP", conflicts_with = "only", value_parser = STEPS.map(|s| s.name))]
    from: Option<String>,
    /// Run this step alone (may be given several times)
    #[arg(long, value_name = "STEP", value_parser = STEPS.map(|s| s.name))]
    only: Vec<String>,
    /// Print the steps and stop
    #[arg(long)]
    list: bool,
}

/// One line of the closing table, and what it does.
struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    /// Arguments of a `cargo` command, separated by spaces, with the variables that it gets.
    Cargo(&'static str, &'static [(&'static str, &'static str)]),
    /// `cargo package` of every crate that is published, and a check of the packages.
    Package,
    /// What is published, for other machines.
    Targets,
    /// The invariants, in this process.
    Tidy,
    /// Licences, doubles, bans and sources of what is built on, in this process.
    Deny,
    /// Every CUDA kernel for every architecture, in this process.
    Kernels,
    /// Projects that use CUDA through other libraries too, in this process.
    Resolve,
    /// Pages of results against their cells, in this process.
    Report,
    /// Trainings that are stopped at the worst moments, in this process.
    Reliability,
    /// A `cargo test` command whose seconds are split among the groups of tests.
    Tests(&'static str),
}

/// Everything that CI runs, in this order. Only `cargo fetch`, `kernels` and `targets` (once) and `resolve` use
/// the network; without one the last three say that they were skipped.
const STEPS: [Step; 17] = [
    step("fetch", Action::Cargo("fetch --locked", &[])),
    step(
        "fetch-standalone",
        Action::Cargo("fetch --locked --manifest-path examples/standalone/Cargo.toml", &[]),
    ),
    step("fmt", Action::Cargo("fmt --all --check", &[])),
    step("tidy", Action::Tidy),
    step("deny", Action::Deny),
    step(
        "clippy",
        Action::Cargo(
            "clippy --locked --workspace --all-targets --features lstm/cuda,xtask/emulator -- -D warnings",
            &[],
        ),
    ),
    step("docs", Action::Cargo("doc --locked --no-deps --workspace", &[("RUSTDOCFLAGS", "-D warnings")])),
    step("build", Action::Cargo("test --locked --workspace --no-run", &[])),
    step("kernels", Action::Kernels),
    step("resolve", Action::Resolve),
    step("package", Action::Package),
    step("targets", Action::Targets),
    step("release", Action::Cargo("build --locked --release --package lstm-cli", &[])),
    step("report", Action::Report),
    step("reliability", Action::Reliability),
    step(
        "standalone",
        Action::Cargo("run --locked --manifest-path examples/standalone/Cargo.toml --target-dir target", &[]),
    ),
    step("test", Action::Tests("test --workspace")),
];

const fn step(name: &'static str, action: Action) -> Step {
    Step { name, action }
}

/// Minutes that each group may take on two cores, out of [`WHOLE`].
const SHARES: [(&str, u64); 5] =
    [(LINTS, 6), (KERNELS, 4), (tests::LAWS, 6), (tests::COMMAND_LINE, 3), (RELIABILITY, 3)];

/// The group of all steps but those of other groups.
const LINTS: &str = "build and lints";

/// The group of the compilers from PyPI: their installation too.
const KERNELS: &str = "kernel compilers";

/// The group of what is stopped and taken up again.
const RELIABILITY: &str = "reliability";

/// Minutes that all steps together may take on two cores from a cold clone.
const WHOLE: u64 = 25;

/// Runs the chosen steps until one fails, then prints the table.
///
/// # Errors
/// If a step fails; its name is in the error.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen: Vec<&Step> = STEPS
        .iter()
        .skip_while(|step| args.from.as_ref().is_some_and(|from| from != step.name))
        .filter(|step| args.only.is_empty() || args.only.iter().any(|only| only == step.name))
        .collect();
    if args.list {
        for step in &chosen {
            println!("{:<18}{}", step.name, step.action.command());
        }
        return Ok(());
    }

    let mut table = Table::default();
    let mut outcome = Ok(());
    for step in chosen {
        println!("\n== {}: {}", step.name, step.action.command());
        let start = Instant::now();
        outcome = perform(step, &mut table).with_context(|| format!("step {} failed", step.name));
        println!("== {}: {:.1} s", step.name, start.elapsed().as_secs_f64());
        if outcome.is_err() {
            break;
        }
    }
    println!("\n{}", table.text());
    outcome
}

fn perform(step: &Step, table: &mut Table) -> Result<()> {
    let start = Instant::now();
    let outcome = match &step.action {
        Action::Tidy => tidy::run(),
        Action::Deny => deny::run(),
        Action::Kernels => kernels::run(&kernels::Args { check: true, ..kernels::Args::default() }),
        Action::Resolve => resolve::run(),
        Action::Report => report::check_all(),
        Action::Reliability => reliability::run(&reliability::Args::quick()),
        Action::Cargo(args, variables) => finish(cargo(args).envs(variables.iter().copied())),
        Action::Package => package::run(),
        Action::Targets => targets::run(),
        Action::Tests(args) => {
            let seen = tests::run(cargo(args))?;
            for (group, time) in seen.seconds {
                table.add(step.name, group, time);
            }
            table.tests = Some((seen.passed, seen.failed));
            return if seen.success { Ok(()) } else { Err(anyhow::anyhow!("a test failed")) };
        }
    };
    let group = match step.action {
        Action::Kernels => KERNELS,
        Action::Reliability => RELIABILITY,
        _ => LINTS,
    };
    table.add(step.name, group, start.elapsed());
    outcome
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().context("cargo does not start")?;
    if !status.success() {
        bail!("cargo ended with {status}");
    }
    Ok(())
}

/// `cargo` with these arguments at the root; offline but for `fetch`, so that a lost network shows at once.
fn cargo(args: &str) -> Command {
    let mut command = crate::cargo();
    command.args(args.split_whitespace()).current_dir(root());
    if !args.starts_with("fetch") {
        command.env("CARGO_NET_OFFLINE", "true");
    }
    command
}

impl Action {
    /// The command as a person would type it.
    fn command(&self) -> String {
        match self {
            Action::Tidy => "cargo xtask tidy".to_owned(),
            Action::Deny => "cargo xtask deny".to_owned(),
            Action::Kernels => "cargo xtask kernels --check".to_owned(),
            Action::Resolve => "cargo xtask resolve".to_owned(),
            Action::Report => {
                "cargo xtask report accuracy --check, then report experiments --check".to_owned()
            }
            Action::Reliability => "cargo xtask reliability --quick".to_owned(),
            Action::Targets => {
                format!("cargo check of what is published, for {}", targets::TARGETS.join(" and "))
            }
            Action::Package => "cargo package --no-verify, then cargo check of what was packed".to_owned(),
            Action::Tests(args) => format!("cargo {args}"),
            Action::Cargo(args, variables) => {
                let variables: String =
                    variables.iter().map(|(name, value)| format!("{name}=\"{value}\" ")).collect();
                format!("{variables}cargo {args}")
            }
        }
    }
}

/// Seconds by step and by group, and the count of tests.
#[derive(Default)]
struct Table {
    rows: Vec<(&'static str, &'static str, Duration)>,
    tests: Option<(u64, u64)>,
}

impl Table {
    fn add(&mut self, step: &'static str, group: &'static str, time: Duration) {
        self.rows.push((step, group, time));
    }

    /// The closing table: steps, then groups against their shares, then the count of tests.
    fn text(&self) -> String {
        let mut lines = vec![format!("{:<18}{:<24}{:>8}", "step", "group", "seconds")];
        for (step, group, time) in &self.rows {
            lines.push(format!("{step:<18}{group:<24}{:>8.1}", time.as_secs_f64()));
        }
        lines.push(String::new());
        for (group, minutes) in SHARES {
            let time = self.rows.iter().filter(|row| row.1 == group).map(|row| row.2).sum();
            lines.push(against(group, time, minutes));
        }
        lines.push(against("all", self.rows.iter().map(|row| row.2).sum(), WHOLE));
        if let Some((passed, failed)) = self.tests {
            lines.push(format!("\n{passed} passed, {failed} failed"));
        }
        lines.join("\n")
    }
}

/// One line of time against its share; a share is a promise to whoever waits, so going over it is a warning.
fn against(what: &str, time: Duration, minutes: u64) -> String {
    let over = if time > Duration::from_secs(60 * minutes) { "   warning: over its share" } else { "" };
    format!("{what:<42}{:>8.1} of {}{over}", time.as_secs_f64(), 60 * minutes)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_table_sums_groups_and_warns() {
        let mut table = Table::default();
        table.add("fmt", LINTS, Duration::from_secs(1));
        table.add("clippy", LINTS, Duration::from_secs(400));
        table.add("test", tests::LAWS, Duration::from_secs(10));
        table.tests = Some((12, 0));
        let text = table.text();
        assert_eq!(text.matches("over its share").count(), 1, "{text}");
        assert!(text.contains("401.0 of 360   warning: over its share"), "{text}");
        assert!(text.ends_with("12 passed, 0 failed"), "{text}");
    }

    #[test]
    fn the_last_step_is_the_readme_command() {
        let last = STEPS.last().map(|step| step.action.command());
        assert_eq!(last.as_deref(), Some("cargo test --workspace"));
    }
}

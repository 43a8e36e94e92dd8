//! The checks that other programs make: cargo test, cargo-fuzz, a sanitizer, cargo-mutants.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{cargo, root, target};

/// `cargo test` with these arguments, and how many tests passed.
///
/// # Errors
/// If one fails, or none runs.
pub(super) fn tests(arguments: &str) -> Result<String> {
    let mut command = cargo();
    command.args(["test", "--locked"]).args(arguments.split(' '));
    Ok(format!("{} tests passed", passed(&mut command)?))
}

fn passed(command: &mut Command) -> Result<u64> {
    let output = command.current_dir(root()).output().context("cargo does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let passed = results(&text);
    ensure!(passed > 0, "no test ran");
    Ok(passed)
}

/// The sum over the last lines of all test programs.
fn results(text: &str) -> u64 {
    let passed = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok();
    text.lines().filter_map(passed).sum()
}

/// The crate of SIMD, threads and products under AddressSanitizer: its own tests, and all laws.
pub(super) fn sanitize(_: u32) -> Result<String> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let mut sum = 0;
    for tests in ["-p lstm-cpu --lib", "-p lstm-tests --test laws_cpu --test kernels --test waves"] {
        let mut command = cargo();
        command.args(["test", "--locked", "--target", TARGET]).args(tests.split(' '));
        // The sanitizer is no part of the stable compiler's promise.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        sum += passed(&mut command)?;
    }
    Ok(format!("{sum} tests passed under AddressSanitizer, no report"))
}

/// Where files lie in memory on Linux.
const MEMORY: &str = "/dev/shm";

/// So many executions of one door's fuzzer, which goes on from what it found before.
pub(super) fn fuzz(door: &str, executions: u32) -> Result<String> {
    installed("fuzz")?;
    let longest = match door {
        "csv" => 512,
        "settings" => 384,
        "model" => 2048,
        "checkpoint" => 3072,
        _ => 160,
    };
    let (corpus, seeds) = (target().join("fuzz-corpus").join(door), root().join("fuzz/seeds").join(door));
    fs::create_dir_all(&corpus)?;
    for seed in fs::read_dir(&seeds)? {
        let seed = seed?;
        // One that is cut off shows the fuzzer no way in.
        ensure!(
            seed.metadata()?.len() <= longest,
            "{} is longer than {longest} bytes",
            seed.path().display()
        );
    }
    let output = cargo()
        .args(["fuzz", "run", "-s", "none", door])
        .arg(&corpus)
        .arg(&seeds)
        .args(["--", &format!("-runs={executions}"), &format!("-max_len={longest}"), "-timeout=5"])
        .env("RUSTC_BOOTSTRAP", "1")
        // Checkpoints are written and read; a disk would take nine tenths of the time.
        .env("TMPDIR", if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { env::temp_dir() })
        .current_dir(root())
        .output()
        .context("cargo does not start")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let done = text.lines().rev().find(|line| line.starts_with("Done "));
    match done {
        Some(done) if output.status.success() => {
            let edges = text.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
            Ok(format!("{}, {} edges, nothing found", done.trim_start_matches("Done "), edges.unwrap_or("?")))
        }
        _ => bail!("{text}"),
    }
}

/// What cargo-mutants counted.
#[derive(Deserialize)]
struct Outcomes {
    caught: usize,
    missed: usize,
    timeout: usize,
    unviable: usize,
}

/// What is changed, and what must notice it.
pub(super) struct Mutants {
    pub(super) package: &'static str,
    pub(super) files: &'static [&'static str],
    /// Packages beside its own whose tests are run.
    pub(super) others: &'static [&'static str],
    /// Arguments of `cargo test`, separated by spaces.
    pub(super) tests: &'static str,
}

/// Mutants of some files; at most about `most`, an even sample of all.
pub(super) fn mutants(name: &str, of: &Mutants, most: u32) -> Result<String> {
    installed("mutants")?;
    let Mutants { package, files, others, tests } = of;
    let chosen = |command: &mut Command| {
        command.arg("mutants").args(["--package", package]).current_dir(root());
        files.iter().for_each(|file| {
            command.args(["--file", file]);
        });
    };
    let mut list = cargo();
    chosen(&mut list);
    let listed = list.args(["--list", "--json"]).output().context("cargo does not start")?;
    let all = serde_json::from_slice::<Vec<serde_json::Value>>(&listed.stdout)
        .with_context(|| String::from_utf8_lossy(&listed.stderr).into_owned())?
        .len();
    ensure!(all > 0, "no mutants of {files:?}");
    let shards = all.div_ceil(most.max(1) as usize);
    let place = target().join("mutants").join(name);
    fs::create_dir_all(&place)?;
    let mut run = cargo();
    chosen(&mut run);
    run.args(["--shard", &format!("0/{shards}"), "--sharding", "round-robin", "--no-shuffle"])
        // Where nothing is wrong the tests take a minute at most; a mutant that hangs is caught.
        .args(["--timeout", "300", "--output"])
        .arg(&place)
        // Said to the build as well, whose time is not limited.
        .args(others.iter().map(|package| format!("--cargo-arg=--package={package}")))
        .args(tests.split(' ').map(|argument| format!("--cargo-arg={argument}")))
        // Few mutants live long enough for their code to be made fast.
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    // The exit code says whether mutants were missed, which is counted here.
    let output = run.output().context("cargo does not start")?;
    let outcomes = outcomes(&place).with_context(|| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })?;
    let caught = outcomes.caught + outcomes.timeout;
    let tried = caught + outcomes.missed;
    ensure!(tried > 0, "no mutant was tried");
    Ok(format!("{caught} of {tried} mutants caught, {} more do not build; {all} in all", outcomes.unviable))
}

fn outcomes(place: &Path) -> Result<Outcomes> {
    let path = place.join("mutants.out/outcomes.json");
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn installed(command: &str) -> Result<()> {
    let found = cargo().args([command, "--version"]).output().is_ok_and(|output| output.status.success());
    ensure!(found, "cargo-{command} is missing: cargo install cargo-{command}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_all_programs_are_counted() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\n\
                    test result: ok. 40 passed; 0 failed; 1 ignored\n";
        assert_eq!(results(text), 42);
        assert_eq!(results("test result: FAILED. 3 passed; 1 failed\n"), 0);
    }
}

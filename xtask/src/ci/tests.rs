//! Runs `cargo test` once and splits its seconds among named groups, by the test binary that is running.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

use crate::root;

/// Laws, goldens and the unit tests of the crates.
pub(super) const LAWS: &str = "laws and goldens";
/// The binary's tests and the commands of the README.
pub(super) const COMMAND_LINE: &str = "command line and README";

/// What a run of `cargo test` showed.
pub(super) struct Seen {
    /// Time by group.
    pub(super) seconds: BTreeMap<&'static str, Duration>,
    /// Tests that passed.
    pub(super) passed: u64,
    /// Tests that failed.
    pub(super) failed: u64,
    /// Whether cargo was satisfied.
    pub(super) success: bool,
}

/// Runs `command`, passes its lines through, and watches them.
///
/// # Errors
/// If cargo does not start or the pipe to it breaks.
pub(super) fn run(mut command: Command) -> Result<Seen> {
    let owners = owners()?;
    // One pipe for both streams: cargo names the binary on one, the binary reports on the other.
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    command.stderr(writer.try_clone().context("no pipe")?).stdout(writer).env("CARGO_TERM_COLOR", "never");
    let mut child = command.spawn().context("cargo does not start")?;
    // The command holds the writing end; without this drop the reader would never see the end.
    drop(command);

    let mut seen = Seen { seconds: BTreeMap::new(), passed: 0, failed: 0, success: false };
    let mut group = super::LINTS; // until the first test runs, cargo compiles
    let mut since = Instant::now();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("the pipe from cargo broke")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(binary) = Binary::named_in(&line) {
            *seen.seconds.entry(group).or_default() += since.elapsed();
            since = Instant::now();
            group = binary.group(&owners);
        }
        if let Some((passed, failed)) = counts(&line) {
            seen.passed += passed;
            seen.failed += failed;
        }
    }
    *seen.seconds.entry(group).or_default() += since.elapsed();
    seen.success = child.wait().context("cargo was lost")?.success();
    Ok(seen)
}

/// A test binary: its target's name and its source file below the package.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Binary {
    target: String,
    source: String,
}

/// The package of each target of the workspace.
fn owners() -> Result<BTreeMap<Binary, String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    let mut owners = BTreeMap::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        for target in &package.targets {
            let source = target.src_path.strip_prefix(folder).unwrap_or(&target.src_path).to_string();
            owners.insert(Binary { target: target.name.replace('-', "_"), source }, package.name.to_string());
        }
    }
    Ok(owners)
}

impl Binary {
    /// The binary that cargo announces in `line`, as in `Running tests/laws.rs (target/debug/deps/laws-0a1b)`.
    fn named_in(line: &str) -> Option<Binary> {
        if let Some(name) = line.strip_prefix("   Doc-tests ") {
            return Some(Binary { target: name.trim().to_owned(), source: "src/lib.rs".to_owned() });
        }
        let (source, path) = line.strip_prefix("     Running ")?.strip_suffix(')')?.split_once(" (")?;
        let file = path.rsplit(['/', '\\']).next()?;
        let target = file.rsplit_once('-')?.0;
        let source = source.strip_prefix("unittests ").unwrap_or(source);
        Some(Binary { target: target.to_owned(), source: source.to_owned() })
    }

    /// The group that a binary counts for.
    fn group(&self, owners: &BTreeMap<Binary, String>) -> &'static str {
        let of_cli = owners.get(self).is_some_and(|package| package == "lstm-cli");
        let runs_cli = self.target.starts_with("cli") || self.target.starts_with("readme");
        if of_cli || runs_cli { COMMAND_LINE } else { LAWS }
    }
}

/// Passed and failed in `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let before = |word: &str| rest.split(word).next()?.rsplit(' ').find(|s| !s.is_empty())?.parse().ok();
    Some((before(" passed")?, before(" failed")?))
}

#[cfg(test)]
mod unit {
    use super::*;

    fn binary(target: &str, source: &str) -> Binary {
        Binary { target: target.to_owned(), source: source.to_owned() }
    }

    #[test]
    fn announcements_are_read() {
        let line = "     Running unittests src/lib.rs (target/debug/deps/lstm_cpu-0a1b2c)";
        assert_eq!(Binary::named_in(line), Some(binary("lstm_cpu", "src/lib.rs")));
        let line = "     Running tests/laws.rs (target/debug/deps/laws-0a1b2c)";
        assert_eq!(Binary::named_in(line), Some(binary("laws", "tests/laws.rs")));
        assert_eq!(Binary::named_in("   Doc-tests lstm_nn"), Some(binary("lstm_nn", "src/lib.rs")));
        assert_eq!(Binary::named_in("Running late (again)"), None);
    }

    #[test]
    fn groups_follow_the_package() {
        let owners = owners().unwrap();
        assert_eq!(binary("lstm", "src/main.rs").group(&owners), COMMAND_LINE);
        assert_eq!(binary("lstm", "src/lib.rs").group(&owners), LAWS);
        assert_eq!(binary("readme", "tests/readme.rs").group(&owners), COMMAND_LINE);
        assert_eq!(binary("laws", "tests/laws.rs").group(&owners), LAWS);
    }

    #[test]
    fn results_are_counted() {
        let line = "test result: FAILED. 13 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((13, 2)));
        assert_eq!(counts("test a ... ok"), None);
    }
}

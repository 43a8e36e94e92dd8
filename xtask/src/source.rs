//! Which commit and which machine a committed result is of.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::root;

/// What a cell was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) commit: String,
    pub(crate) machine: String,
}

impl Source {
    /// Of the tree as it stands: marked where files differ from the commit; cells and their page do not count.
    pub(crate) fn now() -> Result<Self> {
        let git = |arguments: &[&str]| -> Result<String> {
            let output = Command::new("git").args(arguments).current_dir(root()).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let changed = git(&[
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "crates",
            "fuzz",
            "tests",
            "Cargo.lock",
        ])?;
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            commit: commit + if changed.is_empty() { "" } else { "-dirty" },
            machine: format!(
                "{}, {threads} threads",
                name.map_or(std::env::consts::ARCH, |(_, name)| name.trim())
            ),
        })
    }
}

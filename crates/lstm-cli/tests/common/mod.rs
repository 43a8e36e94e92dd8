//! A folder of small files, and the binary run in it.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;

/// A temporary folder in which commands run.
pub(crate) struct Place(tempfile::TempDir);

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A folder with `good.csv`: 90 days with a weekly season.
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("good.csv", csv(&days(90)));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Every file below the folder with its bytes.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.0.path(), &mut files);
        files
    }

    /// `lstm` with these arguments, parted by spaces.
    pub(crate) fn lstm(&self, arguments: &str) -> Done {
        self.lstm_reading(arguments, "")
    }

    /// The same with something on standard input.
    pub(crate) fn lstm_reading(&self, arguments: &str, input: &str) -> Done {
        let output = self.command().args(arguments.split_whitespace()).write_stdin(input).output().unwrap();
        Done::of(&output)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("lstm"));
        command.current_dir(self.0.path()).env_remove("CLICOLOR_FORCE");
        command
    }
}

impl Done {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The same, having made sure that all went well.
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), Vec::new());
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// Days from 2020-01-01 on, each with a value: a weekly wave on a slow rise.
pub(crate) fn days(count: usize) -> Vec<(String, String)> {
    let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let calendar = (1..)
        .zip(lengths)
        .flat_map(|(month, days)| (1..=days).map(move |day| format!("2020-{month:02}-{day:02}")));
    let value =
        |i: usize| 50.0 + 0.05 * i as f64 + 9.0 * (std::f64::consts::TAU * (i % 7) as f64 / 7.0).sin();
    calendar.take(count).enumerate().map(|(i, day)| (day, format!("{:.3}", value(i)))).collect()
}

/// The rows under the header `day,sales`.
pub(crate) fn csv(rows: &[(String, String)]) -> String {
    let lines = rows.iter().map(|(day, value)| format!("{day},{value}\n"));
    format!("day,sales\n{}", lines.collect::<String>())
}

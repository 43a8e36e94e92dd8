//! Runs that are broken off by signals, and go on to the same bits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "../../../fuzz/src/sealed.rs"]
#[allow(dead_code, clippy::expect_used, reason = "the fuzzers need its folder, this test the digest")]
mod sealed;

use common::{Place, csv, days};
use std::process::{Command, Stdio};
use std::time::Duration;

const TRAIN: &str =
    "train good.csv --epochs 30 --hidden 8 --ensemble 2 --lookback 21 --quiet --checkpoint-every 0s";

/// Starts it, waits for its first checkpoint and a while longer, sends a signal, and gives the exit code and what was
/// said; none where it had ended before.
fn broken_off(place: &Place, command: &str, signal: &str, wait: u64) -> (Option<i32>, String) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let child = Command::new(assert_cmd::cargo::cargo_bin!("lstm"))
        .args(words)
        .current_dir(place.path(""))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let run = place.path("run");
    let checkpoint = || {
        std::fs::read_dir(&run).is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("checkpoint-"))
        })
    };
    for _ in 0..2000 {
        if checkpoint() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(wait));
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn signals_cost_nothing() {
    let whole = Place::new();
    whole.lstm(&format!("{TRAIN} --out run")).fine();
    for (signal, waits) in [("-INT", [0, 40, 90]), ("-TERM", [10, 60, 120]), ("-KILL", [5, 50, 100])] {
        let place = Place::new();
        let mut command = format!("{TRAIN} --out run");
        for wait in waits {
            let (code, said) = broken_off(&place, &command, signal, wait);
            match code {
                Some(0) => break,
                Some(130) => assert!(said.contains("go on with lstm train --resume run"), "{said}"),
                other => assert!(other.is_none() && signal == "-KILL", "{other:?}: {said}"),
            }
            command = "train --resume run --quiet --checkpoint-every 0s --threads 1".to_owned();
        }
        if command.contains("--resume") && place.path("run/report.html").exists().eq(&false) {
            place.lstm("train --resume run --quiet").fine();
        }
        for file in ["run/model.safetensors", "run/history.csv"] {
            assert!(whole.read(file) == place.read(file), "{signal}: {file}");
        }
        let left: Vec<String> = std::fs::read_dir(place.path("run"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("checkpoint-") || name.ends_with(".tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn only_a_run_that_was_broken_off_goes_on() {
    let place = Place::new();
    let refused = |command: &str, code: i32, words: &str| {
        let told = place.lstm(command);
        assert_eq!(told.code, code, "{command}: {}", told.err);
        assert!(told.err.contains(words), "{command}: {}", told.err);
    };
    let pipe = place.lstm_reading("train - --checkpoint-every 1s --out piped", &place.text("good.csv"));
    assert_eq!(pipe.code, 2, "{}", pipe.err);
    assert!(pipe.err.contains("standard input and pipes cannot be read again"), "{}", pipe.err);
    refused("train --resume none", 4, "none: there is no such folder");
    broken_off(&place, &format!("{TRAIN} --out run"), "-KILL", 0);
    refused(
        &format!("{TRAIN} --out run"),
        2,
        "run holds a training that was broken off; go on with lstm train --resume run",
    );
    refused(
        "forecast --resume run",
        2,
        "this run was begun by `lstm train`; go on with lstm train --resume run",
    );
    refused("train --resume run --hidden 9", 2, "cannot be used with");
    place.write("elsewhere/a", "");
    let mut elsewhere = Command::new(assert_cmd::cargo::cargo_bin!("lstm"));
    elsewhere.args(["train", "--resume", "../run"]).current_dir(place.path("elsewhere"));
    let told = String::from_utf8(elsewhere.output().unwrap().stderr).unwrap();
    assert!(told.contains("go on from the folder in which it was begun"), "{told}");
    let good = place.read("good.csv");
    place.write("good.csv", csv(&days(50)));
    refused("train --resume run", 3, "good.csv: the file is not what it was when the run began");
    place.write("good.csv", &good);
    for entry in std::fs::read_dir(place.path("run")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("checkpoint-") {
            std::fs::write(path, b"damaged").unwrap();
        }
    }
    refused("train --resume run", 4, "not a readable checkpoint");
    place.lstm(&format!("{TRAIN} --out run --force")).fine();
    refused("train --resume run", 4, "run: there is no checkpoint to go on from");
}

/// The checkpoints are made to say that another version began the run, under a digest that is right.
#[test]
fn another_version_that_goes_on_says_so() {
    let place = Place::new();
    broken_off(&place, &format!("{TRAIN} --out run"), "-KILL", 0);
    let version = env!("CARGO_PKG_VERSION");
    let other = version.replace(|digit: char| digit.is_ascii_digit(), "7");
    for entry in std::fs::read_dir(place.path("run")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("checkpoint-") {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(version.len()).position(|found| found == version.as_bytes()).unwrap();
            bytes[at..at + version.len()].copy_from_slice(other.as_bytes());
            std::fs::write(path, sealed::sealed(&bytes)).unwrap();
        }
    }
    let told = place.lstm("train --resume run").fine().err;
    let begun = format!("warning: this training was begun by lstm {other} on ");
    assert!(told.contains(&begun) && told.contains(&format!("goes on by lstm {version} on ")), "{told}");
    assert!(told.contains("its bits may differ from here on"), "{told}");
}

//! Wrong input of every kind: one sentence that says what, where and what to do; the right exit code; nothing
//! overwritten. Each module is a table of one kind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod models;
mod numbers;
mod options;
mod rows;
mod series;
mod settings;
mod surroundings;
mod times;

use common::{Place, csv, days};

/// What a run leaves, here as files of somebody else.
const RESULTS: [&str; 6] =
    ["forecast.csv", "forecast.png", "model.safetensors", "settings.toml", "metrics.json", "history.csv"];

/// Name, what is done to the folder, command, exit code, part of the message.
type Case<'a> = (&'a str, &'a dyn Fn(&Place), &'a str, i32, &'a str);

/// Runs each command in a folder of its own where results exist already, and compares code, message and files.
fn all_fail(cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for (name, arrange, command, code, message) in cases {
        let place = Place::new();
        for result in RESULTS {
            place.write(&format!("out/{result}"), "kept");
        }
        arrange(&place);
        let before = place.snapshot();
        let done = place.lstm(command);
        if done.code != *code || !done.err.contains(message) {
            wrong.push(format!(
                "{name}: lstm {command}\n  exit code {}, not {code}: {}  not: {message}",
                done.code, done.err
            ));
        }
        if !done.err.starts_with("error: ") || done.err.contains("panicked") {
            wrong.push(format!("{name}: not one sentence: {}", done.err));
        }
        if place.snapshot() != before {
            wrong.push(format!("{name}: lstm {command} changed files"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The good series with its fifth row (line 6) changed.
fn row(change: impl Fn(&mut Vec<(String, String)>)) -> impl Fn(&Place) {
    move |place| {
        let mut rows = days(90);
        change(&mut rows);
        place.write("bad.csv", csv(&rows));
    }
}

/// Numbers whose differences are infinite.
fn huge(place: &Place) {
    let mut rows = days(90);
    for (i, row) in rows.iter_mut().enumerate() {
        row.1 = if i / 2 % 2 == 0 { format!("1.7{i:02}e308") } else { format!("-1.7{i:02}e308") };
    }
    place.write("bad.csv", csv(&rows));
}

fn file(name: &'static str, text: &'static str) -> impl Fn(&Place) {
    move |place| place.write(name, text)
}

/// Name, the bytes of bad.csv, command, exit code, and the whole message.
type Entry = (&'static str, &'static [u8], &'static str, i32, &'static str);

/// What most entries run.
const TRAIN: &str = "train bad.csv --out out --force";

#[test]
fn each_file_is_refused_with_its_sentence() {
    let mut wrong = Vec::new();
    for (name, bytes, command, code, message) in
        files::FILES.iter().chain(numbers::NUMBERS).chain(times::TIMES).chain(series::SERIES)
    {
        let place = Place::new();
        place.write("bad.csv", bytes);
        place.write("out/model.safetensors", "kept");
        let before = place.snapshot();
        let done = place.lstm(command);
        if (done.code, done.err.as_str()) != (*code, format!("error: {message}\n").as_str()) {
            wrong.push(format!("{name}: exit code {}, not {code}: {}  not: {message}", done.code, done.err));
        }
        if place.snapshot() != before || !done.out.is_empty() {
            wrong.push(format!("{name}: something was written: {}", done.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that are read, and what is said of them where something was assumed.
#[test]
fn what_is_assumed_is_said() {
    let mut wrong = Vec::new();
    for (name, bytes, said) in series::SAID {
        let place = Place::new();
        place.write("bad.csv", bytes);
        let done = place.lstm("inspect bad.csv").fine();
        if !done.out.lines().any(|line| line == *said) || done.out.contains("NaN") {
            wrong.push(format!("{name}: {}  not: {said}", done.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn divergence_keeps_the_last_good_model() {
    let place = Place::new();
    let done = place.lstm("forecast good.csv --lr 1e38 --out run");
    assert_eq!(done.code, 6, "{}", done.err);
    let (_, after) = done.err.split_once("error: training diverged at step ").unwrap();
    assert!(after.chars().next().unwrap().is_ascii_digit(), "{after}");
    assert!(after.contains(" is no finite number, in the window that predicts row "), "{after}");
    assert!(
        after.ends_with("; lower --lr or --clip; the best model so far is kept in run/model.safetensors\n"),
        "{after}"
    );
    let said = "steps were skipped, because the loss or a gradient was no finite number; training went back to the last \
                good state 3 times, each time to half the learning rate.";
    assert!(done.err.contains(said), "{}", done.err);
    let metrics: serde_json::Value = serde_json::from_str(&place.text("run/metrics.json")).unwrap();
    assert!(metrics["setbacks"]["rollbacks"].as_u64().unwrap() >= 3, "{}", metrics["setbacks"]);
    let course = place.text("run/metrics.jsonl");
    assert!(course.lines().all(|line| line.contains("\"skipped\":") && line.contains("\"rollbacks\":")));
    assert!(!place.path("run/forecast.csv").exists());
    let shown = place.lstm("inspect run").fine();
    assert!(shown.out.contains("training was cut short (training diverged at step "), "{}", shown.out);
    place.lstm("forecast --model run").fine();
}

#[test]
fn failures_are_told_as_json_too() {
    let place = Place::new();
    for (command, kind, code) in [
        ("train missing.csv --json", "data", 3),
        ("inspect missing.csv --json", "data", 3),
        ("train good.csv --json --hidden 0", "usage", 2),
        ("forecast --model missing --json", "model", 4),
        ("train good.csv --device cuda:999 --json", "device", 5),
    ] {
        let done = place.lstm(command);
        let error = &done.json()["error"];
        assert_eq!(
            (done.code, &error["kind"], &error["code"]),
            (code, &kind.into(), &code.into()),
            "{command}"
        );
        assert!(done.err.starts_with("error: "), "{command}");
        assert!(!error["message"].as_str().unwrap().contains('\n'), "{command}");
    }
}

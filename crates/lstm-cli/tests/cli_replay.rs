//! `lstm repro RUN`: a run made again has the same bits, and where it has not, it is said which.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, csv, days};
use serde_json::{Value, json};

const TINY: &str = "--epochs 3 --hidden 4 --ensemble 1 --lookback 14 --base linear --quiet";

/// A folder with a run of this command in `run`.
fn made(command: &str) -> Place {
    let place = Place::new();
    place.lstm(&format!("{command} good.csv {TINY} --out run")).fine();
    place
}

/// Changes a file of the run.
fn change(place: &Place, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = place.read(name);
    change(&mut bytes);
    place.write(name, bytes);
}

fn replace(place: &Place, name: &str, from: &str, to: &str) {
    let text = place.text(name);
    assert!(text.contains(from), "{name} has no {from}: {text}");
    place.write(name, text.replacen(from, to, 1));
}

#[test]
fn a_run_made_again_has_the_same_bits() {
    let place = made("forecast");
    let before = place.snapshot();
    let files = "model.safetensors, history.csv, metrics.jsonl, metrics.json, forecast.csv";
    for threads in ["", " --threads 1", " --threads 3"] {
        let done = place.lstm(&format!("repro run{threads}")).fine();
        assert_eq!(done.out, format!("run: made again, it has the same bits: {files}\n"));
        assert_eq!(done.err, "");
    }
    assert_eq!(place.snapshot(), before, "nothing is left behind");
    let answer = place.lstm("repro run --json").fine().json();
    assert_eq!(answer["compared"].as_array().unwrap().len(), 5);
    assert_eq!(answer["made-by"], answer["here"]);
    assert!(answer["here"]["arithmetic"].as_str().unwrap().starts_with("cpu, "), "{answer}");
    assert_eq!(place.lstm("repro run --quiet").fine().out, "");
}

#[test]
fn sample_paths_come_again_with_the_run_and_from_its_model() {
    let place = Place::new();
    let command = "forecast good.csv --head student-t --samples 20";
    place.lstm(&format!("{command} {TINY} --out run")).fine();
    let samples = place.text("run/samples.csv");
    let rows: Vec<Vec<&str>> = samples.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["series", "sample", "time", "value"]);
    assert_eq!(rows.len(), 1 + 20 * 7);
    assert_eq!([rows[1][1], rows[8][1], rows[140][1]], ["1", "2", "20"]);
    // Of each step most lie in the widest interval.
    let forecast = place.text("run/forecast.csv");
    for line in forecast.lines().filter(|line| line.contains(",lstm,")) {
        let cells: Vec<&str> = line.split(',').collect();
        let value = |cell: &str| cell.parse::<f64>().unwrap();
        let drawn = rows.iter().filter(|row| row[2] == cells[1]);
        let inside = drawn.filter(|row| (value(cells[8])..=value(cells[9])).contains(&value(row[3]))).count();
        assert!((15..=20).contains(&inside), "{line}: {inside}");
    }
    let done = place.lstm("repro run").fine();
    assert!(done.out.ends_with("metrics.json, forecast.csv, samples.csv\n"), "{}", done.out);
    place.lstm("forecast --model run --samples 20 --out later --quiet").fine();
    assert_eq!(place.text("later/samples.csv"), samples);
    place.lstm("forecast --model run --out without --quiet").fine();
    assert!(!place.path("without/samples.csv").exists());
    replace(&place, "run/samples.csv", ",1,", ",9,");
    let said = place.lstm("repro run");
    assert!(said.code == 1 && said.err.contains("samples.csv: line 2 is now"), "{}", said.err);
}

#[test]
fn a_training_and_one_that_diverged() {
    let place = made("train");
    let done = place.lstm("repro run").fine();
    assert!(
        done.out.ends_with("model.safetensors, history.csv, metrics.jsonl, metrics.json\n"),
        "{}",
        done.out
    );
    let wild = TINY.replace("--epochs 3", "--epochs 100");
    assert_eq!(place.lstm(&format!("train good.csv {wild} --lr 1e38 --out wild")).code, 6);
    place.lstm("repro wild").fine();
    for head in ["quantile", "gaussian", "student-t"] {
        let done = place.lstm(&format!("train good.csv {wild} --lr 1e38 --head {head} --out {head}"));
        assert!(done.code == 6 && done.err.contains("diverged at step "), "{head}: {}", done.err);
    }
    replace(&place, "wild/metrics.json", "diverged at step ", "diverged at step 9");
    let done = place.lstm("repro wild");
    assert_eq!(
        (done.code, done.err.as_str()),
        (1, "error: wild: made again, it has other bits: metrics.json: its cut-short differs\n")
    );
}

#[test]
fn a_bit_that_differs_is_named() {
    let place = made("forecast");
    let whole = place.read("run/model.safetensors");
    change(&place, "run/model.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1);
    let done = place.lstm("repro run");
    assert_eq!(done.code, 1);
    let said = "error: run: made again, it has other bits: model.safetensors: the tensor ";
    assert!(done.err.starts_with(said) && done.err.contains(" differs from byte "), "{}", done.err);
    place.write("run/model.safetensors", whole);

    change(&place, "run/history.csv", |bytes| bytes.insert(bytes.len() - 1, b'1'));
    change(&place, "run/forecast.csv", |bytes| bytes.insert(bytes.len() - 1, b'7'));
    let done = place.lstm("repro run --json");
    let error: Value = done.json()["error"].clone();
    assert_eq!((done.code, &error["kind"], &error["code"]), (1, &json!("differs"), &json!(1)));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("history.csv: line ") && message.contains("; forecast.csv: line "), "{message}");

    let place = made("train");
    std::fs::remove_file(place.path("run/history.csv")).unwrap();
    replace(&place, "run/settings.toml", "seed = 1", "seed = 2");
    let done = place.lstm("repro run");
    assert_eq!(done.code, 1);
    assert!(done.err.contains("; history.csv is not there; metrics.jsonl: line 1 is now '{"), "{}", done.err);
}

#[test]
fn what_a_run_was_made_with_is_told_where_it_is_another() {
    let place = made("train");
    let origin: Value = serde_json::from_str(&place.text("run/metrics.json")).unwrap();
    let arithmetic = origin["made"]["maker"]["arithmetic"].as_str().unwrap();
    replace(&place, "run/metrics.json", arithmetic, "cpu, abacus");
    let done = place.lstm("repro run").fine();
    let version = env!("CARGO_PKG_VERSION");
    let said = format!(
        "warning: the run was made by lstm {version} on cpu, abacus, this is lstm {version} on {arithmetic}: its bits may differ\n"
    );
    assert_eq!(done.err, said);
    change(&place, "run/model.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1);
    let done = place.lstm("repro run --quiet");
    assert!(
        done.err.contains("other bits (made by lstm") && done.err.contains("cpu, abacus, this is"),
        "{}",
        done.err
    );
}

#[test]
fn what_cannot_be_made_again_is_refused() {
    let place = made("train");
    let refused = |command: &str, code: i32, said: &str| {
        let done = place.lstm(command);
        assert!(done.code == code && done.err.contains(said), "{command}: {} {}", done.code, done.err);
    };
    refused("repro run --seeds 2", 2, "--seeds says nothing about a run that is made again");
    refused("repro run --out there", 2, "--out says nothing about a run that is made again");
    refused("repro run --device cpu", 2, "--device says nothing about a run that is made again");
    std::fs::create_dir(place.path("empty")).unwrap();
    refused("repro empty", 4, "empty: there is no metrics.json");
    place.write("old/metrics.json", "{}");
    refused("repro old", 4, "old: metrics.json does not say what the run was made with");
    place.write("cut/metrics.json", "{\"cut-short\": \"interrupted\"}");
    refused("repro cut", 4, "cut: the run was interrupted");
    let done = place.lstm_reading(&format!("train - {TINY} --out piped"), &csv(&days(90))).fine();
    assert_eq!(done.err, "");
    refused("repro piped", 3, "piped: the run read standard input or a pipe");
    place.write("good.csv", csv(&days(91)));
    refused("repro run", 3, "good.csv: the file is not what it was when the run began");
    std::fs::remove_file(place.path("good.csv")).unwrap();
    refused("repro run", 3, "good.csv: the file that the run read is gone");
}

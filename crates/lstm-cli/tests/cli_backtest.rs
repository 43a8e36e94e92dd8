//! `lstm backtest`: what it writes, what it says, what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Place, csv, days};
use serde_json::{Value, json};

/// Training that takes no time.
const TINY: &str = "--horizon 7 --epochs 2 --hidden 4 --ensemble 1";

/// As backtest.csv names them.
const METHODS: [&str; 7] = ["lstm", "linear", "ets", "theta", "seasonal-naive", "naive", "drift"];
const FILES: [&str; 6] = [
    "backtest.csv",
    "backtest.json",
    "backtest.png",
    "backtest.svg",
    "backtest-horizon.png",
    "backtest-horizon.svg",
];

/// Rows of backtest.csv by the names of their columns.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

/// The measures of a method, calculated from the rows.
fn measured(rows: &[BTreeMap<&str, &str>], method: &str) -> [f64; 4] {
    let (mut absolute, mut size, mut loss, mut inside, mut count) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for row in rows.iter().filter(|row| row["model"] == method && !row["y"].is_empty()) {
        let (y, mean) = (number(row["y"]), number(row["mean"]));
        count += 1.0;
        absolute += (y - mean).abs();
        size += y.abs();
        let quantiles = [
            ("lo-95", 0.025),
            ("lo-80", 0.1),
            ("lo-50", 0.25),
            ("mean", 0.5),
            ("hi-50", 0.75),
            ("hi-80", 0.9),
            ("hi-95", 0.975),
        ];
        for (name, level) in quantiles {
            let f = number(row[name]);
            loss += 2.0 / 7.0 * if y < f { (1.0 - level) * (f - y) } else { level * (y - f) };
        }
        if (number(row["lo-80"])..=number(row["hi-80"])).contains(&y) {
            inside += 1.0;
        }
    }
    [absolute / count, 100.0 * absolute / size, loss / size, inside / count]
}

fn of<'a>(value: &'a Value, method: &str) -> &'a Value {
    value["scores"].as_array().unwrap().iter().find(|score| score["method"] == method).unwrap()
}

#[test]
fn every_forecast_is_in_the_file_and_the_measures_follow_from_it() {
    let place = Place::new();
    let done = place.lstm(&format!("backtest good.csv {TINY} --origins 5")).fine();
    for words in
        ["5 origins in the last 15 rows; trained once", "35 values", "WAPE", "wQL", "in 95%", "The LSTM "]
    {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    let folder = "runs/good-backtest";
    let text = place.text(&format!("{folder}/backtest.csv"));
    assert!(
        text.starts_with("series,time,cutoff,y,model,mean,lo-50,hi-50,lo-80,hi-80,lo-95,hi-95\n"),
        "{text}"
    );
    let rows = rows(&text);
    assert_eq!(rows.len(), 5 * 7 * METHODS.len());
    let cutoffs: BTreeSet<&str> = rows.iter().map(|row| row["cutoff"]).collect();
    let expected = ["2020-03-15", "2020-03-17", "2020-03-19", "2020-03-21", "2020-03-23"];
    assert_eq!(cutoffs.into_iter().collect::<Vec<_>>(), expected);
    let truth: BTreeMap<String, String> = days(90).into_iter().collect();
    for row in &rows {
        assert!(row["time"] > row["cutoff"]);
        assert!((number(row["y"]) - number(&truth[row["time"]])).abs() < 1e-9, "{row:?}");
        if row["model"] == "naive" {
            assert!((number(row["mean"]) - number(&truth[row["cutoff"]])).abs() < 1e-9, "{row:?}");
        }
    }
    let json: Value = serde_json::from_str(&place.text(&format!("{folder}/backtest.json"))).unwrap();
    assert_eq!(
        (&json["forecasts"], &json["trainings"], &json["refit"]),
        (&json!(5), &json!(1), &Value::Null)
    );
    for method in METHODS {
        let score = of(&json, method);
        let said = [&score["mae"], &score["wape"], &score["wql"], &score["coverage"][1]];
        for (said, own) in said.into_iter().zip(measured(&rows, method)) {
            assert!((said.as_f64().unwrap() - own).abs() < 1e-9, "{method}: {score}, {own}");
        }
        assert_eq!(score["mae-by-step"].as_array().unwrap().len(), 7);
    }
    assert!(place.read(&format!("{folder}/backtest.png")).starts_with(b"\x89PNG"));
    let strip = place.text(&format!("{folder}/backtest.svg"));
    assert!(strip.contains("sales: 2 of 5 forecasts") && strip.contains("what came"), "{strip}");
    let errors = place.text(&format!("{folder}/backtest-horizon.svg"));
    for name in ["LSTM", "linear", "ETS", "Theta", "naive", "seasonal naive", "drift", "steps ahead"] {
        assert!(errors.contains(name), "{name}");
    }
}

#[test]
fn the_same_command_gives_the_same_files_on_any_number_of_threads() {
    let place = Place::new();
    for (out, threads) in [("one", 1), ("two", 2)] {
        let command = format!(
            "backtest good.csv {TINY} --refit every 2 --origins 4 --threads {threads} --out {out} --quiet"
        );
        let done = place.lstm(&command).fine();
        assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
    }
    for name in FILES {
        assert!(place.read(&format!("one/{name}")) == place.read(&format!("two/{name}")), "{name}");
    }
    let json = place.text("one/backtest.json");
    assert!(json.contains("\"trainings\": 2") && json.contains("\"refit\": 2"), "{json}");
}

#[test]
fn later_rows_change_no_earlier_forecast() {
    let place = Place::new();
    let mut rows = days(90);
    // The second of the two models learns before 2020-03-24, the first forecasts up to then.
    rows[83..].iter_mut().for_each(|(_, value)| "77".clone_into(value));
    place.write("other.csv", csv(&rows));
    for name in ["good", "other"] {
        place.lstm(&format!("backtest {name}.csv {TINY} --origins 2 --refit every 1 --quiet")).fine();
    }
    let forecasts = |name: &str, cutoff: &str| -> Vec<String> {
        let text = place.text(&format!("runs/{name}-backtest/backtest.csv"));
        let of_origin = |line: &&str| line.split(',').nth(2) == Some(cutoff);
        text.lines().filter(of_origin).map(|line| line.splitn(5, ',').last().unwrap().to_owned()).collect()
    };
    for cutoff in ["2020-03-15", "2020-03-23"] {
        assert_eq!(forecasts("good", cutoff).len(), 7 * METHODS.len());
        assert_eq!(forecasts("good", cutoff), forecasts("other", cutoff), "{cutoff}");
    }
}

#[test]
fn series_are_measured_apart_and_together() {
    let place = Place::new();
    let mut text = String::from("store,day,sales\n");
    for (store, count, factor) in [("north", 90, 1.0), ("south", 70, 100.0), ("new", 9, 1.0)] {
        for (day, value) in days(count) {
            text += &format!("{store},{day},{}\n", factor * number(&value));
        }
    }
    place.write("stores.csv", text);
    let done = place.lstm(&format!("backtest stores.csv {TINY} --origins 3")).fine();
    for words in
        ["LSTM on", "north", "south", "no forecast", "of 2 series; 1 had too few rows for a forecast."]
    {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    let json: Value = serde_json::from_str(&place.text("runs/stores-backtest/backtest.json")).unwrap();
    assert_eq!(json["forecasts"], 6);
    let series =
        |name: &str| json["series"].as_array().unwrap().iter().find(|one| one["series"] == name).unwrap();
    let mae = |name: &str| of(series(name), "lstm")["mae"].as_f64().unwrap();
    let both = of(&json, "lstm")["mae"].as_f64().unwrap();
    assert!((both - (mae("north") + mae("south")) / 2.0).abs() < 1e-9 * both, "{json:#}");
    assert_eq!(series("new")["scores"], json!([]));
    // A panel's errors by steps are in units of each series.
    assert!(place.text("runs/stores-backtest/backtest-horizon.svg").contains("MASE of 3 series"));
}

#[test]
fn repaired_values_count_for_nothing() {
    let place = Place::new();
    let mut rows = days(90);
    rows.remove(80);
    place.write("gap.csv", csv(&rows));
    let json = place.lstm(&format!("backtest gap.csv {TINY} --origins 9 --json")).fine().json();
    // Seven of the nine forecasts reach over the missing day.
    assert_eq!((&json["forecasts"], &of(&json, "lstm")["values"]), (&json!(9), &json!(9 * 7 - 6)));
    let text = place.text("runs/gap-backtest/backtest.csv");
    let empty = text.lines().filter(|line| line.contains(",2020-03-21,") && line.contains(",,")).count();
    assert_eq!(empty, 6 * METHODS.len(), "{text}");
    assert!(json["run"].as_str().unwrap().ends_with("gap-backtest"));
}

#[test]
fn held_out_rows_make_room_for_the_origins() {
    let place = Place::new();
    let json = place.lstm(&format!("backtest good.csv {TINY} --origins 12 --json")).fine().json();
    assert_eq!((&json["held-out"], &json["origins"]), (&json!(18), &json!(12)));
    let json = place.lstm(&format!("backtest good.csv {TINY} --json --out default")).fine().json();
    assert_eq!((&json["held-out"], &json["origins"]), (&json!(15), &json!(9)));
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    let place = Place::new();
    place.write("backtest.csv", csv(&days(90)));
    place.write("short.csv", csv(&days(12)));
    place.write("taken/backtest.svg", "kept");
    let before = place.snapshot();
    for (command, code, message) in [
        ("backtest", 2, "name a CSV file"),
        ("backtest good.csv --refit sometimes", 2, "--refit is 'sometimes', but must be never or every K"),
        ("backtest good.csv --refit every 0", 2, "--refit is 'every 0', but must be never or every K"),
        ("backtest --refit never good.csv", 2, "'good.csv' follows; name files before it"),
        ("backtest good.csv --origins 0", 2, "must be a whole number from 1 to"),
        (
            "backtest good.csv --horizon 7 --held-out 10 --origins 5",
            2,
            "origins is 5, but must be at most 4, as 10 held-out rows leave room for so many of 7 steps",
        ),
        ("backtest good.csv --horizon 7 --origins 80", 3, "the series has 90 rows, but"),
        ("backtest short.csv --horizon 6", 3, "short.csv: the series has 12 rows"),
        ("backtest good.csv --out taken", 2, "backtest.svg exists already"),
        ("backtest backtest.csv --out . --force", 2, "backtest.csv would be replaced by a result"),
        ("backtest good.csv --horizon 7 --lr 1e38 --out broken", 6, "training diverged at step "),
    ] {
        let done = place.lstm(command);
        assert_eq!(done.code, code, "{command}: {}", done.err);
        assert!(done.err.contains(message), "{command}: {}", done.err);
        assert!(place.snapshot() == before, "{command} left something");
    }
}

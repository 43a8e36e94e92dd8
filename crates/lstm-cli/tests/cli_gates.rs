//! The microscope: what `lstm gates` leaves and says, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::Place;

const SMALL: &str =
    "--epochs 4 --hidden 6 --layers 2 --lookback 14 --segment 2 --horizon 7 --ensemble 2 --quiet";

fn trained() -> Place {
    let place = Place::new();
    place.lstm(&format!("train good.csv --out run {SMALL}")).fine();
    place
}

#[test]
fn every_unit_is_traced_and_the_figures_follow() {
    let place = trained();
    let done = place.lstm("gates run").fine();
    for words in [
        "sales: the forecast after 2020-03-30, 7 steps of 2 rows and 4 of the horizon; network 1 of 2",
        "half-life, rows",
        "6 units: half-lives from",
        "Gradient: what the network adds answers most to the 2 values from ",
        "Every unit at every step is in run/gates.csv, the picture is run/gates.png",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert!(place.read("run/gates.png").starts_with(b"\x89PNG"));
    let csv = place.text("run/gates.csv");
    let lines: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 2 * 6 * 11);
    assert_eq!(lines[0][..4], ["1", "1", "1", "2020-03-18"]);
    // Where the horizon ends in the middle of a step, the step goes on.
    assert_eq!(lines[10][3], "2020-04-07");

    let numbers: serde_json::Value = serde_json::from_str(&place.text("run/gates.json")).unwrap();
    for (layer, units) in numbers["layers"].as_array().unwrap().iter().enumerate() {
        let units = units.as_array().unwrap();
        let activity: Vec<f64> = units.iter().map(|unit| -unit["activity"].as_f64().unwrap()).collect();
        assert!(units.len() == 6 && activity.is_sorted(), "{units:?}");
        for unit in units {
            let place = [(layer + 1).to_string(), unit["unit"].to_string()];
            let own = lines.iter().filter(|line| line[..2] == place);
            let forget: Vec<f64> = own.map(|line| line[5].parse().unwrap()).collect();
            let mean = forget.iter().sum::<f64>() / forget.len() as f64;
            assert!(forget.iter().all(|f| (0.0..1.0).contains(f)));
            let half_life = 2.0 * std::f64::consts::LN_2 / -mean.ln();
            assert!((unit["half-life-rows"].as_f64().unwrap() / half_life - 1.0).abs() < 1e-12);
        }
    }
    let steps = numbers["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["first-row"]), (11, &serde_json::json!(-14)));
    assert!(steps.iter().all(|step| step["gradient"].as_f64().unwrap() > 0.0));
}

#[test]
fn a_window_is_the_same_from_the_file_and_from_the_rows_that_the_model_keeps() {
    let place = trained();
    place.lstm("gates run --window 5 --out kept --quiet").fine();
    place.lstm("gates run good.csv --window 5 --out file --quiet").fine();
    place.lstm("gates run good.csv --window 5 --network 2 --units 1 --out second --quiet").fine();
    assert_eq!(place.text("kept/gates.csv"), place.text("file/gates.csv"));
    assert_ne!(place.text("kept/gates.csv"), place.text("second/gates.csv"));
    place.lstm("gates run good.csv --window 60 --out early --quiet").fine();
    assert!(place.text("early/gates.csv").contains(",2020-01-18,"), "{}", place.text("early/gates.csv"));
}

#[test]
fn a_series_of_many_is_chosen_by_its_name() {
    let place = Place::new();
    let rows: String =
        (0..80).map(|t| format!("{t},{},{}\n", 10 + t % 7 + t * 13 % 5, 50 - t % 7 + t * 7 % 3)).collect();
    place.write("two.csv", format!("t,a,b\n{rows}"));
    place.lstm(&format!("train two.csv --target all --out run {SMALL}")).fine();
    let first = place.lstm("gates run").fine();
    assert!(first.out.starts_with("a: the forecast after "), "{}", first.out);
    let second = place.lstm("gates run --series b --force --json").fine().json();
    assert_eq!(second["series"], "b");
    let wrong = place.lstm("gates run --series c --force");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("has no such series, but a, b"), "{}", wrong.err);
}

#[test]
fn what_cannot_be_seen_is_said() {
    let place = trained();
    let rows: String = (0..1300).map(|t| format!("{}\n", 10 + t % 7 + t * 13 % 5)).collect();
    place.write("long.csv", format!("y\n{rows}"));
    place
        .lstm("train long.csv --out long --epochs 1 --hidden 2 --lookback 14 --horizon 7 --base last --quiet")
        .fine();
    for (command, code, words) in [
        ("gates run --network 3", 2, "--network is 3, but the model has 2"),
        ("gates long --window 1200", 3, "name the CSV file after the run, or lower --window"),
        ("gates run good.csv --window 500", 3, "lower --window"),
        ("gates run --delimiter tab", 2, "--delimiter says how to read a file, and none is named"),
        ("gates run --season 12", 2, "--season is settled in a trained model"),
        ("gates nowhere", 4, "there is no such model"),
    ] {
        let done = place.lstm(command);
        assert!(done.code == code && done.err.contains(words), "{command}: {} {}", done.code, done.err);
    }
    place.lstm("gates run --quiet").fine();
    assert!(place.lstm("gates run").err.contains("gates.csv exists already"));
}

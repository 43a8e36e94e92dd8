//! Real files with the default options: those of the repository, and more where `LSTM_DATA_DIR` names a folder of them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, which say what was read or skipped"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lstm_data::{CsvOptions, Layout, Panel, PanelOptions, Repairs, Step, read_panel, read_table};

const DAY: i64 = 86_400_000_000;

/// What a file holds: members, shortest, longest, first id, step, rows made, rows out of order, repeated rows.
struct Expected {
    file: &'static str,
    members: usize,
    rows: (usize, usize),
    first: &'static str,
    step: Option<Step>,
    repairs: Repairs,
}

const fn one(file: &'static str, rows: usize, first: &'static str, step: Step) -> Expected {
    let repairs = Repairs { unsorted: 0, duplicates: 0, rows: 0, values: 0 };
    Expected { file, members: 1, rows: (rows, rows), first, step: Some(step), repairs }
}

const SHIPPED: [Expected; 2] = [
    one("air_passengers.csv", 144, "#Passengers", Step::Months(1)),
    one("nyc_taxi.csv", 10_320, "#Passengers", Step::Micros(DAY / 48)),
];

const ELSEWHERE: [Expected; 9] = [
    one("monthly_sunspots.csv", 2_820, "Sunspots", Step::Months(1)),
    one("us_births.csv", 7_305, "y", Step::Micros(DAY)),
    one("bike_sharing.csv", 17_544, "users", Step::Micros(DAY / 24)),
    one("vic_electricity.csv", 52_608, "Demand", Step::Micros(DAY / 48)),
    one("yosemite_temps.csv", 18_721, "y", Step::Micros(DAY / 288)),
    one("ett/ETTh1.csv", 17_420, "OT", Step::Micros(DAY / 24)),
    Expected {
        repairs: Repairs { unsorted: 6_041, duplicates: 4, rows: 30, values: 30 },
        ..one("pjme_hourly_raw.csv", 145_392, "PJME_MW", Step::Micros(DAY / 24))
    },
    Expected {
        members: 414,
        rows: (700, 960),
        step: None,
        ..one("m4_hourly/Hourly-train.csv", 0, "H1", Step::Count(1))
    },
    Expected {
        members: 414,
        rows: (48, 48),
        step: None,
        ..one("m4_hourly/Hourly-test.csv", 0, "H1", Step::Count(1))
    },
];

fn read(folder: &std::path::Path, file: &str) -> (Panel, Duration) {
    let table = read_table(folder.join(file), &CsvOptions::default()).unwrap();
    let start = Instant::now();
    (read_panel(&table, &PanelOptions::default()).unwrap(), start.elapsed())
}

fn check(folder: &std::path::Path, expected: &Expected) {
    let (panel, took) = read(folder, expected.file);
    println!("{}: {took:.2?}\n  {}", expected.file, panel.notes.join("\n  "));
    assert_eq!(panel.members.len(), expected.members, "{}", expected.file);
    assert_eq!((panel.shortest(), panel.longest()), expected.rows, "{}", expected.file);
    assert_eq!(panel.members[0].id, expected.first);
    assert_eq!(panel.step(), expected.step);
    assert_eq!(panel.repairs, expected.repairs, "{}", expected.file);
    assert!(panel.members.iter().all(|member| member.values.iter().all(|value| value.is_finite())));
}

#[test]
fn shipped_files_are_read_as_they_come() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    for expected in &SHIPPED {
        check(&folder, expected);
    }
}

#[test]
fn files_that_are_not_shipped_are_read_as_they_come() {
    let Some(folder) = std::env::var_os("LSTM_DATA_DIR").map(PathBuf::from) else {
        println!("SKIPPED: LSTM_DATA_DIR names no folder of data");
        return;
    };
    for expected in &ELSEWHERE {
        check(&folder, expected);
    }
    let (m4, _) = read(&folder, "m4_hourly/Hourly-train.csv");
    assert_eq!(m4.layout, Layout::Rows);
}

#[test]
fn covariates_of_a_real_file_are_read() {
    let Some(folder) = std::env::var_os("LSTM_DATA_DIR").map(PathBuf::from) else {
        println!("SKIPPED: LSTM_DATA_DIR names no folder of data");
        return;
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let table = read_table(folder.join("bike_sharing.csv"), &CsvOptions::default()).unwrap();
    let options =
        PanelOptions { known: names(&["holiday", "weather"]), past: names(&["temp"]), ..Default::default() };
    let bikes = read_panel(&table, &options).unwrap();
    assert_eq!((bikes.known.len(), bikes.past.len()), (4, 1));
    let table = read_table(folder.join("vic_electricity.csv"), &CsvOptions::default()).unwrap();
    let options = PanelOptions { known: names(&["Holiday", "Temperature"]), ..Default::default() };
    let load = read_panel(&table, &options).unwrap();
    assert_eq!(load.members[0].known.column(0).sum(), 1488.0);
}

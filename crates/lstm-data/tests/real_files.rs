//! Real files with the default options: those of the repository, and with `--ignored` more from the folder that
//! `LSTM_DATA_DIR` names.

use std::path::{Path, PathBuf};

use lstm_data::{CsvOptions, Layout, Panel, PanelOptions, Repairs, Result, Step, read_panel, read_table};

const DAY: i64 = 86_400_000_000;

/// What a file holds: its series, the shortest and the longest, the first one's id, the step, and the repairs.
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

fn read(folder: &Path, file: &str, options: &PanelOptions) -> Result<Panel> {
    read_panel(&read_table(folder.join(file), &CsvOptions::default())?, options)
}

fn check(expected: &Expected, panel: &Panel) {
    assert_eq!(panel.members.len(), expected.members, "{}", expected.file);
    assert_eq!((panel.shortest(), panel.longest()), expected.rows, "{}", expected.file);
    assert_eq!(panel.members[0].id, expected.first);
    assert_eq!(panel.step(), expected.step);
    assert_eq!(panel.repairs, expected.repairs, "{}", expected.file);
    assert!(panel.members.iter().all(|member| member.values.iter().all(|value| value.is_finite())));
}

/// The folder of files that are not in the repository.
fn elsewhere() -> PathBuf {
    std::env::var_os("LSTM_DATA_DIR").map(PathBuf::from).unwrap_or_default()
}

#[test]
fn shipped_files_are_read_as_they_come() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    for expected in &SHIPPED {
        check(expected, &read(&folder, expected.file, &PanelOptions::default()).unwrap());
    }
}

#[test]
#[ignore = "reads files that are not in the repository: set LSTM_DATA_DIR"]
fn files_that_are_not_shipped_are_read_as_they_come() {
    let folder = elsewhere();
    for expected in &ELSEWHERE {
        check(expected, &read(&folder, expected.file, &PanelOptions::default()).unwrap());
    }
    let m4 = read(&folder, "m4_hourly/Hourly-train.csv", &PanelOptions::default()).unwrap();
    assert_eq!(m4.layout, Layout::Rows);
}

#[test]
#[ignore = "reads files that are not in the repository: set LSTM_DATA_DIR"]
fn covariates_of_a_real_file_are_read() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let options =
        PanelOptions { known: names(&["holiday", "weather"]), past: names(&["temp"]), ..Default::default() };
    let bikes = read(&elsewhere(), "bike_sharing.csv", &options).unwrap();
    assert_eq!((bikes.known.len(), bikes.past.len()), (4, 1));
    let options = PanelOptions { known: names(&["Holiday", "Temperature"]), ..Default::default() };
    let load = read(&elsewhere(), "vic_electricity.csv", &options).unwrap();
    assert_eq!(load.members[0].known.column(0).sum(), 1488.0);
}

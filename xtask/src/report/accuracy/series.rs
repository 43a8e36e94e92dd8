//! What the forecaster is measured on: files, horizons, and the rows that nothing may be learnt from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Which rows measure the forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The rows before the test part; the file ends with them.
    Validation,
    /// The last rows of the file. Every look at them is counted.
    Test,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// An error and its place in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Mean absolute error in the series' unit.
    Mae,
    /// The same in standard deviations of the training rows.
    ScaledMae,
    /// Mean squared error in these.
    ScaledMse,
    Smape,
    Mase,
}

/// A file, a horizon, and what is said to the program about them.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) file: &'static str,
    pub(super) horizon: usize,
    pub(super) cut: Cut,
    /// Options besides those that follow from the rest.
    pub(super) options: &'static str,
    /// And those that validation parts have chosen, by hand; effects of options are measured without them.
    pub(super) chosen: &'static str,
    pub(super) measures: &'static [Measure],
}

/// Where the test part begins.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// The last rows, as many as the program holds out by itself.
    Last(usize),
    /// Rows of training, validation and test, of a published protocol; what follows is not used.
    Protocol([usize; 3]),
    /// A second file holds it.
    File(&'static str),
}

const fn single(name: &'static str, title: &'static str, file: &'static str, rows: [usize; 2]) -> Series {
    let [horizon, held_out] = rows;
    let (cut, measures) = (Cut::Last(held_out), &[Measure::Mae]);
    Series { name, title, file, horizon, cut, options: "", chosen: "", measures }
}

const fn etth1(name: &'static str, horizon: usize) -> Series {
    Series {
        name,
        title: "ETTh1",
        file: "ett/ETTh1.csv",
        horizon,
        cut: Cut::Protocol([8640, 2880, 2880]),
        options: "--target all --season 24",
        // With 96 steps ahead.
        chosen: "--lookback 720 --segment 48 --embedding 128 --hidden 128 --dropout 0.2 --loss mae --effort 6000",
        measures: &[Measure::ScaledMse, Measure::ScaledMae],
    }
}

/// All that is measured. Horizon and held-out rows of a single series are those that the program takes by itself.
pub(super) const ALL: [Series; 13] = [
    single("airline", "airline passengers", "air_passengers.csv", [12, 24]),
    single("sunspots", "sunspots", "monthly_sunspots.csv", [12, 470]),
    single("births", "US births", "us_births.csv", [7, 500]),
    single("taxi", "New York taxi", "nyc_taxi.csv", [48, 1720]),
    single("bikes", "bike sharing", "bike_sharing.csv", [24, 1680]),
    single("victoria", "electricity, Victoria", "vic_electricity.csv", [48, 3360]),
    single("yosemite", "temperature, Yosemite", "yosemite_temps.csv", [96, 3120]),
    single("pjme", "electricity, PJM East", "pjme_hourly_raw.csv", [24, 1680]),
    etth1("etth1-96", 96),
    etth1("etth1-192", 192),
    etth1("etth1-336", 336),
    etth1("etth1-720", 720),
    Series {
        name: "m4-hourly",
        title: "M4 Hourly",
        file: "m4_hourly/Hourly-train.csv",
        horizon: 48,
        cut: Cut::File("m4_hourly/Hourly-test.csv"),
        options: "--season 24",
        chosen: "--lookback 336 --segment 12 --normalise log --hidden 128 --loss mae --effort 6000",
        measures: &[Measure::Smape, Measure::Mase],
    },
];

impl Series {
    /// Options of the program for a part, but for file, seed and where the result goes.
    pub(super) fn arguments(&self, part: Part) -> Vec<String> {
        let mut arguments = vec!["--horizon".to_owned(), self.horizon.to_string()];
        let mut say = |name: &str, rows: usize| arguments.extend([format!("--{name}"), rows.to_string()]);
        match (self.cut, part) {
            (Cut::Last(rows), _) => say("held-out", rows),
            (Cut::Protocol([_, check, test]), Part::Test) => {
                say("held-out", test);
                say("validation", check);
            }
            // Half as many rows before the part that measures decide when training ends.
            (Cut::Protocol([_, check, _]), Part::Validation) => {
                say("held-out", check);
                say("validation", check / 2);
            }
            (Cut::File(_), _) => {
                say("held-out", self.horizon);
                say("validation", self.horizon);
            }
        }
        arguments.extend(self.options.split_whitespace().map(str::to_owned));
        arguments
    }

    /// Writes the rows of a part's file, oldest first, to `to`: without `--test` nothing of the test part is in it.
    pub(super) fn write(&self, data: &Path, part: Part, to: &Path) -> Result<()> {
        let text = read(&data.join(self.file))?;
        let text = match (self.cut, part) {
            (Cut::File(_), Part::Validation) => text,
            (Cut::Last(_), Part::Test) => rows(&text, |all| all),
            (Cut::Last(test), Part::Validation) => rows(&text, |all| all.saturating_sub(test)),
            (Cut::Protocol([train, check, test]), Part::Test) => rows(&text, |_| train + check + test),
            (Cut::Protocol([train, check, _]), Part::Validation) => rows(&text, |_| train + check),
            (Cut::File(test), Part::Test) => joined(&text, &read(&data.join(test))?),
        };
        fs::write(to, text).with_context(|| to.display().to_string())
    }
}

fn read(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The header and the first rows by their times, which stand first in a line and sort as text.
fn rows(text: &str, kept: impl Fn(usize) -> usize) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let header = lines.next().unwrap_or_default();
    let mut rows: Vec<&str> = lines.collect();
    rows.sort_by_key(|row| row.split(',').next());
    let kept = kept(rows.len());
    [header].into_iter().chain(rows.into_iter().take(kept)).map(|line| format!("{line}\n")).collect()
}

/// One series a row: the cells of the second file behind those of the first.
fn joined(first: &str, second: &str) -> String {
    let cells = |row: &str| -> Vec<String> {
        let mut cells: Vec<String> = row.split(',').map(|cell| cell.trim().to_owned()).collect();
        while cells.last().is_some_and(|cell| cell.trim_matches('"').is_empty()) {
            cells.pop();
        }
        cells
    };
    let rows: Vec<Vec<String>> = first
        .lines()
        .zip(second.lines())
        .skip(1)
        .map(|(before, after)| [cells(before), cells(after).split_off(1)].concat())
        .collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let header: Vec<String> = (1..=width).map(|column| format!("V{column}")).collect();
    let mut text = header.join(",") + "\n";
    for mut row in rows {
        row.resize(width, String::new());
        text += &(row.join(",") + "\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_by_time() {
        let text = "t,y\n2020-03,3\n2020-01,1\n\n2020-02,2\n";
        assert_eq!(rows(text, |all| all - 1), "t,y\n2020-01,1\n2020-02,2\n");
    }

    #[test]
    fn a_second_file_goes_behind_ragged_rows() {
        let (train, test) = ("\"V1\",\"V2\",\"V3\"\nH1,1,\nH2,1,2\n", "V1,V2\nH1,7\nH2,8\n");
        assert_eq!(joined(train, test), "V1,V2,V3,V4\nH1,1,7,\nH2,1,2,8\n");
    }

    #[test]
    fn no_test_row_is_in_the_file_of_the_validation_part() {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..30).map(|row| format!("2020-01-{:02},{row}\n", row + 1)).collect();
        fs::write(folder.path().join("a.csv"), format!("t,y\n{lines}")).unwrap();
        let series = single("a", "a", "a.csv", [2, 4]);
        let to = folder.path().join("cut.csv");
        series.write(folder.path(), Part::Validation, &to).unwrap();
        assert!(fs::read_to_string(&to).unwrap().ends_with("2020-01-26,25\n"));
        series.write(folder.path(), Part::Test, &to).unwrap();
        assert!(fs::read_to_string(&to).unwrap().ends_with("2020-01-30,29\n"));
    }
}

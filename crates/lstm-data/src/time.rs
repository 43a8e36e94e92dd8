//! The time axis: which column holds it, its step, its gaps, its seasons, and the times that come next.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Place, Result, shown};
use crate::stamp::{self, DAY, DateOrder, Fault, Stamps, Style, date_of, stamp_of};
use crate::table::{Kind, Table};

const HOUR: i64 = DAY / 24;
const MINUTE: i64 = HOUR / 60;
const SECOND: i64 = MINUTE / 60;

/// Which column holds the time; in a TOML file `"auto"`, `"none"`, or the column's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TimeChoice {
    /// The column of times whose name says so, else the first column of times, else none.
    #[default]
    Auto,
    /// None: rows follow one another at an even step.
    None,
    /// The column of this name.
    Column(String),
}

impl From<String> for TimeChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => TimeChoice::Auto,
            "none" => TimeChoice::None,
            _ => TimeChoice::Column(text),
        }
    }
}

impl From<TimeChoice> for String {
    fn from(choice: TimeChoice) -> Self {
        match choice {
            TimeChoice::Auto => "auto".into(),
            TimeChoice::None => "none".into(),
            TimeChoice::Column(name) => name,
        }
    }
}

/// The distance from one row to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// So many calendar months: 3 is a quarter, 12 a year.
    Months(u32),
    /// Monday to Friday.
    Weekdays,
    /// So many microseconds.
    Micros(i64),
    /// So many on a column of plain row numbers.
    Count(i64),
}

impl Step {
    /// Rows in the season that this step suggests, 1 for none: 12 for months, 24 for hours, 7 for days.
    pub fn season(self) -> usize {
        match self {
            Step::Months(months) if months > 0 && 12 % months == 0 => 12 / months as usize,
            Step::Weekdays => 5,
            Step::Micros(DAY) => 7,
            Step::Micros(week) if week == 7 * DAY => 52,
            Step::Micros(micros) if (MINUTE..DAY).contains(&micros) && DAY % micros == 0 => {
                usize::try_from(DAY / micros).unwrap_or(1)
            }
            _ => 1,
        }
    }

    /// Rows in the longer season that a step below a day suggests, the week: 168 for hours.
    pub fn second_season(self) -> Option<usize> {
        match self {
            Step::Micros(micros) if micros < DAY && self.season() > 1 => Some(7 * self.season()),
            _ => None,
        }
    }

    /// Whole steps from `a` to a later `b`, or `None` where `b` lies off the grid; `anchor` is the day of the month.
    fn between(self, a: i64, b: i64, anchor: i8) -> Option<i64> {
        let whole = |distance: i64, step: i64| (step > 0 && distance % step == 0).then(|| distance / step);
        match self {
            Step::Months(months) => {
                let steps = whole(month_of(b)? - month_of(a)?, i64::from(months))?;
                (advance_months(a, i64::from(months).checked_mul(steps)?, anchor)? == b).then_some(steps)
            }
            Step::Weekdays => {
                let steps = weekday_index(b)? - weekday_index(a)?;
                (a.rem_euclid(DAY) == b.rem_euclid(DAY)).then_some(steps)
            }
            Step::Micros(step) | Step::Count(step) => whole(b.checked_sub(a)?, step),
        }
    }

    /// The stamp `steps` after `a`, or `None` beyond the calendar.
    fn advance(self, a: i64, steps: i64, anchor: i8) -> Option<i64> {
        match self {
            Step::Months(months) => advance_months(a, i64::from(months).checked_mul(steps)?, anchor),
            Step::Weekdays => {
                let index = weekday_index(a)?.checked_add(steps)?;
                let day = (index.div_euclid(5) * 7 + index.rem_euclid(5)).checked_sub(3)?;
                day.checked_mul(DAY)?.checked_add(a.rem_euclid(DAY))
            }
            Step::Micros(step) | Step::Count(step) => a.checked_add(step.checked_mul(steps)?),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match *self {
            Step::Months(months) if months % 12 == 0 => (i64::from(months / 12), "year"),
            Step::Months(months) if months % 3 == 0 => (i64::from(months / 3), "quarter"),
            Step::Months(months) => (i64::from(months), "month"),
            Step::Weekdays => (1, "weekday"),
            Step::Count(1) => (1, "row"),
            Step::Count(count) => (count, "row"),
            Step::Micros(micros) => {
                [(7 * DAY, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")]
                    .into_iter()
                    .find(|(unit, _)| micros % unit == 0)
                    .map_or((micros, "microsecond"), |(unit, name)| (micros / unit, name))
            }
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

/// Months since year 0.
fn month_of(stamp: i64) -> Option<i64> {
    date_of(stamp).map(|date| i64::from(date.year()) * 12 + i64::from(date.month()) - 1)
}

/// The same time of day, months later, on the anchor day or the last day of a shorter month.
fn advance_months(stamp: i64, months: i64, anchor: i8) -> Option<i64> {
    let month = month_of(stamp)?.checked_add(months)?;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let first = stamp_of(year, month, 1, stamp.rem_euclid(DAY))?;
    let day = anchor.min(date_of(first)?.days_in_month());
    first.checked_add(i64::from(day - 1) * DAY)
}

/// Weekdays since a Monday long ago, or `None` on a weekend.
fn weekday_index(stamp: i64) -> Option<i64> {
    // 1970-01-01 was a Thursday, three days after a Monday.
    let day = stamp.div_euclid(DAY) + 3;
    (day.rem_euclid(7) < 5).then(|| day.div_euclid(7) * 5 + day.rem_euclid(7))
}

/// An even time axis, as the file writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeAxis {
    /// The column's name.
    pub name: String,
    /// The distance between rows.
    pub step: Step,
    style: Style,
    first: i64,
    /// Day of the month that months are counted on.
    anchor: i8,
    rows: usize,
}

impl TimeAxis {
    /// Rows on the axis.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The time of a row, written as in the file; rows past the end are the times to come.
    pub fn label(&self, row: usize) -> String {
        self.style.write(self.stamp(row).unwrap_or(i64::MAX))
    }

    /// The time of a row in microseconds since 1970, or the number itself; `None` beyond the calendar.
    pub(crate) fn stamp(&self, row: usize) -> Option<i64> {
        self.step.advance(self.first, i64::try_from(row).ok()?, self.anchor)
    }

    /// Whether a row, one past the end perhaps, has a time that can be written.
    pub(crate) fn reaches(&self, row: usize) -> bool {
        self.stamp(row).is_some_and(|stamp| self.counts() || date_of(stamp).is_some())
    }

    /// The time of a row as a number: seconds since 1970, or the number itself where the axis counts;
    /// `None` beyond the calendar.
    pub fn place(&self, row: usize) -> Option<f64> {
        let stamp = self.stamp(row)?;
        Some(if self.counts() { stamp as f64 } else { stamp as f64 * 1e-6 })
    }

    /// Whether the axis counts rows instead of telling the time.
    pub fn counts(&self) -> bool {
        self.style.counts()
    }

    /// The next `count` times after the last row, written as in the file.
    pub fn next(&self, count: usize) -> Vec<String> {
        (self.rows..self.rows.saturating_add(count)).map(|row| self.label(row)).collect()
    }

    /// The same axis with another number of rows.
    #[must_use]
    pub(crate) fn with_rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// The same axis without its first `rows` rows, or extended where fewer are left.
    #[must_use]
    pub fn after(&self, rows: usize) -> Self {
        let steps = i64::try_from(rows).unwrap_or(i64::MAX);
        let first = self.step.advance(self.first, steps, self.anchor).unwrap_or(i64::MAX);
        Self { first, rows: self.rows.saturating_sub(rows), ..self.clone() }
    }
}

/// The times of a table's rows as they stand in the file: unordered, repeated, or with gaps.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) column: usize,
    pub(crate) name: String,
    pub(crate) stamps: Vec<i64>,
    pub(crate) style: Style,
}

/// The position of the time column, if the table has one.
pub(crate) fn find(table: &Table, choice: &TimeChoice) -> Result<Option<usize>> {
    match choice {
        TimeChoice::None => Ok(None),
        TimeChoice::Column(name) => table.find(name).map(Some),
        TimeChoice::Auto => {
            let times =
                || table.columns().iter().enumerate().filter(|(_, column)| column.kind() == Kind::Time);
            let named = times().find(|(_, column)| stamp::names_time(column.name()));
            // A text column called "date" is chosen too, so that reading it fails instead of gaps going unseen.
            let text =
                || table.columns().iter().enumerate().filter(|(_, column)| column.kind() == Kind::Text);
            let meant = || text().find(|(_, column)| stamp::must_be_time(column.name()));
            Ok(named.or_else(|| times().next()).or_else(meant).map(|(at, _)| at))
        }
    }
}

/// Reads the time column, every row of it.
pub(crate) fn read(table: &Table, choice: &TimeChoice, order: Option<DateOrder>) -> Result<Option<Times>> {
    let Some(at) = find(table, choice)? else { return Ok(None) };
    // Numbers are times where the caller says so, whatever the name.
    let named = matches!(choice, TimeChoice::Column(_));
    read_column(table, at, named, order, false)
}

/// Reads the column at this position as times; where those of several series stand one below another, they may start
/// `anew`. A `named` one holds times whatever it is called.
pub(crate) fn read_column(
    table: &Table,
    at: usize,
    named: bool,
    order: Option<DateOrder>,
    anew: bool,
) -> Result<Option<Times>> {
    let Some(column) = table.columns().get(at) else { return Ok(None) };
    let name = if named { "time" } else { column.name() };
    match stamp::read(name, column.cells(), order, anew) {
        Ok(Stamps { stamps, style }) => {
            Ok(Some(Times { column: at, name: column.name().into(), stamps, style }))
        }
        Err(Fault::Ambiguous) => {
            Err(Error::AmbiguousDate { at: table.place(0, at), cell: shown(column.cell(0)) })
        }
        Err(Fault::Row(row)) if column.kind() != Kind::Time => {
            Err(Error::NotTime { at: table.place(row, at), cell: shown(column.cell(row)) })
        }
        Err(Fault::Row(row)) => {
            let first = column.cells().position(stamp::looks_like_time).unwrap_or(0);
            Err(Error::BadTime {
                at: table.place(row, at),
                cell: shown(column.cell(row)),
                example: shown(column.cell(first)),
                first_line: table.line(first),
            })
        }
    }
}

/// A stretch of the axis where rows are missing: after which row, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The row after the gap, in time order.
    pub(crate) row: usize,
    pub(crate) missing: u64,
}

/// What rising stamps say about their step.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    pub(crate) pace: Pace,
    pub(crate) gaps: Vec<Gap>,
    /// Rows that lie no whole number of steps after the row before.
    pub(crate) irregular: Vec<usize>,
}

impl Grid {
    /// Rows missing in all gaps together.
    pub(crate) fn missing(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.missing))
    }
}

/// The step of one or more rising runs of stamps, and the day of the month that months are counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) step: Step,
    anchor: i8,
}

impl Pace {
    /// Where rising stamps leave this step.
    pub(crate) fn lay(self, stamps: &[i64]) -> Grid {
        let mut grid = Grid { pace: self, gaps: Vec::new(), irregular: Vec::new() };
        for (i, pair) in stamps.windows(2).enumerate() {
            match self.step.between(pair[0], pair[1], self.anchor) {
                Some(1) => {}
                Some(steps) if steps > 1 => {
                    grid.gaps.push(Gap { row: i + 1, missing: steps.unsigned_abs() - 1 });
                }
                _ => grid.irregular.push(i + 1),
            }
        }
        grid
    }
}

/// Finds the step that runs of rising stamps share; `None` where no run has two.
pub(crate) fn pace(runs: &[&[i64]], style: Style) -> Option<Pace> {
    let (step, anchor) = if style.counts() {
        (Step::Count(commonest(differences(runs))?), 1)
    } else if let Some(monthly) = months(runs) {
        monthly
    } else if weekdays(runs) {
        (Step::Weekdays, 1)
    } else {
        (Step::Micros(commonest(differences(runs))?), 1)
    };
    Some(Pace { step, anchor })
}

/// Finds the step of rising stamps and where they leave it; `None` for fewer than two.
pub(crate) fn grid(stamps: &[i64], style: Style) -> Option<Grid> {
    Some(pace(&[stamps], style)?.lay(stamps))
}

/// The even axis from the first of the stamps, with `rows` rows.
pub(crate) fn axis(times: &Times, pace: Pace, first: i64, rows: usize) -> TimeAxis {
    TimeAxis {
        name: times.name.clone(),
        step: pace.step,
        style: times.style,
        first,
        anchor: pace.anchor,
        rows,
    }
}

fn differences(runs: &[&[i64]]) -> impl Iterator<Item = i64> {
    runs.iter().flat_map(|stamps| stamps.windows(2)).map(|pair| pair[1].saturating_sub(pair[0]))
}

/// The value that stands most often, the smallest of several.
pub(crate) fn commonest(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for value in values.filter(|value| *value > 0) {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, -*value)).map(|(value, _)| value)
}

/// The day of the month that all stamps stand on, counting a month's last day for any later one.
fn anchor(runs: &[&[i64]]) -> Option<i8> {
    let mut stamps = runs.iter().copied().flatten();
    let clock = stamps.clone().next()?.rem_euclid(DAY);
    let (mut anchor, mut all_last) = (1, true);
    for stamp in stamps.clone() {
        if stamp.rem_euclid(DAY) != clock {
            return None;
        }
        let date = date_of(*stamp)?;
        anchor = anchor.max(date.day());
        all_last &= date.day() == date.days_in_month();
    }
    let anchor = if all_last { 31 } else { anchor };
    let on_anchor = |stamp: &i64| {
        stamp.rem_euclid(DAY) == clock
            && date_of(*stamp).is_some_and(|d| d.day() == anchor.min(d.days_in_month()))
    };
    stamps.all(on_anchor).then_some(anchor)
}

/// The commonest number of months between stamps that all stand on one day of the month, and that day.
fn months(runs: &[&[i64]]) -> Option<(Step, i8)> {
    let anchor = anchor(runs)?;
    let pairs = runs.iter().flat_map(|stamps| stamps.windows(2));
    let steps: Option<Vec<i64>> = pairs.map(|pair| Some(month_of(pair[1])? - month_of(pair[0])?)).collect();
    let step = commonest(steps?.into_iter())?;
    u32::try_from(step).ok().map(|step| (Step::Months(step), anchor))
}

/// Whether stamps are days from Monday to Friday, weekend after weekend left out.
fn weekdays(runs: &[&[i64]]) -> bool {
    let mut stamps = runs.iter().copied().flatten();
    commonest(differences(runs)) == Some(DAY)
        && differences(runs).any(|difference| difference == 3 * DAY)
        && stamps.clone().count() >= 10
        && stamps.all(|stamp| weekday_index(*stamp).is_some())
}

/// The first row whose time is before that of the row above, and how many such rows there are.
pub(crate) fn backward(stamps: &[i64]) -> Option<(usize, usize)> {
    let mut rows = stamps.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]).map(|(i, _)| i + 1);
    let first = rows.next()?;
    Some((first, 1 + rows.count()))
}

/// The place of the time cell of a row.
pub(crate) fn place(table: &Table, times: &Times, row: usize) -> Place {
    table.place(row, times.column)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::csv::{CsvOptions, read_table_from};

    fn times(cells: &[&str]) -> Times {
        let text = format!("time,v\n{}", cells.iter().map(|c| format!("{c},1\n")).collect::<String>());
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        read(&table, &TimeChoice::Auto, None).unwrap().unwrap()
    }

    fn next(cells: &[&str]) -> (String, Vec<String>) {
        let times = times(cells);
        let grid = grid(&times.stamps, times.style).unwrap();
        assert!(grid.gaps.is_empty() && grid.irregular.is_empty(), "{grid:?}");
        let axis = axis(&times, grid.pace, times.stamps[0], cells.len());
        for (row, cell) in cells.iter().enumerate() {
            assert_eq!(axis.label(row), *cell);
        }
        (grid.pace.step.to_string(), axis.next(2))
    }

    #[test]
    fn the_axis_goes_on_as_the_file_writes_it() {
        for (cells, step, coming) in [
            (["1949-11", "1949-12"], "1 month", ["1950-01", "1950-02"]),
            (["2020-01-31", "2020-02-29"], "1 month", ["2020-03-31", "2020-04-30"]),
            (["2019-06-30", "2019-09-30"], "1 quarter", ["2019-12-31", "2020-03-31"]),
            (["2019-01-30", "2019-02-28"], "1 month", ["2019-03-30", "2019-04-30"]),
            (["2019", "2020"], "1 year", ["2021", "2022"]),
            (["2020-02-28", "2020-02-29"], "1 day", ["2020-03-01", "2020-03-02"]),
            (["01/13/2020", "01/20/2020"], "1 week", ["01/27/2020", "02/03/2020"]),
            (
                ["31.12.2020 23:30", "01.01.2021 00:00"],
                "30 minutes",
                ["01.01.2021 00:30", "01.01.2021 01:00"],
            ),
            (
                ["2011-12-31T13:00:00Z", "2011-12-31T14:00:00Z"],
                "1 hour",
                ["2011-12-31T15:00:00Z", "2011-12-31T16:00:00Z"],
            ),
            (["1704067200", "1704067260"], "1 minute", ["1704067320", "1704067380"]),
            (["5", "7"], "2 rows", ["9", "11"]),
        ] {
            let (got, labels) = next(&cells);
            assert_eq!((got.as_str(), labels.as_slice()), (step, coming.map(String::from).as_slice()));
        }
    }

    #[test]
    fn weekdays_skip_the_weekend() {
        let days = ["01", "02", "03", "06", "07", "08", "09", "10", "13", "14", "15"]
            .map(|d| format!("2020-01-{d}"));
        let (step, labels) = next(&days.each_ref().map(String::as_str));
        assert_eq!((step.as_str(), labels[1].as_str()), ("1 weekday", "2020-01-17"));
        let (_, labels) = next(&days[..10].iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(labels, ["2020-01-15", "2020-01-16"]);
    }

    #[test]
    fn gaps_and_rows_off_the_grid_are_counted() {
        let times = times(&[
            "2020-01-01 00:00",
            "2020-01-01 01:00",
            "2020-01-01 04:00",
            "2020-01-01 04:20",
            "2020-01-01 05:20",
        ]);
        let grid = grid(&times.stamps, times.style).unwrap();
        assert_eq!(grid.pace.step.to_string(), "1 hour");
        assert_eq!(grid.gaps, [Gap { row: 2, missing: 2 }]);
        assert_eq!((grid.irregular, backward(&[3, 1, 2, 0])), (vec![3], Some((1, 2))));
    }

    #[test]
    fn seasons_follow_the_step() {
        let season = |micros| (Step::Micros(micros).season(), Step::Micros(micros).second_season());
        assert_eq!(season(HOUR), (24, Some(168)));
        assert_eq!(season(30 * MINUTE), (48, Some(336)));
        assert_eq!(season(15 * MINUTE), (96, Some(672)));
        assert_eq!(season(5 * MINUTE), (288, Some(2016)));
        assert_eq!(season(MINUTE), (1440, Some(10080)));
        assert_eq!(season(DAY), (7, None));
        assert_eq!(season(7 * DAY), (52, None));
        assert_eq!(season(SECOND), (1, None));
        assert_eq!([1, 3, 12, 5].map(|m| Step::Months(m).season()), [12, 4, 1, 1]);
    }

    #[test]
    fn the_time_column_is_chosen_by_name_then_place() {
        let table = |text: &str| read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        let two = table("born,when,date\n2020-01-01,x,2020-01-01\n2020-01-02,y,2020-01-02\n");
        assert_eq!(find(&two, &TimeChoice::Auto).unwrap(), Some(2));
        assert_eq!(find(&two, &TimeChoice::Column("born".into())).unwrap(), Some(0));
        assert_eq!(find(&two, &TimeChoice::None).unwrap(), None);
        let error = find(&two, &TimeChoice::Column("dat".into())).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.csv: no column is called 'dat' (did you mean 'date'?); the columns are born, when, date"
        );
        let plain = table("x,y\n1704067200,1\n1704070800,2\n");
        let times = read(&plain, &TimeChoice::Column("x".into()), None).unwrap().unwrap();
        assert_eq!(grid(&times.stamps, times.style).unwrap().pace.step.to_string(), "1 hour");
        let error = read(&two, &TimeChoice::Column("when".into()), None).unwrap_err().to_string();
        assert!(error.starts_with("a.csv, line 2, column 'when': 'x' is not a time"), "{error}");
    }

    #[test]
    fn a_date_column_without_dates_is_not_passed_over() {
        let table =
            read_table_from(&b"date,y\nJan 2020,1\nFeb 2020,2\n"[..], "a.csv", &CsvOptions::default())
                .unwrap();
        assert_eq!(
            read(&table, &TimeChoice::Auto, None).unwrap_err().to_string(),
            "a.csv, line 2, column 'date': 'Jan 2020' is not a time; write times as 2024-01-31 or 2024-01-31 \
             12:00:00, or pass --time none to number the rows"
        );
        assert!(read(&table, &TimeChoice::None, None).unwrap().is_none());
    }

    #[test]
    fn a_bad_time_is_named() {
        let text = "ds,y\n2020-01-01,1\n2020-01-02,2\n2020-13-45,3\n";
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        assert_eq!(
            read(&table, &TimeChoice::Auto, None).unwrap_err().to_string(),
            "a.csv, line 4, column 'ds': '2020-13-45' is not a time written like '2020-01-01' in line 2; correct it, \
             or pass --time none to number the rows"
        );
    }

    proptest! {
        #[test]
        fn going_forward_and_counting_back_agree(start in -4_000_000_i64..4_000_000, steps in 1_i64..2000, months in 1_u32..13) {
            let first = start * (DAY / 64);
            let day = date_of(first).unwrap().day();
            for step in [Step::Months(months), Step::Micros(HOUR), Step::Micros(7 * DAY), Step::Count(3)] {
                if let Some(later) = step.advance(first, steps, day) {
                    prop_assert_eq!(step.between(first, later, day), Some(steps));
                }
            }
            if weekday_index(first).is_some() {
                let later = Step::Weekdays.advance(first, steps, 1).unwrap();
                prop_assert_eq!(Step::Weekdays.between(first, later, 1), Some(steps));
            }
        }

        #[test]
        fn any_stamps_have_a_grid_without_a_panic(mut stamps in proptest::collection::vec(any::<i64>(), 0..6)) {
            stamps.sort_unstable();
            stamps.dedup();
            let style = times(&["2020-01-01", "2020-01-02"]).style;
            let _ = grid(&stamps, style);
        }
    }
}

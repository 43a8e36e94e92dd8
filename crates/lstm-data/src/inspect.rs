//! What a table holds, in plain data: columns, step, gaps, season.

use serde::Serialize;

use crate::cell::{self, Cell};
use crate::error::Result;
use crate::panel::{self, Layout, PanelOptions, Targets, read_panel};
use crate::repair::{Duplicates, Fill, Repairs};
use crate::scale::mean_and_deviation;
use crate::stamp::DateOrder;
use crate::table::{Column, Kind, Table};
use crate::time::{self, TimeChoice};

/// A table in a few figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The file as the caller named it.
    pub file: String,
    /// The delimiter.
    pub delimiter: char,
    /// Rows below the header.
    pub rows: usize,
    /// The columns in file order.
    pub columns: Vec<ColumnSummary>,
    /// The time axis, if a column holds that of all rows.
    pub time: Option<TimeSummary>,
    /// How series stand in the table.
    pub layout: Layout,
    /// The series that are read without any option, if any can be.
    pub series: Option<SeriesSummary>,
    /// Why none can be read, and what to do.
    pub refusal: Option<String>,
}

/// The series of a table in a few figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesSummary {
    /// How many there are.
    pub count: usize,
    /// The names of the first five.
    pub first: Vec<String>,
    /// Values of the shortest.
    pub shortest: usize,
    /// Values of the longest.
    pub longest: usize,
    /// The step in words, where times are known.
    pub step: Option<String>,
    /// What was repaired on reading them.
    pub repairs: Repairs,
    /// What was assumed and repaired, in whole sentences.
    pub notes: Vec<String>,
}

/// One column in a few figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnSummary {
    /// The name.
    pub name: String,
    /// What most cells are.
    pub kind: Kind,
    /// Cells without a value, or with an infinite one.
    pub missing: usize,
    /// Line of the first of them.
    pub first_missing: Option<u64>,
    /// Cells of a number column that are text.
    pub bad: usize,
    /// Line of the first of them.
    pub first_bad: Option<u64>,
    /// The numbers, if any.
    pub numbers: Option<Numbers>,
    /// Correlation with itself one season earlier, gaps filled by straight lines, where a season is guessed and the
    /// series is long enough.
    pub season_correlation: Option<f64>,
}

/// The numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Numbers {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// Their population standard deviation.
    pub deviation: f64,
}

/// A time axis in a few figures; times are written as in the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeSummary {
    /// The column.
    pub column: String,
    /// The earliest time.
    pub first: String,
    /// The latest time.
    pub last: String,
    /// The step in words, where there are two rows.
    pub step: Option<String>,
    /// Rows whose time is before that of the row above.
    pub unsorted: usize,
    /// Line of the first of them.
    pub first_unsorted: Option<u64>,
    /// Rows whose time stands earlier already.
    pub duplicates: usize,
    /// Lines of the first five of them.
    pub duplicate_lines: Vec<u64>,
    /// Stretches without rows.
    pub gaps: usize,
    /// Rows missing in them.
    pub missing_rows: u64,
    /// The lines behind the first five.
    pub gap_lines: Vec<u64>,
    /// Rows that lie no whole number of steps after the one before.
    pub irregular: usize,
    /// Line of the first of them.
    pub first_irregular: Option<u64>,
    /// Rows in the season that the step suggests, 1 for none.
    pub season: usize,
    /// Rows in the longer season that the step suggests.
    pub second_season: Option<usize>,
}

/// Sums up a table.
///
/// # Errors
/// Those of the time column: a name that is not there, or cells that are no times.
pub fn summarise(table: &Table, time: &TimeChoice, order: Option<DateOrder>) -> Result<Summary> {
    let options = PanelOptions { time: time.clone(), date_order: order, ..PanelOptions::default() };
    let layout = panel::layout_of(table, &options)?;
    let columns = layout == Layout::Columns;
    // Where series stand one below another, the times of all rows together say nothing.
    let axis = if columns { time_summary(table, time, order)? } else { None };
    let mut summary = Summary {
        file: table.file().into(),
        delimiter: table.delimiter(),
        rows: table.rows(),
        columns: table.columns().iter().map(|column| column_summary(table, column)).collect(),
        time: axis,
        layout,
        series: None,
        refusal: None,
    };
    match read_panel(table, &options).and_then(|panel| panel.check_varies().map(|()| panel)) {
        Ok(panel) => {
            summary.series = Some(SeriesSummary {
                count: panel.members.len(),
                first: panel.members.iter().take(5).map(|member| member.id.clone()).collect(),
                shortest: panel.shortest(),
                longest: panel.longest(),
                step: panel.step().map(|step| step.to_string()),
                repairs: panel.repairs,
                notes: panel.notes,
            });
        }
        Err(error) => summary.refusal = Some(error.to_string()),
    }
    correlate(&mut summary, table, options);
    Ok(summary)
}

/// Adds each column's correlation with itself one season earlier.
fn correlate(summary: &mut Summary, table: &Table, options: PanelOptions) {
    let Some(season) = summary.time.as_ref().map(|axis| axis.season).filter(|season| *season > 1) else {
        return;
    };
    let whole = |column: &&mut ColumnSummary| {
        column.kind == Kind::Number && column.bad == 0 && column.numbers.is_some()
    };
    let options = PanelOptions {
        layout: Some(Layout::Columns),
        duplicates: Some(Duplicates::Mean),
        fill: Some(Fill::Linear),
        ..options
    };
    for column in summary.columns.iter_mut().filter(whole) {
        let targets = Targets::Columns(vec![column.name.clone()]);
        let panel = read_panel(table, &PanelOptions { targets, ..options.clone() });
        let values = panel.ok().and_then(|mut panel| panel.members.pop()).map(|member| member.values);
        column.season_correlation = values.and_then(|values| correlation(&values, season));
    }
}

fn column_summary(table: &Table, column: &Column) -> ColumnSummary {
    let mut values = Vec::new();
    let (mut missing, mut bad) = (0, 0);
    let (mut first_missing, mut first_bad) = (None, None);
    let numeric = matches!(column.kind(), Kind::Number | Kind::Boolean);
    for (row, cell) in column.cells().enumerate() {
        match cell::read(cell) {
            Cell::Number(value) | Cell::Boolean(value) if numeric => values.push(value),
            Cell::Missing | Cell::NonFinite => {
                missing += 1;
                first_missing.get_or_insert(table.line(row));
            }
            Cell::Text if numeric => {
                bad += 1;
                first_bad.get_or_insert(table.line(row));
            }
            _ => {}
        }
    }
    let numbers = (!values.is_empty()).then(|| {
        let (mean, deviation) = mean_and_deviation(values.iter().copied());
        Numbers {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mean,
            deviation,
        }
    });
    ColumnSummary {
        name: column.name().into(),
        kind: column.kind(),
        missing,
        first_missing,
        bad,
        first_bad,
        numbers,
        season_correlation: None,
    }
}

fn time_summary(table: &Table, choice: &TimeChoice, order: Option<DateOrder>) -> Result<Option<TimeSummary>> {
    let Some(times) = time::read(table, choice, order)? else { return Ok(None) };
    let mut rows: Vec<usize> = (0..times.stamps.len()).collect();
    rows.sort_by_key(|row| times.stamps[*row]);
    let repeats: Vec<usize> = rows
        .windows(2)
        .filter(|pair| times.stamps[pair[0]] == times.stamps[pair[1]])
        .map(|pair| pair[1])
        .collect();
    rows.dedup_by_key(|row| times.stamps[*row]);
    let stamps: Vec<i64> = rows.iter().map(|row| times.stamps[*row]).collect();
    let grid = time::grid(&stamps, times.style);
    let line = |row: usize| rows.get(row).map_or(0, |row| table.line(*row));
    let backward = time::backward(&times.stamps);
    let write = |stamp: Option<&i64>| stamp.map(|stamp| times.style.write(*stamp)).unwrap_or_default();
    Ok(Some(TimeSummary {
        column: times.name.clone(),
        first: write(stamps.first()),
        last: write(stamps.last()),
        step: grid.as_ref().map(|grid| grid.pace.step.to_string()),
        unsorted: backward.map_or(0, |(_, count)| count),
        first_unsorted: backward.map(|(row, _)| table.line(row)),
        duplicates: repeats.len(),
        duplicate_lines: repeats.iter().take(5).map(|row| table.line(*row)).collect(),
        gaps: grid.as_ref().map_or(0, |grid| grid.gaps.len()),
        missing_rows: grid.as_ref().map_or(0, |grid| grid.missing()),
        gap_lines: grid.iter().flat_map(|grid| &grid.gaps).take(5).map(|gap| line(gap.row)).collect(),
        irregular: grid.as_ref().map_or(0, |grid| grid.irregular.len()),
        first_irregular: grid.as_ref().and_then(|grid| grid.irregular.first()).map(|row| line(*row)),
        season: grid.as_ref().map_or(1, |grid| grid.pace.step.season()),
        second_season: grid.as_ref().and_then(|grid| grid.pace.step.second_season()),
    }))
}

/// Correlation of a series with itself `lag` rows earlier, or `None` for a short or constant one.
fn correlation(values: &[f64], lag: usize) -> Option<f64> {
    if values.len() < 2 * lag {
        return None;
    }
    let (mean, deviation) = mean_and_deviation(values.iter().copied());
    if !(deviation > 0.0 && deviation.is_finite()) {
        return None;
    }
    let z = |value: &f64| (value - mean) / deviation;
    let sum: f64 = values.iter().zip(values.get(lag..)?).map(|(early, late)| z(early) * z(late)).sum();
    Some(sum / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{CsvOptions, read_table_from};

    fn summary(text: &str) -> Summary {
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        summarise(&table, &TimeChoice::Auto, None).unwrap()
    }

    #[test]
    fn a_troubled_table_is_summed_up() {
        let got = summary(
            "ds,y,flag,note\n2020-01-03,3,TRUE,a\n2020-01-01,1,FALSE,b\n2020-01-02,,TRUE,c\n2020-01-02,2,TRUE,d\n2020-01-06,oops,TRUE,\n",
        );
        let time = got.time.unwrap();
        assert_eq!((time.first.as_str(), time.last.as_str()), ("2020-01-01", "2020-01-06"));
        assert_eq!((time.step.as_deref(), time.season), (Some("1 day"), 7));
        assert_eq!((time.unsorted, time.first_unsorted), (1, Some(3)));
        assert_eq!((time.duplicates, time.duplicate_lines), (1, vec![5]));
        assert_eq!((time.gaps, time.missing_rows, time.gap_lines), (1, 2, vec![6]));
        let kinds: Vec<Kind> = got.columns.iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [Kind::Time, Kind::Number, Kind::Boolean, Kind::Text]);
        let y = &got.columns[1];
        assert_eq!((y.missing, y.first_missing, y.bad, y.first_bad), (1, Some(4), 1, Some(6)));
        assert_eq!(y.numbers.map(|n| (n.min, n.max, n.mean)), Some((1.0, 3.0, 2.0)));
        assert!(got.series.is_none());
        let refusal = got.refusal.unwrap();
        assert!(refusal.starts_with("a.csv, line 6, column 'y': 'oops' is not a number"), "{refusal}");
    }

    #[test]
    fn the_series_of_each_layout_are_summed_up() {
        let long =
            summary("unique_id,ds,y\na,2020-01,1\na,2020-02,2\nb,2020-01,3\nb,2020-02,3\nb,2020-03,3\n");
        assert!(long.layout == Layout::Long && long.time.is_none() && long.refusal.is_none());
        let series = long.series.unwrap();
        assert_eq!((series.count, series.shortest, series.longest), (2, 2, 3));
        assert_eq!((series.first, series.step.as_deref()), (vec!["a".into(), "b".into()], Some("1 month")));
        let rows = summary("V1,V2,V3,V4\nH1,1,2,3\nH2,1,2,\n");
        assert_eq!((rows.layout, rows.series.unwrap().count), (Layout::Rows, 2));
        let constant = summary("t,y\n2020-01,3\n2020-02,3\n");
        assert!(constant.series.is_none() && constant.refusal.unwrap().contains("nothing to learn"));
    }

    #[test]
    fn a_season_shows_in_the_correlation() {
        let row = |day: usize| format!("2020-01-{:02},{}\n", day + 1, [5, 1, 1, 1, 1, 1, 9][day % 7]);
        let got = summary(&format!("ds,y\n{}", (0..28).map(row).collect::<String>()));
        let correlation = got.columns[1].season_correlation.unwrap();
        assert!((correlation - 0.75).abs() < 0.01, "{correlation}");
        assert!(summary("ds,y\n2020-01-01,1\n2020-01-02,2\n").columns[1].season_correlation.is_none());
    }
}

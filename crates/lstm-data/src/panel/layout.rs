//! How series stand in a table: one a column, one below another, or one a row.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::PanelOptions;
use crate::cell;
use crate::error::{Error, Place, Result};
use crate::stamp;
use crate::table::{Column, Kind, Table};
use crate::time::{self, TimeChoice};

/// How the series of a table stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One series a column, one time a row.
    Columns,
    /// One value a row, with the series' id and the time beside it.
    Long,
    /// One series a row: the id, then its values from left to right.
    Rows,
}

/// Names that id columns have.
const IDS: [&str; 8] = ["unique_id", "item_id", "series_id", "ts_id", "id", "series", "series_name", "item"];

/// Whether a name is one that id columns have.
pub(super) fn names_id(name: &str) -> bool {
    IDS.contains(&name.to_lowercase().as_str())
}

/// Which columns hold neither values nor covariates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) layout: Layout,
    /// The columns that tell series apart.
    pub(super) id: Vec<usize>,
    pub(super) time: Option<usize>,
}

impl Shape {
    /// The layout that was asked for, or the one that the table looks like.
    pub(super) fn of(table: &Table, options: &PanelOptions) -> Result<Self> {
        let time = time::find(table, &options.time)?;
        let id = options.id.iter().map(|name| table.find(name)).collect::<Result<Vec<_>>>()?;
        let needs = |layout, needs| Error::Layout { at: Place::file(table.file()), layout, needs };
        match options.layout {
            Some(Layout::Columns) => Ok(Self { layout: Layout::Columns, id: Vec::new(), time }),
            Some(Layout::Rows) => {
                let id = if id.is_empty() { row_ids(table).unwrap_or(vec![0]) } else { id };
                let dated =
                    id.iter().any(|at| table.columns().get(*at).is_none_or(|c| c.kind() == Kind::Time));
                if dated || row_values(table, &id).is_none_or(|values| values.is_empty()) {
                    return Err(needs("rows", "an id column, and numbers in all columns that are no text"));
                }
                Ok(Self { layout: Layout::Rows, id, time: None })
            }
            Some(Layout::Long) if id.is_empty() => Self::long(table, time, options)
                .ok_or_else(|| needs("long", "a column that tells the series apart, which was not found")),
            None if id.is_empty() => Ok(row_ids(table)
                .and_then(|id| Self::rows(table, time, id))
                .or_else(|| Self::long(table, time, options))
                .unwrap_or(Self { layout: Layout::Columns, id: Vec::new(), time })),
            Some(Layout::Long) | None => {
                let rows = options.layout.is_none().then(|| Self::rows(table, time, id.clone())).flatten();
                if let Some(rows) = rows {
                    return Ok(rows);
                }
                let restarting = || times_anew(table, options).find(|at| !id.contains(at));
                let time = time.filter(|at| !id.contains(at)).or_else(restarting);
                Ok(Self { layout: Layout::Long, id, time })
            }
        }
    }

    /// One series a row: no times, ids that differ, numbers in all other columns, which are numbered, named by times, or
    /// more than the rows. Text beside the id has to stand beside columns that are numbered or named by times.
    fn rows(table: &Table, time: Option<usize>, id: Vec<usize>) -> Option<Self> {
        let values = row_values(table, &id)?;
        let ids: Vec<&Column> = id.iter().filter_map(|at| table.columns().get(*at)).collect();
        let names: Vec<&str> = values.iter().map(|(_, column)| column.name()).collect();
        let only = values.len() + id.len() == table.columns().len();
        let alike =
            || numbered(&names) || header_times(&names).is_some() || (only && names.len() > table.rows());
        let fits = time.is_none()
            && names.len() >= 3
            && distinct((0..table.rows()).map(|row| joined(&ids, row))) == table.rows()
            && alike();
        fits.then_some(Self { layout: Layout::Rows, id, time: None })
    }

    /// Series one below another: a column with the name of an id whose values repeat, or a text column within which times
    /// stand once that repeat in the table as a whole.
    fn long(table: &Table, time: Option<usize>, options: &PanelOptions) -> Option<Self> {
        let rows = table.rows();
        let long = |id, time| Some(Self { layout: Layout::Long, id: vec![id], time });
        let mut columns = table.columns().iter().enumerate();
        let is_id = |(at, column): &(usize, &Column)| {
            names_id(column.name()) && Some(*at) != time && 2 * distinct(column.cells()) <= rows
        };
        let named = columns.clone().find(is_id).map(|(at, _)| at);
        let times: Vec<usize> = time.into_iter().chain(times_anew(table, options)).collect();
        for time in &times {
            let Some(stamps) = table.columns().get(*time) else { continue };
            let repeats = rows - distinct(stamps.cells());
            // Of the repeats, a tenth may be left within the series.
            let parts = |column: &Column| {
                10 * (rows - distinct(column.cells().zip(stamps.cells()))) <= repeats
                    && 2 * distinct(column.cells()) <= rows
            };
            let parted_by = |at: usize| table.columns().get(at).is_some_and(parts);
            if let Some(id) = named.filter(|id| repeats == 0 || parted_by(*id)) {
                return long(id, Some(*time));
            }
            if 10 * repeats < rows {
                continue;
            }
            let text = |(_, column): &(usize, &Column)| column.kind() == Kind::Text && parts(column);
            if let Some((id, _)) = columns.find(text) {
                return long(id, Some(*time));
            }
        }
        // Without a time the name alone has to leave no doubt.
        let plain = named.filter(|_| times.is_empty() && options.time != TimeChoice::None);
        let sure =
            |at: &usize| table.columns().get(*at).is_some_and(|c| c.name().to_lowercase().ends_with("_id"));
        long(plain.filter(sure)?, None)
    }
}

/// Columns of whole numbers whose name makes them times, though they do not rise throughout.
fn times_anew(table: &Table, options: &PanelOptions) -> impl Iterator<Item = usize> {
    let whole = |column: &Column| column.cells().all(|cell| cell.parse::<i64>().is_ok());
    let taken = |name: &str| {
        let targets = options.targets.names().iter();
        targets.chain(&options.known).chain(&options.past).chain(&options.fixed).any(|other| other == name)
    };
    let fits = move |column: &Column| {
        options.time == TimeChoice::Auto
            && column.kind() == Kind::Number
            && (stamp::names_time(column.name()) || stamp::names_count(column.name()))
            && !taken(column.name())
            && whole(column)
    };
    table.columns().iter().enumerate().filter(move |(_, column)| fits(column)).map(|(at, _)| at)
}

fn distinct<T: Hash + Eq>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<HashSet<T>>().len()
}

/// The first column of text whose cells all differ.
fn row_ids(table: &Table) -> Option<Vec<usize>> {
    let differ = |column: &Column| column.kind() == Kind::Text && distinct(column.cells()) == table.rows();
    table.columns().iter().position(differ).map(|at| vec![at])
}

/// The columns that hold the values where a series is a row: those of numbers, without empty ones at the end; `None` where
/// a column beside them is no text.
pub(super) fn row_values<'a>(table: &'a Table, id: &[usize]) -> Option<Vec<(usize, &'a Column)>> {
    let others = table.columns().iter().enumerate().filter(|(at, _)| !id.contains(at));
    let (mut values, texts): (Vec<_>, Vec<_>) =
        others.partition(|(_, column)| matches!(column.kind(), Kind::Number | Kind::Empty));
    while values.last().is_some_and(|(_, column)| column.kind() == Kind::Empty) {
        values.pop();
    }
    texts.iter().all(|(_, column)| column.kind() == Kind::Text).then_some(values)
}

/// The id of a row: its cells in these columns.
pub(super) fn joined(columns: &[&Column], row: usize) -> String {
    let cells: Vec<&str> = columns.iter().map(|column| column.cell(row)).collect();
    cells.join("/")
}

/// Whether names end in numbers that go up by one.
fn numbered(names: &[&str]) -> bool {
    let parts = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        name.get(stem.len()..)?.parse::<u64>().ok().map(|number| (stem.len(), number))
    };
    let numbers: Option<Vec<_>> = names.iter().map(|name| parts(name)).collect();
    let follow =
        |pair: &[(usize, u64)]| pair[0].0 == pair[1].0 && pair[0].1.checked_add(1) == Some(pair[1].1);
    numbers.is_some_and(|numbers| numbers.windows(2).all(follow))
}

/// The times that names of columns are, where they are dates or years.
pub(super) fn header_times(names: &[&str]) -> Option<stamp::Stamps> {
    let read = stamp::read("time", names.iter().copied(), None, false).ok()?;
    (!read.style.counts()).then_some(read)
}

/// The first row whose id is missing.
pub(super) fn missing_id(table: &Table, id: &[usize]) -> Option<(usize, usize)> {
    id.iter().find_map(|at| {
        let column = table.columns().get(*at)?;
        let row = column.cells().position(cell::is_missing)?;
        Some((row, *at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{CsvOptions, read_table_from};

    fn shape(text: &str) -> (Layout, Vec<usize>, Option<usize>) {
        shape_with(text, &PanelOptions::default())
    }

    fn shape_with(text: &str, options: &PanelOptions) -> (Layout, Vec<usize>, Option<usize>) {
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        let shape = Shape::of(&table, options).unwrap();
        (shape.layout, shape.id, shape.time)
    }

    const COLUMNS: (Layout, Vec<usize>, Option<usize>) = (Layout::Columns, Vec::new(), Some(0));

    #[test]
    fn series_in_columns_are_seen() {
        assert_eq!(shape("t,a\n2020-01,1\n2020-02,2\n"), COLUMNS);
        assert_eq!(shape("a,b\n1,2\n3,4\n"), (Layout::Columns, vec![], None));
        // A text column that repeats is a covariate where each time stands once.
        let weather = "time,weather,y\n2020-01,dry,1\n2020-02,wet,2\n2020-03,dry,3\n2020-04,wet,3\n";
        assert_eq!(shape(weather), COLUMNS);
        // A text column of numbers by name, and rows that are only few.
        assert_eq!(shape("name,height,age\nann,1,3\nbob,2,4\neve,2,5\n").0, Layout::Columns);
    }

    #[test]
    fn series_one_below_another_are_seen() {
        let long = |id, time| (Layout::Long, vec![id], time);
        assert_eq!(
            shape("unique_id,ds,y\na,2020-01,1\na,2020-02,1\nb,2020-01,2\nb,2020-02,1\n"),
            long(0, Some(1))
        );
        assert_eq!(
            shape("date,town,y\n2020-01,x,1\n2020-01,z,1\n2020-02,x,2\n2020-02,z,1\n"),
            long(1, Some(0))
        );
        // Times that are numbers and begin anew, ids that are numbers, a single series.
        assert_eq!(shape("id,ds,y\n7,1,1\n7,2,1\n8,1,2\n8,2,1\n"), long(0, Some(1)));
        assert_eq!(shape("unique_id,ds,y\na,2020-01,1\na,2020-02,1\n"), long(0, Some(1)));
        assert_eq!(shape("item_id,y\na,1\na,1\nb,2\nb,1\n"), long(0, None));
        // Of two text columns, only the second tells times apart.
        let two = "t,kind,shop,y\n2020-01,k,a,1\n2020-01,k,b,2\n2020-02,k,a,1\n2020-02,k,b,2\n";
        assert_eq!(shape(two), long(2, Some(0)));
        let named = PanelOptions { id: vec!["kind".into(), "shop".into()], ..PanelOptions::default() };
        assert_eq!(shape_with(two, &named), (Layout::Long, vec![1, 2], Some(0)));
        let wide = PanelOptions { layout: Some(Layout::Columns), ..PanelOptions::default() };
        assert_eq!(shape_with(two, &wide), COLUMNS);
    }

    #[test]
    fn series_in_rows_are_seen() {
        let rows = (Layout::Rows, vec![0], None);
        assert_eq!(shape("V1,V2,V3,V4\nH1,1,2,3\nH2,1,2,\n"), rows);
        assert_eq!(shape("country,2019,2020,2021\nA,1,2,3\nB,1,2,3\nC,3,3,\nD,3,4,5\nE,1,2,1\n"), rows);
        assert_eq!(shape("x,a,b,c,d\nA,1,2,3,4\nB,1,2,3,4\n"), rows);
        // Text beside the id, and an empty column at the end.
        let bank = "group,code,2018,2019,2020,\ng,X,1,2,3,\ng,Y,2,3,4,\n";
        assert_eq!(shape(bank), (Layout::Rows, vec![1], None));
        assert_eq!(shape("group,code,a,b,c,d\ng,X,1,2,3,4\ng,Y,2,3,4,5\n").0, Layout::Columns);
        let both = PanelOptions { id: vec!["group".into(), "code".into()], ..PanelOptions::default() };
        assert_eq!(shape_with(bank, &both), (Layout::Rows, vec![0, 1], None));
        let asked = PanelOptions { layout: Some(Layout::Rows), ..PanelOptions::default() };
        assert_eq!(shape_with("n,a,b\n1,1,2\n2,2,3\n3,4,5\n", &asked), rows);
    }

    #[test]
    fn a_layout_that_does_not_fit_is_refused() {
        let message = |text: &str, layout| {
            let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
            let options = PanelOptions { layout: Some(layout), ..PanelOptions::default() };
            Shape::of(&table, &options).unwrap_err().to_string()
        };
        assert_eq!(
            message("t,a\n2020-01,1\n2020-02,2\n", Layout::Long),
            "a.csv: the layout 'long' needs a column that tells the series apart, which was not found; leave out \
             --layout, or name the column with --id"
        );
        assert!(
            message("t,a\n2020-01,1\n2020-02,2\n", Layout::Rows)
                .starts_with("a.csv: the layout 'rows' needs an id")
        );
    }
}

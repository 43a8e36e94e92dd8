//! The one error type of this crate: what is wrong, where it stands, and what to do, in one sentence.

use std::fmt::{self, Write as _};

pub use crate::doubt::Doubt;

/// A place in a file: the file, and the line and column where they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    file: String,
    line: Option<u64>,
    column: Option<String>,
}

impl Place {
    /// A whole file, as the caller named it.
    pub fn file(name: &str) -> Self {
        Self(Box::new(Inner { file: name.into(), line: None, column: None }))
    }

    /// The same place, narrowed to a line counted from 1.
    #[must_use]
    pub fn line(mut self, line: u64) -> Self {
        self.0.line = Some(line);
        self
    }

    /// The same place, narrowed to a column.
    #[must_use]
    pub fn column(mut self, name: &str) -> Self {
        self.0.column = Some(shown(name));
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.file)?;
        if let Some(line) = self.0.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.0.column {
            write!(f, ", column '{column}'")?;
        }
        Ok(())
    }
}

/// The result of every fallible call in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Something wrong with a file, a column, or a size; its text is one sentence that says where and what to do.
///
/// Options are named as the command line spells them (`--fill linear` is [`crate::Fill::Linear`], and so on).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or read.
    #[error("{at}: cannot be read ({reason})")]
    Io {
        /// Where.
        at: Place,
        /// What the system said; part of the sentence, so it is no `source()` as well.
        reason: std::io::Error,
    },
    /// The path is a folder.
    #[error("{at}: is a folder, where a CSV file is expected; name a file inside it")]
    Folder {
        /// Where.
        at: Place,
    },
    /// The bytes belong to another format.
    #[error("{at}: holds {format}, not CSV text; {remedy}")]
    NotCsv {
        /// Where.
        at: Place,
        /// The format that was recognised.
        format: &'static str,
        /// What to do first.
        remedy: &'static str,
    },
    /// A Parquet file is damaged, or holds what no table of cells can.
    #[cfg(feature = "parquet")]
    #[error("{at}: not readable as Parquet: {why}")]
    Parquet {
        /// Where.
        at: Place,
        /// What is wrong.
        why: String,
    },
    /// A NUL byte was found.
    #[error("{at}: a NUL byte, so this is not CSV text; export the file again as UTF-8 text")]
    Nul {
        /// Where.
        at: Place,
    },
    /// A byte that is not UTF-8 was found.
    #[error("{at}: byte {byte:#04x} is not UTF-8 (Latin-1, perhaps); save the file as UTF-8")]
    NotUtf8 {
        /// Where.
        at: Place,
        /// The first offending byte.
        byte: u8,
    },
    /// The input is longer than the limit.
    #[error("{at}: is longer than the limit of {limit} bytes; split it or keep only the rows that matter")]
    TooLarge {
        /// Where.
        at: Place,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no text at all.
    #[error("{at}: is empty; a header line and rows below it are expected")]
    Empty {
        /// Where.
        at: Place,
    },
    /// There is a header and nothing below it.
    #[error("{at}: a header and no rows below it; add the data")]
    NoRows {
        /// Where.
        at: Place,
    },
    /// The first row looks like data.
    #[error(
        "{at}: the first row holds data ({row}), not column names; add a header line, or pass \
         --no-header to call the columns c1, c2, ..."
    )]
    NoHeader {
        /// Where.
        at: Place,
        /// The row, shortened.
        row: String,
    },
    /// Two columns share a name.
    #[error("{at}: columns {first} and {second} are both called '{name}'; rename one")]
    DuplicateColumn {
        /// Where.
        at: Place,
        /// The name.
        name: String,
        /// Position of the first, from 1.
        first: usize,
        /// Position of the second, from 1.
        second: usize,
    },
    /// A row has another number of fields than the header.
    #[error(
        "{at}: {got} field{} where the first row (line {header}) has {expected}; look for a missing \
         or extra '{delimiter}' or quote in that line", plural(*got)
    )]
    Ragged {
        /// Where.
        at: Place,
        /// Line of the first row.
        header: u64,
        /// Fields of the first row.
        expected: usize,
        /// Fields of this row.
        got: usize,
        /// The delimiter in use, spelt out.
        delimiter: String,
    },
    /// Quotes do not pair up.
    #[error("{at}: {fault}; close the quote, or double it to mean the character itself")]
    Quote {
        /// Where.
        at: Place,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The delimiter that was asked for does not split the file, another does.
    #[error(
        "{at}: splitting at '{given}' gives a single column, while '{found}' would give {columns}; \
         pass --delimiter '{found}'"
    )]
    WrongDelimiter {
        /// Where.
        at: Place,
        /// The delimiter that was asked for.
        given: String,
        /// The delimiter that splits the file.
        found: String,
        /// How many columns that one gives.
        columns: usize,
    },
    /// Two delimiters split the file evenly.
    #[error(
        "{at}: '{second}' and '{first}' both part every line evenly, into {others} and {columns} columns; say which with \
         --delimiter"
    )]
    TwoDelimiters {
        /// Where.
        at: Place,
        /// One delimiter, spelt out.
        first: String,
        /// How many columns it gives.
        columns: usize,
        /// The other.
        second: String,
        /// How many columns that one gives.
        others: usize,
    },
    /// The delimiter cannot be used.
    #[error("a delimiter is one ASCII character that is no quote, letter, digit, or line end, not '{given}'")]
    BadDelimiter {
        /// What was asked for.
        given: String,
    },
    /// No column has that name.
    #[error("{at}: no column is called '{name}'{}; the columns are {columns}", did_you_mean(suggestion))]
    UnknownColumn {
        /// Where.
        at: Place,
        /// The name that was asked for.
        name: String,
        /// The closest existing name, where one is close.
        suggestion: Option<String>,
        /// All names, shortened.
        columns: String,
    },
    /// No column holds numbers.
    #[error(
        "{at}: no column holds numbers to forecast; the columns are {columns}: look for a wrong delimiter or lines \
         above the header"
    )]
    NoTarget {
        /// Where.
        at: Place,
        /// All names with what they hold.
        columns: String,
    },
    /// The chosen column holds something else than numbers.
    #[error(
        "{at}: holds {kind} ('{cell}'), where numbers are needed; choose \
         another column with --target"
    )]
    NotNumeric {
        /// Where.
        at: Place,
        /// What it holds.
        kind: &'static str,
        /// The first cell that is no number.
        cell: String,
    },
    /// A cell of a number column is text.
    #[error("{at}: '{cell}' is not a number; {remedy}")]
    BadNumber {
        /// Where.
        at: Place,
        /// The cell, shortened.
        cell: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A value is missing.
    #[error(
        "{at}: the value is missing ({count} of {rows} rows); fill in the cells, \
         or pass --fill linear (or previous, season)"
    )]
    Missing {
        /// Where.
        at: Place,
        /// How many are missing in this column.
        count: usize,
        /// Rows in all.
        rows: usize,
    },
    /// More values are missing than are filled unasked.
    #[error(
        "{at}: {missing} of {rows} values between the first and the last are missing{}, more than the 5 % that are \
         filled unasked; pass --fill linear (or previous, season) to fill them all the same", of_rows(*made)
    )]
    ManyMissing {
        /// The column, and the line of the first of them or of the row behind it.
        at: Place,
        /// Values that are missing.
        missing: usize,
        /// How many of them because the whole row is.
        made: usize,
        /// Values there would be.
        rows: usize,
    },
    /// More rows repeat a time than are averaged unasked.
    #[error(
        "{at}: time {time} stands in line {first_line} already, and {count} of {rows} rows repeat a time; if several \
         series stand one below another, name the column that tells them apart with --id, else pass --duplicates mean \
         (or first, last)"
    )]
    ManyDuplicates {
        /// Where.
        at: Place,
        /// The time.
        time: String,
        /// Line of the first occurrence.
        first_line: u64,
        /// How many rows repeat an earlier time.
        count: usize,
        /// Rows of the file.
        rows: usize,
    },
    /// A series has no name.
    #[error("{at}: the id of the series is missing; fill in the cell or remove the row")]
    MissingId {
        /// Where.
        at: Place,
    },
    /// Columns are to be forecast jointly, and there is one.
    #[error(
        "{at}: --joint lets the network read several columns that are forecast, and there is one; name more with \
         --target, or leave it out"
    )]
    NotJoint {
        /// Where.
        at: Place,
    },
    /// The table does not have the layout that was asked for.
    #[error("{at}: the layout '{layout}' needs {needs}; leave out --layout, or name the column with --id")]
    Layout {
        /// Where.
        at: Place,
        /// The layout.
        layout: &'static str,
        /// What is not there.
        needs: &'static str,
    },
    /// A column plays two parts.
    #[error("{at}: is named as {first} and as {second}; name it once")]
    TwoParts {
        /// Where.
        at: Place,
        /// One part.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A covariate holds something that is no number, flag, or category.
    #[error(
        "{at}: holds {kind}, which a network cannot read beside the values; take it out of --known, --past and --static"
    )]
    NoCovariate {
        /// Where.
        at: Place,
        /// What it holds.
        kind: &'static str,
    },
    /// A covariate has no value in a whole series.
    #[error("{at}: holds no value for series '{id}'; take the column out of --known, --past and --static")]
    EmptyCovariate {
        /// Where.
        at: Place,
        /// The series, empty where there is only one.
        id: String,
    },
    /// A covariate has too many categories.
    #[error(
        "{at}: holds {count} different texts, where a covariate may have {most}; group them into fewer, or take the \
         column out of --known, --past and --static"
    )]
    ManyCategories {
        /// Where.
        at: Place,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A category that was not there when the model learned.
    #[error(
        "{at}: '{cell}' is none of the categories that are known ({known}); correct the cell, or train again"
    )]
    NewCategory {
        /// Where.
        at: Place,
        /// The cell, shortened.
        cell: String,
        /// The categories.
        known: String,
    },
    /// A static column changes within a series.
    #[error(
        "{at}: changes within series '{id}', so it is not static; name it with --known or --past instead"
    )]
    NotStatic {
        /// Where it changes.
        at: Place,
        /// The series.
        id: String,
    },
    /// A covariate of times to come has no value.
    #[error("{at}: the value is missing, and times to come are not filled; fill in the cell")]
    FutureMissing {
        /// Where.
        at: Place,
    },
    /// The times to come do not go on where a series ends.
    #[error(
        "{at}: {expected} is to come next for series '{id}', not {got}; give a row for each time to come"
    )]
    FutureGap {
        /// Where.
        at: Place,
        /// The series.
        id: String,
        /// The time that was expected.
        expected: String,
        /// The time that stands there.
        got: String,
    },
    /// No row is behind the end of a series.
    #[error(
        "{at}: no row lies behind the end of series '{id}'{}; give its known columns from then on",
        last_time(end)
    )]
    FutureShort {
        /// Where.
        at: Place,
        /// The series.
        id: String,
        /// Its last time.
        end: Option<String>,
    },
    /// Two files have different steps.
    #[error("{at}: the step is {step}, but {other_step} in {other}; read files of one step together")]
    Steps {
        /// The second file.
        at: Place,
        /// Its step.
        step: String,
        /// The first file.
        other: String,
        /// Its step.
        other_step: String,
    },
    /// A value is infinite or too large for a double.
    #[error("{at}: '{cell}' is not a finite number; correct it, or leave the cell empty to have it filled")]
    NonFinite {
        /// Where.
        at: Place,
        /// The cell, shortened.
        cell: String,
    },
    /// Not one value is there.
    #[error("{at}: every value is missing; choose another column with --target")]
    AllMissing {
        /// Where.
        at: Place,
    },
    /// The column that was named for time holds none.
    #[error(
        "{at}: '{cell}' is not a time; write times as 2024-01-31 or \
         2024-01-31 12:00:00, or pass --time none to number the rows"
    )]
    NotTime {
        /// Where.
        at: Place,
        /// That cell, shortened.
        cell: String,
    },
    /// A cell of the time column is no time, or is written another way than the first.
    #[error(
        "{at}: '{cell}' is not a time written like '{example}' in line \
         {first_line}; correct it, or pass --time none to number the rows"
    )]
    BadTime {
        /// Where.
        at: Place,
        /// The cell, shortened.
        cell: String,
        /// The first time of the column.
        example: String,
        /// Line of that first time.
        first_line: u64,
    },
    /// Every date reads both as day/month and as month/day.
    #[error(
        "{at}: '{cell}' may be day-month or month-day, and no row settles it; pass \
         --date-order dmy or --date-order mdy"
    )]
    AmbiguousDate {
        /// Where.
        at: Place,
        /// The first date.
        cell: String,
    },
    /// A time stands twice.
    #[error(
        "{at}: time {time} stands in line {first_line} already ({count} \
         duplicate{}); pass --duplicates first (or last, mean)", plural(*count)
    )]
    DuplicateTime {
        /// Where.
        at: Place,
        /// The time.
        time: String,
        /// Line of the first occurrence.
        first_line: u64,
        /// How many rows repeat an earlier time.
        count: usize,
    },
    /// Rows are missing between two times.
    #[error(
        "{at}: {missing} row{} missing between {from} and {to} at a step of {step} \
         ({total} missing in all); pass --fill linear (or previous, season), or --time none to number the rows",
        are(*missing)
    )]
    Gap {
        /// Where.
        at: Place,
        /// Steps missing in that gap.
        missing: u64,
        /// Time before it.
        from: String,
        /// Time after it.
        to: String,
        /// The step in words.
        step: String,
        /// Steps missing in the whole file.
        total: u64,
    },
    /// The file can be read in more than one way, or seems to mean something else than it says.
    #[error("{at}: {doubt}")]
    Doubt {
        /// Where.
        at: Place,
        /// What is in doubt, and what to do.
        doubt: Doubt,
    },
    /// Most of the time axis would have to be invented.
    #[error(
        "{at}: at a step of {step}, {missing} of {total} rows are missing, more than can be \
         filled; look for a wrong time near that line, or pass --time none to number the rows"
    )]
    TooManyGaps {
        /// Where.
        at: Place,
        /// The step in words.
        step: String,
        /// Rows that are missing.
        missing: u64,
        /// Rows that there would be.
        total: u64,
    },
    /// A time does not fall on the grid of the others.
    #[error(
        "{at}: {time} is no whole number of steps ({step}) after {previous} ({count} \
         such row{}); resample the rows to an even step, or pass --time none to number them", plural(*count)
    )]
    Irregular {
        /// Where.
        at: Place,
        /// Its time.
        time: String,
        /// The time before it.
        previous: String,
        /// The step in words.
        step: String,
        /// How many such rows.
        count: usize,
    },
    /// Every value is the same.
    #[error("{at}: every value is {value}, so there is nothing to learn; choose another --target")]
    Constant {
        /// Where.
        at: Place,
        /// The value.
        value: f64,
    },
    /// The series is shorter than one window.
    #[error(
        "{what} has {rows} row{}, but a lookback of {lookback} and a horizon of {horizon} need {needed}; lower \
         --lookback or --horizon, or give more rows", plural(*rows)
    )]
    TooShort {
        /// What is too short: a file or a part of it.
        what: String,
        /// Rows that there are.
        rows: usize,
        /// Rows that are needed.
        needed: usize,
        /// Rows that a window reads.
        lookback: usize,
        /// Rows that it predicts.
        horizon: usize,
    },
    /// The parts do not fit the rows.
    #[error("{rows} rows cannot be split into train {train}, validation {validation}, test {test}: {fault}")]
    Split {
        /// Rows to split.
        rows: usize,
        /// Training part as asked for.
        train: String,
        /// Validation part as asked for.
        validation: String,
        /// Test part as asked for.
        test: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A buffer or array has another size than its use needs.
    #[error("{what}: {expected} elements are needed, {got} were given")]
    Size {
        /// Which buffer.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// A setting of a generator, window, or scaler cannot be used.
    #[error("{name} = {value}: {fault}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn of_rows(made: usize) -> String {
    if made == 0 { String::new() } else { format!(" ({made} of them with their whole row)") }
}

fn last_time(end: &Option<String>) -> String {
    end.as_ref().map(|end| format!(" ({end})")).unwrap_or_default()
}

fn are(count: u64) -> &'static str {
    if count == 1 { " is" } else { "s are" }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

/// A cell as it may stand in a message: control characters escaped, at most 40 characters.
pub(crate) fn shown(cell: &str) -> String {
    let mut text = String::new();
    for (i, c) in cell.chars().enumerate() {
        if i == 40 {
            text.push_str("...");
            break;
        }
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// Names joined for a message, the first twenty of them.
pub(crate) fn listed<S: AsRef<str>>(names: impl ExactSizeIterator<Item = S>) -> String {
    let total = names.len();
    let mut text = String::new();
    for (i, name) in names.take(20).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}", shown(name.as_ref()));
    }
    if total > 20 {
        let _ = write!(text, " and {} more", total - 20);
    }
    text
}

/// The name among `names` that a misspelt `name` most likely meant, if one is close.
pub fn closest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(64).collect();
    names
        .into_iter()
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(d, _)| *d <= wanted.len().div_ceil(3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to case.
fn distance(wanted: &[char], candidate: &str) -> usize {
    let other: Vec<char> = candidate.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_none() {
        let names = ["Demand", "Temperature", "Holiday"];
        assert_eq!(closest("demnad", names), Some("Demand"));
        assert_eq!(closest("temprature", names), Some("Temperature"));
        assert_eq!(closest("price", names), None);
    }

    #[test]
    fn shown_cells_are_short_and_printable() {
        assert_eq!(shown("a\tb"), "a\\tb");
        assert_eq!(shown(&"x".repeat(100)).len(), 43);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..25).map(|i| format!("c{i}")).collect();
        assert!(listed(names.iter()).ends_with("c19 and 5 more"));
    }
}

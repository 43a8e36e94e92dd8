//! A table of text cells, each traceable to its line in the file.

use std::collections::HashMap;

use serde::Serialize;

use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, closest, listed, shown};
use crate::stamp;

/// What most cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Numbers.
    Number,
    /// TRUE and FALSE.
    Boolean,
    /// Dates or times.
    Time,
    /// Anything else.
    Text,
    /// Only missing values.
    Empty,
}

impl Kind {
    /// The kind in a word or two, as messages use it.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Number => "numbers",
            Kind::Boolean => "booleans",
            Kind::Time => "times",
            Kind::Text => "text",
            Kind::Empty => "nothing",
        }
    }
}

/// One named column of text cells.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: Kind,
    /// All cells in one string: a file of many short cells stays about as large as it was.
    text: String,
    ends: Vec<usize>,
}

impl Column {
    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What most of its cells are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The cell of a row, trimmed; the empty string beyond the last row.
    pub fn cell(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends.get(row - 1).copied().unwrap_or(self.text.len()) };
        let end = self.ends.get(row).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("")
    }

    /// All cells from first row to last.
    pub fn cells(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|row| self.cell(row))
    }
}

/// The cells of a CSV file as text, with the line each row came from.
#[derive(Debug, Clone)]
pub struct Table {
    file: String,
    delimiter: char,
    columns: Vec<Column>,
    lines: Vec<u64>,
    /// The rows behind a blank line, the first row never among them.
    behind_blank: Vec<usize>,
}

impl Table {
    /// The file as the caller named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The delimiter that was used.
    pub fn delimiter(&self) -> char {
        self.delimiter
    }

    /// Rows below the header.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The columns in file order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The line of a row in the file, from 1; 0 beyond the last row.
    pub fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// The first blank line between rows, unless there is one between any two.
    pub(crate) fn blank_line(&self) -> Option<u64> {
        let first = self.behind_blank.first()?;
        (self.behind_blank.len() + 1 < self.rows()).then(|| self.line(*first).saturating_sub(1))
    }

    /// A cell's place, for messages.
    pub(crate) fn place(&self, row: usize, column: usize) -> Place {
        let place = Place::file(&self.file).line(self.line(row));
        match self.columns.get(column) {
            Some(column) => place.column(&column.name),
            None => place,
        }
    }

    /// The position of the column with that name.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`] with the closest name, when there is none.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| Error::UnknownColumn {
            at: Place::file(&self.file),
            name: shown(name),
            suggestion: closest(name, self.columns.iter().map(Column::name)).map(shown),
            columns: listed(self.columns.iter().map(Column::name)),
        })
    }
}

/// Collects rows into a [`Table`].
pub(crate) struct Builder {
    table: Table,
    /// Rows without any text.
    empty: Vec<usize>,
}

impl Builder {
    /// A table with these column names and no rows. An empty name becomes the column's number, as `c1`.
    pub(crate) fn new<'a>(
        file: &str,
        delimiter: u8,
        header_line: u64,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut columns = Vec::new();
        for (i, name) in names.enumerate() {
            let name = if name.trim().is_empty() { format!("c{}", i + 1) } else { name.trim().to_owned() };
            if let Some(first) = seen.insert(name.clone(), i + 1) {
                return Err(Error::DuplicateColumn {
                    at: Place::file(file).line(header_line),
                    name: shown(&name),
                    first,
                    second: i + 1,
                });
            }
            columns.push(Column { name, kind: Kind::Empty, text: String::new(), ends: Vec::new() });
        }
        let table = Table {
            file: file.into(),
            delimiter: char::from(delimiter),
            columns,
            lines: Vec::new(),
            behind_blank: Vec::new(),
        };
        Ok(Self { table, empty: Vec::new() })
    }

    /// Adds a row with as many cells as there are columns; a blank line may stand before it.
    pub(crate) fn push<'a>(&mut self, line: u64, after_blank: bool, cells: impl Iterator<Item = &'a str>) {
        let row = self.table.rows();
        let mut empty = true;
        for (column, cell) in self.table.columns.iter_mut().zip(cells) {
            let cell = cell.trim();
            empty &= cell.is_empty();
            column.text.push_str(cell);
            column.ends.push(column.text.len());
        }
        self.table.lines.push(line);
        if after_blank && row > 0 {
            self.table.behind_blank.push(row);
        }
        if empty && self.table.columns.len() > 1 {
            self.empty.push(row);
        }
    }

    /// The table, with the kind of each column settled. Empty rows at the end go, and those between times.
    pub(crate) fn finish(mut self) -> Table {
        let rows = self.table.rows();
        let behind =
            self.empty.iter().rev().zip((0..rows).rev()).take_while(|(row, last)| **row == *last).count();
        if behind < rows {
            self.drop_rows(self.empty.len() - behind);
        }
        self.settle();
        if self.table.columns.iter().any(|column| column.kind == Kind::Time) {
            self.drop_rows(0);
        }
        self.table
    }

    fn settle(&mut self) {
        let columns = &mut self.table.columns;
        for column in columns.iter_mut() {
            column.kind = kind_of(column);
        }
        // Beside real times, numbers called "index" are values.
        let counts = |column: &Column| {
            let number = column.cell(0).parse::<i64>().is_ok();
            column.kind == Kind::Time && number && stamp::names_count(&column.name)
        };
        if columns.iter().any(|column| column.kind == Kind::Time && !counts(column)) {
            columns.iter_mut().filter(|column| counts(column)).for_each(|column| column.kind = Kind::Number);
        }
    }

    /// Drops the empty rows from the `from`-th on.
    fn drop_rows(&mut self, from: usize) {
        let gone = self.empty.split_off(from);
        if gone.is_empty() {
            return;
        }
        let keep = |row: usize| gone.binary_search(&row).is_err();
        for column in &mut self.table.columns {
            // They hold no text.
            let ends = column.ends.iter().enumerate().filter(|(row, _)| keep(*row));
            column.ends = ends.map(|(_, end)| *end).collect();
        }
        let place = |row: usize| row - gone.partition_point(|other| *other < row);
        let kept = self.table.lines.iter().enumerate().filter(|(row, _)| keep(*row));
        self.table.lines = kept.map(|(_, line)| *line).collect();
        let blank = self.table.behind_blank.iter().filter(|row| keep(**row)).map(|row| place(*row));
        self.table.behind_blank = blank.collect();
    }
}

/// What more than half of the cells that are there say, so that one bad cell is an error and not a text column.
fn kind_of(column: &Column) -> Kind {
    if stamp::detect(&column.name, column.cells()).is_some() {
        return Kind::Time;
    }
    let (mut numbers, mut booleans, mut present) = (0_usize, 0_usize, 0_usize);
    for cell in column.cells() {
        match cell::read(cell) {
            Cell::Missing => continue,
            Cell::Number(_) | Cell::NonFinite => numbers += 1,
            Cell::Boolean(_) => booleans += 1,
            Cell::Text => {}
        }
        present += 1;
    }
    match () {
        () if present == 0 => Kind::Empty,
        () if booleans * 2 > present => Kind::Boolean,
        () if (numbers + booleans) * 2 > present => Kind::Number,
        () => Kind::Text,
    }
}

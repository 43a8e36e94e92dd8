//! CSV text to a table: delimiter, header, quotes, and every way in which a file can be malformed.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bytes;
use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, listed, shown};
use crate::stamp;
use crate::table::{Builder, Table};

/// The delimiters that are looked for, likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What stands before the fraction of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decimal {
    /// A point, and thousands are not parted.
    #[default]
    Point,
    /// A comma; points may part thousands.
    Comma,
}

/// How a CSV file is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// The delimiter, or `None` to find it among comma, semicolon, tab, and bar.
    pub delimiter: Option<char>,
    /// Whether the first row holds names; `None` expects names and refuses a first row that looks like data.
    pub header: Option<bool>,
    /// What stands before the fraction of a number.
    pub decimal: Decimal,
    /// The longest input in bytes that is read into memory.
    pub max_bytes: u64,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: None, header: None, decimal: Decimal::Point, max_bytes: 4 << 30 }
    }
}

/// Reads a CSV file, or with the feature `parquet` a Parquet file, into a table of text cells.
///
/// # Errors
/// The [`Error`] that names the file, line and column: unreadable or foreign bytes, no rows, no header, ragged rows,
/// stray quotes, duplicate names, a delimiter that does not split.
pub fn read_table(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table> {
    let path = path.as_ref();
    let name = path.display().to_string();
    read_table_from(bytes::open(path, &name)?, &name, options)
}

/// Reads CSV text from any reader into a table of text cells; `name` stands for the file in messages.
///
/// ```
/// let text = "month,passengers\n1949-01,112\n1949-02,118\n";
/// let table = lstm_data::read_table_from(text.as_bytes(), "air.csv", &Default::default())?;
/// assert_eq!((table.rows(), table.columns()[1].cell(0)), (2, "112"));
/// # Ok::<(), lstm_data::Error>(())
/// ```
///
/// # Errors
/// As [`read_table`].
pub fn read_table_from(reader: impl Read, name: &str, options: &CsvOptions) -> Result<Table> {
    let bytes = bytes::read(reader, name, options.max_bytes)?;
    #[cfg(feature = "parquet")]
    if bytes.starts_with(crate::parquet::MAGIC) {
        return crate::parquet::table(bytes, name, options.max_bytes);
    }
    parse(&bytes::text(bytes, name)?, name, options)
}

fn parse(text: &str, name: &str, options: &CsvOptions) -> Result<Table> {
    if text.trim().is_empty() {
        return Err(Error::Empty { at: Place::file(name) });
    }
    let (told, skipped) = told_delimiter(text);
    let text = &text[skipped..];
    let delimiter = match options.delimiter.or(told) {
        Some(given) => usable(given)?,
        None => sniff(text, name, options.decimal)?.map_or(b',', |(delimiter, _)| delimiter),
    };
    let mut rows = Rows::new(text, name, (delimiter, options.decimal), if skipped > 0 { 2 } else { 1 });
    let mut first = ::csv::StringRecord::new();
    let Some(first_line) = rows.next(&mut first)? else {
        return Err(Error::Empty { at: Place::file(name) });
    };
    if let (Some(given), 1, Ok(Some((found, columns)))) =
        (options.delimiter, first.len(), sniff(text, name, options.decimal))
        && found != delimiter
    {
        let at = Place::file(name).line(first_line);
        let (given, found) = (spelt(given), spelt(char::from(found)));
        return Err(Error::WrongDelimiter { at, given, found, columns });
    }
    rows.first = first.clone();
    let mut row = ::csv::StringRecord::new();
    let mut line = rows.next(&mut row)?;
    let mut table = if options.header == Some(false) {
        let mut table = Builder::new(name, delimiter, first_line, std::iter::repeat_n("", first.len()))?;
        table.push(first_line, false, rows.pointed(first.clone(), first_line)?.iter());
        table
    } else {
        if options.header.is_none()
            && holds_data(&rows.pointed(first.clone(), first_line).unwrap_or(first.clone()), &row)
        {
            let at = Place::file(name).line(first_line);
            let cells: Vec<&str> = first.iter().collect();
            return Err(Error::NoHeader { at, row: shown(&listed(cells.iter())) });
        }
        if line.is_none() {
            return Err(Error::NoRows { at: Place::file(name).line(first_line) });
        }
        Builder::new(name, delimiter, first_line, first.iter())?
    };
    while let Some(at) = line {
        if row.len() != first.len() {
            return Err(Error::Ragged {
                at: Place::file(name).line(at),
                header: first_line,
                expected: first.len(),
                got: row.len(),
                delimiter: spelt(char::from(delimiter)),
            });
        }
        table.push(at, rows.after_blank, row.iter());
        line = rows.next(&mut row)?;
    }
    Ok(table.finish())
}

/// The delimiter that a first line such as `sep=;` tells, as spreadsheets write it, and the bytes of that line.
fn told_delimiter(text: &str) -> (Option<char>, usize) {
    let line = text.split(['\r', '\n']).next().unwrap_or("");
    let told =
        line.strip_prefix("sep=").or_else(|| line.strip_prefix("\"sep=").and_then(|l| l.strip_suffix('"')));
    let mut chars = told.unwrap_or("").chars();
    match (chars.next(), chars.next()) {
        (Some(delimiter), None) => {
            let end = &text[line.len()..];
            let ends = if end.starts_with("\r\n") { 2 } else { end.len().min(1) };
            (Some(delimiter), line.len() + ends)
        }
        _ => (None, 0),
    }
}

/// Records of CSV text with the true line of each.
///
/// The `csv` crate reads leniently: an unclosed quote swallows the rows behind it and text after a closing quote is glued
/// on. Here the raw bytes of each record are checked, so that neither passes as data.
struct Rows<'a> {
    text: &'a str,
    name: &'a str,
    delimiter: u8,
    decimal: Decimal,
    reader: ::csv::Reader<&'a [u8]>,
    /// Bytes whose line ends are counted in `line`.
    counted: usize,
    line: u64,
    /// The first record, once it was read.
    first: ::csv::StringRecord,
    /// Whether a blank line stands before the last record.
    after_blank: bool,
}

impl<'a> Rows<'a> {
    fn new(text: &'a str, name: &'a str, (delimiter, decimal): (u8, Decimal), line: u64) -> Self {
        let reader = ::csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        Self {
            text,
            name,
            delimiter,
            decimal,
            reader,
            counted: 0,
            line,
            first: ::csv::StringRecord::new(),
            after_blank: false,
        }
    }

    /// Reads the next record and gives its line, or `None` at the end. Lines of white space are passed over.
    fn next(&mut self, record: &mut ::csv::StringRecord) -> Result<Option<u64>> {
        self.after_blank = false;
        loop {
            let line = self.record(record)?;
            let white = record.len() == 1
                && self.first.len() != 1
                && record.iter().all(|cell| cell.trim().is_empty());
            match line {
                Some(line) if !white && !self.first.is_empty() => {
                    *record = self.pointed(std::mem::take(record), line)?;
                    return Ok(Some(line));
                }
                line if !white || line.is_none() => return Ok(line),
                _ => {}
            }
            self.after_blank = true;
        }
    }

    /// A record with points where the file has decimal commas. There, points part thousands; one that does not is refused, as
    /// its number would be read wrong.
    fn pointed(&self, record: ::csv::StringRecord, line: u64) -> Result<::csv::StringRecord> {
        const REMEDY: &str = "with --decimal comma, points stand between thousands only, as in 1.234,5";
        if self.decimal == Decimal::Point {
            return Ok(record);
        }
        let mut pointed = ::csv::StringRecord::new();
        for (at, cell) in record.iter().enumerate() {
            match cell::with_point(cell.trim()) {
                Some(number) => pointed.push_field(&number),
                None if has_point(cell.trim()) => {
                    let place =
                        Place::file(self.name).line(line).column(self.first.get(at).unwrap_or("").trim());
                    return Err(Error::BadNumber { at: place, cell: shown(cell.trim()), remedy: REMEDY });
                }
                None => pointed.push_field(cell),
            }
        }
        Ok(pointed)
    }

    fn record(&mut self, record: &mut ::csv::StringRecord) -> Result<Option<u64>> {
        let more = self.reader.read_record(record).map_err(|error| Error::Io {
            at: Place::file(self.name),
            reason: std::io::Error::other(error.to_string()),
        })?;
        if !more {
            return Ok(None);
        }
        let bytes = self.text.as_bytes();
        let end = position(self.reader.position().byte(), bytes.len());
        let mut start = position(record.position().map_or(0, ::csv::Position::byte), end);
        // The position is that before any blank lines, which the reader skips, and before the LF of a CRLF.
        while start < end && matches!(bytes[start], b'\r' | b'\n') {
            start += 1;
        }
        self.line += bytes::line_ends(&bytes[self.counted.min(start)..start]);
        self.counted = start;
        self.after_blank |= behind_blank_line(&bytes[..start]);
        match quote_fault(&bytes[start..end], self.delimiter, self.first.len()) {
            Some((offset, fault)) => {
                let line = self.line + bytes::line_ends(&bytes[start..start + offset]);
                Err(Error::Quote { at: Place::file(self.name).line(line), fault })
            }
            None => Ok(Some(self.line)),
        }
    }
}

/// Whether a cell is a number with a point in it, and no time.
fn has_point(cell: &str) -> bool {
    cell.contains('.') && matches!(cell::read(cell), Cell::Number(_)) && !stamp::looks_like_time(cell)
}

/// Whether text ends with an empty line.
fn behind_blank_line(before: &[u8]) -> bool {
    let line = before
        .strip_suffix(b"\r\n")
        .or_else(|| before.strip_suffix(b"\n"))
        .or_else(|| before.strip_suffix(b"\r"));
    line.is_some_and(|line| line.ends_with(b"\n") || line.ends_with(b"\r"))
}

fn position(byte: u64, limit: usize) -> usize {
    usize::try_from(byte).map_or(limit, |byte| byte.min(limit))
}

/// What is wrong with the quotes of one raw record, and at which byte the field begins.
fn quote_fault(raw: &[u8], delimiter: u8, columns: usize) -> Option<(usize, &'static str)> {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'"' {
            let end = raw[at..].iter().position(|b| *b == delimiter).map_or(raw.len(), |n| at + n);
            if raw[at..end].contains(&b'"') {
                return Some((at, "a quote stands inside a field that does not begin with one"));
            }
            at = end + 1;
            continue;
        }
        let start = at;
        at += 1;
        loop {
            match raw[at..].iter().position(|b| *b == b'"') {
                None => return Some((start, "a quote is opened and never closed")),
                Some(n) if raw.get(at + n + 1) == Some(&b'"') => at += n + 2,
                Some(n) => {
                    at += n + 1;
                    break;
                }
            }
        }
        if swallows_rows(&raw[start..at], delimiter, columns) {
            return Some((start, "a quote is opened, and closed behind lines that look like rows"));
        }
        match raw.get(at) {
            None | Some(b'\r' | b'\n') => return None,
            Some(b) if *b == delimiter => at += 1,
            Some(_) => return Some((start, "text follows a closing quote")),
        }
    }
    None
}

/// Whether a line inside a quoted field has as many fields as there are columns, and a number or a time in one of them.
fn swallows_rows(field: &[u8], delimiter: u8, columns: usize) -> bool {
    let row = |line: &[u8]| {
        let cells = || line.split(|b| *b == delimiter);
        let datum = |cell: &[u8]| {
            let cell = String::from_utf8_lossy(cell);
            let cell = cell.trim().trim_matches('"');
            matches!(cell::read(cell), Cell::Number(_)) || stamp::looks_like_time(cell)
        };
        cells().count() == columns && cells().any(datum)
    };
    field.contains(&b'\n') && field.split(|b| *b == b'\n').skip(1).any(row)
}

fn usable(given: char) -> Result<u8> {
    match u8::try_from(given) {
        Ok(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n\0.-+".contains(&byte) => {
            Ok(byte)
        }
        _ => Err(Error::BadDelimiter { given: shown(&given.to_string()) }),
    }
}

fn spelt(delimiter: char) -> String {
    shown(&delimiter.to_string())
}

/// The delimiter that splits each of the first lines into the same number of columns, and that number.
///
/// When none splits evenly, the one that the first line has most of: the ragged row is then reported against it.
///
/// # Errors
/// [`Error::TwoDelimiters`] when several do, as in `day;load, kW` above `2020-01-01;1,5`.
fn sniff(text: &str, name: &str, decimal: Decimal) -> Result<Option<(u8, usize)>> {
    let (comma, others) = DELIMITERS.split_at(1);
    match decimal {
        Decimal::Point => sniff_among(&DELIMITERS, text, name),
        // A comma is one only where there is no other.
        Decimal::Comma => Ok(sniff_among(others, text, name)?.or(sniff_among(comma, text, name)?)),
    }
}

fn sniff_among(delimiters: &[u8], text: &str, name: &str) -> Result<Option<(u8, usize)>> {
    let mut even: Option<(u8, usize)> = None;
    let mut first = None;
    for &delimiter in delimiters {
        let counts = separators(text, delimiter, 20);
        let Some(&count) = counts.first() else { continue };
        if count == 0 {
            continue;
        }
        if counts.iter().all(|other| *other == count) {
            if let Some((other, columns)) = even {
                let at = Place::file(name);
                let (first, second) = (spelt(char::from(other)), spelt(char::from(delimiter)));
                return Err(Error::TwoDelimiters {
                    at,
                    first,
                    columns: columns + 1,
                    second,
                    others: count + 1,
                });
            }
            even = Some((delimiter, count));
        }
        if first.is_none_or(|(_, most)| count > most) {
            first = Some((delimiter, count));
        }
    }
    Ok(even.or(first).map(|(delimiter, count)| (delimiter, count + 1)))
}

/// How many unquoted delimiters each of the first lines that are not blank has.
fn separators(text: &str, delimiter: u8, lines: usize) -> Vec<usize> {
    let mut counts = Vec::with_capacity(lines);
    let (mut count, mut quoted, mut blank) = (0, false, true);
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => {
                if !blank {
                    counts.push(count);
                }
                if counts.len() == lines {
                    return counts;
                }
                (count, blank) = (0, true);
                continue;
            }
            _ if byte == delimiter && !quoted => count += 1,
            _ => {}
        }
        blank = false;
    }
    if !blank {
        counts.push(count);
    }
    counts
}

/// Whether the row that should hold names looks like data: all numbers, times and words for nothing; or, above the cell of
/// the next row, a time above a time, a fraction above a number, the very same text beside a number, or text of the same
/// build with digits in it, as `05-Nov-23` above `06-Nov-23`.
fn holds_data(first: &::csv::StringRecord, second: &::csv::StringRecord) -> bool {
    let is_number = |cell: &str| matches!(cell::read(cell), Cell::Number(_) | Cell::NonFinite);
    let is_datum = |cell: &str| is_number(cell) || cell::is_missing(cell) || stamp::looks_like_time(cell);
    let mut present = first.iter().map(str::trim).filter(|cell| !cell.is_empty()).peekable();
    let all = present.peek().is_some() && present.all(is_datum);
    // Names such as 0.1 and 0.9 stand beside one that says what the rows are.
    let named = first.iter().any(|cell| stamp::names_time(cell.trim()));
    let fraction = |cell: &str| !named && is_number(cell) && cell.contains(['.', '-']);
    let beside_number = first.iter().any(|cell| is_number(cell.trim()));
    // Unlike x1 above y1, which are names.
    let made_of_parts = |cell: &str| {
        let parts = cell.starts_with(|c: char| c.is_ascii_digit()) || cell.contains(['-', '/', '.', ':']);
        parts && cell.bytes().any(|b| b.is_ascii_digit())
    };
    let alike = |above: &str, below: &str| {
        let text = !is_number(above) && !cell::is_missing(above);
        (stamp::looks_like_time(above) && stamp::looks_like_time(below))
            || (fraction(above) && is_number(below))
            || (text && beside_number && above == below)
            || (text && made_of_parts(above) && build(above).eq(build(below)))
    };
    all || first.iter().zip(second).any(|(above, below)| alike(above.trim(), below.trim()))
}

/// A text with every digit, and every letter, replaced by one of them.
fn build(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| match c {
        '0'..='9' => '0',
        c if c.is_alphabetic() => 'a',
        c => c,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Table> {
        read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default())
    }

    fn cells(table: &Table) -> Vec<Vec<&str>> {
        (0..table.rows()).map(|row| table.columns().iter().map(|c| c.cell(row)).collect()).collect()
    }

    #[test]
    fn decimal_commas_are_read_where_they_are_said() {
        let options = CsvOptions { decimal: Decimal::Comma, ..CsvOptions::default() };
        let read = |text: &str, options: &CsvOptions| read_table_from(text.as_bytes(), "a.csv", options);
        let table = read("t;a;b\n01.02.2020;1.234,5;x,y\n02.02.2020;7;\n", &options).unwrap();
        assert_eq!(cells(&table), [["01.02.2020", "1234.5", "x,y"], ["02.02.2020", "7", ""]]);
        let table = read("t,a\n2020-01,\"1,5\"\n", &options).unwrap();
        assert_eq!(cells(&table), [["2020-01", "1.5"]]);
        let error = read("t;a\n2020-01;1,5\n2020-02;2.5\n", &options).unwrap_err().to_string();
        assert!(
            error.starts_with("a.csv, line 3, column 'a': '2.5' is not a number; with --decimal comma"),
            "{error}"
        );
        // Rows without a header are told from names as those with points are.
        assert!(matches!(read("1,5;2,5\n3,5;4,5\n", &options), Err(Error::NoHeader { .. })));
        let table = read("1,5;2\n3,5;4\n", &CsvOptions { header: Some(false), ..options }).unwrap();
        assert_eq!(cells(&table), [["1.5", "2"], ["3.5", "4"]]);
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn delimiters_are_found() {
        for delimiter in [",", ";", "\t", "|"] {
            let table = read(&"t,a,b\n2020-01,1,2\n2020-02,3,4\n".replace(',', delimiter)).unwrap();
            assert_eq!(cells(&table), [["2020-01", "1", "2"], ["2020-02", "3", "4"]]);
        }
        let commas = read("t;a\n2020-01;1,5\n2020-02;2,5\n").unwrap();
        assert_eq!((commas.delimiter(), commas.columns()[1].cell(0)), (';', "1,5"));
        assert_eq!(read("a\n1\n2\n").unwrap().columns().len(), 1);
    }

    #[test]
    fn quotes_marks_line_ends_and_blank_lines() {
        let table =
            read("\u{feff}\"t\",\"a, b\"\r\n\r\n x ,\"say \"\"hi\"\"\"\r\n\"two\r\nlines\",4\r\nend,5")
                .unwrap();
        assert_eq!(table.columns()[1].name(), "a, b");
        assert_eq!(cells(&table), [["x", "say \"hi\""], ["two\r\nlines", "4"], ["end", "5"]]);
        assert_eq!([0, 1, 2].map(|row| table.line(row)), [3, 4, 6]);
        let old = read("t,a\rx,1\ry,2\r").unwrap();
        assert_eq!((old.line(0), old.line(1)), (2, 3));
    }

    #[test]
    fn malformed_files_are_named() {
        assert_eq!(message(""), "a.csv: is empty; a header line and rows below it are expected");
        assert_eq!(message("\n \n"), "a.csv: is empty; a header line and rows below it are expected");
        assert_eq!(message("t,a\n"), "a.csv, line 1: a header and no rows below it; add the data");
        assert_eq!(
            message("t,a\nx,1\ny,2,3\n"),
            "a.csv, line 3: 3 fields where the first row (line 1) has 2; look for a missing or extra ',' or quote in \
             that line"
        );
        assert_eq!(
            message("t,a,t\nx,1,2\n"),
            "a.csv, line 1: columns 1 and 3 are both called 't'; rename one"
        );
        assert_eq!(
            message("t,a\nx,1\ny,\"2\nz,3\n"),
            "a.csv, line 3: a quote is opened and never closed; close the quote, or double it to mean the character \
             itself"
        );
        assert!(message("t,a\nx,\"1\"2\n").starts_with("a.csv, line 2: text follows a closing quote"));
        assert!(message("t,a\nx,1\"\n").starts_with("a.csv, line 2: a quote stands inside a field"));
        assert_eq!(
            message("n,a\n\"x,1\ny,2\nz\",3\n"),
            "a.csv, line 2: a quote is opened, and closed behind lines that look like rows; close the quote, or double \
             it to mean the character itself"
        );
        assert!(read("n,a\n\"one\ntwo, three\",3\n").is_ok());
        assert_eq!(
            message("t;load, kW\nx;1,5\ny;2,5\n"),
            "a.csv: ';' and ',' both part every line evenly, into 2 and 2 columns; say which with --delimiter"
        );
    }

    #[test]
    fn what_spreadsheets_add_is_passed_over() {
        let table = read("sep=;\r\nt;a\r\nx;1\r\ny;2\r\n;\r\n;\r\n").unwrap();
        assert_eq!((table.delimiter(), table.rows(), table.line(1)), (';', 2, 4));
        let table = read("t,a\nx,1\n   \ny,2\nz,3\n").unwrap();
        assert_eq!((table.rows(), table.line(1), table.blank_line()), (3, 4, Some(3)));
        // Below dates an empty row says nothing; elsewhere it may be a missing value.
        assert_eq!(read("t,a\n2020-01-01,1\n,\n2020-01-02,2\n").unwrap().rows(), 2);
        assert_eq!(read("a,b\n1,1\n,\n2,2\n").unwrap().rows(), 3);
        assert_eq!(read("a,b\n1,1\n\n2,2\n\n3,3\n").unwrap().blank_line(), None);
    }

    #[test]
    fn a_missing_header_is_noticed_and_can_be_told() {
        assert_eq!(
            message("2014-07-01 00:00:00,10\n2014-07-01 00:30:00,11\n"),
            "a.csv, line 1: the first row holds data (2014-07-01 00:00:00, 10), not column names; add a header line, \
             or pass --no-header to call the columns c1, c2, ..."
        );
        assert!(message("1\n2\n3\n").contains("holds data (1)"));
        assert!(message("2020-01-01,clear,3\n2020-01-02,mist,4\n").contains("--no-header"));
        assert!(read("id,2019,2020\nA,1,2\n").is_ok());
        for text in [
            "05-Nov-23,5\n06-Nov-23,6\n",
            "a,1.5\nb,2\n",
            "a,1\na,2\n",
            "NA\n1\n",
            "x,2020-01,1\ny,2020-02,3\n",
        ] {
            assert!(message(text).contains("--no-header"), "{text}");
        }
        assert!(read("date,0.1,0.9\n2020-01,1,2\n").is_ok());
        assert!(read("q1,q2\nx,y\n").is_ok());
        let options = CsvOptions { header: Some(false), ..CsvOptions::default() };
        let table = read_table_from(&b"1,2\n3,4\n"[..], "a.csv", &options).unwrap();
        assert_eq!((table.rows(), table.columns()[1].name(), table.line(0)), (2, "c2", 1));
    }

    #[test]
    fn a_wrong_delimiter_is_noticed() {
        let given = |delimiter| CsvOptions { delimiter: Some(delimiter), ..CsvOptions::default() };
        let error = read_table_from(&b"t;a\nx;1\n"[..], "a.csv", &given(',')).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.csv, line 1: splitting at ',' gives a single column, while ';' would give 2; pass --delimiter ';'"
        );
        assert!(read_table_from(&b"t:a\nx:1\n"[..], "a.csv", &given(':')).is_ok());
        assert!(matches!(
            read_table_from(&b"t;a\nx;1\n"[..], "a.csv", &given('"')),
            Err(Error::BadDelimiter { .. })
        ));
    }

    #[test]
    fn paths_that_are_no_files_are_named() {
        assert!(matches!(read_table(".", &CsvOptions::default()), Err(Error::Folder { .. })));
        assert!(matches!(read_table("no such file", &CsvOptions::default()), Err(Error::Io { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_table_from(&bytes[..], "a.csv", &CsvOptions::default());
        }

        #[test]
        fn no_text_of_csv_characters_causes_a_panic(text in "[a1\",;\r\n\t .:/-]{0,80}") {
            if let Ok(table) = read(&text) {
                for row in 0..table.rows() {
                    prop_assert!(table.line(row) >= 1);
                }
            }
        }

        #[test]
        fn quoted_cells_come_back(rows in proptest::collection::vec(("[a-z\",;\n]{1,8}", "[a-z\",;]{1,8}"), 1..8)) {
            let quote = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
            let mut text = String::from("k,v\n");
            let mut lines = Vec::new();
            for (a, b) in &rows {
                lines.push(1 + text.matches('\n').count() as u64);
                text += &format!("{},{}\n", quote(a), quote(b));
            }
            let options = CsvOptions { delimiter: Some(','), ..CsvOptions::default() };
            let table = read_table_from(text.as_bytes(), "a.csv", &options).unwrap();
            for (row, (a, b)) in rows.iter().enumerate() {
                prop_assert_eq!(table.columns()[0].cell(row), a.trim());
                prop_assert_eq!(table.columns()[1].cell(row), b.trim());
                prop_assert_eq!(table.line(row), lines[row]);
            }
        }
    }
}

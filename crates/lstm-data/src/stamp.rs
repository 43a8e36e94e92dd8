//! How the times of a column are written: reading them to microseconds, and writing new ones the same way.

mod numbered;
mod unread;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use crate::cell;

pub(crate) use unread::{looks_like_clock, looks_like_date};

/// Microseconds in a day.
pub(crate) const DAY: i64 = 86_400_000_000;

/// The order of day and month in dates that end with the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
}

/// How the times of one column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Style {
    date: Layout,
    /// Between the numbers of a date: `-`, `/` or `.`.
    separator: char,
    /// Whether months and days below ten are written with a zero.
    padded: bool,
    clock: Option<Clock>,
    zone: Option<Zone>,
}

/// What a date consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Layout {
    /// A year alone.
    Y,
    /// Year and month.
    Ym,
    /// Year, month, day.
    Ymd,
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970, none of which is a fraction of a microsecond.
    Nanos,
    /// Year, month and day as one number of eight digits.
    CompactYmd,
    /// Year and month as one number of six digits.
    CompactYm,
    /// Row numbers: the stamp is the number itself.
    Count,
}

/// The time of day behind a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Clock {
    /// `T` or a space.
    separator: char,
    seconds: bool,
    /// Digits behind the decimal point of the seconds.
    digits: u8,
}

/// The offset from UTC behind a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Zone {
    /// Seconds east of UTC.
    offset: i32,
    /// Written as the letter Z.
    letter: bool,
    /// Hours and minutes are parted by a colon.
    colon: bool,
}

/// One cell taken apart, before it is settled which number is the day.
#[derive(Debug, Clone, Copy)]
struct Parts {
    style: Style,
    /// The numbers in the order in which they stand.
    numbers: [i64; 3],
    /// Microseconds since midnight.
    clock: i64,
    /// Whether a month or day below ten stands without a zero.
    single: bool,
    /// Whether a month or day below ten stands with a zero.
    zero: bool,
}

impl Parts {
    /// Seconds east of UTC, 0 where none is written.
    fn offset(&self) -> i32 {
        self.style.zone.map_or(0, |zone| zone.offset)
    }
}

impl Style {
    /// Whether stamps of this style are plain row numbers.
    pub(crate) fn counts(&self) -> bool {
        self.date == Layout::Count
    }

    /// Writes a stamp the way the file does; a stamp beyond the calendar is written as a bare number.
    pub fn write(&self, stamp: i64) -> String {
        match self.date {
            Layout::Count => return stamp.to_string(),
            Layout::Seconds => return stamp.div_euclid(1_000_000).to_string(),
            Layout::Millis => return stamp.div_euclid(1_000).to_string(),
            Layout::Micros => return stamp.to_string(),
            Layout::Nanos => return format!("{}", i128::from(stamp) * 1_000),
            _ => {}
        }
        let Some(date) = date_of(stamp) else { return stamp.to_string() };
        let (y, m, d) = (date.year(), date.month(), date.day());
        let two = |n: i8| if self.padded { format!("{n:02}") } else { n.to_string() };
        let s = self.separator;
        let mut text = match self.date {
            Layout::Y => format!("{y:04}"),
            Layout::CompactYmd => format!("{y:04}{m:02}{d:02}"),
            Layout::CompactYm => format!("{y:04}{m:02}"),
            Layout::Ym => format!("{y:04}{s}{}", two(m)),
            Layout::Dmy => format!("{}{s}{}{s}{y:04}", two(d), two(m)),
            Layout::Mdy => format!("{}{s}{}{s}{y:04}", two(m), two(d)),
            _ => format!("{y:04}{s}{}{s}{}", two(m), two(d)),
        };
        if let Some(clock) = self.clock {
            let micros = stamp.rem_euclid(DAY);
            let seconds = micros / 1_000_000;
            text += &format!("{}{:02}:{:02}", clock.separator, seconds / 3600, seconds / 60 % 60);
            if clock.seconds {
                text += &format!(":{:02}", seconds % 60);
            }
            if clock.digits > 0 {
                let fraction = format!("{:06}000", micros % 1_000_000);
                text.push('.');
                text.push_str(fraction.get(..usize::from(clock.digits)).unwrap_or(&fraction));
            }
        }
        match self.zone {
            Some(Zone { letter: true, .. }) => text.push('Z'),
            Some(Zone { offset, colon, .. }) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.abs() / 60;
                let colon = if colon { ":" } else { "" };
                text += &format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
            }
            None => {}
        }
        text
    }

    /// Whether two cells are written alike, but for digits that may vary.
    fn agrees(&self, other: &Self) -> bool {
        self.date == other.date
            && self.separator == other.separator
            && self.clock.map(|c| c.separator) == other.clock.map(|c| c.separator)
            && self.zone.is_some() == other.zone.is_some()
    }
}

/// The stamps of a column, and how they are written.
pub(crate) struct Stamps {
    pub(crate) stamps: Vec<i64>,
    pub(crate) style: Style,
}

/// Why a column is no time column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The cell of this row is no time, or written another way than the first.
    Row(usize),
    /// Day and month cannot be told apart.
    Ambiguous,
}

/// The style of a column most of whose cells are times, by its name where numbers could be times.
pub(crate) fn detect<'a>(name: &str, cells: impl Iterator<Item = &'a str> + Clone) -> Option<Style> {
    if let Some(style) = numbered::style(name, cells.clone(), false) {
        return Some(style);
    }
    let (mut style, mut good, mut all) = (None, 0_usize, 0_usize);
    for cell in cells.filter(|cell| !cell::is_missing(cell)) {
        all += 1;
        if let Some(parts) = take_apart(cell) {
            good += 1;
            style.get_or_insert(parts.style);
        }
    }
    style.filter(|_| good * 2 > all)
}

/// Whether a cell by itself reads as a date, with or without a time of day.
pub(crate) fn looks_like_time(cell: &str) -> bool {
    take_apart(cell).is_some()
}

/// Whether a name is one that time columns have.
pub(crate) fn names_time(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "time",
        "date",
        "ds",
        "datetime",
        "timestamp",
        "month",
        "day",
        "year",
        "hour",
        "week",
        "quarter",
        "period",
        "epoch",
        "ts",
    ];
    let name = name.to_lowercase();
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    words.any(|word| WORDS.contains(&word))
        || ["time", "date", "timestamp"].iter().any(|end| name.ends_with(end))
}

/// Whether a name says that a column of numbers is the clock of the rows, and nothing that is measured.
pub(crate) fn names_clock(name: &str) -> bool {
    const CLOCKS: [&str; 12] =
        ["time", "date", "datetime", "timestamp", "ds", "ts", "epoch", "year", "t", "index", "idx", "step"];
    CLOCKS.contains(&name.to_lowercase().as_str())
}

/// Whether a name leaves no doubt that the column is meant to hold times.
pub(crate) fn must_be_time(name: &str) -> bool {
    let name = name.to_lowercase();
    matches!(name.as_str(), "ds" | "ts" | "month" | "year" | "period" | "quarter")
        || ["time", "date", "timestamp"].iter().any(|end| name.ends_with(end))
}

/// Whether a name is one that columns of row numbers have.
pub(crate) fn names_count(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "t" | "index" | "idx" | "step" | "c1")
}

/// Reads every cell of a column; where the times of several series stand one below another, they may start anew.
pub(crate) fn read<'a>(
    name: &str,
    cells: impl Iterator<Item = &'a str> + Clone,
    order: Option<DateOrder>,
    anew: bool,
) -> Result<Stamps, Fault> {
    if let Some(style) = numbered::style(name, cells.clone(), anew) {
        let stamps = rows(cells, |cell| numbered::stamp(style.date, numbered::whole(cell)?))?;
        return Ok(Stamps { stamps, style });
    }
    let mut survey = Survey::default();
    let mut style = None;
    for (row, cell) in cells.clone().enumerate() {
        let parts = take_apart(cell).ok_or(Fault::Row(row))?;
        if !style.get_or_insert(parts.style).agrees(&parts.style) {
            return Err(Fault::Row(row));
        }
        survey.add(row, &parts);
    }
    let style = survey.settle(style.ok_or(Fault::Row(0))?, order)?;
    let stamps = rows(cells, |cell| {
        let parts = take_apart(cell)?;
        let [a, b, c] = parts.numbers;
        let stamp = match style.date {
            Layout::Dmy => stamp_of(c, b, a, parts.clock),
            Layout::Mdy => stamp_of(c, a, b, parts.clock),
            Layout::Ym => stamp_of(a, b, 1, parts.clock),
            _ => stamp_of(a, b, c, parts.clock),
        }?;
        let utc = if survey.mixed { i64::from(parts.offset()) * 1_000_000 } else { 0 };
        Some(stamp - utc)
    })?;
    Ok(Stamps { stamps, style })
}

/// What a first pass over a column learns, so that no row needs to be kept for the second.
#[derive(Default)]
struct Survey {
    single: bool,
    zero: bool,
    seconds: bool,
    digits: u8,
    offset: Option<i32>,
    /// Offsets that change, as with summer time.
    mixed: bool,
    /// The first row whose first number can only be a day.
    day_first: Option<usize>,
    /// The first row whose second number can only be a day.
    month_first: Option<usize>,
}

impl Survey {
    fn add(&mut self, row: usize, parts: &Parts) {
        self.single |= parts.single;
        self.zero |= parts.zero;
        if let Some(clock) = parts.style.clock {
            self.seconds |= clock.seconds;
            self.digits = self.digits.max(clock.digits);
        }
        self.mixed |= *self.offset.get_or_insert(parts.offset()) != parts.offset();
        if self.day_first.is_none() && parts.numbers[0] > 12 {
            self.day_first = Some(row);
        }
        if self.month_first.is_none() && parts.numbers[1] > 12 {
            self.month_first = Some(row);
        }
    }

    /// The style of the whole column, from that of its first cell.
    fn settle(&self, mut style: Style, order: Option<DateOrder>) -> Result<Style, Fault> {
        style.padded = self.zero || !self.single;
        if let Some(clock) = &mut style.clock {
            (clock.seconds, clock.digits) = (self.seconds, self.digits);
        }
        if style.date == Layout::Dmy {
            style.date = match order.map_or_else(|| self.day_or_month(style.separator), Ok)? {
                DateOrder::Dmy => Layout::Dmy,
                DateOrder::Mdy => Layout::Mdy,
            };
        }
        if self.mixed {
            // Only UTC is an even clock for all rows.
            style.zone = Some(Zone { offset: 0, letter: true, colon: true });
        }
        Ok(style)
    }

    /// Which of two leading numbers is the day: one row with a number above twelve settles it for all.
    fn day_or_month(&self, separator: char) -> Result<DateOrder, Fault> {
        match (self.day_first, self.month_first) {
            (Some(a), Some(b)) => Err(Fault::Row(a.max(b))),
            (Some(_), None) => Ok(DateOrder::Dmy),
            (None, Some(_)) => Ok(DateOrder::Mdy),
            // Dates with dots are day first wherever they are used.
            (None, None) if separator == '.' => Ok(DateOrder::Dmy),
            (None, None) => Err(Fault::Ambiguous),
        }
    }
}

fn rows<'a, T>(
    cells: impl Iterator<Item = &'a str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Fault> {
    cells.enumerate().map(|(row, cell)| read(cell).ok_or(Fault::Row(row))).collect()
}

/// Takes a cell apart: date, then perhaps a time of day, then perhaps an offset.
fn take_apart(cell: &str) -> Option<Parts> {
    // Nothing longer than 2024-01-31T12:00:00.123456789+01:00 is a time.
    if !cell.is_ascii() || cell.len() < 6 || cell.len() > 35 {
        return None;
    }
    let (date, rest) = match cell.find(['T', ' ']) {
        Some(at) => {
            (&cell[..at], Some((if cell[at..].starts_with('T') { 'T' } else { ' ' }, &cell[at + 1..])))
        }
        None => (cell, None),
    };
    let separator = date.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '-' | '/' | '.'))?;
    let mut numbers = [1; 3];
    let mut lengths = [0; 3];
    let mut count = 0;
    for field in date.split(separator) {
        *lengths.get_mut(count)? = field.len();
        numbers[count] = digits(field)?;
        count += 1;
    }
    let layout = match (count, lengths) {
        (2, [4, 1 | 2, _]) if rest.is_none() && separator != '.' => Layout::Ym,
        (3, [4, 1 | 2, 1 | 2]) => Layout::Ymd,
        // Day or month first: settled later, for the column as a whole.
        (3, [1 | 2, 1 | 2, 4]) => Layout::Dmy,
        _ => return None,
    };
    let small = numbers.iter().zip(lengths).filter(|(n, length)| **n < 10 && (1..=2).contains(length));
    let (mut single, mut zero) = (false, false);
    for (_, length) in small {
        single |= length == 1;
        zero |= length == 2;
    }
    let mut style = Style { date: layout, separator, padded: true, clock: None, zone: None };
    let mut clock = 0;
    if let Some((separator, rest)) = rest {
        let (time, zone) = split_zone(rest)?;
        let (micros, seconds, digits) = time_of_day(time)?;
        clock = micros;
        style.clock = Some(Clock { separator, seconds, digits });
        style.zone = zone;
    }
    let valid = match layout {
        Layout::Ymd => stamp_of(numbers[0], numbers[1], numbers[2], 0).is_some(),
        Layout::Ym => stamp_of(numbers[0], numbers[1], 1, 0).is_some(),
        _ => {
            let [a, b, year] = numbers;
            stamp_of(year, b, a, 0).is_some() || stamp_of(year, a, b, 0).is_some()
        }
    };
    valid.then_some(Parts { style, numbers, clock, single, zero })
}

/// A time of day and the offset behind it.
fn split_zone(text: &str) -> Option<(&str, Option<Zone>)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, Some(Zone { offset: 0, letter: true, colon: true })));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, None)) };
    let (time, sign) = (text[..at].trim_end(), if text[at..].starts_with('-') { -1 } else { 1 });
    let offset = &text[at + 1..];
    let (hours, minutes, colon) = match offset.len() {
        5 if offset.as_bytes()[2] == b':' => (&offset[..2], &offset[3..], true),
        4 => (&offset[..2], &offset[2..], false),
        2 => (offset, "00", true),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let offset = i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some((time, Some(Zone { offset, letter: false, colon })))
}

/// Microseconds since midnight, whether seconds are written, and how many digits of a fraction.
fn time_of_day(text: &str) -> Option<(i64, bool, u8)> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let mut fields = whole.split(':');
    let hour = digits(fields.next()?)?;
    let minute = fields.next().filter(|f| f.len() == 2).and_then(digits)?;
    let second = fields.next().map(|f| if f.len() == 2 { digits(f) } else { None });
    if fields.next().is_some() || hour > 23 || minute > 59 || (fraction.is_some() && second.is_none()) {
        return None;
    }
    let seconds = match second {
        Some(value) => value.filter(|s| *s <= 59)?,
        None => 0,
    };
    let mut micros = (hour * 3600 + minute * 60 + seconds) * 1_000_000;
    let mut length = 0;
    if let Some(fraction) = fraction {
        length = u8::try_from(fraction.len()).ok().filter(|n| (1..=9).contains(n))?;
        let padded = format!("{fraction:0<9}");
        // Finer than a microsecond would be rounded together, so it is not read at all.
        micros += digits(&padded).filter(|n| n % 1000 == 0)? / 1000;
    }
    Some((micros, second.is_some(), length))
}

fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Microseconds from 1970-01-01 to a date and time of day on the same clock.
pub(crate) fn stamp_of(year: i64, month: i64, day: i64, micros: i64) -> Option<i64> {
    let (year, month, day) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = Date::new(year, month, day).ok()?;
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let seconds = epoch.duration_until(date.at(0, 0, 0, 0)).as_secs();
    Some(seconds * 1_000_000 + micros)
}

/// The calendar date of a stamp, inside the years that can be written with four digits.
pub(crate) fn date_of(stamp: i64) -> Option<Date> {
    let days = i32::try_from(stamp.div_euclid(DAY)).ok()?;
    let span = jiff::Span::new().try_days(days).ok()?;
    let date = Date::constant(1970, 1, 1).checked_add(span).ok()?;
    (0..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(cells: &[&str]) -> Result<Stamps, Fault> {
        read("time", cells.iter().copied(), None, false)
    }

    #[test]
    fn the_usual_formats_are_read_and_written_back() {
        for cell in [
            "1949-01",
            "1949/12",
            "2020-02-29",
            "2020/02/29",
            "29.02.2020",
            "2/29/2020",
            "02/29/2020",
            "2014-07-01 00:30",
            "2014-07-01 00:30:00",
            "2014-07-01T00:30:59",
            "2014-07-01T00:30:59.250",
            "2011-12-31T13:00:00Z",
            "2011-12-31T13:00:00+01:00",
            "2011-12-31 13:00:00-0530",
            "31.12.1999 23:59:59",
            "0001-01-01",
            "9999-12-31",
            "1704067200",
            "1704067200000",
            "1704067200000000",
            "1704067200000000000",
            "20240131",
            "202401",
            "1949",
        ] {
            let stamps = column(&[cell]).unwrap_or_else(|_| panic!("{cell} is not read"));
            assert_eq!(stamps.style.write(stamps.stamps[0]), cell);
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for cell in [
            "",
            "abc",
            "12",
            "3.5",
            "2021-02-29",
            "2020-13-01",
            "2020-00-01",
            "2020-01-01 24:00",
            "2020-01-01 12:60",
            "2020-01-01 12",
            "2020-01-01T",
            "2020--01",
            "20-01-01",
            "2020-01-01 12:00:00.",
            "32.01.2020",
            "1.2.3.4",
            "2020-01-01 12:00:00.1234567",
            "2020-01-01 12:00:00+25:00",
            "２０２０-01-01",
            "2020-01-01 12:00:60",
        ] {
            assert!(read("x", [cell].into_iter(), None, false).is_err(), "{cell}");
        }
    }

    #[test]
    fn stamps_are_microseconds() {
        assert_eq!(column(&["1970-01-02 00:00:01.5"]).unwrap().stamps, [DAY + 1_500_000]);
        assert_eq!(column(&["1969-12-31"]).unwrap().stamps, [-DAY]);
        assert_eq!(column(&["1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"]).unwrap().stamps, [0, 0]);
        assert_eq!(column(&["1970-01-01T01:00:00+01:00"]).unwrap().stamps, [3_600_000_000]);
    }

    #[test]
    fn day_and_month_are_told_apart_by_the_column() {
        let write = |cells: &[&str], order| {
            let read = read("d", cells.iter().copied(), order, false).ok()?;
            date_of(read.stamps[0]).map(|d| d.to_string())
        };
        assert_eq!(write(&["01/02/2020", "13/02/2020"], None).as_deref(), Some("2020-02-01"));
        assert_eq!(write(&["01/02/2020", "01/13/2020"], None).as_deref(), Some("2020-01-02"));
        assert_eq!(write(&["01.02.2020"], None).as_deref(), Some("2020-02-01"));
        assert_eq!(write(&["01/02/2020"], Some(DateOrder::Mdy)).as_deref(), Some("2020-01-02"));
        assert_eq!(column(&["01/02/2020", "02/02/2020"]).err(), Some(Fault::Ambiguous));
        assert_eq!(column(&["13/02/2020", "02/13/2020"]).err(), Some(Fault::Row(1)));
    }

    #[test]
    fn numbers_are_times_only_by_name_and_size() {
        let detect = |name: &str, cells: &[&str]| super::detect(name, cells.iter().copied()).map(|s| s.date);
        assert_eq!(detect("year", &["1949", "1950"]), Some(Layout::Y));
        assert_eq!(detect("value", &["1949", "1950"]), None);
        assert_eq!(detect("month", &["1", "2", "1"]), None);
        assert_eq!(detect("epoch", &["1704067200", "1704070800"]), Some(Layout::Seconds));
        assert_eq!(detect("c1", &["0", "1", "2"]), Some(Layout::Count));
        assert_eq!(detect("time", &["0", "1", "5"]), None);
        assert_eq!(detect("t", &["2", "0", "3", "1", "4"]), Some(Layout::Count));
        assert_eq!(detect("t", &["0", "1", "2", "3", "5", "6"]), Some(Layout::Count));
        assert_eq!(detect("c1", &["0", "1", "2", "3", "5", "6"]), None);
        assert_eq!(detect("travel_time", &["12", "10", "11", "13"]), None);
        assert_eq!(detect("Year", &["1950", "1949", "1948"]), Some(Layout::Y));
        assert_eq!(detect("when", &["20200130", "20200131", "20200201"]), Some(Layout::CompactYmd));
        assert_eq!(detect("when", &["20200130", "20200132", "20200201"]), None);
        assert_eq!(detect("month", &["202011", "202012", "202101"]), Some(Layout::CompactYm));
        assert_eq!(detect("time", &["1704067200000000", "1704070800000000"]), Some(Layout::Micros));
    }

    #[test]
    fn most_cells_decide() {
        assert!(detect("x", ["2020-01", "2020-02", "oops"].into_iter()).is_some());
        assert!(detect("x", ["[date]", "2020-01", "2020-02-02"].into_iter()).is_some());
        assert!(detect("x", ["2020-01", "oops", "oops"].into_iter()).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(cells in proptest::collection::vec(".{0,40}", 1..4), name in ".{0,6}") {
            let _ = read(&name, cells.iter().map(String::as_str), None, false);
            let _ = detect(&name, cells.iter().map(String::as_str));
        }

        #[test]
        fn text_of_time_characters_is_read_without_a_panic(cell in "[0-9TZ:./ +-]{0,36}") {
            if let Ok(stamps) = column(&[&cell]) {
                let _ = stamps.style.write(stamps.stamps[0]);
            }
        }

        #[test]
        fn any_number_is_written_without_a_panic(stamp in any::<i64>()) {
            let style = column(&["2011-12-31T13:00:00.123Z"]).unwrap().style;
            let _ = style.write(stamp);
        }
    }
}

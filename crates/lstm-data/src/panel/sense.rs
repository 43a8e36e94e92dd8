//! Files that could be read, and would be read wrongly: each is recognised by what stands in it, and refused.

use std::collections::{HashMap, HashSet};

use super::layout::{self, Layout, Shape};
use super::{PanelOptions, Targets};
use crate::cell::{self, Cell};
use crate::doubt::Doubt;
use crate::error::{Error, Place, Result, shown};
use crate::stamp;
use crate::table::{Column, Kind, Table};
use crate::time::TimeChoice;

/// Refuses a table whose shape says something else than its rows.
pub(super) fn check_shape(table: &Table, shape: &Shape, options: &PanelOptions) -> Result<()> {
    side_by_side(table)?;
    time_of_day(table, shape)?;
    if shape.layout == Layout::Rows {
        return Ok(());
    }
    if options.targets == Targets::Auto {
        months(table)?;
    }
    if shape.time.is_some() {
        return Ok(());
    }
    summary(table)?;
    if options.time == TimeChoice::Auto {
        parts(table, shape)?;
        clock(table, shape, options)?;
        unread_times(table, shape)?;
        blocks(table, shape)?;
    }
    match table.blank_line() {
        Some(line) => doubt(Place::file(table.file()).line(line), Doubt::BlankLine),
        None => Ok(()),
    }
}

/// Refuses the columns to be forecast where their digits may mean something else.
pub(super) fn check_targets(table: &Table, targets: &[usize]) -> Result<()> {
    for at in targets {
        if table.delimiter() == ',' {
            let before = at.checked_sub(1).map(|left| (left, *at));
            for (left, right) in before.into_iter().chain([(*at, at + 1)]) {
                decimal_comma(table, left, right)?;
            }
        }
        thousands(table, *at)?;
    }
    Ok(())
}

fn doubt<T>(at: Place, doubt: Doubt) -> Result<T> {
    Err(Error::Doubt { at, doubt })
}

fn side_by_side(table: &Table) -> Result<()> {
    let columns = table.columns();
    let time = |column: &&Column| column.kind() == Kind::Time;
    for (at, column) in columns.iter().enumerate() {
        // A column without a name is called by its number.
        if column.kind() != Kind::Empty || column.name() != format!("c{}", at + 1) {
            continue;
        }
        if let (Some(left), Some(right)) =
            (columns[..at].iter().find(time), columns[at + 1..].iter().find(time))
        {
            let (left, right) = (shown(left.name()), shown(right.name()));
            return doubt(Place::file(table.file()).column(column.name()), Doubt::SideBySide { left, right });
        }
    }
    Ok(())
}

/// Dates that repeat, beside a column of times of day.
fn time_of_day(table: &Table, shape: &Shape) -> Result<()> {
    let Some(dates) = shape.time.and_then(|at| table.columns().get(at)) else { return Ok(()) };
    if dates.kind() != Kind::Time || dates.cells().any(|cell| cell.contains(':')) {
        return Ok(());
    }
    for (at, column) in table.columns().iter().enumerate() {
        if Some(at) == shape.time || !is_time_of_day(column) {
            continue;
        }
        let ids: Vec<&Column> =
            shape.id.iter().filter(|id| **id != at).filter_map(|id| table.columns().get(*id)).collect();
        let rows = (0..table.rows()).map(|row| (layout::joined(&ids, row), dates.cell(row)));
        if 2 * rows.collect::<HashSet<_>>().len() <= table.rows() {
            let (cell, date) = (shown(column.cell(0)), shown(dates.name()));
            return doubt(table.place(0, at), Doubt::TimeOfDay { cell, date });
        }
    }
    Ok(())
}

fn is_time_of_day(column: &Column) -> bool {
    let hour = matches!(column.name().to_lowercase().as_str(), "hour" | "hr" | "hours" | "hh");
    let in_day = |cell: &str| cell.parse::<f64>().is_ok_and(|hour| (0.0..=24.0).contains(&hour));
    match column.kind() {
        Kind::Text => column.cells().take(20).all(|cell| cell.len() <= 11 && stamp::looks_like_clock(cell)),
        Kind::Number => hour && column.cells().all(in_day),
        _ => false,
    }
}

/// One row a year and one column a month.
fn months(table: &Table) -> Result<()> {
    let month = |column: &Column| (column.kind() == Kind::Number).then(|| month_number(column.name()))?;
    let twelve = |columns: &&[Column]| columns.iter().map(month).eq((1..=12).map(Some));
    match table.columns().windows(12).find(twelve) {
        Some([first, .., last]) => {
            let (first, last) = (shown(first.name()), shown(last.name()));
            doubt(Place::file(table.file()), Doubt::Months { first, last })
        }
        _ => Ok(()),
    }
}

/// The month that a name begins with.
fn month_number(name: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = name.get(..3)?.to_lowercase();
    let letters = name.len() <= 9 && name.chars().all(char::is_alphabetic);
    let place = MONTHS.iter().position(|month| *month == start).filter(|_| letters)?;
    i64::try_from(place + 1).ok()
}

/// Names that a part of a date goes by.
const PARTS: [&[&str]; 6] = [
    &["year", "yr", "yyyy"],
    &["quarter", "qtr"],
    &["month", "mnth", "mon", "mm"],
    &["day", "dom", "mday", "dd"],
    &["hour", "hr", "hh"],
    &["minute", "min"],
];

/// Year and month, and perhaps more, in columns of their own: they have to go on evenly, for nobody reads them as times.
fn parts(table: &Table, shape: &Shape) -> Result<()> {
    let find = |names: &&[&str]| {
        let named = |column: &Column| names.contains(&column.name().to_lowercase().as_str());
        table.columns().iter().enumerate().find(|(at, column)| named(column) && !shape.id.contains(at))
    };
    let [year, quarter, month, day, hour, minute] = PARTS.each_ref().map(find);
    let (Some(year), Some(month)) = (year, month.or(quarter)) else { return Ok(()) };
    let quarters = month.0 == quarter.map_or(usize::MAX, |(at, _)| at);
    let finer = if quarters {
        [None; 3]
    } else {
        [day, hour.filter(|_| day.is_some()), minute.filter(|_| hour.is_some())]
    };
    let columns: Vec<(usize, &Column)> =
        [year, month].into_iter().chain(finer.into_iter().flatten()).collect();
    let place = |row: usize| -> Option<i64> {
        let number = |(_, column): &(usize, &Column)| {
            let cell = column.cell(row);
            cell.strip_suffix(".0").unwrap_or(cell).parse().ok().or_else(|| month_number(cell))
        };
        let numbers = columns.iter().map(number).collect::<Option<Vec<i64>>>()?;
        match numbers.as_slice() {
            [year, quarter] if quarters => Some(4 * year + quarter),
            [year, month] => Some(12 * year + month),
            [year, month, rest @ ..] => {
                let clock = rest.get(1).unwrap_or(&0) * 60 + rest.get(2).unwrap_or(&0);
                stamp::stamp_of(*year, *month, *rest.first()?, 0).map(|day| day / 60_000_000 + clock)
            }
            _ => None,
        }
    };
    let ids: Vec<&Column> = shape.id.iter().filter_map(|at| table.columns().get(*at)).collect();
    let mut last: HashMap<String, (usize, i64)> = HashMap::new();
    let mut step = None;
    let shown_at = |row: usize| {
        let cells: Vec<&str> = columns.iter().map(|(_, column)| column.cell(row)).collect();
        shown(&cells.join("-"))
    };
    for row in 0..table.rows() {
        let now = place(row);
        let before = last.get(&layout::joined(&ids, row)).copied();
        let even = match (before, now) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some((_, before)), Some(now)) => {
                now > before && *step.get_or_insert(now - before) == now - before
            }
        };
        if !even {
            let names: Vec<&str> = columns.iter().map(|(_, column)| column.name()).collect();
            let before = shown_at(before.map_or(row.saturating_sub(1), |(row, _)| row));
            let parts = Doubt::Parts { columns: shown(&names.join(", ")), before, now: shown_at(row) };
            return doubt(Place::file(table.file()).line(table.line(row)), parts);
        }
        last.insert(layout::joined(&ids, row), (row, now.unwrap_or_default()));
    }
    Ok(())
}

/// Numbers that tell the time by their name have to rise evenly, for they are not read as times.
fn clock(table: &Table, shape: &Shape, options: &PanelOptions) -> Result<()> {
    let part = |name: &str| {
        let covariates = options.known.iter().chain(&options.past).chain(&options.fixed);
        options.targets.names().iter().chain(covariates).any(|other| other == name)
    };
    let numbers = table.columns().iter().filter(|column| column.kind() == Kind::Number).count();
    for (at, column) in table.columns().iter().enumerate() {
        let told = column.kind() == Kind::Number && stamp::names_clock(column.name()) && !part(column.name());
        if !told || numbers < 2 || !shape.id.is_empty() || in_parts(table, column) {
            continue;
        }
        let cells: Vec<f64> = column.cells().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect();
        let steps: Vec<f64> = cells.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let even = |step: &f64, middle: f64| *step > 0.0 && (step - middle).abs() <= 0.02 * middle;
        let mut sorted = steps.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(middle) = sorted.get(sorted.len() / 2).copied() else { continue };
        if let Some(row) = steps.iter().position(|step| !even(step, middle)) {
            let cell = shown(column.cell(row + 1));
            return doubt(table.place(row + 1, at), Doubt::Clock { cell });
        }
    }
    Ok(())
}

/// Whether this is a year beside months or quarters, which [`parts`] looks at.
fn in_parts(table: &Table, column: &Column) -> bool {
    let is = |names: &[&str], column: &Column| names.contains(&column.name().to_lowercase().as_str());
    is(PARTS[0], column) && table.columns().iter().any(|other| is(PARTS[1], other) || is(PARTS[2], other))
}

/// Text that a person would read as times.
fn unread_times(table: &Table, shape: &Shape) -> Result<()> {
    for (at, column) in table.columns().iter().enumerate() {
        if column.kind() != Kind::Text || shape.id.contains(&at) {
            continue;
        }
        let cells = || column.cells().filter(|cell| !cell::is_missing(cell));
        if 2 * cells().filter(|cell| stamp::looks_like_date(cell)).count() > cells().count() {
            let row = column.cells().position(stamp::looks_like_date).unwrap_or(0);
            return Err(Error::NotTime { at: table.place(row, at), cell: shown(column.cell(row)) });
        }
    }
    Ok(())
}

/// Rows of one text, then rows of another, each text once: series one below another without times.
fn blocks(table: &Table, shape: &Shape) -> Result<()> {
    for (at, column) in table.columns().iter().enumerate() {
        let text =
            column.kind() == Kind::Text || (column.kind() == Kind::Number && layout::names_id(column.name()));
        if !text || !shape.id.is_empty() {
            continue;
        }
        let starts: Vec<usize> =
            (1..table.rows()).filter(|row| column.cell(*row) != column.cell(row - 1)).collect();
        let distinct = column.cells().collect::<HashSet<_>>().len();
        if let (true, Some(row)) =
            (starts.len() + 1 == distinct && 3 * distinct <= table.rows(), starts.first())
        {
            let (first, second) = (shown(column.cell(0)), shown(column.cell(*row)));
            return doubt(table.place(*row, at), Doubt::Blocks { first, second });
        }
    }
    Ok(())
}

/// A last row that is called a sum or a mean, as no other is.
fn summary(table: &Table) -> Result<()> {
    const WORDS: [&str; 9] =
        ["total", "totals", "grand total", "subtotal", "sum", "mean", "average", "avg", "overall"];
    let Some(last) = table.rows().checked_sub(1) else { return Ok(()) };
    for (at, column) in table.columns().iter().enumerate() {
        let cell = column.cell(last);
        let word = cell.trim_end_matches(':').to_lowercase();
        if WORDS.contains(&word.as_str()) && (0..last).all(|row| column.cell(row) != cell) {
            return doubt(table.place(last, at), Doubt::Summary { cell: shown(cell) });
        }
    }
    Ok(())
}

/// Whole numbers, and on their right digits of which some begin with a zero.
fn decimal_comma(table: &Table, left: usize, right: usize) -> Result<()> {
    let columns = table.columns();
    let (Some(whole), Some(digits)) = (columns.get(left), columns.get(right)) else { return Ok(()) };
    let part =
        |column: &Column| PARTS.iter().any(|names| names.contains(&column.name().to_lowercase().as_str()));
    if whole.kind() != Kind::Number || digits.kind() != Kind::Number || part(digits) {
        return Ok(());
    }
    let is_digits = |cell: &str| cell.bytes().all(|b| b.is_ascii_digit());
    let integer =
        |cell: &str| is_digits(cell.strip_prefix(['-', '+']).unwrap_or(cell)) || cell::is_missing(cell);
    if !whole.cells().all(integer) || !digits.cells().all(|cell| cell.len() <= 3 && is_digits(cell)) {
        return Ok(());
    }
    match digits.cells().position(|cell| cell.len() > 1 && cell.starts_with('0')) {
        Some(row) => {
            let (cell, left) = (shown(digits.cell(row)), shown(whole.cell(row)));
            doubt(table.place(row, right), Doubt::DecimalComma { cell, left })
        }
        None => Ok(()),
    }
}

/// Numbers of up to three digits, and others with exactly three digits behind a point.
fn thousands(table: &Table, at: usize) -> Result<()> {
    let Some(column) = table.columns().get(at) else { return Ok(()) };
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let (mut with, mut without, mut hundreds, mut plain) = (None, None, 0_usize, 0_usize);
    for (row, cell) in column.cells().enumerate().filter(|(_, cell)| !cell::is_missing(cell)) {
        let number = cell.strip_prefix(['-', '+']).unwrap_or(cell);
        match number.split_once('.') {
            Some((whole, rest))
                if digits(whole) && !whole.starts_with('0') && rest.len() == 3 && digits(rest) =>
            {
                with.get_or_insert(row);
            }
            None if digits(number) => {
                without.get_or_insert(row);
                plain += 1;
                hundreds += usize::from(number.len() == 3);
            }
            _ => return Ok(()),
        }
    }
    match (with, without) {
        (Some(with), Some(without)) if 2 * hundreds >= plain => {
            let (cell, other) = (shown(column.cell(with)), shown(column.cell(without)));
            doubt(table.place(with, at), Doubt::Thousands { cell, other })
        }
        _ => Ok(()),
    }
}

/// What was taken at its word in a column to be forecast, though it may be meant otherwise.
pub(super) fn remarks(table: &Table, at: usize) -> Vec<String> {
    let Some(column) = table.columns().get(at) else { return Vec::new() };
    let name = shown(column.name());
    let mut remarks = Vec::new();
    let fraction = |cell: &str| cell.split_once('.').is_some_and(|(_, digits)| digits.len() == 3);
    if table.delimiter() == ';' && column.kind() == Kind::Number && column.cells().all(fraction) {
        remarks.push(format!(
            "Points in '{name}' are read as decimal points; if they part thousands, leave them out."
        ));
    }
    let rounded = column.cells().filter(|cell| loses_digits(cell)).count();
    if rounded > 0 {
        let (values, was) =
            (super::notes::counted(rounded, "value"), if rounded == 1 { "was" } else { "were" });
        remarks.push(format!("{values} of '{name}' had more digits than a double holds and {was} rounded."));
    }
    remarks.extend(sentinel(column).map(|(cell, count)| {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        format!("'{cell}' stands {times} in '{name}', far from all else; if it means a missing value, leave the cell empty.")
    }));
    remarks
}

/// Whether a whole number is none of those that a double can be.
fn loses_digits(cell: &str) -> bool {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell).trim_start_matches('0');
    digits.len() > 15
        && digits.bytes().all(|b| b.is_ascii_digit())
        && digits.parse::<f64>().is_ok_and(|value| format!("{value:.0}") != digits)
}

/// A number of nines only that lies far outside all others, and how often it stands there.
fn sentinel(column: &Column) -> Option<(String, usize)> {
    let nines = |cell: &str| {
        let digits = cell.strip_prefix('-').unwrap_or(cell);
        digits.len() >= 3
            && digits.trim_end_matches(".0").trim_end_matches(".00").bytes().all(|b| b == b'9' || b == b'.')
    };
    let found = column.cells().find(|cell| nines(cell))?;
    let Cell::Number(value) = cell::read(found) else { return None };
    let others = || {
        column.cells().filter_map(|cell| match cell::read(cell) {
            Cell::Number(other) if other != value => Some(other),
            _ => None,
        })
    };
    let (low, high) = (others().fold(f64::INFINITY, f64::min), others().fold(f64::NEG_INFINITY, f64::max));
    let far = value < low - 3.0 * (high - low) || value > high + 3.0 * (high - low);
    let count = column.cells().filter(|cell| *cell == found).count();
    (far && low < high).then(|| (shown(found), count))
}

//! Which columns are forecast.

use serde::{Deserialize, Serialize};

use super::PanelOptions;
use super::layout::Shape;
use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, listed, shown};
use crate::stamp;
use crate::table::{Column, Kind, Table};

/// Which columns are forecast; in a TOML file a list of names, empty for one that is chosen, `["all"]` for all numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub enum Targets {
    /// One, chosen by its name and by what it holds.
    #[default]
    Auto,
    /// Every column of numbers that has no other part and tells no date.
    All,
    /// These.
    Columns(Vec<String>),
}

impl From<Vec<String>> for Targets {
    fn from(names: Vec<String>) -> Self {
        match names.as_slice() {
            [] => Targets::Auto,
            [all] if all == "all" => Targets::All,
            _ => Targets::Columns(names),
        }
    }
}

impl From<Targets> for Vec<String> {
    fn from(targets: Targets) -> Self {
        match targets {
            Targets::Auto => Vec::new(),
            Targets::All => vec!["all".into()],
            Targets::Columns(names) => names,
        }
    }
}

impl Targets {
    /// The columns that are named.
    pub(super) fn names(&self) -> &[String] {
        if let Targets::Columns(names) = self { names } else { &[] }
    }
}

/// Names that say what a file is about, the clearest first.
const NAMES: [&str; 16] = [
    "y",
    "target",
    "value",
    "ot",
    "count",
    "cnt",
    "demand",
    "load",
    "sales",
    "quantity",
    "volume",
    "users",
    "visitors",
    "passengers",
    "price",
    "close",
];

/// Names of numbers that tell a date, and the largest such number.
const DATES: [(&str, f64); 20] = [
    ("year", 9999.0),
    ("yr", 9999.0),
    ("quarter", 4.0),
    ("month", 12.0),
    ("mnth", 12.0),
    ("week", 53.0),
    ("weekofyear", 53.0),
    ("week_of_year", 53.0),
    ("day", 366.0),
    ("dayofyear", 366.0),
    ("day_of_year", 366.0),
    ("doy", 366.0),
    ("weekday", 7.0),
    ("dayofweek", 7.0),
    ("day_of_week", 7.0),
    ("dow", 7.0),
    ("hour", 24.0),
    ("hr", 24.0),
    ("minute", 60.0),
    ("second", 60.0),
];

/// The columns to forecast, and a sentence where one of several was chosen.
pub(super) fn choose(
    table: &Table,
    shape: &Shape,
    options: &PanelOptions,
) -> Result<(Vec<usize>, Option<String>)> {
    if let Targets::Columns(names) = &options.targets {
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            let at = table.find(name)?;
            let column = table.columns().get(at);
            let Some(column) = column.filter(|_| !chosen.contains(&at)) else { continue };
            check_numeric(table, at, column)?;
            chosen.push(at);
        }
        return Ok((chosen, None));
    }
    let numbers = of_kind(table, shape, options, Kind::Number);
    let plain: Vec<usize> =
        numbers.iter().copied().filter(|at| column(table, *at).is_some_and(measures)).collect();
    if options.targets == Targets::All && !plain.is_empty() {
        return Ok((plain, None));
    }
    let by_name = NAMES.iter().find_map(|name| {
        let is =
            |at: &&usize| column(table, **at).is_some_and(|column| column.name().eq_ignore_ascii_case(name));
        numbers.iter().find(is)
    });
    let flags = of_kind(table, shape, options, Kind::Boolean);
    let chosen = by_name.or(plain.first()).or(numbers.first()).or(flags.first()).copied();
    let chosen = chosen.ok_or_else(|| none(table, shape))?;
    let name = |at: &usize| column(table, *at).map(Column::name);
    let others: Vec<&str> = plain.iter().filter(|at| **at != chosen).filter_map(name).collect();
    let note = (!others.is_empty()).then(|| {
        format!(
            "'{}' is forecast; --target chooses another column ({}), and --target all takes each as a series.",
            name(&chosen).unwrap_or_default(),
            listed(others.iter())
        )
    });
    Ok((vec![chosen], note))
}

/// Refuses a column of which most cells are no numbers.
fn check_numeric(table: &Table, at: usize, column: &Column) -> Result<()> {
    match column.kind() {
        Kind::Number | Kind::Boolean => Ok(()),
        Kind::Empty => Err(Error::AllMissing { at: Place::file(table.file()).column(column.name()) }),
        kind @ (Kind::Text | Kind::Time) => {
            let row = column.cells().position(|cell| cell::read(cell) == Cell::Text).unwrap_or(0);
            let cell = shown(column.cell(row));
            Err(Error::NotNumeric { at: table.place(row, at), kind: kind.words(), cell })
        }
    }
}

fn column(table: &Table, at: usize) -> Option<&Column> {
    table.columns().get(at)
}

/// Columns of a kind that have no other part.
fn of_kind(table: &Table, shape: &Shape, options: &PanelOptions, kind: Kind) -> Vec<usize> {
    let covariate = |name: &str| {
        options.known.iter().chain(&options.past).chain(&options.fixed).any(|covariate| covariate == name)
    };
    let free = |(at, column): &(usize, &Column)| {
        column.kind() == kind
            && Some(*at) != shape.time
            && !shape.id.contains(at)
            && !covariate(column.name())
    };
    table.columns().iter().enumerate().filter(free).map(|(at, _)| at).collect()
}

/// Whether a column of numbers measures something: it is no date, no yes or no, and no even count of rows or time.
fn measures(column: &Column) -> bool {
    let numbers = || {
        column.cells().filter_map(|cell| match cell::read(cell) {
            Cell::Number(value) | Cell::Boolean(value) => Some(value),
            _ => None,
        })
    };
    let name = column.name().to_lowercase();
    let date = DATES.iter().any(|(word, most)| {
        name == *word && numbers().all(|value| value.fract() == 0.0 && (0.0..=*most).contains(&value))
    });
    let flag = || numbers().all(|value| value == 0.0 || value == 1.0);
    let clock = || {
        let mut steps = numbers().zip(numbers().skip(1)).map(|(a, b)| b - a);
        let first = steps.next().unwrap_or(0.0);
        first != 0.0 && numbers().count() > 2 && steps.all(|step| (step - first).abs() <= 1e-6 * first.abs())
    };
    !date && !stamp::names_clock(&name) && !flag() && !clock()
}

/// What to say where no column holds numbers: which cells nearly do, or what the columns hold.
fn none(table: &Table, shape: &Shape) -> Error {
    let columns = || table.columns().iter().enumerate();
    let nearly = |(at, column): (usize, &Column)| {
        let free = column.kind() == Kind::Text && Some(at) != shape.time;
        let (row, cell) = column.cells().enumerate().find(|(_, cell)| cell::read(cell) == Cell::Text)?;
        let remedy = cell::remedy(cell);
        (free && remedy != cell::CORRECT).then(|| Error::BadNumber {
            at: table.place(row, at),
            cell: shown(cell),
            remedy,
        })
    };
    if let Some(error) = columns().filter(|(_, column)| column.kind() == Kind::Text).find_map(nearly) {
        return error;
    }
    let described: Vec<String> =
        table.columns().iter().map(|c| format!("{} ({})", shown(c.name()), c.kind().words())).collect();
    Error::NoTarget { at: Place::file(table.file()), columns: listed(described.iter()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{CsvOptions, read_table_from};
    use crate::time::TimeChoice;

    fn chosen(text: &str, targets: &[&str]) -> Result<(Vec<String>, Option<String>)> {
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
        let options = PanelOptions { targets: targets.into(), ..PanelOptions::default() };
        let (at, note) = choose(&table, &Shape::of(&table, &options)?, &options)?;
        Ok((at.iter().map(|at| table.columns()[*at].name().to_owned()).collect(), note))
    }

    fn named(text: &str) -> String {
        chosen(text, &[]).unwrap().0.join(",")
    }

    #[test]
    fn the_column_that_a_file_is_about_is_chosen() {
        assert_eq!(named("date,HUFL,ot\n2020-01,1,5\n2020-02,2,7\n"), "ot");
        assert_eq!(named("value,y\n2,3\n5,9\n"), "y");
        // Flags, dates and row numbers come last, and only where nothing else is there.
        assert_eq!(named("c,hour,flag,x\n1,5,1,2.5\n2,6,0,9\n3,7,1,4\n"), "x");
        assert_eq!(named("hour\n1\n5\n2\n"), "hour");
        assert_eq!(named("hour\n1\n500\n2\n"), "hour");
        assert_eq!(named("t,f\n2020-01,TRUE\n2020-02,FALSE\n"), "f");
        let (_, note) = chosen("a,b,c\n1,2,3\n2,5,1\n", &[]).unwrap();
        assert_eq!(
            note.unwrap(),
            "'a' is forecast; --target chooses another column (b, c), and --target all takes each as a series."
        );
        assert_eq!(chosen("a\n1\n5\n", &[]).unwrap().1, None);
    }

    #[test]
    fn columns_are_named_or_all_taken() {
        let text = "t,a,b,month\n2020-01,1,2,1\n2020-02,2,1,2\n2020-03,3,2,3\n";
        assert_eq!(chosen(text, &["b", "a", "b"]).unwrap().0, ["b", "a"]);
        // 'a' rises by one a row.
        assert_eq!(chosen(text, &["all"]).unwrap().0, ["b"]);
        assert!(matches!(chosen(text, &["t"]), Err(Error::NotNumeric { .. })));
        assert!(matches!(chosen(text, &["A1"]), Err(Error::UnknownColumn { .. })));
    }

    #[test]
    fn a_column_that_cannot_be_forecast_is_named() {
        let text = "t,load,price,note\n2020-01-01,1,2,x\n2020-01-02,2,3,y\n";
        let message = |text, targets: &[&str]| chosen(text, targets).unwrap_err().to_string();
        assert_eq!(
            message(text, &["laod"]),
            "a.csv: no column is called 'laod' (did you mean 'load'?); the columns are t, load, price, note"
        );
        assert_eq!(
            message(text, &["note"]),
            "a.csv, line 2, column 'note': holds text ('x'), where numbers are needed; choose another column with \
             --target"
        );
        assert_eq!(
            message("t,y\n2020-01,\n2020-02,NA\n", &["y"]),
            "a.csv, column 'y': every value is missing; choose another column with --target"
        );
        assert_eq!(
            message("t,note\n2020-01-01,x\n2020-01-02,y\n", &[]),
            "a.csv: no column holds numbers to forecast; the columns are t (times), note (text): look for a wrong \
             delimiter or lines above the header"
        );
    }

    #[test]
    fn a_column_named_for_time_is_not_forecast() {
        let text = "t,load,price,note\n2020-01-01,1,2,x\n2020-01-02,2,3,y\n";
        let table = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        let options = PanelOptions { time: TimeChoice::Column("load".into()), ..PanelOptions::default() };
        assert_eq!(choose(&table, &Shape::of(&table, &options).unwrap(), &options).unwrap().0, [2]);
    }
}

//! Numbers on an even time axis, made from chosen columns of a table, with every repair asked for and counted.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::arrange::Rows;
use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, listed, shown};
use crate::fill;
use crate::stamp::DateOrder;
use crate::table::{Column, Kind, Table};
use crate::time::{self, TimeAxis, TimeChoice};

/// What happens to rows with the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// They are an error.
    #[default]
    Error,
    /// The first in the file stays.
    First,
    /// The last in the file stays.
    Last,
    /// Their mean stays.
    Mean,
}

/// What happens to missing values and missing rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// They are an error.
    #[default]
    None,
    /// A straight line between the neighbours; the nearest value at either end.
    Linear,
    /// The value before; at the start the value after.
    Previous,
    /// The value one season before, else one or more seasons after, else the straight line.
    Season,
}

/// How a table becomes a series: nothing is repaired unless it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesOptions {
    /// Which column holds the time.
    pub time: TimeChoice,
    /// The order of day and month, where the dates leave it open.
    pub date_order: Option<DateOrder>,
    /// Whether rows may be put in the order of their times.
    pub sort: bool,
    /// What happens to rows with the same time.
    pub duplicates: Duplicates,
    /// What happens to missing values and missing rows.
    pub fill: Fill,
    /// Rows in the season that [`Fill::Season`] looks back; `None` follows from the step.
    pub season: Option<usize>,
}

/// What was repaired on the way from table to series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// Rows whose time was before that of the row above.
    pub unsorted: usize,
    /// Rows dropped or averaged because their time stood before.
    pub duplicates: usize,
    /// Rows made for times that were missing.
    pub rows: usize,
    /// Values made, those of made rows included.
    pub values: usize,
}

impl Repairs {
    /// Adds what was repaired elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.unsorted += other.unsorted;
        self.duplicates += other.duplicates;
        self.rows += other.rows;
        self.values += other.values;
    }
}

/// Finite numbers, one row a step.
#[derive(Debug, Clone)]
pub struct Series {
    /// The file as the caller named it.
    pub file: String,
    /// Name of each channel.
    pub names: Vec<String>,
    /// The numbers, `[time, channels]`.
    pub values: Array2<f64>,
    /// The time axis, if a column holds one.
    pub time: Option<TimeAxis>,
    /// Line of each row in the file; 0 for a row that was made.
    pub lines: Vec<u64>,
    /// What was repaired.
    pub repairs: Repairs,
}

impl Series {
    /// Reads the columns at these positions of a table as channels.
    ///
    /// # Errors
    /// The [`Error`] that names line and column: cells that are no numbers, missing values, times that are unsorted,
    /// repeated, missing, or off the grid, unless the options repair them.
    pub fn from_table(table: &Table, columns: &[usize], options: &SeriesOptions) -> Result<Self> {
        let mut chosen = Vec::with_capacity(columns.len());
        for at in columns {
            let missing = Error::Size { what: "column position", expected: table.columns().len(), got: *at };
            chosen.push((*at, table.columns().get(*at).ok_or(missing)?));
        }
        let numbers = numbers(table, &chosen, options.fill)?;
        let times = time::read(table, &options.time, options.date_order)?;
        let rows = Rows::arrange(table, times.as_ref(), options.into())?;

        let mut values = Array2::from_elem((rows.total, chosen.len()), f64::NAN);
        let mut lines = vec![0; rows.total];
        for (place, group) in rows.placed() {
            lines[place] = group.first().map_or(0, |row| table.line(*row));
            for channel in 0..chosen.len() {
                let present = || group.iter().map(|row| numbers[[*row, channel]]).filter(|v| !v.is_nan());
                // Divided one by one: the sum of two large numbers may overflow.
                let count = present().count() as f64;
                if count > 0.0 {
                    values[[place, channel]] = present().map(|v| v / count).sum();
                }
            }
        }
        let mut repairs = rows.repairs;
        let season =
            options.season.or_else(|| rows.axis.as_ref().map(|axis| axis.step.season())).unwrap_or(1);
        for (channel, (at, column)) in chosen.iter().enumerate() {
            let missing = values.column(channel).iter().filter(|value| value.is_nan()).count();
            if missing == 0 {
                continue;
            }
            if missing == rows.total {
                return Err(Error::AllMissing { at: Place::file(table.file()).column(column.name()) });
            }
            match options.fill {
                Fill::None => return Err(missing_value(table, *at, rows.total, missing)),
                Fill::Season if season < 2 => {
                    return Err(Error::Setting {
                        name: "--fill",
                        value: "season".into(),
                        fault: "no season follows from the step of this file; use --fill linear",
                    });
                }
                Fill::Linear => fill::linear(values.column_mut(channel)),
                Fill::Previous => fill::previous(values.column_mut(channel)),
                Fill::Season => fill::seasonal(values.column_mut(channel), season),
            }
            repairs.values += missing;
        }
        let names = chosen.iter().map(|(_, column)| column.name().to_owned()).collect();
        Ok(Self { file: table.file().into(), names, values, time: rows.axis, lines, repairs })
    }

    /// Steps in time.
    pub fn rows(&self) -> usize {
        self.values.nrows()
    }

    /// Columns of numbers.
    pub fn channels(&self) -> usize {
        self.values.ncols()
    }

    /// Rows in the season that the step suggests, 1 for none.
    pub fn season(&self) -> usize {
        self.time.as_ref().map_or(1, |axis| axis.step.season())
    }

    /// Makes sure that no channel is the same value throughout.
    ///
    /// # Errors
    /// [`Error::Constant`] for the first that is.
    pub fn check_varies(&self) -> Result<()> {
        for (name, column) in self.names.iter().zip(self.values.columns()) {
            if let Some(value) = column.first().filter(|first| column.iter().all(|value| value == *first)) {
                return Err(Error::Constant { at: Place::file(&self.file).column(name), value: *value });
            }
        }
        Ok(())
    }
}

/// The column to forecast: the requested one, or the only one that holds numbers and is not the time.
///
/// # Errors
/// [`Error::UnknownColumn`], [`Error::NotNumeric`], [`Error::AllMissing`] for a request that cannot be met,
/// [`Error::SeveralTargets`] or [`Error::NoTarget`] where there is no single candidate.
pub fn choose_target(table: &Table, requested: Option<&str>, time: &TimeChoice) -> Result<usize> {
    if let Some(name) = requested {
        let at = table.find(name)?;
        let Some(column) = table.columns().get(at) else { return Ok(at) };
        return check_numeric(table, at, column).map(|()| at);
    }
    let time = time::find(table, time)?;
    let of = |kind| -> Vec<usize> {
        let all = table.columns().iter().enumerate();
        all.filter(|(at, column)| column.kind() == kind && Some(*at) != time).map(|(at, _)| at).collect()
    };
    let mut candidates = of(Kind::Number);
    if candidates.is_empty() {
        candidates = of(Kind::Boolean);
    }
    match candidates.as_slice() {
        [only] => Ok(*only),
        [] => {
            let described: Vec<String> =
                table.columns().iter().map(|c| format!("{} ({})", c.name(), c.kind().words())).collect();
            Err(Error::NoTarget { at: Place::file(table.file()), columns: listed(described.iter()) })
        }
        several => {
            let names: Vec<&str> =
                several.iter().filter_map(|at| table.columns().get(*at)).map(Column::name).collect();
            Err(Error::SeveralTargets { at: Place::file(table.file()), columns: listed(names.iter()) })
        }
    }
}

pub(crate) fn check_numeric(table: &Table, at: usize, column: &Column) -> Result<()> {
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

/// The cells as numbers, `[rows, channels]`, NaN where a value is missing.
fn numbers(table: &Table, chosen: &[(usize, &Column)], fill: Fill) -> Result<Array2<f64>> {
    let mut numbers = Array2::from_elem((table.rows(), chosen.len()), f64::NAN);
    for (channel, (at, column)) in chosen.iter().enumerate() {
        check_numeric(table, *at, column)?;
        for (row, cell) in column.cells().enumerate() {
            let place = || table.place(row, *at);
            match cell::read(cell) {
                Cell::Number(value) | Cell::Boolean(value) => numbers[[row, channel]] = value,
                Cell::NonFinite if fill == Fill::None => {
                    return Err(Error::NonFinite { at: place(), cell: shown(cell) });
                }
                Cell::Missing | Cell::NonFinite => {}
                Cell::Text => {
                    return Err(Error::BadNumber {
                        at: place(),
                        cell: shown(cell),
                        remedy: cell::remedy(cell),
                    });
                }
            }
        }
    }
    Ok(numbers)
}

/// The first missing value of a column; only asked for where no row was made, so every row has a line.
fn missing_value(table: &Table, at: usize, rows: usize, count: usize) -> Error {
    let missing = |cell: &str| matches!(cell::read(cell), Cell::Missing);
    let row = table.columns().get(at).and_then(|column| column.cells().position(missing)).unwrap_or(0);
    Error::Missing { at: table.place(row, at), count, rows }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, array};
    use proptest::prelude::*;

    use super::*;
    use crate::csv::{CsvOptions, read_table_from};

    fn table(text: &str) -> Table {
        read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap()
    }

    fn series(text: &str, options: &SeriesOptions) -> Result<Series> {
        let table = table(text);
        Series::from_table(&table, &[choose_target(&table, None, &TimeChoice::Auto)?], options)
    }

    fn message(text: &str) -> String {
        series(text, &SeriesOptions::default()).unwrap_err().to_string()
    }

    fn filled(fill: Fill) -> SeriesOptions {
        SeriesOptions { fill, ..SeriesOptions::default() }
    }

    fn values(series: &Series) -> Vec<f64> {
        series.values.iter().copied().collect()
    }

    #[test]
    fn a_plain_file_becomes_a_series() {
        let got =
            series("Month,#Passengers\n1949-01,112\n1949-02,118\n1949-03,132\n", &SeriesOptions::default())
                .unwrap();
        assert_eq!((got.rows(), got.channels(), got.season()), (3, 1, 12));
        assert_eq!((values(&got), got.lines.clone()), (vec![112.0, 118.0, 132.0], vec![2, 3, 4]));
        assert_eq!(got.time.unwrap().next(2), ["1949-04", "1949-05"]);
        let bare = series("y\n1\n2\n", &SeriesOptions::default()).unwrap();
        assert!(bare.time.is_none());
    }

    #[test]
    fn several_columns_and_booleans() {
        let table = table("t,a,b,note\n2020-01-01,1,TRUE,x\n2020-01-02,2,FALSE,y\n");
        let got = Series::from_table(&table, &[2, 1], &SeriesOptions::default()).unwrap();
        assert_eq!(got.values, array![[1.0, 1.0], [0.0, 2.0]]);
        assert_eq!(got.names, ["b", "a"]);
        assert_eq!(choose_target(&table, None, &TimeChoice::Auto).unwrap(), 1);
        assert_eq!(choose_target(&table, Some("b"), &TimeChoice::Auto).unwrap(), 2);
    }

    #[test]
    fn the_target_must_be_clear() {
        let table = table("t,load,price,note\n2020-01-01,1,2,x\n2020-01-02,2,3,y\n");
        let message =
            |requested| choose_target(&table, requested, &TimeChoice::Auto).unwrap_err().to_string();
        assert_eq!(
            message(None),
            "a.csv: several columns hold numbers (load, price); choose one with --target"
        );
        assert_eq!(
            message(Some("laod")),
            "a.csv: no column is called 'laod' (did you mean 'load'?); the columns are t, load, price, note"
        );
        assert_eq!(
            message(Some("note")),
            "a.csv, line 2, column 'note': holds text ('x'), where numbers are needed; choose another column with \
             --target"
        );
        assert_eq!(choose_target(&table, None, &TimeChoice::Column("load".into())).unwrap(), 2);
        let none = super::tests::table("t,note\n2020-01-01,x\n2020-01-02,y\n");
        assert_eq!(
            choose_target(&none, None, &TimeChoice::Auto).unwrap_err().to_string(),
            "a.csv: no column holds numbers to forecast; the columns are t (times), note (text): look for a wrong \
             delimiter or lines above the header"
        );
    }

    #[test]
    fn bad_cells_are_named() {
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-02,oops\n2020-01-03,3\n"),
            "a.csv, line 3, column 'y': 'oops' is not a number; correct the cell or remove the row"
        );
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-02,inf\n2020-01-03,3\n"),
            "a.csv, line 3, column 'y': 'inf' is not a finite number; correct it, or pass --fill linear to treat it \
             as missing"
        );
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-02,NaN\n2020-01-03,\n"),
            "a.csv, line 3, column 'y': the value is missing (2 of 3 rows); fill in the cells, or pass --fill linear \
             (or previous, season)"
        );
        assert!(
            message("t;y\n2020-01-01;1\n2020-01-02;1,5\n2020-01-03;3\n").contains("decimals with a point")
        );
    }

    #[test]
    fn bad_times_are_named() {
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-03,2\n2020-01-02,3\n"),
            "a.csv, line 4, column 't': time 2020-01-02 comes after 2020-01-03 (1 such row); pass --sort to order the \
             rows by time"
        );
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-02,2\n2020-01-02,3\n2020-01-02,3\n"),
            "a.csv, line 4, column 't': time 2020-01-02 stands in line 3 already (2 duplicates); pass --duplicates \
             first (or last, mean)"
        );
        assert_eq!(
            message("t,y\n2020-01-01,1\n2020-01-02,2\n2020-01-04,3\n"),
            "a.csv, line 4, column 't': 1 row is missing between 2020-01-02 and 2020-01-04 at a step of 1 day (1 \
             missing in all); pass --fill linear (or previous, season), or --time none to number the rows"
        );
        assert_eq!(
            message("t,y\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 02:00,3\n2020-01-01 02:20,3\n"),
            "a.csv, line 5, column 't': 2020-01-01 02:20 is no whole number of steps (1 hour) after 2020-01-01 02:00 (1 \
             such row); resample the rows to an even step, or pass --time none to number them"
        );
        let far = "t,y\n2020-01-01 00:00,1\n2020-01-01 00:01,2\n9020-01-01 00:00,3\n";
        let error = series(far, &filled(Fill::Linear)).unwrap_err();
        assert!(error.to_string().contains("look for a wrong time near that line"), "{error}");
    }

    #[test]
    fn repairs_are_done_as_asked_and_counted() {
        let text = "t,y\n2020-01-04,4\n2020-01-01,1\n2020-01-02,2\n2020-01-02,4\n2020-01-06,\n2020-01-07,7\n";
        let options = SeriesOptions { sort: true, duplicates: Duplicates::Mean, ..filled(Fill::Linear) };
        let got = series(text, &options).unwrap();
        assert_eq!(values(&got), [1.0, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(got.lines, [3, 4, 0, 2, 0, 6, 7]);
        assert_eq!(got.repairs, Repairs { unsorted: 1, duplicates: 1, rows: 2, values: 3 });
        assert_eq!(got.time.unwrap().label(4), "2020-01-05");
        for (duplicates, kept) in [(Duplicates::First, 2.0), (Duplicates::Last, 4.0)] {
            let got = series(text, &SeriesOptions { duplicates, ..options.clone() }).unwrap();
            assert_eq!(got.values[[1, 0]], kept);
        }
    }

    #[test]
    fn options_read_from_toml_and_go_back() {
        let text =
            "time = \"none\"\ndate_order = \"dmy\"\nsort = true\nduplicates = \"mean\"\nfill = \"season\"\n";
        let options: SeriesOptions = toml::from_str(text).unwrap();
        assert_eq!((&options.time, options.date_order), (&TimeChoice::None, Some(DateOrder::Dmy)));
        assert_eq!(toml::to_string(&options).unwrap(), text);
        let named: SeriesOptions = toml::from_str("time = \"when\"").unwrap();
        assert_eq!(named.time, TimeChoice::Column("when".into()));
        assert!(toml::from_str::<SeriesOptions>("fil = \"linear\"").is_err());
    }

    #[test]
    fn a_season_must_be_known_to_fill_by_it() {
        let error = series("y\n1\nNA\n", &filled(Fill::Season)).unwrap_err().to_string();
        assert!(error.contains("use --fill linear"), "{error}");
    }

    #[test]
    fn a_constant_series_and_an_empty_column_are_named() {
        let same = series("t,y\n2020-01,5\n2020-02,5\n", &SeriesOptions::default()).unwrap();
        assert_eq!(
            same.check_varies().unwrap_err().to_string(),
            "a.csv, column 'y': every value is 5, so there is nothing to learn; choose another --target"
        );
        let table = table("t,y\n2020-01,\n2020-02,NA\n");
        let error = choose_target(&table, Some("y"), &TimeChoice::Auto).unwrap_err().to_string();
        assert_eq!(error, "a.csv, column 'y': every value is missing; choose another column with --target");
    }

    proptest! {
        #[test]
        fn a_filled_series_is_finite_whatever_the_order(
            days in proptest::collection::vec((1_u8..29, prop_oneof![Just("NA".to_owned()), "[1-9]{1,3}"]), 2..30),
            fill in prop_oneof![Just(Fill::Linear), Just(Fill::Previous), Just(Fill::Season)],
        ) {
            let text: String = days.iter().map(|(day, cell)| format!("2020-03-{day:02},{cell}\n")).collect();
            let table = table(&format!("t,y\n{text}"));
            let options = SeriesOptions { sort: true, duplicates: Duplicates::Mean, season: Some(7), ..filled(fill) };
            match Series::from_table(&table, &[1], &options) {
                Ok(got) => {
                    prop_assert!(got.values.iter().all(|value| value.is_finite()));
                    prop_assert_eq!(got.lines.len(), got.values.len_of(Axis(0)));
                }
                Err(error) => prop_assert!(
                    matches!(error, Error::AllMissing { .. } | Error::Irregular { .. } | Error::TooManyGaps { .. }),
                    "{}", error
                ),
            }
        }

        #[test]
        fn any_table_becomes_a_series_or_an_error(text in "(t|y|date),v\n([0-9a-z/:. -]{0,12},[0-9.eE+-]{0,6}\n){1,6}") {
            if let Ok(table) = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()) {
                let options = SeriesOptions { sort: true, duplicates: Duplicates::First, ..filled(Fill::Linear) };
                let _ = Series::from_table(&table, &[0, 1], &options);
                let _ = Series::from_table(&table, &[1], &options);
            }
        }
    }
}

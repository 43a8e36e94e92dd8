//! Whole files with one fault each: what a person reads, and that no fault passes as data.

use lstm_data::{CsvOptions, Duplicates, Fill, PanelOptions, read_panel, read_table_from};
use proptest::prelude::*;

/// The values of the only series, where nothing may be repaired but the order of rows.
fn load(bytes: &[u8]) -> lstm_data::Result<Vec<f64>> {
    let table = read_table_from(bytes, "f.csv", &CsvOptions::default())?;
    let options = PanelOptions {
        duplicates: Some(Duplicates::Error),
        fill: Some(Fill::None),
        ..PanelOptions::default()
    };
    let mut panel = read_panel(&table, &options)?;
    panel.check_varies()?;
    Ok(panel.members.pop().map(|member| member.values).unwrap_or_default())
}

/// Name of the fault, the file, and how the message goes on after `f.csv`.
const FAULTS: &[(&str, &[u8], &str)] = &[
    ("empty", b"", ": is empty; a header line and rows below it are expected"),
    ("blank", b"\r\n\r\n", ": is empty; a header line and rows below it are expected"),
    ("mark only", b"\xef\xbb\xbf", ": is empty; a header line and rows below it are expected"),
    ("header only", b"t,v\n", ", line 1: a header and no rows below it; add the data"),
    ("gzip", b"\x1f\x8b\x08\x00", ": holds gzip data, not CSV text; unpack it first"),
    ("UTF-16", b"\xff\xfet\x00,\x00", ": holds UTF-16 text, not CSV text; save it as UTF-8"),
    ("UTF-16 unmarked", b"t\x00,\x00v\x00", ", line 1: a NUL byte, so this is not CSV text; export"),
    (
        "Latin-1",
        b"t,v\n2020-01,1\n2020-02,\xe9\n",
        ", line 3: byte 0xe9 is not UTF-8 (Latin-1, perhaps); save",
    ),
    (
        "no header",
        b"2020-01,1\n2020-02,2\n",
        ", line 1: the first row holds data (2020-01, 1), not column names",
    ),
    ("same names", b"t,v,v\n2020-01,1,2\n", ", line 1: columns 2 and 3 are both called 'v'; rename one"),
    (
        "separator missing",
        b"t,v\n2020-01,1\n2020-02 2\n",
        ", line 3: 1 field where the first row (line 1) has 2;",
    ),
    (
        "separator extra",
        b"t,v\n2020-01,1\n2020-02,,2\n",
        ", line 3: 3 fields where the first row (line 1) has 2;",
    ),
    (
        "quote unclosed",
        b"t,v\n2020-01,1\n2020-02,\"2\n",
        ", line 3: a quote is opened and never closed; close",
    ),
    ("quote stray", b"t,v\n\"2020-01\"x,1\n", ", line 2: text follows a closing quote; close the quote"),
    (
        "quote lost",
        b"t,v\n\"2020-01\",1\n2020-02\",2\n\"2020-03\",3\n",
        ", line 3: a quote stands inside a field that does not begin with one; close the quote, or double it",
    ),
    ("preamble", b"Made in 2020\nt,v\n2020-01,1\n", ", line 2: 2 fields where the first row (line 1) has 1;"),
    (
        "preamble, other delimiter",
        b"Made in 2020\nt;v\n2020-01;1\n",
        ": no column holds numbers to forecast; the",
    ),
    (
        "preamble with a comma",
        b"By X, 2020\nt,v\n2020-01,1\n2020-02,2\n",
        ", line 2, column '2020': 'v' is not a number",
    ),
    (
        "units below the names",
        b"t,v\n[date],[kW]\n2020-01,1\n2020-02,2\n",
        ", line 2, column 'v': '[kW]' is not a number",
    ),
    (
        "two tables",
        b"t,v\n2020-01,1\n2020-02,2\n\nt,w\n2020-01,5\n",
        ", line 5, column 'v': 'w' is not a number",
    ),
    (
        "total below",
        b"t,v\n2020-01,1\n2020-02,2\nTotal,3\n",
        ", line 4, column 't': 'Total' is not a time written like",
    ),
    (
        "decimal comma",
        b"t;v\n2020-01;1,5\n2020-02;2\n2020-03;3\n",
        ", line 2, column 'v': '1,5' is not a number; pass --decimal comma, or write decimals with a point and no thousands separator",
    ),
    (
        "text",
        b"t,v\n2020-01,1\n2020-02,two\n2020-03,3\n",
        ", line 3, column 'v': 'two' is not a number; correct the cell or remove the row",
    ),
    (
        "empty cell",
        b"t,v\n2020-01,1\n2020-02,\n2020-03,3\n",
        ", line 3, column 'v': the value is missing (1 of 3 rows)",
    ),
    (
        "NaN",
        b"t,v\n2020-01,1\n2020-02,NaN\n2020-03,\n2020-04,3\n",
        ", line 3, column 'v': the value is missing (2 of 4 rows); fill in the cells, or pass --fill linear (or \
         previous, season)",
    ),
    (
        "infinity",
        b"t,v\n2020-01,1\n2020-02,1e999\n2020-03,3\n",
        ", line 3, column 'v': '1e999' is not a finite number; correct it, or leave the cell empty to have it filled",
    ),
    (
        "infinity in words",
        b"t,v\n2020-01,1\n2020-02,inf\n2020-03,3\n",
        ", line 3, column 'v': 'inf' is not a finite number; correct it, or leave the cell",
    ),
    (
        "no date",
        b"t,v\n2021-02-28,1\n2021-02-29,2\n2021-03-01,2\n",
        ", line 3, column 't': '2021-02-29' is not a time",
    ),
    (
        "dates in words",
        b"date,v\nJan 2020,1\nFeb 2020,2\n",
        ", line 2, column 'date': 'Jan 2020' is not a time; write",
    ),
    (
        "day or month",
        b"t,v\n01/02/2020,1\n02/02/2020,2\n",
        ", line 2, column 't': '01/02/2020' may be day-month or",
    ),
    (
        "time twice",
        b"t,v\n2020-01,1\n2020-01,2\n",
        ", line 3, column 't': time 2020-01 stands in line 2 already (1 duplicate); pass",
    ),
    (
        "time thrice",
        b"t,v\n2020-01-01,1\n2020-01-02,2\n2020-01-02,3\n2020-01-02,3\n",
        ", line 4, column 't': time 2020-01-02 stands in line 3 already (2 duplicates); pass --duplicates first (or \
         last, mean)",
    ),
    (
        "gap",
        b"t,v\n2020-01,1\n2020-02,2\n2020-05,3\n",
        ", line 4, column 't': 2 rows are missing between 2020-02 and",
    ),
    (
        "gap of a day",
        b"t,v\n2020-01-01,1\n2020-01-02,2\n2020-01-04,3\n",
        ", line 4, column 't': 1 row is missing between 2020-01-02 and 2020-01-04 at a step of 1 day (1 missing in \
         all); pass --fill linear (or previous, season), or --time none to number the rows",
    ),
    (
        "off the grid",
        b"t,v\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n2020-01-01 02:00,3\n2020-01-01 02:20,3\n",
        ", line 5, column 't': 2020-01-01 02:20 is no whole number of steps (1 hour) after 2020-01-01 02:00 (1 such \
         row); resample the rows to an even step, or pass --time none to number them",
    ),
    (
        "far future",
        b"t,v\n2020-01-01,1\n2020-01-02,2\n2920-01-03,3\n",
        ", line 4, column 't': at a step of 1 day, 328",
    ),
    (
        "a page of a web site",
        b"<!DOCTYPE html>\n<html>\n",
        ": holds a web page, not CSV text; export it as CSV first",
    ),
    ("JSON", b"[{\"t\": 1,\n\"v\": 2}]", ": holds JSON, not CSV text; export it as CSV first"),
    (
        "two delimiters",
        b"t;load, kW\n2020-01;1,5\n2020-02;2,5\n",
        ": ';' and ',' both part every line evenly, into 2 and 2 columns; say which with --delimiter",
    ),
    (
        "no header, dates in words",
        b"05-Nov-23,50\n06-Nov-23,51\n",
        ", line 1: the first row holds data (05-Nov-23, 50), not column names; add a header line, or pass --no-header",
    ),
    ("no header, text and a fraction", b"a,1.5\nb,2.5\nc,3\n", ", line 1: the first row holds data (a, 1.5), not"),
    ("no header, missing", b"NA\n1\n2\n", ", line 1: the first row holds data (NA), not"),
    (
        "decimal commas that fit the header",
        b"t,a,v\n2020-01,1,05\n2020-02,2,25\n",
        ", line 2, column 'v': '05' begins with a zero, as digits behind a decimal comma do, and '1' stands before it; \
         write decimals with a point, or part the columns with semicolons",
    ),
    (
        "thousands parted by points",
        b"t;v\n2020-01;957\n2020-02;1.012\n",
        ", line 3, column 'v': '1.012' may be a fraction or, beside '957', a number with its thousands parted by points; \
         write numbers without separators of thousands",
    ),
    (
        "thousands parted by commas",
        b"t;v\n2020-01;1,957.5\n2020-02;1,012\n",
        ", line 2, column 'v': '1,957.5' is not a number; write numbers without thousands separators",
    ),
    (
        "decimal commas",
        b"t;v\n2020-01;1,5\n2020-02;2,5\n",
        ", line 2, column 'v': '1,5' is not a number; pass --decimal comma, or write decimals with a point and no thousands separator",
    ),
    ("currency", "t,v\n2020-01,€5\n2020-02,€6\n".as_bytes(), ", line 2, column 'v': '€5' is not a number; write plain digits"),
    ("negative in brackets", b"t,v\n2020-01,5\n2020-02,(6)\n2020-03,7\n", ", line 3, column 'v': '(6)' is not a number; write a negative number with a minus sign"),
    ("a flag among numbers", b"t,v\n2020-01,5\n2020-02,TRUE\n2020-03,7\n", ", line 3, column 'v': 'TRUE' is not a number"),
    (
        "two tables side by side",
        b"t,v,,t2,w\n2020-01,1,,2021-01,3\n2020-02,2,,2021-02,4\n",
        ", column 'c3': the column is empty and has no name, and there are times on both sides of it, in 't' and 't2', so \
         these are two tables; put them into two files",
    ),
    (
        "a blank line without times",
        b"v\n1\n2\n\n3\n4\n",
        ", line 4: the line is blank, so a value is missing there or another table begins; write NA for a missing value, \
         else remove the line",
    ),
    (
        "series one below another without times",
        b"shop,v\na,1\na,2\na,3\nb,4\nb,5\nb,6\n",
        ", line 5, column 'shop': the rows of 'a' stand together, then those of 'b', so there may be several series; name \
         the column with --id, or pass --time none to take all rows as one series",
    ),
    (
        "a total without times",
        b"shop,v\na,1\nb,2\nTotal,3\n",
        ", line 4, column 'shop': 'Total' in the last row seems to sum up the rows above; remove the row",
    ),
    (
        "a total below row numbers",
        b"t,v\n0,1\n1,2\n2,3\n3,3\n4,3\n5,2\n6,2\n7,2\n8,3\n,21\n",
        ", line 11, column 't': '' is not a time written like '0' in line 2",
    ),
    (
        "fractions of time out of order",
        b"time,v\n0.0,1\n0.5,2\n1.0,2\n1.5,3\n2.5,4\n2.0,4\n3.0,1\n",
        ", line 6, column 'time': '2.5' does not come one step after the row above, though the column seems to tell the \
         time; sort the rows and fill in the missing ones, or pass --time none to number the rows as they stand",
    ),
    (
        "seconds, then milliseconds",
        b"time,v\n1704067200,1\n1704070800,2\n1704074400,1\n1704078000,2\n1704081600000,3\n",
        ", line 6, column 'time': '1704081600000' does not come one step after the row above",
    ),
    (
        "year and month, newest first",
        b"year,month,v\n2020,2,1\n2020,1,2\n2019,12,3\n",
        ", line 3: '2020-1' does not come one step after '2020-2' (columns year, month); write times in one column, as \
         2024-01-31 12:00:00, or name the column that tells series apart with --id, or pass --time none to number the rows",
    ),
    (
        "year, month and day with a gap",
        b"year,month,day,v\n2020,2,28,1\n2020,2,29,2\n2020,3,2,3\n",
        ", line 4: '2020-3-2' does not come one step after '2020-2-29' (columns year, month, day);",
    ),
    (
        "hours beside dates",
        b"date,hour,v\n2020-01-01,0,1\n2020-01-01,1,2\n2020-01-02,0,3\n2020-01-02,1,3\n",
        ", line 2, column 'hour': '0' seems to be the time of day for the dates in 'date'; write both in one column, as \
         2024-01-31 12:00:00",
    ),
    (
        "times of day beside dates",
        b"date,at,v\n2020-01-01,0:00,1\n2020-01-01,12:00,2\n2020-01-02,0:00,3\n2020-01-02,12:00,3\n",
        ", line 2, column 'at': '0:00' seems to be the time of day for the dates in 'date';",
    ),
    (
        "quarters",
        b"when,v\n2020-Q1,1\n2020-Q2,2\n2020-Q4,3\n",
        ", line 2, column 'when': '2020-Q1' is not a time; write times as 2024-01-31",
    ),
    (
        "months in words",
        b"x,v\nJan-20,1\nMar-20,2\nApr-20,3\n",
        ", line 2, column 'x': 'Jan-20' is not a time; write times as 2024-01-31",
    ),
    (
        "one row a year",
        b"year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\n2020,1,2,3,4,5,6,7,8,9,10,11,12\n2021,1,2,3,4,5,6,7,8,9,10,11,13\n",
        ": the columns 'Jan' to 'Dec' seem to be the months of one series; write one row for each month, or name the \
         columns with --target",
    ),
    (
        "the end of the calendar",
        b"t,v\n9999-12-29,1\n9999-12-30,2\n9999-12-31,3\n",
        ", line 4, column 't': 9999-12-31 is so near the end of the calendar, the year 9999, that no forecast can be dated;",
    ),
    (
        "a quote over rows",
        b"n,v\n\"a,1\nb,2\nc\",3\nd,4\n",
        ", line 2: a quote is opened, and closed behind lines that look like rows; close the quote",
    ),
    (
        "dates of eight digits, one wrong",
        b"t,v\n20200101,1\n20200102,2\n20200103,1\n20200104,2\n20200105,1\n20200106,2\n20200107,1\n20200108,2\n20200109,1\n20200110,2\n20200132,3\n",
        ", line 12, column 't': '20200132' is not a time written like",
    ),
    (
        "constant",
        b"t,v\n2020-01,3\n2020-02,3\n",
        ", column 'v': every value is 3, so there is nothing to learn; choose another --target",
    ),
];

/// What may look strange and is read as a careful person would.
const SOUND: &[(&str, &[u8], &[f64])] = &[
    ("a mark", b"\xef\xbb\xbft,v\n2020-01,1\n2020-02,2\n", &[1.0, 2.0]),
    ("a line that tells the delimiter", b"sep=;\nt;v\n2020-01;1.5\n2020-02;2\n", &[1.5, 2.0]),
    ("ends of three kinds", b"t,v\r2020-01,1\r\n2020-02,2\n2020-03,3", &[1.0, 2.0, 3.0]),
    ("a blank line between any two", b"v\n\n1\n\n2\n\n3\n", &[1.0, 2.0, 3.0]),
    ("blank lines at the end", b"v\n1\n2\n\n\n", &[1.0, 2.0]),
    ("empty rows at the end", b"t,v\n2020-01,1\n2020-02,2\n,\n,\n", &[1.0, 2.0]),
    ("white space at the end", b"t,v\n2020-01,1\n2020-02,2\n   \n", &[1.0, 2.0]),
    ("separators at the ends of rows", b"t,v,\n2020-01,1,\n2020-02,2,\n", &[1.0, 2.0]),
    ("dates of eight digits", b"when,v\n20200131,1\n20200201,2\n20200202,3\n", &[1.0, 2.0, 3.0]),
    ("months of six digits, newest first", b"month,v\n202002,1\n202001,2\n201912,3\n", &[3.0, 2.0, 1.0]),
    ("row numbers out of order", b"t,v\n2,1\n0,2\n1,3\n3,4\n", &[2.0, 3.0, 1.0, 4.0]),
    ("years, newest first", b"year,v\n2020,1\n2019,2\n2018,3\n", &[3.0, 2.0, 1.0]),
    ("years with a point", b"year,v\n2018.0,1\n2019.0,2\n", &[1.0, 2.0]),
    ("an index that is a value", b"date,index\n2020-01-01,5\n2020-01-02,7\n2020-01-03,6\n", &[5.0, 7.0, 6.0]),
    ("even fractions of time", b"time,v\n0.0,1\n0.5,3\n1.0,2\n", &[1.0, 3.0, 2.0]),
    ("year and month in order", b"year,month,v\n2019,12,3\n2020,1,1\n2020,2,2\n", &[3.0, 1.0, 2.0]),
    ("quoted lines", b"t,n,v\n2020-01,\"one\ntwo, three\",1\n2020-02,x,2\n", &[1.0, 2.0]),
    ("a point in every number", b"t,v\n2020-01,1.125\n2020-02,900.25\n", &[1.125, 900.25]),
];

#[test]
fn what_only_looks_strange_is_read() {
    for (name, bytes, values) in SOUND {
        match load(bytes) {
            Ok(loaded) => assert_eq!(loaded, *values, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn each_fault_is_named_in_one_sentence() {
    for (name, bytes, expected) in FAULTS.iter().copied() {
        match load(bytes) {
            Ok(values) => panic!("{name}: loaded as {values:?}"),
            Err(error) => {
                let message = error.to_string();
                let rest = message.strip_prefix("f.csv").unwrap_or_else(|| panic!("{name}: {message}"));
                assert!(rest.starts_with(expected), "{name}: {message}");
                assert!(!message.contains('\n') && message.len() < 300, "{name}: {message}");
            }
        }
    }
}

/// A sound file, and its values.
fn sound() -> impl Strategy<Value = (String, Vec<f64>)> {
    let row = (any::<bool>(), 100_u32..999);
    (proptest::collection::vec(row, 3..20), prop_oneof![Just("\n"), Just("\r\n")]).prop_map(|(rows, end)| {
        let mut text = format!("month,value{end}");
        for (i, (quoted, value)) in rows.iter().enumerate() {
            let (year, month, quote) = (2000 + i / 12, i % 12 + 1, if *quoted { "\"" } else { "" });
            text += &format!("{quote}{year}-{month:02}{quote},{value}{end}");
        }
        (text, rows.iter().map(|(_, value)| f64::from(*value)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_sound_file_loads((text, values) in sound()) {
        match load(text.as_bytes()) {
            Ok(loaded) => prop_assert_eq!(loaded, values),
            Err(error) => prop_assert!(values.iter().all(|v| *v == values[0]), "{}", error),
        }
    }

    #[test]
    fn one_mark_too_many_or_too_few_never_changes_the_values(
        (text, values) in sound(),
        at in any::<prop::sample::Index>(),
        change in prop_oneof![Just(Some(',')), Just(Some('"')), Just(Some('\n')), Just(Some(';')), Just(None)],
    ) {
        let mut faulty = text.clone();
        match change {
            Some(mark) => faulty.insert(at.index(text.len() + 1), mark),
            None => {
                let marks: Vec<usize> = text.match_indices([',', '"', '\n']).map(|(at, _)| at).collect();
                faulty.remove(*at.get(&marks));
            }
        }
        if let Ok(loaded) = load(faulty.as_bytes()) {
            prop_assert_eq!(loaded, values, "{:?}", faulty);
        }
    }

    #[test]
    fn any_bytes_load_or_are_named(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&bytes);
    }

    #[test]
    fn any_table_of_odd_cells_loads_or_is_named(text in "(t|date|x),(v|y)\n([0-9T:/. -]{0,20}[,;]([0-9.]{1,5}|NaN|inf|)\n){1,12}") {
        let _ = load(text.as_bytes());
    }
}

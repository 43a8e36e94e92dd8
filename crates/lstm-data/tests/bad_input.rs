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
const FAULTS: [(&str, &[u8], &str); 37] = [
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
        ", line 3, column 't': '2020-02\"' is not a time",
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
        ", line 2, column 'v': '1,5' is not a number; write decimals with a point and no thousands separator",
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
        ", line 3, column 'v': '1e999' is not a finite number; correct it, or pass --fill linear to treat it as \
         missing",
    ),
    (
        "infinity in words",
        b"t,v\n2020-01,1\n2020-02,inf\n2020-03,3\n",
        ", line 3, column 'v': 'inf' is not a finite number; correct it, or pass --fill linear",
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
        "constant",
        b"t,v\n2020-01,3\n2020-02,3\n",
        ", column 'v': every value is 3, so there is nothing to learn; choose another --target",
    ),
];

#[test]
fn each_fault_is_named_in_one_sentence() {
    for (name, bytes, expected) in FAULTS {
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

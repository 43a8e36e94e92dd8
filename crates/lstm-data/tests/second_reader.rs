//! The reader against a second one, written here in forty lines, and against files with one fault planted in them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "second_reader/plain.rs"]
mod plain;

use lstm_data::{CsvOptions, Decimal, Duplicates, Fill, PanelOptions, read_panel, read_table_from};
use plain::second_reader;
use proptest::prelude::*;

/// Text as a spreadsheet would write it.
fn written(rows: &[Vec<(String, bool)>], delimiter: char, end: &str) -> String {
    let field = |(text, quoted): &(String, bool)| {
        let must = text.contains(['"', '\r', '\n', delimiter]);
        if *quoted || must { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
    };
    let line =
        |row: &Vec<(String, bool)>| row.iter().map(field).collect::<Vec<_>>().join(&delimiter.to_string());
    rows.iter().map(|row| line(row) + end).collect()
}

/// A name for each column and rows of text below them, with what the fields are quoted like.
fn tables() -> impl Strategy<Value = (Vec<Vec<(String, bool)>>, char, &'static str)> {
    let field = || {
        (
            prop_oneof!["[a-z]{1,6}", "[a-z0-9 ,;\"|]{1,8}", "-?[0-9]{1,4}(\\.[0-9]{1,3})?", "[a-z]\n[a-z]"],
            any::<bool>(),
        )
    };
    let rows = (2_usize..6).prop_flat_map(move |width| {
        proptest::collection::vec(proptest::collection::vec(field(), width), 1..12)
    });
    let ends = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    (rows, prop_oneof![Just(','), Just(';'), Just('\t'), Just('|')], ends).prop_map(
        |(mut rows, delimiter, end)| {
            let names =
                (0..rows[0].len()).map(|at| (format!("column {}", char::from(b'a' + at as u8)), false));
            rows.insert(0, names.collect());
            (rows, delimiter, end)
        },
    )
}

/// A sound file of months and values, which the faults go into: its rows, with a column of text and one of other numbers.
fn months() -> impl Strategy<Value = (Vec<[String; 4]>, Vec<f64>)> {
    proptest::collection::vec((1_u32..9999, "[a-z]{3,8}", 1_u32..99), 6..20).prop_map(|rows| {
        let line = |(at, (value, note, other)): (usize, &(u32, String, u32))| {
            let month = format!("{}-{:02}", 2000 + at / 12, at % 12 + 1);
            [month, note.clone(), other.to_string(), format!("{}.{}", value / 10, value % 10)]
        };
        let values = rows.iter().map(|(value, _, _)| f64::from(*value) / 10.0).collect();
        (rows.iter().enumerate().map(line).collect(), values)
    })
}

/// What is done to the text of a sound file.
#[derive(Debug, Clone)]
enum Fault {
    /// A character put before the n-th.
    Insert(char),
    /// A separator, quote or line end taken out.
    Remove,
    /// Lines put above the header.
    Preamble(&'static str),
    /// Lines put below the header.
    SecondHeader(&'static str),
    /// Lines put below all.
    Behind(&'static str),
    /// A second table below, of the same file.
    Again,
    /// The fields of one row moved to the left, the last one empty.
    ShiftLeft,
    /// The fields of one row moved to the right, the first one empty and the last one lost.
    ShiftRight,
    /// A row cut off.
    Cut,
    /// The decimal points as commas.
    Commas,
    /// Two columns that changed places in one row.
    Swap,
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        prop_oneof![Just(','), Just('"'), Just('\n'), Just(';'), Just('\t'), Just('\r')]
            .prop_map(Fault::Insert),
        Just(Fault::Remove),
        prop_oneof![Just("Report\n"), Just("Report,2020,a,b\n"), Just("a,b,c,d\n1,2,3,4\n"), Just("# x\n\n")]
            .prop_map(Fault::Preamble),
        prop_oneof![Just("[date],[text],[1],[kW]\n"), Just(",,,kW\n"), Just("Y-m,word,count,number\n")]
            .prop_map(Fault::SecondHeader),
        prop_oneof![
            Just("Total,,,99999\n"),
            Just(",,,99999\n"),
            Just("Source: X\n"),
            Just("\nname,x\na,1\n"),
            Just("\nmean,a,5,77\n"),
        ]
        .prop_map(Fault::Behind),
        Just(Fault::Again),
        Just(Fault::ShiftLeft),
        Just(Fault::ShiftRight),
        Just(Fault::Cut),
        Just(Fault::Commas),
        Just(Fault::Swap),
    ]
}

const HEADER: &str = "month,note,other,value\n";

fn text_of(rows: &[[String; 4]]) -> String {
    rows.iter().map(|row| row.join(",") + "\n").collect()
}

fn planted(rows: &[[String; 4]], fault: &Fault, at: prop::sample::Index) -> String {
    let sound = format!("{HEADER}{}", text_of(rows));
    let chosen = at.index(rows.len());
    let changed = |change: &dyn Fn(&mut [String; 4])| {
        let mut rows = rows.to_vec();
        change(&mut rows[chosen]);
        format!("{HEADER}{}", text_of(&rows))
    };
    match fault {
        Fault::Insert(mark) => {
            let mut text = sound.clone();
            text.insert(at.index(sound.len() + 1), *mark);
            text
        }
        Fault::Remove => {
            let marks: Vec<usize> = sound.match_indices([',', '\n']).map(|(at, _)| at).collect();
            let mut text = sound.clone();
            text.remove(*at.get(&marks));
            text
        }
        Fault::Preamble(lines) => format!("{lines}{sound}"),
        Fault::SecondHeader(lines) => format!("{HEADER}{lines}{}", text_of(rows)),
        Fault::Behind(lines) => format!("{sound}{lines}"),
        Fault::Again => format!("{sound}\n{sound}"),
        Fault::ShiftLeft => changed(&|row| {
            row.rotate_left(1);
            row[3].clear();
        }),
        Fault::ShiftRight => changed(&|row| {
            row.rotate_right(1);
            row[0].clear();
        }),
        Fault::Cut => changed(&|row| row[3].clear()),
        Fault::Commas => format!("{HEADER}{}", text_of(rows).replace('.', ",")),
        Fault::Swap => changed(&|row| row.swap(0, 3)),
    }
}

/// The values of the column `value`, where nothing may be repaired but the order of rows.
fn load(text: &str, decimal: Decimal) -> lstm_data::Result<Vec<f64>> {
    let table = read_table_from(text.as_bytes(), "f.csv", &CsvOptions { decimal, ..CsvOptions::default() })?;
    let options = PanelOptions {
        targets: vec!["value".to_owned()].into(),
        duplicates: Some(Duplicates::Error),
        fill: Some(Fill::None),
        ..PanelOptions::default()
    };
    Ok(read_panel(&table, &options)?.members.pop().map(|member| member.values).unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_readers_agree((rows, delimiter, end) in tables()) {
        let text = written(&rows, delimiter, end);
        let second = second_reader(&text, delimiter);
        let options = CsvOptions { delimiter: Some(delimiter), ..CsvOptions::default() };
        match read_table_from(text.as_bytes(), "a.csv", &options) {
            Ok(table) => {
                // Rows without any text at the end say nothing.
                let rows = second.len() - 1;
                let empty = second.iter().skip(1).rev().take_while(|row| row.iter().all(String::is_empty)).count();
                prop_assert!(table.rows() == rows || table.rows() == rows - empty, "{:?}", text);
                for (at, column) in table.columns().iter().enumerate() {
                    prop_assert_eq!(column.name(), &second[0][at]);
                    for (row, cell) in column.cells().enumerate() {
                        prop_assert_eq!(cell, &second[row + 1][at], "{:?}", text);
                    }
                }
            }
            Err(error) => {
                // Text of many lines may look like rows that a quote has swallowed; nothing else is wrong with it.
                prop_assert!(error.to_string().contains("look like rows"), "{}: {:?}", error, text);
            }
        }
    }

    #[test]
    fn a_sound_file_gives_its_values((rows, values) in months(), at in any::<prop::sample::Index>()) {
        prop_assert_eq!(load(&planted(&rows, &Fault::Behind(""), at), Decimal::Point).unwrap(), values);
    }

    /// As spreadsheets write it in many countries: semicolons, decimal commas, and points between thousands or none.
    #[test]
    fn a_file_of_decimal_commas_gives_its_values((rows, values) in months(), scale in 1_u32..9999, parted: bool) {
        let grouped = |digits: u64| match (digits / 1_000_000, digits / 1000 % 1000, digits % 1000) {
            (0, 0, ones) => ones.to_string(),
            (0, thousands, ones) => format!("{thousands}.{ones:03}"),
            (millions, thousands, ones) => format!("{millions}.{thousands:03}.{ones:03}"),
        };
        let tenths = values.iter().map(|value| (value * 10.0).round() as u64 * u64::from(scale));
        let tenths: Vec<u64> = tenths.collect();
        let line = |([month, note, other, _], tenths): (&[String; 4], &u64)| {
            let whole = if parted { grouped(tenths / 10) } else { (tenths / 10).to_string() };
            format!("{month};{note};{other};-{whole},{}\n", tenths % 10)
        };
        let text: String = rows.iter().zip(&tenths).map(line).collect();
        let loaded = load(&(HEADER.replace(',', ";") + &text), Decimal::Comma).unwrap();
        let wanted: Vec<f64> = tenths.iter().map(|tenths| format!("-{}.{}", tenths / 10, tenths % 10).parse().unwrap()).collect();
        prop_assert_eq!(loaded, wanted);
        // Without being told, nothing is read wrong: no value of these is a number then.
        prop_assert!(load(&(HEADER.replace(',', ";") + &text), Decimal::Point).is_err());
    }

    /// And where points are meant, they are not taken for thousands' but where they could be.
    #[test]
    fn decimal_points_are_refused_under_decimal_commas((rows, _) in months()) {
        let text = HEADER.to_owned() + &text_of(&rows);
        prop_assert!(load(&text, Decimal::Comma).is_err());
    }

    #[test]
    fn one_planted_fault_is_refused_or_changes_nothing(
        (rows, values) in months(),
        fault in faults(),
        at in any::<prop::sample::Index>(),
    ) {
        let text = planted(&rows, &fault, at);
        if let Ok(loaded) = load(&text, Decimal::Point) {
            // A value that is missing at either end is cut off, and that is said.
            let inner = [&values[1..], &values[..values.len() - 1]];
            let cut = matches!(fault, Fault::Cut) && inner.contains(&loaded.as_slice());
            prop_assert!(cut || loaded == values, "{:?}: {:?}: {:?}", fault, text, loaded);
        }
    }
}

//! Parquet files are read as CSV files of the same columns are; the files are written by the `parquet` crate.

#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use lstm_data::{CsvOptions, Error, PanelOptions, Table, read_panel, read_table_from};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

type Write<'a> = &'a dyn Fn(&mut SerializedColumnWriter<'_>);

/// A file of this schema, with a group of rows for each group of columns.
fn written(schema: &str, compression: Compression, groups: &[&[Write<'_>]]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        for write in *columns {
            let mut column = group.next_column().unwrap().unwrap();
            write(&mut column);
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// Values of a column, of which those are there whose level is 1.
macro_rules! column {
    ($kind:ty, $values:expr, $levels:expr) => {
        &|column| {
            column.typed::<$kind>().write_batch(&$values, $levels, None).unwrap();
        }
    };
}

fn read(bytes: &[u8]) -> Result<Table, Error> {
    read_table_from(bytes, "a.parquet", &CsvOptions::default())
}

fn cells(table: &Table) -> Vec<(&str, Vec<&str>)> {
    table.columns().iter().map(|column| (column.name(), column.cells().collect())).collect()
}

fn text(words: &[&str]) -> Vec<ByteArray> {
    words.iter().map(|word| ByteArray::from(*word)).collect()
}

const DAY: i64 = 86_400_000_000;

#[test]
fn a_table_is_that_of_the_csv_file() {
    let schema =
        "required int64 day (TIMESTAMP(MICROS,false)); optional double load; optional binary sky (STRING);
        required boolean holiday; optional int32 count; required int64 id (INTEGER(64,false));
        required int32 price (DECIMAL(9,2));";
    let first: &[Write<'_>] = &[
        column!(Int64Type, [18_262 * DAY, 18_263 * DAY], None),
        column!(DoubleType, [1.5], Some(&[1, 0])),
        column!(ByteArrayType, text(&["clear", "rain, snow"]), Some(&[1, 1])),
        column!(BoolType, [true, false], None),
        column!(Int32Type, [-3, 7], Some(&[1, 1])),
        column!(Int64Type, [-1, 0], None),
        column!(Int32Type, [1999, -5], None),
    ];
    let second: &[Write<'_>] = &[
        column!(Int64Type, [18_264 * DAY], None),
        column!(DoubleType, [f64::NAN], Some(&[1])),
        column!(ByteArrayType, text(&[]), Some(&[0])),
        column!(BoolType, [true], None),
        column!(Int32Type, [], Some(&[0])),
        column!(Int64Type, [5], None),
        column!(Int32Type, [100], None),
    ];
    let csv = "day,load,sky,holiday,count,id,price\n2020-01-01,1.5,clear,true,-3,18446744073709551615,19.99\n\
        2020-01-02,,\"rain, snow\",false,7,0,-0.05\n2020-01-03,NaN,,true,,5,1.00\n";
    let csv = read_table_from(csv.as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
    let kinds = |table: &Table| table.columns().iter().map(|column| column.kind()).collect::<Vec<_>>();
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW, zstd] {
        let table = read(&written(schema, compression, &[first, second])).unwrap();
        assert_eq!((cells(&table), kinds(&table)), (cells(&csv), kinds(&csv)), "{compression}");
        assert_eq!((table.rows(), table.line(2)), (3, 3));
    }
}

#[test]
fn times_keep_their_unit_and_zone() {
    let noon = 18_262 * DAY + DAY / 2;
    let schema = "required int64 a (TIMESTAMP(MILLIS,true)); required int64 b (TIMESTAMP(MICROS,false));
        required int64 c (TIMESTAMP(NANOS,false)); required int32 d (DATE); required int64 e (TIMESTAMP(MILLIS,false));";
    let times: &[Write<'_>] = &[
        column!(Int64Type, [noon / 1000, noon / 1000 + 3_600_000], None),
        column!(Int64Type, [noon + 250, noon + 500], None),
        column!(Int64Type, [noon * 1000, -1000 * DAY], None),
        column!(Int32Type, [18_262, -1], None),
        column!(Int64Type, [noon / 1000 + 5, noon / 1000 + 10], None),
    ];
    let table = read(&written(schema, Compression::UNCOMPRESSED, &[times])).unwrap();
    let expected = [
        ("a", ["2020-01-01T12:00:00Z", "2020-01-01T13:00:00Z"]),
        ("b", ["2020-01-01T12:00:00.000250", "2020-01-01T12:00:00.000500"]),
        ("c", ["2020-01-01T12:00:00", "1969-12-31T00:00:00"]),
        ("d", ["2020-01-01", "1969-12-31"]),
        ("e", ["2020-01-01T12:00:00.005", "2020-01-01T12:00:00.010"]),
    ];
    assert_eq!(cells(&table), expected.map(|(name, cells)| (name, cells.to_vec())));
}

#[test]
fn a_series_of_it_is_forecast_like_any() {
    let days: Vec<i64> = (0..40).map(|day| (18_262 + day) * DAY).collect();
    let values: Vec<f64> = (0..40).map(|day| f64::from(day % 7)).collect();
    let columns: &[Write<'_>] = &[column!(Int64Type, days, None), column!(DoubleType, values, None)];
    let schema = "required int64 day (TIMESTAMP(MICROS,true)); required double load;";
    let table = read(&written(schema, Compression::SNAPPY, &[columns])).unwrap();
    let panel = read_panel(&table, &PanelOptions::default()).unwrap();
    assert_eq!((panel.members[0].id.as_str(), &panel.members[0].values), ("load", &values));
    assert_eq!(panel.step().unwrap().to_string(), "1 day");
}

#[test]
fn what_is_no_table_is_refused_with_a_reason() {
    let refusal = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let numbers: &[Write<'_>] = &[column!(Int64Type, [1, 2, 3], None)];
    let whole = written("required int64 a;", Compression::SNAPPY, &[numbers]);
    assert!(read(&whole).is_ok());
    for len in 4..whole.len() {
        assert!(refusal(&whole[..len]).starts_with("a.parquet: not readable as Parquet: "), "{len} bytes");
    }
    let nested: &[Write<'_>] = &[column!(Int64Type, [1], Some(&[2]))];
    let nested = written("optional group a { optional int64 b; }", Compression::UNCOMPRESSED, &[nested]);
    assert_eq!(
        refusal(&nested),
        "a.parquet, column 'a.b': not readable as Parquet: its type, INT64, is no number, time, boolean or text; leave it out"
    );
    let empty = written("required int64 a;", Compression::UNCOMPRESSED, &[]);
    assert_eq!(refusal(&empty), "a.parquet: not readable as Parquet: it holds no rows");
    // Few bytes of a file, many in memory.
    let zeros = vec![0; 100_000];
    let zeros: &[Write<'_>] = &[column!(Int64Type, zeros, None)];
    let zeros = written("required int64 a;", Compression::SNAPPY, &[zeros]);
    let options = CsvOptions { max_bytes: 100_000, ..CsvOptions::default() };
    assert!(zeros.len() < 10_000, "{}", zeros.len());
    let refused = read_table_from(&zeros[..], "a.parquet", &options).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: 100_000, .. }), "{refused}");
}

#[test]
#[ignore = "reads Parquet files that other programs wrote: set LSTM_DATA_DIR"]
fn files_of_other_programs_are_series() {
    let folder = std::env::var("LSTM_DATA_DIR").unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let table = lstm_data::read_table(&path, &CsvOptions::default()).unwrap();
            let panel = read_panel(&table, &PanelOptions::default()).unwrap();
            let axis = panel.members[0].axis.as_ref().unwrap();
            assert_eq!(axis.rows(), table.rows(), "{}: {}", path.display(), axis.label(0));
        }
    }
}

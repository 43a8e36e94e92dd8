//! A Parquet file as the table that a CSV file of the same columns gives.

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, Place, Result, shown};
use crate::table::{Builder, Table};

/// How such a file begins.
pub(crate) const MAGIC: &[u8] = b"PAR1";
/// Rows that are decoded at once.
const BATCH: usize = 4096;

/// The table of a file's bytes, with text of at most `limit` bytes. A missing value is an empty cell; rows count as lines,
/// from 1. Times are written as ISO 8601 has them, with `Z` where the file says that they are UTC, and as dates where all
/// are midnights of no zone.
pub(crate) fn table(bytes: Vec<u8>, name: &str, limit: u64) -> Result<Table> {
    let at = || Place::file(name);
    let unreadable = |error: ParquetError| Error::Parquet { at: at(), why: error.to_string() };
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(unreadable)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut columns = Vec::new();
    for described in schema.columns() {
        let kind = Kind::of(described).ok_or_else(|| Error::Parquet {
            at: at().column(&described.path().string()),
            why: format!(
                "its type, {}, is no number, time, boolean or text; leave it out",
                type_of(described)
            ),
        })?;
        columns.push(Column { kind, text: String::new(), ends: Vec::new(), times: Vec::new() });
    }
    let mut left = limit;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(unreadable)?;
        for (index, column) in columns.iter_mut().enumerate() {
            let cells = group.get_column_reader(index).map_err(unreadable)?;
            let optional = schema.column(index).max_def_level() > 0;
            let before = column.bytes();
            column.read(cells, optional, before.saturating_add(left)).map_err(|refused| match refused {
                Refused::Unreadable(error) => unreadable(error),
                Refused::TooLarge => Error::TooLarge { at: at(), limit },
            })?;
            left -= column.bytes() - before;
        }
    }
    let rows = columns.first().map_or(0, Column::rows);
    if rows == 0 || columns.iter().any(|column| column.rows() != rows) {
        let why = if rows == 0 { "it holds no rows" } else { "its columns are of different length" };
        return Err(Error::Parquet { at: at(), why: why.into() });
    }
    let styles: Vec<Style> = columns.iter().map(Column::style).collect();
    let mut builder = Builder::new(name, b',', 1, schema.columns().iter().map(|column| column.name()))?;
    for row in 0..rows {
        let cells: Vec<String> =
            columns.iter().zip(&styles).map(|(column, style)| column.cell(row, *style)).collect();
        builder.push(row as u64 + 1, false, cells.iter().map(String::as_str));
    }
    Ok(builder.finish())
}

fn type_of(column: &ColumnDescriptor) -> String {
    let physical = column.physical_type();
    column.logical_type_ref().map_or_else(|| shown(&physical.to_string()), |logical| format!("{logical:?}"))
}

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// As they are.
    Plain,
    /// Whole numbers without a sign.
    Unsigned,
    /// Days since 1970.
    Date,
    /// Times since 1970, so many in a microsecond or so many microseconds each.
    Time { per_micro: i64, micros: i64, utc: bool },
    /// Whole numbers over a power of ten.
    Decimal(usize),
}

impl Kind {
    /// None where a column is nested, or of a type that no CSV cell could mean.
    fn of(column: &ColumnDescriptor) -> Option<Self> {
        use ::parquet::basic::Type as Physical;
        if column.max_rep_level() > 0 || column.max_def_level() > 1 || column.path().parts().len() > 1 {
            return None;
        }
        let time = |per_micro, micros, utc| Some(Self::Time { per_micro, micros, utc });
        let decimal = || usize::try_from(column.type_scale()).ok().map(Self::Decimal);
        match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Timestamp(of)), _) => match of.unit {
                TimeUnit::MILLIS => time(1, 1000, of.is_adjusted_to_u_t_c),
                TimeUnit::MICROS => time(1, 1, of.is_adjusted_to_u_t_c),
                TimeUnit::NANOS => time(1000, 1, of.is_adjusted_to_u_t_c),
            },
            (None, ConvertedType::TIMESTAMP_MILLIS) => time(1, 1000, true),
            (None, ConvertedType::TIMESTAMP_MICROS) => time(1, 1, true),
            (Some(LogicalType::Date), _) | (None, ConvertedType::DATE) => Some(Self::Date),
            (Some(LogicalType::Decimal(_)), _) | (None, ConvertedType::DECIMAL) => decimal(),
            (Some(LogicalType::Integer(of)), _) if !of.is_signed => Some(Self::Unsigned),
            (
                None,
                ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64,
            ) => Some(Self::Unsigned),
            (
                None
                | Some(
                    LogicalType::Integer(_) | LogicalType::String | LogicalType::Enum | LogicalType::Unknown,
                ),
                _,
            ) => match column.physical_type() {
                Physical::FIXED_LEN_BYTE_ARRAY => None,
                Physical::INT96 => time(1000, 1, false),
                _ => Some(Self::Plain),
            },
            _ => None,
        }
    }
}

/// Why a column is not read on.
enum Refused {
    Unreadable(ParquetError),
    TooLarge,
}

type Read = std::result::Result<(), Refused>;

impl From<ParquetError> for Refused {
    fn from(error: ParquetError) -> Self {
        Self::Unreadable(error)
    }
}

/// The values of a column that are not missing, as text or as times.
struct Column {
    kind: Kind,
    text: String,
    ends: Vec<usize>,
    /// Microseconds since 1970, for [`Kind::Time`].
    times: Vec<Option<i64>>,
}

/// How the times of a column are written: as dates, or with so many digits behind the second.
#[derive(Clone, Copy)]
enum Style {
    Dates,
    Times(u8),
}

impl Column {
    fn rows(&self) -> usize {
        self.ends.len().max(self.times.len())
    }

    fn read(&mut self, reader: ColumnReader, optional: bool, limit: u64) -> Read {
        let kind = self.kind;
        match reader {
            ColumnReader::BoolColumnReader(of) => self.texts(of, optional, limit, |v, _| Some(v.to_string())),
            ColumnReader::Int32ColumnReader(of) => self.texts(of, optional, limit, |v, _| match kind {
                Kind::Unsigned => Some(v.cast_unsigned().to_string()),
                Kind::Date => day(i64::from(*v)),
                _ => Some(number(i128::from(*v), kind)),
            }),
            ColumnReader::Int64ColumnReader(of) => match kind {
                Kind::Time { per_micro, micros, .. } => {
                    self.times(of, optional, limit, |v| v.div_euclid(per_micro).checked_mul(micros))
                }
                Kind::Unsigned => self.texts(of, optional, limit, |v, _| Some(v.cast_unsigned().to_string())),
                _ => self.texts(of, optional, limit, |v, _| Some(number(i128::from(*v), kind))),
            },
            ColumnReader::Int96ColumnReader(of) => self.times(of, optional, limit, |v| Some(v.to_micros())),
            ColumnReader::FloatColumnReader(of) => {
                self.texts(of, optional, limit, |v, _| Some(v.to_string()))
            }
            ColumnReader::DoubleColumnReader(of) => {
                self.texts(of, optional, limit, |v, _| Some(v.to_string()))
            }
            ColumnReader::ByteArrayColumnReader(of) => self.texts(of, optional, limit, |v, _| match kind {
                Kind::Decimal(_) => big_endian(v.data()).map(|value| number(value, kind)),
                _ => v.as_utf8().ok().map(str::to_owned),
            }),
            ColumnReader::FixedLenByteArrayColumnReader(of) => {
                self.texts(of, optional, limit, |v, _| big_endian(v.data()).map(|value| number(value, kind)))
            }
        }
    }

    fn texts<T: DataType>(
        &mut self,
        reader: ColumnReaderImpl<T>,
        optional: bool,
        limit: u64,
        cell: impl Fn(&T::T, Kind) -> Option<String>,
    ) -> Read {
        let kind = self.kind;
        each(reader, optional, |value| {
            if let Some(value) = value {
                let cell = cell(value, kind).ok_or_else(|| unfit(self.ends.len()))?;
                self.text.push_str(&cell);
            }
            self.ends.push(self.text.len());
            within(self.bytes(), limit)
        })
    }

    fn times<T: DataType>(
        &mut self,
        reader: ColumnReaderImpl<T>,
        optional: bool,
        limit: u64,
        micros: impl Fn(&T::T) -> Option<i64>,
    ) -> Read {
        each(reader, optional, |value| {
            let micros = value.map(|value| micros(value).filter(|m| Timestamp::from_microsecond(*m).is_ok()));
            if micros == Some(None) {
                return Err(unfit(self.times.len()));
            }
            self.times.push(micros.flatten());
            within(self.bytes(), limit)
        })
    }

    /// What it takes of memory.
    fn bytes(&self) -> u64 {
        (self.text.len() + 8 * self.ends.len() + 16 * self.times.len()) as u64
    }

    fn style(&self) -> Style {
        let whole = |unit: i64| self.times.iter().flatten().all(|micros| micros % unit == 0);
        match self.kind {
            Kind::Time { utc: false, .. } if whole(crate::stamp::DAY) => Style::Dates,
            _ if whole(1_000_000) => Style::Times(0),
            _ if whole(1000) => Style::Times(3),
            _ => Style::Times(6),
        }
    }

    fn cell(&self, row: usize, style: Style) -> String {
        let Kind::Time { utc, .. } = self.kind else {
            let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
            return self.text[start..self.ends[row]].to_owned();
        };
        let time = self.times[row].and_then(|micros| Timestamp::from_microsecond(micros).ok());
        time.map_or(String::new(), |time| {
            let time = time.to_zoned(TimeZone::UTC).datetime();
            match style {
                Style::Dates => time.date().to_string(),
                Style::Times(digits) => {
                    format!("{time:.*}{}", usize::from(digits), if utc { "Z" } else { "" })
                }
            }
        })
    }
}

/// Calls `take` with each value of a column, or none where it is missing.
fn each<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    optional: bool,
    mut take: impl FnMut(Option<&T::T>) -> Read,
) -> Read {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let (records, ..) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        let mut present = values.iter();
        if optional {
            levels.iter().try_for_each(|level| take(if *level > 0 { present.next() } else { None }))?;
        } else {
            present.try_for_each(|value| take(Some(value)))?;
        }
    }
}

fn unfit(row: usize) -> Refused {
    Refused::Unreadable(ParquetError::General(format!(
        "the value of row {} is out of range or no text",
        row + 1
    )))
}

/// What takes few bytes in a file may take many in memory.
fn within(bytes: u64, limit: u64) -> Read {
    if bytes > limit { Err(Refused::TooLarge) } else { Ok(()) }
}

/// A date, so many days after 1970-01-01.
fn day(days: i64) -> Option<String> {
    let time = Timestamp::from_second(days * 86_400).ok()?;
    Some(time.to_zoned(TimeZone::UTC).date().to_string())
}

/// A whole number, or one over a power of ten.
fn number(value: i128, kind: Kind) -> String {
    match kind {
        Kind::Decimal(scale) if scale > 0 => {
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, part) = digits.split_at(digits.len() - scale);
            format!("{}{whole}.{part}", if value < 0 { "-" } else { "" })
        }
        _ => value.to_string(),
    }
}

/// A signed number of at most 16 bytes, the first byte the highest.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let begin = if negative { -1 } else { 0 };
    (bytes.len() <= 16).then(|| bytes.iter().fold(begin, |value, byte| (value << 8) | i128::from(*byte)))
}

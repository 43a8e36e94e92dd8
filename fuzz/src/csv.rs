//! CSV text: what is read is what a second reader reads, survives being written and read again, and holds no NaN.

#[path = "../../crates/lstm-data/tests/second_reader/plain.rs"]
mod plain;

use lstm_data::{CsvOptions, Decimal, Panel, Table, read_panel, read_table_from};
use plain::second_reader;

/// Reads a table, and a panel of it; with points and with commas before fractions.
pub fn check(bytes: &[u8]) -> bool {
    let commas = CsvOptions { decimal: Decimal::Comma, ..CsvOptions::default() };
    if let Ok(panel) =
        read_table_from(bytes, "a.csv", &commas).and_then(|table| read_panel(&table, &Default::default()))
    {
        sound(&panel);
    }
    let Ok(table) = read_table_from(bytes, "a.csv", &CsvOptions::default()) else { return false };
    agrees(bytes, &table);
    let again = read_again(&table);
    let Ok(panel) = read_panel(&table, &Default::default()) else { return false };
    sound(&panel);
    if let Some(again) = again
        && let Ok(again) = read_panel(&again, &Default::default())
    {
        assert_eq!(again.members, panel.members, "another panel, written and read again");
    }
    true
}

/// The cells are those of the second reader, but for rows without text, and names that are empty.
fn agrees(bytes: &[u8], table: &Table) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.starts_with("sep=") || text.starts_with("\"sep=") || text.starts_with('\u{feff}') {
        return;
    }
    let mut second = second_reader(text, table.delimiter()).into_iter();
    let names = second.find(|row| row.len() > 1 || says_something(row)).unwrap_or_default();
    let second: Vec<Vec<String>> = second.filter(|row| says_something(row)).collect();
    let cells = |row| table.columns().iter().map(|column| column.cell(row).to_owned()).collect();
    let mut rows: Vec<Vec<String>> = (0..table.rows()).map(cells).collect();
    rows.retain(|row| says_something(row));
    assert_eq!(rows, second);
    assert_eq!(names.len(), table.columns().len());
    for (name, column) in names.iter().zip(table.columns()) {
        assert!(name.is_empty() || name == column.name(), "{names:?}");
        assert_eq!(column.cells().count(), table.rows());
    }
}

fn says_something(row: &[String]) -> bool {
    row.iter().any(|cell| !cell.is_empty())
}

/// The table, written with every field in quotes and read again: the same cells, if it is read.
fn read_again(table: &Table) -> Option<Table> {
    // As the first line this would not be a name: it tells the delimiter, or the encoding.
    if ["sep=", "\u{feff}"].iter().any(|mark| table.columns()[0].name().starts_with(mark)) {
        return None;
    }
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    let line = |cells: Vec<String>| cells.join(&table.delimiter().to_string()) + "\n";
    let mut text = line(table.columns().iter().map(|column| quoted(column.name())).collect());
    for row in 0..table.rows() {
        text += &line(table.columns().iter().map(|column| quoted(column.cell(row))).collect());
    }
    let options =
        CsvOptions { delimiter: Some(table.delimiter()), header: Some(true), ..CsvOptions::default() };
    let again = read_table_from(text.as_bytes(), "b.csv", &options).ok()?;
    assert_eq!(again.rows(), table.rows());
    for (old, new) in table.columns().iter().zip(again.columns()) {
        assert_eq!(old.name(), new.name());
        assert!(old.cells().eq(new.cells()), "{}: other cells", old.name());
    }
    Some(again)
}

fn sound(panel: &Panel) {
    for member in &panel.members {
        let rows = member.rows();
        assert!(member.values.iter().all(|value| value.is_finite()), "{}: {:?}", member.id, member.values);
        assert!(member.axis.as_ref().is_none_or(|axis| axis.rows() == rows), "an axis of another length");
        let others = member.past.iter().chain(&member.known).chain(&member.fixed);
        assert!(others.into_iter().all(|value| value.is_finite()), "{}: a covariate", member.id);
        let mut end = 0;
        for stretch in &member.made {
            assert!(
                end <= stretch.start && stretch.start < stretch.end && stretch.end <= rows,
                "{stretch:?}"
            );
            end = stretch.end;
        }
    }
}

//! A good series with something wrong in it, and files that are not there.

use super::{all_fail, file, huge, row};
use crate::common::{csv, days};

#[test]
fn wrong_csv_files() {
    let train = "train bad.csv --out out --force";
    all_fail(&[
        ("missing file", &|_| {}, train, 3, "); check the path and its permissions"),
        ("folder", &file("bad.csv/a", ""), train, 3, "bad.csv: is a folder, where a CSV file is expected"),
        (
            "empty file",
            &file("bad.csv", ""),
            train,
            3,
            "bad.csv: is empty; a header line and rows below it are expected",
        ),
        (
            "header only",
            &file("bad.csv", "day,sales\n"),
            train,
            3,
            "bad.csv, line 1: a header and no rows below it",
        ),
        (
            "no header",
            &file("bad.csv", "2020-01-01,3\n2020-01-02,4\n"),
            train,
            3,
            "bad.csv, line 1: the first row holds data (2020-01-01, 3), not column names; add a header line, or pass --no-header",
        ),
        (
            "missing column",
            &|_| {},
            "train good.csv --target slaes --out out --force",
            3,
            "good.csv: no column is called 'slaes' (did you mean 'sales'?); the columns are day, sales",
        ),
        (
            "missing time column",
            &|_| {},
            "train good.csv --time date --out out --force",
            3,
            "good.csv: no column is called 'date'",
        ),
        (
            "text in a number column",
            &row(|rows| rows[4].1 = "oops".into()),
            train,
            3,
            "bad.csv, line 6, column 'sales': 'oops' is not a number; correct the cell or remove the row",
        ),
        (
            "NaN, where every value must be there",
            &row(|rows| rows[4].1 = "NaN".into()),
            "train bad.csv --fill none --out out --force",
            3,
            "bad.csv, line 6, column 'sales': ",
        ),
        (
            "many empty cells",
            &row(|rows| rows[4..14].iter_mut().for_each(|row| row.1.clear())),
            train,
            3,
            "bad.csv, line 6, column 'sales': ",
        ),
        (
            "infinite value, where every value must be there",
            &row(|rows| rows[4].1 = "inf".into()),
            "train bad.csv --fill none --out out --force",
            3,
            "bad.csv, line 6, column 'sales': ",
        ),
        (
            "ragged row",
            &row(|rows| rows[4].1 = "1,2".into()),
            train,
            3,
            "bad.csv, line 6: 3 fields where the first row (line 1) has 2; look for a missing or extra ','",
        ),
        (
            "too short",
            &|place| place.write("bad.csv", csv(&days(90)[..3])),
            train,
            3,
            "bad.csv: the series has 3 rows, but a lookback of 1 and a horizon of 1 need 4 to train, validate and \
             test on; give more rows",
        ),
        (
            "horizon longer than the file",
            &|_| {},
            "train good.csv --horizon 1000 --out out --force",
            3,
            "good.csv: the series has 90 rows, but a lookback of 1 and a horizon of 1000 need",
        ),
        (
            "constant series",
            &row(|rows| rows.iter_mut().for_each(|row| row.1 = "5".into())),
            train,
            3,
            "bad.csv, column 'sales': every value is 5, so there is nothing to learn; choose another --target",
        ),
        (
            "duplicate time, where none may be",
            &row(|rows| rows[4] = rows[3].clone()),
            "train bad.csv --duplicates error --out out --force",
            3,
            "bad.csv, line 6, column 'day': ",
        ),
        ("gap", &row(|rows| drop(rows.drain(4..14))), train, 3, "bad.csv, line "),
        (
            "wrong delimiter",
            &file("bad.csv", "day;sales\n2020-01-01;1\n2020-01-02;2\n"),
            "train bad.csv --delimiter , --out out --force",
            3,
            "bad.csv, line 1: splitting at ',' gives a single column, while ';' would give 2; pass --delimiter ';'",
        ),
        (
            "unclosed quote",
            &file("bad.csv", "day,sales\n2020-01-01,\"1\n2020-01-02,2\n"),
            train,
            3,
            "bad.csv, line 2: a quote is opened and never closed",
        ),
        (
            "not UTF-8",
            &|place| place.write("bad.csv", b"day,sales\n2020-01-01,\xe4\n"),
            train,
            3,
            "bad.csv, line 2: byte 0xe4 is not UTF-8",
        ),
        (
            "numbers too large to calculate with",
            &huge,
            train,
            3,
            "bad.csv: the series holds numbers so large that its forecast is no finite number",
        ),
        (
            "a target of text",
            &|_| {},
            "train good.csv --target day --out out --force",
            3,
            "good.csv, line 2, column 'day': holds times ('2020-01-01'), where numbers are needed",
        ),
    ]);
}

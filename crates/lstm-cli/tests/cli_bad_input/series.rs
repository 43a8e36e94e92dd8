//! Series that are too short, constant, or several where one was expected.

use super::{Entry, TRAIN};

/// Each file is refused with exactly this sentence.
#[rustfmt::skip]
pub(super) const SERIES: &[Entry] = &[
    ("constant", b"t,v\n2020-01,1\n2020-02,1\n2020-03,1\n", TRAIN, 3,
        "bad.csv, column 'v': every value is 1, so there is nothing to learn; choose another --target"),
    ("constant to sixteen digits", b"t,v\n2020-01,12345678901234567890\n2020-02,12345678901234567891\n", TRAIN, 3,
        "bad.csv, column 'v': every value is 12345678901234567000, so there is nothing to learn; choose another --target"),
    ("one row", b"t,v\n2020-01,1\n", TRAIN, 3,
        "bad.csv, column 'v': every value is 1, so there is nothing to learn; choose another --target"),
    ("two rows", b"t,v\n2020-01,1\n2020-02,2\n", TRAIN, 3,
        "bad.csv: the series has 2 rows, but a lookback of 1 and a horizon of 1 need 4 to train, validate and test on; give more rows"),
    ("three rows", b"t,v\n2020-01,1\n2020-02,2\n2020-03,4\n", TRAIN, 3,
        "bad.csv: the series has 3 rows, but a lookback of 1 and a horizon of 1 need 4 to train, validate and test on; give more rows"),
    ("shorter than the window", b"t,v\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-04,1\n2020-01-05,2\n2020-01-06,3\n2020-01-07,1\n2020-01-08,2\n2020-01-09,3\n2020-01-10,1\n2020-01-11,2\n2020-01-12,3\n2020-01-13,1\n2020-01-14,2\n2020-01-15,3\n2020-01-16,1\n2020-01-17,2\n2020-01-18,3\n2020-01-19,1\n2020-01-20,2\n", "train bad.csv --lookback 30 --horizon 5 --out out --force", 3,
        "bad.csv: the series has 20 rows, but a lookback of 30 and a horizon of 5 need 45 to train, validate and test on; lower --lookback or --horizon, or give more rows"),
    ("shorter than the horizon", b"t,v\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-04,1\n2020-01-05,2\n2020-01-06,3\n2020-01-07,1\n2020-01-08,2\n2020-01-09,3\n2020-01-10,1\n2020-01-11,2\n2020-01-12,3\n2020-01-13,1\n2020-01-14,2\n2020-01-15,3\n2020-01-16,1\n2020-01-17,2\n2020-01-18,3\n2020-01-19,1\n2020-01-20,2\n", "train bad.csv --horizon 30 --out out --force", 3,
        "bad.csv: the series has 20 rows, but a lookback of 1 and a horizon of 30 need 91 to train, validate and test on; lower --horizon, or give more rows"),
    ("series one below another, by number", b"t,shop,v\n2020-01-01,1,1\n2020-01-02,1,2\n2020-01-03,1,3\n2020-01-04,1,4\n2020-01-05,1,0\n2020-01-06,1,1\n2020-01-01,2,2\n2020-01-02,2,4\n2020-01-03,2,1\n2020-01-04,2,3\n2020-01-05,2,0\n2020-01-06,2,2\n2020-01-01,3,3\n2020-01-02,3,1\n2020-01-03,3,4\n2020-01-04,3,2\n2020-01-05,3,0\n2020-01-06,3,3\n", TRAIN, 3,
        "bad.csv, line 8, column 't': time 2020-01-01 stands in line 2 already, and 12 of 18 rows repeat a time; if several series stand one below another, name the column that tells them apart with --id, else pass --duplicates mean (or first, last)"),
    ("series one below another without times", b"shop,v\na,1\na,2\na,3\nb,4\nb,5\nb,6\n", TRAIN, 3,
        "bad.csv, line 5, column 'shop': the rows of 'a' stand together, then those of 'b', so there may be several series; name the column with --id, or pass --time none to take all rows as one series"),
    ("an id missing", b"unique_id,ds,y\na,2020-01,1\na,2020-02,2\n,2020-01,1\n,2020-02,3\n", TRAIN, 3,
        "bad.csv, line 4, column 'unique_id': the id of the series is missing; fill in the cell or remove the row"),
    ("a row, not a column", b"v,1,5,3,4\n", TRAIN, 3,
        "bad.csv, line 1: a header and no rows below it; add the data"),
    ("a target that is a time", b"t,v\n2020-01,1\n2020-02,2\n", "train bad.csv --target t --out out --force", 3,
        "bad.csv, line 2, column 't': holds times ('2020-01'), where numbers are needed; choose another column with --target"),
    ("a target that is text", b"t,n,v\n2020-01,a,1\n2020-02,b,2\n", "train bad.csv --target n --out out --force", 3,
        "bad.csv, line 2, column 'n': holds text ('a'), where numbers are needed; choose another column with --target"),
    ("covariates that are times", b"t,v\n2020-01,1\n2020-02,2\n", "train bad.csv --known t --out out --force", 3,
        "bad.csv, column 't': holds times, which a network cannot read beside the values; take it out of --known, --past and --static"),
    ("infinity beside the values", b"t,v,w\n2020-01,1,2\n2020-02,3,inf\n2020-03,2,1\n", "train bad.csv --target v --past w --out out --force", 3,
        "bad.csv, line 3, column 'w': 'inf' is not a finite number; correct it, or leave the cell empty to have it filled"),
    ("rows to come for nothing", b"t,v\n2020-01,1\n2020-02,2\n", "train bad.csv --future bad.csv --out out --force", 2,
        "--future gives the known columns of rows to come, and there are none; name them with --known, or leave it out"),
];

/// Name, the bytes of bad.csv, and a line that `lstm inspect` prints.
#[rustfmt::skip]
pub(super) const SAID: &[(&str, &[u8], &str)] = &[
    ("a sign for nothing", b"t,v\n2020-01,1\n2020-02,-999\n2020-03,4\n2020-04,5\n",
        "'-999' stands once in 'v', far from all else; if it means a missing value, leave the cell empty."),
    ("more digits than a double holds", b"t,v\n2020-01,9007199254740993\n2020-02,9007199254740994\n2020-03,9007199254740999\n",
        "2 values of 'v' had more digits than a double holds and were rounded."),
    ("three digits behind every point", b"t;v\n2020-01;1.957\n2020-02;2.012\n",
        "Points in 'v' are read as decimal points; if they part thousands, leave them out."),
    ("times out of order", b"t,v\n2020-03,1\n2020-02,2\n2020-01,4\n",
        "2 rows stood out of order; all were sorted by time."),
    ("row numbers out of order", b"t,v\n2,1\n0,2\n1,3\n3,4\n",
        "1 row stood out of order; all were sorted by time."),
    ("nothing at the end", b"t,v\n2020-01,1\n2020-02,2\n2020-03,\n2020-04,NaN\n",
        "2 rows behind the last value of a series were cut off."),
    ("nothing at the start", b"t,v\n2020-01,null\n2020-02,2\n2020-03,1\n2020-04,5\n",
        "1 row before the first value of a series was cut off."),
    ("no times", b"v\n1\n5\n2\n",
        "Read as one series a column; no times, so that values follow one another at an even step."),
    ("two columns", b"t,v,w\n2020-01,1,3\n2020-02,2,9\n",
        "'v' is forecast; --target chooses another column (w), and --target all takes each as a series."),
    ("dates of eight digits", b"when,v\n20200131,1\n20200201,2\n20200202,3\n",
        "Read as one series a column; times in 'when', a step of 1 day."),
    ("a line that tells the delimiter", b"sep=;\r\nt;v\r\n2020-01;1\r\n2020-02;2\r\n",
        "Read as one series a column; times in 't', a step of 1 month."),
    ("offsets that change", b"t,v\n2023-03-26T00:00:00+01:00,1\n2023-03-26T01:00:00+01:00,3\n2023-03-26T03:00:00+02:00,2\n",
        "Read as one series a column; times in 't', a step of 1 hour."),
];

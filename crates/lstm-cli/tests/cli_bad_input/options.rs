//! Numbers that an option cannot take, sizes that do not fit together, and options that would be ignored.

use super::{all_fail, file};
use crate::common::Place;

/// Command, option, the name of its value, and what it may be.
type Option = (&'static str, &'static str, &'static str, &'static str);

const TRAIN: &str = "train good.csv --out out";
const LAB: &str = "lab missing.safetensors good.csv";

const WHOLE: [Option; 22] = [
    (TRAIN, "horizon", "STEPS", "a whole number from 1 to 100000"),
    (TRAIN, "lookback", "STEPS", "a whole number from 1 to 1000000"),
    (TRAIN, "season", "STEPS", "a whole number from 1 to 1000000"),
    (TRAIN, "segment", "VALUES", "a whole number from 1 to 10000"),
    (TRAIN, "embedding", "UNITS", "a whole number from 0 to 16384"),
    (TRAIN, "hidden", "UNITS", "a whole number from 1 to 16384"),
    (TRAIN, "layers", "COUNT", "a whole number from 1 to 64"),
    (TRAIN, "ensemble", "COUNT", "a whole number from 1 to 100"),
    (TRAIN, "held-out", "ROWS", "a whole number from 1 to 4000000000"),
    (TRAIN, "validation", "ROWS", "a whole number from 1 to 4000000000"),
    (TRAIN, "epochs", "COUNT", "a whole number from 1 to 1000000"),
    (TRAIN, "batch", "WINDOWS", "a whole number from 1 to 1048576"),
    (TRAIN, "threads", "COUNT", "a whole number from 1 to 1024"),
    (TRAIN, "block", "STEPS", "a whole number from 1 to 100000"),
    (TRAIN, "mase-season", "STEPS", "a whole number from 1 to 1000000"),
    (TRAIN, "seed", "NUMBER", "a whole number, at least 0"),
    (TRAIN, "patience", "LOOKS", "a whole number from 0 to 1000000"),
    ("backtest good.csv", "origins", "COUNT", "a whole number from 1 to 1000000"),
    (LAB, "steps", "STEPS", "a whole number from 1 to 100000"),
    (LAB, "origins", "COUNT", "a whole number from 1 to 100000"),
    (LAB, "feed", "COUNT", "a whole number from 1 to 100000"),
    (LAB, "lookback", "STEPS", "a whole number from 1 to 1000000"),
];

const NUMBERS: [Option; 7] = [
    (TRAIN, "dropout", "SHARE", "a number from 0 to below 1"),
    (TRAIN, "forget-bias", "NUMBER", "a finite number"),
    (TRAIN, "effort", "GFLOP", "a number above 0"),
    (TRAIN, "lr", "RATE", "a number above 0"),
    (TRAIN, "clip", "NORM", "a number, 0 or above"),
    (TRAIN, "lowest", "VALUE", "a finite number"),
    (LAB, "period", "STEPS", "a number above 0"),
];

/// Gives each option each of the values that it cannot take.
fn refuse_each(options: &[Option], values: &[&str], taken: impl Fn(&str, &str) -> bool) {
    let place = Place::new();
    let before = place.snapshot();
    let mut wrong = Vec::new();
    for (command, option, value_name, wanted) in options {
        for value in values.iter().filter(|value| !taken(option, value)) {
            let done = place.lstm(&format!("{command} --{option}={value}"));
            let expected =
                format!("error: invalid value '{value}' for '--{option} <{value_name}>': must be {wanted}");
            let said = done.err.lines().next().unwrap_or_default();
            if done.code != 2 || said != expected || !done.out.is_empty() {
                wrong.push(format!("exit code {}: {said}  not: {expected}", done.code));
            }
        }
    }
    assert!(place.snapshot() == before, "something was written");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whole_numbers_out_of_range() {
    let values = ["0", "-1", "NaN", "inf", "9223372036854775808", "18446744073709551616", "1.5", "1e3", ""];
    refuse_each(&WHOLE, &values, |option, value| {
        ["seed", "patience", "embedding"].contains(&option) && value == "0"
    });
}

#[test]
fn numbers_out_of_range() {
    let values = ["-1", "0", "NaN", "inf", "-inf", "1e400", "1,5", "0x1", ""];
    refuse_each(&NUMBERS, &values, |option, value| {
        matches!((option, value), ("forget-bias" | "lowest", "-1" | "0") | ("dropout" | "clip", "0"))
    });
}

#[test]
fn options_that_would_be_ignored() {
    let maker = Place::new();
    maker.lstm("train good.csv --epochs 1 --hidden 4 --ensemble 1 --lookback 21 --out run --quiet").fine();
    let model = maker.read("run/model.safetensors");
    let with_model = |place: &Place| place.write("run/model.safetensors", &model);
    const SETTLED: &str = "error: --calendar is settled in a trained model; leave it out, or train a new model without \
                           --model\n";
    const FUTURE: &str = "error: --future gives what is known of rows to come, and forecasts are held against rows that \
                          came; leave it out\n";
    const NONE_KNOWN: &str = "error: --future gives the known columns of rows to come, and there are none; name them \
                              with --known, or leave it out\n";
    all_fail(&[
        ("calendar, forecast", &with_model, "forecast --model run good.csv --calendar --out new", 2, SETTLED),
        ("calendar, eval", &with_model, "eval run good.csv --calendar", 2, SETTLED),
        ("calendar, lab", &with_model, "lab run good.csv --calendar --out new", 2, SETTLED),
        ("future, eval", &with_model, "eval run good.csv --future good.csv", 2, FUTURE),
        ("future, lab", &with_model, "lab run good.csv --future good.csv --out new", 2, FUTURE),
        ("future, backtest", &|_| {}, "backtest good.csv --future good.csv --out new", 2, FUTURE),
        (
            "future in a file, backtest",
            &file("a.toml", "future = \"good.csv\"\n"),
            "backtest good.csv --config a.toml --out new",
            2,
            FUTURE,
        ),
        ("future without columns", &|_| {}, "forecast good.csv --future good.csv --out new", 2, NONE_KNOWN),
        (
            "future without columns, with a model",
            &with_model,
            "forecast --model run --future good.csv --out new",
            2,
            NONE_KNOWN,
        ),
        (
            "reading a table, of a model",
            &with_model,
            "inspect run --time day",
            2,
            "error: --time says how to read a CSV file, and run holds a model; leave it out\n",
        ),
        (
            "no header, of a model",
            &with_model,
            "inspect run/model.safetensors --no-header",
            2,
            "error: --no-header says how to read a CSV file, and run/model.safetensors holds a model; leave it out\n",
        ),
    ]);
}

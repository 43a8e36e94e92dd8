//! Wrong input of every kind: one sentence that says what, where and what to do; the right exit code; nothing
//! overwritten.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, csv, days};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a run leaves, here as files of somebody else.
const RESULTS: [&str; 6] =
    ["forecast.csv", "forecast.png", "model.safetensors", "settings.toml", "metrics.json", "history.csv"];

/// Name, what is done to the folder, command, exit code, part of the message.
type Case<'a> = (&'a str, &'a dyn Fn(&Place), &'a str, i32, &'a str);

/// Runs each command in a folder of its own where results exist already, and compares code, message and files.
fn all_fail(cases: &[Case<'_>]) {
    let mut wrong = Vec::new();
    for (name, arrange, command, code, message) in cases {
        let place = Place::new();
        for result in RESULTS {
            place.write(&format!("out/{result}"), "kept");
        }
        arrange(&place);
        let before = place.snapshot();
        let done = place.lstm(command);
        if done.code != *code || !done.err.contains(message) {
            wrong.push(format!(
                "{name}: lstm {command}\n  exit code {}, not {code}: {}  not: {message}",
                done.code, done.err
            ));
        }
        if !done.err.starts_with("error: ") || done.err.contains("panicked") {
            wrong.push(format!("{name}: not one sentence: {}", done.err));
        }
        if place.snapshot() != before {
            wrong.push(format!("{name}: lstm {command} changed files"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The good series with its fifth row (line 6) changed.
fn row(change: impl Fn(&mut Vec<(String, String)>)) -> impl Fn(&Place) {
    move |place| {
        let mut rows = days(90);
        change(&mut rows);
        place.write("bad.csv", csv(&rows));
    }
}

/// Numbers whose differences are infinite.
fn huge(place: &Place) {
    let mut rows = days(90);
    for (i, row) in rows.iter_mut().enumerate() {
        row.1 = if i / 2 % 2 == 0 { format!("1.7{i:02}e308") } else { format!("-1.7{i:02}e308") };
    }
    place.write("bad.csv", csv(&rows));
}

fn file(name: &'static str, text: &'static str) -> impl Fn(&Place) {
    move |place| place.write(name, text)
}

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

#[test]
fn wrong_settings() {
    let with = "forecast good.csv --config bad.toml --out out --force";
    all_fail(&[
        ("missing file", &|_| {}, with, 2, "bad.toml: cannot be read"),
        (
            "unknown key",
            &file("bad.toml", "lr = 0.01\n\nhiden = 3\n"),
            with,
            2,
            "bad.toml, line 3: unknown key 'hiden'; did you mean 'hidden'?",
        ),
        (
            "wrong type",
            &file("bad.toml", "epochs = \"many\"\n"),
            with,
            2,
            "bad.toml, line 1: epochs = \"many\", but must be a whole number from 1 to 1000000",
        ),
        (
            "impossible size",
            &file("bad.toml", "# sizes\nhidden = 0\n"),
            with,
            2,
            "bad.toml, line 2: hidden = 0, but must be a whole number from 1 to 16384",
        ),
        (
            "impossible share",
            &file("bad.toml", "dropout = 1.5\n"),
            with,
            2,
            "bad.toml, line 1: dropout = 1.5, but must be a number from 0 to below 1",
        ),
        ("no TOML", &file("bad.toml", "hidden: 3\n"), with, 2, "bad.toml, line 1: not TOML: "),
        (
            "a wrong flag",
            &|_| {},
            "train good.csv --hidden 0 --out out --force",
            2,
            "invalid value '0' for '--hidden <UNITS>': must be a whole number from 1 to 16384",
        ),
        (
            "an infinite rate",
            &|_| {},
            "train good.csv --lr inf --out out --force",
            2,
            "invalid value 'inf' for '--lr <RATE>': must be a number above 0",
        ),
        ("an unknown flag", &|_| {}, "train good.csv --hiden 3", 2, "a similar argument exists: '--hidden'"),
        ("an unknown rule", &|_| {}, "train good.csv --optimizer adm", 2, "a similar value exists: 'adam'"),
        (
            "nothing to forecast",
            &|_| {},
            "forecast --horizon 3",
            2,
            "name a CSV file, or a run folder with --model",
        ),
        (
            "results that exist",
            &|_| {},
            "forecast good.csv --out out",
            2,
            "model.safetensors exists already; name another folder with --out, or pass --force to replace it",
        ),
        (
            "a file as folder",
            &|_| {},
            "train good.csv --out good.csv",
            2,
            "good.csv exists and is not a folder",
        ),
        (
            "a device that is not there",
            &|_| {},
            "train good.csv --device cuda:999 --out out --force",
            5,
            "error: --device cuda:999: ",
        ),
        (
            "a device of another name",
            &|_| {},
            "forecast good.csv --device gpu --out out --force",
            2,
            "invalid value 'gpu' for '--device <DEVICE>': must be auto, cpu, cuda or cuda:N, where N is the number of \
             a GPU",
        ),
        (
            "a device with a word",
            &|_| {},
            "eval run good.csv --device cuda:x",
            2,
            "'cuda:x' for '--device <DEVICE>'",
        ),
        ("a device below 0", &|_| {}, "repro 000 --device cuda:-1", 2, "'cuda:-1' for '--device <DEVICE>'"),
        (
            "a device in a file",
            &|place| place.write("device.toml", "seed = 1\ndevice = \"cuda:\"\n"),
            "train good.csv --config device.toml --out out --force",
            2,
            "device.toml, line 2: device = \"cuda:\", but must be auto, cpu, cuda or cuda:N",
        ),
        (
            "threads of a GPU",
            &|place| place.write("device.toml", "device = \"cuda\"\n"),
            "train good.csv --config device.toml --threads 2 --out out --force",
            2,
            "--threads is about the CPU, but the device is cuda; leave one of them out",
        ),
    ]);
}

/// A model file with its header changed, under a digest that is right.
fn with_header(bytes: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    sealed([&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat())
}

/// With a new digest, where there is one.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let before = br#"\"digest\":\""#;
    if let Some(place) = bytes.windows(before.len()).position(|window| window == before) {
        let place = place + before.len();
        bytes[place..place + 64].fill(b'0');
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        bytes[place..place + 64].copy_from_slice(digest.as_bytes());
    }
    bytes
}

/// Changes the entry that says what the file is.
fn with_entry(bytes: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    with_header(bytes, |header| {
        let entry = &mut header["__metadata__"]["lstm"];
        let mut value: Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
        change(&mut value);
        *entry = value.to_string().into();
    })
}

#[test]
fn wrong_models() {
    let maker = Place::new();
    maker.lstm("train good.csv --epochs 1 --hidden 4 --ensemble 1 --lookback 21 --out run --quiet").fine();
    let good = maker.read("run/model.safetensors");
    let bad = |bytes: Vec<u8>| move |place: &Place| place.write("bad.safetensors", &bytes);
    let rename = |from: &'static str, to: &'static str| {
        with_header(&good, move |header| {
            let tensor = header.as_object_mut().unwrap().remove(from).unwrap();
            header[to] = tensor;
        })
    };
    let reshape = with_header(&good, |header| {
        header["lstm.weight_hh_l0"]["shape"].as_array_mut().unwrap().reverse();
    });
    let mut not_finite = good.clone();
    let last = not_finite.len() - 8;
    not_finite[last..].copy_from_slice(&f64::NAN.to_le_bytes());
    let damaged = not_finite.clone();
    let run = "forecast --model bad.safetensors --out out --force";
    all_fail(&[
        ("missing", &|_| {}, run, 4, "bad.safetensors: there is no such model; name a run folder"),
        ("empty folder", &file("run/a", ""), "inspect run", 4, "model.safetensors: there is no such model"),
        ("empty", &bad(Vec::new()), run, 4, "bad.safetensors: not a readable model: "),
        (
            "truncated",
            &bad(good[..good.len() - 10].to_vec()),
            run,
            4,
            "bad.safetensors: not a readable model: ",
        ),
        ("half a header", &bad(good[..100].to_vec()), "inspect bad.safetensors", 4, "not a readable model: "),
        ("a CSV file", &|_| {}, "eval good.csv good.csv", 4, "good.csv: not a readable model: "),
        (
            "wrong tensor",
            &bad(rename("head.weight", "tail.weight")),
            run,
            4,
            "bad.safetensors: not a readable model: tensor head.weight is missing",
        ),
        (
            "extra tensor",
            &bad(with_entry(&good, |entry| entry["says"]["network"]["head"] = Value::Null)),
            run,
            4,
            "does not belong to its network",
        ),
        (
            "wrong shape",
            &bad(reshape),
            run,
            4,
            "tensor lstm.weight_hh_l0 has shape [4, 16], its network needs [16, 4]",
        ),
        ("not finite", &bad(sealed(not_finite)), run, 4, "holds NaN at index"),
        (
            "damaged",
            &bad(damaged),
            run,
            4,
            "it is damaged: its digest is not that of its bytes; train it again",
        ),
        (
            "no metadata",
            &bad(with_header(&good, |header| drop(header.as_object_mut().unwrap().remove("__metadata__")))),
            run,
            4,
            "it has no `lstm` metadata, so it was not written by this program",
        ),
        (
            "a later version",
            &bad(with_entry(&good, |entry| entry["version"] = 99.into())),
            run,
            4,
            "it has version 99, this program reads version 2",
        ),
        (
            "no forecaster",
            &bad(with_entry(&good, |entry| entry["says"]["task"] = Value::Null)),
            run,
            4,
            "bad.safetensors: not a forecasting model: ",
        ),
        (
            "settings of another network",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["config"]["hidden"] = 5.into())),
            run,
            4,
            "its network is not the one that its settings describe",
        ),
        (
            "settings that no model has",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["config"]["lookback"] = 0.into())),
            run,
            4,
            "bad.safetensors: not a forecasting model: lookback is 0, but must be from 1 to 1000000; train it again",
        ),
        (
            "another lookback",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["config"]["lookback"] = 200.into())),
            run,
            4,
            "rows kept of 90 do not fit its settings",
        ),
        (
            "another season",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["config"]["season"] = 50.into())),
            run,
            4,
            "rows kept of 90 do not fit its settings",
        ),
        (
            "rows without end",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["members"][0]["rows"] = u64::MAX.into())),
            run,
            4,
            "rows kept of 18446744073709551615 do not fit its settings",
        ),
        (
            "a time axis of another series",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["members"][0]["rows"] = 91.into())),
            run,
            4,
            "a time axis has another number of rows than its series",
        ),
        (
            "no series",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["members"] = Value::Array(Vec::new()))),
            "inspect bad.safetensors",
            4,
            "its series are not those that its settings describe",
        ),
        (
            "a column that its network does not read",
            &bad(with_entry(&good, |entry| {
                entry["says"]["task"]["past"] = serde_json::json!([{ "column": "price", "category": null }]);
            })),
            run,
            4,
            "its columns are not those that its settings describe",
        ),
        (
            "the end of a series lost",
            &bad(rename("task.values", "task.value")),
            "inspect bad.safetensors",
            4,
            "task.values has 0 numbers, not 28",
        ),
        (
            "a short interval",
            &bad(with_entry(&good, |entry| {
                entry["says"]["task"]["evaluation"]["scores"][0]["interval"]["half_width"][1] =
                    vec![1.0].into();
            })),
            run,
            4,
            "the interval of lstm is not one of 7 steps",
        ),
        (
            "more networks than there are",
            &bad(with_entry(&good, |entry| entry["says"]["models"] = 2.into())),
            run,
            4,
            "tensor 1.lstm.weight_ih_l0 is missing",
        ),
        (
            "settings of training with a model",
            &bad(good.clone()),
            "forecast --model bad.safetensors --hidden 8 --out out --force",
            2,
            "--hidden is settled in a trained model; leave it out, or train a new model without --model",
        ),
        (
            "a way of reading without a file",
            &bad(good.clone()),
            "forecast --model bad.safetensors --fill linear --out out --force",
            2,
            "--fill says how to read a file, and none is named; name one, or leave it out",
        ),
        (
            "another season",
            &bad(good.clone()),
            "eval bad.safetensors good.csv --season 5",
            2,
            "--season is settled in a trained model",
        ),
        (
            "another step",
            &|place| {
                place.write("bad.safetensors", &good);
                place.write("months.csv", "day,sales\n2020-01-01,1\n2020-02-01,2\n2020-03-01,4\n");
            },
            "eval bad.safetensors months.csv",
            3,
            "months.csv: its step is 1 month, but the model was trained on a step of 1 day",
        ),
        (
            "a file without the column",
            &|place| {
                place.write("bad.safetensors", &good);
                place.write("other.csv", "day,price\n2020-01-01,1\n2020-01-02,2\n");
            },
            "eval bad.safetensors other.csv",
            3,
            "other.csv: no column is called 'sales'",
        ),
        (
            "a file too short for a forecast",
            &|place| {
                place.write("bad.safetensors", &good);
                place.write("few.csv", csv(&days(6)));
            },
            "forecast --model bad.safetensors few.csv --out out --force",
            3,
            "few.csv: the series has 6 rows, but the model needs the last 21 rows before the forecast; give the \
             history too",
        ),
        (
            "a file too short for a comparison",
            &|place| {
                place.write("bad.safetensors", &good);
                place.write("few.csv", csv(&days(22)));
            },
            "eval bad.safetensors few.csv",
            3,
            "few.csv: the series has 22 rows, but the model needs the 21 rows before a forecast and the 7 that it is \
             held against, 28 in all; give the history too",
        ),
        (
            "a file of numbers too large to calculate with",
            &|place| {
                place.write("bad.safetensors", &good);
                huge(place);
            },
            "forecast --model bad.safetensors bad.csv --out out --force",
            3,
            "bad.csv: the series holds numbers so large that its forecast is no finite number",
        ),
        (
            "an export that exists",
            &bad(good.clone()),
            "export bad.safetensors --to torch-lstm -o out/model.safetensors",
            2,
            "out/model.safetensors exists already; name another file with --out, or pass --force",
        ),
    ]);
}

#[test]
fn divergence_keeps_the_last_good_model() {
    let place = Place::new();
    let done = place.lstm("forecast good.csv --lr 1e38 --out run");
    assert_eq!(done.code, 6, "{}", done.err);
    let (_, after) = done.err.split_once("error: training diverged at step ").unwrap();
    assert!(after.chars().next().unwrap().is_ascii_digit(), "{after}");
    assert!(
        after.contains(
            "the loss or a gradient is no finite number; lower --lr or --clip; the best model so far is kept in \
             run/model.safetensors"
        ),
        "{after}"
    );
    assert!(!place.path("run/forecast.csv").exists());
    let shown = place.lstm("inspect run").fine();
    assert!(shown.out.contains("training was cut short (training diverged at step "), "{}", shown.out);
    place.lstm("forecast --model run").fine();
}

#[test]
fn failures_are_told_as_json_too() {
    let place = Place::new();
    for (command, kind, code) in [
        ("train missing.csv --json", "data", 3),
        ("inspect missing.csv --json", "data", 3),
        ("train good.csv --json --hidden 0", "usage", 2),
        ("forecast --model missing --json", "model", 4),
        ("train good.csv --device cuda:999 --json", "device", 5),
    ] {
        let done = place.lstm(command);
        let error = &done.json()["error"];
        assert_eq!(
            (done.code, &error["kind"], &error["code"]),
            (code, &kind.into(), &code.into()),
            "{command}"
        );
        assert!(done.err.starts_with("error: "), "{command}");
        assert!(!error["message"].as_str().unwrap().contains('\n'), "{command}");
    }
}

//! Model files that are broken, of another kind, or do not fit the file.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{all_fail, file, huge};
use crate::common::{Place, csv, days};

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
        (
            "a CSV file",
            &|_| {},
            "eval good.csv good.csv",
            4,
            "good.csv: a file of data, where a model is expected; name the run folder first",
        ),
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
            "it has version 99, this program reads versions 2 to 4",
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
            "the weights of its linear forecast do not fit",
        ),
        (
            "fewer rows than are kept",
            &bad(with_entry(&good, |entry| entry["says"]["task"]["members"][0]["rows"] = 80.into())),
            run,
            4,
            "90 rows kept of 80 do not fit its settings",
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
            &bad(with_entry(&good, |entry| {
                for count in ["rows", "kept"] {
                    entry["says"]["task"]["members"][0][count] = 91.into();
                }
            })),
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
            "task.values has 0 numbers, not 90",
        ),
        (
            "a short interval",
            &bad(with_entry(&good, |entry| {
                entry["says"]["task"]["evaluation"]["scores"][0]["interval"]["margin"][1] = vec![1.0].into();
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

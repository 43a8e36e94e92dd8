//! `lstm lab`: what it measures of trained and of bare models, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, csv, days};
use lstm_cpu::Cpu;
use lstm_nn::{Model, Network, Readout, saved};
use lstm_tensor::LayerSpec;
use serde_json::{Value, json};

const README: &str = include_str!("../../../README.md");
const AIR: &str = include_str!("../../../examples/data/air_passengers.csv");

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A model that answers 50 whatever it reads, and whose cell keeps `sigmoid(1)` of itself at every step.
fn constant(place: &Place, name: &str, inputs: usize, readout: Readout) {
    let cpu = Cpu::new(1).unwrap();
    let network = Network::new(inputs).layer(LayerSpec::new(2).forget_bias(1.0)).head(readout, 1);
    let mut model = Model::<Cpu, f32>::zeros(&cpu, network).unwrap();
    model.params_mut().set(&cpu, "head.bias", &[50.0]).unwrap();
    saved::write(&cpu, &model, &json!(null), &place.path(name)).unwrap();
}

/// The values of `good.csv`.
fn values() -> Vec<f64> {
    days(90).iter().map(|(_, value)| value.parse().unwrap()).collect()
}

#[test]
fn a_run_is_examined_on_the_file_it_was_trained_on() {
    let place = Place::new();
    place.lstm("train good.csv --out run --epochs 8 --hidden 8 --quiet").fine();
    let done = place.lstm("lab run --steps 28 --origins 9").fine();
    for words in [
        "good.csv: sales, 90 rows, step 1 day",
        "; period 7 (",
        "9 free runs of 28 steps from row 4",
        ", on which the model was trained:",
        " ahead  cycles   LSTM RMSE       naive  seasonal naive  amplitude     phase",
        "\n    28     4.0 ",
        "\nDrift: in the last cycle, to ",
        "\nResponse: one step ahead, a sine of period 7 is continued with gain ",
        "\nIn the long run: ",
        "\nDisturbances: factors of ",
        "All numbers are in run/lab.json, the picture is run/lab.png",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert!(place.read("run/lab.png").starts_with(b"\x89PNG"));
    assert!(place.text("run/lab.svg").contains("<svg"));

    let found: Value = serde_json::from_str(&place.text("run/lab.json")).unwrap();
    let (values, origins) = (values(), found["origins"].as_array().unwrap());
    assert_eq!((origins.len(), origins[8].as_u64()), (9, Some(90 - 28)));
    for ahead in [1, 7, 28] {
        let squares = origins.iter().map(|row| {
            let row = usize::try_from(row.as_u64().unwrap()).unwrap();
            (values[row + ahead - 1] - values[row - 1]).powi(2)
        });
        let error = &found["errors"][ahead - 1];
        assert_eq!(error["ahead"], ahead);
        assert!((number(&error["naive"]) - (squares.sum::<f64>() / 9.0).sqrt()).abs() < 1e-9, "{error}");
    }
    assert_eq!(found["errors"].as_array().unwrap().len(), 28);
    assert_eq!(found["drift"][0]["ahead"], 14, "7 values are too few to fit level, slope and sine to");
    assert_eq!(found["run"].as_array().unwrap().len(), 28);

    let before = place.snapshot();
    let again = place.lstm("lab run");
    assert!(again.code == 2 && again.err.contains("run/lab.json exists already"), "{}", again.err);
    assert_eq!(place.snapshot(), before);
    // Printed and written are the same.
    let printed = place.lstm("lab run --steps 28 --origins 9 --json --force").fine();
    assert_eq!(printed.json(), found);
    let one = place.lstm("lab run good.csv --feed 1 --json --out one").fine().json();
    assert_eq!(one["feed"], 1);
    assert_ne!(one["errors"][20], found["errors"][20]);
}

#[test]
fn rows_that_came_later_are_new_to_the_model() {
    let place = Place::new();
    place.lstm("train good.csv --out run --epochs 1 --hidden 4 --quiet").fine();
    place.write("newer.csv", csv(&days(200)));
    let done = place.lstm("lab run newer.csv --out lab").fine();
    assert!(done.out.contains(" steps from row 91 on, which the model has not seen:"), "{}", done.out);
    assert_eq!(place.lstm("lab run newer.csv --json --out json").fine().json()["seen-in-training"], false);
}

/// All that can be said of a constant prediction is known.
#[test]
fn a_bare_model_that_answers_always_the_same() {
    let place = Place::new();
    constant(&place, "every.safetensors", 1, Readout::Every);
    constant(&place, "last.safetensors", 1, Readout::Last);
    let carried = place.lstm("lab every.safetensors good.csv --json --out carried").fine().json();
    let anew = place.lstm("lab last.safetensors good.csv --lookback 5 --json --out anew").fine().json();
    let values = values();
    for (found, kept, reads) in [(&carried, 1.0 / (1.0 + (-1f64).exp()), json!(null)), (&anew, 0.0, json!(5))]
    {
        assert_eq!(found["reads"], reads);
        assert_eq!(found["rest"]["kind"], "point");
        assert!((number(&found["rest"]["value"]) - 50.0).abs() < 1e-9);
        assert!((number(&found["growth"]["factors"][0]) - kept).abs() < 1e-6, "{}", found["growth"]);
        assert!(number(&found["at-period"]["gain"]) < 1e-9);
        assert!((number(&found["period"]) - 7.0).abs() < 0.05, "{}", found["period"]);
        let origins: Vec<u64> =
            found["origins"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let squares = origins.iter().map(|row| (values[usize::try_from(*row).unwrap()] - 50.0).powi(2));
        let rmse = (squares.sum::<f64>() / origins.len() as f64).sqrt();
        assert!((number(&found["errors"][0]["rmse"]) - rmse).abs() < 1e-9);
    }
    let done = place.lstm("lab every.safetensors good.csv --out words").fine();
    for words in [
        "The model carries its state and is fed each prediction; period ",
        "In the long run: it stops at the value 50.00.",
        "Disturbances: factors of 0.731, 0.731, 0.000 per step (below 1: they die out, to a tenth in 7.350).",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
}

/// Values less their mean over their deviation go in, and come out again.
#[test]
fn standardised_values_are_scaled_back() {
    let place = Place::new();
    constant(&place, "every.safetensors", 1, Readout::Every);
    let found = place.lstm("lab every.safetensors good.csv --standardise --json --out lab").fine().json();
    let values = values();
    let mean = values.iter().sum::<f64>() / 90.0;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 90.0).sqrt();
    assert!((number(&found["rest"]["value"]) - (mean + 50.0 * deviation)).abs() < 1e-6);
}

#[test]
fn what_cannot_be_examined_is_told() {
    let place = Place::new();
    place.lstm("train good.csv --out run --epochs 1 --hidden 4 --horizon 7 --quiet").fine();
    constant(&place, "every.safetensors", 1, Readout::Every);
    constant(&place, "last.safetensors", 1, Readout::Last);
    constant(&place, "two.safetensors", 2, Readout::Every);
    place.write("short.csv", csv(&days(10)));
    place.lstm("train good.csv --out moved --epochs 1 --hidden 4 --quiet").fine();
    place.write("moved/metrics.json", "{ \"file\": \"gone.csv\" }");
    let before = place.snapshot();
    for (command, code, message) in [
        ("lab run --dtype f32", 2, "--dtype f32: the laboratory takes differences and computes in f64"),
        ("lab run --feed 8", 2, "--feed is 8, but a forecast of this model has 7 steps"),
        ("lab run --lookback 9", 2, "--lookback is settled in a trained model"),
        ("lab run --season 9", 2, "--season is settled in a trained model"),
        ("lab run --standardise", 2, "--standardise is about a bare model"),
        ("lab run --period 1.5", 2, "--period is 1.5, but must be from 2 to 45, half of the rows"),
        ("lab run --steps 90", 3, "good.csv: the series has 90 rows, but the model needs the "),
        ("lab run short.csv --period 2", 3, "short.csv: the series has 10 rows, but the model needs the "),
        ("lab moved", 2, "gone.csv: the run was trained on this file, but it is not there"),
        ("lab run/model.safetensors --out good.csv", 2, "exists and is not a folder"),
        (
            "lab every.safetensors",
            2,
            "every.safetensors: a bare model does not say which series it belongs to",
        ),
        (
            "lab last.safetensors good.csv",
            2,
            "last.safetensors: its network answers once for a whole window; say with --lookback",
        ),
        (
            "lab two.safetensors good.csv",
            4,
            "two.safetensors: its network reads 2 columns, but a loop needs one",
        ),
        ("lab nowhere", 4, "nowhere: there is no such model"),
    ] {
        let done = place.lstm(command);
        assert!(done.code == code && done.err.contains(message), "{command}: {} {}", done.code, done.err);
        assert_eq!(done.err.lines().count(), 1, "{command}: {}", done.err);
    }
    assert_eq!(place.snapshot(), before);
}

/// README's commands print what README shows; figures of a model may differ in their digits from machine to machine.
#[test]
fn readme_shows_what_is_printed() {
    let place = Place::new();
    place.write("examples/data/air_passengers.csv", AIR);
    let blocks = README.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let block = blocks.map(|(block, _)| block).find(|block| block.contains("$ lstm lab ")).unwrap();
    let mut printed = String::new();
    for command in block.lines().filter_map(|line| line.strip_prefix("$ lstm ")) {
        printed += &place.lstm(command).fine().out;
    }
    let shown: Vec<&str> = block.lines().filter(|line| !line.starts_with("$ ")).collect();
    assert!(shown.len() > 10, "{block}");
    let of_model = ["Drift:", "Response:", "Of ", "In the long run:", "Disturbances:"];
    let form = |line: &str| match of_model.iter().find(|start| line.starts_with(**start)) {
        Some(start) => (*start).to_owned(),
        None => line.replace(|c: char| c.is_ascii_digit(), "0"),
    };
    let forms = |lines: &[&str]| lines.iter().map(|line| form(line)).collect::<Vec<_>>();
    assert_eq!(forms(&shown), forms(&printed.lines().collect::<Vec<_>>()), "{printed}");
}

//! The committed results of seed program 002's successor are PyTorch's, evaluation by evaluation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use serde_json::Value;

/// Losses in a result have six digits.
const DIGITS: f64 = 5e-6;

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn losses_are_those_of_pytorch_from_the_same_weights() {
    let golden: Value = serde_json::from_str(include_str!("../golden/waves.json")).unwrap();
    for (name, run) in golden["runs"].as_object().unwrap() {
        let path = format!("{}/../experiments/results/{name}/seed-0.json", env!("CARGO_MANIFEST_DIR"));
        let cell: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let ours: Vec<f64> =
            cell["losses"].as_array().unwrap().iter().map(|pair| pair[1].as_f64().unwrap()).collect();
        let (losses, spread) = (numbers(&run["losses"]), numbers(&run["spread"]));
        let mut compared = 0;
        for (n, ((ours, want), spread)) in ours.iter().zip(&losses).zip(&spread).enumerate() {
            // The rule of docs/numerics.md: what rounding may change where one eps at the start moves PyTorch so far.
            let tolerance = DIGITS + 16.0 * spread.max(4.0 * f64::EPSILON);
            assert!(
                (ours - want).abs() <= tolerance * want,
                "{name}, evaluation {n}: {ours}, PyTorch has {want}"
            );
            compared += usize::from(tolerance < 1e-3);
        }
        assert!(compared >= 30, "{name}: only {compared} evaluations say anything");
    }
}

//! Learning rates of 41 steps against PyTorch's, from tests/golden/schedules.json.

use lstm_optim::{OptimizerConfig, Schedule, Unit};
use serde_json::Value;

#[test]
fn rates_are_pytorchs() {
    fn config(case: &Value) -> OptimizerConfig {
        let float = |name: &str| case["options"][name].as_f64().unwrap();
        let count = |name: &str| case["options"][name].as_u64().unwrap();
        let config = OptimizerConfig::sgd(float("lr"));
        let step = |unit| Schedule::Step { every: count("size"), factor: float("gamma"), unit };
        let cosine = || Schedule::Cosine { period: count("t_max"), minimum: float("eta_min") };
        let warm = |config: OptimizerConfig| config.warm_up(count("warmup"), float("start_factor"));
        match case["schedule"].as_str().unwrap() {
            "step" => config.schedule(step(Unit::Steps)),
            "step_samples" => config.schedule(step(Unit::Samples)),
            "exponential" => config.schedule(Schedule::Exponential { factor: float("gamma") }),
            "cosine" => config.schedule(cosine()),
            "warmup_constant" => warm(config),
            "warmup_cosine" => warm(config.schedule(cosine())),
            other => panic!("unknown schedule {other}"),
        }
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/schedules.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let (name, config) = (&case["name"], config(case));
        config.validate().unwrap();
        let batch = case["options"]["batch"].as_u64().unwrap_or(1);
        for (k, expected) in case["lr"].as_array().unwrap().iter().enumerate() {
            let (expected, got) = (expected.as_f64().unwrap(), config.rate(k as u64, k as u64 * batch));
            let error = (got - expected).abs();
            assert!(error <= 1e-12 * expected.abs().max(1e-3), "{name} step {k}: {got} against {expected}");
        }
    }
}

#[test]
fn every_schedule_has_its_limits() {
    let good = [
        Schedule::Constant,
        Schedule::Step { every: 1, factor: 0.5, unit: Unit::Steps },
        Schedule::Exponential { factor: f64::MIN_POSITIVE },
        Schedule::Cosine { period: 1, minimum: 0.0 },
    ];
    good.into_iter().for_each(|schedule| schedule.validate().unwrap());
    let refused = |schedule: Schedule, option: &str| {
        let error = schedule.validate().unwrap_err().to_string();
        assert!(error.contains(option), "{error}");
    };
    refused(Schedule::Step { every: 0, factor: 0.5, unit: Unit::Steps }, "schedule.every");
    refused(Schedule::Cosine { period: 0, minimum: 0.0 }, "schedule.period");
    for wrong in [0.0, -0.5, f64::NAN, f64::INFINITY] {
        refused(Schedule::Step { every: 1, factor: wrong, unit: Unit::Samples }, "schedule.factor");
        refused(Schedule::Exponential { factor: wrong }, "schedule.factor");
    }
    for wrong in [-0.5, f64::NAN, f64::INFINITY] {
        refused(Schedule::Cosine { period: 1, minimum: wrong }, "schedule.minimum");
    }
}

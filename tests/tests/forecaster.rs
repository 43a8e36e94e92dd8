//! The forecaster: what it may see, what it promises, what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_train::forecaster::{Evaluation, ForecastChoices, ForecastConfig, Forecaster};
use lstm_train::{Error, Flow};

/// A wave of period 12 on a rising line.
fn series(rows: usize) -> Vec<f64> {
    let wave = |t: usize| [0.0, 1.0, 3.0, 6.0, 7.0, 9.0, 8.0, 7.0, 5.0, 3.0, 2.0, 1.0][t % 12];
    (0..rows).map(|t| 100.0 + 0.25 * t as f64 + 4.0 * wave(t) + (t * 7919 % 13) as f64 * 0.1).collect()
}

fn choices() -> ForecastChoices {
    ForecastChoices { epochs: Some(4), hidden: Some(8), ..ForecastChoices::default() }
}

fn hold_out(cpu: &Cpu, choices: &ForecastChoices, values: &[f64]) -> (Forecaster<Cpu, f32>, Evaluation) {
    let config = ForecastConfig::resolve(choices, &[12], values).unwrap();
    let (forecaster, evaluation, _) =
        Forecaster::hold_out(cpu, config, values, &mut |_, _| Flow::Continue).unwrap();
    (forecaster, evaluation)
}

#[test]
fn held_out_rows_reach_neither_settings_nor_weights() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    for horizon in [None, Some(60)] {
        let choices = ForecastChoices { horizon, ..choices() };
        let (forecaster, evaluation) = hold_out(&cpu, &choices, &values);
        let mut other = values.clone();
        // Enough to change every choice, if it were seen.
        for (t, value) in other.iter_mut().enumerate().skip(evaluation.first_row) {
            *value = 1e3 * (t % 5) as f64;
        }
        let (blind, changed) = hold_out(&cpu, &choices, &other);
        assert_eq!(forecaster.config, blind.config);
        let weights = |f: &Forecaster<Cpu, f32>| f.model.download(&cpu).unwrap();
        assert!(weights(&forecaster) == weights(&blind), "horizon {horizon:?}");
        assert!(changed.scores[0].metrics.mae > evaluation.scores[0].metrics.mae);
    }
}

#[test]
fn scores_are_those_of_the_forecasts() {
    let cpu = Cpu::new(2).unwrap();
    let values = series(240);
    let (forecaster, evaluation) = hold_out(&cpu, &choices(), &values);
    let (config, first) = (&forecaster.config, evaluation.first_row);
    assert_eq!((config.season, config.horizon, evaluation.windows), (12, 12, 240 - first - 11));
    // Every window again, one at a time, each from its past alone.
    let mut sum = 0.0;
    let mut sizes = Vec::new();
    for row in first..=240 - 12 {
        let forecast = forecaster.forecast(&cpu, &values[..row]).unwrap();
        assert_eq!(forecast.len(), 12);
        for (y, f) in values[row..].iter().zip(&forecast) {
            sum += (y - f).abs();
            sizes.push((y - f).abs());
        }
    }
    let mae = sum / sizes.len() as f64;
    let lstm = evaluation.score("lstm").unwrap();
    assert!((lstm.metrics.mae - mae).abs() < 1e-9 * mae, "{} {mae}", lstm.metrics.mae);
    let naive = evaluation.score("naive").unwrap();
    let changes = (first..=228).flat_map(|row| values[row..row + 12].iter().map(move |y| (row, y)));
    let expected: f64 = changes.map(|(row, y)| (y - values[row - 1]).abs()).sum::<f64>() / sizes.len() as f64;
    assert!((naive.metrics.mae - expected).abs() < 1e-9);
    // At least 80 % of the errors lie inside the interval they made.
    let half = lstm.interval.half_width[0];
    let inside = sizes.iter().filter(|size| **size <= half * (1.0 + 1e-9)).count();
    assert!(inside as f64 >= 0.8 * sizes.len() as f64);
}

#[test]
fn the_same_command_gives_the_same_bits_on_any_number_of_threads() {
    let values = series(200);
    let run = |threads| {
        let cpu = Cpu::new(threads).unwrap();
        let (forecaster, evaluation) = hold_out(&cpu, &choices(), &values);
        let config = forecaster.config.clone();
        let go = &mut |_: u64, _: Option<&_>| Flow::Continue;
        let (all, _) = Forecaster::<Cpu, f32>::fit_all(&cpu, config, &values, &evaluation, go).unwrap();
        (evaluation, all.forecast(&cpu, &values).unwrap())
    };
    let one = run(1);
    assert!([2, 3, 4].into_iter().all(|threads| run(threads) == one));
}

#[test]
fn levels_and_sizes_never_seen_are_no_surprise() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let (forecaster, _) = hold_out(&cpu, &choices(), &values);
    let plain = forecaster.forecast(&cpu, &values).unwrap();
    let moved: Vec<f64> = values.iter().map(|v| 1000.0 * v - 5e4).collect();
    for (a, b) in plain.iter().zip(forecaster.forecast(&cpu, &moved).unwrap()) {
        assert!((1000.0 * a - 5e4 - b).abs() < 1.0, "{a} {b}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let (forecaster, _) = hold_out(&cpu, &choices(), &values);
    assert!(matches!(forecaster.forecast(&cpu, &values[..20]), Err(Error::TooShort { .. })));
    let huge: Vec<f64> = values.iter().map(|v| v * 1e306 * if *v > 120.0 { -1.0 } else { 1.0 }).collect();
    assert!(matches!(forecaster.forecast(&cpu, &huge), Err(Error::TooLarge)));
    let resolve = |choices: ForecastChoices, rows| ForecastConfig::resolve(&choices, &[12], &series(rows));
    assert!(matches!(resolve(ForecastChoices::default(), 10), Err(Error::TooShort { .. }) | Ok(_)));
    let too_far = ForecastChoices { horizon: Some(200), ..ForecastChoices::default() };
    assert!(matches!(resolve(too_far, 240), Err(Error::TooShort { .. })));
    for wrong in [
        ForecastChoices { horizon: Some(0), ..ForecastChoices::default() },
        ForecastChoices { lr: Some(f64::NAN), ..ForecastChoices::default() },
        ForecastChoices { dropout: Some(1.0), ..ForecastChoices::default() },
        ForecastChoices { optimizer: Some("adm".into()), ..ForecastChoices::default() },
    ] {
        assert!(resolve(wrong.clone(), 240).is_err(), "{wrong:?}");
    }
}

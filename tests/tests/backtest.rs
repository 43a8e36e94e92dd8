//! Rolling origins: what each forecast may see, and what it is held against.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZero;

use lstm_cpu::Cpu;
use lstm_train::backtest::{Backtest, Batch, Forecasts, Next, Origins};
use lstm_train::baseline::Simple;
use lstm_train::forecaster::{Base, ForecastChoices, ForecastConfig, Forecaster, Member, Stage, Window};
use lstm_train::{Course, Flow};

const HORIZON: usize = 6;
const HELD_OUT: usize = 24;

/// A wave of period 12 on a rising line, with some roughness.
fn series(rows: usize) -> Vec<f64> {
    let wave = |t: usize| [0.0, 1.0, 3.0, 6.0, 7.0, 9.0, 8.0, 7.0, 5.0, 3.0, 2.0, 1.0][t % 12];
    (0..rows).map(|t| 100.0 + 0.25 * t as f64 + 4.0 * wave(t) + (t * 7919 % 13) as f64 * 0.1).collect()
}

fn trials(panel: &[Member<'_>]) -> Vec<ForecastConfig> {
    let choices = ForecastChoices {
        horizon: Some(HORIZON),
        held_out: Some(HELD_OUT),
        validation: Some(24),
        lookback: Some(24),
        epochs: Some(2),
        hidden: Some(4),
        ensemble: Some(2),
        ..ForecastChoices::default()
    };
    ForecastConfig::trials(&choices, &[12], panel).unwrap()
}

fn origins(count: usize) -> Origins {
    Origins::evenly(HELD_OUT, HORIZON, NonZero::new(count).unwrap()).unwrap()
}

/// All that a backtest says.
fn run(cpu: &Cpu, panel: &[Member<'_>], origins: Origins, refit: usize) -> Vec<Batch> {
    let trials = trials(panel);
    let mut backtest = Backtest::<Cpu, f32>::new(cpu, &trials, panel, origins, NonZero::new(refit)).unwrap();
    let mut batches = Vec::new();
    loop {
        match backtest.next(&mut |_, _, _| Flow::Continue).unwrap() {
            Next::Forecasts(batch) => batches.push(batch),
            Next::Ended => return batches,
            Next::CutShort(outcome) => panic!("{outcome:?}"),
        }
    }
}

/// Forecasts and widths of a window, as bits.
fn bits(batches: &[Batch], row: usize) -> Vec<u64> {
    let mut bits = Vec::new();
    for batch in batches {
        let at = |at: usize| batch.windows[at].row == row;
        for (window, Forecasts { mean, edges, .. }) in (0..batch.windows.len())
            .filter(|window| at(*window))
            .flat_map(|window| batch.methods.iter().map(move |m| (window, m)))
        {
            let part = window * HORIZON..(window + 1) * HORIZON;
            bits.extend(mean[part.clone()].iter().map(|value| value.to_bits()));
            bits.extend(edges[part].as_flattened().as_flattened().iter().map(|value| value.to_bits()));
        }
    }
    assert!(!bits.is_empty(), "no forecast from row {row}");
    bits
}

#[test]
fn an_origin_never_sees_what_comes_later() {
    let cpu = Cpu::new(2).unwrap();
    let values = series(240);
    // Origins at rows 216, 222, 228, 234; the second model learns before row 228.
    let mut other = values.clone();
    other[222..].iter_mut().enumerate().for_each(|(t, value)| *value = 1e3 * (t % 5) as f64);
    for refit in [0, 1, 2] {
        let plain = run(&cpu, &[Member::alone(&values)], origins(4), refit);
        let changed = run(&cpu, &[Member::alone(&other)], origins(4), refit);
        for row in [216, 222] {
            assert!(bits(&plain, row) == bits(&changed, row), "row {row}, refit {refit}");
        }
        assert!(bits(&plain, 228) != bits(&changed, 228), "refit {refit}");
    }
}

#[test]
fn refitting_every_origin_is_training_by_hand_there() {
    let cpu = Cpu::new(2).unwrap();
    let values = series(240);
    let panel = [Member::alone(&values)];
    let batches = run(&cpu, &panel, origins(3), 1);
    let go = &mut |_: Stage, _: u64, _: Option<&_>| Flow::Continue;
    let mut trials = trials(&panel);
    trials.iter_mut().for_each(|trial| trial.held_out = HORIZON);
    for row in [216, 225, 234] {
        // Choice and length of training need rows to hold out; their values must not matter.
        let mut known = values[..row].to_vec();
        known.extend([7.0; HORIZON]);
        let course = &mut Course::default();
        let (held, evaluation, _) =
            Forecaster::<Cpu, f32>::hold_out(&cpu, &trials, &[Member::alone(&known)], course, go).unwrap();
        let past = [Member::alone(&values[..row])];
        let (all, _) = Forecaster::<Cpu, f32>::fit_all(&cpu, &held, &past, &evaluation, course, go).unwrap();
        let batch = batches.iter().find(|batch| batch.windows[0].row == row).unwrap();
        assert_eq!(batch.methods[0].mean, all.forecast(&cpu, &past).unwrap()[0], "row {row}");
        for (method, forecasts) in batch.methods.iter().skip(1).map(|m| (m.method, &m.mean)) {
            let by_hand =
                all.baseline_at(Simple::named(method).unwrap(), &past, &[Window { member: 0, row }], None);
            assert_eq!(*forecasts, by_hand, "{method}, row {row}");
        }
        assert_eq!(batch.actual, values[row..row + HORIZON]);
        if row == 216 {
            trials = held.ways().map(|way| way.config.clone()).collect();
        }
    }
}

#[test]
fn what_the_linear_forecast_knows_exactly_has_no_error_anywhere() {
    let cpu = Cpu::new(1).unwrap();
    let tau = std::f64::consts::TAU;
    let values: Vec<f64> = (0..240).map(|t| 20.0 + 3.0 * (tau * t as f64 / 12.0).sin()).collect();
    let naive_is_wrong = |forecasts: &Forecasts, actual: &[f64]| {
        forecasts.mean.iter().zip(actual).any(|(f, y)| (f - y).abs() > 1.0)
    };
    let batches = run(&cpu, &[Member::alone(&values)], origins(19), 0);
    assert_eq!(batches.iter().map(|batch| batch.windows.len()).sum::<usize>(), 19);
    for batch in &batches {
        let of = |method| batch.methods.iter().find(|m| m.method == method).unwrap();
        for method in ["linear", "seasonal-naive"] {
            let errors = of(method).mean.iter().zip(&batch.actual).map(|(f, y)| (f - y).abs());
            // A ridge holds the weights back a little.
            let bound = if method == "linear" { 1e-2 } else { 1e-9 };
            assert!(errors.fold(0.0, f64::max) < bound, "{method}");
        }
        assert!(naive_is_wrong(of("naive"), &batch.actual));
    }
}

#[test]
fn series_are_forecast_where_they_are_long_enough() {
    let cpu = Cpu::new(2).unwrap();
    let (long, short): (Vec<f64>, Vec<f64>) = (series(240), series(44).iter().map(|v| 7.0 * v).collect());
    let made = [20..22, 38..44];
    let panel = [Member::alone(&long), Member { made: &made, ..Member::alone(&short) }];
    let batches = run(&cpu, &panel, origins(4), 2);
    let rows = |member| -> Vec<usize> {
        batches.iter().flat_map(|b| &b.windows).filter(|w| w.member == member).map(|w| w.row).collect()
    };
    // A forecast looks back on 24 rows.
    assert_eq!((rows(0), rows(1)), (vec![216, 222, 228, 234], vec![26, 32, 38]));
    for batch in &batches {
        for (window, actual) in batch.windows.iter().zip(batch.actual.chunks(HORIZON)) {
            let known = !(window.member == 1 && window.row == 38);
            assert!(actual.iter().all(|y| y.is_nan() != known), "{window:?}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let (first, second) = (series(240), series(200));
    let panel = [Member::alone(&first), Member::alone(&second)];
    let on = |threads| run(&Cpu::new(threads).unwrap(), &panel, origins(5), 3);
    let alone = on(1);
    assert_eq!(alone[0].methods.len(), 7);
    assert!([2, 3].into_iter().all(|threads| on(threads) == alone));
    assert_eq!(trials(&panel)[0].base, Base::Linear);
}

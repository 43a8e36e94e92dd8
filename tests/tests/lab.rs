//! The laboratory's loops around real models: they predict what the models predict, and disturbances fade as the weights
//! say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_data::generate::Sequences;
use lstm_nn::{InitSpec, Model, Network, Readout};
use lstm_optim::OptimizerConfig;
use lstm_tensor::LayerSpec;
use lstm_train::forecaster::{Base, ForecastChoices, ForecastConfig, Forecaster, Member};
use lstm_train::free_run::{carry_state, recompute};
use lstm_train::lab::{
    ClosedLoop, ForecastLoop, Protocol, Rest, Scale, StateLoop, WindowLoop, examine, free_runs, growth,
};
use lstm_train::{Course, Fit, FitConfig, Flow, SequenceSource, Stop};
use ndarray::Array3;
use std::f64::consts::TAU;

fn series(rows: usize) -> Vec<f64> {
    (0..rows).map(|t| 0.4 * (0.45 * t as f64).sin() + 0.1 * ((t * 7919 % 13) as f64 / 13.0)).collect()
}

fn model(cpu: &Cpu, network: Network) -> Model<Cpu, f64> {
    Model::new(cpu, network, &InitSpec::torch(), 3).unwrap()
}

fn assert_close(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-12, "{ours:?}\n{theirs:?}");
    }
}

#[test]
fn a_window_is_read_anew() {
    let cpu = Cpu::new(1).unwrap();
    let (values, rows) = (series(60), [20, 33, 60]);
    for readout in [Readout::Last, Readout::Every] {
        let network = || Network::new(1).lstm(5).lstm(3).head(readout, 1);
        let mut subject = WindowLoop::new(&cpu, model(&cpu, network()), (9, 1), Scale::NONE).unwrap();
        let runs = free_runs(&mut subject, &values, &rows, 11).unwrap();
        for (row, run) in rows.iter().zip(runs.chunks_exact(11)) {
            assert_close(run, &recompute(&cpu, &model(&cpu, network()), &values[..*row], 9, 11).unwrap());
        }
    }
}

#[test]
fn a_state_is_carried() {
    let cpu = Cpu::new(1).unwrap();
    let (values, rows) = (series(60), [20, 33, 60]);
    let network = || Network::new(1).lstm(5).lstm(3).head(Readout::Every, 1);
    let scale = Scale { centre: 0.2, spread: 0.5 };
    let mut subject = StateLoop::new(&cpu, model(&cpu, network()), scale).unwrap();
    assert_eq!(subject.dim(), 2 * (5 + 3) + 1);
    let runs = free_runs(&mut subject, &values, &rows, 11).unwrap();
    let scaled: Vec<f64> = values.iter().map(|value| (value - 0.2) / 0.5).collect();
    for (row, run) in rows.iter().zip(runs.chunks_exact(11)) {
        let all = carry_state(&cpu, &model(&cpu, network()), &scaled[..*row], 11).unwrap();
        let expected: Vec<f64> = all[row - 1..].iter().map(|value| 0.2 + 0.5 * value).collect();
        assert_close(run, &expected);
    }
}

#[test]
fn a_forecaster_is_fed_with_what_it_forecast() {
    let cpu = Cpu::new(1).unwrap();
    let values: Vec<f64> = series(120).iter().map(|v| 30.0 + 9.0 * v).collect();
    let choices = ForecastChoices {
        horizon: Some(4),
        lookback: Some(10),
        hidden: Some(5),
        season: Some(7),
        base: Some(Base::Season),
        epochs: Some(1),
        ..ForecastChoices::default()
    };
    let panel = [Member::alone(&values)];
    let config = ForecastConfig::resolve(&choices, &[7], &panel).unwrap();
    let forecaster = || -> Forecaster<Cpu, f64> {
        let trials = std::slice::from_ref(&config);
        Forecaster::hold_out(&cpu, trials, &panel, &mut Course::default(), &mut |_, _, _| Flow::Continue)
            .unwrap()
            .0
    };
    let trained = forecaster();
    for stride in [1, 3, 4] {
        let mut subject = ForecastLoop::new(&cpu, forecaster(), stride, &values).unwrap();
        let runs = free_runs(&mut subject, &values, &[50, 90], 9).unwrap();
        for (row, run) in [50, 90].iter().zip(runs.chunks_exact(9)) {
            let mut known = values[..*row].to_vec();
            while known.len() < row + 9 {
                let forecasts = trained.forecast(&cpu, &[Member::alone(&known)]).unwrap();
                known.extend(&forecasts[0][..stride]);
            }
            assert_close(run, &known[*row..row + 9]);
        }
    }
    let error = ForecastLoop::new(&cpu, forecaster(), 5, &values).err().unwrap();
    assert_eq!(error.to_string(), "feed is 5, but must be from 1 to 4, the steps of a forecast");
}

/// Without weights nothing comes in, and a cell keeps `sigmoid(forget bias)` of itself at every step.
#[test]
fn cells_forget_as_their_gates_say() {
    let cpu = Cpu::new(1).unwrap();
    let layer = |bias: f64| LayerSpec::new(1).forget_bias(bias);
    let network = Network::new(1).layer(layer(2.0)).layer(layer(-0.5)).head(Readout::Every, 1);
    let mut subject =
        StateLoop::new(&cpu, Model::<_, f64>::zeros(&cpu, network).unwrap(), Scale::NONE).unwrap();
    let state = vec![0.1, 0.2, 0.3, 0.4, 0.5];
    let found = growth(&mut subject, state, 6.0, 1.0).unwrap();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (factor, expected) in found.factors.iter().zip([sigmoid(2.0), sigmoid(-0.5)]) {
        assert!((factor - expected).abs() < 1e-6, "{found:?}");
    }
    assert!(found.factors[2] < 1e-6, "{found:?}");
}

/// A network that has learnt to continue sines of one size and frequency swings on by itself: it keeps a cycle of about
/// that period and size, along which a shift stays and towards which everything else returns.
#[test]
fn a_network_that_learnt_a_sine_keeps_a_cycle() {
    let cpu = Cpu::new(1).unwrap();
    let (period, rows) = (20.0, 40);
    let sine = |t: usize, row: usize| (TAU * (t as f64 / period + row as f64 / rows as f64)).sin();
    let shifted = |by: usize| Array3::from_shape_fn((60, rows, 1), |(t, row, _)| sine(t + by, row));
    let data = Sequences { inputs: shifted(0), targets: shifted(1) };
    let untrained = model(&cpu, Network::new(1).lstm(12).head(Readout::Every, 1));
    let config = FitConfig::new(rows, OptimizerConfig::adam(0.01), Stop::after(600));
    let source = SequenceSource(&data);
    let mut fit = Fit::new(&cpu, untrained, &source, config).unwrap();
    fit.run(None, &mut |_, _| Flow::Continue).unwrap();

    let series: Vec<f64> = (0..500).map(|t| sine(t, 0)).collect();
    let mut subject = StateLoop::new(&cpu, fit.into_model().unwrap(), Scale::NONE).unwrap();
    let protocol = Protocol { rows: vec![200, 307, 400], steps: 100, period, season: 20, longest: 80.0 };
    let found = examine(&mut subject, &series, &protocol).unwrap();
    let Rest::Cycle { period: own, level, deviation } = found.rest else { panic!("{:?}", found.rest) };
    assert!((own - period).abs() < 0.5 && level.abs() < 0.1, "{:?}", found.rest);
    assert!((deviation - 0.5f64.sqrt()).abs() < 0.1, "{:?}", found.rest);
    let factors = found.growth.unwrap().factors;
    assert!((factors[0] - 1.0).abs() < 0.01 && factors[1] < 0.9, "{factors:?}");
    // The cycle's own period is what the phase drifts by in each of the truth's.
    let pace = found.pace.unwrap();
    assert!((pace.phase - (period - own)).abs() < 0.1, "{pace:?} {own}");
    let answer = found.at_period.unwrap();
    assert!((answer.gain - 1.0).abs() < 0.05 && answer.lead.abs() < 3.0, "{answer:?}");
}

//! What is read from inside a network: gates against their equations, gradients against differences.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_nn::{
    InferPass, Init, InitSpec, LayerTrace, Loss, Model, Network, Readout, TrainOptions, TrainPass,
};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Float, LayerSpec};
use lstm_testkit::case::Kind;
use lstm_testkit::tolerance::{distance, tolerance};
use lstm_train::baseline::Simple;
use lstm_train::forecaster::{
    Base, ForecastChoices, ForecastConfig, Forecaster, Member, Normalise, Window, half_life,
};
use lstm_train::{Course, Flow};

const FORGET_BIAS: f64 = 0.7;

fn network(readout: Readout) -> Network {
    let layer = |units| LayerSpec::new(units).forget_bias(FORGET_BIAS).dropout(0.0, 0.3);
    Network::new(3).layer(layer(5)).layer(layer(9)).head(readout, 2)
}

fn normal(count: usize, stream: u64) -> Vec<f64> {
    let mut draws = Philox::new(stream, Purpose::Data, 0);
    (0..count).map(|_| draws.normal()).collect()
}

/// Gates i f g o, cell and hidden state of every layer, step, row and unit, by the equations, element by element:
///
/// ```text
/// z = W_ih u + b_ih + W_hh h + b_hh      z_f gets the forget bias
/// c = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g)        h = sigmoid(z_o) tanh(c)
/// ```
fn by_hand(params: &[[Vec<f64>; 4]], x: &[f64], (steps, rows): (usize, usize)) -> Vec<f64> {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let (mut all, mut below) = (Vec::new(), x.to_vec());
    for [w_ih, w_hh, b_ih, b_hh] in params {
        let units = b_ih.len() / 4;
        let width = below.len() / (steps * rows);
        let (mut h, mut c) = (vec![0.0; rows * units], vec![0.0; rows * units]);
        let mut above = Vec::new();
        for t in 0..steps {
            for row in 0..rows {
                let u = &below[(t * rows + row) * width..][..width];
                let before = h[row * units..][..units].to_vec();
                let z = |n: usize| {
                    let dot = |w: &[f64], v: &[f64]| w.iter().zip(v).map(|(w, v)| w * v).sum::<f64>();
                    dot(&w_ih[n * width..][..width], u)
                        + dot(&w_hh[n * units..][..units], &before)
                        + b_ih[n]
                        + b_hh[n]
                };
                for j in 0..units {
                    let (i, f) = (sigmoid(z(j)), sigmoid(z(units + j) + FORGET_BIAS));
                    let (g, o) = (z(2 * units + j).tanh(), sigmoid(z(3 * units + j)));
                    let at = row * units + j;
                    c[at] = f * c[at] + i * g;
                    h[at] = o * c[at].tanh();
                    all.extend([i, f, g, o, c[at], h[at]]);
                }
                above.extend(&h[row * units..][..units]);
            }
        }
        below = above;
    }
    all
}

/// A trace in the order of [`by_hand`].
fn flat(traces: &[LayerTrace]) -> Vec<f64> {
    let mut all = Vec::new();
    for trace in traces {
        for (at, (cell, hidden)) in trace.cell.iter().zip(&trace.hidden).enumerate() {
            let (row, unit) = (at / trace.units, at % trace.units);
            all.extend((0..4).map(|k| trace.gates[(row * 4 + k) * trace.units + unit]));
            all.extend([*cell, *hidden]);
        }
    }
    all
}

fn gates_follow_their_equations<F: Float>() {
    let cpu = Cpu::new(2).unwrap();
    let (steps, rows) = (23, 3);
    let init = InitSpec { recurrent: Init::Orthogonal, ..InitSpec::torch() };
    let model = Model::<Cpu, F>::new(&cpu, network(Readout::Every), &init, 4).unwrap();
    let x: Vec<F> = normal(steps * rows * 3, 1).into_iter().map(F::from_f64).collect();
    let mut pass = TrainPass::new(&cpu, &model, steps, rows, TrainOptions::new(Loss::mse())).unwrap();
    let (_, traces) = pass.trace(&cpu, &model, &x).unwrap();

    let params: Vec<[Vec<f64>; 4]> = (0..2)
        .map(|l| {
            ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| {
                let values = model.params().get(&cpu, &format!("lstm.{name}_l{l}")).unwrap();
                values.into_iter().map(F::to_f64).collect()
            })
        })
        .collect();
    let x: Vec<f64> = x.into_iter().map(F::to_f64).collect();
    let reference = by_hand(&params, &x, (steps, rows));
    // How strongly the case answers to noise of one eps in weights and inputs.
    let noisy = |values: &[f64], stream: u64| -> Vec<f64> {
        let signs = normal(values.len(), stream);
        values.iter().zip(signs).map(|(v, sign)| v * (1.0 + f64::EPSILON * sign.signum())).collect()
    };
    let kappa = (0..3u64)
        .map(|n| {
            let params: Vec<[Vec<f64>; 4]> = params
                .iter()
                .map(|layer| [0, 1, 2, 3].map(|k| noisy(&layer[k], 100 + 10 * n + k as u64)))
                .collect();
            let answer = by_hand(&params, &noisy(&x, 200 + n), (steps, rows));
            distance(Kind::Value, &answer, &reference) / f64::EPSILON
        })
        .fold(0.0, f64::max);
    let (far, most) = (distance(Kind::Value, &flat(&traces), &reference), tolerance::<F>(kappa));
    assert!(far <= most, "{far:e} of {most:e}, kappa {kappa}");
}

#[test]
fn gates_follow_their_equations_in_single_and_double() {
    gates_follow_their_equations::<f32>();
    gates_follow_their_equations::<f64>();
}

#[test]
fn the_gradient_of_the_input_is_that_of_differences() {
    let cpu = Cpu::new(2).unwrap();
    let (steps, rows) = (6, 2);
    let without_head = Network { head: None, ..network(Readout::Last) };
    let behind_an_embedding = network(Readout::Every).embed(7);
    for network in [network(Readout::Every), network(Readout::Last), without_head, behind_an_embedding] {
        let outputs = network.output_rows(steps, rows) * network.outputs();
        let model = Model::<Cpu, f64>::new(&cpu, network, &InitSpec::torch(), 8).unwrap();
        let (x, d_out) = (normal(steps * rows * 3, 2), normal(outputs, 3));
        let mut pass = TrainPass::new(&cpu, &model, steps, rows, TrainOptions::new(Loss::mse())).unwrap();
        let gradient = pass.input_gradient(&cpu, &model, &x, &d_out).unwrap();
        assert_eq!(gradient, pass.input_gradient(&cpu, &model, &x, &d_out).unwrap(), "the second is another");

        let mut infer = InferPass::new(&cpu, &model, steps, rows).unwrap();
        let mut product = |x: &[f64]| -> f64 {
            let mut out = Vec::new();
            infer.predict(&cpu, &model, x, None, &mut out).unwrap();
            out.iter().zip(&d_out).map(|(a, b)| a * b).sum()
        };
        let step = 1e-5;
        let differences: Vec<f64> = (0..x.len())
            .map(|at| {
                let mut moved = |by: f64| {
                    let mut x = x.clone();
                    x[at] += by;
                    product(&x)
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .collect();
        let far = distance(Kind::Gradient, &gradient, &differences);
        // A central difference is off by step^2 and by eps / step.
        assert!(far < 1e-8, "{far:e}");
    }
}

/// A forecaster whose correction depends on a value through the network alone: the base is the last value, the scale
/// that of the series.
fn forecaster(cpu: &Cpu, panel: &[Member<'_>]) -> Forecaster<Cpu, f64> {
    let choices = ForecastChoices {
        feedback: Some(false),
        horizon: Some(7),
        lookback: Some(24),
        segment: Some(3),
        epochs: Some(6),
        hidden: Some(8),
        layers: Some(2),
        ensemble: Some(2),
        base: Some(Base::Last),
        normalise: Some(Normalise::Series),
        ..ForecastChoices::default()
    };
    let trials = ForecastConfig::trials(&choices, &[12], panel).unwrap();
    Forecaster::hold_out(cpu, &trials, panel, &mut Course::default(), &mut |_, _, _| Flow::Continue)
        .unwrap()
        .0
}

fn series(rows: usize, phase: usize) -> Vec<f64> {
    let wave = |t: usize| [0.0, 1.0, 3.0, 6.0, 7.0, 9.0, 8.0, 7.0, 5.0, 3.0, 2.0, 1.0][t % 12];
    (0..rows).map(|t| 40.0 + 4.0 * wave(t + phase) + (t * 7919 % 13) as f64 * 0.3).collect()
}

#[test]
fn the_inside_of_a_forecaster_is_that_of_its_forecast() {
    let cpu = Cpu::new(1).unwrap();
    let (a, b) = (series(240, 0), series(200, 5));
    let panel = [Member::alone(&a), Member::alone(&b)];
    let forecaster = forecaster(&cpu, &panel);
    let window = Window { member: 1, row: 150 };
    let inside = |values: &[f64], network| {
        let panel = [panel[0], Member::alone(values)];
        forecaster.inside(&cpu, &panel, window, network).unwrap()
    };
    let [first, second] = [0, 1].map(|network| inside(&b, network));
    assert_eq!(first.rows, [-24, -21, -18, -15, -12, -9, -6, -3, 0, 3, 6]);
    assert_eq!((first.layers.len(), first.layers[0].gates.len()), (2, 11 * 4 * 8));

    // The mean of the networks' corrections, on top of the base, is the forecast.
    let forecast = forecaster.forecast_at(&cpu, &panel, &[window]).unwrap();
    let base = forecaster.baseline_at(Simple::Naive, &panel, &[window], None);
    for (h, (forecast, base)) in forecast.iter().zip(&base).enumerate() {
        let sum = base + 0.5 * (first.correction[h] + second.correction[h]);
        assert!((forecast - sum).abs() < 1e-12 * forecast.abs(), "{forecast} {sum}");
    }

    // Every value but the last, on which the base and the level of the window hang.
    let step = 1e-4;
    for (number, from) in first.rows.iter().enumerate().filter(|(_, row)| **row < -3) {
        let mut squares = 0.0;
        for at in 0..3 {
            let moved = |by: f64| {
                let mut values = b.clone();
                values[window.row.strict_add_signed(*from) + at] += by;
                inside(&values, 0).correction
            };
            let (up, down) = (moved(step), moved(-step));
            squares += up.iter().zip(down).map(|(u, d)| ((u - d) / (2.0 * step)).powi(2)).sum::<f64>();
        }
        let norm = (squares / 7.0).sqrt();
        let found = first.gradient[number];
        assert!(norm > 0.0 && (found / norm - 1.0).abs() < 1e-5, "step {number}: {found} {norm}");
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240, 0);
    let panel = [Member::alone(&values)];
    let forecaster = forecaster(&cpu, &panel);
    let said = |member, row, network| {
        forecaster.inside(&cpu, &panel, Window { member, row }, network).unwrap_err().to_string()
    };
    assert!(said(0, 23, 0).contains("row"), "{}", said(0, 23, 0));
    assert!(said(0, 241, 0).contains("240"), "{}", said(0, 241, 0));
    assert!(said(1, 100, 0).contains("series"), "{}", said(1, 100, 0));
    assert!(said(0, 100, 2).contains("network"), "{}", said(0, 100, 2));
}

#[test]
fn a_cell_halves_in_its_half_life() {
    for forget in [0.1f64, 0.5, 0.9, 0.999] {
        assert!((forget.powf(half_life(forget)) - 0.5).abs() < 1e-12);
    }
    assert_eq!((half_life(0.5), half_life(1.0), half_life(0.0)), (1.0, f64::INFINITY, 0.0));
}

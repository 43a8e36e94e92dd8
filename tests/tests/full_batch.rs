//! Training on all data at once by L-BFGS: the bits, where it stops, what it refuses, and closed loops side by side.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_data::generate::{Sequences, ShiftedSine};
use lstm_nn::{InitSpec, Loss, Model, Network, Readout};
use lstm_optim::LbfgsConfig;
use lstm_tensor::LayerSpec;
use lstm_train::free_run::{carry_state, side_by_side};
use lstm_train::{Drawn, Error, Flow, FullBatch, SequenceSource};
use ndarray::Axis;

fn data(shifts: &[f64]) -> Sequences {
    ShiftedSine { length: 41, scale: 4.0, shifts: shifts.to_vec() }.make().unwrap()
}

fn network() -> Network {
    Network::new(1).lstm(7).lstm(5).head(Readout::Every, 1)
}

fn model(cpu: &Cpu, network: Network) -> Model<Cpu, f64> {
    Model::new(cpu, network, &InitSpec::torch(), 3).unwrap()
}

fn fit<'a>(cpu: &'a Cpu, data: &Sequences) -> FullBatch<'a, Cpu, f64> {
    let config = LbfgsConfig::new().strong_wolfe();
    FullBatch::new(cpu, model(cpu, network()), &SequenceSource(data), Loss::mse(), config).unwrap()
}

/// Losses and parameters after three steps; every `stop_at`-th evaluation ends the call.
fn train(threads: usize, stop_at: Option<usize>) -> (Vec<f64>, Vec<f64>) {
    let cpu = Cpu::new(threads).unwrap();
    let mut fit = fit(&cpu, &data(&[0.0, 3.0, 9.0, 14.0, 20.0]));
    let mut losses = Vec::new();
    while fit.steps() < 3 {
        fit.step(&mut |loss| {
            losses.push(loss);
            match stop_at {
                Some(every) if losses.len().is_multiple_of(every) => Flow::Stop,
                _ => Flow::Continue,
            }
        })
        .unwrap();
    }
    assert_eq!(fit.evaluations(), losses.len() as u64);
    (losses, fit.into_model().download(&cpu).unwrap())
}

#[test]
fn neither_threads_nor_interrupts_change_a_bit() {
    let whole = train(1, None);
    assert!(whole.0.len() > 40 && whole.0[whole.0.len() - 1] < 0.05 * whole.0[0], "{:?}", whole.0);
    assert!(train(2, None) == whole, "threads");
    assert!(train(2, Some(1)) == whole, "interrupted at every evaluation");
    assert!(train(1, Some(7)) == whole, "interrupted at some");
}

#[test]
fn a_step_that_is_stopped_gives_no_answer() {
    let cpu = Cpu::new(1).unwrap();
    let mut fit = fit(&cpu, &data(&[0.0, 3.0]));
    assert_eq!(fit.step(&mut |_| Flow::Stop).unwrap(), None);
    assert_eq!((fit.steps(), fit.evaluations()), (0, 1));
    let done = fit.step(&mut |_| Flow::Continue).unwrap().unwrap();
    assert_eq!((fit.steps(), fit.evaluations()), (1, u64::from(done.evaluations)));
}

#[test]
fn what_is_not_finite_is_an_error_and_leaves_finite_weights() {
    let cpu = Cpu::new(1).unwrap();
    let config = LbfgsConfig::new().learning_rate(1e200);
    let data = data(&[0.0, 3.0]);
    let mut fit =
        FullBatch::new(&cpu, model(&cpu, network()), &SequenceSource(&data), Loss::mse(), config).unwrap();
    let error = (0..20).find_map(|_| fit.step(&mut |_| Flow::Continue).err()).unwrap();
    assert!(matches!(error, Error::Optimizer(lstm_optim::Error::NotFinite { .. })), "{error}");
    assert!(fit.model().download(&cpu).unwrap().iter().all(|value| value.is_finite()));
}

#[test]
fn what_l_bfgs_cannot_do_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let refused = |network: Network, source: &SequenceSource<'_>| {
        let made = FullBatch::new(&cpu, model(&cpu, network), source, Loss::mse(), LbfgsConfig::new());
        match made {
            Err(Error::Invalid { what, .. }) => what,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was taken"),
        }
    };
    let some = data(&[0.0]);
    let dropping = Network::new(1).layer(LayerSpec::new(4).dropout(0.1, 0.0)).head(Readout::Every, 1);
    assert_eq!(refused(dropping, &SequenceSource(&some)), "network");
    assert_eq!(refused(Network::new(2).lstm(4).head(Readout::Every, 1), &SequenceSource(&some)), "network");
    let endless = lstm_data::generate::RandomSine {
        inputs: 5,
        outputs: 1,
        rate: 10.0,
        frequency: [1.0, 1.0],
        latest: 1.0,
    };
    let network = Network::new(1).lstm(4).head(Readout::Last, 1);
    let made = FullBatch::new(&cpu, model(&cpu, network), &Drawn(endless), Loss::mse(), LbfgsConfig::new());
    assert!(matches!(made.err(), Some(Error::Invalid { what: "data", .. })));
}

#[test]
fn side_by_side_is_each_by_itself() {
    let cpu = Cpu::new(2).unwrap();
    let model = model(&cpu, network());
    let inputs = data(&[0.0, 3.0, 7.0]).inputs.index_axis_move(Axis(2), 0);
    let own_from = [40, 10, 1];
    let run = side_by_side(&cpu, &model, inputs.view(), &own_from, 60).unwrap();
    for (row, from) in own_from.into_iter().enumerate() {
        let history: Vec<f64> = inputs.column(row).iter().take(from).copied().collect();
        let alone = carry_state(&cpu, &model, &history, 61 - from).unwrap();
        for (t, (together, alone)) in run.predictions.column(row).iter().zip(&alone).enumerate() {
            assert!((together - alone).abs() < 1e-12, "row {row}, step {t}: {together} {alone}");
            let fed = if t < from { inputs[[t, row]] } else { run.predictions[[t - 1, row]] };
            assert_eq!(run.fed[[t, row]], fed, "row {row}, step {t}");
        }
    }
    // Without a step of its own nothing could be fed back at first.
    let none = side_by_side(&cpu, &model, inputs.view(), &[0, 10, 1], 60).unwrap();
    assert_eq!(none.fed[[0, 0]], inputs[[0, 0]]);
    assert_eq!(none.fed[[1, 0]], none.predictions[[0, 0]]);
    assert!(side_by_side(&cpu, &model, inputs.view(), &own_from[..2], 60).is_err());
}

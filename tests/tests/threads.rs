//! The number of threads changes no bit, and more than one thread really works.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_tensor::{
    Backend, BatchShape, Control, Float, KernelChoice, LayerSpec, LossArgs, LossKind, Mode, Rule, Span,
    StackSpec, View, ViewMut, control_slot,
};
use lstm_testkit::case::StackCase;
use lstm_testkit::run::{By, Run, raw};
use lstm_testkit::strategies::filled;

fn cases() -> Vec<StackCase> {
    let stack = |input, sizes: &[usize]| {
        let layers = sizes.iter().map(|&hidden| LayerSpec::new(hidden).dropout(0.1, 0.1)).collect();
        StackSpec::new(input, layers).dropout_between(0.2)
    };
    vec![
        filled(stack(3, &[17]), BatchShape::new(9, 1), 1.0, 1),
        filled(stack(1, &[33, 8]), BatchShape::new(12, 7), 1.0, 2),
        filled(stack(9, &[96, 64]), BatchShape::new(24, 40), 1.0, 3),
        filled(stack(18, &[260]), BatchShape::new(20, 11), 1.0, 4),
        filled(stack(3, &[24, 32, 17, 9]), BatchShape::new(200, 3), 1.0, 5),
    ]
}

/// All bits of a training step: outputs, gradients, loss, clipping, updated parameters.
fn training_step<F: Float>(cpu: &Cpu, case: &StackCase) -> (Vec<Vec<F>>, Vec<f64>) {
    let mut run = Run::<_, F>::new(cpu, case, Mode::Train, KernelChoice::Auto).unwrap();
    run.forward(By::Backend).unwrap();
    let span = Span::dense(0, case.steps() * case.rows(), case.spec.output());
    let target = cpu.alloc::<F>(span.end()).unwrap();
    let mut value = cpu.alloc::<f64>(1).unwrap();
    let d_y = run.d_y.as_mut().unwrap();
    let args = LossArgs {
        kind: LossKind::Squared,
        scale: 0.5,
        prediction: View::new(&run.y, span),
        target: View::new(&target, span),
        row_weights: None,
    };
    cpu.loss(args, ViewMut::new(d_y, span), &mut value).unwrap();
    run.backward(By::Backend).unwrap();
    let mut control = Control::new(cpu).unwrap();
    cpu.upload(&[0.01, 1.0], &mut control.values, control_slot::RATE).unwrap();
    cpu.clip(None, Some(1.0), &mut run.d_params, &mut control).unwrap();
    let rule = Rule::Sgd { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.01 };
    cpu.update(&rule, run.params.values_mut(), &run.d_params, &mut [], &control).unwrap();
    let floats = [&run.y, &run.last.h, &run.d_x, &run.d_initial.c, &run.d_params, run.params.values()];
    let doubles = [&value, &control.values];
    (
        floats.map(|buffer| raw(cpu, buffer).unwrap()).to_vec(),
        doubles.map(|buffer| raw(cpu, buffer).unwrap()).concat(),
    )
}

fn all_counts_agree<F: Float>() {
    for case in cases() {
        let alone = training_step::<F>(&Cpu::new(1).unwrap(), &case);
        for threads in [2, 3, 4] {
            let cpu = Cpu::new(threads).unwrap();
            assert!(training_step::<F>(&cpu, &case) == alone, "{threads} threads, {case:?}");
        }
    }
}

#[test]
fn thread_counts_agree_in_f32() {
    all_counts_agree::<f32>();
}

#[test]
fn thread_counts_agree_in_f64() {
    all_counts_agree::<f64>();
}

#[test]
fn several_threads_work() {
    let cpu = Cpu::new(2).unwrap();
    let case = &cases()[2];
    // On a busy machine the second thread may come too late for the first loops.
    for _ in 0..100 {
        training_step::<f32>(&cpu, case);
        if cpu.workers_used() > 1 {
            return;
        }
    }
    panic!("of {} threads, {} worked", cpu.threads(), cpu.workers_used());
}

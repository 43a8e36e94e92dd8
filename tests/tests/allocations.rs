//! Loops of training and streaming steps on the CPU allocate nothing once they are warm.
//!
//! The count is that of the whole process, so this binary holds one test and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken assumption ends the test")]

use lstm_cpu::Cpu;
use lstm_tensor::{
    Backend, BatchShape, Control, Draw, Float, Forward, KernelChoice, LayerSpec, LossArgs, LossKind, Mode,
    Rule, Span, StackSpec, State, View, ViewMut, Weights, control_slot,
};
use lstm_testkit::alloc::Counting;
use lstm_testkit::run::{By, Run};
use lstm_testkit::strategies::filled;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const STEPS: usize = 20;

/// Asserts that `step` comes to ask for no memory.
///
/// On a busy machine a thread may come late and make a later round its warm-up.
fn assert_quiet(what: &str, mut step: impl FnMut()) {
    let mut seen = Vec::with_capacity(10);
    for _ in 0..seen.capacity() {
        let before = ALLOCATOR.requests();
        (0..STEPS).for_each(|_| step());
        seen.push(ALLOCATOR.requests() - before);
        if seen.ends_with(&[0]) {
            return;
        }
    }
    panic!("{what}: requests for memory in rounds of {STEPS} steps: {seen:?}");
}

fn spec() -> StackSpec {
    let layers = vec![LayerSpec::new(40).dropout(0.1, 0.1), LayerSpec::new(24)];
    StackSpec::new(6, layers).dropout_between(0.2)
}

/// Batch rows of layers that go in a wave, and of several tasks.
const ROWS: [usize; 2] = [16, 40];

fn training<F: Float>(cpu: &Cpu, rule: &Rule, rows: usize) {
    let case = filled(spec(), BatchShape::new(30, rows), 1.0, 5);
    let mut run = Run::<_, F>::new(cpu, &case, Mode::Train, KernelChoice::Auto).unwrap();
    let mut slots: Vec<_> = (0..rule.slots()).map(|_| cpu.alloc::<F>(case.params.len()).unwrap()).collect();
    let span = Span::dense(0, 30 * rows, 24);
    let target = cpu.alloc::<F>(span.end()).unwrap();
    let mut value = cpu.alloc::<f64>(1).unwrap();
    let mut control = Control::new(cpu).unwrap();
    let mut number = 0.0;
    let what = format!("training in {}, {} threads, {rows} rows, {rule:?}", F::NAME, cpu.threads());
    assert_quiet(&what, || {
        number += 1.0;
        cpu.upload(&[0.001, number], &mut control.values, control_slot::RATE).unwrap();
        cpu.fill(F::ZERO, ViewMut::new(&mut run.d_params, Span::dense(0, 1, case.params.len()))).unwrap();
        run.forward(By::Backend).unwrap();
        let args = LossArgs {
            kind: LossKind::Huber { delta: 1.0 },
            scale: 0.1,
            prediction: View::new(&run.y, span),
            target: View::new(&target, span),
            row_weights: None,
        };
        cpu.loss(args, ViewMut::new(run.d_y.as_mut().unwrap(), span), &mut value).unwrap();
        run.backward(By::Backend).unwrap();
        cpu.clip(Some(5.0), Some(1.0), &mut run.d_params, &mut control).unwrap();
        cpu.update(rule, run.params.values_mut(), &run.d_params, &mut slots, &control).unwrap();
        cpu.prepare(&run.plan, &run.params, &mut run.packed).unwrap();
    })
}

fn inference<F: Float>(cpu: &Cpu, rows: usize) {
    let case = filled(spec(), BatchShape::new(30, rows), 1.0, 6);
    let mut run = Run::<_, F>::new(cpu, &case, Mode::Infer, KernelChoice::Auto).unwrap();
    assert_quiet(&format!("inference in {}, {} threads, {rows} rows", F::NAME, cpu.threads()), || {
        let args = Forward {
            weights: Weights { params: &run.params, packed: &run.packed },
            draw: None::<Draw<'_, Cpu>>,
            x: &run.x,
            initial: None,
            y: &mut run.y,
            last: None,
        };
        cpu.stack_forward(&run.plan, args, &mut run.scratch).unwrap();
    })
}

fn streaming<F: Float>(cpu: &Cpu) {
    let case = filled(spec(), BatchShape::new(1, 3), 1.0, 7);
    let mut run = Run::<_, F>::new(cpu, &case, Mode::Infer, KernelChoice::Auto).unwrap();
    let mut state = State::zeros(cpu, &case.spec, 3).unwrap();
    assert_quiet(&format!("streaming in {}, {} threads", F::NAME, cpu.threads()), || {
        let weights = Weights { params: &run.params, packed: &run.packed };
        cpu.step(&run.plan, weights, &run.x, &mut state, &mut run.y, &mut run.scratch).unwrap();
    })
}

#[test]
fn warm_loops_do_not_allocate() {
    let rules = [
        Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 0.0 },
        Rule::Adagrad { lr_decay: 0.0, initial_accumulator: 0.0, eps: 1e-10, weight_decay: 0.0 },
        Rule::RmsProp { alpha: 0.9, eps: 1e-8, momentum: 0.9, centered: true, weight_decay: 0.0 },
        Rule::Adam {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            decoupled: true,
            tf_epsilon: false,
        },
    ];
    for threads in [1, 2] {
        let cpu = Cpu::new(threads).unwrap();
        for rows in ROWS {
            for rule in &rules {
                training::<f32>(&cpu, rule, rows);
                training::<f64>(&cpu, rule, rows);
            }
            inference::<f32>(&cpu, rows);
            inference::<f64>(&cpu, rows);
        }
        streaming::<f32>(&cpu);
        streaming::<f64>(&cpu);
    }
}

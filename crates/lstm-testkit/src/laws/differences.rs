//! Gradients are the slopes of the values, by central differences in f64.

use super::hold;
use crate::case::StackCase;
use crate::run::{Route, buffer, fetch, infer, run};
use crate::strategies::{StackOptions, size, stack as stacks, values};
use lstm_tensor::{Backend, Float, LossArgs, LossKind, Mode, Result, Span, View, ViewMut};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Length of a difference along a direction of unit size.
const STEP: f64 = 1e-5;

/// The slope of a stack's loss along random directions of its weights, input and initial state.
pub fn stack<B: Backend, F: Float>(backend: &B) {
    hold((stacks(StackOptions { layers: 2, ..StackOptions::PLAIN }), any::<u64>()), |(case, seed)| {
        slopes::<B, F>(backend, case, seed)
    });
}

/// The same under a draw: backward drops exactly what forward dropped.
pub fn stack_with_dropout<B: Backend, F: Float>(backend: &B) {
    hold((stacks(StackOptions { layers: 2, ..StackOptions::DROPOUT }), any::<u64>()), |(case, seed)| {
        slopes::<B, F>(backend, case, seed)
    });
}

fn slopes<B: Backend, F: Float>(backend: &B, mut case: StackCase, seed: u64) -> TestCaseResult {
    if case.initial.is_none() {
        case.initial = Some(case.zero_state());
    }
    let outcome = run::<B, F>(backend, &case, Route::OWN)?;
    let layout = case.layout();
    for input in 0..case.inputs_mut().len() {
        let (name, n) = {
            let (name, values) = &case.inputs_mut()[input];
            (*name, values.len())
        };
        let mut direction = values(seed, input as u32, n, 1.0);
        if name == "d_params" {
            // Padding is no parameter.
            let mut inside = vec![0.0; n];
            for entry in layout.entries() {
                inside[entry.offset..entry.offset + entry.len()].fill(1.0);
            }
            direction.iter_mut().zip(inside).for_each(|(d, inside)| *d *= inside);
        }
        let norm = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|d| *d /= norm);
        let loss_at = |step: f64| -> Result<f64> {
            let mut moved = case.clone();
            let mut inputs = moved.inputs_mut();
            for (value, direction) in inputs[input].1.iter_mut().zip(&direction) {
                *value += step * direction;
            }
            let (y, last) = infer::<B, F>(backend, &moved, Mode::Train)?;
            Ok(moved.loss(&y, &last))
        };
        let slope = (loss_at(STEP)? - loss_at(-STEP)?) / (2.0 * STEP);
        let gradient = outcome.gradient(name);
        let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        // Rounding of the two losses over 2e-5 and the third derivative times 1e-10, with room.
        let size = gradient.iter().map(|g| g * g).sum::<f64>().sqrt().max(1.0);
        prop_assert!((slope - along).abs() < 1e-7 * size, "{name}: slope {slope}, gradient {along}");
    }
    Ok(())
}

/// Any loss.
pub(super) fn loss_kind() -> impl Strategy<Value = LossKind> {
    prop_oneof![
        Just(LossKind::Squared),
        Just(LossKind::HalfSquared),
        Just(LossKind::Absolute),
        (0.25..2.0f32).prop_map(|delta| LossKind::Huber { delta: delta.into() }),
        Just(LossKind::RelativeAbsolute),
    ]
}

/// The slope of every loss at every prediction that does not sit on a kink.
pub fn loss<B: Backend, F: Float>(backend: &B) {
    hold((loss_kind(), size(), size(), any::<u64>()), |(kind, rows, cols, seed)| {
        let span = Span::dense(0, rows, cols);
        let n = rows * cols;
        let target: Vec<f64> = values(seed, 0, n, 1.0).iter().map(|x| 0.5 + x.abs()).collect();
        let prediction: Vec<f64> = values(seed, 1, n, 1.0).iter().zip(&target).map(|(e, t)| t + e).collect();
        let weights = values(seed, 2, rows, 1.0);
        let evaluate = |prediction: &[f64]| -> Result<(f64, Vec<f64>)> {
            let [p, t] = [prediction, &target].map(|values| buffer::<B, F>(backend, values));
            let (p, t, w) = (p?, t?, buffer::<B, F>(backend, &weights)?);
            let (mut d_p, mut value) = (backend.alloc::<F>(n)?, backend.alloc::<f64>(1)?);
            let row_weights = Some(View::new(&w, Span::dense(0, 1, rows)));
            let (prediction, target) = (View::new(&p, span), View::new(&t, span));
            let args = LossArgs { kind, scale: 0.5, prediction, target, row_weights };
            backend.loss(args, ViewMut::new(&mut d_p, span), &mut value)?;
            Ok((fetch::<B, f64>(backend, &value)?[0], fetch::<B, F>(backend, &d_p)?))
        };
        let gradient = evaluate(&prediction)?.1;
        let index = (seed % n as u64) as usize;
        let error = prediction[index] - target[index];
        let kinks = match kind {
            LossKind::Absolute | LossKind::RelativeAbsolute => vec![0.0],
            LossKind::Huber { delta } => vec![-delta, delta],
            _ => vec![],
        };
        prop_assume!(kinks.iter().all(|kink| (error - kink).abs() > 2.0 * STEP));
        let value_at = |step: f64| {
            let mut moved = prediction.clone();
            moved[index] += step;
            evaluate(&moved).map(|(value, _)| value)
        };
        let slope = (value_at(STEP)? - value_at(-STEP)?) / (2.0 * STEP);
        let room = 1e-7 * gradient[index].abs().max(1.0) + 1e-9 * n as f64;
        prop_assert!((slope - gradient[index]).abs() < room, "slope {slope}, gradient {}", gradient[index]);
        Ok(())
    });
}

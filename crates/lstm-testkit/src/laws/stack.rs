//! What a pass over a stack computes, and what must not change it.

use super::{hold, within};
use crate::case::{HostState, Kind, StackCase};
use crate::oracle;
use crate::run::{By, Route, Run, buffer, fetch, infer, raw, run};
use crate::strategies::{StackOptions, stack};
use crate::tolerance::{Expected, distance};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, BatchShape, Error, Float, KernelChoice, Mode, State, Weights};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Output and last state are those of the scalar loop.
pub fn forward_is_the_oracle<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::ANY), |case| is_the_oracle::<B, F>(backend, &case));
}

pub(super) fn is_the_oracle<B: Backend, F: Float>(backend: &B, case: &StackCase) -> TestCaseResult {
    let allowed = Expected::new::<F>(case)?.tolerance;
    let (y, last) = oracle::forward(case);
    let got = run::<B, F>(backend, case, Route::OWN)?;
    for (what, got, want) in [("y", &got.y, &y), ("h", &got.last.h, &last.h), ("c", &got.last.c, &last.c)] {
        within((what.to_owned(), distance(Kind::Value, got, want) / allowed))?;
    }
    Ok(())
}

/// Forward and backward, by the backend or by the reference in all four pairings and for every kernel, give
/// what the reference gives in f64 on the naive backend.
pub fn all_pairings_are_the_reference<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::ANY), |case| pairings_are_the_reference::<B, F>(backend, &case));
}

pub(super) fn pairings_are_the_reference<B: Backend, F: Float>(
    backend: &B,
    case: &StackCase,
) -> TestCaseResult {
    let expected = Expected::new::<F>(case)?;
    use KernelChoice::{Auto, Fused, Persistent, Reference};
    for kernel in [Auto, Reference, Fused, Persistent] {
        for route in Route::pairings(kernel) {
            match run::<B, F>(backend, case, route) {
                Ok(got) => {
                    let (name, error) = expected.judge(&got);
                    within((format!("{name} by {route:?} (kappa {:.1})", expected.kappa), error))?;
                }
                // A backend may have no kernel of its own for this stack, but never none at all.
                Err(Error::Unsupported { .. }) if matches!(kernel, Fused | Persistent) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// An absent state or gradient is one of zeros.
pub fn absent_operands_are_zero<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::ANY), |case| {
        let zeros = StackCase {
            initial: Some(case.initial.clone().unwrap_or_else(|| case.zero_state())),
            d_last: Some(case.d_last.clone().unwrap_or_else(|| case.zero_state())),
            d_y: Some(
                case.d_y
                    .clone()
                    .unwrap_or_else(|| vec![0.0; case.steps() * case.rows() * case.spec.output()]),
            ),
            ..case.clone()
        };
        let expected = Expected::new::<F>(&case)?;
        within(expected.judge(&run::<B, F>(backend, &zeros, Route::OWN)?))?;
        within(expected.judge(&run::<B, F>(backend, &case, Route::OWN)?))
    });
}

/// Parameter gradients are added to what the arena holds; all other results are overwritten. The arena's
/// padding and what lies behind the stack's tensors stay as they were.
pub fn gradients_add_up<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::PLAIN), |case| {
        let expected = Expected::new::<F>(&case)?;
        let mut twice = Run::<B, F>::new(backend, &case, Mode::Train, KernelChoice::Auto)?;
        for _ in 0..2 {
            twice.forward(By::Backend)?;
            twice.backward(By::Backend)?;
        }
        let mut got = twice.outcome()?;
        let mut padding = vec![true; got.d_params.len()];
        for entry in expected.layout.entries() {
            padding[entry.offset..entry.offset + entry.len()].fill(false);
        }
        for (value, padding) in got.d_params.iter_mut().zip(padding) {
            prop_assert!(!padding || *value == 0.0, "padding of the gradient arena holds {}", value);
            *value /= 2.0;
        }
        within(expected.judge(&got))
    });
}

/// Two halves of the steps, state carried forward and gradient carried back, are the whole.
pub fn split_sequences_carry_their_state<B: Backend, F: Float>(backend: &B) {
    hold((stack(StackOptions::ANY), 0.0..1.0f64), |(mut case, at)| {
        prop_assume!(case.steps() > 1);
        case.initial.get_or_insert(HostState { h: vec![], c: vec![] });
        if case.initial.as_ref().is_some_and(|state| state.c.is_empty()) {
            case.initial = Some(case.zero_state());
        }
        let expected = Expected::new::<F>(&case)?;
        let first_steps = 1 + (at * (case.steps() - 1) as f64) as usize;
        let (rows, input, output) = (case.rows(), case.spec.input, case.spec.output());
        let (x_cut, y_cut) = (first_steps * rows * input, first_steps * rows * output);
        let mut first = StackCase {
            shape: BatchShape::new(first_steps, rows),
            x: case.x[..x_cut].to_vec(),
            d_y: case.d_y.as_ref().map(|d_y| d_y[..y_cut].to_vec()),
            ..case.clone()
        };
        let carried = run::<B, F>(backend, &first, Route::OWN)?;
        let second = StackCase {
            shape: BatchShape::new(case.steps() - first_steps, rows),
            x: case.x[x_cut..].to_vec(),
            d_y: case.d_y.as_ref().map(|d_y| d_y[y_cut..].to_vec()),
            initial: Some(carried.last),
            ..case.clone()
        };
        let mut got = run::<B, F>(backend, &second, Route::OWN)?;
        first.d_last = Some(got.d_initial.clone());
        let before = run::<B, F>(backend, &first, Route::OWN)?;
        got.y = [before.y, got.y].concat();
        got.d_x = [before.d_x, got.d_x].concat();
        got.d_initial = before.d_initial;
        for (sum, before) in got.d_params.iter_mut().zip(before.d_params) {
            *sum += before;
        }
        within(expected.judge(&got))
    });
}

/// Steps one by one with the state in place are the whole sequence.
pub fn steps_are_the_whole<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::ANY), |case| {
        let expected = Expected::new::<F>(&case)?;
        let rows = case.rows();
        let one = StackCase { shape: BatchShape::new(1, rows), x: vec![], ..case.clone() };
        let mut run = Run::<B, F>::new(backend, &one, Mode::Infer, KernelChoice::Auto)?;
        let start = case.initial.clone().unwrap_or_else(|| case.zero_state());
        let mut state = State { h: buffer(backend, &start.h)?, c: buffer(backend, &start.c)? };
        let mut y = vec![];
        for x in case.x.chunks(rows * case.spec.input) {
            let x = buffer::<B, F>(backend, x)?;
            let weights = Weights { params: &run.params, packed: &run.packed };
            backend.step(&run.plan, weights, &x, &mut state, &mut run.y, &mut run.scratch)?;
            y.extend(fetch::<B, F>(backend, &run.y)?);
        }
        let last = HostState { h: fetch::<B, F>(backend, &state.h)?, c: fetch::<B, F>(backend, &state.c)? };
        let want = &expected.outcome;
        for (what, got, want) in
            [("y", &y, &want.y), ("h", &last.h, &want.last.h), ("c", &last.c, &want.last.c)]
        {
            within((what.to_owned(), distance(Kind::Value, got, want) / expected.tolerance))?;
        }
        Ok(())
    });
}

/// Inference is the forward pass of training.
pub fn inference_is_training_forward<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions::ANY), |case| {
        let expected = Expected::new::<F>(&case)?;
        for mode in [Mode::Infer, Mode::Train] {
            let (y, last) = infer::<B, F>(backend, &case, mode)?;
            let want = &expected.outcome;
            for (what, got, want) in
                [("y", &y, &want.y), ("h", &last.h, &want.last.h), ("c", &last.c, &want.last.c)]
            {
                within((
                    format!("{what} in {mode:?}"),
                    distance(Kind::Value, got, want) / expected.tolerance,
                ))?;
            }
        }
        Ok(())
    });
}

/// The case of one row alone.
fn only_row(case: &StackCase, row: usize) -> StackCase {
    let pick = |values: &[f64], width| rows_of(values, width, case.rows(), &[row]);
    let state = |state: &HostState| pick_state(case, state, &[row]);
    StackCase {
        shape: BatchShape::new(case.steps(), 1),
        x: pick(&case.x, case.spec.input),
        d_y: case.d_y.as_ref().map(|d_y| pick(d_y, case.spec.output())),
        initial: case.initial.as_ref().map(state),
        d_last: case.d_last.as_ref().map(state),
        draw: case.draw.clone().map(|mut draw| {
            draw.samples = vec![draw.samples[row]];
            draw
        }),
        ..case.clone()
    }
}

/// Rows `order` of every step of `[T, B, width]`.
fn rows_of(values: &[f64], width: usize, rows: usize, order: &[usize]) -> Vec<f64> {
    let row = |step: &[f64], row: usize| step[row * width..(row + 1) * width].to_vec();
    values.chunks(rows * width).flat_map(|step| order.iter().flat_map(move |&r| row(step, r))).collect()
}

/// Rows `order` of a state of all layers.
fn pick_state(case: &StackCase, state: &HostState, order: &[usize]) -> HostState {
    let rows = case.rows();
    let mut picked = HostState { h: vec![], c: vec![] };
    for (l, layer) in case.spec.layers.iter().enumerate() {
        let (h, c) = case.spec.state_offset(l, rows);
        let len = rows * layer.hidden;
        picked.h.extend(rows_of(&state.h[h..h + len], layer.hidden, rows, order));
        picked.c.extend(rows_of(&state.c[c..c + len], layer.hidden, rows, order));
    }
    picked
}

/// Each row alone gives what it gives in the batch; gradients of parameters add up over rows.
pub fn rows_are_independent<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions { layers: 2, ..StackOptions::ANY }), |case| {
        prop_assume!(case.rows() <= 9);
        let expected = Expected::new::<F>(&case)?;
        let mut sum = vec![0.0; case.params.len()];
        for row in 0..case.rows() {
            let got = run::<B, F>(backend, &only_row(&case, row), Route::OWN)?;
            let want = &expected.outcome;
            let y = rows_of(&want.y, case.spec.output(), case.rows(), &[row]);
            within((format!("y of row {row}"), distance(Kind::Value, &got.y, &y) / expected.tolerance))?;
            let last = pick_state(&case, &want.last, &[row]);
            within((
                format!("c of row {row}"),
                distance(Kind::Value, &got.last.c, &last.c) / expected.tolerance,
            ))?;
            for (sum, term) in sum.iter_mut().zip(got.d_params) {
                *sum += term;
            }
        }
        let mut got = expected.outcome.clone();
        got.d_params = sum;
        within(expected.judge(&got))
    });
}

/// A permutation of `0..n`.
fn permutation(seed: u64, index: u32, n: usize) -> Vec<usize> {
    let mut stream = Philox::new(seed, Purpose::Order, index);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, (stream.uniform() * (last + 1) as f64) as usize);
    }
    order
}

/// A batch in another order gives the outputs in that order and the same parameter gradients.
pub fn permuted_rows_permute_outputs<B: Backend, F: Float>(backend: &B) {
    hold((stack(StackOptions::ANY), any::<u64>()), |(case, seed)| {
        rows_may_move::<B, F>(backend, &case, seed)
    });
}

pub(super) fn rows_may_move<B: Backend, F: Float>(
    backend: &B,
    case: &StackCase,
    seed: u64,
) -> TestCaseResult {
    let order = permutation(seed, 0, case.rows());
    let (rows, spec) = (case.rows(), &case.spec);
    let state = |state: &HostState| pick_state(case, state, &order);
    let moved = StackCase {
        x: rows_of(&case.x, spec.input, rows, &order),
        d_y: case.d_y.as_ref().map(|d_y| rows_of(d_y, spec.output(), rows, &order)),
        initial: case.initial.as_ref().map(state),
        d_last: case.d_last.as_ref().map(state),
        draw: case.draw.clone().map(|mut draw| {
            draw.samples = order.iter().map(|&row| draw.samples[row]).collect();
            draw
        }),
        ..case.clone()
    };
    let mut expected = Expected::new::<F>(case)?;
    let outcome = &mut expected.outcome;
    outcome.y = rows_of(&outcome.y, spec.output(), rows, &order);
    outcome.d_x = rows_of(&outcome.d_x, spec.input, rows, &order);
    outcome.last = state(&outcome.last);
    outcome.d_initial = state(&outcome.d_initial);
    within(expected.judge(&run::<B, F>(backend, &moved, Route::OWN)?))
}

/// Hidden units in another order, weights and states with them, change nothing that is seen outside.
pub fn permuted_units_change_nothing<B: Backend, F: Float>(backend: &B) {
    hold((stack(StackOptions::ANY), any::<u64>()), |(case, seed)| {
        let orders: Vec<Vec<usize>> = (0..case.spec.layers.len())
            .map(|l| permutation(seed, l as u32, case.spec.layers[l].hidden))
            .collect();
        let mut moved = case.clone();
        let layout = case.layout();
        for (l, order) in orders.iter().enumerate() {
            let hidden = order.len();
            for entry in layout.entries().iter().filter(|entry| entry.name.ends_with(&format!("_l{l}"))) {
                // Rows are gates and units of this layer, columns units of this layer or of the one below.
                let cols = entry.len() / (4 * hidden);
                let below = match entry.name.as_str() {
                    name if name.starts_with("weight_hh") => Some(order),
                    name if name.starts_with("weight_ih") && l > 0 => Some(&orders[l - 1]),
                    _ => None,
                };
                for gate in 0..4 {
                    for (unit, &from_unit) in order.iter().enumerate() {
                        for col in 0..cols {
                            let from_col = below.map_or(col, |below| below[col]);
                            moved.params[entry.offset + (gate * hidden + unit) * cols + col] =
                                case.params[entry.offset + (gate * hidden + from_unit) * cols + from_col];
                        }
                    }
                }
            }
        }
        let columns = |values: &[f64], order: &[usize]| -> Vec<f64> {
            values.chunks(order.len()).flat_map(|row| order.iter().map(|&unit| row[unit])).collect()
        };
        let state = |state: &HostState| {
            let mut out = HostState { h: vec![], c: vec![] };
            for (l, order) in orders.iter().enumerate() {
                let (h, c) = case.spec.state_offset(l, case.rows());
                let len = case.rows() * order.len();
                out.h.extend(columns(&state.h[h..h + len], order));
                out.c.extend(columns(&state.c[c..c + len], order));
            }
            out
        };
        let top = &orders[orders.len() - 1];
        moved.initial = case.initial.as_ref().map(state);
        moved.d_last = case.d_last.as_ref().map(state);
        moved.d_y = case.d_y.as_ref().map(|d_y| columns(d_y, top));
        let mut expected = Expected::new::<F>(&case)?;
        let got = run::<B, F>(backend, &moved, Route::OWN)?;
        let outcome = &mut expected.outcome;
        outcome.y = columns(&outcome.y, top);
        outcome.last = state(&outcome.last);
        outcome.d_initial = state(&outcome.d_initial);
        outcome.d_params.clone_from(&got.d_params);
        within(expected.judge(&got))
    });
}

/// The same pass again gives the same bits.
pub fn repeats_are_bit_equal<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions { dropout: true, ..StackOptions::ANY }), |case| {
        let bits = || -> Result<_, Error> {
            let mut run = Run::<B, F>::new(backend, &case, Mode::Train, KernelChoice::Auto)?;
            run.forward(By::Backend)?;
            run.backward(By::Backend)?;
            Ok([raw(backend, &run.y)?, raw(backend, &run.d_x)?, raw(backend, &run.d_params)?])
        };
        prop_assert_eq!(bits()?, bits()?);
        Ok(())
    });
}

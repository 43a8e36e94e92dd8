//! Linear layers, losses, clipping and update rules.

use super::differences::loss_kind;
use super::{close, hold, within};
use crate::case::Kind;
use crate::naive::cells;
use crate::run::{buffer, fetch, raw};
use crate::strategies::{Block, placing, size, values};
use crate::tolerance::{distance, tolerance};
use lstm_tensor::{
    Backend, Control, Float, LinearGrad, LossArgs, LossKind, Result, Rule, Span, View, ViewMut, control_slot,
    reference,
};
use proptest::prelude::*;

/// Sum of products and the sum of their sizes, on which it is judged.
fn dot(terms: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    terms.fold((0.0, 1.0), |(sum, size), (a, b)| (sum + a * b, size + (a * b).abs()))
}

/// `y = x Wᵀ + b` and its gradients, element by element; the gradients of parameters are added.
pub fn linear_is_the_loop<B: Backend, F: Float>(backend: &B) {
    let sizes = (size(), size(), size());
    let places = (placing(), placing(), placing());
    hold(
        (sizes, places, any::<bool>(), any::<bool>(), any::<u64>()),
        |(sizes, places, biased, wants_d_x, seed)| {
            let (rows, inputs, outputs) = sizes;
            let x = Block::new(places.0, [rows, inputs], seed, 0);
            let w = Block::new(places.1, [outputs, inputs], seed, 1);
            let b = Block::new(places.2, [1, outputs], seed, 2);
            let y = Block::new(places.2, [rows, outputs], seed, 3);
            let [dx, dw, db] = [&x, &w, &b].map(|block| buffer::<B, F>(backend, &block.buffer));
            let (device_x, device_w, device_b) = (dx?, dw?, db?);
            let mut device_y = buffer::<B, F>(backend, &y.buffer)?;
            let (vx, vw) = (View::new(&device_x, x.span), View::new(&device_w, w.span));
            let bias = biased.then(|| View::new(&device_b, b.span));
            backend.linear_forward(vx, vw, bias, ViewMut::new(&mut device_y, y.span))?;
            let mut allowed: f64 = 1.0;
            let mut sum = |terms: &mut dyn Iterator<Item = (f64, f64)>| {
                let (sum, size) = dot(terms);
                allowed = allowed.max(size);
                sum
            };
            let mut want = y.clone();
            for (r, o) in cells([rows, outputs]) {
                let start = if biased { b.get(0, o) } else { 0.0 };
                want.buffer[y.span.at(r, o)] =
                    start + sum(&mut (0..inputs).map(|i| (x.get(r, i), w.get(o, i))));
            }
            let got = fetch::<B, F>(backend, &device_y)?;

            // Gradients: `y` holds what comes from above; the arena holds the weight, then the bias.
            let device_d_y = buffer::<B, F>(backend, &y.buffer)?;
            let (weight, bias) =
                (Span::dense(2, outputs, inputs), Span::dense(3 + outputs * inputs, 1, outputs));
            let arena = values(seed, 4, bias.end() + 1, 1.0);
            let mut device_arena = buffer::<B, F>(backend, &arena)?;
            let mut device_d_x = buffer::<B, F>(backend, &x.buffer)?;
            let grad = LinearGrad { d_params: &mut device_arena, weight, bias: biased.then_some(bias) };
            let d_x = wants_d_x.then(|| ViewMut::new(&mut device_d_x, x.span));
            backend.linear_backward(vx, vw, View::new(&device_d_y, y.span), grad, d_x)?;
            let mut want_arena = arena.clone();
            for (o, i) in cells([outputs, inputs]) {
                want_arena[weight.at(o, i)] += sum(&mut (0..rows).map(|r| (y.get(r, o), x.get(r, i))));
            }
            for o in (0..outputs).filter(|_| biased) {
                want_arena[bias.at(0, o)] += sum(&mut (0..rows).map(|r| (y.get(r, o), 1.0)));
            }
            let mut want_d_x = x.clone();
            for (r, i) in cells([rows, inputs]).filter(|_| wants_d_x) {
                want_d_x.buffer[x.span.at(r, i)] = sum(&mut (0..outputs).map(|o| (y.get(r, o), w.get(o, i))));
            }
            let allowed = allowed * tolerance::<F>(0.0);
            close("y", &got, &want.buffer, allowed)?;
            close("d_params", &fetch::<B, F>(backend, &device_arena)?, &want_arena, allowed)?;
            close("d_x", &fetch::<B, F>(backend, &device_d_x)?, &want_d_x.buffer, allowed)
        },
    );
}

/// Value and slope of the loss of one element.
fn loss_of(kind: LossKind, prediction: f64, target: f64) -> (f64, f64) {
    let e = prediction - target;
    let sign = if e == 0.0 { 0.0 } else { e.signum() };
    match kind {
        LossKind::Squared => (e * e, 2.0 * e),
        LossKind::HalfSquared => (e * e / 2.0, e),
        LossKind::Absolute => (e.abs(), sign),
        LossKind::Huber { delta } if e.abs() <= delta => (e * e / 2.0, e),
        LossKind::Huber { delta } => (delta * (e.abs() - delta / 2.0), delta * sign),
        LossKind::RelativeAbsolute => (e.abs() / target, sign / target),
        _ => unimplemented!("{kind:?}"),
    }
}

/// Value and gradient of every loss are those of its formula, by the backend and by the reference.
pub fn loss_is_the_formula<B: Backend, F: Float>(backend: &B) {
    let places = (placing(), placing(), placing(), placing());
    hold(
        (loss_kind(), size(), size(), places, any::<bool>(), any::<u64>()),
        |(kind, rows, cols, places, weighted, seed)| {
            let shape = [rows, cols];
            let mut target = Block::new(places.0, shape, seed, 0);
            target.buffer.iter_mut().for_each(|x| *x = x.abs() + 0.5);
            let prediction = Block::new(places.1, shape, seed, 1);
            let weights = Block::new(places.2, [1, rows], seed, 2);
            let gradient = Block::new(places.3, shape, seed, 3);
            let scale = f64::from(1.0 / (rows * cols) as f32);
            let [p, t, w] =
                [&prediction, &target, &weights].map(|block| buffer::<B, F>(backend, &block.buffer));
            let (p, t, w) = (p?, t?, w?);
            let factor = |row| scale * if weighted { weights.get(0, row) } else { 1.0 };
            let of = |r, c| loss_of(kind, prediction.get(r, c), target.get(r, c));
            let want = gradient.with(|r, c| factor(r) * of(r, c).1);
            let (total, size) = dot(cells(shape).map(|(r, c)| (factor(r), of(r, c).0)));
            // Weights are multiplied before errors are, so a term may be as large as its parts.
            let parts = prediction.buffer.iter().chain(&target.buffer).fold(1.0, |m: f64, x| m.max(x * x));
            for by_reference in [false, true] {
                let mut value = buffer::<B, f64>(backend, &[0.25])?;
                let mut d_p = buffer::<B, F>(backend, &gradient.buffer)?;
                let args = LossArgs {
                    kind,
                    scale,
                    prediction: View::new(&p, prediction.span),
                    target: View::new(&t, target.span),
                    row_weights: weighted.then(|| View::new(&w, weights.span)),
                };
                let out = ViewMut::new(&mut d_p, gradient.span);
                match by_reference {
                    true => reference::loss(backend, args, out, &mut value)?,
                    false => backend.loss(args, out, &mut value)?,
                }
                let allowed = tolerance::<F>(0.0);
                close("value", &fetch::<B, f64>(backend, &value)?, &[0.25 + total], allowed * size * parts)?;
                close("gradient", &fetch::<B, F>(backend, &d_p)?, &want.buffer, allowed)?;
            }
            Ok(())
        },
    );
}

fn control<B: Backend>(backend: &B, rate: f64, step: f64, clip_scale: f64) -> Result<Control<B>> {
    let mut control = Control::new(backend)?;
    let mut values = [0.0; control_slot::COUNT];
    values[control_slot::RATE] = rate;
    values[control_slot::STEP] = step;
    values[control_slot::CLIP_SCALE] = clip_scale;
    backend.upload(&values, &mut control.values, 0)?;
    Ok(control)
}

/// Gradients are clamped, then measured; the scale is PyTorch's; rate, step and a finite run stay untouched.
pub fn clip_is_the_formula<B: Backend, F: Float>(backend: &B) {
    let limit = || proptest::option::of(0.1..3.0f32);
    hold((limit(), limit(), 1..200usize, any::<u64>()), |(limit, max_norm, n, seed)| {
        let (limit, max_norm) = (limit.map(f64::from), max_norm.map(f64::from));
        let clip = |x: &f64| limit.map_or(*x, |limit| x.clamp(-limit, limit));
        let want: Vec<f64> = values(seed, 0, n, 1.0).iter().map(clip).collect();
        let square: f64 = want.iter().map(|x| x * x).sum();
        let scale = max_norm.map_or(1.0, |max| (max / (square.sqrt() + 1e-6)).min(1.0));
        for by_reference in [false, true] {
            let mut grads = buffer::<B, F>(backend, &values(seed, 0, n, 1.0))?;
            let mut control = control(backend, 0.5, 9.0, -1.0)?;
            match by_reference {
                true => reference::clip(backend, limit, max_norm, &mut grads, &mut control)?,
                false => backend.clip(limit, max_norm, &mut grads, &mut control)?,
            }
            prop_assert_eq!(fetch::<B, F>(backend, &grads)?, want.clone());
            let got = fetch::<B, f64>(backend, &control.values)?;
            close("control", &got, &[0.5, 9.0, square, scale, 0.0], tolerance::<f64>(0.0) * n as f64)?;
            prop_assert_eq!(raw(backend, &control.bad_step)?, [0]);
        }
        Ok(())
    });
}

/// Any update rule.
fn rule() -> impl Strategy<Value = Rule> {
    let share = || prop_oneof![Just(0.0), 0.5..0.95f64];
    let decay = || prop_oneof![Just(0.0), 0.001..0.1f64];
    let sgd = (share(), share(), any::<bool>(), decay()).prop_map(
        |(momentum, dampening, nesterov, weight_decay)| Rule::Sgd {
            momentum,
            dampening,
            nesterov,
            weight_decay,
        },
    );
    let adagrad = (decay(), decay(), decay()).prop_map(|(lr_decay, initial_accumulator, weight_decay)| {
        Rule::Adagrad { lr_decay, initial_accumulator, eps: 1e-10, weight_decay }
    });
    let rms = (0.5..0.99f64, share(), any::<bool>(), decay()).prop_map(
        |(alpha, momentum, centered, weight_decay)| Rule::RmsProp {
            alpha,
            eps: 1e-8,
            momentum,
            centered,
            weight_decay,
        },
    );
    let adam = (0.5..0.95f64, 0.5..0.999f64, decay(), any::<bool>(), any::<bool>()).prop_map(
        |(beta1, beta2, weight_decay, decoupled, tf_epsilon)| Rule::Adam {
            beta1,
            beta2,
            eps: 1e-8,
            weight_decay,
            decoupled,
            tf_epsilon,
        },
    );
    prop_oneof![sgd, adagrad, rms, adam]
}

/// Learning rate and clipping of the steps that are compared.
const RATE: f64 = 0.0625;
const CLIP_SCALE: f64 = 0.75;

/// The last quarter is padding: zero, with gradient zero.
fn padded(mut numbers: Vec<f64>) -> Vec<f64> {
    let n = numbers.len();
    numbers[n - n / 4..].fill(0.0);
    numbers
}

/// Parameters and moments after some steps of a rule with recorded gradients.
fn updated<B: Backend, F: Float>(
    backend: &B,
    rule: &Rule,
    (n, steps, seed, by_reference): (usize, usize, u64, bool),
) -> Result<Vec<Vec<f64>>> {
    let mut params = buffer::<B, F>(backend, &padded(values(seed, 0, n, 1.0)))?;
    let mut slots = Vec::new();
    for _ in 0..rule.slots() {
        slots.push(buffer::<B, F>(backend, &vec![rule.slot_fill(); n])?);
    }
    for step in 1..=steps {
        let grads = buffer::<B, F>(backend, &padded(values(seed, step as u32, n, 1.0)))?;
        let control = control(backend, RATE, step as f64, CLIP_SCALE)?;
        match by_reference {
            true => reference::update(backend, rule, &mut params, &grads, &mut slots, &control)?,
            false => backend.update(rule, &mut params, &grads, &mut slots, &control)?,
        }
    }
    std::iter::once(&params).chain(&slots).map(|buffer| fetch::<B, F>(backend, buffer)).collect()
}

/// One element's step of a rule, in PyTorch's words: the new parameter, the moments updated.
fn scalar_step(rule: &Rule, rate: f64, t: i32, p: f64, g: f64, slots: &mut [f64]) -> f64 {
    match *rule {
        Rule::Sgd { momentum, dampening, nesterov, weight_decay } => {
            let g = g + weight_decay * p;
            let Some(buffer) = slots.first_mut() else { return p - rate * g };
            *buffer = if t == 1 { g } else { momentum * *buffer + (1.0 - dampening) * g };
            p - rate * if nesterov { g + momentum * *buffer } else { *buffer }
        }
        Rule::Adagrad { lr_decay, eps, weight_decay, .. } => {
            let g = g + weight_decay * p;
            slots[0] += g * g;
            p - rate / (1.0 + f64::from(t - 1) * lr_decay) * g / (slots[0].sqrt() + eps)
        }
        Rule::RmsProp { alpha, eps, momentum, centered, weight_decay } => {
            let g = g + weight_decay * p;
            slots[0] = alpha * slots[0] + (1.0 - alpha) * g * g;
            let mut variance = slots[0];
            if centered {
                let mean = &mut slots[usize::from(momentum != 0.0) + 1];
                *mean = alpha * *mean + (1.0 - alpha) * g;
                variance -= *mean * *mean;
            }
            let step = g / (variance.sqrt() + eps);
            if momentum == 0.0 {
                return p - rate * step;
            }
            slots[1] = momentum * slots[1] + step;
            p - rate * slots[1]
        }
        Rule::Adam { beta1, beta2, eps, weight_decay, decoupled, tf_epsilon } => {
            let (p, g) = match decoupled {
                true => (p * (1.0 - rate * weight_decay), g),
                false => (p, g + weight_decay * p),
            };
            slots[0] = beta1 * slots[0] + (1.0 - beta1) * g;
            slots[1] = beta2 * slots[1] + (1.0 - beta2) * g * g;
            let (first, second) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
            if tf_epsilon {
                return p - rate * second.sqrt() / first * slots[0] / (slots[1].sqrt() + eps);
            }
            p - rate * (slots[0] / first) / ((slots[1] / second).sqrt() + eps)
        }
        _ => unimplemented!("{rule:?}"),
    }
}

/// Every rule, by the backend and by the reference, is its formula for every element; padding stays zero.
pub fn update_is_the_formula<B: Backend, F: Float>(backend: &B) {
    hold((rule(), 1..80usize, 1..5usize, any::<u64>()), |(rule, n, steps, seed)| {
        let mut want = vec![vec![rule.slot_fill(); n]; 1 + rule.slots()];
        want[0] = padded(values(seed, 0, n, 1.0));
        for step in 1..=steps {
            let grads = padded(values(seed, step as u32, n, 1.0));
            for (element, g) in grads.iter().enumerate() {
                let mut slots: Vec<f64> = want[1..].iter().map(|slot| slot[element]).collect();
                let p = want[0][element];
                want[0][element] = scalar_step(&rule, RATE, step as i32, p, CLIP_SCALE * g, &mut slots);
                want[1..].iter_mut().zip(slots).for_each(|(slot, new)| slot[element] = new);
            }
        }
        for by_reference in [false, true] {
            let got = updated::<B, F>(backend, &rule, (n, steps, seed, by_reference))?;
            for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                let what = if index == 0 { "parameters".into() } else { format!("moment {index}") };
                within((what, distance(Kind::Value, got, want) / tolerance::<F>(0.0)))?;
            }
            prop_assert!(got[0][n - n / 4..].iter().all(|&x| x == 0.0), "padding has moved");
        }
        Ok(())
    });
}

/// A gradient that is not finite, whatever it is clipped to, or a loss that is not latches its step; from then on
/// parameters and moments keep their bits.
pub fn a_bad_gradient_stops_updates<B: Backend, F: Float>(backend: &B) {
    let bad = proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let how = (any::<bool>(), any::<bool>(), proptest::option::of(0.5..2.0));
    hold((rule(), bad, 1..80usize, how, any::<u64>()), |(rule, bad, n, how, seed)| {
        let (by_reference, of_loss, limit) = how;
        let mut grads = values(seed, 0, n, 1.0);
        if !of_loss {
            grads[(seed % n as u64) as usize] = bad;
        }
        let mut params = buffer::<B, F>(backend, &values(seed, 1, n, 1.0))?;
        let mut slots = Vec::new();
        for index in 0..rule.slots() {
            let moment: Vec<f64> =
                values(seed, 2 + index as u32, n, 1.0).iter().map(|x| x.abs() + 1.0).collect();
            slots.push(buffer::<B, F>(backend, &moment)?);
        }
        let state = |params: &B::Buffer<F>, slots: &[B::Buffer<F>]| {
            std::iter::once(params).chain(slots).map(|b| raw(backend, b)).collect::<Result<Vec<_>>>()
        };
        let before = state(&params, &slots)?;
        let mut control = control(backend, 0.1, 4.0, 1.0)?;
        for (step, gradient, loss) in
            [(4.0, grads, if of_loss { bad } else { 1.0 }), (5.0, values(seed, 9, n, 1.0), 1.0)]
        {
            backend.upload(&[step], &mut control.values, control_slot::STEP)?;
            backend.upload(&[loss], &mut control.values, control_slot::LOSS)?;
            let mut grads = buffer::<B, F>(backend, &gradient)?;
            match by_reference {
                true => {
                    reference::clip(backend, limit, Some(1.0), &mut grads, &mut control)?;
                    reference::update(backend, &rule, &mut params, &grads, &mut slots, &control)?;
                }
                false => {
                    backend.clip(limit, Some(1.0), &mut grads, &mut control)?;
                    backend.update(&rule, &mut params, &grads, &mut slots, &control)?;
                }
            }
            prop_assert_eq!(raw(backend, &control.bad_step)?, [4]);
            prop_assert_eq!(&state(&params, &slots)?, &before);
        }
        Ok(())
    });
}

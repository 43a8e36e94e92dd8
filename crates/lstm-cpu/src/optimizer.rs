//! Clipping and update rules as one loop over the flat arena. Formulas:
//! [`reference::update`](lstm_tensor::reference::update).

use crate::parallel::Rows;
use crate::primitives::clamp;
use crate::reduce::{PARTS, part, sum};
use crate::simd::Kernel;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Control, Error, Float, Result, Rule, Storage, check, control_slot};
use std::sync::atomic::{AtomicU64, Ordering};

/// Override of [`Backend::clip`](lstm_tensor::Backend::clip).
pub(crate) fn clip<F: Float>(
    cpu: &Cpu,
    limit: Option<f64>,
    max_norm: Option<f64>,
    grads: &mut CpuBuffer<F>,
    control: &mut Control<Cpu>,
) -> Result<()> {
    check::clip(limit, max_norm, control)?;
    let len = grads.len();
    let limit = limit.map(F::from_f64);
    let sums = [const { AtomicU64::new(0) }; PARTS];
    cpu.team.blocks([Rows::flat(Some(grads.as_mut_slice()), len, part(len))], |i, [mut grads]| {
        let square = cpu.simd.run(Clip { grads: grads.at_mut(0), limit });
        sums[i].store(square.to_bits(), Ordering::Relaxed);
    });
    let square: f64 = sums.iter().map(|sum| f64::from_bits(sum.load(Ordering::Relaxed))).sum();
    let norm = square.sqrt();
    let values = control.values.as_mut_slice();
    values[control_slot::SQUARE_NORM] = square;
    values[control_slot::CLIP_SCALE] = max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
    let bad_step = &mut control.bad_step.as_mut_slice()[0];
    if *bad_step == 0 && !(norm.is_finite() && values[control_slot::LOSS].is_finite()) {
        *bad_step = values[control_slot::STEP] as u32;
    }
    Ok(())
}

/// Clips every element that is finite and answers the sum of squares.
struct Clip<'a, F> {
    grads: &'a mut [F],
    limit: Option<F>,
}

impl<F: Float> Kernel for Clip<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) -> f64 {
        let Self { grads, limit } = self;
        if let Some(limit) = limit {
            for g in grads.iter_mut() {
                *g = if g.is_finite() { clamp(*g, -limit, limit) } else { *g };
            }
        }
        sum(grads, |g| g * g)
    }
}

/// Override of [`Backend::update`](lstm_tensor::Backend::update).
pub(crate) fn update<F: Float>(
    cpu: &Cpu,
    rule: &Rule,
    params: &mut CpuBuffer<F>,
    grads: &CpuBuffer<F>,
    slots: &mut [CpuBuffer<F>],
    control: &Control<Cpu>,
) -> Result<()> {
    check::update(rule, params, grads, slots, control)?;
    if !matches!(rule, Rule::Sgd { .. } | Rule::Adagrad { .. } | Rule::RmsProp { .. } | Rule::Adam { .. }) {
        return Err(Error::Unsupported { op: "update", option: "this rule" });
    }
    if control.bad_step.as_slice()[0] != 0 {
        return Ok(());
    }
    let control = control.values.as_slice();
    let grads = grads.as_slice();
    let (len, part) = (grads.len(), part(grads.len()));
    let mut slots = slots.iter_mut().map(CpuBuffer::as_mut_slice);
    let buffers = [
        Rows::flat(Some(params.as_mut_slice()), len, part),
        Rows::flat(slots.next(), len, part),
        Rows::flat(slots.next(), len, part),
        Rows::flat(slots.next(), len, part),
    ];
    cpu.team.blocks(buffers, |i, [mut params, mut first, mut second, mut third]| {
        let params = params.at_mut(0);
        let grads = &grads[i * part..][..params.len()];
        let slots = [first.at_mut(0), second.at_mut(0), third.at_mut(0)];
        cpu.simd.run(Update { rule: *rule, control, params, grads, slots });
    });
    Ok(())
}

/// A rule over a part of the arena.
struct Update<'a, F> {
    rule: Rule,
    control: &'a [f64],
    params: &'a mut [F],
    grads: &'a [F],
    slots: [&'a mut [F]; 3],
}

impl<F: Float> Kernel for Update<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool, const VECTOR: usize>(self) {
        let Self { rule, control, params, grads, slots } = self;
        let [first, second, third] = slots;
        let (rate, t) = (control[control_slot::RATE], control[control_slot::STEP]);
        let value = F::from_f64;
        let scale = value(control[control_slot::CLIP_SCALE]);
        match rule {
            Rule::Sgd { momentum, dampening, nesterov, weight_decay } => {
                let (m, penalty, r) = (value(momentum), value(weight_decay), value(rate));
                let taken = value(if t <= 1.0 { 1.0 } else { 1.0 - dampening });
                if momentum == 0.0 {
                    return each(params, grads, [], |p, g, []| p - r * (scale * g + penalty * p));
                }
                each(params, grads, [first], |p, g, [v]| {
                    let g = scale * g + penalty * p;
                    *v = m * *v + taken * g;
                    p - r * if nesterov { g + m * *v } else { *v }
                });
            }
            Rule::Adagrad { lr_decay, eps, weight_decay, .. } => {
                let (eps, penalty) = (value(eps), value(weight_decay));
                let r = value(rate / (1.0 + (t - 1.0) * lr_decay));
                each(params, grads, [first], |p, g, [s]| {
                    let g = scale * g + penalty * p;
                    *s += g * g;
                    p - r * (g / (s.sqrt() + eps))
                });
            }
            Rule::RmsProp { alpha, eps, momentum, centered, weight_decay } => {
                let (a, rest, m) = (value(alpha), value(1.0 - alpha), value(momentum));
                let (eps, penalty, r) = (value(eps), value(weight_decay), value(rate));
                let square = |p: F, g: F, s: &mut F| {
                    let g = scale * g + penalty * p;
                    *s = a * *s + rest * (g * g);
                    g
                };
                let centre = |g: F, s: F, mean: &mut F| {
                    *mean = a * *mean + rest * g;
                    s - *mean * *mean
                };
                match (momentum != 0.0, centered) {
                    (false, false) => each(params, grads, [first], |p, g, [s]| {
                        let g = square(p, g, s);
                        p - r * (g / (s.sqrt() + eps))
                    }),
                    (false, true) => each(params, grads, [first, second], |p, g, [s, mean]| {
                        let g = square(p, g, s);
                        p - r * (g / (centre(g, *s, mean).sqrt() + eps))
                    }),
                    (true, false) => each(params, grads, [first, second], |p, g, [s, v]| {
                        let g = square(p, g, s);
                        *v = m * *v + g / (s.sqrt() + eps);
                        p - r * *v
                    }),
                    (true, true) => each(params, grads, [first, second, third], |p, g, [s, v, mean]| {
                        let g = square(p, g, s);
                        *v = m * *v + g / (centre(g, *s, mean).sqrt() + eps);
                        p - r * *v
                    }),
                }
            }
            Rule::Adam { beta1, beta2, eps, weight_decay, decoupled, tf_epsilon } => {
                let (b1, rest1) = (value(beta1), value(1.0 - beta1));
                let (b2, rest2) = (value(beta2), value(1.0 - beta2));
                let eps = value(eps);
                let penalty = value(if decoupled { 0.0 } else { weight_decay });
                let decay = value(if decoupled { 1.0 - rate * weight_decay } else { 1.0 });
                let (one, two) = (1.0 - libm::pow(beta1, t), 1.0 - libm::pow(beta2, t));
                let (r, correction) = if tf_epsilon {
                    (value(rate * two.sqrt() / one), F::ONE)
                } else {
                    (value(rate / one), value(1.0 / two))
                };
                each(params, grads, [first, second], |p, g, [m, s]| {
                    let g = scale * g + penalty * p;
                    *m = b1 * *m + rest1 * g;
                    *s = b2 * *s + rest2 * (g * g);
                    decay * p - r * (*m / ((correction * *s).sqrt() + eps))
                });
            }
            // `update` lets no other rule through.
            _ => {}
        }
    }
}

/// Sets every parameter to `f(parameter, gradient, moments)`, which may change the moments.
#[inline(always)]
fn each<F: Float, const N: usize>(
    params: &mut [F],
    grads: &[F],
    slots: [&mut [F]; N],
    f: impl Fn(F, F, &mut [F; N]) -> F,
) {
    let n = params.len();
    let grads = &grads[..n];
    let slots = slots.map(|slot| &mut slot[..n]);
    for j in 0..n {
        let mut moments = std::array::from_fn(|k| slots[k][j]);
        params[j] = f(params[j], grads[j], &mut moments);
        for k in 0..N {
            slots[k][j] = moments[k];
        }
    }
}

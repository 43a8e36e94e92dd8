//! Clipping and update rules, one formula per rule in PyTorch's definition.
//!
//! With learning rate `r`, step `t` from 1, gradient `g` after clipping and L2 penalty:
//!
//! | rule | update of `p` |
//! |---|---|
//! | SGD | `v = m v + (1 - dampening) g` (first step `v = g`), `p -= r v`; Nesterov `p -= r (g + m v)` |
//! | Adagrad | `s += g²`, `p -= r / (1 + (t - 1) decay) g / (√s + eps)` |
//! | RMSprop | `s = a s + (1 - a) g²`, centered: `s - mean²`, `v = m v + g / (√s + eps)`, `p -= r v` |
//! | Adam | `m = b1 m + (1 - b1) g`, `s = b2 s + (1 - b2) g²`, `p -= r / (1 - b1ᵗ) m / (√(s / (1 - b2ᵗ)) + eps)` |
//! | Adam, TensorFlow 1 | `p -= r √(1 - b2ᵗ) / (1 - b1ᵗ) m / (√s + eps)` |

use crate::{
    Backend, Binary, Control, Float, Operand, Reduce, Result, Rule, Span, Storage, Unary, View, ViewMut,
    check, control_slot,
};

/// Default of [`Backend::clip`].
///
/// # Errors
/// As [`Backend::clip`].
pub fn clip<B: Backend, F: Float>(
    backend: &B,
    limit: Option<f64>,
    max_norm: Option<f64>,
    grads: &mut B::Buffer<F>,
    control: &mut Control<B>,
) -> Result<()> {
    check::clip(limit, max_norm, control)?;
    let all = Span::dense(0, 1, grads.len());
    if let Some(limit) = limit {
        // 0 times the gradient, which is 0 or no number, is what clamping must not hide.
        let mut wrong = backend.alloc::<F>(all.cols)?;
        let nothing = Unary::Affine { scale: 0.0, shift: 0.0 };
        backend.map(nothing, Operand::of(grads, all), ViewMut::new(&mut wrong, all))?;
        let clamp = Unary::Clamp { low: -limit, high: limit };
        backend.map(clamp, Operand::Here(all), ViewMut::new(grads, all))?;
        let (clamped, wrong) = (Operand::Here(all), Operand::of(&wrong, all));
        backend.zip(Binary::Add, clamped, wrong, ViewMut::new(grads, all))?;
    }
    backend.fill(0.0, ViewMut::new(&mut control.values, Span::dense(control_slot::SQUARE_NORM, 1, 1)))?;
    backend.reduce(
        Reduce::SquareSum,
        View::new(grads, all),
        &mut control.values,
        control_slot::SQUARE_NORM,
    )?;
    let mut values = [0.0; control_slot::COUNT];
    backend.download(&control.values, 0, &mut values)?;
    let norm = values[control_slot::SQUARE_NORM].sqrt();
    let scale = max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
    backend.upload(&[scale], &mut control.values, control_slot::CLIP_SCALE)?;
    let mut bad_step = [0];
    backend.download(&control.bad_step, 0, &mut bad_step)?;
    if bad_step[0] == 0 && !(norm.is_finite() && values[control_slot::LOSS].is_finite()) {
        backend.upload(&[values[control_slot::STEP] as u32], &mut control.bad_step, 0)?;
    }
    Ok(())
}

/// Default of [`Backend::update`].
///
/// # Errors
/// As [`Backend::update`].
pub fn update<B: Backend, F: Float>(
    backend: &B,
    rule: &Rule,
    params: &mut B::Buffer<F>,
    grads: &B::Buffer<F>,
    slots: &mut [B::Buffer<F>],
    control: &Control<B>,
) -> Result<()> {
    check::update(rule, params, grads, slots, control)?;
    let n = params.len();
    let (mut values, mut bad_step) = ([0.0; control_slot::COUNT], [0]);
    backend.download(&control.values, 0, &mut values)?;
    backend.download(&control.bad_step, 0, &mut bad_step)?;
    if bad_step[0] != 0 {
        return Ok(());
    }
    let (rate, t) = (values[control_slot::RATE], values[control_slot::STEP]);
    let ops = Elementwise { backend, all: Span::dense(0, 1, n) };

    let mut grad = backend.alloc::<F>(n)?;
    ops.add_scaled(&mut grad, values[control_slot::CLIP_SCALE], grads)?;
    let penalty = match *rule {
        Rule::Sgd { weight_decay, .. } | Rule::Adagrad { weight_decay, .. } => weight_decay,
        Rule::RmsProp { weight_decay, .. } => weight_decay,
        Rule::Adam { weight_decay, decoupled: false, .. } => weight_decay,
        Rule::Adam { .. } => 0.0,
    };
    if penalty != 0.0 {
        ops.add_scaled(&mut grad, penalty, params)?;
    }
    let mut step = backend.alloc::<F>(n)?;
    match *rule {
        Rule::Sgd { momentum, dampening, nesterov, .. } => {
            let Some(velocity) = slots.first_mut() else {
                return ops.add_scaled(params, -rate, &grad);
            };
            let first = t <= 1.0;
            ops.decay(velocity, momentum)?;
            ops.add_scaled(velocity, if first { 1.0 } else { 1.0 - dampening }, &grad)?;
            if nesterov {
                ops.add_scaled(&mut grad, momentum, velocity)?;
                return ops.add_scaled(params, -rate, &grad);
            }
            ops.add_scaled(params, -rate, velocity)
        }
        Rule::Adagrad { lr_decay, eps, .. } => {
            ops.add_square(&mut slots[0], 1.0, &grad)?;
            ops.ratio(&mut step, &grad, &slots[0], 1.0, eps)?;
            ops.add_scaled(params, -rate / (1.0 + (t - 1.0) * lr_decay), &step)
        }
        Rule::RmsProp { alpha, eps, momentum, centered, .. } => {
            ops.decay(&mut slots[0], alpha)?;
            ops.add_square(&mut slots[0], 1.0 - alpha, &grad)?;
            let mut variance = backend.alloc::<F>(n)?;
            ops.add_scaled(&mut variance, 1.0, &slots[0])?;
            if centered {
                let mean = rule.slots() - 1;
                ops.decay(&mut slots[mean], alpha)?;
                ops.add_scaled(&mut slots[mean], 1.0 - alpha, &grad)?;
                ops.add_square(&mut variance, -1.0, &slots[mean])?;
            }
            ops.ratio(&mut step, &grad, &variance, 1.0, eps)?;
            if momentum == 0.0 {
                return ops.add_scaled(params, -rate, &step);
            }
            ops.decay(&mut slots[1], momentum)?;
            ops.add_scaled(&mut slots[1], 1.0, &step)?;
            ops.add_scaled(params, -rate, &slots[1])
        }
        Rule::Adam { beta1, beta2, eps, weight_decay, decoupled, tf_epsilon } => {
            if decoupled {
                ops.decay(params, 1.0 - rate * weight_decay)?;
            }
            ops.decay(&mut slots[0], beta1)?;
            ops.add_scaled(&mut slots[0], 1.0 - beta1, &grad)?;
            ops.decay(&mut slots[1], beta2)?;
            ops.add_square(&mut slots[1], 1.0 - beta2, &grad)?;
            let (first, second) = (1.0 - libm::pow(beta1, t), 1.0 - libm::pow(beta2, t));
            if tf_epsilon {
                ops.ratio(&mut step, &slots[0], &slots[1], 1.0, eps)?;
                return ops.add_scaled(params, -rate * second.sqrt() / first, &step);
            }
            ops.ratio(&mut step, &slots[0], &slots[1], 1.0 / second, eps)?;
            ops.add_scaled(params, -rate / first, &step)
        }
    }
}

/// The few element-wise steps that update rules are made of, over whole buffers.
struct Elementwise<'a, B> {
    backend: &'a B,
    all: Span,
}

impl<B: Backend> Elementwise<'_, B> {
    /// `y *= factor`.
    fn decay<F: Float>(&self, y: &mut B::Buffer<F>, factor: f64) -> Result<()> {
        let scale = Unary::Affine { scale: factor, shift: 0.0 };
        self.backend.map(scale, Operand::Here(self.all), ViewMut::new(y, self.all))
    }

    /// `y += factor x`.
    fn add_scaled<F: Float>(&self, y: &mut B::Buffer<F>, factor: f64, x: &B::Buffer<F>) -> Result<()> {
        let mut scaled = self.backend.alloc::<F>(self.all.cols)?;
        let scale = Unary::Affine { scale: factor, shift: 0.0 };
        self.backend.map(scale, Operand::of(x, self.all), ViewMut::new(&mut scaled, self.all))?;
        let (old, new) = (Operand::Here(self.all), Operand::of(&scaled, self.all));
        self.backend.zip(Binary::Add, old, new, ViewMut::new(y, self.all))
    }

    /// `y += factor x²`.
    fn add_square<F: Float>(&self, y: &mut B::Buffer<F>, factor: f64, x: &B::Buffer<F>) -> Result<()> {
        let mut square = self.backend.alloc::<F>(self.all.cols)?;
        self.backend.map(Unary::Square, Operand::of(x, self.all), ViewMut::new(&mut square, self.all))?;
        self.add_scaled(y, factor, &square)
    }

    /// `y = a / (√(factor b) + eps)`.
    fn ratio<F: Float>(
        &self,
        y: &mut B::Buffer<F>,
        a: &B::Buffer<F>,
        b: &B::Buffer<F>,
        factor: f64,
        eps: f64,
    ) -> Result<()> {
        let here = || Operand::Here(self.all);
        let scale = Unary::Affine { scale: factor, shift: 0.0 };
        self.backend.map(scale, Operand::of(b, self.all), ViewMut::new(y, self.all))?;
        self.backend.map(Unary::Sqrt, here(), ViewMut::new(y, self.all))?;
        let shift = Unary::Affine { scale: 1.0, shift: eps };
        self.backend.map(shift, here(), ViewMut::new(y, self.all))?;
        self.backend.zip(Binary::Div, Operand::of(a, self.all), here(), ViewMut::new(y, self.all))
    }
}

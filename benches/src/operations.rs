//! Operations to measure: each function prepares one at a given size and answers what runs it once.

use lstm_cpu::{Cpu, CpuBuffer};
use lstm_tensor::{
    Arena, Backend, Backward, BatchShape, Control, Float, Forward, GemmArgs, KernelChoice, LayerSpec,
    LossArgs, LossKind, Mode, Operand, Packed, Plan, Result, Rule, Scratch, Span, StackSpec, State, Unary,
    View, ViewMut, Weights, control_slot,
};
use std::sync::Arc;

/// Runs an operation once.
pub type Operation<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// Size of a stack and of a batch.
#[derive(Clone, Debug)]
pub struct Size {
    /// Batch rows `B`.
    pub rows: usize,
    /// Steps `T`.
    pub steps: usize,
    /// Input columns `I`.
    pub input: usize,
    /// Hidden units `H` of each layer.
    pub hidden: Vec<usize>,
}

impl Size {
    /// `layers` layers of `hidden` units over `input` columns.
    #[must_use]
    pub fn new(rows: usize, steps: usize, input: usize, hidden: usize, layers: usize) -> Self {
        Self { rows, steps, input, hidden: vec![hidden; layers] }
    }
}

/// `len` numbers between -scale and scale, the same each time.
fn values<F: Float>(cpu: &Cpu, len: usize, scale: f64) -> Result<CpuBuffer<F>> {
    let mut buffer = cpu.alloc(len)?;
    for (i, value) in buffer.as_mut_slice().iter_mut().enumerate() {
        *value = F::from_f64(((i * 7919 % 2001) as f64 / 1000.0 - 1.0) * scale);
    }
    Ok(buffer)
}

/// A stack with all that a pass over it needs.
struct Model<'a, F: Float> {
    cpu: &'a Cpu,
    plan: Plan,
    params: Arena<Cpu, F>,
    packed: Packed<Cpu, F>,
    scratch: Scratch<Cpu, F>,
    x: CpuBuffer<F>,
    y: CpuBuffer<F>,
    d_y: CpuBuffer<F>,
    grads: Arena<Cpu, F>,
}

impl<'a, F: Float> Model<'a, F> {
    fn new(cpu: &'a Cpu, size: &Size, mode: Mode) -> Result<Self> {
        let spec = StackSpec::new(size.input, size.hidden.iter().map(|&h| LayerSpec::new(h)).collect());
        let plan = cpu.plan::<F>(&spec, &BatchShape::new(size.steps, size.rows), mode, KernelChoice::Auto)?;
        let layout = Arc::new(plan.params.clone());
        let mut params = Arena::zeros(cpu, &layout)?;
        *params.values_mut() = values(cpu, layout.len(), 0.1)?;
        let mut packed = Packed::empty(cpu, plan.packed)?;
        cpu.prepare(&plan, &params, &mut packed)?;
        let rows = size.rows * size.steps;
        Ok(Self {
            cpu,
            params,
            packed,
            scratch: plan.scratch(cpu)?,
            x: values(cpu, rows * size.input, 1.0)?,
            y: cpu.alloc(rows * spec.output())?,
            d_y: values(cpu, rows * spec.output(), 1.0)?,
            grads: Arena::zeros(cpu, &layout)?,
            plan,
        })
    }

    fn forward(&mut self) -> Result<()> {
        let args = Forward {
            weights: Weights { params: &self.params, packed: &self.packed },
            draw: None,
            x: &self.x,
            initial: None,
            y: &mut self.y,
            last: None,
        };
        self.cpu.stack_forward(&self.plan, args, &mut self.scratch)
    }

    fn backward(&mut self) -> Result<()> {
        let args = Backward {
            weights: Weights { params: &self.params, packed: &self.packed },
            draw: None,
            x: &self.x,
            initial: None,
            d_y: Some(&self.d_y),
            d_last: None,
            d_params: self.grads.values_mut(),
            d_x: None,
            d_initial: None,
        };
        self.cpu.stack_backward(&self.plan, args, &mut self.scratch)
    }
}

/// Forward pass of inference.
///
/// # Errors
/// Those of the backend, here and in the operation; so for all below.
pub fn stack_forward<'a, F: Float>(cpu: &'a Cpu, size: &Size) -> Result<Operation<'a>> {
    let mut model = Model::<F>::new(cpu, size, Mode::Infer)?;
    Ok(Box::new(move || model.forward()))
}

/// Forward and backward pass: a backward pass needs a fresh tape, since it uses the gates up.
///
/// # Errors
/// As [`stack_forward`].
pub fn stack_backward<'a, F: Float>(cpu: &'a Cpu, size: &Size) -> Result<Operation<'a>> {
    let mut model = Model::<F>::new(cpu, size, Mode::Train)?;
    Ok(Box::new(move || {
        model.forward()?;
        model.backward()
    }))
}

/// A training step: forward, squared error, backward, Adam, packing.
///
/// # Errors
/// As [`stack_forward`].
pub fn training_step<'a, F: Float>(cpu: &'a Cpu, size: &Size) -> Result<Operation<'a>> {
    let mut model = Model::<F>::new(cpu, size, Mode::Train)?;
    let all = Span::dense(0, 1, model.plan.params.len());
    let target = values::<F>(cpu, model.y.as_slice().len(), 1.0)?;
    let outputs = Span::dense(0, size.rows * size.steps, model.plan.spec.output());
    let rule = Rule::Adam {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
        tf_epsilon: false,
    };
    let mut slots = [cpu.alloc::<F>(all.cols)?, cpu.alloc::<F>(all.cols)?];
    let (mut value, mut control) = (cpu.alloc(1)?, Control::new(cpu)?);
    let mut step = 0.0;
    Ok(Box::new(move || {
        step += 1.0;
        cpu.upload(&[1e-3, step], &mut control.values, control_slot::RATE)?;
        model.forward()?;
        let args = LossArgs {
            kind: LossKind::Squared,
            scale: 1.0 / outputs.rows as f64,
            prediction: View::new(&model.y, outputs),
            target: View::new(&target, outputs),
            row_weights: None,
        };
        cpu.loss(args, ViewMut::new(&mut model.d_y, outputs), &mut value)?;
        model.backward()?;
        cpu.clip(None, Some(1.0), model.grads.values_mut(), &mut control)?;
        cpu.update(&rule, model.params.values_mut(), model.grads.values(), &mut slots, &control)?;
        cpu.fill(F::ZERO, ViewMut::new(model.grads.values_mut(), all))?;
        cpu.prepare(&model.plan, &model.params, &mut model.packed)
    }))
}

/// One step of a stream; `size.steps` is not used.
///
/// # Errors
/// As [`stack_forward`].
pub fn stream_step<'a, F: Float>(cpu: &'a Cpu, size: &Size) -> Result<Operation<'a>> {
    let mut model = Model::<F>::new(cpu, &Size { steps: 1, ..size.clone() }, Mode::Infer)?;
    let mut state = State::zeros(cpu, &model.plan.spec, size.rows)?;
    Ok(Box::new(move || {
        let weights = Weights { params: &model.params, packed: &model.packed };
        cpu.step(&model.plan, weights, &model.x, &mut state, &mut model.y, &mut model.scratch)
    }))
}

/// The product `[m, k] [k, n]`.
///
/// # Errors
/// As [`stack_forward`].
pub fn gemm<'a, F: Float>(cpu: &'a Cpu, [m, n, k]: [usize; 3]) -> Result<Operation<'a>> {
    let (a, b) = (values::<F>(cpu, m * k, 1.0)?, values::<F>(cpu, k * n, 1.0)?);
    let mut c = cpu.alloc::<F>(m * n)?;
    Ok(Box::new(move || {
        let a = View::new(&a, Span::dense(0, m, k));
        let b = View::new(&b, Span::dense(0, k, n));
        cpu.gemm(&GemmArgs::SET, a, b, ViewMut::new(&mut c, Span::dense(0, m, n)))
    }))
}

/// A function of `len` elements.
///
/// # Errors
/// As [`stack_forward`].
pub fn activation<'a, F: Float>(cpu: &'a Cpu, op: Unary, len: usize) -> Result<Operation<'a>> {
    let x = values::<F>(cpu, len, 5.0)?;
    let mut y = cpu.alloc::<F>(len)?;
    let all = Span::dense(0, 1, len);
    Ok(Box::new(move || cpu.map(op, Operand::of(&x, all), ViewMut::new(&mut y, all))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_at_tiny_size() {
        let cpu = Cpu::new(2).unwrap();
        let size = Size::new(3, 4, 2, 5, 2);
        for operation in [
            stack_forward::<f32>(&cpu, &size),
            stack_backward::<f32>(&cpu, &size),
            training_step::<f32>(&cpu, &size),
            training_step::<f64>(&cpu, &size),
            stream_step::<f32>(&cpu, &size),
            gemm::<f32>(&cpu, [3, 4, 5]),
            activation::<f32>(&cpu, Unary::Tanh, 7),
        ] {
            operation.unwrap()().unwrap();
        }
    }
}

//! A stack with its parameters and one batch on the host, and what a pass over it gives.

use lstm_tensor::{BatchShape, ParamLayout, StackSpec};

/// Hidden and cell state of all layers, `[L, B, H]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct HostState {
    /// Hidden state, or its gradient.
    pub h: Vec<f64>,
    /// Cell state, or its gradient.
    pub c: Vec<f64>,
}

/// Randomness of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct HostDraw {
    /// Seed of the model.
    pub seed: u64,
    /// Optimizer step.
    pub step: u32,
    /// Index of each row's sample, `[B]`.
    pub samples: Vec<u32>,
}

/// A stack, its parameters and one batch.
#[derive(Clone, PartialEq)]
pub struct StackCase {
    /// The stack.
    pub spec: StackSpec,
    /// The batch.
    pub shape: BatchShape,
    /// All parameters, in the order of [`StackSpec::param_layout`], padding included.
    pub params: Vec<f64>,
    /// Input `[T, B, I]`.
    pub x: Vec<f64>,
    /// State before the first step.
    pub initial: Option<HostState>,
    /// Gradient of the output, `[T, B, H]`.
    pub d_y: Option<Vec<f64>>,
    /// Gradient of the last state.
    pub d_last: Option<HostState>,
    /// Randomness.
    pub draw: Option<HostDraw>,
}

/// Sizes and options; the numbers would fill pages.
impl std::fmt::Debug for StackCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let largest = self.params.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        f.debug_struct("StackCase")
            .field("spec", &self.spec)
            .field("shape", &self.shape)
            .field("largest parameter", &largest)
            .field("initial", &self.initial.is_some())
            .field("d_y", &self.d_y.is_some())
            .field("d_last", &self.d_last.is_some())
            .field("draw", &self.draw)
            .finish_non_exhaustive()
    }
}

impl StackCase {
    /// Steps `T`.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.shape.steps
    }

    /// Rows `B`.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// Places of the parameters.
    #[must_use]
    pub fn layout(&self) -> ParamLayout {
        self.spec.param_layout("")
    }

    /// A state of zeros.
    #[must_use]
    pub fn zero_state(&self) -> HostState {
        let (h, c) = self.spec.state_len(self.rows());
        HostState { h: vec![0.0; h], c: vec![0.0; c] }
    }

    /// `sum(y d_y) + sum(h d_h) + sum(c d_c)`, the loss whose gradient a backward pass computes.
    #[must_use]
    pub fn loss(&self, y: &[f64], last: &HostState) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let of_y = self.d_y.as_ref().map_or(0.0, |d| dot(d, y));
        of_y + self.d_last.as_ref().map_or(0.0, |d| dot(&d.h, &last.h) + dot(&d.c, &last.c))
    }

    /// The numbers that gradients are taken of, by name.
    #[must_use]
    pub fn inputs_mut(&mut self) -> Vec<(&'static str, &mut Vec<f64>)> {
        let mut inputs = vec![("d_params", &mut self.params), ("d_x", &mut self.x)];
        if let Some(initial) = &mut self.initial {
            inputs.push(("d_h", &mut initial.h));
            inputs.push(("d_c", &mut initial.c));
        }
        inputs
    }
}

/// What a tensor is measured on: values on `max(1, |reference|)`, gradients on the largest reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// A gradient.
    Gradient,
}

/// One computed tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Name, `"y"` or `"d_params.weight_ih_l0"`.
    pub name: String,
    /// What it is measured on.
    pub kind: Kind,
    /// Its elements.
    pub values: Vec<f64>,
}

/// Everything that a forward and a backward pass computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Output `[T, B, H]`.
    pub y: Vec<f64>,
    /// State after the last step.
    pub last: HostState,
    /// Gradient of the input.
    pub d_x: Vec<f64>,
    /// Gradient of the initial state.
    pub d_initial: HostState,
    /// Gradient of the parameters, laid out as these.
    pub d_params: Vec<f64>,
}

impl Outcome {
    /// All tensors apart, the parameters' gradients one by one.
    #[must_use]
    pub fn parts(&self, layout: &ParamLayout) -> Vec<Part> {
        let part =
            |name: &str, kind, values: &[f64]| Part { name: name.into(), kind, values: values.to_vec() };
        let mut parts = vec![
            part("y", Kind::Value, &self.y),
            part("h", Kind::Value, &self.last.h),
            part("c", Kind::Value, &self.last.c),
            part("d_x", Kind::Gradient, &self.d_x),
            part("d_h", Kind::Gradient, &self.d_initial.h),
            part("d_c", Kind::Gradient, &self.d_initial.c),
        ];
        for entry in layout.entries() {
            let values = &self.d_params[entry.offset..entry.offset + entry.len()];
            parts.push(part(&format!("d_params.{}", entry.name), Kind::Gradient, values));
        }
        parts
    }

    /// The gradient of one of [`StackCase::inputs_mut`].
    #[must_use]
    pub fn gradient(&self, name: &str) -> &[f64] {
        match name {
            "d_params" => &self.d_params,
            "d_x" => &self.d_x,
            "d_h" => &self.d_initial.h,
            _ => &self.d_initial.c,
        }
    }
}

//! The small vocabularies of the primitives: element-wise functions, reductions, losses, update rules.

use serde::{Deserialize, Serialize};

/// Function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unary {
    /// `scale * x + shift`.
    Affine {
        /// Factor.
        scale: f64,
        /// Term.
        shift: f64,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * x`.
    Square,
    /// Square root.
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    /// Absolute value.
    Abs,
    /// -1, 0 or 1; NaN stays NaN.
    Sign,
    /// Nearest value in `[low, high]`; NaN stays NaN.
    Clamp {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

/// Function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger one; NaN if either is.
    Max,
}

/// Reduction of a rectangle to one number, in f64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduce {
    /// Sum of elements.
    Sum,
    /// Sum of squares.
    SquareSum,
}

/// What [`Backend::random`](crate::Backend::random) draws.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distribution {
    /// `1 / keep` with probability `keep`, else 0: inverted dropout.
    Mask {
        /// Probability of staying, in (0, 1].
        keep: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
}

/// Arithmetic of a matrix product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Math {
    /// Products and sums at least as precise as the element type.
    #[default]
    Exact,
}

/// Scalars and batching of a matrix product `C = alpha A B + beta C`.
///
/// Transposes and strides are those of the operands' [`Span`](crate::Span)s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GemmArgs {
    /// Factor of the product.
    pub alpha: f64,
    /// Factor of what `C` held; 0 overwrites `C` even where it holds NaN.
    pub beta: f64,
    /// Number of independent products.
    pub batch: usize,
    /// Elements from one `A`, `B`, `C` to the next; 0 = shared by all products (not for `C`).
    pub batch_strides: [usize; 3],
    /// Arithmetic.
    pub math: Math,
}

impl GemmArgs {
    /// `C = A B`.
    pub const SET: Self = Self { alpha: 1.0, beta: 0.0, batch: 1, batch_strides: [0; 3], math: Math::Exact };
    /// `C = A B + C`.
    pub const ADD: Self = Self { beta: 1.0, ..Self::SET };
}

/// Loss of one element, `e = prediction - target`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LossKind {
    /// `e²`.
    Squared,
    /// `e² / 2`.
    HalfSquared,
    /// `|e|`.
    Absolute,
    /// `e² / 2` up to `delta`, `delta (|e| - delta / 2)` beyond (Huber 1964).
    Huber {
        /// Where the parabola turns into a line.
        delta: f64,
    },
    /// `|e| / target`, for targets above 0: at 0 it is infinite, below it rewards errors.
    RelativeAbsolute,
}

/// How an optimizer changes a parameter `p` with gradient `g`; formulas in docs/numerics.md.
///
/// Slots are the rule's moments, one buffer of the arena's size each, zero (or
/// [`Rule::slot_fill`]) before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Rule {
    /// Stochastic gradient descent, PyTorch's definition of momentum and Nesterov.
    Sgd {
        /// Share of the velocity that is kept.
        momentum: f64,
        /// Share of the gradient that is withheld from the velocity (not at the first step).
        dampening: f64,
        /// Look ahead along the velocity.
        nesterov: bool,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// Adagrad (Duchi 2011), PyTorch's definition.
    Adagrad {
        /// `lr / (1 + (t - 1) lr_decay)`.
        lr_decay: f64,
        /// Start of the sum of squares.
        initial_accumulator: f64,
        /// Added to the root.
        eps: f64,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// RMSprop (Tieleman 2012), PyTorch's definition.
    RmsProp {
        /// Share of the mean square that is kept.
        alpha: f64,
        /// Added to the root.
        eps: f64,
        /// Share of the velocity that is kept.
        momentum: f64,
        /// Subtract the squared mean of the gradient.
        centered: bool,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
    },
    /// Adam (Kingma 2014) and AdamW (Loshchilov 2017), PyTorch's definition.
    Adam {
        /// Share of the first moment that is kept.
        beta1: f64,
        /// Share of the second moment that is kept.
        beta2: f64,
        /// Added to the root.
        eps: f64,
        /// L2 penalty (or decay, if decoupled).
        weight_decay: f64,
        /// Decay the parameter itself instead of adding to the gradient (AdamW).
        decoupled: bool,
        /// TensorFlow 1: `eps` is added to the root of the uncorrected second moment.
        tf_epsilon: bool,
    },
}

impl Rule {
    /// Number of moment buffers.
    #[must_use]
    pub fn slots(&self) -> usize {
        match *self {
            Self::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Self::Adagrad { .. } => 1,
            Self::RmsProp { momentum, centered, .. } => {
                1 + usize::from(momentum != 0.0) + usize::from(centered)
            }
            Self::Adam { .. } => 2,
        }
    }

    /// What the slots hold before the first step.
    #[must_use]
    pub fn slot_fill(&self) -> f64 {
        match *self {
            Self::Adagrad { initial_accumulator, .. } => initial_accumulator,
            _ => 0.0,
        }
    }
}

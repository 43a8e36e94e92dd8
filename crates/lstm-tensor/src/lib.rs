//! The contract between LSTM networks and the devices that run them.
//!
//! - [`Backend`]: few required primitives, many provided operations
//! - [`mod@reference`]: every provided operation, composed from the primitives
//! - [`StackSpec`], [`Plan`], [`TapeLayout`]: what a stack is and what a pass over it stores
//! - [`ParamLayout`], [`Arena`]: all parameters of a model in one flat buffer
//! - [`check`]: what every backend asks of its operands, written once
//! - [`philox`]: random numbers that depend on what they are for, never on where they are drawn
//!
//! Letters used throughout: `T` steps, `B` batch rows, `I` inputs, `H` hidden units, `P` state width
//! (`H` unless a projection makes it smaller), `L` layers, `O` outputs. Sequences are time-first,
//! `[T, B, I]`, row-major. Gates stand in PyTorch's order: input, forget, cell (g), output.

mod backend;
pub mod check;
mod element;
mod error;
mod ops;
mod params;
pub mod philox;
mod plan;
pub mod reference;
mod stack;
mod view;

pub use backend::{
    Backend, Backward, Control, Draw, Forward, LinearGrad, LossArgs, State, Storage, Weights, control_slot,
};
pub use element::{Element, Float};
pub use error::{Error, Result};
pub use ops::{Binary, Distribution, GemmArgs, LossKind, Math, Reduce, Rule, Unary};
pub use params::{Arena, Packed, ParamEntry, ParamLayout};
pub use plan::{LayerTape, Plan, Scratch, Tape, TapeLayout};
pub use stack::{BatchShape, Bias, CellSpec, Direction, KernelChoice, LayerSpec, Mode, StackSpec};
pub use view::{Operand, Span, View, ViewMut};

//! Every provided operation of the contract, composed from the required primitives.
//!
//! These functions are the definition: an override must compute the same. They favour being read over
//! being fast; they may allocate and may ask the device for a number.

mod linear;
mod loss;
mod optimizer;
mod stack;

pub use linear::{linear_backward, linear_forward};
pub use loss::loss;
pub use optimizer::{clip, update};
pub use stack::{plan, prepare, stack_backward, stack_forward, step};

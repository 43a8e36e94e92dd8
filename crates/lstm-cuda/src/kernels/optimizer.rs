//! Launches of optimizer.cu. Nothing here looks at a number on the device.

use super::reduce::{FINISH, parts_of};
use super::{args, kernel};
use crate::cuda::Threads;
use crate::runtime::{Address, Plain};
use crate::{Cuda, CudaBuffer, Runtime};
use lstm_tensor::{Control, Error, Float, Result, Rule, Storage, check};

/// Override of [`Backend::clip`](lstm_tensor::Backend::clip).
pub(crate) fn clip<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    limit: Option<f64>,
    max_norm: Option<f64>,
    grads: &CudaBuffer<R, F>,
    control: &Control<Cuda<R>>,
) -> Result<()> {
    check::clip(limit, max_norm, control)?;
    let over = parts_of(grads.len());
    let (limited, limit) = (u32::from(limit.is_some()), limit.unwrap_or(0.0));
    let (values, bad_step) = (cuda.at(&control.values), cuda.at(&control.bad_step));
    let room = cuda.parts();
    // SAFETY: the kernels' parameters; the control has its five numbers and its latch, and there is room
    // for the parts.
    unsafe {
        let args = args![cuda.at(grads), grads.len() as u64, limited, limit, room.address];
        cuda.launch(kernel!(F, "clip"), over, &args)?;
        let max_norm = max_norm.unwrap_or(0.0);
        cuda.launch("clip_scale", FINISH, &args![room.address, over.grid[0], max_norm, values, bad_step])
    }
}

/// What all rules share, as optimizer.cu takes it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Update {
    params: Address,
    gradients: Address,
    count: u64,
    control: Address,
    bad_step: Address,
}

// SAFETY: five numbers of 64 bits, as `struct Update` of optimizer.cu has them.
unsafe impl Plain for Update {}

/// Override of [`Backend::update`](lstm_tensor::Backend::update).
pub(crate) fn update<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    rule: &Rule,
    params: &CudaBuffer<R, F>,
    grads: &CudaBuffer<R, F>,
    slots: &[CudaBuffer<R, F>],
    control: &Control<Cuda<R>>,
) -> Result<()> {
    check::update(rule, params, grads, slots, control)?;
    let update = Update {
        params: cuda.at(params),
        gradients: cuda.at(grads),
        count: params.len() as u64,
        control: cuda.at(&control.values),
        bad_step: cuda.at(&control.bad_step),
    };
    let slot = |index: usize| slots.get(index).map_or(Address::NULL, |slot| cuda.at(slot));
    let over = Threads { shared: 16, ..Threads::each(params.len()) };
    // SAFETY: the kernels' parameters; arena, gradients and moments have the same length, and the control
    // has its five numbers and its latch.
    unsafe {
        match *rule {
            Rule::Sgd { momentum, dampening, nesterov, weight_decay } => {
                let args = args![update, slot(0), momentum, dampening, u32::from(nesterov), weight_decay];
                cuda.launch(kernel!(F, "sgd"), over, &args)
            }
            Rule::Adagrad { lr_decay, eps, weight_decay, .. } => {
                let args = args![update, slot(0), lr_decay, eps, weight_decay];
                cuda.launch(kernel!(F, "adagrad"), over, &args)
            }
            Rule::RmsProp { alpha, eps, momentum, centered, weight_decay } => {
                let velocities = if momentum == 0.0 { Address::NULL } else { slot(1) };
                let means = if centered { slot(rule.slots() - 1) } else { Address::NULL };
                let args = args![update, slot(0), velocities, means, alpha, eps, momentum, weight_decay];
                cuda.launch(kernel!(F, "rms_prop"), over, &args)
            }
            Rule::Adam { beta1, beta2, eps, weight_decay, decoupled, tf_epsilon } => {
                let flags = [u32::from(decoupled), u32::from(tf_epsilon)];
                let args =
                    args![update, slot(0), slot(1), beta1, beta2, eps, weight_decay, flags[0], flags[1]];
                cuda.launch(kernel!(F, "adam"), over, &args)
            }
            _ => Err(Error::Unsupported { op: "update", option: "this rule" }),
        }
    }
}

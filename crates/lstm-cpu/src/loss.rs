//! Losses as one loop. Formulas: [`reference::loss`](lstm_tensor::reference::loss).

use crate::primitives::{clamp, sign};
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Error, Float, LossArgs, LossKind, Result, ViewMut, check};

/// Override of [`Backend::loss`](lstm_tensor::Backend::loss).
pub(crate) fn loss<F: Float>(
    args: LossArgs<'_, Cpu, F>,
    d_prediction: ViewMut<'_, Cpu, F>,
    value: &mut CpuBuffer<f64>,
) -> Result<()> {
    check::loss(&args, &d_prediction, value)?;
    let two = F::from_f64(2.0);
    let half = F::from_f64(0.5);
    let total = match args.kind {
        LossKind::Squared => each(&args, d_prediction, |e, _| (e * e, two * e)),
        LossKind::HalfSquared => each(&args, d_prediction, |e, _| (half * (e * e), e)),
        LossKind::Absolute => each(&args, d_prediction, |e, _| (e.abs(), sign(e))),
        LossKind::Huber { delta } => {
            let delta = F::from_f64(delta);
            each(&args, d_prediction, |e, _| {
                let k = clamp(e, -delta, delta);
                (half * (k * k) + delta * (e.abs() - k.abs()), k)
            })
        }
        LossKind::RelativeAbsolute => {
            each(&args, d_prediction, |e, target| (e.abs() / target, sign(e) / target))
        }
        _ => return Err(Error::Unsupported { op: "loss", option: "this loss" }),
    };
    value.as_mut_slice()[0] += total;
    Ok(())
}

/// Applies `f(error, target) = (value, gradient)` to every element; answers the weighted sum of values.
#[inline(always)]
fn each<F: Float>(
    args: &LossArgs<'_, Cpu, F>,
    d_prediction: ViewMut<'_, Cpu, F>,
    f: impl Fn(F, F) -> (F, F),
) -> f64 {
    let (prediction, target) = (args.prediction.buffer.as_slice(), args.target.buffer.as_slice());
    let (at, target_at, to) = (args.prediction.span, args.target.span, d_prediction.span);
    let d_prediction = d_prediction.buffer.as_mut_slice();
    let scale = F::from_f64(args.scale);
    let mut total = 0.0;
    for r in 0..at.rows {
        let weight = match &args.row_weights {
            Some(weights) => scale * weights.buffer.as_slice()[weights.span.at(0, r)],
            None => scale,
        };
        for c in 0..at.cols {
            let target = target[target_at.at(r, c)];
            let (value, gradient) = f(prediction[at.at(r, c)] - target, target);
            total += (value * weight).to_f64();
            d_prediction[to.at(r, c)] = gradient * weight;
        }
    }
    total
}

//! Closed loop: a network that predicts the next value is fed with its own predictions.

use crate::{Error, Result};
use lstm_nn::{InferPass, Model, Stream};
use lstm_tensor::{Backend, Float};
use ndarray::{Array2, ArrayView2};

/// Forecasts `horizon` values, each from the last `lookback` values including earlier forecasts; the
/// state starts at zero for every one of them.
///
/// # Errors
/// [`lstm_tensor::Error::Shape`] where the network has not one input and one output.
pub fn recompute<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    history: &[f64],
    lookback: usize,
    horizon: usize,
) -> Result<Vec<f64>> {
    check_scalar(model)?;
    let mut values: Vec<F> =
        history[history.len().saturating_sub(lookback)..].iter().map(|&v| F::from_f64(v)).collect();
    let mut pass = InferPass::new(backend, model, values.len(), 1)?;
    let window = values.len();
    let mut out = Vec::new();
    for _ in 0..horizon {
        let recent = &values[values.len() - window..];
        pass.predict(backend, model, recent, None, &mut out)?;
        // A network that reads every step answers for each; the last one is the next value.
        values.extend(out.last().copied());
    }
    Ok(values[window..].iter().map(|v| v.to_f64()).collect())
}

/// Feeds `history` step by step, then `horizon` own predictions, carrying the state throughout.
///
/// Returns the one-step predictions over the history and the free run behind it: element `t` is the
/// prediction of the value after step `t`, so there are `history.len() + horizon - 1` more or less
/// conditioned values; the first `history.len()` are teacher-forced.
///
/// # Errors
/// As [`recompute`].
pub fn carry_state<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    history: &[f64],
    horizon: usize,
) -> Result<Vec<f64>> {
    check_scalar(model)?;
    let mut stream = Stream::new(backend, model, 1)?;
    let mut predictions = Vec::with_capacity(history.len() + horizon);
    let mut out = [F::ZERO];
    for t in 0..history.len() + horizon.saturating_sub(1) {
        let x = history.get(t).map_or(out[0], |&v| F::from_f64(v));
        stream.push(backend, model, &[x], &mut out)?;
        predictions.push(out[0].to_f64());
    }
    Ok(predictions)
}

/// What networks were fed side by side, and what they answered.
#[derive(Clone, Debug, PartialEq)]
pub struct SideBySide {
    /// What was read at each step, `[steps, rows]`.
    pub fed: Array2<f64>,
    /// The prediction of the next value after each step, `[steps, rows]`.
    pub predictions: Array2<f64>,
}

/// Feeds each column of `inputs [T, rows]` for its first `own_from` steps, at least one, and then own predictions, for `steps`
/// steps in all and carrying the state throughout.
///
/// # Errors
/// As [`recompute`]; [`Error::Invalid`] without inputs, [`lstm_tensor::Error::Shape`] where `own_from` has not one number for each column.
pub fn side_by_side<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    inputs: ArrayView2<'_, f64>,
    own_from: &[usize],
    steps: usize,
) -> Result<SideBySide> {
    check_scalar(model)?;
    let (known, rows) = inputs.dim();
    if known == 0 {
        return Err(Error::Invalid {
            what: "inputs",
            value: "empty".into(),
            must: "at least one step".into(),
        });
    }
    lstm_tensor::Error::check_shape("free run", "own_from", &[rows], &[own_from.len()])?;
    let mut stream = Stream::new(backend, model, rows)?;
    let (mut x, mut out) = (vec![F::ZERO; rows], vec![F::ZERO; rows]);
    let mut fed = Array2::zeros((steps, rows));
    let mut predictions = Array2::zeros((steps, rows));
    for t in 0..steps {
        for row in 0..rows {
            let own = t >= own_from[row].clamp(1, known);
            x[row] = if own { out[row] } else { F::from_f64(inputs[[t, row]]) };
            fed[[t, row]] = x[row].to_f64();
        }
        stream.push(backend, model, &x, &mut out)?;
        predictions.row_mut(t).iter_mut().zip(&out).for_each(|(to, value)| *to = value.to_f64());
    }
    Ok(SideBySide { fed, predictions })
}

fn check_scalar<B: Backend, F: Float>(model: &Model<B, F>) -> Result<()> {
    let network = model.network();
    let got = [network.inputs(), network.outputs()];
    Ok(lstm_tensor::Error::check_shape("free run", "network's inputs and outputs", &[1, 1], &got)?)
}

//! The other end of a [`Peer`](crate::peer::Peer) that is written in Rust: answers on stdout what stdin asks.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::case::{Batch, Case};
use crate::shape::{Read, Shape};
use crate::subject::{Proof, STEPS};
use crate::timing::sample;

/// Another library's network with its batches, which take turns.
pub trait Rival {
    /// The sum of the outputs of an inference of the next batch, or of the next step of a stream.
    ///
    /// # Errors
    /// Those of the library; so below.
    fn infer(&mut self) -> Result<f64>;

    /// A step of training on the next batch: forward, mean squared error, backward, Adam of rate 0.001. The loss.
    ///
    /// # Errors
    /// As [`Rival::infer`].
    fn train(&mut self) -> Result<f64>;

    /// Makes the first batch the next.
    fn rewind(&mut self);
}

/// Values and sizes of input `[B, T, I]` and target `[B, O]` or `[B, T, O]`: batch rows first, as many libraries
/// want them.
#[must_use]
pub fn batch_first(shape: &Shape, batch: &Batch) -> [(Vec<f64>, Vec<usize>); 2] {
    let rows_first = |values: &[f64], steps: usize| {
        let columns = values.len() / (steps * shape.batch);
        let of = |row| values.chunks(columns).skip(row).step_by(shape.batch).take(steps).flatten().copied();
        let sizes = if steps == 1 { vec![shape.batch, columns] } else { vec![shape.batch, steps, columns] };
        ((0..shape.batch).flat_map(of).collect(), sizes)
    };
    let read = if shape.readout == Read::All { shape.steps } else { 1 };
    let (x, _) = rows_first(&batch.x, shape.steps);
    [(x, vec![shape.batch, shape.steps, shape.inputs]), rows_first(&batch.target, read)]
}

/// Answers until stdin ends; `load` makes a network of a case.
///
/// # Errors
/// If a pipe is broken. Errors of the library are answers.
pub fn serve<R: Rival>(version: &str, load: impl Fn(&Case) -> Result<R>) -> Result<()> {
    let mut rival = None;
    writeln!(stdout(), "{}", json!({ "version": version }))?;
    for line in stdin().lock().lines() {
        let answer = match answer(&serde_json::from_str(&line?)?, &load, &mut rival) {
            Ok(value) => value,
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer<R: Rival>(
    request: &Value,
    load: &impl Fn(&Case) -> Result<R>,
    rival: &mut Option<R>,
) -> Result<Value> {
    if let Some(file) = request["load"].as_str() {
        let shape: Shape = serde_json::from_value(request["shape"].clone())?;
        let batches = request["batches"].as_u64().context("how many batches is not said")? as usize;
        let case = Case::handed(&shape, Path::new(file), batches)?;
        let rival = rival.insert(load(&case)?);
        return Ok(serde_json::to_value(prove(rival, &shape)?)?);
    }
    let rival = rival.as_mut().context("nothing was loaded")?;
    let samples = request["samples"].as_u64().context("how many samples is not said")? as usize;
    let seconds = serde_json::from_value(request["seconds"].clone())?;
    let times = match request["time"].as_str() {
        Some("infer") => {
            sample(|times| (0..times).try_for_each(|_| rival.infer().map(drop)), samples, seconds)?
        }
        Some("train") => {
            sample(|times| (0..times).try_for_each(|_| rival.train().map(drop)), samples, seconds)?
        }
        _ => bail!("{request} is nothing that can be measured here"),
    };
    Ok(serde_json::to_value(times)?)
}

/// The first inference and the first steps of training.
fn prove(rival: &mut impl Rival, shape: &Shape) -> Result<Proof> {
    let y_sum = rival.infer()?;
    rival.rewind();
    if shape.infer_only {
        return Ok(Proof { y_sum, loss_1: None, loss_10: None });
    }
    let losses = (0..STEPS).map(|_| rival.train()).collect::<Result<Vec<_>>>()?;
    Ok(Proof { y_sum, loss_1: losses.first().copied(), loss_10: losses.last().copied() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_before_steps() {
        let text = r#"{"name": "a", "batch": 2, "steps": 3, "inputs": 1, "hidden": [1], "readout": "all"}"#;
        let shape: Shape = serde_json::from_str(text).unwrap();
        let (x, target) = (vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0], vec![0.5; 6]);
        let [(x, sizes), target] = batch_first(&shape, &Batch { x, target });
        assert_eq!((x, sizes), (vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0], vec![2, 3, 1]));
        assert_eq!(target.1, [2, 3, 1]);
    }
}

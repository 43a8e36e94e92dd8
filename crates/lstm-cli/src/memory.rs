//! Whether a network can fit into memory at all, before anything of it is allocated.

use std::fs;

use crate::failure::{Failure, Result};
use crate::output::size;
use crate::settings::{Dtype, Training};

/// Makes sure that the weights that were asked for can be held while they are trained.
///
/// # Errors
/// A device failure that says how much they need and how much there is.
pub(crate) fn check(training: &Training, dtype: Option<Dtype>) -> Result<()> {
    let hidden = training.hidden.map_or(1, |hidden| hidden.get());
    let layers = training.layers.map_or(1, |layers| layers.get());
    let embedding = training.embedding.map_or(0, |embedding| embedding.get());
    let (weights, bytes) = needed((hidden, layers), embedding, dtype.unwrap_or_default());
    match free() {
        Some(free) if bytes > free => Err(Failure::device(format!(
            "a network of {layers} x {hidden} units has {weights} weights and needs {} to train them, {} are free; lower \
             --hidden{}",
            size(bytes),
            size(free),
            if embedding > 0 { ", --embedding or --layers" } else { " or --layers" }
        ))),
        _ => Ok(()),
    }
}

/// Makes sure that so many sample paths of each series can be held.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_samples(samples: Option<usize>, series: usize, horizon: usize) -> Result<()> {
    let Some(samples) = samples else { return Ok(()) };
    // Once as they are drawn, once as they are sorted by series.
    let bytes = [series, horizon, 2 * size_of::<f64>()].into_iter().fold(samples, usize::saturating_mul);
    match free() {
        Some(free) if bytes > free => Err(Failure::device(format!(
            "{samples} samples of {series} x {horizon} values need {}, {} are free; lower --samples",
            size(bytes),
            size(free)
        ))),
        _ => Ok(()),
    }
}

/// Weights of the layers, which read one number at least, and of an embedding in front of them, and the bytes of these, of their gradients, and of the two
/// moments of each that Adam keeps.
fn needed((hidden, layers): (usize, usize), embedding: usize, dtype: Dtype) -> (usize, usize) {
    let width = match dtype {
        Dtype::F32 => 4,
        Dtype::F64 => 8,
    };
    let gates = hidden.saturating_mul(4);
    let first =
        gates.saturating_mul(hidden.saturating_add(embedding.max(1) + 2)).saturating_add(2 * embedding);
    let other = gates.saturating_mul(hidden.saturating_mul(2).saturating_add(2));
    let weights = first.saturating_add(other.saturating_mul(layers.saturating_sub(1)));
    (weights, weights.saturating_mul(4 * width))
}

/// Bytes that this process may still get, as far as the system tells: the least of free memory, the limit of the address
/// space, and that of the control group.
pub(crate) fn free() -> Option<usize> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let number = |text: &str| text.split_whitespace().find_map(|word| word.parse::<usize>().ok());
    let line = |path: &str, name: &str| {
        let text = read(path)?;
        number(text.lines().find(|line| line.starts_with(name))?)
    };
    let memory = line("/proc/meminfo", "MemAvailable:").map(|kib| kib.saturating_mul(1024));
    let space = line("/proc/self/limits", "Max address space");
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| number(&text));
    [memory, space, group].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counted() {
        // As torch.nn.LSTM(1, 3, 2): 4 x 3 x (1 + 3 + 2), then 4 x 3 x (3 + 3 + 2).
        assert_eq!(needed((3, 2), 0, Dtype::F32), (72 + 96, 4 * 4 * 168));
        // Of one input to 5 units 10, and then 12 rows of 5 + 3 + 2.
        assert_eq!(needed((3, 1), 5, Dtype::F32), (130, 4 * 4 * 130));
        assert_eq!(needed((usize::MAX, 64), 0, Dtype::F64), (usize::MAX, usize::MAX));
    }
}

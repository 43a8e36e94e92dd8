//! Dropout masks, drawn where they are used and never stored.

use crate::Cpu;
use lstm_tensor::philox::{Place, Site, keeps, key, philox4x32};
use lstm_tensor::{Draw, Float, Plan};

/// Rows of some steps that belong to a block of batch rows.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// First step.
    pub(super) first: usize,
    /// First batch row.
    pub(super) row: usize,
    /// Batch rows.
    pub(super) rows: usize,
}

/// Multiplies the first `width` columns of `y [steps, rows, stride]` with the masks of all sites between layer
/// `l - 1` (or the input) and layer `l` (or the output).
pub(super) fn drop_before<F: Float>(
    plan: &Plan,
    draw: Option<Draw<'_, Cpu>>,
    l: usize,
    part: Part,
    y: &mut [F],
    [width, stride]: [usize; 2],
) {
    let Some(draw) = draw else { return };
    for (site, layer, probability) in sites(plan, l) {
        if probability > 0.0 {
            let place = Place { site, layer, reverse: false };
            drop_at(draw, place, 1.0 - probability, part, y, [width, stride]);
        }
    }
}

/// Whether anything is dropped between layer `l - 1` and layer `l`.
pub(super) fn drops_before(plan: &Plan, draw: Option<Draw<'_, Cpu>>, l: usize) -> bool {
    draw.is_some() && sites(plan, l).iter().any(|&(_, _, probability)| probability > 0.0)
}

fn sites(plan: &Plan, l: usize) -> [(Site, usize, f64); 3] {
    let layers = &plan.spec.layers;
    let own = layers.get(l);
    let below = l.checked_sub(1).map(|below| (below, layers[below].dropout_output));
    let between = if l > 0 && own.is_some() { plan.spec.dropout_between } else { 0.0 };
    [
        below.map_or((Site::Output, 0, 0.0), |(below, output)| (Site::Output, below, output)),
        (Site::Between, l, between),
        (Site::Input, l, own.map_or(0.0, |layer| layer.dropout_input)),
    ]
}

fn drop_at<F: Float>(
    draw: Draw<'_, Cpu>,
    place: Place,
    keep: f64,
    part: Part,
    y: &mut [F],
    [width, stride]: [usize; 2],
) {
    let (step, samples) = (draw.step.as_slice()[0], &draw.samples.as_slice()[part.row..][..part.rows]);
    for (r, y) in y.chunks_exact_mut(stride).enumerate() {
        let (time, sample) = ((part.first + r / part.rows) as u32, samples[r % part.rows]);
        for (block, y) in y[..width].chunks_mut(4).enumerate() {
            let words = philox4x32([step, time, sample, place.word(block)], key(draw.seed));
            for (y, word) in y.iter_mut().zip(words) {
                *y *= F::from_f64(if keeps(word, keep) { 1.0 / keep } else { 0.0 });
            }
        }
    }
}

//! Dropout masks, drawn where they are used and never stored.

use crate::Cpu;
use crate::parallel::Rows;
use lstm_tensor::philox::{Place, Site, keeps, key, philox4x32};
use lstm_tensor::{Draw, Float, Plan};

/// Rows of a task.
const BLOCK: usize = 64;

/// Multiplies the first `width` columns of `y [steps B, stride]`, whose first row belongs to step `first`,
/// with the masks of all sites between layer `l - 1` (or the input) and layer `l` (or the output).
pub(super) fn drop_before<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    draw: Option<Draw<'_, Cpu>>,
    l: usize,
    first: usize,
    y: &mut [F],
    [width, stride]: [usize; 2],
) {
    let Some(draw) = draw else { return };
    for (site, layer, probability) in sites(plan, l) {
        if probability > 0.0 {
            let place = Place { site, layer, reverse: false };
            drop_at(cpu, draw, place, 1.0 - probability, first, y, [width, stride]);
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
    cpu: &Cpu,
    draw: Draw<'_, Cpu>,
    place: Place,
    keep: f64,
    first: usize,
    y: &mut [F],
    [width, stride]: [usize; 2],
) {
    let (step, samples) = (draw.step.as_slice()[0], draw.samples.as_slice());
    let rows = y.len() / stride;
    cpu.team.blocks([Rows::new(y, 1, rows, stride, BLOCK)], |i, [mut y]| {
        for (r, y) in y.at_mut(0).chunks_exact_mut(stride).enumerate() {
            let row = i * BLOCK + r;
            let (time, sample) = ((first + row / samples.len()) as u32, samples[row % samples.len()]);
            for (block, y) in y[..width].chunks_mut(4).enumerate() {
                let words = philox4x32([step, time, sample, place.word(block)], key(draw.seed));
                for (y, word) in y.iter_mut().zip(words) {
                    *y *= F::from_f64(if keeps(word, keep) { 1.0 / keep } else { 0.0 });
                }
            }
        }
    });
}

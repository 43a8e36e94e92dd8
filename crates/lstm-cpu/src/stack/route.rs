//! How a pass is cut: which rows a task takes, and how many steps at a time.
//!
//! A pure function of sizes. The number of threads has no part in it, since the order of sums follows the cut.

use super::cell::{NEAR, SHARED};
use lstm_tensor::{BatchShape, StackSpec};

/// Batch rows of a task, about: enough for a product to be efficient, few enough to keep threads busy.
const BLOCK: usize = 16;
/// Tasks of a pass, at most: each has sums of its own for the gradient of the weights.
const BLOCKS: usize = 16;
/// Multiply-adds of a pass below which one task runs all rows: some tens of microseconds.
const SMALL: usize = 1 << 20;
/// Bytes of a layer's weights above which a task runs all rows, and the threads share each of its steps: they
/// come from far, and each thread so reads but a part of them, the same at every step.
const LARGE: usize = 1 << 20;
/// Rows of a chunk in inference, at most.
const RING: usize = 256;
/// Rows of a product with large weights, at least, so that reading and writing them is a small part of it.
const TALL: usize = 512;
/// Steps of a chunk in training, at most: gradients are scaled between chunks, and must not vanish inside one.
const FADING: usize = 32;
/// Layers that several tasks can go through, at most: where these lie is listed on the stack.
pub(super) const DEEP: usize = 16;
/// Layers of a wave, at most.
pub(super) const CREST: usize = 8;
/// Chunks of a pass in waves, about: at its beginning and end not all layers have one.
const WAVES: usize = 8;
/// Multiply-adds of a layer's step from which on threads rather share that step than take layers.
const BROAD: usize = 2 * SHARED;
/// Inputs up to which they are always multiplied in the step.
const JOINT: usize = 64;

/// How a pass is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Number of tasks.
    pub(super) blocks: usize,
    /// Batch rows of a task, at most: they have equal parts but for one row.
    pub(super) block: usize,
    /// Steps that a task runs through a layer before it turns to the next.
    pub(super) chunk: usize,
    /// Whether the tasks are layers, each with all rows and a chunk behind the layer below.
    pub(super) wave: bool,
}

impl Route {
    /// For elements of `size` bytes; of `trained` passes or of inference.
    pub(super) fn of(spec: &StackSpec, shape: &BatchShape, size: usize, trained: bool) -> Self {
        let BatchShape { steps, rows, .. } = *shape;
        let layers = || spec.layers.iter().enumerate().map(|(l, layer)| (spec.input_of(l), layer.hidden));
        let work = layers().map(|(input, hidden)| weights(input, hidden)).sum::<usize>();
        let large = layers().any(|(input, hidden)| weights(input, hidden) * size > LARGE);
        let busy = steps.saturating_mul(rows).saturating_mul(work) > SMALL;
        let blocks = match large || !busy || spec.layers.len() > DEEP {
            true => 1,
            // An even number of them for an even number of threads.
            false => match rows.div_ceil(BLOCK) {
                1 => 1,
                blocks => blocks.next_multiple_of(2).min(BLOCKS),
            },
        };
        let block = rows.div_ceil(blocks);
        // Gates or their gradients, states and factors: what a task writes in its steps and reads again.
        let row = layers().map(|(input, hidden)| (6 * hidden + input) * size).max().unwrap_or(size);
        let near = match (large, trained) {
            (true, _) => TALL,
            (_, true) => NEAR / row,
            _ => (NEAR / row).min(RING),
        };
        let most = if trained { FADING } else { usize::MAX };
        let chunk = (near / block).clamp(2, most).min(steps);
        let widest = layers().map(|(input, hidden)| weights(input, hidden)).max().unwrap_or(0);
        let wave = blocks == 1
            && (2..=CREST).contains(&spec.layers.len())
            && rows.saturating_mul(widest) < BROAD
            && steps.saturating_mul(rows).saturating_mul(work) > 4 * SMALL
            && steps > WAVES;
        let chunk = if wave { chunk.min(steps.div_ceil(WAVES)) } else { chunk };
        // Chunks of equal length; a ring of states must not grow with the sequence.
        let chunk = if trained { steps.div_ceil(steps.div_ceil(chunk)) } else { chunk };
        Self { blocks, block, chunk, wave }
    }

    /// Whether a layer's inputs are multiplied in its step, and not those of a whole chunk before.
    pub(super) fn joins(&self, input: usize, hidden: usize, size: usize) -> bool {
        self.blocks > 1 || input <= JOINT || weights(input, hidden) * size <= LARGE
    }
}

/// Weights of a layer, and multiply-adds of a row in a step.
fn weights(input: usize, hidden: usize) -> usize {
    4 * hidden * (hidden + input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(rows: usize, steps: usize, input: usize, hidden: usize, layers: usize) -> Route {
        Route::of(&StackSpec::uniform(input, hidden, layers), &BatchShape::new(steps, rows), 4, true)
    }

    #[test]
    fn rows_are_cut_into_an_even_number_of_equal_blocks() {
        for (rows, blocks, block) in
            [(32, 2, 16), (33, 4, 9), (50, 4, 13), (97, 8, 13), (16, 1, 16), (512, 16, 32)]
        {
            let route = route(rows, 100, 1, 128, 1);
            assert_eq!((route.blocks, route.block), (blocks, block), "{rows} rows");
        }
    }

    #[test]
    fn large_weights_and_little_work_are_not_cut() {
        let large = route(50, 25, 1, 500, 1);
        assert_eq!((large.blocks, large.joins(1, 500, 4), large.joins(500, 500, 4)), (1, true, false));
        assert_eq!(route(3, 4, 1, 10, 1), Route { block: 3, blocks: 1, chunk: 4, wave: false });
        assert!(route(32, 30, 128, 128, 1).joins(128, 128, 4));
    }

    #[test]
    fn few_rows_of_several_small_layers_go_in_waves() {
        let waves = |rows, steps, hidden, layers| route(rows, steps, 3, hidden, layers).wave;
        assert!(waves(3, 200, 20, 4) && waves(5, 260, 20, 2) && waves(15, 9, 64, 8));
        assert!(!waves(3, 200, 20, 1) && !waves(3, 200, 20, 9), "one layer, and too many");
        assert!(!waves(3, 8, 20, 4) && !waves(17, 200, 20, 4), "too little to do, and enough rows");
        assert!(!waves(16, 200, 128, 2), "steps that are worth sharing");
    }

    #[test]
    fn chunks_are_of_equal_length_and_cover_all_steps() {
        for steps in [1, 2, 9, 100, 999] {
            let Route { chunk, .. } = route(97, steps, 1, 51, 2);
            assert!(chunk >= 1 && chunk <= steps);
            assert!(
                steps.div_ceil(chunk) * chunk < steps + steps.div_ceil(chunk),
                "{steps} steps in {chunk}"
            );
        }
    }

    #[test]
    fn memory_of_inference_does_not_grow_with_the_sequence() {
        let chunk =
            |steps| Route::of(&StackSpec::uniform(1, 64, 2), &BatchShape::new(steps, 3), 8, false).chunk;
        assert_eq!(chunk(1_000), chunk(100_000));
    }
}

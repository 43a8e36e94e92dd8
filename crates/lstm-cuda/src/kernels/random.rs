//! Launches of random.cu.

use super::{args, kernel};
use crate::cuda::{DeviceSpan, Threads};
use crate::runtime::{Address, Plain};
use crate::{Cuda, Runtime};
use lstm_tensor::philox::Place;
use lstm_tensor::{Distribution, Draw, Error, Float, Result, Storage, ViewMut};

/// Where a pass finds what its randomness depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceDraw {
    seed: u64,
    step: Address,
    samples: Address,
    batch: u32,
}

impl DeviceDraw {
    pub(crate) fn new<R: Runtime>(cuda: &Cuda<R>, draw: Draw<'_, Cuda<R>>) -> Self {
        let (step, samples) = (cuda.at(draw.step), cuda.at(draw.samples));
        Self { seed: draw.seed, step, samples, batch: draw.samples.len() as u32 }
    }
}

/// Fills `y` with random numbers; the operands have been checked.
pub(crate) fn random<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    distribution: Distribution,
    draw: DeviceDraw,
    place: Place,
    first_step: usize,
    y: ViewMut<'_, Cuda<R>, F>,
) -> Result<()> {
    let (normal, parameter): (u32, f64) = match distribution {
        Distribution::Mask { keep } => (0, keep),
        Distribution::Normal { std } => (1, std),
        _ => return Err(Error::Unsupported { op: "random", option: "this distribution" }),
    };
    let DeviceDraw { seed, step, samples, batch } = draw;
    let (to, span, first) = (cuda.at(y.buffer), DeviceSpan::from(y.span), first_step as u32);
    let args = args![normal, parameter, seed, step, samples, batch, place.word(0), first, to, span];
    // SAFETY: the kernel's parameters; the rectangle, the step and the samples lie in their buffers.
    unsafe { cuda.launch(kernel!(F, "random"), Threads::each(y.span.rows * y.span.cols), &args) }
}

/// Up to three masks that act one after another, as random.cu takes them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Sites {
    keep: [f64; 3],
    word: [u32; 3],
    count: u32,
}

// SAFETY: 24 bytes, 12 and 4, as `struct Sites` of random.cu has them.
unsafe impl Plain for Sites {}

impl Sites {
    /// The places where something is dropped with a probability above 0.
    pub(crate) fn new(places: [(Place, f64); 3]) -> Self {
        let mut sites = Self::default();
        for (place, probability) in places.into_iter().filter(|(_, probability)| *probability > 0.0) {
            let next = sites.count as usize;
            (sites.keep[next], sites.word[next]) = (1.0 - probability, place.word(0));
            sites.count += 1;
        }
        sites
    }

    /// Whether nothing is dropped.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// `y = x` times the masks, both dense `[rows, cols]`, rows from step `first_step` on; `x` may be `y`.
///
/// # Safety
/// Both rectangles lie in their buffers.
pub(crate) unsafe fn dropout<R: Runtime, F: Float>(
    cuda: &Cuda<R>,
    sites: Sites,
    draw: DeviceDraw,
    first_step: usize,
    [x, y]: [Address; 2],
    [rows, cols]: [usize; 2],
) -> Result<()> {
    let DeviceDraw { seed, step, samples, batch } = draw;
    let sizes = (rows as u64, cols as u32);
    let args = args![x, y, sizes.0, sizes.1, sites, seed, step, samples, batch, first_step as u32];
    // SAFETY: the kernel's parameters; the caller's promise.
    unsafe { cuda.launch(kernel!(F, "dropout"), Threads::each(rows * cols.div_ceil(4)), &args) }
}

//! The three products of an LSTM, with all that is done to their results on the way out of the registers:
//! a step [forward], a step [backward], and the [gradient] of the weights.
//!
//! Weights are packed in panels of [`panel`] units, so that a tile reads them as they follow each other, and
//! so are gradients of pre-activations. Rows of gates and states are padded to whole panels; what stands in
//! the padding is never read but by the padding itself.
#![allow(
    unsafe_code,
    reason = "tiles read and write rows without checks; what they reach is asserted before"
)]
// Indices, not iterators: so the compiler unrolls all of a tile and keeps it in registers.
#![allow(clippy::needless_range_loop, reason = "unrolled only so")]

/// `body` for each `k` below `count`, at most 12, with a constant in its place: what a loop that the compiler leaves
/// a loop indexes by its variable would stand in memory.
macro_rules! unrolled {
    ($k:ident < $count:expr => $body:block) => { unrolled!($k, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11) };
    ($k:ident, $count:expr, $body:block, $($number:literal)*) => {
        $(if $number < $count {
            let $k = $number;
            $body
        })*
    };
}

mod backward;
mod forward;
mod gradient;

pub(super) use backward::{BackwardProduct, StepBackward};
pub(super) use forward::{Factor, InputProduct, StepForward};
pub(super) use gradient::{WeightGradient, tile_height};

use crate::Cpu;
use crate::parallel::Team;
use crate::simd::Simd;
use std::ops::Range;

/// Units of a panel of weights: a cache line of them.
pub(super) const fn panel<F>() -> usize {
    64 / size_of::<F>()
}

/// Multiply-adds from which on the threads share a product: some microseconds of one of them.
pub(super) const SHARED: usize = 1 << 18;
/// So many times as much has to be done where both operands were just written, by one thread: the others first get
/// them from its cache.
const FRESH: usize = 16;
/// Bytes of operands that stay in a core's own cache while the others pass by.
pub(super) const NEAR: usize = 1 << 19;

/// Who calculates a product: this thread, or all of them where nothing else is being done.
#[derive(Clone, Copy)]
pub(super) struct Crew<'a> {
    team: Option<&'a Team>,
    pub(super) simd: Simd,
}

impl<'a> Crew<'a> {
    /// For a task that is one of `blocks`.
    pub(super) fn of(cpu: &'a Cpu, blocks: usize) -> Self {
        Self { team: (blocks == 1).then_some(&cpu.team), simd: cpu.simd }
    }

    /// Calls `part` with ranges of at most `size` that cover all `panels` once, for a product of `work`
    /// multiply-adds.
    fn panels(self, panels: usize, size: usize, work: usize, part: impl Fn(Range<usize>) + Sync) {
        let (size, parts) = (size.max(1), panels.div_ceil(size.max(1)));
        let part = |i: usize| part(i * size..panels.min((i + 1) * size));
        match self.team {
            Some(team) if work >= SHARED => team.run(parts, &part),
            _ => (0..parts).for_each(part),
        }
    }
}

/// # Safety
/// So many elements from there on can be read.
#[inline(always)]
unsafe fn load<F: Copy, const LANES: usize>(from: *const F) -> [F; LANES] {
    // SAFETY: as this function's; an array has the alignment of its elements.
    unsafe { from.cast::<[F; LANES]>().read() }
}

/// # Safety
/// So many elements from there on can be written.
#[inline(always)]
unsafe fn store<F: Copy, const LANES: usize>(to: *mut F, values: [F; LANES]) {
    // SAFETY: as this function's.
    unsafe { to.cast::<[F; LANES]>().write(values) }
}

/// Asks for a cache line that is needed soon; any address will do. One that is `FAR` off in time does not go into the
/// innermost cache.
#[inline(always)]
fn prefetch<const FAR: bool, T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it has no effect but on the caches, and every processor of this architecture has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if FAR { _mm_prefetch::<_MM_HINT_T1>(at.cast()) } else { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

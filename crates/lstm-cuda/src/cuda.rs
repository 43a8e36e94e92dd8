//! The device as a backend: memory, launches, and phases that are captured once and replayed.

use crate::buffer::CudaBuffer;
use crate::runtime::{Address, Arg, Launch, Plain, Runtime};
use lstm_tensor::{Element, Error, Result, Span};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads of a block, at most.
pub(crate) const BLOCK: usize = 256;
/// Threads of a warp.
pub(crate) const WARP: usize = 32;

/// A CUDA device, reached through a [`Runtime`].
///
/// All operations go to one stream. Results are the same, bit for bit, in every run.
pub struct Cuda<R: Runtime> {
    pub(crate) runtime: R,
    /// Parts of sums between their two stages. Locked until both are asked for, so that those of two
    /// threads do not mix.
    parts: Mutex<Parts<R>>,
    /// Memory that the phase being captured uses.
    captured: Mutex<Option<Vec<Arc<R::Memory>>>>,
}

/// Room for parts of sums.
pub(crate) struct Parts<R: Runtime> {
    memory: Arc<R::Memory>,
    pub(crate) address: Address,
}

impl<R: Runtime> Parts<R> {
    /// Bytes of the room.
    pub(crate) const BYTES: usize = 1 << 19;
}

/// Work that was captured by [`Cuda::capture`]; keeps the memory that it uses.
pub struct Phase<R: Runtime> {
    graph: R::Graph,
    /// Behind the graph, so that it is freed after it.
    _memory: Vec<Arc<R::Memory>>,
}

impl<R: Runtime> Cuda<R> {
    /// A backend on a device.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not even room for the parts of sums.
    pub fn new(runtime: R) -> Result<Self> {
        let memory = Arc::new(runtime.allocate(Parts::<R>::BYTES)?);
        let parts = Mutex::new(Parts { address: runtime.address(&memory), memory });
        Ok(Self { runtime, parts, captured: Mutex::new(None) })
    }

    /// The device itself.
    pub fn runtime(&self) -> &R {
        &self.runtime
    }

    /// Captures what `phase` asks of this backend instead of running it: one of the two phases of a
    /// training step, or both. It must neither allocate nor upload, download or wait; whatever else is
    /// asked of this backend meanwhile, from any thread, becomes part of it.
    ///
    /// # Errors
    /// Those of the phase; [`Error::Device`] for what cannot be captured.
    pub fn capture(&self, phase: impl FnOnce(&Self) -> Result<()>) -> Result<Phase<R>> {
        self.runtime.begin_capture()?;
        *lock(&self.captured) = Some(Vec::new());
        let asked = phase(self);
        let memory = lock(&self.captured).take().unwrap_or_default();
        let graph = self.runtime.end_capture();
        asked?;
        Ok(Phase { graph: graph?, _memory: memory })
    }

    /// Runs a captured phase on what its buffers hold now.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn replay(&self, phase: &Phase<R>) -> Result<()> {
        // SAFETY: the phase shares the ownership of all memory that it uses.
        unsafe { self.runtime.replay(&phase.graph) }
    }

    /// Whether a phase is being captured, so that nothing can be asked back from the device.
    pub(crate) fn captures(&self) -> bool {
        lock(&self.captured).is_some()
    }

    /// A buffer of `len` zeros.
    pub(crate) fn zeros<E: Element>(&self, len: usize) -> Result<CudaBuffer<R, E>> {
        let bytes = len.checked_mul(size_of::<E>()).ok_or(Error::Memory { bytes: usize::MAX, free: None })?;
        let memory = self.runtime.allocate(bytes.max(1))?;
        let address = self.runtime.address(&memory);
        // SAFETY: the memory was allocated with at least so many bytes.
        unsafe { self.runtime.clear(address, bytes)? };
        Ok(CudaBuffer { memory: Arc::new(memory), address, len, elements: PhantomData })
    }

    /// Where a buffer starts. A phase that is being captured keeps the buffer's memory.
    pub(crate) fn at<E: Element>(&self, buffer: &CudaBuffer<R, E>) -> Address {
        self.keep(&buffer.memory);
        buffer.address
    }

    /// The room for parts of sums, until they have been added up.
    pub(crate) fn parts(&self) -> MutexGuard<'_, Parts<R>> {
        let parts = lock(&self.parts);
        self.keep(&parts.memory);
        parts
    }

    fn keep(&self, memory: &Arc<R::Memory>) {
        if let Some(kept) = lock(&self.captured).as_mut()
            && !kept.iter().any(|known| Arc::ptr_eq(known, memory))
        {
            kept.push(Arc::clone(memory));
        }
    }

    /// Starts a kernel, unless there is nothing to do.
    ///
    /// # Safety
    /// As [`Runtime::launch`]; the memory is that of buffers asked for by [`Cuda::at`].
    pub(crate) unsafe fn launch(&self, kernel: &'static str, over: Threads, args: &[Arg]) -> Result<()> {
        let Threads { grid, block, shared } = over;
        if grid.contains(&0) {
            return Ok(());
        }
        // SAFETY: the caller's.
        unsafe { self.runtime.launch(&Launch { kernel, grid, block, shared }, args) }
    }
}

/// The guarded value; a thread that panicked while it held one leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Grid, block and bytes of shared memory. No count below can pass 32 bits: device memory has not so many
/// elements that a grid of blocks over them would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared: u32,
}

impl Threads {
    /// One thread for each of `count` elements.
    pub(crate) fn each(count: usize) -> Self {
        let block = Self::block(count);
        Self { grid: [count.div_ceil(block) as u32, 1, 1], block: [block as u32, 1, 1], shared: 0 }
    }

    /// Threads of a block over `count` elements: whole warps.
    pub(crate) fn block(count: usize) -> usize {
        count.next_multiple_of(WARP).clamp(WARP, BLOCK)
    }
}

/// A rectangle as kernels take it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct DeviceSpan {
    offset: u64,
    rows: u64,
    cols: u64,
    row_stride: u64,
    col_stride: u64,
}

// SAFETY: five numbers of 64 bits, as `struct Span` of span.cuh has them.
unsafe impl Plain for DeviceSpan {}

impl From<Span> for DeviceSpan {
    fn from(span: Span) -> Self {
        let Span { offset, rows, cols, row_stride, col_stride } = span;
        Self {
            offset: offset as u64,
            rows: rows as u64,
            cols: cols as u64,
            row_stride: row_stride as u64,
            col_stride: col_stride as u64,
        }
    }
}

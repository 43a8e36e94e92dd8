//! The device as a backend: memory, and commands that are done at once or gathered as a phase.

use crate::buffer::CudaBuffer;
use crate::phase::{Command, Phases};
use crate::runtime::{Address, Arg, Gemm, Launch, Plain, Runtime};
use lstm_tensor::{Element, Error, KernelChoice, Result, Span};
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
    /// What [`KernelChoice::Auto`] means.
    pub(crate) preferred: KernelChoice,
    /// Parts of sums between their two stages. Locked until both are asked for, so that those of two
    /// threads do not mix.
    parts: Mutex<Parts<R>>,
    phases: Mutex<Phases<R>>,
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

impl<R: Runtime> Cuda<R> {
    /// A backend on a device.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not even room for the parts of sums.
    pub fn new(runtime: R) -> Result<Self> {
        let memory = Arc::new(runtime.allocate(Parts::<R>::BYTES)?);
        let parts = Mutex::new(Parts { address: runtime.address(&memory), memory });
        Ok(Self { runtime, preferred: KernelChoice::Auto, parts, phases: Mutex::default() })
    }

    /// The same device, where [`KernelChoice::Auto`] means this path.
    #[must_use]
    pub fn preferring(self, kernel: KernelChoice) -> Self {
        Self { preferred: kernel, ..self }
    }

    /// The device itself.
    pub fn runtime(&self) -> &R {
        &self.runtime
    }

    /// Runs one phase of a training step: what `run` asks of this backend is gathered, then recorded as a
    /// graph or, where the same was recorded before, replayed. A phase must neither allocate nor upload,
    /// download or wait. What other threads ask meanwhile is done at once. If the phase fails, nothing of it
    /// is done on the device.
    pub(crate) fn gather<E: From<Error>>(
        &self,
        run: impl FnOnce(&Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if !lock(&self.phases).start() {
            return run(self);
        }
        let gathered = Gathered(self);
        run(self)?;
        // What is replayed uses the room for parts of sums, which another thread may be filling.
        let _parts = lock(&self.parts);
        let done = lock(&self.phases).replay(&self.runtime);
        drop(gathered);
        Ok(done?)
    }

    /// How often a phase was recorded since the backend was made; all others were replayed.
    #[must_use]
    pub fn recordings(&self) -> u64 {
        lock(&self.phases).recordings()
    }

    /// Whether a phase is being gathered, so that nothing can be asked back from the device.
    pub(crate) fn gathers(&self) -> bool {
        lock(&self.phases).gathers()
    }

    /// Does what cannot be part of a phase, while nobody records one.
    pub(crate) fn outside_phase<T>(&self, op: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let phases = lock(&self.phases);
        if phases.gathers() {
            let message = "cannot be part of a phase that is recorded and replayed".to_owned();
            return Err(Error::Device { op, message });
        }
        run()
    }

    /// A buffer of `len` zeros.
    pub(crate) fn zeros<E: Element>(&self, len: usize) -> Result<CudaBuffer<R, E>> {
        let bytes = len.checked_mul(size_of::<E>()).ok_or(Error::Memory { bytes: usize::MAX, free: None })?;
        self.outside_phase("allocate", || {
            let memory = self.runtime.allocate(bytes.max(1))?;
            let address = self.runtime.address(&memory);
            // SAFETY: the memory was allocated with at least so many bytes.
            unsafe { self.runtime.clear(address, bytes)? };
            Ok(CudaBuffer { memory: Arc::new(memory), address, len, elements: PhantomData })
        })
    }

    /// Where a buffer starts. A phase that is being gathered keeps the buffer's memory.
    pub(crate) fn at<E: Element>(&self, buffer: &CudaBuffer<R, E>) -> Address {
        lock(&self.phases).keep(buffer.address, &buffer.memory);
        buffer.address
    }

    /// The room for parts of sums, until they have been added up.
    pub(crate) fn parts(&self) -> MutexGuard<'_, Parts<R>> {
        let parts = lock(&self.parts);
        lock(&self.phases).keep(parts.address, &parts.memory);
        parts
    }

    /// Starts a kernel, unless there is nothing to do.
    ///
    /// # Safety
    /// As [`Runtime::launch`]; the memory is that of buffers asked for by [`Cuda::at`].
    pub(crate) unsafe fn launch(&self, kernel: &'static str, over: Threads, args: &[Arg]) -> Result<()> {
        let Threads { grid, block, shared } = over;
        // SAFETY: the caller's.
        unsafe { self.start(Launch { kernel, grid, block, shared, cooperative: false }, args) }
    }

    /// Starts a kernel whose blocks wait for each other.
    ///
    /// # Safety
    /// As [`Cuda::launch`].
    pub(crate) unsafe fn launch_together(
        &self,
        kernel: &'static str,
        over: Threads,
        args: &[Arg],
    ) -> Result<()> {
        let Threads { grid, block, shared } = over;
        // SAFETY: the caller's.
        unsafe { self.start(Launch { kernel, grid, block, shared, cooperative: true }, args) }
    }

    /// # Safety
    /// As [`Cuda::launch`].
    unsafe fn start(&self, launch: Launch, args: &[Arg]) -> Result<()> {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        // SAFETY: the caller's.
        unsafe { self.submit(Command::Launch(launch, 0..args.len()), args) }
    }

    /// Multiplies matrices.
    ///
    /// # Safety
    /// As [`Runtime::gemm`]; the memory is that of buffers asked for by [`Cuda::at`]. So for both below.
    pub(crate) unsafe fn multiply(&self, product: Gemm) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.submit(Command::Gemm(product), &[]) }
    }

    /// Copies bytes on the device.
    ///
    /// # Safety
    /// As [`Runtime::copy`].
    pub(crate) unsafe fn copy_bytes(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.submit(Command::Copy { from, to, bytes }, &[]) }
    }

    /// Sets bytes to zero.
    ///
    /// # Safety
    /// As [`Runtime::clear`].
    pub(crate) unsafe fn clear_bytes(&self, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.submit(Command::Clear { to, bytes }, &[]) }
    }

    /// Does something at once, or adds it to the phase that this thread gathers.
    ///
    /// # Safety
    /// As [`Command::run`].
    unsafe fn submit(&self, command: Command, args: &[Arg]) -> Result<()> {
        let mut phases = lock(&self.phases);
        if phases.gathers() {
            phases.push(command, args);
            return Ok(());
        }
        // The lock is held, so that it does not become part of what another thread records.
        // SAFETY: the caller's.
        unsafe { command.run(&self.runtime, args) }
    }
}

/// Ends the gathering of a phase, whatever became of it.
struct Gathered<'a, R: Runtime>(&'a Cuda<R>);

impl<R: Runtime> Drop for Gathered<'_, R> {
    fn drop(&mut self) {
        lock(&self.0.phases).forget();
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

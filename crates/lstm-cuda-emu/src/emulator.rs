//! The emulator as a run time: device memory is host memory, and everything runs at once.

use crate::gemm;
use crate::kernel::{self, Argument, Schedule};
use lstm_cuda::Runtime;
use lstm_cuda::runtime::{Address, Arg, Gemm, Launch, Room};
use lstm_tensor::{Error, Result};
use std::alloc::Layout;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Alignment of device memory.
const ALIGNMENT: usize = 256;
/// What fresh memory holds: every float made of it is NaN.
const POISON: u8 = 0xFF;

/// That of an H100.
const ROOM: Room = Room { shared: 227 << 10, cluster: 16, blocks: 132 };

/// An emulated device.
pub struct Emulator {
    schedule: Schedule,
    /// Bytes of memory in all, where there is an end to them.
    memory: Option<usize>,
    room: Room,
    /// Bytes that are allocated.
    used: Arc<AtomicUsize>,
    /// Held while anything runs, so that the device does one thing after another.
    recording: Mutex<Option<Vec<Work>>>,
    /// Names of kernels that have run.
    launched: Mutex<BTreeSet<&'static str>>,
}

/// Something that a device does in its stream's order.
enum Work {
    Copy { from: Address, to: Address, bytes: usize },
    Clear { to: Address, bytes: usize },
    Launch { launch: Launch, arguments: Vec<Argument> },
    Gemm(Gemm),
}

/// Memory of an [`Emulator`].
pub struct Memory {
    start: *mut u8,
    layout: Layout,
    /// That of the emulator.
    used: Arc<AtomicUsize>,
}

// SAFETY: the memory belongs to this value alone; what reads and writes it does so under the emulator's
// lock.
unsafe impl Send for Memory {}
// SAFETY: a shared reference gives nothing but the address.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing runs later than it was asked for.
        unsafe { std::alloc::dealloc(self.start, self.layout) };
        self.used.fetch_sub(self.layout.size(), Ordering::Relaxed);
    }
}

/// A recorded phase.
pub struct Graph(Vec<Work>);

impl Graph {
    /// Number of launches, products and copies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Emulator {
    /// A device that runs its threads in this order.
    #[must_use]
    pub fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            memory: None,
            room: ROOM,
            used: Arc::default(),
            recording: Mutex::default(),
            launched: Mutex::default(),
        }
    }

    /// Takes the names of the kernels that have run since this was last called.
    #[must_use]
    pub fn take_launched(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut *lock(&self.launched))
    }

    /// The same device with so many bytes of memory.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { memory: Some(bytes), ..self }
    }

    /// The same device with as much room on the chip.
    #[must_use]
    pub fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    fn recording(&self) -> MutexGuard<'_, Option<Vec<Work>>> {
        lock(&self.recording)
    }

    /// The stream, for something that a recorded phase cannot hold.
    fn alone(&self, op: &'static str) -> Result<MutexGuard<'_, Option<Vec<Work>>>> {
        let recording = self.recording();
        match *recording {
            None => Ok(recording),
            Some(_) => Err(Error::Device { op, message: "cannot be part of a captured phase".into() }),
        }
    }

    /// Does the work.
    ///
    /// # Safety
    /// All memory that it reads and writes lives, and nothing else uses it meanwhile.
    unsafe fn run(&self, work: &Work) -> Result<()> {
        // SAFETY: the caller's promise; addresses of this device are addresses of the host.
        unsafe {
            match work {
                Work::Copy { from, to, bytes } => {
                    std::ptr::copy_nonoverlapping(from.0 as *const u8, to.0 as *mut u8, *bytes);
                }
                Work::Clear { to, bytes } => std::ptr::write_bytes(to.0 as *mut u8, 0, *bytes),
                Work::Launch { launch, arguments } => {
                    lock(&self.launched).insert(launch.kernel);
                    if launch.shared as usize > self.room.shared {
                        let message =
                            format!("{} bytes of shared memory, {} at most", launch.shared, self.room.shared);
                        return Err(Error::Device { op: launch.kernel, message });
                    }
                    kernel::run(launch, arguments, self.schedule, self.room)
                        .map_err(|message| Error::Device { op: launch.kernel, message })?;
                }
                Work::Gemm(product) => gemm::gemm(product),
            }
        }
        Ok(())
    }

    /// Does the work, or records it.
    ///
    /// # Safety
    /// As [`Emulator::run`].
    unsafe fn submit(&self, work: Work) -> Result<()> {
        let mut recording = self.recording();
        if let Some(recorded) = recording.as_mut() {
            recorded.push(work);
            return Ok(());
        }
        // SAFETY: the caller's promise; the lock is held.
        unsafe { self.run(&work) }
    }
}

impl Runtime for Emulator {
    type Memory = Memory;
    type Graph = Graph;

    fn name(&self) -> &'static str {
        "cuda (emulated)"
    }

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        let _stream = self.alone("allocate")?;
        // Under the lock nobody else allocates.
        let free = self.memory.map(|all| all.saturating_sub(self.used.load(Ordering::Relaxed)));
        let out = || Error::Memory { bytes, free };
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|_| out())?;
        if free.is_some_and(|free| layout.size() > free) {
            return Err(out());
        }
        // SAFETY: the layout's size is not 0.
        let start = unsafe { std::alloc::alloc(layout) };
        if start.is_null() {
            return Err(out());
        }
        // SAFETY: just allocated with so many bytes.
        unsafe { std::ptr::write_bytes(start, POISON, layout.size()) };
        self.used.fetch_add(layout.size(), Ordering::Relaxed);
        Ok(Memory { start, layout, used: Arc::clone(&self.used) })
    }

    fn room(&self) -> Room {
        self.room
    }

    fn address(&self, memory: &Memory) -> Address {
        Address(memory.start as u64)
    }

    unsafe fn upload(&self, from: &[u8], to: Address) -> Result<()> {
        let _stream = self.alone("upload")?;
        // SAFETY: the caller's promise; device memory is never part of a slice of the host.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.0 as *mut u8, from.len()) };
        Ok(())
    }

    unsafe fn download(&self, from: Address, to: &mut [u8]) -> Result<()> {
        let _stream = self.alone("download")?;
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from.0 as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.submit(Work::Copy { from, to, bytes }) }
    }

    unsafe fn clear(&self, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.submit(Work::Clear { to, bytes }) }
    }

    unsafe fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<()> {
        let arguments = args.iter().map(|arg| Argument::new(arg.bytes())).collect();
        // SAFETY: the caller's promise.
        unsafe { self.submit(Work::Launch { launch: *launch, arguments }) }
    }

    unsafe fn gemm(&self, product: &Gemm) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.submit(Work::Gemm(*product)) }
    }

    fn synchronize(&self) -> Result<()> {
        self.alone("synchronize").map(|_| ())
    }

    fn begin_capture(&self) -> Result<()> {
        let mut recording = self.alone("begin_capture")?;
        *recording = Some(Vec::new());
        Ok(())
    }

    fn end_capture(&self) -> Result<Graph> {
        match self.recording().take() {
            Some(work) => Ok(Graph(work)),
            None => Err(Error::Device { op: "end_capture", message: "nothing is being captured".into() }),
        }
    }

    unsafe fn replay(&self, graph: &Graph) -> Result<()> {
        let _stream = self.alone("replay")?;
        // SAFETY: the caller's promise; the lock is held.
        graph.0.iter().try_for_each(|work| unsafe { self.run(work) })
    }
}

/// The guarded value; a thread that panicked while it held one leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

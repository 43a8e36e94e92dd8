//! A GPU through NVIDIA's driver: the [`Runtime`] that runs kernels on a device.
//!
//! One context, one stream of its own (the default stream cannot be recorded), kernels compiled for exactly
//! this device, cuBLAS with a workspace of ours. cudarc's tracking of events is off: with one stream the
//! order of the calls is the order of the work.
//!
//! **Not yet run on a device.** What can be tested without one is: the compiler, the cache, the checks.

mod blas;
mod cache;
pub mod compile;
pub(crate) mod library;
mod memory;

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::{CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, sys};
use cudarc::nvrtc::Ptx;
use lstm_tensor::{Error, Result};

use self::blas::Blas;
pub use self::memory::Memory;
use self::memory::Owner;
use crate::runtime::{Address, Arg, Gemm, Launch, Room, Runtime};
use crate::{kernels, probe};

/// Arguments that a kernel may have.
const MOST_ARGS: usize = 64;

/// Shared memory that a block may have without asking for more.
const PLAIN_SHARED: u32 = 48 * 1024;

/// Blocks of a cluster, where a kernel asks for more than every device allows.
const WIDE_CLUSTER: usize = 16;

/// A GPU.
#[derive(Debug)]
pub struct Driver {
    // Fields are dropped in this order: what uses the context before the context.
    blas: Mutex<Blas>,
    functions: Mutex<HashMap<&'static str, Function>>,
    module: Arc<CudaModule>,
    owner: Arc<Owner>,
    name: String,
    room: Room,
}

/// A kernel that is loaded.
#[derive(Debug)]
struct Function {
    function: CudaFunction,
    /// Dynamic shared memory that it was told it may have.
    shared: u32,
}

/// A recorded phase.
#[derive(Debug)]
pub struct Graph(Mutex<Recorded>);

struct Recorded(CudaGraph);

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorded")
    }
}

// SAFETY: the driver's calls on a graph may come from any thread, if one at a time; the mutex around it sees
// to that, and destruction needs the only reference.
unsafe impl Send for Recorded {}

impl Driver {
    /// The GPU of this number, with all kernels compiled or taken from the user's cache.
    ///
    /// # Errors
    /// [`Error::Device`] where something is missing, with what to install; where there is no such device;
    /// where kernels do not compile. [`Error::Memory`].
    pub fn new(ordinal: usize) -> Result<Self> {
        let op = "open a CUDA device";
        let report = probe::probe();
        let missing = report.missing();
        if !missing.is_empty() {
            return Err(Error::Device { op, message: missing.join("; ") });
        }
        let Some(device) = report.devices.get(ordinal) else {
            let message = format!("there is no device {ordinal}, only {} in all", report.devices.len());
            return Err(Error::Device { op, message });
        };

        let image = compile::machine_code(&kernels::source(), device.capability, report.compiler())?;

        let context = CudaContext::new(ordinal).map_err(|e| refused(op, e))?;
        // SAFETY: all that this context holds is used on one stream, so no event is ever to be waited for.
        unsafe { context.disable_event_tracking() };
        let most = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let shared = context.attribute(most).map_err(|e| refused(op, e))?;
        // Clusters came with 9.0; chips for servers allow 16 blocks, others 8.
        let cluster = match device.capability {
            (..9, _) => 1,
            (9 | 10, 0) => WIDE_CLUSTER,
            _ => 8,
        };
        let multiprocessors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let blocks = context.attribute(multiprocessors).map_err(|e| refused(op, e))?;
        let together = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH;
        let together = context.attribute(together).map_err(|e| refused(op, e))?;
        let [shared, blocks] = [shared, together * blocks].map(|count| usize::try_from(count).unwrap_or(0));
        let room = Room { shared, cluster, blocks };
        let stream = context.new_stream().map_err(|e| refused(op, e))?;
        let module = context.load_module(Ptx::from_binary(image)).map_err(|e| refused("load kernels", e))?;
        let owner = Arc::new(Owner::new(stream));
        let blas = Blas::new(&owner)?;
        let name = format!("cuda:{ordinal}, {}", device.name);
        Ok(Self { blas: Mutex::new(blas), functions: Mutex::default(), module, owner, name, room })
    }

    /// Number and name of the device, `"cuda:0, NVIDIA H200"`.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.name
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.owner.stream()
    }

    /// The stream for a call named `op`, with the context bound to this thread.
    fn bound(&self, op: &'static str) -> Result<sys::CUstream> {
        self.owner.bind(op)?;
        Ok(self.stream().cu_stream())
    }

    /// The kernel of `launch`, loaded and allowed as much shared memory as it wants.
    fn function(&self, launch: &Launch) -> Result<sys::CUfunction> {
        let mut functions = lock(&self.functions);
        if !functions.contains_key(launch.kernel) {
            let function = self.module.load_function(launch.kernel).map_err(|e| failed(launch, e))?;
            if self.room.cluster == WIDE_CLUSTER {
                // Without it a cluster has 8 blocks at most.
                let attribute =
                    sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED;
                function.set_attribute(attribute, 1).map_err(|e| failed(launch, e))?;
            }
            functions.insert(launch.kernel, Function { function, shared: PLAIN_SHARED });
        }
        let Some(entry) = functions.get_mut(launch.kernel) else {
            return Err(Error::Device { op: launch.kernel, message: "kernel was not loaded".to_owned() });
        };
        let handle = entry.function.cu_function();
        if launch.shared > entry.shared {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let wanted = i32::try_from(launch.shared).unwrap_or(i32::MAX);
            entry.function.set_attribute(attribute, wanted).map_err(|e| failed(launch, e))?;
            entry.shared = launch.shared;
        }
        Ok(handle)
    }
}

impl Runtime for Driver {
    type Memory = Memory;
    type Graph = Graph;

    fn name(&self) -> &'static str {
        "cuda"
    }

    fn room(&self) -> Room {
        self.room
    }

    fn allocate(&self, bytes: usize) -> Result<Memory> {
        Memory::new(&self.owner, bytes)
    }

    fn address(&self, memory: &Memory) -> Address {
        Address(memory.address())
    }

    unsafe fn upload(&self, from: &[u8], to: Address) -> Result<()> {
        let op = "upload";
        self.owner.not_recording(op)?;
        let stream = self.bound(op)?;
        // SAFETY: the caller vouches for `to`. Pageable memory is staged before the call returns, so that
        // `from` may go.
        unsafe { result::memcpy_htod_async(to.0, from, stream) }.map_err(|e| sized(op, from.len(), e))
    }

    unsafe fn download(&self, from: Address, to: &mut [u8]) -> Result<()> {
        let op = "download";
        self.owner.not_recording(op)?;
        let stream = self.bound(op)?;
        let bytes = to.len();
        // SAFETY: the caller vouches for `from`; `to` is borrowed until the stream has been waited for.
        unsafe { result::memcpy_dtoh_async(to, from.0, stream) }.map_err(|e| sized(op, bytes, e))?;
        self.stream().synchronize().map_err(|e| refused(op, e))
    }

    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        let stream = self.bound("copy")?;
        // SAFETY: the caller vouches for both ranges.
        unsafe { result::memcpy_dtod_async(to.0, from.0, bytes, stream) }.map_err(|e| sized("copy", bytes, e))
    }

    unsafe fn clear(&self, to: Address, bytes: usize) -> Result<()> {
        let stream = self.bound("clear")?;
        // SAFETY: the caller vouches for the range.
        unsafe { result::memset_d8_async(to.0, 0, bytes, stream) }.map_err(|e| sized("clear", bytes, e))
    }

    unsafe fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<()> {
        let stream = self.bound(launch.kernel)?;
        let function = self.function(launch)?;
        // On the stack: a step of training must not allocate.
        let mut params = [std::ptr::null_mut::<c_void>(); MOST_ARGS];
        let Some(filled) = params.get_mut(..args.len()) else {
            let message = format!("{} arguments, at most {MOST_ARGS} are passed on", args.len());
            return Err(Error::Device { op: launch.kernel, message });
        };
        for (param, arg) in filled.iter_mut().zip(args) {
            *param = arg.bytes().as_ptr().cast_mut().cast();
        }
        let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
        let start =
            if launch.cooperative { result::launch_cooperative_kernel } else { result::launch_kernel };
        // SAFETY: the caller vouches for the arguments, which the driver copies and does not write; function
        // and stream live as long as `self`.
        unsafe { start(function, (gx, gy, gz), (bx, by, bz), launch.shared, stream, filled) }
            .map_err(|e| failed(launch, e))
    }

    unsafe fn gemm(&self, product: &Gemm) -> Result<()> {
        self.bound("gemm")?;
        // SAFETY: the caller vouches for the operands.
        unsafe { lock(&self.blas).gemm(product) }
    }

    fn synchronize(&self) -> Result<()> {
        self.owner.not_recording("synchronize")?;
        self.stream().synchronize().map_err(|e| refused("synchronize", e))
    }

    fn begin_capture(&self) -> Result<()> {
        let op = "begin capture";
        self.owner.start_recording(op, || {
            // Other threads may go on with their own devices meanwhile.
            self.stream().begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        })
    }

    fn end_capture(&self) -> Result<Graph> {
        let op = "end capture";
        let graph =
            self.owner.stop_recording(op, || self.stream().end_capture(sys::CUgraphInstantiate_flags(0)))?;
        let graph = graph.ok_or_else(|| Error::Device { op, message: "nothing was recorded".to_owned() })?;
        // So that the first replay is as fast as the others.
        graph.upload().map_err(|e| refused(op, e))?;
        Ok(Graph(Mutex::new(Recorded(graph))))
    }

    unsafe fn replay(&self, graph: &Graph) -> Result<()> {
        let op = "replay";
        self.owner.not_recording(op)?;
        lock(&graph.0).0.launch().map_err(|e| refused(op, e))
    }
}

/// What a mutex guards; a thread that panicked while it held it changed nothing half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that the driver refused.
fn refused(op: &'static str, error: DriverError) -> Error {
    Error::Device { op, message: error.to_string() }
}

/// A transfer that the driver refused.
fn sized(op: &'static str, bytes: usize, error: DriverError) -> Error {
    Error::Device { op, message: format!("{bytes} bytes: {error}") }
}

/// A launch that the driver refused.
fn failed(launch: &Launch, error: DriverError) -> Error {
    let Launch { kernel, grid, block, shared, .. } = launch;
    let message = format!("grid {grid:?}, block {block:?}, {shared} bytes of shared memory: {error}");
    Error::Device { op: kernel, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_device_opening_one_says_what_is_missing() {
        if probe::probe().is_usable() {
            return;
        }
        let error = Driver::new(0).unwrap_err().to_string();
        assert!(error.starts_with("open a CUDA device: "), "{error}");
        assert!(error.contains("install") || error.contains("no GPU"), "{error}");
    }

    #[test]
    fn memory_errors_say_wanted_and_free() {
        let text = Error::Memory { bytes: 4096, free: Some(1024) }.to_string();
        assert!(text.contains("4096 bytes wanted, 1024 free") && text.contains("lower the batch"), "{text}");
    }
}

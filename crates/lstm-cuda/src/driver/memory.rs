//! Device memory: the one place where it is allocated and freed.

use std::sync::{Arc, Mutex};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::{CudaStream, sys};
use lstm_tensor::{Error, Result};

use super::{lock, refused};

/// The stream on which memory is used, with its context, and whether it records.
#[derive(Debug)]
pub(super) struct Owner {
    recording: Mutex<Recording>,
    stream: Arc<CudaStream>,
}

/// Whether the stream records, and memory that was dropped meanwhile: freeing it would spoil the recording.
#[derive(Debug, Default)]
struct Recording {
    on: bool,
    dropped: Vec<sys::CUdeviceptr>,
}

impl Owner {
    pub(super) fn new(stream: Arc<CudaStream>) -> Self {
        Self { recording: Mutex::default(), stream }
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Makes the context that of this thread.
    pub(super) fn bind(&self, op: &'static str) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|e| refused(op, e))
    }

    /// An error while the stream records.
    pub(super) fn not_recording(&self, op: &'static str) -> Result<()> {
        if lock(&self.recording).on {
            return Err(Error::Device { op, message: "not while a phase is recorded".to_owned() });
        }
        Ok(())
    }

    /// Records from `begin` on.
    pub(super) fn start_recording(
        &self,
        op: &'static str,
        begin: impl FnOnce() -> std::result::Result<(), DriverError>,
    ) -> Result<()> {
        let mut recording = lock(&self.recording);
        if recording.on {
            return Err(Error::Device { op, message: "a phase is recorded already".to_owned() });
        }
        begin().map_err(|e| refused(op, e))?;
        recording.on = true;
        Ok(())
    }

    /// Records until `end`, and frees what was dropped meanwhile. A stream whose recording failed does not
    /// record any more either.
    pub(super) fn stop_recording<T>(
        &self,
        op: &'static str,
        end: impl FnOnce() -> std::result::Result<T, DriverError>,
    ) -> Result<T> {
        let mut recording = lock(&self.recording);
        if !recording.on {
            return Err(Error::Device { op, message: "no phase is recorded".to_owned() });
        }
        let outcome = end().map_err(|e| refused(op, e));
        recording.on = false;
        for address in recording.dropped.drain(..) {
            self.free(address);
        }
        outcome
    }

    /// Frees memory after everything that was asked for before.
    fn free(&self, address: sys::CUdeviceptr) {
        let context = self.stream.context();
        // Waiting is what makes this order certain. Failures surface at the context's next call.
        context.record_err(self.stream.synchronize());
        // SAFETY: allocated by `Memory::new`, freed once: here, by its drop or after a recording.
        context.record_err(unsafe { result::free_sync(address) });
    }
}

/// Bytes on the device.
#[derive(Debug)]
pub struct Memory {
    address: sys::CUdeviceptr,
    owner: Arc<Owner>,
}

impl Memory {
    /// `bytes` bytes with any contents; the driver aligns them to 256 bytes at least.
    pub(super) fn new(owner: &Arc<Owner>, bytes: usize) -> Result<Self> {
        let op = "allocate";
        owner.not_recording(op)?;
        owner.bind(op)?;
        // SAFETY: whoever reads the contents has written them before, as the trait says; `drop` frees them.
        let allocated = unsafe { result::malloc_sync(bytes) };
        let address = allocated.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Error::Memory { bytes, free: result::mem_get_info().ok().map(|(free, _)| free) }
            }
            _ => super::sized(op, bytes, error),
        })?;
        Ok(Self { address, owner: Arc::clone(owner) })
    }

    pub(super) fn address(&self) -> sys::CUdeviceptr {
        self.address
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut recording = lock(&self.owner.recording);
        if recording.on {
            recording.dropped.push(self.address);
        } else {
            self.owner.free(self.address);
        }
    }
}

//! Launches of the compiled kernels.

use lstm_cuda::runtime::{Launch, Room};
use std::ffi::{CStr, CString, c_char, c_uint, c_void};

/// In which order threads run between barriers. Kernels must give the same bits under all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Blocks and threads one after another.
    InOrder,
    /// The last block and thread first.
    Reverse,
    /// Warps of several blocks drift apart as far as barriers allow, each launch alike for a seed.
    Skewed(u32),
}

impl Schedule {
    /// As launch.cpp numbers them.
    fn number(self) -> u64 {
        match self {
            Self::InOrder => 0,
            Self::Reverse => 1,
            Self::Skewed(seed) => 2 + u64::from(seed),
        }
    }
}

/// The bytes of one argument, aligned to 8 as kernels may read them.
pub(crate) struct Argument {
    words: Vec<u64>,
    bytes: usize,
}

impl Argument {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        for (word, part) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..part.len()].copy_from_slice(part);
            *word = u64::from_ne_bytes(whole);
        }
        Self { words, bytes: bytes.len() }
    }
}

unsafe extern "C" {
    /// Null, or what went wrong, valid until the next launch on this thread.
    fn emu_launch(
        name: *const c_char,
        grid: *const c_uint,
        block: *const c_uint,
        shared: c_uint,
        arguments: *mut *mut c_void,
        sizes: *const c_uint,
        count: c_uint,
        schedule: u64,
        widest: c_uint,
        together: c_uint,
    ) -> *const c_char;
}

/// Runs a kernel to its end on a device with this room.
///
/// # Errors
/// What the emulator found: no such kernel, other arguments than its own, a deadlock, divergence.
///
/// # Safety
/// All that the kernel reads and writes through its arguments is memory that lives.
pub(crate) unsafe fn run(
    launch: &Launch,
    arguments: &[Argument],
    schedule: Schedule,
    room: Room,
) -> Result<(), String> {
    let name = CString::new(launch.kernel).map_err(|e| e.to_string())?;
    let mut pointers: Vec<*mut c_void> =
        arguments.iter().map(|a| a.words.as_ptr().cast_mut().cast()).collect();
    let sizes: Vec<c_uint> = arguments.iter().map(|a| a.bytes as c_uint).collect();
    // SAFETY: the pointers and sizes are those of `arguments`, which live and are not written; kernels take
    // their arguments by value, after number and sizes were compared. The rest is the caller's promise.
    let answer = unsafe {
        let (grid, block) = (launch.grid.as_ptr(), launch.block.as_ptr());
        let count = sizes.len() as c_uint;
        let (pointers, sizes) = (pointers.as_mut_ptr(), sizes.as_ptr());
        let (shared, schedule, widest) = (launch.shared, schedule.number(), room.cluster as c_uint);
        let together = if launch.cooperative { room.blocks as c_uint } else { 0 };
        emu_launch(name.as_ptr(), grid, block, shared, pointers, sizes, count, schedule, widest, together)
    };
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: a text that ends with 0 and is valid until this thread's next launch.
    Err(unsafe { CStr::from_ptr(answer) }.to_string_lossy().into_owned())
}

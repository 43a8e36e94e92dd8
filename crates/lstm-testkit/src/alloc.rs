//! An allocator that counts, for tests that assert that a loop does not allocate.
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait; every call goes straight to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator with a count of all requests, of every thread.
///
/// ```text
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting::new();
/// ```
#[derive(Debug, Default)]
pub struct Counting {
    requests: AtomicUsize,
}

impl Counting {
    /// No requests yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { requests: AtomicUsize::new(0) }
    }

    /// Requests for new or larger memory so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: each method hands its arguments to `System` unchanged and returns its answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`; `at` came from `System`.
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

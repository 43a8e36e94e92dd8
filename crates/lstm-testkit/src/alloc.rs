//! An allocator that counts, for tests that assert that a loop does not allocate, or gives back what it took.
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait; every call goes straight to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator with a count of all requests, and of the bytes that are held, of every thread.
///
/// ```text
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting::new();
/// ```
#[derive(Debug, Default)]
pub struct Counting {
    requests: AtomicUsize,
    held: AtomicUsize,
    most: AtomicUsize,
}

impl Counting {
    /// No requests yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { requests: AtomicUsize::new(0), held: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }

    /// Requests for new or larger memory so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Bytes that were handed out and not given back yet.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// What `run` gives, and the most bytes that were held at once meanwhile, beyond those from before.
    pub fn most_during<T>(&self, run: impl FnOnce() -> T) -> (T, usize) {
        let before = self.held();
        self.most.store(before, Ordering::SeqCst);
        let out = run();
        (out, self.most.load(Ordering::SeqCst).saturating_sub(before))
    }

    /// Counts a request that was answered with `at`.
    fn count(&self, at: *mut u8, given_back: usize, taken: usize) -> *mut u8 {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if !at.is_null() {
            let held = self.held.fetch_add(taken, Ordering::SeqCst) + taken;
            self.most.fetch_max(held, Ordering::SeqCst);
            self.held.fetch_sub(given_back, Ordering::SeqCst);
        }
        at
    }
}

// SAFETY: each method hands its arguments to `System` unchanged and returns its answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        self.count(unsafe { System.alloc(layout) }, 0, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        self.count(unsafe { System.alloc_zeroed(layout) }, 0, layout.size())
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`; `at` came from `System`.
        self.count(unsafe { System.realloc(at, layout, new_size) }, layout.size(), new_size)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

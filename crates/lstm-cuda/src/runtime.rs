//! What the backend asks of a device: memory, copies, launches, matrix products, capture.
//!
//! Everything asked for runs in the order in which it was asked for (one stream). Only
//! [`Runtime::download`] and [`Runtime::synchronize`] wait.

pub use crate::kernels::sequence::Room;
use lstm_tensor::{Float, Result};

/// A place in device memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Address(pub u64);

impl Address {
    /// No place: what an absent operand of a kernel is.
    pub const NULL: Self = Self(0);

    /// The place `bytes` further on.
    #[must_use]
    pub const fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// Values that a kernel takes as an argument, byte by byte.
///
/// # Safety
/// The type is `repr(C)` or `repr(transparent)` or a primitive, has no padding, and its layout is the one
/// that the kernel's parameter has.
pub unsafe trait Plain: Copy {}

// SAFETY: a primitive or a transparent wrapper of one.
unsafe impl Plain for Address {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}

/// One argument of a kernel: the bytes of a value, aligned to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    words: [u64; Self::WORDS],
    bytes: usize,
}

impl Arg {
    /// The largest argument, in words of 8 bytes: a rectangle.
    const WORDS: usize = 5;

    /// The bytes of `value`.
    pub fn new<T: Plain>(value: T) -> Self {
        const { assert!(size_of::<T>() <= 8 * Self::WORDS && align_of::<T>() <= 8, "too large for an argument") };
        let mut words = [0; Self::WORDS];
        // SAFETY: a plain value has no padding, so all of its bytes are initialised; they fit the words.
        unsafe { words.as_mut_ptr().cast::<T>().write(value) };
        Self { words, bytes: size_of::<T>() }
    }

    /// Its bytes: what an entry of `kernelParams` points to.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the words have at least so many bytes, all of them initialised.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.bytes) }
    }
}

/// A kernel and how many threads run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Name of the entry point, `"map_f32"`.
    pub kernel: &'static str,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// Whether all blocks run at the same time, so that they may wait for each other.
    pub cooperative: bool,
}

/// Element type of a matrix product. Sums are calculated in the same type: never TF32 or half precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// `CUDA_R_32F` with `CUBLAS_COMPUTE_32F_PEDANTIC` or `CUBLAS_COMPUTE_32F`.
    F32,
    /// `CUDA_R_64F` with `CUBLAS_COMPUTE_64F`.
    F64,
}

impl Precision {
    /// That of an element type.
    #[must_use]
    pub const fn of<F: Float>() -> Self {
        if size_of::<F>() == 4 { Self::F32 } else { Self::F64 }
    }
}

/// An operand of a [`Gemm`]: element `(r, c)` lies `r leading + c` elements from `address`, or
/// `c leading + r` if transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Element (0, 0) of the first matrix.
    pub address: Address,
    /// Columns lie apart instead of rows.
    pub transposed: bool,
    /// Elements from one row (transposed: column) to the next; at least 1 and at least as many as a row
    /// (transposed: a column) has.
    pub leading: usize,
    /// Elements from one matrix of the batch to the next; 0 = shared.
    pub batch_stride: usize,
}

/// A matrix product `C = alpha A B + beta C` with `A [m, k]`, `B [k, n]`, `C [m, n]`, row-major.
///
/// cuBLAS is column-major: there it is `Cᵀ = alpha Bᵀ Aᵀ + beta Cᵀ`, with `m` and `n`, `A` and `B`
/// exchanged and all else as it stands here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Type of elements and sums.
    pub precision: Precision,
    /// Rows of `A` and `C`; at least 1.
    pub m: usize,
    /// Columns of `B` and `C`; at least 1.
    pub n: usize,
    /// Columns of `A`, rows of `B`; at least 1.
    pub k: usize,
    /// Factor of the product.
    pub alpha: f64,
    /// Factor of what `C` held; 0 overwrites `C` even where it holds NaN.
    pub beta: f64,
    /// Number of products; at least 1.
    pub batch: usize,
    /// Left operand.
    pub a: Matrix,
    /// Right operand.
    pub b: Matrix,
    /// Result; never transposed.
    pub c: Matrix,
}

/// A device with one stream.
///
/// Between [`Runtime::begin_capture`] and [`Runtime::end_capture`] launches, products, copies and fills on
/// the device are recorded, not run; allocation, upload, download and waiting are errors there.
pub trait Runtime: Send + Sync + 'static {
    /// Device memory, freed on drop after everything that was asked for before.
    type Memory: Send + Sync;
    /// A recorded phase.
    type Graph: Send + Sync;

    /// Name for people, `"cuda"`.
    fn name(&self) -> &'static str;

    /// What blocks and clusters can have.
    fn room(&self) -> Room;

    /// `bytes` bytes (at least 1) with any contents, aligned to 256 bytes.
    ///
    /// # Errors
    /// [`Error::Memory`](lstm_tensor::Error::Memory).
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// Where memory starts.
    fn address(&self, memory: &Self::Memory) -> Address;

    /// Copies host bytes to the device; `from` may be reused as soon as this returns.
    ///
    /// # Errors
    /// [`Error::Device`](lstm_tensor::Error::Device); so for all below.
    ///
    /// # Safety
    /// The bytes at `to` lie in one allocation that lives.
    unsafe fn upload(&self, from: &[u8], to: Address) -> Result<()>;

    /// Copies device bytes to the host, after everything that was asked for before.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Safety
    /// The bytes at `from` lie in one allocation that lives.
    unsafe fn download(&self, from: Address, to: &mut [u8]) -> Result<()>;

    /// Copies bytes on the device; the ranges do not overlap.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Safety
    /// Both ranges lie in allocations that live, also when a captured copy is replayed.
    unsafe fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()>;

    /// Sets `bytes` bytes to zero.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Safety
    /// As [`Runtime::copy`].
    unsafe fn clear(&self, to: Address, bytes: usize) -> Result<()>;

    /// Starts a kernel.
    ///
    /// # Errors
    /// As above; also for a kernel that does not exist.
    ///
    /// # Safety
    /// The arguments are those of the kernel's parameter list, and all that it reads and writes lies in
    /// allocations that live, also when the captured launch is replayed.
    unsafe fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<()>;

    /// Multiplies matrices.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Safety
    /// All elements lie in allocations that live, also when a captured product is replayed; `C` shares no
    /// element with `A` or `B`.
    unsafe fn gemm(&self, product: &Gemm) -> Result<()>;

    /// Waits for everything that was asked for.
    ///
    /// # Errors
    /// As above, for failures that surface late.
    fn synchronize(&self) -> Result<()>;

    /// Starts to record.
    ///
    /// # Errors
    /// As above; also if it already records.
    fn begin_capture(&self) -> Result<()>;

    /// Ends recording.
    ///
    /// # Errors
    /// As above; also if it does not record.
    fn end_capture(&self) -> Result<Self::Graph>;

    /// Runs a recorded phase again.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Safety
    /// All memory that the phase reads and writes lives.
    unsafe fn replay(&self, graph: &Self::Graph) -> Result<()>;
}

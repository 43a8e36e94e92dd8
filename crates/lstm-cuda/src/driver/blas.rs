//! Matrix products by cuBLAS, in the precision of their operands and never below.

use std::ffi::c_void;
use std::fmt::Display;
use std::sync::Arc;

use cudarc::cublas::{result, sys};
use lstm_tensor::{Error, Result};

use super::memory::{Memory, Owner};
use crate::runtime::{Gemm, Matrix, Precision};

const OP: &str = "gemm";

/// What NVIDIA recommends for Hopper, more than for others.
const WORKSPACE: usize = 32 << 20;

/// A handle of cuBLAS on the backend's stream.
#[derive(Debug)]
pub(super) struct Blas {
    handle: sys::cublasHandle_t,
    /// Given to cuBLAS once and for all: with a workspace of its own results may differ from run to run, and
    /// recording could not know it.
    _workspace: Memory,
}

// SAFETY: a handle may be used from any thread, if by one at a time; a mutex is around it.
unsafe impl Send for Blas {}

impl Blas {
    pub(super) fn new(owner: &Arc<Owner>) -> Result<Self> {
        let op = "start cuBLAS";
        let workspace = Memory::new(owner, WORKSPACE)?;
        let handle = result::create_handle().map_err(|e| failed(op, &e))?;
        let blas = Self { handle, _workspace: workspace };
        // SAFETY: handle and stream live; both libraries have one type of stream under two names.
        unsafe { result::set_stream(handle, owner.stream().cu_stream().cast()) }
            .map_err(|e| failed(op, &e))?;
        let place = blas._workspace.address() as *mut c_void;
        // SAFETY: the workspace lives as long as the handle. After the stream: setting that resets it.
        unsafe { sys::cublasSetWorkspace_v2(handle, place, WORKSPACE) }
            .result()
            .map_err(|e| failed(op, &e))?;
        Ok(blas)
    }

    /// Multiplies.
    ///
    /// # Safety
    /// That of [`Runtime::gemm`](crate::Runtime::gemm).
    pub(super) unsafe fn gemm(&self, product: &Gemm) -> Result<()> {
        let sizes = Sizes::new(product)?;
        match product.precision {
            Precision::F32 => {
                let factors = [product.alpha as f32, product.beta as f32];
                // SAFETY: the factors have the type that sums of f32 ask for.
                unsafe { self.call(product, &sizes, &factors, sys::cudaDataType_t::CUDA_R_32F, EXACT_F32) }
            }
            Precision::F64 => {
                let factors = [product.alpha, product.beta];
                // SAFETY: the factors have the type that sums of f64 ask for.
                unsafe { self.call(product, &sizes, &factors, sys::cudaDataType_t::CUDA_R_64F, EXACT_F64) }
            }
        }
    }

    /// # Safety
    /// That of [`Blas::gemm`]; `F` is the type of the factors for sums of type `compute`.
    unsafe fn call<F>(
        &self,
        product: &Gemm,
        sizes: &Sizes,
        [alpha, beta]: &[F; 2],
        data: sys::cudaDataType_t,
        compute: sys::cublasComputeType_t,
    ) -> Result<()> {
        let Sizes { m, n, k, batch, leading: [lda, ldb, ldc], stride: [sa, sb, sc] } = *sizes;
        let Gemm { a, b, c, .. } = product;
        // What is row-major here is its transpose there: Cᵀ = Bᵀ Aᵀ, so the operands change places.
        // SAFETY: the caller vouches for the operands; the factors are read before the call returns.
        unsafe {
            result::gemm_strided_batched_ex(
                self.handle,
                transposed(b),
                transposed(a),
                n,
                m,
                k,
                std::ptr::from_ref(alpha).cast(),
                b.address.0 as *const c_void,
                data,
                ldb,
                sb,
                a.address.0 as *const c_void,
                data,
                lda,
                sa,
                std::ptr::from_ref(beta).cast(),
                c.address.0 as *mut c_void,
                data,
                ldc,
                sc,
                batch,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|e| {
            let Gemm { precision, m, n, k, batch, .. } = product;
            failed(OP, &format!("{precision:?} [{m}, {k}] x [{k}, {n}], batch {batch}: {e}"))
        })
    }
}

/// Sums of f32 in f32; the default of cuBLASLt would be TF32.
const EXACT_F32: sys::cublasComputeType_t = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
const EXACT_F64: sys::cublasComputeType_t = sys::cublasComputeType_t::CUBLAS_COMPUTE_64F;

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed only here. A failure leaks it: nothing else to do.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// The product's sizes as cuBLAS counts them.
#[derive(Debug, PartialEq, Eq)]
struct Sizes {
    m: i32,
    n: i32,
    k: i32,
    batch: i32,
    leading: [i32; 3],
    stride: [i64; 3],
}

impl Sizes {
    fn new(product: &Gemm) -> Result<Self> {
        let int = |what: &str, value: usize| {
            i32::try_from(value)
                .map_err(|_| failed(OP, &format!("{what} is {value}, more than cuBLAS can count")))
        };
        let long = |matrix: &Matrix| {
            i64::try_from(matrix.batch_stride)
                .map_err(|_| failed(OP, &"a batch stride is more than cuBLAS can count"))
        };
        let Gemm { a, b, c, .. } = product;
        Ok(Self {
            m: int("m", product.m)?,
            n: int("n", product.n)?,
            k: int("k", product.k)?,
            batch: int("batch", product.batch)?,
            leading: [
                int("a leading dimension", a.leading)?,
                int("a leading dimension", b.leading)?,
                int("a leading dimension", c.leading)?,
            ],
            stride: [long(a)?, long(b)?, long(c)?],
        })
    }
}

fn transposed(matrix: &Matrix) -> sys::cublasOperation_t {
    if matrix.transposed { sys::cublasOperation_t::CUBLAS_OP_T } else { sys::cublasOperation_t::CUBLAS_OP_N }
}

fn failed(op: &'static str, error: &dyn Display) -> Error {
    Error::Device { op, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Address;

    fn product(m: usize) -> Gemm {
        let matrix = Matrix { address: Address(0), transposed: false, leading: 5, batch_stride: 0 };
        Gemm {
            precision: Precision::F32,
            m,
            n: 3,
            k: 2,
            alpha: 1.0,
            beta: 0.0,
            batch: 1,
            a: matrix,
            b: matrix,
            c: matrix,
        }
    }

    #[test]
    fn sizes_that_cublas_cannot_count_are_errors() {
        assert_eq!(Sizes::new(&product(4)).unwrap().m, 4);
        let error = Sizes::new(&product(1 << 31)).unwrap_err().to_string();
        assert!(error.contains("m is 2147483648"), "{error}");
    }

    #[test]
    fn no_sum_is_rounded_below_its_operands() {
        assert_eq!(EXACT_F32, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F);
        assert_eq!(EXACT_F64, sys::cublasComputeType_t::CUBLAS_COMPUTE_64F);
    }
}

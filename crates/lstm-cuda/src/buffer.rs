//! Device memory as the contract sees it: elements of one type.

use crate::runtime::{Address, Runtime};
use lstm_tensor::{Element, Storage};
use std::marker::PhantomData;
use std::sync::Arc;

/// A buffer on a [`Cuda`](crate::Cuda) device.
pub struct CudaBuffer<R: Runtime, E> {
    /// Shared with a phase that is being gathered, whose commands must not outlive what they write to.
    pub(crate) memory: Arc<R::Memory>,
    pub(crate) address: Address,
    pub(crate) len: usize,
    pub(crate) elements: PhantomData<E>,
}

impl<R: Runtime, E: Element> Storage for CudaBuffer<R, E> {
    fn len(&self) -> usize {
        self.len
    }
}

/// The bytes of host values.
pub(crate) fn bytes<E: Element>(values: &[E]) -> &[u8] {
    // SAFETY: the four element types are primitive numbers without padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of host values, for writing.
pub(crate) fn bytes_mut<E: Element>(values: &mut [E]) -> &mut [u8] {
    // SAFETY: as above, and every pattern of bytes is a value of a primitive number.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

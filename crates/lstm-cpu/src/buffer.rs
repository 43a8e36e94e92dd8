//! Host memory that starts on a cache line.

use lstm_tensor::{Element, Error, Result, Storage};

/// Bytes of a cache line, and of the widest vector register.
const ALIGNMENT: usize = 64;

/// A buffer of the [`Cpu`](crate::Cpu): zeroed, aligned to 64 bytes, readable in place.
#[derive(Debug)]
pub struct CpuBuffer<E> {
    /// Longer than asked for; never grows, so that `start` stays aligned.
    memory: Vec<E>,
    start: usize,
    len: usize,
}

impl<E: Element> CpuBuffer<E> {
    pub(crate) fn zeros(len: usize) -> Result<Self> {
        let total = len.saturating_add(ALIGNMENT / size_of::<E>());
        let mut memory = Vec::new();
        memory
            .try_reserve_exact(total)
            .map_err(|_| Error::Memory { bytes: total.saturating_mul(size_of::<E>()), free: None })?;
        memory.resize(total, E::default());
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(total - len);
        Ok(Self { memory, start, len })
    }

    /// Its elements.
    #[must_use]
    pub fn as_slice(&self) -> &[E] {
        &self.memory[self.start..self.start + self.len]
    }

    /// Its elements, for writing.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [E] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl<E: Element> Storage for CpuBuffer<E> {
    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_zero() {
        for len in [0, 1, 7, 64, 1000] {
            let buffer = CpuBuffer::<f64>::zeros(len).unwrap();
            assert_eq!(buffer.as_slice(), vec![0.0; len]);
            assert_eq!(buffer.as_slice().as_ptr() as usize % ALIGNMENT, 0);
        }
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(matches!(CpuBuffer::<f32>::zeros(usize::MAX), Err(Error::Memory { .. })));
    }
}

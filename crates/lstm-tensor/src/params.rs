//! All parameters of a model in one flat buffer, names mapped to ranges.

use crate::{Backend, Element, Error, Float, Result, Span, Storage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ranges start at multiples of this many elements (256 bytes in f32).
const ALIGNMENT: usize = 64;

/// One named tensor of a [`ParamLayout`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamEntry {
    /// Name, as in a saved model.
    pub name: String,
    /// Dimensions; row-major.
    pub shape: Vec<usize>,
    /// Index of its first element in the arena.
    pub offset: usize,
}

impl ParamEntry {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements as a rectangle: `[rows, cols]` for a matrix, one row for a vector.
    #[must_use]
    pub fn span(&self) -> Span {
        match *self.shape.as_slice() {
            [rows, cols] => Span::dense(self.offset, rows, cols),
            _ => Span::dense(self.offset, 1, self.len()),
        }
    }
}

/// Names, shapes and places of a model's parameters. Padding between tensors holds zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamLayout {
    entries: Vec<ParamEntry>,
    len: usize,
}

impl ParamLayout {
    /// A layout without tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a tensor behind those already there.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) {
        let entry = ParamEntry { name: name.into(), shape: shape.to_vec(), offset: self.len };
        self.len = (self.len + entry.len()).next_multiple_of(ALIGNMENT);
        self.entries.push(entry);
    }

    /// Tensors in order.
    #[must_use]
    pub fn entries(&self) -> &[ParamEntry] {
        &self.entries
    }

    /// Elements of the arena, padding included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of parameters, padding not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.iter().map(ParamEntry::len).sum()
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ParamEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// A fresh number for every change of any arena, so that packed weights know what they came from.
fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Values laid out by a [`ParamLayout`] on a device: parameters, gradients, or a moment.
pub struct Arena<B: Backend, F: Float> {
    layout: Arc<ParamLayout>,
    values: B::Buffer<F>,
    generation: u64,
}

impl<B: Backend, F: Float> Arena<B, F> {
    /// All zeros.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn zeros(backend: &B, layout: &Arc<ParamLayout>) -> Result<Self> {
        let values = backend.alloc(layout.len())?;
        Ok(Self { layout: Arc::clone(layout), values, generation: next_generation() })
    }

    /// Where each tensor lies.
    #[must_use]
    pub fn layout(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    /// The flat buffer.
    #[must_use]
    pub fn values(&self) -> &B::Buffer<F> {
        &self.values
    }

    /// The flat buffer, for writing; makes weights packed before stale.
    pub fn values_mut(&mut self) -> &mut B::Buffer<F> {
        self.generation = next_generation();
        &mut self.values
    }

    /// Changes with every write.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Overwrites the tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name, [`Error::Shape`] for another number of elements.
    pub fn set(&mut self, backend: &B, name: &str, values: &[F]) -> Result<()> {
        let (offset, len) = self.find(name)?;
        Error::check_shape("set parameter", "values", &[len], &[values.len()])?;
        backend.upload(values, self.values_mut(), offset)
    }

    /// Reads the tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name.
    pub fn get(&self, backend: &B, name: &str) -> Result<Vec<F>> {
        let (offset, len) = self.find(name)?;
        let mut out = vec![F::ZERO; len];
        backend.download(&self.values, offset, &mut out)?;
        Ok(out)
    }

    fn find(&self, name: &str) -> Result<(usize, usize)> {
        let entry = self.layout.get(name).ok_or_else(|| Error::Invalid {
            what: "parameter",
            value: name.to_owned(),
            must: "the name of a tensor of this model",
        })?;
        Ok((entry.offset, entry.len()))
    }
}

/// Weights in the order a kernel wants them: derived from an [`Arena`], never saved.
pub struct Packed<B: Backend, E: Element> {
    /// What the kernel reads; its order is the backend's own affair.
    pub buffer: B::Buffer<E>,
    generation: u64,
}

impl<B: Backend, F: Float> Packed<B, F> {
    /// Room for `len` elements, not prepared yet.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn empty(backend: &B, len: usize) -> Result<Self> {
        Ok(Self { buffer: backend.alloc(len)?, generation: 0 })
    }

    /// Records that the buffer now follows from `params`. Called by `prepare`.
    pub fn mark(&mut self, params: &Arena<B, F>) {
        self.generation = params.generation();
    }

    /// Whether `prepare` ran after the last change of `params`.
    #[must_use]
    pub fn follows(&self, params: &Arena<B, F>) -> bool {
        self.generation == params.generation()
    }

    /// Checks that `prepare` ran after the last change of `params`; in release builds it trusts.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn check(&self, op: &'static str, params: &Arena<B, F>) -> Result<()> {
        if cfg!(debug_assertions) && !self.follows(params) {
            return Err(Error::Stale { op });
        }
        Ok(())
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the kernel needs no packed weights.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_aligned_and_disjoint() {
        let mut layout = ParamLayout::new();
        layout.push("a", &[3, 5]);
        layout.push("b", &[65]);
        layout.push("c", &[1]);
        let offsets: Vec<_> = layout.entries().iter().map(|e| e.offset).collect();
        assert_eq!(offsets, [0, 64, 192]);
        assert_eq!((layout.len(), layout.count()), (256, 81));
        assert_eq!(layout.get("b").map(ParamEntry::span), Some(Span::dense(64, 1, 65)));
        assert_eq!(layout.get("d"), None);
    }
}

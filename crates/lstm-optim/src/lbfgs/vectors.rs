//! Vector arithmetic on whole buffers, out of the primitives of a backend.

use lstm_tensor::{Backend, Binary, Float, Operand, Reduce, Result, Span, Unary, View, ViewMut};

/// Vectors of one length and the memory that sums over them need.
pub(super) struct Vectors<B: Backend, F: Float> {
    len: usize,
    scratch: B::Buffer<F>,
    sum: B::Buffer<f64>,
}

impl<B: Backend, F: Float> Vectors<B, F> {
    pub(super) fn new(backend: &B, len: usize) -> Result<Self> {
        Ok(Self { len, scratch: backend.alloc(len)?, sum: backend.alloc(1)? })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn all(&self) -> Span {
        Span::dense(0, 1, self.len)
    }

    pub(super) fn zero(&self, backend: &B, x: &mut B::Buffer<F>) -> Result<()> {
        backend.fill(F::ZERO, ViewMut::new(x, self.all()))
    }

    pub(super) fn copy(&self, backend: &B, from: &B::Buffer<F>, to: &mut B::Buffer<F>) -> Result<()> {
        backend.copy(View::new(from, self.all()), ViewMut::new(to, self.all()))
    }

    /// `y = scale x`.
    pub(super) fn scaled(
        &self,
        backend: &B,
        scale: f64,
        x: &B::Buffer<F>,
        y: &mut B::Buffer<F>,
    ) -> Result<()> {
        let op = Unary::Affine { scale, shift: 0.0 };
        backend.map(op, Operand::of(x, self.all()), ViewMut::new(y, self.all()))
    }

    /// `x = scale x`.
    pub(super) fn scale(&self, backend: &B, scale: f64, x: &mut B::Buffer<F>) -> Result<()> {
        let op = Unary::Affine { scale, shift: 0.0 };
        backend.map(op, Operand::Here(self.all()), ViewMut::new(x, self.all()))
    }

    /// `y = a - b`.
    pub(super) fn difference(
        &self,
        backend: &B,
        a: &B::Buffer<F>,
        b: &B::Buffer<F>,
        y: &mut B::Buffer<F>,
    ) -> Result<()> {
        let all = self.all();
        backend.zip(Binary::Sub, Operand::of(a, all), Operand::of(b, all), ViewMut::new(y, all))
    }

    /// `y = y + scale x`.
    pub(super) fn add_scaled(
        &mut self,
        backend: &B,
        scale: f64,
        x: &B::Buffer<F>,
        y: &mut B::Buffer<F>,
    ) -> Result<()> {
        let all = self.all();
        let op = Unary::Affine { scale, shift: 0.0 };
        backend.map(op, Operand::of(x, all), ViewMut::new(&mut self.scratch, all))?;
        backend.zip(Binary::Add, Operand::Here(all), Operand::of(&self.scratch, all), ViewMut::new(y, all))
    }

    /// `a · b`: products in `F`, their sum in f64 in the order of the backend's reduction. Waits for the
    /// device, like every number below.
    pub(super) fn dot(&mut self, backend: &B, a: &B::Buffer<F>, b: &B::Buffer<F>) -> Result<f64> {
        let all = self.all();
        let out = ViewMut::new(&mut self.scratch, all);
        backend.zip(Binary::Mul, Operand::of(a, all), Operand::of(b, all), out)?;
        self.sum(backend)
    }

    /// `Σ |x|`.
    pub(super) fn sum_abs(&mut self, backend: &B, x: &B::Buffer<F>) -> Result<f64> {
        let all = self.all();
        backend.map(Unary::Abs, Operand::of(x, all), ViewMut::new(&mut self.scratch, all))?;
        self.sum(backend)
    }

    fn sum(&mut self, backend: &B) -> Result<f64> {
        backend.fill(0.0, ViewMut::new(&mut self.sum, Span::dense(0, 1, 1)))?;
        backend.reduce(Reduce::Sum, View::new(&self.scratch, self.all()), &mut self.sum, 0)?;
        let mut sum = [0.0];
        backend.download(&self.sum, 0, &mut sum)?;
        Ok(sum[0])
    }

    /// `max |x|`, NaN where an element is NaN, 0 for no elements.
    pub(super) fn max_abs(&mut self, backend: &B, x: &B::Buffer<F>) -> Result<f64> {
        if self.len == 0 {
            return Ok(0.0);
        }
        let all = self.all();
        backend.map(Unary::Abs, Operand::of(x, all), ViewMut::new(&mut self.scratch, all))?;
        // No backend reduces to a maximum, so that the vector is folded in half until one is left.
        let mut len = self.len;
        while len > 1 {
            let kept = len.div_ceil(2);
            let (front, back) = (all.cols_at(0, len - kept), all.cols_at(kept, len - kept));
            let out = ViewMut::new(&mut self.scratch, front);
            backend.zip(Binary::Max, Operand::Here(front), Operand::Here(back), out)?;
            len = kept;
        }
        let mut max = [F::ZERO];
        backend.download(&self.scratch, 0, &mut max)?;
        Ok(max[0].to_f64())
    }
}

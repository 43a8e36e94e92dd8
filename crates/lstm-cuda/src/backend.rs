//! The contract, served by kernels.

use crate::buffer::{bytes, bytes_mut};
use crate::kernels::random::DeviceDraw;
use crate::kernels::{elementwise, loss, optimizer, random, reduce, rows};
use crate::product::{self, Operand as Matrix};
use crate::routing::Path;
use crate::runtime::Address;
use crate::{Cuda, CudaBuffer, Runtime, stack};
use lstm_tensor::philox::Place;
use lstm_tensor::{
    Backend, Backward, BatchShape, Binary, Control, Distribution, Draw, Element, Error, Float, Forward,
    GemmArgs, KernelChoice, LossArgs, Mode, Operand, Plan, Reduce, Result, Rule, Scratch, StackSpec, State,
    Storage, Unary, View, ViewMut, Weights, check, reference,
};

impl<R: Runtime> Backend for Cuda<R> {
    type Buffer<E: Element> = CudaBuffer<R, E>;

    fn name(&self) -> &'static str {
        self.runtime.name()
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<CudaBuffer<R, E>> {
        self.zeros(len)
    }

    fn upload<E: Element>(&self, from: &[E], to: &mut CudaBuffer<R, E>, offset: usize) -> Result<()> {
        check::transfer("upload", from.len(), offset, to.len())?;
        let to = self.at(to).plus(offset * size_of::<E>());
        // SAFETY: the range lies in the buffer.
        self.outside_phase("upload", || unsafe { self.runtime.upload(bytes(from), to) })
    }

    fn download<E: Element>(&self, from: &CudaBuffer<R, E>, offset: usize, to: &mut [E]) -> Result<()> {
        check::transfer("download", to.len(), offset, from.len())?;
        let from = self.at(from).plus(offset * size_of::<E>());
        // SAFETY: the range lies in the buffer.
        self.outside_phase("download", || unsafe { self.runtime.download(from, bytes_mut(to)) })
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    fn synchronize(&self) -> Result<()> {
        self.outside_phase("synchronize", || self.runtime.synchronize())
    }

    fn phase<E: From<Error>>(
        &self,
        run: impl FnOnce(&Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.gather(run)
    }

    fn copy<E: Element>(&self, from: View<'_, Self, E>, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::copy(&from, &to)?;
        elementwise::copy(self, from, to)
    }

    fn fill<E: Element>(&self, value: E, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::fill(&to)?;
        elementwise::fill(self, value, to)
    }

    fn gemm<F: Float>(
        &self,
        args: &GemmArgs,
        a: View<'_, Self, F>,
        b: View<'_, Self, F>,
        c: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::gemm(args, &a, &b, &c)?;
        if args.batch == 0 || c.span.rows == 0 || c.span.cols == 0 {
            return Ok(());
        }
        if a.span.cols == 0 {
            return scale(self, args, c);
        }
        let matrix = |buffer, span| Matrix { address: self.at(buffer), span };
        let (a, b, c) = (matrix(a.buffer, a.span), matrix(b.buffer, b.span), matrix(c.buffer, c.span));
        // SAFETY: all elements lie in their buffers, which never overlap; nothing is empty.
        unsafe { product::multiply::<R, F>(self, args, a, b, c) }
    }

    fn map<F: Float>(&self, op: Unary, x: Operand<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::map(&x, &y)?;
        elementwise::map(self, op, x, y)
    }

    fn zip<F: Float>(
        &self,
        op: Binary,
        a: Operand<'_, Self, F>,
        b: Operand<'_, Self, F>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::zip(&a, &b, &y)?;
        elementwise::zip(self, op, a, b, y)
    }

    fn add_row<F: Float>(&self, row: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::add_row(&row, &y)?;
        elementwise::add_row(self, row, y)
    }

    fn sum_rows<F: Float>(&self, x: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::sum_rows(&x, &y)?;
        let to = [self.at(y.buffer), Address::NULL];
        // SAFETY: both rectangles lie in their buffers.
        unsafe { rows::sum::<R, F>(self, (self.at(x.buffer), x.span), to, y.span) }
    }

    fn reduce<F: Float>(
        &self,
        op: Reduce,
        x: View<'_, Self, F>,
        out: &mut CudaBuffer<R, f64>,
        index: usize,
    ) -> Result<()> {
        check::reduce(&x, out, index)?;
        reduce::reduce(self, op, x, out, index)
    }

    fn gather_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &CudaBuffer<R, u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::gather_rows(&from, rows, &to)?;
        check_rows(self, "gather_rows", rows, from.span.rows)?;
        rows::gather(self, from, rows, to)
    }

    fn scatter_add_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &CudaBuffer<R, u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::scatter_add_rows(&from, rows, &to)?;
        check_rows(self, "scatter_add_rows", rows, to.span.rows)?;
        rows::scatter_add(self, from, rows, to)
    }

    fn random<F: Float>(
        &self,
        distribution: Distribution,
        draw: Draw<'_, Self>,
        place: Place,
        first_step: usize,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::random(distribution, &draw, place, first_step, &y)?;
        random::random(self, distribution, DeviceDraw::new(self, draw), place, first_step, y)
    }

    fn plan<F: Float>(
        &self,
        spec: &StackSpec,
        shape: &BatchShape,
        mode: Mode,
        choice: KernelChoice,
    ) -> Result<Plan> {
        let choice = if choice == KernelChoice::Auto { self.preferred } else { choice };
        match Path::of(choice) {
            Path::Reference => reference::plan(spec, shape, mode, choice),
            Path::Steps => stack::plan(spec, shape, mode, KernelChoice::Fused),
            Path::Persistent => stack::plan(spec, shape, mode, choice),
        }
    }

    fn stack_forward<F: Float>(
        &self,
        plan: &Plan,
        args: Forward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match Path::of(plan.kernel) {
            Path::Reference => reference::stack_forward(self, plan, args, scratch),
            _ => stack::forward(self, plan, args, scratch),
        }
    }

    fn stack_backward<F: Float>(
        &self,
        plan: &Plan,
        args: Backward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match Path::of(plan.kernel) {
            Path::Reference => reference::stack_backward(self, plan, args, scratch),
            _ => stack::backward(self, plan, args, scratch),
        }
    }

    fn step<F: Float>(
        &self,
        plan: &Plan,
        weights: Weights<'_, Self, F>,
        x: &CudaBuffer<R, F>,
        state: &mut State<Self, F>,
        y: &mut CudaBuffer<R, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match Path::of(plan.kernel) {
            Path::Reference => reference::step(self, plan, weights, x, state, y, scratch),
            _ => stack::step(self, plan, weights, x, state, y, scratch),
        }
    }

    fn loss<F: Float>(
        &self,
        args: LossArgs<'_, Self, F>,
        d_prediction: ViewMut<'_, Self, F>,
        value: &mut CudaBuffer<R, f64>,
    ) -> Result<()> {
        loss::loss(self, args, d_prediction, value)
    }

    fn clip<F: Float>(
        &self,
        limit: Option<f64>,
        max_norm: Option<f64>,
        grads: &mut CudaBuffer<R, F>,
        control: &mut Control<Self>,
    ) -> Result<()> {
        optimizer::clip(self, limit, max_norm, grads, control)
    }

    fn update<F: Float>(
        &self,
        rule: &Rule,
        params: &mut CudaBuffer<R, F>,
        grads: &CudaBuffer<R, F>,
        slots: &mut [CudaBuffer<R, F>],
        control: &Control<Self>,
    ) -> Result<()> {
        optimizer::update(self, rule, params, grads, slots, control)
    }
}

/// A product without terms: `C = beta C`, each of the batch.
fn scale<R: Runtime, F: Float>(cuda: &Cuda<R>, args: &GemmArgs, c: ViewMut<'_, Cuda<R>, F>) -> Result<()> {
    let [.., stride] = args.batch_strides;
    for product in 0..args.batch {
        let span = lstm_tensor::Span { offset: c.span.offset + product * stride, ..c.span };
        let to = ViewMut::new(&mut *c.buffer, span);
        match args.beta {
            0.0 => elementwise::fill(cuda, F::ZERO, to)?,
            beta => {
                let factor = Unary::Affine { scale: beta, shift: 0.0 };
                elementwise::map(cuda, factor, Operand::Here(span), to)?;
            }
        }
    }
    Ok(())
}

/// Looks for row numbers that do not exist. That waits for the device; in a phase, where nobody
/// can wait, kernels skip such rows instead.
fn check_rows<R: Runtime>(
    cuda: &Cuda<R>,
    op: &'static str,
    rows: &CudaBuffer<R, u32>,
    count: usize,
) -> Result<()> {
    if cuda.gathers() {
        return Ok(());
    }
    let mut host = vec![0; rows.len()];
    cuda.download(rows, 0, &mut host)?;
    check::rows(op, &host, count)
}

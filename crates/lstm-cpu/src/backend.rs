//! The contract, served by this crate's loops.

use crate::gemm::{Matrix, Scale, multiply_on};
use crate::primitives::{self, Map, Zip};
use crate::{Cpu, CpuBuffer, loss, optimizer, reduce, stack};
use lstm_tensor::philox::{self, Place};
use lstm_tensor::{
    Arena, Backend, Backward, BatchShape, Binary, Control, Distribution, Draw, Element, Error, Float,
    Forward, GemmArgs, KernelChoice, LossArgs, Math, Mode, Operand, Packed, Plan, Reduce, Result, Rule,
    Scratch, StackSpec, State, Storage, Unary, View, ViewMut, Weights, check, reference,
};

impl Backend for Cpu {
    type Buffer<E: Element> = CpuBuffer<E>;

    fn name(&self) -> &'static str {
        "cpu"
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<CpuBuffer<E>> {
        CpuBuffer::zeros(len)
    }

    fn upload<E: Element>(&self, from: &[E], to: &mut CpuBuffer<E>, offset: usize) -> Result<()> {
        check::transfer("upload", from.len(), offset, to.len())?;
        to.as_mut_slice()[offset..offset + from.len()].copy_from_slice(from);
        Ok(())
    }

    fn download<E: Element>(&self, from: &CpuBuffer<E>, offset: usize, to: &mut [E]) -> Result<()> {
        check::transfer("download", to.len(), offset, from.len())?;
        to.copy_from_slice(&from.as_slice()[offset..offset + to.len()]);
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn copy<E: Element>(&self, from: View<'_, Self, E>, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::copy(&from, &to)?;
        primitives::copy(from, to);
        Ok(())
    }

    fn fill<E: Element>(&self, value: E, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::fill(&to)?;
        primitives::fill(value, to);
        Ok(())
    }

    fn gemm<F: Float>(
        &self,
        args: &GemmArgs,
        a: View<'_, Self, F>,
        b: View<'_, Self, F>,
        c: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::gemm(args, &a, &b, &c)?;
        if args.math != Math::Exact {
            return Err(Error::Unsupported { op: "gemm", option: "another arithmetic than exact" });
        }
        let GemmArgs { alpha, beta, batch: count, batch_strides: strides, .. } = *args;
        let scale = Scale { alpha, beta, count, strides };
        let (a, b) = (Matrix::new(a.buffer.as_slice(), a.span), Matrix::new(b.buffer.as_slice(), b.span));
        multiply_on(self, scale, a, b, c.buffer.as_mut_slice(), c.span);
        Ok(())
    }

    fn map<F: Float>(&self, op: Unary, x: Operand<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::map(&x, &y)?;
        known("map", self.simd.run(Map { op, x, y }))
    }

    fn zip<F: Float>(
        &self,
        op: Binary,
        a: Operand<'_, Self, F>,
        b: Operand<'_, Self, F>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::zip(&a, &b, &y)?;
        known("zip", self.simd.run(Zip { op, a, b, y }))
    }

    fn add_row<F: Float>(&self, row: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::add_row(&row, &y)?;
        for r in 0..y.span.rows {
            primitives::add_row(row.buffer.as_slice(), row.span, 0, y.span, r, y.buffer.as_mut_slice());
        }
        Ok(())
    }

    fn sum_rows<F: Float>(&self, x: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::sum_rows(&x, &y)?;
        for r in 0..x.span.rows {
            primitives::add_row(x.buffer.as_slice(), x.span, r, y.span, 0, y.buffer.as_mut_slice());
        }
        Ok(())
    }

    fn reduce<F: Float>(
        &self,
        op: Reduce,
        x: View<'_, Self, F>,
        out: &mut CpuBuffer<f64>,
        index: usize,
    ) -> Result<()> {
        check::reduce(&x, out, index)?;
        let term: fn(f64) -> f64 = match op {
            Reduce::Sum => |x| x,
            Reduce::SquareSum => |x| x * x,
            _ => return known("reduce", false),
        };
        let (x, span) = (x.buffer.as_slice(), x.span);
        let total: f64 = if span.is_dense() && span.end() > 0 {
            reduce::sum(&x[span.offset..span.end()], term)
        } else {
            let row = |r| (0..span.cols).map(move |c| term(x[span.at(r, c)].to_f64()));
            (0..span.rows).flat_map(row).sum()
        };
        out.as_mut_slice()[index] += total;
        Ok(())
    }

    fn gather_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &CpuBuffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::gather_rows(&from, rows, &to)?;
        check::rows("gather_rows", rows.as_slice(), from.span.rows)?;
        let (x, y) = (from.buffer.as_slice(), to.buffer.as_mut_slice());
        for (r, &row) in rows.as_slice().iter().enumerate() {
            primitives::copy_row(x, from.span, row as usize, to.span, r, y);
        }
        Ok(())
    }

    fn scatter_add_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &CpuBuffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::scatter_add_rows(&from, rows, &to)?;
        check::rows("scatter_add_rows", rows.as_slice(), to.span.rows)?;
        let (x, y) = (from.buffer.as_slice(), to.buffer.as_mut_slice());
        for (r, &row) in rows.as_slice().iter().enumerate() {
            primitives::add_row(x, from.span, r, to.span, row as usize, y);
        }
        Ok(())
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
        let (step, samples) = (draw.step.as_slice()[0], draw.samples.as_slice());
        let (span, y) = (y.span, y.buffer.as_mut_slice());
        for row in 0..span.rows {
            let time = (first_step + row / samples.len()) as u32;
            let counter = [step, time, samples[row % samples.len()]];
            for unit in 0..span.cols {
                let number = philox::value(distribution, draw.seed, counter, place, unit);
                y[span.at(row, unit)] = F::from_f64(number);
            }
        }
        Ok(())
    }

    fn plan<F: Float>(
        &self,
        spec: &StackSpec,
        shape: &BatchShape,
        mode: Mode,
        choice: KernelChoice,
    ) -> Result<Plan> {
        match choice {
            KernelChoice::Reference | KernelChoice::Persistent => reference::plan(spec, shape, mode, choice),
            _ => stack::plan::<F>(spec, shape, mode),
        }
    }

    fn prepare<F: Float>(
        &self,
        plan: &Plan,
        params: &Arena<Self, F>,
        packed: &mut Packed<Self, F>,
    ) -> Result<()> {
        match plan.kernel {
            KernelChoice::Reference => reference::prepare(plan, params, packed),
            _ => stack::prepare(self, plan, params, packed),
        }
    }

    fn stack_forward<F: Float>(
        &self,
        plan: &Plan,
        args: Forward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match plan.kernel {
            KernelChoice::Reference => reference::stack_forward(self, plan, args, scratch),
            _ => stack::forward(self, plan, args, scratch),
        }
    }

    fn stack_backward<F: Float>(
        &self,
        plan: &Plan,
        args: Backward<'_, Self, F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match plan.kernel {
            KernelChoice::Reference => reference::stack_backward(self, plan, args, scratch),
            _ => stack::backward(self, plan, args, scratch),
        }
    }

    fn step<F: Float>(
        &self,
        plan: &Plan,
        weights: Weights<'_, Self, F>,
        x: &CpuBuffer<F>,
        state: &mut State<Self, F>,
        y: &mut CpuBuffer<F>,
        scratch: &mut Scratch<Self, F>,
    ) -> Result<()> {
        match plan.kernel {
            KernelChoice::Reference => reference::step(self, plan, weights, x, state, y, scratch),
            _ => stack::step(self, plan, weights, x, state, y, scratch),
        }
    }

    fn loss<F: Float>(
        &self,
        args: LossArgs<'_, Self, F>,
        d_prediction: ViewMut<'_, Self, F>,
        value: &mut CpuBuffer<f64>,
    ) -> Result<()> {
        loss::loss(args, d_prediction, value)
    }

    fn clip<F: Float>(
        &self,
        limit: Option<f64>,
        max_norm: Option<f64>,
        grads: &mut CpuBuffer<F>,
        control: &mut Control<Self>,
    ) -> Result<()> {
        optimizer::clip(self, limit, max_norm, grads, control)
    }

    fn update<F: Float>(
        &self,
        rule: &Rule,
        params: &mut CpuBuffer<F>,
        grads: &CpuBuffer<F>,
        slots: &mut [CpuBuffer<F>],
        control: &Control<Self>,
    ) -> Result<()> {
        optimizer::update(self, rule, params, grads, slots, control)
    }
}

/// An error for a function that the contract got after this backend.
fn known(op: &'static str, known: bool) -> Result<()> {
    if known { Ok(()) } else { Err(Error::Unsupported { op, option: "this function" }) }
}

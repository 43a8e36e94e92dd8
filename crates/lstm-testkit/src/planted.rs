//! A backend that does as another, but for one fault that is planted in the update phase.

use lstm_tensor::philox::Place;
use lstm_tensor::{
    Backend, Binary, Control, Distribution, Draw, Element, Float, GemmArgs, Operand, Reduce, Result, Rule,
    Storage, Unary, View, ViewMut, control_slot, reference,
};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The gradient, before it is clipped.
    Gradient,
    /// The first moment, before it is used.
    Moment,
}

/// `inner`, with a value put at `offset` of an arena whenever the update counted `update` is computed, `times` times.
/// The device operations that are not primitives are the reference's.
#[derive(Debug)]
pub struct Planted<B> {
    inner: B,
    /// Whether it says that it runs ahead.
    ahead: bool,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    site: Site,
    update: u64,
    offset: usize,
    value: f64,
    left: AtomicU32,
}

impl<B: Backend> Planted<B> {
    /// Without a fault.
    pub fn healthy(inner: B) -> Self {
        Self { inner, ahead: false, fault: None }
    }

    /// With a fault that strikes so many `times`.
    pub fn new(inner: B, (site, update): (Site, u64), (offset, value): (usize, f64), times: u32) -> Self {
        let fault = Fault { site, update, offset, value, left: AtomicU32::new(times) };
        Self { inner, ahead: false, fault: Some(fault) }
    }

    /// The same, for a caller that looks at results now and then.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// How often the fault may still strike.
    pub fn left(&self) -> u32 {
        self.fault.as_ref().map_or(0, |fault| fault.left.load(Ordering::Relaxed))
    }

    fn strike<F: Float>(&self, site: Site, control: &Control<Self>, at: &mut B::Buffer<F>) -> Result<()> {
        let Some(fault) = self.fault.as_ref().filter(|fault| fault.site == site) else { return Ok(()) };
        let mut step = [0.0];
        self.download(&control.values, control_slot::STEP, &mut step)?;
        let fewer = |left: u32| left.checked_sub(1);
        if step[0] == fault.update as f64
            && fault.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
        {
            self.upload(&[F::from_f64(fault.value)], at, fault.offset)?;
        }
        Ok(())
    }
}

fn view<'a, B: Backend, E: Element>(view: View<'a, Planted<B>, E>) -> View<'a, B, E> {
    View::new(view.buffer, view.span)
}

fn view_mut<'a, B: Backend, E: Element>(view: ViewMut<'a, Planted<B>, E>) -> ViewMut<'a, B, E> {
    ViewMut::new(view.buffer, view.span)
}

fn operand<'a, B: Backend, E: Element>(operand: Operand<'a, Planted<B>, E>) -> Operand<'a, B, E> {
    match operand {
        Operand::Of(of) => Operand::Of(view(of)),
        Operand::Here(span) => Operand::Here(span),
    }
}

impl<B: Backend> Backend for Planted<B> {
    type Buffer<E: Element> = B::Buffer<E>;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<B::Buffer<E>> {
        self.inner.alloc(len)
    }

    fn upload<E: Element>(&self, from: &[E], to: &mut B::Buffer<E>, offset: usize) -> Result<()> {
        self.inner.upload(from, to, offset)
    }

    fn download<E: Element>(&self, from: &B::Buffer<E>, offset: usize, to: &mut [E]) -> Result<()> {
        self.inner.download(from, offset, to)
    }

    fn runs_ahead(&self) -> bool {
        self.ahead
    }

    fn synchronize(&self) -> Result<()> {
        self.inner.synchronize()
    }

    fn copy<E: Element>(&self, from: View<'_, Self, E>, to: ViewMut<'_, Self, E>) -> Result<()> {
        self.inner.copy(view(from), view_mut(to))
    }

    fn fill<E: Element>(&self, value: E, to: ViewMut<'_, Self, E>) -> Result<()> {
        self.inner.fill(value, view_mut(to))
    }

    fn gemm<F: Float>(
        &self,
        args: &GemmArgs,
        a: View<'_, Self, F>,
        b: View<'_, Self, F>,
        c: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        self.inner.gemm(args, view(a), view(b), view_mut(c))
    }

    fn map<F: Float>(&self, op: Unary, x: Operand<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        self.inner.map(op, operand(x), view_mut(y))
    }

    fn zip<F: Float>(
        &self,
        op: Binary,
        a: Operand<'_, Self, F>,
        b: Operand<'_, Self, F>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        self.inner.zip(op, operand(a), operand(b), view_mut(y))
    }

    fn add_row<F: Float>(&self, row: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        self.inner.add_row(view(row), view_mut(y))
    }

    fn sum_rows<F: Float>(&self, x: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        self.inner.sum_rows(view(x), view_mut(y))
    }

    fn reduce<F: Float>(
        &self,
        op: Reduce,
        x: View<'_, Self, F>,
        out: &mut B::Buffer<f64>,
        index: usize,
    ) -> Result<()> {
        self.inner.reduce(op, view(x), out, index)
    }

    fn gather_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &B::Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        self.inner.gather_rows(view(from), rows, view_mut(to))
    }

    fn scatter_add_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &B::Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        self.inner.scatter_add_rows(view(from), rows, view_mut(to))
    }

    fn random<F: Float>(
        &self,
        distribution: Distribution,
        draw: Draw<'_, Self>,
        place: Place,
        first_step: usize,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        let draw = Draw { seed: draw.seed, step: draw.step, samples: draw.samples };
        self.inner.random(distribution, draw, place, first_step, view_mut(y))
    }

    fn clip<F: Float>(
        &self,
        limit: Option<f64>,
        max_norm: Option<f64>,
        grads: &mut B::Buffer<F>,
        control: &mut Control<Self>,
    ) -> Result<()> {
        self.strike(Site::Gradient, control, grads)?;
        reference::clip(self, limit, max_norm, grads, control)
    }

    fn update<F: Float>(
        &self,
        rule: &Rule,
        params: &mut B::Buffer<F>,
        grads: &B::Buffer<F>,
        slots: &mut [B::Buffer<F>],
        control: &Control<Self>,
    ) -> Result<()> {
        if let Some(slot) = slots.first_mut().filter(|slot| !slot.is_empty()) {
            self.strike(Site::Moment, control, slot)?;
        }
        reference::update(self, rule, params, grads, slots, control)
    }
}

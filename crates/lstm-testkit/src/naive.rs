//! The backend of obvious loops: slow, and right at a glance.

use lstm_tensor::philox::{Place, value};
use lstm_tensor::{
    Backend, Binary, Distribution, Draw, Element, Float, GemmArgs, Operand, Reduce, Result, Storage, Unary,
    View, ViewMut, check,
};

/// Runs every primitive as a loop over elements; everything else is the reference's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Naive;

/// Elements in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer<E>(Vec<E>);

impl<E: Element> Storage for Buffer<E> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// What an operand holds at a row and column, the output's buffer at hand.
fn read<F: Float>(operand: &Operand<'_, Naive, F>, own: &[F], row: usize, col: usize) -> F {
    match operand {
        Operand::Of(view) => view.buffer.0[view.span.at(row, col)],
        Operand::Here(span) => own[span.at(row, col)],
    }
}

fn unary<F: Float>(op: Unary, x: F) -> F {
    let constant = F::from_f64;
    match op {
        Unary::Affine { scale, shift } => constant(scale) * x + constant(shift),
        Unary::Sigmoid => x.sigmoid(),
        Unary::Tanh => x.tanh(),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => F::ONE / x,
        Unary::Abs => x.abs(),
        Unary::Sign if x > F::ZERO => F::ONE,
        Unary::Sign if x < F::ZERO => -F::ONE,
        Unary::Sign => x,
        Unary::Clamp { low, .. } if x < constant(low) => constant(low),
        Unary::Clamp { high, .. } if x > constant(high) => constant(high),
        Unary::Clamp { .. } => x,
        _ => unimplemented!("{op:?} on the naive backend"),
    }
}

fn binary<F: Float>(op: Binary, a: F, b: F) -> F {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        // The sum is NaN if either is.
        Binary::Max if a.is_finite() && b.is_finite() => {
            if a > b {
                a
            } else {
                b
            }
        }
        Binary::Max => F::from_f64(maximum(a.to_f64(), b.to_f64())),
        _ => unimplemented!("{op:?} on the naive backend"),
    }
}

fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

impl Backend for Naive {
    type Buffer<E: Element> = Buffer<E>;

    fn name(&self) -> &'static str {
        "naive"
    }

    fn alloc<E: Element>(&self, len: usize) -> Result<Buffer<E>> {
        Ok(Buffer(vec![E::default(); len]))
    }

    fn upload<E: Element>(&self, from: &[E], to: &mut Buffer<E>, offset: usize) -> Result<()> {
        check::transfer("upload", from.len(), offset, to.len())?;
        to.0[offset..offset + from.len()].copy_from_slice(from);
        Ok(())
    }

    fn download<E: Element>(&self, from: &Buffer<E>, offset: usize, to: &mut [E]) -> Result<()> {
        check::transfer("download", to.len(), offset, from.len())?;
        to.copy_from_slice(&from.0[offset..offset + to.len()]);
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn copy<E: Element>(&self, from: View<'_, Self, E>, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::copy(&from, &to)?;
        for (row, col) in cells(to.span.shape()) {
            to.buffer.0[to.span.at(row, col)] = from.buffer.0[from.span.at(row, col)];
        }
        Ok(())
    }

    fn fill<E: Element>(&self, value: E, to: ViewMut<'_, Self, E>) -> Result<()> {
        check::fill(&to)?;
        for (row, col) in cells(to.span.shape()) {
            to.buffer.0[to.span.at(row, col)] = value;
        }
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
        let (alpha, beta) = (F::from_f64(args.alpha), F::from_f64(args.beta));
        for product in 0..args.batch {
            let [a_at, b_at, c_at] = args.batch_strides.map(|stride| stride * product);
            for (m, n) in cells(c.span.shape()) {
                let mut sum = F::ZERO;
                for k in 0..a.span.cols {
                    sum += a.buffer.0[a_at + a.span.at(m, k)] * b.buffer.0[b_at + b.span.at(k, n)];
                }
                let to = &mut c.buffer.0[c_at + c.span.at(m, n)];
                *to = if args.beta == 0.0 { alpha * sum } else { alpha * sum + beta * *to };
            }
        }
        Ok(())
    }

    fn map<F: Float>(&self, op: Unary, x: Operand<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::map(&x, &y)?;
        for (row, col) in cells(y.span.shape()) {
            y.buffer.0[y.span.at(row, col)] = unary(op, read(&x, &y.buffer.0, row, col));
        }
        Ok(())
    }

    fn zip<F: Float>(
        &self,
        op: Binary,
        a: Operand<'_, Self, F>,
        b: Operand<'_, Self, F>,
        y: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::zip(&a, &b, &y)?;
        for (row, col) in cells(y.span.shape()) {
            let own = &y.buffer.0;
            y.buffer.0[y.span.at(row, col)] = binary(op, read(&a, own, row, col), read(&b, own, row, col));
        }
        Ok(())
    }

    fn add_row<F: Float>(&self, row: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::add_row(&row, &y)?;
        for (r, c) in cells(y.span.shape()) {
            y.buffer.0[y.span.at(r, c)] += row.buffer.0[row.span.at(0, c)];
        }
        Ok(())
    }

    fn sum_rows<F: Float>(&self, x: View<'_, Self, F>, y: ViewMut<'_, Self, F>) -> Result<()> {
        check::sum_rows(&x, &y)?;
        for (r, c) in cells(x.span.shape()) {
            y.buffer.0[y.span.at(0, c)] += x.buffer.0[x.span.at(r, c)];
        }
        Ok(())
    }

    fn reduce<F: Float>(
        &self,
        op: Reduce,
        x: View<'_, Self, F>,
        out: &mut Buffer<f64>,
        index: usize,
    ) -> Result<()> {
        check::reduce(&x, out, index)?;
        for (row, col) in cells(x.span.shape()) {
            let x = x.buffer.0[x.span.at(row, col)].to_f64();
            out.0[index] += match op {
                Reduce::Sum => x,
                Reduce::SquareSum => x * x,
                _ => unimplemented!("{op:?} on the naive backend"),
            };
        }
        Ok(())
    }

    fn gather_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::gather_rows(&from, rows, &to)?;
        check::rows("gather_rows", &rows.0, from.span.rows)?;
        for (row, col) in cells(to.span.shape()) {
            to.buffer.0[to.span.at(row, col)] = from.buffer.0[from.span.at(rows.0[row] as usize, col)];
        }
        Ok(())
    }

    fn scatter_add_rows<F: Float>(
        &self,
        from: View<'_, Self, F>,
        rows: &Buffer<u32>,
        to: ViewMut<'_, Self, F>,
    ) -> Result<()> {
        check::scatter_add_rows(&from, rows, &to)?;
        check::rows("scatter_add_rows", &rows.0, to.span.rows)?;
        for (row, col) in cells(from.span.shape()) {
            to.buffer.0[to.span.at(rows.0[row] as usize, col)] += from.buffer.0[from.span.at(row, col)];
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
        let samples = &draw.samples.0;
        for (row, unit) in cells(y.span.shape()) {
            let time = (first_step + row / samples.len()) as u32;
            let counter = [draw.step.0[0], time, samples[row % samples.len()]];
            let number = value(distribution, draw.seed, counter, place, unit);
            y.buffer.0[y.span.at(row, unit)] = F::from_f64(number);
        }
        Ok(())
    }
}

/// Rows and columns of a rectangle, row by row.
pub(crate) fn cells([rows, cols]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..cols).map(move |col| (row, col)))
}

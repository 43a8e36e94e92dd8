//! Each primitive is a plain loop over elements, written out here once more on the host, and touches
//! nothing outside its output.

use super::{close, hold};
use crate::naive::cells;
use crate::run::{buffer, fetch, raw};
use crate::strategies::{Block, placing, size, values};
use crate::tolerance::tolerance;
use lstm_tensor::philox::{Philox, Place, Purpose, Site, keeps, key, normal, philox4x32};
use lstm_tensor::{
    Backend, Binary, Distribution, Draw, Element, Float, GemmArgs, Operand, Reduce, Span, Unary, View,
    ViewMut,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Upload then download gives the same bits; new buffers hold zeros.
pub fn transfer_keeps_elements<B: Backend, F: Float>(backend: &B) {
    fn same<B: Backend, E: Element>(backend: &B, offset: usize, tail: usize, host: &[E]) -> TestCaseResult {
        let mut buffer = backend.alloc::<E>(offset + host.len() + tail)?;
        backend.upload(host, &mut buffer, offset)?;
        backend.synchronize()?;
        let mut want = vec![E::default(); offset];
        want.extend_from_slice(host);
        want.resize(want.len() + tail, E::default());
        prop_assert_eq!(raw(backend, &buffer)?, want);
        let mut part = vec![E::default(); host.len()];
        backend.download(&buffer, offset, &mut part)?;
        prop_assert_eq!(part, host);
        Ok(())
    }
    hold((0..5usize, size(), 0..3usize, any::<u64>()), |(offset, n, tail, seed)| {
        let numbers = values(seed, 0, n, 10.0);
        same(backend, offset, tail, &numbers.iter().map(|&x| F::from_f64(x)).collect::<Vec<_>>())?;
        same(backend, offset, tail, &numbers)?;
        same(backend, offset, tail, &numbers.iter().map(|&x| (x * 1e5) as i32).collect::<Vec<_>>())?;
        same(backend, offset, tail, &numbers.iter().map(|&x| x.to_bits() as u32).collect::<Vec<_>>())
    });
}

/// A copied or filled rectangle has the new values, the rest of its buffer the old ones.
pub fn copy_and_fill_touch_their_rectangle<B: Backend, F: Float>(backend: &B) {
    hold((size(), size(), placing(), placing(), any::<u64>()), |(rows, cols, at, to, seed)| {
        let from = Block::new(at, [rows, cols], seed, 0);
        let to = Block::new(to, [rows, cols], seed, 1);
        let source = buffer::<B, F>(backend, &from.buffer)?;
        let mut target = buffer::<B, F>(backend, &to.buffer)?;
        backend.copy(View::new(&source, from.span), ViewMut::new(&mut target, to.span))?;
        prop_assert_eq!(fetch::<B, F>(backend, &target)?, to.with(|r, c| from.get(r, c)).buffer);
        backend.fill(F::from_f64(0.5), ViewMut::new(&mut target, to.span))?;
        prop_assert_eq!(fetch::<B, F>(backend, &target)?, to.with(|_, _| 0.5).buffer);

        let words: Vec<u32> =
            from.buffer.iter().map(|x| x.to_bits() as u32 ^ (x.to_bits() >> 32) as u32).collect();
        let mut source = backend.alloc::<u32>(words.len())?;
        backend.upload(&words, &mut source, 0)?;
        let dense = Span::dense(1, rows, cols);
        let mut target = backend.alloc::<u32>(dense.end())?;
        backend.copy(View::new(&source, from.span), ViewMut::new(&mut target, dense))?;
        let want: Vec<u32> = cells([rows, cols]).map(|(r, c)| words[from.span.at(r, c)]).collect();
        prop_assert_eq!(&raw(backend, &target)?[1..], want.as_slice());
        Ok(())
    });
}

/// `C = alpha A B + beta C` for every element, judged on the sum of its terms' sizes.
pub fn gemm_is_the_loop<B: Backend, F: Float>(backend: &B) {
    let sizes = (size(), size(), prop_oneof![1 => Just(0usize), 9 => size()]);
    let factor = || prop_oneof![Just(0.0), Just(1.0), Just(-0.75)];
    let batch = (1..=3usize, any::<bool>(), any::<bool>());
    let cases =
        (sizes, placing(), placing(), placing(), factor(), factor(), batch, any::<bool>(), any::<u64>());
    hold(cases, |((m, n, k), pa, pb, pc, alpha, beta, (batch, share_a, share_b), poison, seed)| {
        let [a, b, c] = [pa.span(m, k), pb.span(k, n), pc.span(m, n)];
        let stride = |span: Span, shared: bool| if shared { 0 } else { span.end() + 1 };
        let strides = [stride(a, share_a), stride(b, share_b), stride(c, false)];
        let len = |span: Span, stride: usize| span.end() + stride * (batch - 1) + 1;
        let host_a = values(seed, 0, len(a, strides[0]), 1.0);
        let host_b = values(seed, 1, len(b, strides[1]), 1.0);
        let mut host_c = values(seed, 2, len(c, strides[2]), 1.0);
        if poison && beta == 0.0 {
            host_c.fill(f64::NAN);
        }
        let args = GemmArgs { alpha, beta, batch, batch_strides: strides, ..GemmArgs::SET };
        let mut out = buffer::<B, F>(backend, &host_c)?;
        let (da, db) = (buffer::<B, F>(backend, &host_a)?, buffer::<B, F>(backend, &host_b)?);
        backend.gemm(&args, View::new(&da, a), View::new(&db, b), ViewMut::new(&mut out, c))?;
        let got = fetch::<B, F>(backend, &out)?;

        let mut want = host_c.clone();
        let mut allowed = vec![0.0; want.len()];
        for product in 0..batch {
            for (row, col) in cells([m, n]) {
                let terms = (0..k).map(|j| {
                    host_a[product * strides[0] + a.at(row, j)] * host_b[product * strides[1] + b.at(j, col)]
                });
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + f64::abs(x)));
                let at = product * strides[2] + c.at(row, col);
                let old = if beta == 0.0 { 0.0 } else { beta * host_c[at] };
                want[at] = alpha * sum + old;
                allowed[at] = tolerance::<F>(0.0) * (size + old.abs()).max(1.0);
            }
        }
        for index in 0..want.len() {
            let (got, want) = (got[index], want[index]);
            let same = got == want || got.is_nan() && want.is_nan();
            prop_assert!(same || (got - want).abs() <= allowed[index], "C[{index}] is {got}, not {want}");
        }
        Ok(())
    });
}

/// Which operand of an element-wise operation lies in the output's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    /// In a buffer of its own.
    Elsewhere,
    /// In the output's very rectangle.
    InOutput,
    /// In the output's buffer, in columns of its own.
    Beside,
}

fn lies() -> impl Strategy<Value = Lies> {
    prop_oneof![Just(Lies::Elsewhere), Just(Lies::InOutput), Just(Lies::Beside)]
}

/// An output of two interleaved halves: the output itself and the columns beside it.
struct Halves {
    span: Span,
    beside: Span,
    buffer: Vec<f64>,
}

impl Halves {
    fn new(placing: crate::strategies::Placing, rows: usize, cols: usize, seed: u64) -> Self {
        let both = placing.span(rows, 2 * cols);
        let buffer = special(seed, 2, both.end() + placing.tail);
        Self { span: both.cols_at(0, cols), beside: both.cols_at(cols, cols), buffer }
    }

    fn operand<'a, B: Backend, F: Float>(
        &self,
        lies: Lies,
        own: &'a B::Buffer<F>,
        span: Span,
    ) -> Operand<'a, B, F> {
        match lies {
            Lies::Elsewhere => Operand::of(own, span),
            Lies::InOutput => Operand::Here(self.span),
            Lies::Beside => Operand::Here(self.beside),
        }
    }

    fn get(&self, lies: Lies, other: &Block, row: usize, col: usize) -> f64 {
        match lies {
            Lies::Elsewhere => other.get(row, col),
            Lies::InOutput => self.buffer[self.span.at(row, col)],
            Lies::Beside => self.buffer[self.beside.at(row, col)],
        }
    }

    fn with(&self, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        Block { span: self.span, buffer: self.buffer.clone() }.with(value).buffer
    }
}

/// Normal numbers, a few of them large, zero, infinite or NaN.
fn special(seed: u64, index: u32, n: usize) -> Vec<f64> {
    let mut stream = Philox::new(seed, Purpose::Order, index);
    let odd = [0.0, -0.0, 40.0, -40.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let mut numbers = values(seed, index, n, 1.5);
    for number in &mut numbers {
        if let Some(&odd) = odd.get((stream.uniform() * 50.0) as usize) {
            *number = odd;
        }
    }
    numbers
}

/// `y = op(x)` for every element, special numbers included.
pub fn map_is_the_loop<B: Backend, F: Float>(backend: &B) {
    let op = prop_oneof![
        (-2.0..2.0f32, -2.0..2.0f32).prop_map(|(a, b)| Unary::Affine { scale: a.into(), shift: b.into() }),
        Just(Unary::Sigmoid),
        Just(Unary::Tanh),
        Just(Unary::Square),
        Just(Unary::Sqrt),
        Just(Unary::Reciprocal),
        Just(Unary::Abs),
        Just(Unary::Sign),
        (-2.0..0.0f32, 0.0..2.0f32).prop_map(|(a, b)| Unary::Clamp { low: a.into(), high: b.into() }),
    ];
    hold(
        (op, size(), size(), lies(), placing(), placing(), any::<u64>()),
        |(op, rows, cols, lies, px, py, seed)| {
            let span = px.span(rows, cols);
            let x = Block { span, buffer: special(seed, 0, span.end()) };
            let y = Halves::new(py, rows, cols, seed);
            let own = buffer::<B, F>(backend, &x.buffer)?;
            let mut out = buffer::<B, F>(backend, &y.buffer)?;
            backend.map(op, y.operand(lies, &own, x.span), ViewMut::new(&mut out, y.span))?;
            let want = y.with(|r, c| unary(op, y.get(lies, &x, r, c)));
            close("y", &fetch::<B, F>(backend, &out)?, &want, tolerance::<F>(0.0))
        },
    );
}

fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Affine { scale, shift } => scale * x + shift,
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Tanh => x.tanh(),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Abs => x.abs(),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => x.signum(),
        Unary::Clamp { low, high } => x.clamp(low, high),
        _ => unimplemented!("{op:?}"),
    }
}

/// `y = op(a, b)` for every element, special numbers included.
pub fn zip_is_the_loop<B: Backend, F: Float>(backend: &B) {
    let op = proptest::sample::select(vec![Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max]);
    let cases = (op, size(), size(), lies(), lies(), placing(), placing(), placing(), any::<u64>());
    hold(cases, |(op, rows, cols, lies_a, lies_b, pa, pb, py, seed)| {
        let block = |placing: crate::strategies::Placing, index| {
            let span = placing.span(rows, cols);
            Block { span, buffer: special(seed, index, span.end()) }
        };
        let (a, b) = (block(pa, 0), block(pb, 1));
        let y = Halves::new(py, rows, cols, seed);
        let (own_a, own_b) = (buffer::<B, F>(backend, &a.buffer)?, buffer::<B, F>(backend, &b.buffer)?);
        let mut out = buffer::<B, F>(backend, &y.buffer)?;
        let operands = (y.operand(lies_a, &own_a, a.span), y.operand(lies_b, &own_b, b.span));
        backend.zip(op, operands.0, operands.1, ViewMut::new(&mut out, y.span))?;
        let want = y.with(|r, c| {
            let (a, b) = (y.get(lies_a, &a, r, c), y.get(lies_b, &b, r, c));
            match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
                Binary::Max if a.is_nan() || b.is_nan() => f64::NAN,
                Binary::Max => a.max(b),
                _ => unimplemented!("{op:?}"),
            }
        });
        close("y", &fetch::<B, F>(backend, &out)?, &want, tolerance::<F>(0.0))
    });
}

/// A row is added to every row; rows are summed onto a row.
pub fn add_row_and_sum_rows_are_the_loops<B: Backend, F: Float>(backend: &B) {
    hold((size(), size(), placing(), placing(), any::<u64>()), |(rows, cols, pr, pm, seed)| {
        let row = Block::new(pr, [1, cols], seed, 0);
        let matrix = Block::new(pm, [rows, cols], seed, 1);
        let (mut device_row, mut device_matrix) =
            (buffer::<B, F>(backend, &row.buffer)?, buffer::<B, F>(backend, &matrix.buffer)?);
        backend.sum_rows(View::new(&device_matrix, matrix.span), ViewMut::new(&mut device_row, row.span))?;
        let sums = row.with(|_, c| row.get(0, c) + (0..rows).map(|r| matrix.get(r, c)).sum::<f64>());
        let sizes = (0..rows).map(|r| matrix.get(r, 0).abs()).sum::<f64>().max(1.0);
        close("sums", &fetch::<B, F>(backend, &device_row)?, &sums.buffer, tolerance::<F>(0.0) * sizes)?;

        let device_row = buffer::<B, F>(backend, &row.buffer)?;
        backend.add_row(View::new(&device_row, row.span), ViewMut::new(&mut device_matrix, matrix.span))?;
        let want = matrix.with(|r, c| matrix.get(r, c) + row.get(0, c)).buffer;
        close("y", &fetch::<B, F>(backend, &device_matrix)?, &want, tolerance::<F>(0.0))
    });
}

/// Sums and sums of squares are those of f64 and are added to what was there.
pub fn reduce_is_the_loop<B: Backend, F: Float>(backend: &B) {
    let op = prop_oneof![Just(Reduce::Sum), Just(Reduce::SquareSum)];
    hold(
        (op, size(), size(), placing(), 0..3usize, any::<u64>()),
        |(op, rows, cols, placing, index, seed)| {
            let x = Block::new(placing, [rows, cols], seed, 0);
            let device = buffer::<B, F>(backend, &x.buffer)?;
            let mut want = values(seed, 1, 3, 1.0);
            let mut out = buffer::<B, f64>(backend, &want)?;
            backend.reduce(op, View::new(&device, x.span), &mut out, index)?;
            let mut size = 1.0;
            for (r, c) in cells([rows, cols]) {
                let value = x.get(r, c);
                let term = if op == Reduce::Sum { value } else { value * value };
                want[index] += term;
                size += f64::abs(term);
            }
            close("out", &fetch::<B, f64>(backend, &out)?, &want, tolerance::<f64>(0.0) * size)
        },
    );
}

/// Rows are picked by number, and added to rows by number, duplicates in ascending order.
pub fn gather_and_scatter_are_the_loops<B: Backend, F: Float>(backend: &B) {
    hold(
        (size(), size(), size(), placing(), placing(), any::<u64>()),
        |(all, picked, cols, pl, ps, seed)| {
            let large = Block::new(pl, [all, cols], seed, 0);
            let small = Block::new(ps, [picked, cols], seed, 1);
            let mut stream = Philox::new(seed, Purpose::Order, 0);
            let rows: Vec<u32> = (0..picked).map(|_| (stream.uniform() * all as f64) as u32).collect();
            let mut device_rows = backend.alloc::<u32>(picked)?;
            backend.upload(&rows, &mut device_rows, 0)?;

            let (mut device_large, mut device_small) =
                (buffer::<B, F>(backend, &large.buffer)?, buffer::<B, F>(backend, &small.buffer)?);
            let from = View::new(&device_small, small.span);
            backend.scatter_add_rows(from, &device_rows, ViewMut::new(&mut device_large, large.span))?;
            let added = large.with(|r, c| {
                let hits = (0..picked).filter(|&p| rows[p] as usize == r);
                large.get(r, c) + hits.map(|p| small.get(p, c)).sum::<f64>()
            });
            let got = fetch::<B, F>(backend, &device_large)?;
            close("sums", &got, &added.buffer, tolerance::<F>(0.0) * 2.0 * picked as f64)?;

            let device_large = buffer::<B, F>(backend, &large.buffer)?;
            let from = View::new(&device_large, large.span);
            backend.gather_rows(from, &device_rows, ViewMut::new(&mut device_small, small.span))?;
            let want = small.with(|r, c| large.get(rows[r] as usize, c)).buffer;
            prop_assert_eq!(fetch::<B, F>(backend, &device_small)?, want);
            Ok(())
        },
    );
}

/// Random numbers follow from seed, step, time, sample, place and unit by the formulas of Philox.
pub fn random_is_philox<B: Backend, F: Float>(backend: &B) {
    let site = proptest::sample::select(vec![Site::Input, Site::Output, Site::Between, Site::InputNoise]);
    let distribution = prop_oneof![
        (0.05..1.0f64).prop_map(|keep| Distribution::Mask { keep }),
        (0.0..3.0f64).prop_map(|std| Distribution::Normal { std }),
    ];
    let cases =
        (distribution, site, 0..256usize, any::<bool>(), size(), 1..4usize, size(), placing(), any::<u64>());
    hold(cases, |(distribution, site, layer, reverse, rows, steps, cols, placing, seed)| {
        let y = Block::new(placing, [steps * rows, cols], seed, 0);
        let place = Place { site, layer, reverse };
        let (step, first) = ((seed >> 9) as u32, (seed >> 40) as usize);
        let samples: Vec<u32> = (0..rows as u32).map(|row| row.wrapping_mul(0x9E37_79B9) ^ step).collect();
        let (mut device_step, mut device_samples) = (backend.alloc::<u32>(1)?, backend.alloc::<u32>(rows)?);
        backend.upload(&[step], &mut device_step, 0)?;
        backend.upload(&samples, &mut device_samples, 0)?;
        let draw = Draw::<B> { seed, step: &device_step, samples: &device_samples };
        let mut out = buffer::<B, F>(backend, &y.buffer)?;
        backend.random(distribution, draw, place, first, ViewMut::new(&mut out, y.span))?;
        let want = y.with(|row, unit| {
            let word = |block| {
                let time = (first + row / rows) as u32;
                philox4x32([step, time, samples[row % rows], place.word(block)], key(seed))
            };
            match distribution {
                Distribution::Mask { keep } => f64::from(keeps(word(unit / 4)[unit % 4], keep)) / keep,
                Distribution::Normal { std } => {
                    let words = word(unit / 2);
                    std * if unit % 2 == 0 { normal(words[0], words[1]) } else { normal(words[2], words[3]) }
                }
                _ => unimplemented!("{distribution:?}"),
            }
        });
        let nearest: Vec<f64> = want.buffer.iter().map(|&x| F::from_f64(x).to_f64()).collect();
        close("y", &fetch::<B, F>(backend, &out)?, &nearest, F::EPSILON)
    });
}

/// The share of kept elements is the probability of staying, within five standard deviations.
pub fn masks_keep_their_rate<B: Backend, F: Float>(backend: &B) {
    hold((0.05..0.95f64, any::<u64>()), |(keep, seed)| {
        let (rows, cols) = (16, 32);
        let (mut step, mut samples) = (backend.alloc::<u32>(1)?, backend.alloc::<u32>(rows)?);
        backend.upload(&[3], &mut step, 0)?;
        backend.upload(&(0..rows as u32).collect::<Vec<_>>(), &mut samples, 0)?;
        let draw = Draw::<B> { seed, step: &step, samples: &samples };
        let place = Place { site: Site::Output, layer: 1, reverse: false };
        let span = Span::dense(0, 2 * rows, cols);
        let mut mask = backend.alloc::<F>(span.end())?;
        backend.random(Distribution::Mask { keep }, draw, place, 0, ViewMut::new(&mut mask, span))?;
        let kept = fetch::<B, F>(backend, &mask)?.iter().filter(|&&factor| factor != 0.0).count() as f64;
        let n = span.end() as f64;
        let deviation = (n * keep * (1.0 - keep)).sqrt();
        prop_assert!((kept - n * keep).abs() < 5.0 * deviation, "{kept} of {n} kept with probability {keep}");
        Ok(())
    });
}

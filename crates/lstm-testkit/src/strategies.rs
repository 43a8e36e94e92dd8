//! What laws are tried on: sizes that include 1 and non-multiples of 8, 16 and 32, rectangles with
//! strides and offsets, stacks from plain to saturated. Only sizes and options shrink; values follow from
//! a seed.

use crate::case::{HostDraw, HostState, StackCase};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{BatchShape, Bias, LayerSpec, Span, StackSpec};
use proptest::prelude::*;

/// Mostly small sizes, some around the widths of vector units.
pub fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=4usize,
        3 => proptest::sample::select(vec![5, 7, 8, 9]),
        1 => proptest::sample::select(vec![15, 16, 17, 31, 32, 33]),
    ]
}

/// `n` normal numbers that f32 holds exactly; equal for equal seed and index.
#[must_use]
pub fn values(seed: u64, index: u32, n: usize, scale: f64) -> Vec<f64> {
    let mut stream = Philox::new(seed, Purpose::Data, index);
    (0..n).map(|_| f64::from((scale * stream.normal()) as f32)).collect()
}

/// Where a rectangle lies in its buffer.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// Elements before it.
    pub offset: usize,
    /// Elements between two rows (or columns).
    pub gap: usize,
    /// Elements behind it.
    pub tail: usize,
    /// Columns lie apart instead of rows.
    pub by_column: bool,
}

impl Placing {
    /// A rectangle of this shape, placed so.
    #[must_use]
    pub fn span(&self, rows: usize, cols: usize) -> Span {
        let (major, minor) = if self.by_column { (cols, rows) } else { (rows, cols) };
        let span = Span { row_stride: minor + self.gap, ..Span::dense(self.offset, major, minor) };
        if self.by_column { span.transposed() } else { span }
    }
}

/// Any placing.
pub fn placing() -> impl Strategy<Value = Placing> {
    (0..4usize, 0..4usize, 0..3usize, any::<bool>()).prop_map(|(offset, gap, tail, by_column)| Placing {
        offset,
        gap,
        tail,
        by_column,
    })
}

/// A rectangle in a buffer on the host.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it lies.
    pub span: Span,
    /// The whole buffer.
    pub buffer: Vec<f64>,
}

impl Block {
    /// A rectangle of normal values, the rest of its buffer too.
    #[must_use]
    pub fn new(placing: Placing, [rows, cols]: [usize; 2], seed: u64, index: u32) -> Self {
        let span = placing.span(rows, cols);
        let buffer = values(seed, index, span.end() + placing.tail, 1.5);
        Self { span, buffer }
    }

    /// Element `(row, col)`.
    #[must_use]
    pub fn get(&self, row: usize, col: usize) -> f64 {
        self.buffer[self.span.at(row, col)]
    }

    /// The block after `value(row, col)` was written to every cell.
    #[must_use]
    pub fn with(&self, value: impl Fn(usize, usize) -> f64) -> Self {
        let mut block = self.clone();
        for (row, col) in crate::naive::cells(self.span.shape()) {
            block.buffer[self.span.at(row, col)] = value(row, col);
        }
        block
    }
}

/// Sizes and switches from which [`StackCase`]s are made.
#[derive(Clone, Copy, Debug)]
pub struct StackOptions {
    /// Most layers.
    pub layers: usize,
    /// Most steps.
    pub steps: usize,
    /// Weights may be so large that gates saturate.
    pub saturated: bool,
    /// Dropout at every site, and a draw.
    pub dropout: bool,
}

impl StackOptions {
    /// Everything but dropout.
    pub const ANY: Self = Self { layers: 3, steps: 7, saturated: true, dropout: false };
    /// Weights of the usual size, no dropout.
    pub const PLAIN: Self = Self { saturated: false, ..Self::ANY };
    /// As [`StackOptions::PLAIN`], with dropout.
    pub const DROPOUT: Self = Self { dropout: true, ..Self::PLAIN };
}

/// Stacks with parameters and a batch.
pub fn stack(options: StackOptions) -> impl Strategy<Value = StackCase> {
    let bias = prop_oneof![Just(Bias::Two), Just(Bias::One), Just(Bias::None)];
    let forget = prop_oneof![Just(0.0), Just(1.0), Just(-0.5)];
    let rate = if options.dropout {
        prop_oneof![2 => Just(0.0), 3 => 0.05..0.8f64].boxed()
    } else {
        Just(0.0).boxed()
    };
    let layer = (size(), bias, forget, rate.clone(), rate.clone()).prop_map(
        |(hidden, bias, forget_bias, input, output)| {
            LayerSpec::new(hidden).bias(bias).forget_bias(forget_bias).dropout(input, output)
        },
    );
    let scale = if options.saturated {
        prop_oneof![4 => Just(1.0), 1 => Just(4.0), 1 => Just(20.0)].boxed()
    } else {
        Just(1.0).boxed()
    };
    let layers = proptest::collection::vec(layer, 1..=options.layers);
    let present = (any::<bool>(), any::<bool>(), any::<bool>());
    let everything = (layers, size(), rate, 1..=options.steps, size(), scale, present, any::<u64>());
    everything.prop_map(move |(layers, input, between, steps, rows, scale, (initial, d_y, d_last), seed)| {
        // With few gates all of them may saturate. Then every gradient is made of `1 - s` with `s` next
        // to 1, a number that rounding has taken from any program, and comparing says nothing.
        let narrowest = layers.iter().map(|layer| layer.hidden).min().unwrap_or(1);
        let scale = if narrowest < 4 || narrowest * rows < 16 { 1.0 } else { scale };
        let spec = StackSpec::new(input, layers).dropout_between(between);
        let mut case = filled(spec, BatchShape::new(steps, rows), scale, seed);
        // Without any gradient from above there would be nothing to compare.
        case.d_y = case.d_y.filter(|_| d_y || !d_last);
        case.initial = case.initial.filter(|_| initial);
        case.d_last = case.d_last.filter(|_| d_last);
        case.draw = case.draw.filter(|_| options.dropout);
        case
    })
}

/// A case with every operand there, its numbers drawn from a seed.
#[must_use]
pub fn filled(spec: StackSpec, shape: BatchShape, scale: f64, seed: u64) -> StackCase {
    let (steps, rows) = (shape.steps, shape.rows);
    let (h, c) = spec.state_len(rows);
    let state = |index| HostState { h: values(seed, index, h, 0.5), c: values(seed, index + 1, c, 1.0) };
    let sample = |row| (Philox::new(seed, Purpose::Order, row).uniform() * 1e6) as u32;
    StackCase {
        params: parameters(&spec, seed, scale),
        x: values(seed, 0, steps * rows * spec.input, 1.0),
        initial: Some(state(1)),
        d_y: Some(values(seed, 3, steps * rows * spec.output(), 1.0)),
        d_last: Some(state(4)),
        draw: Some(HostDraw {
            seed,
            step: (seed >> 7) as u32 % 1000,
            samples: (0..rows as u32).map(sample).collect(),
        }),
        shape,
        spec,
    }
}

/// Uniform parameters in `±scale / √n`, `n` the hidden units or the columns; padding zero.
fn parameters(spec: &StackSpec, seed: u64, scale: f64) -> Vec<f64> {
    let layout = spec.param_layout("");
    let mut params = vec![0.0; layout.len()];
    for (index, entry) in layout.entries().iter().enumerate() {
        let mut stream = Philox::new(seed, Purpose::Parameters, index as u32);
        let fan = (entry.shape[0] / 4).max(entry.shape.get(1).copied().unwrap_or(1));
        let bound = scale / (fan as f64).sqrt();
        for value in &mut params[entry.offset..entry.offset + entry.len()] {
            *value = f64::from((bound * (2.0 * stream.uniform() - 1.0)) as f32);
        }
    }
    params
}

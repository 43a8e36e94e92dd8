//! Rectangles inside flat buffers: where an operand lies and how it is strided.

use crate::{Backend, Element, Error, Result, Storage};

/// A rectangle of elements in a flat buffer: element `(r, c)` lies at
/// `offset + r * row_stride + c * col_stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Index of element (0, 0).
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub col_stride: usize,
}

impl Span {
    /// A dense row-major `[rows, cols]` rectangle.
    #[must_use]
    pub const fn dense(offset: usize, rows: usize, cols: usize) -> Self {
        Self { offset, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// `count` rows from row `first` on.
    #[must_use]
    pub const fn rows_at(self, first: usize, count: usize) -> Self {
        Self { offset: self.offset + first * self.row_stride, rows: count, ..self }
    }

    /// `count` columns from column `first` on.
    #[must_use]
    pub const fn cols_at(self, first: usize, count: usize) -> Self {
        Self { offset: self.offset + first * self.col_stride, cols: count, ..self }
    }

    /// `[rows, cols]`.
    #[must_use]
    pub const fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Index of element `(row, col)`.
    #[inline]
    #[must_use]
    pub const fn at(&self, row: usize, col: usize) -> usize {
        self.offset + row * self.row_stride + col * self.col_stride
    }

    /// One past the last element it reaches; 0 for an empty rectangle, `usize::MAX` where the
    /// arithmetic would overflow.
    #[must_use]
    pub fn end(&self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            return 0;
        }
        let rows = (self.rows - 1).checked_mul(self.row_stride);
        let cols = (self.cols - 1).checked_mul(self.col_stride);
        rows.zip(cols)
            .and_then(|(r, c)| r.checked_add(c))
            .and_then(|n| n.checked_add(self.offset))
            .map_or(usize::MAX, |n| n.saturating_add(1))
    }

    /// Whether it shares an element with `other`, a rectangle that holds no element twice and has one
    /// stride larger than all that the other stride reaches.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.offset >= other.end() || other.offset >= self.end() {
            return false;
        }
        (0..self.rows).any(|r| (0..self.cols).any(|c| other.contains(self.at(r, c))))
    }

    /// Whether element `index` of the buffer belongs to it; strides as for [`Span::overlaps`].
    fn contains(&self, index: usize) -> bool {
        let tall = if self.row_stride >= self.col_stride { *self } else { self.transposed() };
        let Some(distance) = index.checked_sub(tall.offset) else { return false };
        let row = distance.checked_div(tall.row_stride).map_or(0, |row| row.min(tall.rows - 1));
        let rest = distance - row * tall.row_stride;
        let col = rest.checked_div(tall.col_stride).map_or(0, |col| col.min(tall.cols - 1));
        rest == col * tall.col_stride
    }

    /// Whether rows follow each other without a hole, columns adjacent.
    #[must_use]
    pub const fn is_dense(&self) -> bool {
        self.col_stride == 1 && (self.row_stride == self.cols || self.rows <= 1)
    }
}

/// A rectangle to read from.
pub struct View<'a, B: Backend, E: Element> {
    /// Buffer it lies in.
    pub buffer: &'a B::Buffer<E>,
    /// Where it lies.
    pub span: Span,
}

impl<B: Backend, E: Element> Clone for View<'_, B, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend, E: Element> Copy for View<'_, B, E> {}

impl<'a, B: Backend, E: Element> View<'a, B, E> {
    /// The rectangle `span` of `buffer`.
    pub fn new(buffer: &'a B::Buffer<E>, span: Span) -> Self {
        Self { buffer, span }
    }

    /// Checks that it lies inside its buffer and has `shape`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Bounds`].
    pub fn check(&self, op: &'static str, what: &'static str, shape: [usize; 2]) -> Result<()> {
        Error::check_shape(op, what, &shape, &self.span.shape())?;
        Error::check_bounds(op, what, self.span.end(), self.buffer.len())
    }
}

/// A rectangle to write to.
pub struct ViewMut<'a, B: Backend, E: Element> {
    /// Buffer it lies in.
    pub buffer: &'a mut B::Buffer<E>,
    /// Where it lies.
    pub span: Span,
}

impl<'a, B: Backend, E: Element> ViewMut<'a, B, E> {
    /// The rectangle `span` of `buffer`.
    pub fn new(buffer: &'a mut B::Buffer<E>, span: Span) -> Self {
        Self { buffer, span }
    }

    /// Checks that it lies inside its buffer.
    ///
    /// # Errors
    /// [`Error::Bounds`].
    pub fn check(&self, op: &'static str, what: &'static str) -> Result<()> {
        Error::check_bounds(op, what, self.span.end(), self.buffer.len())
    }
}

/// Input of an element-wise operation: a view of another buffer, or a rectangle of the output's own.
pub enum Operand<'a, B: Backend, E: Element> {
    /// In another buffer.
    Of(View<'a, B, E>),
    /// In the buffer that the result is written to: either the output's own rectangle, or one that
    /// shares no element with it.
    Here(Span),
}

impl<'a, B: Backend, E: Element> Operand<'a, B, E> {
    /// The rectangle `span` of `buffer`.
    pub fn of(buffer: &'a B::Buffer<E>, span: Span) -> Self {
        Self::Of(View { buffer, span })
    }

    /// Where it lies.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Of(view) => view.span,
            Self::Here(span) => *span,
        }
    }

    /// Checks that it has the output's shape and lies inside its buffer (`own` elements for
    /// [`Operand::Here`]).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Bounds`].
    pub fn check(&self, op: &'static str, what: &'static str, shape: [usize; 2], own: usize) -> Result<()> {
        match self {
            Self::Of(view) => view.check(op, what, shape),
            Self::Here(span) => {
                Error::check_shape(op, what, &shape, &span.shape())?;
                Error::check_bounds(op, what, span.end(), own)
            }
        }
    }
}

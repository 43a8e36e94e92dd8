//! The series of a panel as the forecaster sees them.

use std::ops::Range;

/// Columns of numbers beside a series, row after row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Columns<'a> {
    /// `[rows, width]`.
    pub cells: &'a [f64],
    /// Number of columns.
    pub width: usize,
}

impl Columns<'_> {
    /// A cell; none behind the last row.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> Option<f64> {
        self.cells.get(row * self.width + column).copied()
    }
}

/// One series, and what stands beside its values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member<'a> {
    /// The values, each finite.
    pub values: &'a [f64],
    /// What is known in advance: for a forecast it goes on behind the last value.
    pub known: Columns<'a>,
    /// What is known up to the present.
    pub past: Columns<'a>,
    /// What never changes.
    pub fixed: &'a [f64],
    /// Rows whose value was made by a repair, as rising, disjoint stretches: they are no truth to measure against.
    pub made: &'a [Range<usize>],
    /// Which of the series that were trained on it is; where it is not said, that of its place in the panel.
    pub index: Option<usize>,
}

impl<'a> Member<'a> {
    /// A series alone.
    #[must_use]
    pub fn alone(values: &'a [f64]) -> Self {
        Self { values, ..Self::default() }
    }

    /// Whether the value of a row was observed.
    #[must_use]
    pub fn is_truth(&self, row: usize) -> bool {
        let after = self.made.partition_point(|stretch| stretch.end <= row);
        self.made.get(after).is_none_or(|stretch| row < stretch.start)
    }

    /// Number of values.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len()
    }
}

//! What may be repaired in a file, and what was.

use serde::{Deserialize, Serialize};

/// What happens to rows with the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// They are an error.
    Error,
    /// The first in the file stays.
    First,
    /// The last in the file stays.
    Last,
    /// Their mean stays.
    Mean,
}

/// What happens to missing values and missing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// They are an error.
    None,
    /// A straight line between the neighbours; the nearest value at either end.
    Linear,
    /// The value before; at the start the value after.
    Previous,
    /// The value one season before, else one or more seasons after, else the straight line.
    Season,
}

/// What was repaired on the way from table to series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// Rows whose time was before that of the row above.
    pub unsorted: usize,
    /// Rows dropped or averaged because their time stood before.
    pub duplicates: usize,
    /// Rows made for times that were missing.
    pub rows: usize,
    /// Values made, those of made rows included.
    pub values: usize,
}

impl Repairs {
    /// Adds what was repaired elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.unsorted += other.unsorted;
        self.duplicates += other.duplicates;
        self.rows += other.rows;
        self.values += other.values;
    }
}

//! What a person is told about a panel: what was assumed, and what was repaired.

use super::layout::Layout;
use crate::repair::{Duplicates, Repairs};
use crate::time::Step;

/// What was found and done on the way from table to panel.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) repairs: Repairs,
    /// Gaps that the made rows fill.
    pub(super) gaps: usize,
    /// Cells of covariates that were filled.
    pub(super) cells: usize,
    /// Rows before the first value of a series.
    pub(super) leading: usize,
    /// Rows behind the last value of a series.
    pub(super) trailing: usize,
    /// Series without any value.
    pub(super) empty: Vec<String>,
    /// Line of the first row that repeats a time, and how rows with one time were merged.
    pub(super) repeat: Option<(u64, Duplicates)>,
    /// What was taken at its word.
    pub(super) remarks: Vec<String>,
    /// How values were filled, in words.
    filled_by: Option<&'static str>,
}

impl Tally {
    /// Adds the repairs of one group of rows.
    pub(super) fn add(&mut self, repairs: Repairs, gaps: usize) {
        self.repairs.add(repairs);
        self.gaps += gaps;
    }

    /// Remembers how values were filled.
    pub(super) fn filled(&mut self, how: &'static str) {
        self.filled_by = Some(match self.filled_by {
            Some(other) if other != how => {
                "after the shape of a neighbouring season, in short series by straight lines"
            }
            _ => how,
        });
    }

    /// Whole sentences, one for each kind of repair.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.remarks.clone();
        let Repairs { unsorted, duplicates, rows, values } = self.repairs;
        if unsorted > 0 {
            let stood = if unsorted == 1 { "row stood" } else { "rows stood" };
            notes.push(format!("{unsorted} {stood} out of order; all were sorted by time."));
        }
        if let (1.., Some((line, how))) = (duplicates, self.repeat) {
            let repeat = if duplicates == 1 { "row repeats" } else { "rows repeat" };
            let how = match how {
                Duplicates::First => "the first of each time was kept",
                Duplicates::Last => "the last of each time was kept",
                Duplicates::Mean | Duplicates::Error => "their values were averaged",
            };
            notes.push(format!("{duplicates} {repeat} a time, the first in line {line}; {how}."));
        }
        if rows > 0 {
            let (were, gaps) = (counted(rows, "row"), counted(self.gaps, "gap"));
            let was = if rows == 1 { "was" } else { "were" };
            notes.push(format!("{were} {was} missing, in {gaps}, and {was} added."));
        }
        if values > 0 {
            let was = if values == 1 { "was" } else { "were" };
            let how = self.filled_by.unwrap_or_default();
            let made = if rows > 0 { ", those of added rows among them," } else { "" };
            notes.push(format!("{}{made} {was} missing and {was} filled {how}.", counted(values, "value")));
        }
        if self.cells > 0 {
            let was = if self.cells == 1 { "was" } else { "were" };
            notes.push(format!(
                "{} of covariates {was} missing and {was} filled.",
                counted(self.cells, "cell")
            ));
        }
        if self.leading > 0 {
            notes.push(format!(
                "{} before the first value of a series {} cut off.",
                counted(self.leading, "row"),
                verb(self.leading)
            ));
        }
        if self.trailing > 0 {
            notes.push(format!(
                "{} behind the last value of a series {} cut off.",
                counted(self.trailing, "row"),
                verb(self.trailing)
            ));
        }
        if let [first, ..] = self.empty.as_slice() {
            let left = if self.empty.len() == 1 {
                "series holds no value and was left"
            } else {
                "series hold no value and were left"
            };
            notes.push(format!("{} {left} out, the first is '{first}'.", self.empty.len()));
        }
        notes
    }
}

fn verb(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// How the table was read.
pub(super) fn layout(layout: Layout, id: &str, time: Option<&str>, step: Option<Step>) -> String {
    let how = match layout {
        Layout::Columns => "one series a column".to_owned(),
        Layout::Long => format!("series one below another, told apart by '{id}'"),
        Layout::Rows => format!("one series a row, called as in '{id}'"),
    };
    let times = match (time, step) {
        (Some(time), Some(step)) => format!("times in '{time}', a step of {step}"),
        (Some(time), None) => format!("times in '{time}', too few for a step"),
        (None, Some(step)) => format!("times in the header, a step of {step}"),
        (None, None) => "no times, so that values follow one another at an even step".to_owned(),
    };
    format!("Read as {how}; {times}.")
}

/// A count with its noun.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

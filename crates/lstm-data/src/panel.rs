//! Many series from one or several files, ready to learn from: recognised, put in order, repaired, with their covariates.
//!
//! [`read_panel`] takes a file as it comes. What it assumed and what it repaired stand in [`Panel::notes`]; what is too
//! much to be repaired unasked is an error that says which option repairs it.

mod build;
mod feature;
mod future;
mod join;
mod layout;
mod notes;
mod rows;
mod sense;
mod target;

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::ArcArray2;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Place, Result};
use crate::repair::{Duplicates, Fill, Repairs};
use crate::stamp::DateOrder;
use crate::table::Table;
use crate::time::{Step, TimeAxis, TimeChoice};

pub use feature::{Feature, MOST_CATEGORIES};
pub use layout::Layout;
pub use target::Targets;

/// How tables become a panel. The default repairs what is little, and refuses what is much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PanelOptions {
    /// How series stand in the table, or `None` to see.
    pub layout: Option<Layout>,
    /// Which columns are forecast.
    pub targets: Targets,
    /// The columns that tell series apart which stand one below another; empty to see.
    pub id: Vec<String>,
    /// Which column holds the time.
    pub time: TimeChoice,
    /// The order of day and month, where the dates leave it open.
    pub date_order: Option<DateOrder>,
    /// Covariates whose values are known for times to come.
    pub known: Vec<String>,
    /// Covariates that are known up to the last value only.
    pub past: Vec<String>,
    /// Whether every column that is forecast is a covariate of all, up to its last value, those of one's own among them.
    pub joint: bool,
    /// Covariates that never change within a series.
    #[serde(rename = "static")]
    pub fixed: Vec<String>,
    /// Categories that a model has learned, by column; those of other columns are what the tables hold.
    pub categories: BTreeMap<String, Vec<String>>,
    /// What happens to rows with the same time; `None` averages them unless they are more than 5 %.
    pub duplicates: Option<Duplicates>,
    /// What happens to missing values and rows; `None` fills them unless they are more than 5 % of a series: after the
    /// shape of a neighbouring season, shifted to meet the values beside it, or by straight lines where two seasons were
    /// not seen.
    pub fill: Option<Fill>,
    /// Rows in the season that filling looks back; `None` follows from the step.
    pub season: Option<usize>,
}

/// Series to learn from and to forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What messages call the source.
    pub file: String,
    /// How the series stood in it.
    pub layout: Layout,
    /// The columns that tell series apart; none where each column is one.
    pub id: Vec<String>,
    /// The series in the order of their columns, rows, or ids.
    pub members: Vec<Member>,
    /// The columns of [`Member::past`].
    pub past: Vec<Feature>,
    /// The columns of [`Member::known`].
    pub known: Vec<Feature>,
    /// The columns of [`Member::fixed`].
    pub fixed: Vec<Feature>,
    /// What was assumed and repaired, in whole sentences.
    pub notes: Vec<String>,
    /// What was repaired, over all series.
    pub repairs: Repairs,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The name of its column, its id, or both where each id has several columns.
    pub id: String,
    /// Its id in the file, which the file's name or that of a column may precede or follow in [`Member::id`].
    pub group: String,
    /// Its values from the first to the last that the file has, all finite.
    pub values: Vec<f64>,
    /// Its times: the step is that of all members, the start its own.
    pub axis: Option<TimeAxis>,
    /// Which values were made by a repair: rising, disjoint stretches. They are no truth to measure against.
    pub made: Vec<Range<usize>>,
    /// Covariates up to the last value, `[rows, past]`.
    pub past: ArcArray2<f64>,
    /// Covariates that go on behind the last value as far as they are known, `[rows + ahead, known]`.
    pub known: ArcArray2<f64>,
    /// Covariates of the series as a whole, `[fixed]`.
    pub fixed: Vec<f64>,
}

impl Member {
    /// Values of the series.
    pub fn rows(&self) -> usize {
        self.values.len()
    }

    /// Rows behind the last value for which the known covariates are there; 0 where there are none.
    pub fn ahead(&self) -> usize {
        self.known.nrows().saturating_sub(self.values.len())
    }

    /// Whether the file holds the value of this row; `false` for one that was made by a repair.
    pub fn is_truth(&self, row: usize) -> bool {
        let after = self.made.partition_point(|stretch| stretch.end <= row);
        row < self.rows() && self.made.get(after).is_none_or(|stretch| row < stretch.start)
    }
}

impl Panel {
    /// The step that all members share; `None` where no times are known.
    pub fn step(&self) -> Option<Step> {
        self.members.iter().find_map(|member| member.axis.as_ref()).map(|axis| axis.step)
    }

    /// Values of the longest member.
    pub fn longest(&self) -> usize {
        self.members.iter().map(Member::rows).max().unwrap_or(0)
    }

    /// Values of the shortest member.
    pub fn shortest(&self) -> usize {
        self.members.iter().map(Member::rows).min().unwrap_or(0)
    }

    /// The categories of the covariates that are text, by column: with them as [`PanelOptions::categories`] another file
    /// gets the same columns.
    pub fn categories(&self) -> BTreeMap<String, Vec<String>> {
        let mut categories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for feature in self.past.iter().chain(&self.known).chain(&self.fixed) {
            if let Some(category) = &feature.category {
                categories.entry(feature.column.clone()).or_default().push(category.clone());
            }
        }
        categories
    }

    /// Makes sure that there is anything to learn.
    ///
    /// # Errors
    /// [`Error::Constant`] where every member is the same value throughout; names the first.
    pub fn check_varies(&self) -> Result<()> {
        let constant = |member: &Member| member.values.windows(2).all(|pair| pair[0] == pair[1]);
        match self.members.first() {
            Some(first) if self.members.iter().all(constant) => Err(Error::Constant {
                at: Place::file(&self.file).column(&first.id),
                value: first.values.first().copied().unwrap_or(0.0),
            }),
            _ => Ok(()),
        }
    }

    /// Adds the known covariates of times to come: `table` has the columns of [`Panel::known`], and of id and time where
    /// the panel's own table has them. Rows up to the end of a member are passed over; the others go on without a gap.
    ///
    /// # Errors
    /// The [`Error`] that names the place: a column that is not there, a missing value, a time out of line, a series
    /// without rows behind its end, or one that the panel does not have. The panel is then as it was.
    pub fn extend(&mut self, table: &Table, options: &PanelOptions) -> Result<()> {
        let (extended, note) = future::extended(self, table, options)?;
        self.notes.extend(note);
        for (member, known) in self.members.iter_mut().zip(extended) {
            member.known = known;
        }
        Ok(())
    }
}

/// Reads the series of a table.
///
/// ```
/// let text = "time,load\n2020-01-02,5\n2020-01-01,3\n2020-01-04,6\n2020-01-03,NaN\n";
/// # let text = format!("{text}{}", (5..25).map(|day| format!("2020-01-{day:02},{}\n", day % 7)).collect::<String>());
/// let table = lstm_data::read_table_from(text.as_bytes(), "load.csv", &Default::default())?;
/// let panel = lstm_data::read_panel(&table, &Default::default())?;
///
/// let load = &panel.members[0];
/// assert_eq!((load.id.as_str(), &load.values[..4]), ("load", &[3.0, 5.0, 5.5, 6.0][..]));
/// assert!(!load.is_truth(2));
/// assert_eq!(panel.notes[1], "2 rows stood out of order; all were sorted by time.");
/// # Ok::<(), lstm_data::Error>(())
/// ```
///
/// # Errors
/// The [`Error`] that names file, line and column: columns that are not there or hold no numbers, cells that are none,
/// times off the grid, and repairs that are more than little or that the options refuse.
pub fn read_panel(table: &Table, options: &PanelOptions) -> Result<Panel> {
    read_panels(std::slice::from_ref(table), options)
}

/// Reads the series of several tables, of one step; an id that stands in several has the file's name before it.
///
/// # Errors
/// As [`read_panel`], [`Error::Steps`] where two tables have different steps, and [`Error::Size`] without any table.
pub fn read_panels(tables: &[Table], options: &PanelOptions) -> Result<Panel> {
    let covariates = build::Covariates::survey(tables, options)?;
    let panels = tables.iter().map(|table| build::panel(table, &covariates, options));
    join::joined(panels.collect::<Result<Vec<_>>>()?)
}

/// How series stand in a table.
pub(crate) fn layout_of(table: &Table, options: &PanelOptions) -> Result<Layout> {
    layout::Shape::of(table, options).map(|shape| shape.layout)
}

#[cfg(test)]
mod tests;

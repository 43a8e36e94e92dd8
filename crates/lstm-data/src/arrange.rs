//! The rows of a table in the order of time: sorted, each time once, gaps found.

use std::ops::Range;

use crate::error::{Doubt, Error, Result};
use crate::repair::{Duplicates, Repairs};
use crate::table::Table;
use crate::time::{self, Gap, Grid, Pace, TimeAxis, Times};

/// Rows of a table in the order of time, each time once.
pub(crate) struct Ordered {
    groups: Groups,
    /// The time of each group; none where the table has no times.
    pub(crate) stamps: Vec<i64>,
    pub(crate) repairs: Repairs,
    /// The first two rows with the same time.
    pub(crate) repeat: Option<(usize, usize)>,
}

impl Ordered {
    /// Puts `rows` of the table in order.
    pub(crate) fn new(
        table: &Table,
        times: Option<&Times>,
        rows: Vec<usize>,
        duplicates: Duplicates,
    ) -> Result<Self> {
        let Some(times) = times else {
            let ranges = (0..rows.len()).map(|row| row..row + 1).collect();
            let groups = Groups { order: rows, ranges };
            return Ok(Self { groups, stamps: Vec::new(), repairs: Repairs::default(), repeat: None });
        };
        let (order, unsorted) = in_order(times, rows);
        let count = order.len();
        let (groups, repeat) = without_duplicates(table, times, order, duplicates)?;
        let repairs = Repairs { unsorted, duplicates: count - groups.len(), ..Repairs::default() };
        let stamps = groups.iter().filter_map(|rows| rows.first()).map(|row| times.stamps[*row]).collect();
        Ok(Self { groups, stamps, repairs, repeat })
    }
}

/// Which rows of the table make up each row of the series.
pub(crate) struct Rows {
    pub(crate) total: usize,
    groups: Groups,
    /// Rows to be made, by the group that follows them.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) axis: Option<TimeAxis>,
    pub(crate) repairs: Repairs,
}

impl Rows {
    /// Ordered rows on the even grid of `pace`; without one they follow one another. Missing rows are made where they
    /// `may_fill`, else refused.
    pub(crate) fn lay(
        table: &Table,
        times: Option<&Times>,
        ordered: Ordered,
        pace: Option<Pace>,
        may_fill: bool,
    ) -> Result<Self> {
        let Ordered { groups, stamps, mut repairs, .. } = ordered;
        let (Some(times), Some(pace), Some(first)) = (times, pace, stamps.first().copied()) else {
            return Ok(Self { total: groups.len(), groups, gaps: Vec::new(), axis: None, repairs });
        };
        let grid = pace.lay(&stamps);
        check_grid(table, times, &grid, &groups, may_fill)?;
        repairs.rows = grid.gaps.iter().map(|gap| made(*gap)).sum();
        let total = stamps.len() + repairs.rows;
        let axis = time::axis(times, pace, first, total);
        if !axis.reaches(total.saturating_mul(2)) {
            let last = groups.get(groups.len().saturating_sub(1)).first().copied().unwrap_or(0);
            let doubt = Doubt::Calendar { time: axis.label(total.saturating_sub(1)) };
            return Err(Error::Doubt { at: time::place(table, times, last), doubt });
        }
        Ok(Self { total, groups, gaps: grid.gaps, axis: Some(axis), repairs })
    }

    /// Each row of the series that the table has, and the rows of the table whose mean it is.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (usize, &[usize])> {
        let mut gaps = self.gaps.iter().peekable();
        let mut shift = 0;
        self.groups.iter().enumerate().map(move |(row, group)| {
            shift += gaps.next_if(|gap| gap.row == row).map_or(0, |gap| made(*gap));
            (row + shift, group)
        })
    }
}

/// Rows to be made for a gap; [`check_grid`] has seen to it that they are few.
fn made(gap: Gap) -> usize {
    usize::try_from(gap.missing).unwrap_or(0)
}

/// Rows of the table in the order of time, cut into those with one time each.
struct Groups {
    order: Vec<usize>,
    ranges: Vec<Range<usize>>,
}

impl Groups {
    fn len(&self) -> usize {
        self.ranges.len()
    }

    fn get(&self, group: usize) -> &[usize] {
        self.ranges.get(group).and_then(|range| self.order.get(range.clone())).unwrap_or(&[])
    }

    fn iter(&self) -> impl Iterator<Item = &[usize]> {
        (0..self.len()).map(|group| self.get(group))
    }
}

/// The rows of the table by time, and how many stood out of order.
fn in_order(times: &Times, mut order: Vec<usize>) -> (Vec<usize>, usize) {
    let unsorted = order.windows(2).filter(|pair| times.stamps[pair[1]] < times.stamps[pair[0]]).count();
    // Stable, so that "first" and "last" of equal times keep their meaning.
    order.sort_by_key(|row| times.stamps[*row]);
    (order, unsorted)
}

/// Groups of rows with one time each, and the first two rows that share a time.
fn without_duplicates(
    table: &Table,
    times: &Times,
    order: Vec<usize>,
    policy: Duplicates,
) -> Result<(Groups, Option<(usize, usize)>)> {
    let mut ranges = Vec::with_capacity(order.len());
    let mut first_pair = None;
    let mut start = 0;
    for rows in order.chunk_by(|a, b| times.stamps[*a] == times.stamps[*b]) {
        let end = start + rows.len();
        if let [first, second, ..] = rows {
            first_pair.get_or_insert((*first, *second));
        }
        ranges.push(match policy {
            Duplicates::Mean => start..end,
            Duplicates::Last => end - 1..end,
            Duplicates::Error | Duplicates::First => start..start + 1,
        });
        start = end;
    }
    let count = order.len() - ranges.len();
    match (first_pair, policy) {
        (Some((first, second)), Duplicates::Error) => Err(Error::DuplicateTime {
            at: time::place(table, times, second),
            time: times.style.write(times.stamps[second]),
            first_line: table.line(first),
            count,
        }),
        _ => Ok((Groups { order, ranges }, first_pair)),
    }
}

/// Refuses times off the grid, gaps that nobody asked to fill, and gaps that outweigh the data.
fn check_grid(table: &Table, times: &Times, grid: &Grid, groups: &Groups, fill: bool) -> Result<()> {
    let source = |row: usize| groups.get(row).first().copied().unwrap_or(0);
    let at = |row: usize| time::place(table, times, source(row));
    let write = |row: usize| times.style.write(times.stamps[source(row)]);
    let step = || grid.pace.step.to_string();
    if let Some(row) = grid.irregular.first().copied() {
        return Err(Error::Irregular {
            at: at(row),
            time: write(row),
            previous: write(row - 1),
            step: step(),
            count: grid.irregular.len(),
        });
    }
    let missing = grid.missing();
    let Some(longest) = grid.gaps.iter().max_by_key(|gap| gap.missing) else { return Ok(()) };
    // A typing error in one year must not ask for a terabyte.
    let rows = groups.len() as u64;
    if missing > 3 * rows + 16 {
        let total = missing.saturating_add(rows);
        return Err(Error::TooManyGaps { at: at(longest.row), step: step(), missing, total });
    }
    match (fill, grid.gaps.first()) {
        (false, Some(gap)) => Err(Error::Gap {
            at: at(gap.row),
            missing: gap.missing,
            from: write(gap.row - 1),
            to: write(gap.row),
            step: step(),
            total: missing,
        }),
        _ => Ok(()),
    }
}

//! Known covariates of times to come, from a table of their own.

use std::collections::{HashMap, HashSet};

use ndarray::{ArcArray2, Array2, Axis, concatenate, s};

use super::feature::Covariate;
use super::layout::{Layout, joined};
use super::{Member, Panel, PanelOptions};
use crate::error::{Error, Place, Result};
use crate::table::{Column, Table};
use crate::time::{self, TimeAxis, TimeChoice, Times};

/// A table of times to come.
struct Future<'a> {
    table: &'a Table,
    times: Option<Times>,
    /// Its covariates, `[rows of the table, known]`.
    block: Array2<f64>,
}

/// The known covariates of each member with those to come below, and what there is to say.
pub(super) fn extended(
    panel: &Panel,
    table: &Table,
    options: &PanelOptions,
) -> Result<(Vec<ArcArray2<f64>>, Option<String>)> {
    let axis = panel.members.iter().find_map(|member| member.axis.as_ref());
    let future = Future { table, times: times(table, axis, options)?, block: block(panel, table)? };
    let groups = groups(panel, table)?;
    let all: Vec<usize> = (0..table.rows()).collect();
    let rows = |member: &Member| match &groups {
        Some(groups) => {
            groups.get(&member.id).or_else(|| groups.get(&member.group)).map_or(&[][..], Vec::as_slice)
        }
        None => &all,
    };
    let known = panel.members.iter().map(|member| future.behind(member, rows(member)));
    Ok((known.collect::<Result<_>>()?, strangers(panel, table, groups.as_ref())))
}

/// The times of the table, from the column that the panel's axis names.
fn times(table: &Table, axis: Option<&TimeAxis>, options: &PanelOptions) -> Result<Option<Times>> {
    let Some(axis) = axis else { return Ok(None) };
    let named = matches!(options.time, TimeChoice::Column(_)) || axis.counts();
    time::read_column(table, table.find(&axis.name)?, named, options.date_order, true)
}

/// The known columns as numbers.
fn block(panel: &Panel, table: &Table) -> Result<Array2<f64>> {
    let covariates = Covariate::of_features(&panel.known);
    let mut block = Array2::zeros((table.rows(), panel.known.len()));
    let mut from = 0;
    for covariate in &covariates {
        let numbers = covariate.read(table)?;
        if let Some(row) = numbers.iter().position(|number| number.is_nan()) {
            return Err(Error::FutureMissing { at: table.place(row, table.find(&covariate.name)?) });
        }
        let to = from + covariate.width();
        covariate.write(&numbers, block.slice_mut(s![.., from..to]));
        from = to;
    }
    Ok(block)
}

/// The rows of each series, by id, where series stand one below another.
fn groups(panel: &Panel, table: &Table) -> Result<Option<HashMap<String, Vec<usize>>>> {
    if panel.layout != Layout::Long {
        return Ok(None);
    }
    let mut columns: Vec<&Column> = Vec::new();
    for name in &panel.id {
        columns.extend(table.columns().get(table.find(name)?));
    }
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for row in 0..table.rows() {
        groups.entry(joined(&columns, row)).or_default().push(row);
    }
    Ok(Some(groups))
}

/// A sentence about the series that only the table of times to come has.
fn strangers(panel: &Panel, table: &Table, groups: Option<&HashMap<String, Vec<usize>>>) -> Option<String> {
    let known: HashSet<&str> =
        panel.members.iter().flat_map(|member| [&*member.id, &*member.group]).collect();
    let count = groups?.keys().filter(|id| !known.contains(id.as_str())).count();
    let are = if count == 1 { "is" } else { "are" };
    (count > 0).then(|| format!("{count} series of {} {are} not in the data and passed over.", table.file()))
}

impl Future<'_> {
    /// The known covariates of a member with these rows of the table below, as far as they lie behind its end.
    fn behind(&self, member: &Member, rows: &[usize]) -> Result<ArcArray2<f64>> {
        let rows = match (&self.times, &member.axis) {
            (Some(times), Some(axis)) => self.in_order(member, axis, times, rows)?,
            _ => rows.to_vec(),
        };
        if rows.is_empty() {
            let end = member.axis.as_ref().map(|axis| axis.label(member.known.nrows().saturating_sub(1)));
            return Err(Error::FutureShort {
                at: Place::file(self.table.file()),
                id: member.id.clone(),
                end,
            });
        }
        let coming = self.block.select(Axis(0), &rows);
        let joined = concatenate(Axis(0), &[member.known.view(), coming.view()]);
        // Both have one column for each known covariate.
        joined.map(Array2::into_shared).map_err(|_| Error::Size {
            what: "known covariates",
            expected: member.known.ncols(),
            got: coming.ncols(),
        })
    }

    /// The rows behind the end of a member by time, each of which must be the next.
    fn in_order(
        &self,
        member: &Member,
        axis: &TimeAxis,
        times: &Times,
        rows: &[usize],
    ) -> Result<Vec<usize>> {
        let end = member.known.nrows();
        let last = axis.stamp(end.saturating_sub(1)).unwrap_or(i64::MAX);
        let stamp = |row: &usize| times.stamps.get(*row).copied().unwrap_or(i64::MIN);
        let mut coming: Vec<usize> = rows.iter().copied().filter(|row| stamp(row) > last).collect();
        coming.sort_by_key(stamp);
        for (ahead, row) in coming.iter().enumerate() {
            if axis.stamp(end + ahead) != Some(stamp(row)) {
                return Err(Error::FutureGap {
                    at: time::place(self.table, times, *row),
                    id: member.id.clone(),
                    expected: axis.label(end + ahead),
                    got: times.style.write(stamp(row)),
                });
            }
        }
        Ok(coming)
    }
}

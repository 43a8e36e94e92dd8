//! Series that stand one a row, as in the files of the M competitions.

use ndarray::ArcArray2;

use super::layout::{self, Shape};
use super::notes::Tally;
use super::{Member, PanelOptions, build};
use crate::error::{Error, Result};
use crate::repair::Fill;
use crate::table::{Column, Table};
use crate::time::{self, TimeAxis, Times};

/// A member for each row of the table; what is missing before and behind its values is cut off.
pub(super) fn members(
    table: &Table,
    shape: &Shape,
    options: &PanelOptions,
    tally: &mut Tally,
) -> Result<Vec<Member>> {
    if let Some((row, at)) = layout::missing_id(table, &shape.id) {
        return Err(Error::MissingId { at: table.place(row, at) });
    }
    let ids: Vec<&Column> = shape.id.iter().filter_map(|at| table.columns().get(*at)).collect();
    let columns = layout::row_values(table, &shape.id).unwrap_or_default();
    let axis = axis(&columns);
    let season = options.season.or_else(|| axis.as_ref().map(|axis| axis.step.season())).unwrap_or(1);
    let mut members = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let name = layout::joined(&ids, row);
        let cells = columns.iter().map(|(at, column)| build::number(table, row, *at, column.cell(row)));
        let mut values = cells.collect::<Result<Vec<f64>>>()?;
        let Some(extent) = build::extent(&values) else {
            tally.empty.push(name);
            continue;
        };
        tally.leading += extent.start;
        values.truncate(extent.end);
        values.drain(..extent.start);
        let made = build::holes(&values);
        if let Some(first) = made.first() {
            let missing = made.iter().map(std::ops::Range::len).sum::<usize>();
            let place = columns.get(extent.start + first.start).map_or(0, |(at, _)| *at);
            let at = table.place(row, place);
            match options.fill {
                Some(Fill::None) => return Err(Error::Missing { at, count: missing, rows: values.len() }),
                None if build::is_much(missing, values.len()) => {
                    return Err(Error::ManyMissing { at, missing, made: 0, rows: values.len() });
                }
                _ => {}
            }
            tally.repairs.values += missing;
            tally.filled(build::fill(&mut values, options.fill, season)?);
        }
        let rows = values.len();
        members.push(Member {
            id: name.clone(),
            group: name,
            values,
            axis: axis.as_ref().map(|axis| axis.after(extent.start).with_rows(rows)),
            made,
            past: ArcArray2::zeros((rows, 0)),
            known: ArcArray2::zeros((rows, 0)),
            fixed: Vec::new(),
        });
    }
    Ok(members)
}

/// The times in the header, where they follow one another at an even step.
fn axis(columns: &[(usize, &Column)]) -> Option<TimeAxis> {
    let names: Vec<&str> = columns.iter().map(|(_, column)| column.name()).collect();
    let read = layout::header_times(&names)?;
    let column = columns.first().map_or(0, |(at, _)| *at);
    let times = Times { column, name: "header".into(), stamps: read.stamps, style: read.style };
    let pace = time::pace(&[&times.stamps], times.style)?;
    let grid = pace.lay(&times.stamps);
    let first = times.stamps.first().copied()?;
    (grid.gaps.is_empty() && grid.irregular.is_empty()).then(|| time::axis(&times, pace, first, names.len()))
}

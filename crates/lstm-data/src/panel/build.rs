//! From a table to members: rows grouped by series, laid on one grid, gaps filled, covariates beside them.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::{ArcArray2, Array2, ArrayViewMut1, s};

use super::feature::{Covariate, Feature};
use super::layout::{self, Layout, Shape};
use super::notes::{self, Tally};
use super::{Member, Panel, PanelOptions, rows, sense, target};
use crate::arrange::{Ordered, Rows};
use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, shown};
use crate::fill;
use crate::repair::{Duplicates, Fill};
use crate::table::{Column, Kind, Table};
use crate::time::{self, Pace, TimeChoice, Times};

/// The covariates of all tables by their part.
pub(super) struct Covariates {
    past: Vec<Covariate>,
    known: Vec<Covariate>,
    fixed: Vec<Covariate>,
}

impl Covariates {
    pub(super) fn survey(tables: &[Table], options: &PanelOptions) -> Result<Self> {
        check_parts(tables, options)?;
        let survey = |names: &[String]| -> Result<Vec<Covariate>> {
            names.iter().map(|name| Covariate::survey(name, tables, options)).collect()
        };
        let joint = if options.joint { joint(tables, options)? } else { Vec::new() };
        Ok(Self {
            past: survey(&[&options.past[..], &joint].concat())?,
            known: survey(&options.known)?,
            fixed: survey(&options.fixed)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.past.is_empty() && self.known.is_empty() && self.fixed.is_empty()
    }
}

/// The columns that are forecast, of which each is to be read for all.
fn joint(tables: &[Table], options: &PanelOptions) -> Result<Vec<String>> {
    let Some(table) = tables.first() else { return Ok(Vec::new()) };
    let shape = Shape::of(table, options)?;
    let targets = match shape.layout {
        Layout::Rows => Vec::new(),
        Layout::Columns | Layout::Long => target::choose(table, &shape, options)?.0,
    };
    if targets.len() < 2 {
        return Err(Error::NotJoint { at: Place::file(table.file()) });
    }
    let columns = targets.iter().filter_map(|at| table.columns().get(*at));
    Ok(columns.map(|column| column.name().to_owned()).collect())
}

/// Makes sure that each column is named for one part only.
fn check_parts(tables: &[Table], options: &PanelOptions) -> Result<()> {
    let time = match &options.time {
        TimeChoice::Column(name) => std::slice::from_ref(name),
        TimeChoice::Auto | TimeChoice::None => &[],
    };
    let parts: [(&'static str, &[String]); 6] = [
        ("--target", options.targets.names()),
        ("--time", time),
        ("--id", &options.id),
        ("--known", &options.known),
        ("--past", &options.past),
        ("--static", &options.fixed),
    ];
    let mut seen: HashMap<&str, &'static str> = HashMap::new();
    for (part, names) in parts {
        for name in names {
            if let Some(first) = seen.insert(name, part) {
                let file = tables.first().map_or("", Table::file);
                return Err(Error::TwoParts { at: Place::file(file).column(name), first, second: part });
            }
        }
    }
    Ok(())
}

/// Reads one table.
pub(super) fn panel(table: &Table, covariates: &Covariates, options: &PanelOptions) -> Result<Panel> {
    let shape = Shape::of(table, options)?;
    sense::check_shape(table, &shape, options)?;
    let mut tally = Tally::default();
    let (members, choice) = if shape.layout == Layout::Rows {
        if !covariates.is_empty() {
            let needs = "no covariates: name none with --known, --past or --static";
            return Err(Error::Layout { at: Place::file(table.file()), layout: "rows", needs });
        }
        (rows::members(table, &shape, options, &mut tally)?, None)
    } else {
        grouped(table, &shape, covariates, options, &mut tally)?
    };
    if members.is_empty() {
        return Err(Error::AllMissing { at: Place::file(table.file()) });
    }
    let name = |at: usize| table.columns().get(at).map_or("", Column::name);
    let features = |of: &[Covariate]| -> Vec<Feature> { of.iter().flat_map(Covariate::features).collect() };
    let mut panel = Panel {
        file: table.file().to_owned(),
        layout: shape.layout,
        id: shape.id.iter().map(|at| name(*at).to_owned()).collect(),
        members,
        past: features(&covariates.past),
        known: features(&covariates.known),
        fixed: features(&covariates.fixed),
        notes: Vec::new(),
        repairs: tally.repairs,
    };
    let how = notes::layout(shape.layout, &panel.id.join("', '"), shape.time.map(name), panel.step());
    panel.notes = [Some(how), choice].into_iter().flatten().chain(tally.notes()).collect();
    Ok(panel)
}

/// A covariate of a table, read.
struct Beside<'a> {
    covariate: &'a Covariate,
    /// One number a row of the table, NaN where it is missing.
    cells: Vec<f64>,
}

/// What the rows of a table are turned into members with.
struct Reader<'a> {
    table: &'a Table,
    options: &'a PanelOptions,
    pace: Option<Pace>,
    /// Position of each target, and its numbers.
    targets: Vec<(usize, Vec<f64>)>,
    past: Vec<Beside<'a>>,
    known: Vec<Beside<'a>>,
    fixed: Vec<Beside<'a>>,
}

/// The members of a table whose rows are times, and a sentence about the choice of the target.
fn grouped(
    table: &Table,
    shape: &Shape,
    covariates: &Covariates,
    options: &PanelOptions,
    tally: &mut Tally,
) -> Result<(Vec<Member>, Option<String>)> {
    let (targets, choice) = target::choose(table, shape, options)?;
    sense::check_targets(table, &targets)?;
    tally.remarks.extend(targets.iter().flat_map(|at| sense::remarks(table, *at)));
    let read = |at| Ok((at, numbers(table, at)?));
    let targets = targets.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    let named = matches!(options.time, TimeChoice::Column(_));
    let anew = shape.layout == Layout::Long;
    let times = match shape.time {
        Some(at) => time::read_column(table, at, named, options.date_order, anew)?,
        None => None,
    };
    let times = times.as_ref();
    let duplicates = options.duplicates.unwrap_or(Duplicates::Mean);
    let may_fill = options.fill != Some(Fill::None);
    let mut groups = Vec::new();
    for (id, rows) in groups_of(table, &shape.id)? {
        groups.push((id, Ordered::new(table, times, rows, duplicates)?));
    }
    check_duplicates(table, times, &groups, options, tally)?;
    let runs: Vec<&[i64]> = groups.iter().map(|(_, ordered)| ordered.stamps.as_slice()).collect();
    let read = |covariates: &'_ [Covariate]| -> Result<Vec<Vec<f64>>> {
        covariates.iter().map(|covariate| covariate.read(table)).collect()
    };
    fn pair<'a>(covariates: &'a [Covariate], cells: Vec<Vec<f64>>) -> Vec<Beside<'a>> {
        covariates.iter().zip(cells).map(|(covariate, cells)| Beside { covariate, cells }).collect()
    }
    let reader = Reader {
        table,
        options,
        pace: times.and_then(|times| time::pace(&runs, times.style)),
        targets,
        past: pair(&covariates.past, read(&covariates.past)?),
        known: pair(&covariates.known, read(&covariates.known)?),
        fixed: pair(&covariates.fixed, read(&covariates.fixed)?),
    };
    let mut members = Vec::new();
    for (id, ordered) in groups {
        let rows = Rows::lay(table, times, ordered, reader.pace, may_fill)?;
        reader.group(&id, &rows, tally, &mut members)?;
    }
    Ok((members, choice))
}

/// The rows of each series, by id; all rows in one group without a name where no column tells them apart.
fn groups_of(table: &Table, id: &[usize]) -> Result<Vec<(String, Vec<usize>)>> {
    let columns: Vec<&Column> = id.iter().filter_map(|at| table.columns().get(*at)).collect();
    if columns.is_empty() {
        return Ok(vec![(String::new(), (0..table.rows()).collect())]);
    }
    if let Some((row, at)) = layout::missing_id(table, id) {
        return Err(Error::MissingId { at: table.place(row, at) });
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for row in 0..table.rows() {
        let key = layout::joined(&columns, row);
        let place = match places.get(&key) {
            Some(place) => *place,
            None => {
                places.insert(key.clone(), groups.len());
                groups.push((key, Vec::new()));
                groups.len() - 1
            }
        };
        groups[place].1.push(row);
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(groups)
}

/// Refuses to average more than a few rows unasked, and remembers the first.
fn check_duplicates(
    table: &Table,
    times: Option<&Times>,
    groups: &[(String, Ordered)],
    options: &PanelOptions,
    tally: &mut Tally,
) -> Result<()> {
    let count = groups.iter().map(|(_, ordered)| ordered.repairs.duplicates).sum::<usize>();
    let repeats = groups.iter().filter_map(|(_, ordered)| ordered.repeat);
    let (Some(times), Some((first, second))) = (times, repeats.min_by_key(|(_, second)| *second)) else {
        return Ok(());
    };
    tally.repeat = Some((table.line(second), options.duplicates.unwrap_or(Duplicates::Mean)));
    if options.duplicates.is_none() && is_much(count, table.rows()) {
        return Err(Error::ManyDuplicates {
            at: time::place(table, times, second),
            time: times.style.write(times.stamps[second]),
            first_line: table.line(first),
            count,
            rows: table.rows(),
        });
    }
    Ok(())
}

/// Whether so many repairs are more than are made unasked: 5 %.
pub(super) fn is_much(count: usize, of: usize) -> bool {
    count.saturating_mul(20) > of
}

/// A column as numbers, NaN where a value is missing.
pub(super) fn numbers(table: &Table, at: usize) -> Result<Vec<f64>> {
    let Some(column) = table.columns().get(at) else { return Ok(Vec::new()) };
    column.cells().enumerate().map(|(row, text)| number(table, row, at, text)).collect()
}

/// A cell as a number, NaN where it is missing.
pub(super) fn number(table: &Table, row: usize, at: usize, text: &str) -> Result<f64> {
    let place = || table.place(row, at);
    let flags = || table.columns().get(at).is_some_and(|column| column.kind() == Kind::Boolean);
    match cell::read(text) {
        Cell::Number(value) => Ok(value),
        Cell::Boolean(value) if flags() => Ok(value),
        Cell::Missing => Ok(f64::NAN),
        Cell::NonFinite => Err(Error::NonFinite { at: place(), cell: shown(text) }),
        Cell::Text | Cell::Boolean(_) => {
            Err(Error::BadNumber { at: place(), cell: shown(text), remedy: cell::remedy(text) })
        }
    }
}

/// The stretch from the first value to the last.
pub(super) fn extent(values: &[f64]) -> Option<Range<usize>> {
    let first = values.iter().position(|value| !value.is_nan())?;
    let last = values.iter().rposition(|value| !value.is_nan())?;
    Some(first..last + 1)
}

/// The stretches without a value.
pub(super) fn holes(values: &[f64]) -> Vec<Range<usize>> {
    let mut holes: Vec<Range<usize>> = Vec::new();
    for (row, _) in values.iter().enumerate().filter(|(_, value)| value.is_nan()) {
        match holes.last_mut() {
            Some(hole) if hole.end == row => hole.end += 1,
            _ => holes.push(row..row + 1),
        }
    }
    holes
}

/// Fills a column that holds one number at least, and says how.
pub(super) fn fill(values: &mut [f64], how: Option<Fill>, season: usize) -> Result<&'static str> {
    let enough = season > 1 && values.len() >= 2 * season;
    let column = ArrayViewMut1::from(values);
    match how {
        Some(Fill::Season) if season < 2 => {
            return Err(Error::Setting {
                name: "--fill",
                value: "season".into(),
                fault: "no season follows from the step of this file; name it with --season, or use --fill linear",
            });
        }
        Some(Fill::Season) => fill::seasonal(column, season),
        None if enough => fill::shaped(column, season),
        None | Some(Fill::Linear) => fill::linear(column),
        Some(Fill::Previous) => fill::previous(column),
        // A missing value has been refused before.
        Some(Fill::None) => {}
    }
    Ok(match how {
        Some(Fill::Previous) => "with the value before",
        Some(Fill::Season) => "with the value one season away",
        None if enough => "after the shape of a neighbouring season",
        _ => "by straight lines",
    })
}

impl Reader<'_> {
    fn season(&self) -> usize {
        self.options.season.or_else(|| self.pace.map(|pace| pace.step.season())).unwrap_or(1)
    }

    /// The members of one group of rows, one for each target.
    fn group(&self, id: &str, rows: &Rows, tally: &mut Tally, members: &mut Vec<Member>) -> Result<()> {
        tally.add(rows.repairs, rows.gaps.len());
        let mut found = Vec::with_capacity(self.targets.len());
        for (at, cells) in &self.targets {
            let name = self.name(id, *at);
            let values = gather(cells, rows, true);
            match extent(&values) {
                Some(extent) => found.push((name, *at, values, extent)),
                None if id.is_empty() && !self.options.targets.names().is_empty() => {
                    return Err(Error::AllMissing { at: Place::file(self.table.file()).column(&name) });
                }
                None => tally.empty.push(name),
            }
        }
        let Some(last) = found.iter().map(|(_, _, _, extent)| extent.end).max() else { return Ok(()) };
        let (past, _) = self.block(&self.past, id, rows, last, tally)?;
        let (known, until) = self.block(&self.known, id, rows, last, tally)?;
        let fixed = self.fixed(id, rows, last, tally)?;
        for (name, at, mut values, extent) in found {
            tally.leading += extent.start;
            // Rows behind the last value that hold what is known by then are there for that.
            let known_end = if self.known.is_empty() { extent.end } else { until.max(extent.end) };
            tally.trailing += rows.total - known_end;
            values.truncate(extent.end);
            values.drain(..extent.start);
            let made = holes(&values);
            self.repair(at, &mut values, &made, extent.start, rows, tally)?;
            let axis = rows.axis.as_ref().map(|axis| axis.after(extent.start).with_rows(values.len()));
            members.push(Member {
                id: name,
                group: id.to_owned(),
                values,
                axis,
                made,
                past: past.clone().slice_move(s![extent.clone(), ..]),
                known: known.clone().slice_move(s![extent.start..known_end, ..]),
                fixed: fixed.clone(),
            });
        }
        Ok(())
    }

    fn name(&self, id: &str, at: usize) -> String {
        let column = self.table.columns().get(at).map_or("", Column::name);
        match (id, self.targets.len()) {
            ("", _) => column.to_owned(),
            (id, 1) => id.to_owned(),
            (id, _) => format!("{id}/{column}"),
        }
    }

    /// Fills the holes of a member's values, the first of which is row `start` of the group.
    fn repair(
        &self,
        at: usize,
        values: &mut [f64],
        made: &[Range<usize>],
        start: usize,
        rows: &Rows,
        tally: &mut Tally,
    ) -> Result<()> {
        let missing = made.iter().map(Range::len).sum::<usize>();
        let Some(first) = made.first() else { return Ok(()) };
        self.check(at, missing, values.len(), start + first.start, rows)?;
        tally.repairs.values += missing;
        tally.filled(fill(values, self.options.fill, self.season())?);
        Ok(())
    }

    /// Refuses holes that the options do not fill.
    fn check(&self, at: usize, missing: usize, of: usize, first: usize, rows: &Rows) -> Result<()> {
        let much = self.options.fill.is_none() && is_much(missing, of);
        if !much && self.options.fill != Some(Fill::None) {
            return Ok(());
        }
        let behind = rows.placed().find(|(place, _)| *place >= first).and_then(|(_, group)| group.first());
        let at = self.table.place(behind.copied().unwrap_or(0), at);
        Err(match self.options.fill {
            Some(_) => Error::Missing { at, count: missing, rows: of },
            None => Error::ManyMissing { at, missing, made: rows.repairs.rows.min(missing), rows: of },
        })
    }

    /// Covariates on the grid of a group, `[rows, width]`, filled, and the row behind `last` up to which the file has all
    /// of them.
    fn block(
        &self,
        columns: &[Beside<'_>],
        id: &str,
        rows: &Rows,
        last: usize,
        tally: &mut Tally,
    ) -> Result<(ArcArray2<f64>, usize)> {
        let width = columns.iter().map(|column| column.covariate.width()).sum();
        let mut block = Array2::zeros((rows.total, width));
        let (mut from, mut until) = (0, rows.total);
        for column in columns {
            let values = self.covariate(column, id, rows, last, tally, &mut until)?;
            let to = from + column.covariate.width();
            column.covariate.write(&values, block.slice_mut(s![.., from..to]));
            from = to;
        }
        Ok((block.into_shared(), until))
    }

    /// One covariate on the grid of a group, filled.
    fn covariate(
        &self,
        column: &Beside<'_>,
        id: &str,
        rows: &Rows,
        last: usize,
        tally: &mut Tally,
        until: &mut usize,
    ) -> Result<Vec<f64>> {
        let covariate = column.covariate;
        let mut values = gather(&column.cells, rows, !covariate.is_discrete());
        let behind = values.iter().skip(last).position(|value| value.is_nan());
        *until = behind.map_or(rows.total, |rows| last + rows).min(*until);
        let holes = holes(values.get(..last).unwrap_or(&values));
        let missing = holes.iter().map(Range::len).sum::<usize>();
        if let Some(first) = holes.first() {
            let at = self.table.find(&covariate.name)?;
            if missing == last {
                let at = Place::file(self.table.file()).column(&covariate.name);
                return Err(Error::EmptyCovariate { at, id: id.to_owned() });
            }
            self.check(at, missing, last, first.start, rows)?;
            tally.cells += missing;
        }
        if values.iter().any(|value| value.is_nan()) {
            let how = if covariate.is_discrete() { Some(Fill::Previous) } else { self.options.fill };
            // Behind the last value nothing is used beyond `until`, but the columns are numbers throughout.
            let how = if how == Some(Fill::None) { Some(Fill::Previous) } else { how };
            fill(&mut values, how, self.season())?;
        }
        Ok(values)
    }

    /// The covariates that do not change within a series.
    fn fixed(&self, id: &str, rows: &Rows, last: usize, tally: &mut Tally) -> Result<Vec<f64>> {
        for column in &self.fixed {
            let at = self.table.find(&column.covariate.name)?;
            let mut first = f64::NAN;
            for row in rows.placed().flat_map(|(_, group)| group) {
                let value = column.cells.get(*row).copied().unwrap_or(f64::NAN);
                if first.is_nan() {
                    first = value;
                } else if !value.is_nan() && value != first {
                    return Err(Error::NotStatic { at: self.table.place(*row, at), id: id.to_owned() });
                }
            }
        }
        let (block, _) = self.block(&self.fixed, id, rows, last, tally)?;
        Ok(block.row(0).to_vec())
    }
}

/// A number for each row of the grid, NaN where the table has none: the mean of rows with one time, or the first of them.
fn gather(cells: &[f64], rows: &Rows, mean: bool) -> Vec<f64> {
    let mut values = vec![f64::NAN; rows.total];
    for (place, group) in rows.placed() {
        let present = || group.iter().filter_map(|row| cells.get(*row)).filter(|value| !value.is_nan());
        let first = present().next().copied().unwrap_or(f64::NAN);
        let count = present().count() as f64;
        values[place] = match () {
            () if count < 2.0 || !mean => first,
            // Divided one by one: the sum of two large numbers may overflow.
            () => present().map(|value| value / count).sum(),
        };
    }
    values
}

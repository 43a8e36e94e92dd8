//! From CSV files to the series that are forecast, with what stands beside them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use lstm_data::calendar::Calendar;
use lstm_data::panel::{Panel, PanelOptions, read_panels};
use lstm_data::{CsvOptions, Table, read_table, read_table_from};
use lstm_train::forecaster::{Columns, Member};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::memory;
use crate::progress::say;
use crate::resume::Source;
use crate::settings::Reading;

/// Time after which it is said that nothing has come yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read of standard input or a pipe.
const MOST_OF_STREAM: u64 = 1 << 30;

/// Whether a file stands for standard input.
pub(crate) fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The cells of a file, or of standard input for `-`.
///
/// # Errors
/// A data failure that names file and line.
pub(crate) fn table(file: &Path, reading: &Reading) -> Result<Table> {
    if is_standard_input(file) {
        let name = "standard input";
        let awaited = Awaited::new(name, || Ok(io::stdin().lock()));
        return Ok(read_table_from(awaited, name, &stream(reading, MOST_OF_STREAM))?);
    }
    if file.is_file() || file.is_dir() || !file.exists() {
        return Ok(read_table(file, &reading.csv())?);
    }
    let name = file.display().to_string();
    Ok(read_table_from(Awaited::new(&name, || File::open(file)), &name, &stream(reading, MOST_OF_STREAM))?)
}

/// What has no size is not read for ever, at most `limit` bytes, nor beyond what memory can hold: text, cells and numbers
/// of it.
fn stream(reading: &Reading, limit: u64) -> CsvOptions {
    let csv = reading.csv();
    let most = memory::free().map_or(csv.max_bytes, |free| free as u64 / 4);
    CsvOptions { max_bytes: csv.max_bytes.min(most).min(limit), ..csv }
}

/// Something that others write to, such as a pipe: while nothing comes, that is said.
struct Awaited<R, O> {
    open: Option<O>,
    reader: Option<R>,
    /// Dropped when something comes.
    waiting: Option<Sender<()>>,
}

impl<R: Read, O: FnOnce() -> io::Result<R>> Awaited<R, O> {
    fn new(name: &str, open: O) -> Self {
        let (waiting, came) = mpsc::channel();
        let line = format!("{name}: nothing has been written to it yet; waiting (Ctrl-C ends it)");
        thread::spawn(move || {
            if came.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                say(&line);
            }
        });
        Self { open: Some(open), reader: None, waiting: Some(waiting) }
    }
}

impl<R: Read, O: FnOnce() -> io::Result<R>> Read for Awaited<R, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(open) = self.open.take() {
            self.reader = Some(open()?);
        }
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let count = reader.read(buffer)?;
        self.waiting = None;
        Ok(count)
    }
}

/// A file that takes the digest of what is read of it.
struct Digested {
    file: File,
    hash: Sha256,
}

impl Read for Digested {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// The cells of a file, and the digest of the very bytes that they come of; none where it cannot be read again.
fn table_seen(file: &Path, reading: &Reading) -> Result<(Table, Option<Source>)> {
    let opened = (!is_standard_input(file) && file.is_file()).then(|| File::open(file));
    let Some(Ok(opened)) = opened else { return Ok((table(file, reading)?, None)) };
    let mut digested = Digested { file: opened, hash: Sha256::new() };
    let table = read_table_from(&mut digested, &file.display().to_string(), &reading.csv())?;
    Ok((table, Some(Source::new(file, digested.hash)?)))
}

/// The series of one or several files.
///
/// # Errors
/// A data failure that names file, line and column.
pub(crate) fn read(files: &[PathBuf], reading: &Reading) -> Result<Panel> {
    Ok(read_seen(files, reading)?.0)
}

/// The series of one or several files, and what these held, those of covariates to come last; none where one of them
/// cannot be read again, such as standard input or a pipe.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_seen(files: &[PathBuf], reading: &Reading) -> Result<(Panel, Option<Vec<Source>>)> {
    let seen = |file: &PathBuf| table_seen(file, reading);
    let (tables, mut sources): (Vec<Table>, Vec<Option<Source>>) =
        files.iter().map(seen).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let options = reading.panel();
    let mut panel = read_panels(&tables, &options)?;
    if let Some(future) = &reading.future {
        let (table, source) = seen(future)?;
        extend(&mut panel, &table, &options)?;
        sources.push(source);
    }
    checked(panel, reading).map(|panel| (panel, sources.into_iter().collect()))
}

fn checked(panel: Panel, reading: &Reading) -> Result<Panel> {
    panel.check_varies()?;
    if reading.calendar && panel.members.iter().any(|member| member.axis.is_none()) {
        return Err(Failure::data(format!(
            "{}: --calendar needs times, and there are none; name their column with --time, or leave it out",
            panel.file
        )));
    }
    Ok(panel)
}

/// Seasons that the step suggests, shortest first.
pub(crate) fn seasons(panel: &Panel) -> Vec<usize> {
    panel.step().iter().flat_map(|step| [Some(step.season()), step.second_season()]).flatten().collect()
}

/// The series of files, and what is known of times to come.
///
/// # Errors
/// A data failure that names file, line and column.
pub(crate) fn read_as(files: &[PathBuf], reading: &Reading, options: &PanelOptions) -> Result<Panel> {
    let tables = files.iter().map(|file| table(file, reading)).collect::<Result<Vec<_>>>()?;
    let mut panel = read_panels(&tables, options)?;
    if let Some(future) = &reading.future {
        extend(&mut panel, &table(future, reading)?, options)?;
    }
    Ok(panel)
}

/// Adds what is known of rows to come.
///
/// # Errors
/// A data failure that names the place; a usage failure where the panel has no columns that are known in advance.
pub(crate) fn extend(panel: &mut Panel, future: &Table, options: &PanelOptions) -> Result<()> {
    if panel.known.is_empty() {
        return Err(Failure::usage(
            "--future gives the known columns of rows to come, and there are none; name them with --known, or leave it out",
        ));
    }
    Ok(panel.extend(future, options)?)
}

/// The cycles of the calendar that the network reads, if it is told to.
pub(crate) fn calendar(panel: &Panel, reading: &Reading) -> Option<Calendar> {
    let step = panel.step().filter(|_| reading.calendar)?;
    Some(Calendar::of(step, panel.longest()))
}

/// What the network may read beside the values, row after row; owns what [`Member`]s point to.
pub(crate) struct Beside {
    /// Of each series: known in advance, and known up to the present.
    cells: Vec<[Vec<f64>; 2]>,
    widths: [usize; 2],
}

impl Beside {
    /// The covariates of a panel and, if `calendar` says so, its times, up to `ahead` rows behind the end.
    pub(crate) fn new(panel: &Panel, calendar: Option<&Calendar>, ahead: usize) -> Self {
        let cells = panel.members.iter().map(|member| {
            let rows = member.rows() + ahead;
            let times =
                calendar.zip(member.axis.as_ref()).map(|(calendar, axis)| calendar.columns(axis, 0..rows));
            let mut known = Vec::new();
            for row in 0..rows {
                if let Some(times) = &times {
                    known.extend(times.row(row));
                }
                if panel.known.is_empty() {
                    continue;
                }
                match (row < member.known.nrows()).then(|| member.known.row(row)) {
                    Some(cells) => known.extend(cells),
                    None => break,
                }
            }
            [known, member.past.iter().copied().collect()]
        });
        let times = calendar.map_or(0, |calendar| 2 * calendar.cycles.len());
        Self { cells: cells.collect(), widths: [times + panel.known.len(), panel.past.len()] }
    }

    /// The series with what stands beside them.
    pub(crate) fn members<'a>(&'a self, panel: &'a Panel) -> Vec<Member<'a>> {
        let columns = |cells, width| Columns { cells, width };
        panel
            .members
            .iter()
            .zip(&self.cells)
            .map(|(member, [known, past])| Member {
                values: &member.values,
                known: columns(known, self.widths[0]),
                past: columns(past, self.widths[1]),
                fixed: &member.fixed,
                made: &member.made,
                index: None,
            })
            .collect()
    }
}

/// Makes sure that what is known in advance reaches as far as the forecast.
///
/// # Errors
/// A data failure that names the column and what to do.
pub(crate) fn check_ahead(panel: &Panel, horizon: usize) -> Result<()> {
    let short = panel.members.iter().find(|member| member.ahead() < horizon);
    match (panel.known.first(), short) {
        (Some(known), Some(member)) => Err(Failure::data(format!(
            "{}: {} of {} is known {} rows ahead, and the forecast goes {horizon} rows; give the rows to come with \
             --future FILE, lower --horizon, or say --past {} if nobody knows it in advance",
            panel.file,
            known.column,
            member.id,
            member.ahead(),
            known.column
        ))),
        _ => Ok(()),
    }
}

/// What the series are, in a few lines: file, rows, step, first and last time, what was assumed and repaired.
pub(crate) fn described(panel: &Panel) -> String {
    let mut text = match panel.members.as_slice() {
        [only] => format!("{}: {}, {} rows", panel.file, only.id, only.rows()),
        all => {
            let rows = match (panel.shortest(), panel.longest()) {
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            format!("{}: {} series of {rows} rows", panel.file, all.len())
        }
    };
    if let Some((member, axis)) =
        panel.members.first().and_then(|member| Some((member, member.axis.as_ref()?)))
    {
        text += &format!(", step {}", axis.step);
        if panel.members.len() == 1 {
            text += &format!(", {} to {}", axis.label(0), axis.label(member.rows().saturating_sub(1)));
        }
    }
    text += "\n";
    for note in &panel.notes {
        text += &format!("{note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_read_up_to_a_limit() {
        let reading = Reading::default();
        let options = stream(&reading, 4096);
        let text = format!("n\n{}", "1\n".repeat(2047));
        assert_eq!(text.len(), 4096);
        assert!(read_table_from(text.as_bytes(), "a pipe", &options).is_ok());
        for text in [format!("{text}1"), text.repeat(100)] {
            let refused = read_table_from(text.as_bytes(), "a pipe", &options).unwrap_err();
            assert!(matches!(refused, lstm_data::Error::TooLarge { limit: 4096, .. }), "{refused}");
        }
        assert!(stream(&reading, MOST_OF_STREAM).max_bytes <= 1 << 30);
    }
}

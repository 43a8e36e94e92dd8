//! backtest.csv, written origin by origin: it may be larger than memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use lstm_data::panel::{Member, Panel};
use lstm_train::backtest::Batch;

use crate::failure::{Failure, Result};
use crate::forecast::{names, quoted};

/// A file that has its name only once it is whole.
pub(super) struct Sheet {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Sheet {
    /// With the header line.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(|error| Failure::file(&path, &error))?;
        let mut sheet = Self { path, temporary, file: Some(BufWriter::new(file)) };
        sheet.put(|file| writeln!(file, "series,time,cutoff,y,model,mean,{}", names().join(",")))?;
        Ok(sheet)
    }

    /// The forecasts of some origins.
    ///
    /// # Errors
    /// As [`Sheet::create`].
    pub(super) fn write(&mut self, panel: &Panel, batch: &Batch, horizon: usize) -> Result<()> {
        self.put(|file| {
            for (index, window) in batch.windows.iter().enumerate() {
                let member = &panel.members[window.member];
                let (series, cutoff) = (quoted(&member.id), quoted(&label(member, window.row - 1)));
                let times: Vec<String> =
                    (window.row..window.row + horizon).map(|row| quoted(&label(member, row))).collect();
                let values = index * horizon..(index + 1) * horizon;
                for forecasts in &batch.methods {
                    for (time, at) in times.iter().zip(values.clone()) {
                        write!(file, "{series},{time},{cutoff},")?;
                        let y = batch.actual[at];
                        if !y.is_nan() {
                            write!(file, "{y}")?;
                        }
                        let mean = forecasts.mean[at];
                        write!(file, ",{},{mean}", forecasts.method)?;
                        for width in forecasts.half_widths[at] {
                            write!(file, ",{},{}", mean - width, mean + width)?;
                        }
                        writeln!(file)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// As [`Sheet::create`].
    pub(super) fn finish(mut self) -> Result<()> {
        self.put(Write::flush)?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let synced = file.get_ref().sync_all().and_then(|()| fs::rename(&self.temporary, &self.path));
        synced.map_err(|error| Failure::file(&self.path, &error))
    }

    fn put(&mut self, what: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
        match &mut self.file {
            Some(file) => what(file).map_err(|error| Failure::file(&self.path, &error)),
            None => Ok(()),
        }
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // Where it has its name already, there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// When a row is: its time, without times its number, from 1.
pub(super) fn label(member: &Member, row: usize) -> String {
    member.axis.as_ref().map_or_else(|| (row + 1).to_string(), |axis| axis.label(row))
}

//! backtest.csv, written origin by origin: it may be larger than memory.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use lstm_data::panel::Panel;
use lstm_nn::durable::Durable;
use lstm_train::backtest::Batch;

use crate::failure::{Failure, Result};
use crate::forecast::{names, quoted};
use crate::picture::label;

/// The file under way.
pub(super) struct Sheet {
    path: PathBuf,
    file: BufWriter<Durable>,
}

impl Sheet {
    /// With the header line.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let mut sheet = Self { file: BufWriter::new(Durable::create(&path)?), path };
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
                        for [lo, hi] in forecasts.edges[at] {
                            write!(file, ",{lo},{hi}")?;
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
    pub(super) fn finish(self) -> Result<()> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|error| Failure::file(&path, error.error()))?;
        Ok(file.finish()?)
    }

    fn put(&mut self, what: impl FnOnce(&mut BufWriter<Durable>) -> io::Result<()>) -> Result<()> {
        what(&mut self.file).map_err(|error| Failure::file(&self.path, &error))
    }
}

//! From a CSV file to the one series that is forecast.

use std::path::Path;

use lstm_data::{Error, Series, Table, choose_target, read_table, read_table_from};

use crate::failure::Result;
use crate::settings::Reading;

/// The cells of a file, or of standard input for `-`.
///
/// # Errors
/// A data failure that names file and line.
pub(crate) fn table(file: &Path, reading: &Reading) -> Result<Table> {
    Ok(if file.as_os_str() == "-" {
        read_table_from(std::io::stdin().lock(), "standard input", &reading.csv())?
    } else {
        read_table(file, &reading.csv())?
    })
}

/// The series that is forecast: one column of numbers on an even time axis.
///
/// # Errors
/// A data failure that names file, line and column, a usage failure where the choice of column is open.
pub(crate) fn read(file: &Path, reading: &Reading) -> Result<Series> {
    let table = table(file, reading)?;
    let mut options = reading.series();
    let target = choose_target(&table, reading.target.as_deref(), &options.time)?;
    let series = match (Series::from_table(&table, &[target], &options), reading.season) {
        // The step's own season fills best; where it has none, the one that was named has to do.
        (Err(Error::Setting { name: "--fill", .. }), Some(season)) => {
            options.season = Some(season.get());
            Series::from_table(&table, &[target], &options)?
        }
        (series, _) => series?,
    };
    series.check_varies()?;
    Ok(series)
}

/// The same way of reading, with the columns named that were found.
pub(crate) fn resolved(reading: &Reading, series: &Series) -> Reading {
    Reading {
        target: series.names.first().cloned(),
        time: Some(series.time.as_ref().map_or("none".into(), |axis| axis.name.clone())),
        // The season of the run is part of its configuration.
        season: None,
        ..reading.clone()
    }
}

/// The numbers.
pub(crate) fn values(series: &Series) -> Vec<f64> {
    series.values.iter().copied().collect()
}

/// Seasons that the step suggests, shortest first.
pub(crate) fn seasons(series: &Series) -> Vec<usize> {
    let step = series.time.as_ref().map(|axis| axis.step);
    step.iter().flat_map(|step| [Some(step.season()), step.second_season()]).flatten().collect()
}

/// What the series is, in one line: file, column, rows, step, first and last time.
pub(crate) fn described(series: &Series) -> String {
    let name = series.names.first().map_or("", String::as_str);
    let mut text = format!("{}: {name}, {} rows", series.file, series.rows());
    if let Some(axis) = &series.time {
        let last = axis.label(series.rows().saturating_sub(1));
        text += &format!(", step {}, {} to {last}", axis.step, axis.label(0));
    }
    text + "\n" + &repaired(series)
}

/// What was repaired, in one line, or nothing.
fn repaired(series: &Series) -> String {
    let repairs = &series.repairs;
    let parts: Vec<String> = [
        (repairs.unsorted, "rows put in order"),
        (repairs.duplicates, "rows with a time that stood before"),
        (repairs.rows, "missing rows added"),
        (repairs.values, "missing values filled"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if parts.is_empty() { String::new() } else { format!("repaired: {}\n", parts.join(", ")) }
}

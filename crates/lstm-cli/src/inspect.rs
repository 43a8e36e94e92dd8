//! `lstm inspect`: what a CSV file, a model file or a run folder holds.

use std::path::Path;

use lstm_data::inspect::{ColumnSummary, SeriesSummary, Summary, TimeSummary};
use lstm_data::{Kind, Layout, summarise};
use serde_json::json;

use crate::args::Inspect;
use crate::failure::Result;
use crate::forecast::refuse;
use crate::run::Saved;
use crate::settings::Reading;
use crate::train::in_words;
use crate::{input, output};

/// Prints what the file holds.
///
/// # Errors
/// Those of data and models.
pub(crate) fn run(args: &Inspect) -> Result<()> {
    let is_model = args.file.is_dir() || args.file.extension().is_some_and(|ending| ending == "safetensors");
    let reading = Reading {
        time: args.time.clone(),
        date_order: args.date_order,
        delimiter: args.delimiter,
        decimal: args.decimal,
        no_header: args.no_header,
        ..Reading::default()
    };
    if is_model {
        let held = args.file.display();
        refuse(&reading, &format!("says how to read a CSV file, and {held} holds a model; leave it out"))?;
        return model(&args.file, args.json);
    }
    table(args, &reading)
}

fn table(args: &Inspect, reading: &Reading) -> Result<()> {
    let table = input::table(&args.file, reading)?;
    let summary = summarise(&table, &reading.time_choice(), reading.date_order)?;
    if args.json {
        return output::print_json(&json!(summary));
    }
    let mut text = format!("{}: {} rows, {} columns", summary.file, summary.rows, summary.columns.len());
    if summary.columns.len() > 1 {
        text += &match summary.delimiter {
            '\t' => ", parted by tabs".to_owned(),
            delimiter => format!(", parted by '{delimiter}'"),
        };
    }
    text += "\n\n";
    // Where a series is a row, its columns are many and say little.
    if summary.layout != Layout::Rows {
        text += &columns(&summary);
        text += "\n";
    }
    if let Some(axis) = &summary.time {
        text += &time(axis);
        text += "\n";
    }
    text += &series_found(&summary);
    output::print(text.as_bytes())
}

/// The series that would be forecast, or why there are none.
fn series_found(summary: &Summary) -> String {
    let Some(series) = &summary.series else {
        let refusal = summary.refusal.as_deref().unwrap_or_default();
        return format!("it cannot be forecast as it is: {refusal}\n");
    };
    let SeriesSummary { count, first, shortest, longest, notes, .. } = series;
    let values = if shortest == longest { longest.to_string() } else { format!("{shortest} to {longest}") };
    let more = if *count > first.len() { ", …" } else { "" };
    let mut text = format!("{count} series of {values} values: {}{more}\n", first.join(", "));
    for note in notes {
        text += &format!("{note}\n");
    }
    text
}

/// Columns that are listed.
const COLUMNS: usize = 30;

fn columns(summary: &Summary) -> String {
    let widest = summary.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    let wide = widest.clamp(6, 30);
    let header = format!(
        "{:<wide$}  {:<9}{:>9}{:>12}{:>12}{:>12}{:>10}\n",
        "column", "holds", "missing", "min", "mean", "max", "seasonal"
    );
    let mut text = output::bold(&header);
    for column in summary.columns.iter().take(COLUMNS) {
        let number = |pick: fn(&lstm_data::inspect::Numbers) -> f64| {
            column.numbers.as_ref().map_or("-".into(), |numbers| output::short(pick(numbers)))
        };
        text += &format!(
            "{:<wide$}  {:<9}{:>9}{:>12}{:>12}{:>12}{:>10}\n",
            column.name,
            column.kind.words(),
            column.missing,
            number(|n| n.min),
            number(|n| n.mean),
            number(|n| n.max),
            column.season_correlation.map_or("-".into(), |r| format!("{r:.2}")),
        );
    }
    if summary.columns.len() > COLUMNS {
        text += &format!("and {} more columns\n", summary.columns.len() - COLUMNS);
    }
    for column in summary.columns.iter().take(COLUMNS) {
        text += &flaws(column);
    }
    text
}

/// What is missing or wrong in a column.
fn flaws(column: &ColumnSummary) -> String {
    let mut text = String::new();
    if column.kind == Kind::Number && column.missing > 0 {
        let line = column.first_missing.unwrap_or(0);
        let (name, missing) = (&column.name, column.missing);
        text += &format!("{name}: {missing} values are missing, the first in line {line}\n");
    }
    if column.bad > 0 {
        let line = column.first_bad.unwrap_or(0);
        text += &format!("{}: {} cells are no numbers, the first in line {line}\n", column.name, column.bad);
    }
    text
}

fn time(time: &TimeSummary) -> String {
    let step = time.step.as_deref().unwrap_or("unknown");
    let mut text = format!("time: {}, from {} to {}, step {step}", time.column, time.first, time.last);
    if time.season > 1 {
        text += &format!(", season {}", time.season);
    }
    if let Some(second) = time.second_season {
        text += &format!(" and {second}");
    }
    text += "\n";
    let lines = |lines: &[u64]| lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if time.unsorted > 0 {
        let line = time.first_unsorted.unwrap_or(0);
        text += &format!("{} rows out of order, the first in line {line}\n", time.unsorted);
    }
    if time.duplicates > 0 {
        let (count, lines) = (time.duplicates, lines(&time.duplicate_lines));
        text += &format!("{count} rows with a time that stood before (line {lines})\n");
    }
    if time.gaps > 0 {
        let (gaps, missing, lines) = (time.gaps, time.missing_rows, lines(&time.gap_lines));
        text += &format!("{gaps} gaps of {missing} rows in all (before line {lines})\n");
    }
    if time.irregular > 0 {
        let line = time.first_irregular.unwrap_or(0);
        text += &format!("{} rows off the step, the first in line {line}: --time none\n", time.irregular);
    }
    text
}

fn model(run: &Path, json: bool) -> Result<()> {
    let saved = Saved::read(run)?;
    let (task, network) = (&saved.task, &saved.model.network);
    let parameters: usize =
        network.param_layout().entries().iter().map(|entry| entry.shape.iter().product::<usize>()).sum();
    if json {
        return output::print_json(&json!({
            "model": saved.path,
            "dtype": saved.model.dtype,
            "parameters": parameters,
            "network": network,
            "task": task,
        }));
    }
    let config = &task.config;
    let whose = match task.members.as_slice() {
        [only] => only.id.clone(),
        all => format!("{} series", all.len()),
    };
    let networks = match saved.model.networks() {
        1 => String::new(),
        count => format!(" in each of {count} networks"),
    };
    let mut text = format!(
        "{}: {}, {parameters} parameters{networks} ({})\nforecasts {}, {} steps from {}",
        saved.path.display(),
        in_words(config),
        saved.model.dtype,
        whose,
        config.horizon,
        config.lookback
    );
    let rows: usize = task.members.iter().map(|member| member.rows).sum();
    match task.members.first().and_then(|member| Some((member, member.axis.as_ref()?))) {
        Some((member, axis)) => {
            let last = axis.label(member.rows.saturating_sub(1));
            text += &format!(", step {}; trained on {rows} rows, {} to {last}\n", axis.step, axis.label(0));
        }
        None => text += &format!("; trained on {rows} rows\n"),
    }
    let settings = toml::Table::try_from(config).unwrap_or_default();
    let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
    text += &format!("settings: {}\n", settings.join(", "));
    match &task.evaluation {
        Some(evaluation) => text += &format!("\nOn held-out rows:\n{}", output::comparison(evaluation)),
        None => text += "it could not be measured on held-out rows\n",
    }
    if let Some(why) = &task.cut_short {
        text += &format!("training was cut short ({why}): these are the best weights up to then\n");
    }
    output::print(text.as_bytes())
}

//! `cargo xtask report accuracy`: trains on every series of a data folder, keeps what came as cells, and makes the tables
//! of docs/forecasting.md from these.

mod cell;
mod effects;
mod page;
mod series;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::source::Source;
use crate::{lstm, root, target};
use cell::{Cell, Variant};
use series::{ALL, Part, Series};

/// What is trained, and on what it is measured.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the series; without one, the tables are made from the cells there are
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seeds of each series
    #[arg(long, value_name = "COUNT", default_value_t = 3, requires = "data")]
    seeds: u64,
    /// This series alone, or all whose names begin with this and a hyphen (may be given several times)
    #[arg(long, value_name = "NAME", requires = "data")]
    only: Vec<String>,
    /// Measure on the test part, and write down that it was looked at
    #[arg(long, requires = "data")]
    test: bool,
    /// Measure what options do, each alone, instead of the program's own choice
    #[arg(long, requires = "data", conflicts_with = "test")]
    effects: bool,
    /// Write nothing, and fail if the tables are not what the cells give
    #[arg(long, conflicts_with = "data")]
    check: bool,
}

/// Computes the cells that are missing or stale, then makes the tables.
///
/// # Errors
/// If a file is missing, `lstm` fails on one, or, with `check`, a table is another.
pub(super) fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    if let Some(data) = &args.data {
        let part = if args.test { Part::Test } else { Part::Validation };
        let wanted = |series: &&Series| {
            let meant = |name: &String| series.name == name || series.name.starts_with(&format!("{name}-"));
            args.only.is_empty() || args.only.iter().any(meant)
        };
        let chosen: Vec<&Series> = ALL.iter().filter(wanted).collect();
        if chosen.is_empty() {
            bail!("no such series; there are {}", ALL.map(|series| series.name).join(", "));
        }
        let bench = Bench::new(data)?;
        // Every series once before any of them twice.
        for seed in 1..=args.seeds {
            for series in &chosen {
                let variants = match (args.effects, seed) {
                    (true, _) => effects::of(series),
                    (false, 1) => vec![Variant::whole(), Variant::alone()],
                    (false, _) => vec![Variant::whole()],
                };
                variants.iter().try_for_each(|variant| bench.cell(series, part, variant, seed))?;
            }
        }
    }
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path)?;
    fs::write(&path, page::with_tables(&page)?)?;
    Ok(())
}

/// The page with the tables.
const PAGE: &str = "docs/forecasting.md";

/// Holds the tables of the page against the cells.
///
/// # Errors
/// If they differ.
pub(super) fn check() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE))?;
    if page::with_tables(&page)? != page {
        bail!("the tables of {PAGE} are not what the cells give: run `cargo xtask report accuracy`");
    }
    Ok(())
}

/// All that a run needs.
struct Bench<'a> {
    data: &'a Path,
    /// Where files and runs lie meanwhile.
    work: PathBuf,
    source: Source,
}

impl<'a> Bench<'a> {
    /// Builds the program, and keeps a copy, so that later changes of the sources do not reach into the run.
    fn new(data: &'a Path) -> Result<Self> {
        let source = Source::now()?;
        let program = lstm()?;
        let work = target().join("accuracy");
        fs::create_dir_all(&work)?;
        fs::copy(program, work.join("lstm")).context("the program that was built")?;
        Ok(Self { data, work, source })
    }

    /// Computes a cell unless it is there and not stale.
    fn cell(&self, series: &Series, part: Part, variant: &Variant, seed: u64) -> Result<()> {
        let file = self.work.join(format!("{}-{}.csv", series.name, part.name()));
        series.write(self.data, part, &file)?;
        let made = (cell::configuration(series, part, variant), cell::hash(&fs::read(&file)?));
        let path = cell::path(series, part, variant, seed);
        let name = format!("{} {} {} {seed}", part.name(), series.name, variant.stem);
        if path.exists() {
            let old = cell::read(&path)?;
            if (&old.configuration, &old.data) == (&made.0, &made.1) {
                println!("{name}: is there");
                return Ok(());
            }
            println!("{name}: is stale and made again");
        }
        let out = self.work.join("run");
        let begun = Instant::now();
        let status = Command::new(self.work.join("lstm"))
            .arg("train")
            .arg(&file)
            .args(cell::arguments(series, part, variant))
            .args(["--seed", &seed.to_string(), "--device", "cpu", "--quiet", "--force", "--out"])
            .arg(&out)
            .status()
            .context("lstm does not start")?;
        if !status.success() {
            bail!("{name}: lstm train ended with {status}");
        }
        let seconds = begun.elapsed().as_secs_f64();
        let metrics = serde_json::from_slice(&fs::read(out.join("metrics.json"))?)?;
        let cell = Cell::new(&metrics, made, &self.source, seconds)?;
        let figures = figures(series, &cell);
        println!("{name}: {figures}; {seconds:.0} s");
        if part == Part::Test {
            looked(&format!("{} {} {seed}", series.name, variant.stem), &self.source.commit, &figures)?;
        }
        cell.write(&path)
    }
}

/// The errors of all methods.
fn figures(series: &Series, cell: &Cell) -> String {
    let measures = series.measures.iter().map(|measure| {
        let of = cell.errors.iter().map(|(method, errors)| {
            format!("{method} {}", errors.of(*measure).map_or("-".into(), |error| format!("{error:.4}")))
        });
        format!("{measure:?}: {}", of.collect::<Vec<_>>().join(", "))
    });
    measures.collect::<Vec<_>>().join("; ")
}

/// Writes down that the test part was looked at.
fn looked(what: &str, commit: &str, figures: &str) -> Result<()> {
    let path = root().join("experiments/accuracy/test-looks.md");
    let mut log = OpenOptions::new().append(true).open(&path).with_context(|| path.display().to_string())?;
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    Ok(writeln!(log, "| {date} | {commit} | {what} | {figures} |")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_a_name_of_its_own_and_a_measure() {
        for series in &ALL {
            assert!(!series.measures.is_empty());
            assert_eq!(ALL.iter().filter(|other| other.name == series.name).count(), 1);
        }
    }
}

//! Published against obtained: for a terminal, for a program, and as docs/experiments.md.

use std::fmt::Write;

use serde_json::{Value, json};

use super::cell::{Cell, Shown};
use super::claim::{Claims, Verdict};
use super::data::Data;
use super::experiment::{Expected, Experiment};
use crate::failure::Result;
use crate::output::{bold, short};

/// Seeds that a target is meant for.
const SEEDS: usize = 10;

/// An experiment with the cells that stand for it.
pub(super) struct Results<'a> {
    pub(super) experiment: &'a Experiment,
    /// By seed.
    pub(super) cells: Vec<Cell>,
    /// Cells of an earlier form of the experiment, left out.
    pub(super) stale: usize,
}

/// One figure over the seeds.
struct Row<'a> {
    figure: String,
    values: Vec<f64>,
    expected: Option<&'a Expected>,
}

impl<'a> Results<'a> {
    fn rows(&self) -> Vec<Row<'a>> {
        let names = self.experiment.figure_names().into_iter();
        names
            .map(|figure| Row {
                values: self.values(&figure),
                expected: self.experiment.figures.get(&figure),
                figure,
            })
            .collect()
    }

    pub(super) fn values(&self, figure: &str) -> Vec<f64> {
        self.cells.iter().filter_map(|cell| cell.figures.get(figure).copied()).collect()
    }

    /// The cell that the picture shows: the one in the middle, by the first figure.
    pub(super) fn middle(&self) -> Option<&Cell> {
        let figure = self.experiment.figure_names().into_iter().next()?;
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        let value = |cell: &Cell| cell.figures.get(&figure).copied().unwrap_or(f64::NAN);
        cells.sort_by(|a, b| value(a).total_cmp(&value(b)));
        cells.get(cells.len().saturating_sub(1) / 2).copied()
    }

    /// Whether every target of the experiment is met.
    pub(super) fn met(&self) -> bool {
        self.rows().iter().all(|row| row.met() != Some(false))
    }

    /// The table for a person.
    pub(super) fn text(&self) -> String {
        let count = self.cells.len();
        let seeds = if count == 1 { "1 seed".to_owned() } else { format!("median [range] of {count} seeds") };
        let mut text = bold(&format!("{}: {}", self.experiment.name, self.experiment.title)) + "\n";
        let rows = self.rows();
        let width = rows.iter().map(|row| row.figure.len() + 1).fold(19, usize::max);
        let _ = writeln!(text, "  {:<width$}{:<30} {:<16} {:<26} published", "", seeds, "PyTorch", "target");
        for row in rows {
            let published = row.expected.and_then(|e| e.published.as_deref()).unwrap_or("-");
            let _ = writeln!(
                text,
                "  {:<width$}{:<30} {:<16} {:<26} {published}",
                row.figure,
                row.obtained(),
                row.pytorch(),
                row.target()
            );
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let figures = self.rows().into_iter().map(|row| {
            let target = row.expected.and_then(Expected::target);
            let value = json!({
                "values": row.values,
                "median": median(&row.values),
                "published": row.expected.and_then(|e| e.published.clone()),
                "pytorch": row.expected.map(|e| e.pytorch.clone()),
                "target": target.map(|t| json!({ "at-least": t.at_least, "at-most": t.at_most })),
                "met": row.met(),
            });
            (row.figure, value)
        });
        json!({
            "name": self.experiment.name,
            "title": self.experiment.title,
            "program": self.experiment.program,
            "seeds": self.cells.iter().map(|cell| cell.seed).collect::<Vec<_>>(),
            "met": self.met(),
            "figures": figures.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Row<'_> {
    fn obtained(&self) -> String {
        let Some(middle) = median(&self.values) else { return "-".into() };
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if least < most {
            format!("{} [{}, {}]", short(middle), short(least), short(most))
        } else {
            short(middle)
        }
    }

    fn pytorch(&self) -> String {
        let values = self.expected.map_or(&[][..], |e| &e.pytorch);
        let Some(most) = values.iter().copied().reduce(f64::max) else { return "-".into() };
        let least = values.iter().copied().fold(most, f64::min);
        if least < most { format!("{least} to {most}") } else { least.to_string() }
    }

    fn met(&self) -> Option<bool> {
        Some(self.expected?.target()?.holds(median(&self.values)?))
    }

    fn target(&self) -> String {
        let Some(target) = self.expected.and_then(Expected::target) else { return "-".into() };
        let met = match self.met() {
            Some(true) => ": met",
            Some(false) => ": NOT MET",
            None => "",
        };
        format!("{}{met}", target.words())
    }
}

/// The claims about these results, for a person.
pub(super) fn claims_text(claims: &[Claims], results: &[Results<'_>]) -> String {
    let mut text = String::new();
    for (claim, verdict, reasons) in judged(claims, results) {
        let _ = writeln!(text, "{}: {claim}", bold(verdict.words()));
        for reason in reasons {
            let _ = writeln!(text, "  {reason}");
        }
    }
    text
}

pub(super) fn claims_json(claims: &[Claims], results: &[Results<'_>]) -> Value {
    let all = judged(claims, results).into_iter();
    all.map(
        |(claim, verdict, reasons)| json!({ "claim": claim, "verdict": verdict.words(), "because": reasons }),
    )
    .collect()
}

/// Claims whose experiments are all among the results.
fn judged(claims: &[Claims], results: &[Results<'_>]) -> Vec<(String, Verdict, Vec<String>)> {
    let find = |name: &str| results.iter().find(|r| r.experiment.name == name);
    let values = |name: &str, figure: &str| find(name).map_or(Vec::new(), |r| r.values(figure));
    let ours = claims.iter().flat_map(|c| &c.claims);
    ours.filter(|claim| claim.experiments().all(|name| find(name).is_some()))
        .map(|claim| {
            let (verdict, reasons) = claim.verdict(&values);
            (claim.says.clone(), verdict, reasons)
        })
        .collect()
}

/// The page of one seed program: a table and the claims.
pub(super) fn markdown(program: &str, claims: &[Claims], results: &[Results<'_>]) -> String {
    let mut text = format!("\n## Seed program {program}\n\n");
    text += "| experiment | figure | ours: median [range] | seeds | PyTorch | published | target |\n|---|---|---|---|---|---|---|\n";
    for result in results {
        let mut first = true;
        for row in result.rows().into_iter().filter(Row::worth_a_line) {
            let published = row.expected.and_then(|e| e.published.as_deref()).unwrap_or("-");
            let stale = if result.stale > 0 { format!(", {} stale", result.stale) } else { String::new() };
            let (name, seeds) = if first {
                let Experiment { name, title, .. } = result.experiment;
                (format!("`{name}`: {title}"), format!("{}{stale}", result.cells.len()))
            } else {
                (String::new(), String::new())
            };
            first = false;
            let mut target = row.target().replace("NOT MET", "**not met**");
            if row.met().is_some() && result.cells.len() < SEEDS {
                let _ = write!(target, " ({} of {SEEDS} seeds)", result.cells.len());
            }
            let cells = [&name, &row.figure, &row.obtained(), &seeds, &row.pytorch(), published, &target];
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    let judged = judged(claims, results);
    if !judged.is_empty() {
        text += "\n| claim of the original | our seeds | because |\n|---|---|---|\n";
    }
    for (claim, verdict, reasons) in judged {
        let _ = writeln!(text, "| {claim} | **{}** | {} |", verdict.words(), reasons.join("; "));
    }
    text
}

/// The outputs for one sequence of clock times as a table: what they should be, and are before and after training.
/// Empty for an experiment on other data.
pub(super) fn outputs_table(experiment: &Experiment, cell: &Cell) -> Result<String> {
    let (Data::Times(times), Shown::Times { before, after, errors }) = (&experiment.data, &cell.shown) else {
        return Ok(String::new());
    };
    let (clock, labels) = times.shown()?;
    let steps: Vec<String> = (1..=labels.len()).map(|step| step.to_string()).collect();
    let line = |words: &str, values: &[f64]| {
        let values: Vec<String> = values.iter().map(|value| short(*value)).collect();
        format!("| {words} | {} |\n", values.join(" | "))
    };
    let mut text = format!("\n| output | {} |\n|{}\n", steps.join(" | "), "---|".repeat(steps.len() + 1));
    for (words, values) in
        [("time", &clock), ("label", &labels), ("before training", before), ("after", after)]
    {
        text += &line(words, values);
    }
    let published = &experiment.published_outputs;
    if !published.is_empty() {
        let mut cells: Vec<String> = published.iter().map(|value| short(*value)).collect();
        cells.resize(steps.len(), "-".into());
        text += &format!("| published, after | {} |\n", cells.join(" | "));
    }
    text += &line("mean squared error", errors);
    Ok(text)
}

impl Row<'_> {
    /// Whether the page shows it: what something is said about, and the loss beside its floor.
    fn worth_a_line(&self) -> bool {
        self.expected.is_some()
            || ["free-run-mse", "final-loss", "noise-floor"].contains(&self.figure.as_str())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(0.5 * (sorted[low] + sorted[high]))
}

//! The tables of docs/forecasting.md: everything between two marks comes from the cells.

use anyhow::{Context, Result};

use super::cell::{self, Cell, Variant};
use super::effects;
use super::series::{ALL, Measure, Part, Series};

/// The page with fresh tables.
pub(super) fn with_tables(page: &str) -> Result<String> {
    let tables = [Part::Validation, Part::Test].map(table).into_iter().collect::<Result<String>>()?;
    between(&between(page, "tables", &tables)?, "effects", &effects::table()?)
}

/// The page with another text between its marks of this name.
fn between(page: &str, name: &str, text: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->\n"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.with_context(|| format!("the page has no marks of {name}"))?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

/// The cells that there are, by seed, and whether one of them is stale.
pub(super) fn cells(series: &Series, part: Part, variant: &Variant) -> Result<(Vec<Cell>, bool)> {
    let cells = cell::all(series, part, variant)?;
    let configuration = cell::configuration(series, part, variant);
    let stale = cells.iter().any(|cell| cell.configuration != configuration);
    Ok((cells, stale))
}

/// What is known about a series in a part.
struct Row<'a> {
    series: &'a Series,
    /// One a seed.
    whole: Vec<Cell>,
    alone: Vec<Cell>,
    stale: bool,
}

impl<'a> Row<'a> {
    /// None where nothing has been measured.
    fn new(series: &'a Series, part: Part) -> Result<Option<Self>> {
        let (whole, old) = cells(series, part, &Variant::whole())?;
        let (alone, older) = cells(series, part, &Variant::alone())?;
        let stale = old || older;
        Ok((!whole.is_empty()).then_some(Self { series, whole, alone, stale }))
    }

    /// The cells of one measure of the table, separated.
    fn text(&self, measure: Measure) -> String {
        let of = |cells: &[Cell], method: &str| -> Vec<f64> {
            let errors = cells.iter().filter_map(|cell| cell.errors.get(method));
            errors.filter_map(|errors| errors.of(measure)).collect()
        };
        let lstm = of(&self.whole, "lstm");
        let others =
            ["linear", "ets", "theta", "seasonal-naive", "naive"].map(|method| of(&self.whole, method));
        let best_other = others
            .iter()
            .filter_map(|values| median(values))
            .fold(f64::INFINITY, |best, value| best.min(value));
        let won = median(&lstm).is_some_and(|value| value < best_other);
        let spread = match (&lstm[..], median(&lstm)) {
            (_, None) => "-".to_owned(),
            ([_], Some(only)) => bold(short(only), won),
            (_, Some(middle)) => {
                let low = lstm.iter().copied().fold(f64::INFINITY, f64::min);
                let high = lstm.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                format!("{} [{}, {}]", bold(short(middle), won), short(low), short(high))
            }
        };
        let gain = median(&self.whole.iter().map(|cell| cell.gain).collect::<Vec<_>>()).unwrap_or(0.0);
        let inside = (0..3).map(|level| {
            let shares =
                self.whole.iter().filter_map(|cell| cell.errors.get("lstm")?.coverage.get(level).copied());
            median(&shares.collect::<Vec<_>>()).map_or("-".into(), |share| format!("{:.0}", 100.0 * share))
        });
        let seconds = median(&self.whole.iter().map(|cell| cell.seconds).collect::<Vec<_>>()).unwrap_or(0.0);
        let others = others.map(|values| median(&values).map_or("-".into(), short)).join(" | ");
        format!(
            "| {}{} | {} | {} | {spread} | {} | {} | {others} | {:.0} % | {} | {seconds:.0} |\n",
            self.series.title,
            if self.stale { " (stale)" } else { "" },
            self.series.horizon,
            name(measure),
            self.whole.len(),
            median(&of(&self.alone, "lstm")).map_or("-".into(), short),
            100.0 * gain,
            inside.collect::<Vec<_>>().join(" / "),
        )
    }
}

fn table(part: Part) -> Result<String> {
    let rows: Vec<Row<'_>> =
        ALL.iter().filter_map(|series| Row::new(series, part).transpose()).collect::<Result<_>>()?;
    let head = match part {
        Part::Validation => {
            "**Validation part.** The test part was cut off the file before the program saw it.\n"
        }
        Part::Test => "\n**Test part.** Each look is in [a log](../experiments/accuracy/test-looks.md).\n",
    };
    if rows.is_empty() {
        return Ok(format!("{head}\nNothing has been measured yet.\n"));
    }
    let cells = rows.iter().flat_map(|row| row.whole.iter().chain(&row.alone));
    let mut machines: Vec<&str> = cells.map(|cell| cell.machine.as_str()).collect();
    machines.sort_unstable();
    machines.dedup();
    let mut text = format!(
        "{head}\n| series | horizon | error | LSTM and base | seeds | LSTM alone | linear alone | ETS | Theta | seasonal naive \
         | naive | gain | inside, % | s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in &rows {
        text.extend(row.series.measures.iter().map(|measure| row.text(*measure)));
    }
    if rows.iter().any(|row| row.stale) {
        text += "\n*Stale*: made with other options or by an older forecaster.\n";
    }
    Ok(text + &format!("\nMade on: {}.\n", machines.join("; ")))
}

pub(super) fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Mae => "MAE",
        Measure::ScaledMae => "MAE, scaled",
        Measure::ScaledMse => "MSE, scaled",
        Measure::Smape => "sMAPE",
        Measure::Mase => "MASE",
    }
}

fn bold(text: String, bold: bool) -> String {
    if bold { format!("**{text}**") } else { text }
}

/// Four significant digits, no exponent.
pub(super) fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    format!("{value:.*}", (3 - digits).clamp(0, 6) as usize)
}

/// The middle value, the mean of the middle two where there are two.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[half]),
        _ => Some(0.5 * (sorted[half - 1] + sorted[half])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([16.834, 0.38012, 2112.4, 0.0].map(short), ["16.83", "0.3801", "2112", "0.000"]);
        assert_eq!(
            [median(&[]), median(&[3.0, 1.0, 2.0]), median(&[1.0, 2.0])],
            [None, Some(2.0), Some(1.5)]
        );
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "# Title\n<!-- a: begin -->\nlast year\n<!-- a: end -->\nrest\n";
        let made = between(page, "a", "new\n").unwrap();
        assert_eq!(made, page.replace("last year", "new"));
        assert!(between(page, "b", "new\n").is_err());
    }
}

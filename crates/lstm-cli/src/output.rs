//! What is printed: results on standard output, in words or as JSON, and how numbers are written.

use std::io::{ErrorKind, Write};

use console::Term;
use lstm_train::forecaster::{Evaluation, Score, Taken, Trial};
use lstm_train::metrics::Metrics;
use serde_json::Value;

use crate::failure::{Failure, Result};

/// Prints to standard output. A reader who has gone is no mistake: what was to be printed is in files too.
///
/// # Errors
/// A model failure where the output cannot be written.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::model(format!("standard output: {error}; send it to another place")))
        }
        _ => Ok(()),
    }
}

/// Prints one JSON object.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: &Value) -> Result<()> {
    print(format!("{value:#}\n").as_bytes())
}

/// Whether standard output shows colours: a terminal, and nobody set `NO_COLOR`.
pub(crate) fn colours() -> bool {
    Term::stdout().is_term() && console::colors_enabled()
}

/// Columns of the terminal; off a terminal those of a page.
pub(crate) fn width() -> usize {
    match Term::stdout().size_checked() {
        Some((_, columns)) => usize::from(columns).clamp(40, 120),
        None => 90,
    }
}

/// `words` in bold where colours are shown.
pub(crate) fn bold(words: &str) -> String {
    if colours() { format!("\x1b[1m{words}\x1b[0m") } else { words.to_owned() }
}

/// A number with four significant digits.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    let size = value.abs();
    match size {
        0.0 => "0".into(),
        _ if !(1e-4..1e7).contains(&size) => format!("{value:.3e}"),
        _ => {
            let before = size.log10().floor() as i32 + 1;
            format!("{value:.*}", usize::try_from(4 - before).unwrap_or(0))
        }
    }
}

/// A number of bytes in a unit that suits it.
pub(crate) fn size(bytes: usize) -> String {
    let (mut value, mut unit) = (bytes as f64, None);
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value >= 1024.0 {
            (value, unit) = (value / 1024.0, Some(larger));
        }
    }
    unit.map_or_else(|| format!("{bytes} bytes"), |unit| format!("{} {unit}", short(value)))
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    // Adding 0 turns -0 into 0.
    match (100.0 * share).round() + 0.0 {
        rounded if rounded < -999.0 => "< -999%".into(),
        rounded => format!("{rounded}%"),
    }
}

/// The name of a method in a sentence.
pub(crate) fn spoken(method: &str) -> &str {
    match method {
        "lstm" => "LSTM",
        "seasonal-naive" => "seasonal naive",
        "ets" => "ETS",
        "theta" => "Theta",
        other => other,
    }
}

/// What the networks do that were taken, and whether they help `there`, where they were chosen.
pub(crate) fn taken(trials: &[Trial], taken: &Taken, there: &str) -> Option<String> {
    let helps = match 1.0 - taken.validation / taken.simple {
        gain if gain.abs() < ALIKE => format!("errs as much {there} as the best simple forecast"),
        gain if gain > 0.0 => format!("errs {} less {there} than the best simple forecast", percent(gain)),
        _ => format!("does NOT err less {there} than the best simple forecast"),
    };
    let what: Vec<&str> =
        taken.ways.iter().filter_map(|way| trials.get(way.trial)).map(|trial| trial.what.as_str()).collect();
    match what.as_slice() {
        [] => None,
        [only] => Some(format!("The network {only}, and {helps}.")),
        [first, rest @ ..] => Some(format!(
            "The network {first}; its forecasts are averaged with those of {}. The mean {helps}.",
            rest.iter().map(|what| format!("one that {what}")).collect::<Vec<_>>().join(", and of ")
        )),
    }
}

/// Errors that are told as whole percents say nothing about a smaller difference.
const ALIKE: f64 = 0.005;
/// Fewer forecasts than so many cannot tell methods apart.
const FEW: usize = 5;

/// The best method that needs no training.
pub(crate) fn best_baseline(evaluation: &Evaluation) -> Option<&Score> {
    let baselines = evaluation.scores.iter().filter(|score| score.method != "lstm");
    baselines.min_by(|a, b| a.metrics.mae.total_cmp(&b.metrics.mae))
}

/// How much better than the best baseline the LSTM is, as a share of its error.
pub(crate) fn skill(evaluation: &Evaluation) -> Option<f64> {
    evaluation.score("lstm")?.metrics.skill(&best_baseline(evaluation)?.metrics)
}

/// The table of methods and errors, and who wins, in one sentence.
pub(crate) fn comparison(evaluation: &Evaluation) -> String {
    let best = best_baseline(evaluation);
    let mut text = bold(&format!(
        "{:<16}{:>11}{:>11}{:>9}{:>9}{:>9}{:>10}\n",
        "", "MAE", "RMSE", "MASE", "sMAPE", "skill", "in 80%"
    ));
    for score in &evaluation.scores {
        let metrics = &score.metrics;
        let skill = best.and_then(|best| metrics.skill(&best.metrics)).map_or("-".into(), percent);
        text += &format!(
            "{:<16}{:>11}{:>11}{:>9}{:>9}{:>9}{:>10}\n",
            spoken(&score.method),
            short(metrics.mae),
            short(metrics.rmse),
            metrics.mase.map_or("-".into(), short),
            format!("{:.2}%", metrics.smape),
            skill,
            score.coverage.get(1).map_or("-".into(), |share| percent(*share)),
        );
    }
    text += &verdict(evaluation).map_or(String::new(), |sentence| format!("{}\n", bold(&sentence)));
    match evaluation.windows {
        0..FEW => {
            text + "So few forecasts cannot tell methods apart: hold out more rows, or do not trust the table.\n"
        }
        _ => text,
    }
}

/// Who wins, in one sentence.
pub(crate) fn verdict(evaluation: &Evaluation) -> Option<String> {
    let (lstm, best) = (evaluation.score("lstm")?, best_baseline(evaluation)?);
    Some(against(&lstm.metrics, &best.method, &best.metrics))
}

/// The LSTM against the best simple forecast, the method of this name, in one sentence.
pub(crate) fn against(lstm: &Metrics, method: &str, best: &Metrics) -> String {
    let name = spoken(method);
    match lstm.skill(best) {
        Some(skill) if skill.abs() < ALIKE => {
            format!("The LSTM and the best simple forecast ({name}) err alike here: less than 1% apart.")
        }
        Some(skill) if lstm.mae < best.mae => format!(
            "The LSTM is better than the best simple forecast ({name}): {} less error.",
            percent(skill)
        ),
        _ => format!(
            "The LSTM does NOT beat the {name} forecast here (MAE {} against {}): trust the {name} forecast.",
            short(lstm.mae),
            short(best.mae)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (12.3456, "12.35"), (-1234.56, "-1235"), (0.012345, "0.01235"), (1e9, "1.000e9")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(short(f64::NAN), "-");
        let sizes = [0, 1023, 1024, 1 << 20, 1536 << 20, 80 << 30].map(size);
        assert_eq!(sizes, ["0 bytes", "1023 bytes", "1.000 KiB", "1.000 MiB", "1.500 GiB", "80.00 GiB"]);
        assert_eq!((percent(0.314), percent(-0.001)), ("31%".into(), "0%".into()));
    }
}

//! What single options of the forecaster do: each beside the same training without it.

use anyhow::Result;

use super::cell::Variant;
use super::page::{cells, median, name, short};
use super::series::{ALL, Part, Series};

/// Series that options are measured on.
const MEASURED: [&str; 6] = ["sunspots", "births", "taxi", "yosemite", "etth1-96", "m4-hourly"];
/// Those whose forecast is longer than the block.
const LONG: &[&str] = &["taxi", "yosemite", "etth1-96", "m4-hourly"];

/// Options, and the series that they are for.
const EFFECTS: [(&str, &[&str]); 24] = [
    ("--base linear", &MEASURED),
    ("--base season", &MEASURED),
    ("--base last", &MEASURED),
    ("--normalise window", &MEASURED),
    ("--normalise series", &MEASURED),
    ("--normalise log", &["births", "taxi", "m4-hourly"]),
    ("--segment 1", &MEASURED),
    ("--lookback 96", &MEASURED),
    ("--joint", &["etth1-96"]),
    ("--block 12", LONG),
    ("--calendar", &["births", "taxi", "yosemite", "etth1-96"]),
    ("--schedule constant", &MEASURED),
    ("--schedule exponential", &MEASURED),
    ("--patience 0", &MEASURED),
    ("--average 1", &MEASURED),
    ("--ensemble 3", &MEASURED),
    ("--feedback false", &MEASURED),
    ("--loss mae", &MEASURED),
    ("--loss mse", &MEASURED),
    ("--head quantile", &MEASURED),
    ("--dropout 0.3", &MEASURED),
    ("--embedding 64", &MEASURED),
    ("--hidden 128", &MEASURED),
    ("--layers 2", &MEASURED),
];

/// A quarter of the default effort, the same for all; the plain training has an empty option.
fn variant(option: &str) -> Variant {
    let words: Vec<&str> = option.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    Variant {
        stem: format!("effect-{}", words.join("-")),
        options: format!("--effort 500 {option}"),
        chosen: false,
    }
}

/// All that is trained on a series.
pub(super) fn of(series: &Series) -> Vec<Variant> {
    let plain = MEASURED.contains(&series.name).then_some("");
    let options = EFFECTS.iter().filter(|(_, on)| on.contains(&series.name)).map(|(option, _)| *option);
    plain.into_iter().chain(options).map(variant).collect()
}

/// A row for each option, a column for each series.
pub(super) fn table() -> Result<String> {
    let columns: Vec<&Series> = ALL.iter().filter(|series| MEASURED.contains(&series.name)).collect();
    let mut stale = false;
    let mut error = |series: &Series, option: &str| -> Result<Option<f64>> {
        let (cells, old) = cells(series, Part::Validation, &variant(option))?;
        stale |= old;
        let measured = cells.iter().filter_map(|cell| cell.errors.get("lstm")?.of(series.measures[0]));
        Ok(median(&measured.collect::<Vec<_>>()))
    };
    let plain = columns.iter().map(|series| error(series, "")).collect::<Result<Vec<_>>>()?;
    if plain.iter().all(Option::is_none) {
        return Ok("Nothing has been measured yet.\n".into());
    }
    let mut row = |option: &str| -> Result<String> {
        let change = |(series, plain): (&&Series, &Option<f64>)| {
            let changed = plain.zip(error(series, option)?).map(|(plain, now)| 100.0 * (now / plain - 1.0));
            Ok(changed.map_or("-".into(), |percent| format!("{percent:+.1} %")))
        };
        let changes = columns.iter().zip(&plain).map(change).collect::<Result<Vec<String>>>()?;
        Ok(format!("| `{option}` | {} |\n", changes.join(" | ")))
    };
    let rows = EFFECTS.iter().map(|(option, _)| row(option)).collect::<Result<String>>()?;
    let titles = columns.iter().map(|series| format!("{}, {}", series.title, name(series.measures[0])));
    let plain = plain.iter().map(|error| error.map_or("-".into(), short));
    let stale = if stale { "\nSome are *stale*: made by an older forecaster.\n" } else { "" };
    Ok(format!(
        "| option | {} |\n|---{}|\n| none | {} |\n{rows}{stale}",
        titles.collect::<Vec<_>>().join(" | "),
        "|---".repeat(columns.len()),
        plain.collect::<Vec<_>>().join(" | "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_file_of_its_own_and_series_that_are_there() {
        let stems = |series: &Series| of(series).into_iter().map(|variant| variant.stem).collect::<Vec<_>>();
        for series in &ALL {
            let mut names = stems(series);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), stems(series).len());
        }
        let known = |name: &&str| ALL.iter().any(|series| series.name == *name);
        assert!(EFFECTS.iter().all(|(_, on)| on.iter().all(known)));
        assert_eq!(variant("--base linear").stem, "effect-base-linear");
    }
}

//! `lstm eval`: a trained model on a file, against the naive forecasts.

use lstm_data::{Element, Series};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Evaluation, Forecaster};
use serde_json::json;

use crate::args::Eval;
use crate::device::{self, Job, Work};
use crate::failure::Result;
use crate::forecast::{reading, refuse_settled, same_step};
use crate::progress::say;
use crate::run::{Saved, Task};
use crate::settings::Training;
use crate::train::in_file;
use crate::{output, series};

/// Measures the model and prints the comparison.
///
/// # Errors
/// Those of data, models and device.
pub(crate) fn run(args: &Eval) -> Result<()> {
    let saved = Saved::read(&args.run)?;
    refuse_settled(&Training::default(), &args.reading)?;
    let series = series::read(&args.file, &reading(&args.reading, &saved))?;
    same_step(&series.file, series.time.as_ref(), saved.task.time.as_ref())?;
    let values = series::values(&series);
    let after = rows_seen(&series, &values, &saved.task);
    let horizon = saved.task.config.horizon;
    // Rows that the model has learnt by heart say nothing about the future, unless there are no others.
    let first_row = if after + horizon <= values.len() { after } else { 0 };
    let seen = after > first_row;
    let job = Measure { saved: &saved, values: &values, first_row };
    let place = device::open(&args.machine, Work::Forecasting, saved.dtype())?;
    let evaluation = place.run(job)?.map_err(|error| in_file(error, &series.file))?;
    if args.say.json {
        return output::print_json(&json!({
            "file": series.file,
            "model": saved.path,
            "device": place.name(),
            "dtype": place.dtype(),
            "first-row": evaluation.first_row,
            "windows": evaluation.windows,
            "seen-in-training": seen,
            "scores": evaluation.scores,
            "winner": evaluation.winner().map(|score| &score.method),
            "skill": output::skill(&evaluation),
        }));
    }
    if args.say.quiet {
        return Ok(());
    }
    let mut text = series::described(&series);
    text += &format!(
        "{} forecasts of {horizon} steps from row {} on{}:\n",
        evaluation.windows,
        evaluation.first_row + 1,
        if first_row > 0 { ", which the model has not seen" } else { "" }
    );
    text += &output::comparison(&evaluation);
    if seen {
        text += "The model was trained on these rows: its errors on new ones will be larger.\n";
    }
    output::print(text.as_bytes())?;
    say(&format!("forecasts on {}", place.described()));
    Ok(())
}

/// Rows at the start of the series that the model was trained on, or that lie before those.
pub(crate) fn rows_seen(series: &Series, values: &[f64], task: &Task) -> usize {
    if let (Some(new), Some(old)) = (&series.time, &task.time) {
        let Some(end) = task.rows.checked_sub(1).and_then(|last| old.place(last)) else { return 0 };
        let begun = new.place(0).is_some_and(|first| first <= end);
        let seen = (0..values.len()).filter(|row| new.place(*row).is_some_and(|place| place <= end));
        return if begun { seen.count() } else { 0 };
    }
    // Without times, the same numbers in the same rows are the same rows.
    let known = task.rows.checked_sub(task.tail.len()).and_then(|from| values.get(from..task.rows));
    if known == Some(task.tail.as_slice()) { task.rows } else { 0 }
}

/// A saved model under test.
struct Measure<'a> {
    saved: &'a Saved,
    values: &'a [f64],
    first_row: usize,
}

impl Job for Measure<'_> {
    type Output = lstm_train::Result<Evaluation>;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output> {
        let model = self.saved.model.load::<B, F>(backend)?;
        let forecaster = Forecaster { config: self.saved.task.config.clone(), model };
        Ok(forecaster.evaluate(backend, self.values, self.first_row))
    }
}

//! `lstm eval`: a trained model on a file, against simple forecasts.

use lstm_data::Element;
use lstm_data::panel::{Member, Panel};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Evaluation, Forecaster};
use serde_json::json;

use crate::args::Eval;
use crate::device::{self, Job, Work};
use crate::failure::Result;
use crate::forecast::{new_panel, refuse_future, refuse_settled};
use crate::input::Beside;
use crate::progress::say;
use crate::run::Saved;
use crate::settings::Training;
use crate::train::in_file;
use crate::{input, output};

/// Measures the model and prints the comparison.
///
/// # Errors
/// Those of data, models and device.
pub(crate) fn run(args: &Eval) -> Result<()> {
    let saved = Saved::read(&args.run)?;
    refuse_settled(&Training::default(), &args.reading)?;
    refuse_future(&args.reading)?;
    let panel = new_panel(&args.files, &args.reading, &saved)?;
    let horizon = saved.task.config.horizon;
    let after: Vec<usize> = panel.members.iter().map(|member| rows_seen(member, &saved)).collect();
    // Rows that the model has learnt by heart say nothing about the future, unless there are no others.
    let fresh = panel.members.iter().zip(&after).any(|(member, after)| after + horizon <= member.rows());
    let first_row = if fresh { after.clone() } else { vec![0; after.len()] };
    let seen = after.iter().zip(&first_row).any(|(after, first)| after > first);
    let job = Measure { saved: &saved, panel: &panel, first_row: &first_row };
    let place = device::open(&args.machine, Work::Forecasting, saved.dtype())?;
    let evaluation = place.run(job)?;
    if args.say.json {
        return output::print_json(&json!({
            "file": panel.file,
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
    let mut text = input::described(&panel);
    text += &format!(
        "{} forecasts of {horizon} steps from row {} on{}:\n",
        evaluation.windows,
        evaluation.first_row + 1,
        if fresh && after.iter().any(|after| *after > 0) { ", which the model has not seen" } else { "" }
    );
    text += &output::comparison(&evaluation);
    if seen {
        text += "The model was trained on these rows: its errors on new ones will be larger.\n";
    }
    output::print(text.as_bytes())?;
    say(&format!("forecasts on {}", place.described()));
    Ok(())
}

/// Rows at the start of a series that the model was trained on, or that lie before those.
pub(crate) fn rows_seen(series: &Member, saved: &Saved) -> usize {
    let ended = saved.task.members.iter().zip(&saved.tail().members);
    let of_name = || ended.clone().find(|(ended, _)| ended.id == series.id);
    let alone = || ended.clone().next().filter(|_| saved.task.members.len() == 1);
    let Some((ended, tail)) = of_name().or_else(alone) else { return 0 };
    if let (Some(new), Some(old)) = (&series.axis, &ended.axis) {
        let Some(end) = ended.rows.checked_sub(1).and_then(|last| old.place(last)) else { return 0 };
        let begun = new.place(0).is_some_and(|first| first <= end);
        let seen = (0..series.rows()).filter(|row| new.place(*row).is_some_and(|place| place <= end));
        return if begun { seen.count() } else { 0 };
    }
    // Without times, the same numbers in the same rows are the same rows.
    let known = ended.rows.checked_sub(ended.kept).and_then(|from| series.values.get(from..ended.rows));
    if known == Some(tail.values.as_slice()) { ended.rows } else { 0 }
}

/// A saved model under test.
struct Measure<'a> {
    saved: &'a Saved,
    panel: &'a Panel,
    first_row: &'a [usize],
}

impl Job for Measure<'_> {
    type Output = Evaluation;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Evaluation> {
        let Self { saved, panel, first_row } = self;
        let config = &saved.task.config;
        let beside = Beside::new(panel, saved.task.calendar.as_ref(), config.segment);
        let members = beside.members(panel);
        // The first window reads at least so many rows.
        let seen = |member: usize| first_row[member].max(config.reach());
        let forecaster: Forecaster<B, F> = saved.forecaster(backend, panel, (&members, seen))?;
        forecaster.evaluate(backend, &members, first_row).map_err(|error| in_file(error, &panel.file))
    }
}

//! `lstm eval`: a trained model on a file, against simple forecasts.

use lstm_data::Element;
use lstm_data::panel::{Member, Panel};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Evaluation, Forecaster, Part};
use serde_json::json;

use crate::args::Eval;
use crate::device::{self, Job, Work};
use crate::failure::Result;
use crate::forecast::{new_panel, refuse_future, refuse_settled};
use crate::input::Beside;
use crate::progress::say;
use crate::run::{Ended, Saved};
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
    let job = Measure { saved: &saved, panel: &panel, first_row: &first_row, after: &after };
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
        let newer = panel.members.iter().zip(&after).map(|(member, after)| member.rows() - after).max();
        if let Some(newer) = newer.filter(|newer| *newer > 0) {
            text += &format!("Only {newer} of them are newer, fewer than the {horizon} that it forecasts.\n");
        }
    }
    output::print(text.as_bytes())?;
    say(&format!("forecasts on {}", place.described()));
    Ok(())
}

/// The series as the model was trained on it, and the end of that which it keeps.
fn trained_on<'a>(series: &Member, saved: &'a Saved) -> Option<(&'a Ended, &'a Member)> {
    let ended = saved.task.members.iter().zip(&saved.tail().members);
    let of_name = || ended.clone().find(|(ended, _)| ended.id == series.id);
    of_name().or_else(|| ended.clone().next().filter(|_| saved.task.members.len() == 1))
}

/// How a file stands to the rows that the model was trained on, in one line; none where it has seen nothing of it.
pub(crate) fn news(panel: &Panel, saved: &Saved) -> Option<String> {
    let seen = panel.members.iter().map(|member| (member, rows_seen(member, saved)));
    let newer = seen.filter(|(_, seen)| *seen > 0).map(|(member, seen)| member.rows() - seen).max()?;
    let ends_before = |member: &Member| {
        let (ended, _) = trained_on(member, saved)?;
        let (old, new) = (ended.axis.as_ref()?, member.axis.as_ref()?);
        Some(new.place(member.rows().checked_sub(1)?)? < old.place(ended.rows.checked_sub(1)?)?)
    };
    Some(match newer {
        0 if panel.members.iter().any(|member| ends_before(member) == Some(true)) => {
            "It ends before the rows that the model was trained on do: the model has seen what it forecasts here.\n".into()
        }
        0 => "The model was trained on all of these rows.\n".into(),
        newer => format!("The model has not seen the last {newer} of these rows.\n"),
    })
}

/// Rows at the start of a series that the model was trained on, or that lie before those.
pub(crate) fn rows_seen(series: &Member, saved: &Saved) -> usize {
    let Some((ended, tail)) = trained_on(series, saved) else { return 0 };
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
    /// Rows of each series that the model has learnt from.
    after: &'a [usize],
}

impl Job for Measure<'_> {
    type Output = Evaluation;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Evaluation> {
        let Self { saved, panel, first_row, after } = self;
        let config = &saved.task.config;
        let beside = Beside::new(panel, saved.task.calendar.as_ref(), config.segment);
        let members = beside.members(panel);
        // The first window reads at least so many rows.
        let seen = |member: usize| first_row[member].max(config.reach());
        let forecaster: Forecaster<B, F> = saved.forecaster(backend, panel, (&members, seen))?;
        let learnt: Vec<usize> = panel
            .members
            .iter()
            .zip(after)
            .map(|(member, after)| *after.max(&config.reach()).min(&member.rows()))
            .collect();
        let part = Part { first_row, learnt: &learnt, intervals: saved.task.evaluation.as_ref() };
        forecaster.evaluate(backend, &members, &part).map_err(|error| in_file(error, &panel.file))
    }
}

//! What a backtest found, in words and as JSON.

use lstm_data::panel::Panel;
use lstm_train::metrics::{Measures, Tally};
use serde_json::{Value, json};

use super::{Found, Method, Plan};
use crate::device::Place;
use crate::input;
use crate::output::{self, bold, percent, short, spoken};
use crate::picture::label;
use crate::train::in_words;

/// Series that the table shows at most.
const SERIES: usize = 12;

/// What is about to be done.
pub(super) fn announced(panel: &Panel, plan: &Plan) -> String {
    let config = &plan.trials[0];
    let season = if config.season > 1 { config.season.to_string() } else { "none".into() };
    let tried = match plan.trials.len() {
        1 => String::new(),
        ways => format!("; {ways} ways are tried"),
    };
    let learns = match (plan.times(), plan.refit) {
        (times @ 2.., Some(every)) => format!("; trained anew every {every}, {times} times in all"),
        _ => "; trained once".into(),
    };
    let count = plan.origins.offsets.len();
    format!(
        "{}horizon {}, lookback {}, season {season}; {}, seed {}{tried}\n\
         {count} origin{} in the last {} rows{learns}\n",
        input::described(panel),
        config.horizon,
        config.lookback,
        in_words(config),
        config.seed,
        if count == 1 { "" } else { "s" },
        plan.origins.held_out,
    )
}

/// Errors over all series, then of each where they are few, and who wins.
pub(super) fn table(panel: &Panel, found: &Found) -> String {
    let all: Vec<(&Method, Measures)> =
        found.methods.iter().filter_map(|method| Some((method, method.all().measures()?))).collect();
    let forecasts: usize = found.forecasts.iter().sum();
    let values = all.first().map_or(0, |(_, measures)| measures.values);
    let mut text = format!("\n{}{forecasts} forecasts, {values} values:\n", taken(found));
    text += &header("");
    for (method, measures) in &all {
        text += &line(spoken(method.name), measures);
    }
    text += "wQL: mean weighted quantile loss over the quantiles 2.5, 10, 25, 50, 75, 90 and 97.5%.\n";
    text += &verdict(&all);
    if panel.members.len() > 1 {
        text += &by_series(panel, found);
    }
    text
}

fn header(first: &str) -> String {
    bold(&format!(
        "{first:<15}{:>10}{:>10}{:>8}{:>9}{:>9}{:>8}{:>7}{:>7}{:>7}\n",
        "MAE", "RMSE", "MASE", "sMAPE", "WAPE", "wQL", "in 50%", "in 80%", "in 95%"
    ))
}

fn line(name: &str, measures: &Measures) -> String {
    let metrics = &measures.metrics;
    let or_none = |value: Option<f64>| value.map_or("-".into(), short);
    let inside: String = measures.coverage.iter().map(|share| format!("{:>7}", percent(*share))).collect();
    format!(
        "{name:<15}{:>10}{:>10}{:>8}{:>9}{:>9}{:>8}{inside}\n",
        short(metrics.mae),
        short(metrics.rmse),
        or_none(metrics.mase),
        format!("{:.2}%", metrics.smape),
        measures.wape.map_or("-".into(), |wape| format!("{wape:.2}%")),
        or_none(measures.wql),
    )
}

/// What was tried, and which was taken.
fn taken(found: &Found) -> String {
    let (trials, taken) = &found.tried;
    let sentence = output::taken(trials, taken, "before the first origin");
    sentence.map_or(String::new(), |sentence| format!("{sentence}\n"))
}

/// Who wins, in one sentence.
fn verdict(all: &[(&Method, Measures)]) -> String {
    let Some((lstm, best)) = all.first().zip(best(all)) else { return String::new() };
    format!("{}\n", bold(&output::against(&lstm.1.metrics, best.0.name, &best.1.metrics)))
}

/// The best method that needs no training.
fn best<'a, 'm>(all: &'a [(&'m Method, Measures)]) -> Option<&'a (&'m Method, Measures)> {
    let simple = all.iter().filter(|(method, _)| method.name != "lstm");
    simple.min_by(|a, b| a.1.metrics.mae.total_cmp(&b.1.metrics.mae))
}

/// How much better than the best simple forecast the LSTM is, as a share of its error.
fn skill(all: &[(&Method, Measures)]) -> Option<f64> {
    all.first()?.1.metrics.skill(&best(all)?.1.metrics)
}

/// The LSTM on each series, or on how many it is the best.
fn by_series(panel: &Panel, found: &Found) -> String {
    let of = |series: usize| -> Vec<(&Method, Measures)> {
        let measured = |method| measured(method, |method: &Method| method.by_series[series]);
        found.methods.iter().filter_map(measured).collect()
    };
    let all: Vec<_> =
        (0..panel.members.len()).map(|series| (&panel.members[series].id, of(series))).collect();
    let counted: Vec<_> = all.iter().filter(|(_, measures)| !measures.is_empty()).collect();
    let wins =
        counted.iter().filter(|(_, measures)| skill(measures).is_some_and(|skill| skill > 0.0)).count();
    let mut text = String::new();
    if panel.members.len() <= SERIES {
        text += &format!("\n{}", header("LSTM on"));
        for (id, measures) in &all {
            let name: String = id.chars().map(|c| if c.is_control() { ' ' } else { c }).take(14).collect();
            text += &measures.first().map_or(format!("{name:<15}no forecast\n"), |(_, m)| line(&name, m));
        }
    }
    text += &format!("The LSTM is better than all simple forecasts on {wins} of {} series", counted.len());
    match panel.members.len() - counted.len() {
        0 => text += ".\n",
        short => text += &format!("; {short} had too few rows for a forecast.\n"),
    }
    text
}

fn measured(method: &Method, tally: impl Fn(&Method) -> Tally) -> Option<(&Method, Measures)> {
    Some((method, tally(method).measures()?))
}

/// All measures.
pub(super) fn to_json(panel: &Panel, plan: &Plan, found: &Found, place: &Place) -> Value {
    let all: Vec<(&Method, Measures)> =
        found.methods.iter().filter_map(|method| measured(method, Method::all)).collect();
    let scores: Vec<Value> = all.iter().map(|(method, measures)| overall(method, measures)).collect();
    let series = panel.members.iter().enumerate().map(|(index, member)| {
        let scores: Vec<Value> = found
            .methods
            .iter()
            .filter_map(|method| measured(method, |method| method.by_series[index]))
            .map(|(method, measures)| score(method, &measures))
            .collect();
        let cutoff = |offset: Option<&usize>| {
            let row = (member.rows() + offset?).checked_sub(plan.origins.held_out + 1)?;
            Some(label(member, row))
        };
        let offsets = &plan.origins.offsets;
        json!({
            "series": member.id,
            "forecasts": found.forecasts[index],
            "last-cutoff": cutoff(offsets.last()),
            "first-cutoff": cutoff(offsets.first()),
            "scores": scores,
        })
    });
    json!({
        "file": panel.file,
        "notes": panel.notes,
        "repairs": panel.repairs,
        "horizon": found.config.horizon,
        "season": found.config.season,
        "origins": plan.origins.offsets.len(),
        "held-out": plan.origins.held_out,
        "refit": plan.refit,
        "trainings": plan.times(),
        "config": found.config,
        "trials": found.tried.0,
        "taken": found.tried.1,
        "device": place.name(),
        "device-fallback": place.fallback(),
        "dtype": place.dtype(),
        "forecasts": found.forecasts.iter().sum::<usize>(),
        "scores": scores,
        "winner": all.iter().min_by(|a, b| a.1.metrics.mae.total_cmp(&b.1.metrics.mae)).map(|(m, _)| m.name),
        "skill": skill(&all),
        "series": series.collect::<Vec<_>>(),
    })
}

fn score(method: &Method, measures: &Measures) -> Value {
    let mut value = json!(measures);
    value["method"] = json!(method.name);
    value
}

fn overall(method: &Method, measures: &Measures) -> Value {
    let by_step = |pick: fn(&Measures) -> Option<f64>| -> Vec<Option<f64>> {
        method.by_step.iter().map(|tally| pick(&tally.measures()?)).collect()
    };
    let mut value = score(method, measures);
    value["mae-by-step"] = json!(by_step(|measures| Some(measures.metrics.mae)));
    value["mase-by-step"] = json!(by_step(|measures| measures.metrics.mase));
    value
}

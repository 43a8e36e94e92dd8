//! What was seen, as a table, as CSV and as JSON.

use serde_json::{Value, json};

use super::{Seen, Unit};
use crate::forecast::quoted;
use crate::output::{bold, percent, short};
use crate::picture::label;
use crate::run::Saved;

/// The share of the squared gradient that is told to lie in the last rows.
const MOST: f64 = 0.9;

/// The most active units of each layer, and what the gradient says.
pub(super) fn table(saved: &Saved, seen: &Seen<'_>) -> String {
    let view = seen.view;
    let networks = match saved.model.networks() {
        1 => String::new(),
        count => format!("; network {} of {count}, whose forecasts are averaged", view.network + 1),
    };
    let mut text = format!(
        "{}: the forecast after {}, {} steps of {} row{} and {} of the horizon{networks}\n\n",
        seen.member.id,
        label(seen.member, view.window.row - 1),
        view.past,
        view.segment,
        if view.segment == 1 { "" } else { "s" },
        seen.inside.rows.len() - view.past,
    );
    text += &bold(&format!(
        "{:>5}{:>6}{:>11}{:>8}{:>8}{:>8}{:>16}\n",
        "layer", "unit", "activity", "input", "forget", "output", "half-life, rows"
    ));
    for (number, layer) in seen.layers.iter().enumerate() {
        for unit in layer.units.iter().take(view.units) {
            let [input, forget, output] = unit.means.map(|mean| format!("{mean:.3}"));
            text += &format!(
                "{:>5}{:>6}{:>11}{input:>8}{forget:>8}{output:>8}{:>16}\n",
                number + 1,
                unit.index + 1,
                short(unit.activity),
                lasting(unit.half_life)
            );
        }
        let mut lives: Vec<f64> = layer.units.iter().map(|unit| unit.half_life).collect();
        lives.sort_by(f64::total_cmp);
        text += &format!(
            "      {} units: half-lives from {} to {} rows, {} in the middle\n",
            lives.len(),
            lasting(lives[0]),
            lasting(lives[lives.len() - 1]),
            lasting(lives[lives.len() / 2])
        );
    }
    text += "activity: standard deviation of a unit's output; gates are means over the steps\n\n";
    text + &of_gradient(seen)
}

fn of_gradient(seen: &Seen<'_>) -> String {
    // The past alone: steps of the horizon show what the simple forecast says.
    let past: Vec<(isize, f64)> = (seen.inside.rows.iter().zip(&seen.inside.gradient))
        .filter(|(row, _)| **row < 0)
        .map(|(row, norm)| (*row, norm * norm))
        .collect();
    let all: f64 = past.iter().map(|(_, square)| square).sum();
    let strongest = past.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((row, _)) = strongest.filter(|_| all > 0.0) else {
        return "Gradient: none reaches the past; the network adds the same whatever the values are.\n"
            .into();
    };
    let mut sum = 0.0;
    let last = past.iter().rev().find(|(_, square)| {
        sum += square;
        sum >= MOST * all
    });
    let reach = last.map_or(0, |(row, _)| row.unsigned_abs());
    format!(
        "Gradient: what the network adds answers most to the {} from {} rows back on; {} of the squared norm lies in the \
         last {reach} of {} rows.\n",
        if seen.view.segment == 1 { "value".to_owned() } else { format!("{} values", seen.view.segment) },
        row.unsigned_abs(),
        percent(MOST),
        past[0].0.unsigned_abs()
    )
}

/// A half-life in a table.
fn lasting(rows: f64) -> String {
    if rows.is_infinite() { "for ever".into() } else { short(rows) }
}

/// A line for every unit at every step.
pub(super) fn csv(seen: &Seen<'_>) -> String {
    let mut text = String::from("layer,unit,step,time,input,forget,cell-input,output,cell,hidden\n");
    let times: Vec<String> = seen.rows().map(|row| quoted(&label(seen.member, row))).collect();
    for (number, layer) in seen.layers.iter().enumerate() {
        let mut units: Vec<&Unit> = layer.units.iter().collect();
        units.sort_by_key(|unit| unit.index);
        for unit in units {
            for (step, time) in times.iter().enumerate() {
                let values: String = unit.traces.iter().map(|trace| format!(",{}", trace[step])).collect();
                text += &format!("{},{},{},{time}{values}\n", number + 1, unit.index + 1, step + 1);
            }
        }
    }
    text
}

pub(super) fn to_json(saved: &Saved, seen: &Seen<'_>) -> Value {
    let unit = |unit: &Unit| {
        let [input, forget, output] = unit.means;
        json!({
            "unit": unit.index + 1,
            "activity": unit.activity,
            "input": input,
            "forget": forget,
            "output": output,
            // JSON has no infinity.
            "half-life-rows": Some(unit.half_life).filter(|rows| rows.is_finite()),
        })
    };
    let steps = seen.inside.rows.iter().zip(seen.rows()).zip(&seen.inside.gradient);
    json!({
        "model": saved.path,
        "series": seen.member.id,
        "after": label(seen.member, seen.view.window.row - 1),
        "network": seen.view.network + 1,
        "networks": saved.model.networks(),
        "rows-of-a-step": seen.view.segment,
        "correction": seen.inside.correction,
        "layers": seen.layers.iter().map(|layer| layer.units.iter().map(unit).collect()).collect::<Vec<Value>>(),
        "steps": steps.map(|((first, row), norm)| json!({
            "first-row": first,
            "time": label(seen.member, row),
            "gradient": norm,
        })).collect::<Vec<Value>>(),
    })
}

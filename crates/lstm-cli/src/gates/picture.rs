//! The picture: what the window shows, the gradient, and gates and cells of the most active units.

use super::{Layer, Seen};
use crate::picture::{axis_of, place};
use crate::plot::{self, Figure, Panel, Role};

/// Names of the traces that are drawn, and where they stand among a unit's.
const DRAWN: [(&str, usize); 4] =
    [("input gate", 0), ("forget gate", 1), ("output gate", 3), ("cell state", 4)];

pub(super) fn figure(seen: &Seen<'_>) -> Figure {
    let (member, row) = (seen.member, seen.view.window.row);
    let time = member.axis.as_ref();
    let x: Vec<f64> = seen.rows().map(|row| place(time, row)).collect();
    let start = || plot::Layer::VerticalLine { x: place(time, row - 1), label: String::new() };
    let panel = |title: String, y_label: &str, layers: Vec<plot::Layer>| Panel {
        title,
        y_label: y_label.into(),
        layers: layers.into_iter().chain([start()]).collect(),
        ..Panel::default()
    };

    let first = row.saturating_add_signed(seen.inside.rows[0]);
    let end = (seen.rows().last().unwrap_or(row) + 1).min(member.rows()).max(row);
    let line = |role, label: &str, rows: std::ops::Range<usize>| {
        let places = rows.clone().map(|row| place(time, row)).collect();
        plot::Layer::line(role, label, places, member.values[rows].to_vec())
    };
    let mut shown = vec![line(Role::History, "", first..row)];
    if end > row {
        shown.push(line(Role::Truth, "what came", row - 1..end));
    }
    let strongest = |layer: &Layer| layer.units.len().min(seen.view.units);
    let mut panels = vec![
        panel("values".into(), &member.id, shown),
        Panel {
            log_y: true,
            ..panel(
                "gradient".into(),
                "of the correction, at each step",
                vec![plot::Layer::line(Role::Forecast, "", x.clone(), seen.inside.gradient.clone())],
            )
        },
    ];
    for (number, layer) in seen.layers.iter().enumerate() {
        for (name, trace) in DRAWN {
            let lines = layer.units[..strongest(layer)].iter().enumerate().map(|(at, unit)| {
                let label = format!("layer {}, unit {}", number + 1, unit.index + 1);
                plot::Layer::line(Role::Other(at), label, x.clone(), unit.traces[trace].clone())
            });
            panels.push(panel(format!("layer {}: {name}", number + 1), "", lines.collect()));
        }
    }
    let title =
        format!("{}: network {} while it forecasts from the line on", member.id, seen.view.network + 1);
    Figure::grid(title, axis_of(time), 2, panels)
}

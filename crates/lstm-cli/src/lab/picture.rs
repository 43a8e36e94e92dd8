//! The picture of a closed loop: errors, a free run, its drift, and the answers to sines.

use lstm_data::panel::Member;
use lstm_train::lab::{Drift, Findings, HorizonError, Response};

use super::Plan;
use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};

/// Colours of what is measured against the truth.
const OURS: Role = Role::Forecast;

pub(super) fn figure(series: &Member, plan: &Plan, findings: &Findings) -> Figure {
    let (name, values) = (series.id.as_str(), &series.values);
    let panels = vec![
        errors(&findings.errors),
        free_run(name, values, plan, findings),
        drift(&findings.drift, "amplitude", "free run over truth, by cycles ahead", 1.0, |d| d.amplitude),
        drift(&findings.drift, "phase", "steps ahead of the truth, by cycles ahead", 0.0, |d| d.phase),
        response(plan, findings, "gain", "prediction over sine, by frequency (cycles per step)", 1.0, |r| {
            r.gain
        }),
        response(plan, findings, "lead", "degrees ahead, by frequency (cycles per step)", 0.0, |r| r.lead),
    ];
    Figure::grid(format!("{name}: fed with its own predictions"), Axis::Numbers, 2, panels)
}

fn panel(title: &str, y_label: &str, layers: Vec<Layer>) -> Panel {
    Panel { title: title.into(), y_label: y_label.into(), layers, ..Panel::default() }
}

fn errors(errors: &[HorizonError]) -> Panel {
    let line = |role, label: &str, pick: fn(&HorizonError) -> f64| {
        let x = errors.iter().map(|error| error.ahead as f64).collect();
        Layer::line(role, label, x, errors.iter().map(pick).collect())
    };
    let layers = vec![
        line(Role::Other(3), "naive", |e| e.naive),
        line(Role::Baseline, "seasonal naive", |e| e.seasonal_naive),
        line(OURS, "LSTM, free run", |e| e.rmse),
    ];
    panel("error", "RMSE, by steps ahead", layers)
}

/// The last of the free runs with some of what came before.
fn free_run(name: &str, values: &[f64], plan: &Plan, findings: &Findings) -> Panel {
    let row = plan.protocol.rows.last().copied().unwrap_or_default();
    let before = (2.0 * plan.protocol.period).ceil() as usize;
    let from = row.saturating_sub(before);
    let x = |rows: std::ops::Range<usize>| rows.map(|at| at as f64 - row as f64 + 1.0).collect();
    let end = row + plan.protocol.steps;
    let layers = vec![
        Layer::line(Role::History, "truth", x(from..end), values[from..end].to_vec()),
        Layer::line(OURS, "LSTM, free run", x(row..end), findings.run.clone()),
        Layer::VerticalLine { x: 0.5, label: String::new() },
    ];
    panel("the last free run", &format!("{name}, by steps ahead"), layers)
}

/// A straight line at what would be perfect.
fn perfect(x: &[f64], value: f64) -> Layer {
    let x: Vec<f64> = x.first().into_iter().chain(x.last()).copied().collect();
    let y = vec![value; x.len()];
    Layer::Line { x, y, style: Style::Dotted, role: Role::Truth, label: "perfect".into() }
}

fn drift(drifts: &[Drift], title: &str, y_label: &str, ideal: f64, pick: fn(&Drift) -> f64) -> Panel {
    let x: Vec<f64> = drifts.iter().map(|drift| drift.cycles).collect();
    let y = drifts.iter().map(pick).collect();
    panel(title, y_label, vec![perfect(&x, ideal), Layer::line(OURS, "LSTM, free run", x, y)])
}

fn response(
    plan: &Plan,
    findings: &Findings,
    title: &str,
    y_label: &str,
    ideal: f64,
    pick: fn(&Response) -> f64,
) -> Panel {
    let line = |responses: &[Response], style, role, label: &str| {
        let (x, y) = unwound(responses.iter().map(|answer| (1.0 / answer.period, pick(answer))));
        Layer::Line { x, y, style, role, label: label.into() }
    };
    let x: Vec<f64> = findings.response.iter().map(|answer| 1.0 / answer.period).collect();
    let layers = vec![
        perfect(&x, ideal),
        line(&findings.response, Style::Solid, Role::Other(0), "LSTM, one step ahead on a sine"),
        line(&findings.small_response, Style::Dashed, Role::Other(1), "the same, a hundredth as large"),
        Layer::VerticalLine { x: 1.0 / plan.protocol.period, label: String::new() },
    ];
    panel(title, y_label, layers)
}

/// The same line with a gap wherever it goes from half a turn ahead to half a turn behind, or back.
fn unwound(points: impl Iterator<Item = (f64, f64)>) -> (Vec<f64>, Vec<f64>) {
    let (mut xs, mut ys) = (Vec::new(), Vec::<f64>::new());
    for (x, y) in points {
        if ys.last().is_some_and(|before| (y - before).abs() > 180.0) {
            xs.push(x);
            ys.push(f64::NAN);
        }
        xs.push(x);
        ys.push(y);
    }
    (xs, ys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_leaves_a_gap() {
        let (x, y) = unwound([(0.1, 100.0), (0.2, 170.0), (0.3, -150.0), (0.4, -90.0)].into_iter());
        assert_eq!(x, [0.1, 0.2, 0.3, 0.3, 0.4]);
        assert!(y[2].is_nan() && y[3] == -150.0, "{y:?}");
    }
}

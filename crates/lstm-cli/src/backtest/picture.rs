//! The pictures of a backtest: forecasts over the truth, and errors by steps ahead.

use lstm_data::panel::{Member, Panel};
use lstm_train::backtest::Forecasts;
use lstm_train::forecaster::{LEVELS, Window};

use super::Found;
use crate::output::spoken;
use crate::plot::{self, Axis, Figure, Layer, Role};

/// Horizons that the strip shows at most: in more a forecast is a dot.
const HORIZONS: usize = 14;

/// A forecast of the LSTM.
pub(super) struct Shown {
    pub(super) member: usize,
    row: usize,
    mean: Vec<f64>,
    half_widths: Vec<[f64; LEVELS.len()]>,
}

impl Shown {
    pub(super) fn of<'a>(
        lstm: &'a Forecasts,
        windows: &'a [Window],
        horizon: usize,
    ) -> impl Iterator<Item = Self> + 'a {
        let forecasts = lstm.mean.chunks_exact(horizon).zip(lstm.half_widths.chunks_exact(horizon));
        windows.iter().zip(forecasts).map(|(window, (mean, half_widths))| Self {
            member: window.member,
            row: window.row,
            mean: mean.to_vec(),
            half_widths: half_widths.to_vec(),
        })
    }
}

/// Forecasts of one series that do not overlap, over what came.
pub(super) fn strip(panel: &Panel, found: &Found) -> Figure {
    let horizon = found.config.horizon;
    let end = found.shown.last().map_or(0, |shown| shown.row + horizon);
    // From the last one back, so that the strip ends with the series.
    let (oldest, mut free) = (end.saturating_sub(HORIZONS * horizon), end);
    let mut shown: Vec<&Shown> = Vec::new();
    for forecast in found.shown.iter().rev() {
        if forecast.row >= oldest && forecast.row + horizon <= free {
            free = forecast.row;
            shown.push(forecast);
        }
    }
    shown.reverse();
    let Some(first) = shown.first() else { return Figure::stacked("", Axis::Numbers, Vec::new()) };
    let member = &panel.members[first.member];
    let from = first.row.saturating_sub(2 * horizon);
    let mut layers = Vec::new();
    for (at, forecast) in shown.iter().enumerate() {
        for level in (0..LEVELS.len()).rev() {
            let label = if at == 0 && level + 1 == LEVELS.len() { "50, 80 and 95% intervals" } else { "" };
            let edge = |sign: f64| {
                let widths = forecast.half_widths.iter().map(|widths| widths[level]);
                forecast.mean.iter().zip(widths).map(|(mean, width)| mean + sign * width).collect()
            };
            let x = places(member, forecast.row..forecast.row + horizon);
            layers.push(Layer::Band {
                x,
                lo: edge(-1.0),
                hi: edge(1.0),
                role: Role::Forecast,
                label: label.into(),
            });
        }
    }
    let known = |row: usize| if member.is_truth(row) { member.values[row] } else { f64::NAN };
    let truth = (from..end).map(known).collect();
    layers.push(Layer::line(Role::History, "what came", places(member, from..end), truth));
    for (at, forecast) in shown.iter().enumerate() {
        let label = if at == 0 { "LSTM" } else { "" };
        let x = places(member, forecast.row..forecast.row + horizon);
        let line = |x, y| Layer::line(Role::Forecast, label, x, y);
        layers.push(if horizon > 1 {
            line(x, forecast.mean.clone())
        } else {
            Layer::Points { x, y: forecast.mean.clone(), role: Role::Forecast, label: label.into() }
        });
    }
    for forecast in &shown {
        let x = places(member, forecast.row - 1..forecast.row).remove(0);
        layers.push(Layer::VerticalLine { x, label: String::new() });
    }
    let axis = match &member.axis {
        Some(time) if !time.counts() => Axis::Times,
        _ => Axis::Numbers,
    };
    let title = match (shown.len(), found.shown.len()) {
        (some, all) if some < all => format!("{}: {some} of {all} forecasts, from the lines on", member.id),
        (all, _) => format!("{}: {all} forecasts, from the lines on", member.id),
    };
    Figure::stacked(title, axis, vec![plot::Panel { layers, ..plot::Panel::default() }])
}

/// Where rows stand on the x axis; without times they are counted from 1.
fn places(member: &Member, rows: std::ops::Range<usize>) -> Vec<f64> {
    let place = |row| member.axis.as_ref().and_then(|axis| axis.place(row)).unwrap_or(row as f64 + 1.0);
    rows.map(place).collect()
}

/// Mean errors of all methods by steps ahead: of several series in units of their naive errors.
pub(super) fn errors(panel: &Panel, found: &Found) -> Figure {
    let scaled = panel.members.len() > 1;
    let lines = found.methods.iter().enumerate().map(|(index, method)| {
        let error = |tally: &lstm_train::metrics::Tally| {
            let metrics = tally.measures().map(|measures| measures.metrics);
            metrics
                .and_then(|metrics| if scaled { metrics.mase } else { Some(metrics.mae) })
                .unwrap_or(f64::NAN)
        };
        let y: Vec<f64> = method.by_step.iter().map(error).collect();
        let x = (1..=y.len()).map(|step| step as f64).collect();
        let role = match method.name {
            "lstm" => Role::Forecast,
            "seasonal-naive" => Role::Baseline,
            "naive" => Role::Other(3),
            _ => Role::Other(index),
        };
        let label = spoken(method.name);
        match y.len() {
            1 => Layer::Points { x, y, role, label: label.into() },
            _ => Layer::line(role, label, x, y),
        }
    });
    // The LSTM's line lies on top.
    let mut layers: Vec<Layer> = lines.collect();
    layers.reverse();
    let what = if scaled { "MASE" } else { "MAE" };
    let title = match panel.members.as_slice() {
        [only] => format!("{}: {what} by steps ahead", only.id),
        all => format!("{what} of {} series by steps ahead", all.len()),
    };
    let panel = plot::Panel { layers, ..plot::Panel::default() };
    Figure::stacked(title, Axis::Numbers, vec![panel]).x_label("steps ahead")
}

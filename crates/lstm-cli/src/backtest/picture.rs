//! The pictures of a backtest: forecasts over the truth, and errors by steps ahead.

use lstm_data::panel::{Member, Panel};
use lstm_train::backtest::{Forecasts, Origins};
use lstm_train::forecaster::{Edges, ForecastConfig, LEVELS, Window};

use super::{Found, Plan};
use crate::picture::{axis_of, by_step, place};
use crate::plot::{self, Axis, Figure, Layer, Role};

/// Forecasts that the strip shows at most: of more each would be a dot.
const SHOWN: usize = 14;

/// The series that the strip shows, and from where on.
pub(super) struct Subject {
    pub(super) member: usize,
    /// Rows that the forecasts shown begin at, rising.
    rows: Vec<usize>,
}

impl Subject {
    /// The first series that is long enough for all origins; of its forecasts those that do not overlap, from the last one
    /// back, so that the strip ends with the series.
    pub(super) fn of(panel: &Panel, plan: &Plan) -> Self {
        let Origins { held_out, offsets } = &plan.origins;
        let reach = plan.trials.iter().map(ForecastConfig::reach).max().unwrap_or(0);
        let before = |member: &Member| member.rows().checked_sub(*held_out).filter(|before| *before >= reach);
        let found = panel.members.iter().enumerate().find_map(|(at, member)| Some((at, before(member)?)));
        let Some((member, before)) = found else { return Self { member: 0, rows: Vec::new() } };
        let horizon = plan.trials[0].horizon;
        let mut rows: Vec<usize> = Vec::new();
        for row in offsets.iter().rev().map(|offset| before + offset) {
            if rows.last().is_none_or(|later| row + horizon <= *later) && rows.len() < SHOWN {
                rows.push(row);
            }
        }
        rows.reverse();
        Self { member, rows }
    }

    fn shows(&self, window: &Window) -> bool {
        window.member == self.member && self.rows.binary_search(&window.row).is_ok()
    }
}

/// A forecast of the LSTM.
pub(super) struct Shown {
    row: usize,
    mean: Vec<f64>,
    edges: Vec<Edges>,
}

impl Shown {
    /// Those of the subject among the forecasts of some origins.
    pub(super) fn of<'a>(
        lstm: &'a Forecasts,
        windows: &'a [Window],
        horizon: usize,
        subject: &'a Subject,
    ) -> impl Iterator<Item = Self> + 'a {
        let forecasts = lstm.mean.chunks_exact(horizon).zip(lstm.edges.chunks_exact(horizon));
        let shown = windows.iter().zip(forecasts).filter(|(window, _)| subject.shows(window));
        shown.map(|(window, (mean, edges))| Self {
            row: window.row,
            mean: mean.to_vec(),
            edges: edges.to_vec(),
        })
    }
}

/// Forecasts of one series over what came.
pub(super) fn strip(panel: &Panel, found: &Found) -> Figure {
    let (horizon, shown) = (found.config.horizon, &found.shown);
    let end = shown.last().map_or(0, |shown| shown.row + horizon);
    let Some(first) = shown.first() else { return Figure::stacked("", Axis::Numbers, Vec::new()) };
    let member = &panel.members[found.subject.member];
    let from = first.row.saturating_sub(2 * horizon);
    let mut layers = Vec::new();
    for (at, forecast) in shown.iter().enumerate() {
        for level in (0..LEVELS.len()).rev() {
            let label = if at == 0 && level + 1 == LEVELS.len() { "50, 80 and 95% intervals" } else { "" };
            let (lo, hi) = forecast.edges.iter().map(|edges| (edges[level][0], edges[level][1])).unzip();
            let x = places(member, forecast.row..forecast.row + horizon);
            layers.push(Layer::Band { x, lo, hi, role: Role::Forecast, label: label.into() });
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
    for forecast in shown {
        let x = places(member, forecast.row - 1..forecast.row).remove(0);
        layers.push(Layer::VerticalLine { x, label: String::new() });
    }
    let axis = axis_of(member.axis.as_ref());
    let title = match (shown.len(), found.forecasts[found.subject.member]) {
        (some, all) if some < all => format!("{}: {some} of {all} forecasts, from the lines on", member.id),
        (all, _) => format!("{}: {all} forecasts, from the lines on", member.id),
    };
    Figure::stacked(title, axis, vec![plot::Panel { layers, ..plot::Panel::default() }])
}

/// Where rows stand on the x axis.
fn places(member: &Member, rows: std::ops::Range<usize>) -> Vec<f64> {
    rows.map(|row| place(member.axis.as_ref(), row)).collect()
}

/// Mean errors of all methods by steps ahead: of several series in units of their naive errors.
pub(super) fn errors(panel: &Panel, found: &Found) -> Figure {
    let scaled = panel.members.len() > 1;
    let error = |tally: &lstm_train::metrics::Tally| {
        let metrics = tally.measures().map(|measures| measures.metrics);
        metrics.and_then(|metrics| if scaled { metrics.mase } else { Some(metrics.mae) }).unwrap_or(f64::NAN)
    };
    let what = if scaled { "MASE" } else { "MAE" };
    let title = match panel.members.as_slice() {
        [only] => format!("{}: {what} by steps ahead", only.id),
        all => format!("{what} of {} series by steps ahead", all.len()),
    };
    by_step(
        title,
        found.methods.iter().map(|method| (method.name, method.by_step.iter().map(error).collect())),
    )
}

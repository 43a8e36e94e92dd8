//! The pictures of a run. Here that of its forecast: what was known, what was held back, what comes.

mod losses;
mod residuals;
mod season;

use lstm_data::TimeAxis;
use lstm_data::panel::Member;
use lstm_train::baseline::Simple;
use lstm_train::forecaster::{Evaluation, ForecastConfig};

use crate::output::spoken;
use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};

use crate::check::HeldOut;
use crate::failure::Result;
use crate::progress::Point;
use crate::run::{self, Folder};

/// The pictures of how a network was trained and what it misses; those that the rows are too few for are not there.
pub(crate) struct Pictures {
    losses: Option<Figure>,
    errors: Option<Figure>,
    residuals: Option<Figure>,
    season: Option<Figure>,
}

impl Pictures {
    /// Of a training, and what was taken of it.
    pub(crate) fn new(
        panel: &lstm_data::panel::Panel,
        evaluation: &Evaluation,
        held: &HeldOut,
        config: &ForecastConfig,
        course: &[Point],
    ) -> Self {
        let title = match panel.members.as_slice() {
            [only] => format!("{}: mean absolute error on held-out rows, by steps ahead", only.id),
            all => format!("mean absolute error on held-out rows of {} series, by steps ahead", all.len()),
        };
        // A step without any truth leaves a gap in its line.
        let gaps = |errors: &[Option<f64>]| errors.iter().map(|error| error.unwrap_or(f64::NAN)).collect();
        let methods = evaluation.scores.iter().map(|score| (score.method.as_str(), gaps(&score.by_step)));
        let member = panel.members.get(held.member);
        Self {
            losses: (!course.is_empty()).then(|| losses::losses(course, evaluation, config.head)),
            errors: (config.horizon > 1).then(|| by_step(title, methods)),
            residuals: member
                .and_then(|m| residuals::residuals(m, (&held.residuals(m), &held.said()), config.season)),
            season: member.and_then(|m| season::season(m, held, config.season)),
        }
    }

    /// Each with the names of its files.
    pub(crate) fn all(&self) -> impl Iterator<Item = ([&'static str; 2], &Figure)> {
        let all = [
            (run::ERRORS, &self.errors),
            (run::SEASON, &self.season),
            (run::RESIDUALS, &self.residuals),
            (run::LOSSES, &self.losses),
        ];
        all.into_iter().filter_map(|(names, figure)| Some((names, figure.as_ref()?)))
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// A model failure that names the file.
    pub(crate) fn write(&self, folder: &Folder) -> Result<()> {
        self.all().try_for_each(|(names, figure)| folder.draw(names, figure))
    }
}

/// What x means for a series: times, or where there are none the numbers of its rows.
pub(crate) fn axis_of(time: Option<&TimeAxis>) -> Axis {
    match time {
        Some(time) if !time.counts() => Axis::Times,
        _ => Axis::Numbers,
    }
}

/// Where a row stands on the x axis; without times rows are counted from 1.
pub(crate) fn place(time: Option<&TimeAxis>, row: usize) -> f64 {
    time.and_then(|time| time.place(row)).unwrap_or(row as f64 + 1.0)
}

/// When a row is: its time, without times its number, from 1.
pub(crate) fn label(member: &Member, row: usize) -> String {
    member.axis.as_ref().map_or_else(|| (row + 1).to_string(), |axis| axis.label(row))
}

/// Mean errors of methods, by their names, at each step of the horizon.
pub(crate) fn by_step<'a>(title: String, methods: impl Iterator<Item = (&'a str, Vec<f64>)>) -> Figure {
    let lines = methods.map(|(name, y)| {
        let x = (1..=y.len()).map(|step| step as f64).collect();
        let role = match Simple::named(name) {
            None => Role::Forecast,
            Some(Simple::SeasonalNaive) => Role::Baseline,
            Some(Simple::Linear) => Role::Other(1),
            Some(Simple::Ets) => Role::Other(2),
            Some(Simple::Naive) => Role::Other(3),
            Some(Simple::Drift) => Role::Other(4),
            Some(Simple::Theta) => Role::Other(5),
        };
        let label = spoken(name);
        match y.len() {
            1 => Layer::Points { x, y, role, label: label.into() },
            _ => Layer::line(role, label, x, y),
        }
    });
    // The LSTM's line lies on top.
    let mut layers: Vec<Layer> = lines.collect();
    layers.reverse();
    let panel = Panel { layers, ..Panel::default() };
    Figure::stacked(title, Axis::Numbers, vec![panel]).x_label("steps ahead")
}

/// One series of the picture.
pub(crate) struct Scene<'a> {
    /// Name of the column.
    pub(crate) target: &'a str,
    /// The time axis, if there is one.
    pub(crate) time: Option<&'a TimeAxis>,
    /// Row of the first value of `history`.
    pub(crate) first: usize,
    /// The last rows of the series.
    pub(crate) history: &'a [f64],
    /// What the model, trained without them, forecast for the last of these rows.
    pub(crate) held_out: &'a [f64],
    /// Forecast of what follows.
    pub(crate) mean: &'a [f64],
    /// Some futures that could come.
    pub(crate) paths: Vec<&'a [f64]>,
    /// Edges of its intervals, where they are known, the widest first.
    pub(crate) bands: Vec<(Vec<f64>, Vec<f64>)>,
    /// The best simple forecast, where it is better.
    pub(crate) baseline: Option<(&'a str, &'a [f64])>,
}

impl Scene<'_> {
    /// The series one below another.
    pub(crate) fn figure<'s>(title: String, scenes: impl Iterator<Item = Scene<'s>>) -> Figure {
        let scenes: Vec<Scene<'s>> = scenes.collect();
        let axis = axis_of(scenes.first().and_then(|scene| scene.time));
        Figure::stacked(title, axis, scenes.iter().map(Scene::panel).collect())
    }

    fn panel(&self) -> Panel {
        let end = self.first + self.history.len();
        let x = |from: usize, count: usize| -> Vec<f64> {
            (from..from + count).map(|row| place(self.time, row)).collect()
        };
        // Each line begins at the last value before it, so that no gap is drawn.
        let joined = |from: usize, values: &[f64]| -> (Vec<f64>, Vec<f64>) {
            let before = from.checked_sub(self.first + 1).and_then(|at| self.history.get(at));
            let start = from - usize::from(before.is_some());
            (x(start, from + values.len() - start), before.into_iter().chain(values).copied().collect())
        };
        let held = self.held_out.len().min(self.history.len());
        let known = self.history.len() - held;
        let mut layers = Vec::new();
        for (at, (lo, hi)) in self.bands.iter().enumerate() {
            // As sure as the last value at the start.
            let ((x, lo), (_, hi)) = (joined(end, lo), joined(end, hi));
            let label = if at == 0 { "50, 80 and 95% intervals".into() } else { String::new() };
            layers.push(Layer::Band { x, lo, hi, role: Role::Forecast, label });
        }
        for (at, path) in self.paths.iter().enumerate() {
            let (x, y) = joined(end, path);
            let label = if at == 0 { "some sample paths" } else { "" };
            layers.push(Layer::line(Role::Other(5), label, x, y));
        }
        layers.push(Layer::line(
            Role::History,
            "history",
            x(self.first, known),
            self.history[..known].to_vec(),
        ));
        if let Some((name, values)) = self.baseline {
            let (x, y) = joined(end, values);
            layers.push(Layer::line(Role::Baseline, name, x, y));
        }
        let (future, mean) = joined(end, self.mean);
        layers.push(Layer::line(Role::Forecast, "LSTM", future, mean));
        if held > 0 {
            let from = end - held;
            let (x, y) = joined(from, &self.held_out[self.held_out.len() - held..]);
            layers.push(Layer::Line {
                x,
                y,
                style: Style::Dashed,
                role: Role::Forecast,
                label: "LSTM, held-out rows".into(),
            });
            let (x, y) = joined(from, &self.history[known..]);
            layers.push(Layer::line(Role::Truth, "held-out truth", x, y));
        }
        layers.push(Layer::VerticalLine { x: place(self.time, end - 1), label: "end of the data".into() });
        Panel { y_label: self.target.to_owned(), layers, ..Panel::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_opens_at_the_last_value() {
        let scene = Scene {
            target: "y",
            time: None,
            first: 0,
            history: &[1.0, 2.0, 3.0],
            held_out: &[2.5],
            mean: &[4.0, 5.0],
            paths: Vec::new(),
            bands: vec![(vec![3.5, 4.0], vec![4.5, 6.0])],
            baseline: None,
        };
        let figure = Scene::figure(String::new(), std::iter::once(scene));
        let Layer::Band { x, lo, hi, .. } = &figure.panels[0].layers[0] else { panic!("{figure:?}") };
        assert_eq!(
            (&x[..], &lo[..], &hi[..]),
            (&[3.0, 4.0, 5.0][..], &[3.0, 3.5, 4.0][..], &[3.0, 4.5, 6.0][..])
        );
        let held_out = |layer: &Layer| {
            matches!(layer, Layer::Line { style: Style::Dashed, role: Role::Forecast, x, y, .. }
                if x[..] == [2.0, 3.0] && y[..] == [2.0, 2.5])
        };
        assert!(figure.panels[0].layers.iter().any(held_out), "{figure:?}");
    }
}

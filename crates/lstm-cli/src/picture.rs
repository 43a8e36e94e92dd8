//! The picture of a forecast: what was known, what was held back, what comes.

use lstm_data::TimeAxis;

use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};

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
    /// Edges of its intervals, where they are known, the widest first.
    pub(crate) bands: Vec<(Vec<f64>, Vec<f64>)>,
    /// The best naive forecast, where it is better.
    pub(crate) baseline: Option<(&'a str, &'a [f64])>,
}

impl Scene<'_> {
    /// The series one below another.
    pub(crate) fn figure<'s>(title: String, scenes: impl Iterator<Item = Scene<'s>>) -> Figure {
        let scenes: Vec<Scene<'s>> = scenes.collect();
        let axis = match scenes.first().and_then(|scene| scene.time) {
            Some(time) if !time.counts() => Axis::Times,
            _ => Axis::Numbers,
        };
        Figure::stacked(title, axis, scenes.iter().map(Scene::panel).collect())
    }

    fn panel(&self) -> Panel {
        let end = self.first + self.history.len();
        let x = |from: usize, count: usize| -> Vec<f64> {
            (from..from + count).map(|row| self.place(row)).collect()
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
        layers.push(Layer::VerticalLine { x: self.place(end - 1), label: "end of the data".into() });
        Panel { y_label: self.target.to_owned(), layers, ..Panel::default() }
    }

    /// Where a row stands on the x axis; without times rows are counted from 1.
    fn place(&self, row: usize) -> f64 {
        self.time.and_then(|time| time.place(row)).unwrap_or(row as f64 + 1.0)
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

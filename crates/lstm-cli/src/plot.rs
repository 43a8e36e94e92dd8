//! Pictures: what a figure holds, and how it is saved or shown in a terminal.
//!
//! A [`Figure`] is plain data: panels of layers over numbers or times. `scene` lays it out once for SVG and
//! PNG and draws with `pen`, `terminal` draws it in characters, `scale` finds ranges and ticks for both.

mod palette;
mod pen;
mod scale;
mod scene;
mod terminal;

use std::path::Path;

use anyhow::Result;
use lstm_nn::durable;

pub(crate) use terminal::terminal;

/// What the numbers on the x axis mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Plain numbers: steps, epochs, a horizon.
    Numbers,
    /// Seconds since 1970-01-01 UTC, labelled as dates and times of day.
    Times,
}

/// Which part a layer plays; the role decides the colour, the same in every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What was known: black.
    History,
    /// What came, held back from the model: green, dotted.
    Truth,
    /// What the model says: red.
    Forecast,
    /// What a naive forecast says: blue, dashed.
    Baseline,
    /// Anything else, by number, from a palette that colour-blind people can tell apart.
    Other(usize),
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One stroke.
    Solid,
    /// Long strokes.
    Dashed,
    /// Dots.
    Dotted,
}

/// One thing drawn in a panel. Values that are not finite leave a gap. An empty label stays out of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layer {
    /// A line through (x, y).
    Line {
        /// Places on the x axis.
        x: Vec<f64>,
        /// Values, one for each x.
        y: Vec<f64>,
        /// Stroke.
        style: Style,
        /// Colour.
        role: Role,
        /// Name in the legend.
        label: String,
    },
    /// The area between `lo` and `hi`.
    Band {
        /// Places on the x axis.
        x: Vec<f64>,
        /// Lower edge, one for each x.
        lo: Vec<f64>,
        /// Upper edge, one for each x.
        hi: Vec<f64>,
        /// Colour.
        role: Role,
        /// Name in the legend.
        label: String,
    },
    /// A dot at each (x, y).
    Points {
        /// Places on the x axis.
        x: Vec<f64>,
        /// Values, one for each x.
        y: Vec<f64>,
        /// Colour.
        role: Role,
        /// Name in the legend.
        label: String,
    },
    /// A line from top to bottom, with its label above the panel: a cutoff, the best epoch.
    VerticalLine {
        /// Place on the x axis.
        x: f64,
        /// Words above the line.
        label: String,
    },
}

impl Layer {
    /// A line in the style of its role: truth dotted, baselines dashed, the rest solid.
    pub(crate) fn line(role: Role, label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        let style = match role {
            Role::Truth => Style::Dotted,
            Role::Baseline => Style::Dashed,
            Role::History | Role::Forecast | Role::Other(_) => Style::Solid,
        };
        Layer::Line { x, y, style, role, label: label.into() }
    }
}

/// One pair of axes with its layers, drawn in the order given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Panel {
    /// Words above the panel; may be empty.
    pub(crate) title: String,
    /// What y is, shown after the title; may be empty.
    pub(crate) y_label: String,
    /// Whether y is logarithmic; values that are not positive leave a gap.
    pub(crate) log_y: bool,
    /// Meaning of x where it is not that of the figure; only of panels with x axes of their own.
    pub(crate) x: Option<Axis>,
    /// What is drawn.
    pub(crate) layers: Vec<Layer>,
}

/// A whole picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// Words at the top.
    pub(crate) title: String,
    /// Words below the x axis; may be empty.
    pub(crate) x_label: String,
    /// Meaning of x in all panels.
    pub(crate) x: Axis,
    /// Panels, left to right and then down.
    pub(crate) panels: Vec<Panel>,
    /// Panels side by side. In one column all panels share the x axis; in more, each has its own.
    pub(crate) columns: usize,
}

impl Figure {
    /// A figure whose panels stand above each other and share the x axis.
    pub(crate) fn stacked(title: impl Into<String>, x: Axis, panels: Vec<Panel>) -> Self {
        Figure { title: title.into(), x_label: String::new(), x, panels, columns: 1 }
    }

    /// Small multiples: panels in rows of `columns`, each with its own x axis.
    pub(crate) fn grid(title: impl Into<String>, x: Axis, columns: usize, panels: Vec<Panel>) -> Self {
        Figure { columns: columns.max(1), ..Figure::stacked(title, x, panels) }
    }

    /// The same figure with words below the x axis.
    pub(crate) fn x_label(self, x_label: impl Into<String>) -> Self {
        Figure { x_label: x_label.into(), ..self }
    }

    /// The figure as an SVG document.
    pub(crate) fn to_svg(&self) -> String {
        scene::svg(self)
    }

    /// Width and height of the SVG document.
    pub(crate) fn size(&self) -> (f64, f64) {
        scene::size(self)
    }

    /// The figure as a PNG file's bytes, at twice the size of the SVG.
    ///
    /// # Errors
    /// If the picture cannot be encoded.
    pub(crate) fn to_png_bytes(&self) -> Result<Vec<u8>> {
        scene::png(self)
    }

    /// Writes the SVG document to `path`, all of it or nothing.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save_svg(&self, path: &Path) -> Result<()> {
        Ok(durable::write(path, self.to_svg().as_bytes())?)
    }

    /// Writes the PNG file to `path`, all of it or nothing.
    ///
    /// # Errors
    /// If the picture cannot be encoded or the file cannot be written.
    pub(crate) fn save_png(&self, path: &Path) -> Result<()> {
        Ok(durable::write(path, &self.to_png_bytes()?)?)
    }
}

/// A style sheet for SVG documents of the class `figure` on a page: how they look where it is dark.
pub(crate) fn dark_style() -> String {
    palette::dark()
}

/// Words as they may be shown: no control characters (a column name can hold anything), and not without end.
fn shown(words: &str) -> String {
    const LONGEST: usize = 100;
    let mut clean: String =
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if words.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests;

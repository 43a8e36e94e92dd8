//! Lays a figure out, once for SVG and PNG: title, legend, panels with axes, layers.
//!
//! The layout is ours and the drawing is kuva's: see docs/decisions/0002-plotting.md.

use anyhow::{Result, anyhow};
use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Scene, TextAnchor};

use super::palette::{self, GRID, INK, MARK};
use super::pen::{Frame, Pen, Point, fitting, thinned, width};
use super::scale::{self, Scale, Tick};
use super::{Figure, Layer, Panel, Role, Style, shown};

/// Width of every figure.
const WIDTH: f64 = 960.0;
/// Height of the only panel of a figure.
const SINGLE: f64 = 340.0;
/// Height of each of several panels.
const OF_MANY: f64 = 210.0;
/// Room around everything.
const MARGIN: f64 = 14.0;
/// Size of the title.
const TITLE: u32 = 17;
/// Size of all other words.
const TEXT: u32 = 12;
/// Height of a line of words.
const LINE: f64 = 17.0;

/// The figure as an SVG document.
pub(super) fn svg(figure: &Figure) -> String {
    SvgBackend::new().render_scene(&scene(figure))
}

/// The figure as a PNG file, two pixels for each unit of the layout.
pub(super) fn png(figure: &Figure) -> Result<Vec<u8>> {
    let encoded = PngBackend::new().with_scale(2.0).render_scene(&scene(figure));
    encoded.map_err(|reason| anyhow!("cannot encode the picture: {reason}"))
}

/// Width and height of the figure.
pub(super) fn size(figure: &Figure) -> (f64, f64) {
    (WIDTH, head(figure, &Legend::of(figure)) + Cells::of(figure).height() + MARGIN)
}

/// Where the panels begin.
fn head(figure: &Figure, legend: &Legend) -> f64 {
    MARGIN + if figure.title.is_empty() { 0.0 } else { 26.0 } + legend.height()
}

fn scene(figure: &Figure) -> Scene {
    let legend = Legend::of(figure);
    let head = head(figure, &legend);
    let cells = Cells::of(figure);

    let (width, height) = size(figure);
    let mut pen = Pen { scene: Scene::new(width, height) };
    let left = MARGIN + cells.left;
    let title = fitting(&figure.title, TITLE, WIDTH - MARGIN - left);
    pen.text((left, MARGIN + f64::from(TITLE)), &title, TITLE, TextAnchor::Start, INK);
    legend.draw(&mut pen, left, head - legend.height());
    for (index, panel) in figure.panels.iter().enumerate() {
        let drawing = Drawing {
            figure,
            panel,
            frame: cells.frame(index, head),
            x: cells.x.unwrap_or_else(|| x_scale(std::slice::from_ref(panel))),
            y: y_scale(panel),
            x_ticks: cells.shows_x(index),
        };
        drawing.draw(&mut pen);
    }
    if !figure.x_label.is_empty() {
        let middle = left + 0.5 * (WIDTH - MARGIN - left - cells.right);
        let y = head + cells.height() - 2.0;
        pen.text((middle, y), &figure.x_label, TEXT, TextAnchor::Middle, INK);
    }
    pen.scene
}

fn x_scale(panels: &[Panel]) -> Scale {
    // Lines keep a little distance from the edges.
    scale::x_of(panels.iter().flat_map(|p| &p.layers), 0.01)
}

fn y_scale(panel: &Panel) -> Scale {
    scale::y_of(&panel.layers, panel.log_y, 0.05)
}

fn y_ticks(y: &Scale, height: f64) -> Vec<Tick> {
    y.ticks(super::Axis::Numbers, (height / 42.0) as usize)
}

/// Where the panels lie: equal cells in rows, with the same room for labels in each, so that panels align.
struct Cells {
    columns: usize,
    count: usize,
    /// The shared x scale of a figure in one column.
    x: Option<Scale>,
    panel: f64,
    left: f64,
    right: f64,
    above: f64,
    below: f64,
    x_label: f64,
}

impl Cells {
    fn of(figure: &Figure) -> Cells {
        let count = figure.panels.len().max(1);
        let columns = figure.columns.clamp(1, count);
        let panel = if count == 1 { SINGLE } else { OF_MANY };
        let labels = figure.panels.iter().flat_map(|p| left_labels(p, panel)).map(|l| width(&l, TEXT));
        let has = |kind: fn(&Layer) -> bool| figure.panels.iter().flat_map(|p| &p.layers).any(kind);
        let words_above = figure.panels.iter().any(|p| !p.title.is_empty() || !p.y_label.is_empty())
            || has(|l| matches!(l, Layer::VerticalLine { label, .. } if !label.is_empty()));
        let has_times = figure.panels.iter().any(|p| p.x.unwrap_or(figure.x) == super::Axis::Times);
        Cells {
            columns,
            count,
            x: (columns == 1).then(|| x_scale(&figure.panels)),
            panel,
            left: 10.0 + labels.fold(0.0, f64::max),
            right: 8.0,
            above: if words_above { LINE + 4.0 } else { 8.0 },
            below: 8.0 + LINE + if has_times { LINE } else { 0.0 },
            x_label: if figure.x_label.is_empty() { 0.0 } else { LINE + 2.0 },
        }
    }

    fn rows(&self) -> usize {
        self.count.div_ceil(self.columns)
    }

    /// In one column only the lowest panel carries the labels of x.
    fn shows_x(&self, index: usize) -> bool {
        self.columns > 1 || index + 1 == self.count
    }

    fn pitch(&self) -> f64 {
        self.above + self.panel + if self.columns > 1 { self.below } else { 6.0 }
    }

    fn height(&self) -> f64 {
        let last = if self.columns > 1 { 0.0 } else { self.below - 6.0 };
        self.rows() as f64 * self.pitch() + last + self.x_label
    }

    fn frame(&self, index: usize, head: f64) -> Frame {
        let cell = (WIDTH - 2.0 * MARGIN) / self.columns as f64;
        let (row, column) = (index / self.columns, index % self.columns);
        Frame {
            left: MARGIN + column as f64 * cell + self.left,
            top: head + row as f64 * self.pitch() + self.above,
            width: cell - self.left - self.right,
            height: self.panel,
        }
    }
}

/// What stands left of the y axis.
fn left_labels(panel: &Panel, height: f64) -> Vec<String> {
    y_ticks(&y_scale(panel), height).into_iter().map(|t| t.label).collect()
}

/// The named layers of all panels, each once, in rows below the title.
struct Legend {
    rows: Vec<Vec<(Mark, String)>>,
}

/// What a legend shows beside a name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mark {
    Line(Style, Role),
    Band(Role),
    Point(Role),
}

impl Legend {
    const SWATCH: f64 = 26.0;
    const GAP: f64 = 20.0;

    fn of(figure: &Figure) -> Legend {
        let mut entries: Vec<(Mark, String)> = Vec::new();
        for layer in figure.panels.iter().flat_map(|p| &p.layers) {
            let (mark, label) = match layer {
                Layer::Line { style, role, label, .. } => (Mark::Line(*style, *role), label),
                Layer::Band { role, label, .. } => (Mark::Band(*role), label),
                Layer::Points { role, label, .. } => (Mark::Point(*role), label),
                Layer::VerticalLine { .. } => continue,
            };
            let entry = (mark, fitting(label, TEXT, 400.0));
            if !label.is_empty() && !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        let mut rows: Vec<Vec<(Mark, String)>> = Vec::new();
        let mut used = f64::INFINITY;
        for entry in entries {
            let needs = Self::room(&entry.1);
            if used + needs > WIDTH - 100.0 {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += needs;
            if let Some(row) = rows.last_mut() {
                row.push(entry);
            }
        }
        Legend { rows }
    }

    fn room(label: &str) -> f64 {
        Self::SWATCH + 6.0 + width(label, TEXT) + Self::GAP
    }

    fn height(&self) -> f64 {
        self.rows.len() as f64 * (LINE + 2.0)
    }

    fn draw(&self, pen: &mut Pen, left: f64, top: f64) {
        for (number, row) in self.rows.iter().enumerate() {
            let y = top + number as f64 * (LINE + 2.0) + 9.0;
            let mut x = left;
            for (mark, label) in row {
                let ends = [(x, y), (x + Self::SWATCH, y)];
                match *mark {
                    Mark::Line(style, role) => pen.line(&ends, style, palette::colour(role), stroke(role)),
                    Mark::Band(role) => {
                        let box_ = Frame { left: x, top: y - 6.0, width: Self::SWATCH, height: 12.0 };
                        pen.rect(box_, palette::colour(role), BAND);
                    }
                    Mark::Point(role) => pen.dot((x + 0.5 * Self::SWATCH, y), palette::colour(role)),
                }
                let words = (x + Self::SWATCH + 6.0, y + 4.5);
                pen.text(words, label, TEXT, TextAnchor::Start, INK);
                x += Self::room(label);
            }
        }
    }
}

/// Opacity of bands.
const BAND: f64 = 0.2;

/// Width of a role's strokes: what is compared stands out against what is known.
fn stroke(role: Role) -> f64 {
    match role {
        Role::History => 1.2,
        Role::Truth => 2.0,
        Role::Forecast => 1.7,
        Role::Baseline | Role::Other(_) => 1.5,
    }
}

/// One panel in its place.
struct Drawing<'a> {
    figure: &'a Figure,
    panel: &'a Panel,
    frame: Frame,
    x: Scale,
    y: Scale,
    x_ticks: bool,
}

impl Drawing<'_> {
    fn draw(&self, pen: &mut Pen) {
        self.draw_y_axis(pen);
        self.draw_x_axis(pen);
        self.draw_titles(pen);
        pen.clip(self.frame);
        for layer in &self.panel.layers {
            self.draw_layer(pen, layer);
        }
        pen.unclip();
        self.draw_vertical_lines(pen);
        pen.outline(self.frame);
    }

    fn at(&self, x: f64, y: f64) -> Option<Point> {
        Some((
            self.frame.left + self.x.place(x)? * self.frame.width,
            self.frame.bottom() - self.y.place(y)? * self.frame.height,
        ))
    }

    fn draw_y_axis(&self, pen: &mut Pen) {
        for tick in y_ticks(&self.y, self.frame.height) {
            let y = self.frame.bottom() - tick.place * self.frame.height;
            pen.rule((self.frame.left, y), (self.frame.right(), y), GRID);
            let words = (self.frame.left - 6.0, y + 4.5);
            pen.text(words, &tick.label, TEXT, TextAnchor::End, INK);
        }
    }

    fn draw_x_axis(&self, pen: &mut Pen) {
        // So many units for each tick keep the widest label, a date, from its neighbour.
        for tick in self.x.ticks(self.panel.x.unwrap_or(self.figure.x), (self.frame.width / 80.0) as usize) {
            let x = self.frame.left + tick.place * self.frame.width;
            let bottom = self.frame.bottom();
            pen.rule((x, self.frame.top), (x, bottom), GRID);
            if !self.x_ticks {
                continue;
            }
            pen.rule((x, bottom), (x, bottom + 4.0), INK);
            for (line, words) in [(1.0, &tick.label), (2.0, &tick.below)] {
                // A long date at the right end moves inwards instead of over the edge.
                let middle = x.min(WIDTH - 2.0 - 0.5 * width(words, TEXT));
                pen.text((middle, bottom + 1.0 + line * LINE), words, TEXT, TextAnchor::Middle, INK);
            }
        }
    }

    /// The title and, greyer, what y is: upright words beside the axis would be harder to read.
    fn draw_titles(&self, pen: &mut Pen) {
        let above = |x: f64| (x, self.frame.top - 7.0);
        let title = fitting(&self.panel.title, TEXT, self.frame.width);
        pen.text(above(self.frame.left), &title, TEXT, TextAnchor::Start, INK);
        let unit = fitting(&self.panel.y_label, TEXT, self.frame.width - width(&title, TEXT));
        let gap = if title.is_empty() { 0.0 } else { 10.0 };
        pen.text(above(self.frame.left + width(&title, TEXT) + gap), &unit, TEXT, TextAnchor::Start, MARK);
    }

    /// Where the words above the panel end.
    fn titles_end(&self) -> f64 {
        let words = width(&self.panel.title, TEXT) + width(&self.panel.y_label, TEXT);
        self.frame.left + if words > 0.0 { words + 24.0 } else { 0.0 }
    }

    fn draw_layer(&self, pen: &mut Pen, layer: &Layer) {
        match layer {
            Layer::Line { x, y, style, role, .. } => {
                for run in self.runs(x, y) {
                    match run.as_slice() {
                        [alone] => pen.dot(*alone, palette::colour(*role)),
                        run => pen.line(&thinned(run), *style, palette::colour(*role), stroke(*role)),
                    }
                }
            }
            Layer::Band { x, lo, hi, role, .. } => {
                for (lower, upper) in self.bands(x, lo, hi) {
                    let mut around = thinned(&upper);
                    around.extend(thinned(&lower).into_iter().rev());
                    pen.area(&around, palette::colour(*role), BAND);
                }
            }
            Layer::Points { x, y, role, .. } => {
                for point in self.runs(x, y).into_iter().flatten() {
                    pen.dot(point, palette::colour(*role));
                }
            }
            Layer::VerticalLine { .. } => {}
        }
    }

    /// The line in places, cut wherever a value cannot be drawn.
    fn runs(&self, x: &[f64], y: &[f64]) -> Vec<Vec<Point>> {
        let places: Vec<Option<Point>> = x.iter().zip(y).map(|(x, y)| self.at(*x, *y)).collect();
        places
            .split(Option::is_none)
            .filter(|run| !run.is_empty())
            .map(|run| run.iter().flatten().copied().collect())
            .collect()
    }

    /// Lower and upper edges of a band, cut wherever one of them cannot be drawn.
    fn bands(&self, x: &[f64], lo: &[f64], hi: &[f64]) -> Vec<(Vec<Point>, Vec<Point>)> {
        let edges: Vec<Option<(Point, Point)>> =
            x.iter().zip(lo).zip(hi).map(|((x, lo), hi)| self.at(*x, *lo).zip(self.at(*x, *hi))).collect();
        edges
            .split(Option::is_none)
            .filter(|run| !run.is_empty())
            .map(|run| run.iter().flatten().copied().unzip())
            .collect()
    }

    fn draw_vertical_lines(&self, pen: &mut Pen) {
        for layer in &self.panel.layers {
            let Layer::VerticalLine { x, label } = layer else { continue };
            let Some(place) = self.x.place(*x).filter(|p| (0.0..=1.0).contains(p)) else { continue };
            let x = self.frame.left + place * self.frame.width;
            pen.line(&[(x, self.frame.top), (x, self.frame.bottom())], Style::Dashed, MARK, 1.2);
            let half = 0.5 * width(&shown(label), TEXT);
            // The words stay above the panel and, while there is room, clear of its title.
            let middle = x.max(self.titles_end() + half).min(self.frame.right() - half);
            pen.text((middle, self.frame.top - 7.0), label, TEXT, TextAnchor::Middle, MARK);
        }
    }
}

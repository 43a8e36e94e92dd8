//! A figure in a terminal: two by four dots of braille in each character, and colours that every theme keeps
//! legible.

use super::scale::{self, Scale};
use super::{Axis, Figure, Layer, Panel, Role, Style, palette, shown};

/// Dots of a braille character by column and row, as bits above U+2800.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// What stands for a band where nothing else is drawn.
const SHADE: char = '░';

/// The figure in `width` by `height` characters, about; panels stand above each other.
///
/// Without `colour` the text holds no escape codes.
pub(crate) fn terminal(figure: &Figure, width: usize, height: usize, colour: bool) -> String {
    let panels = &figure.panels;
    let mut lines = vec![clipped(&figure.title, width)];
    let each = height.saturating_sub(2 + panels.len()) / panels.len().max(1);
    for panel in panels {
        if !panel.title.is_empty() {
            lines.push(clipped(&panel.title, width));
        }
        lines.extend(rows(figure, panel, width, each.max(3), colour));
    }
    // A band narrower than a character is not seen.
    let shaded = lines.iter().any(|line| line.contains(SHADE));
    let named = |layer: &&Layer| shaded || !matches!(layer, Layer::Band { .. });
    lines.extend(legend(figure.panels.iter().flat_map(|p| &p.layers).filter(named), width, colour));
    lines.retain(|line| !line.trim().is_empty());
    lines.join("\n") + "\n"
}

fn clipped(words: &str, width: usize) -> String {
    shown(words).chars().take(width).collect()
}

/// `words` in the colour of a role.
fn painted(words: &str, role: Option<Role>, colour: bool) -> String {
    match role.and_then(palette::terminal).filter(|_| colour) {
        Some(code) => format!("\x1b[{code}m{words}\x1b[0m"),
        None => words.to_owned(),
    }
}

/// One panel: the y labels, the dots, and the labels of x below.
fn rows(figure: &Figure, panel: &Panel, width: usize, height: usize, colour: bool) -> Vec<String> {
    let x = scale::x_of(panel.layers.iter(), 0.0);
    let y = scale::y_of(&panel.layers, panel.log_y, 0.02);
    let height = height.saturating_sub(2).max(2);
    let mut labels = vec![String::new(); height];
    for tick in y.ticks(Axis::Numbers, height / 3) {
        let row = ((1.0 - tick.place) * (height - 1) as f64).round() as usize;
        if let Some(label) = labels.get_mut(row) {
            *label = tick.label;
        }
    }
    let left = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let columns = width.saturating_sub(left + 2).max(8);
    let mut canvas = Canvas::new(columns, height);
    for layer in &panel.layers {
        canvas.draw(layer, &x, &y);
    }
    let mut lines: Vec<String> =
        (0..height).map(|row| format!("{:>left$} ┤{}", labels[row], canvas.row(row, colour))).collect();
    for line in x_labels(&x, panel.x.unwrap_or(figure.x), columns) {
        lines.push(format!("{:>left$}  {line}", ""));
    }
    lines
}

/// The labels of x as one line of text, or two for dates.
fn x_labels(x: &Scale, axis: Axis, columns: usize) -> Vec<String> {
    let ticks = x.ticks(axis, columns / 16);
    let mut lines = vec![vec![' '; columns]; 2];
    for tick in &ticks {
        for (line, words) in lines.iter_mut().zip([&tick.label, &tick.below]) {
            let middle = (tick.place * (columns - 1) as f64).round() as usize;
            let words: Vec<char> = words.chars().collect();
            let start = middle.saturating_sub(words.len() / 2).min(columns.saturating_sub(words.len()));
            for (cell, c) in line[start..].iter_mut().zip(words) {
                *cell = c;
            }
        }
    }
    lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

/// The named layers, each with a piece of what it is drawn with, in as many lines as they need.
fn legend<'a>(layers: impl Iterator<Item = &'a Layer>, width: usize, colour: bool) -> Vec<String> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    for layer in layers {
        let (Layer::Line { label, .. } | Layer::Band { label, .. } | Layer::Points { label, .. }) = layer
        else {
            continue;
        };
        let (label, mark) = (shown(label), Canvas::mark(layer));
        let room = mark.row(0, false).chars().count() + 1 + label.chars().count();
        let entry = (room, format!("{} {label}", mark.row(0, colour)));
        if !label.is_empty() && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (room, entry) in entries {
        match lines.last_mut().filter(|(used, _)| used + 3 + room <= width) {
            Some((used, line)) => {
                *used += 3 + room;
                *line += &format!("   {entry}");
            }
            None => lines.push((room, entry)),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A character of the canvas.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Dots, as bits above U+2800.
    dots: u8,
    /// Whether it lies in a band.
    shaded: bool,
    /// What drew there last.
    role: Option<Role>,
}

impl Cell {
    fn character(self) -> char {
        match self.dots {
            0 if self.shaded => SHADE,
            0 => ' ',
            dots => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
        }
    }
}

/// Characters of dots, each in the colour of the layer that drew there last.
struct Canvas {
    columns: usize,
    cells: Vec<Cell>,
    rows: usize,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Canvas {
        Canvas { columns, rows, cells: vec![Cell::default(); columns * rows] }
    }

    /// What a legend shows of a layer.
    fn mark(layer: &Layer) -> Canvas {
        let mut canvas = Canvas::new(4, 1);
        match layer {
            Layer::Line { style, role, .. } => {
                canvas.stroke((0.0, 1.0), (7.0, 1.0), (*style, *role), 0.0);
            }
            Layer::Points { role, .. } => canvas.dot((0.0, 1.0), *role),
            Layer::Band { role, .. } => canvas.shade([(0.0, 0.0, 4.0), (7.0, 0.0, 4.0)], *role),
            Layer::VerticalLine { .. } => {}
        }
        canvas
    }

    fn draw(&mut self, layer: &Layer, x: &Scale, y: &Scale) {
        let (wide, high) = ((2 * self.columns - 1) as f64, (4 * self.rows - 1) as f64);
        let at = |px: f64, py: f64| Some((x.place(px)? * wide, (1.0 - y.place(py)?) * high));
        match layer {
            Layer::Line { x, y, style, role, .. } => {
                let places: Vec<_> = x.iter().zip(y).map(|(x, y)| at(*x, *y)).collect();
                let mut drawn = 0.0;
                for pair in places.windows(2) {
                    if let [Some(from), Some(to)] = *pair {
                        drawn = self.stroke(from, to, (*style, *role), drawn);
                    }
                }
            }
            Layer::Points { x, y, role, .. } => {
                for point in x.iter().zip(y).filter_map(|(x, y)| at(*x, *y)) {
                    self.dot(point, *role);
                }
            }
            Layer::Band { x, lo, hi, role, .. } => {
                let edges = |((x, lo), hi): ((&f64, &f64), &f64)| {
                    let ((place, lower), (_, upper)) = at(*x, *lo).zip(at(*x, *hi))?;
                    Some((place, upper, lower))
                };
                let edges: Vec<_> = x.iter().zip(lo).zip(hi).map(edges).collect();
                for pair in edges.windows(2) {
                    if let [Some(from), Some(to)] = *pair {
                        self.shade([from, to], *role);
                    }
                }
            }
            Layer::VerticalLine { x: place, .. } => {
                if let Some(place) = x.place(*place) {
                    for row in (0..4 * self.rows).step_by(2) {
                        self.dot((place * wide, row as f64), Role::History);
                    }
                }
            }
        }
    }

    /// Draws a part of a line of which `drawn` dots lie behind, and says how many do then.
    fn stroke(
        &mut self,
        (x0, y0): (f64, f64),
        (x1, y1): (f64, f64),
        (style, role): (Style, Role),
        drawn: f64,
    ) -> f64 {
        let length = (x1 - x0).abs().max((y1 - y0).abs());
        let steps = length.ceil().max(1.0);
        for step in 0..=steps as usize {
            let part = step as f64 / steps;
            let place = (drawn + part * length).round() as usize;
            let inked = match style {
                Style::Solid => true,
                Style::Dashed => place % 6 < 4,
                Style::Dotted => place.is_multiple_of(3),
            };
            if inked {
                let (x, y) = (x0 + part * (x1 - x0), y0 + part * (y1 - y0));
                self.dot((x, y), role);
                // Without colours, what the model says is known by its width.
                if role == Role::Forecast {
                    self.dot((x, y + 1.0), role);
                }
            }
        }
        drawn + length
    }

    /// Shades the characters that lie mostly between two edges, each (x, upper, lower).
    fn shade(&mut self, [from, to]: [(f64, f64, f64); 2], role: Role) {
        let whole = |place: f64, most: usize| (place.round().max(0.0) as usize).min(most);
        let run = (to.0 - from.0).max(f64::MIN_POSITIVE);
        for column in whole(from.0 / 2.0, self.columns)..whole(to.0 / 2.0 + 1.0, self.columns) {
            let part = ((2.0 * column as f64 - from.0) / run).clamp(0.0, 1.0);
            let between = |from: f64, to: f64| (from + part * (to - from)) / 4.0;
            for row in whole(between(from.1, to.1), self.rows)..whole(between(from.2, to.2), self.rows) {
                let cell = &mut self.cells[row * self.columns + column];
                (cell.shaded, cell.role) = (true, cell.role.or(Some(role)));
            }
        }
    }

    fn dot(&mut self, (x, y): (f64, f64), role: Role) {
        let (x, y) = (x.round().max(0.0) as usize, y.round().max(0.0) as usize);
        let (column, row) = (x / 2, y / 4);
        if column < self.columns && row < self.rows {
            let cell = &mut self.cells[row * self.columns + column];
            (cell.dots, cell.role) = (cell.dots | DOTS[x % 2][y % 4], Some(role));
        }
    }

    fn row(&self, row: usize, colour: bool) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let mut line = String::new();
        for run in cells.chunk_by(|a, b| a.role == b.role) {
            let dots: String = run.iter().map(|cell| cell.character()).collect();
            line.push_str(&painted(&dots, run[0].role, colour));
        }
        line.trim_end_matches(' ').to_owned()
    }
}

//! A figure in a terminal: two by four dots of braille in each character, and colours that every theme keeps
//! legible.

use super::scale::{self, Scale};
use super::{Axis, Figure, Layer, Panel, Role, palette, shown};

/// Dots of a braille character by column and row, as bits above U+2800.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

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
    lines.push(legend(figure, colour));
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
    for line in x_labels(&x, figure.x, columns) {
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

fn legend(figure: &Figure, colour: bool) -> String {
    let mut entries: Vec<String> = Vec::new();
    for layer in figure.panels.iter().flat_map(|p| &p.layers) {
        let (Layer::Line { role, label, .. }
        | Layer::Band { role, label, .. }
        | Layer::Points { role, label, .. }) = layer
        else {
            continue;
        };
        let mark = if matches!(layer, Layer::Band { .. }) { "░░" } else { "──" };
        let entry = format!("{} {}", painted(mark, Some(*role), colour), shown(label));
        if !label.is_empty() && !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.join("   ")
}

/// Characters of dots, each in the colour of the layer that drew there last.
struct Canvas {
    columns: usize,
    cells: Vec<(u8, Option<Role>)>,
    rows: usize,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Canvas {
        Canvas { columns, rows, cells: vec![(0, None); columns * rows] }
    }

    fn draw(&mut self, layer: &Layer, x: &Scale, y: &Scale) {
        let (wide, high) = ((2 * self.columns - 1) as f64, (4 * self.rows - 1) as f64);
        let at = |px: f64, py: f64| Some((x.place(px)? * wide, (1.0 - y.place(py)?) * high));
        match layer {
            Layer::Line { x, y, role, .. } => {
                let places: Vec<_> = x.iter().zip(y).map(|(x, y)| at(*x, *y)).collect();
                for pair in places.windows(2) {
                    if let [Some(from), Some(to)] = *pair {
                        self.stroke(from, to, *role);
                    }
                }
            }
            Layer::Points { x, y, role, .. } => {
                for point in x.iter().zip(y).filter_map(|(x, y)| at(*x, *y)) {
                    self.dot(point, *role);
                }
            }
            Layer::Band { x, lo, hi, role, .. } => {
                for ((x, lo), hi) in x.iter().zip(lo).zip(hi) {
                    if let (Some(lower), Some(upper)) = (at(*x, *lo), at(*x, *hi)) {
                        // Every fourth dot, so that the lines in the band stay visible.
                        let mut row = (upper.1 / 4.0).ceil() * 4.0;
                        while row <= lower.1 {
                            if (lower.0.round() as usize).is_multiple_of(2) {
                                self.dot((lower.0, row), *role);
                            }
                            row += 4.0;
                        }
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

    fn stroke(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), role: Role) {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let part = step as f64 / steps;
            self.dot((x0 + part * (x1 - x0), y0 + part * (y1 - y0)), role);
        }
    }

    fn dot(&mut self, (x, y): (f64, f64), role: Role) {
        let (x, y) = (x.round().max(0.0) as usize, y.round().max(0.0) as usize);
        let (column, row) = (x / 2, y / 4);
        if column < self.columns && row < self.rows {
            let cell = &mut self.cells[row * self.columns + column];
            *cell = (cell.0 | DOTS[x % 2][y % 4], Some(role));
        }
    }

    fn row(&self, row: usize, colour: bool) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let mut line = String::new();
        for run in cells.chunk_by(|a, b| a.1 == b.1) {
            let dots: String = run.iter().map(|(bits, _)| braille(*bits)).collect();
            line.push_str(&painted(&dots, run[0].1, colour));
        }
        line.trim_end_matches(' ').to_owned()
    }
}

fn braille(bits: u8) -> char {
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ') }
}

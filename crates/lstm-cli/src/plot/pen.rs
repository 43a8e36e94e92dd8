//! Strokes, areas and words: puts shapes into kuva's scene, and measures what will not fit.

use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::palette::{INK, Rgb};
use super::{Style, shown};

/// A place in the layout, right and down.
pub(super) type Point = (f64, f64);

/// A rectangle of the layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Puts shapes into kuva's scene.
pub(super) struct Pen {
    pub(super) scene: Scene,
}

fn paint((r, g, b): Rgb) -> Color {
    Color::Rgb(r, g, b)
}

impl Pen {
    pub(super) fn text(&mut self, (x, y): Point, words: &str, size: u32, anchor: TextAnchor, colour: Rgb) {
        if words.is_empty() {
            return;
        }
        // kuva reads `$...$` as mathematics; ours are names of columns.
        let content = shown(words).replace('$', "\\$");
        let color = Some(paint(colour));
        self.scene.add(Primitive::Text { x, y, content, size, anchor, rotate: None, bold: false, color });
    }

    pub(super) fn rule(&mut self, (x1, y1): Point, (x2, y2): Point, colour: Rgb) {
        let (stroke, stroke_width) = (paint(colour), 1.0);
        self.scene.add(Primitive::Line { x1, y1, x2, y2, stroke, stroke_width, stroke_dasharray: None });
    }

    pub(super) fn line(&mut self, points: &[Point], style: Style, colour: Rgb, stroke_width: f64) {
        // A line that fills its panel with ups and downs would be millions of dots that look the same.
        let length: f64 = points.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum();
        let strokes = match style {
            _ if style == Style::Solid || length > 30_000.0 => {
                let (points, stroke) = (points.to_vec(), paint(colour));
                self.scene.add(Primitive::PolyLine { points, stroke, stroke_width, stroke_dasharray: None });
                return;
            }
            Style::Solid | Style::Dashed => dashes(points, 6.0, 4.0),
            Style::Dotted => dashes(points, 1.8, 3.0),
        };
        self.path(
            &strokes,
            PathData {
                d: String::new(),
                fill: None,
                stroke: paint(colour),
                stroke_width,
                opacity: None,
                stroke_dasharray: None,
            },
        );
    }

    pub(super) fn area(&mut self, around: &[Point], colour: Rgb, opacity: f64) {
        self.path(
            &[around.to_vec()],
            PathData {
                d: String::new(),
                fill: Some(paint(colour)),
                stroke: Color::None,
                stroke_width: 0.0,
                opacity: Some(opacity),
                stroke_dasharray: None,
            },
        );
    }

    fn path(&mut self, lines: &[Vec<Point>], data: PathData) {
        let mut d = String::new();
        for line in lines {
            for (index, (x, y)) in line.iter().enumerate() {
                d.push_str(&format!("{}{x:.2} {y:.2}", if index == 0 { "M" } else { "L" }));
            }
            if data.fill.is_some() {
                d.push('Z');
            }
        }
        self.scene.add(Primitive::Path(Box::new(PathData { d, ..data })));
    }

    pub(super) fn dot(&mut self, (cx, cy): Point, colour: Rgb) {
        let fill = paint(colour);
        self.scene.add(Primitive::Circle {
            cx,
            cy,
            r: 2.4,
            fill,
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        });
    }

    pub(super) fn rect(
        &mut self,
        Frame { left: x, top: y, width, height }: Frame,
        colour: Rgb,
        opacity: f64,
    ) {
        let opacity = (opacity < 1.0).then_some(opacity);
        let fill = paint(colour);
        self.scene.add(Primitive::Rect {
            x,
            y,
            width,
            height,
            fill,
            stroke: None,
            stroke_width: None,
            opacity,
        });
    }

    pub(super) fn outline(&mut self, frame: Frame) {
        let (l, t, r, b) = (frame.left, frame.top, frame.right(), frame.bottom());
        for (from, to) in [((l, t), (r, t)), ((r, t), (r, b)), ((r, b), (l, b)), ((l, b), (l, t))] {
            self.rule(from, to, INK);
        }
    }

    pub(super) fn clip(&mut self, Frame { left: x, top: y, width, height }: Frame) {
        let id = format!("panel-{}", self.scene.elements.len());
        // The SVG backend leaves it to its caller to say what a clip is, the PNG backend does not.
        self.scene.defs.push(format!(
            r#"<clipPath id="{id}"><rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" /></clipPath>"#
        ));
        self.scene.add(Primitive::ClipStart { x, y, width, height, id });
    }

    pub(super) fn unclip(&mut self) {
        self.scene.add(Primitive::ClipEnd);
    }
}

/// The same line with at most four points for each unit of width: first, lowest, highest and last.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    let mut out = Vec::new();
    for same in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if same.len() <= 4 {
            out.extend_from_slice(same);
            continue;
        }
        let by_height = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        let lowest = same.iter().min_by(by_height);
        let highest = same.iter().max_by(by_height);
        out.extend([same.first(), lowest, highest, same.last()].into_iter().flatten());
    }
    out
}

/// The strokes of a dashed line: `on` units drawn, `off` units not, along the whole line and not anew for each
/// of its segments, which are often shorter than a dash.
fn dashes(points: &[Point], on: f64, off: f64) -> Vec<Vec<Point>> {
    let mut strokes = Vec::new();
    let mut stroke: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let ((mut x, mut y), (x1, y1)) = (pair[0], pair[1]);
        loop {
            let length = (x1 - x).hypot(y1 - y);
            if length < left {
                left -= length;
                if drawing {
                    stroke.push((x1, y1));
                }
                break;
            }
            (x, y) = (x + (x1 - x) * left / length, y + (y1 - y) * left / length);
            if drawing {
                stroke.push((x, y));
                strokes.push(std::mem::take(&mut stroke));
            } else {
                stroke = vec![(x, y)];
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
    }
    if stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

/// As much of `words` as fits into `room`.
pub(super) fn fitting(words: &str, size: u32, room: f64) -> String {
    let words = shown(words);
    if width(&words, size) <= room {
        return words;
    }
    let mut kept = String::new();
    for c in words.chars() {
        kept.push(c);
        if width(&kept, size) > room - f64::from(size) {
            break;
        }
    }
    kept.pop();
    kept.push('…');
    kept
}

/// About how wide words are in DejaVu Sans; a little too wide rather than too narrow.
pub(super) fn width(words: &str, size: u32) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | ' ' | '.' | ',' | ':' | '\'' | '|' | '(' | ')' | '-' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.98,
        c if c.is_ascii() => 0.64,
        _ => 1.0,
    };
    words.chars().map(em).sum::<f64>() * f64::from(size)
}

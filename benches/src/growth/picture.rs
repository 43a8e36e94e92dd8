//! The picture of a run: a panel for each series, time over size, both logarithmic.
//!
//! Drawn with the primitives of kuva in a layout of our own, for the reasons of docs/decisions/0002-plotting.md.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::{Growth, Series, upper};
use crate::measure::Row;

/// Width and height of a panel, without its labels.
const PANEL: (f64, f64) = (400.0, 270.0);
/// From the left edge of a panel to that of the next, and from top to top.
const PITCH: (f64, f64) = (472.0, 344.0);
/// Left and upper edge of the first panel.
const FIRST: (f64, f64) = (62.0, 106.0);
/// Room to the right of the last panel and, with the sizes in it, below.
const EDGE: f64 = 34.0;
/// Width that the words at the top need.
const LEAST: f64 = 720.0;
/// Size of the title.
const TITLE: u32 = 19;
/// Size of the names of panels.
const NAME: u32 = 14;
/// Size of all other words.
const TEXT: u32 = 12;

type Rgb = (u8, u8, u8);

const INK: Rgb = (0x33, 0x33, 0x33);
const FAINT: Rgb = (0x77, 0x77, 0x77);
const GRID: Rgb = (0xdd, 0xdd, 0xdd);
const FINE: Rgb = (0xf1, 0xf1, 0xf1);
const WHITE: Rgb = (0xff, 0xff, 0xff);

/// One of the two costs: its name, its colour, the tint of its fit, and where it stands in a row.
struct Cost {
    name: &'static str,
    colour: Rgb,
    tint: Rgb,
    of: fn(&Row) -> Option<f64>,
    slope: fn(&Series) -> Option<f64>,
}

/// Blue and vermilion of Okabe and Ito's palette ("Color Universal Design", 2008).
const COSTS: [Cost; 2] = [
    Cost {
        name: "training step",
        colour: (0xd5, 0x5e, 0x00),
        tint: (0xf8, 0xdc, 0xc4),
        of: |row| row.train_ms,
        slope: |series| series.slopes.train,
    },
    Cost {
        name: "inference",
        colour: (0x00, 0x72, 0xb2),
        tint: (0xc6, 0xe0, 0xf0),
        of: |row| Some(row.infer_ms),
        slope: |series| series.slopes.infer,
    },
];

/// What a picture's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pixels, two for each unit of the layout.
    Png,
    /// Shapes.
    Svg,
}

impl Format {
    /// The format of a file by the ending of its name.
    ///
    /// # Errors
    /// If it is neither `.png` nor `.svg`.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => bail!("a picture must end in .png or .svg: {}", path.display()),
        }
    }
}

/// The picture as the contents of a file.
///
/// # Errors
/// If it cannot be encoded.
pub fn draw(growth: &Growth, format: Format) -> Result<Vec<u8>> {
    let scene = scene(growth);
    match format {
        Format::Svg => Ok(SvgBackend::new().render_scene(&scene).into_bytes()),
        Format::Png => PngBackend::new()
            .with_scale(2.0)
            .render_scene(&scene)
            .map_err(|reason| anyhow!("the picture cannot be encoded: {reason}")),
    }
}

fn scene(growth: &Growth) -> Scene {
    let count = growth.series.len();
    let (columns, rows) = (count.clamp(1, 2) as f64, count.div_ceil(2).max(1) as f64);
    let width = (FIRST.0 + PITCH.0 * (columns - 1.0) + PANEL.0 + EDGE).max(LEAST);
    let height = FIRST.1 + PITCH.1 * (rows - 1.0) + PANEL.1 + EDGE;
    let mut pen = Pen(Scene::new(width, height));
    head(&mut pen, growth);
    let y = Decades::holding(growth.series.iter().flat_map(times));
    for (index, series) in growth.series.iter().enumerate() {
        let at = |first: f64, pitch: f64, place: usize| first + pitch * place as f64;
        let corner = (at(FIRST.0, PITCH.0, index % 2), at(FIRST.1, PITCH.1, index / 2));
        Panel { series, corner, y: &y }.draw(&mut pen);
    }
    pen.0
}

fn head(pen: &mut Pen, growth: &Growth) {
    let Growth { base, threads, simd, .. } = growth;
    let title = "How the time of an LSTM grows with each of its sizes";
    pen.text((FIRST.0, 32.0), title, TITLE, TextAnchor::Start, INK);
    let rest = format!(
        "f32, {threads} threads, {simd}; each size grows alone, the others at T = {}, B = {}, I = {}, H = {}, L = {}",
        base.steps,
        base.batch,
        base.inputs,
        base.hidden[0],
        base.hidden.len()
    );
    pen.text((FIRST.0, 53.0), &rest, TEXT, TextAnchor::Start, FAINT);
    let slopes =
        "slope: of the wide lines, fitted to the upper half of the sizes; 1 is linear, 2 is quadratic";
    pen.text((FIRST.0, 70.0), slopes, TEXT, TextAnchor::Start, FAINT);
}

/// All milliseconds of a series.
fn times(series: &Series) -> impl Iterator<Item = f64> {
    series.points.iter().flat_map(|point| COSTS.iter().filter_map(|cost| (cost.of)(&point.row)))
}

/// A logarithmic axis of milliseconds.
struct Decades {
    low: f64,
    high: f64,
}

impl Decades {
    /// All `values`, with a little room around them.
    fn holding(values: impl Iterator<Item = f64>) -> Self {
        let logs = values.map(f64::log10).filter(|log| log.is_finite());
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| (low.min(log), high.max(log)));
        if low > high { Self { low: -1.0, high: 1.0 } } else { Self { low: low - 0.15, high: high + 0.15 } }
    }

    /// Where a value stands, 0 at the low and 1 at the high end.
    fn place(&self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    /// Ones, twos and fives times powers of ten, and whether each of them is labelled: the powers alone, unless
    /// fewer than two of them are in sight.
    fn ticks(&self) -> Vec<(f64, bool)> {
        let powers = self.low.floor() as i32..=self.high.ceil() as i32;
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|factor| (factor, factor * 10f64.powi(power))));
        let seen: Vec<_> = all.filter(|(_, value)| (0.0..=1.0).contains(&self.place(*value))).collect();
        let few = seen.iter().filter(|(factor, _)| *factor == 1.0).count() < 2;
        seen.into_iter().map(|(factor, value)| (value, few || factor == 1.0)).collect()
    }
}

/// One series in its place.
struct Panel<'a> {
    series: &'a Series,
    /// Left and upper edge.
    corner: (f64, f64),
    y: &'a Decades,
}

impl Panel<'_> {
    fn draw(&self, pen: &mut Pen) {
        let (left, top) = self.corner;
        let (right, bottom) = (left + PANEL.0, top + PANEL.1);
        pen.text((left, top - 10.0), self.series.size.name(), NAME, TextAnchor::Start, INK);
        pen.text((right, top - 10.0), "milliseconds", TEXT, TextAnchor::End, FAINT);
        self.grid(pen);
        for cost in &COSTS {
            pen.line(&self.fit(cost), cost.tint, 9.0);
        }
        for cost in &COSTS {
            let curve = self.curve(cost);
            pen.line(&curve, cost.colour, 1.8);
            curve.iter().for_each(|&point| pen.dot(point, cost.colour));
        }
        self.legend(pen);
        pen.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1.0);
    }

    /// Where a value of the size and milliseconds stand.
    fn at(&self, value: f64, milliseconds: f64) -> (f64, f64) {
        let sizes = &self.series.points;
        let ends = [sizes.first(), sizes.last()].map(|point| point.map_or(1.0, |p| p.value as f64).ln());
        let share = if ends[0] < ends[1] { (value.ln() - ends[0]) / (ends[1] - ends[0]) } else { 0.5 };
        let (left, top) = self.corner;
        (left + PANEL.0 * (0.04 + 0.92 * share), top + PANEL.1 * (1.0 - self.y.place(milliseconds)))
    }

    fn grid(&self, pen: &mut Pen) {
        let (left, top) = self.corner;
        let (right, bottom) = (left + PANEL.0, top + PANEL.1);
        for (value, labelled) in self.y.ticks() {
            let (_, y) = self.at(1.0, value);
            pen.line(&[(left, y), (right, y)], if labelled { GRID } else { FINE }, 1.0);
            if labelled {
                pen.text((left - 7.0, y + 4.5), &value.to_string(), TEXT, TextAnchor::End, INK);
            }
        }
        let mut free = f64::MIN;
        for point in &self.series.points {
            let (x, _) = self.at(point.value as f64, 1.0);
            pen.line(&[(x, top), (x, bottom)], FINE, 1.0);
            pen.line(&[(x, bottom), (x, bottom + 4.0)], INK, 1.0);
            let label = point.value.to_string();
            // A digit of DejaVu Sans is 0.64 of its size wide.
            let half = 0.5 * 0.64 * f64::from(TEXT) * label.len() as f64;
            if x - half > free {
                pen.text((x, bottom + 18.0), &label, TEXT, TextAnchor::Middle, INK);
                free = x + half + 4.0;
            }
        }
    }

    fn curve(&self, cost: &Cost) -> Vec<(f64, f64)> {
        let point = |point: &super::Point| Some(self.at(point.value as f64, (cost.of)(&point.row)?));
        self.series.points.iter().filter_map(point).collect()
    }

    /// The line of the slope through the mean of the points that it was fitted to.
    fn fit(&self, cost: &Cost) -> Vec<(f64, f64)> {
        let logs = |point: &super::Point| Some(((point.value as f64).ln(), (cost.of)(&point.row)?.ln()));
        let points: Vec<_> = upper(&self.series.points).iter().filter_map(logs).collect();
        let (Some(slope), [first, .., last]) = ((cost.slope)(self.series), &points[..]) else {
            return Vec::new();
        };
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        [first.0, last.0].map(|log| self.at(log.exp(), (y + slope * (log - x)).exp())).to_vec()
    }

    /// Names and slopes in the lower right corner, which rising curves leave free.
    fn legend(&self, pen: &mut Pen) {
        let (right, bottom) = (self.corner.0 + PANEL.0 - 12.0, self.corner.1 + PANEL.1);
        pen.rect((right - 172.0, bottom - 70.0), (184.0, 66.0), WHITE);
        pen.text((right, bottom - 54.0), "slope", TEXT, TextAnchor::End, FAINT);
        for (cost, y) in COSTS.iter().zip([bottom - 34.0, bottom - 14.0]) {
            let slope = (cost.slope)(self.series).map_or("-".to_owned(), |slope| format!("{slope:.2}"));
            pen.line(&[(right - 162.0, y - 4.0), (right - 138.0, y - 4.0)], cost.colour, 1.8);
            pen.dot((right - 150.0, y - 4.0), cost.colour);
            pen.text((right - 130.0, y), cost.name, TEXT, TextAnchor::Start, INK);
            pen.text((right, y), &slope, NAME, TextAnchor::End, cost.colour);
        }
    }
}

/// Puts shapes into kuva's scene.
struct Pen(Scene);

fn paint((r, g, b): Rgb) -> Color {
    Color::Rgb(r, g, b)
}

impl Pen {
    fn text(&mut self, (x, y): (f64, f64), words: &str, size: u32, anchor: TextAnchor, colour: Rgb) {
        let (content, color) = (words.to_owned(), Some(paint(colour)));
        self.0.add(Primitive::Text { x, y, content, size, anchor, rotate: None, bold: false, color });
    }

    fn line(&mut self, points: &[(f64, f64)], colour: Rgb, stroke_width: f64) {
        let (points, stroke) = (points.to_vec(), paint(colour));
        self.0.add(Primitive::PolyLine { points, stroke, stroke_width, stroke_dasharray: None });
    }

    fn dot(&mut self, (cx, cy): (f64, f64), colour: Rgb) {
        self.0.add(Primitive::Circle {
            cx,
            cy,
            r: 3.2,
            fill: paint(colour),
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        });
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: Rgb) {
        let fill = paint(colour);
        self.0.add(Primitive::Rect {
            x,
            y,
            width,
            height,
            fill,
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::tests::grown;

    #[test]
    fn a_panel_for_each_series_with_its_slopes() {
        let growth = grown(2);
        let text = String::from_utf8(draw(&growth, Format::Svg).unwrap()).unwrap();
        for series in &growth.series {
            assert_eq!(text.matches(series.size.name()).count(), 1, "{}", series.size.name());
        }
        assert_eq!(text.matches(">2.00<").count(), 8, "two costs in each of four panels");
        let png = draw(&growth, Format::Png).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
    }

    #[test]
    fn all_points_lie_in_their_panel_and_fits_upon_them() {
        let growth = grown(1);
        let y = Decades::holding(growth.series.iter().flat_map(times));
        for series in &growth.series {
            let panel = Panel { series, corner: (10.0, 20.0), y: &y };
            for cost in &COSTS {
                let curve = panel.curve(cost);
                assert_eq!(curve.len(), series.points.len());
                let inside = |&(x, y): &(f64, f64)| {
                    (10.0..10.0 + PANEL.0).contains(&x) && (20.0..20.0 + PANEL.1).contains(&y)
                };
                assert!(curve.iter().all(inside), "{curve:?}");
                let (fit, ends) = (panel.fit(cost), upper(&curve));
                for (fitted, drawn) in [(fit[0], ends[0]), (fit[1], ends[ends.len() - 1])] {
                    assert!((fitted.0 - drawn.0).hypot(fitted.1 - drawn.1) < 1e-6, "{fit:?} {curve:?}");
                }
            }
        }
    }

    #[test]
    fn few_points_or_none_make_a_picture_too() {
        let mut growth = grown(1);
        growth.series.truncate(1);
        growth.series[0] = Series::new(growth.series[0].size, growth.series[0].points[..1].to_vec());
        let text = String::from_utf8(draw(&growth, Format::Svg).unwrap()).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf\""), "{text}");
        growth.series.clear();
        draw(&growth, Format::Png).unwrap();
    }

    #[test]
    fn the_ending_of_the_name_decides() {
        assert_eq!(Format::of(Path::new("a/b.png")).unwrap(), Format::Png);
        assert_eq!(Format::of(Path::new("b.c.svg")).unwrap(), Format::Svg);
        for name in ["b", "b.jpg", "png"] {
            assert!(Format::of(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn labels_stand_at_powers_of_ten_while_there_are_two() {
        let labels = |values: [f64; 2]| {
            let ticks = Decades::holding(values.into_iter()).ticks();
            ticks.into_iter().filter(|(_, labelled)| *labelled).map(|(value, _)| value).collect::<Vec<_>>()
        };
        assert_eq!(labels([0.05, 30.0]), [0.1, 1.0, 10.0]);
        assert_eq!(labels([3.0, 30.0]), [5.0, 10.0, 20.0]);
    }
}

//! Made data: waves with known noise, tables, and streams of random sequences, each described by plain data.

mod numpy;

pub use numpy::randint;

use std::f64::consts::TAU;

use ndarray::Array3;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::order::unit;
use crate::window::{Element, same_size};

/// A description of made data, as an experiment's TOML file gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Generator {
    /// One long series.
    Formula(Formula),
    /// Sequences written out.
    Table(TableSpec),
    /// Fresh sines of random frequency and phase.
    RandomSine(RandomSine),
    /// Clock times as inputs, a sine of the next time as target.
    TimeInput(TimeInput),
    /// One sine from many starting points.
    ShiftedSine(ShiftedSine),
}

/// Independent sequences of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    /// What is read, `[T, rows, I]`.
    pub inputs: Array3<f64>,
    /// What is to be predicted: `[T, rows, O]` at every step, or `[1, rows, O]` after the last.
    pub targets: Array3<f64>,
}

impl Sequences {
    /// How many sequences.
    pub fn rows(&self) -> usize {
        self.inputs.dim().1
    }

    /// Copies chosen sequences into a batch.
    ///
    /// # Shapes
    /// `x [T, B, I]` and `y [T or 1, B, O]`, time first.
    ///
    /// # Errors
    /// [`Error::Size`] where a buffer has another size or a row is not there.
    pub fn fill_batch<E: Element>(&self, rows: &[usize], x: &mut [E], y: &mut [E]) -> Result<()> {
        gather("inputs of a batch", &self.inputs, rows, x)?;
        gather("targets of a batch", &self.targets, rows, y)
    }
}

/// Sequences that can be drawn without end.
pub trait Draw {
    /// Steps that are read, steps that have targets, and targets of each: `T`, `T` or 1, `O`.
    fn dims(&self) -> [usize; 3];

    /// Draws `rows` sequences, inputs `[T, rows, 1]`, targets `[T or 1, rows, O]`: a function of the stream alone.
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes or numbers that no sequence can have.
    fn draw<R: Rng + ?Sized>(&self, rows: usize, rng: &mut R) -> Result<Sequences>;
}

fn gather<E: Element>(what: &'static str, from: &Array3<f64>, rows: &[usize], to: &mut [E]) -> Result<()> {
    let (steps, all, width) = from.dim();
    same_size(what, steps * rows.len() * width, to.len())?;
    if let Some(row) = rows.iter().find(|row| **row >= all) {
        return Err(Error::Size { what: "rows of the sequences", expected: row + 1, got: all });
    }
    for t in 0..steps {
        for (b, row) in rows.iter().enumerate() {
            for i in 0..width {
                to[(t * rows.len() + b) * width + i] = E::from_f64(from[[t, *row, i]]);
            }
        }
    }
    Ok(())
}

/// `y = sum of amplitude · wave(frequency · x + phase) + offset + noise · U(0,1)` on an even grid of x.
///
/// ```
/// # use lstm_data::generate::Formula;
/// let toml = "offset = 10.0
/// grid = { start = 0.0, stop = 20.0, points = 100 }
/// terms = [{ amplitude = 5.0 }]";
/// let formula: Formula = toml::from_str(toml)?;
/// assert_eq!(formula.noise_floor(), 0.0);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formula {
    /// Where x is taken.
    pub grid: Grid,
    /// The waves that are added up.
    #[serde(default)]
    pub terms: Vec<Term>,
    /// What is added to every point.
    #[serde(default)]
    pub offset: f64,
    /// The noise of each point is uniform from 0 to this.
    #[serde(default)]
    pub noise: f64,
}

/// An even grid, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// The first x.
    pub start: f64,
    /// The last x.
    pub stop: f64,
    /// How many.
    pub points: usize,
}

impl Grid {
    /// From one x to the next.
    pub fn step(&self) -> f64 {
        (self.stop - self.start) / (self.points.max(2) - 1) as f64
    }

    /// The x of a point; points past the last go on at the same step.
    pub fn x(&self, point: usize) -> f64 {
        if point + 1 == self.points && self.points > 1 {
            self.stop
        } else {
            self.start + point as f64 * self.step()
        }
    }
}

/// One wave of a [`Formula`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// What the wave is multiplied by.
    pub amplitude: Amplitude,
    /// Its shape.
    #[serde(default)]
    pub wave: Wave,
    /// What x is multiplied by.
    #[serde(default = "one")]
    pub frequency: f64,
    /// What is added to the product.
    #[serde(default)]
    pub phase: f64,
}

fn one() -> f64 {
    1.0
}

/// The shape of a wave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wave {
    /// A sine.
    #[default]
    Sin,
    /// A cosine.
    Cos,
    /// The argument itself, for a trend.
    Line,
}

/// What a wave is multiplied by; in a TOML file a number, `"x"`, or `"uniform"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amplitude {
    /// This number.
    Fixed(f64),
    /// As its word says.
    Named(NamedAmplitude),
}

/// An amplitude that is not written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedAmplitude {
    /// The x of each point: a wave that grows.
    X,
    /// One number drawn uniformly from 0 to 1 for the whole series.
    Uniform,
}

/// A series made by a [`Formula`].
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Where the points are.
    pub x: Vec<f64>,
    /// The points, with noise.
    pub y: Vec<f64>,
    /// The same points with the noise replaced by its mean: the best that any forecast can know.
    pub expected: Vec<f64>,
}

impl Formula {
    /// Makes the points of the grid and `ahead` more behind them, for comparison with a forecast.
    ///
    /// The amplitudes are drawn first, then the noise from point to point: more points ahead change no earlier one.
    ///
    /// # Errors
    /// [`Error::Setting`] for a grid without points or numbers that are not finite.
    pub fn make(&self, ahead: usize, rng: &mut (impl Rng + ?Sized)) -> Result<Made> {
        if self.grid.points == 0 {
            return Err(setting("grid.points", 0, "must be at least 1"));
        }
        let numbers = [
            ("grid.start", self.grid.start),
            ("grid.stop", self.grid.stop),
            ("offset", self.offset),
            ("noise", self.noise),
        ];
        for (name, value) in numbers {
            finite(name, value)?;
        }
        for term in &self.terms {
            finite("frequency", term.frequency)?;
            finite("phase", term.phase)?;
            if let Amplitude::Fixed(value) = term.amplitude {
                finite("amplitude", value)?;
            }
        }
        let drawn: Vec<Option<f64>> = self
            .terms
            .iter()
            .map(|term| match term.amplitude {
                Amplitude::Fixed(value) => Some(value),
                Amplitude::Named(NamedAmplitude::X) => None,
                Amplitude::Named(NamedAmplitude::Uniform) => Some(unit(rng)),
            })
            .collect();
        let points = self.grid.points.saturating_add(ahead);
        bounded("grid.points", points, 1)?;
        let mut made = Made { x: Vec::new(), y: Vec::new(), expected: Vec::new() };
        for point in 0..points {
            let x = self.grid.x(point);
            let waves = self.terms.iter().zip(&drawn).map(|(term, drawn)| {
                let angle = term.frequency * x + term.phase;
                let wave = match term.wave {
                    Wave::Sin => libm::sin(angle),
                    Wave::Cos => libm::cos(angle),
                    Wave::Line => angle,
                };
                drawn.unwrap_or(x) * wave
            });
            let clean = waves.sum::<f64>() + self.offset;
            let noise = if self.noise == 0.0 { 0.0 } else { self.noise * unit(rng) };
            made.x.push(x);
            made.y.push(clean + noise);
            made.expected.push(clean + self.noise / 2.0);
        }
        Ok(made)
    }

    /// The mean square error that no forecast can go below: the variance of the noise, `noise² / 12`.
    pub fn noise_floor(&self) -> f64 {
        self.noise * self.noise / 12.0
    }
}

/// Sequences written out, one number a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// What is read, one list a sequence.
    pub inputs: Vec<Vec<f64>>,
    /// What is to be predicted at each step, one list a sequence.
    pub targets: Vec<Vec<f64>>,
}

impl TableSpec {
    /// The sequences, inputs `[T, rows, 1]` and targets `[T, rows, 1]`.
    ///
    /// # Errors
    /// [`Error::Size`] where lists differ in length, [`Error::Setting`] for none or for numbers that are not finite.
    pub fn make(&self) -> Result<Sequences> {
        let (rows, steps) = (self.inputs.len(), self.inputs.first().map_or(0, Vec::len));
        if steps == 0 {
            return Err(setting("inputs", rows, "at least one sequence of at least one number is needed"));
        }
        same_size("sequences in targets", rows, self.targets.len())?;
        let array = |name: &'static str, lists: &[Vec<f64>]| {
            for list in lists {
                same_size(name, steps, list.len())?;
                list.iter().try_for_each(|value| finite(name, *value))?;
            }
            Ok(Array3::from_shape_fn((steps, rows, 1), |(t, row, _)| lists[row][t]))
        };
        Ok(Sequences { inputs: array("inputs", &self.inputs)?, targets: array("targets", &self.targets)? })
    }
}

/// Sines `sin(2π f (t + t0))` sampled at an even rate; the first samples are read, the next predicted as a block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSine {
    /// Samples that are read.
    pub inputs: usize,
    /// Samples that are predicted.
    pub outputs: usize,
    /// Samples a second.
    pub rate: f64,
    /// The lowest and highest frequency in hertz; equal for a fixed one.
    pub frequency: [f64; 2],
    /// The latest start in seconds: `t0` is uniform from 0 to this.
    #[serde(default = "tau")]
    pub latest: f64,
}

fn tau() -> f64 {
    TAU
}

impl RandomSine {
    /// Draws `rows` sequences: inputs `[inputs, rows, 1]`, targets `[1, rows, outputs]`. Each draws its start, then its
    /// frequency.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size of 0, a rate that is not positive, or numbers that are not finite.
    pub fn make(&self, rows: usize, rng: &mut (impl Rng + ?Sized)) -> Result<Sequences> {
        let [low, high] = self.frequency;
        let draws: Vec<(f64, f64)> = (0..rows)
            .map(|_| {
                let start = unit(rng) * self.latest;
                (low + unit(rng) * (high - low), start)
            })
            .collect();
        self.at(&draws)
    }

    /// The sequences of these frequencies in hertz and starts in seconds, shaped as by [`RandomSine::make`].
    ///
    /// # Errors
    /// As [`RandomSine::make`].
    pub fn at(&self, draws: &[(f64, f64)]) -> Result<Sequences> {
        for (name, size) in [("inputs", self.inputs), ("outputs", self.outputs)] {
            if size == 0 {
                return Err(setting(name, 0, "must be at least 1"));
            }
        }
        let [low, high] = self.frequency;
        for (name, value) in
            [("rate", self.rate), ("frequency", low), ("frequency", high), ("latest", self.latest)]
        {
            finite(name, value)?;
        }
        if self.rate <= 0.0 {
            return Err(setting("rate", self.rate, "must be positive"));
        }
        bounded("inputs", self.inputs, draws.len())?;
        bounded("outputs", self.outputs, draws.len())?;
        let sample = |row: usize, at: usize| {
            let (frequency, start) = draws[row];
            libm::sin(TAU * frequency * (at as f64 / self.rate + start))
        };
        Ok(Sequences {
            inputs: Array3::from_shape_fn((self.inputs, draws.len(), 1), |(t, row, _)| sample(row, t)),
            targets: Array3::from_shape_fn((1, draws.len(), self.outputs), |(_, row, o)| {
                sample(row, self.inputs + o)
            }),
        })
    }
}

impl Draw for RandomSine {
    fn dims(&self) -> [usize; 3] {
        [self.inputs, 1, self.outputs]
    }

    fn draw<R: Rng + ?Sized>(&self, rows: usize, rng: &mut R) -> Result<Sequences> {
        self.make(rows, rng)
    }
}

/// Inputs are times, `t0 + i·step`; the target is `amplitude · sin` of the time after the last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeInput {
    /// Times that are read.
    pub inputs: usize,
    /// From one time to the next.
    pub step: f64,
    /// The latest `t0`: uniform from 0 to this.
    #[serde(default = "one")]
    pub latest: f64,
    /// What the sine is multiplied by.
    #[serde(default = "one")]
    pub amplitude: f64,
    /// Whether every step has the sine of the time after it as target, not only the last.
    #[serde(default)]
    pub every_step: bool,
}

impl TimeInput {
    /// Draws `rows` sequences: inputs `[inputs, rows, 1]`, targets `[1 or inputs, rows, 1]`.
    ///
    /// # Errors
    /// [`Error::Setting`] for no inputs or numbers that are not finite.
    pub fn make(&self, rows: usize, rng: &mut (impl Rng + ?Sized)) -> Result<Sequences> {
        let starts: Vec<f64> = (0..rows).map(|_| unit(rng) * self.latest).collect();
        self.at(&starts)
    }

    /// The sequences that begin at these times, shaped as by [`TimeInput::make`].
    ///
    /// # Errors
    /// As [`TimeInput::make`].
    pub fn at(&self, starts: &[f64]) -> Result<Sequences> {
        if self.inputs == 0 {
            return Err(setting("inputs", 0, "must be at least 1"));
        }
        bounded("inputs", self.inputs, starts.len())?;
        for (name, value) in [("step", self.step), ("latest", self.latest), ("amplitude", self.amplitude)] {
            finite(name, value)?;
        }
        let time = |row: usize, at: usize| starts[row] + at as f64 * self.step;
        let (steps, first) = if self.every_step { (self.inputs, 1) } else { (1, self.inputs) };
        Ok(Sequences {
            inputs: Array3::from_shape_fn((self.inputs, starts.len(), 1), |(t, row, _)| time(row, t)),
            targets: Array3::from_shape_fn((steps, starts.len(), 1), |(t, row, _)| {
                self.amplitude * libm::sin(time(row, first + t))
            }),
        })
    }
}

impl Draw for TimeInput {
    fn dims(&self) -> [usize; 3] {
        [self.inputs, if self.every_step { self.inputs } else { 1 }, 1]
    }

    fn draw<R: Rng + ?Sized>(&self, rows: usize, rng: &mut R) -> Result<Sequences> {
        self.make(rows, rng)
    }
}

/// `sin((j + shift) / scale)` for j from 0, one sequence for each shift; the target at each step is the next value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShiftedSine {
    /// Values in a sequence, one more than the steps that are read.
    pub length: usize,
    /// What the position is divided by.
    pub scale: f64,
    /// Where each sequence begins.
    pub shifts: Vec<f64>,
}

impl ShiftedSine {
    /// The sequences: inputs and targets `[length - 1, rows, 1]`.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two values, no shift, or numbers that are not finite.
    pub fn make(&self) -> Result<Sequences> {
        if self.length < 2 {
            return Err(setting("length", self.length, "must be at least 2"));
        }
        if self.shifts.is_empty() {
            return Err(setting("shifts", "[]", "at least one is needed"));
        }
        bounded("length", self.length, self.shifts.len())?;
        if self.scale == 0.0 {
            return Err(setting("scale", 0, "must not be zero"));
        }
        finite("scale", self.scale)?;
        self.shifts.iter().try_for_each(|shift| finite("shifts", *shift))?;
        let value = |row: usize, at: usize| libm::sin((at as f64 + self.shifts[row]) / self.scale);
        let shape = (self.length - 1, self.shifts.len(), 1);
        Ok(Sequences {
            inputs: Array3::from_shape_fn(shape, |(t, row, _)| value(row, t)),
            targets: Array3::from_shape_fn(shape, |(t, row, _)| value(row, t + 1)),
        })
    }
}

fn setting(name: &'static str, value: impl ToString, fault: &'static str) -> Error {
    Error::Setting { name, value: value.to_string(), fault }
}

/// Refuses what would not fit into memory before it is made.
fn bounded(name: &'static str, count: usize, times: usize) -> Result<()> {
    match count.checked_mul(times) {
        Some(numbers) if numbers <= 1 << 28 => Ok(()),
        _ => Err(setting(name, count, "asks for more than 268 million numbers")),
    }
}

fn finite(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(setting(name, value, "must be a finite number")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::tests::Mix;

    fn formula(toml: &str) -> Formula {
        match toml::from_str(&format!("kind = 'formula'\n{toml}")).unwrap() {
            Generator::Formula(formula) => formula,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_sine() {
        let toy =
            formula("offset = 10\ngrid = {start = 0, stop = 20, points = 100}\nterms = [{amplitude = 5}]");
        let made = toy.make(2, &mut Mix(0)).unwrap();
        assert_eq!((made.x.len(), made.x[99], made.y[0]), (102, 20.0, 10.0));
        assert!((made.x[101] - made.x[100] - 20.0 / 99.0).abs() < 1e-12);
        assert!((made.y[7] - (5.0 * (7.0 * 20.0 / 99.0_f64).sin() + 10.0)).abs() < 1e-12);
        assert_eq!((made.expected, toy.noise_floor()), (made.y, 0.0));
    }

    #[test]
    fn noise_has_the_variance_that_the_floor_says() {
        let noisy = formula(
            "noise = 10\ngrid = {start = 0, stop = 100, points = 20000}\nterms = [{amplitude = 'x'}]",
        );
        let made = noisy.make(0, &mut Mix(1)).unwrap();
        let square = made.y.iter().zip(&made.expected).map(|(y, e)| (y - e) * (y - e)).sum::<f64>();
        assert!((square / 20_000.0 - noisy.noise_floor()).abs() < 0.2);
        assert!((noisy.noise_floor() - 100.0 / 12.0).abs() < 1e-12);
        assert!((made.expected[15_000] - (made.x[15_000] * made.x[15_000].sin() + 5.0)).abs() < 1e-9);
    }

    #[test]
    fn a_drawn_amplitude_is_one_number_and_more_points_change_none() {
        let spec = formula(
            "noise = 1\ngrid = {start = 0, stop = 50, points = 10}\nterms = [{amplitude = 'uniform'}]",
        );
        let short = spec.make(0, &mut Mix(5)).unwrap();
        let long = spec.make(7, &mut Mix(5)).unwrap();
        assert_eq!(short.y, long.y[..10]);
        let amplitude = |at: usize| (short.expected[at] - 0.5) / short.x[at].sin();
        assert!((amplitude(1) - amplitude(5)).abs() < 1e-9);
        assert!((0.0..1.0).contains(&amplitude(1)));
    }

    #[test]
    fn tables_are_time_first() {
        let toml = "kind = 'table'\ninputs = [[1, 2, 5, 6], [5, 7, 7, 8]]\ntargets = [[1, 3, 7, 11], [5, 12, 14, 15]]";
        let Generator::Table(table) = toml::from_str(toml).unwrap() else { panic!("a table") };
        let made = table.make().unwrap();
        let (mut x, mut y) = ([0_f32; 4], [0_f32; 4]);
        made.fill_batch(&[1], &mut x, &mut y).unwrap();
        assert_eq!((x, y), ([5.0, 7.0, 7.0, 8.0], [5.0, 12.0, 14.0, 15.0]));
        let (mut x, mut y) = ([0.0; 8], [0.0; 8]);
        made.fill_batch(&[0, 1], &mut x, &mut y).unwrap();
        assert_eq!(x, [1.0, 5.0, 2.0, 7.0, 5.0, 7.0, 6.0, 8.0]);
        assert!(made.fill_batch(&[2, 0], &mut x, &mut y).is_err());
        let ragged =
            TableSpec { inputs: vec![vec![1.0], vec![1.0, 2.0]], targets: vec![vec![1.0], vec![1.0]] };
        assert!(matches!(ragged.make(), Err(Error::Size { .. })));
    }

    #[test]
    fn random_sines_go_on_into_their_targets() {
        let spec = RandomSine { inputs: 25, outputs: 100, rate: 100.0, frequency: [0.5, 4.0], latest: TAU };
        let made = spec.make(3, &mut Mix(9)).unwrap();
        assert_eq!((made.inputs.dim(), made.targets.dim(), made.rows()), ((25, 3, 1), (1, 3, 100), 3));
        let one = spec.at(&[(1.0, 0.0)]).unwrap();
        assert!((one.targets[[0, 0, 0]] - 1.0).abs() < 1e-12, "a quarter period on");
        // sin(2π 2.5 (0.07 + 1.2)) and, 25 + 40 samples on, sin(2π 2.5 (0.65 + 1.2)).
        let two = spec.at(&[(1.0, 0.0), (2.5, 1.2)]).unwrap();
        assert!((two.inputs[[7, 1, 0]] - (TAU * 2.5 * 1.27).sin()).abs() < 1e-12);
        assert!((two.targets[[0, 1, 40]] - (TAU * 2.5 * 1.85).sin()).abs() < 1e-12);
        assert_eq!(made, spec.make(3, &mut Mix(9)).unwrap());
    }

    #[test]
    fn starts_and_frequencies_fill_their_ranges() {
        // Sampled so often that the first two samples, on the way up, tell where each began and how fast it goes.
        let spec = RandomSine { inputs: 2, outputs: 1, rate: 1e3, frequency: [0.5, 4.0], latest: 0.05 };
        let made = spec.make(4000, &mut Mix(3)).unwrap();
        let angles = |t: usize| (0..4000).map(move |row| (t, row));
        let angle = |(t, row): (usize, usize)| made.inputs[[t, row, 0]].asin();
        let hertz: Vec<f64> =
            angles(0).zip(angles(1)).map(|(a, b)| (angle(b) - angle(a)) * 1e3 / TAU).collect();
        let starts: Vec<f64> = angles(0).zip(&hertz).map(|(at, hz)| angle(at) / (TAU * hz)).collect();
        for (values, low, high) in [(&hertz, 0.5, 4.0), (&starts, 0.0, 0.05)] {
            let mean = values.iter().sum::<f64>() / 4000.0;
            assert!((mean - 0.5 * (low + high)).abs() < 0.02 * (high - low), "{mean}");
            let width = high - low;
            assert!(values.iter().all(|v| (low - 1e-9..=high + 1e-9).contains(v)));
            assert!(
                values.iter().any(|v| *v < low + 0.01 * width)
                    && values.iter().any(|v| *v > high - 0.01 * width)
            );
        }
    }

    #[test]
    fn what_is_drawn_has_the_dims_it_says() {
        fn agree(spec: &impl Draw) {
            let [steps, read, outputs] = spec.dims();
            let made = spec.draw(3, &mut Mix(1)).unwrap();
            assert_eq!((made.inputs.dim(), made.targets.dim()), ((steps, 3, 1), (read, 3, outputs)));
        }
        agree(&RandomSine { inputs: 25, outputs: 100, rate: 100.0, frequency: [1.0, 1.0], latest: TAU });
        let times = TimeInput { inputs: 9, step: 0.01, latest: 1.0, amplitude: 0.5, every_step: false };
        agree(&times);
        agree(&TimeInput { every_step: true, ..times });
    }

    #[test]
    fn time_inputs_and_shifted_sines() {
        let spec = TimeInput { inputs: 9, step: 0.01, latest: 1.0, amplitude: 0.5, every_step: false };
        let made = spec.at(&[0.3]).unwrap();
        assert!((made.targets[[0, 0, 0]] - 0.39_f64.sin() / 2.0).abs() < 1e-12);
        let every = TimeInput { every_step: true, ..spec }.at(&[0.3]).unwrap();
        assert_eq!(every.targets[[8, 0, 0]], made.targets[[0, 0, 0]]);
        assert_eq!(spec.make(4, &mut Mix(0)).unwrap().inputs.dim(), (9, 4, 1));
        let spec = ShiftedSine { length: 1000, scale: 20.0, shifts: vec![-65.0, -8.0] };
        let made = spec.make().unwrap();
        assert_eq!(made.inputs.dim(), (999, 2, 1));
        assert_eq!(made.inputs[[1, 1, 0]], made.targets[[0, 1, 0]]);
        assert!((made.inputs[[0, 0, 0]] - (-65.0 / 20.0_f64).sin()).abs() < 1e-12);
    }

    #[test]
    fn impossible_descriptions_are_errors() {
        assert!(toml::from_str::<Generator>("kind = 'wavelet'").is_err());
        let unknown = "kind = 'formula'\ngrid = {start = 0, stop = 1, points = 2}\nofset = 3";
        assert!(toml::from_str::<Generator>(unknown).unwrap_err().to_string().contains("ofset"));
        let spec = formula("noise = nan\ngrid = {start = 0, stop = 1, points = 2}");
        assert_eq!(
            spec.make(0, &mut Mix(0)).unwrap_err().to_string(),
            "noise = NaN: must be a finite number"
        );
        let spec = formula("grid = {start = 0, stop = 1, points = 0}");
        assert!(spec.make(0, &mut Mix(0)).is_err());
        let spec = formula("grid = {start = 0, stop = 1, points = 1000000000000}");
        assert!(spec.make(0, &mut Mix(0)).unwrap_err().to_string().contains("268 million"));
        let one = formula("grid = {start = 3, stop = 4, points = 1}");
        assert_eq!(one.make(0, &mut Mix(0)).unwrap().x, [3.0]);
    }
}

//! How the cost of an LSTM on the CPU grows, by one size at a time, the others those of a base network.

pub mod picture;

use anyhow::Result;
use clap::ValueEnum;
use lstm_cpu::Cpu;
use serde::Serialize;

use crate::case::Case;
use crate::measure::{Row, Setting, measure};
use crate::peak::Peak;
use crate::shape::Shape;

/// The size that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Steps `T`: 8, 16, …
    Steps,
    /// Batch rows `B`: 1, 2, 4, …
    Batch,
    /// Hidden units `H`: 8, 16, …
    Hidden,
    /// Layers `L`: 1, 2, 3, …
    Layers,
}

impl Size {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Steps, Self::Batch, Self::Hidden, Self::Layers];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps T",
            Self::Batch => "batch rows B",
            Self::Hidden => "hidden units H",
            Self::Layers => "layers L",
        }
    }

    /// Its values up to `most`: doubled, but layers one by one.
    #[must_use]
    pub fn values(self, most: usize) -> Vec<usize> {
        let least: usize = match self {
            Self::Steps | Self::Hidden => 8,
            Self::Batch | Self::Layers => 1,
        };
        let next =
            |value: &usize| if self == Self::Layers { value.checked_add(1) } else { value.checked_mul(2) };
        std::iter::successors(Some(least), next).take_while(|value| *value <= most).collect()
    }

    /// The base network with this size at `value`.
    #[must_use]
    pub fn shape(self, value: usize) -> Shape {
        let base = base();
        let name = format!("{} {value}", self.name());
        match self {
            Self::Steps => Shape { name, steps: value, ..base },
            Self::Batch => Shape { name, batch: value, ..base },
            Self::Hidden => Shape { name, hidden: vec![value], ..base },
            Self::Layers => Shape { name, hidden: base.hidden.repeat(value), ..base },
        }
    }
}

/// What does not grow: one layer in f32, of which the last step is read, with one output.
#[must_use]
pub fn base() -> Shape {
    Shape::new("base".to_owned(), [32, 64, 1], vec![128])
}

/// What a network costs with one size at a value.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The value.
    pub value: usize,
    /// What was measured there.
    #[serde(flatten)]
    pub row: Row,
}

impl Point {
    /// Measures the base network with `size` at `value`.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn measure(cpu: &Cpu, size: Size, value: usize, setting: &Setting<'_>) -> Result<Self> {
        let case = Case::draw(&size.shape(value))?;
        Ok(Self { value, row: measure::<_, f32>(cpu, &case, setting, None)? })
    }

    /// A line below [`header`].
    #[must_use]
    pub fn line(&self) -> String {
        let Row { infer_ms, train_ms, gflops_infer, gflops_train, train_bytes, .. } = &self.row;
        let megabytes = train_bytes.map(|bytes| bytes as f64 / 1e6);
        let digits = |value: Option<f64>, digits| {
            value.map_or(format!("{:>12}", "-"), |value| format!("{value:>12.digits$}"))
        };
        format!("{:<16}", self.value)
            + &digits(Some(*infer_ms), 4)
            + &digits(*train_ms, 4)
            + &digits(Some(*gflops_infer), 2)
            + &digits(*gflops_train, 2)
            + &digits(megabytes, 2)
    }
}

/// The names of the columns of a series.
#[must_use]
pub fn header(size: Size) -> String {
    let columns = ["infer ms", "train ms", "infer GF/s", "train GF/s", "train MB"];
    format!("{:<16}", size.name()) + &columns.map(|column| format!("{column:>12}")).concat()
}

/// Costs over one size.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// The size.
    pub size: Size,
    /// Its values, rising.
    pub points: Vec<Point>,
    /// How they grow.
    pub slopes: Slopes,
}

/// Exponents of the costs over a size, as [`slope`] finds them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slopes {
    /// Of the milliseconds of an inference.
    pub infer: Option<f64>,
    /// Of the milliseconds of a step of training.
    pub train: Option<f64>,
    /// Of the bytes that a pass of training holds.
    pub bytes: Option<f64>,
}

impl Series {
    /// The series of these points.
    #[must_use]
    pub fn new(size: Size, points: Vec<Point>) -> Self {
        let over = |cost: fn(&Row) -> Option<f64>| {
            let costs = points.iter().filter_map(|point| Some((point.value as f64, cost(&point.row)?)));
            slope(&costs.collect::<Vec<_>>())
        };
        let slopes = Slopes {
            infer: over(|row| Some(row.infer_ms)),
            train: over(|row| row.train_ms),
            bytes: over(|row| row.train_bytes.map(|bytes| bytes as f64)),
        };
        Self { size, points, slopes }
    }

    /// The line below the points.
    #[must_use]
    pub fn summary(&self) -> String {
        let digits = |slope: Option<f64>| slope.map_or("-".to_owned(), |slope| format!("{slope:.2}"));
        let Slopes { infer, train, bytes } = self.slopes;
        let from = upper(&self.points).first().map_or(0, |point| point.value);
        format!(
            "slope from {from} on: infer {}, train {}, memory {}",
            digits(infer),
            digits(train),
            digits(bytes)
        )
    }
}

/// The upper half, the middle included, but two at least.
fn upper<T>(points: &[T]) -> &[T] {
    &points[(points.len() / 2).min(points.len().saturating_sub(2))..]
}

/// The exponent `p` of `cost ~ size^p`: the slope of log cost over log size at the upper half of `points`, pairs of
/// size and cost with the sizes rising, by least squares. `None` for fewer than two points.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = upper(points).iter().map(|(size, cost)| (size.ln(), cost.ln())).collect();
    if logs.len() < 2 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|log| log.0), mean(|log| log.1));
    let covariance: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    let variance: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    Some(covariance / variance)
}

/// All series of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// Threads of the CPU.
    pub threads: usize,
    /// Its instruction set.
    pub simd: String,
    /// What its multiply-adds reach in registers alone.
    pub peak: Peak,
    /// The sizes that do not grow.
    pub base: Shape,
    /// The series.
    pub series: Vec<Series>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::subject::Proof;
    use crate::timing::Budget;

    /// A run in which a step of training costs 3 µs and inference 1 µs for each `size^power`.
    pub(crate) fn grown(power: i32) -> Growth {
        let row = |value: usize| Row {
            name: String::new(),
            device: "cpu".to_owned(),
            threads: 2,
            infer_ms: 1e-3 * (value as f64).powi(power),
            train_ms: Some(3e-3 * (value as f64).powi(power)),
            gflops_infer: 1.0,
            gflops_train: Some(1.0),
            train_bytes: Some(1000 * value),
            peak_share: None,
            proof: Proof { y_sum: 0.0, loss_1: None, loss_10: None },
            peer: None,
            memory: None,
        };
        let point = |value| Point { value, row: row(value) };
        let series = |size: Size| Series::new(size, size.values(64).into_iter().map(point).collect());
        Growth {
            threads: 2,
            simd: "Portable".to_owned(),
            peak: Peak { f32: 1.0, f64: 1.0 },
            base: base(),
            series: Size::ALL.map(series).to_vec(),
        }
    }

    #[test]
    fn slopes_are_the_exponents_of_powers() {
        for exponent in [0.0, 0.5, 1.0, 2.0, 3.0] {
            for count in 2..12 {
                let costs = (0..count).map(|k| f64::from(1 << k)).map(|n| (n, 7.0 * n.powf(exponent)));
                let slope = slope(&costs.collect::<Vec<_>>()).unwrap();
                assert!((slope - exponent).abs() < 1e-12, "{slope} for {exponent} over {count}");
            }
        }
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(8.0, 1.0)]), None);
    }

    #[test]
    fn only_the_upper_half_counts() {
        let costs = [(1.0, 9.0), (2.0, 9.0), (4.0, 16.0), (8.0, 64.0), (16.0, 256.0)];
        assert!((slope(&costs).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(upper(&[1, 2, 3, 4]), [3, 4]);
        assert_eq!(upper(&[1, 2, 3]), [2, 3]);
        assert_eq!(upper(&[1]), [1]);
        let least = slope(&[(1.0, 1.0), (4.0, 1.0), (1.0, 1.0), (2.0, 3.0), (4.0, 8.0)]).unwrap();
        assert!((least - 1.5).abs() < 0.01, "the line goes between the points, {least}");
    }

    #[test]
    fn sizes_double_and_layers_are_counted() {
        assert_eq!(Size::Steps.values(64), [8, 16, 32, 64]);
        assert_eq!(Size::Batch.values(5), [1, 2, 4]);
        assert!(Size::Hidden.values(7).is_empty());
        assert_eq!(Size::Layers.values(4), [1, 2, 3, 4]);
        for size in Size::ALL {
            let shape = size.shape(3);
            let grown = [shape.steps, shape.batch, shape.hidden[0], shape.hidden.len()];
            let want = Size::ALL.map(|other| match (other == size, other) {
                (true, _) => 3,
                (_, Size::Steps) => 64,
                (_, Size::Batch) => 32,
                (_, Size::Hidden) => 128,
                (_, Size::Layers) => 1,
            });
            assert_eq!(grown, want);
        }
    }

    #[test]
    fn points_are_measured_and_their_series_summed_up() {
        let cpu = Cpu::new(2).unwrap();
        let setting = Setting { device: "cpu", threads: 2, peak: None, budget: Budget::QUICK };
        let point = |value| Point::measure(&cpu, Size::Batch, value, &setting).unwrap();
        let series = Series::new(Size::Batch, vec![point(1), point(2)]);
        let Slopes { infer, train, bytes } = series.slopes;
        assert!(infer.is_some() && train.is_some() && bytes.unwrap() > 0.0, "{:?}", series.slopes);
        let (header, line) = (header(Size::Batch), series.points[0].line());
        assert_eq!(header.split_whitespace().count(), 3 + 2 * 5, "{header}");
        assert_eq!(line.split_whitespace().count(), 1 + 5, "{line}");
        assert_eq!(header.len(), line.len());
        assert!(series.summary().starts_with("slope from 1 on: infer "), "{}", series.summary());
        let json = serde_json::to_value(&series).unwrap();
        assert_eq!(json["size"], "batch");
        assert!(json["points"][1]["value"] == 2 && json["points"][1]["train_ms"].is_f64(), "{json}");
    }
}

//! Windows over a series: plain row numbers, and batches filled from them without a copy of the series.

use std::ops::Range;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::scale::{Affine, mean_and_deviation};

/// The element type of a batch.
pub trait Element: Copy {
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Element for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// The shape of a window: `lookback` rows are read, the `horizon` rows behind them predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Rows that are read.
    pub lookback: usize,
    /// Rows that are predicted.
    pub horizon: usize,
    /// Rows from the start of one window to that of the next.
    #[serde(default = "one")]
    pub stride: usize,
}

fn one() -> usize {
    1
}

impl Windows {
    /// Windows that start at every row.
    pub fn new(lookback: usize, horizon: usize) -> Self {
        Self { lookback, horizon, stride: 1 }
    }

    /// Rows that one window covers.
    pub fn span(&self) -> usize {
        self.lookback.saturating_add(self.horizon)
    }

    /// Windows in `rows` rows, 0 where not one fits.
    pub fn count(&self, rows: usize) -> usize {
        rows.checked_sub(self.span()).map_or(0, |spare| spare / self.stride.max(1) + 1)
    }

    /// The first rows of all windows that lie in `rows`.
    ///
    /// For the windows whose targets lie in a part and whose inputs may reach back, see [`crate::split::reach_back`].
    pub fn starts(&self, rows: Range<usize>) -> impl ExactSizeIterator<Item = usize> + use<> {
        let (first, stride) = (rows.start, self.stride.max(1));
        (0..self.count(rows.len())).map(move |index| first + index * stride)
    }

    /// Makes sure that at least one window fits into `rows`; `what` names them in the message.
    ///
    /// # Errors
    /// [`Error::TooShort`] with the rows needed, [`Error::Setting`] for a size of 0.
    pub fn check(&self, what: &str, rows: usize) -> Result<()> {
        for (name, value) in
            [("--lookback", self.lookback), ("--horizon", self.horizon), ("stride", self.stride)]
        {
            if value == 0 {
                return Err(Error::Setting { name, value: "0".into(), fault: "must be at least 1" });
            }
        }
        if self.count(rows) > 0 {
            return Ok(());
        }
        let (lookback, horizon) = (self.lookback, self.horizon);
        Err(Error::TooShort { what: what.into(), rows, needed: self.span(), lookback, horizon })
    }
}

/// What a window is to predict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The rows behind the window at once: `y [B, horizon, O]`, for a head on the last step.
    #[default]
    Block,
    /// At every step the row after it: `y [lookback, B, O]`, for a head on each step.
    Shifted,
}

/// How each window is normalised by itself, so that a level never seen before is no surprise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Not at all.
    #[default]
    None,
    /// The last value is subtracted.
    Last,
    /// The last value is subtracted and the standard deviation of the window divided by.
    LastStd,
}

/// The smallest deviation that a window is divided by, on the scale of the series: a flat window must not blow up.
pub const LEAST_DEVIATION: f64 = 1e-3;

/// A series, cut: which channels are read, which predicted, and how.
#[derive(Debug, Clone)]
pub struct WindowSet<'a> {
    values: ArrayView2<'a, f64>,
    windows: Windows,
    inputs: Vec<usize>,
    targets: Vec<usize>,
    target: Target,
    normalise: Normalise,
}

impl<'a> WindowSet<'a> {
    /// Windows over `values [time, channels]` that read all channels and predict the given ones as a block.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size of 0, [`Error::Size`] for a target channel that is not there.
    pub fn new(values: ArrayView2<'a, f64>, windows: Windows, targets: &[usize]) -> Result<Self> {
        windows.check("a window", usize::MAX)?;
        let inputs = (0..values.ncols()).collect();
        let set = Self {
            values,
            windows,
            inputs,
            targets: targets.to_vec(),
            target: Target::default(),
            normalise: Normalise::default(),
        };
        set.check_channels(targets)?;
        Ok(set)
    }

    /// The same windows, reading these channels only.
    ///
    /// # Errors
    /// [`Error::Size`] for a channel that is not there.
    pub fn with_inputs(mut self, inputs: &[usize]) -> Result<Self> {
        self.check_channels(inputs)?;
        self.inputs = inputs.to_vec();
        Ok(self)
    }

    /// The same windows, predicting this.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// The same windows, each normalised this way.
    #[must_use]
    pub fn with_normalise(mut self, normalise: Normalise) -> Self {
        self.normalise = normalise;
        self
    }

    fn check_channels(&self, channels: &[usize]) -> Result<()> {
        match channels.iter().find(|channel| **channel >= self.values.ncols()) {
            Some(channel) => Err(Error::Size {
                what: "channels of the series",
                expected: channel + 1,
                got: self.values.ncols(),
            }),
            None => Ok(()),
        }
    }

    /// The shape of the windows.
    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// Windows in the whole series.
    pub fn count(&self) -> usize {
        self.windows.count(self.values.nrows())
    }

    /// Elements of the inputs of a batch of `rows` windows, `[lookback, rows, I]`.
    pub fn x_len(&self, rows: usize) -> usize {
        self.windows.lookback.saturating_mul(rows).saturating_mul(self.inputs.len())
    }

    /// Elements of the targets of a batch of `rows` windows, `[rows, horizon, O]` or `[lookback, rows, O]`.
    pub fn y_len(&self, rows: usize) -> usize {
        let steps = match self.target {
            Target::Block => self.windows.horizon,
            Target::Shifted => self.windows.lookback,
        };
        steps.saturating_mul(rows).saturating_mul(self.targets.len())
    }

    /// Fills the inputs of the windows that start at these rows, and returns the normalisation of each window and
    /// target channel, `[B, O]`: `invert` brings a prediction back.
    ///
    /// # Shapes
    /// `x [lookback, B, I]`, time first.
    ///
    /// # Errors
    /// [`Error::Size`] where `x` has another size or a window reaches beyond the series.
    pub fn fill_inputs<E: Element>(&self, starts: &[usize], x: &mut [E]) -> Result<Vec<Affine>> {
        same_size("inputs of a batch", self.x_len(starts.len()), x.len())?;
        self.check_starts(starts, self.windows.lookback)?;
        let width = self.inputs.len();
        for (b, start) in starts.iter().enumerate() {
            for (i, channel) in self.inputs.iter().enumerate() {
                let affine = self.affine(*start, *channel);
                for t in 0..self.windows.lookback {
                    let value = affine.apply(self.values[[start + t, *channel]]);
                    x[(t * starts.len() + b) * width + i] = E::from_f64(value);
                }
            }
        }
        let each =
            starts.iter().flat_map(|start| self.targets.iter().map(|channel| self.affine(*start, *channel)));
        Ok(each.collect())
    }

    /// Fills inputs and targets of the windows that start at these rows; the targets are normalised as their window is.
    ///
    /// # Shapes
    /// `x [lookback, B, I]`, time first; `y [B, horizon, O]` for [`Target::Block`], `[lookback, B, O]` for
    /// [`Target::Shifted`]. The result is that of [`WindowSet::fill_inputs`], `[B, O]`.
    ///
    /// # Errors
    /// [`Error::Size`] where a buffer has another size or a window reaches beyond the series.
    pub fn fill_batch<E: Element>(&self, starts: &[usize], x: &mut [E], y: &mut [E]) -> Result<Vec<Affine>> {
        same_size("targets of a batch", self.y_len(starts.len()), y.len())?;
        let (lookback, horizon) = (self.windows.lookback, self.windows.horizon);
        let (steps, first) = match self.target {
            Target::Block => (horizon, lookback),
            Target::Shifted => (lookback, 1),
        };
        self.check_starts(starts, first.saturating_add(steps))?;
        let affines = self.fill_inputs(starts, x)?;
        let (rows, width) = (starts.len(), self.targets.len());
        for (b, start) in starts.iter().enumerate() {
            for (o, channel) in self.targets.iter().enumerate() {
                for t in 0..steps {
                    let value = affines[b * width + o].apply(self.values[[start + first + t, *channel]]);
                    let at = match self.target {
                        Target::Block => (b * steps + t) * width + o,
                        Target::Shifted => (t * rows + b) * width + o,
                    };
                    y[at] = E::from_f64(value);
                }
            }
        }
        Ok(affines)
    }

    /// The normalisation of the window that starts at a row, for one channel, from the rows it reads alone.
    fn affine(&self, start: usize, channel: usize) -> Affine {
        let end = start + self.windows.lookback;
        let last = self.values[[end - 1, channel]];
        match self.normalise {
            Normalise::None => Affine::IDENTITY,
            Normalise::Last => Affine { shift: last, scale: 1.0 },
            Normalise::LastStd => {
                let (_, deviation) = mean_and_deviation((start..end).map(|row| self.values[[row, channel]]));
                Affine { shift: last, scale: deviation.max(LEAST_DEVIATION) }
            }
        }
    }

    fn check_starts(&self, starts: &[usize], span: usize) -> Result<()> {
        let rows = self.values.nrows();
        let last = starts.iter().max().map_or(0, |start| start.saturating_add(span));
        if last > rows {
            Err(Error::Size { what: "rows under a window", expected: last, got: rows })
        } else {
            Ok(())
        }
    }
}

pub(crate) fn same_size(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Size { what, expected, got }) }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_are_counted() {
        let windows = Windows { lookback: 3, horizon: 2, stride: 2 };
        assert_eq!([4, 5, 6, 7, 9].map(|rows| windows.count(rows)), [0, 1, 1, 2, 3]);
        assert_eq!(windows.starts(10..17).collect::<Vec<_>>(), [10, 12]);
        assert_eq!(
            Windows::new(24, 12).check("a.csv", 30).unwrap_err().to_string(),
            "a.csv has 30 rows, but a lookback of 24 and a horizon of 12 need 36; lower --lookback or --horizon, or \
             give more rows"
        );
        assert_eq!(
            Windows::new(0, 1).check("a", 5).unwrap_err().to_string(),
            "--lookback = 0: must be at least 1"
        );
        assert_eq!(Windows::new(usize::MAX, usize::MAX).count(5), 0);
        let said: Windows = toml::from_str("lookback = 3\nhorizon = 2").unwrap();
        assert_eq!(said, Windows::new(3, 2), "a stride that is not said is 1");
    }

    #[test]
    fn a_block_lies_time_first_for_inputs_and_row_first_for_targets() {
        let values = array![[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0], [4.0, 14.0]];
        let set = WindowSet::new(values.view(), Windows::new(2, 2), &[1]).unwrap();
        let (mut x, mut y) = (vec![0_f32; set.x_len(2)], vec![0_f32; set.y_len(2)]);
        let affines = set.fill_batch(&[1, 0], &mut x, &mut y).unwrap();
        assert_eq!(x, [1.0, 11.0, 0.0, 10.0, 2.0, 12.0, 1.0, 11.0]);
        assert_eq!(y, [13.0, 14.0, 12.0, 13.0]);
        assert_eq!(affines, [Affine::IDENTITY; 2]);
        assert_eq!(set.count(), 2);
    }

    #[test]
    fn shifted_targets_follow_each_step() {
        let values = array![[0.0], [1.0], [2.0], [3.0]];
        let set =
            WindowSet::new(values.view(), Windows::new(2, 1), &[0]).unwrap().with_target(Target::Shifted);
        let (mut x, mut y) = (vec![0.0; 4], vec![0.0; 4]);
        set.fill_batch(&[0, 1], &mut x, &mut y).unwrap();
        assert_eq!((x, y), (vec![0.0, 1.0, 1.0, 2.0], vec![1.0, 2.0, 2.0, 3.0]));
    }

    #[test]
    fn a_flat_window_does_not_blow_up() {
        let values = array![[5.0], [5.0], [6.0]];
        let set = WindowSet::new(values.view(), Windows::new(2, 1), &[0])
            .unwrap()
            .with_normalise(Normalise::LastStd);
        let (mut x, mut y) = ([0.0; 2], [0.0; 1]);
        set.fill_batch(&[0], &mut x, &mut y).unwrap();
        assert_eq!((x, y), ([0.0, 0.0], [1.0 / LEAST_DEVIATION]));
    }

    #[test]
    fn sizes_are_checked() {
        let values = array![[0.0], [1.0], [2.0]];
        let set = WindowSet::new(values.view(), Windows::new(2, 1), &[0]).unwrap();
        let (mut x, mut y) = ([0.0; 2], [0.0; 1]);
        assert!(set.fill_batch(&[0], &mut x, &mut y).is_ok());
        for starts in [&[1][..], &[usize::MAX], &[0, 0]] {
            assert!(matches!(set.fill_batch(starts, &mut x, &mut y), Err(Error::Size { .. })));
        }
        assert!(set.fill_inputs(&[1], &mut x).is_ok());
        assert!(WindowSet::new(values.view(), Windows::new(2, 1), &[1]).is_err());
        let missing = set.with_inputs(&[2]).map(|set| set.count()).unwrap_err();
        assert!(matches!(missing, Error::Size { expected: 3, got: 1, .. }), "{missing}");
    }

    proptest! {
        #[test]
        fn every_cell_is_where_the_shapes_say(
            lookback in 1_usize..6, horizon in 1_usize..5, channels in 1_usize..4, extra in 0_usize..8,
            shifted in any::<bool>(),
            normalise in prop_oneof![Just(Normalise::None), Just(Normalise::Last), Just(Normalise::LastStd)],
        ) {
            let windows = Windows::new(lookback, horizon);
            let rows = windows.span() + extra;
            let values = Array2::from_shape_fn((rows, channels), |(t, c)| ((t * 7 + c * 3) % 11) as f64);
            let targets: Vec<usize> = (0..channels).rev().collect();
            let target = if shifted { Target::Shifted } else { Target::Block };
            let set = WindowSet::new(values.view(), windows, &targets).unwrap().with_target(target).with_normalise(normalise);
            let starts: Vec<usize> = windows.starts(0..rows).collect();
            let b = starts.len();
            prop_assert_eq!(b, extra + 1);
            let (mut x, mut y) = (vec![0.0; set.x_len(b)], vec![0.0; set.y_len(b)]);
            let affines = set.fill_batch(&starts, &mut x, &mut y).unwrap();
            for (i, start) in starts.iter().enumerate() {
                for (o, channel) in targets.iter().enumerate() {
                    let affine = affines[i * channels + o];
                    for t in 0..lookback {
                        let got = affine.invert(x[(t * b + i) * channels + channel]);
                        prop_assert!((got - values[[start + t, *channel]]).abs() < 1e-9);
                    }
                    for t in 0..if shifted { lookback } else { horizon } {
                        let (at, row) = if shifted {
                            ((t * b + i) * channels + o, start + t + 1)
                        } else {
                            ((i * horizon + t) * channels + o, start + lookback + t)
                        };
                        prop_assert!((affine.invert(y[at]) - values[[row, *channel]]).abs() < 1e-9);
                    }
                }
            }
        }
    }
}

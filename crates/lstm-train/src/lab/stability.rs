//! Where a loop ends up, and whether disturbances die out there.

use super::{ClosedLoop, dominant_period, moments};
use crate::{Error, Result};
use serde::Serialize;

/// Directions in which disturbances are followed.
const DIRECTIONS: usize = 4;
/// Directions that are told.
const TOLD: usize = 3;
/// Stretches of about one period before the directions count as turned, and stretches that are then measured.
const STRETCHES: (usize, usize) = (15, 25);
/// Turns that all stretches together have at least.
const LEAST_TURNS: usize = 300;
/// Logarithm of the factor below which differences are noise.
const NOISE: f64 = -27.0;

/// Where a free run ends up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Rest {
    /// It leaves every range.
    Diverges {
        /// Step after which it lies more than 1000 deviations from where it began.
        step: usize,
    },
    /// It stops at one value.
    Point {
        /// The value.
        value: f64,
    },
    /// It swings evenly, without end.
    Cycle {
        /// Period of its main swing, in steps.
        period: f64,
        /// What it swings about.
        level: f64,
        /// Its standard deviation.
        deviation: f64,
    },
    /// It still changes at the end.
    Drifts {
        /// Change of its level in one period.
        level: f64,
        /// Factor of its standard deviation in one period.
        deviation: f64,
    },
}

/// The end of a long free run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Where it ended up.
    pub rest: Rest,
    /// Its values.
    pub run: Vec<f64>,
    /// The state behind it.
    pub state: Vec<f64>,
}

/// After how many steps a series repeats itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// Period of its main swing.
    pub period: f64,
    /// Its season, which may hold several swings.
    pub season: f64,
}

/// Lets the loop run freely for `steps` from `state`, and judges its last quarter, cut to whole seasons, against the one
/// before: a point where the deviation is below a thousandth of `deviation`, a cycle where level and deviation agree
/// within 2 %. The period is the run's own where one explains a third of it.
///
/// # Errors
/// Those of the model.
pub fn settle(
    subject: &mut dyn ClosedLoop,
    mut state: Vec<f64>,
    steps: usize,
    repeats: Repeats,
    deviation: f64,
) -> Result<Settled> {
    let beyond = |moved: f64| !moved.is_finite() || moved.abs() > 1000.0 * deviation;
    let mut run: Vec<f64> = Vec::with_capacity(steps);
    while run.len() < steps {
        let values = match subject.turn(&mut state) {
            Err(Error::TooLarge) => vec![f64::INFINITY],
            values => values?,
        };
        run.extend(values);
        let begun = run[0];
        if let Some(step) = run.iter().position(|v| beyond(v - begun)) {
            run.truncate(step);
            return Ok(Settled { rest: Rest::Diverges { step: step + 1 }, run, state });
        }
    }
    let own = dominant_period(&run[run.len() / 2..]).filter(|own| own.share > 0.3);
    let period = own.map_or(repeats.period, |own| own.period);
    // Swings cut in two would seem to move the level.
    let whole = if repeats.season > period { repeats.season } else { period };
    let quarter = ((run.len() as f64 / 4.0 / whole).floor().max(1.0) * whole).round() as usize;
    let quarter = quarter.clamp(1, run.len() / 2);
    let [before, last] = [2, 1].map(|back| {
        let end = run.len() - (back - 1) * quarter;
        moments(&run[end - quarter..end])
    });
    let moved = last.0 - before.0;
    let periods = quarter as f64 / period;
    let rest = if last.1.max(moved.abs()) < 1e-3 * deviation {
        Rest::Point { value: last.0 }
    } else if moved.abs() < 0.02 * last.1 && (last.1 - before.1).abs() < 0.02 * last.1 {
        Rest::Cycle { period, level: last.0, deviation: last.1 }
    } else {
        Rest::Drifts { level: moved / periods, deviation: (last.1 / before.1).powf(1.0 / periods) }
    };
    Ok(Settled { rest, run, state })
}

/// What becomes of small disturbances.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Growth {
    /// Steps that the factors are about: a period, or one at a fixed point.
    pub steps: f64,
    /// Factors by which disturbances grow in so many steps, largest first, up to three. At a cycle these are the moduli
    /// of the Floquet multipliers, the eigenvalues of the product of the loop's Jacobians around it; at a fixed point
    /// those of the Jacobian's eigenvalues.
    pub factors: Vec<f64>,
}

/// Follows small disturbances of `state` along the free run: Lyapunov exponents after Benettin and others (1980), in
/// `steps` steps.
///
/// Up to four directions are carried through the loop by central differences and made orthogonal again after every turn;
/// the logarithms of what is taken off their lengths are summed over stretches of about `period` steps, once the
/// directions have turned into those that grow most. Two directions that turn about each other, as those of a pair of
/// complex eigenvalues do, share their growth equally, since only their area grows evenly.
///
/// # Errors
/// Those of the model.
pub fn growth(subject: &mut dyn ClosedLoop, mut state: Vec<f64>, period: f64, steps: f64) -> Result<Growth> {
    let turns = ((period / subject.stride() as f64).round() as usize).max(1);
    let more = LEAST_TURNS.div_ceil(turns * (STRETCHES.0 + STRETCHES.1)).max(1);
    let mut frame = Frame::new(subject.dim(), subject.unit());
    for _ in 0..STRETCHES.0 * more * turns {
        frame.turn(subject, &mut state)?;
    }
    let mut stretches = Vec::new();
    for _ in 0..STRETCHES.1 * more {
        let mut sums = vec![0.0; frame.count()];
        for _ in 0..turns {
            let logs = frame.turn(subject, &mut state)?;
            sums.iter_mut().zip(logs).for_each(|(sum, log)| *sum += log);
        }
        stretches.push(sums);
    }
    let scale = steps / (turns * subject.stride()) as f64;
    let mut factors: Vec<f64> = shared(&stretches).into_iter().map(|log| (log * scale).exp()).collect();
    factors.sort_by(|a, b| b.total_cmp(a));
    factors.truncate(TOLD);
    Ok(Growth { steps, factors })
}

/// Mean growth of each direction. Two that turn about each other swing against each other, far more than their area
/// does and by more than their means differ: they share the mean.
fn shared(stretches: &[Vec<f64>]) -> Vec<f64> {
    let count = stretches.first().map_or(0, Vec::len);
    let volume = |i: usize| {
        let logs: Vec<f64> = stretches.iter().map(|logs| logs[..=i].iter().sum()).collect();
        moments(&logs)
    };
    let volumes: Vec<(f64, f64)> = (0..count).map(volume).collect();
    let below = |i: usize| if i == 0 { 0.0 } else { volumes[i - 1].0 };
    let mut logs = Vec::with_capacity(count);
    while logs.len() < count {
        let i = logs.len();
        let one = volumes[i].0 - below(i);
        match volumes.get(i + 1) {
            Some(&(both, area))
                if volumes[i].1 > 10.0 * area
                    && (2.0 * volumes[i].0 - below(i) - both).abs() < volumes[i].1 =>
            {
                logs.resize(i + 2, 0.5 * (both - below(i)));
            }
            _ => logs.push(one),
        }
    }
    logs
}

/// Orthonormal directions that are carried along.
struct Frame {
    dim: usize,
    unit: f64,
    /// `[directions, D]`.
    directions: Vec<Vec<f64>>,
}

impl Frame {
    fn new(dim: usize, unit: f64) -> Self {
        // Any directions will do that are no multiples of each other; these are the same on every run.
        let entry = |k: usize, i: usize| ((k + 1) as f64 * (i + 1) as f64 * 0.754_877_666).fract() - 0.5;
        let directions = (0..DIRECTIONS.min(dim)).map(|k| (0..dim).map(|i| entry(k, i)).collect());
        let mut frame = Self { dim, unit, directions: directions.collect() };
        frame.orthonormalise();
        frame
    }

    fn count(&self) -> usize {
        self.directions.len()
    }

    /// Carries state and directions on by one turn and gives the logarithms of the directions' growth.
    fn turn(&mut self, subject: &mut dyn ClosedLoop, state: &mut [f64]) -> Result<Vec<f64>> {
        let size = 1e-5 * moments(state).1.max(1e-3 * self.unit);
        let mut states = state.to_owned();
        for direction in &self.directions {
            for sign in [size, -size] {
                states.extend(state.iter().zip(direction).map(|(value, d)| value + sign * d));
            }
        }
        subject.turn(&mut states)?;
        let (next, disturbed) = states.split_at(self.dim);
        state.copy_from_slice(next);
        for (direction, pair) in self.directions.iter_mut().zip(disturbed.chunks_exact(2 * self.dim)) {
            let (above, below) = pair.split_at(self.dim);
            for ((d, above), below) in direction.iter_mut().zip(above).zip(below) {
                *d = (above - below) / (2.0 * size);
            }
        }
        Ok(self.orthonormalise())
    }

    /// Gram and Schmidt, twice over; gives the logarithm of what is left of each direction's length.
    fn orthonormalise(&mut self) -> Vec<f64> {
        let mut logs = Vec::with_capacity(self.count());
        for k in 0..self.count() {
            let (done, rest) = self.directions.split_at_mut(k);
            let direction = &mut rest[0];
            let before = length(direction).max(f64::MIN_POSITIVE);
            for _ in 0..2 {
                done.iter().for_each(|other| remove(direction, other));
            }
            let mut left = length(direction);
            logs.push(left.max(f64::MIN_POSITIVE).ln().max(NOISE));
            if left <= before * NOISE.exp() {
                // Nothing is left but noise: any other direction takes its place.
                left = replace(direction, done);
            }
            direction.iter_mut().for_each(|d| *d /= left);
        }
        logs
    }
}

/// Puts the unit vector that is least like the others, less its share in them, in place of `direction`, and gives its
/// length.
fn replace(direction: &mut [f64], others: &[Vec<f64>]) -> f64 {
    let share = |i: usize| others.iter().map(|other| other[i] * other[i]).sum::<f64>();
    let axis = (0..direction.len()).min_by(|&a, &b| share(a).total_cmp(&share(b))).unwrap_or(0);
    direction.fill(0.0);
    direction[axis] = 1.0;
    others.iter().chain(others).for_each(|other| remove(direction, other));
    length(direction)
}

fn remove(direction: &mut [f64], other: &[f64]) {
    let share: f64 = direction.iter().zip(other).map(|(a, b)| a * b).sum();
    direction.iter_mut().zip(other).for_each(|(d, o)| *d -= share * o);
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

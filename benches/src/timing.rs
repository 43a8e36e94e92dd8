//! Turns, samples and medians.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An inference, or a step of a stream.
    Infer,
    /// A step of training.
    Train,
}

/// Somebody whose work can be timed.
pub trait Contender {
    /// Milliseconds of one run of `what`, sampled at least `samples` times and for as long as the first of
    /// `seconds`, but no longer than the second.
    ///
    /// # Errors
    /// Those of the work.
    fn turn(&mut self, what: What, samples: usize, seconds: [f64; 2]) -> Result<Vec<f64>>;
}

/// How long a figure is measured.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Turns of each contender.
    turns: u32,
    /// Samples in all.
    samples: usize,
    /// Seconds in all, at least and at most.
    seconds: [f64; 2],
}

impl Budget {
    /// What figures are made with.
    pub const FULL: Self = Self { turns: 4, samples: 20, seconds: [0.4, 2.0] };
    /// A cell of a large grid: a second.
    pub const CELL: Self = Self { turns: 2, samples: 10, seconds: [0.2, 1.0] };
    /// A look.
    pub const QUICK: Self = Self { turns: 2, samples: 4, seconds: [0.05, 0.3] };
}

/// A sample is this long at least: many runs where one is short.
const SAMPLE: Duration = Duration::from_millis(2);

/// Rest between two contenders, so that the threads of the one before have gone to sleep.
const REST: Duration = Duration::from_millis(20);

/// Lets the contenders work in turns and gives the median of each, in milliseconds.
///
/// # Errors
/// Those of the work.
pub fn race(contenders: &mut [&mut dyn Contender], what: What, budget: Budget) -> Result<Vec<f64>> {
    let turns = f64::from(budget.turns);
    let samples = budget.samples.div_ceil(budget.turns as usize);
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..budget.turns {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            std::thread::sleep(REST);
            times.extend(contender.turn(what, samples, budget.seconds.map(|seconds| seconds / turns))?);
        }
    }
    Ok(times.into_iter().map(median).collect())
}

/// Milliseconds of one run; `run` is told how many to do. The first one only warms up.
///
/// # Errors
/// Those of `run`.
pub fn sample(
    mut run: impl FnMut(usize) -> Result<()>,
    samples: usize,
    [least, most]: [f64; 2],
) -> Result<Vec<f64>> {
    let start = Instant::now();
    run(1)?;
    let first = start.elapsed().as_secs_f64();
    let times = ((SAMPLE.as_secs_f64() / first).ceil() as usize).clamp(1, 10_000);
    let mut taken = Vec::new();
    loop {
        let before = Instant::now();
        run(times)?;
        taken.push(before.elapsed().as_secs_f64() * 1e3 / times as f64);
        let spent = start.elapsed().as_secs_f64();
        if spent >= most || (taken.len() >= samples && spent >= least) {
            return Ok(taken);
        }
    }
}

/// The middle value; NaN if there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The geometric mean; NaN if there is nothing.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_values_and_means() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
        assert!((geometric_mean(&[2.0, 8.0]) - 4.0).abs() < 1e-12);
    }

    /// Says the order of the turns and how often it was asked.
    struct Fixed<'a>(f64, &'a std::cell::RefCell<Vec<f64>>);

    impl Contender for Fixed<'_> {
        fn turn(&mut self, _: What, samples: usize, _: [f64; 2]) -> Result<Vec<f64>> {
            self.1.borrow_mut().push(self.0);
            Ok(vec![self.0; samples])
        }
    }

    #[test]
    fn contenders_take_turns() {
        let order = std::cell::RefCell::default();
        let (mut a, mut b) = (Fixed(1.0, &order), Fixed(2.0, &order));
        assert_eq!(race(&mut [&mut a, &mut b], What::Infer, Budget::QUICK).unwrap(), [1.0, 2.0]);
        assert_eq!(*order.borrow(), [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn slow_work_stops_at_the_limit_and_quick_work_is_repeated() {
        let sleep = Duration::from_millis(20);
        let slow = sample(
            |_| {
                std::thread::sleep(sleep);
                Ok(())
            },
            1000,
            [0.0, 0.05],
        )
        .unwrap();
        assert!((1..4).contains(&slow.len()) && slow[0] >= 20.0, "{slow:?}");
        let mut most = 0;
        let quick = sample(
            |times| {
                most = most.max(times);
                Ok(())
            },
            5,
            [0.0, 1.0],
        )
        .unwrap();
        assert!(quick.len() >= 5 && most > 1);
    }
}

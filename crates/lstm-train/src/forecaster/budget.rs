//! A budget of seconds, turned before training into a plan: what is tried, and for how many operations.
//!
//! With `c` the seconds of a training step, measured on the machine, `n` trials of `e` networks, `m` of these trials at most
//! averaged, `s` steps of each network, `b` the batch and `k` windows of the validation part, of which at most 40 looks are
//! taken at a third of the cost of training,
//!
//! ```text
//! seconds = n e (s c + 40 k c / (3 b))  +  m e s c
//! ```
//!
//! where the last term is the training on all rows. It is solved for `s`, with a tenth of the budget left for the
//! evaluation and the forecast. The plan alone decides what is computed: repeated, it gives the same bits on any machine.

use super::config::{EFFORT, ForecastConfig};
use super::series::Member;
use super::windows::{Prepared, Windows};
use super::{CHECKED, Forecaster, fit};
use crate::{Error, Result};
use lstm_tensor::{Backend, Float};
use std::time::Instant;

/// Looks at the validation part that one training takes at most.
const LOOKS: f64 = 40.0;
/// Steps of a network with which several ways are still worth trying.
const WORTHWHILE: f64 = 300.0;
/// Fewest steps of a network.
const FEWEST: f64 = 50.0;
/// Networks whose forecasts a plan averages at most.
const NETWORKS: usize = 5;
/// Seconds of the measurement, and its steps at most.
const MEASURED: (f64, u32) = (0.4, 200);

/// What a budget pays for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Floating-point operations of all trials: [`ForecastChoices::effort`](super::ForecastChoices::effort).
    pub effort: f64,
    /// Networks whose forecasts are averaged.
    pub ensemble: usize,
    /// Trials, from the first on: all, or one where there is no time for more.
    pub trials: usize,
}

impl Plan {
    /// The plan of `seconds` where a training step takes `step` seconds. Where `more` networks are allowed, their number
    /// grows with what is left when each has the default effort.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the budget is too small for the fewest steps.
    pub fn new(
        (seconds, step): (f64, f64),
        trials: &[ForecastConfig],
        panel: &[Member<'_>],
        more: bool,
    ) -> Result<Self> {
        let first = trials.first().ok_or_else(|| too_small(seconds, 0.0))?;
        let (nothing, part) = (Prepared::default(), |_, rows| first.parts_of(rows).check);
        let at_once = first.at_once();
        let checked = Windows::new(panel, &at_once, &nothing, at_once.horizon, part);
        let looks = LOOKS * checked.len().min(CHECKED) as f64 / (3 * first.batch) as f64;
        let steps = |trials: usize, networks: usize| {
            let (n, e) = (trials as f64, networks as f64);
            (0.9 * seconds / step - n * e * looks) / (e * (n + trials.min(first.average) as f64))
        };
        let (all, mut ensemble) = (trials.len(), first.ensemble);
        let trials = if steps(all, ensemble) < WORTHWHILE { 1 } else { all };
        let effort =
            |networks: usize| steps(trials, networks) * first.operations() * (trials * networks) as f64;
        while more && ensemble < NETWORKS && effort(ensemble + 1) >= EFFORT * (ensemble + 1) as f64 {
            ensemble += 1;
        }
        if steps(trials, ensemble) < FEWEST {
            let e = ensemble as f64;
            return Err(too_small(seconds, step * (e * 2.0 * FEWEST + e * looks) / 0.9));
        }
        // Three digits say enough, and a file of settings holds them exactly.
        let unit = 10f64.powf(effort(ensemble).log10().floor() - 2.0);
        Ok(Self { effort: (effort(ensemble) / unit).floor() * unit, ensemble, trials })
    }
}

fn too_small(seconds: f64, least: f64) -> Error {
    Error::Invalid {
        what: "budget",
        value: format!("{:.0} s", seconds.max(0.0)),
        must: format!("at least {:.0} s for this file on this machine", least.ceil().max(1.0)),
    }
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// Seconds that a training step of `config` takes here, measured in less than half a second after two steps that
    /// warm up.
    ///
    /// # Errors
    /// As [`Forecaster::hold_out`].
    pub fn seconds_a_step(backend: &B, config: &ForecastConfig, panel: &[Member<'_>]) -> Result<f64> {
        config.parts(panel)?;
        let seen = |rows| config.parts_of(rows).train.end;
        let prepared = Prepared::new(config, panel, seen, 1.0);
        let part = |_, rows| config.parts_of(rows).train;
        let train = Windows::new(panel, config, &prepared, config.answered(), part);
        let mut fit = fit::<B, F>(backend, config, &train, (1 << 20, 1 << 20), (0, false))?;
        for _ in 0..2 {
            fit.step()?;
        }
        // To read the weights is to wait until the device has done its work.
        fit.model().download(backend)?;
        let (begun, mut steps) = (Instant::now(), 0);
        while steps < MEASURED.1 && begun.elapsed().as_secs_f64() < MEASURED.0 {
            fit.step()?;
            steps += 1;
        }
        fit.model().download(backend)?;
        Ok(begun.elapsed().as_secs_f64() / f64::from(steps.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ForecastChoices;
    use super::*;

    fn plan(seconds: f64, more: bool) -> Result<(Plan, Vec<ForecastConfig>)> {
        let values: Vec<f64> = (0..3000).map(|row| f64::from(row % 24)).collect();
        let panel = [Member::alone(&values)];
        let trials = ForecastConfig::trials(&ForecastChoices::default(), &[24], &panel).unwrap();
        Plan::new((seconds, 0.01), &trials, &panel, more).map(|plan| (plan, trials))
    }

    #[test]
    fn a_plan_takes_as_long_as_the_model_says() {
        let (plan, trials) = plan(60.0, false).unwrap();
        assert_eq!((plan.trials, plan.ensemble), (trials.len(), 1));
        let steps = plan.effort / trials[0].operations() / plan.trials as f64;
        let looks = 40.0 * 250.0 / (3.0 * 64.0);
        let seconds = 0.01 * (plan.trials as f64 * (steps + looks) + trials[0].average as f64 * steps);
        assert!((53.0..=54.5).contains(&seconds), "{seconds}");
    }

    #[test]
    fn little_time_is_for_one_way_and_much_for_several_networks() {
        assert_eq!(plan(8.0, true).unwrap().0.trials, 1);
        let (long, _) = plan(3600.0, true).unwrap();
        assert_eq!((long.trials, long.ensemble), (5, 5));
        assert_eq!(plan(3600.0, false).unwrap().0.ensemble, 1);
        let refused = plan(1.0, true).unwrap_err().to_string();
        assert!(refused.contains("at least 2 s"), "{refused}");
    }
}

//! Whether there is anything to learn: what noise leaves of the naive errors.

use lstm_data::panel::Panel;
use lstm_train::forecaster::{ForecastConfig, Member};
use lstm_train::noise::{NoiseFloor, noise_floor};

use crate::output::{percent, short};

/// Series of a panel that are looked at.
const SERIES: usize = 5;
/// A smaller share of the naive forecast's squared error is not worth a model.
const LITTLE: f64 = 0.1;

/// The noise one step ahead and at the horizon's end.
pub(crate) struct Learnable {
    /// Of how many series.
    pub(crate) series: usize,
    /// For each distance what each series says.
    distances: Vec<Vec<NoiseFloor>>,
}

impl Learnable {
    /// Of some series of a panel, evenly chosen.
    pub(crate) fn of(panel: &Panel, config: &ForecastConfig) -> Self {
        let every = panel.members.len().div_ceil(SERIES).max(1);
        let members: Vec<Member<'_>> = panel
            .members
            .iter()
            .step_by(every)
            .map(|member| Member { made: &member.made, ..Member::alone(&member.values) })
            .collect();
        let mut aheads = vec![1, config.horizon];
        aheads.dedup();
        let at = |ahead: usize| -> Vec<NoiseFloor> {
            members.iter().filter_map(|member| noise_floor(member, config.season, ahead)).collect()
        };
        let distances: Vec<Vec<NoiseFloor>> =
            aheads.into_iter().map(at).filter(|floors| !floors.is_empty()).collect();
        Self { series: distances.iter().map(Vec::len).max().unwrap_or(0), distances }
    }

    /// What one series says, where there is one: a row for each distance.
    pub(crate) fn single(&self) -> impl Iterator<Item = &NoiseFloor> {
        self.distances.iter().filter(|_| self.series == 1).flatten()
    }

    /// The answer.
    pub(crate) fn sentence(&self) -> String {
        let Some(middle) = self.distances.iter().map(|floors| median(floors)).reduce(f64::max) else {
            return "There are too few rows to tell.".into();
        };
        let shares: Vec<String> = self
            .distances
            .iter()
            .map(|floors| match floors[0].ahead {
                1 => format!("{} one step ahead", percent(median(floors))),
                ahead => format!("{} {ahead} steps ahead", percent(median(floors))),
            })
            .collect();
        let answer = if middle < LITTLE { "Hardly" } else { "Yes" };
        let of = if self.series > 1 {
            format!(" (in the middle of {} series)", self.series)
        } else {
            String::new()
        };
        format!(
            "{answer}: of the better naive forecast's squared error {} can be learnt from the past, the rest is noise{of}.",
            shares.join(" and ")
        )
    }
}

/// The share that can be learnt, of the series in the middle.
fn median(floors: &[NoiseFloor]) -> f64 {
    let mut shares: Vec<f64> = floors.iter().map(NoiseFloor::learnable).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(0.0)
}

/// The cells of a row: steps ahead, noise, naive, seasonal naive, share.
pub(crate) fn cells(floor: &NoiseFloor) -> [String; 5] {
    [
        floor.ahead.to_string(),
        short(floor.noise),
        short(floor.naive),
        floor.seasonal.map_or("-".into(), short),
        percent(floor.learnable()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_follows_the_share() {
        let floor = |ahead, noise| NoiseFloor {
            ahead,
            places: 100,
            lags: vec![1],
            noise,
            naive: 2.0,
            seasonal: None,
        };
        let said = |noises: [f64; 2]| {
            let distances = vec![vec![floor(1, noises[0])], vec![floor(12, noises[1])]];
            Learnable { series: 1, distances }.sentence()
        };
        assert_eq!(
            said([1.0, 2.0]),
            "Yes: of the better naive forecast's squared error 75% one step ahead and 0% 12 steps ahead can be learnt \
             from the past, the rest is noise."
        );
        assert!(said([1.95, 2.1]).starts_with("Hardly: of the"), "{}", said([1.95, 2.1]));
        assert_eq!(
            Learnable { series: 0, distances: Vec::new() }.sentence(),
            "There are too few rows to tell."
        );
    }
}

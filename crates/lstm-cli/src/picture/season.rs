//! The season as it came and as it was forecast: a typical day, week or year.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lstm_data::Step;
use lstm_data::panel::Member;

use crate::check::HeldOut;
use crate::plot::{Axis, Figure, Layer, Panel, Role};

const DAY: i64 = 86_400_000_000;

/// Means over held-out rows by their place in the season, of what came and of what was forecast for the same rows; none
/// where the rows do not hold every place.
pub(crate) fn season(member: &Member, held: &HeldOut, season: usize) -> Option<Figure> {
    if season < 2 {
        return None;
    }
    let places = Places::of(member, season);
    let mut all: Vec<Vec<(f64, f64)>> = vec![Vec::new(); season];
    for (row, _, truth, forecast) in held.pairs(member) {
        all[places.at(row)].push((truth, forecast));
    }
    if all.iter().any(Vec::is_empty) {
        return None;
    }
    let mean = |pick: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        all.iter().map(|pairs| pairs.iter().map(pick).sum::<f64>() / pairs.len() as f64).collect()
    };
    let quantile = |share: f64| -> Vec<f64> {
        let at = |pairs: &Vec<(f64, f64)>| {
            let mut truths: Vec<f64> = pairs.iter().map(|(truth, _)| *truth).collect();
            truths.sort_by(f64::total_cmp);
            truths[(share * (truths.len() - 1) as f64).round() as usize]
        };
        all.iter().map(at).collect()
    };
    let x: Vec<f64> = (0..season).map(|at| places.first + at as f64 * places.unit).collect();
    let layers = vec![
        Layer::Band {
            x: x.clone(),
            lo: quantile(0.1),
            hi: quantile(0.9),
            role: Role::Truth,
            label: "8 of 10 values that came".into(),
        },
        Layer::line(Role::Truth, "what came, mean", x.clone(), mean(|(truth, _)| *truth)),
        Layer::line(
            Role::Forecast,
            "LSTM, mean of its forecasts for the same rows",
            x,
            mean(|(_, forecast)| *forecast),
        ),
    ];
    let panel = Panel { y_label: member.id.clone(), layers, ..Panel::default() };
    let title = format!("{}: {} {}", member.id, places.cycle, held.said());
    Some(Figure::stacked(title, Axis::Numbers, vec![panel]).x_label(places.words))
}

/// Where rows stand in the season.
struct Places {
    season: usize,
    /// Place of row 0.
    of_first: usize,
    /// What x is at place 0, and from one place to the next.
    first: f64,
    unit: f64,
    words: &'static str,
    cycle: &'static str,
}

impl Places {
    /// From midnight, Monday or January on where the season is a day, a week or a year, else from the first row on.
    fn of(member: &Member, season: usize) -> Self {
        let plain = Self {
            season,
            of_first: 0,
            first: 1.0,
            unit: 1.0,
            words: "steps of the season",
            cycle: "a typical season",
        };
        let Some(axis) = member.axis.as_ref().filter(|axis| !axis.counts()) else { return plain };
        let Some(start) = axis.place(0) else { return plain };
        let length = i64::try_from(season).unwrap_or(i64::MAX);
        match axis.step {
            Step::Micros(step) if step.checked_mul(length) == Some(DAY) => Self {
                of_first: phase(start, step, season),
                first: 0.0,
                unit: step as f64 / (DAY / 24) as f64,
                words: "hour of the day",
                cycle: "a typical day",
                ..plain
            },
            Step::Micros(step) if step.checked_mul(length) == Some(7 * DAY) => Self {
                // 1970 began on a Thursday.
                of_first: phase(start + 3.0 * 86_400.0, step, season),
                first: 1.0,
                unit: step as f64 / DAY as f64,
                words: "day of the week, 1 for Monday",
                cycle: "a typical week",
                ..plain
            },
            Step::Months(1) if season == 12 => match month(start) {
                Some(month) => Self { of_first: month - 1, words: "month", cycle: "a typical year", ..plain },
                None => plain,
            },
            _ => plain,
        }
    }

    fn at(&self, row: usize) -> usize {
        (self.of_first + row) % self.season
    }
}

/// Whole steps of a time, in seconds, since the last beginning of a season that 1970 began with.
fn phase(seconds: f64, step: i64, season: usize) -> usize {
    (seconds * 1e6 / step as f64).floor().rem_euclid(season as f64) as usize
}

/// The month of a time in seconds since 1970, from 1.
fn month(seconds: f64) -> Option<usize> {
    let time = Timestamp::from_second(seconds as i64).ok()?;
    usize::try_from(time.to_zoned(TimeZone::UTC).month()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_weeks_on_monday() {
        let hour = DAY / 24;
        // 2020-01-01 05:00, a Wednesday.
        let time = 1_577_836_800.0 + 5.0 * 3600.0;
        assert_eq!(phase(time, hour, 24), 5);
        assert_eq!(phase(time + 3.0 * 86_400.0, hour, 168), 48 + 5);
        assert_eq!(phase(time + 3.0 * 86_400.0, DAY, 7), 2);
        assert_eq!((month(time), month(-1.0)), (Some(1), Some(12)));
    }
}

//! What the calendar says about a row: hour, weekday and time of the year, each as a place on a circle.

use std::f64::consts::TAU;
use std::ops::Range;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::stamp::{DAY, date_of};
use crate::time::{Step, TimeAxis};

/// A cycle of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cycle {
    /// The time of day.
    Day,
    /// The time since Monday.
    Week,
    /// The time since the first of January; whole months count alike where the step is months.
    Year,
}

impl Cycle {
    /// Every cycle, the shortest first.
    pub const ALL: [Cycle; 3] = [Cycle::Day, Cycle::Week, Cycle::Year];

    /// The name of its columns, without "sin" or "cos".
    pub fn name(self) -> &'static str {
        match self {
            Cycle::Day => "time of day",
            Cycle::Week => "time of week",
            Cycle::Year => "time of year",
        }
    }

    /// Rows in one cycle at this step.
    fn rows(self, step: Step) -> Option<f64> {
        let days = match self {
            Cycle::Day => 1.0,
            Cycle::Week => 7.0,
            Cycle::Year => 365.25,
        };
        match step {
            Step::Months(months) => (self == Cycle::Year).then(|| 12.0 / f64::from(months)),
            Step::Weekdays => Some(days * 5.0 / 7.0),
            Step::Micros(micros) => Some(days * DAY as f64 / micros as f64),
            Step::Count(_) => None,
        }
    }

    /// Where on the cycle a stamp lies, from 0 to 1.
    fn phase(self, stamp: i64, step: Step) -> Option<f64> {
        // 1970-01-01 was a Thursday, three days after a Monday.
        let part = |stamp: i64, length: i64| stamp.rem_euclid(length) as f64 / length as f64;
        match (self, step) {
            (Cycle::Day, _) => Some(part(stamp, DAY)),
            (Cycle::Week, _) => Some(part(stamp.checked_add(3 * DAY)?, 7 * DAY)),
            (Cycle::Year, Step::Months(_)) => date_of(stamp).map(|date| f64::from(date.month() - 1) / 12.0),
            (Cycle::Year, _) => date_of(stamp).map(|date| {
                let day = f64::from(date.day_of_year() - 1) + part(stamp, DAY);
                day / f64::from(date.days_in_year())
            }),
        }
    }
}

/// Columns that follow from the times alone, so that they are known for all times to come: for each cycle its sine and
/// its cosine, so that its end lies beside its beginning.
///
/// ```
/// use lstm_data::{Calendar, PanelOptions, read_panel, read_table_from};
///
/// let rows: String = (0..72).map(|h| format!("2024-01-{:02} {:02}:00,{h}\n", 1 + h / 24, h % 24)).collect();
/// let table = read_table_from(format!("time,y\n{rows}").as_bytes(), "a.csv", &Default::default())?;
/// let panel = read_panel(&table, &PanelOptions::default())?;
/// let axis = panel.members[0].axis.as_ref().unwrap();
///
/// let calendar = Calendar::of(axis.step, axis.rows());
/// assert_eq!(calendar.names(), ["time of day sin", "time of day cos"]);
/// let noon_after_the_end = calendar.columns(axis, 84..85);
/// assert!((noon_after_the_end[[0, 1]] + 1.0).abs() < 1e-12);
/// # Ok::<(), lstm_data::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The cycles, two columns each.
    pub cycles: Vec<Cycle>,
}

impl Calendar {
    /// The cycles that `rows` rows of this step can teach: at least three rows long, and seen twice at least.
    pub fn of(step: Step, rows: usize) -> Self {
        let worth = |cycle: &Cycle| {
            // A year of months or weekdays is no whole number of rows; two of them may lack one.
            cycle.rows(step).is_some_and(|length| length >= 3.0 && (2.0 * length).floor() <= rows as f64)
        };
        Self { cycles: Cycle::ALL.into_iter().filter(worth).collect() }
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.cycles
            .iter()
            .flat_map(|cycle| ["sin", "cos"].map(|part| format!("{} {part}", cycle.name())))
            .collect()
    }

    /// The columns of these rows, `[rows, 2 * cycles]`, each from -1 to 1; rows past the end of the axis are the times to
    /// come. A time beyond the year 9999 counts as the beginning of its cycle.
    pub fn columns(&self, axis: &TimeAxis, rows: Range<usize>) -> Array2<f64> {
        let mut columns = Array2::zeros((rows.len(), 2 * self.cycles.len()));
        for (row, mut out) in rows.zip(columns.outer_iter_mut()) {
            for (at, cycle) in self.cycles.iter().enumerate() {
                let phase = axis.stamp(row).and_then(|stamp| cycle.phase(stamp, axis.step)).unwrap_or(0.0);
                (out[2 * at], out[2 * at + 1]) = libm::sincos(TAU * phase);
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::{CsvOptions, read_table_from};
    use crate::panel::{PanelOptions, read_panel};

    const HOUR: i64 = DAY / 24;

    fn axis(times: &[&str]) -> TimeAxis {
        let rows: String = times.iter().enumerate().map(|(i, time)| format!("{time},{i}\n")).collect();
        let table =
            read_table_from(format!("time,y\n{rows}").as_bytes(), "a.csv", &CsvOptions::default()).unwrap();
        read_panel(&table, &PanelOptions::default()).unwrap().members.remove(0).axis.unwrap()
    }

    #[test]
    fn only_cycles_that_were_seen_twice_are_taken() {
        let of = |step, rows| Calendar::of(step, rows).cycles;
        assert_eq!(of(Step::Micros(HOUR), 47), []);
        assert_eq!(of(Step::Micros(HOUR), 48), [Cycle::Day]);
        assert_eq!(of(Step::Micros(HOUR), 336), [Cycle::Day, Cycle::Week]);
        assert_eq!(of(Step::Micros(HOUR), 17_532), Cycle::ALL);
        assert_eq!(of(Step::Micros(12 * HOUR), 28), [Cycle::Week]);
        assert_eq!(of(Step::Weekdays, 10), [Cycle::Week]);
        assert_eq!(of(Step::Months(1), 24), [Cycle::Year]);
        assert_eq!(of(Step::Months(3), 7), []);
        assert_eq!(of(Step::Months(12), 100), []);
        assert_eq!(of(Step::Count(1), 1000), []);
    }

    #[test]
    fn rows_stand_where_the_calendar_puts_them() {
        let near = |got: &Array2<f64>, want: &[f64]| {
            let far = got.iter().zip(want).any(|(a, b)| (a - b).abs() > 1e-12);
            assert!(got.len() == want.len() && !far, "{got}");
        };
        // A Monday, six hours a step.
        let axis = axis(&["2024-01-01 00:00", "2024-01-01 06:00"]);
        let calendar = Calendar { cycles: vec![Cycle::Day, Cycle::Week] };
        let half = (TAU / 8.0).sin();
        near(
            &calendar.columns(&axis, 0..2),
            &[0.0, 1.0, 0.0, 1.0, 1.0, 0.0, (TAU / 28.0).sin(), (TAU / 28.0).cos()],
        );
        near(&calendar.columns(&axis, 14..15), &[0.0, -1.0, 0.0, -1.0]);
        let year = Calendar { cycles: vec![Cycle::Year] };
        near(&year.columns(&axis, 4 * 183..4 * 183 + 1), &[0.0, -1.0]);
        let months = self::axis(&["2023-11", "2023-12"]);
        near(&year.columns(&months, 2..6), &[0.0, 1.0, 0.5, 0.75_f64.sqrt(), 0.75_f64.sqrt(), 0.5, 1.0, 0.0]);
        near(
            &Calendar { cycles: vec![Cycle::Day] }
                .columns(&self::axis(&["2024-01-01 00:00", "2024-01-01 03:00"]), 1..2),
            &[half, half],
        );
    }
}

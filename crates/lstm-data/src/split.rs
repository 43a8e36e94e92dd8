//! Train, validation and test parts: ranges of rows in time, or of independent sequences.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The size of a part; in a TOML file an integer counts rows and a decimal is a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// So many rows.
    Count(usize),
    /// A share of all rows, from 0 to 1.
    Fraction(f64),
}

impl Part {
    /// Rows of this part out of `rows`, a share rounded to the nearest.
    fn of(self, rows: usize) -> Option<usize> {
        match self {
            Part::Count(count) => Some(count),
            Part::Fraction(share) if (0.0..=1.0).contains(&share) => {
                Some((share * rows as f64).round() as usize)
            }
            Part::Fraction(_) => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Count(count) => write!(f, "{count}"),
            Part::Fraction(share) => write!(f, "{share:?}"),
        }
    }
}

/// Three ranges of rows, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows to fit on.
    pub train: Range<usize>,
    /// Rows to choose by.
    pub validation: Range<usize>,
    /// Rows to judge by.
    pub test: Range<usize>,
}

impl Split {
    /// Splits rows in time: train first, then validation, then test. Without a size, `train` is what the others leave;
    /// with one, rows behind the test part stay unused.
    ///
    /// # Errors
    /// [`Error::Split`] where the parts are more than the rows or nothing is left to train on.
    pub fn by_time(rows: usize, train: Option<Part>, validation: Part, test: Part) -> Result<Self> {
        let fail = |fault| Error::Split {
            rows,
            train: train.map_or("the rest".into(), |part| part.to_string()),
            validation: validation.to_string(),
            test: test.to_string(),
            fault,
        };
        let share = "a share must lie between 0 and 1";
        let held = validation.of(rows).ok_or_else(|| fail(share))?;
        let judged = test.of(rows).ok_or_else(|| fail(share))?;
        let behind = held.checked_add(judged).filter(|n| *n <= rows);
        let behind = behind.ok_or_else(|| fail("the parts are more than the rows"))?;
        let fitted = match train {
            Some(part) => part.of(rows).ok_or_else(|| fail(share))?,
            None => rows - behind,
        };
        if fitted == 0 {
            return Err(fail("nothing is left to train on"));
        }
        if fitted > rows - behind {
            return Err(fail("the parts are more than the rows"));
        }
        let (first, second) = (fitted, fitted + held);
        Ok(Self { train: 0..first, validation: first..second, test: second..second + judged })
    }

    /// Splits independent sequences: those in `test` are judged by, the others are trained on.
    ///
    /// # Errors
    /// [`Error::Split`] where `test` reaches beyond the rows or leaves nothing.
    pub fn by_row(rows: usize, test: Range<usize>) -> Result<(Vec<usize>, Vec<usize>)> {
        if test.end > rows || (test.start == 0 && test.end == rows) {
            return Err(Error::Split {
                rows,
                train: "the rest".into(),
                validation: "0".into(),
                test: format!("{}..{}", test.start, test.end),
                fault: if test.end > rows {
                    "the test rows reach beyond the last"
                } else {
                    "nothing is left to train on"
                },
            });
        }
        Ok(((0..rows).filter(|row| !test.contains(row)).collect(), test.collect()))
    }
}

/// The rows that windows read whose targets all lie in `part`: it reaches `lookback` rows back, as far as there are any.
pub fn reach_back(part: &Range<usize>, lookback: usize) -> Range<usize> {
    part.start.saturating_sub(lookback)..part.end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_and_shares() {
        let split =
            Split::by_time(17_420, Some(Part::Count(8_640)), Part::Count(2_880), Part::Count(2_880)).unwrap();
        assert_eq!(split, Split { train: 0..8_640, validation: 8_640..11_520, test: 11_520..14_400 });
        let split = Split::by_time(100, None, Part::Fraction(0.1), Part::Fraction(0.2)).unwrap();
        assert_eq!(split, Split { train: 0..70, validation: 70..80, test: 80..100 });
        assert_eq!(reach_back(&split.test, 24), 56..100);
        assert_eq!(reach_back(&split.train, 24), 0..70);
        assert_eq!(Split::by_row(4, 0..2).unwrap(), (vec![2, 3], vec![0, 1]));
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let message =
            |train, validation, test| Split::by_time(10, train, validation, test).unwrap_err().to_string();
        assert_eq!(
            message(None, Part::Count(4), Part::Count(7)),
            "10 rows cannot be split into train the rest, validation 4, test 7: the parts are more than the rows"
        );
        assert!(message(None, Part::Count(5), Part::Count(5)).ends_with("nothing is left to train on"));
        assert!(
            message(Some(Part::Count(9)), Part::Count(1), Part::Count(1)).ends_with("more than the rows")
        );
        for share in [-0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(message(None, Part::Fraction(share), Part::Count(1)).ends_with("between 0 and 1"));
        }
        assert!(message(None, Part::Count(usize::MAX), Part::Count(1)).ends_with("more than the rows"));
        for (test, fault) in [(3..5, "reach beyond the last"), (0..4, "nothing is left to train on")] {
            assert!(Split::by_row(4, test).unwrap_err().to_string().ends_with(fault));
        }
        assert_eq!(Split::by_row(4, 3..4).unwrap(), (vec![0, 1, 2], vec![3]));
    }

    proptest! {
        #[test]
        fn parts_follow_one_another(rows in 1_usize..1000, a in 0.0_f64..0.5, b in 0.0_f64..0.4) {
            if let Ok(split) = Split::by_time(rows, None, Part::Fraction(a), Part::Fraction(b)) {
                prop_assert_eq!(split.train.start, 0);
                prop_assert_eq!(split.train.end, split.validation.start);
                prop_assert_eq!(split.validation.end, split.test.start);
                prop_assert_eq!(split.test.end, rows);
                prop_assert!(!split.train.is_empty());
            }
        }
    }
}

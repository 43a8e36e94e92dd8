//! Covariates: what a network reads beside the values, as columns of numbers.

use std::collections::BTreeSet;

use ndarray::{ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

use super::PanelOptions;
use crate::cell::{self, Cell};
use crate::error::{Error, Place, Result, listed, shown};
use crate::table::{Kind, Table};

/// Categories that a column of text may have.
pub const MOST_CATEGORIES: usize = 32;

/// One column of numbers beside the values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Feature {
    /// The column of the file.
    pub column: String,
    /// Of a column of text, the category for which this one is 1 and not 0.
    pub category: Option<String>,
}

impl Feature {
    /// Column and category in one.
    pub fn name(&self) -> String {
        match &self.category {
            Some(category) => format!("{}={category}", self.column),
            None => self.column.clone(),
        }
    }
}

/// A column of the file that is a covariate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Covariate {
    pub(super) name: String,
    coding: Coding,
}

#[derive(Debug, Clone, PartialEq)]
enum Coding {
    /// Numbers as they are.
    Number,
    /// TRUE and FALSE as 1 and 0.
    Flag,
    /// One column for each category.
    Categories(Vec<String>),
}

impl Covariate {
    /// Surveys a column of all tables, so that a category has the same place in each.
    pub(super) fn survey(name: &str, tables: &[Table], options: &PanelOptions) -> Result<Self> {
        let mut coding = None;
        let mut texts = BTreeSet::new();
        for table in tables {
            let at = table.find(name)?;
            let Some(column) = table.columns().get(at) else { continue };
            let place = || Place::file(table.file()).column(name);
            let new = match column.kind() {
                Kind::Number => Coding::Number,
                Kind::Boolean => Coding::Flag,
                Kind::Text => Coding::Categories(Vec::new()),
                kind @ (Kind::Time | Kind::Empty) => {
                    return Err(Error::NoCovariate { at: place(), kind: kind.words() });
                }
            };
            if matches!(new, Coding::Categories(_)) {
                texts.extend(column.cells().filter(|cell| !is_missing(cell)));
                if texts.len() > MOST_CATEGORIES {
                    return Err(Error::ManyCategories {
                        at: place(),
                        count: texts.len(),
                        most: MOST_CATEGORIES,
                    });
                }
            }
            if *coding.get_or_insert(new.clone()) != new {
                return Err(Error::NoCovariate {
                    at: place(),
                    kind: "something else than in the first file",
                });
            }
        }
        let coding = match (options.categories.get(name), coding) {
            (Some(known), _) => Coding::Categories(known.clone()),
            (None, Some(Coding::Categories(_))) => {
                Coding::Categories(texts.into_iter().map(str::to_owned).collect())
            }
            (None, coding) => coding.unwrap_or(Coding::Number),
        };
        Ok(Self { name: name.to_owned(), coding })
    }

    /// The covariate that these features came from.
    pub(super) fn of_features(features: &[Feature]) -> Vec<Self> {
        features
            .chunk_by(|a, b| a.column == b.column)
            .filter_map(|features| {
                let categories: Option<Vec<String>> = features.iter().map(|f| f.category.clone()).collect();
                let coding = categories.map_or(Coding::Number, Coding::Categories);
                features.first().map(|feature| Self { name: feature.column.clone(), coding })
            })
            .collect()
    }

    /// The columns it becomes.
    pub(super) fn features(&self) -> Vec<Feature> {
        let feature =
            |category: Option<&String>| Feature { column: self.name.clone(), category: category.cloned() };
        match &self.coding {
            Coding::Categories(names) => names.iter().map(|name| feature(Some(name))).collect(),
            Coding::Number | Coding::Flag => vec![feature(None)],
        }
    }

    /// How many columns it becomes.
    pub(super) fn width(&self) -> usize {
        if let Coding::Categories(names) = &self.coding { names.len() } else { 1 }
    }

    /// Whether values between two others make no sense.
    pub(super) fn is_discrete(&self) -> bool {
        self.coding != Coding::Number
    }

    /// One number a row of the table, NaN where it is missing; a category is its place among them.
    pub(super) fn read(&self, table: &Table) -> Result<Vec<f64>> {
        let at = table.find(&self.name)?;
        let Some(column) = table.columns().get(at) else { return Ok(Vec::new()) };
        let read = |(row, text): (usize, &str)| {
            let place = || table.place(row, at);
            match (&self.coding, cell::read(text)) {
                (Coding::Categories(_), _) if is_missing(text) => Ok(f64::NAN),
                (Coding::Categories(names), _) => {
                    let known = || listed(names.iter());
                    let new = || Error::NewCategory { at: place(), cell: shown(text), known: known() };
                    names.iter().position(|name| name == text).map(|code| code as f64).ok_or_else(new)
                }
                (_, Cell::Number(value)) | (Coding::Flag, Cell::Boolean(value)) => Ok(value),
                (_, Cell::Missing) => Ok(f64::NAN),
                (_, Cell::NonFinite) => Err(Error::NonFinite { at: place(), cell: shown(text) }),
                (_, Cell::Text | Cell::Boolean(_)) => {
                    Err(Error::BadNumber { at: place(), cell: shown(text), remedy: cell::remedy(text) })
                }
            }
        };
        column.cells().enumerate().map(read).collect()
    }

    /// Writes numbers of [`Covariate::read`] into columns, `[rows, width]` of zeros.
    pub(super) fn write(&self, numbers: &[f64], mut out: ArrayViewMut2<'_, f64>) {
        for (mut row, number) in out.axis_iter_mut(Axis(0)).zip(numbers) {
            match self.coding {
                Coding::Number | Coding::Flag => row[0] = *number,
                // The code is the place of the category, so it lies inside the row.
                Coding::Categories(_) => row[*number as usize] = 1.0,
            }
        }
    }
}

/// Whether a cell of text is missing: "none" and "-" are categories.
fn is_missing(cell: &str) -> bool {
    cell.is_empty()
        || ["nan", "na", "n/a", "#n/a", "<na>", "null"].iter().any(|w| cell.eq_ignore_ascii_case(w))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::csv::{CsvOptions, read_table_from};

    fn table(text: &str) -> Table {
        read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()).unwrap()
    }

    fn survey(text: &str) -> Result<Covariate> {
        Covariate::survey("x", &[table(text)], &PanelOptions::default())
    }

    #[test]
    fn numbers_flags_and_text_become_columns() {
        let text = survey("x,y\nwet,1\nnone,1\n,1\nwet,2\n").unwrap();
        let names: Vec<String> = text.features().iter().map(Feature::name).collect();
        assert_eq!(names, ["x=none", "x=wet"]);
        assert_eq!(Covariate::of_features(&text.features()), std::slice::from_ref(&text));
        let numbers = text.read(&table("x,y\nwet,1\nnone,1\n")).unwrap();
        let mut out = Array2::zeros((2, 2));
        text.write(&numbers, out.view_mut());
        assert_eq!(out, array![[0.0, 1.0], [1.0, 0.0]]);

        let flag = survey("x,y\nTRUE,1\nFALSE,1\n").unwrap();
        assert!(flag.is_discrete() && flag.width() == 1);
        assert_eq!(flag.read(&table("x,y\nTRUE,1\nFALSE,1\n")).unwrap(), [1.0, 0.0]);
        assert!(!survey("x,y\n1.5,1\n2,1\n").unwrap().is_discrete());
    }

    #[test]
    fn what_cannot_be_read_beside_the_values_is_refused() {
        let many: String = (0..33).map(|i| format!("w{i}w,1\n")).collect();
        let message = |text: &str| survey(text).unwrap_err().to_string();
        assert!(
            message(&format!("x,y\n{many}"))
                .starts_with("a.csv, column 'x': holds 33 different texts, where")
        );
        assert!(message("x,y\n2020-01-01,1\n2020-01-02,1\n").contains("column 'x': holds times, which"));
        assert!(message("x,y\n,1\n,2\n").contains("column 'x': holds nothing, which"));
        let known = survey("x,y\nwet,1\ndry,1\n").unwrap();
        let error = known.read(&table("x,y\nwet,1\nfoggy,1\n")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.csv, line 3, column 'x': 'foggy' is none of the categories that are known (dry, wet); correct the cell, \
             or train again"
        );
        let mixed = [table("x,y\nwet,1\n"), table("x,y\n3,1\n")];
        assert!(Covariate::survey("x", &mixed, &PanelOptions::default()).is_err());
    }

    #[test]
    fn categories_of_several_files_share_their_places() {
        let tables = [table("x,y\nwet,1\n"), table("x,y\ndry,1\n")];
        let covariate = Covariate::survey("x", &tables, &PanelOptions::default()).unwrap();
        assert_eq!(covariate.width(), 2);
        assert_eq!(covariate.read(&tables[0]).unwrap(), [1.0]);
    }
}

//! What a run was made with, besides its settings: all that its bits depend on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::device::Place;
use crate::resume::Source;

/// What is asked for besides settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `train` or `forecast`.
    pub(crate) command: &'a str,
    /// Sample paths of a forecast.
    pub(crate) samples: Option<usize>,
}

impl<'a> Asked<'a> {
    pub(crate) fn to(command: &'a str) -> Self {
        Self { command, samples: None }
    }
}

/// What a run was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// `train` or `forecast`.
    pub(crate) command: String,
    /// Sample paths of a forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) samples: Option<usize>,
    pub(crate) maker: Maker,
    /// The files with series, and how many of `sources` they are; the rest is of covariates to come.
    pub(crate) files: usize,
    /// None where one of them cannot be read again.
    pub(crate) sources: Option<Vec<Source>>,
}

/// A program on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maker {
    version: String,
    /// Device and instruction set: they settle how sums are rounded.
    arithmetic: String,
}

impl Maker {
    /// This program there.
    pub(crate) fn here(place: &Place) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), arithmetic: place.arithmetic() }
    }

    pub(crate) fn described(&self) -> String {
        format!("lstm {} on {}", self.version, self.arithmetic)
    }
}

impl Origin {
    pub(crate) fn new(
        asked: Asked<'_>,
        place: &Place,
        files: &[PathBuf],
        sources: Option<Vec<Source>>,
    ) -> Self {
        let Asked { command, samples } = asked;
        Self { command: command.to_owned(), samples, maker: Maker::here(place), files: files.len(), sources }
    }
}

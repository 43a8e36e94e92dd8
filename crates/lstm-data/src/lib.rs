//! Series for forecasting: CSV reading, windows, splits, scalers, generators.
//!
//! Everything here is host memory and plain data: a file becomes a [`Table`] of text cells, chosen columns of
//! it become a [`Series`] of numbers on a time axis, and [`WindowSet`] cuts batches out of that without copying
//! the series. Nothing prints, draws, or knows of a device.

mod bytes;
mod cell;
pub mod csv;
mod error;
pub mod generate;
pub mod inspect;
pub mod order;
pub mod scale;
pub mod series;
pub mod split;
pub mod stamp;
pub mod table;
pub mod time;
pub mod window;

pub use crate::csv::{CsvOptions, read_table, read_table_from};
pub use crate::error::{Error, Result, closest};
pub use crate::generate::{Generator, Sequences};
pub use crate::inspect::{Summary, summarise};
pub use crate::order::{random_start, shuffled};
pub use crate::scale::{Affine, Method, Scaler};
pub use crate::series::{Duplicates, Fill, Repairs, Series, SeriesOptions, choose_target};
pub use crate::split::{Part, Split};
pub use crate::stamp::DateOrder;
pub use crate::table::{Column, Kind, Table};
pub use crate::time::{Step, TimeAxis, TimeChoice};
pub use crate::window::{Element, Normalise, Target, WindowSet, Windows};

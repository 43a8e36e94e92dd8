//! Series for forecasting: CSV reading, windows, splits, scalers, generators.
//!
//! Everything here is host memory and plain data: a file becomes a [`Table`] of text cells, [`read_panel`] makes a
//! [`Panel`] of series on a time axis of it, and [`WindowSet`] cuts batches out of a series without copying it.
//! Nothing prints, draws, or knows of a device.
//!
//! ```
//! use lstm_data::{Method, Part, Scaler, Split, WindowSet, Windows};
//! use ndarray::{Axis, aview1};
//!
//! let text = "month,load\n2020-01,3\n2020-02,5\n2020-03,4\n2020-04,6\n2020-05,5\n2020-06,7\n";
//! let table = lstm_data::read_table_from(text.as_bytes(), "load.csv", &Default::default())?;
//! let panel = lstm_data::read_panel(&table, &Default::default())?;
//! let load = &panel.members[0];
//! assert_eq!(load.axis.as_ref().map(|axis| axis.next(1)), Some(vec!["2020-07".to_owned()]));
//!
//! let values = aview1(&load.values).insert_axis(Axis(1));
//! let split = Split::by_time(load.rows(), None, Part::Count(0), Part::Count(2))?;
//! let scaled = Scaler::fit(Method::Standard, values, split.train.clone())?.apply(values)?;
//!
//! let windows = Windows::new(2, 1);
//! let set = WindowSet::new(scaled.view(), windows, &[0])?;
//! let starts: Vec<usize> = windows.starts(split.train).collect();
//! let (mut x, mut y) = (vec![0_f32; set.x_len(starts.len())], vec![0_f32; set.y_len(starts.len())]);
//! set.fill_batch(&starts, &mut x, &mut y)?;
//! assert_eq!(starts, [0, 1]);
//! # Ok::<(), lstm_data::Error>(())
//! ```

mod arrange;
mod bytes;
pub mod calendar;
mod cell;
pub mod csv;
mod doubt;
mod error;
mod fill;
pub mod generate;
pub mod inspect;
pub mod order;
pub mod panel;
#[cfg(feature = "parquet")]
mod parquet;
pub mod repair;
pub mod scale;
pub mod split;
pub mod stamp;
pub mod table;
pub mod time;
pub mod window;

pub use crate::calendar::{Calendar, Cycle};
pub use crate::csv::{CsvOptions, Decimal, read_table, read_table_from};
pub use crate::error::{Doubt, Error, Result, closest};
pub use crate::generate::{Generator, Sequences};
pub use crate::inspect::{Summary, summarise};
pub use crate::order::{random_start, shuffled};
pub use crate::panel::{Feature, Layout, Member, Panel, PanelOptions, Targets, read_panel, read_panels};
pub use crate::repair::{Duplicates, Fill, Repairs};
pub use crate::scale::{Affine, Method, Scaler};
pub use crate::split::{Part, Split};
pub use crate::stamp::DateOrder;
pub use crate::table::{Column, Kind, Table};
pub use crate::time::{Step, TimeAxis, TimeChoice};
pub use crate::window::{Element, Normalise, Target, WindowSet, Windows};

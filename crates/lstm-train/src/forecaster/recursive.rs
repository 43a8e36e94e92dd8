//! Forecasts of more steps than the network answers at once: each block reads those before it as if they had come.

use super::windows::{Window, Windows};
use super::{CHUNK, Columns, ForecastConfig, Forecaster, Head, Member, horizons};
use crate::{Error, Result};
use lstm_tensor::{Backend, Float};
use std::convert::Infallible;
use std::ops::Range;

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// The means of its own networks' quantiles, `[windows, H, levels]`; each block goes on from their middle.
    pub(super) fn quantiles_in_blocks<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        levels: impl Fn(usize) -> &'l [f64] + Copy,
    ) -> Result<Vec<f64>> {
        let (config, horizon) = (self.config.at_once(), self.config.horizon);
        // The last block may reach beyond the horizon.
        let levels = |h: usize| levels(h.min(horizon - 1));
        let count = |steps: Range<usize>| steps.map(|h| levels(h).len()).sum::<usize>();
        let mut quantiles = Vec::new();
        for windows in windows.chunks(CHUNK) {
            // `[blocks, windows, block, levels]`
            let mut blocks = Vec::new();
            in_blocks(&self.config, panel, windows, |panel, places, from| {
                let middle = self.quantiles_at_once(backend, &config, panel, places, |_| &[0.5])?;
                blocks.push(match config.head {
                    Head::Point => {
                        let level = |at: usize| levels(from + at % config.horizon).len();
                        let steps = middle.iter().enumerate();
                        steps.flat_map(|(at, f)| std::iter::repeat_n(*f, level(at))).collect()
                    }
                    _ => self.quantiles_at_once(backend, &config, panel, places, |h| levels(from + h))?,
                });
                Ok::<_, Error>(middle)
            })?;
            for at in 0..windows.len() {
                for (block, from) in blocks.iter().zip((0..).step_by(config.horizon)) {
                    let end = from + config.horizon;
                    quantiles.extend(&block[at * count(from..end)..][..count(from..end.min(horizon))]);
                }
            }
        }
        Ok(quantiles)
    }

    /// Linear forecasts `[windows, H]`, which go on from themselves too.
    pub(super) fn linear_in_blocks(&self, panel: &[Member<'_>], windows: &[Window]) -> Vec<f64> {
        let config = self.config.at_once();
        in_blocks(&self.config, panel, windows, |panel, places, _| {
            let all = Windows::new(panel, &config, &self.prepared, 0, |_, rows| 0..rows);
            Ok::<_, Infallible>(horizons(&config, &all.linear(places)))
        })
        .unwrap_or_else(|never| match never {})
    }
}

/// Forecasts `[windows, H]` that `next` makes block by block, `[windows, block]`, of series that end where the block
/// begins; it is told how many steps lie before it.
fn in_blocks<E>(
    config: &ForecastConfig,
    panel: &[Member<'_>],
    windows: &[Window],
    mut next: impl FnMut(&[Member<'_>], &[Window], usize) -> std::result::Result<Vec<f64>, E>,
) -> std::result::Result<Vec<f64>, E> {
    let (reach, horizon, block) = (config.reach(), config.horizon, config.at_once().horizon);
    let before = |w: &Window| panel[w.member].values[w.row - reach..w.row].to_vec();
    let mut values: Vec<Vec<f64>> = windows.iter().map(before).collect();
    for from in (0..horizon).step_by(block) {
        let continued: Vec<Member<'_>> = windows
            .iter()
            .zip(&values)
            .map(|(window, values)| continued(panel, window, values, reach))
            .collect();
        let places: Vec<Window> =
            (0..windows.len()).map(|member| Window { member, row: reach + from }).collect();
        let forecasts = next(&continued, &places, from)?;
        for (values, forecast) in values.iter_mut().zip(forecasts.chunks_exact(block)) {
            values.extend(forecast);
        }
    }
    Ok(values.iter().flat_map(|values| &values[reach..reach + horizon]).copied().collect())
}

/// A series from `reach` rows before a place on, with these values. It has no columns that are known up to the present only,
/// as [`ForecastConfig::validate`] sees to.
fn continued<'v>(panel: &[Member<'v>], window: &Window, values: &'v [f64], reach: usize) -> Member<'v> {
    let member = &panel[window.member];
    let Columns { cells, width } = member.known;
    let known = cells.get((window.row - reach) * width..).unwrap_or(&[]);
    Member {
        values,
        known: Columns { cells: known, width },
        made: &[],
        index: Some(member.index.unwrap_or(window.member)),
        ..*member
    }
}

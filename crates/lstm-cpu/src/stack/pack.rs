//! Weights in the order in which the products read them.

use super::cell::panel;
use super::{LINE, Layer, cut, layer, part, part_mut};
use crate::Cpu;
use crate::parallel::Rows;
use lstm_tensor::{Arena, Float, Packed, Plan, Result, check};

pub(crate) fn prepare<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    params: &Arena<Cpu, F>,
    packed: &mut Packed<Cpu, F>,
) -> Result<()> {
    check::prepare(plan, params, packed)?;
    let values = params.values().as_slice();
    let route = cut::<F>(plan);
    for l in 0..plan.spec.layers.len() {
        let layer = layer::<F>(plan, route, l)?;
        let (w_ih, w_hh) = (part(values, &layer.w_ih)?, part(values, &layer.w_hh)?);
        pack_forward(cpu, &layer, [w_ih, w_hh], part_mut(&mut packed.buffer, &layer.packed_forward)?);
        for (weights, cols, to) in
            [(w_hh, layer.hidden, &layer.packed_recurrent), (w_ih, layer.input, &layer.packed_input)]
        {
            pack_backward(cpu, weights, cols, part_mut(&mut packed.buffer, to)?);
        }
        pack_bias(&layer, values, part_mut(&mut packed.buffer, &layer.packed_bias)?)?;
    }
    packed.mark(params);
    Ok(())
}

/// Panels `[I + H, 4, panel]` from `w_ih [4H, I]` and `w_hh [4H, H]`.
fn pack_forward<F: Float>(cpu: &Cpu, layer: &Layer, [w_ih, w_hh]: [&[F]; 2], to: &mut [F]) {
    let (hidden, input, width) = (layer.hidden, layer.input, panel::<F>());
    let (depth, panels) = (input + hidden, layer.units / width);
    let rows = Rows::new(to, 1, panels, depth * 4 * width, 1);
    cpu.team.moves(4 * depth * layer.units, [rows], |number, [mut to]| {
        let (to_inputs, to_hidden) = to.at_mut(0).split_at_mut(input * 4 * width);
        let count = width.min(hidden - number * width);
        for gate in 0..4 {
            let first = gate * hidden + number * width;
            for (from, cols, to) in [(w_ih, input, &mut *to_inputs), (w_hh, hidden, &mut *to_hidden)] {
                turn(&from[first * cols..][..count * cols], cols, to, 4 * width, gate * width, width);
            }
        }
    });
}

/// The columns of `from [_, cols]` become the rows of `to`, which are `row` long, from element `at`
/// on; what is left of `width` elements there becomes 0. In tiles that fit the innermost cache.
fn turn<F: Float>(from: &[F], cols: usize, to: &mut [F], row: usize, at: usize, width: usize) {
    for (tile, to) in to.chunks_mut(LINE * row).enumerate() {
        for to in to.chunks_exact_mut(row) {
            to[at..at + width].fill(F::ZERO);
        }
        for (unit, from) in from.chunks_exact(cols).enumerate() {
            let from = &from[tile * LINE..];
            for (to, &from) in to.chunks_exact_mut(row).zip(from) {
                to[at + unit] = from;
            }
        }
    }
}

/// Panels `[4H, panel]` of `weights [4H, cols]`; nothing where `to` is empty.
fn pack_backward<F: Float>(cpu: &Cpu, weights: &[F], cols: usize, to: &mut [F]) {
    let (lines, width) = (weights.len() / cols, panel::<F>());
    if to.is_empty() {
        return;
    }
    let rows = Rows::new(to, 1, cols.div_ceil(width), lines * width, 1);
    cpu.team.moves(weights.len(), [rows], |number, [mut to]| {
        let (first, count) = (number * width, width.min(cols - number * width));
        for (to, from) in to.at_mut(0).chunks_exact_mut(width).zip(weights.chunks_exact(cols)) {
            to[..count].copy_from_slice(&from[first..first + count]);
            to[count..].fill(F::ZERO);
        }
    });
}

/// Panels `[4, panel]` of the sum of the biases.
fn pack_bias<F: Float>(layer: &Layer, values: &[F], to: &mut [F]) -> Result<()> {
    let (hidden, width) = (layer.hidden, panel::<F>());
    to.fill(F::ZERO);
    let place = |gate: usize, unit: usize| unit / width * 4 * width + gate * width + unit % width;
    for unit in 0..hidden {
        to[place(1, unit)] = F::from_f64(layer.forget_bias);
    }
    for bias in layer.biases.iter().flatten() {
        for (gate, bias) in part(values, bias)?.chunks_exact(hidden).enumerate() {
            for (unit, &bias) in bias.iter().enumerate() {
                to[place(gate, unit)] += bias;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::super::tests::two_layers;
    use super::*;
    use lstm_tensor::{BatchShape, Mode};
    use std::ops::Range;
    use std::sync::Arc;

    #[test]
    fn weights_are_packed_transposed_and_biases_added() {
        let cpu = Cpu::new(2).unwrap();
        let plan = plan::<f64>(&two_layers(), &BatchShape::new(4, 2), Mode::Train).unwrap();
        let layout = Arc::new(plan.params.clone());
        let mut params = Arena::<Cpu, f64>::zeros(&cpu, &layout).unwrap();
        for (i, value) in params.values_mut().as_mut_slice().iter_mut().enumerate() {
            *value = i as f64;
        }
        let mut packed = Packed::empty(&cpu, plan.packed).unwrap();
        prepare(&cpu, &plan, &params, &mut packed).unwrap();
        let (values, packed) = (params.values().as_slice(), packed.buffer.as_slice());
        let width = panel::<f64>();
        let route = cut::<f64>(&plan);
        for l in 0..2 {
            let layer = layer::<f64>(&plan, route, l).unwrap();
            let Layer { input, hidden, .. } = layer;
            for (gate, unit) in (0..4).flat_map(|gate| (0..width).map(move |unit| (gate, unit))) {
                let weight = |from: &Range<usize>, cols: usize, c: usize| match unit < hidden {
                    true => values[from.start + (gate * hidden + unit) * cols + c],
                    false => 0.0,
                };
                let forward = |k: usize| packed[layer.packed_forward.start + (k * 4 + gate) * width + unit];
                for c in 0..input {
                    assert_eq!(forward(c), weight(&layer.w_ih, input, c));
                }
                for c in 0..hidden {
                    assert_eq!(forward(input + c), weight(&layer.w_hh, hidden, c));
                }
                for k in 0..if unit < hidden { 4 * hidden } else { 0 } {
                    let backward = packed[layer.packed_recurrent.start + k * width + unit];
                    assert_eq!(backward, values[layer.w_hh.start + k * hidden + unit]);
                    let from = if unit < input { values[layer.w_ih.start + k * input + unit] } else { 0.0 };
                    assert_eq!(packed[layer.packed_input.start + k * width + unit], from);
                }
                let biases = layer.biases.iter().flatten().map(|bias| weight(bias, 1, 0));
                let forget = if gate == 1 && unit < hidden { layer.forget_bias } else { 0.0 };
                let sum = biases.sum::<f64>() + forget;
                assert_eq!(packed[layer.packed_bias.start + gate * width + unit], sum);
            }
        }
    }
}

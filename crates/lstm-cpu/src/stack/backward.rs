//! Back-propagation through time.

use super::cell::{BackwardProduct, Crew, StepBackward, WeightGradient, panel, tile_height};
use super::dropout::{Part, drop_before};
use super::power::{Exponents, common, scale};
use super::route::Route;
use super::{Layer, check_tape, cut, foreign, layer, layer_input, pad, part, unpad};
use crate::parallel::{Block, Rows, share};
use crate::simd::Simd;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Backward, Draw, Float, Packed, Plan, Result, Scratch, State, Tape, check};

/// Workspaces of a training pass.
const WORKSPACES: usize = 11;
/// The one that holds the tasks' gradients of the weights.
const SUMS: usize = 9;
/// They, and the gradients of the inputs and of the initial state.
const BUFFERS: usize = WORKSPACES + 3;

/// Override of [`Backend::stack_backward`](lstm_tensor::Backend::stack_backward).
pub(crate) fn backward<F: Float>(
    cpu: &Cpu,
    plan: &Plan,
    args: Backward<'_, Cpu, F>,
    scratch: &mut Scratch<Cpu, F>,
) -> Result<()> {
    check::stack_backward(plan, &args, scratch)?;
    let route = cut::<F>(plan);
    check_tape::<F>(plan, route)?;
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, mut d_x, mut d_initial } = args;
    let Scratch { tape, workspace } = scratch;
    let workspace = workspace.as_mut_slice().as_mut_array::<WORKSPACES>().ok_or_else(foreign)?;
    let pass = Pass {
        cpu,
        plan,
        route,
        packed: weights.packed,
        draw,
        initial,
        x: x.as_slice(),
        d_y: d_y.map(CpuBuffer::as_slice),
        d_last,
        tape,
    };
    let layers = plan.spec.layers.len();
    for chunk in (0..plan.shape.steps.div_ceil(route.chunk)).rev() {
        for l in (0..layers).rev() {
            let d_x = d_x.as_deref_mut().filter(|_| l == 0);
            let d_initial = d_initial.as_deref_mut().filter(|_| chunk == 0);
            pass.layer(l, chunk, workspace, d_x, d_initial)?;
        }
    }
    for l in 0..layers {
        pass.finish(l, &mut workspace[SUMS], d_params.as_mut_slice())?;
    }
    Ok(())
}

/// What all layers and chunks of steps of a backward pass share.
struct Pass<'a, F: Float> {
    cpu: &'a Cpu,
    plan: &'a Plan,
    route: Route,
    packed: &'a Packed<Cpu, F>,
    draw: Option<Draw<'a, Cpu>>,
    initial: Option<&'a State<Cpu, F>>,
    x: &'a [F],
    d_y: Option<&'a [F]>,
    d_last: Option<&'a State<Cpu, F>>,
    tape: &'a Tape<Cpu, F>,
}

/// What all tasks of a layer's chunk share. States are of hidden and of cell state.
struct Chunk<'a, F: Float> {
    pass: &'a Pass<'a, F>,
    l: usize,
    layer: Layer,
    first: usize,
    count: usize,
    recurrent: &'a [F],
    inputs: &'a [F],
    initial: Option<[&'a [F]; 2]>,
    d_last: Option<[&'a [F]; 2]>,
    wants_d_x: bool,
    wants_d_initial: bool,
}

impl<F: Float> Pass<'_, F> {
    /// One layer's steps of a chunk. The workspace holds the gradient of its output on the way in, of its input on
    /// the way out.
    fn layer(
        &self,
        l: usize,
        chunk: usize,
        workspace: &mut [CpuBuffer<F>; WORKSPACES],
        d_x: Option<&mut CpuBuffer<F>>,
        d_initial: Option<&mut State<Cpu, F>>,
    ) -> Result<()> {
        let (plan, route) = (self.plan, self.route);
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let layer = layer::<F>(plan, route, l)?;
        let Layer { input: width, hidden, units, .. } = layer;
        let packed = self.packed.buffer.as_slice();
        let first = chunk * route.chunk;
        let of_chunk = Chunk {
            pass: self,
            l,
            first,
            count: route.chunk.min(steps - first),
            recurrent: part(packed, &layer.packed_recurrent)?,
            inputs: part(packed, &layer.packed_input)?,
            initial: of_layer(self.initial, &layer)?,
            d_last: of_layer(self.d_last, &layer)?,
            wants_d_x: d_x.is_some(),
            wants_d_initial: d_initial.is_some(),
            layer: layer.clone(),
        };

        let blocks = route.blocks;
        let [dropped, before, d_out, dz, u, row, d_last, after, d_cell, sums, powers] =
            workspace.each_mut().map(CpuBuffer::as_mut_slice);
        let d_x_width = if d_x.is_some() { width } else { 0 };
        let d_initial_width = if d_initial.is_some() { hidden } else { 0 };
        let d_x = d_x.map_or(&mut [][..], CpuBuffer::as_mut_slice);
        let [d_h, d_c] = match d_initial {
            Some(State { h, c, .. }) => {
                [h, c].map(|s| s.as_mut_slice().get_mut(layer.state.clone()).unwrap_or_default())
            }
            None => [&mut [][..], &mut []],
        };
        let buffers: [Rows<'_, F>; BUFFERS] = [
            of_task(dropped, blocks),
            Rows::shared(before, 1, rows, units, blocks),
            of_task(d_out, blocks),
            of_task(dz, blocks),
            of_task(u, blocks),
            of_task(row, blocks),
            Rows::shared(d_last, 1, rows, units, blocks),
            of_task(&mut after[layer.after], blocks),
            Rows::shared(&mut d_cell[layer.d_cell], 1, rows, units, blocks),
            of_task(&mut sums[layer.sums], blocks),
            of_task(powers, blocks),
            Rows::shared(d_x, steps, rows, d_x_width, blocks),
            Rows::shared(d_h, 1, rows, d_initial_width, blocks),
            Rows::shared(d_c, 1, rows, d_initial_width, blocks),
        ];
        self.cpu.team.blocks(buffers, |i, buffers| of_chunk.run(i, buffers));
        Ok(())
    }

    /// Adds the tasks' gradients of a layer's weights, in order.
    fn finish(&self, l: usize, sums: &mut CpuBuffer<F>, d_params: &mut [F]) -> Result<()> {
        let Layer { input, hidden, units, depth, w_ih, w_hh, biases, sums: place, .. } =
            layer::<F>(self.plan, self.route, l)?;
        let sums = &mut sums.as_mut_slice()[place];
        let (gate, width) = (units * depth, panel::<F>());
        let blocks = self.route.blocks;
        let [first, second] = biases.map(Option::unwrap_or_default);
        let given = [w_ih, w_hh, first, second];
        let [d_ih, d_hh, d_first, d_second] = d_params.get_disjoint_mut(given).map_err(|_| foreign())?;
        let [has_first, has_second] = [&d_first, &d_second].map(|d| usize::from(!d.is_empty()));
        let buffers = [
            Rows::new(sums, blocks, 4, gate, 1),
            Rows::new(d_ih, 1, 4, hidden * input, 1),
            Rows::new(d_hh, 1, 4, hidden * hidden, 1),
            Rows::new(d_first, 1, 4, has_first * hidden, 1),
            Rows::new(d_second, 1, 4, has_second * hidden, 1),
        ];
        self.cpu.team.blocks(buffers, |_, [mut sums, mut d_ih, mut d_hh, mut d_first, mut d_second]| {
            for task in 1..blocks {
                let (more, sum) = sums.pair(task, 0);
                sum.iter_mut().zip(more).for_each(|(sum, &more)| *sum += more);
            }
            let sums = &*sums.at_mut(0);
            for unit in 0..hidden {
                let lane = &sums[unit / width * depth * width + unit % width..];
                let mut factors = lane.iter().step_by(width);
                let d_ih = &mut d_ih.at_mut(0)[unit * input..][..input];
                let d_hh = &mut d_hh.at_mut(0)[unit * hidden..][..hidden];
                for (d, &sum) in d_ih.iter_mut().chain(d_hh).zip(&mut factors) {
                    *d += sum;
                }
                let sum = lane[(input + hidden) * width];
                for d_bias in [d_first.at_mut(0), d_second.at_mut(0)] {
                    if let Some(d) = d_bias.get_mut(unit) {
                        *d += sum;
                    }
                }
            }
        });
        Ok(())
    }
}

impl<F: Float> Chunk<'_, F> {
    /// Task `i`: its rows of all the steps.
    fn run(&self, i: usize, buffers: [Block<'_, F>; BUFFERS]) {
        let Self { pass, l, ref layer, first, count, .. } = *self;
        let Pass { cpu, plan, route, draw, x, tape, .. } = *pass;
        let Layer { input: width, hidden, units, columns, depth, .. } = *layer;
        let [mut dropped, mut before, mut d_out, mut dz, mut u, mut row, buffers @ ..] = buffers;
        let [mut d_last, mut after, mut d_cell, mut sums, mut powers, mut d_x, mut d_h, mut d_c] = buffers;
        let (before, d_last, d_cell) = (before.at_mut(0), d_last.at_mut(0), d_cell.at_mut(0));
        let (d_out, dz, after) = (d_out.at_mut(0), dz.at_mut(0), after.at_mut(0));
        let (steps, crew) = (plan.shape.steps, Crew::of(cpu, route.blocks));
        let rows = d_cell.len() / units;
        let (part, is_last) =
            (Part { first, row: share(plan.shape.rows, route.blocks, i), rows }, first + count == steps);
        let place = &plan.tape.layers[l];
        let own = |t: usize| (t * plan.shape.rows + part.row) * units;
        let (gates, cell) = (&tape.gates.as_slice()[place.gates..], &tape.cell.as_slice()[place.cell..]);
        let states = tape.hidden.as_slice();

        if l + 1 == plan.spec.layers.len() {
            self.load_output(part, &mut d_out[..count * rows * units]);
        }
        if is_last {
            d_cell.fill(F::ZERO);
            if let Some(given) = self.d_last {
                let [h, c] = given.map(|state| &state[part.row * hidden..]);
                pad(h, hidden, units, d_last);
                pad(c, hidden, units, d_cell);
            }
        }
        let initial = self.initial.filter(|_| first == 0).map(|state| state.map(|s| &s[part.row * hidden..]));
        if let Some([_, c]) = initial {
            pad(c, hidden, units, before);
        }
        let after = &mut after[..4 * rows * units];
        let powers = powers.at_mut(0);
        let power = self.share_power(is_last, powers, [d_cell, after, &mut d_out[..count * rows * units]]);

        for slot in (0..count).rev() {
            let t = first + slot;
            let (dz, later) = dz[slot * 4 * rows * units..].split_at_mut(4 * rows * units);
            StepBackward {
                rows,
                units,
                hidden,
                weights: self.recurrent,
                after: if slot + 1 < count { Some(&*later) } else { (!is_last).then_some(&*after) },
                gates: &gates[4 * own(t)..],
                before: match t {
                    0 => initial.is_some().then_some(&*before),
                    _ => Some(&cell[own(t - 1)..]),
                },
                cell: &cell[own(t)..],
                d_out: &d_out[slot * rows * units..],
                d_last: (t + 1 == steps && self.d_last.is_some()).then_some(&*d_last),
                d_cell,
                dz,
            }
            .run(crew);
        }
        after.copy_from_slice(&dz[..4 * rows * units]);

        let product = |weights, slots, dz: &[F], to: &mut [F]| {
            BackwardProduct { rows, units, hidden, weights, slots, dz, to }.run(crew);
        };
        if l > 0 || self.wants_d_x {
            product(self.inputs, count, dz, d_out);
            drop_before(plan, draw, l, part, &mut d_out[..count * rows * columns], [width, columns]);
        }
        if self.wants_d_x {
            for (slot, d_out) in d_out.chunks_exact(rows * columns).take(count).enumerate() {
                unpad(d_out, columns, width, d_x.at_mut(first + slot));
                scale(d_x.at_mut(first + slot), -power);
            }
        }
        if self.wants_d_initial {
            product(self.recurrent, 1, dz, d_last);
            for (from, to) in [(d_last, &mut d_h), (d_cell, &mut d_c)] {
                unpad(from, units, hidden, to.at_mut(0));
                scale(to.at_mut(0), -power);
            }
        }

        // Of the power that gradients are multiplied with the factors take back as much as they can, then the
        // gradients. Where that is not enough, a sum of what is left is far from half of the smallest number there is.
        let most = Exponents::of::<F>().most;
        let (of_u, of_dz) = (power.min(most), (power - most).max(0));
        if of_dz > most + most / 3 {
            return;
        }
        scale(&mut dz[..count * 4 * rows * units], -of_dz);
        let input = layer_input(plan, draw, l, (part, first, count), [x, states], dropped.at_mut(0));
        let (u, row) = (u.at_mut(0), &mut row.at_mut(0)[..depth]);
        for slot in 0..count {
            let of_step = |data, stride, len| Columns { data, stride, len };
            let hidden_state = match (first + slot, initial) {
                (0, None) => of_step(&[], 0, hidden),
                (0, Some([h, _])) => of_step(h, hidden, hidden),
                (t, _) => of_step(&states[place.hidden + own(t - 1)..], units, hidden),
            };
            let factors = [of_step(input.at(slot), input.stride, width), hidden_state];
            pack_factors(factors, crew.simd, row, &mut u[slot * depth * rows..][..depth * rows]);
        }
        let u_len = count * depth * rows;
        scale(&mut u[..u_len], -of_u);
        WeightGradient { slots: count, rows, depth, dz, u, sums: sums.at_mut(0), adds: !is_last }.run(crew);
    }

    /// Brings the gradients that come from later steps, of cell state and pre-activations, and those from above to
    /// one power of two, which is returned; `powers` says which they have, and of what goes to the layer below.
    fn share_power(&self, is_last: bool, powers: &mut [F], gradients: [&mut [F]; 3]) -> i32 {
        let layers = self.pass.plan.spec.layers.len();
        let of = |i: usize| powers[i].to_f64() as i32;
        let carried = if is_last { 0 } else { of(self.l) };
        let above = if self.l + 1 == layers { 0 } else { of(layers) };
        let [d_cell, after, d_out] = gradients;
        let after = if is_last { &mut [] } else { after };
        let power = match is_last {
            // The gradient of the last state may be as large as any.
            true => 0,
            false => common([(&*d_cell, carried), (&*after, carried), (&*d_out, above)]),
        };
        scale(d_cell, power - carried);
        scale(after, power - carried);
        scale(d_out, power - above);
        powers[self.l] = F::from_f64(f64::from(power));
        powers[layers] = powers[self.l];
        power
    }

    /// Gradient of the stack's output at the task's rows, padded.
    fn load_output(&self, part: Part, d_out: &mut [F]) {
        let Self { pass: Pass { plan, draw, d_y, .. }, ref layer, .. } = *self;
        let Layer { hidden, units, .. } = *layer;
        match d_y {
            Some(d_y) => {
                for (slot, d_out) in d_out.chunks_exact_mut(part.rows * units).enumerate() {
                    let start = ((part.first + slot) * plan.shape.rows + part.row) * hidden;
                    pad(&d_y[start..], hidden, units, d_out);
                }
            }
            None => d_out.fill(F::ZERO),
        }
        drop_before(plan, *draw, self.l + 1, part, d_out, [hidden, units]);
    }
}

/// Hidden and cell state of a layer.
fn of_layer<'a, F: Float>(state: Option<&'a State<Cpu, F>>, layer: &Layer) -> Result<Option<[&'a [F]; 2]>> {
    let Some(State { h, c, .. }) = state else { return Ok(None) };
    Ok(Some([part(h.as_slice(), &layer.state)?, part(c.as_slice(), &layer.state)?]))
}

/// An equal part of a buffer for each task.
fn of_task<F>(buffer: &mut [F], blocks: usize) -> Rows<'_, F> {
    let len = buffer.len() / blocks;
    Rows::new(buffer, 1, blocks, len, 1)
}

/// The first `len` elements of rows of a matrix; zeros where there is no data.
#[derive(Clone, Copy)]
struct Columns<'a, F> {
    data: &'a [F],
    stride: usize,
    len: usize,
}

/// Puts `columns` side by side, a 1 after them, and cuts the rows into tiles of the gradient of the weights.
fn pack_factors<F: Float>(columns: [Columns<'_, F>; 2], simd: Simd, row: &mut [F], to: &mut [F]) {
    let (depth, rows) = (row.len(), to.len() / row.len());
    row.fill(F::ZERO);
    row[columns.iter().map(|c| c.len).sum::<usize>()] = F::ONE;
    for r in 0..rows {
        let mut first = 0;
        for Columns { data, stride, len } in columns {
            if !data.is_empty() {
                row[first..first + len].copy_from_slice(&data[r * stride..][..len]);
            }
            first += len;
        }
        let mut first = 0;
        while first < depth {
            let height = tile_height(simd, depth - first);
            let to = &mut to[first * rows + r * height..];
            match height {
                12 => to[..12].copy_from_slice(&row[first..first + 12]),
                8 => to[..8].copy_from_slice(&row[first..first + 8]),
                _ => to[..4].copy_from_slice(&row[first..first + 4]),
            }
            first += height;
        }
    }
}

//! Back-propagation through time.

use super::cell::{BackwardProduct, Crew, StepBackward, WeightGradient, panel, tile_height};
use super::dropout::{Part, drop_before};
use super::power::{Exponents, common, scale};
use super::route::{CREST, DEEP, Route};
use super::{Input, Layer, check_tape, cut, foreign, layer, of_layer, pad, part, unpad};
use crate::parallel::{Block, Field, Fields, Rows, share};
use crate::simd::Simd;
use crate::{Cpu, CpuBuffer};
use lstm_tensor::{Backward, Draw, Float, Packed, Plan, Result, Scratch, State, Tape, check};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Workspaces of a training pass.
const WORKSPACES: usize = 12;
/// The one that holds the tasks' gradients of the weights.
const SUMS: usize = 9;

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
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, d_x, d_initial } = args;
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
        wants_d_x: d_x.is_some(),
        wants_d_initial: d_initial.is_some(),
    };
    let (layers, chunks) = (plan.spec.layers.len(), plan.shape.steps.div_ceil(route.chunk));
    let d_x = d_x.map_or(&mut [][..], CpuBuffer::as_mut_slice);
    let d_initial =
        d_initial.map_or([&mut [][..], &mut []], |State { h, c, .. }| [h, c].map(CpuBuffer::as_mut_slice));
    let mut asked = Asked { d_x, d_initial };
    match route.wave {
        true => (0..chunks + layers - 1).try_for_each(|wave| pass.wave(wave, workspace, &mut asked))?,
        false => pass.blocks(chunks, workspace, &mut asked)?,
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
    wants_d_x: bool,
    wants_d_initial: bool,
}

/// Gradients of the inputs and of the initial state; empty where nobody asks.
struct Asked<'a, F> {
    d_x: &'a mut [F],
    d_initial: [&'a mut [F]; 2],
}

/// A layer's chunk of steps. States are of hidden and of cell state.
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
    fn chunk(&self, l: usize, chunk: usize) -> Result<Chunk<'_, F>> {
        let (packed, layer) = (self.packed.buffer.as_slice(), layer::<F>(self.plan, self.route, l)?);
        let first = chunk * self.route.chunk;
        Ok(Chunk {
            pass: self,
            l,
            first,
            count: self.route.chunk.min(self.plan.shape.steps - first),
            recurrent: part(packed, &layer.packed_recurrent)?,
            inputs: part(packed, &layer.packed_input)?,
            initial: of_layer(self.initial.filter(|_| first == 0), &layer)?,
            d_last: of_layer(self.d_last, &layer)?,
            wants_d_x: l == 0 && self.wants_d_x,
            wants_d_initial: first == 0 && self.wants_d_initial,
            layer,
        })
    }

    /// Where the gradients of layer `l` lie that it keeps from chunk to chunk, of each task or of each batch row: of
    /// pre-activations, cell state and weights; the exponents; those of the initial state.
    fn fields(&self, l: usize) -> Result<[Field; 5]> {
        let blocks = self.route.blocks;
        let Layer { units, hidden, after, d_cell, sums, state, .. } = layer::<F>(self.plan, self.route, l)?;
        let of_task = |range: &Range<usize>| Field { start: range.start, width: range.len() / blocks };
        let state = match self.wants_d_initial {
            true => Field { start: state.start, width: hidden },
            false => Field::default(),
        };
        let power = Field { start: l * blocks, width: 1 };
        Ok([of_task(&after), Field { start: d_cell.start, width: units }, of_task(&sums), power, state])
    }

    /// The same of all layers, in the first places of arrays.
    fn lists(&self) -> Result<[[Field; DEEP]; 5]> {
        let mut all = [[Field::default(); DEEP]; 5];
        for l in 0..self.plan.spec.layers.len().min(DEEP) {
            all.iter_mut().zip(self.fields(l)?).for_each(|(all, field)| all[l] = field);
        }
        Ok(all)
    }

    /// Blocks of batch rows, each through all steps: a chunk through all layers, then the one before.
    fn blocks(
        &self,
        chunks: usize,
        workspace: &mut [CpuBuffer<F>; WORKSPACES],
        asked: &mut Asked<'_, F>,
    ) -> Result<()> {
        let (plan, blocks, layers) = (self.plan, self.route.blocks, self.plan.spec.layers.len());
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let [dropped, before, handed, dz, u, row, d_last, after, d_cell, sums, powers, handed_power] =
            workspace.each_mut().map(CpuBuffer::as_mut_slice);
        let Asked { d_x, d_initial: [d_h, d_c] } = asked;
        let lists = self.lists()?;
        // A task alone need not announce what it asks for.
        let listed = if blocks > 1 { layers } else { 0 };
        let [of_after, of_d_cell, of_sums, of_power, of_state] = lists.each_ref().map(|list| &list[..listed]);
        let fields = [
            Fields::new(after, [1, blocks], of_after),
            Fields::new(d_cell, [1, rows], of_d_cell),
            Fields::new(sums, [1, blocks], of_sums),
            Fields::new(powers, [1, blocks], of_power),
            Fields::new(d_h, [1, rows], of_state),
            Fields::new(d_c, [1, rows], of_state),
        ];
        let workspaces = [dropped, before, handed, dz, u, row, d_last, handed_power];
        let [dropped, before, handed, dz, u, row, d_last, handed_power] =
            workspaces.map(|workspace| Rows::each(workspace, blocks, 0));
        let d_x = Rows::shared(d_x, steps, rows, if self.wants_d_x { plan.spec.input } else { 0 }, blocks);
        let buffers = [dropped, before, handed, dz, u, row, d_last, handed_power, d_x];
        let (crew, altered) = (Crew::of(self.cpu, blocks), AtomicBool::new(false));
        self.cpu.team.fields(blocks, fields, buffers, |i, fields, buffers| {
            let [mut after, mut d_cell, mut sums, mut power, mut d_h, mut d_c] = fields;
            let [mut dropped, mut before, mut handed, mut dz, mut u, mut row, mut d_last, rest @ ..] =
                buffers;
            let [mut handed_power, mut d_x] = rest;
            let backward = (0..chunks).rev().flat_map(|chunk| (0..layers).rev().map(move |l| (chunk, l)));
            for (chunk, l) in backward {
                let (Ok(chunk), Ok(fields)) = (self.chunk(l, chunk), self.fields(l)) else {
                    return altered.store(true, Ordering::Relaxed);
                };
                let [of_after, of_d_cell, of_sums, of_power, of_state] = fields;
                let task = Task {
                    dropped: dropped.at_mut(0),
                    before: before.at_mut(0),
                    d_out: handed.at_mut(0),
                    dz: dz.at_mut(0),
                    u: u.at_mut(0),
                    factors: row.at_mut(0),
                    d_last: d_last.at_mut(0),
                    after: after.field(l, of_after).only(),
                    d_cell: d_cell.field(l, of_d_cell).only(),
                    sums: sums.field(l, of_sums).only(),
                    powers: [&mut power.field(l, of_power).only()[0], &mut handed_power.at_mut(0)[0]],
                    d_initial: [d_h.field(l, of_state).only(), d_c.field(l, of_state).only()],
                };
                chunk.run(share(rows, blocks, i), task, &mut d_x, crew);
            }
        });
        if altered.into_inner() { Err(foreign()) } else { Ok(()) }
    }

    /// Of each layer `l` of `L` the chunk that is `wave - (L - 1 - l)`th from behind, where there is one, all at once.
    /// The gradient of a layer's output, which becomes that of its input, travels with the chunk in a buffer of its
    /// own.
    fn wave(
        &self,
        wave: usize,
        workspace: &mut [CpuBuffer<F>; WORKSPACES],
        asked: &mut Asked<'_, F>,
    ) -> Result<()> {
        let (plan, layers) = (self.plan, self.plan.spec.layers.len());
        let (steps, rows) = (plan.shape.steps, plan.shape.rows);
        let all = steps.div_ceil(self.route.chunk);
        let mut chunks = [const { None }; CREST];
        for (l, chunk) in chunks.iter_mut().enumerate().take(layers) {
            let done = (wave + l + 1).checked_sub(layers).filter(|&done| done < all);
            *chunk = done.map(|done| self.chunk(l, all - 1 - done)).transpose()?;
        }
        let [dropped, before, handed, dz, u, row, d_last, after, d_cell, sums, powers, handed_power] =
            workspace.each_mut().map(CpuBuffer::as_mut_slice);
        let Asked { d_x, d_initial: [d_h, d_c] } = asked;
        let starts = self.lists()?.map(|list| list.map(|field| field.start));
        let [of_after, of_d_cell, of_sums, _, of_state] = starts.each_ref().map(|starts| &starts[..layers]);
        // All of it for the first layer.
        let mut of_d_x = [d_x.len(); CREST];
        of_d_x[0] = 0;
        let own =
            [dropped, before, dz, u, row, d_last, powers].map(|workspace| Rows::each(workspace, layers, 0));
        let [dropped, before, dz, u, row, d_last, powers] = own;
        let turn = wave % layers + 1;
        let [handed, handed_power] = [handed, handed_power].map(|travels| Rows::each(travels, layers, turn));
        let carried =
            [(after, of_after), (d_cell, of_d_cell), (sums, of_sums), (d_h, of_state), (d_c, of_state)];
        let [after, d_cell, sums, d_h, d_c] = carried.map(|(data, at)| Rows::pieces(data, at));
        let d_x = Rows::pieces(d_x, &of_d_x[..layers]);
        let buffers = [
            dropped,
            before,
            handed,
            dz,
            u,
            row,
            d_last,
            after,
            d_cell,
            sums,
            powers,
            handed_power,
            d_h,
            d_c,
            d_x,
        ];
        let crew = Crew::of(self.cpu, layers);
        self.cpu.team.blocks(buffers, |l, buffers| {
            let Some(chunk) = &chunks[l] else { return };
            let [dropped, before, handed, dz, u, row, d_last, rest @ ..] = buffers;
            let [after, d_cell, sums, power, handed_power, d_h, d_c, d_x] = rest;
            let task = Task {
                dropped: dropped.only(),
                before: before.only(),
                d_out: handed.only(),
                dz: dz.only(),
                u: u.only(),
                factors: row.only(),
                d_last: d_last.only(),
                after: after.only(),
                d_cell: d_cell.shaped([1, rows, chunk.layer.units]).only(),
                sums: sums.shaped([1, 4 * chunk.layer.units, chunk.layer.depth]).only(),
                powers: [&mut power.only()[0], &mut handed_power.only()[0]],
                d_initial: [d_h.only(), d_c.only()],
            };
            let width = if chunk.wants_d_x { chunk.layer.input } else { 0 };
            chunk.run(0, task, &mut d_x.shaped([steps, rows, width]), crew);
        });
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
        let added = blocks * 4 * gate;
        self.cpu.team.moves(
            added,
            buffers,
            |_, [mut sums, mut d_ih, mut d_hh, mut d_first, mut d_second]| {
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
            },
        );
        Ok(())
    }
}

/// What a task writes. Most of it has room for more than is needed.
struct Task<'a, F> {
    /// Inputs after dropout.
    dropped: &'a mut [F],
    /// The padded initial cell state.
    before: &'a mut [F],
    /// The gradient of the layer's output on the way in, of its input on the way out.
    d_out: &'a mut [F],
    /// Gradients of pre-activations, and factors of the gradient of the weights; one row of these.
    dz: &'a mut [F],
    u: &'a mut [F],
    factors: &'a mut [F],
    /// The padded gradient of the last hidden state.
    d_last: &'a mut [F],
    after: &'a mut [F],
    d_cell: &'a mut [F],
    sums: &'a mut [F],
    /// Exponents of what the layer keeps, and of `d_out`.
    powers: [&'a mut F; 2],
    /// Gradients of the initial state, where they are asked for.
    d_initial: [&'a mut [F]; 2],
}

impl<F: Float> Chunk<'_, F> {
    /// A task: batch rows from `row` on, of all the steps.
    fn run(&self, row: usize, task: Task<'_, F>, d_x: &mut Block<'_, F>, crew: Crew<'_>) {
        let Self { pass, l, ref layer, first, count, .. } = *self;
        let Pass { plan, draw, x, tape, .. } = *pass;
        let Layer { input: width, hidden, units, columns, depth, .. } = *layer;
        let Task { dropped, before, d_out, dz, u, factors, d_last, after, d_cell, sums, powers, d_initial } =
            task;
        let (steps, rows) = (plan.shape.steps, d_cell.len() / units);
        let (part, is_last) = (Part { first, row, rows }, first + count == steps);
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
        let initial = self.initial.map(|state| state.map(|s| &s[part.row * hidden..]));
        if let Some([_, c]) = initial {
            pad(c, hidden, units, before);
        }
        let after = &mut after[..4 * rows * units];
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
            for (from, to) in [&*d_last, d_cell].into_iter().zip(d_initial) {
                unpad(from, units, hidden, to);
                scale(to, -power);
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
        let input = Input::of(plan, l, [first, row], [x, states]);
        let input = input.after_dropout(plan, draw, l, (part, count), dropped);
        let factors = &mut factors[..depth];
        for slot in 0..count {
            let of_step = |data, stride, len| Columns { data, stride, len };
            let hidden_state = match (first + slot, initial) {
                (0, None) => of_step(&[], 0, hidden),
                (0, Some([h, _])) => of_step(h, hidden, hidden),
                (t, _) => of_step(&states[place.hidden + own(t - 1)..], units, hidden),
            };
            let of_rows = [of_step(input.at(slot), input.stride(), width), hidden_state];
            pack_factors(of_rows, crew.simd, factors, &mut u[slot * depth * rows..][..depth * rows]);
        }
        let u_len = count * depth * rows;
        scale(&mut u[..u_len], -of_u);
        WeightGradient { slots: count, rows, depth, dz, u, sums, adds: !is_last }.run(crew);
    }

    /// Brings the gradients that come from later steps, of cell state and pre-activations, and those from above to
    /// one power of two, which is returned; `own` says which the former have, `handed` which the latter.
    fn share_power(&self, is_last: bool, [own, handed]: [&mut F; 2], gradients: [&mut [F]; 3]) -> i32 {
        let is_top = self.l + 1 == self.pass.plan.spec.layers.len();
        let carried = if is_last { 0 } else { own.to_f64() as i32 };
        let above = if is_top { 0 } else { handed.to_f64() as i32 };
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
        *own = F::from_f64(f64::from(power));
        *handed = *own;
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

//! Whole stacks of LSTM layers, step by step.
//!
//! Hochreiter and Schmidhuber 1997 with the forget gate of Gers 2000, in PyTorch's notation. Per layer
//! with input `u_t`, previous states `h_{t-1}`, `c_{t-1}`:
//!
//! ```text
//! z_t = W_ih u_t + b_ih + W_hh h_{t-1} + b_hh          [B, 4H], gates i f g o; z_f gets forget_bias
//! i = sigmoid(z_i)   f = sigmoid(z_f)   g = tanh(z_g)   o = sigmoid(z_o)
//! c_t = f c_{t-1} + i g
//! h_t = o tanh(c_t)
//! ```
//!
//! Backward, with `dh_t` from above and from step `t+1`, `dc_t` from step `t+1`:
//!
//! ```text
//! dc_t += dh_t o (1 - tanh²(c_t))
//! dz_o = dh_t tanh(c_t) o (1-o)      dz_i = dc_t g i (1-i)
//! dz_f = dc_t c_{t-1} f (1-f)        dz_g = dc_t i (1-g²)
//! dc_{t-1} = dc_t f                  dh_{t-1} = dz_t W_hh
//! dW_ih += dz_tᵀ u_t                 dW_hh += dz_tᵀ h_{t-1}      db += sum over rows of dz_t
//! ```

use crate::philox::{Place, Site};
use crate::{
    Arena, Backend, Backward, BatchShape, Binary, Distribution, Draw, Error, Float, Forward, GemmArgs,
    KernelChoice, Mode, Operand, Packed, ParamEntry, Plan, Result, Scratch, Span, StackSpec, State,
    TapeLayout, Unary, View, ViewMut, Weights, check,
};

/// Default of [`Backend::plan`]: the plain tape, nothing packed.
///
/// # Errors
/// As [`Backend::plan`].
pub fn plan(spec: &StackSpec, shape: &BatchShape, mode: Mode, choice: KernelChoice) -> Result<Plan> {
    Plan::check_supported("plan", spec, shape)?;
    if choice == KernelChoice::Fused {
        return Err(Error::Unsupported { op: "plan", option: "a fused kernel" });
    }
    if choice == KernelChoice::Persistent {
        return Err(Error::Unsupported { op: "plan", option: "a persistent kernel" });
    }
    let widest =
        |of: fn(&StackSpec, usize) -> usize| (0..spec.layers.len()).map(|l| of(spec, l)).max().unwrap_or(0);
    let sequence = shape.steps * shape.rows;
    let width = widest(|s, l| s.input_of(l).max(s.layers[l].output()));
    let hidden = widest(|s, l| s.layers[l].hidden);
    let forward = [sequence * width, sequence * 4 * hidden, shape.rows * hidden, sequence * width];
    let backward = [sequence * width, shape.rows * hidden, shape.rows * hidden];
    let mut workspace = forward.to_vec();
    if mode == Mode::Train {
        workspace.extend(backward);
    }
    Ok(Plan {
        spec: spec.clone(),
        shape: shape.clone(),
        mode,
        kernel: KernelChoice::Reference,
        params: spec.param_layout(""),
        tape: TapeLayout::standard(spec, shape, mode),
        consumes_gates: false,
        packed: 0,
        workspace,
    })
}

/// Default of [`Backend::prepare`]: nothing to reorder.
///
/// # Errors
/// As [`Backend::prepare`].
pub fn prepare<B: Backend, F: Float>(
    plan: &Plan,
    params: &Arena<B, F>,
    packed: &mut Packed<B, F>,
) -> Result<()> {
    check::prepare(plan, params, packed)?;
    packed.mark(params);
    Ok(())
}

/// Parameters of one layer.
struct LayerParams<'a> {
    w_ih: &'a ParamEntry,
    w_hh: &'a ParamEntry,
    biases: Vec<&'a ParamEntry>,
}

impl<'a> LayerParams<'a> {
    fn find(plan: &'a Plan, l: usize) -> Result<Self> {
        let get = |name: &str| plan.params.get(&format!("{name}_l{l}"));
        let missing = || Error::Invalid {
            what: "plan",
            value: format!("a layout without the weights of layer {l}"),
            must: "made by Backend::plan",
        };
        Ok(Self {
            w_ih: get("weight_ih").ok_or_else(missing)?,
            w_hh: get("weight_hh").ok_or_else(missing)?,
            biases: ["bias_ih", "bias_hh"].into_iter().filter_map(get).collect(),
        })
    }
}

/// The answer to a plan of another kernel, which has other workspaces.
fn other_kernel(op: &'static str, plan: &Plan) -> Error {
    Error::Invalid {
        what: "plan",
        value: format!("one for {:?} ({op})", plan.kernel),
        must: "the reference's",
    }
}

/// Drops elements of `y [T B, N]` in place with the mask of one site, which `mask` receives.
fn dropout<B: Backend, F: Float>(
    backend: &B,
    plan: &Plan,
    draw: Option<Draw<'_, B>>,
    (site, layer, probability): (Site, usize, f64),
    (y, y_span): (&mut B::Buffer<F>, Span),
    mask: &mut B::Buffer<F>,
) -> Result<()> {
    let Some(draw) = draw.filter(|_| probability > 0.0 && plan.mode == Mode::Train) else {
        return Ok(());
    };
    let span = Span::dense(0, y_span.rows, y_span.cols);
    let place = Place { site, layer, reverse: false };
    let distribution = Distribution::Mask { keep: 1.0 - probability };
    backend.random(distribution, draw, place, 0, ViewMut::new(mask, span))?;
    let (old, factor) = (Operand::Here(y_span), Operand::of(&*mask, span));
    backend.zip(Binary::Mul, old, factor, ViewMut::new(y, y_span))
}

/// Where dropout acts between the hidden state of layer `l - 1` (or the input) and layer `l`.
fn input_sites(spec: &StackSpec, l: usize) -> [(Site, usize, f64); 3] {
    let (below, between) = match l {
        0 => ((Site::Output, 0, 0.0), 0.0),
        _ => ((Site::Output, l - 1, spec.layers[l - 1].dropout_output), spec.dropout_between),
    };
    let own = spec.layers.get(l).map_or(0.0, |layer| layer.dropout_input);
    [below, (Site::Between, l, if l < spec.layers.len() { between } else { 0.0 }), (Site::Input, l, own)]
}

/// Default of [`Backend::stack_forward`]: per layer one product for all inputs, then `T` recurrent ones.
///
/// # Errors
/// As [`Backend::stack_forward`].
pub fn stack_forward<B: Backend, F: Float>(
    backend: &B,
    plan: &Plan,
    args: Forward<'_, B, F>,
    scratch: &mut Scratch<B, F>,
) -> Result<()> {
    check::stack_forward(plan, &args, scratch)?;
    let Forward { weights, draw, x, initial, y, mut last } = args;
    let (spec, steps, rows) = (&plan.spec, plan.shape.steps, plan.shape.rows);
    let params = weights.params.values();
    let tape = &mut scratch.tape;
    let [u, z, term, mask, ..] = scratch.workspace.as_mut_slice() else {
        return Err(other_kernel("stack_forward", plan));
    };

    let input = Span::dense(0, steps * rows, spec.input);
    backend.copy(View::new(x, input), ViewMut::new(u, input))?;
    for (l, layer) in spec.layers.iter().enumerate() {
        let names = LayerParams::find(plan, l)?;
        let hidden = layer.hidden;
        let u_all = Span::dense(0, steps * rows, spec.input_of(l));
        for site in input_sites(spec, l) {
            dropout(backend, plan, draw, site, (u, u_all), mask)?;
        }
        let z_all = Span::dense(0, steps * rows, 4 * hidden);
        let w_ih = View::new(params, names.w_ih.span().transposed());
        backend.gemm(&GemmArgs::SET, View::new(u, u_all), w_ih, ViewMut::new(z, z_all))?;
        for bias in &names.biases {
            backend.add_row(View::new(params, bias.span()), ViewMut::new(z, z_all))?;
        }
        if layer.cell.forget_bias != 0.0 {
            let forget = z_all.cols_at(hidden, hidden);
            let shift = Unary::Affine { scale: 1.0, shift: layer.cell.forget_bias };
            backend.map(shift, Operand::Here(forget), ViewMut::new(z, forget))?;
        }

        let (h_at, c_at) = spec.state_offset(l, rows);
        let state = Span::dense(0, rows, hidden);
        let h_span = Span { offset: h_at, ..state };
        let c_span = Span { offset: c_at, ..state };
        let out = Span::dense(0, steps * rows, layer.output());
        for t in 0..steps {
            let z_t = z_all.rows_at(t * rows, rows);
            let w_hh = View::new(params, names.w_hh.span().transposed());
            if t > 0 {
                let previous = View::new(&tape.hidden, plan.tape.hidden(l, t - 1));
                backend.gemm(&GemmArgs::ADD, previous, w_hh, ViewMut::new(z, z_t))?;
            } else if let Some(initial) = initial {
                let previous = View::new(&initial.h, h_span);
                backend.gemm(&GemmArgs::ADD, previous, w_hh, ViewMut::new(z, z_t))?;
            }
            for (k, activation) in
                [Unary::Sigmoid, Unary::Sigmoid, Unary::Tanh, Unary::Sigmoid].iter().enumerate()
            {
                let from = Operand::of(&*z, z_t.cols_at(k * hidden, hidden));
                backend.map(*activation, from, ViewMut::new(&mut tape.gates, plan.tape.gate(l, t, k)))?;
            }
            let gate = |k| Operand::of(&tape.gates, plan.tape.gate(l, t, k));
            let c_t = plan.tape.cell(l, t);
            match (t, initial) {
                (0, None) => backend.fill(F::ZERO, ViewMut::new(&mut tape.cell, c_t))?,
                (0, Some(initial)) => {
                    let previous = Operand::of(&initial.c, c_span);
                    backend.zip(Binary::Mul, gate(1), previous, ViewMut::new(&mut tape.cell, c_t))?;
                }
                _ => {
                    let previous = Operand::Here(plan.tape.cell(l, t - 1));
                    backend.zip(Binary::Mul, gate(1), previous, ViewMut::new(&mut tape.cell, c_t))?;
                }
            }
            backend.zip(Binary::Mul, gate(0), gate(2), ViewMut::new(term, state))?;
            let (kept, added) = (Operand::Here(c_t), Operand::of(&*term, state));
            backend.zip(Binary::Add, kept, added, ViewMut::new(&mut tape.cell, c_t))?;
            backend.map(Unary::Tanh, Operand::of(&tape.cell, c_t), ViewMut::new(term, state))?;
            let h_t = plan.tape.hidden(l, t);
            let squashed = Operand::of(&*term, state);
            backend.zip(Binary::Mul, gate(3), squashed, ViewMut::new(&mut tape.hidden, h_t))?;
            // The layer's input has been used up: its place takes the layer's output.
            let above = out.rows_at(t * rows, rows);
            backend.copy(View::new(&tape.hidden, h_t), ViewMut::new(u, above))?;
        }
        if let Some(last) = last.as_deref_mut() {
            let h_last = View::new(&tape.hidden, plan.tape.hidden(l, steps - 1));
            backend.copy(h_last, ViewMut::new(&mut last.h, h_span))?;
            let c_last = View::new(&tape.cell, plan.tape.cell(l, steps - 1));
            backend.copy(c_last, ViewMut::new(&mut last.c, c_span))?;
        }
    }
    let out = Span::dense(0, steps * rows, spec.output());
    for site in input_sites(spec, spec.layers.len()) {
        dropout(backend, plan, draw, site, (u, out), mask)?;
    }
    backend.copy(View::new(u, out), ViewMut::new(y, out))
}

/// Default of [`Backend::stack_backward`].
///
/// # Errors
/// As [`Backend::stack_backward`].
pub fn stack_backward<B: Backend, F: Float>(
    backend: &B,
    plan: &Plan,
    args: Backward<'_, B, F>,
    scratch: &mut Scratch<B, F>,
) -> Result<()> {
    check::stack_backward(plan, &args, scratch)?;
    let Backward { weights, draw, x, initial, d_y, d_last, d_params, d_x, mut d_initial } = args;
    let (spec, steps, rows) = (&plan.spec, plan.shape.steps, plan.shape.rows);
    let params = weights.params.values();
    let tape = &scratch.tape;
    let [u, dz, term, mask, d_u, dc, factor] = scratch.workspace.as_mut_slice() else {
        return Err(other_kernel("stack_backward", plan));
    };

    // `d_u` is the gradient of a layer's output on the way in and of its input on the way out.
    let out = Span::dense(0, steps * rows, spec.output());
    match d_y {
        Some(d_y) => backend.copy(View::new(d_y, out), ViewMut::new(d_u, out))?,
        None => backend.fill(F::ZERO, ViewMut::new(d_u, out))?,
    }
    for site in input_sites(spec, spec.layers.len()) {
        dropout(backend, plan, draw, site, (d_u, out), mask)?;
    }
    for (l, layer) in spec.layers.iter().enumerate().rev() {
        let names = LayerParams::find(plan, l)?;
        let hidden = layer.hidden;
        let (h_at, c_at) = spec.state_offset(l, rows);
        let state = Span::dense(0, rows, hidden);
        let (h_span, c_span) = (Span { offset: h_at, ..state }, Span { offset: c_at, ..state });
        let dz_all = Span::dense(0, steps * rows, 4 * hidden);
        let dh_all = Span::dense(0, steps * rows, hidden);

        match d_last {
            Some(d_last) => {
                backend.copy(View::new(&d_last.c, c_span), ViewMut::new(dc, state))?;
                let end = dh_all.rows_at((steps - 1) * rows, rows);
                let from_last = Operand::of(&d_last.h, h_span);
                backend.zip(Binary::Add, Operand::Here(end), from_last, ViewMut::new(d_u, end))?;
            }
            None => backend.fill(F::ZERO, ViewMut::new(dc, state))?,
        }
        for t in (0..steps).rev() {
            let dh_t = dh_all.rows_at(t * rows, rows);
            if t + 1 < steps {
                let after = View::new(&*dz, dz_all.rows_at((t + 1) * rows, rows));
                let w_hh = View::new(params, names.w_hh.span());
                backend.gemm(&GemmArgs::ADD, after, w_hh, ViewMut::new(d_u, dh_t))?;
            }
            let gate = |k| Operand::of(&tape.gates, plan.tape.gate(l, t, k));
            let dz_t = |k| dz_all.rows_at(t * rows, rows).cols_at(k * hidden, hidden);
            let here = || Operand::Here(state);
            let one_minus = Unary::Affine { scale: -1.0, shift: 1.0 };

            // term = tanh(c_t); dz_o = dh tanh(c) before its sigmoid's slope
            backend.map(
                Unary::Tanh,
                Operand::of(&tape.cell, plan.tape.cell(l, t)),
                ViewMut::new(term, state),
            )?;
            multiply(backend, Operand::of(&*d_u, dh_t), Operand::of(&*term, state), dz, dz_t(3))?;
            // dc += dh o (1 - tanh²)
            backend.map(Unary::Square, here(), ViewMut::new(term, state))?;
            backend.map(one_minus, here(), ViewMut::new(term, state))?;
            multiply(backend, here(), gate(3), term, state)?;
            multiply(backend, here(), Operand::of(&*d_u, dh_t), term, state)?;
            backend.zip(Binary::Add, here(), Operand::of(&*term, state), ViewMut::new(dc, state))?;
            // gradients of the other gates before their slopes
            multiply(backend, Operand::of(&*dc, state), gate(2), dz, dz_t(0))?;
            multiply(backend, Operand::of(&*dc, state), gate(0), dz, dz_t(2))?;
            match (t, initial) {
                (0, None) => backend.fill(F::ZERO, ViewMut::new(dz, dz_t(1)))?,
                (0, Some(initial)) => {
                    multiply(
                        backend,
                        Operand::of(&*dc, state),
                        Operand::of(&initial.c, c_span),
                        dz,
                        dz_t(1),
                    )?;
                }
                _ => {
                    let previous = Operand::of(&tape.cell, plan.tape.cell(l, t - 1));
                    multiply(backend, Operand::of(&*dc, state), previous, dz, dz_t(1))?;
                }
            }
            multiply(backend, here(), gate(1), dc, state)?;
            for k in 0..4 {
                // slope: s (1 - s) of a sigmoid, 1 - g² of tanh
                let square = if k == 2 { Unary::Square } else { Unary::Affine { scale: 1.0, shift: 0.0 } };
                backend.map(square, gate(k), ViewMut::new(factor, state))?;
                backend.map(one_minus, here(), ViewMut::new(factor, state))?;
                if k != 2 {
                    multiply(backend, here(), gate(k), factor, state)?;
                }
                multiply(backend, Operand::Here(dz_t(k)), Operand::of(&*factor, state), dz, dz_t(k))?;
            }
            let dz_rows = View::new(&*dz, dz_all.rows_at(t * rows, rows).transposed());
            let previous = match (t, initial) {
                (0, None) => None,
                (0, Some(initial)) => Some(View::new(&initial.h, h_span)),
                _ => Some(View::new(&tape.hidden, plan.tape.hidden(l, t - 1))),
            };
            if let Some(previous) = previous {
                backend.gemm(&GemmArgs::ADD, dz_rows, previous, ViewMut::new(d_params, names.w_hh.span()))?;
            }
        }
        for bias in &names.biases {
            backend.sum_rows(View::new(dz, dz_all), ViewMut::new(d_params, bias.span()))?;
        }
        if let Some(d_initial) = d_initial.as_deref_mut() {
            let first = View::new(&*dz, dz_all.rows_at(0, rows));
            let w_hh = View::new(params, names.w_hh.span());
            backend.gemm(&GemmArgs::SET, first, w_hh, ViewMut::new(&mut d_initial.h, h_span))?;
            backend.copy(View::new(&*dc, state), ViewMut::new(&mut d_initial.c, c_span))?;
        }

        let u_all = Span::dense(0, steps * rows, spec.input_of(l));
        if l == 0 {
            backend.copy(View::new(x, u_all), ViewMut::new(u, u_all))?;
        } else {
            for t in 0..steps {
                let below = View::new(&tape.hidden, plan.tape.hidden(l - 1, t));
                backend.copy(below, ViewMut::new(u, u_all.rows_at(t * rows, rows)))?;
            }
        }
        for site in input_sites(spec, l) {
            dropout(backend, plan, draw, site, (u, u_all), mask)?;
        }
        let dz_columns = View::new(&*dz, dz_all.transposed());
        backend.gemm(
            &GemmArgs::ADD,
            dz_columns,
            View::new(&*u, u_all),
            ViewMut::new(d_params, names.w_ih.span()),
        )?;
        if l > 0 || d_x.is_some() {
            let w_ih = View::new(params, names.w_ih.span());
            backend.gemm(&GemmArgs::SET, View::new(&*dz, dz_all), w_ih, ViewMut::new(d_u, u_all))?;
            for site in input_sites(spec, l) {
                dropout(backend, plan, draw, site, (d_u, u_all), mask)?;
            }
        }
    }
    match d_x {
        Some(d_x) => {
            let input = Span::dense(0, steps * rows, spec.input);
            backend.copy(View::new(&*d_u, input), ViewMut::new(d_x, input))
        }
        None => Ok(()),
    }
}

/// `to = a b`.
fn multiply<B: Backend, F: Float>(
    backend: &B,
    a: Operand<'_, B, F>,
    b: Operand<'_, B, F>,
    to: &mut B::Buffer<F>,
    span: Span,
) -> Result<()> {
    backend.zip(Binary::Mul, a, b, ViewMut::new(to, span))
}

/// Default of [`Backend::step`]: a forward pass over one step.
///
/// # Errors
/// As [`Backend::step`].
pub fn step<B: Backend, F: Float>(
    backend: &B,
    plan: &Plan,
    weights: Weights<'_, B, F>,
    x: &B::Buffer<F>,
    state: &mut State<B, F>,
    y: &mut B::Buffer<F>,
    scratch: &mut Scratch<B, F>,
) -> Result<()> {
    check::step(plan, &weights, x, state, y, scratch)?;
    let mut last = State::zeros(backend, &plan.spec, plan.shape.rows)?;
    let args = Forward { weights, draw: None, x, initial: Some(state), y, last: Some(&mut last) };
    backend.stack_forward(plan, args, scratch)?;
    *state = last;
    Ok(())
}

//! Checks of operands: one function per operation of the contract, shared by all backends.
//!
//! A backend calls the function named like the operation before it writes anything. What passes can be
//! computed without a further bounds check: no element lies outside its buffer, no two elements of an
//! output are the same, and no input overlaps the output in part.

use crate::philox::Place;
use crate::{
    Arena, Backend, Backward, Control, Distribution, Draw, Element, Error, Float, Forward, GemmArgs,
    LinearGrad, LossArgs, Mode, Operand, Packed, Plan, Result, Rule, Scratch, Span, State, Storage, View,
    ViewMut, Weights, control_slot,
};

/// Operands of [`Backend::upload`] and [`Backend::download`]: `count` elements from `offset` on in a
/// buffer of `len`.
///
/// # Errors
/// [`Error::Bounds`].
pub fn transfer(op: &'static str, count: usize, offset: usize, len: usize) -> Result<()> {
    Error::check_bounds(op, "range", offset.saturating_add(count), len)
}

/// Operands of [`Backend::copy`].
///
/// # Errors
/// [`Error::Shape`], [`Error::Bounds`], [`Error::Invalid`] for an output that overlaps itself; so for
/// all below.
pub fn copy<B: Backend, E: Element>(from: &View<'_, B, E>, to: &ViewMut<'_, B, E>) -> Result<()> {
    const OP: &str = "copy";
    from.check(OP, "from", to.span.shape())?;
    output(OP, "to", to)
}

/// Operands of [`Backend::fill`].
///
/// # Errors
/// As [`copy`].
pub fn fill<B: Backend, E: Element>(to: &ViewMut<'_, B, E>) -> Result<()> {
    output("fill", "to", to)
}

/// Operands of [`Backend::gemm`].
///
/// # Errors
/// As [`copy`]; [`Error::Invalid`] for an operand without a stride of 1 or a shared `C`.
pub fn gemm<B: Backend, F: Float>(
    args: &GemmArgs,
    a: &View<'_, B, F>,
    b: &View<'_, B, F>,
    c: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "gemm";
    let [m, n] = c.span.shape();
    let k = a.span.cols;
    Error::check_shape(OP, "a", &[m, k], &a.span.shape())?;
    Error::check_shape(OP, "b", &[k, n], &b.span.shape())?;
    let operands =
        [("a", a.span, a.buffer.len()), ("b", b.span, b.buffer.len()), ("c", c.span, c.buffer.len())];
    for ((what, span, len), stride) in operands.into_iter().zip(args.batch_strides) {
        if span.row_stride != 1 && span.col_stride != 1 {
            let value = format!("{} by {}", span.row_stride, span.col_stride);
            return Err(Error::Invalid { what: "strides of a matrix", value, must: "1 in one direction" });
        }
        let end = match (span.end(), args.batch) {
            (0, _) | (_, 0) => 0,
            (end, batch) => (batch - 1).checked_mul(stride).map_or(usize::MAX, |n| n.saturating_add(end)),
        };
        Error::check_bounds(OP, what, end, len)?;
    }
    let [.., c_stride] = args.batch_strides;
    distinct(OP, &mut [(m, c.span.row_stride), (n, c.span.col_stride), (args.batch, c_stride)])
}

/// Operands of [`Backend::map`].
///
/// # Errors
/// As [`copy`]; [`Error::Invalid`] for an input that overlaps the output in part.
pub fn map<B: Backend, F: Float>(x: &Operand<'_, B, F>, y: &ViewMut<'_, B, F>) -> Result<()> {
    const OP: &str = "map";
    output(OP, "y", y)?;
    operand(OP, "x", x, y)
}

/// Operands of [`Backend::zip`].
///
/// # Errors
/// As [`map`].
pub fn zip<B: Backend, F: Float>(
    a: &Operand<'_, B, F>,
    b: &Operand<'_, B, F>,
    y: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "zip";
    output(OP, "y", y)?;
    operand(OP, "a", a, y)?;
    operand(OP, "b", b, y)
}

/// Operands of [`Backend::add_row`].
///
/// # Errors
/// As [`copy`].
pub fn add_row<B: Backend, F: Float>(row: &View<'_, B, F>, y: &ViewMut<'_, B, F>) -> Result<()> {
    const OP: &str = "add_row";
    row.check(OP, "row", [1, y.span.cols])?;
    output(OP, "y", y)
}

/// Operands of [`Backend::sum_rows`].
///
/// # Errors
/// As [`copy`].
pub fn sum_rows<B: Backend, F: Float>(x: &View<'_, B, F>, y: &ViewMut<'_, B, F>) -> Result<()> {
    const OP: &str = "sum_rows";
    Error::check_shape(OP, "y", &[1, x.span.cols], &y.span.shape())?;
    x.check(OP, "x", x.span.shape())?;
    output(OP, "y", y)
}

/// Operands of [`Backend::reduce`].
///
/// # Errors
/// As [`copy`].
pub fn reduce<B: Backend, F: Float>(x: &View<'_, B, F>, out: &B::Buffer<f64>, index: usize) -> Result<()> {
    const OP: &str = "reduce";
    x.check(OP, "x", x.span.shape())?;
    Error::check_bounds(OP, "out", index.saturating_add(1), out.len())
}

/// Operands of [`Backend::gather_rows`], except the values of `rows`: see [`rows`].
///
/// # Errors
/// As [`copy`].
pub fn gather_rows<B: Backend, F: Float>(
    from: &View<'_, B, F>,
    rows: &B::Buffer<u32>,
    to: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "gather_rows";
    Error::check_shape(OP, "rows", &[to.span.rows], &[rows.len()])?;
    from.check(OP, "from", [from.span.rows, to.span.cols])?;
    output(OP, "to", to)
}

/// Operands of [`Backend::scatter_add_rows`], except the values of `rows`: see [`rows`].
///
/// # Errors
/// As [`copy`].
pub fn scatter_add_rows<B: Backend, F: Float>(
    from: &View<'_, B, F>,
    rows: &B::Buffer<u32>,
    to: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "scatter_add_rows";
    Error::check_shape(OP, "rows", &[from.span.rows], &[rows.len()])?;
    from.check(OP, "from", [from.span.rows, to.span.cols])?;
    output(OP, "to", to)
}

/// Values of the row numbers of a gather or scatter, where a backend can see them; `count` rows exist.
///
/// # Errors
/// [`Error::Index`] with the first one that does not exist.
pub fn rows(op: &'static str, rows: &[u32], count: usize) -> Result<()> {
    match rows.iter().find(|&&row| row as usize >= count) {
        Some(&row) => Err(Error::Index { op, index: row as usize, rows: count }),
        None => Ok(()),
    }
}

/// Operands of [`Backend::random`].
///
/// # Errors
/// As [`copy`]; [`Error::Invalid`] for a distribution, layer or step that does not exist.
pub fn random<B: Backend, F: Float>(
    distribution: Distribution,
    draw: &Draw<'_, B>,
    place: Place,
    first_step: usize,
    y: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "random";
    let invalid = |what, value: String, must| Err(Error::Invalid { what, value, must });
    match distribution {
        Distribution::Mask { keep } if !(keep > 0.0 && keep <= 1.0) => {
            return invalid("probability of staying", keep.to_string(), "above 0 and at most 1");
        }
        Distribution::Normal { std } if !(std >= 0.0 && std.is_finite()) => {
            return invalid("standard deviation", std.to_string(), "finite and not negative");
        }
        _ => {}
    }
    if place.layer >= 256 {
        return invalid("layer", place.layer.to_string(), "below 256");
    }
    output(OP, "y", y)?;
    let [rows, cols] = y.span.shape();
    if cols > 1 << 20 {
        return invalid("columns of random numbers", cols.to_string(), "at most 1048576");
    }
    Error::check_shape(OP, "step", &[1], &[draw.step.len()])?;
    let samples = draw.samples.len();
    if rows.checked_rem(samples) != Some(0) {
        return Err(Error::Shape { op: OP, what: "samples", expected: vec![rows], got: vec![samples] });
    }
    match first_step.checked_add(rows / samples) {
        Some(end) if end <= u32::MAX as usize => Ok(()),
        _ => invalid("first step", first_step.to_string(), "below 2^32 with all steps after it"),
    }
}

/// Operands of [`Backend::prepare`].
///
/// # Errors
/// [`Error::Bounds`].
pub fn prepare<B: Backend, F: Float>(plan: &Plan, params: &Arena<B, F>, packed: &Packed<B, F>) -> Result<()> {
    const OP: &str = "prepare";
    Error::check_bounds(OP, "params", plan.params.len(), params.values().len())?;
    Error::check_bounds(OP, "packed weights", plan.packed, packed.len())
}

/// Operands of [`Backend::stack_forward`].
///
/// # Errors
/// [`Error::Shape`], [`Error::Bounds`], [`Error::Stale`].
pub fn stack_forward<B: Backend, F: Float>(
    plan: &Plan,
    args: &Forward<'_, B, F>,
    scratch: &Scratch<B, F>,
) -> Result<()> {
    const OP: &str = "stack_forward";
    pass(OP, plan, &args.weights, args.draw.as_ref(), args.x, scratch)?;
    state(OP, plan, args.initial)?;
    state(OP, plan, args.last.as_deref())?;
    let out = plan.shape.steps * plan.shape.rows * plan.spec.output();
    Error::check_shape(OP, "y", &[out], &[args.y.len()])
}

/// Operands of [`Backend::stack_backward`].
///
/// # Errors
/// As [`stack_forward`]; [`Error::Invalid`] for a plan that is not for training.
pub fn stack_backward<B: Backend, F: Float>(
    plan: &Plan,
    args: &Backward<'_, B, F>,
    scratch: &Scratch<B, F>,
) -> Result<()> {
    const OP: &str = "stack_backward";
    if plan.mode != Mode::Train {
        return Err(Error::Invalid {
            what: "mode",
            value: "Infer".into(),
            must: "Train for a backward pass",
        });
    }
    pass(OP, plan, &args.weights, args.draw.as_ref(), args.x, scratch)?;
    state(OP, plan, args.initial)?;
    state(OP, plan, args.d_last)?;
    state(OP, plan, args.d_initial.as_deref())?;
    Error::check_shape(OP, "d_params", &[args.weights.params.values().len()], &[args.d_params.len()])?;
    if let Some(d_y) = args.d_y {
        let out = plan.shape.steps * plan.shape.rows * plan.spec.output();
        Error::check_shape(OP, "d_y", &[out], &[d_y.len()])?;
    }
    match &args.d_x {
        Some(d_x) => Error::check_shape(OP, "d_x", &[args.x.len()], &[d_x.len()]),
        None => Ok(()),
    }
}

/// Operands of [`Backend::step`].
///
/// # Errors
/// As [`stack_forward`]; [`Error::Invalid`] for a plan that is not for one step of inference.
pub fn step<B: Backend, F: Float>(
    plan: &Plan,
    weights: &Weights<'_, B, F>,
    x: &B::Buffer<F>,
    carried: &State<B, F>,
    y: &B::Buffer<F>,
    scratch: &Scratch<B, F>,
) -> Result<()> {
    const OP: &str = "step";
    if plan.shape.steps != 1 || plan.mode != Mode::Infer {
        let value = format!("for {} steps in {:?} mode", plan.shape.steps, plan.mode);
        return Err(Error::Invalid { what: "plan", value, must: "for one step in Infer mode" });
    }
    pass(OP, plan, weights, None, x, scratch)?;
    state(OP, plan, Some(carried))?;
    Error::check_shape(OP, "y", &[plan.shape.rows * plan.spec.output()], &[y.len()])
}

/// What forward and backward share.
fn pass<B: Backend, F: Float>(
    op: &'static str,
    plan: &Plan,
    weights: &Weights<'_, B, F>,
    draw: Option<&Draw<'_, B>>,
    x: &B::Buffer<F>,
    scratch: &Scratch<B, F>,
) -> Result<()> {
    // A plan can be altered: no size below may wrap.
    Plan::check_supported(op, &plan.spec, &plan.shape)?;
    let (steps, rows) = (plan.shape.steps, plan.shape.rows);
    Error::check_bounds(op, "params", plan.params.len(), weights.params.values().len())?;
    Error::check_bounds(op, "packed weights", plan.packed, weights.packed.len())?;
    weights.packed.check(op, weights.params)?;
    Error::check_shape(op, "x", &[steps * rows * plan.spec.input], &[x.len()])?;
    if let Some(draw) = draw {
        Error::check_shape(op, "samples", &[rows], &[draw.samples.len()])?;
        Error::check_shape(op, "step", &[1], &[draw.step.len()])?;
    }
    let (layout, tape) = (&plan.tape, &scratch.tape);
    Error::check_bounds(op, "tape of gates", layout.gates_len, tape.gates.len())?;
    Error::check_bounds(op, "tape of cell states", layout.cell_len, tape.cell.len())?;
    Error::check_bounds(op, "tape of hidden states", layout.hidden_len, tape.hidden.len())?;
    Error::check_shape(op, "workspaces", &[plan.workspace.len()], &[scratch.workspace.len()])?;
    for (&wanted, buffer) in plan.workspace.iter().zip(&scratch.workspace) {
        Error::check_shape(op, "workspace", &[wanted], &[buffer.len()])?;
    }
    Ok(())
}

/// A state of the plan's stack and rows.
fn state<B: Backend, F: Float>(op: &'static str, plan: &Plan, state: Option<&State<B, F>>) -> Result<()> {
    let Some(state) = state else { return Ok(()) };
    let (h, c) = plan.spec.state_len(plan.shape.rows);
    Error::check_shape(op, "hidden state", &[h], &[state.h.len()])?;
    Error::check_shape(op, "cell state", &[c], &[state.c.len()])
}

/// Operands of [`Backend::linear_forward`].
///
/// # Errors
/// As [`copy`].
pub fn linear_forward<B: Backend, F: Float>(
    x: &View<'_, B, F>,
    weight: &View<'_, B, F>,
    bias: Option<&View<'_, B, F>>,
    y: &ViewMut<'_, B, F>,
) -> Result<()> {
    const OP: &str = "linear_forward";
    let [outputs, inputs] = weight.span.shape();
    weight.check(OP, "weight", [outputs, inputs])?;
    x.check(OP, "x", [x.span.rows, inputs])?;
    if let Some(bias) = bias {
        bias.check(OP, "bias", [1, outputs])?;
    }
    Error::check_shape(OP, "y", &[x.span.rows, outputs], &y.span.shape())?;
    output(OP, "y", y)
}

/// Operands of [`Backend::linear_backward`].
///
/// # Errors
/// As [`copy`].
pub fn linear_backward<B: Backend, F: Float>(
    x: &View<'_, B, F>,
    weight: &View<'_, B, F>,
    d_y: &View<'_, B, F>,
    grad: &LinearGrad<'_, B, F>,
    d_x: Option<&ViewMut<'_, B, F>>,
) -> Result<()> {
    const OP: &str = "linear_backward";
    let [outputs, inputs] = weight.span.shape();
    let rows = x.span.rows;
    weight.check(OP, "weight", [outputs, inputs])?;
    x.check(OP, "x", [rows, inputs])?;
    d_y.check(OP, "d_y", [rows, outputs])?;
    let gradient = |what, span: Span, shape: [usize; 2]| {
        Error::check_shape(OP, what, &shape, &span.shape())?;
        Error::check_bounds(OP, what, span.end(), grad.d_params.len())?;
        distinct(OP, &mut [(span.rows, span.row_stride), (span.cols, span.col_stride)])
    };
    gradient("d_weight", grad.weight, [outputs, inputs])?;
    if let Some(bias) = grad.bias {
        gradient("d_bias", bias, [1, outputs])?;
    }
    match d_x {
        Some(d_x) => {
            Error::check_shape(OP, "d_x", &[rows, inputs], &d_x.span.shape())?;
            output(OP, "d_x", d_x)
        }
        None => Ok(()),
    }
}

/// Operands of [`Backend::loss`].
///
/// # Errors
/// As [`copy`].
pub fn loss<B: Backend, F: Float>(
    args: &LossArgs<'_, B, F>,
    d_prediction: &ViewMut<'_, B, F>,
    value: &B::Buffer<f64>,
) -> Result<()> {
    const OP: &str = "loss";
    let shape = args.prediction.span.shape();
    args.prediction.check(OP, "prediction", shape)?;
    args.target.check(OP, "target", shape)?;
    if let Some(weights) = &args.row_weights {
        weights.check(OP, "row_weights", [1, shape[0]])?;
    }
    Error::check_shape(OP, "d_prediction", &shape, &d_prediction.span.shape())?;
    output(OP, "d_prediction", d_prediction)?;
    Error::check_bounds(OP, "value", 1, value.len())
}

/// Operands of [`Backend::clip`].
///
/// # Errors
/// [`Error::Shape`]; [`Error::Invalid`] for a limit that is not positive.
pub fn clip<B: Backend>(limit: Option<f64>, max_norm: Option<f64>, control: &Control<B>) -> Result<()> {
    for (what, value) in [("limit of a gradient", limit), ("limit of the gradient's norm", max_norm)] {
        if let Some(value) = value.filter(|v| v.is_nan() || *v <= 0.0) {
            return Err(Error::Invalid { what, value: value.to_string(), must: "above 0" });
        }
    }
    scalars("clip", control)
}

/// Operands of [`Backend::update`].
///
/// # Errors
/// [`Error::Shape`].
pub fn update<B: Backend, F: Float>(
    rule: &Rule,
    params: &B::Buffer<F>,
    grads: &B::Buffer<F>,
    slots: &[B::Buffer<F>],
    control: &Control<B>,
) -> Result<()> {
    const OP: &str = "update";
    Error::check_shape(OP, "gradients", &[params.len()], &[grads.len()])?;
    Error::check_shape(OP, "slots", &[rule.slots()], &[slots.len()])?;
    for slot in slots {
        Error::check_shape(OP, "slot", &[params.len()], &[slot.len()])?;
    }
    scalars(OP, control)
}

fn scalars<B: Backend>(op: &'static str, control: &Control<B>) -> Result<()> {
    Error::check_shape(op, "control", &[control_slot::COUNT], &[control.values.len()])?;
    Error::check_shape(op, "bad step", &[1], &[control.bad_step.len()])
}

/// A rectangle to write to: inside its buffer, no element twice.
fn output<B: Backend, E: Element>(op: &'static str, what: &'static str, y: &ViewMut<'_, B, E>) -> Result<()> {
    y.check(op, what)?;
    distinct(op, &mut [(y.span.rows, y.span.row_stride), (y.span.cols, y.span.col_stride)])
}

/// An input of an element-wise operation; in the output's buffer it is the output or apart from it.
fn operand<B: Backend, F: Float>(
    op: &'static str,
    what: &'static str,
    x: &Operand<'_, B, F>,
    y: &ViewMut<'_, B, F>,
) -> Result<()> {
    x.check(op, what, y.span.shape(), y.buffer.len())?;
    match x {
        Operand::Here(span) if *span != y.span && span.overlaps(&y.span) => Err(Error::Invalid {
            what: "input in the output's buffer",
            value: format!("{span:?}, the output {:?}", y.span),
            must: "the output's rectangle or apart from it",
        }),
        _ => Ok(()),
    }
}

/// Each stride steps over all that the smaller ones reach, so that no element is met twice.
fn distinct(op: &'static str, dims: &mut [(usize, usize)]) -> Result<()> {
    if dims.iter().any(|&(count, _)| count == 0) {
        return Ok(());
    }
    dims.sort_unstable_by_key(|&(_, stride)| stride);
    let mut reach = 0;
    for &(count, stride) in dims.iter().filter(|&&(count, _)| count > 1) {
        if stride <= reach {
            let value = format!("{stride} in {op}, where {} are needed", reach + 1);
            return Err(Error::Invalid { what: "stride of an output", value, must: "without overlap" });
        }
        reach += (count - 1) * stride;
    }
    Ok(())
}

//! Wrong operands are answered with an error; nothing panics and nothing was written.

use super::hold;
use crate::run::{By, DeviceDraw, Run, fetch};
use crate::strategies::{StackOptions, size, stack};
use lstm_tensor::philox::{Place, Site};
use lstm_tensor::{
    Backend, BatchShape, Binary, Control, Direction, Distribution, Draw, Error, Float, GemmArgs,
    KernelChoice, LayerSpec, LinearGrad, LossArgs, LossKind, Mode, Operand, Reduce, Result, Rule, Span,
    StackSpec, State, Unary, View, ViewMut,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// A way to spoil a rectangle that fills its buffer and has two rows and columns or more.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    MoreRows,
    MoreCols,
    Shifted,
    FarRows,
    Overflowing,
}

impl Mistake {
    fn spoil(self, span: Span) -> Span {
        match self {
            Self::MoreRows => Span { rows: span.rows + 1, ..span },
            Self::MoreCols => Span { cols: span.cols + 1, ..span },
            Self::Shifted => Span { offset: span.offset + 1, ..span },
            Self::FarRows => Span { row_stride: span.row_stride + span.cols + 1, ..span },
            Self::Overflowing => Span { row_stride: usize::MAX / 2, offset: usize::MAX / 2, ..span },
        }
    }
}

fn refused(what: &str, result: Result<()>) -> TestCaseResult {
    use Error::{Bounds, Index, Invalid, Shape};
    let named = matches!(result, Err(Shape { .. } | Bounds { .. } | Invalid { .. } | Index { .. }));
    prop_assert!(named, "{what} answered {result:?}");
    Ok(())
}

/// Every primitive refuses each operand spoiled in each way, indices and strides that cannot be, and inputs
/// that overlap the output in part.
pub fn primitives_refuse_wrong_rectangles<B: Backend, F: Float>(backend: &B) {
    use Mistake::{FarRows, MoreCols, MoreRows, Overflowing, Shifted};
    let mistake = proptest::sample::select(vec![MoreRows, MoreCols, Shifted, FarRows, Overflowing]);
    hold((mistake, size(), size(), size()), |(mistake, m, n, k)| {
        let (m, n, k) = (m + 1, n + 1, k + 1);
        let dense = |rows, cols| Span::dense(0, rows, cols);
        let spoiled =
            |which: usize, at: usize, span: Span| if which == at { mistake.spoil(span) } else { span };
        let zeros = |len| backend.alloc::<F>(len);
        let (a, b, mut c) = (zeros(m * n)?, zeros(m * n)?, zeros(m * n)?);
        backend.fill(F::ONE, ViewMut::new(&mut c, dense(m, n)))?;
        for wrong in 0..3 {
            let spans = [0, 1, 2].map(|at| spoiled(at, wrong, dense(m, n)));
            let (va, vb) = (View::new(&a, spans[0]), View::new(&b, spans[1]));
            if wrong != 1 {
                refused("copy", backend.copy(va, ViewMut::new(&mut c, spans[2])))?;
                let x = Operand::Of(va);
                refused("map", backend.map(Unary::Tanh, x, ViewMut::new(&mut c, spans[2])))?;
            }
            if wrong == 2 {
                refused("fill", backend.fill(F::ZERO, ViewMut::new(&mut c, spans[2])))?;
            }
            let (x, y) = (Operand::Of(va), Operand::Of(vb));
            refused("zip", backend.zip(Binary::Add, x, y, ViewMut::new(&mut c, spans[2])))?;
        }
        // In the output's own buffer.
        let here = Operand::Here(mistake.spoil(dense(m, n)));
        refused("map", backend.map(Unary::Tanh, here, ViewMut::new(&mut c, dense(m, n))))?;
        let (left, right) =
            (Span { row_stride: n, ..dense(m, n - 1) }, Span { row_stride: n, offset: 1, ..dense(m, n - 1) });
        if n > 2 {
            let overlapping = backend.map(Unary::Tanh, Operand::Here(left), ViewMut::new(&mut c, right));
            refused("overlapping map", overlapping)?;
        }
        let twice = Span { row_stride: 0, ..dense(m, n) };
        refused("output on itself", backend.copy(View::new(&a, twice), ViewMut::new(&mut c, twice)))?;

        let (ga, gb) = (zeros(m * k)?, zeros(k * n)?);
        for wrong in 0..3 {
            let spans = [
                spoiled(0, wrong, dense(m, k)),
                spoiled(1, wrong, dense(k, n)),
                spoiled(2, wrong, dense(m, n)),
            ];
            let (va, vb) = (View::new(&ga, spans[0]), View::new(&gb, spans[1]));
            refused("gemm", backend.gemm(&GemmArgs::SET, va, vb, ViewMut::new(&mut c, spans[2])))?;
        }
        let (va, vb) = (View::new(&ga, dense(m, k)), View::new(&gb, dense(k, n)));
        for batch_strides in [[m * k, 0, 0], [0, 0, m * n], [0, 0, 0], [usize::MAX, 0, 0]] {
            let args = GemmArgs { batch: 2, batch_strides, ..GemmArgs::SET };
            refused("batched gemm", backend.gemm(&args, va, vb, ViewMut::new(&mut c, dense(m, n))))?;
        }

        let mut row = zeros(n)?;
        for wrong in 0..2 {
            let (row_span, y_span) = (spoiled(0, wrong, dense(1, n)), spoiled(1, wrong, dense(m, n)));
            // A single row may lie anywhere in steps of any length.
            if wrong == 1 || !matches!(mistake, FarRows) {
                refused("add_row", backend.add_row(View::new(&row, row_span), ViewMut::new(&mut c, y_span)))?;
                refused(
                    "sum_rows",
                    backend.sum_rows(View::new(&a, y_span), ViewMut::new(&mut row, row_span)),
                )?;
            }
        }

        let mut out = backend.alloc::<f64>(2)?;
        let wrong = View::new(&a, mistake.spoil(dense(m, n)));
        refused("reduce", backend.reduce(Reduce::Sum, wrong, &mut out, 0))?;
        let right = View::new(&a, dense(m, n));
        for index in [2, usize::MAX] {
            refused("reduce", backend.reduce(Reduce::Sum, right, &mut out, index))?;
        }
        prop_assert_eq!(fetch::<B, f64>(backend, &out)?, [0.0, 0.0]);

        let numbers = |numbers: &[u32]| -> Result<B::Buffer<u32>> {
            let mut buffer = backend.alloc(numbers.len())?;
            backend.upload(numbers, &mut buffer, 0)?;
            Ok(buffer)
        };
        let rows = numbers(&vec![0; m])?;
        for wrong in 0..2 {
            let (from, to) = (spoiled(0, wrong, dense(m, n)), spoiled(1, wrong, dense(m, n)));
            refused(
                "gather_rows",
                backend.gather_rows(View::new(&a, from), &rows, ViewMut::new(&mut c, to)),
            )?;
            refused(
                "scatter",
                backend.scatter_add_rows(View::new(&a, from), &rows, ViewMut::new(&mut c, to)),
            )?;
        }
        let mut absent = vec![0; m];
        absent[m - 1] = m as u32;
        for rows in [numbers(&vec![0; m + 1])?, numbers(&vec![0; m - 1])?, numbers(&absent)?] {
            refused("gather_rows", backend.gather_rows(right, &rows, ViewMut::new(&mut c, dense(m, n))))?;
            refused("scatter", backend.scatter_add_rows(right, &rows, ViewMut::new(&mut c, dense(m, n))))?;
        }

        let (step, samples) = (numbers(&[1])?, numbers(&vec![0; m])?);
        let place = |layer| Place { site: Site::Input, layer, reverse: false };
        let mask = |keep| Distribution::Mask { keep };
        let many = numbers(&vec![0; m + 1])?;
        for (distribution, place, first, samples, span) in [
            (mask(0.5), place(0), 0, &samples, mistake.spoil(dense(m, n))),
            (mask(0.5), place(0), 0, &many, dense(m, n)),
            (mask(0.5), place(256), 0, &samples, dense(m, n)),
            (mask(0.5), place(0), usize::MAX, &samples, dense(m, n)),
            (mask(0.0), place(0), 0, &samples, dense(m, n)),
            (mask(1.5), place(0), 0, &samples, dense(m, n)),
            (mask(f64::NAN), place(0), 0, &samples, dense(m, n)),
            (Distribution::Normal { std: -1.0 }, place(0), 0, &samples, dense(m, n)),
        ] {
            let draw = Draw::<B> { seed: 0, step: &step, samples };
            refused("random", backend.random(distribution, draw, place, first, ViewMut::new(&mut c, span)))?;
        }

        let mut host = vec![F::ZERO; m * n];
        refused("upload", backend.upload(&host, &mut c, 1))?;
        refused("upload", backend.upload(&host, &mut c, usize::MAX))?;
        refused("download", backend.download(&c, 1, &mut host))?;
        prop_assert!(
            fetch::<B, F>(backend, &c)?.iter().all(|&x| x == 1.0),
            "a refused operation has written"
        );
        prop_assert!(
            fetch::<B, F>(backend, &row)?.iter().all(|&x| x == 0.0),
            "a refused operation has written"
        );
        Ok(())
    });
}

/// Passes refuse operands, tapes and workspaces that do not belong to their plan.
pub fn stacks_refuse_wrong_shapes<B: Backend, F: Float>(backend: &B) {
    type Spoil<B, F> = fn(&mut Run<'_, B, F>) -> Result<()>;
    // What is spoiled, and whether forward and backward look at it.
    fn spoils<B: Backend, F: Float>() -> Vec<(&'static str, bool, bool, Spoil<B, F>)> {
        fn longer<B: Backend, F: Float>(backend: &B, old: usize) -> Result<B::Buffer<F>> {
            backend.alloc(old + 1)
        }
        fn wrong_state<B: Backend, F: Float>(run: &Run<'_, B, F>) -> Result<State<B, F>> {
            State::zeros(run.backend, &run.plan.spec, run.plan.shape.rows + 1)
        }
        use lstm_tensor::Storage;
        vec![
            ("x", true, true, |run| {
                run.x = longer(run.backend, run.x.len())?;
                Ok(())
            }),
            ("y", true, false, |run| {
                run.y = longer(run.backend, run.y.len())?;
                Ok(())
            }),
            ("initial", true, true, |run| {
                run.initial = Some(wrong_state(run)?);
                Ok(())
            }),
            ("last", true, false, |run| {
                run.last = wrong_state(run)?;
                Ok(())
            }),
            ("samples", true, true, |run| {
                let samples = run.backend.alloc(run.plan.shape.rows + 1)?;
                run.draw = Some(DeviceDraw { seed: 1, step: run.backend.alloc(1)?, samples });
                Ok(())
            }),
            ("d_y", false, true, |run| {
                run.d_y = Some(longer(run.backend, run.y.len())?);
                Ok(())
            }),
            ("d_last", false, true, |run| {
                run.d_last = Some(wrong_state(run)?);
                Ok(())
            }),
            ("d_initial", false, true, |run| {
                run.d_initial = wrong_state(run)?;
                Ok(())
            }),
            ("d_params", false, true, |run| {
                run.d_params = longer(run.backend, run.d_params.len())?;
                Ok(())
            }),
            ("d_x", false, true, |run| {
                run.d_x = longer(run.backend, run.x.len())?;
                Ok(())
            }),
            ("tape", true, true, |run| {
                run.scratch.tape.cell = run.backend.alloc(0)?;
                Ok(())
            }),
            ("workspace", true, true, |run| {
                run.scratch.workspace.push(run.backend.alloc(1)?);
                Ok(())
            }),
        ]
    }
    hold(stack(StackOptions { layers: 2, ..StackOptions::DROPOUT }), |case| {
        for (what, forward, backward, spoil) in spoils::<B, F>() {
            let mut run = Run::<B, F>::new(backend, &case, Mode::Train, KernelChoice::Auto)?;
            spoil(&mut run)?;
            let before = run.outcome()?;
            if forward {
                refused(&format!("forward with a wrong {what}"), run.forward(By::Backend))?;
            }
            if backward {
                refused(&format!("backward with a wrong {what}"), run.backward(By::Backend))?;
            }
            prop_assert_eq!(run.outcome()?, before, "refused for {} and yet written", what);
        }
        // A plan for inference has no backward pass.
        let mut run = Run::<B, F>::new(backend, &case, Mode::Infer, KernelChoice::Auto)?;
        refused("backward after inference", run.backward(By::Backend))?;
        Ok(())
    });
}

/// Impossible sizes are invalid, options that no backend serves yet are unsupported; neither panics.
pub fn plans_refuse_what_none_serves<B: Backend, F: Float>(backend: &B) {
    let sizes = (size(), size(), size(), size());
    hold(sizes, |(input, hidden, steps, rows)| {
        let plan = |spec: &StackSpec, shape: &BatchShape| {
            let kernels = [KernelChoice::Auto, KernelChoice::Reference];
            kernels.map(|kernel| backend.plan::<F>(spec, shape, Mode::Train, kernel))
        };
        let with = |layer: LayerSpec| StackSpec::new(input, vec![LayerSpec::new(hidden), layer]);
        let (plain, shape) = (with(LayerSpec::new(hidden)), BatchShape::new(steps, rows));
        for planned in plan(&plain, &shape) {
            prop_assert!(planned.is_ok());
        }
        let unsupported = [
            (plain.clone().models(2), shape.clone()),
            (plain.clone(), BatchShape::ragged(steps, vec![steps; rows])),
            (with(LayerSpec::new(hidden).direction(Direction::Both)), shape.clone()),
            (with(LayerSpec::new(hidden + 1).project(hidden)), shape.clone()),
        ];
        for (spec, shape) in &unsupported {
            for planned in plan(spec, shape) {
                prop_assert!(
                    matches!(planned, Err(Error::Unsupported { .. })),
                    "{:?} for {:?}",
                    planned,
                    spec
                );
            }
        }
        let impossible = [
            (StackSpec::new(0, vec![LayerSpec::new(hidden)]), shape.clone()),
            (StackSpec::new(input, vec![]), shape.clone()),
            (with(LayerSpec::new(0)), shape.clone()),
            (with(LayerSpec::new(hidden).project(0)), shape.clone()),
            (with(LayerSpec::new(hidden).project(hidden + 1)), shape.clone()),
            (with(LayerSpec::new(hidden).dropout(1.0, 0.0)), shape.clone()),
            (with(LayerSpec::new(hidden).dropout(0.0, f64::NAN)), shape.clone()),
            (with(LayerSpec::new(hidden).forget_bias(f64::INFINITY)), shape.clone()),
            (plain.clone().dropout_between(-0.1), shape.clone()),
            (plain.clone().models(0), shape.clone()),
            (plain.clone(), BatchShape::new(0, rows)),
            (plain.clone(), BatchShape::new(steps, 0)),
            (plain.clone(), BatchShape::new(usize::MAX / 2, rows)),
            (plain.clone(), BatchShape::new(1 << 40, rows)),
        ];
        for (spec, shape) in &impossible {
            for planned in plan(spec, shape) {
                let named = matches!(planned, Err(Error::Invalid { .. } | Error::Memory { .. }));
                prop_assert!(named, "{:?} for {:?}", planned, spec);
            }
        }
        Ok(())
    });
}

/// Linear layers, losses, clipping and updates refuse operands that do not fit.
pub fn training_refuses_wrong_shapes<B: Backend, F: Float>(backend: &B) {
    hold((size(), size(), size(), 0..4usize), |(rows, inputs, outputs, wrong)| {
        let mut dims = [[rows, inputs], [outputs, inputs], [1, outputs], [rows, outputs]];
        dims[wrong][1] += 1;
        let [x, w, b, y] = dims.map(|[rows, cols]| Span::dense(0, rows, cols));
        let alloc = |span: Span| backend.alloc::<F>(span.end());
        let (dx, dw, db, mut dy) = (alloc(x)?, alloc(w)?, alloc(b)?, alloc(y)?);
        let (vx, vw, vb) = (View::new(&dx, x), View::new(&dw, w), View::new(&db, b));
        let forward = backend.linear_forward(vx, vw, Some(vb), ViewMut::new(&mut dy, y));
        refused("linear_forward", forward)?;
        let weight = Span::dense(0, outputs, inputs);
        let bias = Span::dense(weight.end(), 1, outputs + usize::from(wrong == 2));
        let mut arena = backend.alloc::<F>(bias.end())?;
        let (d_y, grad) = (View::new(&dy, y), LinearGrad { d_params: &mut arena, weight, bias: Some(bias) });
        refused("linear_backward", backend.linear_backward(vx, vw, d_y, grad, None))?;

        let loss_spans = [0, 1, 2, 3].map(|at| match at {
            2 => Span::dense(0, 1, rows + usize::from(wrong == 2)),
            _ => Span::dense(0, rows, outputs + usize::from(at == wrong)),
        });
        let [p, t, r, mut d] = loss_spans.map(|span| backend.alloc::<F>(span.end()));
        let (p, t, r) = (p?, t?, r?);
        let mut value = backend.alloc::<f64>(1)?;
        let args = |row_weights| LossArgs {
            kind: LossKind::Squared,
            scale: 1.0,
            prediction: View::new(&p, loss_spans[0]),
            target: View::new(&t, loss_spans[1]),
            row_weights,
        };
        let row_weights = Some(View::new(&r, loss_spans[2]));
        if let Ok(d) = &mut d {
            refused("loss", backend.loss(args(row_weights), ViewMut::new(d, loss_spans[3]), &mut value))?;
            prop_assert_eq!(fetch::<B, f64>(backend, &value)?, [0.0]);
        }

        let (n, m) = (rows, rows + 1);
        let mut control = Control::new(backend)?;
        let mut grads = backend.alloc::<F>(n)?;
        for limits in [(Some(0.0), None), (Some(f64::NAN), None), (None, Some(-1.0))] {
            refused("clip", backend.clip(limits.0, limits.1, &mut grads, &mut control))?;
        }
        let rule = Rule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        for (params, grads, slots) in
            [(m, n, vec![m]), (n, m, vec![n]), (n, n, vec![m]), (n, n, vec![]), (n, n, vec![n, n])]
        {
            let (mut params, grads) = (backend.alloc::<F>(params)?, backend.alloc::<F>(grads)?);
            let mut moments = slots.iter().map(|&n| backend.alloc::<F>(n)).collect::<Result<Vec<_>>>()?;
            refused("update", backend.update(&rule, &mut params, &grads, &mut moments, &control))?;
        }
        Ok(())
    });
}

/// Weights that changed after they were packed are refused in debug builds, until they are packed again.
pub fn stale_weights_are_refused<B: Backend, F: Float>(backend: &B) {
    hold(stack(StackOptions { layers: 2, steps: 2, ..StackOptions::PLAIN }), |case| {
        let mut run = Run::<B, F>::new(backend, &case, Mode::Train, KernelChoice::Auto)?;
        backend.upload(&[F::ONE], run.params.values_mut(), 0)?;
        if cfg!(debug_assertions) {
            for result in [run.forward(By::Backend), run.backward(By::Backend)] {
                prop_assert!(matches!(result, Err(Error::Stale { .. })), "{:?}", result);
            }
        }
        backend.prepare(&run.plan, &run.params, &mut run.packed)?;
        run.forward(By::Backend)?;
        run.backward(By::Backend)?;
        Ok(())
    });
}

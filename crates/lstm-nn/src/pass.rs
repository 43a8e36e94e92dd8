//! Passes over a batch of one shape: all memory allocated once, used again for every batch.

use crate::{Answer, Error, Loss, Measure, Model, Network, Readout, Result};
use lstm_tensor::philox::{Place, Site};
use lstm_tensor::{
    Arena, Backend, Backward, BatchShape, Binary, Distribution, Draw, Float, Forward, KernelChoice,
    LinearGrad, LossArgs, LossKind, Mode, Operand, Packed, Plan, Scratch, Span, State, Unary, View, ViewMut,
    Weights,
};

/// What passes and streams share: the stack's memory, the embedding and the head.
pub(crate) struct Body<B: Backend, F: Float> {
    network: Network,
    pub(crate) plan: Plan,
    pub(crate) packed: Packed<B, F>,
    pub(crate) scratch: Scratch<B, F>,
    /// Input of the network, `[T, B, I]`.
    pub(crate) x: B::Buffer<F>,
    /// What the stack reads in its place where there is an embedding, `[T, B, E]`; and its gradient, in training.
    embedded: Option<[B::Buffer<F>; 2]>,
    /// Output of the stack, `[T, B, P]`.
    pub(crate) y: B::Buffer<F>,
    /// Output of the head, `[R, O]`; empty without one.
    out: B::Buffer<F>,
}

impl<B: Backend, F: Float> Body<B, F> {
    pub(crate) fn new(
        backend: &B,
        model: &Model<B, F>,
        steps: usize,
        rows: usize,
        mode: Mode,
        kernel: KernelChoice,
    ) -> Result<Self> {
        let network = model.network().clone();
        let plan = backend.plan::<F>(&network.stack, &BatchShape::new(steps, rows), mode, kernel)?;
        let head = network.head.unwrap_or(0);
        let embedded = match network.embedding {
            None => None,
            Some(_) => {
                let len = steps * rows * network.stack.input;
                Some([backend.alloc(len)?, backend.alloc(if mode == Mode::Train { len } else { 0 })?])
            }
        };
        Ok(Self {
            embedded,
            packed: Packed::empty(backend, plan.packed)?,
            scratch: plan.scratch(backend)?,
            x: backend.alloc(steps * rows * network.inputs())?,
            y: backend.alloc(steps * rows * network.stack.output())?,
            out: backend.alloc(network.output_rows(steps, rows) * head)?,
            network,
            plan,
        })
    }

    /// The rows of the stack's output that are read, `[R, P]`.
    fn read(&self) -> Span {
        let (steps, rows) = (self.plan.shape.steps, self.plan.shape.rows);
        let all = Span::dense(0, steps * rows, self.network.stack.output());
        match self.network.readout {
            Readout::Last => all.rows_at((steps - 1) * rows, rows),
            Readout::Every => all,
        }
    }

    /// Head parameters in the arena: weight and bias.
    fn head(&self, params: &Arena<B, F>) -> Option<(Span, Span)> {
        let layout = params.layout();
        Some((layout.get("head.weight")?.span(), layout.get("head.bias")?.span()))
    }

    /// The same of the embedding.
    fn embedding(&self, params: &Arena<B, F>) -> Option<(Span, Span)> {
        let layout = params.layout();
        Some((layout.get("embedding.weight")?.span(), layout.get("embedding.bias")?.span()))
    }

    /// Takes the input through the embedding, if there is one.
    pub(crate) fn embed(&mut self, backend: &B, params: &Arena<B, F>) -> Result<()> {
        let places = self.embedding(params);
        let (Some((weight, bias)), Some([embedded, _])) = (places, &mut self.embedded) else { return Ok(()) };
        let rows = self.plan.shape.steps * self.plan.shape.rows;
        let (x, y) = (Span::dense(0, rows, weight.cols), Span::dense(0, rows, weight.rows));
        let (weight, bias) = (View::new(params.values(), weight), View::new(params.values(), bias));
        backend.linear_forward(View::new(&self.x, x), weight, Some(bias), ViewMut::new(embedded, y))?;
        let positive = Unary::Clamp { low: 0.0, high: f64::INFINITY };
        Ok(backend.map(positive, Operand::Here(y), ViewMut::new(embedded, y))?)
    }

    /// Takes the gradient of what the stack read back through the embedding, whose output is lost.
    fn embed_backward(
        &mut self,
        backend: &B,
        params: &Arena<B, F>,
        grads: &mut Arena<B, F>,
        d_x: Option<&mut B::Buffer<F>>,
    ) -> Result<()> {
        let places = self.embedding(params);
        let (Some((weight, bias)), Some([embedded, slope])) = (places, &mut self.embedded) else {
            return Ok(());
        };
        let rows = self.plan.shape.steps * self.plan.shape.rows;
        let (x, y) = (Span::dense(0, rows, weight.cols), Span::dense(0, rows, weight.rows));
        // 1 where the output is above 0.
        backend.map(Unary::Sign, Operand::Here(y), ViewMut::new(embedded, y))?;
        backend.zip(Binary::Mul, Operand::Here(y), Operand::of(&*embedded, y), ViewMut::new(slope, y))?;
        let grad = LinearGrad { d_params: grads.values_mut(), weight, bias: Some(bias) };
        let weight = View::new(params.values(), weight);
        let d_x = d_x.map(|d_x| ViewMut::new(d_x, x));
        Ok(backend.linear_backward(View::new(&self.x, x), weight, View::new(slope, y), grad, d_x)?)
    }

    /// The network's output, `[R, O]`.
    pub(crate) fn output(&self) -> View<'_, B, F> {
        match self.network.head {
            Some(outputs) => View::new(&self.out, Span::dense(0, self.read().rows, outputs)),
            None => View::new(&self.y, self.read()),
        }
    }

    fn forward(
        &mut self,
        backend: &B,
        model: &Model<B, F>,
        draw: Option<Draw<'_, B>>,
        initial: Option<&State<B, F>>,
        last: Option<&mut State<B, F>>,
    ) -> Result<()> {
        let params = model.params();
        self.prepare(backend, params)?;
        self.embed(backend, params)?;
        let weights = Weights { params, packed: &self.packed };
        let x = self.embedded.as_ref().map_or(&self.x, |[embedded, _]| embedded);
        let args = Forward { weights, draw, x, initial, y: &mut self.y, last };
        backend.stack_forward(&self.plan, args, &mut self.scratch)?;
        self.apply_head(backend, params)
    }

    /// Takes a gradient back through the passage that `forward` went with this `draw`: from the head's output `d_out` or,
    /// without a head, from `d_y` that holds it already, to the parameters, added to `grads`, and to the input.
    fn backward(
        &mut self,
        backend: &B,
        model: &Model<B, F>,
        draw: Option<Draw<'_, B>>,
        (d_out, d_y): (&B::Buffer<F>, &mut B::Buffer<F>),
        grads: &mut Arena<B, F>,
        d_x: Option<&mut B::Buffer<F>>,
    ) -> Result<()> {
        let params = model.params();
        if let Some((weight, bias)) = self.head(params) {
            let read = self.read();
            let d_out = View::new(d_out, Span::dense(0, read.rows, weight.rows));
            let grad = LinearGrad { d_params: grads.values_mut(), weight, bias: Some(bias) };
            let (x, weight) = (View::new(&self.y, read), View::new(params.values(), weight));
            backend.linear_backward(x, weight, d_out, grad, Some(ViewMut::new(d_y, read)))?;
        }
        let (x, stack_d_x, d_x) = match &mut self.embedded {
            None => (&self.x, d_x, None),
            Some([embedded, slope]) => (&*embedded, Some(slope), d_x),
        };
        let args = Backward {
            weights: Weights { params, packed: &self.packed },
            draw,
            x,
            initial: None,
            d_y: Some(d_y),
            d_last: None,
            d_params: grads.values_mut(),
            d_x: stack_d_x,
            d_initial: None,
        };
        backend.stack_backward(&self.plan, args, &mut self.scratch)?;
        self.embed_backward(backend, params, grads, d_x)
    }

    /// One step of the stack, over what [`Body::embed`] left.
    pub(crate) fn step(&mut self, backend: &B, params: &Arena<B, F>, state: &mut State<B, F>) -> Result<()> {
        let weights = Weights { params, packed: &self.packed };
        let x = self.embedded.as_ref().map_or(&self.x, |[embedded, _]| embedded);
        Ok(backend.step(&self.plan, weights, x, state, &mut self.y, &mut self.scratch)?)
    }

    /// Packs the weights if they have changed.
    pub(crate) fn prepare(&mut self, backend: &B, params: &Arena<B, F>) -> Result<()> {
        if !self.packed.follows(params) {
            backend.prepare(&self.plan, params, &mut self.packed)?;
        }
        Ok(())
    }

    /// The head's output from the stack's, if there is a head.
    pub(crate) fn apply_head(&mut self, backend: &B, params: &Arena<B, F>) -> Result<()> {
        if let Some((weight, bias)) = self.head(params) {
            let read = self.read();
            let out = Span::dense(0, read.rows, weight.rows);
            let (weight, bias) = (View::new(params.values(), weight), View::new(params.values(), bias));
            backend.linear_forward(
                View::new(&self.y, read),
                weight,
                Some(bias),
                ViewMut::new(&mut self.out, out),
            )?;
        }
        Ok(())
    }

    fn download_output(&self, backend: &B, out: &mut Vec<F>) -> Result<()> {
        let view = self.output();
        out.resize(view.span.rows * view.span.cols, F::ZERO);
        Ok(backend.download(view.buffer, view.span.offset, out)?)
    }
}

/// Activations of one layer over a batch, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTrace {
    /// Hidden units `H`.
    pub units: usize,
    /// Gate activations `[T, B, 4, H]`, order i f g o.
    pub gates: Vec<f64>,
    /// Cell state `[T, B, H]`.
    pub cell: Vec<f64>,
    /// Hidden state `[T, B, H]`.
    pub hidden: Vec<f64>,
}

/// A forward pass without a tape.
pub struct InferPass<B: Backend, F: Float> {
    body: Body<B, F>,
}

impl<B: Backend, F: Float> InferPass<B, F> {
    /// Memory for batches of `rows` sequences of `steps` steps.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Invalid`], [`lstm_tensor::Error::Memory`].
    pub fn new(backend: &B, model: &Model<B, F>, steps: usize, rows: usize) -> Result<Self> {
        Ok(Self { body: Body::new(backend, model, steps, rows, Mode::Infer, KernelChoice::Auto)? })
    }

    /// Predicts from `x [T, B, I]`; `out` becomes `[R, O]`. The state starts at `state` and is left
    /// there, or starts at zero.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where `x` has another size.
    pub fn predict(
        &mut self,
        backend: &B,
        model: &Model<B, F>,
        x: &[F],
        state: Option<&mut State<B, F>>,
        out: &mut Vec<F>,
    ) -> Result<()> {
        load(backend, "x", x, &mut self.body.x)?;
        match state {
            None => self.body.forward(backend, model, None, None, None)?,
            Some(state) => {
                let rows = self.body.plan.shape.rows;
                let mut last = State::zeros(backend, &self.body.network.stack, rows)?;
                self.body.forward(backend, model, None, Some(state), Some(&mut last))?;
                *state = last;
            }
        }
        self.body.download_output(backend, out)
    }
}

/// Options of a [`TrainPass`] besides its shape.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainOptions {
    /// What is made small.
    pub loss: Loss,
    /// Standard deviation of Gaussian noise on the input (a denoising LSTM).
    pub input_noise: f64,
    /// Seed of dropout and noise.
    pub seed: u64,
    /// Implementation.
    pub kernel: KernelChoice,
}

impl TrainOptions {
    /// `loss`, no noise, seed 0.
    #[must_use]
    pub fn new(loss: Loss) -> Self {
        Self { loss, input_noise: 0.0, seed: 0, kernel: KernelChoice::Auto }
    }

    /// Sets the standard deviation of the input noise.
    #[must_use]
    pub fn input_noise(mut self, std: f64) -> Self {
        self.input_noise = std;
        self
    }

    /// Sets the seed of dropout and noise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// Forward, loss and backward over batches of one shape.
pub struct TrainPass<B: Backend, F: Float> {
    body: Body<B, F>,
    options: TrainOptions,
    target: B::Buffer<F>,
    row_weights: Option<B::Buffer<F>>,
    /// Weight of each step, where the loss is computed on the host.
    step_weights: Option<Vec<f64>>,
    d_out: B::Buffer<F>,
    d_y: B::Buffer<F>,
    noise: Option<B::Buffer<F>>,
    value: B::Buffer<f64>,
    step: B::Buffer<u32>,
    samples: B::Buffer<u32>,
}

impl<B: Backend, F: Float> TrainPass<B, F> {
    /// Memory for batches of `rows` sequences of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible options, [`lstm_tensor::Error::Memory`].
    pub fn new(
        backend: &B,
        model: &Model<B, F>,
        steps: usize,
        rows: usize,
        options: TrainOptions,
    ) -> Result<Self> {
        let body = Body::new(backend, model, steps, rows, Mode::Train, options.kernel)?;
        if !(options.input_noise.is_finite() && options.input_noise >= 0.0) {
            return Err(Error::Invalid {
                what: "input noise",
                value: options.input_noise.to_string(),
                must: "a finite number, not negative".into(),
            });
        }
        let read = body.read();
        let outputs = body.network.outputs();
        let (_, targets) = options.loss.columns(outputs)?;
        let step_weights = options.loss.weights(steps)?;
        let row_weights = match (&step_weights, body.network.readout) {
            (None, _) => None,
            (Some(_), Readout::Last) => {
                return Err(Error::Invalid {
                    what: "step weights",
                    value: "given".into(),
                    must: "absent where only the last step is read".into(),
                });
            }
            (Some(weights), Readout::Every) => {
                let per_row: Vec<F> =
                    weights.iter().flat_map(|&w| std::iter::repeat_n(F::from_f64(w), rows)).collect();
                let mut buffer = backend.alloc(per_row.len())?;
                backend.upload(&per_row, &mut buffer, 0)?;
                Some(buffer)
            }
        };
        let noise = match options.input_noise > 0.0 {
            true => Some(backend.alloc(steps * rows * body.network.inputs())?),
            false => None,
        };
        Ok(Self {
            target: backend.alloc(read.rows * targets)?,
            row_weights,
            step_weights,
            d_out: backend.alloc(read.rows * outputs)?,
            d_y: backend.alloc(steps * rows * body.network.stack.output())?,
            noise,
            value: backend.alloc(1)?,
            step: backend.alloc(1)?,
            samples: backend.alloc(rows)?,
            body,
            options,
        })
    }

    /// Rows `B` of a batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.body.plan.shape.rows
    }

    /// Bytes of tape, workspaces and packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.plan.bytes::<F>()
    }

    /// Adds the gradient of one batch to `grads` and its loss to the running sum.
    ///
    /// `x [T, B, I]`; `target [B, O]` or, reading every step, `[T, B, O]`; where the loss is that of an
    /// [`Answer`], with as many columns as it has numbers of the target. `step` and `samples [B]`
    /// (each row's index in the order of the epoch) address the randomness. `batch` is the number of
    /// rows that a mean is taken over: [`TrainPass::rows`], or more where this is one shard of a batch.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where sizes differ.
    #[allow(clippy::too_many_arguments, reason = "one argument per thing that a step depends on")]
    pub fn accumulate(
        &mut self,
        backend: &B,
        model: &Model<B, F>,
        grads: &mut Arena<B, F>,
        x: &[F],
        target: &[F],
        (step, samples): (u32, &[u32]),
        batch: usize,
    ) -> Result<()> {
        load(backend, "x", x, &mut self.body.x)?;
        load(backend, "target", target, &mut self.target)?;
        load(backend, "samples", samples, &mut self.samples)?;
        backend.upload(&[step], &mut self.step, 0)?;
        match self.options.loss.kind.clone() {
            Measure::Error(kind) => backend.phase(|backend| {
                self.forward(backend, model)?;
                self.error(backend, model, kind, batch)?;
                self.backward(backend, model, grads)
            }),
            // Its formulas need functions that no backend has, so the device waits for the host in between.
            Measure::Answer(answer) => {
                backend.phase(|backend| self.forward(backend, model))?;
                self.judge(backend, &answer, target, batch)?;
                backend.phase(|backend| self.backward(backend, model, grads))
            }
        }
    }

    /// The output, from an input that has noise then.
    fn forward(&mut self, backend: &B, model: &Model<B, F>) -> Result<()> {
        let (steps, rows) = (self.body.plan.shape.steps, self.rows());
        let draw = Draw { seed: self.options.seed, step: &self.step, samples: &self.samples };
        if let Some(noise) = &mut self.noise {
            let span = Span::dense(0, steps * rows, self.body.network.inputs());
            let place = Place { site: Site::InputNoise, layer: 0, reverse: false };
            let normal = Distribution::Normal { std: self.options.input_noise };
            backend.random(normal, draw, place, 0, ViewMut::new(noise, span))?;
            let (clean, added) = (Operand::Here(span), Operand::of(&*noise, span));
            backend.zip(Binary::Add, clean, added, ViewMut::new(&mut self.body.x, span))?;
        }
        let draw = self.body.network.stack.has_dropout().then_some(draw);
        self.body.forward(backend, model, draw, None, None)
    }

    /// Loss and slope of the output, computed on the device.
    fn error(&mut self, backend: &B, model: &Model<B, F>, kind: LossKind, batch: usize) -> Result<()> {
        let rows = self.rows();
        let output = self.body.output();
        let [out_rows, outputs] = output.span.shape();
        let dense = Span::dense(0, out_rows, outputs);
        let row_weights = self.row_weights.as_ref().map(|w| View::new(w, Span::dense(0, 1, out_rows)));
        let args = LossArgs {
            kind,
            scale: self.options.loss.scale(batch, out_rows / rows * outputs),
            prediction: output,
            target: View::new(&self.target, dense),
            row_weights,
        };
        let d_out = match self.body.head(model.params()) {
            None => ViewMut::new(&mut self.d_y, self.body.read()),
            Some(_) => ViewMut::new(&mut self.d_out, dense),
        };
        Ok(backend.loss(args, d_out, &mut self.value)?)
    }

    /// Loss and slope of the output, computed on the host.
    fn judge(&mut self, backend: &B, answer: &Answer, target: &[F], batch: usize) -> Result<()> {
        let (rows, [out_rows, outputs]) = (self.rows(), self.body.output().span.shape());
        let (parameters, known) = (answer.parameters(), answer.targets());
        let values = outputs / parameters;
        let scale = self.options.loss.scale(batch, out_rows / rows * values);
        let mut out = Vec::new();
        self.body.download_output(backend, &mut out)?;
        let (mut a, mut d_a, mut y) = (vec![0.0; parameters], vec![0.0; parameters], vec![0.0; known]);
        let mut loss = 0.0;
        for (row, (out, target)) in
            out.chunks_exact_mut(outputs).zip(target.chunks_exact(values * known)).enumerate()
        {
            let weight = scale * self.step_weights.as_ref().map_or(1.0, |weights| weights[row / rows]);
            if weight == 0.0 {
                out.fill(F::ZERO);
                continue;
            }
            for value in 0..values {
                (0..parameters).for_each(|p| a[p] = out[p * values + value].to_f64());
                (0..known).for_each(|k| y[k] = target[k * values + value].to_f64());
                loss += weight * answer.loss(&a, &y, &mut d_a);
                (0..parameters).for_each(|p| out[p * values + value] = F::from_f64(weight * d_a[p]));
            }
        }
        backend.upload(&out, &mut self.d_out, 0)?;
        if self.body.network.head.is_none() {
            self.hand_down(backend)?;
        }
        let mut sum = [0.0];
        backend.download(&self.value, 0, &mut sum)?;
        Ok(backend.upload(&[sum[0] + loss], &mut self.value, 0)?)
    }

    /// The slope of the output to where the stack's is expected, where there is no head between them.
    fn hand_down(&mut self, backend: &B) -> Result<()> {
        let read = self.body.read();
        let dense = Span::dense(0, read.rows, self.body.network.outputs());
        Ok(backend.copy(View::new(&self.d_out, dense), ViewMut::new(&mut self.d_y, read))?)
    }

    /// The gradient, from the slope of the output.
    fn backward(&mut self, backend: &B, model: &Model<B, F>, grads: &mut Arena<B, F>) -> Result<()> {
        let draw = Draw { seed: self.options.seed, step: &self.step, samples: &self.samples };
        let draw = self.body.network.stack.has_dropout().then_some(draw);
        self.body.backward(backend, model, draw, (&self.d_out, &mut self.d_y), grads, None)
    }

    /// Runs the network without dropout over `x [T, B, I]` and gives its output `[R, O]` and the
    /// activations of every layer.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where `x` has another size.
    pub fn trace(&mut self, backend: &B, model: &Model<B, F>, x: &[F]) -> Result<(Vec<F>, Vec<LayerTrace>)> {
        load(backend, "x", x, &mut self.body.x)?;
        self.body.forward(backend, model, None, None, None)?;
        let mut out = Vec::new();
        self.body.download_output(backend, &mut out)?;
        let traces = (0..self.body.network.stack.layers.len()).map(|l| self.layer_trace(backend, l));
        Ok((out, traces.collect::<Result<_>>()?))
    }

    /// Runs the network without dropout over `x [T, B, I]` and takes its output `[R, O]`, weighted by `d_out` of the
    /// same shape, back to the input: the gradient of their inner product, `[T, B, I]`.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Shape`] where sizes differ.
    pub fn input_gradient(
        &mut self,
        backend: &B,
        model: &Model<B, F>,
        x: &[F],
        d_out: &[F],
    ) -> Result<Vec<F>> {
        load(backend, "x", x, &mut self.body.x)?;
        load(backend, "d_out", d_out, &mut self.d_out)?;
        self.body.forward(backend, model, None, None, None)?;
        // Those of the parameters come with it, and nobody reads them.
        let mut grads = model.gradients(backend)?;
        if self.body.head(model.params()).is_none() {
            self.hand_down(backend)?;
        }
        let mut d_x = backend.alloc(x.len())?;
        let gradients = (&self.d_out, &mut self.d_y);
        self.body.backward(backend, model, None, gradients, &mut grads, Some(&mut d_x))?;
        let mut host = vec![F::ZERO; x.len()];
        backend.download(&d_x, 0, &mut host)?;
        Ok(host)
    }

    fn layer_trace(&self, backend: &B, l: usize) -> Result<LayerTrace> {
        let (layout, tape) = (&self.body.plan.tape, &self.body.scratch.tape);
        let read = |buffer: &B::Buffer<F>, len: usize| -> Result<Vec<F>> {
            let mut host = vec![F::ZERO; len];
            backend.download(buffer, 0, &mut host)?;
            Ok(host)
        };
        let gates = read(&tape.gates, layout.gates_len)?;
        let cell = read(&tape.cell, layout.cell_len)?;
        let hidden = read(&tape.hidden, layout.hidden_len)?;
        let row = |host: &[F], span: Span, r: usize| -> Vec<f64> {
            (0..span.cols).map(|c| host[span.at(r, c)].to_f64()).collect()
        };
        let mut trace =
            LayerTrace { units: layout.layers[l].units, gates: vec![], cell: vec![], hidden: vec![] };
        for t in 0..layout.steps.len() {
            for r in 0..layout.rows {
                for k in 0..4 {
                    trace.gates.extend(row(&gates, layout.gate(l, t, k), r));
                }
                trace.cell.extend(row(&cell, layout.cell(l, t), r));
                trace.hidden.extend(row(&hidden, layout.hidden(l, t), r));
            }
        }
        Ok(trace)
    }

    /// The sum of losses since it was last taken. Waits for the device.
    ///
    /// # Errors
    /// As [`Backend::download`].
    pub fn take_loss(&mut self, backend: &B) -> Result<f64> {
        let mut value = [0.0];
        backend.download(&self.value, 0, &mut value)?;
        backend.upload(&[0.0], &mut self.value, 0)?;
        Ok(value[0])
    }

    /// Moves the sum of losses since it was last taken onto `to[index]`, without waiting for the device.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Bounds`] where `to` is shorter.
    pub fn move_loss(&mut self, backend: &B, to: &mut B::Buffer<f64>, index: usize) -> Result<()> {
        let (here, one) = (Span::dense(index, 1, 1), Span::dense(0, 1, 1));
        let taken = Operand::of(&self.value, one);
        backend.zip(Binary::Add, Operand::Here(here), taken, ViewMut::new(to, here))?;
        Ok(backend.fill(0.0, ViewMut::new(&mut self.value, one))?)
    }
}

/// Uploads host values that must fill a buffer exactly.
fn load<B: Backend, E: lstm_tensor::Element>(
    backend: &B,
    what: &'static str,
    values: &[E],
    to: &mut B::Buffer<E>,
) -> Result<()> {
    use lstm_tensor::Storage;
    lstm_tensor::Error::check_shape("load batch", what, &[to.len()], &[values.len()])?;
    Ok(backend.upload(values, to, 0)?)
}

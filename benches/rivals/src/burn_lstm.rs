//! burn: `burn::nn::Lstm` on its CPU backend Flex, which multiplies with the crate gemm, AVX-512 included.

use anyhow::{Result, ensure};
use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module, Param};
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig, Lstm, LstmConfig, LstmState};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor, TensorData};
use lstm_benches::case::Case;
use lstm_benches::shape::{Dtype, Read, Shape};
use lstm_benches::worker::{Rival, batch_first};

/// As its manifest says.
pub const VERSION: &str = "0.21, backend Flex";

type Plain = Flex;
type Trained = Autodiff<Plain>;

#[derive(Module, Debug)]
struct Stack<B: Backend> {
    layers: Vec<Lstm<B>>,
    head: Option<Linear<B>>,
}

impl<B: Backend> Stack<B> {
    /// Outputs `[rows, O]` of the read steps, and the states behind the last one.
    fn forward(
        &self,
        shape: &Shape,
        x: Tensor<B, 3>,
        states: &mut Vec<(Tensor<B, 2>, Tensor<B, 2>)>,
    ) -> Tensor<B, 2> {
        let (mut x, before) = (x, std::mem::take(states));
        let mut before = before.into_iter();
        for layer in &self.layers {
            let initial = before.next().map(|(cell, hidden)| LstmState { cell, hidden });
            let (out, last) = layer.forward(x, initial);
            x = out;
            states.push((last.cell, last.hidden));
        }
        let [rows, steps, units] = x.dims();
        let read = match shape.readout {
            Read::Last => x.slice([0..rows, steps - 1..steps, 0..units]).reshape([rows, units]),
            Read::All => x.reshape([rows * steps, units]),
        };
        match &self.head {
            Some(head) => head.forward(read),
            None => read,
        }
    }
}

pub struct Network {
    shape: Shape,
    trained: Stack<Trained>,
    plain: Stack<Plain>,
    batches: Vec<(TensorData, TensorData)>,
    optimizer: OptimizerAdaptor<Adam, Stack<Trained>, Trained>,
    states: Vec<(Tensor<Plain, 2>, Tensor<Plain, 2>)>,
    turn: usize,
}

impl Network {
    pub fn load(case: &Case) -> Result<Self> {
        let shape = case.shape.clone();
        ensure!(shape.dtype == Dtype::F32, "burn's backend Flex is measured in f32 alone");
        let device = Default::default();
        let values = |name: String| {
            let found = case.params.iter().find(|(have, ..)| *have == name);
            found.map(|(_, sizes, values)| (sizes.clone(), values.iter().map(|&v| v as f32).collect::<Vec<_>>()))
        };
        let set = |linear: &mut Linear<Trained>, [weight, bias]: [String; 2], gate: Option<usize>| {
            let [input, output] = linear.weight.dims();
            let rows = gate.unwrap_or(0) * output;
            let Some(((_, weight), (_, bias))) = values(weight).zip(values(bias)) else { return false };
            let weight = TensorData::new(weight[rows * input..][..output * input].to_vec(), [output, input]);
            let weight = Tensor::<Trained, 2>::from_data(weight, &device).transpose();
            linear.weight = Param::from_data(weight.into_data(), &device);
            let bias = TensorData::new(bias[rows..][..output].to_vec(), [output]);
            linear.bias = Some(Param::from_data(bias, &device));
            true
        };
        let (mut layers, mut input, mut complete) = (Vec::new(), shape.inputs, true);
        for (l, &hidden) in shape.hidden.iter().enumerate() {
            let mut layer: Lstm<Trained> = LstmConfig::new(input, hidden, true).init(&device);
            let gates = [&mut layer.input_gate, &mut layer.forget_gate, &mut layer.cell_gate, &mut layer.output_gate];
            for (gate, of) in gates.into_iter().enumerate() {
                let names = |part| [format!("lstm.weight_{part}_l{l}"), format!("lstm.bias_{part}_l{l}")];
                complete &= set(&mut of.input_transform, names("ih"), Some(gate));
                complete &= set(&mut of.hidden_transform, names("hh"), Some(gate));
            }
            layers.push(layer);
            input = hidden;
        }
        let head = (shape.outputs > 0).then(|| {
            let mut head = LinearConfig::new(input, shape.outputs).init(&device);
            complete &= set(&mut head, ["head.weight".into(), "head.bias".into()], None);
            head
        });
        ensure!(complete, "the case has not all weights");
        let trained = Stack { layers, head };
        let data = |(values, sizes): (Vec<f64>, Vec<usize>)| {
            TensorData::new(values.into_iter().map(|value| value as f32).collect(), sizes)
        };
        Ok(Self {
            batches: case.batches.iter().map(|batch| batch_first(&shape, batch).map(data).into()).collect(),
            optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
            plain: trained.valid(),
            trained,
            shape,
            states: Vec::new(),
            turn: 0,
        })
    }

    fn next(&mut self) -> (TensorData, TensorData) {
        self.turn += 1;
        self.batches[(self.turn - 1) % self.batches.len()].clone()
    }
}

impl Rival for Network {
    fn infer(&mut self) -> Result<f64> {
        let (x, _) = self.next();
        if !self.shape.stream {
            self.states.clear();
        }
        let x = Tensor::from_data(x, &Default::default());
        Ok(self.plain.forward(&self.shape, x, &mut self.states).sum().into_scalar().elem())
    }

    fn train(&mut self) -> Result<f64> {
        let (x, target) = self.next();
        let device = Default::default();
        let y = self.trained.forward(&self.shape, Tensor::from_data(x, &device), &mut Vec::new());
        let outputs = y.dims()[1];
        let target = TensorData::new(target.to_vec::<f32>().unwrap_or_default(), [y.dims()[0], outputs]);
        let loss = MseLoss::new().forward(y, Tensor::from_data(target, &device), Reduction::Mean);
        let value = loss.clone().into_scalar().elem();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.trained);
        self.trained = self.optimizer.step(1e-3, self.trained.clone(), gradients);
        Ok(value)
    }

    fn rewind(&mut self) {
        self.turn = 0;
    }
}

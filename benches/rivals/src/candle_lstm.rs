//! candle: `candle_nn::LSTM`, a layer at a time, and its AdamW without decay, which is Adam.

use anyhow::Result;
use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss};
use lstm_benches::case::Case;
use lstm_benches::shape::{Dtype, Read, Shape};
use lstm_benches::worker::{Rival, batch_first};

/// As its manifest says.
pub const VERSION: &str = "0.11";

pub struct Network {
    shape: Shape,
    layers: Vec<LSTM>,
    head: Option<Linear>,
    batches: Vec<(Tensor, Tensor)>,
    optimizer: AdamW,
    states: Vec<LSTMState>,
    turn: usize,
}

impl Network {
    pub fn load(case: &Case) -> Result<Self> {
        let shape = case.shape.clone();
        let dtype = match shape.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
        };
        let tensor = |values: &[f64], sizes: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_slice(values, sizes, &Device::Cpu)?.to_dtype(dtype)?)
        };
        let mut variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, dtype, &Device::Cpu);
        let (mut layers, mut input) = (Vec::new(), shape.inputs);
        for (layer_idx, &hidden) in shape.hidden.iter().enumerate() {
            let config = LSTMConfig { layer_idx, ..LSTMConfig::default() };
            layers.push(LSTM::new(input, hidden, config, builder.pp("lstm"))?);
            input = hidden;
        }
        let head = (shape.outputs > 0).then(|| linear(input, shape.outputs, builder.pp("head"))).transpose()?;
        for (name, sizes, values) in &case.params {
            variables.set_one(name, tensor(values, sizes)?)?;
        }
        let batches = case.batches.iter().map(|batch| {
            let [x, target] = batch_first(&shape, batch);
            let outputs = target.1[target.1.len() - 1];
            let target = tensor(&target.0, &target.1)?.reshape(((), outputs))?;
            Ok((tensor(&x.0, &x.1)?, target))
        });
        let adam = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
        Ok(Self {
            batches: batches.collect::<Result<_>>()?,
            optimizer: AdamW::new(variables.all_vars(), adam)?,
            states: layers.iter().map(|layer| layer.zero_state(shape.batch)).collect::<Result<_, _>>()?,
            shape,
            layers,
            head,
            turn: 0,
        })
    }

    fn next(&mut self) -> (Tensor, Tensor) {
        self.turn += 1;
        self.batches[(self.turn - 1) % self.batches.len()].clone()
    }

    /// Outputs `[rows, O]` of the read steps, and the states behind the last one.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<LSTMState>)> {
        let (mut x, mut last) = (x.clone(), Vec::new());
        for (layer, initial) in self.layers.iter().zip(&self.states) {
            let states = layer.seq_init(&x, initial)?;
            x = layer.states_to_tensor(&states)?;
            last.extend(states.last().cloned());
        }
        let read = match self.shape.readout {
            Read::Last => x.i((.., self.shape.steps - 1, ..))?.contiguous()?,
            Read::All => x.flatten(0, 1)?,
        };
        let y = match &self.head {
            Some(head) => head.forward(&read)?,
            None => read,
        };
        Ok((y, last))
    }
}

impl Rival for Network {
    fn infer(&mut self) -> Result<f64> {
        let (x, _) = self.next();
        let (y, last) = self.forward(&x)?;
        if self.shape.stream {
            self.states = last.iter().map(|state| LSTMState::new(state.h.detach(), state.c.detach())).collect();
        }
        Ok(y.sum_all()?.to_dtype(DType::F64)?.to_scalar()?)
    }

    fn train(&mut self) -> Result<f64> {
        let (x, target) = self.next();
        let loss = loss::mse(&self.forward(&x)?.0, &target)?;
        self.optimizer.backward_step(&loss)?;
        Ok(loss.to_dtype(DType::F64)?.to_scalar()?)
    }

    fn rewind(&mut self) {
        self.turn = 0;
    }
}

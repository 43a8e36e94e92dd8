//! Weights and batches of a shape, drawn or read from a file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lstm_nn::{InitSpec, Network};
use lstm_tensor::philox::{Philox, Purpose};
use safetensors::tensor::{Dtype as Stored, SafeTensors, TensorView};

use crate::shape::{Dtype, Shape};

/// Batches that take turns, so that no pass finds its input where the last one left it.
const BATCHES: u32 = 4;

/// Seed of everything that is drawn.
const SEED: u64 = 20;

/// Factor on the weights of a shape whose states decay.
const TINY: f64 = 1e-3;

/// Name, shape and values of each parameter.
pub type Parameters = Vec<(String, Vec<usize>, Vec<f64>)>;

/// A shape with weights and data.
#[derive(Clone, Debug)]
pub struct Case {
    /// The sizes.
    pub shape: Shape,
    /// Parameters of the network, in the order of its layout.
    pub params: Parameters,
    /// Batches that take turns.
    pub batches: Vec<Batch>,
}

/// Data of one step of training.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Input `[T, B, I]`.
    pub x: Vec<f64>,
    /// Target `[B, O]` or, reading all steps, `[T, B, O]`.
    pub target: Vec<f64>,
}

impl Case {
    /// Weights as PyTorch draws them, normal inputs, targets between -1 and 1; the same in every run.
    ///
    /// # Errors
    /// If no network can have this shape.
    pub fn draw(shape: &Shape) -> Result<Self> {
        let network = shape.network();
        let values = InitSpec::torch().values(&network, SEED)?;
        let layout = network.param_layout();
        let mut params: Parameters =
            layout.entries().iter().zip(values).map(|(e, v)| (e.name.clone(), e.shape.clone(), v)).collect();
        let mut batches: Vec<Batch> = (0..BATCHES).map(|index| batch(shape, &network, index)).collect();
        if shape.decaying {
            for (name, _, values) in &mut params {
                let factor = if name.contains("bias") { 0.0 } else { TINY };
                values.iter_mut().for_each(|value| *value *= factor);
            }
            let heard = shape.steps.div_ceil(10) * shape.batch * shape.inputs;
            batches.iter_mut().for_each(|batch| batch.x[heard..].fill(0.0));
        }
        let mut case = Self { shape: shape.clone(), params, batches };
        case.round();
        Ok(case)
    }

    /// Parameters and one batch from a safetensors file: `lstm.weight_ih_l0` and so on, `head.weight`,
    /// `head.bias`, `x`, `target`; or the same names behind the name of the shape and a dot.
    ///
    /// # Errors
    /// If the file cannot be read, or a tensor is missing or has another shape.
    pub fn read(shape: &Shape, path: &Path) -> Result<Self> {
        Self::with_batches(shape, path, &[["x", "target"]])
    }

    /// What [`Case::write`] wrote of so many batches.
    ///
    /// # Errors
    /// As [`Case::read`].
    pub fn handed(shape: &Shape, path: &Path, batches: usize) -> Result<Self> {
        let names: Vec<_> =
            (0..batches).map(|index| [format!("x.{index}"), format!("target.{index}")]).collect();
        Self::with_batches(shape, path, &names)
    }

    fn with_batches<N: AsRef<str>>(shape: &Shape, path: &Path, names: &[[N; 2]]) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file = SafeTensors::deserialize(&bytes);
        let file = file.with_context(|| format!("{} is no safetensors file", path.display()))?;
        let get = |name: &str, wanted: &[usize]| -> Result<Vec<f64>> {
            let tensor = file.tensor(&format!("{}.{name}", shape.name)).or_else(|_| file.tensor(name));
            let tensor = tensor
                .with_context(|| format!("{} has no tensor {name} for {}", path.display(), shape.name))?;
            ensure!(
                tensor.shape() == wanted,
                "{}: {name} has shape {:?}, {} needs {wanted:?}",
                path.display(),
                tensor.shape(),
                shape.name
            );
            decode(&tensor).with_context(|| format!("{}: {name}", path.display()))
        };
        let network = shape.network();
        let mut params = Parameters::new();
        for entry in network.param_layout().entries() {
            params.push((entry.name.clone(), entry.shape.clone(), get(&entry.name, &entry.shape)?));
        }
        let [x, target] = data_shapes(shape, &network);
        let batches = names.iter().map(|[of_x, of_target]| {
            Ok(Batch { x: get(of_x.as_ref(), &x)?, target: get(of_target.as_ref(), &target)? })
        });
        let batches = batches.collect::<Result<_>>()?;
        let mut case = Self { shape: shape.clone(), params, batches };
        case.round();
        Ok(case)
    }

    /// Writes parameters and batches (`x.0`, `target.0`, `x.1`, …) in the element type of the shape.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let network = self.shape.network();
        let [x, target] = data_shapes(&self.shape, &network);
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = self
            .params
            .iter()
            .map(|(name, shape, values)| (name.clone(), (shape.clone(), self.encode(values))))
            .collect();
        for (index, batch) in self.batches.iter().enumerate() {
            tensors.insert(format!("x.{index}"), (x.clone(), self.encode(&batch.x)));
            tensors.insert(format!("target.{index}"), (target.clone(), self.encode(&batch.target)));
        }
        let stored = match self.shape.dtype {
            Dtype::F32 => Stored::F32,
            Dtype::F64 => Stored::F64,
        };
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            Ok((name.as_str(), TensorView::new(stored, shape.clone(), bytes)?))
        });
        let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?;
        std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The first rows and steps of the case.
    #[must_use]
    pub fn part(&self, rows: usize, steps: usize) -> Self {
        let shape = Shape { batch: rows, steps, ..self.shape.clone() };
        let [x, target] = data_shapes(&self.shape, &self.shape.network());
        let cut = |values: &[f64], shape: &[usize]| -> Vec<f64> {
            let columns = shape[shape.len() - 1];
            let blocks = values.chunks(self.shape.batch * columns).take(steps);
            blocks.flat_map(|block| &block[..rows * columns]).copied().collect()
        };
        let batches = self.batches.iter();
        let batches = batches.map(|b| Batch { x: cut(&b.x, &x), target: cut(&b.target, &target) }).collect();
        Self { shape, params: self.params.clone(), batches }
    }

    /// The same case with every number changed by one rounding error, up or down by the draw `index`.
    #[must_use]
    pub fn perturbed(&self, index: u32) -> Self {
        let eps = match self.shape.dtype {
            Dtype::F32 => f64::from(f32::EPSILON),
            Dtype::F64 => f64::EPSILON,
        };
        let mut signs = Philox::new(1, Purpose::Data, index);
        let mut case = self.clone();
        for value in case.numbers() {
            *value *= 1.0 + if signs.uniform() < 0.5 { eps } else { -eps };
        }
        case.round();
        case
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        let params = self.params.iter_mut().flat_map(|(_, _, values)| values);
        params.chain(self.batches.iter_mut().flat_map(|batch| batch.x.iter_mut().chain(&mut batch.target)))
    }

    /// Makes every number one that the element type has, so that all who calculate start from the same.
    fn round(&mut self) {
        if self.shape.dtype == Dtype::F32 {
            self.numbers().for_each(|value| *value = f64::from(*value as f32));
        }
    }

    fn encode(&self, values: &[f64]) -> Vec<u8> {
        match self.shape.dtype {
            Dtype::F32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

fn batch(shape: &Shape, network: &Network, index: u32) -> Batch {
    let mut stream = Philox::new(SEED, Purpose::Data, index);
    let [x, target] = data_shapes(shape, network).map(|shape| shape.iter().product::<usize>());
    Batch {
        x: (0..x).map(|_| stream.normal()).collect(),
        target: (0..target).map(|_| 2.0 * stream.uniform() - 1.0).collect(),
    }
}

/// Shapes of input and target.
fn data_shapes(shape: &Shape, network: &Network) -> [Vec<usize>; 2] {
    let rows = network.output_rows(shape.steps, shape.batch);
    let mut target = vec![shape.batch, network.outputs()];
    if rows > shape.batch {
        target.insert(0, shape.steps);
    }
    [vec![shape.steps, shape.batch, shape.inputs], target]
}

fn decode(tensor: &TensorView<'_>) -> Result<Vec<f64>> {
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Stored::F32 => data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
        Stored::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        other => bail!("elements are {other:?}, must be F32 or F64"),
    })
}

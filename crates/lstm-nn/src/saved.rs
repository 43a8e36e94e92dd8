//! Models as safetensors files: tensors under PyTorch's names, everything else as one canonical JSON
//! entry of the metadata. The same model gives the same bytes.

use crate::sealed::{Sealed, plain};
use crate::{Error, Model, Network, Result, durable};
use lstm_tensor::{Backend, Bias, Float};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

/// What kind of sealed file it is.
const KIND: &str = "model";
/// Versions of its form that are read; 1 had no digest.
const VERSIONS: RangeInclusive<u32> = 2..=4;
/// The least that says all: networks of one shape are in 2, of several in 3, those with embeddings in 4.
fn version(networks: &[&Network]) -> u32 {
    if networks.iter().any(|network| network.embedding.is_some()) {
        4
    } else if networks.windows(2).any(|pair| pair[0] != pair[1]) {
        3
    } else {
        2
    }
}

/// More networks than anybody averages.
const MOST_MODELS: usize = 10_000;

/// What a model file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    network: Network,
    /// Networks in the file.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    models: usize,
    /// Those behind the first, where they are not all like it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Network>,
    /// What the caller needs to use the model: scalers, columns, lookback.
    task: serde_json::Value,
}

const fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_one(models: &usize) -> bool {
    *models == 1
}

/// Numbers that a writer keeps beside its models, in f64 whatever the models are stored in.
pub type Extra = BTreeMap<String, Vec<f64>>;

/// Prefix of the names of [`Extra`] tensors.
const EXTRA: &str = "task.";

/// Name of a tensor of the model with this index; those of the first stand under their bare names.
#[must_use]
pub fn name_of(model: usize, tensor: &str) -> String {
    if model == 0 { tensor.to_owned() } else { format!("{model}.{tensor}") }
}

/// A model read from a file, on the host.
#[derive(Clone, Debug)]
pub struct SavedModel {
    /// The network; of several, the first.
    pub network: Network,
    /// What the writer stored beside it.
    pub task: serde_json::Value,
    /// Element type the parameters were stored in, `"f32"` or `"f64"`.
    pub dtype: &'static str,
    /// What the writer kept beside it as numbers.
    pub extra: Extra,
    /// Each network and its parameters.
    models: Vec<(Network, BTreeMap<String, Vec<f64>>)>,
}

impl SavedModel {
    /// The model on a backend; of several, the first.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn load<B: Backend, F: Float>(&self, backend: &B) -> Result<Model<B, F>> {
        self.load_nth(backend, 0)
    }

    /// The model with this index.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is none, [`lstm_tensor::Error::Memory`].
    pub fn load_nth<B: Backend, F: Float>(&self, backend: &B, index: usize) -> Result<Model<B, F>> {
        let model = self.models.get(index).ok_or_else(|| Error::Invalid {
            what: "index of a model",
            value: index.to_string(),
            must: format!("below {}", self.networks()),
        })?;
        load(backend, model)
    }

    /// Number of models in the file.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.models.len()
    }

    /// All models of the file on a backend.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn load_all<B: Backend, F: Float>(&self, backend: &B) -> Result<Vec<Model<B, F>>> {
        self.models.iter().map(|model| load(backend, model)).collect()
    }

    /// The networks, in the order of the models.
    pub fn each_network(&self) -> impl Iterator<Item = &Network> {
        self.models.iter().map(|(network, _)| network)
    }
}

fn load<B: Backend, F: Float>(
    backend: &B,
    (network, tensors): &(Network, BTreeMap<String, Vec<f64>>),
) -> Result<Model<B, F>> {
    let mut model = Model::zeros(backend, network.clone())?;
    for (name, values) in tensors {
        let values: Vec<F> = values.iter().map(|&v| F::from_f64(v)).collect();
        model.params_mut().set(backend, name, &values)?;
    }
    Ok(model)
}

/// The bytes of a model file.
///
/// # Errors
/// [`Error::Format`] for a task that is no plain JSON.
pub fn to_bytes<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    task: &serde_json::Value,
) -> Result<Vec<u8>> {
    all_to_bytes(backend, std::slice::from_ref(model), &Extra::new(), task)
}

/// The bytes of a file with several models, at least one, and what is kept beside them; in the oldest form that can say it.
///
/// # Errors
/// [`Error::Invalid`] for no models, [`Error::Format`] for a task that is no plain JSON.
pub fn all_to_bytes<'a, B: Backend + 'a, F: Float + 'a>(
    backend: &B,
    models: impl IntoIterator<Item = &'a Model<B, F>>,
    extra: &Extra,
    task: &serde_json::Value,
) -> Result<Vec<u8>> {
    let models: Vec<_> = models.into_iter().collect();
    let Some((first, rest)) = models.split_first() else {
        return Err(Error::Invalid { what: "models", value: "none".into(), must: "one or more".into() });
    };
    let alike = rest.iter().all(|model| model.network() == first.network());
    let others = if alike { Vec::new() } else { rest.iter().map(|m| m.network().clone()).collect() };
    let header =
        Header { network: first.network().clone(), models: models.len(), others, task: task.clone() };
    let header = serde_json::to_value(&header).map_err(|error| Error::Invalid {
        what: "task",
        value: error.to_string(),
        must: "plain JSON".into(),
    })?;
    let networks: Vec<&Network> = models.iter().map(|model| model.network()).collect();
    let mut file = Sealed::new(KIND, version(&networks), header);
    for (index, model) in models.iter().enumerate() {
        for entry in model.params().layout().entries() {
            let values = model.params().get(backend, &entry.name)?;
            file.put(&name_of(index, &entry.name), &entry.shape, &values);
        }
    }
    for (name, values) in extra {
        file.put(&format!("{EXTRA}{name}"), &[values.len()], values);
    }
    file.to_bytes()
}

/// Writes a model file.
///
/// # Errors
/// [`Error::Io`].
pub fn write<B: Backend, F: Float>(
    backend: &B,
    model: &Model<B, F>,
    task: &serde_json::Value,
    path: &Path,
) -> Result<()> {
    durable::write(path, &to_bytes(backend, model, task)?)
}

/// Reads a model file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is no model, is damaged or of another version.
pub fn read(path: &Path) -> Result<SavedModel> {
    let refuse = |why| Error::Format { path: path.to_owned(), what: KIND, why };
    from_sealed(&Sealed::read(path, KIND, VERSIONS)?).map_err(refuse)
}

fn from_sealed(file: &Sealed) -> std::result::Result<SavedModel, String> {
    let header: Header = serde_json::from_value(file.about().clone()).map_err(|e| e.to_string())?;
    let Header { network, models: count, others, task } = header;
    if !(1..=MOST_MODELS).contains(&count) {
        return Err(format!("it says that it holds {count} models"));
    }
    if !others.is_empty() && others.len() + 1 != count {
        return Err(format!("it describes {} networks and holds {}", others.len() + 1, count));
    }
    let (mut models, mut dtype, mut known) = (Vec::new(), "f32", HashSet::new());
    for index in 0..count {
        let network = index.checked_sub(1).and_then(|at| others.get(at)).unwrap_or(&network);
        network.validate().map_err(|e| e.to_string())?;
        let mut own = BTreeMap::new();
        for entry in network.param_layout().entries() {
            let name = name_of(index, &entry.name);
            let shape = file.shape(&name).ok_or_else(|| format!("tensor {name} is missing"))?;
            if shape != entry.shape {
                return Err(format!(
                    "tensor {name} has shape {shape:?}, its network needs {:?}",
                    entry.shape
                ));
            }
            if file.get::<f64>(&name).is_some() {
                dtype = "f64";
            }
            own.insert(entry.name.clone(), finite(file, &name)?);
            known.insert(name);
        }
        models.push((network.clone(), own));
    }
    let mut extra = Extra::new();
    for name in file.names() {
        if let Some(bare) = name.strip_prefix(EXTRA) {
            extra.insert(bare.to_owned(), finite(file, name)?);
        } else if !known.contains(name) {
            return Err(format!("tensor {name} does not belong to its network"));
        }
    }
    Ok(SavedModel { network, task, dtype, extra, models })
}

/// The numbers of a tensor, whatever it is stored in.
fn finite(file: &Sealed, name: &str) -> std::result::Result<Vec<f64>, String> {
    let narrow = || file.get::<f32>(name).map(|values| values.into_iter().map(f64::from).collect());
    let values: Vec<f64> = file
        .get(name)
        .or_else(narrow)
        .ok_or_else(|| format!("tensor {name} holds neither 32-bit nor 64-bit floating-point numbers"))?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(format!("tensor {name} holds {} at index {index}", values[index])),
        None => Ok(values),
    }
}

/// The stack alone, without embedding and head, under the bare names that `torch.nn.LSTM.load_state_dict` takes. A run-time forget
/// bias is added to `bias_ih`; a missing second bias becomes zeros.
///
/// # Errors
/// [`Error::Invalid`] where `torch.nn.LSTM` has no such form: layers of different width, a forget bias
/// without a bias vector, or biases in some layers only.
pub fn to_torch_lstm<B: Backend, F: Float>(backend: &B, model: &Model<B, F>) -> Result<Vec<u8>> {
    let stack = &model.network().stack;
    let refuse = |value: String, must: &str| Err(Error::Invalid { what: "stack", value, must: must.into() });
    let first = &stack.layers[0];
    if stack.layers.iter().any(|layer| layer.hidden != first.hidden) {
        let widths: Vec<_> = stack.layers.iter().map(|layer| layer.hidden).collect();
        return refuse(
            format!("of layers with {widths:?} units"),
            "of layers of equal width for torch-lstm, as torch.nn.LSTM knows one hidden size only",
        );
    }
    let without = stack.layers.iter().filter(|layer| layer.cell.bias == Bias::None).count();
    if without != 0 && without != stack.layers.len() {
        return refuse("partly without bias".into(), "with or without bias as a whole for torch-lstm");
    }
    let mut tensors = BTreeMap::new();
    for (l, layer) in stack.layers.iter().enumerate() {
        if layer.cell.bias == Bias::None && layer.cell.forget_bias != 0.0 {
            return refuse("without bias but with a forget bias".into(), "with bias for torch-lstm");
        }
        for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
            let name = format!("{name}_l{l}");
            let Some(entry) = model.params().layout().get(&format!("lstm.{name}")) else { continue };
            let mut values = model.params().get(backend, &entry.name)?;
            if name.starts_with("bias_ih") {
                for value in &mut values[layer.hidden..2 * layer.hidden] {
                    *value += F::from_f64(layer.cell.forget_bias);
                }
            }
            tensors.insert(name, (entry.shape.clone(), values));
        }
        if layer.cell.bias == Bias::One {
            let size = 4 * layer.hidden;
            tensors.insert(format!("bias_hh_l{l}"), (vec![size], vec![F::ZERO; size]));
        }
    }
    plain(&tensors)
}

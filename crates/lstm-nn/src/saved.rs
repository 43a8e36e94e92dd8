//! Models as safetensors files: tensors under PyTorch's names, everything else as one canonical JSON
//! entry of the metadata. The same model gives the same bytes.

use crate::{Error, Model, Network, Result};
use lstm_tensor::{Backend, Bias, Float};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{Error as IoError, Write};
use std::path::Path;

/// Name of the metadata entry.
const ENTRY: &str = "lstm";
/// Version of the entry's form.
const VERSION: u32 = 1;
/// Largest file that is read.
const MAX_BYTES: u64 = 8 << 30;
/// More networks than anybody averages.
const MOST_MODELS: usize = 10_000;

/// What a model file says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    network: Network,
    /// Networks of one shape in the file.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    models: usize,
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
fn name_of(model: usize, tensor: &str) -> String {
    if model == 0 { tensor.to_owned() } else { format!("{model}.{tensor}") }
}

/// A model read from a file, on the host.
#[derive(Clone, Debug)]
pub struct SavedModel {
    /// The network.
    pub network: Network,
    /// What the writer stored beside it.
    pub task: serde_json::Value,
    /// Element type the parameters were stored in, `"f32"` or `"f64"`.
    pub dtype: &'static str,
    /// What the writer kept beside it as numbers.
    pub extra: Extra,
    /// One set of parameters for each network.
    tensors: Vec<BTreeMap<String, Vec<f64>>>,
}

impl SavedModel {
    /// The model on a backend; of several, the first.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn load<B: Backend, F: Float>(&self, backend: &B) -> Result<Model<B, F>> {
        self.load_one(backend, &self.tensors[0])
    }

    /// Number of models in the file.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.tensors.len()
    }

    /// All models of the file on a backend.
    ///
    /// # Errors
    /// [`lstm_tensor::Error::Memory`].
    pub fn load_all<B: Backend, F: Float>(&self, backend: &B) -> Result<Vec<Model<B, F>>> {
        self.tensors.iter().map(|tensors| self.load_one(backend, tensors)).collect()
    }

    fn load_one<B: Backend, F: Float>(
        &self,
        backend: &B,
        tensors: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Model<B, F>> {
        let mut model = Model::zeros(backend, self.network.clone())?;
        for (name, values) in tensors {
            let values: Vec<F> = values.iter().map(|&v| F::from_f64(v)).collect();
            model.params_mut().set(backend, name, &values)?;
        }
        Ok(model)
    }
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

/// The bytes of a file with several models of one network, at least one, and what is kept beside them.
///
/// # Errors
/// [`Error::Invalid`] for no models or models of different networks, [`Error::Format`] for a task that is no
/// plain JSON.
pub fn all_to_bytes<B: Backend, F: Float>(
    backend: &B,
    models: &[Model<B, F>],
    extra: &Extra,
    task: &serde_json::Value,
) -> Result<Vec<u8>> {
    let alike = models.first().filter(|first| models.iter().all(|model| model.network() == first.network()));
    let Some(first) = alike else {
        return Err(Error::Invalid {
            what: "models",
            value: format!("{} of different networks, or none", models.len()),
            must: "one or more of the same network".into(),
        });
    };
    let header = Header {
        version: VERSION,
        network: first.network().clone(),
        models: models.len(),
        task: task.clone(),
    };
    // Through a value, because its maps are sorted: the canonical form.
    let json = serde_json::to_value(&header).map_err(|e| unwritable(&e))?.to_string();
    let mut tensors = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        for entry in model.params().layout().entries() {
            let values = model.params().get(backend, &entry.name)?;
            tensors.insert(name_of(index, &entry.name), Raw::new(&entry.shape, &values));
        }
    }
    for (name, values) in extra {
        tensors.insert(format!("{EXTRA}{name}"), Raw::new(&[values.len()], values));
    }
    encode(&tensors, Some(HashMap::from([(ENTRY.to_owned(), json)])))
}

/// A tensor as its bytes.
struct Raw {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Raw {
    fn new<F: Float>(shape: &[usize], values: &[F]) -> Self {
        let dtype = if F::NAME == "f64" { Dtype::F64 } else { Dtype::F32 };
        let bytes = values.iter().flat_map(|v| match dtype {
            Dtype::F64 => v.to_f64().to_le_bytes().to_vec(),
            _ => (v.to_f64() as f32).to_le_bytes().to_vec(),
        });
        Self { dtype, shape: shape.to_vec(), bytes: bytes.collect() }
    }
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
    write_atomic(path, &to_bytes(backend, model, task)?)
}

/// Reads a model file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is no model, is damaged or of a
/// later version.
pub fn read(path: &Path) -> Result<SavedModel> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(io)?;
    if !size.is_file() {
        return Err(Error::Format { path: path.to_owned(), why: "it is not a file".into() });
    }
    if size.len() > MAX_BYTES {
        return Err(Error::Format { path: path.to_owned(), why: "it is larger than 8 GiB".into() });
    }
    from_bytes(&std::fs::read(path).map_err(io)?).map_err(|why| Error::Format { path: path.to_owned(), why })
}

fn from_bytes(bytes: &[u8]) -> std::result::Result<SavedModel, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(ENTRY));
    let json = json.ok_or("it has no `lstm` metadata, so it was not written by this program")?;
    let version: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    match version.get("version").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(VERSION) => {}
        Some(v) => return Err(format!("it has version {v}, this program reads version {VERSION}")),
        None => return Err("its metadata has no version".into()),
    }
    let header: Header = serde_json::from_value(version).map_err(|e| e.to_string())?;
    header.network.validate().map_err(|e| e.to_string())?;
    if !(1..=MOST_MODELS).contains(&header.models) {
        return Err(format!("it says that it holds {} models", header.models));
    }
    let layout = header.network.param_layout();
    let (mut tensors, mut dtype, mut known) = (Vec::new(), "f32", HashSet::new());
    for model in 0..header.models {
        let mut own = BTreeMap::new();
        for entry in layout.entries() {
            let name = name_of(model, &entry.name);
            let tensor = file.tensor(&name).map_err(|_| format!("tensor {name} is missing"))?;
            if tensor.shape() != entry.shape {
                return Err(format!(
                    "tensor {name} has shape {:?}, its network needs {:?}",
                    tensor.shape(),
                    entry.shape
                ));
            }
            if tensor.dtype() == Dtype::F64 {
                dtype = "f64";
            }
            own.insert(entry.name.clone(), finite(&name, &tensor)?);
            known.insert(name);
        }
        tensors.push(own);
    }
    let mut extra = Extra::new();
    for name in file.names() {
        if let Some(bare) = name.strip_prefix(EXTRA) {
            let tensor = file.tensor(name).map_err(|e| e.to_string())?;
            extra.insert(bare.to_owned(), finite(name, &tensor)?);
        } else if !known.contains(name) {
            return Err(format!("tensor {name} does not belong to its network"));
        }
    }
    Ok(SavedModel { network: header.network, task: header.task, dtype, extra, tensors })
}

/// The numbers of a tensor.
fn finite(name: &str, tensor: &TensorView<'_>) -> std::result::Result<Vec<f64>, String> {
    let values = decode(tensor).map_err(|e| format!("tensor {name}: {e}"))?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(format!("tensor {name} holds {} at index {index}", values[index])),
        None => Ok(values),
    }
}

/// The stack alone, under the bare names that `torch.nn.LSTM.load_state_dict` takes. A run-time forget
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
            tensors.insert(name, Raw::new(&entry.shape, &values));
        }
        if layer.cell.bias == Bias::One {
            let zeros = vec![F::ZERO; 4 * layer.hidden];
            tensors.insert(format!("bias_hh_l{l}"), Raw::new(&[4 * layer.hidden], &zeros));
        }
    }
    encode(&tensors, None)
}

fn encode(tensors: &BTreeMap<String, Raw>, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(name, raw)| Ok((name, TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| unwritable(&e))?;
    serialize(views, metadata).map_err(|e| unwritable(&e))
}

fn decode(tensor: &TensorView<'_>) -> std::result::Result<Vec<f64>, String> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()),
        Dtype::F64 => Ok(data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        other => Err(format!("element type {other:?} is not F32 or F64")),
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::Invalid { what: "model", value: error.to_string(), must: "a set of plain tensors".into() }
}

/// Writes a file so that it is never seen half-written: temporary name beside it, synced, renamed,
/// folder synced.
///
/// # Errors
/// [`Error::Io`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| io(IoError::other("not a file name")))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(|source| {
        // The write has failed already; a leftover that cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&temporary);
        io(source)
    })
}

//! Sealed files: safetensors with one entry of canonical JSON and one digest over every byte. The same content gives the
//! same bytes, a changed bit is noticed, and any reader of safetensors reads the tensors.

use crate::{Error, Result};
use lstm_tensor::Float;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

/// Name of the metadata entry.
const ENTRY: &str = "lstm";
/// Largest file that is read.
const MAX_BYTES: u64 = 8 << 30;
/// Bytes of the header's length, at the beginning of the file.
const LENGTH: usize = 8;
/// What stands in the place of the digest while it is computed.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands before the digest in the file: the first key of the entry, quoted because the entry is a string.
const BEFORE_DIGEST: &str = r#"{\"digest\":\""#;

/// Tensors by name, and what else is to be said.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    kind: String,
    version: u32,
    about: Value,
    tensors: BTreeMap<String, Raw>,
}

/// A tensor as its bytes.
#[derive(Clone, Debug, PartialEq)]
struct Raw {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Raw {
    fn new<F: Float>(shape: &[usize], values: &[F]) -> Self {
        let dtype = dtype::<F>();
        let bytes = values.iter().flat_map(|v| match dtype {
            Dtype::F64 => v.to_f64().to_le_bytes().to_vec(),
            _ => (v.to_f64() as f32).to_le_bytes().to_vec(),
        });
        Self { dtype, shape: shape.to_vec(), bytes: bytes.collect() }
    }
}

fn dtype<F: Float>() -> Dtype {
    if F::NAME == "f64" { Dtype::F64 } else { Dtype::F32 }
}

impl Sealed {
    /// A file of a kind and a version of that kind, which says `about`, before its first tensor.
    #[must_use]
    pub fn new(kind: &str, version: u32, about: Value) -> Self {
        Self { kind: kind.to_owned(), version, about, tensors: BTreeMap::new() }
    }

    /// What it says besides its tensors.
    #[must_use]
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Names of its tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Adds a tensor.
    pub fn put<F: Float>(&mut self, name: &str, shape: &[usize], values: &[F]) {
        self.tensors.insert(name.to_owned(), Raw::new(shape, values));
    }

    /// Shape of a tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|raw| raw.shape.as_slice())
    }

    /// Values of a tensor that is stored in this type, bit for bit.
    #[must_use]
    pub fn get<F: Float>(&self, name: &str) -> Option<Vec<F>> {
        let raw = self.tensors.get(name).filter(|raw| raw.dtype == dtype::<F>())?;
        Some(match raw.dtype {
            Dtype::F64 => {
                raw.bytes.as_chunks().0.iter().map(|b| F::from_f64(f64::from_le_bytes(*b))).collect()
            }
            _ => raw.bytes.as_chunks().0.iter().map(|b| F::from_f64(f32::from_le_bytes(*b).into())).collect(),
        })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a tensor whose shape does not fit its values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // Maps of a JSON value are sorted: the canonical form.
        let entry =
            json!({ "digest": BLANK, "kind": self.kind, "says": self.about, "version": self.version });
        let metadata = HashMap::from([(ENTRY.to_owned(), entry.to_string())]);
        let mut bytes = encode(&self.tensors, Some(metadata))?;
        let place = LENGTH + digest_place(&bytes[LENGTH..]).map_err(|why| unwritable(&why))?;
        let digest = digest(&bytes, place);
        bytes[place..place + BLANK.len()].copy_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// Reads a file of this kind and one of these versions.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is damaged or something else.
    pub fn read(path: &Path, kind: &'static str, versions: RangeInclusive<u32>) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let refuse = |why: String| Error::Format { path: path.to_owned(), what: kind, why };
        let file = std::fs::metadata(path).map_err(io)?;
        if !file.is_file() {
            return Err(refuse("it is not a file".into()));
        }
        if file.len() > MAX_BYTES {
            return Err(refuse("it is larger than 8 GiB".into()));
        }
        Self::from_bytes(&std::fs::read(path).map_err(io)?, kind, &versions).map_err(refuse)
    }

    fn from_bytes(
        bytes: &[u8],
        kind: &str,
        versions: &RangeInclusive<u32>,
    ) -> std::result::Result<Self, String> {
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let header = &bytes[LENGTH..][..header];
        serde_json::from_slice::<DistinctNames>(header).map_err(|e| e.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let entry = metadata.metadata().as_ref().and_then(|m| m.get(ENTRY));
        let entry = entry.ok_or("it has no `lstm` metadata, so it was not written by this program")?;
        let mut entry: Value = serde_json::from_str(entry).map_err(|e| e.to_string())?;
        let found = entry.get("version").and_then(Value::as_u64).ok_or("its metadata has no version")?;
        let version = u32::try_from(found).ok().filter(|found| versions.contains(found));
        let version = version.ok_or_else(|| match (versions.start(), versions.end()) {
            (first, last) if first == last => {
                format!("it has version {found}, this program reads version {last}")
            }
            (first, last) => {
                format!("it has version {found}, this program reads versions {first} to {last}")
            }
        })?;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("kind") != kind {
            return Err(format!("it is a {:?}", text("kind")));
        }
        let place = LENGTH + digest_place(header)?;
        if text("digest") != digest(bytes, place) {
            return Err("it is damaged: its digest is not that of its bytes".into());
        }
        let tensor = |(name, view): (String, TensorView<'_>)| {
            (name, Raw { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() })
        };
        Ok(Self {
            kind: kind.to_owned(),
            version,
            about: entry["says"].take(),
            tensors: file.tensors().into_iter().map(tensor).collect(),
        })
    }
}

/// Tensors alone, as a plain file of safetensors.
///
/// # Errors
/// As [`Sealed::to_bytes`].
pub(crate) fn plain<F: Float>(tensors: &BTreeMap<String, (Vec<usize>, Vec<F>)>) -> Result<Vec<u8>> {
    let raw =
        |(name, (shape, values)): (&String, &(Vec<usize>, Vec<F>))| (name.clone(), Raw::new(shape, values));
    encode(&tensors.iter().map(raw).collect(), None)
}

fn encode(tensors: &BTreeMap<String, Raw>, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(name, raw)| Ok((name, TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| unwritable(&e))?;
    serialize(views, metadata).map_err(|e| unwritable(&e))
}

/// Names of a header, none of them twice: a plain map would keep the last of two tensors with one name.
struct DistinctNames;

impl<'de> Deserialize<'de> for DistinctNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for DistinctNames {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            if let Some(twice) = names.replace(name) {
                return Err(serde::de::Error::custom(format!("{twice} stands in it twice")));
            }
        }
        Ok(self)
    }
}

/// Where the digest stands in the header of a file.
fn digest_place(header: &[u8]) -> std::result::Result<usize, String> {
    let found = header.windows(BEFORE_DIGEST.len()).position(|window| window == BEFORE_DIGEST.as_bytes());
    found
        .map(|place| place + BEFORE_DIGEST.len())
        .filter(|place| place + BLANK.len() <= header.len())
        .ok_or_else(|| "its metadata has no digest".into())
}

/// SHA-256 of the bytes with the digest's own place blank, in hexadecimal digits.
fn digest(bytes: &[u8], place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..place]);
    hash.update(BLANK);
    hash.update(&bytes[place + BLANK.len()..]);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::Invalid { what: "file", value: error.to_string(), must: "a set of plain tensors".into() }
}

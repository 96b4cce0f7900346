//! Weights on disk: one safetensors file, or shards with an index, mapped and never copied.

mod convert;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use onr_graphs::{DType, ModelConfig, model::weights::checkpoint as specs};
use onr_onnx::{Mapped, confined};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

pub use convert::{Narrowing, convert, dither};
pub use write::write;

use crate::{
    artifact::{self, FileRecord},
    config::nearest,
    error::ExportError,
};

/// An open checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    file: usize,
    bytes: Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// One stored tensor.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Its element type, as the file names it.
    pub dtype: Dtype,
    /// Sizes of the axes.
    pub shape: &'a [usize],
    /// Row-major, little-endian.
    pub bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Pieces of a tensor of type `dtype`, each with the index of its first element: what is checked,
    /// converted, hashed, compared or written at a time.
    pub(crate) fn chunks(self, dtype: DType) -> impl Iterator<Item = (usize, &'a [u8])> {
        const CHUNK: usize = 1 << 20;
        let pieces = self.bytes.chunks(CHUNK).enumerate();
        pieces.map(move |(i, piece)| (i * CHUNK / dtype.size(), piece))
    }
}

/// A checkpoint as manifests record it: where it lay, and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Path as it was given.
    pub path: PathBuf,
    /// SHA-256 of the file; of the index and all shards, one after the other, when it is sharded.
    pub sha256: String,
    /// Bytes of all files.
    pub size: u64,
    /// `true` for the random weights of `onr init`.
    pub untrained: bool,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the `*.index.json` of a sharded checkpoint.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Format`] for a header that lies or a truncated file,
    /// [`ExportError::Escape`] for a shard outside the index's directory.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        let mut checkpoint = Self {
            path: path.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            metadata: BTreeMap::new(),
        };
        if path.extension().is_some_and(|e| e == "json") {
            checkpoint.open_shards(path)?;
        } else {
            checkpoint.open_file(path, None)?;
        }
        Ok(checkpoint)
    }

    fn open_shards(&mut self, index: &Path) -> Result<(), ExportError> {
        let text = fs::read_to_string(index).map_err(|cause| ExportError::read(index, cause))?;
        let parsed: ShardIndex = serde_json::from_str(&text).map_err(|e| ExportError::Format {
            file: index.to_owned(),
            reason: format!("as an index of shards: {e}"),
        })?;
        let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (key, shard) in &parsed.weight_map {
            shards.entry(shard).or_default().insert(key);
        }
        for (shard, keys) in shards {
            let file = confined(index, shard)?;
            self.open_file(&file, Some(&keys))?;
        }
        Ok(())
    }

    /// Maps one file and notes its tensors, or those that the index places there.
    fn open_file(&mut self, path: &Path, keys: Option<&BTreeSet<&str>>) -> Result<(), ExportError> {
        let format = |reason: String| ExportError::Format { file: path.to_owned(), reason };
        let mapped = Mapped::open(path)?;
        let refuse = |e: SafeTensorError| match e {
            // In the words of the library: "incomplete metadata, file not fully covered".
            SafeTensorError::MetadataIncompleteBuffer => {
                let length = mapped.bytes().len();
                format(format!("its header does not describe the {length} bytes that it has"))
            }
            other => format(other.to_string()),
        };
        let (header, _) = SafeTensors::read_metadata(mapped.bytes()).map_err(refuse)?;
        let parsed = SafeTensors::deserialize(mapped.bytes()).map_err(refuse)?;
        let base = mapped.bytes().as_ptr() as usize;
        for (key, view) in parsed.iter() {
            if keys.is_some_and(|keys| !keys.contains(key)) {
                continue;
            }
            let start = view.data().as_ptr() as usize - base;
            let entry = Entry {
                file: self.files.len(),
                bytes: start..start + view.data().len(),
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
            };
            self.tensors.insert(key.to_owned(), entry);
        }
        if let Some(absent) = keys.and_then(|k| k.iter().find(|k| !self.tensors.contains_key(**k)))
        {
            return Err(format(format!(
                "the index says that it holds `{absent}`, and it does not"
            )));
        }
        if let Some(own) = header_metadata(mapped.bytes(), header) {
            self.metadata.extend(own);
        }
        self.files.push(mapped);
        Ok(())
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Strings from the files' headers.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensor of that name.
    #[must_use]
    pub fn tensor(&self, key: &str) -> Option<Stored<'_>> {
        let entry = self.tensors.get(key)?;
        Some(Stored {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &self.files[entry.file].bytes()[entry.bytes.clone()],
        })
    }

    /// All names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Checks presence, shape and type of every tensor of the model; `skip` names tensors that this
    /// export does not need.
    ///
    /// Returns the names that the model does not have.
    ///
    /// # Errors
    /// [`ExportError::Weights`] with every problem; under `strict` unknown names are problems too.
    pub fn check(
        &self,
        cfg: &ModelConfig,
        skip: &dyn Fn(&str) -> bool,
        strict: bool,
    ) -> Result<Vec<String>, ExportError> {
        let specs = specs(cfg);
        let unknown: Vec<String> =
            self.keys().filter(|k| !specs.iter().any(|s| s.key == *k)).map(str::to_owned).collect();
        let names: Vec<&str> = unknown.iter().map(String::as_str).collect();
        let mut problems = Vec::new();
        for spec in specs.iter().filter(|s| !skip(&s.key)) {
            match self.tensor(&spec.key) {
                None => problems.push(match nearest(&spec.key, &names) {
                    Some(near) => format!("`{}` is missing; is it `{near}`?", spec.key),
                    None => format!("`{}` is missing", spec.key),
                }),
                Some(t) if t.shape != spec.shape => problems.push(format!(
                    "`{}` has shape {:?}, the model needs {:?}",
                    spec.key, t.shape, spec.shape
                )),
                Some(t) if float_type(t.dtype).is_none() => problems.push(format!(
                    "`{}` is stored as {:?}; F32, F16 and BF16 are read",
                    spec.key, t.dtype
                )),
                Some(_) => {}
            }
        }
        if strict {
            problems.extend(unknown.iter().map(|k| format!("`{k}` is no tensor of this model")));
        }
        if problems.is_empty() {
            Ok(unknown)
        } else {
            Err(ExportError::Weights { file: self.path.clone(), problems })
        }
    }

    /// A tensor's numbers as F32, row-major; `None` where there is no such tensor of floats.
    ///
    /// # Errors
    /// [`ExportError::NotFinite`].
    pub fn values(&self, key: &str) -> Result<Option<Vec<f32>>, ExportError> {
        let tensor = self.tensor(key);
        let Some((stored, from)) = tensor.and_then(|t| Some((t, float_type(t.dtype)?))) else {
            return Ok(None);
        };
        let mut values = Vec::with_capacity(stored.bytes.len() / from.size());
        let mut scratch = Vec::new();
        for (first, piece) in stored.chunks(from) {
            let narrowing = Narrowing { from, to: DType::F32 };
            let bytes = convert(key, first, piece, narrowing, &mut scratch)?;
            values.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
        }
        Ok(Some(values))
    }

    /// Lets go of the memory that reading took; the tensors stay readable.
    pub fn release(&self) {
        self.files.iter().for_each(Mapped::release);
    }

    /// Path, size and SHA-256.
    ///
    /// # Errors
    /// [`ExportError::Read`].
    pub fn record(&self) -> Result<CheckpointRecord, ExportError> {
        self.record_unless(&|| ControlFlow::Continue(()))
    }

    /// Path, size and SHA-256, unless `go_on` says break meanwhile.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Interrupted`].
    pub fn record_unless(
        &self,
        go_on: &dyn Fn() -> ControlFlow<()>,
    ) -> Result<CheckpointRecord, ExportError> {
        let sharded = self.files.len() != 1 || self.files[0].path() != self.path;
        let FileRecord { mut size, mut sha256 } = artifact::hash_file_unless(&self.path, go_on)?;
        if sharded {
            for file in &self.files {
                let shard = artifact::hash_file_unless(file.path(), go_on)?;
                size += shard.size;
                sha256.push_str(&shard.sha256);
            }
            sha256 = artifact::sha256(sha256.as_bytes());
        }
        let untrained = self.metadata.get("onr.untrained").is_some_and(|v| v == "true");
        Ok(CheckpointRecord { path: self.path.clone(), sha256, size, untrained })
    }
}

/// The header's free strings.
fn header_metadata(bytes: &[u8], header_len: usize) -> Option<BTreeMap<String, String>> {
    let header = bytes.get(8..8 + header_len)?;
    let json: serde_json::Value = serde_json::from_slice(header).ok()?;
    serde_json::from_value(json.get("__metadata__")?.clone()).ok()
}

/// Our name of a stored float type.
#[must_use]
pub const fn float_type(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}

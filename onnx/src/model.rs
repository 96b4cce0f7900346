//! A model file and the files beside it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    OnnxError,
    mapped::Mapped,
    proto::{EXTERNAL, GraphProto, ModelProto, StringStringEntryProto, TensorProto},
    tensor::le_bytes,
};

/// A model as data, with the maps of all files that hold its tensors.
#[derive(Debug, Clone)]
pub struct Model {
    path: PathBuf,
    proto: ModelProto,
    /// None for a model that was made, not read.
    file: Option<Mapped>,
    external: BTreeMap<String, Mapped>,
}

impl Model {
    /// Reads a file and maps the files beside it that hold its tensors.
    ///
    /// # Errors
    /// [`OnnxError::Read`], [`OnnxError::Invalid`] for what is no model or names bytes that its external
    /// file doesn't have, [`OnnxError::Escape`] for external data outside the model's directory.
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let file = Mapped::open(path)?;
        let proto = ModelProto::decode(file.bytes().clone())
            .map_err(|e| OnnxError::invalid(path, e.to_string()))?;
        Self::assemble(path, proto, Some(file))
    }

    /// A model from messages; `path` is where its external tensors are looked for, and what messages call it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_proto(path: &Path, proto: ModelProto) -> Result<Self, OnnxError> {
        Self::assemble(path, proto, None)
    }

    fn assemble(path: &Path, proto: ModelProto, file: Option<Mapped>) -> Result<Self, OnnxError> {
        let Some(graph) = &proto.graph else {
            return Err(OnnxError::invalid(path, "it has no graph"));
        };
        let mut external = BTreeMap::new();
        for tensor in graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL)) {
            let location = tensor.external("location").unwrap_or_default();
            if !external.contains_key(location) {
                external.insert(location.to_owned(), Mapped::open(&confined(path, location)?)?);
            }
        }
        let model = Self { path: path.to_owned(), proto, file, external };
        for tensor in &model.graph().initializer {
            model.place(tensor)?;
        }
        Ok(model)
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The messages.
    #[must_use]
    pub const fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The messages, to change.
    pub const fn proto_mut(&mut self) -> &mut ModelProto {
        &mut self.proto
    }

    /// The graph.
    ///
    /// # Panics
    /// When a caller took the graph away.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("a model that was opened has a graph")
    }

    /// The graph, to change.
    ///
    /// # Panics
    /// As [`graph`](Self::graph).
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("a model that was opened has a graph")
    }

    /// Opset of the default domain; 0 when the file names none.
    #[must_use]
    pub fn opset(&self) -> i64 {
        let default = |d: &Option<String>| matches!(d.as_deref(), None | Some("" | "ai.onnx"));
        let own = self.proto.opset_import.iter().find(|o| default(&o.domain));
        own.and_then(|o| o.version).unwrap_or_default()
    }

    /// Raises the opset of the default domain, and the IR version that goes with it, to at least
    /// `opset`. Only right where no operator of the graph changed its meaning in between.
    pub fn raise_opset(&mut self, opset: i64) {
        for import in &mut self.proto.opset_import {
            if matches!(import.domain.as_deref(), None | Some("" | "ai.onnx")) {
                import.version = import.version.max(Some(opset));
            }
        }
        let ir = match opset {
            ..=18 => 8,
            19..=20 => 9,
            _ => 10,
        };
        self.proto.ir_version = self.proto.ir_version.max(Some(ir));
    }

    /// The initializer of that name.
    #[must_use]
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.graph().initializer.iter().find(|t| t.name.as_deref() == Some(name))
    }

    /// The little-endian bytes of a tensor of this model, wherever they are stored; not copied unless the
    /// file holds them as a list of numbers.
    ///
    /// # Errors
    /// [`OnnxError::Invalid`] when they do not fill the tensor's shape.
    pub fn bytes(&self, tensor: &TensorProto) -> Result<Bytes, OnnxError> {
        if tensor.data_location == Some(EXTERNAL) {
            return self.place(tensor);
        }
        le_bytes(tensor).map_err(|reason| OnnxError::invalid(&self.path, reason))
    }

    /// The bytes of a tensor in an external file; empty for one that is not external.
    fn place(&self, tensor: &TensorProto) -> Result<Bytes, OnnxError> {
        if tensor.data_location != Some(EXTERNAL) {
            return Ok(Bytes::new());
        }
        let refuse = |reason: String| OnnxError::invalid(&self.path, reason);
        let location = tensor.external("location").unwrap_or_default();
        let Some(file) = self.external.get(location) else {
            return Err(refuse(format!("`{}` lies in an unknown file", tensor.label())));
        };
        let number = |key| match tensor.external(key) {
            None => Ok(None),
            Some(text) => match text.parse::<usize>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(refuse(format!("`{}` has {key} `{text}`", tensor.label()))),
            },
        };
        let offset = number("offset")?.unwrap_or(0);
        let rest = file.bytes().len().saturating_sub(offset);
        let length = number("length")?.unwrap_or(rest);
        let end = offset.checked_add(length).filter(|end| *end <= file.bytes().len());
        let Some(end) = end else {
            return Err(refuse(format!(
                "it reads {} bytes of {location}, which has {}",
                offset.saturating_add(length),
                file.bytes().len()
            )));
        };
        Ok(file.bytes().slice(offset..end))
    }

    /// Copies the initializers that lie in other files into the model itself.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn inline(&mut self) -> Result<(), OnnxError> {
        let external = |t: &TensorProto| t.data_location == Some(EXTERNAL);
        for at in 0..self.graph().initializer.len() {
            if external(&self.graph().initializer[at]) {
                let bytes = self.bytes(&self.graph().initializer[at])?;
                let tensor = &mut self.graph_mut().initializer[at];
                tensor.raw_data = Some(bytes);
                tensor.external_data.clear();
                tensor.data_location = None;
            }
        }
        Ok(())
    }

    /// The model as a file has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Bytes of the model file and the files beside it.
    #[must_use]
    pub fn size(&self) -> u64 {
        let files = self.file.iter().chain(self.external.values());
        files.map(|file| file.bytes().len() as u64).sum()
    }

    /// The files beside the model file that hold its tensors.
    pub fn external_files(&self) -> impl Iterator<Item = &Path> {
        self.external.values().map(Mapped::path)
    }

    /// Lets go of the pages of all files; they come back when they are read again.
    pub fn release(&self) {
        self.file.iter().for_each(Mapped::release);
        self.external.values().for_each(Mapped::release);
    }

    /// A model in which each tensor of at least `least` bytes points into a file instead of holding its
    /// bytes: what stands in the model file itself is named by its place in that file. The directory of
    /// the model is the folder that all places are relative to.
    #[must_use]
    pub fn detached(&self, least: usize) -> ModelProto {
        let mut proto = self.proto.clone();
        let own = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for tensor in proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
            let Some(raw) = tensor.raw_data.as_ref().filter(|raw| raw.len() >= least) else {
                continue;
            };
            let Some(offset) = self.file.as_ref().and_then(|f| f.offset_of(raw)) else { continue };
            tensor.external_data = vec![
                StringStringEntryProto::new("location", &own),
                StringStringEntryProto::new("offset", &offset.to_string()),
                StringStringEntryProto::new("length", &raw.len().to_string()),
            ];
            tensor.data_location = Some(EXTERNAL);
            tensor.raw_data = None;
        }
        proto
    }

    /// SHA-256 over the model file and the files beside it, in the order of their names: 64 lower-case
    /// digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for file in self.file.iter().chain(self.external.values()) {
            hash.update((file.bytes().len() as u64).to_le_bytes());
            for piece in file.bytes().chunks(1 << 22) {
                hash.update(piece);
                // A hash reads everything once: without this a model would stay in memory whole.
            }
            file.release();
        }
        hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The file that the relative path `location` in the file `from` names. It has to lie in the same
/// directory or below.
///
/// # Errors
/// [`OnnxError::Escape`].
pub fn confined(from: &Path, location: &str) -> Result<PathBuf, OnnxError> {
    let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_)));
    let root = from.parent().unwrap_or_else(|| Path::new(""));
    if inside && !location.is_empty() {
        Ok(root.join(location))
    } else {
        Err(OnnxError::Escape { file: from.to_owned(), location: location.to_owned() })
    }
}

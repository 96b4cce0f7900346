//! Models that were changed, back to files.

use std::{collections::HashMap, path::Path};

use bytes::Bytes;
use onr_onnx::{
    Model,
    proto::{EXTERNAL, ModelProto, StringStringEntryProto},
};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::Placement;
use crate::{
    artifact::{self, Artifact, FileRecord},
    error::ExportError,
};

/// Tensors below this many bytes stay in the model file.
const SMALL: usize = 1 << 10;

/// Model files above this many bytes keep their tensors in a file beside them.
const LARGE: usize = 1 << 26;

/// After tensors above this many bytes the pages of the model's own files are let go.
const RELEASED: u64 = 1 << 24;

/// First bytes of tensors in a file of weights are multiples of this.
const ALIGNMENT: u64 = 64;

/// A file of weights that several models share: equal tensors lie in it once.
pub struct Weights {
    file: Artifact,
    location: String,
    placed: HashMap<[u8; 32], Placement>,
}

impl Weights {
    /// Starts the file `location` in `dir`.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn create(dir: &Path, location: &str) -> Result<Self, ExportError> {
        let file = Artifact::create(&dir.join(location))?;
        Ok(Self { file, location: location.to_owned(), placed: HashMap::new() })
    }

    fn put(&mut self, bytes: &Bytes) -> Result<Placement, ExportError> {
        let key = Sha256::digest(bytes).into();
        if let Some(place) = self.placed.get(&key) {
            return Ok(*place);
        }
        let offset = self.file.size().next_multiple_of(ALIGNMENT);
        self.file.put(&[0; ALIGNMENT as usize][..(offset - self.file.size()) as usize])?;
        for piece in bytes.chunks(1 << 22) {
            self.file.put(piece)?;
        }
        let place = Placement { offset, length: bytes.len() as u64 };
        self.placed.insert(key, place);
        Ok(place)
    }

    /// The messages of a model whose tensors lie in this file, but for small ones.
    ///
    /// # Errors
    /// [`ExportError::Write`], [`ExportError::Onnx`].
    pub fn place(&mut self, model: &Model) -> Result<ModelProto, ExportError> {
        let mut proto = model.proto().clone();
        for tensor in proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
            let bytes = model.bytes(tensor)?;
            tensor.external_data.clear();
            tensor.data_location = None;
            if bytes.len() < SMALL {
                if !bytes.is_empty() {
                    *tensor =
                        onr_onnx::proto::TensorProto { raw_data: Some(bytes), ..described(tensor) };
                }
                continue;
            }
            let Placement { offset, length } = self.put(&bytes)?;
            // Else a model of gigabytes would end up in memory whole.
            if length > RELEASED {
                model.release();
            }
            *tensor = described(tensor);
            tensor.external_data = vec![
                StringStringEntryProto::new("location", &self.location),
                StringStringEntryProto::new("offset", &offset.to_string()),
                StringStringEntryProto::new("length", &length.to_string()),
            ];
            tensor.data_location = Some(EXTERNAL);
        }
        Ok(proto)
    }

    /// Brings the file to the disk.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(self) -> Result<FileRecord, ExportError> {
        self.file.finish()
    }
}

/// A tensor without its numbers.
fn described(tensor: &onr_onnx::proto::TensorProto) -> onr_onnx::proto::TensorProto {
    onr_onnx::proto::TensorProto {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        doc_string: tensor.doc_string.clone(),
        ..onr_onnx::proto::TensorProto::default()
    }
}

/// Writes a model. Large ones, and ones that had their tensors in files beside them, get one file
/// `<name>.data` for all of them.
///
/// # Errors
/// [`ExportError::Write`], [`ExportError::Onnx`]. Nothing is left behind then.
pub fn save(model: &Model, out: &Path) -> Result<FileRecord, ExportError> {
    let tensors = &model.graph().initializer;
    let mut inline = 0;
    for tensor in tensors {
        inline += model.bytes(tensor)?.len();
    }
    let external = tensors.iter().any(|t| t.data_location == Some(EXTERNAL));
    if inline <= LARGE && !external {
        return artifact::write(out, &model.proto().encode_to_vec());
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let dir = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut weights = Weights::create(dir, &format!("{name}.data"))?;
    let proto = weights.place(model)?;
    weights.finish()?;
    artifact::write(out, &proto.encode_to_vec())
}

//! One side of a search: a model on a backend, with any of its values as outputs, or any of its nodes alone.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use onr_exporter::ExportError;
use onr_onnx::{
    ElemType, Links, Model, OnnxError, elem_types,
    proto::{ModelProto, ValueInfoProto},
};
use prost::Message as _;
use tempfile::TempDir;

use super::BisectError;
use crate::{
    backend::{Backend, Session},
    beside::beside,
    inputs::fitting,
    npz::{InputSpec, inputs},
    tensor::{Feeds, HostTensor, dtype_of},
};

/// Tensors of at least this many bytes are read from the model's own files.
const DETACHED: usize = 1 << 12;

/// A model on a backend.
pub(super) struct Side<'a> {
    backend: &'a dyn Backend,
    pub(super) model: Model,
    pub(super) links: Links,
    pub(super) types: BTreeMap<String, ElemType>,
    pub(super) inputs: Vec<InputSpec>,
    /// Names of the initializers.
    pub(super) constants: HashSet<String>,
    /// Models that were made of this one, with the files beside it.
    folder: Option<TempDir>,
    made: usize,
    /// How often the backend has loaded something.
    pub(super) loads: usize,
}

impl<'a> Side<'a> {
    pub(super) fn open(backend: &'a dyn Backend, path: &Path) -> Result<Self, OnnxError> {
        let model = Model::open(path)?;
        Ok(Self {
            backend,
            links: Links::new(model.graph()),
            types: elem_types(model.graph()),
            inputs: inputs(&model),
            constants: model.graph().initializer.iter().map(|t| t.label().to_owned()).collect(),
            model,
            folder: None,
            made: 0,
            loads: 0,
        })
    }

    /// The model with these values as outputs too; the file itself where there are none.
    pub(super) fn marked(&mut self, values: &[String]) -> Result<Box<dyn Session>, BisectError> {
        let graph = self.model.graph();
        let is_output = |value: &String| graph.output.iter().any(|o| o.label() == value);
        let new: Vec<&String> = values.iter().filter(|value| !is_output(value)).collect();
        if new.is_empty() {
            self.loads += 1;
            return Ok(self.backend.open(self.model.path())?);
        }
        let mut proto = self.model.detached(DETACHED);
        // The engine infers their types: what operators tell us may be less than it knows.
        let marked = new
            .into_iter()
            .map(|name| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() });
        proto.graph.iter_mut().for_each(|g| g.output.extend(marked.clone()));
        self.load(&proto)
    }

    /// A model made of this one; its external tensors are this one's.
    pub(super) fn load(&mut self, proto: &ModelProto) -> Result<Box<dyn Session>, BisectError> {
        let folder = match &mut self.folder {
            Some(made) => made.path(),
            none => none.insert(beside(&self.model)?).path(),
        };
        let file = folder.join(format!("onr.part.{}.onnx", self.made));
        self.made += 1;
        self.loads += 1;
        write(&file, &proto.encode_to_vec())?;
        Ok(self.backend.open(&file)?)
    }

    /// Runs with inputs that may have other float types than this side's.
    pub(super) fn run(
        &self,
        session: &mut dyn Session,
        feeds: &Feeds,
    ) -> Result<Feeds, BisectError> {
        Ok(session.run(&fitting(&self.inputs, feeds)?)?)
    }
}

/// A tensor of floats in another float type; `None` where that makes no sense.
pub(super) fn as_type(tensor: &HostTensor, elem: ElemType) -> Option<HostTensor> {
    tensor.cast(dtype_of(elem)?)
}

pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    fs::write(file, bytes).map_err(|cause| write_error(file, cause))
}

fn write_error(file: &Path, cause: std::io::Error) -> ExportError {
    ExportError::Write { file: file.to_owned(), cause }
}

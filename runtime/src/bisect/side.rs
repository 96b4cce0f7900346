//! One side of a search: a model on a backend, with any of its values as outputs, or any of its nodes alone.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
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
    inputs::fitting,
    npz::{InputSpec, inputs},
    tensor::{Feeds, HostTensor, dtype_of},
};

/// Tensors of at least this many bytes are read from the model's own files.
const DETACHED: usize = 1 << 12;

/// Files above this are not copied where that can be helped.
const LARGE: u64 = 1 << 26;

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
    tensor.cast_float(dtype_of(elem)?)
}

/// A folder with the files of a model: for models that point into them.
fn beside(model: &Model) -> Result<TempDir, ExportError> {
    let parent = model.path().parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let files = model.external_files().chain([model.path()]);
    let files: Vec<PathBuf> = files.map(Path::to_owned).collect();
    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |m| m.len());
    let made = TempDir::with_prefix("onr-bisect-");
    let folder = made.map_err(|cause| write_error(&std::env::temp_dir(), cause))?;
    let copy = |folder: &Path| -> Result<(), ExportError> {
        for file in &files {
            let to = folder.join(file.strip_prefix(parent).unwrap_or(file));
            if let Some(above) = to.parent() {
                fs::create_dir_all(above).map_err(|cause| write_error(above, cause))?;
            }
            // Engines refuse links that lead out of a model's folder; a second name of the file is none.
            if size(file) <= LARGE || fs::hard_link(file, &to).is_err() {
                fs::copy(file, &to).map_err(|cause| write_error(&to, cause))?;
            }
        }
        Ok(())
    };
    let links = |folder: &Path| {
        let probe = folder.join(".probe");
        let works = files.first().is_some_and(|file| fs::hard_link(file, &probe).is_ok());
        let _ = fs::remove_file(&probe);
        works
    };
    let folder = match files.iter().any(|file| size(file) > LARGE) && !links(folder.path()) {
        // On another disk: a folder beside the model spares the copy, where one can be made.
        true => TempDir::with_prefix_in(".onr-bisect-", parent).unwrap_or(folder),
        false => folder,
    };
    copy(folder.path())?;
    Ok(folder)
}

pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    fs::write(file, bytes).map_err(|cause| write_error(file, cause))
}

fn write_error(file: &Path, cause: std::io::Error) -> ExportError {
    ExportError::Write { file: file.to_owned(), cause }
}

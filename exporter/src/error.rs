//! Everything that can go wrong between a checkpoint and a directory of ONNX files.

use std::{
    io,
    path::{Path, PathBuf},
};

use onr_calibration::CalibrationError;
use onr_graphs::{BuildError, DType};
use onr_onnx::OnnxError;
use onr_precision::{cast::CastError, qdq::QdqError};

/// Why a checkpoint could not be read or a directory not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// `model.toml` is wrong; all its problems, one a line.
    #[error("{file}: {}", problems.join(&format!("\n{}: ", file.display())), file = file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// Each names its key.
        problems: Vec<String>,
    },
    /// The checkpoint does not fit the model; all its problems, one a line.
    #[error("{file} does not fit the model:{}", list(problems), file = file.display())]
    Weights {
        /// The checkpoint.
        file: PathBuf,
        /// Each names its tensor.
        problems: Vec<String>,
    },
    /// Not a safetensors file, or one whose header lies.
    #[error("{file} is not a valid safetensors file: {reason}", file = file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Not an ONNX model, or one whose external data is not there.
    #[error("{file} is not a usable ONNX model: {reason}", file = file.display())]
    Onnx {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An import map is wrong; all its problems, one a line.
    #[error("import map {map}:{}", list(problems))]
    Map {
        /// Name or path.
        map: String,
        /// Each names its rule.
        problems: Vec<String>,
    },
    /// A foreign checkpoint and an import map do not make a checkpoint of the model.
    #[error("{file} cannot be imported with the map {map}:{}", list(problems), file = file.display())]
    Import {
        /// The checkpoint.
        file: PathBuf,
        /// Name of the map.
        map: String,
        /// Each names its tensor or its rule.
        problems: Vec<String>,
    },
    /// A number that is not finite.
    #[error("`{key}`[{index}] is {value}, which is not finite")]
    NotFinite {
        /// Name of the tensor.
        key: String,
        /// Position in the flattened tensor.
        index: usize,
        /// The number.
        value: f32,
    },
    /// A number that the target type cannot hold.
    #[error("`{key}`[{index}] is {value}, beyond the largest {dtype}")]
    Overflow {
        /// Name of the tensor.
        key: String,
        /// Position in the flattened tensor.
        index: usize,
        /// The number.
        value: f32,
        /// The type of the export.
        dtype: DType,
    },
    /// A file name inside a file that points out of its directory.
    #[error("{file} refers to `{location}`, which leaves its directory", file = file.display())]
    Escape {
        /// The file that refers.
        file: PathBuf,
        /// What it refers to.
        location: String,
    },
    /// The retrieval product would not fit.
    #[error(
        "graph oneranker needs {batch} x {tasks} x {items} logits at the profile's largest batch, \
         more than the {limit} elements that one TensorRT tensor may have"
    )]
    Retrieval {
        /// Largest batch of the profile.
        batch: usize,
        /// Tasks.
        tasks: usize,
        /// Items.
        items: usize,
        /// Most elements.
        limit: usize,
    },
    /// A graph could not be built.
    #[error(transparent)]
    Graph(#[from] BuildError),
    /// A file cannot be read.
    #[error("cannot read {file}", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {file}", file = file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another process writes to the directory.
    #[error("{dir} is being written by {holder}", dir = dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Process and command that hold it.
        holder: String,
    },
    /// A calibration does not fit the model, or lacks something.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// A product can't run on 8-bit numbers.
    #[error(transparent)]
    Quantize(#[from] QdqError),
    /// Graphs can't be judged as 16-bit ones.
    #[error(transparent)]
    Typed(#[from] CastError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl From<OnnxError> for ExportError {
    fn from(error: OnnxError) -> Self {
        match error {
            OnnxError::Read { file, cause } => Self::Read { file, cause },
            OnnxError::Escape { file, location } => Self::Escape { file, location },
            OnnxError::Invalid { file, reason } => Self::Onnx { file, reason },
            other => Self::Onnx { file: PathBuf::new(), reason: other.to_string() },
        }
    }
}

impl ExportError {
    pub(crate) fn read(file: &Path, cause: io::Error) -> Self {
        Self::Read { file: file.to_owned(), cause }
    }

    /// The causes that `tempfile` returns name its temporary file, which says nothing to a reader.
    pub(crate) fn write(file: &Path, cause: io::Error) -> Self {
        let named = cause.get_ref().is_some_and(|inner| inner.to_string().contains(" at path "));
        let cause = if named { cause.kind().into() } else { cause };
        Self::Write { file: file.to_owned(), cause }
    }

    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Config { .. } => "docs/model.md lists every key of model.toml",
            Self::Weights { .. } => {
                "compare `onr inspect` of the checkpoint with model.toml; `onr import` renames and \
                 reshapes foreign checkpoints"
            }
            Self::Format { .. } | Self::Onnx { .. } => "was the file copied completely?",
            Self::Map { .. } => "docs/import.md describes maps, with an example for each key",
            Self::Import { .. } => {
                "compare `onr inspect` of the checkpoint with the table of docs/model.md; \
                 docs/import.md has an example for each operation of a map"
            }
            Self::Escape { .. } => "put the file that is meant beside the one that names it",
            Self::NotFinite { .. } => "the checkpoint diverged in training: take an earlier one",
            Self::Overflow { .. } => "export with --precision fp32",
            Self::Retrieval { .. } => {
                "lower the largest batch (--profile batch=1:8:16), or leave the graph out \
                 (--graphs encode,append,generate,rank) and retrieve in your own index"
            }
            Self::Write { cause, .. } => match cause.kind() {
                io::ErrorKind::StorageFull => "free some space, or choose another --out",
                io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    "raise the limit (`ulimit -f`, quota), or choose another --out"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "choose an --out that you may write to"
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    "a file is where a directory is needed: choose another --out"
                }
                io::ErrorKind::IsADirectory => "--out is a file here, and that is a directory",
                _ => return None,
            },
            Self::Calibration(e) => return e.hint().map(str::to_owned),
            Self::Locked { .. } => "wait for it, or choose another --out",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn list(problems: &[String]) -> String {
    match problems {
        [one] => format!(" {one}"),
        many => many.iter().map(|p| format!("\n  {p}")).collect(),
    }
}

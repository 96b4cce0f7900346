//! What can be wrong with an ONNX file.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What can be wrong with an ONNX file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is no model, or says something impossible.
    #[error("{} is not a usable ONNX model: {reason}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// External data outside the model's directory.
    #[error("{} wants data from `{location}`, outside its directory", file.display())]
    Escape {
        /// The model.
        file: PathBuf,
        /// Where it wants to read.
        location: String,
    },
}

impl OnnxError {
    pub(crate) fn read(file: &Path, cause: io::Error) -> Self {
        Self::Read { file: file.to_owned(), cause }
    }

    pub(crate) fn invalid(file: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { file: file.to_owned(), reason: reason.into() }
    }
}

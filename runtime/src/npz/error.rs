//! What can be wrong with an archive of arrays.

use std::{io, path::PathBuf};

/// What can be wrong with an archive of arrays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is no archive of arrays.
    #[error("{} is not a NumPy archive (.npz): {reason}", file.display())]
    Archive {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An array cannot be read.
    #[error("array `{array}` of {}: {reason}", file.display())]
    Array {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The arrays are not the inputs of the model.
    #[error("{} does not fit the model: {}", file.display(), problems.join("; "))]
    Misfit {
        /// The file.
        file: PathBuf,
        /// All that does not fit, one an item.
        problems: Vec<String>,
    },
}

impl NpzError {
    /// What the reader could do next.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Archive { .. } => Some("write it with numpy.savez(FILE, input_name=array, ...)"),
            Self::Misfit { .. } => Some(
                "one array an input, named as the input, of its type: the first axis counts the batches, the others are the input's own",
            ),
            _ => None,
        }
    }
}

//! What keeps a preflight from being made at all.

use std::{io, path::PathBuf};

use onr_kserve::KserveError;

/// Why nothing could be checked. A check that fails is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreflightError {
    /// The file of facts cannot be read.
    #[error("cannot read {file}", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The file of facts says what facts cannot be.
    #[error("{file} has no facts of a container: {reason}", file = file.display())]
    Facts {
        /// The file.
        file: PathBuf,
        /// What is wrong; all of it.
        reason: String,
    },
    /// The server does not answer.
    #[error(transparent)]
    Server(#[from] KserveError),
}

impl PreflightError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("docs/triton.md says how to make one".to_owned()),
            Self::Facts { .. } => Some(
                "`onr preflight --facts-template` prints the keys; leave out what you do not know"
                    .to_owned(),
            ),
            Self::Server(error) => error.hint(),
        }
    }
}

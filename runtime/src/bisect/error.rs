//! What can stop a search. A search that finds something is a finding, not an error.

use onr_exporter::ExportError;
use onr_onnx::OnnxError;

use crate::{backend::RunError, parity::ParityError};

/// Why a search could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BisectError {
    /// A backend refused or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A model cannot be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A file cannot be written, or a reference cannot be built.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A directory's graphs cannot be chained.
    #[error(transparent)]
    Parity(ParityError),
    /// The two models share no output.
    #[error("the models have no output in common: {candidate} and {reference}")]
    Outputs {
        /// Those of the candidate.
        candidate: String,
        /// Those of the reference.
        reference: String,
    },
    /// A backend gave something else than it was asked for.
    #[error("`{value}` was asked for as an output and did not come")]
    Lost {
        /// The value.
        value: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl From<ParityError> for BisectError {
    fn from(error: ParityError) -> Self {
        match error {
            ParityError::Run(e) => Self::Run(e),
            ParityError::Export(ExportError::Interrupted) | ParityError::Interrupted => {
                Self::Interrupted
            }
            ParityError::Export(e) => Self::Export(e),
            other => Self::Parity(other),
        }
    }
}

impl BisectError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(e) => e.hint().map(str::to_owned),
            Self::Export(e) => e.hint(),
            Self::Parity(e) => e.hint(),
            Self::Outputs { .. } => Some("values are matched by name: rename the outputs".into()),
            _ => None,
        }
    }
}

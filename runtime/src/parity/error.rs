//! What can stop a comparison. A comparison that ran and failed is a report, not an error.

use std::path::PathBuf;

use crate::{backend::RunError, manifest::ManifestError};

/// Why two backends could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParityError {
    /// A backend refused or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The reference could not be built.
    #[error(transparent)]
    Export(#[from] onr_exporter::ExportError),
    /// The directory's manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A graph asks for an input that no earlier graph made.
    #[error("graph {graph} asks for `{input}`, which nothing before it makes")]
    Missing {
        /// Name of the graph.
        graph: &'static str,
        /// Name of the input.
        input: String,
    },
    /// An output has another shape than the reference's.
    #[error("output `{output}` of graph {graph} has shape {got:?}, the reference's has {want:?}")]
    Shape {
        /// Name of the graph.
        graph: String,
        /// Name of the output.
        output: String,
        /// Shape of the candidate.
        got: Vec<usize>,
        /// Shape of the reference.
        want: Vec<usize>,
    },
    /// A golden file that cannot be used.
    #[error("{file} is not a golden file: {reason}", file = file.display())]
    Golden {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl ParityError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(e) => e.hint().map(str::to_owned),
            Self::Export(e) => e.hint(),
            Self::Manifest(e) => e.hint(),
            Self::Golden { .. } => Some("docs/parity.md has a snippet that writes one".into()),
            _ => None,
        }
    }
}

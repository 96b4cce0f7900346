//! What can stop a comparison. A comparison that ran and failed is a report, not an error.

use std::path::PathBuf;

use crate::{backend::RunError, manifest::ManifestError};

/// Why two backends could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParityError {
    /// A backend refused or failed.
    #[error(transparent)]
    Run(RunError),
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
    /// A number is too large for the type that a graph has for it.
    #[error(
        "graph {graph} takes `{input}` as int32, and {number} is none: export with `--ids int64`"
    )]
    Beyond {
        /// Name of the graph.
        graph: &'static str,
        /// Name of the input.
        input: String,
        /// The number.
        number: i64,
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
    /// The candidate lacks an output.
    #[error(
        "graph {graph} has no output `{output}`, which the reference has; it has {}",
        listed(got)
    )]
    Absent {
        /// Name of the graph.
        graph: String,
        /// Name of the output.
        output: String,
        /// Names of the candidate's outputs.
        got: Vec<String>,
    },
    /// A golden file that cannot be used.
    #[error("{file} is not a golden file: {reason}", file = file.display())]
    Golden {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A golden file of something else.
    #[error("golden file {file} does not fit: {reason}")]
    OtherGolden {
        /// Name of the file.
        file: String,
        /// What it is of.
        reason: String,
    },
    /// A file of excuses that cannot be used.
    #[error("{file} is not a list of excuses: {reason}", file = file.display())]
    Excuses {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Names in a row.
fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<RunError> for ParityError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Interrupted { .. } => Self::Interrupted,
            other => Self::Run(other),
        }
    }
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
            Self::OtherGolden { .. } => {
                Some("record it again: onr parity record DIR --out golden.safetensors".into())
            }
            Self::Excuses { .. } => Some(
                "[[excuse]] tables with `check` and `reason`, and `candidate` and `precision` where \
                 it is for these only"
                    .into(),
            ),
            _ => None,
        }
    }
}

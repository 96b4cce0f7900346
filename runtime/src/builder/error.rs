//! Why a plan was not built.

use std::path::PathBuf;

use onr_onnx::OnnxError;

/// Everything that can stop a plan from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A library or tool is not there.
    #[error("builder {builder} is not available: {what}")]
    Missing {
        /// Name of the builder.
        builder: &'static str,
        /// What is not there.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The builder cannot compile for this GPU.
    #[error("builder {builder} cannot compile for {target}: {reason}")]
    Target {
        /// Name of the builder.
        builder: &'static str,
        /// The target as typed.
        target: String,
        /// Why not.
        reason: String,
        /// What to do instead.
        hint: String,
    },
    /// The ONNX file can't be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// TensorRT's parser refused the graph.
    #[error("TensorRT cannot parse {file}: {at}{reason}", file = onnx.display(), at = at_node(node, op))]
    Parse {
        /// The ONNX file.
        onnx: PathBuf,
        /// Name of the node it stopped at; empty when it blames none.
        node: String,
        /// Its operator.
        op: String,
        /// The parser's own words.
        reason: String,
    },
    /// An input has a symbol that the profile does not name.
    #[error("input `{input}` of graph {graph} has no range for `{symbol}`")]
    Profile {
        /// Name of the graph.
        graph: String,
        /// Name of the input.
        input: String,
        /// The symbol.
        symbol: String,
    },
    /// The version of TensorRT that is there has not what the graph needs.
    #[error("{builder} cannot compile graph {graph}: {reason}")]
    Unsupported {
        /// Name and version of the builder.
        builder: String,
        /// Name of the graph.
        graph: String,
        /// What the graph has and the version has not.
        reason: String,
        /// What to do instead.
        hint: String,
    },
    /// TensorRT understood other inputs or outputs than were exported.
    #[error("TensorRT understood graph {graph} otherwise: {}", problems.join("; "))]
    Interface {
        /// Name of the graph.
        graph: String,
        /// Each names its tensor.
        problems: Vec<String>,
    },
    /// The optimiser failed.
    #[error("{builder} cannot build graph {graph}: {reason}")]
    Build {
        /// Name of the builder.
        builder: &'static str,
        /// Name of the graph.
        graph: String,
        /// The log's last error, or the tool's exit status.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot use {file}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The user asked to stop.
    #[error("interrupted while building graph {graph}")]
    Interrupted {
        /// Name of the graph.
        graph: String,
    },
}

/// ``node `enc/MatMul` (MatMul): ``
fn at_node(node: &str, op: &str) -> String {
    if node.is_empty() { String::new() } else { format!("node `{node}` ({op}): ") }
}

impl EngineError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. }
            | Self::Target { hint, .. }
            | Self::Unsupported { hint, .. } => Some(hint.clone()),
            Self::Profile { symbol, .. } => {
                Some(format!("add `{symbol}=min:opt:max` to --profile"))
            }
            _ => None,
        }
    }
}

//! What a search found.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use onr_exporter::onnx::save;
use onr_onnx::Model;
use serde::Serialize;

use super::{BisectError, Distance, Numbers};
use crate::{npz::write_npz, tensor::Feeds};

/// The outcome of a search.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The narrowest numbers of both sides.
    pub numbers: Numbers,
    /// Largest error that counts as none.
    pub tolerance: f64,
    /// Values that both sides have.
    pub values: usize,
    /// Outputs that one side lacks, or has in another type.
    pub unmatched: Vec<String>,
    /// The outputs, each with its largest error over all batches.
    pub outputs: Vec<ValueError>,
    /// Models that the two backends had to load.
    pub loads: usize,
    /// What is wrong; nothing when all outputs agree.
    pub fault: Option<Fault>,
}

/// A value and its error.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueError {
    /// Its name in the candidate.
    pub name: String,
    /// Its name in the reference, where it is another.
    pub reference: Option<String>,
    /// Index of the batch where it is largest.
    pub batch: usize,
    /// Is it more than the tolerance allows?
    pub is_wrong: bool,
    /// How large it is.
    #[serde(flatten)]
    pub distance: Distance,
}

/// A node of the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeName {
    /// Its name, or that of its first output.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Its place in the file, from 0.
    pub position: usize,
    /// Nodes of the file.
    pub of: usize,
}

/// The first place where something is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Where.
    pub node: NodeName,
    /// Why it is that node.
    pub cause: Cause,
    /// All nodes between the last values that agree and the first that does not.
    pub nodes: Vec<NodeName>,
    /// What of these nodes differs between two files, `candidate / reference`.
    pub differences: Vec<String>,
    /// The batch that was looked at.
    pub batch: usize,
    /// What the nodes make, inside the graph.
    pub outputs: Vec<ValueError>,
    /// What they are made from.
    pub inputs: Vec<ValueError>,
    /// What the nodes make alone on the candidate's backend, from the reference's values.
    pub alone: Vec<ValueError>,
    /// How to see it again.
    #[serde(skip)]
    pub(super) evidence: Evidence,
}

/// Why a node is named.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// Alone, and with the reference's inputs, it is wrong as well.
    Own,
    /// Alone it is right: only in its graph, where an engine computes nodes together, it is wrong.
    Together,
    /// What it is made from agrees, but the backend does not run it alone.
    NotAlone {
        /// The backend's words.
        reason: String,
    },
    /// It is an integer or a bool, decided by numbers that agree within the tolerance: a near tie.
    Choice,
    /// No node is wrong by itself: errors add up, most of them in the first of these.
    Accumulated {
        /// The nodes where the error grows most.
        growth: Vec<Growth>,
    },
}

/// How much a node adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// The node.
    pub node: NodeName,
    /// The value that it makes.
    pub value: String,
    /// Error of that value.
    pub error: f64,
    /// Largest error among the values that it is made from.
    pub before: f64,
}

/// The nodes as a model, and what to run it on.
#[derive(Clone)]
pub(super) struct Evidence {
    pub(super) node: Model,
    pub(super) against: Option<Model>,
    pub(super) inputs: Feeds,
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

impl Fault {
    /// The values that come into the nodes, as the reference has them.
    #[must_use]
    pub const fn node_inputs(&self) -> &Feeds {
        &self.evidence.inputs
    }

    /// Writes the nodes as `node.onnx`, those of the other file as `against.onnx`, and their inputs as
    /// `inputs.npz`. Returns what was written.
    ///
    /// # Errors
    /// [`BisectError::Export`], [`BisectError::Onnx`].
    pub fn save(&self, dir: &Path) -> Result<Vec<PathBuf>, BisectError> {
        let Evidence { node, against, inputs } = &self.evidence;
        let models = [("node.onnx", Some(node)), ("against.onnx", against.as_ref())];
        let mut written = Vec::new();
        for (name, model) in models.into_iter().filter_map(|(name, m)| Some((name, m?))) {
            let file = dir.join(name);
            save(model, &file)?;
            written.push(file);
        }
        let file = dir.join("inputs.npz");
        write_npz(&file, inputs)?;
        written.push(file);
        Ok(written)
    }
}

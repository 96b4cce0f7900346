//! What a report says, before it is drawn. Shares are between 0 and 1, sizes are bytes.

mod density;
mod parity;
mod products;
mod requests;

pub use density::{Cell, Density, Scores};
pub(crate) use parity::Counts;
pub use parity::{
    Consistency, MissingBackend, OrderFigures, Outcome, OutputFigures, OutputLimit, ParityCheck,
    ParityPage, ParityRun, WorstRequest,
};
pub use products::{Alone, Magnitudes, Product, Way};
pub use requests::{Figures, Group, RequestRow, Requests};

use serde::Serialize;

/// What a precision costs: one exported model beside its reference in FP32.
///
/// Whatever was not measured stays empty, and its part of the page says so or is not there.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PrecisionReport {
    /// Name of the model.
    pub model: String,
    /// The precision, as people write it: `INT8`, `FP8`, `FP16`, `BF16`.
    pub precision: String,
    /// Hash of the checkpoint.
    pub checkpoint: String,
    /// Hash of the calibration; without it the precision needed none.
    pub calibration: Option<String>,
    /// What computed the scores, and where.
    pub backend: Option<String>,
    /// How close the scores are to the reference's; `None` when no request had candidates.
    pub figures: Option<Figures>,
    /// Share of the FLOPs of products with weights that run on 8-bit numbers.
    pub narrow_share: Option<f64>,
    /// Limits and what was found.
    pub budget: Vec<Limit>,
    /// Overlap by popularity of the items: head, torso, tail.
    pub bands: Vec<Group>,
    /// Overlap request by request.
    pub requests: Requests,
    /// Scores beside those of the reference.
    pub scores: Option<Scores>,
    /// Products with weights, in the order of the graphs; those of a graph stand together.
    pub products: Vec<Product>,
    /// What was left in a wider type, a rule at a time.
    pub left: Vec<Left>,
    /// What lies on disk.
    pub sizes: Sizes,
}

/// A limit of a budget and what was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Limit {
    /// The limit, as it was typed: `top10-overlap>=0.98@p05`.
    pub limit: String,
    /// What was measured, in the unit of the limit.
    pub found: f64,
    /// Does it hold?
    pub holds: bool,
}

/// Nodes that one rule kept in a wider type.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Left {
    /// Name of the rule: `softmax`, `overflow`.
    pub rule: String,
    /// What the rule says, a sentence.
    pub meaning: String,
    /// The type the nodes compute in: `F32`, `F16`.
    pub kept: String,
    /// The nodes.
    pub nodes: Vec<LeftNode>,
}

/// A node in a wider type.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LeftNode {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The value or constant that decided, where one did.
    pub tensor: Option<String>,
    /// The number that decided, where one did; its unit is the rule's.
    pub value: Option<f64>,
}

/// Bytes on disk and in the graphs.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Sizes {
    /// All weights of the reference, bytes; a weight that graphs share counts once.
    pub weights_before: u64,
    /// All weights in this precision, bytes.
    pub weights_after: u64,
    /// Each graph.
    pub graphs: Vec<GraphSize>,
    /// Each file.
    pub files: Vec<FileSize>,
}

/// Weights that one graph reads. Graphs share weights, so these don't add up to the files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GraphSize {
    /// The graph.
    pub graph: String,
    /// Bytes of its weights in the reference.
    pub before: u64,
    /// Bytes of its weights in this precision.
    pub after: u64,
}

/// A file of the export.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FileSize {
    /// Name of the file.
    pub file: String,
    /// Bytes in the reference; `None` where it has no such file.
    pub before: Option<u64>,
    /// Bytes in this precision; `None` where it has no such file.
    pub after: Option<u64>,
}

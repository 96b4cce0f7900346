//! The outcome of a comparison, as manifests keep it and the command line shows it.

use serde::{Deserialize, Serialize};

/// What was compared with what, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParityReport {
    /// What the candidate was compared with.
    pub reference: String,
    /// How strong a proof that is.
    pub strength: Strength,
    /// Backend and version that ran the candidate.
    pub candidate: String,
    /// Where the candidate ran, read back.
    pub device: String,
    /// `fp32`, `fp16` or `bf16`.
    pub precision: String,
    /// Where the requests came from.
    pub requests_from: String,
    /// Number of requests.
    pub requests: usize,
    /// Every output of every graph.
    pub outputs: Vec<OutputParity>,
    /// The final order of candidates.
    pub order: Option<OrderParity>,
    /// Distribution consistency.
    pub consistency: Option<Consistency>,
    /// What is out of tolerance; empty when all is well.
    pub failures: Vec<String>,
    /// Seconds inside the reference backend.
    pub reference_seconds: f64,
    /// Seconds inside the candidate backend.
    pub candidate_seconds: f64,
}

/// How strong a comparison is as a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The reference was built anew from the checkpoint.
    FromCheckpoint,
    /// The reference was recorded by another implementation of the model.
    Golden,
    /// Two backends ran the same file: a wrong export would agree with itself.
    SameFile,
    /// The reference is another file, for which nothing is known but its numbers.
    OtherFile,
}

/// Differences of one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputParity {
    /// Graph; `split` for `rank` on what `oneranker` retrieved.
    pub graph: String,
    /// Output.
    pub output: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference relative to the element or its request's rms, whichever is larger.
    pub max_rel: f64,
    /// Smallest cosine of a request.
    pub min_cosine: f64,
    /// Root mean square of the differences, pooled.
    pub rms_error: f64,
    /// Root mean square of the reference.
    pub rms_reference: f64,
    /// `rms_error` over that of rounded weights alone; 16-bit precisions only.
    pub error_ratio: Option<f64>,
    /// Index of the request with the largest difference.
    pub worst_request: usize,
    /// What is wrong, if anything.
    pub failure: Option<String>,
}

/// How well the final order was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderParity {
    /// `k` of the overlap.
    pub k: usize,
    /// Scores closer than this count as tied.
    pub tie: f64,
    /// Requests with candidates.
    pub requests: usize,
    /// Mean tie-aware overlap of the first `k`.
    pub mean_overlap: f64,
    /// Smallest overlap of a request.
    pub min_overlap: f64,
}

/// Distribution consistency of generator and ranker, in nats, averaged over requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Of the reference.
    pub reference: f64,
    /// Of the candidate.
    pub candidate: f64,
    /// Largest shift of a request.
    pub max_shift: f64,
}

impl ParityReport {
    /// Is everything within tolerance?
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

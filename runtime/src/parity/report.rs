//! The outcome of a comparison, as manifests keep it and the command line shows it.

use onr_requests::Request;
use serde::{Deserialize, Serialize};

use super::{
    check::{Check, Status},
    excuse::Excuse,
    order::Ranked,
    tolerance::Limit,
};

/// What was compared with what, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParityReport {
    /// What the candidate was compared with.
    pub reference: String,
    /// How strong a proof that is.
    pub strength: Strength,
    /// Backend and version that ran the candidate.
    pub candidate: String,
    /// Short name of that backend, as `--candidate` takes it.
    pub backend: String,
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
    /// The request that came out worst, if it is known what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<WorstRequest>,
    /// What was looked at, one by one.
    pub checks: Vec<Check>,
    /// Seconds inside the reference backend.
    pub reference_seconds: f64,
    /// Seconds inside the candidate backend.
    pub candidate_seconds: f64,
    /// Every request; not written.
    #[serde(skip)]
    pub requests_ranked: Vec<RankedRequest>,
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
    /// Largest distance in representable numbers of the candidate's type; absent for codes.
    pub max_ulp: Option<u64>,
    /// Power of the reference over that of the differences, in decibels; absent where nothing differs.
    pub sqnr_db: Option<f64>,
    /// How far it may be.
    pub limit: Limit,
    /// Index of the request with the largest difference.
    pub worst_request: usize,
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
    /// Mean of Kendall's tau over all candidates; absent where all scores are tied.
    pub kendall: Option<f64>,
    /// Mean of `1 - NDCG@k` of the candidate's order, where a candidate's gain is its reference score, from 0 for
    /// the request's lowest to 1 for its highest.
    pub ndcg_shift: f64,
}

/// A request with the candidates of both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedRequest {
    /// What was asked; empty where nobody has kept it.
    pub request: Request,
    /// In the reference's eyes.
    pub want: Ranked,
    /// In the candidate's.
    pub got: Ranked,
}

/// A request, and why it is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstRequest {
    /// Its index, from 0.
    pub index: usize,
    /// Tie-aware overlap of its first `k`.
    pub overlap: f64,
    /// Root mean square of the differences of its scores.
    pub score_error: f64,
    /// What was asked: a line of a request file.
    pub request: Request,
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

impl Strength {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromCheckpoint => "from-checkpoint",
            Self::Golden => "golden",
            Self::SameFile => "same-file",
            Self::OtherFile => "other-file",
        }
    }
}

impl ParityReport {
    /// Is everything within tolerance, or excused?
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// What is out of tolerance and not excused: name and reason.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.checks.iter().filter_map(Check::failure)
    }

    /// Excuses what failed and is known. An excuse for what holds is itself a failure: it would hide the next
    /// fault. One for what was not looked at stays.
    pub fn excuse(&mut self, excuses: &[Excuse]) {
        let mut needless = Vec::new();
        for excuse in excuses.iter().filter(|e| e.is_for(&self.backend, &self.precision)) {
            let mut tried = false;
            let mut needed = false;
            for check in self.checks.iter_mut().filter(|check| excuse.names(&check.name)) {
                match &check.status {
                    Status::Failed { why } => {
                        let (why, reason) = (why.clone(), excuse.reason.clone());
                        check.status = Status::Excused { why, reason };
                        (tried, needed) = (true, true);
                    }
                    Status::Excused { .. } => (tried, needed) = (true, true),
                    Status::Passed => tried = true,
                    Status::Skipped { .. } => {}
                }
            }
            if tried && !needed {
                let why = format!("`{}` holds: the excuse is no longer needed", excuse.check);
                needless.push(Check::failed("excuses", why));
            }
        }
        self.checks.extend(needless);
    }
}

//! What a comparison with a reference found. Names of kinds are those that reports are written with.

mod outputs;
mod worst;

pub use outputs::{OutputFigures, OutputLimit};
pub use worst::WorstRequest;

use super::{Requests, Scores};

/// What `onr parity` found: directories on backends, against references.
///
/// Whatever was not measured stays empty, and its part of the page says so or is not there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParityPage {
    /// Version of `onr`.
    pub version: String,
    /// Each comparison.
    pub runs: Vec<ParityRun>,
    /// Backends that were wanted and are not here.
    pub missing: Vec<MissingBackend>,
    /// What else the reader should know, a sentence each.
    pub warnings: Vec<String>,
}

/// A backend that is not here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissingBackend {
    /// Short name.
    pub backend: String,
    /// What is missing.
    pub reason: String,
    /// What helps.
    pub hint: String,
    /// Does everything fail without it?
    pub required: bool,
}

/// One directory on one backend, against one reference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParityRun {
    /// The directory.
    pub directory: String,
    /// Short name of the backend: `ort`.
    pub backend: String,
    /// Name and version of the backend.
    pub candidate: String,
    /// Where it ran.
    pub device: String,
    /// `fp32`, `fp16`, `int8`.
    pub precision: String,
    /// Kind of the reference: `from-checkpoint`, `golden`, `same-file`. Others are shown as they are.
    pub against: String,
    /// The reference, in words.
    pub reference: String,
    /// Requests that were compared.
    pub requests: u64,
    /// Where they came from.
    pub requests_from: String,
    /// Seconds inside the reference's backend.
    pub reference_seconds: Option<f64>,
    /// Seconds inside the candidate's backend.
    pub candidate_seconds: Option<f64>,
    /// The final order of candidates.
    pub order: Option<OrderFigures>,
    /// Distribution consistency.
    pub consistency: Option<Consistency>,
    /// Every output of every graph, graph by graph. The layers of an output may come in any order.
    pub outputs: Vec<OutputFigures>,
    /// What was looked at. That of an output is called `graph.output`, that of a relation `relation.name`.
    pub checks: Vec<ParityCheck>,
    /// Scores beside those of the reference.
    pub scores: Option<Scores>,
    /// Overlap request by request.
    pub by_request: Requests,
    /// The request that came out worst.
    pub worst: Option<WorstRequest>,
}

/// How well the final order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OrderFigures {
    /// `k` of the overlap.
    pub k: u64,
    /// Scores closer than this may swap.
    pub tie: f64,
    /// Requests with candidates.
    pub requests: u64,
    /// Mean share of the first `k` that belong there, ties forgiven.
    pub overlap: f64,
    /// The smallest of a request.
    pub overlap_least: f64,
    /// Mean of Kendall's tau; `None` where all scores are tied.
    pub kendall: Option<f64>,
    /// Mean of 1 - NDCG of the first `k`.
    pub ndcg_shift: Option<f64>,
}

/// Distribution consistency, nats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Consistency {
    /// Mean of the reference.
    pub reference: f64,
    /// Mean of the candidate.
    pub candidate: f64,
    /// Largest shift of a request.
    pub shift: f64,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParityCheck {
    /// Its name: `rank.scores`, `order`, `relation.padding`.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It holds.
    #[default]
    Passed,
    /// It does not.
    Failed {
        /// What is wrong.
        why: String,
    },
    /// It does not, and somebody knows why.
    Excused {
        /// What is wrong.
        why: String,
        /// Why that is let pass.
        reason: String,
    },
    /// It could not be looked at.
    Skipped {
        /// What is missing.
        why: String,
    },
}

/// How many checks there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) excused: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn of<'a>(checks: impl IntoIterator<Item = &'a ParityCheck>) -> Self {
        checks.into_iter().fold(Self::default(), |mut counts, check| {
            match check.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed { .. } => counts.failed += 1,
                Outcome::Excused { .. } => counts.excused += 1,
                Outcome::Skipped { .. } => counts.skipped += 1,
            }
            counts
        })
    }

    /// Checks that were made.
    pub(crate) fn made(self) -> u64 {
        self.passed + self.failed + self.excused
    }
}

//! What is compared, and where measurements go while it is.

use std::path::Path;

use onr_exporter::ExportedGraph;
use onr_graphs::{GraphKind, GraphOptions, ItemInput, ModelConfig};
use onr_requests::Request;

use super::{
    batch::{Batch, BatchShape, batches},
    chain::Chain,
    check::Check,
    compare::Differences,
    order::Ranked,
    tolerance::Tolerance,
};
use crate::{
    backend::{Availability, Backend},
    manifest::Manifest,
};

/// A candidate directory and the requests to compare it on.
pub struct ParityJob<'a> {
    /// The model.
    pub config: &'a ModelConfig,
    /// What the candidate was exported with.
    pub options: &'a GraphOptions,
    /// The candidate's graphs.
    pub graphs: &'a [ExportedGraph],
    /// Where they lie.
    pub dir: &'a Path,
    /// Runs the candidate.
    pub candidate: &'a dyn Backend,
    /// Runs the reference.
    pub reference: &'a dyn Backend,
    /// Checked requests: no history longer than the model's.
    pub requests: &'a [Request],
    /// Where the requests came from, for the report.
    pub requests_from: &'a str,
    /// Rows of a batch.
    pub rows: usize,
    /// What of the candidate is in codes.
    pub coded: Coded,
}

/// What of a candidate is in codes of 8 bits or fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coded {
    /// Products or tables.
    pub numbers: bool,
    /// Keys and values between graphs.
    pub keys: bool,
}

impl From<&Manifest> for Coded {
    fn from(manifest: &Manifest) -> Self {
        let quantized = manifest.quantized.as_ref();
        Self { numbers: quantized.is_some(), keys: quantized.is_some_and(|q| q.kv.is_some()) }
    }
}

/// Item tables above this many bytes make a plan of tract expensive.
const LARGE_TABLE: usize = 1 << 28;

impl ParityJob<'_> {
    /// How many padded lengths batches may have. tract makes a plan for each, and every plan of a
    /// retrieval packs the item table anew: seconds, and its size in memory, for a large one.
    const fn lengths(&self) -> usize {
        let table = self.config.n_items * self.config.d_model * size_of::<f32>();
        if table > LARGE_TABLE { 1 } else { 4 }
    }

    /// How far the candidate may be from the reference.
    pub(super) fn tolerance(&self) -> Tolerance {
        let one_layer = match self.coded.numbers {
            true => Tolerance::QUANTIZED,
            false => Tolerance::of(self.options.precision),
        };
        one_layer.through(self.config.n_layers)
    }

    /// The candidate's graphs on its backend, not opened yet.
    pub(super) fn chain(&self) -> Chain<'_> {
        Chain::new(self.candidate, self.dir, self.graphs, graphs_of(self.options.item_input))
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        let shape = BatchShape {
            rows: self.rows.min(self.requests.len()).max(1),
            seq_step: self.config.max_seq_len.div_ceil(self.lengths()),
            candidate_step: 64,
        };
        batches(self.requests, self.config, self.options, shape)
    }
}

/// Everything that is measured while batches run.
#[derive(Default)]
pub(super) struct Measured {
    /// Candidate against reference.
    pub(super) candidate: Differences,
    /// Rounded weights against reference.
    pub(super) rounded: Differences,
    /// Candidates of each request in the reference's and in the candidate's eyes.
    pub(super) ranked: Vec<(Ranked, Ranked)>,
    /// What no tolerance forgives, and what could not be looked at.
    pub(super) failures: Vec<Check>,
}

impl Measured {
    /// Notes once that something could not be looked at.
    pub(super) fn skip(&mut self, name: &str, why: &str) {
        if !self.failures.iter().any(|check| check.name == name) {
            self.failures.push(Check::skipped(name, why));
        }
    }
}

/// The graphs that a kind of interface has.
#[must_use]
pub(super) fn graphs_of(input: ItemInput) -> &'static [GraphKind] {
    match input {
        ItemInput::Ids => &GraphKind::ALL,
        ItemInput::Embeddings => {
            &[GraphKind::Encode, GraphKind::Append, GraphKind::Generate, GraphKind::Rank]
        }
    }
}

/// Name and version of a backend.
pub(super) fn version(backend: &dyn Backend) -> String {
    match backend.availability() {
        Availability::Ready { version, .. } => version,
        Availability::Missing { .. } => backend.name().to_owned(),
    }
}

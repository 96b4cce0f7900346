//! What is compared, and where measurements go while it is.

use std::path::Path;

use onr_exporter::ExportedGraph;
use onr_graphs::{GraphKind, GraphOptions, ItemInput, ModelConfig};
use onr_requests::Request;

use super::{
    batch::{Batch, BatchShape, batches},
    check::Check,
    compare::Differences,
    order::Ranked,
    tolerance::Tolerance,
};
use crate::backend::{Availability, Backend};

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
    /// Does the candidate compute or keep anything in 8 bits?
    pub eight_bits: bool,
    /// Are its keys and values between graphs codes?
    pub coded_keys: bool,
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
        let one_layer = match self.eight_bits {
            true => Tolerance::QUANTIZED,
            false => Tolerance::of(self.options.precision),
        };
        one_layer.through(self.config.n_layers)
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
    /// What no tolerance forgives.
    pub(super) failures: Vec<Check>,
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

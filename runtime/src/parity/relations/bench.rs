//! The engine under test with a few requests and its answers to them.

use std::time::Duration;

use onr_graphs::{GraphKind, Profile, Range};
use onr_requests::Request;

use super::{
    super::{
        ParityError,
        batch::{Batch, BatchShape, batches},
        chain::{Chain, keep_history},
        compare::Differences,
        job::ParityJob,
        tolerance::Tolerance,
    },
    layout::{Layout, align},
};
use crate::tensor::Feeds;

/// Requests of the plain batch.
const REQUESTS: usize = 8;

/// Candidates that a request keeps.
const CANDIDATES: usize = 128;

/// Outputs by graph.
pub(super) type Outputs = Vec<(GraphKind, Feeds)>;

/// The engine under test, some requests, and its answers to them.
pub(super) struct Bench<'a> {
    pub(super) job: &'a ParityJob<'a>,
    pub(super) chain: Chain<'a>,
    profile: &'a Profile,
    /// Towards itself.
    pub(super) tolerance: Tolerance,
    /// A few requests of different lengths.
    pub(super) requests: Vec<Request>,
    /// They, padded.
    pub(super) batch: Batch,
    /// What the engine answered.
    pub(super) plain: Outputs,
    /// Time inside chains that are gone.
    pub(super) spent: Duration,
}

impl<'a> Bench<'a> {
    /// The graphs that it runs for every batch.
    pub(super) const GRAPHS: [GraphKind; 3] =
        [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

    pub(super) fn new(job: &'a ParityJob<'a>, profile: &'a Profile) -> Result<Self, ParityError> {
        let requests = chosen(job.requests);
        let longest = requests.iter().map(|r| r.items.len()).max().unwrap_or(0);
        let step = job.config.max_seq_len.div_ceil(4);
        let seq = longest.max(1).next_multiple_of(step).min(job.config.max_seq_len);
        let batch = padded(job, &requests, (requests.len(), seq, 1));
        let mut bench = Self {
            job,
            chain: job.chain(),
            profile,
            tolerance: Tolerance::relation(job.options.precision, job.coded.numbers),
            requests,
            plain: Vec::new(),
            batch,
            spent: Duration::ZERO,
        };
        bench.plain = bench.run(&bench.batch.clone())?;
        Ok(bench)
    }

    /// Time inside the backend.
    pub(super) fn elapsed(&self) -> Duration {
        self.chain.elapsed + self.spent
    }

    /// The range of a symbol.
    pub(super) fn range(&self, symbol: &str) -> Option<Range> {
        self.profile.get(symbol)
    }

    /// Some requests as a batch of `(rows, seq, candidates)`; the sizes are at least what the requests need.
    pub(super) fn padded(&self, requests: &[Request], shape: (usize, usize, usize)) -> Batch {
        padded(self.job, requests, shape)
    }

    /// `encode`, `generate` and `rank`.
    pub(super) fn run(&mut self, batch: &Batch) -> Result<Outputs, ParityError> {
        run(&mut self.chain, batch)
    }

    /// What is wrong where two batches must have the same bits from the fused graph: numbers that differ in what does
    /// not count.
    pub(super) fn fused_alike(
        &mut self,
        first: &Batch,
        second: &Batch,
    ) -> Result<Option<String>, ParityError> {
        if !self.chain.has(GraphKind::OneRanker) {
            return Ok(None);
        }
        let want = self.chain.run(GraphKind::OneRanker, &first.inputs)?;
        let got = self.chain.run(GraphKind::OneRanker, &second.inputs)?;
        let other = want.iter().find(|(name, tensor)| got.get(*name) != Some(*tensor));
        Ok(other.map(|(name, _)| format!("oneranker.{name} has other bits")))
    }

    /// `generate` and `rank` on keys and values that are there.
    pub(super) fn run_on(&mut self, batch: &Batch, present: Feeds) -> Result<Outputs, ParityError> {
        run_on(&mut self.chain, batch, present)
    }

    /// What is wrong with answers to another batch, whose rows, slots and candidates `layout` finds.
    pub(super) fn differ(
        &self,
        batch: &Batch,
        want: &Outputs,
        got: &Outputs,
        layout: &Layout,
    ) -> Result<Option<String>, ParityError> {
        self.differ_within(self.tolerance, batch, (want, got), layout)
    }

    /// As [`differ`](Self::differ), within another tolerance.
    pub(super) fn differ_within(
        &self,
        tolerance: Tolerance,
        batch: &Batch,
        (want, got): (&Outputs, &Outputs),
        layout: &Layout,
    ) -> Result<Option<String>, ParityError> {
        let mut differences = Differences::default();
        for ((kind, want), (_, got)) in want.iter().zip(got) {
            let aligned = |feeds: &Feeds| -> Feeds {
                feeds.iter().map(|(n, t)| (n.clone(), align(n, t, layout))).collect()
            };
            differences.add(kind.name(), batch, want, &aligned(got))?;
        }
        Ok(tolerance.first_wrong(&differences))
    }
}

/// Requests of all lengths, the shortest and the longest among them.
fn chosen(requests: &[Request]) -> Vec<Request> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|at| requests[*at].items.len());
    let take = REQUESTS.min(order.len());
    let spread = (0..take).map(|k| order[k * (order.len() - 1) / (take - 1).max(1)]);
    let cut = |at: usize| {
        let mut request = requests[at].clone();
        request.candidates.truncate(CANDIDATES);
        request
    };
    spread.map(cut).collect()
}

fn padded(job: &ParityJob<'_>, requests: &[Request], shape: (usize, usize, usize)) -> Batch {
    let (rows, seq, candidates) = shape;
    let shape = BatchShape {
        rows: rows.max(requests.len()),
        seq_step: seq.max(1),
        candidate_step: candidates.max(1),
    };
    let mut all = batches(requests, job.config, job.options, shape);
    all.swap_remove(0)
}

/// `encode`, `generate` and `rank` on a chain.
pub(super) fn run(chain: &mut Chain<'_>, batch: &Batch) -> Result<Outputs, ParityError> {
    let present = chain.run(GraphKind::Encode, &batch.inputs)?;
    run_on(chain, batch, present)
}

fn run_on(chain: &mut Chain<'_>, batch: &Batch, present: Feeds) -> Result<Outputs, ParityError> {
    let mut state = batch.inputs.clone();
    keep_history(&mut state, &present);
    let generated = chain.run(GraphKind::Generate, &state)?;
    state.extend(generated.clone());
    let ranked = chain.run(GraphKind::Rank, &state)?;
    Ok(vec![
        (GraphKind::Encode, present),
        (GraphKind::Generate, generated),
        (GraphKind::Rank, ranked),
    ])
}

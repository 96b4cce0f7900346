//! What a precision costs, in what a recommender is judged by: the order of candidates, and whether generator
//! and ranker still agree.

use onr_exporter::{ExportedGraph, Progress};
use onr_graphs::{GraphKind, GraphOptions, ModelConfig};
use onr_requests::Request;
use serde::{Deserialize, Serialize};

use super::{
    ParityError,
    batch::{BatchShape, batches},
    chain::{Chain, keep_history},
    order::{Ranked, kendall, top_k_overlap},
    verdict::ranked_rows,
};
use crate::backend::Backend;

/// Requests, and how they are run.
#[derive(Clone, Copy)]
pub struct Scoring<'a> {
    /// The model.
    pub config: &'a ModelConfig,
    /// What the graphs were exported with.
    pub options: &'a GraphOptions,
    /// Checked requests.
    pub requests: &'a [Request],
    /// Rows of a batch.
    pub rows: usize,
}

impl Scoring<'_> {
    /// Runs `encode`, `generate` and `rank` of a directory on all requests: each request's candidates with the
    /// last task's scores and logits.
    ///
    /// # Errors
    /// [`ParityError`] when a graph is missing or fails.
    pub fn run(
        &self,
        backend: &dyn Backend,
        dir: &std::path::Path,
        graphs: &[ExportedGraph],
        progress: &dyn Progress,
    ) -> Result<Vec<Ranked>, ParityError> {
        let stages = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];
        let mut chain = Chain::new(backend, dir, graphs, &stages);
        let shape = BatchShape {
            rows: self.rows.min(self.requests.len()).max(1),
            seq_step: self.config.max_seq_len.div_ceil(4),
            candidate_step: 64,
        };
        let batches = batches(self.requests, self.config, self.options, shape);
        progress.stage("score", batches.len() as u64);
        let mut ranked = Vec::with_capacity(self.requests.len());
        for batch in batches {
            let mut state = batch.inputs.clone();
            let encoded = chain.run(GraphKind::Encode, &state)?;
            keep_history(&mut state, &encoded);
            let generated = chain.run(GraphKind::Generate, &state)?;
            state.extend(generated);
            let scored = chain.run(GraphKind::Rank, &state)?;
            ranked.extend(ranked_rows(&batch, &scored, self.config.n_tasks()));
            if progress.advance(1).is_break() {
                return Err(ParityError::Interrupted);
            }
        }
        Ok(ranked)
    }
}

/// How close one set of scores is to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Requests with candidates.
    pub requests: usize,
    /// `k` of the overlaps.
    pub k: usize,
    /// Candidates whose reference scores are closer than this many standard deviations of the request's scores
    /// may swap.
    pub tie: f64,
    /// Mean share of the first `k` that belong there, ties forgiven.
    pub overlap: f64,
    /// Its 5th percentile over requests.
    pub overlap_p05: f64,
    /// Mean share of the first `k`, no tie forgiven.
    pub overlap_exact: f64,
    /// Mean of Kendall's tau over all pairs of candidates that are not tied.
    pub kendall: f64,
    /// Mean distribution consistency of the reference, nats.
    pub dc_reference: f64,
    /// Mean distribution consistency, nats.
    pub dc: f64,
    /// Mean over requests of the absolute change of the distribution consistency, nats.
    pub dc_shift: f64,
    /// Mean over requests of the rms error of the scores over their standard deviation.
    pub score_error: f64,
}

/// One request of an [`Accuracy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RequestAccuracy {
    /// As [`Accuracy::overlap`].
    pub overlap: f64,
    /// As [`Accuracy::overlap_exact`].
    pub overlap_exact: f64,
    /// As [`Accuracy::kendall`]; 1 where there are no pairs.
    pub kendall: f64,
    /// Distribution consistency of the reference, nats.
    pub dc_reference: f64,
    /// Distribution consistency, nats.
    pub dc: f64,
    /// As [`Accuracy::score_error`].
    pub score_error: f64,
}

impl RequestAccuracy {
    /// Compares one request; `None` where it has no candidates. `tie` is in standard deviations of its scores.
    #[must_use]
    pub fn of(want: &Ranked, got: &Ranked, k: usize, tie: f64) -> Option<Self> {
        Self::within(want, got, k, tie * deviation(&want.scores))
    }

    /// As [`of`](Self::of), with `tie` in the unit of the scores.
    #[must_use]
    pub fn within(want: &Ranked, got: &Ranked, k: usize, tie: f64) -> Option<Self> {
        let spread = deviation(&want.scores);
        let errors = want.scores.iter().zip(&got.scores).map(|(a, b)| (a - b).powi(2));
        let rms = (errors.sum::<f64>() / want.scores.len().max(1) as f64).sqrt();
        Some(Self {
            overlap: top_k_overlap(want, got, k, tie)?,
            overlap_exact: top_k_overlap(want, got, k, 0.0)?,
            kendall: kendall(&want.scores, &got.scores, tie).unwrap_or(1.0),
            dc_reference: want.distribution_consistency()?,
            dc: got.distribution_consistency()?,
            score_error: if spread > 0.0 { rms / spread } else { 0.0 },
        })
    }
}

fn deviation(x: &[f64]) -> f64 {
    let n = x.len().max(1) as f64;
    let mean = x.iter().sum::<f64>() / n;
    (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

impl Accuracy {
    /// Sums up requests; `None` without any.
    #[must_use]
    pub fn over(requests: &[RequestAccuracy], k: usize, tie: f64) -> Option<Self> {
        let n = requests.len();
        let mean = |f: fn(&RequestAccuracy) -> f64| requests.iter().map(f).sum::<f64>() / n as f64;
        let mut overlaps: Vec<f64> = requests.iter().map(|r| r.overlap).collect();
        overlaps.sort_by(f64::total_cmp);
        Some(Self {
            requests: n,
            k,
            tie,
            overlap: mean(|r| r.overlap),
            overlap_p05: *overlaps.get(n / 20)?,
            overlap_exact: mean(|r| r.overlap_exact),
            kendall: mean(|r| r.kendall),
            dc_reference: mean(|r| r.dc_reference),
            dc: mean(|r| r.dc),
            dc_shift: mean(|r| (r.dc - r.dc_reference).abs()),
            score_error: mean(|r| r.score_error),
        })
    }

    /// Compares scores of the same requests, in the same order.
    #[must_use]
    pub fn of(want: &[Ranked], got: &[Ranked], k: usize, tie: f64) -> Option<Self> {
        let each = want.iter().zip(got).filter_map(|(w, g)| RequestAccuracy::of(w, g, k, tie));
        Self::over(&each.collect::<Vec<_>>(), k, tie)
    }
}

//! Runs reference and candidate over the same requests.

use std::path::Path;

use onr_exporter::{Checkpoint, ExportJob, ExportedGraph, Progress, export};
use onr_graphs::{GraphKind, GraphOptions, ItemInput, ModelConfig, Precision, Profile};
use onr_requests::Request;
use tempfile::TempDir;

use super::{
    ParityError,
    batch::{Batch, BatchShape, batches},
    chain::{Chain, append_state, keep_history},
    compare::Differences,
    order::Ranked,
    report::{ParityReport, Strength},
    retrieval,
    verdict::{ranked_rows, verdict},
};
use crate::{
    backend::{Availability, Backend},
    tensor::Feeds,
};

/// How many of each history's behaviours `append` gets as new ones.
const NEW: usize = 4;

/// FP32 graphs built anew from a checkpoint, and for 16-bit candidates the same with rounded weights.
#[derive(Debug)]
pub struct Reference {
    exact: Built,
    rounded: Option<Built>,
    /// SHA-256 of the checkpoint.
    checkpoint: String,
}

#[derive(Debug)]
struct Built {
    dir: TempDir,
    graphs: Vec<ExportedGraph>,
}

impl Reference {
    /// Exports the reference of a candidate with `options` into temporary directories.
    ///
    /// # Errors
    /// [`ParityError::Export`].
    pub fn build(
        cfg: &ModelConfig,
        options: &GraphOptions,
        checkpoint: &Checkpoint,
        progress: &dyn Progress,
    ) -> Result<Self, ParityError> {
        let wide = GraphOptions { precision: Precision::F32, ..*options };
        let profile = Profile::for_model(cfg.max_seq_len);
        let built = |round_weights| {
            let dir = TempDir::with_prefix("onr-reference-")
                .map_err(|cause| onr_exporter::ExportError::Write { file: std::env::temp_dir(), cause })?;
            let job = ExportJob {
                config: cfg,
                options: &wide,
                graphs: graphs_of(options.item_input),
                checkpoint,
                strict: false,
                profile: &profile,
                round_weights,
                out: dir.path(),
            };
            let exported = export(&job, progress)?;
            Ok::<_, ParityError>((Built { dir, graphs: exported.graphs }, exported.checkpoint.sha256))
        };
        let (exact, sha256) = built(None)?;
        let rounded = match options.precision {
            Precision::F32 => None,
            narrow => Some(built(Some(narrow))?.0),
        };
        Ok(Self { exact, rounded, checkpoint: sha256 })
    }

    /// SHA-256 of the checkpoint that it was built from.
    #[must_use]
    pub fn checkpoint_sha256(&self) -> &str {
        &self.checkpoint
    }
}

/// The graphs that a kind of interface has.
#[must_use]
pub(super) fn graphs_of(input: ItemInput) -> &'static [GraphKind] {
    match input {
        ItemInput::Ids => &GraphKind::ALL,
        ItemInput::Embeddings => &[
            GraphKind::Encode,
            GraphKind::Append,
            GraphKind::Generate,
            GraphKind::Rank,
        ],
    }
}

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

    pub(super) fn batches(&self) -> Vec<Batch> {
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
    pub(super) failures: Vec<String>,
}

/// Compares a candidate with a reference built from the checkpoint.
///
/// # Errors
/// [`ParityError`] when something cannot run; what runs and differs is in the report.
pub fn check(
    job: &ParityJob<'_>,
    reference: &Reference,
    progress: &dyn Progress,
) -> Result<ParityReport, ParityError> {
    let all = graphs_of(job.options.item_input);
    let exact = &reference.exact;
    let mut want = Chain::new(job.reference, exact.dir.path(), &exact.graphs, all);
    let mut got = Chain::new(job.candidate, job.dir, job.graphs, all);
    let rounded = reference.rounded.as_ref();
    let mut rounded =
        rounded.map(|b| Chain::new(job.reference, b.dir.path(), &b.graphs, all));
    let batches = job.batches();
    progress.stage("parity", batches.len() as u64);
    let mut measured = Measured::default();
    for batch in &batches {
        let mut sides = Sides { job, want: &mut want, got: &mut got };
        let states = sides.split(batch, &mut measured)?;
        sides.fused(batch, &states, &mut measured)?;
        if let Some(rounded) = &mut rounded {
            weights_only(rounded, batch, &states.want, &mut measured.rounded)?;
        }
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    let device = got.placement().map_or_else(String::new, |p| p.device);
    let mut report = ParityReport {
        reference: format!(
            "{}, FP32 graphs built from checkpoint {}",
            version(job.reference),
            &reference.checkpoint[..12.min(reference.checkpoint.len())]
        ),
        strength: Strength::FromCheckpoint,
        candidate: version(job.candidate),
        device,
        precision: job.options.precision.name().into(),
        requests_from: job.requests_from.to_owned(),
        requests: job.requests.len(),
        outputs: Vec::new(),
        order: None,
        consistency: None,
        failures: Vec::new(),
        reference_seconds: want.elapsed.as_secs_f64(),
        candidate_seconds: got.elapsed.as_secs_f64(),
    };
    verdict(&measured, job.options.precision, &mut report);
    Ok(report)
}

/// Name and version of a backend.
pub(super) fn version(backend: &dyn Backend) -> String {
    match backend.availability() {
        Availability::Ready { version, .. } => version,
        Availability::Missing { .. } => backend.name().to_owned(),
    }
}

/// What the chains hold after a batch: base inputs, keys and values, prompt.
struct States {
    want: Feeds,
    got: Feeds,
}

/// Both chains of a comparison.
struct Sides<'a, 'c> {
    job: &'a ParityJob<'a>,
    want: &'a mut Chain<'c>,
    got: &'a mut Chain<'c>,
}

impl Sides<'_, '_> {
    /// One graph on both sides, each on its own state; a graph that the candidate lacks is taken from
    /// the reference, so that the graphs after it can run.
    fn both(
        &mut self,
        kind: GraphKind,
        batch: &Batch,
        states: (&Feeds, &Feeds),
        measured: &mut Measured,
    ) -> Result<(Feeds, Feeds), ParityError> {
        let want = self.want.run(kind, states.0)?;
        if !self.got.has(kind) {
            return Ok((want.clone(), want));
        }
        let got = self.got.run(kind, states.1)?;
        measured.candidate.add(kind.name(), batch, &want, &got)?;
        if kind == GraphKind::Encode {
            measured.candidate.count_stray(kind.name(), batch, &got);
        }
        Ok((want, got))
    }

    /// `encode`, `append`, `generate`, `rank`, one after the other.
    fn split(&mut self, batch: &Batch, measured: &mut Measured) -> Result<States, ParityError> {
        let mut states = States { want: batch.inputs.clone(), got: batch.inputs.clone() };
        let kv = self.both(GraphKind::Encode, batch, (&states.want, &states.got), measured)?;
        let appended = (append_state(batch, &kv.0, NEW), append_state(batch, &kv.1, NEW));
        self.both(GraphKind::Append, batch, (&appended.0, &appended.1), measured)?;
        keep_history(&mut states.want, &kv.0);
        keep_history(&mut states.got, &kv.1);
        let made = self.both(GraphKind::Generate, batch, (&states.want, &states.got), measured)?;
        states.want.extend(made.0);
        states.got.extend(made.1);
        let (want, got) = self.both(GraphKind::Rank, batch, (&states.want, &states.got), measured)?;
        let ranked = |outputs: &Feeds| ranked_rows(batch, outputs, self.job.config.n_tasks());
        measured.ranked.extend(ranked(&want).into_iter().zip(ranked(&got)));
        states.want.extend(want);
        Ok(states)
    }

    /// `oneranker`, judged by `rank` on the candidates that it chose itself.
    fn fused(
        &mut self,
        batch: &Batch,
        states: &States,
        measured: &mut Measured,
    ) -> Result<(), ParityError> {
        if !self.got.has(GraphKind::OneRanker) {
            return Ok(());
        }
        let best = self.want.run(GraphKind::OneRanker, &batch.inputs)?;
        let fused = self.got.run(GraphKind::OneRanker, &batch.inputs)?;
        let Some(chosen) = fused.get("candidate_ids").cloned() else {
            return Err(ParityError::Missing { graph: "oneranker", input: "candidate_ids".into() });
        };
        let on_chosen = |chain: &mut Chain<'_>, state: &Feeds| {
            let mut state = state.clone();
            state.insert("candidate_ids".into(), chosen.clone());
            chain.run(GraphKind::Rank, &state)
        };
        let judged = on_chosen(self.want, &states.want)?;
        let split = match self.got.has(GraphKind::Rank) {
            true => Some(on_chosen(self.got, &states.got)?),
            false => None,
        };
        retrieval::compare(self.job, batch, [&best, &fused, &judged], split.as_ref(), measured)
    }
}

/// What rounding the weights alone costs: the reference's own graphs on rounded weights.
fn weights_only(
    chain: &mut Chain<'_>,
    batch: &Batch,
    want: &Feeds,
    rounded: &mut Differences,
) -> Result<(), ParityError> {
    let mut state = batch.inputs.clone();
    let renamed = |outputs: &Feeds| {
        let history = |n: &str| n.strip_prefix("present.").map(|r| format!("past_key_values.{r}"));
        outputs.keys().map(|n| (n.clone(), history(n).unwrap_or_else(|| n.clone()))).collect::<Vec<_>>()
    };
    for kind in [GraphKind::Encode, GraphKind::Generate] {
        let outputs = chain.run(kind, &state)?;
        let reference = renamed(&outputs)
            .into_iter()
            .filter_map(|(name, key)| want.get(&key).map(|v| (name, v.clone())))
            .collect();
        rounded.add(kind.name(), batch, &reference, &outputs)?;
        keep_history(&mut state, &outputs);
        state.extend(outputs);
    }
    // `append` writes what `encode` would have: its weights-only error is that of `encode`.
    let outputs = chain.run(GraphKind::Rank, &state)?;
    let reference = want.iter().filter(|(n, _)| outputs.contains_key(*n));
    let reference: Feeds = reference.map(|(n, v)| (n.clone(), v.clone())).collect();
    rounded.add("rank", batch, &reference, &outputs)
}

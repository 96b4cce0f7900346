//! Runs reference and candidate over the same requests.

use onr_exporter::Progress;
use onr_graphs::GraphKind;

use super::{
    ParityError,
    batch::Batch,
    chain::{Chain, JUNK, append_state, keep_history},
    compare::Differences,
    job::{Measured, ParityJob, graphs_of, version},
    reference::{Built, Reference},
    report::{ParityReport, Strength},
    retrieval::Retrieved,
    verdict::{by_request, ranked_rows, verdict},
};
use crate::tensor::Feeds;

/// How many of each history's behaviours `append` gets as new ones.
pub(crate) const NEW: usize = 4;

/// Compares a candidate with a reference built from the checkpoint.
///
/// # Errors
/// [`ParityError`] when something cannot run; what runs and differs is in the report.
pub fn check(
    job: &ParityJob<'_>,
    reference: &Reference,
    progress: &dyn Progress,
) -> Result<ParityReport, ParityError> {
    let Run { mut measured, device, seconds } =
        run(job, &reference.exact, reference.rounded.as_ref(), progress)?;
    if measured.exceeds(job.tolerance())
        && let Some(half) = reference.half(progress)?
    {
        let costs = run(job, &reference.exact, Some(&half), progress)?.measured.rounded;
        measured.allow(&costs, job.tolerance());
    }
    let mut report = ParityReport {
        reference: format!(
            "{}, FP32 graphs built from checkpoint {}",
            version(job.reference),
            short(reference.checkpoint_sha256())
        ),
        strength: Strength::FromCheckpoint,
        candidate: version(job.candidate),
        backend: job.candidate.name().to_owned(),
        device,
        precision: reference.format.map_or(job.options.precision.name(), |f| f.name()).into(),
        requests_from: job.requests_from.to_owned(),
        requests: job.requests.len(),
        outputs: Vec::new(),
        order: None,
        consistency: None,
        worst: None,
        checks: Vec::new(),
        reference_seconds: seconds.0,
        candidate_seconds: seconds.1,
        requests_ranked: Vec::new(),
    };
    verdict(&measured, job.tolerance(), &mut report);
    by_request(measured, job.requests, &mut report);
    Ok(report)
}

/// All batches on reference and candidate.
struct Run {
    measured: Measured,
    /// Where the candidate ran.
    device: String,
    /// Inside the reference's backend, and the candidate's.
    seconds: (f64, f64),
}

/// Runs all batches on the reference and the candidate, and on what shows what rounding costs.
fn run(
    job: &ParityJob<'_>,
    exact: &Built,
    yardstick: Option<&Built>,
    progress: &dyn Progress,
) -> Result<Run, ParityError> {
    let of = |built| chain_of(job, built);
    let (mut want, mut rounded, mut got) = (of(exact), yardstick.map(of), job.chain());
    let batches = job.batches();
    progress.stage("parity", batches.len() as u64);
    let mut measured = Measured::default();
    for batch in &batches {
        let mut sides = Sides { job, want: &mut want, got: &mut got, rounded: rounded.as_mut() };
        let states = sides.split(batch, &mut measured)?;
        sides.fused(batch, &states, &mut measured)?;
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    let device = got.placement().map_or_else(String::new, |p| p.device);
    Ok(Run { measured, device, seconds: (want.elapsed.as_secs_f64(), got.elapsed.as_secs_f64()) })
}

/// The first digits of a hash.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Graphs of the reference on its backend.
pub(crate) fn chain_of<'a>(job: &ParityJob<'a>, built: &'a Built) -> Chain<'a> {
    let all = graphs_of(job.options.item_input);
    Chain::new(job.reference, built.dir.path(), &built.graphs, all)
}

/// What the chains hold after a batch: base inputs, keys and values, prompt.
struct States {
    want: Feeds,
    got: Feeds,
    /// Of the reference with rounded weights, where there is one.
    rounded: Feeds,
}

/// All chains of a comparison.
struct Sides<'a, 'c> {
    job: &'a ParityJob<'a>,
    want: &'a mut Chain<'c>,
    got: &'a mut Chain<'c>,
    /// The reference with rounded weights: what rounding them costs, apart from all else.
    rounded: Option<&'a mut Chain<'c>>,
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
        let behind = match kind {
            GraphKind::Encode => Some(0.0),
            GraphKind::Append => Some(JUNK),
            _ => None,
        };
        if let Some(expected) = behind {
            let expected = |output: &str| self.got.as_passed(kind, output, expected);
            measured.candidate.count_stray(kind.name(), batch, &got, &expected);
        }
        Ok((want, got))
    }

    /// `encode`, `append`, `generate`, `rank`, one after the other.
    fn split(&mut self, batch: &Batch, measured: &mut Measured) -> Result<States, ParityError> {
        let base = &batch.inputs;
        let mut states = States { want: base.clone(), got: base.clone(), rounded: base.clone() };
        let kv = self.both(GraphKind::Encode, batch, (&states.want, &states.got), measured)?;
        let appended =
            (append_state(batch, &kv.0, NEW, JUNK), append_state(batch, &kv.1, NEW, JUNK));
        self.both(GraphKind::Append, batch, (&appended.0, &appended.1), measured)?;
        keep_history(&mut states.want, &kv.0);
        keep_history(&mut states.got, &kv.1);
        let made = self.both(GraphKind::Generate, batch, (&states.want, &states.got), measured)?;
        states.want.extend(made.0);
        states.got.extend(made.1);
        let (want, got) =
            self.both(GraphKind::Rank, batch, (&states.want, &states.got), measured)?;
        if self.got.has(GraphKind::Rank) {
            let ranked = |outputs: &Feeds| ranked_rows(batch, outputs, self.job.config.n_tasks());
            measured.ranked.extend(ranked(&want).into_iter().zip(ranked(&got)));
        }
        states.want.extend(want);
        if let Some(rounded) = &mut self.rounded {
            let base = batch.inputs.clone();
            let costs = &mut measured.rounded;
            states.rounded = weights_only(rounded, batch, &states.want, base, costs)?;
        }
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
        let rounded = match &mut self.rounded {
            Some(chain) => Some(on_chosen(chain, &states.rounded)?),
            None => None,
        };
        let retrieved = Retrieved { best, fused, judged, split, rounded };
        retrieved.compare(self.job, batch, measured)
    }
}

/// What rounding the weights alone costs: the reference's own graphs on rounded weights, compared
/// with what they made of exact ones. `append` writes what `encode` would, so it is not run. Returns `state` with all
/// that was made.
pub(super) fn weights_only(
    chain: &mut Chain<'_>,
    batch: &Batch,
    exact: &Feeds,
    mut state: Feeds,
    costs: &mut Differences,
) -> Result<Feeds, ParityError> {
    for kind in [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank] {
        let outputs = chain.run(kind, &state)?;
        let exact = |name: &String| {
            let kept = name.replace("present.", "past_key_values.");
            exact.get(&kept).map(|value| (name.clone(), value.clone()))
        };
        let want = outputs.keys().filter_map(exact).collect();
        costs.add(kind.name(), batch, &want, &outputs)?;
        keep_history(&mut state, &outputs);
        state.extend(outputs);
    }
    Ok(state)
}

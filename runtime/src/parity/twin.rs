//! The candidate's files against what this version exports from the same checkpoint, in the same precision.
//!
//! In 16 and 8 bits a reference in FP32 leaves room for errors as large as rounding. The same graphs built anew leave
//! none: a node that differs is seen, and what it does is measured on one engine, where only orders of sums can differ.

use onr_exporter::Progress;
use onr_graphs::GraphKind;
use onr_onnx::{Model, proto::GraphProto};

use super::{
    ParityError,
    batch::Batch,
    chain::{Chain, JUNK, append_state, keep_history},
    check::Check,
    compare::Differences,
    job::{ParityJob, graphs_of},
    reference::Reference,
    retrieval::on_retrieved,
    run::NEW,
    tolerance::Tolerance,
};
use crate::tensor::Feeds;

/// Batches on which a graph that differs is measured.
const BATCHES: usize = 4;

/// Compares each graph of a candidate with the one that an export would write today. Graphs of the same nodes pass as
/// they are (their weights are compared elsewhere); others are run, on what the right graphs made before them.
///
/// # Errors
/// [`ParityError`] when a file cannot be read, or a graph cannot run.
pub fn check_twin(
    job: &ParityJob<'_>,
    twin: &Reference,
    progress: &dyn Progress,
) -> Result<Vec<Check>, ParityError> {
    let mut checks = Vec::new();
    let mut differ = Vec::new();
    for graph in job.graphs {
        let Some(kind) = GraphKind::from_name(&graph.name) else { continue };
        let open = |dir: &std::path::Path| Model::open(&dir.join(graph.file_name()));
        let (ours, theirs) = (open(job.dir), open(twin.dir()));
        let (ours, theirs) = (ours.map_err(export)?, theirs.map_err(export)?);
        match difference(ours.graph(), theirs.graph()) {
            None => checks.push(Check::of(format!("graph.{}", graph.name), None)),
            Some(what) => differ.push((kind, what)),
        }
    }
    if !job.candidate.runs_files() {
        let skipped = |(kind, what): &(GraphKind, String)| {
            let backend = job.candidate.name();
            let reason = format!("{what} is not that of an export, and {backend} runs no files");
            Check::skipped(format!("graph.{}", kind.name()), reason)
        };
        checks.extend(differ.iter().map(skipped));
    } else if !differ.is_empty() {
        checks.extend(measure(job, twin, &differ, progress)?);
    }
    Ok(checks)
}

fn export(error: onr_onnx::OnnxError) -> ParityError {
    ParityError::Export(error.into())
}

/// The first node or constant that is another one.
fn difference(ours: &GraphProto, theirs: &GraphProto) -> Option<String> {
    let mut pairs = ours.node.iter().zip(&theirs.node);
    if let Some((node, _)) = pairs.find(|(a, b)| a != b) {
        return Some(format!("node `{}`", node.label()));
    }
    if ours.node.len() != theirs.node.len() {
        return Some(format!("{} nodes for {}", ours.node.len(), theirs.node.len()));
    }
    let constant = |name: &str| theirs.initializer.iter().find(|t| t.label() == name);
    let other = ours.initializer.iter().find(|t| constant(t.label()) != Some(*t));
    if let Some(other) = other {
        return Some(format!("constant `{}`", other.label()));
    }
    let same = ours.input == theirs.input && ours.output == theirs.output;
    (!same).then(|| "its inputs or outputs".to_owned())
}

/// Runs the graphs that differ on both sides, each on the state of the right graphs.
fn measure(
    job: &ParityJob<'_>,
    twin: &Reference,
    differ: &[(GraphKind, String)],
    progress: &dyn Progress,
) -> Result<Vec<Check>, ParityError> {
    let all = graphs_of(job.options.item_input);
    let mut right = Chain::new(job.candidate, twin.dir(), twin.graphs(), all);
    let kinds: Vec<GraphKind> = all.iter().copied().filter(|kind| right.has(*kind)).collect();
    let mut ours = job.chain();
    let mut differences = Differences::default();
    let batches = job.batches();
    progress.stage("graphs", batches.len().min(BATCHES) as u64);
    for batch in batches.iter().take(BATCHES) {
        let mut state = batch.inputs.clone();
        let mut present = Feeds::new();
        for kind in kinds.iter().copied() {
            let feeds = match kind {
                GraphKind::Append => append_state(batch, &present, NEW, JUNK),
                _ => state.clone(),
            };
            let want = right.run(kind, &feeds)?;
            if differ.iter().any(|(other, _)| *other == kind) {
                let got = ours.run(kind, &feeds)?;
                differences.add(kind.name(), &whole(batch, &want), &want, &got)?;
            }
            match kind {
                GraphKind::Encode => {
                    keep_history(&mut state, &want);
                    present = want;
                }
                GraphKind::Generate => state.extend(want),
                _ => {}
            }
        }
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    let tolerance = Tolerance::twin(job.options.precision, job.coded.numbers);
    let judged = |(kind, what): &(GraphKind, String)| {
        let mut own = differences.iter().filter(|(graph, ..)| *graph == kind.name());
        let wrong = own.find_map(|(_, output, difference)| {
            let why = tolerance.judge(difference, None)?;
            Some(format!("{what} is not that of an export, and `{output}` is another: {why}"))
        });
        Check::of(format!("graph.{}", kind.name()), wrong)
    };
    Ok(differ.iter().map(judged).collect())
}

/// The batch with what `oneranker` retrieved as its candidates, where it did.
fn whole(batch: &Batch, outputs: &Feeds) -> Batch {
    let ids = outputs.get("candidate_ids").and_then(|ids| Some((ids.as_i64()?, ids.shape()[1])));
    ids.map_or_else(|| batch.clone(), |(ids, width)| on_retrieved(batch, ids, width))
}

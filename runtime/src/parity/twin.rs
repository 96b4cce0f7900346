//! The candidate's files against what this version exports from the same checkpoint, in the same precision.
//!
//! In 16 and 8 bits a reference in FP32 leaves room for errors as large as rounding. The same graphs built anew leave
//! none: a node that differs is seen, and what it does is measured on one engine, where only orders of sums can differ.
//!
//! Codes hide small faults behind the numbers that change their code. So graphs with codes are measured twice: as they
//! are, and with activations that are not rounded to codes.

use std::{fs, io, path::Path};

use onr_exporter::{ExportError, ExportedGraph, Progress};
use onr_graphs::GraphKind;
use onr_onnx::{Model, proto::GraphProto};
use onr_precision::qdq::bypass_activations;
use tempfile::TempDir;

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
use crate::{beside::beside, tensor::Feeds};

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
        let open = |dir: &Path| Model::open(&dir.join(graph.file_name()));
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

/// Graphs of both sides that are run on the same inputs.
struct Pair<'a> {
    want: Chain<'a>,
    got: Chain<'a>,
    differences: Differences,
    tolerance: Tolerance,
    /// Ends what is said of a difference.
    remark: &'static str,
    /// What was made for it.
    _folders: Vec<TempDir>,
}

impl<'a> Pair<'a> {
    /// The graphs as they are.
    fn plain(job: &ParityJob<'a>, twin: &'a Reference, wrong: &[GraphKind]) -> Self {
        Self {
            want: Chain::new(job.candidate, twin.dir(), twin.graphs(), wrong),
            got: Chain::new(job.candidate, job.dir, job.graphs, wrong),
            differences: Differences::default(),
            tolerance: Tolerance::twin(job.options.precision, job.coded.numbers),
            remark: "",
            _folders: Vec::new(),
        }
    }

    /// The graphs with activations that are not rounded to codes.
    fn smooth(
        job: &ParityJob<'a>,
        twin: &'a Reference,
        wrong: &[GraphKind],
    ) -> Result<Self, ParityError> {
        let want = without_codes(twin.dir(), twin.graphs(), wrong)?;
        let got = without_codes(job.dir, job.graphs, wrong)?;
        Ok(Self {
            want: Chain::new(job.candidate, want.path(), twin.graphs(), wrong),
            got: Chain::new(job.candidate, got.path(), job.graphs, wrong),
            tolerance: Tolerance::twin(job.options.precision, false),
            remark: ", with activations that are not rounded to codes",
            _folders: vec![want, got],
            ..Self::plain(job, twin, wrong)
        })
    }

    /// Runs a graph on both sides.
    fn compare(
        &mut self,
        kind: GraphKind,
        batch: &Batch,
        feeds: &Feeds,
    ) -> Result<(), ParityError> {
        let (want, got) = (self.want.run(kind, feeds)?, self.got.run(kind, feeds)?);
        self.differences.add(kind.name(), &whole(batch, &want), &want, &got)
    }

    /// What is wrong with a graph, if anything.
    fn wrong(&self, kind: GraphKind) -> Option<String> {
        let mut own = self.differences.iter().filter(|(graph, ..)| *graph == kind.name());
        own.find_map(|(_, output, difference)| {
            let why = self.tolerance.judge(difference, None)?;
            Some(format!("`{output}` is another: {why}{}", self.remark))
        })
    }
}

/// Runs the graphs that differ on both sides, each on the state of the right graphs.
fn measure(
    job: &ParityJob<'_>,
    twin: &Reference,
    differ: &[(GraphKind, String)],
    progress: &dyn Progress,
) -> Result<Vec<Check>, ParityError> {
    let all = graphs_of(job.options.item_input);
    let wrong: Vec<GraphKind> = differ.iter().map(|(kind, _)| *kind).collect();
    let mut right = Chain::new(job.candidate, twin.dir(), twin.graphs(), all);
    let kinds: Vec<GraphKind> = all.iter().copied().filter(|kind| right.has(*kind)).collect();
    let mut pairs = vec![Pair::plain(job, twin, &wrong)];
    if job.coded.numbers {
        pairs.push(Pair::smooth(job, twin, &wrong)?);
    }
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
            if wrong.contains(&kind) {
                for pair in &mut pairs {
                    pair.compare(kind, batch, &feeds)?;
                }
            }
            match kind {
                GraphKind::Encode => {
                    present = right.run(kind, &feeds)?;
                    keep_history(&mut state, &present);
                }
                GraphKind::Generate => state.extend(right.run(kind, &feeds)?),
                _ => {}
            }
        }
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    let judged = |(kind, what): &(GraphKind, String)| {
        let wrong = pairs.iter().find_map(|pair| pair.wrong(*kind));
        let wrong = wrong.map(|wrong| format!("{what} is not that of an export, and {wrong}"));
        Check::of(format!("graph.{}", kind.name()), wrong)
    };
    Ok(differ.iter().map(judged).collect())
}

/// The graphs of a directory with activations that are not rounded to codes.
fn without_codes(
    dir: &Path,
    graphs: &[ExportedGraph],
    kinds: &[GraphKind],
) -> Result<TempDir, ParityError> {
    let mut folder: Option<TempDir> = None;
    for graph in graphs.iter().filter(|graph| kinds.iter().any(|kind| kind.name() == graph.name)) {
        let mut model = Model::open(&dir.join(graph.file_name())).map_err(export)?;
        let folder = match &mut folder {
            Some(made) => made,
            none => none.insert(beside(&model)?),
        };
        bypass_activations(model.graph_mut());
        let file = folder.path().join(graph.file_name());
        // It may be a second name of the graph's own file.
        let gone = fs::remove_file(&file).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        let written = gone.and_then(|()| fs::write(&file, model.encode()));
        written.map_err(|cause| ExportError::Write { file, cause })?;
    }
    match folder {
        Some(made) => Ok(made),
        None => Ok(TempDir::new().map_err(temporary)?),
    }
}

fn temporary(cause: io::Error) -> ExportError {
    ExportError::Write { file: std::env::temp_dir(), cause }
}

/// The batch with what `oneranker` retrieved as its candidates, where it did.
fn whole(batch: &Batch, outputs: &Feeds) -> Batch {
    let ids = outputs.get("candidate_ids").and_then(|ids| Some((ids.as_i64()?, ids.shape()[1])));
    ids.map_or_else(|| batch.clone(), |(ids, width)| on_retrieved(batch, ids, width))
}

//! The graphs of a directory against those of its reference, one after the other.

use onr_exporter::Progress;
use onr_graphs::GraphKind;
use serde::Serialize;

use super::{BisectError, Cause, Finding, Options, hunt::Batches, hunt::Hunt};
use crate::{
    parity::{
        Batch, Chain, JUNK, NEW, ParityError, ParityJob, Reference, append_state, chain_of,
        keep_history,
    },
    tensor::Feeds,
};

/// What was found in the graphs of a directory, in the order that a server runs them.
#[derive(Debug, Clone, Serialize)]
pub struct DirectoryFinding {
    /// Graph and finding; the last is the one with the fault, if there is one.
    pub graphs: Vec<(String, Finding)>,
}

impl DirectoryFinding {
    /// The graph with the fault. Near ties are none.
    #[must_use]
    pub fn fault(&self) -> Option<(&str, &Finding)> {
        let last = self.graphs.last()?;
        is_fault(&last.1).then_some((last.0.as_str(), &last.1))
    }
}

fn is_fault(finding: &Finding) -> bool {
    finding.fault.as_ref().is_some_and(|fault| fault.cause != Cause::Choice)
}

/// Bisects each graph of a directory on what the reference's graphs made before it, up to the first one that
/// differs.
///
/// # Errors
/// [`BisectError`].
pub fn bisect_directory(
    job: &ParityJob<'_>,
    reference: &Reference,
    options: Options,
    progress: &dyn Progress,
) -> Result<DirectoryFinding, BisectError> {
    let mut found = DirectoryFinding { graphs: Vec::new() };
    let mut want = chain_of(job, &reference.exact);
    let mut got = Chain::new(job.candidate, job.dir, job.graphs, &GraphKind::ALL);
    let batches = job.batches();
    let mut states: Vec<Feeds> = batches.iter().map(|b| b.inputs.clone()).collect();
    for kind in GraphKind::ALL {
        if !want.has(kind) {
            continue;
        }
        let feeds = inputs_of(kind, &batches, &states);
        if got.has(kind) {
            let finding = one(job, kind, (&mut want, &mut got), &feeds, options, progress)?;
            let is_last = is_fault(&finding);
            found.graphs.push((kind.name().to_owned(), finding));
            if is_last {
                break;
            }
        }
        if matches!(kind, GraphKind::Encode | GraphKind::Generate) {
            for (state, feeds) in states.iter_mut().zip(&feeds) {
                let made = want.run(kind, feeds)?;
                keep_history(state, &made);
                if kind == GraphKind::Generate {
                    state.extend(made);
                }
            }
        }
    }
    Ok(found)
}

/// What a graph is run on.
fn inputs_of(kind: GraphKind, batches: &[Batch], states: &[Feeds]) -> Vec<Feeds> {
    let appended = |(batch, state): (&Batch, &Feeds)| {
        let encoded = state.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix("past_key_values.")?;
            Some((format!("present.{rest}"), value.clone()))
        });
        append_state(batch, &encoded.collect(), NEW, JUNK)
    };
    match kind {
        GraphKind::Append => batches.iter().zip(states).map(appended).collect(),
        _ => states.to_vec(),
    }
}

fn one(
    job: &ParityJob<'_>,
    kind: GraphKind,
    (want, got): (&mut Chain<'_>, &mut Chain<'_>),
    states: &[Feeds],
    options: Options,
    progress: &dyn Progress,
) -> Result<Finding, BisectError> {
    let (mut reference, mut candidate) = (Vec::new(), Vec::new());
    for state in states {
        let feeds = got.feeds(kind, state)?;
        // Both sides get the numbers that codes can hold: what they lose is lost before this graph.
        let mut state = state.clone();
        state.extend(got.decoded(kind, &feeds)?);
        reference.push(want.feeds(kind, &state)?);
        candidate.push(feeds);
    }
    let batches = Batches { reference: &reference, candidate: &candidate };
    let missing = || ParityError::Missing { graph: kind.name(), input: "graph".into() };
    let theirs = want.file(kind).ok_or_else(missing)?;
    let ours = got.file(kind).ok_or_else(missing)?;
    Hunt::new((job.reference, theirs), (job.candidate, ours), batches, options, progress)?.run()
}

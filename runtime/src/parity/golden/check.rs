//! A candidate against what was recorded.

use std::collections::BTreeSet;

use onr_graphs::{GraphKind, Precision};

use super::{
    super::{
        ParityError,
        chain::{Chain, keep_history},
        check::Check,
        compare::{Difference, Differences},
        job::{Measured, ParityJob, version},
        report::{ParityReport, Strength},
        retrieval::compare_recorded,
        tolerance::Tolerance,
        verdict::{by_request, judge_all, ranked_rows, verdict, verdict_on_order},
    },
    Golden,
};
use crate::tensor::Feeds;

/// Compares a candidate with what another implementation recorded: `encode → generate → rank`, every
/// output that the file has. `kind` is the candidate's, `checkpoint` the SHA-256 of its checkpoint.
///
/// # Errors
/// [`ParityError`] when something cannot run, when the file lacks an input of a graph, or says that it is of another
/// model or checkpoint.
pub fn check_golden(
    job: &ParityJob<'_>,
    golden: &Golden,
    kind: &str,
    checkpoint: Option<&str>,
) -> Result<ParityReport, ParityError> {
    let stamp = golden.stamp();
    if let Some(reason) = stamp.and_then(|stamp| stamp.mismatch(job.config, checkpoint)) {
        return Err(ParityError::OtherGolden { file: golden.name.clone(), reason });
    }
    let mut chain = job.chain();
    let mut measured = Measured::default();
    let mut unused: BTreeSet<&str> = golden.outputs.keys().map(String::as_str).collect();
    let rows = job.rows.max(1);
    for start in (0..golden.len()).step_by(rows) {
        let part = start..golden.len().min(start + rows);
        compare(job, golden, part, &mut chain, &mut measured, &mut unused)?;
    }
    // An output under a name that no graph has was not compared: that must not look like success.
    let strange = unused
        .iter()
        .map(|name| Check::failed("golden", format!("no graph has an output `{name}`")));
    measured.failures.extend(strange);
    let mut report = ParityReport {
        reference: format!("golden file {}", golden.name),
        strength: Strength::Golden,
        candidate: version(job.candidate),
        backend: job.candidate.name().to_owned(),
        device: chain.placement().map_or_else(String::new, |p| p.device),
        precision: job.options.precision.name().into(),
        requests_from: golden.name.clone(),
        requests: golden.len(),
        outputs: Vec::new(),
        order: None,
        consistency: None,
        worst: None,
        checks: Vec::new(),
        reference_seconds: 0.0,
        candidate_seconds: chain.elapsed.as_secs_f64(),
        requests_ranked: Vec::new(),
    };
    match stamp.filter(|stamp| stamp.recorded.kind == kind) {
        Some(stamp) => {
            measured.rounded = yardsticks(&stamp.recorded.yardsticks);
            verdict(&measured, job.tolerance(), &mut report);
        }
        None => {
            judge_all(&measured, Tolerance::golden(job.options.precision), &mut report);
            verdict_on_order(&measured, tie(&measured, job.options.precision), &mut report);
        }
    }
    let requests = stamp.map_or(&[][..], |stamp| &stamp.recorded.requests);
    by_request(measured, requests, &mut report);
    Ok(report)
}

/// The graphs that a golden file is run through.
const GRAPHS: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

/// Before the names of what `oneranker` returns: `rank` has outputs of the same names.
const FUSED: &str = "oneranker.";

/// Some requests of the file.
fn compare<'a>(
    job: &ParityJob<'_>,
    golden: &'a Golden,
    rows: std::ops::Range<usize>,
    chain: &mut Chain<'_>,
    measured: &mut Measured,
    unused: &mut BTreeSet<&'a str>,
) -> Result<(), ParityError> {
    let (batch, all) = golden.part(rows);
    let mut state = batch.inputs.clone();
    for kind in GRAPHS {
        let outputs = chain.run(kind, &state)?;
        let recorded: Feeds = all
            .iter()
            .filter(|(n, _)| outputs.contains_key(*n))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        unused.retain(|name| !recorded.contains_key(*name));
        measured.candidate.add(kind.name(), &batch, &recorded, &outputs)?;
        if kind == GraphKind::Rank && recorded.len() == outputs.len() {
            let tasks = job.config.n_tasks();
            let pairs = ranked_rows(&batch, &recorded, tasks).into_iter();
            measured.ranked.extend(pairs.zip(ranked_rows(&batch, &outputs, tasks)));
        }
        keep_history(&mut state, &outputs);
        state.extend(outputs);
    }
    let best: Feeds = all
        .iter()
        .filter_map(|(name, v)| Some((name.strip_prefix(FUSED)?.to_owned(), v.clone())))
        .collect();
    if best.is_empty() {
        return Ok(());
    }
    unused.retain(|name| !name.starts_with(FUSED));
    if !chain.has(GraphKind::OneRanker) {
        measured.skip("oneranker", "the directory has no graph oneranker");
        return Ok(());
    }
    let got = chain.run(GraphKind::OneRanker, &batch.inputs)?;
    compare_recorded(job, &batch, (&best, &got), measured)
}

/// Recorded errors as differences of one element.
fn yardsticks(recorded: &std::collections::BTreeMap<String, f64>) -> Differences {
    let mut differences = Differences::default();
    for (name, rms) in recorded {
        if let Some((graph, output)) = name.split_once('.') {
            *differences.entry(graph, output) =
                Difference { count: 1, sum_error: rms * rms, ..Difference::default() };
        }
    }
    differences
}

/// Scores closer than the tolerance itself are ties.
fn tie(measured: &Measured, precision: Precision) -> f64 {
    let rms = measured.candidate.get("rank", "scores").map_or(0.0, Difference::rms_want);
    match Tolerance::golden(precision) {
        Tolerance::Elements { times_rms } | Tolerance::Pooled { times_rms } => times_rms * rms,
        Tolerance::WeightsOnly { .. } => 0.0,
    }
}

//! Relations of the fused graph: `oneranker` retrieves and ranks in one call.

use std::time::Instant;

use onr_graphs::{Filter, GraphKind};

use super::{
    super::{
        ParityError,
        chain::keep_history,
        compare::Differences,
        retrieval::{on_retrieved, without_filler},
        tolerance::Tolerance,
    },
    Verdict,
    bench::Bench,
};
use crate::{tensor::HostTensor, traffic::of_ensemble};

/// The fused graph gives the items that it chose the scores that `encode`, `generate` and `rank` give them.
pub(super) fn split(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    if !bench.chain.has(GraphKind::OneRanker) {
        return Ok(Verdict::Skipped("the directory has no graph oneranker".into()));
    }
    let batch = bench.batch.clone();
    let fused = bench.chain.run(GraphKind::OneRanker, &batch.inputs)?;
    let Some(ids) = fused.get("candidate_ids").cloned() else {
        return Ok(Verdict::Wrong("oneranker returns no candidate_ids".into()));
    };
    let mut state = batch.inputs.clone();
    for (_, outputs) in &bench.plain[..2] {
        keep_history(&mut state, outputs);
        state.extend(outputs.clone());
    }
    state.insert("candidate_ids".into(), ids.clone());
    let stages = bench.chain.run(GraphKind::Rank, &state)?;
    let ids = ids.as_i64().unwrap_or_default();
    let tasks = bench.job.config.n_tasks();
    let values = |feeds| without_filler(feeds, ids, tasks);
    let mut differences = Differences::default();
    let all = on_retrieved(&batch, ids, tasks * bench.job.options.top_k);
    differences.add("oneranker", &all, &values(&stages), &values(&fused))?;
    // Between the stages keys and values may be codes; the fused graph has the numbers themselves.
    let tolerance = if bench.job.coded.keys { Tolerance::CODED_KEYS } else { bench.tolerance };
    Ok(tolerance.first_wrong(&differences).into())
}

/// An ensemble of the stages gives what they give one by one: keys and values are passed on as they are.
pub(super) fn ensemble(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let Some(mut session) = bench.job.candidate.joined()? else {
        return Ok(Verdict::Skipped("the backend has no ensemble".into()));
    };
    // It ranks candidates that are given: what may be retrieved is no question for it.
    let asked = of_ensemble(bench.job.graphs, &bench.batch);
    let started = Instant::now();
    let got = session.run(&asked)?;
    bench.spent += started.elapsed();
    let (_, want) = &bench.plain[2];
    let mut differences = Differences::default();
    differences.add("ensemble", &bench.batch, want, &got)?;
    Ok(bench.tolerance.first_wrong(&differences).into())
}

/// Where fewer items are in stock than `oneranker` is to retrieve, it returns those and then id 0.
pub(super) fn sold_out(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let (options, config) = (bench.job.options, bench.job.config);
    if options.filter == Filter::None || !bench.chain.has(GraphKind::OneRanker) {
        return Ok(Verdict::Skipped("there is no filter".into()));
    }
    // Item 0 is the padding; one item less than there are places.
    let left = (options.top_k - 1).min(config.n_items - 1);
    let mut few = bench.batch.clone();
    let Some(allowed) = few.inputs.get_mut("allowed_items") else {
        return Ok(Verdict::Skipped("there is no filter".into()));
    };
    let count = allowed.data().len();
    let bits: Vec<bool> =
        (0..count).map(|at| (1..=left).contains(&(at % config.n_items))).collect();
    *allowed = HostTensor::of(allowed.shape(), bits);
    let found = bench.chain.run(GraphKind::OneRanker, &few.inputs)?;
    let ids = found.get("candidate_ids").and_then(HostTensor::as_i64).unwrap_or_default();
    let rows = few.seq_lens.len() * config.n_tasks();
    for (at, list) in ids.chunks(options.top_k).take(rows).enumerate() {
        let mut real = list[..left.min(list.len())].to_vec();
        real.sort_unstable();
        let filler = list.iter().skip(left).all(|id| *id == 0);
        if !(real.iter().copied().eq(1..=left as i64) && filler) {
            let (row, task) = (at / config.n_tasks(), at % config.n_tasks());
            let why = format!("row {row}, task {task}: {list:?} with items 1 to {left} in stock");
            return Ok(Verdict::Wrong(why));
        }
    }
    Ok(Verdict::Holds)
}

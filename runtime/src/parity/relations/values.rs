//! Relations over what stands in the inputs.

use onr_graphs::{Filter, GraphKind};

use super::{
    super::{
        ParityError,
        chain::{JUNK, filled},
    },
    Verdict,
    bench::Bench,
    cases::{NEW, grown},
};
use crate::tensor::HostTensor;

/// An id outside the table reads row 0, as the padding does; one that 32 bits would cut to a real id too.
pub(super) fn strange_ids(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let config = bench.job.config;
    let (mut plain, mut odd) = (bench.batch.clone(), bench.batch.clone());
    let mut changed = 0;
    let tables = [
        ("item_ids", config.n_items),
        ("candidate_ids", config.n_items),
        ("action_ids", config.n_actions),
    ];
    for (name, rows) in tables {
        let rows = rows as i64;
        let strange = [rows, -1, (1 << 32) + 1, i64::MIN + 1, rows + 7];
        let Some(tensor) = bench.batch.inputs.get(name) else { continue };
        let ids = tensor.as_i64().unwrap_or_default();
        // Every third id; the others are compared as they are.
        let swap = |to: &dyn Fn(usize) -> i64| -> Vec<i64> {
            ids.iter().enumerate().map(|(at, id)| if at % 3 == 1 { to(at) } else { *id }).collect()
        };
        changed += ids.len() / 3;
        let of = |ids: Vec<i64>| HostTensor::of(tensor.shape(), ids);
        plain.inputs.insert(name.into(), of(swap(&|_| 0)));
        odd.inputs.insert(name.into(), of(swap(&|at| strange[at / 3 % strange.len()])));
    }
    if changed == 0 {
        return Ok(Verdict::Skipped("there are no ids".into()));
    }
    let (want, got) = (bench.run(&plain)?, bench.run(&odd)?);
    let mut wrong = bench.differ(&plain, &want, &got, &bench.layout())?;
    if wrong.is_none() && bench.chain.has(GraphKind::Append) {
        wrong = grown(bench, &odd, &got, NEW)?.map(|why| format!("appended: {why}"));
    }
    if wrong.is_none() {
        wrong = bench.fused_alike(&plain, &odd)?;
    }
    Ok(wrong.into())
}

/// Only differences of times count: all of a request later by the same gives the same. So much later that 32 bits
/// would cut the second half of a history to a time before the first.
pub(super) fn shifted_times(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let mut later = bench.batch.clone();
    let Some(times) = bench.batch.inputs.get("timestamps") else {
        return Ok(Verdict::Skipped("there are no times".into()));
    };
    let (rows, seq) = (times.shape()[0], times.shape()[1]);
    let stamps = times.as_i64().unwrap_or_default();
    let shift = |row: usize| {
        let len = bench.batch.seq_lens.get(row).copied().unwrap_or(0);
        let history = &stamps[row * seq..row * seq + len];
        let middle = history.first().zip(history.last()).map_or(0, |(a, b)| a.midpoint(*b));
        (1 << 32) + (1 << 31) - middle
    };
    for (name, width) in [("timestamps", seq), ("request_time", 1)] {
        let Some(tensor) = later.inputs.get_mut(name) else { continue };
        let times = tensor.as_i64().unwrap_or_default().iter().enumerate();
        let moved = times.map(|(at, time)| time + shift((at / width).min(rows - 1))).collect();
        *tensor = HostTensor::of(tensor.shape(), moved);
    }
    let answers = bench.run(&later)?;
    let mut wrong = bench.differ(&bench.batch, &bench.plain, &answers, &bench.layout())?;
    if wrong.is_none() && bench.chain.has(GraphKind::Append) {
        wrong = grown(bench, &later, &answers, NEW)?.map(|why| format!("appended: {why}"));
    }
    if wrong.is_none() {
        wrong = bench.fused_alike(&bench.batch.clone(), &later)?;
    }
    Ok(wrong.into())
}

/// What stands in key and value slots behind a history does not matter: servers keep buffers for the longest.
pub(super) fn stale_slots(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let batch = bench.batch.clone();
    if batch.seq_lens.iter().all(|len| *len == batch.seq) {
        return Ok(Verdict::Skipped("all histories fill their slots".into()));
    }
    let (_, present) = &bench.plain[0];
    let len = |row: usize| batch.seq_lens.get(row).copied().unwrap_or(0);
    let stale = present.iter().map(|(name, kv)| (name.clone(), filled(kv, JUNK, len))).collect();
    let answers = bench.run_on(&batch, stale)?;
    Ok(bench.differ(&batch, &bench.plain, &answers, &bench.layout())?.into())
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

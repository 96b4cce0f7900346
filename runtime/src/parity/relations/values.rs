//! Relations over what stands in the inputs.

use onr_graphs::{GraphKind, IdType};

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
        let strange = match bench.job.options.ids {
            IdType::Int64 => [rows, -1, (1 << 32) + 1, i64::MIN + 1, rows + 7],
            IdType::Int32 => [rows, -1, i32::MAX.into(), i64::from(i32::MIN) + 1, rows + 7],
        };
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
/// would cut the second half of a history to a time before the first; where times have no more bits, as late as they
/// can say. Requests come at the time of the last behaviour,
/// so that not all differences are beyond the last bucket.
pub(super) fn shifted_times(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let Some(times) = bench.batch.inputs.get("timestamps") else {
        return Ok(Verdict::Skipped("there are no times".into()));
    };
    let (rows, seq) = (times.shape()[0], times.shape()[1]);
    let stamps = times.as_i64().unwrap_or_default().to_vec();
    let history = |row: usize| {
        let len = bench.batch.seq_lens.get(row).copied().unwrap_or(0);
        &stamps[row * seq..row * seq + len]
    };
    let shift = |row: usize| {
        let ends = history(row).first().zip(history(row).last());
        match bench.job.options.ids {
            IdType::Int64 => (1 << 32) + (1 << 31) - ends.map_or(0, |(a, b)| a.midpoint(*b)),
            IdType::Int32 => ends.map_or(0, |(_, last)| i64::from(i32::MAX) - last),
        }
    };
    let with = |name: &str, width: usize, of: &dyn Fn(usize, i64) -> i64| {
        let tensor = bench.batch.inputs.get(name)?;
        let times = tensor.as_i64().unwrap_or_default().iter().enumerate();
        let changed = times.map(|(at, time)| of((at / width).min(rows - 1), *time)).collect();
        Some(HostTensor::of(tensor.shape(), changed))
    };
    let asked = |row: usize, time: i64| history(row).last().copied().unwrap_or(time);
    let (mut now, mut later) = (bench.batch.clone(), bench.batch.clone());
    let request = [
        (&mut now, with("request_time", 1, &asked)),
        (&mut later, with("request_time", 1, &|row, time| asked(row, time) + shift(row))),
    ];
    for (batch, times) in request {
        batch.inputs.extend(times.map(|times| ("request_time".to_owned(), times)));
    }
    let moved = with("timestamps", seq, &|row, time| time + shift(row));
    later.inputs.extend(moved.map(|times| ("timestamps".to_owned(), times)));

    let (want, got) = (bench.run(&now)?, bench.run(&later)?);
    let mut wrong = bench.differ(&now, &want, &got, &bench.layout())?;
    if wrong.is_none() && bench.chain.has(GraphKind::Append) {
        wrong = grown(bench, &later, &got, NEW)?.map(|why| format!("appended: {why}"));
    }
    if wrong.is_none() {
        wrong = bench.fused_alike(&now, &later)?;
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

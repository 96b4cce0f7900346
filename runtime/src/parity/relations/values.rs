//! Relations over what stands in the inputs.

use onr_graphs::GraphKind;

use super::{
    super::ParityError,
    Verdict,
    bench::Bench,
    cases::{NEW, grown},
};
use crate::tensor::HostTensor;

/// Added to all times: 272 years, beyond what 32 bits count.
const LATER: i64 = 1 << 33;

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
    Ok(wrong.into())
}

/// Only differences of times count: everything later by the same gives the same.
pub(super) fn shifted_times(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let mut later = bench.batch.clone();
    for name in ["timestamps", "request_time"] {
        let Some(tensor) = later.inputs.get_mut(name) else { continue };
        let times = tensor.as_i64().unwrap_or_default().iter().map(|time| time + LATER).collect();
        *tensor = HostTensor::of(tensor.shape(), times);
    }
    let answers = bench.run(&later)?;
    Ok(bench.differ(&bench.batch, &bench.plain, &answers, &bench.layout())?.into())
}

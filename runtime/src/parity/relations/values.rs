//! Relations over what stands in the inputs.

use super::{super::ParityError, Verdict, bench::Bench};
use crate::tensor::HostTensor;

/// Added to all times: 272 years, beyond what 32 bits count.
const LATER: i64 = 1 << 33;

/// An id outside the table reads row 0, as the padding does; one that 32 bits would cut to a real id too.
pub(super) fn strange_ids(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    let items = bench.job.config.n_items as i64;
    let strange = [items, -1, (1 << 32) + 1, i64::MIN + 1, items + 7];
    let (mut plain, mut odd) = (bench.batch.clone(), bench.batch.clone());
    let mut changed = 0;
    for name in ["item_ids", "candidate_ids"] {
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
        return Ok(Verdict::Skipped("items come as vectors".into()));
    }
    let (want, got) = (bench.run(&plain)?, bench.run(&odd)?);
    Ok(bench.differ(&plain, &want, &got, &bench.layout())?.into())
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

//! What `oneranker` retrieved: are these the best items, and are their values right?

use std::collections::BTreeSet;

use onr_graphs::Filter;

use super::{
    ParityError,
    batch::Batch,
    check::Check,
    job::{Measured, ParityJob},
};
use crate::tensor::{Data, Feeds, HostTensor};

/// Most complaints of one kind in a report.
const MOST: usize = 3;

/// What an item that was retrieved has, one number for each task.
const VALUES: [&str; 2] = ["scores", "generator_logits"];

/// What was retrieved for one batch, and what everybody makes of it.
pub(super) struct Retrieved {
    /// The reference's own `oneranker`.
    pub(super) best: Feeds,
    /// The candidate's `oneranker`.
    pub(super) fused: Feeds,
    /// The reference's `rank` on the items that the candidate chose.
    pub(super) judged: Feeds,
    /// The candidate's own `rank` on them.
    pub(super) split: Option<Feeds>,
    /// The reference's `rank` on them, weights rounded.
    pub(super) rounded: Option<Feeds>,
}

impl Retrieved {
    /// Compares a retrieval of the candidate with the reference's. Items may be swapped where the
    /// reference itself sees a tie, so logits are compared place by place, not ids.
    pub(super) fn compare(
        &self,
        job: &ParityJob<'_>,
        batch: &Batch,
        measured: &mut Measured,
    ) -> Result<(), ParityError> {
        let (tasks, k) = (job.config.n_tasks(), job.options.top_k);
        let ids = self.fused["candidate_ids"].as_i64().unwrap_or_default();
        let rows = batch.seq_lens.len();
        let all = on_retrieved(batch, ids, tasks * k);
        let values = |feeds: &Feeds| without_filler(feeds, ids, tasks);
        let (judged, fused) = (values(&self.judged), values(&self.fused));
        measured.candidate.add("oneranker", &all, &judged, &fused)?;
        if let Some(split) = &self.split {
            measured.candidate.add("split", &all, &values(split), &fused)?;
        }
        if let Some(rounded) = &self.rounded {
            measured.rounded.add("oneranker", &all, &judged, &values(rounded))?;
        }

        let own = |feeds| place_by_place(feeds, ids, (rows, tasks, k));
        measured.candidate.add("oneranker", batch, &own(&self.best), &own(&judged))?;
        complain(job, batch, ids, measured);
        Ok(())
    }
}

/// The batch with what was retrieved for it, `width` items a row, as its candidates.
pub(super) fn on_retrieved(batch: &Batch, ids: &[i64], width: usize) -> Batch {
    let rows = batch.seq_lens.len();
    let candidates = ids.chunks(width).take(rows).map(<[i64]>::to_vec).collect();
    Batch { candidates, ..batch.clone() }
}

/// `scores` and `generator_logits` with 0 where the filter left nothing to retrieve (id 0).
pub(super) fn without_filler(feeds: &Feeds, ids: &[i64], tasks: usize) -> Feeds {
    let kept = VALUES.into_iter().filter_map(|name| {
        let tensor = feeds.get(name)?;
        let mut values = tensor.to_f32()?;
        for (row, &id) in values.chunks_mut(tasks).zip(ids) {
            if id == 0 {
                row.fill(0.0);
            }
        }
        Some((name.to_owned(), HostTensor::of(tensor.shape(), values)))
    });
    kept.collect()
}

/// Compares a retrieval with a recorded one: the logits place by place, and all values of the items that both chose.
/// Nobody ranks the others here.
pub(super) fn compare_recorded(
    job: &ParityJob<'_>,
    batch: &Batch,
    (recorded, got): (&Feeds, &Feeds),
    measured: &mut Measured,
) -> Result<(), ParityError> {
    let (tasks, rows) = (job.config.n_tasks(), batch.seq_lens.len());
    let ids = |feeds: &Feeds| -> Vec<i64> {
        feeds.get("candidate_ids").and_then(HostTensor::as_i64).unwrap_or_default().to_vec()
    };
    let (theirs, ours) = (ids(recorded), ids(got));
    let width = tasks * job.options.top_k;
    if theirs.len() < rows * width || ours.len() < rows * width {
        let why = format!("{} items for {} recorded ones", ours.len(), theirs.len());
        measured.failures.push(Check::failed("oneranker.candidate_ids", why));
        return Ok(());
    }
    let own = |feeds, ids| place_by_place(feeds, ids, (rows, tasks, job.options.top_k));
    measured.candidate.add("oneranker", batch, &own(recorded, &theirs), &own(got, &ours))?;
    let (mut want, mut both) = (Feeds::new(), Feeds::new());
    for name in VALUES {
        let of = |feeds: &Feeds| feeds.get(name).and_then(HostTensor::to_f32).unwrap_or_default();
        let (w, g) = (of(recorded), of(got));
        let (mut known, mut seen) =
            (vec![0.0; rows * width * tasks], vec![0.0; rows * width * tasks]);
        for (at, id) in ours.iter().enumerate().take(rows * width).filter(|(_, id)| **id != 0) {
            let list = &theirs[at / width * width..][..width];
            let Some(place) = list.iter().position(|other| other == id) else { continue };
            let from = (at / width * width + place) * tasks;
            known[at * tasks..][..tasks].copy_from_slice(&w[from..from + tasks]);
            seen[at * tasks..][..tasks].copy_from_slice(&g[at * tasks..][..tasks]);
        }
        let shape = [rows, width, tasks];
        want.insert(name.into(), HostTensor::of(&shape, known));
        both.insert(name.into(), HostTensor::of(&shape, seen));
    }
    measured.candidate.add("oneranker", &on_retrieved(batch, &ours, width), &want, &both)?;
    complain(job, batch, &ours, measured);
    Ok(())
}

/// Each task's own logits of its best `k` items, best first, under [`super::RETRIEVED`]: `[B, N, K]`.
fn place_by_place(feeds: &Feeds, ids: &[i64], (rows, tasks, k): (usize, usize, usize)) -> Feeds {
    let logits = sorted(own_task_logits(feeds, tasks, k), ids, k, rows * tasks);
    Feeds::from([(super::RETRIEVED.to_owned(), HostTensor::of(&[rows, tasks, k], logits))])
}

/// Each task's own logits of its `k` items: `[B, N*K, N] -> [B, N, K]`.
fn own_task_logits(feeds: &Feeds, tasks: usize, k: usize) -> Vec<f32> {
    let logits = feeds.get("generator_logits").and_then(HostTensor::to_f32).unwrap_or_default();
    let rows = logits.chunks(tasks).enumerate();
    rows.map(|(at, row)| row[at / k % tasks]).collect()
}

/// Every list of `k` in descending order, filler (id 0) as 0 at its end.
fn sorted(mut logits: Vec<f32>, ids: &[i64], k: usize, lists: usize) -> Vec<f32> {
    for (value, &id) in logits.iter_mut().zip(ids) {
        if id == 0 {
            *value = 0.0;
        }
    }
    logits.truncate(lists * k);
    for (list, ids) in logits.chunks_mut(k).zip(ids.chunks(k)) {
        let real = ids.iter().filter(|&&id| id != 0).count();
        list[..real].sort_by(|a, b| b.total_cmp(a));
    }
    logits
}

/// What no tolerance forgives: items out of range, twice for one task, not in stock.
fn complain(job: &ParityJob<'_>, batch: &Batch, ids: &[i64], measured: &mut Measured) {
    let (tasks, k, v) = (job.config.n_tasks(), job.options.top_k, job.config.n_items);
    let allowed = match batch.inputs.get("allowed_items").map(HostTensor::data) {
        Some(Data::Bool(bits)) => bits.as_slice(),
        _ => &[],
    };
    let lists = ids.chunks(k).take(batch.seq_lens.len() * tasks).enumerate();
    for (at, list) in lists {
        let (row, task) = (at / tasks, at % tasks);
        let in_stock = |id: i64| match job.options.filter {
            Filter::None => true,
            Filter::Global => allowed[id as usize],
            Filter::User => allowed[row * v + id as usize],
        };
        let mut seen = BTreeSet::new();
        let filler = job.options.filter != Filter::None;
        let bad = list.iter().find(|&&id| {
            let real = (1..v as i64).contains(&id) && seen.insert(id) && in_stock(id);
            !(real || (filler && id == 0))
        });
        if let Some(id) = bad
            && measured.failures.len() < MOST
        {
            let request = batch.requests.start + row;
            let why = format!(
                "item {id} for request {request}, task {task}: out of range, twice, or not in stock"
            );
            measured.failures.push(Check::failed("oneranker.candidate_ids", why));
        }
    }
}

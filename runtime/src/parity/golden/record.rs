//! Recording our own reference, for machines that have neither it nor the checkpoint.

use std::{collections::BTreeMap, path::Path};

use onr_exporter::{
    Progress,
    artifact::FileRecord,
    checkpoint::{Stored, write},
};
use onr_graphs::GraphKind;
use safetensors::Dtype;

use super::{
    super::{
        ParityError,
        batch::{Batch, BatchShape, batches},
        chain::keep_history,
        compare::{Difference, Differences},
        job::{ParityJob, version},
        reference::Reference,
        retrieval::on_retrieved,
        run::{chain_of, weights_only},
    },
    stamp::{Recorded, Stamp},
};
use crate::{
    manifest::model_sha256,
    tensor::{Data, Feeds, HostTensor},
};

/// What is recorded, of what.
pub struct RecordJob<'a> {
    /// Model, requests and the backend of the reference; the candidate does not run.
    pub parity: &'a ParityJob<'a>,
    /// Graphs built from the checkpoint.
    pub reference: &'a Reference,
    /// Which candidates the yardsticks are for.
    pub kind: &'a str,
}

/// The graphs whose outputs are recorded.
const GRAPHS: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

/// Runs the reference on all requests and writes what went in and what came out.
///
/// # Errors
/// [`ParityError`] when the reference cannot run, the file cannot be written, or somebody asked to stop.
pub fn record(
    job: &RecordJob<'_>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<FileRecord, ParityError> {
    let parity = job.parity;
    let longest = parity.requests.iter().map(|r| r.items.len()).max().unwrap_or(0).max(1);
    let most = parity.requests.iter().map(|r| r.candidates.len()).max().unwrap_or(0).max(1);
    let shape = BatchShape {
        rows: parity.rows.min(parity.requests.len()).max(1),
        seq_step: longest,
        candidate_step: most,
    };
    let parts = batches(parity.requests, parity.config, parity.options, shape);
    progress.stage("record", parts.len() as u64);
    let mut exact = chain_of(parity, &job.reference.exact);
    let mut rounded = job.reference.rounded.as_ref().map(|built| chain_of(parity, built));
    let mut costs = Differences::default();
    let mut made: Vec<(Feeds, Feeds)> = Vec::new();
    for batch in &parts {
        let (mut state, mut outputs) = (batch.inputs.clone(), Feeds::new());
        for kind in GRAPHS {
            let got = exact.run(kind, &state)?;
            keep_history(&mut state, &got);
            state.extend(got.clone());
            outputs.extend(got);
        }
        let mut rounded_state = Feeds::new();
        if let Some(rounded) = &mut rounded {
            rounded_state = weights_only(rounded, batch, &state, batch.inputs.clone(), &mut costs)?;
        }
        if exact.has(GraphKind::OneRanker) {
            let best = exact.run(GraphKind::OneRanker, &batch.inputs)?;
            if let (Some(rounded), Some(ids)) = (&mut rounded, best.get("candidate_ids")) {
                rounded_state.insert("candidate_ids".into(), ids.clone());
                let cost = rounded.run(GraphKind::Rank, &rounded_state)?;
                let width = ids.shape().last().copied().unwrap_or(0);
                let all = on_retrieved(batch, ids.as_i64().unwrap_or_default(), width);
                costs.add("oneranker", &all, &best, &cost)?;
            }
            outputs.extend(best.into_iter().map(|(name, t)| (format!("oneranker.{name}"), t)));
        }
        made.push((real(batch, &batch.inputs), real(batch, &outputs)));
        if progress.advance(1).is_break() {
            return Err(ParityError::Interrupted);
        }
    }
    let mut tensors = BTreeMap::new();
    for (prefix, of) in
        [("inputs", (|m| &m.0) as fn(&(Feeds, Feeds)) -> &Feeds), ("outputs", |m| &m.1)]
    {
        tensors.extend(joined(prefix, made.iter().map(of)));
    }
    let rms = |(graph, output, cost): (&str, &str, &Difference)| {
        (format!("{graph}.{output}"), cost.rms_error())
    };
    let recorded = Recorded {
        model: model_sha256(parity.config),
        checkpoint: job.reference.checkpoint_sha256().to_owned(),
        reference: format!("{}, FP32 graphs built from the checkpoint", version(parity.reference)),
        kind: job.kind.to_owned(),
        yardsticks: costs.iter().map(rms).collect(),
        requests: parity.requests.to_vec(),
    };
    store(&tensors, &Stamp::new(recorded), out)
}

/// The rows that are requests. The filter of all users has none.
fn real(batch: &Batch, feeds: &Feeds) -> Feeds {
    let rows: Vec<usize> = (0..batch.requests.len()).collect();
    let is_shared = |name: &str, t: &HostTensor| name == "allowed_items" && t.shape().len() == 1;
    let cut = |(name, t): (&String, &HostTensor)| {
        let t = if is_shared(name, t) { t.clone() } else { t.pick(0, &rows) };
        (name.clone(), t)
    };
    feeds.iter().map(cut).collect()
}

/// The rows of all batches one behind the other.
fn joined<'a>(
    prefix: &str,
    parts: impl Iterator<Item = &'a Feeds>,
) -> BTreeMap<String, HostTensor> {
    let mut all: BTreeMap<String, Vec<HostTensor>> = BTreeMap::new();
    for (name, tensor) in parts.flatten() {
        let list = all.entry(format!("{prefix}.{name}")).or_default();
        if tensor.shape().len() > 1 || name != "allowed_items" || list.is_empty() {
            list.push(tensor.clone());
        }
    }
    let stack =
        |(name, parts): (String, Vec<HostTensor>)| Some((name, HostTensor::stack_rows(&parts)?));
    all.into_iter().filter_map(stack).collect()
}

fn store(
    tensors: &BTreeMap<String, HostTensor>,
    stamp: &Stamp,
    out: &Path,
) -> Result<FileRecord, ParityError> {
    let bytes: BTreeMap<&String, (Dtype, Vec<u8>)> =
        tensors.iter().filter_map(|(name, t)| Some((name, stored(t)?))).collect();
    let views: BTreeMap<String, Stored<'_>> = bytes
        .iter()
        .map(|(name, (dtype, bytes))| {
            let shape = tensors[*name].shape();
            ((*name).clone(), Stored { dtype: *dtype, shape, bytes })
        })
        .collect();
    let metadata = stamp
        .metadata(&views)
        .map_err(|error| ParityError::Golden { file: out.to_owned(), reason: error.to_string() })?;
    Ok(write(out, &views, &metadata)?)
}

/// A tensor's bytes; the contract has these types only.
fn stored(tensor: &HostTensor) -> Option<(Dtype, Vec<u8>)> {
    let dtype = match tensor.data() {
        Data::F32(_) => Dtype::F32,
        Data::I64(_) => Dtype::I64,
        Data::Bool(_) => Dtype::BOOL,
        _ => return None,
    };
    Some((dtype, tensor.le_bytes()))
}

//! Golden files: inputs and outputs that people record with their own framework. The only thing that
//! can see a square weight that was never transposed, or a dialect of HSTU that is not ours.

use std::{collections::BTreeSet, path::Path};

use half::{bf16, f16};
use onr_exporter::Checkpoint;
use onr_graphs::{GraphKind, Precision};
use safetensors::Dtype;

use super::{
    ParityError,
    batch::Batch,
    chain::{Chain, keep_history},
    job::{Measured, ParityJob, version},
    report::{ParityReport, Strength},
    tolerance::Tolerance,
    verdict::{judge_all, ranked_rows, verdict_on_order},
};
use crate::tensor::{Feeds, HostTensor};

/// Inputs and outputs under the names of the contract: `inputs.item_ids`, `outputs.scores` and so
/// on, one batch of any size.
#[derive(Debug, Clone)]
pub struct Golden {
    inputs: Feeds,
    outputs: Feeds,
    name: String,
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// [`ParityError::Golden`] for a file without `inputs.seq_lens` or outputs, or with types that
    /// the contract does not have; [`ParityError::Export`] for what is no safetensors file.
    pub fn read(path: &Path) -> Result<Self, ParityError> {
        let file = Checkpoint::open(path)?;
        let refuse = |reason: String| ParityError::Golden { file: path.to_owned(), reason };
        let (mut inputs, mut outputs) = (Feeds::new(), Feeds::new());
        for key in file.keys() {
            let Some(stored) = file.tensor(key) else { continue };
            let tensor = host(stored.dtype, stored.shape, stored.bytes)
                .ok_or_else(|| refuse(format!("`{key}` has type {:?}", stored.dtype)))?;
            match key.split_once('.') {
                Some(("inputs", name)) => inputs.insert(name.to_owned(), tensor),
                Some(("outputs", name)) => outputs.insert(name.to_owned(), tensor),
                _ => {
                    return Err(refuse(format!(
                        "`{key}` begins with neither `inputs.` nor `outputs.`"
                    )));
                }
            };
        }
        if inputs.get("seq_lens").and_then(HostTensor::as_i64).is_none() {
            return Err(refuse("`inputs.seq_lens` is missing".into()));
        }
        check_shapes(&inputs).map_err(refuse)?;
        if outputs.is_empty() {
            return Err(refuse("it has no `outputs.`".into()));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { inputs, outputs, name })
    }

    fn batch(&self) -> Batch {
        let lens = self.inputs["seq_lens"].as_i64().unwrap_or_default();
        let ids = self.inputs.get("candidate_ids");
        let width = ids.map_or(0, |t| t.shape().last().copied().unwrap_or(0));
        // Item vectors have no ids; candidates count by position then.
        let vectors = self.inputs.get("candidate_embeddings").map_or(0, |t| t.shape()[1]);
        let candidates = (0..lens.len()).map(|b| match ids.and_then(HostTensor::as_i64) {
            Some(ids) => ids[b * width..(b + 1) * width].to_vec(),
            None => (1..=vectors as i64).collect(),
        });
        Batch {
            requests: 0..lens.len(),
            seq_lens: lens.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect(),
            candidates: candidates.collect(),
            seq: 0,
            inputs: self.inputs.clone(),
        }
    }
}

/// Compares a candidate with what another implementation recorded: `encode → generate → rank`, every
/// output that the file has.
///
/// # Errors
/// [`ParityError`] when something cannot run, or when the file lacks an input of a graph.
pub fn check_golden(job: &ParityJob<'_>, golden: &Golden) -> Result<ParityReport, ParityError> {
    let chain_of = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];
    let mut chain = Chain::new(job.candidate, job.dir, job.graphs, &chain_of);
    let batch = golden.batch();
    let mut state = golden.inputs.clone();
    let mut measured = Measured::default();
    let mut unused: BTreeSet<&str> = golden.outputs.keys().map(String::as_str).collect();
    for kind in chain_of {
        let outputs = chain.run(kind, &state)?;
        let recorded: Feeds = golden
            .outputs
            .iter()
            .filter(|(name, _)| outputs.contains_key(*name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        unused.retain(|name| !recorded.contains_key(*name));
        measured.candidate.add(kind.name(), &batch, &recorded, &outputs)?;
        if kind == GraphKind::Rank && recorded.len() == outputs.len() {
            let tasks = job.config.n_tasks();
            let pairs = ranked_rows(&batch, &recorded, tasks).into_iter();
            measured.ranked = pairs.zip(ranked_rows(&batch, &outputs, tasks)).collect();
        }
        keep_history(&mut state, &outputs);
        state.extend(outputs);
    }
    // An output under a name that no graph has was not compared: that must not look like success.
    let strange = unused.iter().map(|name| format!("golden: no graph has an output `{name}`"));
    measured.failures.extend(strange);
    let mut report = ParityReport {
        reference: format!("golden file {}", golden.name),
        strength: Strength::Golden,
        candidate: version(job.candidate),
        device: chain.placement().map_or_else(String::new, |p| p.device),
        precision: job.options.precision.name().into(),
        requests_from: golden.name.clone(),
        requests: batch.seq_lens.len(),
        outputs: Vec::new(),
        order: None,
        consistency: None,
        failures: Vec::new(),
        reference_seconds: 0.0,
        candidate_seconds: chain.elapsed.as_secs_f64(),
    };
    let tolerance = Tolerance::golden(job.options.precision);
    judge_all(&measured, tolerance, &mut report);
    verdict_on_order(&measured, golden_tie(&measured, job.options.precision), &mut report);
    Ok(report)
}

/// One batch: every input has the rows of `seq_lens`, and lengths lie within what is padded.
fn check_shapes(inputs: &Feeds) -> Result<(), String> {
    let lens = &inputs["seq_lens"];
    let &[rows] = lens.shape() else {
        return Err(format!("`inputs.seq_lens` has shape {:?}, not [B]", lens.shape()));
    };
    let ranks = [
        ("item_ids", 2),
        ("action_ids", 2),
        ("timestamps", 2),
        ("request_time", 1),
        ("candidate_ids", 2),
        ("item_embeddings", 3),
        ("candidate_embeddings", 3),
    ];
    for (name, rank) in ranks {
        if let Some(tensor) = inputs.get(name)
            && (tensor.shape().len() != rank || tensor.shape()[0] != rows)
        {
            let shape = tensor.shape();
            return Err(format!(
                "`inputs.{name}` has shape {shape:?}, not {rank} axes of {rows} rows"
            ));
        }
    }
    let items = inputs.get("item_ids").or_else(|| inputs.get("item_embeddings"));
    let padded = items.ok_or("`inputs.item_ids` is missing")?.shape()[1] as i64;
    let outside = |n: &&i64| !(0..=padded).contains(*n);
    match lens.as_i64().unwrap_or_default().iter().find(outside) {
        Some(n) => Err(format!("`inputs.seq_lens` has {n}, outside 0..={padded}")),
        None => Ok(()),
    }
}

/// Scores closer than the tolerance itself are ties.
fn golden_tie(measured: &Measured, precision: Precision) -> f64 {
    let rms = measured.candidate.get("rank", "scores").map_or(0.0, super::Difference::rms_want);
    match Tolerance::golden(precision) {
        Tolerance::Elements { times_rms } => times_rms * rms,
        Tolerance::WeightsOnly { .. } => 0.0,
    }
}

/// A stored tensor as one of the contract's types: integers to I64, F64 to F32.
fn host(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Option<HostTensor> {
    Some(match dtype {
        Dtype::F64 => HostTensor::of(shape, numbers(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F32 => HostTensor::of(shape, numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => HostTensor::of(shape, numbers(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => HostTensor::of(shape, numbers(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::I64 => HostTensor::of(shape, numbers(bytes, i64::from_le_bytes)),
        Dtype::I32 => HostTensor::of(shape, numbers(bytes, |b| i64::from(i32::from_le_bytes(b)))),
        Dtype::BOOL | Dtype::U8 => {
            HostTensor::of(shape, bytes.iter().map(|&b| b != 0).collect::<Vec<_>>())
        }
        _ => return None,
    })
}

fn numbers<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|b| of(*b)).collect()
}

//! Golden files: inputs, and the outputs that another implementation made of them.
//!
//! People record them with their own framework: the only thing that can see a square weight that was never transposed,
//! or a dialect of HSTU that is not ours. [`record`] makes them of our reference, for machines that have no tract and
//! no checkpoint.

mod check;
mod record;
mod stamp;

pub use check::check_golden;
pub use record::{RecordJob, record};
pub use stamp::{Recorded, Stamp};

use std::{ops::Range, path::Path};

use half::{bf16, f16};
use onr_exporter::Checkpoint;
use safetensors::Dtype;

use super::{ParityError, batch::Batch};
use crate::tensor::{Feeds, HostTensor};

/// Inputs and outputs under the names of the contract: `inputs.item_ids`, `outputs.scores` and so
/// on, one batch of any size.
#[derive(Debug, Clone)]
pub struct Golden {
    inputs: Feeds,
    outputs: Feeds,
    name: String,
    /// What the recorder said of itself; none in files of other frameworks.
    stamp: Option<Stamp>,
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
        let stamp = Stamp::read(&file).map_err(refuse)?;
        Ok(Self { inputs, outputs, name, stamp })
    }

    /// What the recorder said of itself; `None` for a file of another framework.
    #[must_use]
    pub const fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Requests of the file.
    fn len(&self) -> usize {
        self.inputs["seq_lens"].data().len()
    }

    /// Inputs and outputs of some requests: engines have a largest batch.
    fn part(&self, rows: Range<usize>) -> (Batch, Feeds) {
        let at: Vec<usize> = rows.clone().collect();
        let all = self.len();
        let cut = |feeds: &Feeds| -> Feeds {
            let cut = |(name, tensor): (&String, &HostTensor)| {
                // One list for all requests has no rows.
                let is_shared = name == "allowed_items" && tensor.shape().len() == 1;
                let has_rows = !is_shared && tensor.shape().first() == Some(&all);
                let tensor = if has_rows { tensor.pick(0, &at) } else { tensor.clone() };
                (name.clone(), tensor)
            };
            feeds.iter().map(cut).collect()
        };
        let inputs = cut(&self.inputs);
        let lens = inputs["seq_lens"].as_i64().unwrap_or_default();
        let ids = inputs.get("candidate_ids");
        let width = ids.map_or(0, |t| t.shape().last().copied().unwrap_or(0));
        // Item vectors have no ids; candidates count by position then.
        let vectors = inputs.get("candidate_embeddings").map_or(0, |t| t.shape()[1]);
        let candidates = (0..lens.len()).map(|b| match ids.and_then(HostTensor::as_i64) {
            Some(ids) => ids[b * width..(b + 1) * width].to_vec(),
            None => (1..=vectors as i64).collect(),
        });
        let batch = Batch {
            requests: rows,
            seq_lens: lens.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect(),
            candidates: candidates.collect(),
            seq: 0,
            inputs: inputs.clone(),
        };
        (batch, cut(&self.outputs))
    }
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

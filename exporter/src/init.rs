//! Random weights: a checkpoint that is valid, reproducible and untrained.

use std::path::Path;

use onr_graphs::{
    ModelConfig,
    model::weights::{WeightSpec, checkpoint},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::{
    artifact::{Artifact, FileRecord},
    error::ExportError,
    progress::Progress,
};

/// Writes a checkpoint of random F32 weights, marked `onr.untrained` in its metadata.
///
/// Every tensor is drawn from its own stream of the seed, so two configurations share the weights of
/// the tensors they share. The spread is such that each tensor matters to the outputs: projections
/// keep the variance, biases and norms differ from 0 and 1.
///
/// # Errors
/// [`ExportError::Write`], [`ExportError::Interrupted`].
pub fn init(
    cfg: &ModelConfig,
    seed: u64,
    out: &Path,
    progress: &dyn Progress,
) -> Result<FileRecord, ExportError> {
    let specs = checkpoint(cfg);
    let bytes = |s: &WeightSpec| 4 * s.shape.iter().product::<usize>() as u64;
    progress.stage("init", specs.iter().map(bytes).sum());
    let mut file = Artifact::create(out)?;
    file.put(&header(&specs, seed, bytes))?;
    for spec in &specs {
        let mut draw = Draw::new(spec, seed);
        let mut left = spec.shape.iter().product::<usize>();
        while left > 0 {
            let count = left.min(1 << 18);
            let block: Vec<u8> = (0..count).flat_map(|_| draw.next().to_le_bytes()).collect();
            file.put(&block)?;
            left -= count;
            if progress.advance(block.len() as u64).is_break() {
                return Err(ExportError::Interrupted);
            }
        }
    }
    file.finish()
}

/// The safetensors header: its length, then JSON padded to 8 bytes.
fn header(specs: &[WeightSpec], seed: u64, bytes: impl Fn(&WeightSpec) -> u64) -> Vec<u8> {
    let metadata = json!({"format": "pt", "onr.untrained": "true", "onr.seed": seed.to_string()});
    let mut map = serde_json::Map::from_iter([("__metadata__".to_owned(), metadata)]);
    let mut offset = 0;
    for spec in specs {
        let end = offset + bytes(spec);
        let entry = json!({"dtype": "F32", "shape": spec.shape, "data_offsets": [offset, end]});
        map.insert(spec.key.clone(), entry);
        offset = end;
    }
    let mut text = serde_json::Value::Object(map).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// Numbers of one tensor: uniform with the right mean and spread.
struct Draw {
    rng: ChaCha8Rng,
    mean: f32,
    half_width: f32,
}

impl Draw {
    fn new(spec: &WeightSpec, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // FNV-1a of the name picks the stream.
        let stream = spec.key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        rng.set_stream(stream);
        let (mean, deviation) = moments(spec);
        Self { rng, mean, half_width: deviation * 3_f32.sqrt() }
    }

    fn next(&mut self) -> f32 {
        self.mean + self.half_width * self.rng.random_range(-1.0..1.0_f32)
    }
}

/// Mean and standard deviation of a tensor's numbers.
fn moments(spec: &WeightSpec) -> (f32, f32) {
    let name = spec.key.rsplit('.').next().unwrap_or(&spec.key);
    let norm = spec.key.contains("norm.");
    let width = spec.shape.last().copied().unwrap_or(1) as f32;
    match name {
        "weight" if norm => (1.0, 0.2),
        "weight" => (0.0, 1.0 / (spec.shape[0] as f32).sqrt()),
        "bias" => (0.0, 0.1),
        "rel_pos_bias" | "time_bias" => (0.0, 0.5),
        "rank_bias" => (0.0, 0.3),
        "task_embedding" => (0.0, 1.0),
        // Item vectors have length near 1: logits of a user vector of length 1 are cosines.
        _ => (0.0, 1.0 / width.sqrt()),
    }
}

//! Random models with weights that all matter.

use std::{collections::BTreeMap, path::Path};

use onr_exporter::{
    Checkpoint, ExportError, Silent,
    checkpoint::{Stored, write},
    init,
};
use onr_graphs::{Attention, ModelConfig};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;

/// Any model.
pub fn random_config(rng: &mut ChaCha8Rng) -> ModelConfig {
    let n_layers = rng.random_range(1..=3);
    let n_heads = rng.random_range(1..=3);
    ModelConfig {
        n_items: rng.random_range(12..80),
        n_actions: rng.random_range(1..5),
        d_model: n_heads * rng.random_range(2..=8_usize),
        n_heads,
        n_layers,
        n_rank_layers: rng.random_range(1..=n_layers),
        max_seq_len: rng.random_range(2..20),
        attention: if rng.random() { Attention::Hstu } else { Attention::Softmax },
        tasks: (0..rng.random_range(1..=4)).map(|n| format!("task-{n}")).collect(),
        n_fake_items: [0, 0, 1, 5][rng.random_range(0..4)],
        rel_pos_buckets: rng.random_range(1..10),
        time_buckets: [0, 1, 8, 64, 145][rng.random_range(0..5)],
        layer_norm_eps: 1e-5,
        temperature: 0.1,
    }
}

/// Any model of width 8 or more. A norm over two or three numbers that nearly agree multiplies rounding errors by
/// hundreds, so float error says nothing about narrower ones.
pub fn well_conditioned_config(rng: &mut ChaCha8Rng) -> ModelConfig {
    loop {
        let config = random_config(rng);
        if config.d_model >= 8 {
            return config;
        }
    }
}

/// How far biases, norms and relation tables are from what `init` gives them: 0 or 1 hides faults.
const SPREAD: f32 = 0.3;

/// Writes a checkpoint of random weights in which no bias is 0 and no norm is 1.
///
/// # Errors
/// [`ExportError`] when a file cannot be written.
pub fn random_weights(config: &ModelConfig, seed: u64, out: &Path) -> Result<(), ExportError> {
    let plain = out.with_extension("plain");
    init(config, seed, &plain, &Silent)?;
    let checkpoint = Checkpoint::open(&plain)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let mut changed: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for key in checkpoint.keys() {
        let (Some(stored), Some(mut values)) = (checkpoint.tensor(key), checkpoint.values(key)?)
        else {
            continue;
        };
        if stored.shape.len() == 1 || key.contains("rel_") || key.contains("time") {
            values.iter_mut().for_each(|x| *x += rng.random_range(-SPREAD..SPREAD));
        }
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        changed.insert(key.to_owned(), (stored.shape.to_vec(), bytes));
    }
    let tensors = changed
        .iter()
        .map(|(key, (shape, bytes))| (key.clone(), Stored { dtype: Dtype::F32, shape, bytes }))
        .collect();
    write(out, &tensors, checkpoint.metadata())?;
    std::fs::remove_file(&plain).map_err(|cause| ExportError::Write { file: plain, cause })
}

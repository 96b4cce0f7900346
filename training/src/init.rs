//! Weights before the first step.

use onr_graphs::ModelConfig;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Longest memory of a head's first position bias, behaviours; the shortest is 2.
const LONGEST_MEMORY: f32 = 64.0;

/// Values of one tensor: embeddings of length near 1, projections between the stages near the identity,
/// position biases that favour recent behaviours (each head over another span), norms neutral.
pub(crate) fn values(cfg: &ModelConfig, seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let stream = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    rng.set_stream(stream);
    let mut noise = |deviation: f32| -> Vec<f32> {
        let half = deviation * 3_f32.sqrt();
        (0..count).map(|_| half * rng.random_range(-1.0..1.0_f32)).collect()
    };
    let width = (*shape.last().unwrap_or(&1) as f32).sqrt();
    let fan_in = (shape[0] as f32).sqrt();
    let leaf = name.rsplit('.').next().unwrap_or(name);
    match leaf {
        _ if name.ends_with("norm.weight") => vec![1.0; count],
        "rel_pos_bias" => (0..count).map(|i| position_bias(cfg, i)).collect(),
        "bias" | "time_bias" | "rank_bias" => vec![0.0; count],
        _ if name.ends_with("_proj.weight") => {
            let mut values = noise(0.1 / fan_in);
            values.iter_mut().step_by(cfg.d_model + 1).for_each(|x| *x += 1.0);
            values
        }
        "weight" if name.starts_with("rank_layers") && name.ends_with("out.weight") => {
            noise(0.1 / fan_in)
        }
        "weight" if name.ends_with("out.weight") => noise(0.5 / fan_in),
        "weight" => noise(1.0 / fan_in),
        _ => noise(1.0 / width),
    }
}

/// Entry `i` of a `[H, Rb]` table.
fn position_bias(cfg: &ModelConfig, i: usize) -> f32 {
    let (head, distance) = (i / cfg.rel_pos_buckets, i % cfg.rel_pos_buckets);
    let place = head as f32 / (cfg.n_heads.max(2) - 1) as f32;
    let memory = 2.0 * (LONGEST_MEMORY / 2.0).powf(place);
    2.0 * (-(distance as f32) / memory).exp()
}

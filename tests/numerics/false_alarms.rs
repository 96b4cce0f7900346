//! Parity must not cry wolf: exports that are right pass, whatever the model.

use std::iter;

use onr_exporter::{Checkpoint, Silent};
use onr_graphs::{Filter, GraphOptions, Precision};
use onr_requests::{Limits, random_requests};
use onr_runtime::parity::Reference;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{World, compare, failures, random_config};

/// Models per precision. `ONR_TEST_MODELS=200` asks for more.
fn models() -> u64 {
    std::env::var("ONR_TEST_MODELS").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

fn none_in(precision: Precision) {
    let mut alarms = Vec::new();
    for seed in 0..models() {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + seed);
        // A norm over two or three numbers multiplies rounding errors by hundreds where they are
        // nearly equal: no tolerance fits such a model, and nobody has one.
        let config = iter::repeat_with(|| random_config(&mut rng)).find(|c| c.d_model >= 8);
        let config = config.unwrap();
        let filter = [Filter::None, Filter::Global, Filter::User][rng.random_range(0..3)];
        let top_k = rng.random_range(1..config.n_items.min(9));
        let options = GraphOptions { precision, filter, ..GraphOptions::new(top_k) };
        let limits = Limits {
            n_items: config.n_items,
            n_actions: config.n_actions,
            max_seq_len: config.max_seq_len,
        };
        let requests = random_requests(&limits, 24, seed, 16);
        let world = World::new(config.clone(), options, seed);
        let checkpoint = Checkpoint::open(&world.weights).unwrap();
        let graphs = &world.exported.graphs;
        let reference =
            Reference::build(&config, &options, graphs, &checkpoint, None, &Silent).unwrap();
        let report = compare(&world, &reference, &requests, 8);
        if !report.passed() {
            alarms.push(format!("seed {seed}: {:?}\n  {config:?}", failures(&report)));
        }
    }
    assert!(alarms.is_empty(), "{} of {}:\n{}", alarms.len(), models(), alarms.join("\n"));
}

#[test]
fn no_false_alarm_in_f32() {
    none_in(Precision::F32);
}

#[test]
fn no_false_alarm_in_f16() {
    none_in(Precision::F16);
}

//! FP16 on real requests: MovieLens-100k, which set-up fetched.

use std::path::Path;

use onr_exporter::{Checkpoint, Silent, read_model};
use onr_graphs::{Attention, GraphOptions, ModelConfig, Precision};
use onr_requests::{Actions, Limits, LogOptions, Request, from_log, random_requests};
use onr_runtime::parity::{ParityReport, Reference};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::support::{World, compare, config, export_to, failures, root};

/// Requests of MovieLens users, with candidates drawn by popularity.
fn movielens(config: &ModelConfig, count: usize) -> Vec<Request> {
    let log = root().join(".onr/data/ml-100k/ml-100k.inter");
    assert!(log.is_file(), "no {}: `make setup` fetches it", log.display());
    let options = LogOptions {
        actions: Actions::Rule("rating>=5:3,rating>=4:2,*:1".parse().unwrap()),
        n_items: Some(config.n_items),
        n_actions: Some(config.n_actions),
        n_candidates: 128,
        limit: Some(count),
        ..LogOptions::new(config.max_seq_len)
    };
    from_log(Path::new(&log), None, &options).unwrap().map(|r| r.request).collect()
}

fn parity(attention: Attention, precision: Precision) -> ParityReport {
    let config = read_model(&root().join("models/ml-100k.toml")).unwrap();
    let config = ModelConfig { attention, ..config };
    let requests = movielens(&config, 32);
    let options = GraphOptions { precision, ..GraphOptions::new(100) };
    let world = World::new(config.clone(), options, 0);
    let checkpoint = Checkpoint::open(&world.weights).unwrap();
    let reference =
        Reference::build(&config, &options, &world.exported.graphs, &checkpoint, None, &Silent)
            .unwrap();
    compare(&world, &reference, &requests, 8)
}

fn holds_in_half(attention: Attention) {
    let report = parity(attention, Precision::F16);
    assert!(report.passed(), "{:?}", failures(&report));
    let output = |graph: &str, name: &str| {
        let found = report.outputs.iter().find(|o| o.graph == graph && o.output == name);
        found.unwrap().error_ratio.unwrap()
    };
    assert!(output("rank", "scores") <= 2.0);
    assert!(output("oneranker", "scores") <= 2.0);
    let order = report.order.unwrap();
    assert_eq!(order.requests, 32);
    assert!(order.mean_overlap >= 0.99, "{order:?}");
}

#[test]
fn hstu_in_half_costs_what_its_weights_cost() {
    holds_in_half(Attention::Hstu);
}

#[test]
fn softmax_in_half_costs_what_its_weights_cost() {
    holds_in_half(Attention::Softmax);
}

#[test]
fn checkpoints_that_are_half_already_are_judged_as_fairly() {
    let config = config(Attention::Hstu, 4, 20);
    let options = GraphOptions { precision: Precision::F16, ..GraphOptions::new(5) };
    let world = World::new(config.clone(), options, 6);
    let bytes = std::fs::read(&world.weights).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let half = |data: &[u8]| -> Vec<u8> {
        let (numbers, _) = data.as_chunks::<4>();
        let narrow = numbers.iter().map(|b| half::f16::from_f32(f32::from_le_bytes(*b)));
        narrow.flat_map(half::f16::to_le_bytes).collect()
    };
    let tensors: Vec<_> =
        file.iter().map(|(n, v)| (n, v.shape().to_vec(), half(v.data()))).collect();
    let views =
        tensors.iter().map(|(n, s, d)| (n, TensorView::new(Dtype::F16, s.clone(), d).unwrap()));
    let path = world.dir.path().join("half.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    export_to(&config, &options, &path, world.dir.path());

    let limits = Limits { n_items: 53, n_actions: 4, max_seq_len: config.max_seq_len };
    let requests = random_requests(&limits, 32, 0, 12);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let reference =
        Reference::build(&config, &options, &world.exported.graphs, &checkpoint, None, &Silent)
            .unwrap();
    let report = compare(&world, &reference, &requests, 8);
    assert!(report.passed(), "{:?}", failures(&report));
    let scores = report.outputs.iter().find(|o| o.graph == "rank" && o.output == "scores");
    let ratio = scores.unwrap().error_ratio.unwrap();
    assert!((0.1..2.0).contains(&ratio), "{ratio}");
}

#[test]
fn long_histories_neither_overflow_nor_vanish() {
    // 2,048 keys: sums of SiLU weights before 1/M would leave the range of FP16.
    let config = ModelConfig {
        n_layers: 2,
        n_rank_layers: 1,
        max_seq_len: 2048,
        n_fake_items: 0,
        ..read_model(&root().join("models/ml-100k.toml")).unwrap()
    };
    let options = GraphOptions { precision: Precision::F16, ..GraphOptions::new(10) };
    let world = World::new(config.clone(), options, 1);
    let limits = Limits { n_items: config.n_items, n_actions: config.n_actions, max_seq_len: 2048 };
    let requests = random_requests(&limits, 2, 0, 32);
    let checkpoint = Checkpoint::open(&world.weights).unwrap();
    let reference =
        Reference::build(&config, &options, &world.exported.graphs, &checkpoint, None, &Silent)
            .unwrap();
    let report = compare(&world, &reference, &requests, 1);
    assert!(report.passed(), "{:?}", failures(&report));
}

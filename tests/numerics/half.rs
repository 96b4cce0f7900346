//! FP16 on real requests: MovieLens-100k, which set-up fetched.

use std::path::Path;

use onr_exporter::{Checkpoint, Silent, read_model};
use onr_graphs::{Attention, GraphOptions, ModelConfig, Precision};
use onr_requests::{Actions, LogOptions, Request, from_log};
use onr_runtime::{
    backends::tract::TractBackend,
    parity::{ParityJob, ParityReport, Reference, check},
};

use crate::support::{World, ort, root};

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
    let reference = Reference::build(&config, &options, &checkpoint, &Silent).unwrap();
    let job = ParityJob {
        config: &config,
        options: &options,
        graphs: &world.exported.graphs,
        dir: world.dir.path(),
        candidate: &ort(),
        reference: &TractBackend::new(),
        requests: &requests,
        requests_from: "MovieLens-100k",
        rows: 8,
    };
    check(&job, &reference, &Silent).unwrap()
}

fn holds_in_half(attention: Attention) {
    let report = parity(attention, Precision::F16);
    assert!(report.passed(), "{:?}", report.failures);
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
    let limits = onr_requests::Limits {
        n_items: config.n_items,
        n_actions: config.n_actions,
        max_seq_len: 2048,
    };
    let requests = onr_requests::random_requests(&limits, 2, 0, 32);
    let checkpoint = Checkpoint::open(&world.weights).unwrap();
    let reference = Reference::build(&config, &options, &checkpoint, &Silent).unwrap();
    let job = ParityJob {
        config: &config,
        options: &options,
        graphs: &world.exported.graphs,
        dir: world.dir.path(),
        candidate: &ort(),
        reference: &TractBackend::new(),
        requests: &requests,
        requests_from: "seed 0",
        rows: 1,
    };
    let report = check(&job, &reference, &Silent).unwrap();
    assert!(report.passed(), "{:?}", report.failures);
}

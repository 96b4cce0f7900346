//! Parity must fail when a weight is wrong: one number of `weights.data`, off by a few percent, for
//! every tensor of the checkpoint.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use onr_exporter::{Checkpoint, ExportedGraph, Silent, WEIGHTS_FILE};
use onr_graphs::{Attention, GraphOptions, ModelConfig};
use onr_onnx::proto::{EXTERNAL, ModelProto};
use onr_requests::{Limits, Request, random_requests};
use onr_runtime::parity::Reference;
use prost::Message as _;

use crate::support::{World, compare, config, failures};

/// How far one number is off: three percent of itself.
const OFF: f32 = 1.03;

#[test]
fn one_wrong_weight_of_any_tensor_is_found_hstu() {
    every_tensor(Attention::Hstu);
}

#[test]
fn one_wrong_weight_of_any_tensor_is_found_softmax() {
    every_tensor(Attention::Softmax);
}

fn every_tensor(attention: Attention) {
    let config = ModelConfig { max_seq_len: 16, ..config(attention, 4, 12) };
    let world = World::new(config.clone(), GraphOptions::new(8), 3);
    let limits = Limits { n_items: config.n_items, n_actions: config.n_actions, max_seq_len: 16 };
    let requests = random_requests(&limits, 16, 0, 12);
    let checkpoint = Checkpoint::open(&world.weights).unwrap();
    let reference = Reference::build(
        &config,
        &world.options,
        &world.exported.graphs,
        &checkpoint,
        None,
        &Silent,
    )
    .unwrap();
    let parity = || compare(&world, &reference, &requests, 16);
    assert!(parity().passed(), "{:?}", failures(&parity()));

    let data = world.dir.path().join(WEIGHTS_FILE);
    let clean = fs::read(&data).unwrap();
    let mut unseen = Vec::new();
    for (key, offset, length) in places(world.dir.path(), &world.exported.graphs) {
        let at = offset + 4 * element(&key, length / 4, &config, &requests);
        let value = f32::from_le_bytes(clean[at..at + 4].try_into().unwrap());
        write_at(&data, at, &(value * OFF).to_le_bytes());
        if parity().passed() {
            unseen.push(format!("{key}: {value} -> {}", value * OFF));
        }
        write_at(&data, at, &clean[at..at + 4]);
    }
    assert!(unseen.is_empty(), "parity did not see:\n{}", unseen.join("\n"));
    assert!(parity().passed());
}

/// Name, offset and length of every tensor in the weights file.
fn places(dir: &Path, graphs: &[ExportedGraph]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for graph in graphs {
        let bytes = fs::read(dir.join(format!("{}.onnx", graph.name))).unwrap();
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        for tensor in model.graph.unwrap().initializer {
            if tensor.data_location != Some(EXTERNAL) {
                continue;
            }
            let number = |key: &str| tensor.external(key).unwrap().parse::<usize>().unwrap();
            let place = (tensor.name.clone().unwrap(), number("offset"), number("length"));
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    found
}

/// Which number is changed: one that the requests make use of (a row of an item that nobody asks
/// for is out of anybody's sight), otherwise somewhere in the middle.
fn element(key: &str, count: usize, config: &ModelConfig, requests: &[Request]) -> usize {
    let full = &requests[1];
    let last = full.items.len() - 1;
    let row = |id: i64| id as usize * config.d_model + config.d_model / 2;
    match key.rsplit('.').next().unwrap_or(key) {
        "item_embedding" => row(full.items[0]),
        "action_embedding" => row(full.actions[0]),
        // Distance 1, and the first two behaviours' difference in time, both of head 0.
        "rel_pos_bias" => 1,
        "time_bias" => {
            let apart = (full.request_time - full.timestamps[last]).abs().max(1);
            let reached = |k: usize| (0.301 * k as f64).exp().ceil() as i64 <= apart;
            (1..config.time_buckets).take_while(|&k| reached(k)).count()
        }
        _ => count / 2,
    }
}

fn write_at(file: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(bytes).unwrap();
}

//! What cannot be packaged, and why.

use std::fs;

use onr_graphs::{Filter, GraphOptions, ItemInput, Precision};
use onr_runtime::manifest::Manifest;
use onr_triton::{Backend, PackageName, PackageOptions, Source, repository::Repository};

use crate::support::{World, graph_options, named, options, plan};

#[test]
fn names_that_no_directory_should_have() {
    for name in ["", ".hidden", "-x", "a/b", "a b", "é", ".."] {
        assert!(name.parse::<PackageName>().is_err(), "{name}");
    }
    assert_eq!("ads-v2.1".parse::<PackageName>().unwrap().model("oneranker"), "ads-v2.1_fused");
}

#[test]
fn a_filter_for_all_users_has_no_batch_axis() {
    let world = World::new();
    let global = GraphOptions { filter: Filter::Global, ..graph_options() };
    let error = plan(&world.export("global", global, 0), &options()).unwrap_err();
    assert!(error.to_string().contains("`allowed_items` of graph oneranker is [30]"), "{error}");
    assert!(error.hint().unwrap().contains("--with-filter user"));
    let user = GraphOptions { filter: Filter::User, ..graph_options() };
    assert!(plan(&world.export("user", user, 0), &options()).is_ok());
}

#[test]
fn types_that_a_backend_lacks() {
    let world = World::new();
    let bf16 = GraphOptions { precision: Precision::BF16, ..graph_options() };
    let dir = world.export("bf16", bf16, 0);
    for backend in [Backend::Python, Backend::OnnxRuntime] {
        let asked = PackageOptions { backend: Some(backend), ..options() };
        let error = plan(&dir, &asked).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("is bf16, which Triton's {backend} backend does not have")),
            "{error}"
        );
    }
    let dir = world.export("fp8", graph_options(), 0);
    let mut manifest = Manifest::read(&dir).unwrap();
    manifest.graphs[0].outputs[0].dtype = "f8e4m3".into();
    manifest.write(&dir).unwrap();
    let error = plan(&dir, &options()).unwrap_err();
    assert!(error.to_string().contains("is f8e4m3, which Triton does not have"), "{error}");
    assert!(error.hint().unwrap().contains("--kv int8"));
}

#[test]
fn items_as_vectors_and_half_precision_are_fine() {
    let world = World::new();
    let vectors = GraphOptions {
        item_input: ItemInput::Embeddings,
        precision: Precision::F16,
        ..graph_options()
    };
    let package = plan(&world.export("vectors", vectors, 0), &options()).unwrap();
    let ensemble = &package.models.last().unwrap().config;
    let inputs: Vec<_> = ensemble.input.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(
        inputs,
        ["item_embeddings", "timestamps", "seq_lens", "request_time", "candidate_embeddings"]
    );
    assert!(package.models[0].config.to_string().contains("TYPE_FP16"));
}

#[test]
fn options_that_make_no_sense() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let refused = |asked: PackageOptions| plan(&dir, &asked).unwrap_err().to_string();
    let python = || PackageOptions { backend: Some(Backend::Python), ..options() };
    assert_eq!(
        refused(PackageOptions { max_batch: Some(33), ..options() }),
        "--max-batch 33 is outside the profile's 1..=32"
    );
    assert!(refused(PackageOptions { max_batch: Some(0), ..options() }).contains("outside"));
    assert_eq!(
        refused(PackageOptions { cuda_graphs: true, ..python() }),
        "--cuda-graphs is for the backend tensorrt, not for python"
    );
    assert!(refused(PackageOptions { gpus: vec![0], ..python() }).starts_with("--gpus"));
    assert!(refused(PackageOptions { instances: 0, ..options() }).starts_with("--instances"));
    let large = PackageOptions { preferred_batches: vec![4, 16], max_batch: Some(8), ..options() };
    assert_eq!(refused(large), "--preferred-batches has 16, and the largest batch is 8");
}

#[test]
fn directories_that_are_not_what_they_were() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    world.write(&dir, &options()).unwrap();
    let before = world.tree();
    let weights = dir.join("weights.data");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[100] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    let error = world.write(&dir, &options()).unwrap_err().to_string();
    assert!(
        error.ends_with("does not match its manifest: weights.data has another SHA-256"),
        "{error}"
    );
    assert_eq!(world.tree(), before, "nothing of the next version is left");

    let text = fs::read_to_string(dir.join("onr.json")).unwrap();
    fs::write(dir.join("onr.json"), text.replace("\"opset\": 17", "\"opset\": 18")).unwrap();
    assert!(Source::open(&dir).unwrap_err().to_string().contains("onr.json was changed"));
    assert!(Source::open(&world.path("none")).is_err());
}

#[test]
fn a_second_writer_waits() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let _first = Repository::open(&world.path("models")).unwrap();
    let error = world.write(&dir, &named("other")).unwrap_err();
    assert!(error.to_string().contains("is being written by process"), "{error}");
}

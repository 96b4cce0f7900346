//! Configurations as text.

use insta::assert_snapshot;
use onr_triton::Backend;

use crate::support::{World, graph_options, options, plan};

#[test]
fn a_graph_and_the_ensemble() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let package = plan(&dir, &options()).unwrap();
    let text = |name: &str| {
        let model = package.models.iter().find(|m| m.config.name == name).unwrap();
        let text = model.config.to_string();
        // Hashes are of the checkpoint, whose path is the test's.
        let cut = text.split("parameters {").next().unwrap();
        cut.to_owned()
    };
    assert_snapshot!(text("oneranker_fused"));
    assert_snapshot!(text("oneranker"));
}

#[test]
fn names_and_order() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let package = plan(&dir, &options()).unwrap();
    let names: Vec<_> = package.models.iter().map(|m| m.config.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "oneranker_encode",
            "oneranker_append",
            "oneranker_generate",
            "oneranker_rank",
            "oneranker_fused",
            "oneranker"
        ],
        "members before the ensemble"
    );
    assert_eq!(package.backend, Backend::OnnxRuntime);
    assert_eq!(package.notes, ["the models are for the backend onnxruntime: there are no plans"]);
}

#[test]
fn what_is_live_stands_among_the_parameters() {
    let world = World::new();
    let dir = world.export("graphs", graph_options(), 0);
    let package = plan(&dir, &options()).unwrap();
    for model in &package.models {
        let parameters = &model.config.parameters;
        let graph = model.graph.as_deref().unwrap_or("ensemble");
        assert_eq!(parameters["onr.graph"], graph);
        assert_eq!(parameters["onr.precision"], "fp32");
        assert_eq!(parameters["onr.manifest_sha256"], package.manifest_sha256);
        assert_eq!(Some(&parameters["onr.checkpoint_sha256"]), package.checkpoint_sha256.as_ref());
    }
}

//! TensorRT for RTX accepts every graph, and what it understood is what was exported.

use onr_exporter::{ExportedGraph, Silent};
use onr_graphs::{Attention, Dim, GraphKind, GraphOptions, Precision, Profile, build};
use onr_runtime::{
    builder::{BuildJob, BuiltEngine, EngineBuilder, PlanKind, PlanWeights},
    builders::TensorRt,
    libraries::Search,
};

use crate::support::{World, config};

fn builder() -> TensorRt {
    let found = Search::from_env().tensorrt().unwrap_or_else(|e| panic!("{e}: {}", e.hint()));
    TensorRt::new(found.runtime.path, found.parser.path)
}

fn compile(world: &World, graph: &ExportedGraph, builder: &TensorRt) -> BuiltEngine {
    let dim = |d: &String| d.parse().map_or_else(|_| Dim::named(d), Dim::Fixed);
    let inputs: Vec<(String, Vec<Dim>)> =
        graph.inputs.iter().map(|t| (t.name.clone(), t.shape.iter().map(dim).collect())).collect();
    let plan = world.dir.path().join(format!("{}.plan", graph.name));
    let job = BuildJob {
        graph: &graph.name,
        onnx: &world.dir.path().join(format!("{}.onnx", graph.name)),
        plan: &plan,
        inputs: &inputs,
        profiles: &[Profile::for_model(world.config.max_seq_len)],
        targets: &[],
        workspace: None,
        weights: PlanWeights::Fixed,
    };
    let built = builder.build(&job, &Silent).unwrap_or_else(|e| panic!("{}: {e}", graph.name));
    assert!(std::fs::read(&plan).unwrap().starts_with(b"vtrt"));
    built
}

fn plans(attention: Attention, precision: Precision) {
    let options = GraphOptions { precision, ..GraphOptions::new(5) };
    let world = World::new(config(attention, 4, 20), options, 1);
    let builder = builder();
    for exported in &world.exported.graphs {
        let built = compile(&world, exported, &builder);
        assert_eq!(built.kind, PlanKind::TensorrtRtx);
        assert_eq!(built.targets, ["sm86", "sm89", "sm120"]);
        assert!(built.version.starts_with("1."), "{}", built.version);
        assert_eq!(built.network.inputs.len(), exported.inputs.len());
        assert_eq!(built.network.outputs.len(), exported.outputs.len());
        let (inputs, outputs) = (&exported.inputs, &exported.outputs);
        built.network.check_interface(&exported.name, inputs, outputs).unwrap();
        widths(&world, exported, &built, precision);
    }
}

/// Layers that must compute in F32 do, and products do not in FP16: by the names of our nodes.
fn widths(world: &World, exported: &ExportedGraph, built: &BuiltEngine, precision: Precision) {
    let kind = GraphKind::from_name(&exported.name).unwrap();
    let graph = build(&world.config, &world.options, kind).unwrap();
    let wide = &built.network.f32_layers;
    let mut products = 0;
    for node in &graph.nodes {
        let is_wide = wide.contains(&node.name);
        let narrow_here = graph.value(node.outputs[0]).dtype != onr_graphs::DType::F32;
        match node.op {
            "LayerNormalization" | "Softmax" => {
                let found = wide.iter().any(|l| l.contains(&node.name));
                assert!(found, "{}: {} is not in F32", exported.name, node.name);
            }
            "MatMul" => {
                products += 1;
                assert_eq!(is_wide, !narrow_here, "{}: {}", exported.name, node.name);
                assert!(
                    precision == Precision::F32 || narrow_here || node.name.starts_with("rank/")
                );
            }
            _ => {}
        }
    }
    assert!(products > 3);
}

#[test]
fn hstu_plans_in_f32() {
    plans(Attention::Hstu, Precision::F32);
}

#[test]
fn hstu_plans_in_f16() {
    plans(Attention::Hstu, Precision::F16);
}

#[test]
fn softmax_plans_in_f32() {
    plans(Attention::Softmax, Precision::F32);
}

#[test]
fn softmax_plans_in_f16() {
    plans(Attention::Softmax, Precision::F16);
}

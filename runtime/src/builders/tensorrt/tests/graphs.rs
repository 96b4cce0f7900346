//! The five graphs of the contract, as the exporter writes them.

use onr_exporter::{
    Checkpoint, ExportJob, Exported, TensorInfo, export, init, parse_model, progress::Silent,
};
use onr_graphs::{Dim, GraphKind, GraphOptions, Precision, Profile};

use super::{rtx, *};
use crate::builder::PlanWeights;

const MODEL: &str = r#"[model]
n_items = 100
n_actions = 3
d_model = 16
n_heads = 2
n_layers = 2
n_rank_layers = 1
max_seq_len = 8
attention = "ATTENTION"
tasks = ["click", "value"]
n_fake_items = 3
rel_pos_buckets = 4
time_buckets = 5
layer_norm_eps = 1e-5
temperature = 0.1
"#;

fn export_all(attention: &str, precision: Precision, folder: &Path) -> Exported {
    let config = parse_model(&MODEL.replace("ATTENTION", attention)).unwrap();
    let weights = folder.join("weights.safetensors");
    init(&config, 1, &weights, &Silent).unwrap();
    let job = ExportJob {
        config: &config,
        options: &GraphOptions { precision, ..GraphOptions::new(5) },
        graphs: &GraphKind::ALL,
        checkpoint: &Checkpoint::open(&weights).unwrap(),
        strict: true,
        profile: &Profile::for_model(8),
        round_weights: None,
        out: folder,
    };
    export(&job, &Silent).unwrap()
}

fn symbolic(tensor: &TensorInfo) -> (String, Vec<Dim>) {
    let dim = |text: &String| text.parse().map_or_else(|_| Dim::named(text), Dim::Fixed);
    (tensor.name.clone(), tensor.shape.iter().map(dim).collect())
}

/// On a machine with a GPU the other half is `make gpu-check`.
#[test]
fn plans_that_take_other_weights_need_a_driver() {
    let folder = TempDir::new().unwrap();
    let exported = export_all("hstu", Precision::F16, folder.path());
    let graph = &exported.graphs[0];
    let inputs: Vec<_> = graph.inputs.iter().map(symbolic).collect();
    for weights in [PlanWeights::Refittable, PlanWeights::Stripped] {
        let job = BuildJob {
            graph: &graph.name,
            onnx: &folder.path().join(format!("{}.onnx", graph.name)),
            plan: &folder.path().join(format!("{}.plan", graph.name)),
            inputs: &inputs,
            profiles: &[Profile::for_model(8)],
            targets: &[Target(89)],
            workspace: None,
            weights,
        };
        match (CudaDriver::open(0), rtx().build(&job, &Silent)) {
            (Err(cause), Err(EngineError::Missing { what, .. })) => {
                assert_eq!(what, cause.to_string())
            }
            (Ok(_), Ok(built)) => assert_eq!(built.weights, weights),
            (driver, found) => panic!("{driver:?}: {found:?}"),
        }
        let two = BuildJob { targets: &[Target(86), Target(89)], ..job };
        let told = rtx().build(&two, &Silent).unwrap_err().to_string();
        assert!(told.contains("a plan that takes other weights is for one GPU"), "{told}");
    }
}

/// Exports, builds for the default targets, and compares what TensorRT read with what was written.
fn check(attention: &str, precision: Precision) {
    let folder = TempDir::new().unwrap();
    let exported = export_all(attention, precision, folder.path());
    assert_eq!(exported.graphs.len(), 5);
    for graph in &exported.graphs {
        let inputs: Vec<_> = graph.inputs.iter().map(symbolic).collect();
        let job = BuildJob {
            graph: &graph.name,
            onnx: &folder.path().join(format!("{}.onnx", graph.name)),
            plan: &folder.path().join(format!("{}.plan", graph.name)),
            inputs: &inputs,
            profiles: &[Profile::for_model(8)],
            targets: &[],
            workspace: None,
            weights: PlanWeights::Fixed,
        };
        let built = rtx().build(&job, &Silent).unwrap_or_else(|e| panic!("{e}"));
        assert!(fs::read(job.plan).unwrap().starts_with(b"vtrt"), "{}", graph.name);
        let written = graph.outputs.iter().map(|t| (&t.name, &t.dtype));
        assert!(
            written.eq(built.network.outputs.iter().map(|t| (&t.name, &t.dtype))),
            "{}",
            graph.name
        );
        assert_eq!(built.warnings, [""; 0], "{}", graph.name);
    }
}

#[test]
fn hstu_builds() {
    check("hstu", Precision::F32);
    check("hstu", Precision::F16);
}

#[test]
fn softmax_builds() {
    check("softmax", Precision::BF16);
}

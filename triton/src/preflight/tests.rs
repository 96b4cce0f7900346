//! Each check on manifests and facts that are made up.

use std::collections::BTreeMap;

use onr_exporter::{ExportedGraph, TensorInfo, artifact::FileRecord};
use onr_graphs::{Attention, GraphOptions, ModelConfig, Profile};
use onr_runtime::{
    builder::{BuiltEngine, NetworkSummary, PlanKind, PlanWeights},
    manifest::Manifest,
};

use super::*;

mod server;

fn info(name: &str, dtype: &str, shape: &[&str]) -> TensorInfo {
    TensorInfo {
        name: name.into(),
        dtype: dtype.into(),
        shape: shape.iter().map(|&s| s.to_owned()).collect(),
    }
}

fn record(size: u64) -> FileRecord {
    FileRecord { size, sha256: String::new() }
}

fn graph(name: &str, inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> ExportedGraph {
    let (name, file) = (name.to_owned(), record(100));
    ExportedGraph { name, opset: 17, nodes: 1, inputs, outputs, file }
}

/// `encode` with one layer of 2 heads of 4, and `oneranker` with 10 candidates.
fn source() -> Source {
    let config = ModelConfig {
        n_items: 30,
        n_actions: 3,
        d_model: 8,
        n_heads: 2,
        n_layers: 1,
        n_rank_layers: 1,
        max_seq_len: 12,
        attention: Attention::Hstu,
        tasks: ["click", "buy"].map(str::to_owned).to_vec(),
        n_fake_items: 0,
        rel_pos_buckets: 8,
        time_buckets: 0,
        layer_norm_eps: 1e-5,
        temperature: 1.0,
    };
    let options = GraphOptions::new(5);
    let profile = Profile::for_model(12).with("batch=1:2:4").unwrap();
    let mut manifest = Manifest::new(&config, &options, &profile);
    let ids = || vec![info("item_ids", "i64", &["batch", "seq"])];
    let kv = |part: &str| info(&format!("present.0.{part}"), "f16", &["batch", "2", "seq", "4"]);
    let scores = info("scores", "f32", &["batch", "10", "2"]);
    let graphs = vec![
        graph("encode", ids(), vec![kv("key"), kv("value")]),
        graph("oneranker", ids(), vec![scores]),
    ];
    manifest.add_export(record(1000), graphs);
    let axes = BTreeMap::new();
    Source { dir: "there".into(), manifest, config, options, profile, axes }
}

fn with_plans(kind: PlanKind, version: &str, targets: &[&str]) -> Source {
    let mut source = source();
    for name in ["encode", "oneranker"] {
        let built = BuiltEngine {
            weights: PlanWeights::Fixed,
            kind,
            builder: "test".into(),
            version: version.into(),
            library: "none".into(),
            targets: targets.iter().map(|&t| t.to_owned()).collect(),
            network: NetworkSummary::default(),
            profiles: Vec::new(),
            products: Vec::new(),
            warnings: Vec::new(),
            seconds: 0.0,
        };
        source.manifest.engines.insert(name.into(), built);
        source.manifest.files.insert(format!("{name}.plan"), record(500));
    }
    source
}

fn facts(text: &str) -> Facts {
    serde_json::from_str(text).unwrap()
}

fn options(backend: Option<Backend>) -> PackageOptions {
    PackageOptions { backend, ..PackageOptions::new("ads".parse().unwrap()) }
}

fn run(source: &Source, backend: Option<Backend>, facts: &Facts) -> Preflight {
    served(source, backend, facts, None)
}

fn served(
    source: &Source,
    backend: Option<Backend>,
    facts: &Facts,
    server: Option<&Deployed>,
) -> Preflight {
    let plan = Plan { source, options: options(backend), users: 0, gpu_memory: None };
    preflight(&plan, facts, server)
}

/// What came of one check, in a line.
#[track_caller]
fn said(preflight: &Preflight, name: CheckName) -> String {
    let text = match &preflight.check(name).unwrap().status {
        Status::Passed { found } => format!("passed: {found}"),
        Status::Failed { why, fix } => {
            assert!(!fix.is_empty(), "{why}");
            format!("failed: {why}")
        }
        Status::Skipped { why } => format!("skipped: {why}"),
    };
    text.replace('\n', "; ")
}

#[test]
fn plans_of_the_wrong_kind() {
    let rtx = with_plans(PlanKind::TensorrtRtx, "1.7.1", &["sm86"]);
    let found = run(&rtx, None, &Facts::default());
    assert_eq!(
        said(&found, CheckName::PlanKind),
        "failed: TensorRT for RTX made the plans of encode, oneranker: no Triton loads them"
    );
    assert!(!found.passed());
    assert_eq!(found.backend, Backend::OnnxRuntime, "what `onr package` would choose");
    for name in [CheckName::PlanVersion, CheckName::PlanComputeCapability] {
        assert_eq!(said(&found, name), "skipped: there is no plan that Triton loads");
    }
    let asked = run(&rtx, Some(Backend::TensorRt), &Facts::default());
    assert_eq!(said(&asked, CheckName::Package), "skipped: not before `plan.kind` passes");
    let aside = run(&rtx, Some(Backend::Python), &Facts::default());
    assert_eq!(said(&aside, CheckName::PlanKind), "skipped: the backend python needs no plan");
    let good = run(&with_plans(PlanKind::Tensorrt, "10.3.0", &[]), None, &Facts::default());
    assert_eq!(said(&good, CheckName::PlanKind), "passed: 2 plans of data-centre TensorRT");
    assert_eq!(good.backend, Backend::TensorRt);
}

#[test]
fn plans_that_are_not_there() {
    let none = run(&source(), None, &Facts::default());
    assert_eq!(
        said(&none, CheckName::PlanKind),
        "skipped: there are no plans: the backend onnxruntime gets ONNX files"
    );
    let asked = run(&source(), Some(Backend::TensorRt), &Facts::default());
    assert_eq!(said(&asked, CheckName::PlanKind), "failed: there is no plan of encode, oneranker");
    let mut half = with_plans(PlanKind::Tensorrt, "10.3.0", &[]);
    half.manifest.engines.remove("encode");
    assert_eq!(
        said(&run(&half, None, &Facts::default()), CheckName::PlanKind),
        "failed: there is no plan of encode"
    );
}

#[test]
fn plans_load_in_the_version_that_wrote_them() {
    let plans = with_plans(PlanKind::Tensorrt, "10.3.0", &["sm86"]);
    let version = |text: &str| said(&run(&plans, None, &facts(text)), CheckName::PlanVersion);
    assert!(version("{}").starts_with("skipped: the server's TensorRT is not known"));
    assert!(version(r#"{"container_release": "99.01"}"#).starts_with("skipped"), "not guessed");
    let good = version(r#"{"tensorrt_version": "10.3.0.26"}"#);
    assert_eq!(good, "passed: TensorRT 10.3.0.26 (from the facts)");
    let good = version(r#"{"container_release": "24.08"}"#);
    assert!(good.contains("container 24.08-py3 has it, with Triton 2.49.0"), "{good}");
    assert_eq!(
        version(r#"{"tensorrt_version": "10.3.1", "container_release": "24.08"}"#),
        "failed: plans of 10.3.0 do not load in TensorRT 10.3.1 (from the facts): encode, oneranker"
    );
    let other = run(&plans, None, &facts(r#"{"tritonserver_version": "2.51.0"}"#));
    let Status::Failed { why, fix } = &other.check(CheckName::PlanVersion).unwrap().status else {
        panic!("{other:?}");
    };
    assert!(why.contains("TensorRT 10.5.0.18"), "{why}");
    assert!(fix.contains("--container-facts"), "a guess may be wrong: {fix}");
}

#[test]
fn plans_are_for_a_gpu() {
    let capability = |targets: &[&str], text: &str| {
        let plans = with_plans(PlanKind::Tensorrt, "10.3.0", targets);
        said(&run(&plans, None, &facts(text)), CheckName::PlanComputeCapability)
    };
    let ampere = r#"{"compute_capability": "8.6"}"#;
    assert!(capability(&["sm86"], "{}").starts_with("skipped: the server's GPU is not known"));
    assert_eq!(capability(&["sm80", "sm86"], ampere), "passed: sm86");
    assert_eq!(
        capability(&["sm90"], ampere),
        "failed: plans for sm90 are not for the GPU there, sm86: encode, oneranker"
    );
    assert!(capability(&[], ampere).starts_with("skipped: the manifest does not say"));
}

#[test]
fn types_that_are_not_there() {
    let plans = with_plans(PlanKind::Tensorrt, "10.3.0", &[]);
    let int64 = |text: &str| said(&run(&plans, None, &facts(text)), CheckName::Types);
    assert!(int64("{}").starts_with("skipped: the server's version is not known"));
    for good in [
        r#"{"tritonserver_version": "2.46.0"}"#,
        r#"{"container_release": "24.05"}"#,
        r#"{"tensorrt_version": "10.0.1"}"#,
    ] {
        assert!(int64(good).starts_with("passed: int64 ids among them"), "{good}");
    }
    assert_eq!(
        int64(r#"{"container_release": "24.04"}"#),
        "failed: ids are int64, which the TensorRT backend has from release 24.05 on (release 24.04)"
    );
    let onnx = run(&source(), None, &facts(r#"{"container_release": "24.04"}"#));
    assert_eq!(said(&onnx, CheckName::Types), "passed: the backend onnxruntime has all of them");
    let with = |dtype: &str, backend| {
        let mut source = source();
        source.manifest.graphs[0].outputs[0].dtype = dtype.into();
        run(&source, Some(backend), &Facts::default())
    };
    let fp8 = with("f8e4m3", Backend::OnnxRuntime);
    assert_eq!(
        said(&fp8, CheckName::Types),
        "failed: `present.0.key` of graph encode is f8e4m3, which Triton does not have"
    );
    assert_eq!(said(&fp8, CheckName::Package), "skipped: not before `types` passes");
    assert!(said(&fp8, CheckName::Names).starts_with("skipped"));
    let bf16 = said(&with("bf16", Backend::Python), CheckName::Types);
    assert!(bf16.ends_with("which Triton's python backend does not have"), "{bf16}");
}

#[test]
fn backends_that_are_not_there() {
    let check = |backend, text: &str| {
        said(&run(&source(), Some(backend), &facts(text)), CheckName::Backends)
    };
    assert!(check(Backend::Python, "{}").starts_with("skipped: whether the server has python"));
    let some = r#"{"backends": ["python", "tensorrt"]}"#;
    assert_eq!(check(Backend::Python, some), "passed: python");
    assert_eq!(
        check(Backend::OnnxRuntime, some),
        "failed: onnxruntime is not among python, tensorrt"
    );
}

#[test]
fn batches_fit_the_profile() {
    let profile = |text: &str| Profile::for_model(12).with(text).unwrap();
    let check = |profiles: &[&Profile], backend, max_batch| {
        let options = PackageOptions { max_batch, ..options(None) };
        fit::profiles(profiles, backend, &options)
    };
    let (small, wide) = (profile("batch=1:2:4"), profile("batch=2:4:8"));
    let good = check(&[&small], Backend::TensorRt, None);
    assert_eq!(good, Check::passed(CheckName::Profiles, "requests are joined up to 4 rows"));
    assert!(!check(&[&small], Backend::TensorRt, Some(3)).is_failed());
    for max in [0, 5] {
        assert!(check(&[&small], Backend::OnnxRuntime, Some(max)).is_failed(), "{max}");
    }
    assert!(check(&[&wide], Backend::TensorRt, None).is_failed(), "one row alone is refused");
    assert!(!check(&[&wide], Backend::OnnxRuntime, None).is_failed());
    assert!(check(&[&small, &wide], Backend::TensorRt, None).is_failed(), "they overlap");
    let apart = profile("batch=5:6:8");
    assert!(!check(&[&small, &apart], Backend::TensorRt, None).is_failed());
}

#[test]
fn every_plan_is_looked_at() {
    let mut source = with_plans(PlanKind::Tensorrt, "10.3.0", &[]);
    let check = |source: &Source| said(&run(source, None, &Facts::default()), CheckName::Profiles);
    assert_eq!(check(&source), "passed: requests are joined up to 4 rows");
    let plan = |source: &mut Source, texts: [&str; 2]| {
        let engine = source.manifest.engines.get_mut("encode").unwrap();
        engine.profiles = texts.map(str::to_owned).into();
    };
    plan(&mut source, ["batch=1:2:4,seq=1:4:4", "batch=1:2:4,seq=5:8:12"]);
    assert_eq!(
        check(&source),
        "passed: requests are joined up to 4 rows; plans have up to 2 profiles"
    );
    plan(&mut source, ["batch=1:2:4,seq=1:4:4", "batch=1:2:4,seq=4:8:12"]);
    let found = run(&source, None, &Facts::default());
    assert_eq!(
        said(&found, CheckName::Profiles),
        "failed: encode: optimisation profiles 0 and 1 overlap"
    );
    assert!(said(&found, CheckName::Package).starts_with("skipped: not before `profiles`"));
}

#[test]
fn memory_is_added_up() {
    let source = source();
    let check = |users, gpu_memory, instances| {
        let options = PackageOptions { instances, ..options(None) };
        preflight(&Plan { source: &source, options, users, gpu_memory }, &Facts::default(), None)
    };
    let found = check(3, None, 2);
    // Keys and values of 1 layer, 2 heads of 4, 12 positions, 2 bytes.
    assert_eq!(found.memory.bytes_per_user, 2 * 2 * 4 * 12 * 2);
    let encode = &found.memory.models[0];
    assert_eq!((encode.model.as_str(), encode.weights), ("ads_encode", 1100));
    assert_eq!(encode.context, 4 * (12 * 8 + 2 * 2 * 4 * 12 * 2));
    let fused = 1100 + 4 * (12 * 8 + 10 * 2 * 4);
    let all = 2 * (encode.weights + encode.context + fused) + 3 * found.memory.bytes_per_user;
    assert_eq!(found.memory.total, all);
    assert!(
        said(&found, CheckName::Memory).starts_with("skipped: 10.8 kB are needed"),
        "{found:?}"
    );
    assert!(said(&check(3, Some(all), 2), CheckName::Memory).starts_with("passed"));
    assert!(said(&check(3, Some(all - 1), 2), CheckName::Memory).starts_with("failed"));
    assert_eq!(check(u64::MAX, Some(1), usize::MAX).memory.total, u64::MAX, "no overflow");
    let python = run(&source, Some(Backend::Python), &facts(r#"{"gpu_memory_bytes": 1}"#));
    assert!(said(&python, CheckName::Memory).starts_with("skipped: the backend python"));
    let plans = with_plans(PlanKind::Tensorrt, "10.3.0", &[]);
    assert_eq!(run(&plans, None, &Facts::default()).memory.models[0].weights, 500);
}

#[test]
fn files_that_are_not_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = source();
    source.dir = dir.path().to_owned();
    let package = || said(&run(&source, None, &Facts::default()), CheckName::Package);
    assert!(package().contains("encode.onnx: No such file"));
    for (name, size) in [("encode.onnx", 100), ("oneranker.onnx", 100), ("weights.data", 1000)] {
        fs::write(dir.path().join(name), vec![0; size]).unwrap();
    }
    assert_eq!(package(), "passed: 2 models for the backend onnxruntime");
    fs::write(dir.path().join("weights.data"), [0; 999]).unwrap();
    assert!(package().ends_with("weights.data has 999 bytes, not 1000"), "{}", package());
}

#[test]
fn names_are_those_of_the_json() {
    for check in run(&source(), None, &Facts::default()).checks {
        let json = serde_json::to_value(check.name).unwrap();
        assert_eq!(json, check.name.name());
    }
}

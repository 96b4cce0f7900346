//! Checks before a deployment, as people meet them.

use std::net::TcpListener;

use insta::assert_snapshot;
use onr_runtime::{
    builder::{BuiltEngine, NetworkSummary, PlanKind, PlanWeights},
    manifest::Manifest,
};
use serde_json::Value;

use crate::support::World;

const FACTS: [&str; 4] = ["preflight", "graphs", "--container-facts", "facts.json"];

/// Facts of a container of 24.10.
const GOOD: &str = r#"{
  "tritonserver_version": "2.51.0", "container_release": "24.10", "tensorrt_version": "10.5.0.18",
  "backends": ["onnxruntime", "python", "tensorrt"], "compute_capability": "8.6",
  "gpu_memory_bytes": 24000000000, "glibc": "2.35"
}"#;

/// Says of each graph that it has a plan, and puts a file there.
fn pretend_plans(world: &World, kind: PlanKind, version: &str, target: &str) {
    let dir = world.path("graphs");
    let mut manifest = Manifest::read(&dir).unwrap();
    for graph in manifest.graphs.clone() {
        let name = format!("{}.plan", graph.name);
        let record = onr_exporter::artifact::write(&dir.join(&name), b"no plan").unwrap();
        manifest.files.insert(name, record);
        let built = BuiltEngine {
            weights: PlanWeights::Fixed,
            kind,
            builder: "test".into(),
            version: version.into(),
            library: "none".into(),
            targets: vec![target.into()],
            network: NetworkSummary::default(),
            profiles: Vec::new(),
            products: Vec::new(),
            warnings: Vec::new(),
            seconds: 0.0,
        };
        manifest.engines.insert(graph.name, built);
    }
    manifest.write(&dir).unwrap();
}

/// A run that ends with `code`, and its checks by name as `status: words`.
fn checks(world: &World, code: i32, more: &[&str]) -> Vec<(String, String)> {
    let outcome = world.run(&[&FACTS[..], &["--json"], more].concat());
    assert_eq!(outcome.code, Some(code), "{}{}", outcome.out, outcome.err);
    let json: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(json["passed"], code == 0);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = |check: &Value| ["found", "why"].map(|key| text(&check[key])).concat();
    let all = json["checks"].as_array().unwrap().iter();
    all.map(|c| (text(&c["name"]), format!("{}: {}", text(&c["status"]), words(c)))).collect()
}

#[track_caller]
fn has(checks: &[(String, String)], name: &str, words: &str) {
    let said = &checks.iter().find(|(n, _)| n == name).unwrap().1;
    assert!(said.starts_with(words), "{name} {said}");
}

#[test]
fn plans_that_fit_their_container() {
    let world = World::exported();
    world.write("facts.json", GOOD);
    pretend_plans(&world, PlanKind::Tensorrt, "10.5.0", "sm86");
    let found = checks(&world, 0, &[]);
    let names = ["plan.kind", "plan.version", "plan.compute_capability", "types", "backends"];
    for name in [&names[..], &["profiles", "package", "memory"]].concat() {
        has(&found, name, "passed");
    }
    has(&found, "names", "skipped: no server was asked");
    let said = world.runs(&FACTS).out;
    assert!(said.starts_with("graphs as oneranker, for the backend tensorrt\n"), "{said}");
    assert!(
        said.contains("  plan.version            passed   TensorRT 10.5.0.18 (from the facts)")
    );
    assert!(said.contains("keys and values of a user"), "{said}");
    assert!(said.ends_with("in all     8 checks passed, 0 failed, 1 skipped\n"), "{said}");
}

#[test]
fn plans_that_do_not() {
    let world = World::exported();
    pretend_plans(&world, PlanKind::Tensorrt, "10.3.0", "sm90");
    world.write("facts.json", GOOD.replace("24000000000", "1000"));
    let found = checks(&world, 4, &["--max-batch", "33"]);
    has(&found, "plan.version", "failed: plans of 10.3.0 do not load in TensorRT 10.5.0.18");
    has(
        &found,
        "plan.compute_capability",
        "failed: plans for sm90 are not for the GPU there, sm86",
    );
    has(&found, "profiles", "failed: --max-batch 33 is outside the profile's 1..=32");
    has(&found, "memory", "failed");
    let outcome = world.run(&FACTS);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(4), ""));
    assert!(outcome.out.contains("FAILS") && outcome.out.contains("fix: `onr build-engine"));
    assert!(outcome.out.lines().all(|line| line.chars().count() <= 100), "{}", outcome.out);
    world.write("facts.json", "{}");
    let more = ["--gpu-memory", "24000000000", "--users", "1000000000"];
    has(&checks(&world, 4, &more), "memory", "failed");
    has(&checks(&world, 0, &[]), "plan.version", "skipped");
}

#[test]
fn plans_for_workstations_are_no_plans_for_triton() {
    let world = World::exported();
    world.write("facts.json", GOOD);
    pretend_plans(&world, PlanKind::TensorrtRtx, "1.7.1", "sm86");
    has(&checks(&world, 4, &[]), "plan.kind", "failed: TensorRT for RTX made the plans of");
    has(&checks(&world, 0, &["--backend", "onnxruntime"]), "plan.kind", "skipped");
    let python = checks(&world, 0, &["--backend", "python"]);
    has(&python, "memory", "skipped: the backend python runs on the CPU");
}

#[test]
fn facts_that_are_none() {
    let world = World::exported();
    world.write("facts.json", "{ \"glibc\": 2.35");
    let said = world.refuses(1, &FACTS);
    assert!(said.starts_with("error: facts.json has no facts of a container: "), "{said}");
    world.write("facts.json", r#"{"tensort_version": "10.5.0"}"#);
    let said = world.refuses(1, &FACTS);
    assert!(said.contains("unknown field `tensort_version`"), "{said}");
    assert!(said.contains("hint: `onr preflight --facts-template`"), "{said}");
    world.write("facts.json", r#"{"tensorrt_version": "10", "compute_capability": "x"}"#);
    assert_snapshot!(world.refuses(1, &FACTS), @r"
    error: facts.json has no facts of a container: `tensorrt_version` is `10`, not as `10.5.0.18`; `compute_capability` is `x`, not as `8.6`
     hint: `onr preflight --facts-template` prints the keys; leave out what you do not know
    ");
    assert_snapshot!(world.refuses(1, &["preflight", "graphs", "--container-facts", "none.json"]), @r"
    error: cannot read none.json: No such file or directory (os error 2)
     hint: docs/triton.md says how to make one
    ");
    world.write("facts.json", "{}");
    world.refuses(1, &["preflight", "old", "--container-facts", "facts.json"]);
}

#[test]
fn the_template_is_read_again() {
    let world = World::exported();
    let template = world.runs(&["preflight", "--facts-template"]).out;
    assert_snapshot!(template, @r#"
    {
      "tritonserver_version": null,
      "container_release": null,
      "tensorrt_version": null,
      "backends": null,
      "compute_capability": null,
      "gpu_memory_bytes": null,
      "glibc": null
    }
    "#);
    world.write("facts.json", template);
    has(&checks(&world, 0, &[]), "backends", "skipped");
}

#[test]
fn servers_that_are_not_there() {
    let world = World::exported();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}");
    let said = world.refuses(3, &["preflight", "graphs", "--triton", &url]);
    assert!(said.starts_with(&format!("error: can't connect to {url}")), "{said}");
    assert!(said.contains("hint: is a server running"), "{said}");
}

#[test]
fn command_lines_that_make_no_sense() {
    let world = World::exported();
    for more in [
        &[][..],
        &["--triton", "localhost:8000"],
        &["--triton", "https://localhost"],
        &["--container-facts", "f.json", "--instances", "0"],
        &["--container-facts", "f.json", "--gpu-memory", "0"],
        &["--container-facts", "f.json", "--name", "a/b"],
        &["--facts-template"],
    ] {
        world.refuses(2, &[&["preflight", "graphs"], more].concat());
    }
    world.refuses(2, &["preflight", "--container-facts", "f.json"]);
}

//! Packages for Triton, as people meet them.

use std::{
    fs::{self, File},
    path::Path,
};

use insta::assert_snapshot;
use serde_json::Value;

use crate::{
    disk::{LIMITED, READ_ONLY, TINY, may_mount},
    support::{BOTH, World, names, request},
};

const PACKAGE: [&str; 5] = ["package", "triton", "graphs", "--out", "models"];

fn package<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PACKAGE[..], more].concat()
}

fn export(world: &World, more: &[&str]) {
    world.runs(&[&["export"], &BOTH[..], more].concat());
}

#[test]
fn six_models_are_written_listed_and_verified() {
    let world = World::exported();
    let done = world.runs(&PACKAGE);
    assert_snapshot!(done.err, @"warning: the models are for the backend onnxruntime: there are no plans");
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!(lines[0], "models: version 1 of oneranker, for the backend onnxruntime");
    assert_eq!(lines.len(), 8, "{}", done.out);
    assert!(
        lines[2].starts_with("  oneranker_encode ") && lines[2].contains(" new "),
        "{}",
        lines[2]
    );
    assert!(lines[2].ends_with("model.onnx, weights.data"), "{}", lines[2]);
    assert_snapshot!(world.runs(&["verify", "models"]).out, @r"
    models: 10 files in 6 versions of 6 models, all as recorded
    newest: oneranker 1
    ");
    let again: Value = serde_json::from_str(&world.runs(&package(&["--json"])).out).unwrap();
    assert_eq!((&again["version"], &again["package"]), (&2.into(), &"oneranker".into()));
    assert_eq!(again["models"][5]["name"], "oneranker");
    assert_eq!(again["models"][5]["config"], "same");
    world.edit_bytes("models/oneranker_rank/2/model.onnx", |b| b[100] ^= 1);
    assert_snapshot!(world.refuses(1, &["verify", "models"]), @r"
    error: models does not match its records: oneranker_rank/2/model.onnx has another SHA-256
     hint: package again, or copy the repository again
    ");
}

#[test]
fn a_rollback_and_its_refusals() {
    let world = World::exported();
    let back = ["package", "triton", "--rollback", "--out", "models"];
    assert_snapshot!(world.refuses(1, &back), @"error: cannot read models: No such file or directory (os error 2)");
    world.runs(&PACKAGE);
    assert_snapshot!(world.refuses(1, &back), @r"
    error: version 1 of oneranker is its only one
     hint: remove the models' directories to take the package away
    ");
    let first = world.tree();
    world.runs(&PACKAGE);
    let done = world.runs(&back).out;
    assert!(done.starts_with("models: version 2 of oneranker is gone\n"), "{done}");
    assert_eq!(world.tree(), first);
    assert_snapshot!(world.refuses(1, &[&back[..], &["--name", "other"]].concat()), @r"
    error: models has no package other
     hint: `--name` says which; `onr verify` of the repository lists them
    ");
    assert!(world.refuses(2, &[&back[..], &["graphs"]].concat()).contains("--rollback"));
    assert!(world.refuses(2, &["package", "triton", "--out", "models"]).contains("DIR"));
}

#[test]
fn directories_that_triton_could_not_use() {
    let world = World::exported();
    let refused = |dir: &str, more: &[&str]| {
        world.refuses(1, &[&["package", "triton", dir, "--out", "models"], more].concat())
    };
    assert_snapshot!(refused("none", &[]), @r"
    error: cannot read none/onr.json: No such file or directory (os error 2)
     hint: a directory of `onr export` or `onr build-engine` has one
    ");
    assert!(refused("old", &[]).contains("old/onr.json is not a manifest of format 1"));
    assert_snapshot!(refused("graphs", &["--backend", "tensorrt"]), @r"
    error: graphs has no plan of encode, append, generate, rank, oneranker
     hint: `onr build-engine --builder trtexec=PATH` compiles them in the container of the deployment; `--backend onnxruntime` needs none
    ");
    export(&world, &["--with-filter", "global", "--out", "global"]);
    assert_snapshot!(refused("global", &[]), @r"
    error: `allowed_items` of graph oneranker is [30] and has no batch axis
     hint: export with `--with-filter user`, or leave the graph out (`--graphs`)
    ");
    export(&world, &["--precision", "bf16", "--out", "bf16"]);
    assert!(refused("bf16", &["--backend", "python"]).contains("`--io-precision fp32`"));
    world.runs(&["calibrate", "graphs", "--out", "c.json"]);
    export(&world, &["--kv", "fp8", "--calibration", "c.json", "--out", "fp8"]);
    assert_snapshot!(refused("fp8", &[]), @r"
    error: `present.0.key` of graph encode is f8e4m3, which Triton does not have
     hint: export with `--kv int8`, or without `--kv`
    ");
    world.edit_bytes("graphs/rank.onnx", |b| b[100] ^= 1);
    assert_snapshot!(refused("graphs", &[]), @r"
    error: graphs does not match its manifest: rank.onnx has another SHA-256
     hint: export again, or copy the directory again
    ");
}

#[test]
fn plans_of_workstations_are_refused_or_left_aside() {
    let world = World::new();
    let build = ["--graphs", "rank", "--target", "sm86", "--out", "engine"];
    world.runs(&[&["build-engine"], &BOTH[..], &build].concat());
    let asked = ["package", "triton", "engine", "--out", "models"];
    let tensorrt = [&asked[..], &["--backend", "tensorrt"]].concat();
    assert_snapshot!(world.refuses(1, &tensorrt), @r"
    error: engine has plans of TensorRT for RTX, which Triton cannot load
     hint: build with `--builder trtexec=PATH` in the container of the deployment, or choose `--backend onnxruntime` or `--backend python`
    ");
    let done = world.runs(&asked);
    assert!(done.err.contains("not every plan here is one that Triton loads"), "{}", done.err);
    assert_eq!(names(&world.path("models")), ["oneranker_rank"], "no ensemble of one graph");
}

#[test]
fn repositories_that_have_something_else() {
    let world = World::exported();
    fs::create_dir_all(world.path("models/oneranker_rank/1")).unwrap();
    world.write("models/oneranker_rank/config.pbtxt", "name: \"oneranker_rank\"");
    assert_snapshot!(world.refuses(1, &PACKAGE), @r"
    error: models/oneranker_rank is not a model that `onr package` wrote: its newest version has no onr-package.json
     hint: choose another `--name` or another `--out`
    ");
    world.runs(&package(&["--name", "ads"]));
    export(&world, &["--top-k", "3", "--out", "fewer"]);
    let fewer = ["package", "triton", "fewer", "--out", "models", "--name", "ads"];
    assert_snapshot!(world.refuses(1, &fewer), @r"
    error: model ads_fused would change under its clients:
      output `candidate_ids` was TYPE_INT64 [58], would be TYPE_INT64 [6]
      output `generator_logits` was TYPE_FP32 [58, 2], would be TYPE_FP32 [6, 2]
      output `scores` was TYPE_FP32 [58, 2], would be TYPE_FP32 [6, 2]
     hint: choose another `--name`: the old models stay for the old clients
    ");
    assert_snapshot!(world.refuses(1, &[&PACKAGE[..4], &["m.toml"]].concat()), @r"
    error: cannot write m.toml: not a directory
     hint: a file is where a directory is needed: choose another --out
    ");
}

#[test]
fn options_out_of_range() {
    let world = World::exported();
    assert_snapshot!(world.refuses(2, &package(&["--max-batch", "33"])), @r"
    error: --max-batch 33 is outside the profile's 1..=32
     hint: `--profile` of the export sets the largest batch
    ");
    assert!(world.refuses(2, &package(&["--cuda-graphs"])).contains("for the backend tensorrt"));
    assert!(world.refuses(2, &package(&["--name", "a/b"])).contains("is not a name for models"));
    assert!(world.refuses(2, &package(&["graphs"])).contains("several directories"));
}

#[test]
fn warm_ups_are_made_of_requests() {
    let world = World::exported();
    world.write("r.jsonl", request(serde_json::json!({})));
    world.runs(&package(&["--requests", "r.jsonl", "--backend", "python"]));
    let files = names(&world.path("models/oneranker_fused/warmup"));
    assert!(files.iter().any(|name| name.starts_with("item_ids-")), "{files:?}");
    let config = fs::read_to_string(world.path("models/oneranker_rank/config.pbtxt")).unwrap();
    for part in ["KIND_CPU", "zero_data: true", "input_data_file: \"candidate_ids-"] {
        assert!(config.contains(part), "{part}");
    }
    assert!(world.path("models/oneranker_encode/1/model.py").exists());
    world.write("bad.jsonl", request(serde_json::json!({"items": [1, 2]})));
    world.refuses(1, &package(&["--requests", "bad.jsonl"]));
}

#[test]
fn disks_that_are_full_or_closed() {
    let world = World::exported();
    let mut limited = world.in_shell(&["sh", "-c", LIMITED, "4"]);
    let said = world.refuses_as(1, limited.args(PACKAGE));
    assert!(said.contains("File too large") && said.contains("hint: raise the limit"), "{said}");
    if !may_mount() {
        return;
    }
    let into_old = ["package", "triton", "graphs", "--out", "old"];
    let mut tiny = world.in_shell(&["unshare", "-rm", "sh", "-c", TINY, "sh"]);
    let outcome = world.outcome(tiny.args(into_old).output().unwrap());
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(outcome.err.contains("No space left on device"), "{}", outcome.err);
    let listed = |name| fs::read_to_string(world.path(name)).unwrap();
    assert_eq!((listed("before"), listed("after")), ("keep.txt\n".into(), "keep.txt\n".into()));
    let mut closed = world.in_shell(&["unshare", "-rm", "sh", "-c", READ_ONLY, "sh"]);
    assert_snapshot!(world.refuses_as(1, closed.args(into_old)), @r"
    error: cannot write old: Read-only file system (os error 30)
     hint: choose an --out that you may write to
    ");
}

/// A run that copies for a while; what it copies is not what the manifest says.
fn slow(world: &World) -> crate::support::Running {
    let weights = File::options().write(true).open(world.path("graphs/weights.data")).unwrap();
    weights.set_len(16 << 30).unwrap();
    let mut run = world.start(&PACKAGE);
    let staged = |dir: &Path| names(dir).iter().any(|name| name.starts_with(".onr-staging-"));
    run.until("staging", || staged(&world.path("models")));
    run
}

#[test]
fn ctrl_c_leaves_the_repository_as_it_was() {
    let world = World::exported();
    world.runs(&PACKAGE);
    let before = world.tree();
    let run = slow(&world);
    run.signal("INT");
    let (outcome, _) = run.end(&world);
    assert_eq!(outcome.code, Some(130), "{}", outcome.err);
    let models = |tree: std::collections::BTreeMap<std::path::PathBuf, _>| {
        let inside = tree.into_iter().filter(|(path, _)| path.starts_with(world.path("models")));
        inside.collect::<Vec<_>>()
    };
    assert_eq!(models(world.tree()), models(before));
}

#[test]
fn a_second_writer_learns_who_the_first_is() {
    let world = World::exported();
    let first = slow(&world);
    first.signal("STOP");
    export(&world, &["--out", "more"]);
    let second = world.run(&["package", "triton", "more", "--out", "models"]);
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains(&format!("is being written by process {}", first.pid())),
        "{}",
        second.err
    );
    first.signal("KILL");
    first.end(&world);
    world.runs(&["package", "triton", "more", "--out", "models"]);
    assert!(names(&world.path("models")).iter().all(|name| name.starts_with("oneranker")));
}

//! Profiles and buckets: planned from requests, compiled, packaged.

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    support::{BOTH, World, request},
    trtexec::standin,
};

/// Histories and candidates of eight requests.
const SIZES: [(usize, usize); 8] =
    [(0, 3), (1, 3), (2, 4), (2, 4), (3, 4), (4, 9), (11, 20), (12, 20)];

const PLAN: [&str; 9] = [
    "plan-profiles",
    "--requests",
    "r.jsonl",
    "--model",
    "m.toml",
    "--multiple",
    "4",
    "--max-candidates",
    "24",
];

fn with_requests(world: &World, sizes: &[(usize, usize)]) {
    let one = |(items, candidates): &(usize, usize)| {
        request(json!({
            "items": vec![1; *items],
            "actions": vec![1; *items],
            "timestamps": (0..*items).collect::<Vec<_>>(),
            "candidates": (1..=*candidates).collect::<Vec<_>>(),
        }))
    };
    world.write("r.jsonl", sizes.iter().map(one).collect::<String>());
}

/// A world with `p.toml`.
fn planned() -> World {
    let world = World::new();
    with_requests(&world, &SIZES);
    world.runs(&[&PLAN[..], &["--out", "p.toml"]].concat());
    world
}

fn build<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let profiles = ["--graphs", "encode,generate,rank", "--profiles", "p.toml"];
    [&["build-engine"], &BOTH[..], &profiles, &["--out", out], more].concat()
}

fn manifest(world: &World, dir: &str) -> Value {
    let text = fs::read(world.path(dir).join("onr.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn buckets_profiles_and_what_padding_costs() {
    let world = World::new();
    with_requests(&world, &SIZES);
    let done = world.runs(&[&PLAN[..], &["--buckets", "3", "--out", "new/p.toml"]].concat());
    assert_snapshot!(done.out, @r"
    8 requests

    seq: buckets 2, profiles 2
      bucket  requests  profile
      4              6    1:4:4
      12             2  5:12:12

    candidates: buckets 3, profiles 2
      bucket  requests  profile
      4              5    1:4:4
      12             1  5:24:24
      24             2  5:24:24

      padding        of  planned  all at the largest size
      encode          T   27.1 %                   63.5 %
      candidates      C   16.2 %                   65.1 %
      rank        S x C   25.1 %                   77.1 %

    new/p.toml
    ");
    assert_eq!(done.err, "");
    assert_snapshot!(fs::read_to_string(world.path("new/p.toml")).unwrap(), @r#"
    # Buckets: sizes that requests are padded to. Profiles: min:opt:max of the sizes that kernels are chosen for, without
    # gaps from 1 on. Both end at the largest size. `kv` is as `seq` unless it is named.

    [candidates]
    buckets = [4, 12, 24]
    profiles = ["1:4:4", "5:24:24"]

    [seq]
    buckets = [4, 12]
    profiles = ["1:4:4", "5:12:12"]
    "#);
    let json = world.runs(&[&PLAN[..], &["--json"]].concat()).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["axes"]["seq"]["buckets"][0]["requests"], 6);
    assert_eq!(json["padding"][2]["graph"], "rank");
}

#[test]
fn requests_without_candidates_plan_histories_only() {
    let world = World::new();
    with_requests(&world, &[(13, 0), (2, 0)]);
    let done = world.runs(&[&PLAN[..], &["--out", "p.toml"]].concat());
    assert_snapshot!(done.err, @r"
    warning: histories longer than max_seq_len, cut to their latest behaviours: 1
    warning: no request has candidates: they keep one profile
    ");
    assert!(!fs::read_to_string(world.path("p.toml")).unwrap().contains("candidates]"));
}

#[test]
fn requests_that_cannot_be_planned() {
    let world = World::new();
    with_requests(&world, &SIZES);
    let refused = |code, more: &[&str]| world.refuses(code, &[&PLAN[..7], more].concat());
    assert_snapshot!(refused(1, &["--max-candidates", "19"]), @r"
    error: a request has 20 candidates, more than --max-candidates 19
     hint: --max-candidates 20 takes all of this file
    ");
    for flag in ["--buckets", "--profiles", "--max-candidates"] {
        assert!(refused(2, &[flag, "0"]).contains("invalid value '0'"), "{flag}");
    }
    world.write("r.jsonl", "");
    assert!(refused(1, &[]).contains("r.jsonl has no requests"));
    world.write("r.jsonl", "{");
    assert!(refused(1, &[]).contains("r.jsonl line 1"));
    with_requests(&world, &SIZES);
    assert!(refused(1, &["--out", "m.toml/p.toml"]).contains("m.toml"));
}

/// A plan of TensorRT for RTX names its profiles in its text.
#[test]
fn plans_have_the_combinations_of_their_axes() {
    let world = planned();
    let done = world.runs(&build("engine", &["--target", "sm86", "--profile", "batch=1:2:4"]));
    assert!(done.out.contains("layers  profiles"), "{}", done.out);
    let found = manifest(&world, "engine");
    assert_eq!(found["profile"]["batch"], "1:2:4");
    assert_eq!(found["axes"]["kv"], found["axes"]["seq"], "keys and values follow histories");
    for (graph, count) in [("encode", 2), ("generate", 2), ("rank", 4)] {
        let profiles = found["engines"][graph]["profiles"].as_array().unwrap();
        assert_eq!(profiles.len(), count, "{graph}");
        let plan = fs::read(world.path("engine").join(format!("{graph}.plan"))).unwrap();
        let has = |number: usize| {
            let mark = format!("[profile {number}]");
            plan.windows(mark.len()).any(|bytes| bytes == mark.as_bytes())
        };
        assert!(has(count - 1) && !has(count), "{graph}");
    }
    let last = &found["engines"]["rank"]["profiles"][3];
    assert_eq!(last, "batch=1:2:4,candidates=5:20:24,kv=5:12:12");
    world.runs(&["verify", "engine"]);
    let inspected = world.runs(&["inspect", "engine"]).out;
    assert!(inspected.contains("profiles   seq: 1:4:4, 5:12:12; buckets 4, 12"), "{inspected}");
    world.runs(&["parity", "engine", "--limit", "4"]);
}

#[test]
fn the_tool_compiles_runs_and_packages_them() {
    let world = planned();
    // Parity pads candidates to multiples of 64.
    let most = ["--max-candidates", "64", "--out", "p.toml"];
    world.runs(&[&PLAN[..7], &most].concat());
    let tool = standin(&world, "10.late", "");
    world.runs(&build("engine", &["--builder", &tool]));
    world.runs(&["parity", "engine", "--candidate", &tool, "--no-relations", "--limit", "8"]);
    let package = ["package", "triton", "engine", "--cuda-graphs", "--requests", "r.jsonl"];
    world.runs(&[&package[..], &["--out", "models"]].concat());
    let config = fs::read_to_string(world.path("models/oneranker_rank/config.pbtxt")).unwrap();
    assert!(config.contains(r#"profile: [ "0", "1", "2", "3" ]"#), "{config}");
    // Two buckets of keys and values, four of candidates, the best and the largest batch.
    assert_eq!(config.matches("graph_spec").count(), 2 * 4 * 2, "{config}");
    assert!(config.contains("profile 3, best batch"), "{config}");
    world.write("facts.json", "{}");
    let checked = world.runs(&["preflight", "engine", "--container-facts", "facts.json"]).out;
    assert!(checked.contains("plans have up to 4 profiles"), "{checked}");

    let old = standin(&world, "8.6", "");
    let told = world.refuses(1, &build("old", &["--builder", &old, "--ids", "int32"]));
    assert_snapshot!(told, @r"
    error: trtexec of TensorRT 8.6.1 cannot compile graph encode: it builds one profile, not 2
     hint: leave --profiles out, or take the trtexec of TensorRT 9 or later
    ");
}

#[test]
fn files_that_are_no_profiles() {
    let world = planned();
    let original = fs::read_to_string(world.path("p.toml")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(original.contains(from), "{original}");
        world.write("p.toml", original.replace(from, to));
        world.refuses(1, &build("old", &[]))
    };
    assert_snapshot!(refused("5:12:12", "4:12:12"), @r"
    error: p.toml: seq.profiles[1] = 4:12:12 overlaps or precedes the one before it, 1:4:4
     hint: profiles follow each other from 1 on without gaps, buckets ascend, and both end at the largest size
    ");
    assert_snapshot!(refused("5:12:12", "7:12:12"), @r"
    error: p.toml: seq.profiles[1] = 7:12:12 leaves a gap before it: sizes 5 to 6 have no profile
     hint: profiles follow each other from 1 on without gaps, buckets ascend, and both end at the largest size
    ");
    let sorted = refused("buckets = [4, 12]", "buckets = [12, 4]");
    assert!(sorted.contains("p.toml: seq.buckets[1] = 4 is not above 12"), "{sorted}");
    world.write("p.toml", "[seq]\nbuckets = [13]\nprofiles = [\"1:13:13\"]\n");
    let beyond = world.refuses(1, &build("old", &[]));
    assert!(
        beyond.contains("p.toml: seq.profiles ends at 13, beyond max_seq_len = 12"),
        "{beyond}"
    );
    assert_snapshot!(refused("[seq]", "[batch]"), @r"
    error: p.toml: `batch` is none of seq, new, kv, candidates
     hint: profiles follow each other from 1 on without gaps, buckets ascend, and both end at the largest size
    ");
    let key = refused("buckets = [4, 12]", "bucket = [4, 12]");
    assert!(key.contains("unknown field `bucket`") && key.contains("[seq], buckets ="), "{key}");
    world.write("p.toml", &original);
    assert_snapshot!(world.refuses(2, &build("old", &["--profile", "seq=1:2:3"])), @r"
    error: --profile names `seq`, which p.toml has too
     hint: leave one of them out
    ");
    world.write("p.toml", [0xff, 0xfe]);
    assert!(world.refuses(1, &build("old", &[])).contains("cannot read p.toml"));
    fs::remove_file(world.path("p.toml")).unwrap();
    assert_snapshot!(world.refuses(1, &build("old", &[])), @r"
    error: cannot read p.toml: No such file or directory (os error 2)
     hint: `onr plan-profiles --out FILE` writes one
    ");
    let onnx = ["build-engine", "--onnx", "x.onnx", "--profiles", "p.toml", "--out", "old"];
    assert!(world.refuses(2, &onnx).contains("cannot be used with"));
}

//! Several directories and backends at once, excuses, recordings, and what others read of the outcome.

use std::fs;

use quick_junit::Report;
use serde_json::Value;

use crate::support::{BOTH, World, python};

/// Graphs in FP32 and FP16.
fn both() -> World {
    let world = World::exported();
    let narrow = ["--precision", "fp16", "--out", "half"];
    world.runs(&[&["export"], &BOTH[..], &narrow].concat());
    world
}

/// A weight that decides something, changed in its sign.
fn spoil(world: &World) {
    world.edit_bytes("graphs/weights.data", |b| {
        b[64..2000].iter_mut().skip(3).step_by(4).for_each(|b| *b ^= 0x80);
    });
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_matrix_of_directories_and_backends() {
    let world = both();
    let files = ["--junit", "out/p.xml", "--metrics", "out/p.prom"];
    let all = ["parity", "graphs", "half", "--candidate", "ort,tract"];
    let done = json(&world.runs(&[&all[..], &files, &["--json"]].concat()).out);
    let runs = done["reports"].as_array().unwrap();
    let names: Vec<_> = runs
        .iter()
        .map(|r| ["dir", "backend", "precision"].map(|key| r[key].as_str().unwrap()).join(" "))
        .collect();
    assert_eq!(names, ["graphs ort fp32", "graphs tract fp32", "half ort fp16", "half tract fp16"]);
    let total: usize = runs.iter().map(|r| r["checks"].as_array().unwrap().len()).sum();
    let counts = &done["counts"];
    let counted = ["passed", "failed", "excused", "skipped"].map(|k| counts[k].as_u64().unwrap());
    assert_eq!(counted.iter().sum::<u64>() as usize, total);
    assert_eq!((counted[1], counted[2]), (0, 0));
    assert!(runs[0]["order"]["kendall"].as_f64().unwrap() > 0.999);
    assert!(runs[2]["outputs"][0]["sqnr_db"].as_f64().unwrap() > 30.0);
    assert!(runs[2]["outputs"][0]["max_ulp"].as_u64().unwrap() > 0);
    let worst = &runs[2]["worst"];
    let index = worst["index"].as_u64().unwrap();
    assert_eq!(worst["request"]["user"].as_str().unwrap(), format!("user-{index}"));

    let xml = Report::deserialize_from_str(&fs::read_to_string(world.path("out/p.xml")).unwrap());
    let xml = xml.unwrap();
    assert_eq!((xml.test_suites.len(), xml.tests, xml.failures), (4, total, 0));
    assert_eq!(xml.test_suites[2].name.as_str(), "half ort fp16 from-checkpoint");

    let metrics = fs::read_to_string(world.path("out/p.prom")).unwrap();
    let passed = r#"onr_parity_passed{dir="half",backend="tract",precision="fp16",against="from-checkpoint"} 1.0"#;
    assert!(metrics.contains(passed), "{metrics}");
    let again = world.runs(&[&all[..], &["--metrics", "out/q.prom"]].concat());
    assert!(again.out.contains("in all     holds: "), "{}", again.out);
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(world.path(name)).unwrap();
        text.lines().filter(|l| !l.contains("seconds")).map(str::to_owned).collect()
    };
    assert_eq!(lines("out/p.prom"), lines("out/q.prom"), "the same figures in the same order");
}

#[test]
fn a_backend_that_is_not_here_is_skipped_and_counted() {
    let world = World::exported();
    let mut command = world.onr();
    command.args(["parity", "graphs", "--candidate", "ort,tract", "--json"]);
    let missing = command.env("ONR_ONNXRUNTIME", "/nowhere");
    let done = world.outcome(missing.output().unwrap());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let done = json(&done.out);
    assert_eq!(done["skipped"][0]["backend"], "ort");
    assert!(done["skipped"][0]["what"].as_str().unwrap().contains("/nowhere"), "{done}");
    assert_eq!(done["reports"].as_array().unwrap().len(), 1);

    let mut command = world.onr();
    command.args(["parity", "graphs", "--candidate", "tract", "--require", "ort"]);
    command.args(["--junit", "p.xml"]);
    let done = world.outcome(command.env("ONR_ONNXRUNTIME", "/nowhere").output().unwrap());
    assert_eq!(done.code, Some(3), "{}", done.err);
    assert!(done.out.contains("ort: FAILS, "), "{}", done.out);
    let xml = Report::deserialize_from_str(&fs::read_to_string(world.path("p.xml")).unwrap());
    assert_eq!(xml.unwrap().failures, 1);
}

#[test]
fn excuses_pass_what_is_known_and_fail_when_they_are_not_needed() {
    let world = World::exported();
    spoil(&world);
    let run = |more: &[&str]| world.run(&[&["parity", "graphs", "--no-verify"], more].concat());
    assert_eq!(run(&[]).code, Some(4));
    let known = ["encode.*", "append.*", "generate.*", "rank.*", "oneranker.*", "order", "weights"];
    let excuse = |check: &&str| format!("[[excuse]]\ncheck = \"{check}\"\nreason = \"a test\"\n");
    world.write("known.toml", known.iter().map(excuse).collect::<String>());
    let done = run(&["--excuses", "known.toml"]);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert!(done.out.contains("  excused, a test: rank.scores: "), "{}", done.out);

    world.write("more.toml", excuse(&"relation.padding"));
    let done = run(&["--excuses", "more.toml"]);
    assert_eq!(done.code, Some(4));
    let done = json(&run(&["--excuses", "more.toml", "--json"]).out);
    let checks = done["reports"][0]["checks"].as_array().unwrap();
    let needless = checks.iter().find(|check| check["name"] == "excuses").unwrap();
    let why = "`relation.padding` holds: the excuse is no longer needed";
    assert_eq!(needless["why"], why);

    let other = "[[excuse]]\ncheck = \"order\"\ncandidate = \"tract\"\nreason = \"elsewhere\"\n";
    world.write("other.toml", other);
    let done = json(&run(&["--excuses", "other.toml", "--json"]).out);
    let checks = done["reports"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["name"] != "excuses"), "not for this backend");

    for (text, said) in [
        ("[[excuse]]\ncheck = \"order\"\nreason = \" \"\n", "has no reason"),
        ("[[excuse]]\ncheck = \"order\"\n", "missing field `reason`"),
        ("[excuses]\n", "unknown field `excuses`"),
    ] {
        world.write("bad.toml", text);
        let args = ["parity", "graphs", "--no-verify", "--excuses", "bad.toml"];
        let error = world.refuses(1, &args);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_recording_judges_without_the_checkpoint() {
    let world = both();
    world.runs(&["parity", "record", "half", "--limit", "20", "--out", "golden.safetensors"]);
    let bytes = fs::read(world.path("golden.safetensors")).unwrap();
    world.runs(&["parity", "record", "half", "--limit", "20", "--out", "again.safetensors"]);
    assert_eq!(bytes, fs::read(world.path("again.safetensors")).unwrap(), "the same bytes");

    fs::rename(world.path("w.safetensors"), world.path("away.safetensors")).unwrap();
    let judged = ["parity", "half", "--golden", "golden.safetensors", "--json"];
    let done = json(&world.runs(&judged).out);
    let report = &done["reports"][0];
    assert_eq!((&report["strength"], &report["requests"]), (&"golden".into(), &20.into()));
    let ratio = report["outputs"][0]["error_ratio"].as_f64().unwrap();
    assert!(ratio > 0.5 && ratio < 2.0, "the yardstick of FP16 is in the file: {ratio}");
    // Not its precision: no yardstick, a fixed tolerance.
    let wide =
        json(&world.runs(&["parity", "graphs", "--golden", "golden.safetensors", "--json"]).out);
    assert_eq!(wide["reports"][0]["outputs"][0]["error_ratio"], Value::Null);

    let golden = ["parity", "graphs", "--golden", "golden.safetensors"];
    world.edit_bytes("golden.safetensors", |b| *b.last_mut().unwrap() ^= 1);
    let error = world.refuses(1, &golden);
    assert!(error.contains("not those that were recorded"), "{error}");
    world.write("golden.safetensors", &bytes);
    world.edit_bytes("golden.safetensors", |b| {
        let text = br#"\"format\":1"#;
        let at = b.windows(text.len()).position(|w| w == text).unwrap();
        b[at + text.len() - 1] = b'7';
    });
    let error = world.refuses(1, &golden);
    assert!(error.contains("format 7, this version reads 1"), "{error}");
}

#[test]
fn a_recording_of_another_checkpoint_is_refused() {
    let world = World::exported();
    world.runs(&["parity", "record", "graphs", "--limit", "4", "--out", "golden.safetensors"]);
    let other = ["init", "--model", "m.toml", "--seed", "9", "--out", "other.safetensors"];
    world.runs(&other);
    let export = ["export", "--model", "m.toml", "--weights", "other.safetensors"];
    world.runs(&[&export[..], &["--out", "others"]].concat());
    let error = world.refuses(1, &["parity", "others", "--golden", "golden.safetensors"]);
    assert!(error.contains("recorded of another checkpoint"), "{error}");
    world.edit("m.toml", "n_items = 30", "n_items = 31");
    world.runs(&["init", "--model", "m.toml", "--out", "third.safetensors"]);
    let export = ["export", "--model", "m.toml", "--weights", "third.safetensors"];
    world.runs(&[&export[..], &["--out", "third"]].concat());
    let error = world.refuses(1, &["parity", "third", "--golden", "golden.safetensors"]);
    assert!(error.contains("recorded of another model"), "{error}");
}

#[test]
fn a_node_that_is_a_little_off_shows_in_sixteen_bits() {
    let world = both();
    let done = json(&world.runs(&["parity", "half", "--json"]).out);
    let names = |done: &Value, status: &str| -> Vec<String> {
        let checks = done["reports"][0]["checks"].as_array().unwrap().iter();
        checks
            .filter(|check| check["status"] == status)
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let graphs = names(&done, "passed").iter().filter(|n| n.starts_with("graph.")).count();
    assert_eq!(graphs, 5);
    // Less than rounding costs: nothing but the comparison with the graph built anew sees it.
    python(
        &world,
        "import onnx\n\
         from onnx import helper, numpy_helper\n\
         import numpy as np\n\
         model = onnx.load('half/encode.onnx', load_external_data=False)\n\
         at, node = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == 'LayerNormalization')\n\
         out, node.output[0] = node.output[0], 'inner'\n\
         model.graph.initializer.append(numpy_helper.from_array(np.float32(1.003), 'factor'))\n\
         model.graph.node.insert(at + 1, helper.make_node('Mul', ['inner', 'factor'], [out], 'off'))\n\
         open('half/encode.onnx', 'wb').write(model.SerializeToString())",
    );
    let outcome = world.run(&["parity", "half", "--no-verify", "--json"]);
    assert_eq!(outcome.code, Some(4), "{}{}", outcome.out, outcome.err);
    assert!(names(&json(&outcome.out), "failed").contains(&"graph.encode".to_owned()));
}

#[test]
fn a_recording_knows_what_the_fused_graph_retrieves() {
    let world = World::new();
    world.runs(&[&["export"], &BOTH[..], &["--top-k", "5", "--out", "graphs"]].concat());
    world.runs(&["parity", "record", "graphs", "--limit", "20", "--out", "golden.safetensors"]);
    // The least likely items first.
    python(
        &world,
        "import onnx\n\
         model = onnx.load('graphs/oneranker.onnx', load_external_data=False)\n\
         top = next(n for n in model.graph.node if n.op_type == 'TopK')\n\
         next(a for a in top.attribute if a.name == 'largest').i = 0\n\
         open('graphs/oneranker.onnx', 'wb').write(model.SerializeToString())",
    );
    fs::rename(world.path("w.safetensors"), world.path("away.safetensors")).unwrap();
    let judged = ["parity", "graphs", "--no-verify", "--golden", "golden.safetensors", "--json"];
    let outcome = world.run(&judged);
    assert_eq!(outcome.code, Some(4), "{}{}", outcome.out, outcome.err);
    let done = json(&outcome.out);
    let failed: Vec<&str> = done["reports"][0]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] == "failed")
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    // Its stages give the same scores to what it chose: the choice alone is wrong.
    assert_eq!(failed, ["oneranker.retrieved logits"], "{failed:?}");
}

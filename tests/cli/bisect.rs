//! Any two ONNX models compared, and the node that is to blame.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{World, python};

/// Copies of `encode.onnx` with a fault each, and what is only another interface.
const FAULTS: &str = "
import numpy as np, onnx
from onnx import helper, numpy_helper
def copy(name, change):
    model = onnx.load('graphs/encode.onnx')
    change({n.name: n for n in model.graph.node}, {t.name: t for t in model.graph.initializer}, model.graph)
    onnx.save(model, name)
def weight(nodes, tensors, graph):
    t = tensors['layers.0.out.weight']
    a = numpy_helper.to_array(t).copy()
    a.flat[[1, 20, 33]] *= 1.3
    t.CopyFrom(numpy_helper.from_array(a, t.name))
def operator(nodes, tensors, graph):
    nodes['encode.layers.0/Sigmoid_1'].op_type = 'Tanh'
def swapped(nodes, tensors, graph):
    n = nodes['encode/Sub']
    n.input[0], n.input[1] = n.input[1], n.input[0]
def nan(nodes, tensors, graph):
    t = tensors['layers.1.norm.bias']
    a = numpy_helper.to_array(t).copy()
    a[2] = np.nan
    t.CopyFrom(numpy_helper.from_array(a, t.name))
def outputs(nodes, tensors, graph):
    for n in graph.node:
        n.output[:] = ['other' if o == 'present.0.key' else o for o in n.output]
    graph.output[0].name = 'other'
def shape(nodes, tensors, graph):
    graph.node.append(helper.make_node('Transpose', ['present.1.value'], ['turned'], perm=[0, 1, 3, 2]))
    graph.node[-2].output[0] = 'inner'
    graph.node[-1].input[0] = 'inner'
    graph.node[-1].output[0] = 'present.1.value'
    del graph.output[3].type.tensor_type.shape.dim[:]
    graph.output[3].type.tensor_type.ClearField('shape')
for f in (weight, operator, swapped, nan, outputs, shape):
    copy(f.__name__ + '.onnx', f)
";

fn world() -> World {
    let world = World::exported();
    python(&world, FAULTS);
    world
}

/// The report of a run that ends with `code`.
fn json(world: &World, code: i32, args: &[&str]) -> Value {
    let outcome = world.run(&[args, &["--json"]].concat());
    assert_eq!(outcome.code, Some(code), "{args:?}\n{}{}", outcome.out, outcome.err);
    serde_json::from_str(&outcome.out).unwrap()
}

const AGAINST: [&str; 3] = ["--against", "graphs/encode.onnx", "--random"];

#[test]
fn each_fault_is_named_on_either_reference() {
    let world = world();
    for reference in ["ort", "tract"] {
        for (file, node, words) in [
            (
                "weight.onnx",
                "encode.layers.0.out/MatMul",
                "weight layers.0.out.weight differs in 3 of 64 numbers",
            ),
            (
                "operator.onnx",
                "encode.layers.0/Sigmoid_1",
                "operator of `encode.layers.0/Sigmoid_1`: Tanh / Sigmoid",
            ),
            (
                "swapped.onnx",
                "encode/Sub",
                "Sub `encode/Sub`: inputs encode/Unsqueeze, encode/Unsqueeze_1 / encode/Unsqueeze_1, encode/Unsqueeze",
            ),
        ] {
            let args = [&["bisect", "--onnx", file], &AGAINST[..], &["--reference", reference]];
            let report = json(&world, 4, &args.concat());
            let fault = &report["graphs"][0]["fault"];
            assert_eq!(fault["node"]["name"], node, "{reference}: {fault:#}");
            assert_eq!(fault["cause"]["kind"], "own");
            assert_eq!(fault["differences"], serde_json::json!([words]));
        }
    }
}

#[test]
fn nothing_is_found_in_equal_files() {
    let world = world();
    for graph in ["encode", "append", "generate", "rank", "oneranker"] {
        let file = format!("graphs/{graph}.onnx");
        let args = ["bisect", "--onnx", &file, "--random", "--out", graph];
        let report = json(&world, 0, &args);
        assert_eq!(report["found"], false);
        assert!(world.path(graph).join("bisect.json").is_file());
        assert!(!world.path(graph).join("node.onnx").exists());
    }
}

#[test]
fn what_is_saved_shows_it_again() {
    let world = world();
    let args = [&["bisect", "--onnx", "operator.onnx"], &AGAINST[..], &["--out", "found"]];
    let outcome = world.run(&args.concat());
    assert_eq!(outcome.code, Some(4), "{}", outcome.err);
    let again = "see again  onr parity --onnx found/node.onnx --against found/against.onnx --data found/inputs.npz";
    assert!(outcome.out.trim_end().ends_with(again), "{}", outcome.out);
    let words = ["--onnx", "found/node.onnx", "--against", "found/against.onnx"];
    let words = [&words[..], &["--data", "found/inputs.npz"]].concat();
    let parity = json(&world, 4, &[&["parity"], &words[..]].concat());
    assert_eq!(parity["passed"], false);
    let report = json(&world, 4, &[&["bisect"], &words[..]].concat());
    assert_eq!(report["graphs"][0]["fault"]["node"]["name"], "encode.layers.0/Sigmoid_1");
    // The node alone is right on both engines: nothing is wrong with those.
    world.runs(&["parity", "--onnx", "found/node.onnx", "--data", "found/inputs.npz"]);
    python(
        &world,
        "import numpy as np, onnx\n\
         onnx.checker.check_model('found/node.onnx', full_check=True)\n\
         arrays = np.load('found/inputs.npz')\n\
         assert arrays.files == ['encode.layers.0/Add_1'] and arrays[arrays.files[0]].shape[0] == 1",
    );
}

#[test]
fn a_directory_is_searched_graph_by_graph() {
    let world = world();
    let report = json(&world, 0, &["bisect", "graphs"]);
    assert_eq!(report["graphs"].as_array().unwrap().len(), 5);
    // A fault in the third graph of the chain.
    python(
        &world,
        "import onnx\n\
         model = onnx.load('graphs/generate.onnx', load_external_data=False)\n\
         node = [n for n in model.graph.node if n.op_type == 'Sigmoid'][1]\n\
         node.op_type = 'Tanh'\n\
         open('name', 'w').write(node.name)\n\
         open('graphs/generate.onnx', 'wb').write(model.SerializeToString())",
    );
    let report = json(&world, 4, &["bisect", "graphs", "--out", "found"]);
    let graphs = report["graphs"].as_array().unwrap();
    let names: Vec<_> = graphs.iter().map(|g| g["graph"].as_str().unwrap()).collect();
    assert_eq!(names, ["encode", "append", "generate"]);
    let node = fs::read_to_string(world.path("name")).unwrap();
    assert_eq!(graphs[2]["fault"]["node"]["name"], node);
    assert!(world.path("found/node.onnx").is_file());
}

#[test]
fn fewer_bits_are_no_fault() {
    let world = world();
    for precision in ["fp16", "bf16"] {
        let words = ["--precision", precision, "--out", precision];
        world.runs(&[&["export"], &crate::support::BOTH[..], &words].concat());
        let report = json(&world, 0, &["bisect", precision]);
        assert_eq!(report["found"], false, "{report:#}");
    }
    world.runs(&["calibrate", "graphs", "--out", "ranges.json"]);
    let codes = ["--precision", "int8", "--calibration", "ranges.json", "--kv", "int8"];
    world.runs(&[&["export"], &crate::support::BOTH[..], &codes, &["--out", "int8"]].concat());
    assert_eq!(json(&world, 0, &["bisect", "int8"])["graphs"].as_array().unwrap().len(), 5);
    let words = ["--onnx", "fp16/encode.onnx", "--against", "graphs/encode.onnx", "--random"];
    assert_eq!(json(&world, 0, &[&["parity"], &words[..]].concat())["passed"], true);
    // With no room for rounding, it adds up.
    let report = json(&world, 4, &[&["bisect"], &words[..], &["--tolerance", "1e-3"]].concat());
    let kind = &report["graphs"][0]["fault"]["cause"]["kind"];
    assert!(kind == "accumulated" || kind == "own", "{kind}");
}

#[test]
fn any_pair_is_compared() {
    let world = world();
    let parity = |code, words: &[&str]| json(&world, code, &[&["parity"], words].concat());
    let same = parity(0, &["--onnx", "graphs/rank.onnx", "--random", "--profile", "batch=3,kv=5"]);
    let report = &same["reports"][0];
    assert_eq!((&report["strength"], &report["requests"]), (&"same-file".into(), &4.into()));
    let failures = |words: &[&str]| -> Vec<String> {
        let report = parity(4, words);
        let checks = report["reports"][0]["checks"].as_array().unwrap();
        let failed = checks.iter().filter(|check| check["status"] == "failed");
        failed.map(|c| [&c["name"], &c["why"]].map(|v| v.as_str().unwrap()).join(": ")).collect()
    };
    let against = |file: &str| failures(&[&["--onnx", file], &AGAINST[..]].concat());
    assert_eq!(
        against("outputs.onnx"),
        [
            "encode.other: is only in the candidate",
            "encode.present.0.key: is only in the reference"
        ]
    );
    let shape = against("shape.onnx");
    assert!(
        shape[0].starts_with(
            "encode.present.1.value: has shape [8, 2, 4, 24], the reference's has [8, 2, 24, 4]"
        ),
        "{shape:?}"
    );
    let nan = against("nan.onnx");
    assert!(nan.iter().any(|f| f.contains("elements are not finite")), "{nan:?}");
    // tract's Sigmoid makes a number of NaN.
    for onnx in ["graphs/encode.onnx", "nan.onnx"] {
        let words = ["--onnx", onnx, "--against", "nan.onnx", "--random", "--reference", "ort"];
        let nan = failures(&words);
        assert!(nan.iter().any(|f| f.contains("of the reference are not finite")), "{nan:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = world();
    let onnx = ["--onnx", "graphs/encode.onnx"];
    for words in [
        &["parity"][..],
        &["bisect"],
        &["parity", "graphs", "--onnx", "x.onnx", "--random"],
        &[&["parity"], &onnx[..]].concat(),
        &[&["bisect"], &onnx[..], &["--random", "--data", "x.npz"]].concat(),
        &[&["bisect"], &onnx[..], &["--random", "--requests", "x.jsonl"]].concat(),
        &[&["bisect"], &onnx[..], &["--random", "--tolerance", "-1"]].concat(),
        &["parity", "graphs", "--against", "graphs/rank.onnx"],
    ] {
        world.refuses(2, words);
    }
    let other = ["--onnx", "graphs/encode.onnx", "--against", "graphs/rank.onnx", "--random"];
    assert_snapshot!(world.refuses(1, &[&["bisect"], &other[..]].concat()), @r"
    error: the models have no output in common: present.0.key, present.0.value, present.1.key, present.1.value and scores, generator_logits
     hint: values are matched by name: rename the outputs
    ");
}

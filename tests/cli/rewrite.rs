//! Any ONNX model in another precision: `quantize` and `cast`.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{World, python};

/// Histories for the graph `encode` of the tiny model, three batches of two users.
const HISTORIES: &str = "
import numpy as np
rng = np.random.default_rng(0)
shape = (3, 2, 9)
good = dict(
    item_ids=rng.integers(1, 30, shape),
    action_ids=rng.integers(0, 3, shape),
    timestamps=np.cumsum(rng.integers(0, 99999, shape), -1) + 1_600_000_000,
    seq_lens=rng.integers(4, 10, shape[:2]),
    request_time=np.full(shape[:2], 1_700_000_000),
)
good = {name: good[name].astype(np.int64) for name in NAMES}
np.savez('good.npz', **good)
np.savez_compressed('packed.npz', **good)
np.savez('missing.npz', **{name: good[name] for name in NAMES[1:]})
np.savez('extra.npz', **good, other=np.zeros((3, 2)))
np.savez('type.npz', **good | {'item_ids': good['item_ids'].astype(np.float32)})
np.savez('rank.npz', **good | {'item_ids': good['item_ids'][:, 0]})
np.savez('counts.npz', **good | {'item_ids': good['item_ids'][:2]})
np.savez('empty.npz', **{name: array[:0] for name, array in good.items()})
np.savez('columns.npz', **good | {'item_ids': np.asfortranarray(good['item_ids'])})
whole = bytearray(open('good.npz', 'rb').read())
open('cut.npz', 'wb').write(whole[:500])
whole[whole.index(good['item_ids'].tobytes())] ^= 64
open('damaged.npz', 'wb').write(whole)
";

/// The tiny model exported, and archives for its `encode`.
fn world() -> World {
    let world = World::exported();
    let inspected: Value =
        serde_json::from_str(&world.runs(&["inspect", "graphs/encode.onnx", "--json"]).out)
            .unwrap();
    let names: Vec<_> =
        inspected["inputs"].as_array().unwrap().iter().map(|i| &i["name"]).collect();
    let names = serde_json::to_string(&names).unwrap();
    python(&world, &HISTORIES.replace("NAMES", &names));
    world
}

fn quantize<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["quantize", "--onnx", "graphs/encode.onnx", "--precision", "int8"], more].concat()
}

#[test]
fn the_same_numbers_give_the_same_bytes() {
    let world = world();
    let first = ["--data", "good.npz", "--out", "a/q.onnx", "--calibration-out", "a/ranges.json"];
    let report: Value =
        serde_json::from_str(&world.runs(&quantize(&[&first[..], &["--json"]].concat())).out)
            .unwrap();
    assert_eq!((&report["batches"], &report["share"]), (&Value::from(3), &Value::from(1.0)));
    assert!(report["nodes"][0]["activation_scale"].as_f64().unwrap() > 0.0);
    assert!(report["size_after"].as_u64() < report["size_before"].as_u64());
    for (dir, data) in [
        ("b", &["--data", "packed.npz", "--threads", "1"][..]),
        ("c", &["--calibration", "a/ranges.json"]),
    ] {
        let out = format!("{dir}/q.onnx");
        world.runs(&quantize(&[data, &["--out", &out]].concat()));
        let read = |name: &str| std::fs::read(world.path(name)).unwrap();
        assert_eq!(read("a/q.onnx"), read(&out), "{dir}");
    }
    python(
        &world,
        "import onnx, onnxruntime as o\n\
         onnx.checker.check_model('a/q.onnx', full_check=True)\n\
         o.InferenceSession('a/q.onnx')",
    );
}

#[test]
fn kept_nodes_stay_and_are_named() {
    let world = world();
    let keep = "encode.layers.0.uvqk/MatMul";
    let words = ["--data", "good.npz", "--keep", keep, "--out", "q.onnx", "--json"];
    let report: Value = serde_json::from_str(&world.runs(&quantize(&words)).out).unwrap();
    let left = report["left_out"].as_array().unwrap();
    assert!(left.iter().any(|l| l["node"] == keep && l["why"] == "--keep"), "{left:?}");
    assert!(report["share"].as_f64().unwrap() < 1.0);
    assert_snapshot!(world.refuses(2, &quantize(&["--data", "good.npz", "--keep", "0.uvqk", "--out", "r.onnx"])), @r"
    error: --keep: the model has no node `0.uvqk`
     hint: did you mean `encode.layers.0.uvqk/Add` or `encode.layers.0.uvqk/MatMul`?
    ");
}

#[test]
fn data_that_does_not_fit_is_refused_before_anything_is_written() {
    let world = world();
    let refused = |file: &str| {
        let words = ["--data", file, "--out", "new/q.onnx", "--calibration-out", "new/r.json"];
        let said = world.refuses(1, &quantize(&words));
        said.lines().next().unwrap().to_owned()
    };
    let files = [
        "missing", "extra", "type", "rank", "counts", "empty", "columns", "cut", "damaged", "none",
    ];
    let all: Vec<_> = files.iter().map(|file| refused(&format!("{file}.npz"))).collect();
    assert_snapshot!(all.join("\n"));
}

#[test]
fn ranges_of_another_model_are_refused() {
    let world = world();
    world.runs(&quantize(&[
        "--data",
        "good.npz",
        "--out",
        "q.onnx",
        "--calibration-out",
        "r.json",
    ]));
    let words = ["quantize", "--onnx", "graphs/rank.onnx", "--precision", "int8"];
    let words = [&words[..], &["--calibration", "r.json", "--out", "s.onnx"]].concat();
    let said = world.refuses(1, &words);
    assert!(said.contains("r.json can't be used: the calibration is of `encode.onnx`"), "{said}");
    world.edit("r.json", "\"samples\":3", "\"samples\":4");
    let said = world.refuses(1, &quantize(&["--calibration", "r.json", "--out", "s.onnx"]));
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn what_is_read_is_not_written_over() {
    let world = world();
    let onto = |out: &str| world.refuses(2, &quantize(&["--data", "good.npz", "--out", out]));
    assert!(onto("graphs/encode.onnx").contains("is part of the model that is read"));
    let both = ["--data", "good.npz", "--out", "q.onnx", "--calibration-out", "q.onnx"];
    assert!(world.refuses(2, &quantize(&both)).contains("written twice"));
}

#[test]
fn entropy_has_no_eight_bit_floats() {
    let world = world();
    let words = ["quantize", "--onnx", "graphs/encode.onnx", "--precision", "fp8"];
    let words =
        [&words[..], &["--data", "good.npz", "--method", "entropy", "--out", "q.onnx"]].concat();
    assert!(world.refuses(2, &words).contains("FP8 does not have"));
}

#[test]
fn a_cast_says_what_stayed_and_why() {
    let world = world();
    let words =
        ["cast", "--onnx", "graphs/encode.onnx", "--precision", "fp16", "--data", "packed.npz"];
    let report: Value = serde_json::from_str(
        &world.runs(&[&words[..], &["--out", "h.onnx", "--json"]].concat()).out,
    )
    .unwrap();
    assert!(report["narrowed"].as_u64().unwrap() > 10);
    let pinned = report["pinned"].as_array().unwrap();
    assert!(pinned.iter().any(|p| p["rule"] == "norm"), "{pinned:?}");
    python(&world, "import onnx; onnx.checker.check_model('h.onnx', full_check=True)");
    let blind = ["cast", "--onnx", "graphs/encode.onnx", "--precision", "bf16", "--out", "b.onnx"];
    assert!(world.runs(&blind).out.contains("nothing measured"));
}

#[test]
fn scales_of_an_older_tensorrt() {
    let world = world();
    let measured =
        ["--data", "good.npz", "--calibration-out", "ranges.json", "--out", "a.onnx", "--json"];
    let measured: Value = serde_json::from_str(&world.runs(&quantize(&measured)).out).unwrap();
    let write = ["--graph", "model", "--tensorrt", "8.6.1", "--method", "minmax"];
    world.runs(
        &[&["calibrate", "cache", "ranges.json"], &write[..], &["--out", "a.cache"]].concat(),
    );
    let cached = |more: &[&'static str]| {
        quantize(&[&["--calibration", "a.cache", "--out", "b.onnx"], more].concat())
    };
    let read: Value = serde_json::from_str(&world.runs(&cached(&["--json"])).out).unwrap();
    assert_eq!(read["method"], "scales of TensorRT 8601");
    assert_eq!((&read["batches"], &read["share"]), (&Value::Null, &Value::Null));
    let scales = |report: &Value| -> Vec<f64> {
        let nodes = report["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node["activation_scale"].as_f64().unwrap()).collect()
    };
    let (first, second) = (scales(&measured), scales(&read));
    assert_eq!(first.len(), second.len());
    for (first, second) in first.iter().zip(second) {
        assert!((first / second - 1.0).abs() < 2e-7, "{first} {second}");
    }

    let error = world.refuses(2, &cached(&["--method", "mse"]));
    assert!(error.contains("--method"), "{error}");
    let text = fs::read_to_string(world.path("a.cache")).unwrap();
    let node = read["nodes"][0]["node"].as_str().unwrap();
    let activation = read["nodes"][0]["activation"].as_str().unwrap();
    let fewer: Vec<&str> =
        text.lines().filter(|line| !line.starts_with(&format!("{activation}: "))).collect();
    fs::write(world.path("a.cache"), fewer.join("\n")).unwrap();
    let error = world.refuses(1, &cached(&[]));
    assert!(error.contains(activation) && error.contains(&format!("--keep {node}")), "{error}");
    fs::write(world.path("a.cache"), text.replace("Entropy", "MinMax")).unwrap();
    let error = world.refuses(1, &cached(&[]));
    assert!(error.contains("a.cache is unusable") && error.contains("line 1"), "{error}");
}

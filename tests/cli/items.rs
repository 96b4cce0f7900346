//! Item vectors for an index outside the graphs.

use std::{fs, process::Command};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    disk::{LIMITED, READ_ONLY, TINY, may_mount},
    support::{BOTH, MODEL, World, names, python},
};

/// Users with histories through `encode` and `generate`, then every item by brute force: what comes
/// first must be what `oneranker` retrieves for each task.
const SEARCH: &str = r#"
import hashlib, json, numpy as np, onnxruntime
rng = np.random.default_rng(0)
B, T, lens = 4, 12, np.array([12, 5, 1, 0])
state = {
    "item_ids": rng.integers(1, 3000, (B, T)), "action_ids": rng.integers(0, 3, (B, T)), "seq_lens": lens,
    "timestamps": 1_600_000_000 + np.cumsum(rng.integers(0, 9999, (B, T)), 1), "request_time": np.full(B, 1_700_000_000),
}
def run(graph):
    session = onnxruntime.InferenceSession(f"graphs/{graph}.onnx")
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: state[i.name] for i in session.get_inputs()})))
state.update({name.replace("present", "past_key_values"): kv for name, kv in run("encode").items()})
query = run("generate")["user_embeddings"]
fused = run("oneranker")

items, ids, about = np.load("items/items.npy", mmap_mode="r"), np.load("items/ids.npy"), json.load(open("items/items.json"))
assert open("items/items.npy", "rb").read(8) == b"\x93NUMPY\x01\x00"
assert items.flags.c_contiguous and items.shape == (2999, 8) == (about["items"], about["dim"]), items.shape
assert items.dtype == {"f32": np.float32, "f16": np.float16}[about["dtype"]]
assert ids.dtype == np.int64 and (ids == np.arange(1, 3000)).all()
for name, file in about["files"].items():
    content = open(f"items/{name}", "rb").read()
    assert [len(content), hashlib.sha256(content).hexdigest()] == [file["size"], file["sha256"]], name

K, tasks = 10, about["tasks"]
logits = query @ items.astype(np.float32).T / about["temperature"]
best = np.argsort(-logits, axis=2, kind="stable")[:, :, :K]
found = fused["candidate_ids"].reshape(B, len(tasks), K)
shown = fused["generator_logits"].reshape(B, len(tasks), K, len(tasks))
for user in range(B):
    for task in range(len(tasks)):
        own, want = shown[user, task, :, task], logits[user, task, best[user, task]]
        assert (ids[best[user, task]] == found[user, task]).all() or not EXACT, (ids[best[user, task]], found[user, task])
        assert np.abs(own - want).max() <= WITHIN, np.abs(own - want).max()
"#;

/// As [`World::exported`], with 2999 items of which `oneranker` retrieves 10, in a precision.
fn exported(precision: &str) -> World {
    let world = World::new();
    world.write("m.toml", MODEL.replace("n_items = 30", "n_items = 3000"));
    world.runs(&["init", "--model", "m.toml", "--seed", "3", "--out", "w.safetensors"]);
    let choices = ["--precision", precision, "--top-k", "10", "--out", "graphs"];
    world.runs(&[&["export"], &BOTH[..], &choices].concat());
    world
}

fn record(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path("items/items.json")).unwrap()).unwrap()
}

fn items(extra: &[&'static str]) -> Vec<&'static str> {
    [&["export-items"], &BOTH[..], extra].concat()
}

#[test]
fn an_exhaustive_search_finds_what_oneranker_retrieves() {
    let world = exported("fp32");
    let shown = world.runs(&items(&["--out", "items"]));
    assert_snapshot!(shown.out, @r"
        items (checkpoint e76181314d6f, untrained weights)
          file           shape  type     size
          ids.npy       [2999]   i64  24.1 kB
          items.npy  [2999, 8]   f32  96.1 kB
        compared by inner product, with user_embeddings of `generate`
    ");
    assert_eq!(shown.err, "");
    let script = |exact: &str, within: f32| {
        SEARCH.replace("EXACT", exact).replace("WITHIN", &within.to_string())
    };
    // Sums of eight products in another order, at logits of about 20.
    python(&world, &script("True", 1e-5));

    // The same bytes out of a directory.
    let vectors = fs::read(world.path("items/items.npy")).unwrap();
    world.runs(&["export-items", "graphs", "--out", "items"]);
    assert_eq!(fs::read(world.path("items/items.npy")).unwrap(), vectors);
    assert_eq!(names(&world.path("items")), ["ids.npy", "items.json", "items.npy"]);
}

#[test]
fn graphs_in_16_bits_have_their_own_vectors() {
    for (precision, dtype) in [("fp16", "f16"), ("bf16", "f32")] {
        let world = exported(precision);
        world.runs(&["export-items", "graphs", "--out", "items"]);
        assert_eq!(
            (&record(&world)["dtype"], &record(&world)["values"]),
            (&json!(dtype), &json!(precision))
        );
        if precision == "fp16" {
            // The logits that are shown are sums in F32 of these very numbers; those that retrieve
            // are rounded to 11 bits, at most 16, so that the last of ten may be another.
            let script = SEARCH.replace("EXACT", "False").replace("WITHIN", "8e-3");
            python(&world, &script);
        } else {
            let low_bits = "import numpy as np; x = np.load('items/items.npy'); \
                            assert x.dtype == np.float32 and not (x.view(np.uint32) & 0xffff).any()";
            python(&world, low_bits);
        }
    }
}

#[test]
fn external_ids_come_along_and_rows_beyond_them_do_not() {
    let world = World::exported();
    let ids: Vec<String> = (1..=27).map(|n| format!("ad \"{n}\"")).collect();
    world.write("ids.json", json!({"version": 1, "items": ids}).to_string());
    let args = items(&["--vocab", "ids.json", "--dtype", "f16", "--out", "items"]);
    let outcome = world.runs(&args);
    assert_eq!(
        outcome.err,
        "warning: rows of item_embedding beyond the external ids, left out: 2\n"
    );
    assert_eq!(record(&world)["rows_without_id"], 2);
    let script = "import json, numpy as np; \
                  ids = json.load(open('items/ids.json')); \
                  x = np.load('items/items.npy'); \
                  assert (x.shape, x.dtype) == ((27, 8), np.float16); \
                  assert ids == [f'ad \"{n}\"' for n in np.load('items/ids.npy')], ids";
    python(&world, script);

    // Found beside the checkpoint, and gone when there is none.
    fs::rename(world.path("ids.json"), world.path("vocab.json")).unwrap();
    world.runs(&items(&["--out", "items"]));
    assert_eq!(names(&world.path("items")), ["ids.json", "ids.npy", "items.json", "items.npy"]);
    fs::remove_file(world.path("vocab.json")).unwrap();
    world.runs(&items(&["--out", "items"]));
    assert_eq!(names(&world.path("items")), ["ids.npy", "items.json", "items.npy"]);

    world.write("vocab.json", json!({"version": 1, "items": vec!["a"; 0]}).to_string());
    world.runs(&items(&["--out", "items"]));
    python(&world, "import numpy as np; assert np.load('items/items.npy').shape == (0, 8)");
}

#[test]
fn checkpoints_that_do_not_fit() {
    let world = World::exported();
    world.edit("m.toml", "n_items = 30", "n_items = 31");
    assert_snapshot!(world.refuses(1, &items(&["--out", "items"])), @r"
        error: w.safetensors does not fit the model: `item_embedding` has shape [30, 8], the model needs [31, 8]
         hint: compare `onr inspect` of the checkpoint with model.toml; `onr import` renames and reshapes foreign checkpoints
    ");
    world.write("vocab.json", json!({"version": 1, "items": vec!["a"; 1]}).to_string());
    world.write(
        "many.json",
        json!({"version": 1, "items": (0..30).map(|n| n.to_string()).collect::<Vec<_>>()})
            .to_string(),
    );
    world.edit("m.toml", "n_items = 31", "n_items = 30");
    assert_snapshot!(world.refuses(1, &items(&["--vocab", "many.json", "--out", "items"])), @r"
        error: the vocabulary has 30 items, the model has room for 29 (n_items 30, the padding id 0 included)
         hint: give the vocabulary that the model was trained with, or train with a larger n_items
    ");
    world.runs(&["init", "--seed", "1", "--model", "m.toml", "--out", "w.safetensors"]);
    assert_snapshot!(world.refuses(1, &["export-items", "graphs", "--out", "items"]), @r"
        error: w.safetensors is not the checkpoint that was exported (SHA-256 86a4a22676bd.., not be3a94419ffe..)
         hint: export again, or give the checkpoint of then with --weights
    ");
    fs::remove_file(world.path("w.safetensors")).unwrap();
    assert_snapshot!(world.refuses(2, &["export-items", "graphs", "--out", "items"]), @r"
        error: the checkpoint of graphs, w.safetensors, is not there
         hint: give it with --weights
    ");
    assert_snapshot!(world.refuses(1, &["export-items", "old", "--out", "items"]), @r"
        error: old/onr.json is not a manifest of format 1: expected value at line 1 column 1
         hint: was it written by another version of onr?
    ");
    let said = world.refuses(2, &["export-items", "--out", "items"]);
    assert_snapshot!(said, @r"
        error: there is nothing to take items from
         hint: name a directory of `onr export`, or --model and --weights
    ");
    let weights_only = ["export-items", "--weights", "x", "--out", "items"];
    assert_eq!(world.refuses(2, &weights_only), said);
}

#[test]
fn graphs_without_a_table() {
    let world = World::new();
    let choices = ["--item-input", "embeddings", "--graphs", "encode", "--out", "graphs"];
    world.runs(&[&["export"], &BOTH[..], &choices].concat());
    assert_snapshot!(world.refuses(2, &["export-items", "graphs", "--out", "items"]), @r"
        error: the graphs of graphs get item vectors from their caller
         hint: index the vectors that the caller makes
    ");
}

#[test]
fn items_with_impossible_numbers_are_named() {
    let world = World::new();
    let write = |values: &[(usize, f32)]| {
        world.edit_weights(|header, data| {
            let at = header["item_embedding"]["data_offsets"][0].as_u64().unwrap() as usize;
            for (element, value) in values {
                let at = at + 4 * element;
                data[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        });
    };
    world.write(
        "vocab.json",
        json!({"version": 1, "items": (1..30).map(|n| format!("ad-{n}")).collect::<Vec<_>>()})
            .to_string(),
    );
    // The padding is not written; whether it is a number is the business of `export`.
    write(&[(0, f32::NAN), (8 * 17 + 3, 70_000.0)]);
    world.runs(&items(&["--out", "items"]));
    let before = fs::read(world.path("items/items.json")).unwrap();
    assert_snapshot!(world.refuses(1, &items(&["--dtype", "f16", "--out", "items"])), @r"
        error: w.safetensors: `item_embedding` has numbers that float16 cannot hold in 1 of its items: 17 (`ad-17`)
         hint: write --dtype f32
    ");
    write(&(10..25).map(|row| (8 * row, f32::INFINITY)).collect::<Vec<_>>());
    assert_snapshot!(world.refuses(1, &items(&["--out", "items"])), @r"
        error: w.safetensors: `item_embedding` has numbers that are not finite in 15 of its items: 10 (`ad-10`), 11 (`ad-11`), 12 (`ad-12`), 13 (`ad-13`), 14 (`ad-14`), 15 (`ad-15`), 16 (`ad-16`), 17 (`ad-17`), ..
         hint: the checkpoint diverged in training: take an earlier one
    ");
    assert_eq!(fs::read(world.path("items/items.json")).unwrap(), before);
}

#[test]
fn places_that_cannot_be_written() {
    let world = World::new();
    world.write("old/items.npy", "of somebody else");
    assert_snapshot!(world.refuses(1, &items(&["--out", "old"])), @r"
        error: old/items.npy is there, and no earlier export of items wrote it
         hint: remove it, or choose another --out
    ");
    fs::remove_file(world.path("old/items.npy")).unwrap();
    world.write("old/items.json", "{}");
    assert_snapshot!(world.refuses(1, &items(&["--out", "old"])), @r"
        error: old/items.json is there, and no earlier export of items wrote it
         hint: remove it, or choose another --out
    ");
    fs::remove_file(world.path("old/items.json")).unwrap();
    assert_snapshot!(world.refuses(1, &items(&["--out", "m.toml"])), @r"
        error: cannot write m.toml: not a directory
         hint: a file is where a directory is needed: choose another --out
    ");

    let world = exported("fp32");
    let mut limited = world.in_shell(&["sh", "-c", LIMITED, "60"]);
    let said = world.refuses_as(1, limited.args(items(&["--out", "new"])));
    assert!(said.contains("/items.npy: File too large"), "{said}");
    if !may_mount() {
        return;
    }
    let mounted = |script: &str| -> Command {
        let mut command = world.in_shell(&["unshare", "-rm", "sh", "-c", script, "sh"]);
        command.args(items(&["--out", "old"]));
        command
    };
    assert_snapshot!(world.refuses_as(1, &mut mounted(READ_ONLY)), @r"
        error: cannot write old: Read-only file system (os error 30)
         hint: choose an --out that you may write to
    ");
    let full = world.outcome(mounted(TINY).output().unwrap());
    assert_eq!(full.code, Some(1), "{}", full.err);
    assert!(full.err.contains("No space left on device"), "{}", full.err);
    let left = fs::read_to_string(world.path("after")).unwrap();
    assert_eq!(left, "keep.txt\n");
}

//! Directories that are not what they were, and files that are not what they seem.

use std::fs;

use insta::assert_snapshot;

use crate::support::World;

fn verify(world: &World) -> String {
    world.refuses(1, &["verify", "graphs"])
}

#[test]
fn a_good_directory_verifies_wherever_it_lies() {
    let world = World::exported();
    assert_eq!(world.runs(&["verify", "graphs"]).out, "graphs: 7 files, all as recorded\n");
    fs::rename(world.path("graphs"), world.path("old/moved")).unwrap();
    world.runs(&["verify", "old/moved"]);
}

#[test]
fn changed_and_missing_files_are_named_together() {
    let world = World::exported();
    world.edit_bytes("graphs/weights.data", |b| b[100] ^= 1);
    world.edit_bytes("graphs/rank.onnx", |b| b.truncate(100));
    fs::remove_file(world.path("graphs/encode.onnx")).unwrap();
    let said = verify(&world);
    let length = said.split("not ").nth(2).unwrap().lines().next().unwrap();
    assert_snapshot!(said.replace(length, "[N]"), @r"
        error: graphs does not match its manifest:
          encode.onnx: No such file or directory (os error 2)
          rank.onnx has 100 bytes, not [N]
          weights.data has another SHA-256
         hint: export again, or copy the directory again
    ");
    assert_eq!(world.refuses(1, &["parity", "graphs"]), said, "parity looks before it runs");
}

#[test]
fn an_edited_manifest() {
    let world = World::exported();
    world.edit("graphs/onr.json", "\"precision\": \"fp32\"", "\"precision\": \"fp16\"");
    assert_snapshot!(verify(&world), @r"
        error: graphs does not match its manifest: onr.json was changed after it was written
         hint: export again, or copy the directory again
    ");

    let world = World::exported();
    world.edit("graphs/onr.json", "\"opset\": 17,", "\"opset\": 17, \"colour\": \"red\",");
    assert_snapshot!(verify(&world), @r"
        error: graphs does not match its manifest: onr.json was changed after it was written
         hint: export again, or copy the directory again
    ");

    let world = World::exported();
    world.edit("graphs/onr.json", "\"format\": 1,", "\"format\": 1, \"colour\": \"red\",");
    assert_snapshot!(verify(&world), @r"
        error: graphs/onr.json is not a manifest of format 1: unknown field `colour`, expected one of `format`, `onr`, `model`, `export`, `quantized`, `profile`, `axes`, `checkpoint`, `graphs`, `engines`, `parity`, `files`, `sha256` at line 2 column 23
         hint: was it written by another version of onr?
    ");

    let world = World::exported();
    world.edit("graphs/onr.json", "\"weights.data\": {", "\"../w.safetensors\": {");
    assert_snapshot!(verify(&world), @r"
        error: graphs/onr.json refers to `../w.safetensors`, which leaves its directory
         hint: put the file that is meant beside the one that names it
    ");
}

#[test]
fn what_is_no_manifest() {
    let world = World::exported();
    assert_snapshot!(world.refuses(1, &["verify", "none"]), @r"
        error: cannot read none/onr.json: No such file or directory (os error 2)
         hint: a directory of `onr export` or `onr build-engine` has one
    ");
    assert_snapshot!(world.refuses(1, &["verify", "old"]), @r"
        error: old/onr.json is not a manifest of format 1: expected value at line 1 column 1
         hint: was it written by another version of onr?
    ");
    world.edit("graphs/onr.json", "\"format\": 1,", "\"format\": 0,");
    assert_snapshot!(verify(&world), @r"
        error: graphs/onr.json is not a manifest of format 1: it has format 0
         hint: was it written by another version of onr?
    ");
    assert_eq!(world.refuses(1, &["inspect", "graphs"]), verify(&world));
    assert_eq!(world.refuses(1, &["parity", "graphs"]), verify(&world));
}

#[test]
fn weights_outside_the_directory_are_read_by_nobody() {
    let world = World::exported();
    let (from, to) = (b"weights.data", b"../igts.data");
    world.edit_bytes("graphs/rank.onnx", |bytes| {
        let starts = 0..bytes.len() - from.len();
        for at in starts.filter(|&i| bytes[i..].starts_with(from)).collect::<Vec<_>>() {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    });
    let said = world.refuses(1, &["inspect", "graphs/rank.onnx"]);
    assert_snapshot!(said, @r"
        error: graphs/rank.onnx refers to `../igts.data`, which leaves its directory
         hint: put the file that is meant beside the one that names it
    ");
    assert_eq!(world.refuses(1, &["parity", "graphs", "--no-verify"]), said);
    let build = ["build-engine", "--onnx", "graphs/rank.onnx", "--out", "old"];
    assert_eq!(world.refuses(1, &build), said);
}

#[test]
fn weights_that_are_not_all_there() {
    let world = World::exported();
    world.edit_bytes("graphs/weights.data", |b| b.truncate(1000));
    let said = world.refuses(1, &["parity", "graphs", "--no-verify"]);
    assert!(said.starts_with("error: graphs/encode.onnx is not a usable ONNX model: it reads"));
    assert!(said.contains("of weights.data, which has 1000\n"), "{said}");
}

#[test]
fn a_changed_weight_is_out_of_tolerance() {
    let world = World::exported();
    // The last bytes of each number: sign and exponent.
    world.edit_bytes("graphs/weights.data", |b| {
        b[64..2000].iter_mut().skip(3).step_by(4).for_each(|b| *b ^= 0x80)
    });
    let outcome = world.run(&["parity", "graphs", "--no-verify"]);
    assert_eq!(outcome.code, Some(4), "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.contains("\nparity     FAILS\n"), "{}", outcome.out);
    assert!(outcome.out.lines().count() < 30, "one screen\n{}", outcome.out);
}

#[test]
fn the_reference_needs_its_checkpoint() {
    let world = World::exported();
    fs::rename(world.path("w.safetensors"), world.path("moved.safetensors")).unwrap();
    assert_snapshot!(world.refuses(2, &["parity", "graphs"]), @r"
        error: the checkpoint of the manifest, w.safetensors, is not there
         hint: give the checkpoint with --weights, or a recorded run with --golden
    ");
    let named = ["parity", "graphs", "--weights", "moved.safetensors"];
    assert_eq!(world.runs(&named).err, "");

    let another = ["init", "--seed", "1", "--model", "m.toml", "--out", "w.safetensors"];
    world.runs(&another);
    assert_snapshot!(world.refuses(1, &["parity", "graphs"]), @r"
        error: w.safetensors is not the checkpoint that was exported (SHA-256 86a4a22676bd.., not be3a94419ffe..)
         hint: export again, or give the checkpoint of then with --weights
    ");
    let outcome = world.run(&["parity", "graphs", "--weights", "w.safetensors"]);
    assert_eq!(outcome.code, Some(4));
    assert_snapshot!(outcome.err, @"warning: w.safetensors is not the checkpoint that was exported (SHA-256 86a4a22676bd.., not be3a94419ffe..)");
}

#[test]
fn the_checkpoint_is_recorded_as_it_was_given() {
    let world = World::new();
    for (given, out) in [("w.safetensors", "a"), ("./old/../w.safetensors", "b")] {
        let args = ["export", "--model", "m.toml", "--weights", given, "--out", out];
        world.runs(&args);
        let manifest = fs::read_to_string(world.path(out).join("onr.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["checkpoint"]["path"], given);
    }
}

#[test]
fn another_model_is_not_taken() {
    let world = World::exported();
    world.edit("m.toml", "temperature = 0.05", "temperature = 0.06");
    assert_snapshot!(world.refuses(2, &["parity", "graphs", "--model", "m.toml"]), @r"
        error: m.toml is not the model that was exported
         hint: leave --model out, or export again
    ");
}

#[test]
fn a_golden_file_that_is_none() {
    let world = World::exported();
    let args = |file: &'static str| ["parity", "graphs", "--golden", file];
    assert_snapshot!(world.refuses(1, &args("none.safetensors")), @"error: cannot read none.safetensors: No such file or directory (os error 2)");
    let said = world.refuses(1, &args("w.safetensors"));
    assert!(said.starts_with("error: w.safetensors is not a golden file: "), "{said}");
}

#[test]
fn inspect_refuses_garbage_of_every_kind() {
    let world = World::new();
    for name in ["x.toml", "x.safetensors", "x.json", "x.onnx", "x.jsonl", "x.parquet"] {
        world.write(name, [0xff, 0, 0x7b, 0xff, 0x0a]);
        let said = world.refuses(1, &["inspect", name]);
        assert!(said.starts_with("error: ") && said.contains(name), "{said}");
        let missing = world.refuses(1, &["inspect", &name.replace('x', "none")]);
        assert!(missing.starts_with("error: cannot read none."), "{missing}");
    }
    world.write("x.plan", [1, 2]);
    assert_snapshot!(world.refuses(1, &["inspect", "x.plan"]), @"error: x.plan is no plan: it has less than 4 bytes");
    world.write("x.bin", "");
    assert_snapshot!(world.refuses(2, &["inspect", "x.bin"]), @r"
        error: x.bin: not a kind of file that onr knows
         hint: a directory with onr.json, or .toml, .safetensors, .onnx, .plan, .jsonl, .parquet
    ");
    assert_snapshot!(world.refuses(1, &["inspect", "none.bin"]), @"error: cannot read none.bin: No such file or directory (os error 2)");
    assert_snapshot!(world.refuses(1, &["inspect", "old"]), @r"
        error: old/onr.json is not a manifest of format 1: expected value at line 1 column 1
         hint: was it written by another version of onr?
    ");
}

#[test]
fn onnx_files_that_are_none() {
    let world = World::new();
    world.write("x.onnx", "");
    assert_snapshot!(world.refuses(1, &["build-engine", "--onnx", "x.onnx", "--out", "new"]), @r"
        error: x.onnx is not a usable ONNX model: it has no graph
         hint: was the file copied completely?
    ");
    assert_snapshot!(world.refuses(1, &["build-engine", "--onnx", "none.onnx", "--out", "new"]), @"error: cannot read none.onnx: No such file or directory (os error 2)");
}

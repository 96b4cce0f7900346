//! Configurations and checkpoints that are wrong.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{BOTH, World};

fn export(world: &World, code: i32, more: &[&str]) -> String {
    let verb = ["export"];
    let out = ["--out", "old"];
    world.refuses(code, &[&verb, &BOTH[..], more, &out].concat())
}

#[test]
fn all_problems_of_a_configuration_come_at_once() {
    let world = World::new();
    world.edit("m.toml", "n_items", "n_itmes");
    world.edit("m.toml", "n_heads = 2", "n_heads = 3");
    world.edit("m.toml", "n_rank_layers = 1", "n_rank_layers = 5");
    world.edit("m.toml", "max_seq_len = 12", "max_seq_len = -1");
    world.edit("m.toml", "temperature = 0.05\n", "");
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: m.toml: model.n_items is missing
        m.toml: model.max_seq_len must be an integer of at least 1, not -1
        m.toml: model.temperature is missing
        m.toml: model.d_model = 8 is not a multiple of model.n_heads = 3
        m.toml: model.n_rank_layers = 5 is more than model.n_layers = 2
        m.toml: model.n_itmes is not a known key; did you mean `n_items`?
         hint: docs/model.md lists every key of model.toml
    ");
    let same = export(&world, 1, &[]);
    for verb in
        [&["init", "--model", "m.toml", "--out", "x.safetensors"][..], &["inspect", "m.toml"]]
    {
        assert_eq!(world.refuses(1, verb), same);
    }
}

#[test]
fn a_model_that_no_machine_holds() {
    let world = World::new();
    world.edit("m.toml", "n_items = 30", "n_items = 900000000000");
    assert_snapshot!(world.refuses(1, &["init", "--model", "m.toml", "--out", "x/y.safetensors"]), @r"
        error: m.toml: the sizes give 7200000001666 parameters, more than 1099511627776; the largest tensor is `item_embedding` [900000000000, 8]
         hint: docs/model.md lists every key of model.toml
    ");
}

#[test]
fn a_configuration_that_is_not_one() {
    let world = World::new();
    assert_snapshot!(world.refuses(1, &["inspect", "none.toml"]), @"error: cannot read none.toml: No such file or directory (os error 2)");
    world.write("m.toml", "[model\n");
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: m.toml: TOML parse error at line 1, column 7
          |
        1 | [model
          |       ^
        unclosed table, expected `]`
         hint: docs/model.md lists every key of model.toml
    ");
    world.write("m.toml", [0xff, 0xfe, 0]);
    assert_snapshot!(export(&world, 1, &[]), @"error: cannot read m.toml: stream did not contain valid UTF-8");
}

#[test]
fn missing_and_misshapen_tensors_come_at_once() {
    let world = World::new();
    world.edit_weights(|header, _| {
        let moved = header["rank_norm.bias"].take();
        header.as_object_mut().unwrap().remove("rank_norm.bias");
        header["rank_norm.bais"] = moved;
        header["item_embedding"]["shape"] = json!([8, 30]);
    });
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: w.safetensors does not fit the model:
          `item_embedding` has shape [8, 30], the model needs [30, 8]
          `rank_norm.bias` is missing; is it `rank_norm.bais`?
         hint: compare `onr inspect` of the checkpoint with model.toml; `onr import` renames and reshapes foreign checkpoints
    ");
}

#[test]
fn unknown_tensors_are_told_and_refused_under_strict() {
    let world = World::new();
    world.edit_weights(|header, data| {
        let end = data.len();
        header["optimizer.step"] =
            json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]});
        data.extend([0; 4]);
    });
    assert_snapshot!(export(&world, 1, &["--strict"]), @r"
        error: w.safetensors does not fit the model: `optimizer.step` is no tensor of this model
         hint: compare `onr inspect` of the checkpoint with model.toml; `onr import` renames and reshapes foreign checkpoints
    ");
    let done = world.runs(&[&["export"], &BOTH[..], &["--out", "new"]].concat());
    assert_snapshot!(done.err, @"warning: tensors of the checkpoint that the model does not have: 1 (`optimizer.step` first)");
}

#[test]
fn a_file_that_ends_too_early() {
    let world = World::new();
    world.edit_bytes("w.safetensors", |b| b.truncate(b.len() - 100));
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: w.safetensors is not a valid safetensors file: its header does not describe the 11276 bytes that it has
         hint: was the file copied completely?
    ");
    world.edit_bytes("w.safetensors", |b| b.truncate(100));
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: w.safetensors is not a valid safetensors file: invalid header length
         hint: was the file copied completely?
    ");
    world.write("w.safetensors", "");
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: w.safetensors is not a valid safetensors file: header too small
         hint: was the file copied completely?
    ");
}

#[test]
fn a_header_that_lies() {
    let lies = [
        json!({"dtype": "F32", "shape": [30, 8], "data_offsets": [0, 1_u64 << 40]}),
        json!({"dtype": "F32", "shape": [30, 8], "data_offsets": [960, 0]}),
        json!({"dtype": "F32", "shape": [u64::MAX, 8], "data_offsets": [0, 960]}),
        json!({"dtype": "F99", "shape": [30, 8], "data_offsets": [0, 960]}),
    ];
    for lie in lies {
        let world = World::new();
        world.edit_weights(|header, _| header["item_embedding"] = lie.clone());
        let said = export(&world, 1, &[]);
        let begin = "error: w.safetensors is not a valid safetensors file: ";
        assert!(said.starts_with(begin) && said.contains(" hint: "), "{lie}: {said}");
        assert_eq!(world.refuses(1, &["inspect", "w.safetensors"]), said);
    }
    let world = World::new();
    world.edit_bytes("w.safetensors", |b| b[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: w.safetensors is not a valid safetensors file: header too large
         hint: was the file copied completely?
    ");
}

#[test]
fn numbers_that_no_engine_may_see() {
    let set = |world: &World, value: f32| {
        world.edit_weights(|header, data| {
            let begin = header["item_embedding"]["data_offsets"][0].as_u64().unwrap() as usize;
            data[begin + 20..begin + 24].copy_from_slice(&value.to_le_bytes());
        });
    };
    let world = World::new();
    set(&world, f32::NAN);
    assert_snapshot!(export(&world, 1, &[]), @r"
        error: `item_embedding`[5] is NaN, which is not finite
         hint: the checkpoint diverged in training: take an earlier one
    ");
    set(&world, 1e6);
    assert_snapshot!(export(&world, 1, &["--precision", "fp16"]), @r"
        error: `item_embedding`[5] is 1000000, beyond the largest f16
         hint: export with --precision fp32
    ");
}

#[test]
fn an_index_of_shards_that_leaves_its_directory() {
    let world = World::new();
    world.write("w.index.json", r#"{"weight_map": {"item_embedding": "../w.safetensors"}}"#);
    let args = ["export", "--model", "m.toml", "--weights", "w.index.json", "--out", "new/deep"];
    assert_snapshot!(world.refuses(1, &args), @r"
        error: w.index.json refers to `../w.safetensors`, which leaves its directory
         hint: put the file that is meant beside the one that names it
    ");
    world.write("w.index.json", r#"{"weight_map": {"item_embedding": "none.safetensors"}}"#);
    assert_snapshot!(world.refuses(1, &args), @"error: cannot read none.safetensors: No such file or directory (os error 2)");
}

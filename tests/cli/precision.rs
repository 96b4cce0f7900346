//! Calibration and 8-bit exports: the same bytes whoever runs them, and every way they can be wrong.

use std::fs;

use onr_onnx::proto::ModelProto;
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{BOTH, World, names, request};

/// `graphs` calibrated on the drawn requests.
fn calibrated() -> World {
    let world = World::exported();
    world.runs(&["calibrate", "graphs", "--out", "c.json"]);
    world
}

fn export(world: &World, more: &[&str]) -> Value {
    let done = world.runs(&[&["--json", "export"], &BOTH[..], more].concat());
    serde_json::from_str(&done.out).unwrap()
}

fn refuses(world: &World, code: i32, more: &[&str]) -> String {
    world.refuses(code, &[&["export"], &BOTH[..], more, &["--out", "old"]].concat())
}

const FP16: [&str; 4] = ["--precision", "fp16", "--calibration", "c.json"];
const INT8: [&str; 4] = ["--precision", "int8", "--calibration", "c.json"];

#[test]
fn threads_shards_and_the_order_of_merging_change_no_byte() {
    let world = calibrated();
    let whole = fs::read(world.path("c.json")).unwrap();
    world.runs(&["calibrate", "graphs", "--threads", "1", "--out", "one.json"]);
    assert_eq!(fs::read(world.path("one.json")).unwrap(), whole);
    for part in ["1", "2", "3"] {
        let (shard, out) = (format!("{part}/3"), format!("p{part}.json"));
        let done = world.runs(&["calibrate", "graphs", "--shard", &shard, "--out", &out]);
        assert!(done.err.contains("shards are missing: "), "{}", done.err);
    }
    world.runs(&["calibrate", "merge", "p3.json", "p1.json", "--out", "most.json"]);
    let merge = ["calibrate", "merge", "p2.json", "most.json", "--out", "all.json"];
    assert_eq!(world.runs(&merge).err, "");
    assert_eq!(fs::read(world.path("all.json")).unwrap(), whole);
    let twice = ["calibrate", "merge", "p1.json", "p1.json", "--out", "x.json"];
    let error = world.refuses(1, &twice);
    assert!(error.contains("shard 1/3 comes twice"), "{error}");
}

#[test]
fn eight_bits_hold_what_they_promise() {
    let world = calibrated();
    for (format, out) in [("int8", "q8"), ("fp8", "f8")] {
        let choices = ["--precision", format, "--calibration", "c.json", "--out", out];
        let done = export(&world, &choices);
        let share = done["narrow_share"].as_f64().unwrap();
        assert!(share > 0.7 && share < 1.0, "{share}");
        let manifest: Value =
            serde_json::from_slice(&fs::read(world.path(&format!("{out}/onr.json"))).unwrap())
                .unwrap();
        assert_eq!(manifest["quantized"]["format"], format);
        assert_eq!(manifest["quantized"]["method"], "percentile=99.99");
        assert!(names(&world.path(out)).contains(&"quantization.json".to_owned()));
        world.runs(&["verify", out]);
        let parity = world.runs(&["parity", out]);
        assert!(parity.out.contains("parity     holds"), "{}", parity.out);
        let parity = world.runs(&["parity", out, "--candidate", "tract"]);
        assert!(parity.out.contains("parity     holds"), "{}", parity.out);
    }
    let accuracy = world.runs(&["--json", "accuracy", "q8", "--against", "graphs"]);
    let accuracy: Value = serde_json::from_str(&accuracy.out).unwrap();
    assert!(accuracy["kendall"].as_f64().unwrap() > 0.9, "{accuracy}");
}

#[test]
fn a_cache_for_an_older_tensorrt() {
    let world = calibrated();
    let cache = |version: &'static str, graph: &'static str| {
        let choices = ["--graph", graph, "--tensorrt", version, "--method", "minmax"];
        [&["calibrate", "cache", "c.json"], &choices[..], &["--out", "rank.cache"]].concat()
    };
    let error = world.refuses(2, &cache("11.0.0", "rank"));
    assert!(error.contains("11"), "{error}");
    let error = world.refuses(1, &cache("8.6.1", "nothing"));
    assert!(error.contains("nothing"), "{error}");
    world.runs(&cache("8.6.1", "rank"));
    let text = fs::read_to_string(world.path("rank.cache")).unwrap();
    assert!(text.starts_with("TRT-8601-EntropyCalibration2\n"), "{text}");
    let line = text.lines().find(|l| l.starts_with("rank.rank_layers.0.norm/")).unwrap();
    let (_, bits) = line.rsplit_once(": ").unwrap();
    let scale = f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
    assert!(scale > 0.0 && scale < 1.0, "{line}");
}

#[test]
fn a_wrong_code_is_found() {
    let world = calibrated();
    export(&world, &[&INT8[..], &["--out", "q8"]].concat());
    world.edit_bytes("q8/rank.onnx", |bytes| {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        let tensors = &mut model.graph.as_mut().unwrap().initializer;
        let name = "candidate_proj.weight/codes";
        let codes = tensors.iter_mut().find(|t| t.label() == name).unwrap();
        let mut changed = codes.raw_data.clone().unwrap().to_vec();
        changed[5] = changed[5].wrapping_add(1);
        codes.raw_data = Some(changed.into());
        *bytes = model.encode_to_vec();
    });
    let outcome = world.run(&["parity", "q8", "--no-verify"]);
    assert_eq!(outcome.code, Some(4), "{}{}", outcome.out, outcome.err);
    let wrong = "weights: the code of `candidate_proj.weight`[5] is not the checkpoint's";
    assert!(outcome.out.contains(wrong), "{}", outcome.out);
}

#[test]
fn smoothing_and_choices_are_in_the_plan() {
    let world = calibrated();
    let choices = ["--quantize", "uvqk,out", "--smooth", "out=0.5", "--out", "q8"];
    export(&world, &[&INT8[..], &choices].concat());
    let plan: Value =
        serde_json::from_slice(&fs::read(world.path("q8/quantization.json")).unwrap()).unwrap();
    let products = plan["products"].as_object().unwrap();
    assert!(products.contains_key("encode.layers.0.uvqk/MatMul"));
    assert!(!products.contains_key("rank.candidate_proj/MatMul"));
    // Whoever appends must get what a whole history would.
    assert_eq!(products["append.layers.0.uvqk/MatMul"], products["encode.layers.0.uvqk/MatMul"]);
    assert_eq!(plan["smooth"]["layers.0.out.weight"].as_array().unwrap().len(), 8);
    world.runs(&["parity", "q8"]);
    let kept = ["--keep", "encode.layers.0.uvqk/MatMul", "--out", "kept"];
    export(&world, &[&INT8[..], &kept].concat());
    let plan = fs::read_to_string(world.path("kept/quantization.json")).unwrap();
    assert!(!plan.contains("encode.layers.0.uvqk") && !plan.contains("append.layers.0.uvqk"));
}

#[test]
fn a_budget_is_kept_or_the_exit_code_says_so() {
    let world = calibrated();
    let tune = |budget: &str, out: &str| {
        let args = [
            &["--json", "tune"],
            &BOTH[..],
            &INT8,
            &["--limit", "16", "--budget", budget, "--out", out],
        ];
        let outcome = world.run(&args.concat());
        (outcome.code, serde_json::from_str::<Value>(&outcome.out).unwrap())
    };
    let (code, loose) = tune("kendall>=0.5", "loose");
    assert_eq!(code, Some(0), "{loose}");
    assert_eq!(loose["narrow_share"], 1.0);
    let (code, strict) = tune("score-error<=0.005,top5-overlap>=0.9@p05", "strict");
    assert_eq!(code, Some(0), "{strict}");
    assert!(strict["narrow_share"].as_f64() < Some(1.0), "{strict}");
    world.runs(&["parity", "strict"]);
    let (code, impossible) = tune("score-error<=-1", "never");
    assert_eq!((code, &impossible["narrow_share"]), (Some(4), &json!(0.0)));
}

#[test]
fn calibrations_that_do_not_fit() {
    let world = calibrated();
    let error = refuses(&world, 2, &["--precision", "int8"]);
    assert!(error.contains("--calibration"), "{error}");
    let error = refuses(&world, 2, &["--precision", "fp32", "--calibration", "c.json"]);
    assert!(error.contains("--calibration is for --precision fp16, bf16, int8 and fp8"), "{error}");
    let error = refuses(&world, 2, &[&FP16[..], &["--quantize", "out"]].concat());
    assert!(error.contains("for --precision int8 and fp8"), "{error}");
    let error = refuses(&world, 1, &["--precision", "int8", "--calibration", "none.json"]);
    assert!(error.contains("cannot read none.json"), "{error}");
    let error = refuses(&world, 2, &[&INT8[..], &["--method", "guess"]].concat());
    assert!(error.contains("guess"), "{error}");
    let error = refuses(&world, 2, &[&INT8[..], &["--quantize", "attention"]].concat());
    assert!(error.contains("known: uvqk, out, candidate, rank, user"), "{error}");
    let error = refuses(&world, 2, &[&INT8[..], &["--smooth", "out=2"]].concat());
    assert!(error.contains("outside 0..=1"), "{error}");

    let whole = fs::read_to_string(world.path("c.json")).unwrap();
    world.write("c.json", whole.replacen("\"zeros\":0", "\"zeros\":1", 1));
    let error = refuses(&world, 1, &INT8);
    assert!(error.contains("c.json is unusable"), "{error}");
    world.write("c.json", &whole[..whole.len() / 2]);
    let error = refuses(&world, 1, &INT8);
    assert!(error.contains("c.json is unusable"), "{error}");

    world.write("c.json", &whole);
    let seed = ["init", "--model", "m.toml", "--seed", "7", "--out", "w.safetensors"];
    world.runs(&seed);
    for precision in [INT8, FP16] {
        let error = refuses(&world, 1, &precision);
        assert!(error.contains("sha256"), "{error}");
    }
}

#[test]
fn requests_and_graphs_that_cannot_be_calibrated() {
    let world = World::exported();
    let calibrate = |code: i32, more: &[&str]| {
        world.refuses(code, &[&["calibrate"], more, &["--out", "c.json"]].concat())
    };
    world.write("empty.jsonl", "");
    let error = calibrate(1, &["graphs", "--requests", "empty.jsonl"]);
    assert!(error.contains("has no requests"), "{error}");
    world.write("r.jsonl", request(json!({ "items": [31, 2, 3], "candidates": "x" })));
    calibrate(1, &["graphs", "--requests", "r.jsonl"]);
    let error = calibrate(2, &["graphs", "--shard", "4/3"]);
    assert!(error.contains("4/3"), "{error}");
    let error = calibrate(1, &["nowhere"]);
    assert!(error.contains("nowhere"), "{error}");
    world.runs(&[&["export"], &BOTH[..], &["--precision", "fp16", "--out", "half"]].concat());
    let error = calibrate(2, &["half"]);
    assert!(error.contains("half holds fp16 graphs"), "{error}");
}

#[test]
fn numbers_that_overflow_are_named_with_their_request() {
    let world = World::new();
    world.edit_weights(|header, data| {
        let range = header["layers.0.uvqk.weight"]["data_offsets"].clone();
        let (from, to) = (range[0].as_u64().unwrap() as usize, range[1].as_u64().unwrap() as usize);
        for number in data[from..to].as_chunks_mut::<4>().0 {
            *number = 3e38_f32.to_le_bytes();
        }
    });
    world.runs(&[&["export"], &BOTH[..], &["--out", "graphs"]].concat());
    let error = world.refuses(1, &["calibrate", "graphs", "--out", "c.json"]);
    let first = "error: not finite: `encode.layers.0.uvqk/MatMul` of graph `encode` (";
    assert!(error.starts_with(first) && error.contains("first in request 0)"), "{error}");
    assert!(error.len() < 600, "the first few are enough: {error}");
}

#[test]
fn activations_that_never_change_are_refused() {
    let world = World::new();
    // All items are alike.
    world.edit_weights(|header, data| {
        let range = header["item_embedding"]["data_offsets"].clone();
        let (from, to) = (range[0].as_u64().unwrap() as usize, range[1].as_u64().unwrap() as usize);
        data[from..to].fill(0);
    });
    world.runs(&[&["export"], &BOTH[..], &["--out", "graphs"]].concat());
    let done = world.runs(&["calibrate", "graphs", "--out", "c.json"]);
    assert!(done.err.contains("8 of 8 channels of `Gather` are always 0"), "{}", done.err);
    let error = refuses(&world, 1, &INT8);
    let said = "`activation of rank.candidate_proj/MatMul` is 0 in all that was measured";
    assert!(error.contains(said) && error.contains("--keep"), "{error}");
    export(&world, &[&INT8[..], &["--keep", "rank.candidate_proj/MatMul", "--out", "q"]].concat());
}

#[test]
fn sixteen_bits_are_judged_by_what_was_measured() {
    let world = calibrated();
    let done = export(&world, &[&FP16[..], &["--out", "half"]].concat());
    assert!(done["judged"].as_u64().unwrap() > 200, "{done}");
    assert_eq!((&done["unmeasured"], &done["underflow"]), (&json!([]), &json!([])));
    assert_eq!(done["warnings"], json!([]));
    let wide = done["wide"].as_array().unwrap();
    let of = |rule: &str| wide.iter().filter(|w| w["rule"] == rule).collect::<Vec<_>>();
    for rule in ["norm", "gate", "bias", "residual", "attention", "index", "final-scores"] {
        assert!(!of(rule).is_empty(), "{rule}");
    }
    assert!(of("norm").iter().all(|w| w["op"] == "LayerNormalization"));
    assert!(of("norm").iter().all(|w| w["max_abs"].as_f64() > Some(0.0)));

    // Interfaces in FP32, and a list without a calibration.
    let done = export(&world, &[&FP16[..], &["--io-precision", "fp32", "--out", "half"]].concat());
    assert_eq!(done["unmeasured"], json!([]));
    let done = export(&world, &["--precision", "bf16", "--out", "half"]);
    assert_eq!(done["judged"], Value::Null);
    assert_eq!(done["wide"].as_array().unwrap().len(), wide.len());
    assert!(done["wide"][0]["max_abs"].is_null());
    let text = world.runs(&[&["export"], &BOTH[..], &FP16, &["--out", "half"]].concat()).out;
    assert!(text.contains("16-bit values judged by what was measured"), "{text}");
}

#[test]
fn values_beyond_fp16_are_refused_by_name() {
    let world = World::new();
    world.edit_weights(|header, data| {
        let range = header["layers.0.uvqk.weight"]["data_offsets"].clone();
        let (from, to) = (range[0].as_u64().unwrap() as usize, range[1].as_u64().unwrap() as usize);
        for number in data[from..to].as_chunks_mut::<4>().0 {
            *number = (f32::from_le_bytes(*number) * 3e4).to_le_bytes();
        }
    });
    world.runs(&[&["export"], &BOTH[..], &["--out", "graphs"]].concat());
    world.runs(&["calibrate", "graphs", "--out", "c.json"]);
    let error = refuses(&world, 1, &FP16);
    assert!(error.contains("graph encode: `encode.layers.0.uvqk/MatMul` reaches "), "{error}");
    assert!(error.contains("--precision bf16"), "{error}");
    export(&world, &["--precision", "bf16", "--calibration", "c.json", "--out", "half"]);
}

#[test]
fn a_gpu_without_fp8_is_refused_before_anything_is_done() {
    let world = calibrated();
    let build = [&["build-engine"], &BOTH[..], &["--precision", "fp8", "--calibration", "c.json"]];
    let more: &[&str] = &["--target", "sm86", "--out", "old"];
    let args = [&build.concat()[..], more].concat();
    let outcome = world.run(&args);
    // Without the libraries the builder is missing, which is told first.
    assert!(matches!(outcome.code, Some(2 | 3)), "{}", outcome.err);
    if outcome.code == Some(2) {
        assert!(outcome.err.contains("FP8 needs sm89 or later"), "{}", outcome.err);
    }
}

#[test]
fn tables_and_keys_in_codes_hold_what_they_promise() {
    let world = calibrated();
    let parity = |dir: &str| {
        world.runs(&["verify", dir]);
        let parity = world.runs(&["parity", dir]);
        assert!(parity.out.contains("parity     holds"), "{}", parity.out);
    };
    for tables in ["int8", "fp8", "int4"] {
        let done = export(&world, &["--precision", "fp16", "--tables", tables, "--out", tables]);
        assert_eq!(done["precision"], format!("fp16, tables {tables}"));
        assert_eq!(done["narrow_share"], Value::Null);
        parity(tables);
    }
    for kv in ["int8", "fp8"] {
        let done = export(&world, &["--kv", kv, "--calibration", "c.json", "--out", "kv"]);
        assert_eq!(done["precision"], format!("fp32, keys and values {kv}"));
        parity("kv");
        let all = [&INT8[..], &["--tables", "int4", "--kv", kv, "--out", "all"]].concat();
        assert_eq!(
            export(&world, &all)["precision"],
            format!("int8, tables int4, keys and values {kv}")
        );
        parity("all");
        let plan: Value =
            serde_json::from_slice(&fs::read(world.path("all/quantization.json")).unwrap())
                .unwrap();
        let scales = &plan["interface"]["scales"];
        assert_eq!(scales["present.0.key"], scales["past_key_values.0.key"]);
        assert!(scales["prompt.1.value"].is_number(), "{scales}");
    }
    let error = refuses(&world, 2, &["--kv", "int8"]);
    assert!(error.contains("--calibration"), "{error}");
    let error = refuses(&world, 2, &["--tables", "int2"]);
    assert!(error.contains("known: int8, fp8, int4"), "{error}");
    let error = refuses(&world, 2, &["--tables", "int8", "--item-input", "embeddings"]);
    assert!(error.contains("item table"), "{error}");
    let keys = ["--kv", "int8", "--calibration", "c.json", "--quantize", "out"];
    assert!(refuses(&world, 2, &keys).contains("--quantize and --smooth are for"));
}

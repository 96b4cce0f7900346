//! Plans on a GPU of this machine, as far as that can be tested where there is none, and plans that take other weights.

use std::fs;

use onr_device::cuda::CudaDriver;
use serde_json::Value;

use crate::{
    support::{BOTH, World},
    trtexec::standin,
};

fn build<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["build-engine"], &BOTH[..], &["--graphs", "encode,generate,rank", "--out", "engine"], more]
        .concat()
}

fn refit<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["refit", "engine", "--weights", "w.safetensors"], more].concat()
}

fn manifest(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path("engine/onr.json")).unwrap()).unwrap()
}

#[test]
fn without_a_driver_it_is_said_before_anything_runs() {
    if CudaDriver::open(0).is_ok() {
        return;
    }
    let world = World::new();
    let none = "tensorrt-rtx is not available: there is no usable CUDA driver";
    let told = world.refuses(3, &build(&["--refit", "--target", "sm89"]));
    assert!(
        told.contains(none) && told.contains("without --refit and --strip-weights none is needed"),
        "{told}"
    );
    world.runs(&build(&[]));
    let told = world.refuses(3, &["parity", "engine", "--candidate", "tensorrt-rtx"]);
    assert!(
        told.contains(none) && told.contains("hint: run on a machine with a GPU and its driver"),
        "{told}"
    );
    // One of several is skipped, unless it must be there.
    let done = world.runs(&["parity", "engine", "--candidate", "ort,tensorrt-rtx", "--limit", "8"]);
    assert!(done.out.contains("tensorrt-rtx"), "{}", done.out);
    let told = world.run(&["parity", "engine", "--require", "tensorrt-rtx", "--limit", "8"]);
    assert_eq!(told.code, Some(3), "{}", told.err);
    let told = world.refuses(3, &["parity", "engine", "--candidate", "tensorrt"]);
    assert!(told.contains("this onr was not built with TensorRT"), "{told}");
    let told = world.refuses(3, &["parity", "engine", "--candidate", "ort-cuda"]);
    assert!(
        told.contains("ort-cuda is not available: this ONNX Runtime has no CUDA provider"),
        "{told}"
    );
    let told = world.refuses(2, &["parity", "engine", "--candidate", "tensorrt-rtx=first"]);
    assert!(told.contains("tensorrt-rtx[=GPU]"), "{told}");
}

#[test]
fn plans_say_what_becomes_of_their_weights() {
    let world = World::new();
    let tool = standin(&world, "10.late", "");
    let runs = |more: &[&str]| world.runs(&build(&[&["--builder", tool.as_str()], more].concat()));
    runs(&[]);
    assert_eq!(manifest(&world)["engines"]["rank"]["weights"], Value::Null, "for good");
    let told = world.refuses(2, &refit(&[]));
    assert!(told.contains("encode.plan has its weights for good"), "{told}");
    assert!(told.contains("hint: build it with `onr build-engine --refit`"), "{told}");

    runs(&["--refit"]);
    assert_eq!(manifest(&world)["engines"]["rank"]["weights"], "refittable");
    let told = world.refuses(3, &refit(&[]));
    assert!(told.contains("this onr was not built with TensorRT"), "{told}");
    runs(&["--strip-weights"]);
    assert_eq!(manifest(&world)["engines"]["rank"]["weights"], "stripped");
    let told = world.refuses(1, &["package", "triton", "engine", "--out", "models"]);
    assert!(told.contains("engine has plans without weights"), "{told}");
    world.refuses(2, &build(&["--strip-weights", "--refit"]));
    let told = world.refuses(2, &build(&["--refit"]));
    assert!(told.contains("a plan that takes other weights is for one GPU"), "{told}");
    assert!(told.contains("hint: name it with --target"), "{told}");
}

#[test]
fn what_cannot_be_refitted_is_refused_before_the_gpu_is_asked_for() {
    let world = World::exported();
    let told = world.refuses(2, &["refit", "graphs", "--weights", "w.safetensors"]);
    assert!(told.contains("holds no plans of a checkpoint"), "{told}");
    let told = world.refuses(1, &["refit", "nowhere", "--weights", "w.safetensors"]);
    assert!(told.contains("cannot read nowhere/onr.json"), "{told}");
    let tool = standin(&world, "10.late", "");
    world.runs(&build(&["--builder", &tool, "--refit", "--tables", "int8"]));
    let told = world.refuses(2, &refit(&[]));
    assert!(
        told.contains("has numbers in 8 bits, whose scales belong to their checkpoint"),
        "{told}"
    );
    fs::write(world.path("engine/rank.plan"), "cut").unwrap();
    let told = world.refuses(1, &refit(&[]));
    assert!(told.contains("rank.plan"), "{told}");
}

#[cfg(feature = "triton")]
#[test]
fn graphs_are_timed_in_this_process() {
    let world = World::exported();
    let bench = ["bench", "graphs", "--backend", "ort", "--seconds", "0.05", "--warmup", "0"];
    let done = world.runs(
        &[&bench[..], &["--batch", "1,3", "--length", "4,12", "--candidates", "5", "--json"]]
            .concat(),
    );
    let done: Value = serde_json::from_str(&done.out).unwrap();
    let runs = done["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        for what in ["encode", "generate", "rank", "cached", "full"] {
            let measured = &run["measured"][what];
            assert!(measured["runs"].as_u64().unwrap() >= 3, "{measured}");
            assert!(measured["latency"]["p50_ms"].as_f64().unwrap() > 0.0, "{measured}");
            assert!(measured["gflops"].as_f64().unwrap() > 0.0, "{measured}");
            assert!(measured["operations"].as_u64().unwrap() > 0, "{measured}");
        }
        assert!(run["counted_speed_up"].as_f64().unwrap() > 1.0, "{run}");
    }
    // Of a row of `rank`: ids, keys and values, prompt, states, lengths and times; scores and logits; item vectors.
    let row = |slots: u64| 8 * 5 + 64 * slots + 384 + 128 + 16 + 8 * slots + 80 + 4 * 8 * 5;
    let rank = |run: usize| runs[run]["measured"]["rank"]["bytes"].as_u64().unwrap();
    assert_eq!(rank(2) - rank(0), 2 * row(4), "weights are read once, whatever the batch");
    assert_eq!(rank(3) - rank(1), 2 * row(12));
    assert!(rank(0) > row(4) + 4 * 5 * 8 * 8, "weights are read too: {}", rank(0));
    assert_eq!(done["device"], "cpu");
    assert_eq!(done["memory"]["device"], Value::Null);
    assert!(done["memory"]["host"].as_u64().unwrap() > 1 << 20, "{}", done["memory"]);
    let text = world.runs(&bench).out;
    assert!(
        text.contains("1 x 12, 256 candidates: keys and values that are there save a factor of"),
        "{text}"
    );

    let told = world.refuses(2, &[&bench[..], &["--length", "13"]].concat());
    assert!(told.contains("--length 13 is more than the model's 12"), "{told}");
    world.refuses(2, &["bench", "graphs"]);
    world.refuses(2, &["bench", "graphs", "--backend", "ort", "--triton", "http://localhost:1"]);
    world.refuses(1, &["bench", "nowhere", "--backend", "ort"]);
}

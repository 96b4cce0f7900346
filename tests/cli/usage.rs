//! Command lines that make no sense: exit code 2, before any work.

use insta::assert_snapshot;

use crate::support::{BOTH, World};

fn build(world: &World, more: &[&str]) -> String {
    world.refuses(2, &[&["build-engine"], &BOTH[..], &["--out", "old"], more].concat())
}

#[test]
fn builders_and_targets() {
    let world = World::new();
    assert_snapshot!(build(&world, &["--builder", "tensorrt"]), @r"
        error: this onr was built with TensorRT for RTX, not with TensorRT
         hint: build it with `cargo build --release --features tensorrt`, or use trtexec=PATH
    ");
    assert_snapshot!(build(&world, &["--builder", "nvcc"]), @r"
        error: `nvcc` is not a builder
         hint: `tensorrt-rtx`, `trtexec`, or `trtexec=/usr/src/tensorrt/bin/trtexec`
    ");
    assert_eq!(
        build(&world, &["--builder", "trtexec="]).replace("trtexec=`", "nvcc`"),
        build(&world, &["--builder", "nvcc"])
    );
    assert_snapshot!(build(&world, &["--target", "ampere"]), @"error: `ampere` is not a GPU target; known: sm75, sm80, sm86, sm87, sm89, sm90, sm100, sm103, sm110, sm120, sm121");
    assert_snapshot!(build(&world, &["--target", "sm86,sm90"]), @r"
        error: builder tensorrt-rtx cannot compile for sm90: TensorRT for RTX knows sm75, sm80, sm86, sm89, sm120, sm121 only
         hint: use --builder trtexec=PATH with the data-centre TensorRT of that machine
    ");
    assert_snapshot!(build(&world, &["--target", "sm86", "--builder", "trtexec=/nowhere/trtexec"]), @r"
        error: builder trtexec cannot compile for sm86: it compiles for the GPU of the machine that it runs on
         hint: leave --target out, and build on a machine with the deployment's GPU
    ");
}

#[test]
fn profiles() {
    let world = World::new();
    assert_snapshot!(build(&world, &["--profile", "batch=8:4:16"]), @r"
        error: profile range batch=8:4:16 is not ordered `1 <= min <= opt <= max`
         hint: for example `batch=1:8:32,seq=1:128:256,candidates=1:256:1024`; names: batch, seq, new, kv, candidates
    ");
    for typed in ["batch=0:1:2", "seq=9:9:1"] {
        assert!(build(&world, &["--profile", typed]).contains("is not ordered"), "{typed}");
    }
    assert_snapshot!(build(&world, &["--profile", "batch=1:2:4,tokens=1:2:3"]), @r"
        error: profile names `tokens`, which no graph has
         hint: for example `batch=1:8:32,seq=1:128:256,candidates=1:256:1024`; names: batch, seq, new, kv, candidates
    ");
    assert_snapshot!(build(&world, &["--profile", "batch=1:2"]), @r"
        error: profile part `batch=1:2` is not `name=min:opt:max`
         hint: for example `batch=1:8:32,seq=1:128:256,candidates=1:256:1024`; names: batch, seq, new, kv, candidates
    ");
    for typed in ["batch", "batch=a:b:c", "batch=1:2:3:4", "=1:2:3", "batch=-1:2:3"] {
        assert!(build(&world, &["--profile", typed]).starts_with("error: profile "), "{typed}");
    }
    assert_snapshot!(build(&world, &["--profile", "batch=1:2:3,batch=1:2:3"]), @r"
        error: profile names `batch` twice
         hint: for example `batch=1:8:32,seq=1:128:256,candidates=1:256:1024`; names: batch, seq, new, kv, candidates
    ");
}

#[test]
fn graphs_and_their_choices() {
    let world = World::new();
    for k in ["0", "30", "4000"] {
        let said = build(&world, &["--top-k", k]);
        assert!(said.starts_with(&format!("error: --top-k {k} is outside 1..=29\n")), "{said}");
    }
    assert_snapshot!(build(&world, &["--top-k", "0"]), @r"
        error: --top-k 0 is outside 1..=29
         hint: the model has 29 items, and TensorRT's TopK takes at most 3840
    ");
    assert_snapshot!(build(&world, &["--graphs", "encode,rnak"]), @"error: `rnak` is not a graph; known: encode, append, generate, rank, oneranker");
    assert_snapshot!(build(&world, &["--item-input", "embeddings", "--graphs", "oneranker"]), @r"
        error: graph oneranker retrieves from the item table, which --item-input embeddings leaves out
         hint: leave oneranker out of --graphs, or use ids
    ");
    assert_snapshot!(build(&world, &["--profile", "batch=1:8:100000000"]), @r"
        error: graph oneranker needs 100000000 x 2 x 30 logits at the profile's largest batch, more than the 2147483647 elements that one TensorRT tensor may have
         hint: lower the largest batch (--profile batch=1:8:16), or leave the graph out (--graphs encode,append,generate,rank) and retrieve in your own index
    ");
    assert!(build(&world, &["--workspace", "0"]).contains("--workspace"));
    assert!(
        build(&world, &["--precision", "int4"])
            .contains("[possible values: fp32, fp16, bf16, int8, fp8]")
    );
}

#[test]
fn a_file_as_it_is_takes_no_choices_of_an_export() {
    let world = World::exported();
    let file = ["build-engine", "--onnx", "graphs/rank.onnx", "--out", "old"];
    for more in
        [&["--precision", "fp16"][..], &["--graphs", "rank"], &["--requests", "r.jsonl"], &BOTH]
    {
        let said = world.refuses(2, &[&file, more].concat());
        assert!(said.contains("cannot be used with"), "{said}");
    }
    let inside = ["build-engine", "--onnx", "graphs/rank.onnx", "--out", "graphs"];
    assert_snapshot!(world.refuses(2, &inside), @r"
        error: graphs/rank.onnx is a part of what --out holds
         hint: choose another --out
    ");
}

//! Plans of data-centre TensorRT, compiled and run by a stand-in with the grammar of real option tables.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{BOTH, World, names, python};

/// A `trtexec` in the folder `tool` of the world; `fault` is empty, `dies`, `hangs` or `short`.
pub(crate) fn standin(world: &World, table: &str, fault: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".onr/venv/bin/python");
    let tests = root.join("runtime/tests/trtexec");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--loadEngine*) echo $$ > {}/running ;; esac\nexec {} {} {} {fault} -- \"$@\"\n",
        world.path("tool").display(),
        python.display(),
        tests.join("standin.py").display(),
        tests.join(format!("options-{table}.txt")).display()
    );
    fs::create_dir_all(world.path("tool")).unwrap();
    let program = world.path("tool/trtexec");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("trtexec={}", program.display())
}

fn build<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["build-engine"], &BOTH[..], &["--graphs", "encode,generate,rank", "--out", out], more]
        .concat()
}

fn parity(candidate: &str) -> [&str; 7] {
    ["parity", "engine", "--candidate", candidate, "--no-relations", "--limit", "8"]
}

#[test]
fn plans_are_compiled_and_compared() {
    for table in ["10.0", "11.1"] {
        let world = World::new();
        let tool = standin(&world, table, "");
        world.runs(&build("engine", &["--builder", &tool, "--workspace", "512"]));
        let plans = ["encode.plan", "generate.plan", "rank.plan"];
        assert!(
            plans.iter().all(|plan| names(&world.path("engine")).contains(&(*plan).to_owned()))
        );
        let done = world.runs(&parity(&tool));
        let version = if table == "10.0" { "10.0.1" } else { "11.1.0" };
        assert!(done.out.contains(&format!("TensorRT {version}")), "{}", done.out);
        assert!(done.out.contains("the first 8 of 64 drawn from seed 0"), "{}", done.out);
        assert!(world.path("tool/running").exists(), "the plans were not run");

        let other = standin(&world, if table == "10.0" { "10.late" } else { "10.0" }, "");
        let told = world.refuses(1, &parity(&other));
        assert!(told.contains("encode.plan: it was written by TensorRT "), "{told}");
        assert!(told.contains("a plan loads only in the version that wrote it"), "{told}");
    }
}

/// The one in `PATH` needs no path.
#[test]
fn the_tool_of_the_path() {
    let world = World::new();
    standin(&world, "10.late", "");
    let mut paths = vec![world.path("tool")];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut command = world.onr();
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command.args(build("engine", &["--builder", "trtexec"]));
    let outcome = world.outcome(command.output().unwrap());
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(outcome.out.contains("plans of TensorRT 10.13.3"), "{}", outcome.out);

    let mut command = world.onr();
    command.env("PATH", world.path("old")).args(build("old", &["--builder", "trtexec"]));
    if !PathBuf::from("/usr/src/tensorrt/bin/trtexec").exists() {
        let told = world.refuses_as(3, &mut command);
        assert!(told.contains("trtexec is neither in PATH nor in /usr/src/tensorrt/bin"), "{told}");
    }
}

#[test]
fn graphs_with_ids_of_64_bits_are_none_for_old_versions() {
    for (table, version) in [("8.6", "8.6.1"), ("9", "9.2.0")] {
        let world = World::new();
        let tool = standin(&world, table, "");
        let told = world.refuses(1, &build("engine", &["--builder", &tool]));
        let what =
            format!("error: trtexec of TensorRT {version} cannot compile graph encode: `item_ids`");
        assert!(told.starts_with(&what), "{told}");
        assert!(told.contains("\n hint: export with `--ids int32`"), "{told}");
    }
}

#[test]
fn with_ids_of_32_bits_old_versions_take_them() {
    for (table, precision) in [("8.6", "fp16"), ("9", "fp16"), ("8.6", "fp32")] {
        let world = World::new();
        let tool = standin(&world, table, "");
        world.runs(&build(
            "engine",
            &["--ids", "int32", "--precision", precision, "--builder", &tool],
        ));
        world.runs(&parity(&tool));
        assert!(world.path("tool/running").exists(), "the plans were not run");
    }
}

#[test]
fn a_file_without_them_is_compiled_by_8_6() {
    let world = World::new();
    python(
        &world,
        "import onnx
from onnx import TensorProto as t, helper as h
x, y = (h.make_tensor_value_info(n, t.FLOAT, ['batch', 4]) for n in 'xy')
g = h.make_graph([h.make_node('Relu', ['x'], ['y'], name='relu')], 'g', [x], [y])
onnx.save(h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8), 'small.onnx')
",
    );
    let tool = standin(&world, "8.6", "");
    let done = world.runs(&[
        "build-engine",
        "--onnx",
        "small.onnx",
        "--builder",
        &tool,
        "--out",
        "engine",
    ]);
    assert!(done.out.contains("plans of TensorRT 8.6.1"), "{}", done.out);
    assert_eq!(names(&world.path("engine")), ["onr.json", "small.plan"]);
    let told =
        world.refuses(1, &["parity", "--onnx", "small.onnx", "--random", "--candidate", &tool]);
    assert!(told.contains("it runs plans, and no manifest names one"), "{told}");
}

#[test]
fn a_tool_that_fails_says_so_and_leaves_nothing() {
    let world = World::new();
    let tool = standin(&world, "10.0", "dies");
    let told = world.refuses(1, &build("engine", &["--builder", &tool]));
    assert!(told.contains("trtexec cannot build graph encode: signal: 6 (SIGABRT)"), "{told}");
    assert!(told.contains("out of memory"), "{told}");
    let tool = standin(&world, "10.0", "");
    world.runs(&build("engine", &["--builder", &tool]));
    let tool = standin(&world, "10.0", "short");
    let outcome = world.run(&parity(&tool));
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(outcome.err.contains("error: trtexec failed: "), "{}", outcome.err);
    assert!(outcome.err.contains(" bytes, which are no f32 "), "{}", outcome.err);
}

#[test]
fn ctrl_c_ends_a_run_that_hangs() {
    let world = World::new();
    let tool = standin(&world, "10.0", "");
    world.runs(&build("engine", &["--builder", &tool]));
    let tool = standin(&world, "10.0", "hangs");
    let mut running = world.start(&parity(&tool));
    let pid = world.path("tool/running");
    running.until("run", || fs::read_to_string(&pid).is_ok_and(|t| t.ends_with('\n')));
    running.signal("INT");
    let (outcome, took) = running.end(&world);
    assert_eq!(outcome.code, Some(130), "{}", outcome.err);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let process = PathBuf::from("/proc").join(fs::read_to_string(&pid).unwrap().trim());
    let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "the tool is alive: {state}");
}

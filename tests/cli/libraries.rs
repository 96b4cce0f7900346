//! Libraries and tools that are not there: found out before any work.

use std::fs;

use insta::assert_snapshot;

use crate::support::{BOTH, World};

fn build<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["build-engine"], &BOTH[..], &["--out", "old"], more].concat()
}

fn without(world: &World, variable: &str, args: &[&str]) -> String {
    fs::create_dir_all(world.path("empty")).unwrap();
    world.refuses_as(3, world.onr().args(args).env(variable, world.path("empty")))
}

#[test]
fn no_onnxruntime() {
    let world = World::exported();
    assert_snapshot!(without(&world, "ONR_ONNXRUNTIME", &build(&[])), @r"
        error: ort is not available: ONR_ONNXRUNTIME is [DIR]/empty, and libonnxruntime.so is not there
         hint: unset ONR_ONNXRUNTIME to use what `make setup` installed, or correct it
    ");
    let said = without(&world, "ONR_ONNXRUNTIME", &["parity", "graphs"]);
    assert_eq!(said, without(&world, "ONR_ONNXRUNTIME", &build(&[])));
    // tract is a candidate that is always there.
    let mut command = world.onr();
    command.env("ONR_ONNXRUNTIME", world.path("empty"));
    command.args(["parity", "graphs", "--candidate", "tract"]);
    assert_eq!(world.outcome(command.output().unwrap()).code, Some(0));
}

#[test]
fn no_tensorrt() {
    let world = World::new();
    assert_snapshot!(without(&world, "ONR_TENSORRT_DIR", &build(&[])), @r"
        error: ONR_TENSORRT_DIR is [DIR]/empty, and libtensorrt_rtx.so is not there
         hint: unset ONR_TENSORRT_DIR to use what `make setup` installed, or correct it
    ");
}

#[test]
fn a_library_that_is_none() {
    let world = World::new();
    world.write("libonnxruntime.so.1", "not ELF");
    let mut command = world.onr();
    command.args(build(&[])).env("ONR_ONNXRUNTIME", world.path("libonnxruntime.so.1"));
    let said = world.refuses_as(3, &mut command);
    assert!(said.starts_with("error: ort is not available: "), "{said}");
    assert!(said.contains(" hint: it was found named by ONR_ONNXRUNTIME"), "{said}");
}

#[test]
fn no_trtexec() {
    let world = World::new();
    assert_snapshot!(world.refuses(3, &build(&["--builder", "trtexec=/nowhere/trtexec"])), @r"
        error: builder trtexec is not available: cannot run /nowhere/trtexec: No such file or directory (os error 2)
         hint: give the trtexec of the deployment's container, usually /usr/src/tensorrt/bin/trtexec
    ");
}

#[test]
fn doctor_says_what_is_missing() {
    let world = World::new();
    let mut command = world.onr();
    command.arg("doctor").env("ONR_TENSORRT_DIR", world.path("old"));
    let outcome = world.outcome(command.output().unwrap());
    assert_eq!(outcome.code, Some(3));
    let lines: Vec<_> = outcome.out.lines().filter(|l| l.contains("MISSING")).collect();
    assert_eq!(
        lines,
        [
            "tensorrt-rtx  MISSING (compiles plans for workstations): ONR_TENSORRT_DIR is [DIR]/old, and \
          libtensorrt_rtx.so is not there"
        ]
    );
    assert_eq!(world.runs(&["doctor"]).err, "");
}

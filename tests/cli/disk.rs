//! Places that cannot be written to.

use std::process::Command;

use insta::assert_snapshot;

use crate::support::{BOTH, MODEL, World};

/// Files of at most `$0` blocks (of 512 or 1024 bytes); the signal for it is ignored, as a full disk
/// has none.
pub(crate) const LIMITED: &str = r#"trap '' XFSZ; ulimit -f "$0"; exec "$@""#;

/// A private file system of 64 KiB on `old`, with old content.
pub(crate) const TINY: &str = "mount -t tmpfs -o size=64k none old && echo precious > old/keep.txt && \
                    ls -A old > before; \"$@\"; code=$?; ls -A old > after; exit $code";

/// A private file system on `old` that cannot be written to.
pub(crate) const READ_ONLY: &str = "mount -t tmpfs none old && echo precious > old/keep.txt && \
                         mount -o remount,bind,ro old && exec \"$@\"";

fn init(out: &str) -> [&str; 5] {
    ["init", "--model", "m.toml", "--out", out]
}

fn export(out: &str) -> Vec<&str> {
    [&["export"], &BOTH[..], &["--out", out]].concat()
}

/// With an item table of 96 kB.
fn wide() -> World {
    let world = World::new();
    world.write("m.toml", MODEL.replace("n_items = 30", "n_items = 3000"));
    world.runs(&init("w.safetensors"));
    world
}

#[test]
fn a_file_that_may_not_grow() {
    let world = wide();
    let mut limited = world.in_shell(&["sh", "-c", LIMITED, "60"]);
    assert_snapshot!(world.refuses_as(1, limited.args(init("new/w.safetensors"))), @r"
        error: cannot write new/w.safetensors: File too large (os error 27)
         hint: raise the limit (`ulimit -f`, quota), or choose another --out
    ");
    let mut limited = world.in_shell(&["sh", "-c", LIMITED, "60"]);
    let said = world.refuses_as(1, limited.args(export("old")));
    assert!(said.starts_with("error: cannot write [DIR]/old/.onr-staging-"), "{said}");
    assert!(said.contains("/weights.data: File too large"), "{said}");
    assert!(said.contains(" hint: raise the limit"), "{said}");
}

#[test]
fn a_plan_that_may_not_grow() {
    let world = World::new();
    let mut limited = world.in_shell(&["sh", "-c", LIMITED, "400"]);
    limited.args(["build-engine", "--graphs", "encode", "--out", "old"]).args(BOTH);
    let said = world.refuses_as(1, &mut limited);
    assert!(said.contains("encode.plan: File too large"), "{said}");
}

/// Whether this user may mount in a namespace of their own; said if not.
pub(crate) fn may_mount() -> bool {
    let probe = ["-rm", "sh", "-c", "mount -t tmpfs none /mnt"];
    let done = Command::new("unshare").args(probe).output();
    let may = done.is_ok_and(|o| o.status.success());
    if !may {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: no private mounts here");
        }
    }
    may
}

#[test]
fn a_full_disk() {
    if !may_mount() {
        return;
    }
    let world = wide();
    let shell = ["unshare", "-rm", "sh", "-c", TINY, "sh"];
    for args in [init("old/w.safetensors").to_vec(), export("old")] {
        let outcome = world.outcome(world.in_shell(&shell).args(&args).output().unwrap());
        assert_eq!(outcome.code, Some(1), "{}", outcome.err);
        assert!(outcome.err.contains("No space left on device"), "{}", outcome.err);
        assert!(outcome.err.contains(" hint: free some space, or choose another --out"));
        let listed = |name| std::fs::read_to_string(world.path(name)).unwrap();
        assert_eq!((listed("before"), listed("after")), ("keep.txt\n".into(), "keep.txt\n".into()));
    }
}

#[test]
fn a_directory_that_is_read_only() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let shell = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh"];
    assert_snapshot!(world.refuses_as(1, world.in_shell(&shell).args(export("old"))), @r"
        error: cannot write old: Read-only file system (os error 30)
         hint: choose an --out that you may write to
    ");
    assert_snapshot!(world.refuses_as(1, world.in_shell(&shell).args(export("old/deep/er"))), @r"
        error: cannot write old/deep/er: Read-only file system (os error 30)
         hint: choose an --out that you may write to
    ");
    assert_snapshot!(world.refuses_as(1, world.in_shell(&shell).args(init("old/w.safetensors"))), @r"
        error: cannot write old/w.safetensors: read-only filesystem or storage medium
         hint: choose an --out that you may write to
    ");
}

#[test]
fn a_file_where_a_directory_should_be() {
    let world = World::new();
    assert_snapshot!(world.refuses(1, &export("m.toml")), @r"
        error: cannot write m.toml: not a directory
         hint: a file is where a directory is needed: choose another --out
    ");
    assert_snapshot!(world.refuses(1, &export("m.toml/deep")), @r"
        error: cannot write m.toml/deep: Not a directory (os error 20)
         hint: a file is where a directory is needed: choose another --out
    ");
    assert_snapshot!(world.refuses(1, &init("m.toml/w.safetensors")), @r"
        error: cannot write m.toml: not a directory
         hint: a file is where a directory is needed: choose another --out
    ");
    assert_snapshot!(world.refuses(1, &init("old")), @r"
        error: cannot write old: is a directory
         hint: --out is a file here, and that is a directory
    ");
}

#[test]
fn other_peoples_files_in_out_stay() {
    let world = World::new();
    world.write("old/mine.onnx", "theirs");
    world.write("old/mine.plan", "theirs");
    world.runs(&export("old"));
    world.runs(&[&export("old")[..], &["--graphs", "rank"]].concat());
    let names = crate::support::names(&world.path("old"));
    assert_eq!(
        names,
        ["keep.txt", "mine.onnx", "mine.plan", "onr.json", "rank.onnx", "weights.data"],
        "what the manifest before named has gone, and nothing else"
    );
}

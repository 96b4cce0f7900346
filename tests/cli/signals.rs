//! Ctrl-C, kill, and two at once.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use serde_json::json;

use crate::support::{BOTH, MODEL, Outcome, World, names};

/// What a user waits for after Ctrl-C; machines that run tests are busy.
const SOON: Duration = Duration::from_secs(6);

fn interrupted((outcome, took): (Outcome, Duration)) {
    assert_eq!(outcome.code, Some(130), "{}{}", outcome.out, outcome.err);
    assert_eq!((outcome.out.as_str(), outcome.err.lines().count()), ("", 1), "{}", outcome.err);
    assert!(outcome.err.starts_with("error: interrupted"), "{}", outcome.err);
    assert!(took < SOON, "{took:?}");
}

/// With a checkpoint of half a gigabyte, most of it a hole in the file.
fn large() -> World {
    let world = World::new();
    world.write("small.toml", MODEL);
    world.write("m.toml", MODEL.replace("n_items = 30", "n_items = 16000000"));
    let rows: u64 = 16_000_000;
    let mut header = json!({});
    world.edit_weights(|h, _| header = h.clone());
    let (begin, end) = (0, rows * 32);
    let old = header["item_embedding"]["data_offsets"].clone();
    assert_eq!(old[0], 0, "the table comes first");
    let shift = end - old[1].as_u64().unwrap();
    for (key, entry) in header.as_object_mut().unwrap() {
        if key == "item_embedding" {
            entry["shape"] = json!([rows, 8]);
            entry["data_offsets"] = json!([begin, end]);
        } else if key != "__metadata__" {
            let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() + shift;
            entry["data_offsets"] = json!([at(0), at(1)]);
        }
    }
    let total = header.as_object().unwrap().values();
    let total = total.filter_map(|e| e["data_offsets"][1].as_u64()).max().unwrap();
    let text = header.to_string();
    let mut file = File::create(world.path("large.safetensors")).unwrap();
    file.write_all(&(text.len() as u64).to_le_bytes()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(8 + text.len() as u64 + total).unwrap();
    world
}

const EXPORT: [&str; 9] = [
    "export",
    "--model",
    "m.toml",
    "--weights",
    "large.safetensors",
    "--profile",
    "batch=1:1:1",
    "--out",
    "old",
];

fn untouched(world: &World, act: impl FnOnce()) {
    let before = world.tree();
    act();
    assert_eq!(world.tree(), before);
}

fn staging(world: &World, dir: &str) -> Vec<String> {
    names(&world.path(dir)).into_iter().filter(|n| n.starts_with(".onr-")).collect()
}

/// What is ours in a directory of temporary files: ONNX Runtime leaves an empty `.ses` there.
fn temporary(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|n| n.starts_with("onr-")).collect()
}

#[test]
fn ctrl_c_during_init() {
    let world = large();
    untouched(&world, || {
        let out = "new/deep/x.safetensors";
        let mut run = world.start(&["init", "--model", "m.toml", "--out", out]);
        run.until("a temporary file", || !staging(&world, "new/deep").is_empty());
        run.signal("INT");
        interrupted(run.end(&world));
    });
}

#[test]
fn ctrl_c_during_export() {
    let world = large();
    untouched(&world, || {
        let mut run = world.start(&EXPORT);
        run.until("staging", || !staging(&world, "old").is_empty());
        run.signal("INT");
        interrupted(run.end(&world));
    });
}

#[test]
fn ctrl_c_during_parity() {
    let world = World::exported();
    let scratch = tempfile::tempdir().unwrap();
    untouched(&world, || {
        let mut command = world.onr();
        let mut run =
            world.start_as(command.args(["parity", "graphs"]).env("TMPDIR", scratch.path()));
        run.until("a reference", || {
            let made = temporary(scratch.path());
            let inner = made.first().map(|d| scratch.path().join(d));
            inner.is_some_and(|d| {
                names(&d).first().is_some_and(|r| d.join(r).join("oneranker.onnx").exists())
            })
        });
        run.signal("INT");
        interrupted(run.end(&world));
    });
    assert_eq!(temporary(scratch.path()), [""; 0], "references are temporary");
}

#[test]
fn ctrl_c_during_the_build_of_a_plan() {
    let world = World::new();
    untouched(&world, || {
        let args =
            [&["build-engine"], &BOTH[..], &["--graphs", "encode,oneranker", "--out", "old"]];
        let mut run = world.start(&args.concat());
        run.until("the first plan", || {
            let staged = staging(&world, "old");
            staged.iter().any(|s| world.path("old").join(s).join("encode.plan").exists())
        });
        run.signal("INT");
        interrupted(run.end(&world));
    });
}

#[test]
fn ctrl_c_while_something_is_deaf() {
    let world = World::new();
    assert!(Command::new("mkfifo").arg(world.path("log.csv")).status().unwrap().success());
    let args =
        ["requests", "--interactions", "log.csv", "--model", "m.toml", "--out", "new/r.jsonl"];
    for json in [false, true] {
        let mut run = world.start(&[&args[..], if json { &["--json"] } else { &[] }].concat());
        run.until("a directory", || world.path("new").exists());
        thread::sleep(Duration::from_millis(300));
        run.signal("INT");
        let (outcome, took) = run.end(&world);
        assert_eq!(outcome.code, Some(130), "{}", outcome.err);
        assert!(took < SOON);
        assert!(!world.path("new").exists());
        let said = if json { &outcome.out } else { &outcome.err };
        assert!(said.contains("interrupted"), "{said}");
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_one() {
    let world = large();
    let scratch = tempfile::tempdir().unwrap();
    let mut run = world.start(&EXPORT);
    run.until("staging", || !staging(&world, "old").is_empty());
    run.signal("KILL");
    assert_eq!(run.end(&world).0.code, None);
    assert!(!staging(&world, "old").is_empty());
    let small = ["--model", "small.toml", "--weights", "w.safetensors"];
    world.runs(&[&["export"], &small[..], &["--out", "old"]].concat());
    assert_eq!(staging(&world, "old"), [""; 0]);
    assert!(!names(&world.path("old")).contains(&".onr.lock".to_owned()));
    assert_eq!(fs::read_to_string(world.path("old/keep.txt")).unwrap(), "precious");

    let parity = |world: &World| {
        let mut command = world.onr();
        command.args(["parity", "old"]).env("TMPDIR", scratch.path());
        command
    };
    let mut run = world.start_as(&mut parity(&world));
    run.until("a reference", || !temporary(scratch.path()).is_empty());
    run.signal("KILL");
    run.end(&world);
    assert_eq!(temporary(scratch.path()).len(), 1);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(world.outcome(parity(&world).output().unwrap()).code, Some(0));
    assert_eq!(temporary(scratch.path()), [""; 0]);

    let out = "x.safetensors";
    let mut run = world.start(&["init", "--model", "m.toml", "--out", out]);
    run.until("a temporary file", || !staging(&world, ".").is_empty());
    run.signal("KILL");
    run.end(&world);
    thread::sleep(Duration::from_secs(1));
    world.runs(&["init", "--model", "small.toml", "--out", out]);
    assert_eq!(staging(&world, "."), [""; 0]);
}

#[test]
fn a_second_writer_learns_who_the_first_is() {
    let world = large();
    let mut first = world.start(&EXPORT);
    first.until("staging", || !staging(&world, "old").is_empty());
    first.signal("STOP");
    let small = ["--model", "small.toml", "--weights", "w.safetensors", "--out", "old"];
    let second = world.run(&[&["export"], &small[..]].concat());
    let program = env!("CARGO_BIN_EXE_onr");
    assert_eq!(second.code, Some(1));
    assert_eq!(
        second.err,
        format!(
            "error: old is being written by process {} ({program} export)\n \
             hint: wait for it, or choose another --out\n",
            first.pid()
        )
    );
    assert_eq!(fs::read_to_string(world.path("old/onr.json")).unwrap(), "an older one");
}

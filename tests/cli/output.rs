//! What goes to which stream, in which form, and whether it fits a terminal.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{BOTH, Outcome, World, request};

const WIDTH: usize = 100;

/// Trains in a second.
const SHORT: &str = r#"
data = { actions = "converted==1:3,clicked==1:2,*:1" }
schedule = { steps = 4, users_per_step = 2, cuts_per_user = 4 }
ranker = { hard_negatives = 8, random_negatives = 8 }
task = [
    { name = "impression", when = "*" },
    { name = "click", when = "clicked==1" },
    { name = "conversion", when = "converted==1" },
    { name = "value", when = "converted==1", value = { column = "value" } },
]
"#;

/// Every verb: those that succeed, in an order that makes what the next one needs.
fn all_verbs() -> Vec<Vec<&'static str>> {
    let build = |more: &[&'static str]| [&["build-engine"], &BOTH[..], more].concat();
    let log = ["requests", "--interactions", "log.csv", "--model", "m.toml", "--out", "r.jsonl"];
    let data = ["--train", "short.toml", "--interactions", "ads"];
    let (trained, more) =
        ("run/weights.safetensors", ["--peers", "--truth", "ads", "--out", "e.json"]);
    let import = ["import", "--map", "map.toml", "--weights", "w.safetensors"];
    vec![
        vec!["doctor"],
        vec!["init", "--model", "m.toml", "--out", "w.safetensors"],
        [&import[..], &["--model", "m.toml", "--out", "i.safetensors"]].concat(),
        log.to_vec(),
        vec!["simulate", "--users", "40", "--items", "80", "--out", "ads"],
        [&["train"], &data[..], &["--model", "ads/model.toml", "--out", "run"]].concat(),
        [&["evaluate", "--model", "run/model.toml", "--weights", trained], &data[..]].concat(),
        [&["evaluate", "--model", "run/model.toml", "--weights", trained], &data[..], &more]
            .concat(),
        vec!["compare", "--of", "e.json", "--against", "e.json", "--metric", "ndcg10"],
        [&["cluster"], &BOTH[..], &["--n-fake-items", "7", "--out", "c.safetensors"]].concat(),
        [&["export"], &BOTH[..], &["--out", "graphs"]].concat(),
        vec!["parity", "graphs", "--requests", "odd.jsonl"],
        build(&["--graphs", "rank", "--requests", "r.jsonl", "--out", "engine"]),
        vec!["build-engine", "--onnx", "graphs/rank.onnx", "--out", "one"],
        vec!["verify", "engine"],
        vec!["preflight", "--facts-template"],
        vec!["preflight", "engine", "--backend", "python", "--container-facts", "facts.json"],
        vec!["package", "triton", "graphs", "--requests", "r.jsonl", "--out", "models"],
        vec!["package", "triton", "engine", "--backend", "python", "--out", "canary"],
        vec!["verify", "models"],
        vec!["inspect", "m.toml"],
        vec!["inspect", "w.safetensors"],
        vec!["inspect", "r.jsonl"],
        vec!["inspect", "engine"],
        vec!["inspect", "one"],
        vec!["inspect", "engine/rank.onnx"],
        vec!["inspect", "engine/rank.plan"],
    ]
}

fn prepared() -> World {
    let world = World::new();
    world.write("log.csv", "user_id,item_id,timestamp\nu1,a,10\nu1,b,20\nu2,a,5\n");
    world.write("short.toml", SHORT);
    world.write("odd.jsonl", request(serde_json::json!({"candidates": [1, 1, 99]})));
    world.write("facts.json", r#"{"backends": ["python"]}"#);
    world.write("map.toml", "[[tensor]]\nfrom = \"{name}\"\nto = \"{name}\"\n");
    world
}

fn one_document(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.out).unwrap_or_else(|e| panic!("{e}\n{}", outcome.out))
}

#[test]
fn every_verb_prints_one_json_document() {
    let world = prepared();
    for args in all_verbs() {
        let outcome = world.run(&[&args[..], &["--json"]].concat());
        assert_eq!(outcome.code, Some(0), "{args:?}\n{}{}", outcome.out, outcome.err);
        assert_eq!(outcome.err, "", "{args:?}");
        let value = one_document(&outcome);
        assert!(value["warnings"].is_array(), "{args:?}");
        if args.contains(&"odd.jsonl") {
            assert_eq!(value["warnings"].as_array().unwrap().len(), 2, "{value:#}");
        }
    }
}

#[test]
fn errors_are_one_json_document_too() {
    let world = World::new();
    let cases: [(i32, &[&str]); 9] = [
        (2, &[]),
        (2, &["export"]),
        (2, &["frobnicate"]),
        (
            2,
            &[
                "export",
                "--model",
                "m.toml",
                "--weights",
                "w.safetensors",
                "--out",
                "x",
                "--top-k",
                "0",
            ],
        ),
        (1, &["init", "--model", "none.toml", "--out", "x"]),
        (1, &["verify", "old"]),
        (1, &["inspect", "none.onnx"]),
        (1, &["parity", "none"]),
        (3, &["build-engine", "--onnx", "x.onnx", "--out", "x", "--builder", "trtexec=/nowhere"]),
    ];
    for (code, args) in cases {
        let outcome = world.run(&[&["--json"], args].concat());
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(code), ""), "{args:?}");
        let value = one_document(&outcome);
        assert_eq!(value["exit"], code, "{args:?}");
        assert!(value["error"].as_str().is_some_and(|e| !e.is_empty()), "{args:?}");
    }
    assert!(world.runs(&["--json", "--help"]).out.starts_with("OneRanker"), "help stays help");
}

#[test]
fn what_people_see_fits_and_has_no_control_characters() {
    let world = prepared();
    for args in all_verbs() {
        let outcome = world.runs(&args);
        let text = outcome.out.clone() + &outcome.err;
        assert!(!text.contains(['\u{1b}', '\r']), "no bar where there is no terminal: {args:?}");
        // Paths of libraries are as long as they are.
        let lines = text.lines().filter(|l| !l.contains("site-packages") && args[0] != "doctor");
        for line in lines {
            assert!(line.chars().count() <= WIDTH, "{args:?}: {line}");
        }
        if ["parity", "export", "verify", "init"].contains(&args[0]) {
            assert!(text.lines().count() <= 25, "{args:?} does not fit a screen\n{text}");
        }
        assert!(!text.contains("WARN"), "what libraries say is for -v: {args:?}\n{text}");
    }
}

#[test]
fn verbose_shows_each_output_and_what_libraries_say() {
    let world = World::new();
    world.runs(&[&["export"], &BOTH[..], &["--precision", "fp16", "--out", "graphs"]].concat());
    let short = world.runs(&["parity", "graphs"]);
    assert!(short.out.contains("encode present.* (worst of 4)"), "{}", short.out);
    assert_eq!(short.err, "");
    let all = world.runs(&["parity", "graphs", "-v"]);
    assert!(all.out.contains("encode present.1.value"), "{}", all.out);
    assert!(all.err.contains("onnxruntime") || all.err.contains("WARN"), "{}", all.err);
}

#[test]
fn a_reader_that_has_gone_is_no_error_and_a_full_one_is() {
    let world = World::new();
    let head = world.in_shell(&["sh", "-c", "\"$@\" | head -n 1; exit 0", "sh"]);
    let mut head = head;
    let outcome = world.outcome(head.args(["inspect", "w.safetensors"]).output().unwrap());
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("tensors\n", ""));

    let mut full = world.onr();
    full.args(["inspect", "m.toml"])
        .stdout(Stdio::from(File::options().write(true).open("/dev/full").unwrap()));
    let outcome = world.outcome(full.output().unwrap());
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.starts_with("error: cannot write the report: No space left"));
}

#[test]
fn on_a_terminal_the_bar_is_gone_before_the_report() {
    let world = World::new();
    // `script` runs its words on a terminal of its own; what comes last is a name of that log.
    let line = format!("'{}' export {} --out new", env!("CARGO_BIN_EXE_onr"), BOTH.join(" "));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(world.path("")).stdin(Stdio::null());
    let Ok(output) = terminal.env("TERM", "xterm").output() else { return };
    let outcome = world.outcome(output);
    let report = outcome.out.find("new (fp32, untrained weights)").expect(&outcome.out);
    let (before, after) = outcome.out.split_at(report);
    assert!(before.contains('\u{1b}'), "a bar: {before:?}");
    assert!(!after.contains('\u{1b}'), "{after:?}");
}

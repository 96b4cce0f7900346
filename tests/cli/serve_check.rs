//! A log replayed through a store of keys and values.

use serde_json::Value;

use crate::support::{BOTH, World};

/// Four users who do something in turn, the first of them more often than the model's histories are long.
fn log() -> String {
    let mut log = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n".to_owned();
    for i in 0..60_u64 {
        let user = [0, 1, 0, 2, 0, 3][i as usize % 6];
        let (item, rating, time) = (1 + i * i % 20, 1 + i % 5, 1_700_000_000 + i * i * 60);
        log += &format!("u{user}\t{item}\t{rating}\t{time}\n");
    }
    log
}

fn served() -> World {
    let world = World::exported();
    world.write("log.inter", log());
    world
}

const CHECK: [&str; 8] =
    ["serve-check", "graphs", "--interactions", "log.inter", "--candidates", "6", "--slots", "4"];

fn check(world: &World, more: &[&str]) -> Value {
    let outcome = world.runs(&[&CHECK[..], more, &["--json"]].concat());
    serde_json::from_str(&outcome.out).unwrap()
}

fn way<'a>(report: &'a Value, name: &str) -> &'a Value {
    let ways = report["ways"].as_array().unwrap();
    ways.iter().find(|way| way["way"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

#[test]
fn histories_grow_and_answers_stay_right_on_both_backends() {
    let world = served();
    for candidate in ["ort", "tract"] {
        let report = check(&world, &["--candidate", candidate, "--after", "0", "--verify", "1"]);
        assert_eq!(report["requests"], 60);
        assert_eq!(report["backend"], candidate);
        assert_eq!(way(&report, "empty")["requests"], 4);
        // Each user's first behaviour is encoded, and so are windows that moved on.
        let encoded = way(&report, "encoded")["requests"].as_u64().unwrap();
        let changed = report["store"]["changed"].as_u64().unwrap();
        assert!(changed > 0 && encoded == 4 + changed, "{report:#}");
        assert_eq!(way(&report, "appended")["requests"].as_u64(), Some(56 - encoded));
        assert_eq!(way(&report, "from scratch")["requests"], 60);
        assert_eq!(
            (&report["verified"]["answers"], &report["verified"]["failed"]),
            (&60.into(), &0.into())
        );
        let saved = report["saved_share"].as_f64().unwrap();
        assert!(saved > 0.1 && saved < 1.0, "{saved}");
    }
}

#[test]
fn people_read_a_table() {
    let world = served();
    let said =
        world.runs(&[&CHECK[..], &["--limit", "20", "--actions", "rating>=4:2,*:1"]].concat()).out;
    for part in [
        "graphs on ort (cpu): 20 requests of 4 users, in the order of time\n",
        "requests   share",
        "\n  appended",
        "\n  from scratch",
        "look-ups: 0 exact, ",
        "% saved\n",
        "verified: 2 answers, ",
        "allowed: pass",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn without_append_every_request_is_encoded() {
    let world = served();
    let graphs = ["--graphs", "encode,generate,rank", "--out", "graphs"];
    world.runs(&[&["export"], &BOTH[..], &graphs].concat());
    let report = check(&world, &[]);
    assert_eq!(way(&report, "encoded")["requests"], 56);
    assert_eq!(report["saved_share"], 0.0);
}

#[test]
fn an_append_that_computes_something_else_is_found() {
    let world = served();
    world.edit("m.toml", "\"hstu\"", "\"softmax\"");
    world.runs(&[&["export"], &BOTH[..], &["--out", "other"]].concat());
    std::fs::copy(world.path("other/append.onnx"), world.path("graphs/append.onnx")).unwrap();
    let outcome = world.run(&[&CHECK[..], &["--verify", "1"]].concat());
    assert_eq!(outcome.code, Some(4), "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.contains("allowed: FAIL\n  user u"), "{}", outcome.out);
}

#[test]
fn refusals() {
    let world = served();
    let said = world.refuses(1, &[&CHECK[..], &["--after", "100"]].concat());
    assert_eq!(
        said,
        "error: log.inter has no request\n hint: no user has more behaviours than --after\n"
    );
    let graphs = ["--graphs", "encode,append,generate", "--out", "graphs"];
    world.runs(&[&["export"], &BOTH[..], &graphs].concat());
    let said = world.refuses(2, &CHECK);
    assert!(
        said.starts_with("error: the directory has no graph rank\n hint: export encode"),
        "{said}"
    );
    let vectors = ["--item-input", "embeddings", "--out", "graphs"];
    world.runs(&[&["export"], &BOTH[..], &vectors].concat());
    let said = world.refuses(2, &CHECK);
    assert!(said.starts_with("error: the graphs take items as vectors"), "{said}");
}

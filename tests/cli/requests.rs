//! Requests and interaction logs that are wrong.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{World, request};

fn parity(world: &World, file: &str, more: &[&str]) -> String {
    world.refuses(1, &[&["parity", "graphs", "--requests", file], more].concat())
}

#[test]
fn files_that_cannot_be_requests() {
    let world = World::exported();
    world.write("empty.jsonl", "");
    assert_snapshot!(parity(&world, "empty.jsonl", &[]), @r"
        error: empty.jsonl has no requests
         hint: was the file copied completely?
    ");
    world.write("text.jsonl", "user,items\n");
    assert_snapshot!(parity(&world, "text.jsonl", &[]), @r#"
        error: text.jsonl line 1: expected value (column 1)
         hint: one object a line: {"user": "u1", "items": [5], "actions": [1], "timestamps": [1700000000], "request_time": 1700000060, "candidates": [7, 9]}; only `candidates` may be left out
    "#);
    world.write("short.jsonl", "{\"user\": \"ann\", \"items\": [1]}\n");
    assert_snapshot!(parity(&world, "short.jsonl", &[]), @r#"
        error: short.jsonl line 1: field `actions` is missing
         hint: one object a line: {"user": "u1", "items": [5], "actions": [1], "timestamps": [1700000000], "request_time": 1700000060, "candidates": [7, 9]}; only `candidates` may be left out
    "#);
    world.write("text.parquet", "PAR1");
    let said = parity(&world, "text.parquet", &[]);
    assert!(said.starts_with("error: text.parquet: not readable or writable as Parquet"), "{said}");
    assert_snapshot!(parity(&world, "none.jsonl", &[]), @r"
        error: cannot read none.jsonl: No such file or directory (os error 2)
         hint: `onr requests` makes one from an interaction log
    ");
    world.write("r.csv", "");
    let csv = world.refuses(2, &["parity", "graphs", "--requests", "r.csv"]);
    assert_snapshot!(csv, @r"
        error: r.csv: the extension is none of .jsonl, .parquet
         hint: the format follows from the extension: rename the file
    ");
}

#[test]
fn lists_of_different_lengths() {
    let world = World::exported();
    world.write("r.jsonl", request(json!({})) + &request(json!({"actions": [1, 2]})));
    assert_snapshot!(parity(&world, "r.jsonl", &[]), @r"
        error: r.jsonl line 2: user `ann` has 3 items, 2 actions and 3 timestamps
         hint: each behaviour is one item, one action and one timestamp
    ");
}

#[test]
fn times_that_run_backwards_are_refused_or_sorted() {
    let world = World::exported();
    world.write("r.jsonl", request(json!({"timestamps": [10, 30, 20]})));
    assert_snapshot!(parity(&world, "r.jsonl", &[]), @r"
        error: r.jsonl line 1: times of user `ann` run backwards at behaviour 2: 30, then 20
         hint: --sort orders each history by time
    ");
    let sorted = world.runs(&["parity", "graphs", "--requests", "r.jsonl", "--sort"]);
    assert_eq!(sorted.err, "");
}

#[test]
fn long_histories_are_cut_and_unknown_ids_counted_unless_strict() {
    let world = World::exported();
    let long: Vec<i64> = (1..=13).collect();
    let cut = json!({"items": long, "actions": vec![1; 13], "timestamps": long});
    world.write("long.jsonl", request(cut));
    assert_snapshot!(parity(&world, "long.jsonl", &["--strict"]), @r"
        error: long.jsonl line 1: user `ann` has 13 behaviours, the model takes 12
         hint: without --strict the history is cut to its most recent behaviours
    ");
    let done = world.runs(&["parity", "graphs", "--requests", "long.jsonl"]);
    assert_snapshot!(done.err, @"warning: histories longer than max_seq_len, cut to their latest behaviours: 1");

    let odd = json!({"items": [1, 99, -1], "actions": [1, 7, 2], "candidates": [4, 99, 4, 0], "label": 1});
    world.write("odd.jsonl", request(odd));
    assert_snapshot!(parity(&world, "odd.jsonl", &["--strict"]), @r"
        error: odd.jsonl: behaviours with an item that the model does not know: 2; candidates that the model does not know: 1; behaviours with an action that the model does not know: 1; candidates that are the padding id 0: 1; candidates repeated within a request: 1; unknown fields were ignored: label
         hint: without --strict these are warnings
    ");
    let done = world.runs(&["parity", "graphs", "--requests", "odd.jsonl"]);
    assert_snapshot!(done.err, @r"
        warning: behaviours with an item that the model does not know: 2
        warning: candidates that the model does not know: 1
        warning: behaviours with an action that the model does not know: 1
        warning: candidates that are the padding id 0: 1
        warning: candidates repeated within a request: 1
        warning: unknown fields were ignored: label
    ");
    assert!(done.out.contains("parity     holds"));
}

#[test]
fn a_log_that_is_wrong_leaves_neither_requests_nor_vocabulary() {
    let world = World::new();
    let log = "user_id,item_id,timestamp,rating\nu1,a,10,5\nu1,b,20,3\n";
    world.write("log.csv", log);
    let args = ["requests", "--interactions", "log.csv", "--model", "m.toml", "--out"];
    let with = |out: &'static str, more: &[&'static str]| [&args[..], &[out], more].concat();
    assert_snapshot!(world.refuses(2, &with("new/r.txt", &[])), @r"
        error: new/r.txt: the extension is none of .jsonl, .parquet
         hint: the format follows from the extension: rename the file
    ");
    assert_snapshot!(world.refuses(2, &with("new/r.jsonl", &["--actions", "rating>5"])), @r"
        error: action rule `rating>5`: no `:ACTION` at the end
         hint: for example `rating>=5:3,rating>=4:2,*:1`: the first match gives the action id
    ");
    assert_snapshot!(world.refuses(2, &with("new/r.jsonl", &["--actions", "*:9"])), @r"
        error: an action rule gives action 9, the model has 3 actions (0 to 2)
         hint: compare the action rule with n_actions in model.toml
    ");
    assert_snapshot!(world.refuses(2, &with("new/r.jsonl", &["--keep", "1.5"])), @"error: keep is 1.5, needed is above 0 and at most 1");
    assert_snapshot!(world.refuses(1, &with("new/r.jsonl", &["--user", "uid"])), @r"
        error: log.csv: no column `uid` among user_id, item_id, timestamp, rating
         hint: a log's columns can be named by option; a request file needs user, items, actions, timestamps and request_time
    ");
    world.edit("log.csv", "20", "noon");
    assert_snapshot!(world.refuses(1, &with("new/r.jsonl", &[])), @r"
        error: log.csv line 3: column `timestamp` is `noon`, needed is unix seconds
         hint: times are unix seconds; convert dates before
    ");
    world.write("log.csv", "");
    let said = world.refuses(1, &with("new/r.jsonl", &[]));
    assert!(said.starts_with("error: log.csv"), "{said}");

    world.write("log.csv", log);
    world.edit("m.toml", "n_items = 30", "n_items = 2");
    assert_snapshot!(world.refuses(1, &with("new/r.jsonl", &[])), @r"
        error: the vocabulary has 2 items, the model has room for 1 (n_items 2, the padding id 0 included)
         hint: give the vocabulary that the model was trained with, or train with a larger n_items
    ");
}

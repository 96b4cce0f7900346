//! Training and judging: bad input, what is the same every time, Ctrl-C.

use std::{
    fs::{self},
    path::Path,
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{World, names};

/// What the verbs that read a log begin with.
const DATA: [&str; 6] =
    ["--model", "ads/model.toml", "--train", "ads/train.toml", "--interactions", "ads"];

/// A folder `ads` with a small log, and configurations that train in a second.
fn ads() -> World {
    let world = World::new();
    let small = ["simulate", "--users", "40", "--items", "80", "--format", "csv", "--out", "ads"];
    world.runs(&small);
    world.edit("ads/train.toml", "steps = 1500", "steps = 6");
    world.edit("ads/train.toml", "users_per_step = 16", "users_per_step = 4");
    world.edit("ads/train.toml", "cuts_per_user = 32", "cuts_per_user = 8");
    world.edit("ads/train.toml", "checkpoint_every = 250", "checkpoint_every = 2");
    world.edit("ads/model.toml", "d_model = 32", "d_model = 8");
    world
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"], &DATA[..], more].concat()
}

fn evaluate<'a>(run: &'a [&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
    let [model, weights] = run;
    let given = ["evaluate", "--model", model, "--weights", weights];
    let log = ["--train", "ads/train.toml", "--interactions", "ads"];
    [&given[..], &log, more].concat()
}

const RUN: [&str; 2] = ["run/model.toml", "run/weights.safetensors"];

fn weights(world: &World, run: &str) -> Vec<u8> {
    fs::read(world.path(run).join("weights.safetensors")).unwrap()
}

/// A log of its own for the small model.
fn with_log(rows: &str) -> World {
    let world = ads();
    for name in names(&world.path("ads")).into_iter().filter(|n| n.ends_with(".csv")) {
        fs::remove_file(world.path("ads").join(name)).unwrap();
    }
    world
        .write("ads/log.csv", format!("user_id,item_id,timestamp,clicked,converted,value\n{rows}"));
    world
}

/// `n` rows of a user, item by item; all clicked and worth `value`.
fn rows(user: &str, n: usize, value: &str) -> String {
    (0..n).map(|i| format!("{user},i{i},{},1,1,{value}\n", 100 + i)).collect()
}

#[test]
fn a_simulated_folder_trains_and_is_judged_as_it_is() {
    let world = ads();
    let said = world.runs(&train(&["--out", "run"])).out;
    assert!(said.contains("run (full, seed 0): 6 steps, "), "{said}");
    assert_eq!(
        names(&world.path("run")),
        [
            "model.toml",
            "state.safetensors",
            "train.toml",
            "training.json",
            "vocab.json",
            "weights.safetensors"
        ]
    );
    let args = evaluate(&RUN, &["--truth", "ads", "--peers", "--out", "e.json"]);
    let said = world.runs(&args).out;
    for list in ["generator:impression", "ranker:click", "final", "popularity", "markov"] {
        assert!(said.contains(&format!("\n  {list} ")), "{list}\n{said}");
    }
    for [list, metric] in [["final", "value10"], ["generator:value", "dc"], ["final", "hr10"]] {
        let args = ["compare", "--of", "e.json", "--against", "e.json", "--list", list];
        let same = world.runs(&[&args[..], &["--metric", metric, "--json"]].concat());
        let same: Value = serde_json::from_str(&same.out).unwrap();
        assert_eq!(same["difference"], json!({"mean": 0.0, "low": 0.0, "high": 0.0}), "{metric}");
    }
    let requests = ["--vocab", "run/vocab.json", "--actions", "*:1", "--out", "r.jsonl"];
    let log = ["requests", "--interactions", "ads/part-00000.csv", "--model", "run/model.toml"];
    world.runs(&[&log[..], &requests].concat());
    let graphs = ["export", "--model", RUN[0], "--weights", RUN[1], "--out", "graphs"];
    world.runs(&graphs);
}

#[test]
fn equal_input_gives_equal_bytes() {
    let world = ads();
    for (out, threads) in [("a", "1"), ("b", "2"), ("c", "2")] {
        let mut command = world.onr();
        command.args(train(&["--out", out, "--seed", "7"])).env("RAYON_NUM_THREADS", threads);
        assert_eq!(world.outcome(command.output().unwrap()).code, Some(0));
    }
    world.runs(&train(&["--out", "d", "--seed", "7", "--threads", "1"]));
    world.runs(&train(&["--out", "e", "--seed", "8"]));
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|run| weights(&world, run));
    assert!(a == b, "on one thread or two");
    assert!(b == c, "twice");
    assert!(b == d, "by option or by variable");
    assert!(a != e, "another seed");

    let args = |out: &'static str| {
        evaluate(&["a/model.toml", "a/weights.safetensors"], &["--out", out])
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for out in ["a.json", "b.json"] {
        let args = args(out);
        world.runs(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert!(fs::read(world.path("a.json")).unwrap() == fs::read(world.path("b.json")).unwrap());
}

#[test]
fn the_order_of_the_log_does_not_matter() {
    let world = ads();
    world.runs(&train(&["--out", "sorted"]));
    let shard = "ads/part-00000.csv";
    let text = fs::read_to_string(world.path(shard)).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    let rows: Vec<_> = rows.lines().rev().collect();
    world.write(shard, format!("{head}\n{}\n", rows.join("\n")));
    world.runs(&train(&["--out", "backwards"]));
    assert!(weights(&world, "sorted") == weights(&world, "backwards"));
}

#[test]
fn parts_can_be_left_out() {
    let world = ads();
    for (out, more) in [
        ("fakes", &["--without", "fake-items"][..]),
        ("two", &["--without", "dc", "--without", "task-order"]),
        ("ranker", &["--without", "ranker"]),
        ("base", &["--baseline"]),
    ] {
        world.runs(&train(&[&["--out", out], more].concat()));
        let file = |name: &str| format!("{out}/{name}");
        let (model, weights) = (file("model.toml"), file("weights.safetensors"));
        let said = world.runs(&evaluate(&[&model, &weights], &[])).out;
        assert_eq!(said.contains("ranker:"), !["ranker", "base"].contains(&out), "{out}\n{said}");
    }
    let said = world.runs(&["inspect", "two/weights.safetensors"]).out;
    assert!(said.contains("onr.variant=without dc, task-order"), "{said}");
    let both = train(&["--out", "x", "--baseline", "--without", "dc"]);
    assert!(world.refuses(2, &both).contains("cannot be used with"));
    let unknown = world.refuses(2, &train(&["--out", "x", "--without", "rankr"]));
    assert!(unknown.contains("[possible values: fake-items, dc, task-order, ranker]"), "{unknown}");
}

#[test]
fn a_configuration_that_is_wrong() {
    let world = ads();
    world.edit("ads/train.toml", "name = \"click\"", "name = \"clik\"");
    world.edit("ads/train.toml", "users_per_step = 4", "users_per_step = 0");
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r#"
        error: ads/train.toml: the [[task]] tables are ["impression", "clik", "conversion", "value"], the tasks of the model ["impression", "click", "conversion", "value"]: names and order must agree; `schedule.users_per_step` must be at least 1
         hint: docs/training.md lists every key of train.toml
    "#);
    world.edit("ads/train.toml", "users_per_step", "users_per_stp");
    let said = world.refuses(1, &train(&["--out", "run"]));
    assert!(said.contains("unknown field `users_per_stp`"), "{said}");

    let world = ads();
    world.edit("ads/train.toml", "when = \"clicked==1\"", "when = \"clicked\"");
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r#"
        error: ads/train.toml: task `click`: condition `clicked`: no comparison and no `*`
         hint: for example `when = "rating>=4 && device==phone"`, or `when = "*"` for every row
    "#);
    world.edit("ads/train.toml", "when = \"clicked\"", "when = \"tapped==1\"");
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: ads/part-00000.csv: no column `tapped` among user_id, item_id, timestamp, clicked, converted, value
         hint: train.toml names columns: `[data]` those of users, items and times; `actions`, `when` and `value` those of labels
    ");
    assert!(world.refuses(2, &train(&["--out", "run", "--threads", "0"])).contains("--threads 0"));
}

#[test]
fn logs_that_teach_nothing() {
    let world = with_log(&rows("ann", 3, "1.5"));
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: no user has the four behaviours that training needs (two to learn from, one to validate, one to test): the log has 1 users and 3 behaviours
         hint: give more of the log, or look at `data.actions`
    ");
    let world = with_log(&rows("ann", 12, "1.5").replace(",1,1,", ",0,0,"));
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: task `click` has no positive among the behaviours that train: check its `when`
         hint: compare the task's `when` with the columns of the log; the last two behaviours of each user do not train
    ");
    let world = with_log(&rows("ann", 12, "-1.5"));
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: task `value` has no positive among the behaviours that train: check its `when`
         hint: compare the task's `when` with the columns of the log; the last two behaviours of each user do not train
    ");
    let world = with_log("");
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @"error: the log has no rows");
    let world = with_log(&rows("ann", 12, "much"));
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @"error: ads/log.csv line 2: column `value` is `much`, needed is a finite number");
    fs::remove_dir_all(world.path("ads")).unwrap();
    let world = with_log(&rows("ann", 12, "1.5"));
    world.edit("ads/model.toml", "n_items = 81", "n_items = 10");
    world.edit("ads/model.toml", "n_fake_items = 16", "n_fake_items = 2");
    let said = world.refuses(1, &train(&["--out", "run"]));
    assert!(said.contains("negatives and the targets are more than the 9 items"), "{said}");
    world.edit("ads/train.toml", "hard_negatives = 48", "hard_negatives = 2");
    world.edit("ads/train.toml", "random_negatives = 16", "random_negatives = 1");
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: the vocabulary has 12 items, the model has room for 9 (n_items 10, the padding id 0 included)
         hint: give the vocabulary that the model was trained with, or train with a larger n_items
    ");
    fs::remove_file(world.path("ads/log.csv")).unwrap();
    assert_snapshot!(world.refuses(1, &train(&["--out", "run"])), @r"
        error: ads: no log in the folder
         hint: a folder of shards has .inter, .tsv, .csv or .parquet files
    ");
}

#[test]
fn one_user_is_enough_and_negative_values_are_worth_nothing() {
    let mixed = rows("ann", 12, "1.5").replace("i3,103,1,1,1.5", "i3,103,1,1,-4");
    let world = with_log(&mixed);
    world.runs(&train(&["--out", "run"]));
    let said = world.runs(&evaluate(&RUN, &[])).out;
    assert!(said.contains("1 of 1 users judged"), "{said}");
}

#[test]
fn the_state_of_another_run() {
    let world = ads();
    world.runs(&train(&["--out", "run"]));
    let again = world.runs(&train(&["--out", "run"])).out;
    assert!(again.contains("6 steps, all of them done before"), "{again}");
    let other = train(&["--out", "run", "--seed", "1"]);
    assert_snapshot!(world.refuses(1, &other), @r"
        error: run/state.safetensors: belongs to a run with another model, configuration, seed or log; remove it to begin anew
         hint: --fresh begins anew; or choose another --out
    ");
    world.edit_bytes("run/state.safetensors", |bytes| bytes.truncate(1000));
    let broken = world.refuses(1, &train(&["--out", "run"]));
    assert!(broken.starts_with("error: run/state.safetensors: "), "{broken}");
    assert!(broken.contains("hint: --fresh begins anew"), "{broken}");
    world.runs(&[&other[..], &["--fresh"]].concat());
}

#[test]
fn a_checkpoint_of_another_model_is_not_judged() {
    let world = ads();
    world.runs(&train(&["--out", "run"]));
    let other = ["ads/other.toml", RUN[1]];
    let model = fs::read_to_string(world.path("ads/model.toml")).unwrap();
    world.write("ads/other.toml", model.replace("d_model = 8", "d_model = 16"));
    let said = world.refuses(1, &evaluate(&other, &["--out", "new/e.json"]));
    assert!(said.starts_with("error: run/weights.safetensors does not fit"), "{said}");
    assert!(
        said.contains("`item_embedding` has shape [81, 8], the model needs [81, 16]"),
        "{said}"
    );
    let said = world.refuses(2, &evaluate(&RUN, &["--cutoff", "0"]));
    assert!(said.contains("cutoff must be positive"), "{said}");
    assert_snapshot!(world.refuses(1, &evaluate(&RUN, &["--truth", "old"])), @r"
        error: cannot read old/truth.json: No such file or directory (os error 2)
         hint: `onr simulate` writes truth.json beside its log
    ");
}

#[test]
fn only_evaluations_of_the_same_behaviours_are_compared() {
    let world = ads();
    world.runs(&train(&["--out", "run"]));
    world.runs(&evaluate(&RUN, &["--out", "a.json"]));
    world.runs(&evaluate(&RUN, &["--out", "v.json", "--fold", "validation"]));
    let compare = |b: &'static str, more: &[&'static str]| {
        [&["compare", "--of", "a.json", "--against", b, "--metric"], more].concat()
    };
    assert_snapshot!(world.refuses(1, &compare("v.json", &["hr10"])), @r"
        error: a.json and v.json are of different folds: test and validation
         hint: evaluate both with the same log, train.toml, tie seed and fold
    ");
    assert_snapshot!(world.refuses(2, &compare("a.json", &["hr10", "--list", "markov"])), @r"
        error: a.json has no list `markov`
         hint: it has generator:impression, generator:click, generator:conversion, generator:value, ranker:impression, ranker:click, ranker:conversion, final
    ");
    assert_snapshot!(world.refuses(1, &compare("a.json", &["value10"])), @r"
        error: no user that all runs share counts for value@10
         hint: value10 needs `onr evaluate --truth`, dc a ranking stage, value-ndcg10 a task with a value
    ");
    let said = world.refuses(2, &compare("a.json", &["hr100"]));
    assert!(said.contains("value-ndcg10"), "{said}");
    assert_snapshot!(world.refuses(1, &compare("none.json", &["hr10"])), @"error: cannot read none.json: No such file or directory (os error 2)");
    assert_snapshot!(world.refuses(1, &compare("old/onr.json", &["hr10"])), @r"
        error: old/onr.json is no evaluation: expected value at line 1 column 1
         hint: `onr evaluate --out` writes one
    ");

    let shard = "ads/part-00000.csv";
    let text = fs::read_to_string(world.path(shard)).unwrap();
    let lines = text.lines().count();
    let less: Vec<_> = text.lines().take(lines - 2).collect();
    world.write(shard, less.join("\n") + "\n");
    world.runs(&evaluate(&RUN, &["--out", "b.json"]));
    assert_snapshot!(world.refuses(1, &compare("b.json", &["hr10"])), @r"
        error: a.json and b.json are of different logs: other held-out items
         hint: evaluate both with the same log, train.toml, tie seed and fold
    ");
}

#[test]
fn clusters_replace_the_fake_items_and_nothing_else() {
    let world = World::new();
    let cluster =
        |more: &[&'static str]| [&["cluster", "--model", "m.toml", "--weights"], more].concat();
    for n in ["0", "30"] {
        let args = cluster(&["w.safetensors", "--out", "x.safetensors", "--n-fake-items", n]);
        let said = world.refuses(2, &args);
        assert!(said.contains(&format!("--n-fake-items {n} is outside 1..=29")), "{said}");
    }
    world.runs(&cluster(&["w.safetensors", "--out", "same.safetensors"]));
    assert!(!world.path("same.model.toml").exists());
    world.runs(&cluster(&["w.safetensors", "--out", "seven.safetensors", "--n-fake-items", "7"]));
    let wide = ["export", "--model", "seven.model.toml", "--weights", "seven.safetensors"];
    world.runs(&[&wide[..], &["--out", "wide"]].concat());
    half(&world);
    world.runs(&cluster(&["half.safetensors", "--out", "h7.safetensors", "--n-fake-items", "7"]));
    let (before, after) = (tensors(&world, "half.safetensors"), tensors(&world, "h7.safetensors"));
    assert_eq!(before.len(), after.len());
    for ((name, dtype, bytes), (_, new_dtype, new_bytes)) in before.iter().zip(&after) {
        assert_eq!(dtype, new_dtype, "{name}");
        assert_eq!(bytes == new_bytes, name != "fake_items", "{name}");
    }
    world.edit_weights(|header, data| {
        let at = header["item_embedding"]["data_offsets"][0].as_u64().unwrap() as usize;
        data[at + 40..at + 44].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let args = cluster(&["w.safetensors", "--out", "x.safetensors"]);
    assert_snapshot!(world.refuses(1, &args), @r"
        error: `item_embedding`[10] is NaN, which is not finite
         hint: the checkpoint diverged in training: take an earlier one
    ");
}

/// `half.safetensors`: `w.safetensors` with its tables in 16 bits.
fn half(world: &World) {
    let file = fs::read(world.path("w.safetensors")).unwrap();
    let read = safetensors::SafeTensors::deserialize(&file).unwrap();
    let mut made: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in read.tensors() {
        let narrow = ["item_embedding", "fake_items"].contains(&name.as_str());
        let numbers = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        let bytes = match narrow {
            true => numbers.flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
            false => view.data().to_vec(),
        };
        let dtype = if narrow { safetensors::Dtype::F16 } else { view.dtype() };
        made.push((name, dtype, view.shape().to_vec(), bytes));
    }
    let views = made.iter().map(|(name, dtype, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    world.write("half.safetensors", safetensors::serialize(views, None).unwrap());
}

fn tensors(world: &World, name: &str) -> Vec<(String, safetensors::Dtype, Vec<u8>)> {
    let file = fs::read(world.path(name)).unwrap();
    let read = safetensors::SafeTensors::deserialize(&file).unwrap();
    let mut all: Vec<_> =
        read.tensors().into_iter().map(|(n, v)| (n, v.dtype(), v.data().to_vec())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn simulations_that_cannot_be() {
    let world = World::new();
    assert_snapshot!(world.refuses(1, &["simulate", "--out", "old"]), @r"
        error: old exists and is not an empty folder
         hint: choose another --out
    ");
    assert_snapshot!(world.refuses(2, &["simulate", "--items", "3", "--out", "new/ads"]), @r"
        error: the simulation cannot be made: n_series is not of 1..=n_items
         hint: --users, --items, --series and --price-slope set these; there are five series or more
    ");
    let said = world.refuses(2, &["simulate", "--users", "0", "--out", "ads"]);
    assert!(said.contains("n_users"), "{said}");
}

fn steps_done(world: &World, run: &str) -> bool {
    world.path(run).join("state.safetensors").exists()
}

#[test]
fn ctrl_c_during_training_loses_nothing() {
    let world = ads();
    world.edit("ads/train.toml", "steps = 6", "steps = 60");
    world.runs(&train(&["--out", "whole"]));
    let mut run = world.start(&train(&["--out", "run"]));
    run.until("a state", || steps_done(&world, "run"));
    run.signal("INT");
    let (outcome, _) = run.end(&world);
    assert_eq!(outcome.code, Some(130), "{}{}", outcome.out, outcome.err);
    assert!(outcome.err.starts_with("error: interrupted after step "), "{}", outcome.err);
    assert!(outcome.err.contains("hint: the same command goes on from there"), "{}", outcome.err);
    assert_eq!(names(&world.path("run")), ["state.safetensors"]);
    let said = world.runs(&train(&["--out", "run"])).out;
    assert!(said.contains("gone on with after step"), "{said}");
    assert!(weights(&world, "run") == weights(&world, "whole"), "as if nothing had been");

    let mut run = world.start(&train(&["--out", "killed"]));
    run.until("a state", || steps_done(&world, "killed"));
    run.signal("KILL");
    run.end(&world);
    world.runs(&train(&["--out", "killed"]));
    assert!(weights(&world, "killed") == weights(&world, "whole"), "as if nothing had been");
    let hidden = |dir: &Path| names(dir).into_iter().filter(|n| n.starts_with('.')).count();
    assert_eq!(hidden(&world.path("killed")), 0);
}

#[test]
fn ctrl_c_during_evaluation_leaves_nothing() {
    let world = ads();
    world.runs(&["simulate", "--users", "4000", "--items", "400", "--out", "many"]);
    world.runs(&["init", "--model", "many/model.toml", "--out", "many.safetensors"]);
    let scratch = tempfile::tempdir().unwrap();
    let before = world.tree();
    let mut command = world.onr();
    command.env("TMPDIR", scratch.path()).args(["evaluate", "--model", "many/model.toml"]);
    command.args(["--weights", "many.safetensors", "--train", "many/train.toml"]);
    command.args(["--interactions", "many", "--out", "new/e.json"]);
    let mut run = world.start_as(&mut command);
    run.until("a store", || {
        let made = names(scratch.path());
        made.iter().any(|d| scratch.path().join(d).join("log/store.json").exists())
    });
    run.signal("INT");
    let (outcome, _) = run.end(&world);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(130), ""), "{}", outcome.err);
    assert_eq!(world.tree(), before);
    assert_eq!(names(scratch.path()), [""; 0]);
}

//! Whole logs, from text to requests.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, TimestampMillisecondArray,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::{CheckOptions, Checker, Limits, Place};

/// In the form of MovieLens-100k; user 22 was met before user 3, items 50 and 242 at one time.
const INTER: &str = "user_id:token\titem_id:token\trating:float\ttimestamp:float
22\t377\t1\t878887116
3\t50\t5\t881250949
3\t242\t4\t881250949
22\t50\t4\t878887110
3\t377\t3.0\t881250940
3\t1000\t5\t891250000
";

fn log(name: &str, text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn make(name: &str, text: &str, options: &LogOptions) -> Result<LogRequests, String> {
    let (dir, path) = log(name, text);
    let made = from_log(&path, None, options);
    made.map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn rule(text: &str) -> LogOptions {
    LogOptions { actions: Actions::Rule(text.parse().unwrap()), ..LogOptions::new(10) }
}

#[test]
fn recbole_logs_need_no_options() {
    let made = make("ml.inter", INTER, &LogOptions::new(10)).unwrap();
    assert_eq!(made.vocab().items(), ["50", "242", "377", "1000"]);
    assert_eq!((made.report().rows, made.report().users, made.report().items), (6, 2, 4));
    let requests: Vec<_> = made.map(|r| r.request).collect();
    let first = &requests[0];
    assert_eq!(first.user, "3", "users are in numeric order");
    assert_eq!(first.items, [3, 1, 2, 4], "by time, then as in the log");
    assert_eq!(first.actions, [1; 4]);
    assert_eq!(first.timestamps, [881_250_940, 881_250_949, 881_250_949, 891_250_000]);
    assert_eq!(first.request_time, 891_250_000);
    assert!(first.candidates.is_empty());
    assert_eq!((requests[1].user.as_str(), &requests[1].items[..]), ("22", &[1, 3][..]));
}

#[test]
fn a_replay_asks_before_each_behaviour_in_the_order_of_time() {
    let options = LogOptions { n_candidates: 2, ..LogOptions::new(2) };
    let made = make("ml.inter", INTER, &options).unwrap();
    let drawn: Vec<_> = made.map(|r| r.request.candidates).collect();
    let replay = make("ml.inter", INTER, &options).unwrap().replay(0);
    assert_eq!(replay.len(), 6);
    let asked: Vec<_> =
        replay.map(|r| (r.request_time, r.user, r.items, r.timestamps, r.candidates)).collect();
    let of = |user: &str| drawn[usize::from(user == "22")].clone();
    let want = [
        (878_887_110, "22", vec![], vec![]),
        (878_887_116, "22", vec![1], vec![878_887_110]),
        (881_250_940, "3", vec![], vec![]),
        (881_250_949, "3", vec![3], vec![881_250_940]),
        (881_250_949, "3", vec![3, 1], vec![881_250_940, 881_250_949]),
        // A third behaviour does not fit any more: one is left, as 0.75 of 2 is.
        (891_250_000, "3", vec![2], vec![881_250_949]),
    ];
    let want =
        want.map(|(time, user, items, times)| (time, user.to_owned(), items, times, of(user)));
    assert_eq!(asked, want);

    let later = make("ml.inter", INTER, &options).unwrap().replay(2);
    assert_eq!(later.map(|r| r.items.len()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn ratings_become_actions_or_leave_the_row_out() {
    let made = make("ml.inter", INTER, &rule(">=5:3,rating>=4:2,*:1")).unwrap();
    assert_eq!(made.map(|r| r.request.actions).collect::<Vec<_>>(), [vec![1, 3, 2, 3], vec![2, 1]]);

    let made = make("ml.inter", INTER, &rule("rating>=5:1")).unwrap();
    let report = made.report();
    assert_eq!((report.rows, report.rows_without_action, report.users, report.items), (6, 4, 1, 2));
    assert_eq!(made.count(), 1);
}

#[test]
fn the_last_behaviour_can_be_held_out_and_its_time_does_not_leak() {
    let options = LogOptions { hold_out_last: true, ..rule("rating>=2:1") };
    let made = make("ml.inter", INTER, &options).unwrap();
    assert_eq!(made.report().empty_histories, 1);
    let requests: Vec<_> = made.collect();
    let target = Behaviour { item: 4, action: 1, timestamp: 891_250_000 };
    assert_eq!(requests[0].held_out, Some(target));
    assert_eq!(requests[0].request.items.len(), 3);
    assert_eq!(requests[0].request.request_time, 881_250_949);
    assert_eq!(requests[1].request.request_time, 0, "nothing is left of user 22");
    assert!(requests[1].request.items.is_empty());
}

#[test]
fn long_histories_are_cut_in_steps() {
    let rows: String = (0..9).map(|i| format!("u,{},{i}\n", i + 1)).collect();
    let text = format!("user_id,item_id,timestamp\n{rows}");
    let options = LogOptions { keep: 0.5, ..LogOptions::new(4) };
    let mut made = make("log.csv", &text, &options).unwrap();
    assert_eq!(made.report().cut_histories, 1);
    assert_eq!(made.next().unwrap().request.items, [7, 8, 9]);
}

#[test]
fn csv_with_other_names_quotes_and_an_action_column() {
    let text = "\u{feff}when, visitor ,ad,did\n5,\"a, b\",x y,2\n4.9,\"a, b\",z,7\n";
    let mut options = LogOptions::new(10);
    options.columns.user = Some("visitor".into());
    options.columns.item = Some("ad".into());
    options.columns.timestamp = Some("when".into());
    options.actions = Actions::Column("did".into());
    let request = make("log.csv", text, &options).unwrap().next().unwrap().request;
    assert_eq!((request.user.as_str(), &request.timestamps[..]), ("a, b", &[4, 5][..]));
    assert_eq!((&request.items[..], &request.actions[..]), (&[2, 1][..], &[7, 2][..]));
}

#[test]
fn candidates_come_from_their_column() {
    let text = "user_id\titem_id\ttimestamp\tshown\nu\ta\t1\tb c\nu\tb\t2\tc|a|c|new\nv\ta\t1\t\n";
    let mut options = LogOptions { n_candidates: 3, ..LogOptions::new(10) };
    options.columns.candidates = Some("shown".into());
    let made: Vec<_> = make("log.tsv", text, &options).unwrap().map(|r| r.request).collect();
    assert_eq!(made[0].candidates, [3, 1, 4]);
    assert!(made[1].candidates.is_empty(), "an empty cell is an answer");

    let (_dir, path) = log("log.tsv", text);
    let vocab = Vocab::new(vec!["c".into(), "b".into()]).unwrap();
    let made = from_log(&path, Some(vocab), &options).unwrap();
    let report = made.report().clone();
    assert_eq!((report.vocab_items, report.unknown_items, report.unknown_behaviours), (2, 2, 2));
    let first = made.map(|r| r.request).next().unwrap();
    assert_eq!((&first.items[..], &first.candidates[..]), (&[-1, 2][..], &[1, -1, -1][..]));
}

#[test]
fn drawn_candidates_do_not_depend_on_other_users() {
    let options = LogOptions { n_candidates: 3, seed: 5, ..LogOptions::new(10) };
    let all: Vec<_> = make("ml.inter", INTER, &options).unwrap().collect();
    assert!(all.iter().all(|r| r.request.candidates.len() == 3));
    let mut lines: Vec<_> = INTER.lines().collect();
    lines[1..].reverse();
    let other: Vec<_> = make("ml.inter", &lines.join("\n"), &options).unwrap().collect();
    let candidates =
        |rs: &[LogRequest]| rs.iter().map(|r| r.request.candidates.clone()).collect::<Vec<_>>();
    assert_eq!(candidates(&all), candidates(&other));

    let limited = LogOptions { limit: Some(1), n_candidates: 99, ..options };
    let mut one = make("ml.inter", INTER, &limited).unwrap();
    assert_eq!((one.len(), one.report().users, one.report().requests), (1, 2, 1));
    let mut drawn = one.next().unwrap().request.candidates;
    drawn.sort_unstable();
    assert_eq!(drawn, [1, 2, 3, 4]);
}

#[test]
fn they_pass_the_checker() {
    let options = LogOptions { n_candidates: 2, ..LogOptions::new(2) };
    let made = make("ml.inter", INTER, &options).unwrap();
    let limits = Limits { n_items: made.vocab().len() + 1, n_actions: 2, max_seq_len: 2 };
    let mut checker = Checker::new(limits, CheckOptions { strict: true, sort: false });
    for (number, made) in (1..).zip(made) {
        checker.check(made.request, &Place::Request { number }).unwrap();
    }
    assert_eq!((checker.report().requests, checker.report().unknown_history_items), (2, 0));
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> (TempDir, PathBuf) {
    let (dir, path) = log("log.parquet", "");
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (dir, path)
}

#[test]
fn parquet_logs_may_have_real_timestamps() {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("rating", Arc::new(Float64Array::from(vec![5.0, 2.5]))),
        ("user_id", Arc::new(Int64Array::from(vec![7, 7]))),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(vec![5999, 4000]))),
        ("item_id", Arc::new(Int64Array::from(vec![30, 20]))),
    ];
    let (_dir, path) = parquet(columns.clone());
    let request = from_log(&path, None, &rule("rating>=5:2,*:1")).unwrap().next().unwrap().request;
    assert_eq!((request.user.as_str(), &request.items[..]), ("7", &[1, 2][..]));
    assert_eq!((&request.timestamps[..], &request.actions[..]), (&[4, 5][..], &[1, 2][..]));

    let lists =
        ListArray::from_iter_primitive::<Int64Type, _, _>([None::<Vec<_>>, Some(vec![Some(1)])]);
    columns[3].1 = Arc::new(lists);
    let (_dir, path) = parquet(columns);
    let error = from_log(&path, None, &LogOptions::new(10)).err().unwrap().to_string();
    assert!(error.contains("column `item_id` is List"), "{error}");
}

#[test]
fn refused_because_of_the_log() {
    let head = "user_id,item_id,timestamp,rating\n1,2,3,4\n";
    let options = rule("rating>=4:1");
    for (rows, expected) in [
        ("1,2,noon,4\n", "log.csv line 3: column `timestamp` is `noon`, needed is unix seconds"),
        ("1,2,,4\n", "log.csv line 3: column `timestamp` is ``, needed is unix seconds"),
        (",2,3,4\n", "log.csv line 3: column `user_id` is ``, needed is an id"),
        ("1,2,3,good\n", "log.csv line 3: column `rating` is `good`, needed is a number"),
        ("1,2,3\n", "log.csv line 3: not readable as delimited text"),
    ] {
        let error = make("log.csv", &format!("{head}{rows}"), &options).err().unwrap();
        assert_eq!(error, expected);
    }
    for (name, text, expected) in [
        ("log.txt", head, "log.txt: the extension is none of .inter, .tsv, .csv, .parquet"),
        (
            "log.csv",
            "",
            "log.csv: no column `user_id` or `session_id` or `userId` or `user` among none",
        ),
        (
            "log.csv",
            "user_id,item_id,t\n",
            "log.csv: no column `timestamp` or `time` or `ts` among user_id, item_id, t",
        ),
        (
            "log.csv",
            "user_id,item_id,time\n",
            "log.csv: no column `rating` among user_id, item_id, time",
        ),
    ] {
        assert_eq!(make(name, text, &options).err().unwrap(), expected);
    }
}

#[test]
fn refused_because_of_options() {
    let small = LogOptions { n_items: Some(4), ..LogOptions::new(10) };
    let expected = "the vocabulary has 4 items, the model has room for 3 (n_items 4, the padding id 0 included)";
    assert_eq!(make("ml.inter", INTER, &small).err().unwrap(), expected);
    let enough = LogOptions { n_items: Some(5), ..LogOptions::new(10) };
    assert!(make("ml.inter", INTER, &enough).is_ok());

    let actions = LogOptions { n_actions: Some(3), ..rule("rating>4:3,*:1") };
    let expected = "an action rule gives action 3, the model has 3 actions (0 to 2)";
    assert_eq!(make("ml.inter", INTER, &actions).err().unwrap(), expected);

    let keep = LogOptions { keep: 0.0, ..LogOptions::new(10) };
    assert_eq!(
        make("ml.inter", INTER, &keep).err().unwrap(),
        "keep is 0, needed is above 0 and at most 1"
    );
}

#[test]
fn a_log_without_rows_makes_no_requests() {
    let made = make("log.csv", "user_id,item_id,timestamp\n", &LogOptions::new(10)).unwrap();
    assert!(made.vocab().is_empty());
    assert_eq!(made.count(), 0);
}

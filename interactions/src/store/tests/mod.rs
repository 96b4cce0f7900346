//! What a store holds, and what it refuses.

mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use onr_requests::Actions;
use proptest::prelude::*;
use tempfile::TempDir;

use super::build::{Plan, build};
use super::shards::shards;
use super::*;
use crate::{LabelRule, Labels, StoreOptions, ValueRule, hash};

fn rule(name: &str, when: &str) -> LabelRule {
    LabelRule { name: name.into(), when: when.into(), value: None }
}

fn options() -> StoreOptions {
    let value = Some(ValueRule { column: "rating".into(), minus: 3.0, times: 0.5 });
    let labels = Labels::new(vec![
        rule("impression", "*"),
        rule("click", "rating>=4"),
        LabelRule { value, ..rule("value", "rating>=4") },
    ]);
    StoreOptions {
        actions: Actions::Rule("rating>=4:2,rating>=2:1".parse().unwrap()),
        ..StoreOptions::new(labels.unwrap())
    }
}

/// User, item, rating and time.
type Row = (u8, u8, u8, u8);

fn csv(rows: &[Row]) -> String {
    let line = |&(user, item, rating, time): &Row| format!("u{user},{item},{rating},{time}\n");
    "user_id,item_id,rating,timestamp\n".to_owned() + &rows.iter().map(line).collect::<String>()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn go(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn made(text: &str, options: &StoreOptions) -> Result<(TempDir, Store), InteractionsError> {
    let dir = tempfile::tempdir().unwrap();
    let log = write(dir.path(), "log.csv", text);
    let store = Store::build(&[log], options, &dir.path().join("store"), &mut go)?;
    Ok((dir, store))
}

fn histories(store: &Store) -> Vec<Vec<Event>> {
    let mut history = Vec::new();
    let read = |user| {
        store.history(user, &mut history).unwrap();
        assert_eq!(store.history_len(user).unwrap(), history.len());
        history.clone()
    };
    (0..store.n_users()).map(read).collect()
}

/// The same without disk, buckets and numbers of items. Items are dense by their rank.
fn obvious(rows: &[Row], tie_seed: u64) -> Vec<Vec<Event>> {
    let kept: Vec<_> = rows.iter().filter(|row| row.2 >= 2).collect();
    let mut items: Vec<_> = kept.iter().map(|row| row.1).collect();
    items.sort_unstable();
    items.dedup();
    let mut users: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut repeated = BTreeMap::new();
    for &&(user, item, rating, time) in &kept {
        let user = hash::id(&format!("u{user}"));
        let count = repeated.entry((user, item, time)).or_insert(0);
        let id = hash::id(&item.to_string())[0];
        let tie = hash::mix(&[tie_seed, user[0], user[1], time.into(), id, *count]);
        *count += 1;
        let good = rating >= 4;
        let event = Event {
            item: u32::try_from(items.binary_search(&item).unwrap() + 1).unwrap(),
            action: if good { 2 } else { 1 },
            labels: if good { 0b111 } else { 0b001 },
            value: if good { f32::from(rating - 3) / 2.0 } else { 0.0 },
            time: time.into(),
        };
        users.entry(user).or_default().push((time, tie, event));
    }
    let ordered = |mut events: Vec<(u8, u64, Event)>| {
        events.sort_by_key(|&(time, tie, _)| (time, tie));
        events.into_iter().map(|(.., event)| event).collect()
    };
    users.into_values().map(ordered).collect()
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    [EVENTS, USERS, VOCAB, META].map(|name| fs::read(dir.join(name)).unwrap()).to_vec()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0..6_u8, 8..13_u8, 1..6_u8, 0..9_u8), 1..120)
        .prop_filter("a behaviour", |rows| rows.iter().any(|row| row.2 >= 2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn it_is_what_an_obvious_way_makes_in_any_number_of_buckets_and_shards(
        rows in rows(), bits in 0..7_u32, limit in 1..40_u64, cut in 0..120_usize, tie_seed: u64
    ) {
        let options = StoreOptions { tie_seed, ..options() };
        let (whole, store) = made(&csv(&rows), &options).unwrap();
        let expected = obvious(&rows, tie_seed);
        prop_assert_eq!(histories(&store), expected.clone());
        let report = store.report();
        let all: Vec<_> = expected.iter().flatten().collect();
        prop_assert_eq!(report.rows, rows.len() as u64);
        prop_assert_eq!(report.events + report.rows_without_action, report.rows);
        let positives = |n| all.iter().filter(|e| e.is_positive(n)).count() as u64;
        prop_assert_eq!(&report.positives, &(0..3).map(positives).collect::<Vec<_>>());
        prop_assert_eq!(report.short_users, expected.iter().filter(|h| h.len() < 3).count() as u64);

        let split = tempfile::tempdir().unwrap();
        let folder = split.path().join("shards");
        fs::create_dir(&folder).unwrap();
        let (a, b) = rows.split_at(cut.min(rows.len()));
        write(&folder, "part-0.csv", &csv(a));
        write(&folder, "part-1.csv", &csv(b));
        write(&folder, "_SUCCESS", "");
        let dir = split.path().join("store");
        let shards = shards(&[folder]).unwrap();
        build(&shards, &options, &dir, &mut go, Plan { bits, limit }).unwrap();
        prop_assert_eq!(files(&dir), files(&whole.path().join("store")));
        prop_assert_eq!(fs::read_dir(&dir).unwrap().count(), 4, "nothing else remains");
    }

    #[test]
    fn the_order_of_rows_matters_between_the_same_alone(rows in rows()) {
        let mut unique = rows;
        unique.sort_unstable_by_key(|row| (row.0, row.1, row.3));
        unique.dedup_by_key(|row| (row.0, row.1, row.3));
        prop_assume!(unique.iter().any(|row| row.2 >= 2));
        let (_dir, one) = made(&csv(&unique), &options()).unwrap();
        unique.reverse();
        let (_dir, other) = made(&csv(&unique), &options()).unwrap();
        prop_assert_eq!(histories(&one), histories(&other));
    }

    #[test]
    fn ties_are_shuffled_within_themselves(rows in rows(), seed: u64) {
        let (_dir, one) = made(&csv(&rows), &options()).unwrap();
        let (_dir, other) = made(&csv(&rows), &StoreOptions { tie_seed: seed, ..options() }).unwrap();
        for (mut one, mut other) in histories(&one).into_iter().zip(histories(&other)) {
            let key = |e: &Event| (e.time, e.item, e.action, e.value.to_bits());
            let times = |h: &[Event]| h.iter().map(|e| e.time).collect::<Vec<_>>();
            prop_assert_eq!(times(&one), times(&other));
            one.sort_by_key(key);
            other.sort_by_key(key);
            prop_assert_eq!(one, other);
        }
    }
}

/// Three users: one with a tie at the end and times that run backwards, one short, one in between.
const LOG: &str = "user_id,item_id,rating,timestamp
a,30,5,30
b,10,4,7
a,20,4,10
c,10,2,5
a,10,3,30
c,20,1,6
c,30,2,6
c,30,4,8
";

#[test]
fn the_report_counts() {
    let (_dir, store) = made(LOG, &options()).unwrap();
    let expected = StoreReport {
        rows: 8,
        rows_without_action: 1,
        users: 3,
        items: 3,
        events: 7,
        positives: vec![7, 4, 4],
        total_value: 2.5,
        short_users: 1,
        tied_last: 1,
        backwards: 1,
        ..StoreReport::default()
    };
    assert_eq!(store.report(), &expected);
    assert_eq!(
        (store.n_users(), store.n_items(), store.n_actions(), store.n_events()),
        (3, 4, 3, 7)
    );
    assert_eq!(store.tasks(), ["impression", "click", "value"]);
}

#[test]
fn users_are_found_by_their_external_id() {
    let (_dir, store) = made(LOG, &options()).unwrap();
    let times = |user| {
        let mut history = Vec::new();
        store.history(store.find_user(user).unwrap().unwrap(), &mut history).unwrap();
        history.iter().map(|e| e.time).collect::<Vec<_>>()
    };
    assert_eq!([times("a"), times("b"), times("c")], [vec![10, 30, 30], vec![7], vec![5, 6, 8]]);
    assert_eq!(store.find_user("d").unwrap(), None);
}

#[test]
fn a_vocabulary_decides_which_items_there_are() {
    let vocab = Vocab::new(["20", "99", "10"].map(str::to_owned).to_vec()).unwrap();
    let options = StoreOptions {
        vocab: Some(vocab.clone()),
        n_items: Some(9),
        n_actions: Some(7),
        ..options()
    };
    let (_dir, store) = made(LOG, &options).unwrap();
    assert_eq!((store.vocab(), store.n_items(), store.n_actions()), (&vocab, 9, 7));
    let report = store.report();
    assert_eq!((report.unknown_items, report.unknown_rows, report.items), (1, 3, 3));
    assert_eq!((report.events, report.rows_without_action), (4, 1));
    let items: Vec<_> = histories(&store).into_iter().flatten().map(|e| e.item).collect();
    assert_eq!(items.iter().filter(|&&i| i == 3).count(), 3, "item 10 is the third");
}

#[test]
fn ties_are_the_same_for_a_seed_and_differ_between_seeds() {
    let rows: Vec<Row> = (0..200).map(|i| (0, i, 5, 0)).collect();
    let items = |tie_seed| {
        let (_dir, store) = made(&csv(&rows), &StoreOptions { tie_seed, ..options() }).unwrap();
        histories(&store)[0].iter().map(|e| e.item).collect::<Vec<_>>()
    };
    assert_eq!(items(1), items(1));
    assert_ne!(items(1), items(2));
    assert!(!items(1).is_sorted());
}

#[test]
fn threads_read_one_store() {
    let rows: Vec<Row> = (0..=255).flat_map(|i| (0..40).map(move |user| (user, i, 5, i))).collect();
    let (dir, store) = made(&csv(&rows), &options()).unwrap();
    let all = histories(&store);
    assert!(all.iter().all(|history| history.len() == 256));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(histories(&store), all));
        }
    });
    let opened = Store::open(&dir.path().join("store")).unwrap();
    assert_eq!(histories(&opened), all);
    assert_eq!(opened.report(), store.report());
}

#[test]
fn progress_grows_to_the_end_and_can_stop() {
    let rows: Vec<Row> = (0..20_000_u16).map(|i| ((i % 251) as u8, 1, 5, 1)).collect();
    let dir = tempfile::tempdir().unwrap();
    let log = [write(dir.path(), "log.csv", &csv(&rows))];
    let at = dir.path().join("store");
    let mut told = Vec::new();
    let mut tell = |done, total| {
        told.push((done, total));
        ControlFlow::Continue(())
    };
    Store::build(&log, &options(), &at, &mut tell).unwrap();
    assert!(told.len() > 5 && told.is_sorted(), "{told:?}");
    assert!(told.last().is_some_and(|(done, total)| done == total));

    let before = files(&at);
    let mut stop = |done, _| if done > 50_000 { ControlFlow::Break(()) } else { go(0, 0) };
    let stopped = Store::build(&log, &StoreOptions { tie_seed: 9, ..options() }, &at, &mut stop);
    assert!(matches!(stopped, Err(InteractionsError::Stopped)));
    assert_eq!(files(&at), before, "the store from before remains");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 4);
}

#[test]
fn what_a_killed_build_left_goes() {
    let dir = tempfile::tempdir().unwrap();
    let log = [write(dir.path(), "log.csv", LOG)];
    let left = dir.path().join("store/.onr-store-x");
    fs::create_dir_all(&left).unwrap();
    write(&left, "lock", "");
    std::thread::sleep(std::time::Duration::from_secs(1));
    Store::build(&log, &options(), &dir.path().join("store"), &mut go).unwrap();
    assert!(!left.exists());
}

#[test]
fn folders_are_read_by_name_and_files_as_given() {
    let dir = tempfile::tempdir().unwrap();
    let head = "user_id,item_id,rating,timestamp\n";
    let folder = dir.path().join("log");
    fs::create_dir_all(folder.join("b")).unwrap();
    let row = |time: u8| format!("{head}u,1,5,{time}\n");
    let z = write(&folder, "z.csv", &row(4));
    write(&folder, "a.csv", &row(1));
    write(&folder.join("b"), "x.csv", &row(2));
    write(&folder, "c.csv", &row(3));
    for passed_over in ["_SUCCESS", ".part.crc", "truth.json", "README.md"] {
        write(&folder, passed_over, "");
    }
    let backwards = |logs: &[PathBuf]| {
        let store = Store::build(logs, &options(), &dir.path().join("store"), &mut go).unwrap();
        (store.n_events(), store.report().backwards)
    };
    assert_eq!(backwards(std::slice::from_ref(&folder)), (4, 0));
    assert_eq!(backwards(&[z, folder.join("a.csv")]), (2, 1));
}

#[test]
fn given_histories_are_kept_as_they_are() {
    let event = |item, time| Event { item, action: 1, labels: 1, value: 0.5, time };
    let given = vec![vec![event(3, 1), event(1, 1)], vec![], vec![event(4, -7)]];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::from_histories(6, vec!["click".into()], given.clone(), dir.path()).unwrap();
    assert_eq!(histories(&store), given);
    assert_eq!((store.n_items(), store.vocab().len(), store.n_actions()), (6, 5, 2));
    assert_eq!((store.find_user("2").unwrap(), store.find_user("3").unwrap()), (Some(2), None));
    let report = store.report();
    assert_eq!((report.events, report.items, report.tied_last, report.short_users), (3, 3, 1, 3));
    assert_eq!((&report.positives[..], report.total_value), (&[3][..], 1.5));
}

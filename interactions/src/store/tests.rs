//! What a store holds, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use onr_requests::Actions;
use proptest::prelude::*;
use tempfile::TempDir;

use super::build::{Plan, build, shards};
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

//! Never stale, never over its bytes, the least recently used first: held against a model that is slow and plain.

use std::{sync::Arc, thread};

use onr_kvstore::{Behaviour, ENTRY_BYTES, Lookup, Store};
use proptest::prelude::*;

/// What a test keeps as a value: the very behaviours, so that a stale one shows.
type Value = Arc<(String, Vec<Behaviour>)>;

#[derive(Debug, Clone)]
enum Step {
    Get { version: usize, user: usize, history: Vec<Behaviour> },
    Put { version: usize, user: usize, history: Vec<Behaviour>, bytes: u64 },
    Forget { user: usize },
}

const VERSIONS: [&str; 2] = ["v1", "v2"];
const USERS: [&str; 5] = ["a", "bb", "ccc", "", "e"];

/// Few different behaviours, so that histories often begin alike.
fn history() -> impl Strategy<Value = Vec<Behaviour>> {
    let behaviour = (1..3_i64, 0..2_i64, 0..2_i64);
    let behaviour = behaviour.prop_map(|(item, action, time)| Behaviour { item, action, time });
    let growing = (0..6_usize).prop_map(|n| {
        (0..n as i64).map(|i| Behaviour { item: i, action: 1, time: i }).collect::<Vec<_>>()
    });
    prop_oneof![3 => growing, 1 => prop::collection::vec(behaviour, 0..4)]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..VERSIONS.len(), 0..USERS.len());
    let get = (who(), history()).prop_map(|((version, user), history)| Step::Get {
        version,
        user,
        history,
    });
    let put = (who(), history(), 0..1500_u64)
        .prop_map(|((version, user), history, bytes)| Step::Put { version, user, history, bytes });
    prop_oneof![
        5 => get,
        5 => put,
        1 => (0..USERS.len()).prop_map(|user| Step::Forget { user }),
    ]
}

/// An entry of the model.
#[derive(Clone)]
struct Kept {
    version: usize,
    user: usize,
    history: Vec<Behaviour>,
    bytes: u64,
}

/// Entries, the least recently used first.
#[derive(Default)]
struct Naive {
    entries: Vec<Kept>,
    evicted: u64,
    rejected: u64,
}

impl Naive {
    fn at(&self, version: usize, user: usize) -> Option<usize> {
        self.entries.iter().position(|e| (e.version, e.user) == (version, user))
    }

    fn touch(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.entries.push(entry);
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|e| e.bytes).sum()
    }

    fn get(&mut self, version: usize, user: usize, history: &[Behaviour]) -> Lookup<Value> {
        let Some(at) = self.at(version, user) else { return Lookup::Absent };
        let known = self.entries[at].history.clone();
        let value = Arc::new((VERSIONS[version].to_owned(), known.clone()));
        if known.starts_with(history) {
            self.touch(at);
            Lookup::Exact(value)
        } else if !known.is_empty() && history.starts_with(&known) {
            self.touch(at);
            Lookup::Prefix { value, known: known.len() }
        } else {
            Lookup::Changed
        }
    }

    fn put(&mut self, kept: Kept, bound: u64) {
        if let Some(at) = self.at(kept.version, kept.user) {
            let old = &self.entries[at].history;
            if old.len() > kept.history.len() && old.starts_with(&kept.history) {
                return self.touch(at);
            }
            self.entries.remove(at);
        }
        if kept.bytes > bound {
            self.rejected += 1;
            return;
        }
        while self.bytes() + kept.bytes > bound {
            self.entries.remove(0);
            self.evicted += 1;
        }
        self.entries.push(kept);
    }
}

fn whole(version: usize, user: usize, history: &[Behaviour], bytes: u64) -> u64 {
    let names = 2 * (VERSIONS[version].len() + USERS[user].len());
    bytes + (names + 24 * history.len()) as u64 + ENTRY_BYTES
}

fn play(store: &Store<Value>, naive: &mut Naive, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Get { version, user, history } => {
            let got = store.get(VERSIONS[*version], USERS[*user], history);
            if let Lookup::Exact(value) | Lookup::Prefix { value, .. } = &got {
                let shorter = value.1.len().min(history.len());
                prop_assert_eq!(&value.1[..shorter], &history[..shorter], "stale");
                prop_assert_eq!(&value.0, VERSIONS[*version], "of another version");
            }
            prop_assert_eq!(got, naive.get(*version, *user, history));
        }
        Step::Put { version, user, history, bytes } => {
            let value = Arc::new((VERSIONS[*version].to_owned(), history.clone()));
            store.put(VERSIONS[*version], USERS[*user], history, value, *bytes);
            let whole = whole(*version, *user, history, *bytes);
            let (version, user, history) = (*version, *user, history.clone());
            naive.put(Kept { version, user, history, bytes: whole }, store.bound());
        }
        Step::Forget { user } => {
            store.forget(USERS[*user]);
            naive.entries.retain(|e| e.user != *user);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn never_stale_never_over_its_bytes_and_oldest_first(
        bound in 0..4000_u64,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (store, mut naive) = (Store::new(bound), Naive::default());
        let mut lookups = 0;
        for step in &steps {
            play(&store, &mut naive, step)?;
            lookups += u64::from(matches!(step, Step::Get { .. }));
            let counted = store.statistics();
            prop_assert!(counted.bytes <= bound && counted.peak_bytes <= bound);
            prop_assert!(counted.peak_bytes >= counted.bytes);
            prop_assert_eq!(counted.bytes, naive.bytes());
            prop_assert_eq!(counted.entries, naive.entries.len() as u64);
            prop_assert_eq!(counted.lookups(), lookups);
            prop_assert_eq!((counted.evicted, counted.rejected), (naive.evicted, naive.rejected));
        }
    }
}

#[test]
fn threads_that_race_on_one_user_get_what_they_asked_for() {
    let store: Store<Value> = Store::new(4000);
    let seen = |item: i64, time: i64| Behaviour { item, action: 1, time };
    thread::scope(|scope| {
        for who in 0..4_i64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..2000 {
                    // Two histories that share their beginning and nothing else.
                    let n = 1 + (round + who) % 7;
                    let history: Vec<_> =
                        (0..n).map(|i| seen(i, if i > 2 { who % 2 } else { 0 })).collect();
                    let value = match store.get("v", "ann", &history) {
                        Lookup::Exact(value) => {
                            assert_eq!(value.1[..history.len()], history[..]);
                            value
                        }
                        Lookup::Prefix { value, known } => {
                            assert_eq!(value.1[..], history[..known]);
                            Arc::new(("v".to_owned(), history.clone()))
                        }
                        _ => Arc::new(("v".to_owned(), history.clone())),
                    };
                    let bytes = 100 * value.1.len() as u64;
                    store.put("v", "ann", &value.1, Arc::clone(&value), bytes);
                }
            });
        }
    });
    let counted = store.statistics();
    assert_eq!(counted.lookups(), 8000);
    assert!(counted.entries == 1 && counted.peak_bytes <= 4000);
}

#[test]
fn what_is_too_large_is_not_kept_and_evicts_nobody() {
    let store = Store::new(2 * (ENTRY_BYTES + 100));
    let one = [Behaviour { item: 1, action: 1, time: 1 }];
    store.put("v", "a", &one, Arc::new(1), 10);
    store.put("v", "b", &one, Arc::new(2), 10_000);
    store.put("v", "c", &one, Arc::new(3), u64::MAX);
    assert_eq!(store.get("v", "a", &one), Lookup::Exact(Arc::new(1)));
    assert_eq!(store.get("v", "b", &one), Lookup::Absent);
    let counted = store.statistics();
    assert_eq!((counted.rejected, counted.evicted, counted.entries), (2, 0, 1));
}

#[test]
fn a_shorter_history_is_served_and_does_not_push_out_the_longer_one() {
    let store = Store::new(1 << 20);
    let seen: Vec<_> = (0..4).map(|i| Behaviour { item: i, action: 1, time: i }).collect();
    store.put("v", "a", &seen, "four", 10);
    assert_eq!(store.get("v", "a", &seen[..2]), Lookup::Exact("four"));
    store.put("v", "a", &seen[..2], "two", 10);
    assert_eq!(store.get("v", "a", &seen), Lookup::Exact("four"));
    assert_eq!(store.get("v", "a", &[]), Lookup::Exact("four"));
    assert_eq!(store.statistics().bytes, 10 + 4 * 24 + 2 * 2 + ENTRY_BYTES);
}

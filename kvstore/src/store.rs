//! The store itself.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Statistics,
    recent::{Place, Recent},
};

/// Bytes that an entry takes beside its value, its behaviours and the names of its user and version: an upper bound
/// of what maps and lists need for it.
pub const ENTRY_BYTES: u64 = 256;

/// One thing that a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Behaviour {
    /// Dense item id.
    pub item: i64,
    /// Action id.
    pub action: i64,
    /// Unix seconds.
    pub time: i64,
}

/// What a store has for a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<V> {
    /// A value of the whole history. It may have been computed from more behaviours, of which the history is the
    /// beginning: whoever uses it goes by the history's own length.
    Exact(V),
    /// A value of the first `known` behaviours, fewer than the history has; at least one.
    Prefix {
        /// The value.
        value: V,
        /// How many behaviours are in it.
        known: usize,
    },
    /// The user is there with another history.
    Changed,
    /// The user is not there.
    Absent,
}

/// Values by user and version of the model, each with the behaviours that it was computed from.
///
/// The bytes of all entries together never exceed the bound: the least recently used go first. A value is given out
/// only where all of its behaviours, or all of the request's, are equal to the other's first ones; no count and no
/// hash stands in for them.
///
/// Values are cloned out, so they should be cheap to clone (`Arc`). Nothing is computed under the lock.
#[derive(Debug)]
pub struct Store<V> {
    bound: u64,
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    /// By version, then by user.
    places: HashMap<Box<str>, HashMap<Box<str>, Place>>,
    entries: Recent<Entry<V>>,
    statistics: Statistics,
}

#[derive(Debug)]
struct Entry<V> {
    version: Box<str>,
    user: Box<str>,
    behaviours: Box<[Behaviour]>,
    value: V,
    bytes: u64,
}

/// Does `whole` begin with `first`?
fn begins(whole: &[Behaviour], first: &[Behaviour]) -> bool {
    whole.get(..first.len()) == Some(first)
}

impl<V: Clone> Store<V> {
    /// An empty store for at most `bound` bytes.
    #[must_use]
    pub fn new(bound: u64) -> Self {
        let inner = Inner {
            places: HashMap::new(),
            entries: Recent::new(),
            statistics: Statistics::default(),
        };
        Self { bound, inner: Mutex::new(inner) }
    }

    /// The bound, bytes.
    #[must_use]
    pub const fn bound(&self) -> u64 {
        self.bound
    }

    /// What was kept for a user's history under a version of the model. An entry that was found is the most recently
    /// used from then on; one of another history is not, and stays until it is replaced or evicted.
    pub fn get(&self, version: &str, user: &str, history: &[Behaviour]) -> Lookup<V> {
        let mut inner = self.lock();
        let Some(place) = inner.place(version, user) else {
            inner.statistics.absent += 1;
            return Lookup::Absent;
        };
        let found = inner.entries.get(place).and_then(|entry| {
            let (known, value) = (entry.behaviours.len(), || entry.value.clone());
            if begins(&entry.behaviours, history) {
                Some(Lookup::Exact(value()))
            } else if known > 0 && begins(history, &entry.behaviours) {
                Some(Lookup::Prefix { value: value(), known })
            } else {
                None
            }
        });
        let Some(found) = found else {
            inner.statistics.changed += 1;
            return Lookup::Changed;
        };
        inner.entries.touch(place);
        match found {
            Lookup::Exact(_) => inner.statistics.exact += 1,
            _ => inner.statistics.prefix += 1,
        }
        found
    }

    /// Keeps `value`, computed from `history`, in the place of what the user had under this version. `bytes` is the size
    /// of the value alone. Where the user's entry has this history and more, that entry stays.
    ///
    /// An entry larger than the bound is counted and not kept; what the user had goes all the same, as it is older.
    pub fn put(&self, version: &str, user: &str, history: &[Behaviour], value: V, bytes: u64) {
        let mut inner = self.lock();
        if let Some(place) = inner.place(version, user) {
            let old = inner.entries.get(place);
            if old.is_some_and(|old| {
                old.behaviours.len() > history.len() && begins(&old.behaviours, history)
            }) {
                inner.entries.touch(place);
                return;
            }
            inner.remove(place);
        }
        let entry = Entry {
            version: version.into(),
            user: user.into(),
            behaviours: history.into(),
            value,
            bytes: entry_bytes(version, user, history, bytes),
        };
        if entry.bytes > self.bound {
            inner.statistics.rejected += 1;
            return;
        }
        while inner.statistics.bytes > self.bound - entry.bytes {
            if !inner.evict() {
                break;
            }
        }
        inner.insert(entry);
    }

    /// Forgets a user under all versions, as when data has to be erased.
    pub fn forget(&self, user: &str) {
        let mut inner = self.lock();
        let places: Vec<Place> =
            inner.places.values().filter_map(|users| users.get(user).copied()).collect();
        for place in places {
            inner.remove(place);
        }
    }

    /// What was counted.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let inner = self.lock();
        Statistics { entries: inner.entries.len() as u64, ..inner.statistics }
    }

    /// No operation leaves half of its work behind when it panics in a value's `Clone`, so a poisoned lock is no harm.
    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a whole entry; names stand twice, in the entry and in the map.
fn entry_bytes(version: &str, user: &str, history: &[Behaviour], value: u64) -> u64 {
    let names = 2 * (version.len() + user.len());
    let behaviours = size_of_val(history);
    value.saturating_add((names + behaviours) as u64 + ENTRY_BYTES)
}

impl<V> Inner<V> {
    fn place(&self, version: &str, user: &str) -> Option<Place> {
        self.places.get(version)?.get(user).copied()
    }

    fn insert(&mut self, entry: Entry<V>) {
        self.statistics.bytes += entry.bytes;
        self.statistics.peak_bytes = self.statistics.peak_bytes.max(self.statistics.bytes);
        let (version, user) = (entry.version.clone(), entry.user.clone());
        let place = self.entries.push(entry);
        self.places.entry(version).or_default().insert(user, place);
    }

    fn remove(&mut self, place: Place) {
        if let Some(entry) = self.entries.remove(place) {
            self.unlist(&entry);
        }
    }

    /// Drops the least recently used entry; `false` when there is none.
    fn evict(&mut self) -> bool {
        let Some(entry) = self.entries.pop_oldest() else { return false };
        self.unlist(&entry);
        self.statistics.evicted += 1;
        true
    }

    fn unlist(&mut self, entry: &Entry<V>) {
        self.statistics.bytes -= entry.bytes;
        if let Some(users) = self.places.get_mut(&entry.version) {
            users.remove(&entry.user);
            if users.is_empty() {
                self.places.remove(&entry.version);
            }
        }
    }
}

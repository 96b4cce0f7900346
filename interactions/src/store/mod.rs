//! Histories on disk.
//!
//! | file | contents |
//! | --- | --- |
//! | `events.bin` | behaviours, user after user, each user's in the order of time; 24 bytes each, little-endian |
//! | `users.bin` | `n_users + 1` integers of 64 bits: the histories begin and end at these behaviours |
//! | `vocab.json` | external ids of the items |
//! | `store.json` | sizes, names of the tasks, what was counted; written last |

mod buckets;
mod build;
mod group;
mod items;
mod meta;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use onr_requests::Vocab;

use self::meta::{EVENTS, META, Meta, USERS, VOCAB};
use self::write::{Description, Writer};
use crate::Event;
use crate::error::{InteractionsError, read_error};
use crate::event::part;

pub use build::StoreOptions;
pub use meta::StoreReport;

/// Behaviours that are read from disk at once.
const CHUNK: usize = 256;

/// Histories that are read user by user; what stays in memory is the vocabulary. Threads can share it.
///
/// The order of the users has no meaning: a store of a log has them by a hash of their external ids.
#[derive(Debug)]
pub struct Store {
    meta: Meta,
    vocab: Vocab,
    events: Bin,
    users: Bin,
}

#[derive(Debug)]
struct Bin {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`InteractionsError::Read`], [`InteractionsError::Version`], [`InteractionsError::Broken`] when a
    /// file has not the size that the description says, [`InteractionsError::Log`] for the vocabulary.
    pub fn open(dir: &Path) -> Result<Self, InteractionsError> {
        let file = dir.join(META);
        let meta = Meta::read(&file)?;
        let fits = usize::try_from(meta.n_users).is_ok()
            && u32::try_from(meta.n_items).is_ok_and(|n| n > 0)
            && meta.tasks.len() <= Event::MAX_TASKS;
        if !fits {
            let reason = "sizes that no store can have".to_owned();
            return Err(InteractionsError::Broken { file, reason });
        }
        let vocab = Vocab::read(&dir.join(VOCAB))?;
        let bytes = |n: u64, each: usize| u128::from(n) * each as u128;
        let events = Bin::open(dir.join(EVENTS), bytes(meta.n_events, Event::BYTES))?;
        let users = Bin::open(dir.join(USERS), bytes(meta.n_users, 8) + 8)?;
        Ok(Self { meta, vocab, events, users })
    }

    /// Writes given histories to `dir`: user `u` of the store is `histories[u]`. Item `n` has the external
    /// id `n`.
    ///
    /// # Errors
    /// [`InteractionsError::Event`] for an item outside `1..n_items`, action 0, labels of more tasks than
    /// there are, a negative or non-finite value, and for time that runs backwards;
    /// [`InteractionsError::Labels`] for more than 16 tasks; [`InteractionsError::Write`].
    pub fn from_histories(
        n_items: usize,
        tasks: Vec<String>,
        histories: Vec<Vec<Event>>,
        dir: &Path,
    ) -> Result<Self, InteractionsError> {
        if let Some(task) = tasks.get(Event::MAX_TASKS) {
            let reason =
                format!("there are {} tasks, at most {} fit", tasks.len(), Event::MAX_TASKS);
            let problems = vec![crate::LabelProblem { task: task.clone(), reason }];
            return Err(InteractionsError::Labels { problems });
        }
        let mut writer = Writer::create(dir, tasks.len())?;
        let mut seen = vec![false; n_items];
        for (user, history) in histories.iter().enumerate() {
            for (position, event) in history.iter().enumerate() {
                let before = position.checked_sub(1).map(|before| history[before].time);
                let wrong = why_not(event, before, n_items, tasks.len());
                if let Some(reason) = wrong {
                    return Err(InteractionsError::Event { user, position, reason });
                }
                seen[event.item as usize] = true;
            }
            writer.user(history)?;
        }
        writer.report().rows = histories.iter().map(|h| h.len() as u64).sum();
        writer.report().items = seen.iter().filter(|&&seen| seen).count() as u64;
        let vocab = Vocab::new((1..n_items).map(|n| n.to_string()).collect())?;
        writer.finish(Description {
            tasks,
            tie_seed: 0,
            n_items: n_items.max(1),
            n_actions: None,
            vocab,
        })
    }

    /// How many users there are.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        // `open` has refused what does not fit.
        self.meta.n_users as usize
    }

    /// `V`: items, the padding id 0 included.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.meta.n_items as usize
    }

    /// `A`: actions, the padding id 0 included: those of the model, or as many as the log needs.
    #[must_use]
    pub const fn n_actions(&self) -> usize {
        self.meta.n_actions as usize
    }

    /// How many behaviours there are, over all users.
    #[must_use]
    pub const fn n_events(&self) -> u64 {
        self.meta.n_events
    }

    /// Names of the tasks; task `n` is bit `n` of [`Event::labels`].
    #[must_use]
    pub fn tasks(&self) -> &[String] {
        &self.meta.tasks
    }

    /// The seed that orders behaviours at equal times.
    #[must_use]
    pub const fn tie_seed(&self) -> u64 {
        self.meta.tie_seed
    }

    /// What was counted while the store was built.
    #[must_use]
    pub const fn report(&self) -> &StoreReport {
        &self.meta.report
    }

    /// External ids of the items.
    #[must_use]
    pub const fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// How many behaviours user `user` has.
    ///
    /// # Errors
    /// Those of [`Store::history`].
    pub fn history_len(&self, user: usize) -> Result<usize, InteractionsError> {
        let (start, end) = self.range(user)?;
        usize::try_from(end - start)
            .map_err(|_| self.users.broken("a history beyond memory".to_owned()))
    }

    /// Reads the whole history of user `user`, in the order of time. What was in `into` is gone.
    ///
    /// # Errors
    /// [`InteractionsError::User`], [`InteractionsError::Read`], [`InteractionsError::Broken`].
    pub fn history(&self, user: usize, into: &mut Vec<Event>) -> Result<(), InteractionsError> {
        into.clear();
        let (start, end) = self.range(user)?;
        let mut bytes = [0; CHUNK * Event::BYTES];
        let mut at = start;
        while at < end {
            let count = (end - at).min(CHUNK as u64);
            let chunk = &mut bytes[..count as usize * Event::BYTES];
            self.events.read(chunk, at * Event::BYTES as u64)?;
            for record in chunk.chunks_exact(Event::BYTES) {
                let event = Event::from_bytes(&part(record, 0));
                if event.item == 0 || event.item as usize >= self.n_items() {
                    let reason = format!(
                        "item {} of user {user} is outside 1..{}",
                        event.item,
                        self.n_items()
                    );
                    return Err(self.events.broken(reason));
                }
                into.push(event);
            }
            at += count;
        }
        Ok(())
    }

    /// The behaviours of a user.
    fn range(&self, user: usize) -> Result<(u64, u64), InteractionsError> {
        let n_users = self.n_users();
        if user >= n_users {
            return Err(InteractionsError::User { user, n_users });
        }
        let mut bytes = [0; 16];
        self.users.read(&mut bytes, user as u64 * 8)?;
        let (start, end) =
            (u64::from_le_bytes(part(&bytes, 0)), u64::from_le_bytes(part(&bytes, 8)));
        if start > end || end > self.n_events() {
            let reason =
                format!("user {user} has the behaviours {start} to {end} of {}", self.n_events());
            return Err(self.users.broken(reason));
        }
        Ok((start, end))
    }
}

impl Bin {
    /// Opens a file that must have so many bytes.
    fn open(path: PathBuf, size: u128) -> Result<Self, InteractionsError> {
        let file = File::open(&path).map_err(read_error(&path))?;
        let found = file.metadata().map_err(read_error(&path))?.len();
        let bin = Self { path, file };
        if u128::from(found) == size {
            return Ok(bin);
        }
        Err(bin.broken(format!("{found} bytes, needed are {size}")))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), InteractionsError> {
        self.file.read_exact_at(bytes, at).map_err(read_error(&self.path))
    }

    fn broken(&self, reason: String) -> InteractionsError {
        InteractionsError::Broken { file: self.path.clone(), reason }
    }
}

/// Why a store cannot hold a behaviour that comes after one of the time `before`.
fn why_not(event: &Event, before: Option<i64>, n_items: usize, n_tasks: usize) -> Option<String> {
    let Event { item, action, labels, value, time } = *event;
    if item == 0 || item as usize >= n_items {
        return Some(format!("item {item} is outside 1..{n_items}"));
    }
    if action == 0 {
        return Some("action 0 is padding".to_owned());
    }
    if u32::from(labels) >> n_tasks != 0 {
        return Some(format!("labels {labels:#b} are of more than {n_tasks} tasks"));
    }
    if !(value.is_finite() && value >= 0.0) {
        return Some(format!("value {value} is no finite number of at least 0"));
    }
    let before = before.filter(|&before| before > time)?;
    Some(format!("time {time} comes after {before}"))
}

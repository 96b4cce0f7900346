//! A store that is being written: it appears whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use onr_requests::Vocab;
use tempfile::TempDir;

use super::Store;
use super::meta::{EVENTS, META, Meta, StoreReport, USERS, VERSION, VOCAB};
use crate::Event;
use crate::error::{InteractionsError, write_error};

const SCRATCH: &str = ".onr-store-";
const LOCK: &str = "lock";
/// A folder younger than this may belong to a process that has not locked it yet.
const SETTLED: Duration = Duration::from_millis(500);

/// Writes histories one after the other into a folder inside the store's, and moves them on
/// [`Writer::finish`]. Dropped without it, what was there before remains.
pub(super) struct Writer {
    dir: PathBuf,
    scratch: TempDir,
    /// Held as long as the process lives, so that what a killed one left can be told apart.
    _lock: File,
    events: Part,
    users: Part,
    n_tasks: usize,
    n_users: u64,
    largest_action: u16,
    report: StoreReport,
}

/// A file that is being written.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What a store says about itself beside what the writer counts.
pub(super) struct Description {
    pub(super) tasks: Vec<String>,
    pub(super) tie_seed: u64,
    pub(super) n_items: usize,
    /// The model's actions; `None` takes as many as the log needs.
    pub(super) n_actions: Option<usize>,
    pub(super) vocab: Vocab,
}

impl Writer {
    /// Begins a store in `dir`, which is made where it is missing.
    pub(super) fn create(dir: &Path, n_tasks: usize) -> Result<Self, InteractionsError> {
        fs::create_dir_all(dir).map_err(write_error(dir))?;
        sweep(dir);
        let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(dir);
        let scratch = scratch.map_err(write_error(dir))?;
        let lock = File::create(scratch.path().join(LOCK)).map_err(write_error(dir))?;
        let _ = lock.try_lock();
        let mut writer = Self {
            dir: dir.to_owned(),
            events: Part::create(scratch.path().join(EVENTS))?,
            users: Part::create(scratch.path().join(USERS))?,
            scratch,
            _lock: lock,
            n_tasks,
            n_users: 0,
            largest_action: 0,
            report: StoreReport { positives: vec![0; n_tasks], ..StoreReport::default() },
        };
        writer.users.write(&0_u64.to_le_bytes())?;
        Ok(writer)
    }

    /// Where files may lie until the store is finished.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Counts of rows, which the writer does not see.
    pub(super) fn report(&mut self) -> &mut StoreReport {
        &mut self.report
    }

    /// Appends the history of the next user, in the order of time.
    pub(super) fn user(&mut self, history: &[Event]) -> Result<(), InteractionsError> {
        for event in history {
            self.events.write(&event.to_bytes())?;
            self.largest_action = self.largest_action.max(event.action);
            self.report.total_value += f64::from(event.value);
            for n in 0..self.n_tasks {
                self.report.positives[n] += u64::from(event.is_positive(n));
            }
        }
        self.n_users += 1;
        self.report.users += 1;
        self.report.events += history.len() as u64;
        self.report.short_users += u64::from(history.len() < 3);
        if let [.., before, last] = history {
            self.report.tied_last += u64::from(before.time == last.time);
        }
        self.users.write(&self.report.events.to_le_bytes())
    }

    /// Completes the store and opens it.
    pub(super) fn finish(self, about: Description) -> Result<Store, InteractionsError> {
        let Self { dir, scratch, events, users, n_users, largest_action, report, .. } = self;
        events.finish()?;
        users.finish()?;
        about.vocab.write(&scratch.path().join(VOCAB))?;
        let meta = Meta {
            version: VERSION,
            n_users,
            n_events: report.events,
            n_items: about.n_items as u64,
            n_actions: about.n_actions.unwrap_or(usize::from(largest_action) + 1) as u64,
            tie_seed: about.tie_seed,
            tasks: about.tasks,
            report,
        };
        meta.write(&scratch.path().join(META))?;
        let old = dir.join(META);
        if old.exists() {
            fs::remove_file(&old).map_err(write_error(&old))?;
        }
        // The description comes last: without it nothing here is taken for a store.
        for name in [EVENTS, USERS, VOCAB, META] {
            let path = dir.join(name);
            fs::rename(scratch.path().join(name), &path).map_err(write_error(&path))?;
        }
        Store::open(&dir)
    }
}

impl Part {
    fn create(path: PathBuf) -> Result<Self, InteractionsError> {
        let file = File::create(&path).map_err(write_error(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 18, file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), InteractionsError> {
        self.file.write_all(bytes).map_err(write_error(&self.path))
    }

    fn finish(self) -> Result<(), InteractionsError> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|e| write_error(&path)(e.into_error()))?;
        file.sync_all().map_err(write_error(&path))
    }
}

/// Removes what killed processes left in `dir`: nobody holds its lock.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if entry.file_name().to_string_lossy().starts_with(SCRATCH)
            && age().is_some_and(|age| age > SETTLED)
            && File::open(entry.path().join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

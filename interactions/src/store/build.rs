//! From logs to a store, in two passes over the rows.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use onr_requests::{ActionRule, Actions, Columns, LogColumns, LogRow, Vocab, each_log_row};

use super::Store;
use super::buckets::{Bucket, Buckets, Record};
use super::group::Grouping;
use super::items::Items;
use super::write::{Description, Writer};
use crate::error::{InteractionsError, read_error};
use crate::{Labels, hash};

/// How a store is built.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where the log has what; `candidates` is not read.
    pub columns: Columns,
    /// What makes a behaviour and its action.
    pub actions: Actions,
    /// What makes positives of tasks.
    pub labels: Labels,
    /// The items that the model knows; rows with others are left out and counted. `None` makes a vocabulary
    /// of the log's items.
    pub vocab: Option<Vocab>,
    /// The model's items, padding included, when the model is known: a larger vocabulary is refused.
    pub n_items: Option<usize>,
    /// The model's actions, padding included, when the model is known: others are refused.
    pub n_actions: Option<usize>,
    /// Orders behaviours of a user at equal times.
    pub tie_seed: u64,
    /// Memory for the rows that are grouped at once, MiB. External ids of items and the rows of a single
    /// user take what they need.
    pub memory_mb: usize,
}

impl StoreOptions {
    /// Usual columns, action 1 for each row, items of the log, no sizes of a model, tie seed 0, 256 MiB.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
        Self {
            columns: Columns::default(),
            actions: Actions::Rule(ActionRule::default()),
            labels,
            vocab: None,
            n_items: None,
            n_actions: None,
            tie_seed: 0,
            memory_mb: 256,
        }
    }
}

/// Told bytes done and bytes to do.
type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Rows between two reports of progress.
const STRIDE: u64 = 4096;
/// Grouping takes about this part of the time that reading takes.
const GROUPING_PART: u64 = 4;
/// Bytes of a text row and of a Parquet row, on the low side.
const TEXT_ROW: u64 = 16;
const PARQUET_ROW: u64 = 4;
/// Most files that are open at once: `2^8`.
const MOST_BITS: u32 = 8;

/// How rows are spread over buckets. The store does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// There are `2^bits` buckets at first.
    pub(super) bits: u32,
    /// A bucket of more rows is split.
    pub(super) limit: u64,
}

impl Store {
    /// Builds a store in `dir` from logs: files (`.inter`, `.tsv`, `.csv`, `.parquet`), or folders of shards,
    /// taken by their names; names that begin with `.` or `_` are passed over.
    ///
    /// Memory does not grow with the rows: they go through files in `dir`, 36 bytes each, that are gone
    /// afterwards. The store's bytes depend on rows and options, not on the memory or on how the rows are
    /// split into shards; the order of the rows matters only between rows of the same user, item and time.
    /// `progress` is told about bytes done of all bytes: those of the logs and a quarter more for grouping.
    /// Where it breaks, nothing new remains.
    ///
    /// # Errors
    /// [`InteractionsError::Log`] for a log or a cell of it, for rules or a vocabulary that the model has no
    /// room for; [`InteractionsError::NoLogs`], [`InteractionsError::NoRows`],
    /// [`InteractionsError::NoBehaviours`], [`InteractionsError::Action`],
    /// [`InteractionsError::TooManyItems`], [`InteractionsError::Read`], [`InteractionsError::Write`],
    /// [`InteractionsError::Stopped`].
    pub fn build(
        logs: &[PathBuf],
        options: &StoreOptions,
        dir: &Path,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Self, InteractionsError> {
        let shards = shards(logs)?;
        let memory = (options.memory_mb as u64).max(1) << 20;
        let limit = memory / size_of::<Record>() as u64;
        let rows: u64 = shards.iter().map(Shard::rows).sum();
        let bits = rows.div_ceil(limit).next_power_of_two().ilog2().min(MOST_BITS);
        build(&shards, options, dir, progress, Plan { bits, limit })
    }
}

/// [`Store::build`] of known shards, by a plan.
pub(super) fn build(
    shards: &[Shard],
    options: &StoreOptions,
    dir: &Path,
    progress: Progress<'_>,
    plan: Plan,
) -> Result<Store, InteractionsError> {
    options.n_actions.map_or(Ok(()), |n| options.actions.fits(n))?;
    let room = |vocab: &Vocab| options.n_items.map_or(Ok(()), |n_items| vocab.fits(n_items));
    options.vocab.as_ref().map_or(Ok(()), room)?;
    let mut writer = Writer::create(dir, options.labels.rules().len())?;
    let total = shards.iter().map(|shard| shard.bytes).sum();
    let mut watch = Watch { progress, total, done: 0 };
    let mut first =
        FirstPass::new(options, Buckets::create(&writer.scratch().join("rows"), 0, plan.bits)?);
    for shard in shards {
        first.read(shard, &mut watch)?;
    }
    let (buckets, mut items) = first.finish(&mut writer)?;
    let (vocab, dense) = items.finish(options.vocab.as_ref());
    room(&vocab)?;
    let grouping = Grouping { tie_seed: options.tie_seed, dense: &dense, hashes: &items.hashes };
    second_pass(buckets, &grouping, &mut writer, &mut watch, plan.limit)?;
    let tasks = options.labels.names().map(str::to_owned).collect();
    let n_items = options.n_items.unwrap_or(vocab.len() + 1);
    let n_actions = options.n_actions;
    writer.finish(Description { tasks, tie_seed: options.tie_seed, n_items, n_actions, vocab })
}

/// Whoever watches, and how far it has come.
struct Watch<'a> {
    progress: Progress<'a>,
    /// Bytes of all logs.
    total: u64,
    /// Bytes of the logs that were read to their end.
    done: u64,
}

impl Watch<'_> {
    fn tell(&mut self, done: u64) -> Result<(), InteractionsError> {
        match (self.progress)(done, self.total + self.total / GROUPING_PART) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(InteractionsError::Stopped),
        }
    }
}

/// Rows to records in buckets.
struct FirstPass<'o> {
    options: &'o StoreOptions,
    buckets: Buckets,
    items: Items,
    rows: u64,
    rows_without_action: u64,
    unknown_rows: u64,
    largest_action: u16,
    text: [String; 2],
}

impl<'o> FirstPass<'o> {
    fn new(options: &'o StoreOptions, buckets: Buckets) -> Self {
        let largest = options.n_actions.map_or(u16::MAX.into(), |n| n.saturating_sub(1));
        Self {
            options,
            buckets,
            items: Items::default(),
            rows: 0,
            rows_without_action: 0,
            unknown_rows: 0,
            largest_action: u16::try_from(largest).unwrap_or(u16::MAX),
            text: [String::new(), String::new()],
        }
    }

    fn read(&mut self, shard: &Shard, watch: &mut Watch<'_>) -> Result<(), InteractionsError> {
        let columns = LogColumns {
            columns: &self.options.columns,
            actions: &self.options.actions,
            more: self.options.labels.columns(),
        };
        each_log_row(&shard.path, &columns, |row| {
            if self.rows.is_multiple_of(STRIDE) {
                watch.tell(watch.done + (row.progress() * shard.bytes as f64) as u64)?;
            }
            self.rows += 1;
            self.row(row)
        })?;
        watch.done += shard.bytes;
        Ok(())
    }

    fn row(&mut self, row: &LogRow<'_>) -> Result<(), InteractionsError> {
        let Some(action) = row.action()? else {
            self.rows_without_action += 1;
            return Ok(());
        };
        let action = self.action(row, action)?;
        let judged = self.options.labels.judge(|k| row.cell(k));
        let (labels, value) = judged.map_err(|(k, needed)| row.refuse(k, needed))?;
        let [user, item] = &mut self.text;
        let (user, item, time) = (row.user(user)?, row.item(item)?, row.time()?);
        let Some(item) = self.items.number(item, self.options.vocab.as_ref())? else {
            self.unknown_rows += 1;
            return Ok(());
        };
        let user = hash::id(user);
        self.buckets.push(&Record { user, time, item, value, action, labels, row: 0 })
    }

    fn action(&self, row: &LogRow<'_>, action: i32) -> Result<u16, InteractionsError> {
        let largest = self.largest_action;
        let id = u16::try_from(action).ok().filter(|id| (1..=largest).contains(id));
        id.ok_or_else(|| InteractionsError::Action { place: row.place(), action, largest })
    }

    fn finish(self, writer: &mut Writer) -> Result<(Vec<Bucket>, Items), InteractionsError> {
        let Self { rows, rows_without_action: without_action, unknown_rows: unknown, .. } = self;
        if rows == 0 {
            return Err(InteractionsError::NoRows);
        }
        if rows == without_action + unknown {
            return Err(InteractionsError::NoBehaviours { rows, without_action, unknown });
        }
        let report = writer.report();
        (report.rows, report.rows_without_action, report.unknown_rows) =
            (rows, without_action, unknown);
        (report.items, report.unknown_items) = self.items.counts();
        Ok((self.buckets.finish()?, self.items))
    }
}

/// Records to histories, bucket by bucket.
fn second_pass(
    buckets: Vec<Bucket>,
    grouping: &Grouping<'_>,
    writer: &mut Writer,
    watch: &mut Watch<'_>,
    limit: u64,
) -> Result<(), InteractionsError> {
    let rows: u64 = buckets.iter().map(Bucket::records).sum();
    let mut grouped = 0;
    for bucket in buckets {
        bucket.consume(limit, &mut |records| {
            let share = grouped as f64 / rows.max(1) as f64;
            watch.tell(watch.total + (share * (watch.total / GROUPING_PART) as f64) as u64)?;
            grouped += records.len() as u64;
            let backwards = grouping.histories(records, |history| writer.user(history))?;
            writer.report().backwards += backwards;
            Ok(())
        })?;
    }
    watch.tell(watch.total + watch.total / GROUPING_PART)
}

/// One file of a log.
pub(super) struct Shard {
    path: PathBuf,
    bytes: u64,
}

impl Shard {
    /// About how many rows it has; rather too many.
    fn rows(&self) -> u64 {
        let parquet = self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
        self.bytes / if parquet { PARQUET_ROW } else { TEXT_ROW }
    }
}

/// The files of the logs, folders opened.
pub(super) fn shards(logs: &[PathBuf]) -> Result<Vec<Shard>, InteractionsError> {
    let mut found = Vec::new();
    for log in logs {
        let before = found.len();
        add_shards(log, &mut found)?;
        if found.len() == before {
            return Err(InteractionsError::NoLogs { folder: log.clone() });
        }
    }
    if found.is_empty() { Err(InteractionsError::NoRows) } else { Ok(found) }
}

fn add_shards(path: &Path, found: &mut Vec<Shard>) -> Result<(), InteractionsError> {
    let about = fs::metadata(path).map_err(read_error(path))?;
    if !about.is_dir() {
        found.push(Shard { path: path.to_owned(), bytes: about.len() });
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(read_error(path))?;
    let mut inside = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(read_error(path))?;
    inside.sort();
    let hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
    };
    inside.iter().filter(|path| !hidden(path)).try_for_each(|path| add_shards(path, found))
}

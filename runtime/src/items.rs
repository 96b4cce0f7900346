//! Item vectors of a checkpoint as arrays of NumPy, for an index outside the graphs.
//!
//! A row is what `oneranker` retrieves by: the item's row of `item_embedding`, neither normalised nor
//! divided by the temperature. Row 0, the padding, is never retrieved and left out.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::{
    Checkpoint, CheckpointRecord, ExportError, Progress,
    artifact::{self, Artifact, FileRecord},
    checkpoint::{Narrowing, Stored, convert, float_type},
};
use onr_graphs::{DType, ModelConfig, Precision};
use onr_requests::Vocab;
use serde::{Deserialize, Serialize};

use crate::npz::npy_header;

/// The record of an export of items: the last file to appear.
pub const RECORD_FILE: &str = "items.json";
/// The vectors.
pub const VECTORS_FILE: &str = "items.npy";
/// The dense ids of the vectors.
pub const IDS_FILE: &str = "ids.npy";
/// The external ids of the vectors, where there is a vocabulary.
pub const EXTERNAL_FILE: &str = "ids.json";

const FORMAT: u32 = 1;
const TABLE: &str = "item_embedding";
const QUERY: &str = "user_embeddings [batch, tasks, dim] of the graph `generate`, F32 and of length 1: \
                     the row of a task asks for that task. Inner product / temperature = generator_logits";

/// Bytes that are converted and written at once.
const PIECE: usize = 1 << 20;

/// Bad items that a message names.
const NAMED: usize = 8;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct ItemsJob<'a> {
    /// The model.
    pub config: &'a ModelConfig,
    /// Its weights.
    pub checkpoint: &'a Checkpoint,
    /// What the graphs hold the table in: values are rounded to it first.
    pub values: Precision,
    /// Type of the file: F32 or F16.
    pub dtype: DType,
    /// External ids. Rows beyond them are no items, and left out.
    pub vocab: Option<&'a Vocab>,
}

/// What was written: `items.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsRecord {
    /// Version of this format.
    pub format: u32,
    /// Version of `onr` that wrote it.
    pub onr: String,
    /// Where the vectors came from.
    pub checkpoint: CheckpointRecord,
    /// How a query and an item are compared: `inner product`.
    pub metric: String,
    /// Number of vectors.
    pub items: usize,
    /// Numbers of a vector.
    pub dim: usize,
    /// Type of `items.npy`: `f32` or `f16`.
    pub dtype: String,
    /// What the values were rounded to, as graphs of this precision hold them.
    pub values: String,
    /// Rows of the table that no external id belongs to; they were left out.
    pub rows_without_id: usize,
    /// What the inner product is divided by to give a logit. It changes no order.
    pub temperature: f32,
    /// The tasks, in the order of the rows of a query.
    pub tasks: Vec<String>,
    /// What asks.
    pub query: String,
    /// Size and SHA-256 of the other files.
    pub files: BTreeMap<String, FileRecord>,
}

/// Why items could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemsError {
    /// Vectors with numbers that cannot be written.
    #[error("{file}: `{TABLE}` has {what} in {count} of its items: {}", named.join(", "), file = file.display())]
    Values {
        /// The checkpoint.
        file: PathBuf,
        /// What is wrong with the numbers.
        what: &'static str,
        /// How many items have one.
        count: usize,
        /// The first of them: dense id, and external id if it is known.
        named: Vec<String>,
    },
    /// A file that would be overwritten and that no earlier export of items wrote.
    #[error("{file} is there, and no earlier export of items wrote it", file = file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A file could not be read or written, or the checkpoint is not one of the model.
    #[error(transparent)]
    File(#[from] ExportError),
}

impl ItemsError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Values { what, .. } if *what == TOO_LARGE => "write --dtype f32",
            Self::Values { .. } => "the checkpoint diverged in training: take an earlier one",
            Self::Foreign { .. } => "remove it, or choose another --out",
            Self::File(e) => return e.hint(),
        };
        Some(text.to_owned())
    }
}

const NOT_FINITE: &str = "numbers that are not finite";
const TOO_LARGE: &str = "numbers that float16 cannot hold";

/// The files that an earlier export left in `dir`.
///
/// # Errors
/// [`ItemsError::Foreign`] when one of our names is taken by something else.
pub fn earlier(dir: &Path) -> Result<Vec<String>, ItemsError> {
    let text = fs::read(dir.join(RECORD_FILE)).unwrap_or_default();
    let record: Option<ItemsRecord> = serde_json::from_slice(&text).ok();
    let mut ours: Vec<String> = record.iter().flat_map(|r| r.files.keys().cloned()).collect();
    ours.extend(record.map(|_| RECORD_FILE.to_owned()));
    let names = [VECTORS_FILE, IDS_FILE, EXTERNAL_FILE, RECORD_FILE];
    ours.retain(|name| names.contains(&name.as_str()));
    let taken = |name: &&str| !ours.iter().any(|o| o == name) && dir.join(name).exists();
    match names.iter().find(|name| taken(name)) {
        Some(name) => Err(ItemsError::Foreign { file: dir.join(name) }),
        None => Ok(ours),
    }
}

/// Writes the vectors, their ids and the record into `dir`. Equal input gives equal bytes.
///
/// # Errors
/// [`ItemsError`]; whatever was being written is removed.
pub fn write_items(
    job: &ItemsJob<'_>,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<ItemsRecord, ItemsError> {
    job.checkpoint.check(job.config, &|_| false, false)?;
    let rows = job.config.n_items - 1;
    let items = job.vocab.map_or(rows, |vocab| vocab.len().min(rows));
    let vectors = job.vectors(items)?;
    progress.stage("export items", vectors.bytes.len() as u64);
    // The checkpoint is hashed on another core while the table is converted on this one.
    let (written, checkpoint) = rayon::join(
        || job.write_vectors(vectors, &dir.join(VECTORS_FILE), progress),
        || job.checkpoint.record_unless(&|| progress.advance(0)),
    );
    let mut files = BTreeMap::from([
        (VECTORS_FILE.to_owned(), written?),
        (IDS_FILE.to_owned(), write_ids(items, &dir.join(IDS_FILE))?),
    ]);
    if let Some(vocab) = job.vocab {
        let external = write_external(&vocab.items()[..items], &dir.join(EXTERNAL_FILE))?;
        files.insert(EXTERNAL_FILE.to_owned(), external);
    }
    job.checkpoint.release();
    let record = ItemsRecord {
        format: FORMAT,
        onr: env!("CARGO_PKG_VERSION").into(),
        checkpoint: checkpoint?,
        metric: "inner product".into(),
        items,
        dim: job.config.d_model,
        dtype: if job.dtype == DType::F16 { "f16" } else { "f32" }.into(),
        values: job.values.name().into(),
        rows_without_id: rows - items,
        temperature: job.config.temperature,
        tasks: job.config.tasks.clone(),
        query: QUERY.into(),
        files,
    };
    let mut text = serde_json::to_vec_pretty(&record)
        .map_err(|e| ExportError::Write { file: dir.join(RECORD_FILE), cause: e.into() })?;
    text.push(b'\n');
    artifact::write(&dir.join(RECORD_FILE), &text)?;
    Ok(record)
}

/// Rows `1 ..= items` of the table, as they are stored.
#[derive(Clone, Copy)]
struct Vectors<'a> {
    stored: DType,
    /// Elements before the first row.
    first: usize,
    rows: usize,
    bytes: &'a [u8],
}

impl ItemsJob<'_> {
    fn vectors(&self, items: usize) -> Result<Vectors<'_>, ExportError> {
        let absent = || ExportError::Weights {
            file: self.checkpoint.path().to_owned(),
            problems: vec![format!("`{TABLE}` is missing")],
        };
        let Stored { dtype, bytes, .. } = self.checkpoint.tensor(TABLE).ok_or_else(absent)?;
        let stored = float_type(dtype).ok_or_else(absent)?;
        let first = self.config.d_model;
        let row = first * stored.size();
        let bytes = bytes.get(row..row * (items + 1)).ok_or_else(absent)?;
        Ok(Vectors { stored, first, rows: items, bytes })
    }

    fn write_vectors(
        &self,
        vectors: Vectors<'_>,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<FileRecord, ItemsError> {
        let mut file = start(path, self.dtype, &[vectors.rows, self.config.d_model])?;
        let (mut rounded, mut scratch) = (Vec::new(), Vec::new());
        for (at, piece) in vectors.bytes.chunks(PIECE).enumerate() {
            let first = vectors.first + at * PIECE / vectors.stored.size();
            let bytes = self
                .narrow(first, piece, vectors.stored, (&mut rounded, &mut scratch))
                .map_err(|error| self.name_items(vectors, error))?;
            file.put(bytes)?;
            if progress.advance(piece.len() as u64).is_break() {
                return Err(ExportError::Interrupted.into());
            }
        }
        Ok(file.finish()?)
    }

    /// As the graphs hold it, in the type of the file.
    fn narrow<'a>(
        &self,
        first: usize,
        piece: &'a [u8],
        stored: DType,
        (rounded, scratch): (&'a mut Vec<u8>, &'a mut Vec<u8>),
    ) -> Result<&'a [u8], ExportError> {
        let held = self.values.dtype();
        let bytes = convert(TABLE, first, piece, Narrowing { from: stored, to: held }, rounded)?;
        convert(TABLE, first, bytes, Narrowing { from: held, to: self.dtype }, scratch)
    }

    /// All items that are wrong, where one is known to be.
    fn name_items(&self, vectors: Vectors<'_>, found: ExportError) -> ItemsError {
        let what = match found {
            ExportError::NotFinite { .. } => NOT_FINITE,
            ExportError::Overflow { .. } => TOO_LARGE,
            other => return other.into(),
        };
        let (mut rounded, mut scratch) = (Vec::new(), Vec::new());
        let (mut count, mut named) = (0, Vec::new());
        let row = self.config.d_model * vectors.stored.size();
        for (at, bytes) in vectors.bytes.chunks(row).enumerate() {
            if self.narrow(0, bytes, vectors.stored, (&mut rounded, &mut scratch)).is_ok() {
                continue;
            }
            count += 1;
            if named.len() < NAMED {
                let external = self.vocab.and_then(|vocab| vocab.external(at as i64 + 1));
                let external = external.map_or_else(String::new, |id| format!(" (`{id}`)"));
                named.push(format!("{}{external}", at + 1));
            }
        }
        if count > named.len() {
            named.push("..".into());
        }
        ItemsError::Values { file: self.checkpoint.path().to_owned(), what, count, named }
    }
}

/// An array that has its header and no elements yet.
fn start(path: &Path, dtype: DType, shape: &[usize]) -> Result<Artifact, ExportError> {
    let refuse = || ExportError::Write {
        file: path.to_owned(),
        cause: std::io::Error::other(format!("NumPy has no {dtype}")),
    };
    let header = npy_header(dtype, shape).ok_or_else(refuse)?;
    let mut file = Artifact::create(path)?;
    file.put(&header)?;
    Ok(file)
}

/// `1 ..= items`, int64.
fn write_ids(items: usize, path: &Path) -> Result<FileRecord, ExportError> {
    let mut file = start(path, DType::I64, &[items])?;
    let mut bytes = Vec::with_capacity(PIECE);
    for id in 1..=items as i64 {
        bytes.extend(id.to_le_bytes());
        if bytes.len() >= PIECE {
            file.put(&bytes)?;
            bytes.clear();
        }
    }
    file.put(&bytes)?;
    file.finish()
}

/// A JSON array of strings, one a line.
fn write_external(ids: &[String], path: &Path) -> Result<FileRecord, ExportError> {
    let mut file = Artifact::create(path)?;
    let mut bytes = b"[".to_vec();
    for (at, id) in ids.iter().enumerate() {
        bytes.extend(if at == 0 { &b"\n"[..] } else { b",\n" });
        serde_json::to_writer(&mut bytes, id)
            .map_err(|e| ExportError::Write { file: path.to_owned(), cause: e.into() })?;
        if bytes.len() >= PIECE {
            file.put(&bytes)?;
            bytes.clear();
        }
    }
    bytes.extend(b"\n]\n");
    file.put(&bytes)?;
    file.finish()
}

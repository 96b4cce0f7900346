//! Other people's checkpoints to ours: by a map of names, with what layouts need.
//!
//! In: an [`ImportMap`], a [`Checkpoint`] of any names, the model. Out: one safetensors file with the
//! tensors of the model. Never done here: guessing. What cannot be seen in a file (how a square
//! matrix lies) must be said in the map; `docs/import.md` describes its format.

mod canvas;
mod gather;
mod map;
mod parse;
mod pattern;
mod plan;
mod uses;
mod write;

use std::{collections::BTreeMap, fs, path::Path};

use onr_graphs::ModelConfig;
use serde::{Deserialize, Serialize};

pub use map::ImportMap;
use plan::{Content, Plan, Planned};
use write::Failed;

use crate::{
    artifact::FileRecord,
    checkpoint::{Checkpoint, CheckpointRecord},
    error::ExportError,
    progress::Progress,
};

/// What was brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The checkpoint that was written.
    pub file: FileRecord,
    /// The checkpoint that was read.
    pub source: CheckpointRecord,
    /// Name of the map.
    pub map: String,
    /// Number of tensors written: all of the model.
    pub tensors: usize,
    /// How many of them were transposed.
    pub transposed: usize,
    /// How many were put together from several.
    pub merged: usize,
    /// How many had their U, V, Q and K put into our order.
    pub reordered: usize,
    /// Those that have no source but a number of the map.
    pub filled: Vec<String>,
    /// Tensors of the source that went nowhere, and slices, as `name (64..96 of axis 0)`.
    pub unused: Vec<String>,
}

/// Writes the checkpoint `out` of the model from `source`, as `map` says. Element types stay as they
/// are; equal input gives equal bytes. Numbers are not checked here: the export does that.
///
/// The metadata has what `onr` had put into the source, and `onr.imported_from`,
/// `onr.imported_sha256`, `onr.import_map` and `onr.import_map_sha256`.
///
/// # Errors
/// [`ExportError::Import`] with every problem, before anything is written;
/// [`ExportError::Read`], [`ExportError::Write`], [`ExportError::Interrupted`].
pub fn import(
    map: &ImportMap,
    source: &Checkpoint,
    cfg: &ModelConfig,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Imported, ExportError> {
    let fail = |problems| ExportError::Import {
        file: source.path().to_owned(),
        map: map.name.clone(),
        problems,
    };
    if same_file(source.path(), out) {
        return Err(fail(vec!["it would be overwritten; choose another `--out`".to_owned()]));
    }
    let Plan { tensors, unused } = plan::plan(map, source, cfg).map_err(fail)?;
    progress.stage("hash", 0);
    let record = source.record()?;
    let metadata = metadata(map, source, &record);
    let file = write::write(&tensors, &metadata, out, progress).map_err(|failed| match failed {
        Failed::Write(error) => error,
        Failed::Number(problem) => fail(vec![problem]),
    })?;
    let count = |which: fn(&Planned<'_>) -> bool| tensors.iter().filter(|t| which(t)).count();
    let filled = tensors.iter().filter(|t| matches!(t.content, Content::Fill(_)));
    Ok(Imported {
        file,
        source: record,
        map: map.name.clone(),
        tensors: tensors.len(),
        transposed: count(|t| t.done.transposed),
        merged: count(|t| t.done.merged),
        reordered: count(|t| t.done.reordered),
        filled: filled.map(|t| t.spec.key.clone()).collect(),
        unused,
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// Where the numbers come from; nothing of the machine, the user or the day.
fn metadata(
    map: &ImportMap,
    source: &Checkpoint,
    record: &CheckpointRecord,
) -> BTreeMap<String, String> {
    let file = source.path().file_name().unwrap_or_default().to_string_lossy();
    let ours = source.metadata().iter().filter(|(key, _)| key.starts_with("onr."));
    let mut metadata: BTreeMap<_, _> = ours.map(|(k, v)| (k.clone(), v.clone())).collect();
    let own = [
        ("format", "pt"),
        ("onr.imported_from", &file),
        ("onr.imported_sha256", &record.sha256),
        ("onr.import_map", &map.name),
        ("onr.import_map_sha256", &map.sha256),
    ];
    metadata.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    metadata
}

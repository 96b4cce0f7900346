//! Which files a log is in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{InteractionsError, read_error};

/// Bytes of a text row and of a Parquet row, on the low side.
const TEXT_ROW: u64 = 16;
const PARQUET_ROW: u64 = 4;
/// Extensions of what may lie beside shards.
const DESCRIPTIONS: [&str; 4] = ["json", "md", "toml", "txt"];

/// One file of a log.
pub(super) struct Shard {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl Shard {
    /// About how many rows it has; rather too many.
    pub(super) fn rows(&self) -> u64 {
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
    inside.iter().filter(|path| !is_passed_over(path)).try_for_each(|path| add_shards(path, found))
}

/// Whether something in a folder is marked as no part of the log, or describes it.
fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    name.is_none_or(|name| name.starts_with(['.', '_']))
        || extension.is_some_and(|extension| DESCRIPTIONS.contains(&extension.as_str()))
}

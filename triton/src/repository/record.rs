//! `onr-package.json`: what a version of a model is, and the hashes of its files.

use std::{collections::BTreeMap, fs, path::Path};

use onr_exporter::{
    ExportError,
    artifact::{self, FileRecord},
};
use onr_runtime::manifest::is_sealed;
use serde::{Deserialize, Serialize};

use crate::options::Backend;

/// Name of the record in a version's directory.
pub const RECORD_FILE: &str = "onr-package.json";

/// The format that this version writes, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;

/// What a version of a model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 1: the only one that this version reads.
    pub format: u32,
    /// Version of `onr` that wrote it.
    pub onr: String,
    /// Name of the package.
    pub package: String,
    /// Name of the model.
    pub model: String,
    /// The graph; none for the ensemble.
    pub graph: Option<String>,
    /// Which of Triton's backends runs the package's graphs.
    pub backend: Backend,
    /// Version of the model, the same for all models of the package.
    pub version: u64,
    /// All models of the package.
    pub models: Vec<String>,
    /// SHA-256 of the manifest that it was made from.
    pub manifest_sha256: String,
    /// SHA-256 of the checkpoint, where the manifest named one.
    pub checkpoint_sha256: Option<String>,
    /// Precision of the export.
    pub precision: String,
    /// Files of the version's directory but this one.
    pub files: BTreeMap<String, FileRecord>,
    /// Files of the model's directory `warmup` that the configuration names.
    pub warmup: BTreeMap<String, FileRecord>,
    /// The configuration that was written with this version.
    pub config: String,
    /// SHA-256 of this record with this field empty.
    pub sha256: String,
}

impl Record {
    /// Reads the record of a version's directory; `None` when there is none.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read_to_string(dir.join(RECORD_FILE)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| e.to_string())?,
        };
        let record: Self = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if record.format != FORMAT {
            return Err(format!("it has format {}", record.format));
        }
        if !is_sealed(&text, &record.sha256) {
            return Err("it was changed after it was written".into());
        }
        Ok(Some(record))
    }

    /// Writes the record into a version's directory, its own hash included.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(crate) fn write(&mut self, dir: &Path) -> Result<(), ExportError> {
        self.sha256.clear();
        self.sha256 = artifact::sha256(self.text().as_bytes());
        artifact::write(&dir.join(RECORD_FILE), self.text().as_bytes())?;
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

//! A model's next version in a hidden directory, not yet in its place.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use onr_exporter::{
    ExportError,
    artifact::{self, Artifact, FileRecord},
    progress::Progress,
};
use onr_runtime::manifest::ManifestError;

use super::{
    ConfigChange, WrittenModel,
    existing::{CONFIG_FILE, WARMUP},
    record::{self, Record},
};
use crate::{
    error::PackageError,
    package::{Content, Package, PlannedModel},
};

/// Bytes that are copied at a time.
const STEP: usize = 1 << 20;

/// A prepared model: its configuration, its version, its warm-ups.
pub(super) struct Staged {
    /// As the model's directory would be.
    pub(super) dir: PathBuf,
    pub(super) record: Record,
}

/// Bytes of all files that are copied.
pub(super) fn bytes(package: &Package) -> u64 {
    let files = package.models.iter().flat_map(|m| &m.files);
    let sizes = files.map(|f| match &f.content {
        Content::Copy { record, .. } => record.size,
        Content::Bytes(bytes) => bytes.len() as u64,
    });
    sizes.sum()
}

/// Prepares a model. Each file is hashed while it is copied, and must be what the manifest says.
pub(super) fn stage(
    package: &Package,
    model: &PlannedModel,
    version: u64,
    staging: &Path,
    progress: &dyn Progress,
) -> Result<Staged, PackageError> {
    let dir = staging.join(&model.config.name);
    let versioned = dir.join(version.to_string());
    make(&versioned)?;
    let mut record = Record {
        format: record::FORMAT,
        onr: env!("CARGO_PKG_VERSION").into(),
        package: package.name.clone(),
        model: model.config.name.clone(),
        graph: model.graph.clone(),
        backend: package.backend,
        version,
        models: package.models.iter().map(|m| m.config.name.clone()).collect(),
        manifest_sha256: package.manifest_sha256.clone(),
        checkpoint_sha256: package.checkpoint_sha256.clone(),
        precision: package.precision.clone(),
        files: Default::default(),
        warmup: Default::default(),
        config: model.config.to_string(),
        sha256: String::new(),
    };
    for file in &model.files {
        let to = versioned.join(&file.name);
        let written = match &file.content {
            Content::Bytes(bytes) => artifact::write(&to, bytes)?,
            Content::Copy { from, record } => copy(from, &to, record, progress)?,
        };
        record.files.insert(file.name.clone(), written);
    }
    if !model.warmup.is_empty() {
        let folder = dir.join(WARMUP);
        make(&folder)?;
        for (name, bytes) in &model.warmup {
            record.warmup.insert(name.clone(), artifact::write(&folder.join(name), bytes)?);
        }
    }
    artifact::write(&dir.join(CONFIG_FILE), record.config.as_bytes())?;
    record.write(&versioned)?;
    Ok(Staged { dir, record })
}

fn make(dir: &Path) -> Result<(), ExportError> {
    fs::create_dir_all(dir).map_err(|cause| ExportError::Write { file: dir.to_owned(), cause })
}

fn copy(
    from: &Path,
    to: &Path,
    wanted: &FileRecord,
    progress: &dyn Progress,
) -> Result<FileRecord, PackageError> {
    let fail = |cause| ExportError::Read { file: from.to_owned(), cause };
    let mut file = File::open(from).map_err(fail)?;
    let mut out = Artifact::create(to)?;
    let mut buffer = vec![0; STEP];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => break,
            n => {
                out.put(&buffer[..n])?;
                if progress.advance(n as u64).is_break() {
                    return Err(ExportError::Interrupted.into());
                }
            }
        }
    }
    let record = out.finish()?;
    if record == *wanted {
        return Ok(record);
    }
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let problem = if record.size == wanted.size {
        format!("{name} has another SHA-256")
    } else {
        format!("{name} has {} bytes, not {}", record.size, wanted.size)
    };
    let dir = from.parent().unwrap_or(Path::new("")).to_owned();
    Err(ManifestError::Mismatch { dir, problems: vec![problem] }.into())
}

impl Staged {
    pub(super) fn written(&self, config: ConfigChange) -> WrittenModel {
        let files = self.record.files.values().chain(self.record.warmup.values());
        WrittenModel {
            name: self.record.model.clone(),
            graph: self.record.graph.clone(),
            files: self.record.files.keys().cloned().collect(),
            bytes: files.map(|f| f.size).sum(),
            config,
        }
    }
}

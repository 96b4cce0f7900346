//! Files that are written whole or not at all.

use std::{
    fs,
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::{
    error::ExportError,
    leftovers::{self, Leftover},
};

/// Size and SHA-256 of a file, as manifests record them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Writes beside `path`, hashing on the way, and renames on [`Artifact::finish`]: a reader sees the
/// old file or the new one, never half of either. Dropped without `finish`, nothing remains.
pub struct Artifact {
    path: PathBuf,
    leftover: Leftover,
    file: NamedTempFile,
    hash: Sha256,
    size: u64,
}

impl Artifact {
    /// Starts a file that will become `path`.
    ///
    /// # Errors
    /// [`ExportError::Write`] when the directory cannot be written.
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        let fail = |cause| ExportError::write(path, cause);
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let prefix = format!(".onr-{}-", path.file_name().unwrap_or_default().to_string_lossy());
        leftovers::sweep(dir, &prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        // Artifacts are as readable as any file of the user.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(dir).map_err(fail)?;
        // The lock tells other processes that somebody still writes; it ends with the file.
        let _ = file.as_file().try_lock();
        let leftover = Leftover::note(file.path());
        Ok(Self { path: path.to_owned(), leftover, file, hash: Sha256::new(), size: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`ExportError::Write`], for a full disk among others.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.file
            .as_file_mut()
            .write_all(bytes)
            .map_err(|cause| ExportError::write(&self.path, cause))?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Brings the bytes to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(self) -> Result<FileRecord, ExportError> {
        let Self { path, leftover, file, hash, size } = self;
        let fail = |cause| ExportError::write(&path, cause);
        file.as_file().sync_all().map_err(fail)?;
        file.persist(&path).map_err(|e| fail(e.error))?;
        drop(leftover);
        Ok(FileRecord { size, sha256: hex(&hash.finalize()) })
    }
}

/// Writes `bytes` to `path` in one go.
///
/// # Errors
/// [`ExportError::Write`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<FileRecord, ExportError> {
    let mut artifact = Artifact::create(path)?;
    artifact.put(bytes)?;
    artifact.finish()
}

/// Hashes a file without holding it in memory.
///
/// # Errors
/// [`ExportError::Read`].
pub fn hash_file(path: &Path) -> Result<FileRecord, ExportError> {
    hash_file_unless(path, &|| ControlFlow::Continue(()))
}

/// Hashes a file, and asks `go_on` after each MiB.
///
/// # Errors
/// [`ExportError::Read`], [`ExportError::Interrupted`].
pub fn hash_file_unless(
    path: &Path,
    go_on: &dyn Fn() -> ControlFlow<()>,
) -> Result<FileRecord, ExportError> {
    let fail = |cause| ExportError::read(path, cause);
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match io::Read::read(&mut file, &mut buffer).map_err(fail)? {
            0 => return Ok(FileRecord { size, sha256: hex(&hash.finalize()) }),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
                if go_on().is_break() {
                    return Err(ExportError::Interrupted);
                }
            }
        }
    }
}

/// SHA-256 of bytes, as manifests write it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

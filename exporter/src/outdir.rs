//! A directory that one process at a time fills, all at once.

use std::{
    fs::{self, File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::error::ExportError;

const LOCK: &str = ".onr.lock";
const STAGING: &str = ".onr-staging-";

/// An output directory under lock. Files are made in [`staging`](Self::staging) and moved to their
/// places by [`publish`](Self::publish); dropped before that, nothing has changed.
#[derive(Debug)]
pub struct OutDir {
    dir: PathBuf,
    staging: TempDir,
    _lock: File,
}

impl OutDir {
    /// Creates `dir` if needed and locks it; removes what a killed process left in it.
    ///
    /// # Errors
    /// [`ExportError::Locked`] with the holder, [`ExportError::Write`].
    pub fn open(dir: &Path) -> Result<Self, ExportError> {
        let fail = |cause| ExportError::write(dir, cause);
        fs::create_dir_all(dir).map_err(fail)?;
        let lock = lock(dir)?;
        for entry in fs::read_dir(dir).map_err(fail)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(STAGING) {
                fs::remove_dir_all(entry.path()).map_err(fail)?;
            } else if name.starts_with(".onr-") {
                fs::remove_file(entry.path()).map_err(fail)?;
            }
        }
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(dir).map_err(fail)?;
        Ok(Self { dir: dir.to_owned(), staging, _lock: lock })
    }

    /// Where files are made.
    #[must_use]
    pub fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Moves all staged files to their places, `last` after the others. `last` (the manifest) is
    /// removed first, so a directory never has a manifest of files that are not there; files of an
    /// earlier run that are `stale` now are removed with it.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn publish(self, last: &str, stale: impl Fn(&str) -> bool) -> Result<(), ExportError> {
        let fail = |cause| ExportError::write(&self.dir, cause);
        remove_if_there(&self.dir.join(last))?;
        for entry in fs::read_dir(&self.dir).map_err(fail)?.flatten() {
            if stale(&entry.file_name().to_string_lossy()) {
                remove_if_there(&entry.path())?;
            }
        }
        let mut names: Vec<_> = fs::read_dir(self.staging.path())
            .map_err(fail)?
            .map(|entry| entry.map(|e| e.file_name()))
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        names.sort_by_key(|n| n == last);
        for name in names {
            let to = self.dir.join(&name);
            fs::rename(self.staging.path().join(&name), &to)
                .map_err(|cause| ExportError::write(&to, cause))?;
        }
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> Result<(), ExportError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(ExportError::write(path, cause))
        }
        _ => Ok(()),
    }
}

/// The lock is the kernel's: it ends with the process, however that ends.
fn lock(dir: &Path) -> Result<File, ExportError> {
    let path = dir.join(LOCK);
    let fail = |cause| ExportError::write(&path, cause);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process".into() } else { holder };
            return Err(ExportError::Locked { dir: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(cause)) => return Err(fail(cause)),
    }
    let command: Vec<_> = std::env::args().take(2).collect();
    let holder = format!("process {} ({})", std::process::id(), command.join(" "));
    file.set_len(0).map_err(fail)?;
    file.rewind().map_err(fail)?;
    file.write_all(holder.as_bytes()).map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = OutDir::open(dir.path()).unwrap();
        let second = OutDir::open(dir.path()).unwrap_err().to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(first);
        assert!(OutDir::open(dir.path()).is_ok());
    }

    #[test]
    fn nothing_changes_before_publish_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("onr.json"), "old").unwrap();
        fs::create_dir(dir.path().join(".onr-staging-killed")).unwrap();
        let out = OutDir::open(dir.path()).unwrap();
        fs::write(out.staging().join("a.onnx"), "new").unwrap();
        drop(out);
        let names = |p: &Path| {
            let mut n: Vec<_> = fs::read_dir(p)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            n.sort();
            n
        };
        assert_eq!(names(dir.path()), [".onr.lock", "onr.json"]);
        let out = OutDir::open(dir.path()).unwrap();
        fs::write(out.staging().join("a.onnx"), "new").unwrap();
        fs::write(out.staging().join("onr.json"), "new").unwrap();
        fs::write(dir.path().join("a.plan"), "stale").unwrap();
        out.publish("onr.json", |n| n.ends_with(".plan")).unwrap();
        assert_eq!(names(dir.path()), [".onr.lock", "a.onnx", "onr.json"]);
        assert_eq!(fs::read_to_string(dir.path().join("onr.json")).unwrap(), "new");
    }
}

//! A directory that one process at a time fills, all at once.

use std::{
    fs::{self, File, TryLockError},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    error::ExportError,
    leftovers::{Leftover, MadeDirs, sweep},
};

const LOCK: &str = ".onr.lock";
const STAGING: &str = ".onr-staging-";

/// An output directory under lock. Files are made in [`staging`](Self::staging) and moved to their
/// places by [`publish`](Self::publish); dropped before that, everything is as it was.
#[derive(Debug)]
pub struct OutDir {
    // Dropped in this order: the lock goes after what it protects, then a directory that is empty.
    staging: TempDir,
    _leftover: Leftover,
    _lock: Lock,
    _made: MadeDirs,
    dir: PathBuf,
}

impl OutDir {
    /// Creates `dir` if needed and locks it; removes what a killed process left in it.
    ///
    /// # Errors
    /// [`ExportError::Locked`] with the holder, [`ExportError::Write`].
    pub fn open(dir: &Path) -> Result<Self, ExportError> {
        let fail = |cause| ExportError::write(dir, cause);
        let made = MadeDirs::make(dir).map_err(fail)?;
        let lock = Lock::take(dir)?;
        for entry in fs::read_dir(dir).map_err(fail)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                fs::remove_dir_all(entry.path()).map_err(fail)?;
            }
        }
        sweep(dir, ".onr-");
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(dir).map_err(fail)?;
        let leftover = Leftover::note(staging.path());
        Ok(Self { staging, _leftover: leftover, _lock: lock, _made: made, dir: dir.to_owned() })
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

/// The lock is the kernel's: it ends with the process, however that ends. Its file says who holds it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _leftover: Leftover,
    file: File,
}

impl Lock {
    fn take(dir: &Path) -> Result<Self, ExportError> {
        let path = dir.join(LOCK);
        let fail = |cause| ExportError::write(dir, cause);
        loop {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            let mut file = options.open(&path).map_err(fail)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(ExportError::Locked {
                        dir: dir.to_owned(),
                        holder: who(&mut file),
                    });
                }
                Err(TryLockError::Error(cause)) => return Err(fail(cause)),
            }
            // The one before us may have removed the file between our two steps.
            if !is_same(&file, &path) {
                continue;
            }
            let leftover = Leftover::note(&path);
            let command: Vec<_> = std::env::args().take(2).collect();
            let holder = format!("process {} ({})", std::process::id(), command.join(" "));
            let lock = Self { path, _leftover: leftover, file };
            lock.sign(&holder).map_err(fail)?;
            return Ok(lock);
        }
    }

    fn sign(&self, holder: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.write_all(holder.as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn who(file: &mut File) -> String {
    let mut holder = String::new();
    match file.read_to_string(&mut holder) {
        Ok(n) if n > 0 => holder,
        _ => "another process".into(),
    }
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |m: fs::Metadata| (m.dev(), m.ino());
    let here = fs::metadata(path).map(inode);
    file.metadata().map(inode).is_ok_and(|open| here.is_ok_and(|here| here == open))
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
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
        assert_eq!(names(dir.path()), ["onr.json"]);
        let out = OutDir::open(dir.path()).unwrap();
        fs::write(out.staging().join("a.onnx"), "new").unwrap();
        fs::write(out.staging().join("onr.json"), "new").unwrap();
        fs::write(dir.path().join("a.plan"), "stale").unwrap();
        out.publish("onr.json", |n| n.ends_with(".plan")).unwrap();
        assert_eq!(names(dir.path()), ["a.onnx", "onr.json"]);
        assert_eq!(fs::read_to_string(dir.path().join("onr.json")).unwrap(), "new");
    }
}

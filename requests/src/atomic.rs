//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::RequestError;

/// A file younger than this may belong to a process that has not locked it yet.
const SETTLED: Duration = Duration::from_millis(500);

/// Writes beside `path` and renames on [`AtomicFile::commit`]: a reader sees the old file or the
/// new one, never half of either. Dropped without `commit`, nothing remains.
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Opens a temporary file in the folder of `path`.
    ///
    /// # Errors
    /// [`RequestError::Write`] when the folder does not exist or is not writable.
    pub(crate) fn create(path: &Path) -> Result<Self, RequestError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".onr-{name}-");
        sweep(folder, &prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        #[cfg(unix)]
        let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        #[cfg(unix)]
        builder.permissions(mode);
        let file = builder.tempfile_in(folder).map_err(write_error(path))?;
        // The kernel lets go of it when this process ends, however that ends.
        let _ = file.as_file().try_lock();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Where the file will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes to disk and gives the file its name.
    ///
    /// # Errors
    /// [`RequestError::Write`] when the disk is full or the rename is refused.
    pub(crate) fn commit(self) -> Result<(), RequestError> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|e| write_error(&path)(e.into_error()))?;
        file.as_file().sync_all().map_err(write_error(&path))?;
        file.persist(&path).map_err(|e| write_error(&path)(e.error))?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes what killed processes left of the file that is to be written again: nobody holds its lock.
fn sweep(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if entry.file_name().to_string_lossy().starts_with(prefix)
            && age().is_some_and(|age| age > SETTLED)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Turns an IO error into [`RequestError::Write`] of `path`.
pub(crate) fn write_error(path: &Path) -> impl FnOnce(io::Error) -> RequestError + '_ {
    // The causes that `tempfile` returns name its temporary file, which says nothing to a reader.
    let plain = |cause: io::Error| match cause.get_ref() {
        Some(inner) if inner.to_string().contains(" at path ") => cause.kind().into(),
        _ => cause,
    };
    move |cause| RequestError::Write { file: path.to_owned(), cause: plain(cause) }
}

/// Turns an IO error into [`RequestError::Read`] of `path`.
pub(crate) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> RequestError + '_ {
    |cause| RequestError::Read { file: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        file.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn dropped_without_commit_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&dir.path().join("a.txt")).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(".onr-a.txt-Xy.tmp");
        std::fs::write(&left, "half").unwrap();
        std::thread::sleep(SETTLED * 2);
        let _alive = AtomicFile::create(&dir.path().join("a.txt")).unwrap();
        assert!(!left.exists());
        let _second = AtomicFile::create(&dir.path().join("a.txt")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the living stay");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_the_umask_says() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        AtomicFile::create(&path).unwrap().commit().unwrap();
        std::fs::write(dir.path().join("plain"), "").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&dir.path().join("plain")));
    }

    #[test]
    fn refused_because_the_folder_is_missing() {
        let error = AtomicFile::create(Path::new("/no/such/folder/a.txt")).err().unwrap();
        assert_eq!(error.to_string(), "cannot write /no/such/folder/a.txt");
    }
}

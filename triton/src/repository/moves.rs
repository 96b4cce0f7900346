//! Renames that are taken back when a later one fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use onr_exporter::{ExportError, artifact};

/// Renames so far. Dropped without [`keep`](Self::keep), they are taken back, the last one first.
#[derive(Debug)]
pub(super) struct Moves {
    /// Where what is replaced is kept meanwhile, on the same file system.
    aside: PathBuf,
    /// Where something goes back to, and where it is.
    done: Vec<(PathBuf, PathBuf)>,
}

impl Moves {
    pub(super) fn new(aside: &Path) -> Self {
        Self { aside: aside.to_owned(), done: Vec::new() }
    }

    /// Renames what is where nothing is yet.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), ExportError> {
        let fail = |cause| ExportError::Write { file: to.to_owned(), cause };
        fs::rename(from, to).map_err(fail)?;
        self.done.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    /// Renames one file over another, which is there at every moment.
    pub(super) fn replace(&mut self, from: &Path, to: &Path) -> Result<(), ExportError> {
        let fail = |cause| ExportError::Write { file: to.to_owned(), cause };
        let old = self.aside.join(format!("old-{}", self.done.len()));
        match fs::read(to) {
            Ok(bytes) => artifact::write(&old, &bytes).map(drop)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.rename(from, to),
            Err(cause) => return Err(fail(cause)),
        }
        fs::rename(from, to).map_err(fail)?;
        self.done.push((to.to_owned(), old));
        Ok(())
    }

    /// All is well.
    pub(super) fn keep(mut self) {
        self.done.clear();
    }
}

impl Drop for Moves {
    fn drop(&mut self) {
        for (was, is) in self.done.drain(..).rev() {
            let _ = fs::rename(is, was);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let text = |name: &str| fs::read_to_string(path(name)).ok();
        let aside = path("aside");
        fs::create_dir(&aside).unwrap();
        for keep in [false, true] {
            for (name, content) in [("new", "n"), ("config.new", "2"), ("config", "1")] {
                fs::write(path(name), content).unwrap();
            }
            let mut moves = Moves::new(&aside);
            moves.rename(&path("new"), &path("there")).unwrap();
            moves.replace(&path("config.new"), &path("config")).unwrap();
            assert_eq!(
                (text("there").as_deref(), text("config").as_deref()),
                (Some("n"), Some("2"))
            );
            if keep {
                moves.keep();
                assert_eq!(text("config").as_deref(), Some("2"));
            } else {
                assert!(moves.rename(&path("missing"), &path("x")).is_err());
                drop(moves);
                assert_eq!((text("there"), text("config").as_deref()), (None, Some("1")));
                assert_eq!(text("new").as_deref(), Some("n"));
            }
        }
    }
}

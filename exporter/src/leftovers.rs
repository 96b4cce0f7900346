//! What must not outlive this process: temporary files, staging directories, locks.
//!
//! Three deaths are covered. An error or a break unwinds, and values clean up after themselves.
//! [`remove_all_and_exit`] is for the user who asked to stop while a vendor's library does not listen.
//! After a kill, the next process [`sweep`]s: who works on something holds the kernel's lock on it, and
//! the kernel lets go of the locks of the dead.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// In the order of their making; removed in the other order.
static LIVE: Mutex<Vec<(PathBuf, Kind)>> = Mutex::new(Vec::new());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Goes with all that it holds.
    Temporary,
    /// A directory that goes if it is empty.
    Made,
}

/// Things younger than this may belong to a process that has not locked them yet.
const SETTLED: Duration = Duration::from_millis(500);

/// A path that [`remove_all_and_exit`] removes as long as this value lives.
#[derive(Debug)]
pub struct Leftover(PathBuf);

impl Leftover {
    /// Notes a temporary file, or a temporary directory with all that it holds.
    #[must_use]
    pub fn note(path: &Path) -> Self {
        Self::of(path, Kind::Temporary)
    }

    fn of(path: &Path, kind: Kind) -> Self {
        live().push((path.to_owned(), kind));
        Self(path.to_owned())
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let mut live = live();
        if let Some(at) = live.iter().rposition(|(p, _)| *p == self.0) {
            live.remove(at);
        }
    }
}

fn live() -> MutexGuard<'static, Vec<(PathBuf, Kind)>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes everything that was noted and ends the process, without destructors: threads of libraries
/// may be running that would not survive theirs.
pub fn remove_all_and_exit(code: i32) -> ! {
    let live = live();
    for (path, kind) in live.iter().rev() {
        // Somebody may still be writing into it.
        let _ = (0..10).find(|_| remove(path, *kind));
    }
    sys::_exit(code)
}

/// Is it gone, or is it to stay?
fn remove(path: &Path, kind: Kind) -> bool {
    let done = match (kind, path.is_dir()) {
        (Kind::Made, _) => return fs::remove_dir(path).is_ok() || path.exists(),
        (Kind::Temporary, true) => fs::remove_dir_all(path),
        (Kind::Temporary, false) => fs::remove_file(path),
    };
    done.is_ok() || !path.exists()
}

/// Locks a temporary file or directory for as long as the returned value lives, so that [`sweep`]
/// leaves it alone. Where the file system has no locks, nothing is promised.
#[must_use]
pub fn hold(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Removes what killed processes left in `dir` under names that begin with `prefix`.
pub fn sweep(dir: &Path, prefix: &str) {
    let named = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(prefix);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let settled = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if named(&entry.file_name()) && settled().is_some_and(|age| age > SETTLED) {
            let path = entry.path();
            if hold(&path).is_some() {
                let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
                let _ = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
    }
}

/// Directories that were made for something to be put into; dropped, the empty ones among them go.
#[derive(Debug, Default)]
pub struct MadeDirs(Vec<Leftover>);

impl MadeDirs {
    /// Creates `dir` and what is missing above it.
    ///
    /// # Errors
    /// Of the first directory that cannot be made.
    pub fn make(dir: &Path) -> io::Result<Self> {
        let missing = |d: &&Path| !d.as_os_str().is_empty() && !d.exists();
        let mut missing: Vec<&Path> = dir.ancestors().take_while(missing).collect();
        missing.reverse();
        let mut made = Self::default();
        for dir in missing {
            match fs::create_dir(dir) {
                Ok(()) => made.0.push(Leftover::of(dir, Kind::Made)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                Err(e) => return Err(e),
            }
        }
        if dir.as_os_str().is_empty() || dir.is_dir() {
            Ok(made)
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }
}

impl Drop for MadeDirs {
    fn drop(&mut self) {
        for made in self.0.iter().rev() {
            let _ = fs::remove_dir(&made.0);
        }
    }
}

#[expect(unsafe_code, reason = "the standard library ends a process with destructors only")]
mod sys {
    // SAFETY: the signature is that of POSIX. It returns to nobody.
    unsafe extern "C" {
        pub(super) safe fn _exit(code: i32) -> !;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_directories_stay_only_if_they_are_used() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        drop(MadeDirs::make(&deep).unwrap());
        assert!(!root.path().join("a").exists());
        let made = MadeDirs::make(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        drop(made);
        assert!(deep.join("file").exists());
        drop(MadeDirs::make(root.path()).unwrap());
        assert!(root.path().exists(), "what was there is not ours");
        assert!(MadeDirs::make(&deep.join("file")).is_err());
        assert!(MadeDirs::make(&deep.join("file/c")).is_err());
    }

    #[test]
    fn a_sweep_spares_the_living_and_the_young() {
        let root = tempfile::tempdir().unwrap();
        let paths = ["onr-x-dead", "onr-x-alive", "other"].map(|n| root.path().join(n));
        paths.iter().for_each(|p| fs::create_dir(p).unwrap());
        let _alive = hold(&paths[1]).unwrap();
        sweep(root.path(), "onr-x-");
        assert!(paths.iter().all(|p| p.exists()), "just made");
        std::thread::sleep(SETTLED * 2);
        fs::create_dir(root.path().join("onr-x-young")).unwrap();
        sweep(root.path(), "onr-x-");
        assert_eq!(paths.map(|p| p.exists()), [false, true, true]);
        assert!(root.path().join("onr-x-young").exists());
    }
}

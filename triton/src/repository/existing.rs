//! What lies in a repository already.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use onr_exporter::ExportError;

use super::record::{RECORD_FILE, Record};
use crate::error::PackageError;

/// Name of a model's configuration.
pub(super) const CONFIG_FILE: &str = "config.pbtxt";

/// Name of the directory of warm-ups.
pub(super) const WARMUP: &str = "warmup";

/// A model's directory that has something in it.
#[derive(Debug)]
pub(super) struct Existing {
    pub(super) dir: PathBuf,
    pub(super) config: Option<String>,
    /// Versions with their records; none for what somebody else put there.
    pub(super) versions: BTreeMap<u64, Option<Record>>,
}

impl Existing {
    /// Reads a model's directory; `None` when it is empty or not there.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, PackageError> {
        let fail = |cause| ExportError::Read { file: dir.to_owned(), cause };
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(foreign(dir, "it is a file"));
            }
            entries => entries.map_err(fail)?,
        };
        let mut versions = BTreeMap::new();
        let mut empty = true;
        for entry in entries {
            let entry = entry.map_err(fail)?;
            empty = false;
            if let Some(version) = version(&entry.file_name().to_string_lossy()) {
                let record = Record::read(&entry.path())
                    .map_err(|why| foreign(&entry.path().join(RECORD_FILE), &why))?;
                versions.insert(version, record);
            }
        }
        let config = match fs::read(dir.join(CONFIG_FILE)) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => {
                return Err(ExportError::Read { file: dir.join(CONFIG_FILE), cause }.into());
            }
        };
        Ok((!empty).then(|| Self { dir: dir.to_owned(), config, versions }))
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Option<u64> {
        self.versions.keys().next_back().copied()
    }

    /// The record of the newest version, if it has one.
    pub(super) fn record(&self) -> Option<&Record> {
        self.versions.values().next_back()?.as_ref()
    }

    /// The record of the newest version of a model of `package`.
    ///
    /// # Errors
    /// [`PackageError::Foreign`] for what somebody else wrote.
    pub(super) fn ours(&self, package: &str) -> Result<&Record, PackageError> {
        match self.record() {
            None => Err(foreign(&self.dir, &format!("its newest version has no {RECORD_FILE}"))),
            Some(r) if r.package != package => {
                Err(foreign(&self.dir, &format!("it belongs to the package {}", r.package)))
            }
            Some(record) => Ok(record),
        }
    }
}

/// Triton takes directories for versions whose names are numbers from 1 on, without zeros in front.
fn version(name: &str) -> Option<u64> {
    let plain = name.bytes().all(|b| b.is_ascii_digit()) && !name.starts_with('0');
    name.parse().ok().filter(|_| plain)
}

fn foreign(dir: &Path, reason: &str) -> PackageError {
    PackageError::Foreign { dir: dir.to_owned(), reason: reason.to_owned() }
}

/// All models of a repository whose newest version is ours, by name. What somebody else wrote is not looked at.
pub(super) fn all(repository: &Path) -> Result<BTreeMap<String, Existing>, PackageError> {
    let fail = |cause| ExportError::Read { file: repository.to_owned(), cause };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(repository).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !has_record(&entry.path()) {
            continue;
        }
        if let Some(existing) = Existing::read(&entry.path())?.filter(|e| e.record().is_some()) {
            found.insert(name, existing);
        }
    }
    Ok(found)
}

/// Did we write any version of this model? What cannot be read is not ours.
fn has_record(model: &Path) -> bool {
    let entries = fs::read_dir(model).into_iter().flatten().flatten();
    let mut versions = entries.filter(|e| version(&e.file_name().to_string_lossy()).is_some());
    versions.any(|e| e.path().join(RECORD_FILE).exists())
}

/// The version after all that are there.
pub(super) fn next(existing: &[Option<Existing>]) -> u64 {
    existing.iter().flatten().filter_map(Existing::newest).max().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(versions: &[u64]) -> Option<Existing> {
        let versions: BTreeMap<u64, Option<Record>> = versions.iter().map(|v| (*v, None)).collect();
        Some(Existing { dir: PathBuf::new(), config: None, versions })
    }

    proptest! {
        #[test]
        fn a_new_version_is_newer_than_every_other(
            versions in prop::collection::vec(prop::collection::vec(1..1_000_000_u64, 0..4), 0..6)
        ) {
            let existing: Vec<_> = versions.iter().map(|v| model(v)).collect();
            let next = next(&existing);
            let all: Vec<u64> = versions.concat();
            prop_assert!(all.iter().all(|v| *v < next));
            prop_assert!(next == 1 || all.contains(&(next - 1)), "and no larger than it must be");
        }

        #[test]
        fn a_version_is_read_from_its_own_name_only(name in "[0-9a-z_.]{1,6}") {
            let same = version(&name).map(|v| v.to_string());
            prop_assert!(same.is_none() || same == Some(name));
        }
    }

    #[test]
    fn names_that_are_no_versions() {
        assert_eq!(version("12"), Some(12));
        for name in ["0", "01", "-1", "+1", "1a", "", "99999999999999999999999"] {
            assert_eq!(version(name), None, "{name}");
        }
    }
}

//! Is a repository what was written?

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use onr_exporter::artifact::{self, FileRecord};
use serde::Serialize;

use super::existing::{self, CONFIG_FILE, Existing, WARMUP};
use crate::{error::PackageError, text::Message};

/// What was checked.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// The repository.
    pub repository: PathBuf,
    /// Newest versions, by package.
    pub packages: BTreeMap<String, u64>,
    /// Models of ours.
    pub models: usize,
    /// Versions of these models that have a record.
    pub versions: usize,
    /// Files that are as recorded.
    pub files: usize,
    /// Models whose `config.pbtxt` is not the one that was written with their newest version.
    pub edited: Vec<String>,
}

/// Is there a model of ours in a directory?
#[must_use]
pub fn holds_packages(dir: &Path) -> bool {
    existing::all(dir).is_ok_and(|models| !models.is_empty())
}

/// Checks size and SHA-256 of every file of every version that we wrote, and that the models of a package have the
/// same newest version. Models of others are not looked at.
///
/// # Errors
/// [`PackageError::Mismatch`] with every file that differs; [`PackageError::Foreign`] for a record that cannot be read;
/// [`PackageError::Versions`].
pub fn verify(repository: &Path) -> Result<Verified, PackageError> {
    let models = existing::all(repository)?;
    let mut verified = Verified {
        repository: repository.to_owned(),
        packages: BTreeMap::new(),
        models: models.len(),
        versions: 0,
        files: 0,
        edited: Vec::new(),
    };
    let mut problems = Vec::new();
    for (name, model) in &models {
        for (version, record) in &model.versions {
            let Some(record) = record else { continue };
            verified.versions += 1;
            let folders = [(version.to_string(), &record.files), (WARMUP.into(), &record.warmup)];
            for (folder, files) in folders {
                let within = format!("{name}/{folder}");
                verified.files += check(repository, &within, files, &mut problems);
            }
        }
        if model.config != model.record().map(|r| r.config.clone()) {
            match model.config.as_deref().map(Message::parse) {
                None => problems.push(format!("{name}/{CONFIG_FILE} is not there")),
                // Edited is allowed; what Triton cannot read is broken.
                Some(Err(error)) => problems.push(format!("{name}/{CONFIG_FILE}: {error}")),
                Some(Ok(_)) => verified.edited.push(name.clone()),
            }
        }
    }
    if !problems.is_empty() {
        return Err(PackageError::Mismatch { dir: repository.to_owned(), problems });
    }
    verified.packages = newest(models.values())?;
    Ok(verified)
}

/// How many of the files are as recorded.
fn check(
    repository: &Path,
    within: &str,
    files: &BTreeMap<String, FileRecord>,
    problems: &mut Vec<String>,
) -> usize {
    let mut good = 0;
    for (name, wanted) in files {
        let file = format!("{within}/{name}");
        match artifact::hash_file(&repository.join(&file)) {
            Ok(found) if found == *wanted => good += 1,
            Ok(found) if found.size != wanted.size => {
                problems.push(format!("{file} has {} bytes, not {}", found.size, wanted.size));
            }
            Ok(_) => problems.push(format!("{file} has another SHA-256")),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                problems.push(format!("{file}: {}", cause.unwrap_or_else(|| error.to_string())));
            }
        }
    }
    good
}

fn newest<'a>(
    models: impl Iterator<Item = &'a Existing>,
) -> Result<BTreeMap<String, u64>, PackageError> {
    let mut by_package: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for record in models.filter_map(Existing::record) {
        let one = (record.model.clone(), record.version);
        by_package.entry(record.package.clone()).or_default().push(one);
    }
    let mut packages = BTreeMap::new();
    for (name, models) in by_package {
        let newest = models.iter().map(|(_, version)| *version).max().unwrap_or(0);
        if models.iter().any(|(_, version)| *version != newest) {
            let versions = models.iter().map(|(model, v)| format!("{model} {v}")).collect();
            return Err(PackageError::Versions { name, versions });
        }
        packages.insert(name, newest);
    }
    Ok(packages)
}

//! The newest version of a package goes.

use std::path::PathBuf;

use onr_exporter::artifact;
use serde::Serialize;

use super::{
    Repository,
    existing::{self, CONFIG_FILE, Existing, WARMUP},
    moves::Moves,
};
use crate::error::PackageError;

/// What was taken away, and what is left.
#[derive(Debug, Clone, Serialize)]
pub struct RolledBack {
    /// The repository.
    pub repository: PathBuf,
    /// Name of the package.
    pub package: String,
    /// The version that went.
    pub removed: u64,
    /// The models, the ensemble first, with the version that is the newest now.
    pub models: Vec<(String, u64)>,
    /// What people should know.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Repository {
    /// Takes the newest version of each model of a package away, the ensemble's first, and puts the configuration of the
    /// one before in its place unless somebody changed it by hand.
    ///
    /// # Errors
    /// [`PackageError::NoPackage`], [`PackageError::Versions`], [`PackageError::OnlyVersion`]; nothing has changed then.
    pub fn rollback(&self, package: &str) -> Result<RolledBack, PackageError> {
        let mut models: Vec<Existing> = Vec::new();
        for existing in existing::all(self.out.dir())?.into_values() {
            if existing.record().is_some_and(|r| r.package == package) {
                models.push(existing);
            }
        }
        let removed = newest(package, &models, self)?;
        // Whoever calls others goes first.
        models.sort_by_key(|m| m.record().is_some_and(|r| r.graph.is_some()));
        let (mut moves, mut notes) = (Moves::new(self.out.staging()), Vec::new());
        let mut left = Vec::new();
        for model in &models {
            left.push(self.remove(&mut moves, model, &mut notes)?);
        }
        moves.keep();
        models.iter().for_each(forget_warmups);
        Ok(RolledBack {
            repository: self.out.dir().to_owned(),
            package: package.to_owned(),
            removed,
            models: left,
            notes,
        })
    }

    /// Renames the newest version into the staging directory, which goes with everything in it.
    fn remove(
        &self,
        moves: &mut Moves,
        model: &Existing,
        notes: &mut Vec<String>,
    ) -> Result<(String, u64), PackageError> {
        let mut versions = model.versions.iter().rev();
        let (Some((newest, Some(record))), Some((before, earlier))) =
            (versions.next(), versions.next())
        else {
            let dir = self.out.dir().to_owned();
            return Err(PackageError::NoPackage { dir, name: String::new() });
        };
        let name = record.model.clone();
        let aside = self.out.staging().join(format!("{name}-{newest}"));
        moves.rename(&model.dir.join(newest.to_string()), &aside)?;
        match earlier {
            Some(earlier) if model.config.as_ref() == Some(&record.config) => {
                if earlier.config != record.config {
                    let staged = self.out.staging().join(format!("{name}.pbtxt"));
                    artifact::write(&staged, earlier.config.as_bytes())?;
                    moves.replace(&staged, &model.dir.join(CONFIG_FILE))?;
                }
            }
            Some(earlier) if model.config.as_ref() == Some(&earlier.config) => {}
            _ => {
                notes.push(format!("{name}: {CONFIG_FILE} was changed by hand and stays as it is"))
            }
        }
        Ok((name, *before))
    }
}

/// The newest version, which must be the same everywhere and not the only one.
fn newest(
    package: &str,
    models: &[Existing],
    repository: &Repository,
) -> Result<u64, PackageError> {
    let named = models.iter().filter_map(|m| Some((m.record()?.model.clone(), m.newest()?)));
    let named: Vec<(String, u64)> = named.collect();
    let Some((_, newest)) = named.first() else {
        let dir = repository.out.dir().to_owned();
        return Err(PackageError::NoPackage { dir, name: package.to_owned() });
    };
    if named.iter().any(|(_, version)| version != newest) {
        let versions = named.iter().map(|(model, version)| format!("{model} {version}")).collect();
        return Err(PackageError::Versions { name: package.to_owned(), versions });
    }
    match models.iter().find(|m| m.versions.len() < 2).and_then(Existing::record) {
        Some(only) => {
            Err(PackageError::OnlyVersion { model: only.model.clone(), version: *newest })
        }
        None => Ok(*newest),
    }
}

/// Removes warm-ups that no version needs any more. One that stays does no harm.
fn forget_warmups(model: &Existing) {
    let Some(removed) = model.record() else { return };
    let others = || model.versions.values().rev().skip(1).flatten();
    for name in removed.warmup.keys().filter(|name| !others().any(|r| r.warmup.contains_key(*name)))
    {
        let _ = std::fs::remove_file(model.dir.join(WARMUP).join(name));
    }
    let _ = std::fs::remove_dir(model.dir.join(WARMUP));
}

//! A repository on disk: versions that appear whole, go back, and can be checked.

mod existing;
mod moves;
mod record;
mod rollback;
mod stage;
mod verify;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use onr_exporter::{ExportError, OutDir, progress::Progress};
use serde::Serialize;

use self::{
    existing::{CONFIG_FILE, Existing, WARMUP},
    moves::Moves,
    stage::Staged,
};
use crate::{
    error::PackageError,
    interface::{changes, max_batch},
    options::Backend,
    package::{Package, PlannedModel},
    text::Message,
};

pub use record::{RECORD_FILE, Record};
pub use rollback::RolledBack;
pub use verify::{Verified, holds_packages, verify};

/// A repository that this process alone writes to.
#[derive(Debug)]
pub struct Repository {
    out: OutDir,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    /// The repository.
    pub repository: PathBuf,
    /// Name of the package.
    pub package: String,
    /// Which of Triton's backends runs the graphs.
    pub backend: Backend,
    /// Version of all its models.
    pub version: u64,
    /// The models, in the order in which they appeared.
    pub models: Vec<WrittenModel>,
    /// What people should know.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// One model of [`Written`].
#[derive(Debug, Clone, Serialize)]
pub struct WrittenModel {
    /// Its name.
    pub name: String,
    /// The graph; none for the ensemble.
    pub graph: Option<String>,
    /// Files of the version.
    pub files: Vec<String>,
    /// Their bytes, and those of its warm-ups.
    pub bytes: u64,
    /// What became of `config.pbtxt`.
    pub config: ConfigChange,
}

/// What became of a `config.pbtxt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigChange {
    /// There was none.
    New,
    /// It stayed as it was.
    Same,
    /// It was replaced.
    Replaced,
}

impl Repository {
    /// Creates the directory if needed, locks it, and removes what a killed process left in it.
    ///
    /// # Errors
    /// [`PackageError::File`]: it cannot be written, or somebody else writes to it.
    pub fn open(dir: &Path) -> Result<Self, PackageError> {
        Ok(Self { out: OutDir::open(dir)? })
    }

    /// The same, but a directory that is not there stays so.
    ///
    /// # Errors
    /// [`PackageError::File`]; that it cannot be read, among others.
    pub fn existing(dir: &Path) -> Result<Self, PackageError> {
        std::fs::read_dir(dir)
            .map_err(|cause| ExportError::Read { file: dir.to_owned(), cause })?;
        Self::open(dir)
    }

    /// Writes the next version of every model of a package: prepared in a hidden directory, compared with what is there,
    /// renamed into place, members before the ensemble. Other models and older versions stay as they are.
    ///
    /// # Errors
    /// [`PackageError`]; nothing has changed then.
    pub fn write(
        &self,
        package: &Package,
        progress: &dyn Progress,
    ) -> Result<Written, PackageError> {
        let mut notes = package.notes.clone();
        let existing = self.follow_up(package, &mut notes)?;
        let version = existing::next(&existing);
        progress.stage("package", stage::bytes(package));
        let staged = package
            .models
            .iter()
            .map(|model| stage::stage(package, model, version, self.out.staging(), progress))
            .collect::<Result<Vec<_>, _>>()?;
        if progress.advance(0).is_break() {
            return Err(ExportError::Interrupted.into());
        }
        let models = self.publish(&staged, &existing, version)?;
        Ok(Written {
            repository: self.out.dir().to_owned(),
            package: package.name.clone(),
            backend: package.backend,
            version,
            models,
            notes,
        })
    }

    /// What is there under the names of a package, if the package may follow it.
    fn follow_up(
        &self,
        package: &Package,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Option<Existing>>, PackageError> {
        let mut all = Vec::new();
        for model in &package.models {
            let existing = Existing::read(&self.out.dir().join(&model.config.name))?;
            if let Some(existing) = &existing {
                let record = existing.ours(&package.name)?;
                let hand = existing.config.as_ref().is_some_and(|text| *text != record.config);
                if hand {
                    notes.push(format!(
                        "{}: changes that somebody made in {CONFIG_FILE} are lost",
                        model.config.name
                    ));
                }
                notes.extend(compare(existing, model)?);
            }
            all.push(existing);
        }
        let planned: BTreeSet<_> = package.models.iter().map(|m| m.config.name.as_str()).collect();
        let mut models: Vec<String> = Vec::new();
        for (name, existing) in existing::all(self.out.dir())? {
            let same = existing.record().is_some_and(|r| r.package == package.name);
            if same && !planned.contains(name.as_str()) {
                models.push(name);
            }
        }
        if models.is_empty() {
            return Ok(all);
        }
        Err(PackageError::LeftBehind { name: package.name.clone(), models })
    }

    fn publish(
        &self,
        staged: &[Staged],
        existing: &[Option<Existing>],
        version: u64,
    ) -> Result<Vec<WrittenModel>, PackageError> {
        let mut moves = Moves::new(self.out.staging());
        let mut models = Vec::new();
        for (staged, existing) in staged.iter().zip(existing) {
            let to = self.out.dir().join(&staged.record.model);
            let config = match existing {
                None => {
                    moves.rename(&staged.dir, &to)?;
                    ConfigChange::New
                }
                Some(existing) => follow(&mut moves, staged, existing, version)?,
            };
            models.push(staged.written(config));
        }
        moves.keep();
        Ok(models)
    }
}

/// Puts a version beside those that are there.
fn follow(
    moves: &mut Moves,
    staged: &Staged,
    existing: &Existing,
    version: u64,
) -> Result<ConfigChange, PackageError> {
    let to = &existing.dir;
    let (folder, prepared) = (to.join(WARMUP), staged.dir.join(WARMUP));
    if !folder.exists() && !staged.record.warmup.is_empty() {
        moves.rename(&prepared, &folder)?;
    }
    // Names are those of the contents: what is there is the same.
    for name in staged.record.warmup.keys().filter(|name| !folder.join(name).exists()) {
        moves.rename(&prepared.join(name), &folder.join(name))?;
    }
    let name = version.to_string();
    moves.rename(&staged.dir.join(&name), &to.join(&name))?;
    if existing.config.as_ref() == Some(&staged.record.config) {
        return Ok(ConfigChange::Same);
    }
    moves.replace(&staged.dir.join(CONFIG_FILE), &to.join(CONFIG_FILE))?;
    Ok(ConfigChange::Replaced)
}

/// Refuses what would break clients; says what may surprise them.
fn compare(existing: &Existing, model: &PlannedModel) -> Result<Option<String>, PackageError> {
    let Some(text) = &existing.config else { return Ok(None) };
    let old = Message::parse(text)
        .map_err(|error| PackageError::unreadable(existing.dir.clone(), &error))?;
    let new = model.config.message();
    let changes = changes(&old, &new);
    let name = &model.config.name;
    if !changes.is_empty() {
        return Err(PackageError::Changed { model: name.clone(), changes });
    }
    let (was, is) = (max_batch(&old).unwrap_or(0), model.config.max_batch_size);
    Ok((is < was).then(|| format!("{name}: the largest batch was {was} and is {is} now")))
}

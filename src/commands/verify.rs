//! `onr verify`: every file is there and is what it was.

use std::path::PathBuf;

use onr_runtime::manifest::{MANIFEST_FILE, Manifest};
use onr_triton::repository::{self, holds_packages};
use serde::Serialize;

use crate::{
    args::VerifyArgs,
    show::{Detail, Report},
};

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Verified {
    Directory { dir: PathBuf, files: usize },
    Repository(repository::Verified),
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Verified> {
    if !args.dir.join(MANIFEST_FILE).exists() && holds_packages(&args.dir) {
        return Ok(Verified::Repository(repository::verify(&args.dir)?));
    }
    let files = Manifest::read(&args.dir)?.verify(&args.dir)?;
    Ok(Verified::Directory { dir: args.dir.clone(), files })
}

impl Report for Verified {
    fn human(&self, _: Detail) -> String {
        match self {
            Self::Directory { dir, files } => {
                format!("{}: {files} files, all as recorded", dir.display())
            }
            Self::Repository(found) => {
                let packages = found.packages.iter().map(|(name, v)| format!("{name} {v}"));
                format!(
                    "{}: {} files in {} versions of {} models, all as recorded\nnewest: {}",
                    found.repository.display(),
                    found.files,
                    found.versions,
                    found.models,
                    packages.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let Self::Repository(found) = self else { return Vec::new() };
        let edited = found.edited.iter();
        edited.map(|model| format!("{model}: config.pbtxt was changed by hand")).collect()
    }
}

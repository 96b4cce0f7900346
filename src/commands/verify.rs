//! `onr verify`: every file is there and is what it was.

use std::path::PathBuf;

use onr_runtime::manifest::Manifest;
use serde::Serialize;

use crate::{
    args::VerifyArgs,
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct Verified {
    dir: PathBuf,
    files: usize,
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let files = Manifest::read(&args.dir)?.verify(&args.dir)?;
    Ok(Verified { dir: args.dir.clone(), files })
}

impl Report for Verified {
    fn human(&self, _: Detail) -> String {
        format!("{}: {} files, all as recorded", self.dir.display(), self.files)
    }
}

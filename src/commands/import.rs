//! `onr import`: checkpoints of other frameworks.

use std::path::PathBuf;

use onr_exporter::{
    Checkpoint,
    import::{ImportMap, Imported, import},
    read_model,
};
use serde::Serialize;

use crate::{
    args::ImportArgs,
    context::Context,
    settings::make_parent,
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct ImportDone {
    out: PathBuf,
    #[serde(flatten)]
    imported: Imported,
}

pub(crate) fn run(args: &ImportArgs, context: &Context) -> anyhow::Result<ImportDone> {
    let config = read_model(&args.model)?;
    let map = ImportMap::resolve(&args.map)?;
    let source = Checkpoint::open(&args.weights)?;
    let _made = make_parent(&args.out)?;
    let imported = import(&map, &source, &config, &args.out, context.progress())?;
    Ok(ImportDone { out: args.out.clone(), imported })
}

impl Report for ImportDone {
    fn human(&self, _: Detail) -> String {
        let i = &self.imported;
        format!(
            "{}: {} tensors, {} ({} transposed, {} merged, {} reordered, {} filled)",
            self.out.display(),
            i.tensors,
            bytes(i.file.size),
            i.transposed,
            i.merged,
            i.reordered,
            i.filled.len()
        )
    }

    fn warnings(&self) -> Vec<String> {
        let unused = &self.imported.unused;
        if unused.is_empty() {
            return Vec::new();
        }
        let n = unused.len();
        let some: Vec<_> = unused.iter().take(4).map(|k| format!("`{k}`")).collect();
        let more = if n > some.len() { ", .." } else { "" };
        vec![format!("tensors of the source that were not used: {n} ({}{more})", some.join(", "))]
    }
}

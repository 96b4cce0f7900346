//! `onr init`: random weights.

use std::path::PathBuf;

use onr_exporter::{artifact::FileRecord, init, read_model};
use serde::Serialize;

use crate::{
    args::InitArgs,
    context::Context,
    settings::make_parent,
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct Initialised {
    out: PathBuf,
    seed: u64,
    untrained: bool,
    file: FileRecord,
}

pub(crate) fn run(args: &InitArgs, context: &Context) -> anyhow::Result<Initialised> {
    let config = read_model(&args.model)?;
    let _made = make_parent(&args.out)?;
    let file = init(&config, args.seed, &args.out, context.progress())?;
    Ok(Initialised { out: args.out.clone(), seed: args.seed, untrained: true, file })
}

impl Report for Initialised {
    fn human(&self, _: Detail) -> String {
        let size = bytes(self.file.size);
        format!("{}: {size} of random weights, seed {} (untrained)", self.out.display(), self.seed)
    }
}

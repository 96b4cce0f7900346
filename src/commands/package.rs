//! `onr package triton`: models with their configurations in a repository, and back.

use onr_requests::CheckOptions;
use onr_triton::{
    Package, PackageOptions, Source,
    repository::{ConfigChange, Repository, RolledBack, Written},
};
use serde::Serialize;

use crate::{
    args::{PackageArgs, PackageCommand, TritonArgs},
    context::Context,
    settings::Requests,
    show::{Detail, Report, Table, bytes},
};

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Packaged {
    Written {
        #[serde(flatten)]
        written: Written,
        #[serde(skip)]
        warnings: Vec<String>,
    },
    RolledBack(RolledBack),
}

pub(crate) fn run(args: &PackageArgs, context: &Context) -> anyhow::Result<Packaged> {
    let PackageCommand::Triton(args) = &args.command;
    if args.rollback {
        let done = Repository::existing(&args.out)?.rollback(args.name.as_str())?;
        return Ok(Packaged::RolledBack(done));
    }
    let sources = args.dirs.iter().map(|dir| Source::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let requests = requests(args, &sources)?;
    let list = requests.as_ref().map(|r| r.list.as_slice());
    let package = Package::plan(&sources, &options(args), list)?;
    let written = Repository::open(&args.out)?.write(&package, context.progress())?;
    let warnings = requests.map(|r| r.warnings).unwrap_or_default();
    Ok(Packaged::Written { written, warnings })
}

fn options(args: &TritonArgs) -> PackageOptions {
    PackageOptions {
        name: args.name.clone(),
        backend: args.backend.map(Into::into),
        max_batch: args.max_batch,
        instances: args.instances,
        gpus: args.gpus.clone(),
        queue_delay_us: args.queue_delay_us,
        preferred_batches: args.preferred_batches.clone(),
        keep_versions: args.keep_versions,
        cuda_graphs: args.cuda_graphs,
        user_embeddings: args.user_embeddings,
        context_allocation: args.context_allocation.map(Into::into),
    }
}

fn requests(args: &TritonArgs, sources: &[Source]) -> anyhow::Result<Option<Requests>> {
    let (Some(file), Some(source)) = (&args.requests, sources.first()) else { return Ok(None) };
    let options = CheckOptions { strict: false, sort: false };
    Ok(Some(Requests::load(Some(file), source.config(), options)?))
}

impl Report for Packaged {
    fn human(&self, _: Detail) -> String {
        match self {
            Self::Written { written, .. } => written_text(written),
            Self::RolledBack(done) => rolled_back_text(done),
        }
    }

    fn warnings(&self) -> Vec<String> {
        match self {
            Self::Written { written, warnings } => [&warnings[..], &written.notes].concat(),
            Self::RolledBack(done) => done.notes.clone(),
        }
    }
}

fn written_text(written: &Written) -> String {
    let mut table = Table::new(&["model", "graph", "size", "config.pbtxt", "files"]);
    for model in &written.models {
        let config = match model.config {
            ConfigChange::New => "new",
            ConfigChange::Same => "as it was",
            ConfigChange::Replaced => "replaced",
        };
        table.row([
            model.name.clone(),
            model.graph.clone().unwrap_or_else(|| "ensemble".into()),
            bytes(model.bytes),
            config.into(),
            model.files.join(", "),
        ]);
    }
    format!(
        "{}: version {} of {}, for the backend {}\n{}",
        written.repository.display(),
        written.version,
        written.package,
        written.backend,
        table.text()
    )
}

fn rolled_back_text(done: &RolledBack) -> String {
    let mut table = Table::new(&["model", "newest version"]);
    for (model, version) in &done.models {
        table.row([model.clone(), version.to_string()]);
    }
    format!(
        "{}: version {} of {} is gone\n{}",
        done.repository.display(),
        done.removed,
        done.package,
        table.text()
    )
}

//! `onr parity record`: the reference's answers in a file.

use anyhow::Context as _;
use onr_exporter::Checkpoint;
use onr_requests::CheckOptions;
use onr_runtime::{
    backends::tract::TractBackend,
    manifest::Manifest,
    parity::{ParityJob, RecordJob, Reference, record},
};

use super::{
    ROWS, checkpoint, manifest_config, manifest_options,
    outcome::{ParityDone, Recording},
};
use crate::{
    args::RecordArgs,
    context::{Context, Scratch},
    exit::Refusal,
    settings::{Requests, make_parent},
};

pub(super) fn run(args: &RecordArgs, context: &Context) -> anyhow::Result<ParityDone> {
    let manifest = Manifest::read(&args.dir)?;
    manifest.verify(&args.dir)?;
    let config = manifest_config(&manifest, &args.dir)?;
    let options = manifest_options(&manifest, &args.dir)?;
    let check = CheckOptions { strict: false, sort: args.requests.sort };
    let mut requests = Requests::load(args.requests.requests.as_deref(), &config, check)?;
    requests.list.truncate(args.limit.max(1));
    let path = checkpoint(args.weights.as_deref(), &manifest, &args.dir)?;
    let weights = Checkpoint::open(&path)?;
    let _made = make_parent(&args.out)?;
    let _scratch = Scratch::make()?;
    let progress = context.progress();
    let plan = manifest.plan(&args.dir)?;
    let reference =
        Reference::build(&config, &options, &manifest.graphs, &weights, plan.as_ref(), progress)?;
    let recorded = manifest.checkpoint.as_ref().context("the manifest names no checkpoint")?;
    if recorded.sha256 != reference.checkpoint_sha256() {
        let what = format!("{} is not the checkpoint that was exported", path.display());
        return Err(Refusal::wrong(what).hint("export again, then record").into());
    }
    let backend = TractBackend::new();
    let parity = ParityJob {
        config: &config,
        options: &options,
        graphs: &manifest.graphs,
        dir: &args.dir,
        candidate: &backend,
        reference: &backend,
        requests: &requests.list,
        requests_from: &requests.from,
        rows: ROWS,
        coded: (&manifest).into(),
    };
    let kind = manifest.kind();
    let job = RecordJob { parity: &parity, reference: &reference, kind: &kind };
    let file = record(&job, &args.out, progress)?;
    let (out, requests_kept) = (args.out.clone(), requests.list.len());
    let recorded = Recording { out, requests: requests_kept, kind, file };
    Ok(ParityDone {
        recorded: Some(recorded),
        warnings: requests.warnings,
        ..ParityDone::default()
    })
}

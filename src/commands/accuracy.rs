//! `onr accuracy`: what a precision costs, in the order of candidates.

use std::path::PathBuf;

use onr_exporter::Checkpoint;
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::Backend,
    backends::tract::TractBackend,
    manifest::Manifest,
    parity::{Accuracy, Ranked, Reference, Scoring},
};
use serde::Serialize;

use super::parity::{ROWS, candidate, checkpoint, manifest_config, manifest_options};
use crate::{
    args::AccuracyArgs,
    context::{Context, Scratch},
    exit::Refusal,
    settings::Requests,
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct AccuracyFound {
    dir: PathBuf,
    precision: String,
    against: String,
    requests_from: String,
    #[serde(flatten)]
    accuracy: Accuracy,
    #[serde(skip)]
    warnings: Vec<String>,
}

pub(crate) fn run(args: &AccuracyArgs, context: &Context) -> anyhow::Result<AccuracyFound> {
    if args.k == 0 || !(args.tie >= 0.0 && args.tie.is_finite()) {
        return Err(Refusal::usage("--k is at least 1, --tie at least 0").into());
    }
    let manifest = Manifest::read(&args.dir)?;
    manifest.verify(&args.dir)?;
    let config = manifest_config(&manifest, &args.dir)?;
    let options = manifest_options(&manifest, &args.dir)?;
    let backend = candidate(args.candidate, context)?;
    let check = CheckOptions { strict: false, sort: args.requests.sort };
    let requests = Requests::load(args.requests.requests.as_deref(), &config, check)?;
    let scoring =
        Scoring { config: &config, options: &options, requests: &requests.list, rows: ROWS };
    let _scratch = Scratch::make()?;
    let (against, want) = reference(args, &scoring, &manifest, backend.as_ref(), context)?;
    let got = scoring.run(backend.as_ref(), &args.dir, &manifest.graphs, context.progress())?;
    let accuracy = Accuracy::of(&want, &got, args.k, args.tie)
        .ok_or_else(|| Refusal::wrong("no request has candidates"))?;
    Ok(AccuracyFound {
        dir: args.dir.clone(),
        precision: manifest.precision_name(),
        against,
        requests_from: requests.from,
        accuracy,
        warnings: requests.warnings,
    })
}

/// What is compared with, in words and in scores.
fn reference(
    args: &AccuracyArgs,
    scoring: &Scoring<'_>,
    manifest: &Manifest,
    backend: &dyn Backend,
    context: &Context,
) -> anyhow::Result<(String, Vec<Ranked>)> {
    let progress = context.progress();
    if let Some(dir) = &args.against {
        let other = Manifest::read(dir)?;
        other.verify(dir)?;
        let what = format!("{} ({})", dir.display(), other.precision_name());
        return Ok((what, scoring.run(backend, dir, &other.graphs, progress)?));
    }
    let path = checkpoint(args.weights.as_deref(), manifest, &args.dir)?;
    let weights = Checkpoint::open(&path)?;
    let built = Reference::build(
        scoring.config,
        scoring.options,
        &manifest.graphs,
        &weights,
        None,
        progress,
    )?;
    let want = scoring.run(&TractBackend::new(), built.dir(), built.graphs(), progress)?;
    Ok(("FP32 on tract".to_owned(), want))
}

impl Report for AccuracyFound {
    fn human(&self, _: Detail) -> String {
        let a = &self.accuracy;
        format!(
            "{} ({}) against {}, {} requests of {}\n\
             top-{} overlap   {:.4} mean, {:.4} at the 5th percentile (swaps within {} standard deviations forgiven)\n\
             without ties     {:.4}\n\
             Kendall's tau    {:.4}\n\
             DC               {:.4} -> {:.4} nats, {:.4} a request\n\
             error of scores  {:.4} standard deviations",
            self.dir.display(),
            self.precision,
            self.against,
            a.requests,
            self.requests_from,
            a.k,
            a.overlap,
            a.overlap_p05,
            a.tie,
            a.overlap_exact,
            a.kendall,
            a.dc_reference,
            a.dc,
            a.dc_shift,
            a.score_error
        )
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

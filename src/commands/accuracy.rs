//! `onr accuracy`: what a precision costs, in the order of candidates.

use std::path::{Path, PathBuf};

use onr_exporter::{Checkpoint, artifact};
use onr_requests::CheckOptions;
use onr_runtime::{
    backend::{Availability, Backend},
    backends::tract::TractBackend,
    manifest::Manifest,
    parity::{Accuracy, Ranked, Reference, Scoring},
};
use serde::Serialize;

use super::{
    candidate::candidate,
    parity::{ROWS, checkpoint, manifest_config, manifest_options},
    precision_report::Findings,
};
use crate::{
    args::AccuracyArgs,
    context::{Context, Scratch},
    exit::Refusal,
    settings::{Requests, make_parent, read_calibration},
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct AccuracyFound {
    dir: PathBuf,
    precision: String,
    against: String,
    requests_from: String,
    report: Option<PathBuf>,
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
    let backend = candidate(&args.candidate, context)?;
    let check = CheckOptions { strict: false, sort: args.requests.sort };
    let requests = Requests::load(args.requests.requests.as_deref(), &config, check)?;
    let scoring =
        Scoring { config: &config, options: &options, requests: &requests.list, rows: ROWS };
    let _scratch = Scratch::make()?;
    let calibration = args.calibration.as_deref().map(read_calibration).transpose()?;
    let _made = args.report.as_deref().map(make_parent).transpose()?;
    let reference = reference(args, &scoring, &manifest, backend.as_ref(), context)?;
    let got = scoring.run(backend.as_ref(), &args.dir, &manifest.graphs, context.progress())?;
    let accuracy = Accuracy::of(&reference.scores, &got, args.k, args.tie)
        .ok_or_else(|| Refusal::wrong("no request has candidates"))?;
    if let Some(file) = &args.report {
        let findings = Findings {
            manifest: &manifest,
            dir: &args.dir,
            reference: reference.dir(),
            calibration: calibration.as_ref(),
            requests: &requests.list,
            want: &reference.scores,
            got: &got,
            accuracy,
            backend: version(backend.as_ref()),
        };
        let report = findings.report()?;
        let json = file.extension().is_some_and(|e| e == "json");
        let text = if json { report.json()? } else { report.html() };
        artifact::write(file, text.as_bytes())?;
    }
    Ok(AccuracyFound {
        dir: args.dir.clone(),
        report: args.report.clone(),
        precision: manifest.precision_words(),
        against: reference.name,
        requests_from: requests.from,
        accuracy,
        warnings: requests.warnings,
    })
}

/// What is compared with: its name, its scores, and where its graphs lie.
struct Against {
    name: String,
    scores: Vec<Ranked>,
    built: Option<Reference>,
    given: PathBuf,
}

impl Against {
    fn dir(&self) -> &Path {
        self.built.as_ref().map_or(&self.given, Reference::dir)
    }
}

fn reference(
    args: &AccuracyArgs,
    scoring: &Scoring<'_>,
    manifest: &Manifest,
    backend: &dyn Backend,
    context: &Context,
) -> anyhow::Result<Against> {
    let progress = context.progress();
    if let Some(dir) = &args.against {
        let other = Manifest::read(dir)?;
        other.verify(dir)?;
        let name = format!("{} ({})", dir.display(), other.precision_words());
        let scores = scoring.run(backend, dir, &other.graphs, progress)?;
        return Ok(Against { name, scores, built: None, given: dir.clone() });
    }
    let path = checkpoint(args.weights.as_deref(), manifest, &args.dir)?;
    let weights = Checkpoint::open(&path)?;
    let (config, graphs) = (scoring.config, &manifest.graphs);
    let built = Reference::build(config, scoring.options, graphs, &weights, None, progress)?;
    let scores = scoring.run(&TractBackend::new(), built.dir(), built.graphs(), progress)?;
    let given = PathBuf::new();
    Ok(Against { name: "FP32 on tract".to_owned(), scores, built: Some(built), given })
}

/// Name and version of a backend.
fn version(backend: &dyn Backend) -> String {
    match backend.availability() {
        Availability::Ready { version, .. } => version,
        Availability::Missing { .. } => backend.name().to_owned(),
    }
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
        ) + &self.report.as_ref().map_or_else(String::new, |r| format!("\n{}", r.display()))
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

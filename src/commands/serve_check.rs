//! `onr serve-check`: a log replayed through a store of keys and values.

mod outcome;
mod ways;

use std::{path::PathBuf, sync::Arc, time::Instant};

use onr_exporter::ExportError;
use onr_graphs::ModelConfig;
use onr_kvstore::Store;
use onr_requests::{LogReport, Replay, Request, Vocab, from_log};
use onr_runtime::{
    manifest::Manifest,
    parity::{Coded, Tolerance},
    serving::{Answer, Deployment, Service, Steps},
};

use self::{
    outcome::{ServeChecked, Verified},
    ways::Ways,
};
use super::{
    candidate::candidate,
    parity::{manifest_config, manifest_options},
    requests::log_options,
};
use crate::{
    args::ServeCheckArgs,
    context::{Context, Scratch},
    exit::Refusal,
};

pub(crate) fn run(args: &ServeCheckArgs, context: &Context) -> anyhow::Result<ServeChecked> {
    let manifest = Manifest::read(&args.dir)?;
    let config = manifest_config(&manifest, &args.dir)?;
    let options = manifest_options(&manifest, &args.dir)?;
    let backend = candidate(&args.candidate, context)?;
    let (replay, log) = replay(args, &config)?;
    let _scratch = Scratch::make()?;
    let store = Arc::new(Store::new(args.store_mib << 20));
    let steps = Steps { slots: args.slots as usize, ..Steps::default() };
    let dir = &args.dir;
    let deployment = Deployment { dir, manifest: &manifest, config: &config, options: &options };
    let service = Service::open(backend.as_ref(), deployment, Arc::clone(&store), steps)?;
    let device = service.placement().map_or_else(String::new, |placement| placement.device);
    let tolerance = Tolerance::kept(options.precision, Coded::from(&manifest));
    let mut replayed = Replayed {
        args,
        service,
        tolerance,
        ways: Ways::new()?,
        verified: Verified::of(tolerance),
    };
    replayed.all(replay, context)?;
    let Replayed { ways, verified, .. } = replayed;
    Ok(ServeChecked {
        dir: args.dir.clone(),
        backend: backend.name().to_owned(),
        device,
        log,
        requests: ways.requests(),
        flops: ways.flops(),
        flops_from_scratch: ways.flops_anew(),
        saved_share: ways.saved_share(),
        ways: ways.figures(),
        store_bound_bytes: store.bound(),
        store: store.statistics(),
        verified,
    })
}

/// The requests of the log, and what was noticed in it.
fn replay(args: &ServeCheckArgs, config: &ModelConfig) -> anyhow::Result<(Replay, LogReport)> {
    let beside = || Some(args.dir.join("vocab.json")).filter(|file| file.is_file());
    let file: Option<PathBuf> = args.vocab.clone().or_else(beside);
    let vocab = file.as_deref().map(Vocab::read).transpose()?;
    let log = from_log(&args.interactions, vocab, &log_options(&args.log, config)?)?;
    let report = log.report().clone();
    let replay = log.replay(args.after);
    if replay.len() == 0 {
        let what = format!("{} has no request", args.interactions.display());
        return Err(Refusal::wrong(what).hint("no user has more behaviours than --after").into());
    }
    Ok((replay, report))
}

/// A replay under way.
struct Replayed<'a> {
    args: &'a ServeCheckArgs,
    service: Service,
    tolerance: Tolerance,
    ways: Ways,
    verified: Verified,
}

impl Replayed<'_> {
    fn all(&mut self, replay: Replay, context: &Context) -> anyhow::Result<()> {
        let most = self.args.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let progress = context.progress();
        progress.stage("replay", replay.len().min(most) as u64);
        for (at, request) in (0_u64..).zip(replay.take(most)) {
            let began = Instant::now();
            let answer = self.service.answer(&request)?;
            let anew = self.service.flops_anew(&request);
            self.ways.add(answer.origin, began.elapsed(), (answer.flops, anew));
            if at % self.args.verify == 0 {
                self.verify(&request, &answer)?;
            }
            if progress.advance(1).is_break() {
                return Err(ExportError::Interrupted.into());
            }
        }
        Ok(())
    }

    /// Compares an answer with one from nothing, whose time is noted too.
    fn verify(&mut self, request: &Request, got: &Answer) -> anyhow::Result<()> {
        let began = Instant::now();
        let want = self.service.answer_anew(request)?;
        self.ways.add_anew(began.elapsed());
        let pairs = [
            ("scores", &want.scores, &got.scores),
            ("generator_logits", &want.generator_logits, &got.generator_logits),
        ];
        for (output, want, got) in pairs {
            self.verified.add(request, output, self.tolerance.apart(want, got));
        }
        self.verified.answers += 1;
        Ok(())
    }
}

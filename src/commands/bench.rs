//! `onr bench`: a deployed model under load, every answer looked at.

mod answers;
mod asked;
mod outcome;
mod statistics;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use onr_exporter::Progress;
use onr_kserve::{Client, ClientOptions};
use onr_load::{Call, Load, Measured, SystemClock, Until, drive};
use onr_requests::{CheckOptions, Request};
use onr_runtime::{
    backend::{Availability, Backend, RunError},
    backends::triton::{Deployed, TritonBackend},
    deployment::model_name,
    manifest::Manifest,
    parity::{Coded, Tolerance},
    traffic::Traffic,
};

use self::{
    answers::Answers,
    asked::Asked,
    outcome::{Batched, BenchDone},
    statistics::Server,
};
use super::parity::{manifest_config, manifest_options};
use crate::{
    args::{BenchArgs, DeployedArg},
    context::{Context, Scratch},
    exit::Refusal,
    settings::Requests,
};

/// How often it is asked whether to stop.
const STEP: Duration = Duration::from_millis(50);

pub(crate) fn run(
    args: &BenchArgs,
    server: &DeployedArg,
    context: &Context,
) -> anyhow::Result<BenchDone> {
    let manifest = Manifest::read(&args.dir)?;
    let config = manifest_config(&manifest, &args.dir)?;
    let options = manifest_options(&manifest, &args.dir)?;
    let (backend, version) = backend(args, server)?;
    let graph = args.graph.kind();
    let package = &server.package;
    let model = graph.map_or_else(|| package.clone(), |kind| model_name(package, kind.name()));
    let deployed = backend.deployed(&model)?;
    expect_graphs(args, &manifest)?;
    expect_sizes(args, &deployed)?;
    let check = CheckOptions { strict: false, sort: args.requests.sort };
    let mut requests = Requests::load(args.requests.requests.as_deref(), &config, check)?;
    requests.list.truncate(args.limit as usize);
    let _scratch = Scratch::make()?;
    let coded = Coded::from(&manifest);
    let bench = Bench {
        args,
        deployed: &deployed,
        client: backend.client(),
        tolerance: Tolerance::relation(options.precision, coded.numbers),
        progress: context.progress(),
        traffic: Traffic {
            backend: &backend,
            dir: &args.dir,
            graphs: &manifest.graphs,
            config: &config,
            options: &options,
        },
    };
    let mut done = BenchDone::new(args, model, version, &requests);
    let mut sizes = args.batch.clone();
    sizes.dedup();
    for rows in sizes {
        let batched = bench.run(rows as usize, &requests.list)?;
        let stopped = batched.measured.stopped;
        done.batches.push(batched);
        if stopped {
            break;
        }
    }
    Ok(done)
}

/// The server, if it is there, and what it calls itself.
fn backend(args: &BenchArgs, server: &DeployedArg) -> Result<(TritonBackend, String), RunError> {
    let connections = usize::from(args.clients.max(args.in_flight));
    let options = ClientOptions { idle_connections: connections, ..ClientOptions::default() };
    let backend = TritonBackend::with_options(&server.server, &server.package, options)?;
    match backend.availability() {
        Availability::Ready { version, .. } => Ok((backend, version)),
        Availability::Missing { what, hint } => {
            Err(RunError::Missing { backend: backend.name(), what, hint })
        }
    }
}

/// Refuses what lacks a graph that makes the inputs.
fn expect_graphs(args: &BenchArgs, manifest: &Manifest) -> Result<(), Refusal> {
    let kind = args.graph.kind();
    let needed = Traffic::before(kind).iter().chain(kind.as_ref());
    let has = |name: &str| manifest.graphs.iter().any(|graph| graph.name == name);
    match needed.map(|kind| kind.name()).find(|name| !has(name)) {
        None => Ok(()),
        Some(name) => {
            let what = format!("{} has no graph {name}", args.dir.display());
            Err(Refusal::usage(what)
                .hint("choose another --graph, or the directory that was packaged"))
        }
    }
}

/// Refuses more rows than the deployed model takes.
fn expect_sizes(args: &BenchArgs, deployed: &Deployed) -> Result<(), Refusal> {
    let most = deployed.config().max_batch_size;
    match args.batch.iter().find(|rows| **rows > most) {
        None => Ok(()),
        Some(rows) => {
            let model = &deployed.config().name;
            let what = format!("--batch {rows} is more than the {most} rows that {model} takes");
            Err(Refusal::usage(what).hint("`onr package triton --max-batch` sets them"))
        }
    }
}

/// All that runs of other sizes share.
struct Bench<'a> {
    args: &'a BenchArgs,
    deployed: &'a Deployed,
    client: &'a Client,
    tolerance: Tolerance,
    progress: &'a dyn Progress,
    traffic: Traffic<'a>,
}

impl Bench<'_> {
    /// One run with so many rows a request.
    fn run(&self, rows: usize, requests: &[Request]) -> anyhow::Result<Batched> {
        let graph = self.args.graph.kind();
        let inputs = self.traffic.inputs(graph, requests, rows, self.progress)?;
        let answers = Answers::new(self.deployed, self.tolerance, rows);
        self.progress.stage("first answers", inputs.len() as u64);
        let mut asked = Vec::with_capacity(inputs.len());
        for feeds in &inputs {
            asked.push(Asked::first(self.client, self.deployed, &answers, feeds)?);
            if self.progress.advance(1).is_break() {
                return Err(onr_exporter::ExportError::Interrupted.into());
            }
        }
        drop(inputs);
        let before = Server::read(self.client, self.deployed.config());
        let measured = self.load(&asked, &answers, rows)?;
        let server = Server::read(self.client, self.deployed.config());
        let server = before.zip(server).map(|(before, after)| after.since(&before));
        let (largest_difference, moved_ids) = answers.found();
        Ok(Batched {
            batch: rows,
            inputs: asked.len(),
            measured,
            largest_difference,
            moved_ids,
            server,
        })
    }

    /// Sends requests in turn until the end, or until somebody wants no more.
    fn load(
        &self,
        asked: &[Asked],
        answers: &Answers<'_>,
        rows: usize,
    ) -> anyhow::Result<Measured> {
        let load = Load::new(self.args.shape(), Until::Elapsed(self.args.seconds))
            .warm_up(self.args.warmup);
        let call = |call: Call| {
            let next = (call.index % asked.len() as u64) as usize;
            asked[next].again(self.client, answers).map(|()| rows as u64)
        };
        let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let whole = (self.args.seconds + self.args.warmup).as_secs();
        self.progress.stage(&format!("{rows} rows a request"), whole);
        thread::scope(|scope| {
            scope.spawn(|| self.watch(&stop, &done));
            let measured = drive(&load, &SystemClock::new(), &stop, &call);
            done.store(true, Ordering::SeqCst);
            Ok(measured?)
        })
    }

    /// Shows how time passes, and says when somebody wants no more.
    fn watch(&self, stop: &AtomicBool, done: &AtomicBool) {
        let (began, mut shown) = (Instant::now(), 0);
        while !done.load(Ordering::SeqCst) {
            thread::sleep(STEP);
            let passed = began.elapsed().as_secs();
            if self.progress.advance(passed - shown).is_break() {
                stop.store(true, Ordering::SeqCst);
            }
            shown = passed;
        }
    }
}

//! `onr bench --backend`: each graph alone in this process, one run after the other.

mod memory;
mod traffic;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use onr_exporter::{ExportError, Progress};
use onr_graphs::{
    DType, GraphKind, GraphOptions, ItemInput, ModelConfig,
    flops::{Sizes, flops},
};
use onr_load::{Latencies, Latency};
use onr_runtime::{
    backend::{Availability, Backend, Session},
    manifest::Manifest,
    tensor::{HostTensor, Value, Values},
};
use serde::Serialize;

use self::{
    memory::{Peak, Watch},
    traffic::Weights,
};
use super::{
    candidate::candidate,
    parity::{manifest_config, manifest_options},
};
use crate::{
    args::{BenchArgs, CandidateArg},
    context::{Context, Scratch},
    exit::Refusal,
    show::{Detail, Report, Table},
};

/// Candidates of a request where nobody says.
const CANDIDATES: u32 = 256;

/// The graphs of a request, in the order in which they run.
const STAGES: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

/// Graphs of a directory in one process.
#[derive(Serialize)]
pub(crate) struct LocalDone {
    dir: PathBuf,
    backend: String,
    precision: String,
    /// Where the graphs ran.
    device: String,
    opened: Vec<Opened>,
    runs: Vec<Run>,
    memory: Peak,
}

/// A graph before it can run.
#[derive(Serialize)]
struct Opened {
    graph: &'static str,
    /// Building its plan, as the manifest has it; `None` for a backend that runs the graph itself.
    build_seconds: Option<f64>,
    /// Loading it: reading, compiling what is not in the cache of kernels, copying weights.
    open_seconds: f64,
    /// Its very first run, at the first size.
    first_seconds: f64,
}

/// One size of requests.
#[derive(Serialize)]
struct Run {
    batch: usize,
    length: usize,
    candidates: usize,
    /// By graph; `cached` is `generate` and `rank` with keys and values that are there, `full` is `encode` as well.
    measured: BTreeMap<&'static str, Measured>,
    /// How much faster `cached` is than `full`, and how much of that the counted operations allow.
    speed_up: f64,
    counted_speed_up: f64,
}

#[derive(Serialize)]
struct Measured {
    runs: u64,
    latency: Latency,
    /// Of products, in one run: as many as formulas count.
    operations: u64,
    /// That one run has to read and write: inputs, outputs, weights and the rows of items.
    bytes: u64,
    /// Operations of products a second, in units of 10^9.
    gflops: f64,
    rows_per_second: f64,
}

pub(crate) fn run(
    args: &BenchArgs,
    backend: &CandidateArg,
    context: &Context,
) -> anyhow::Result<LocalDone> {
    let manifest = Manifest::read(&args.dir)?;
    let config = manifest_config(&manifest, &args.dir)?;
    let options = manifest_options(&manifest, &args.dir)?;
    if options.item_input == ItemInput::Embeddings {
        return Err(
            Refusal::usage("the graphs take items as vectors, and --backend makes ids").into()
        );
    }
    let lengths = sizes(&args.length, config.max_seq_len as u32);
    if let Some(long) = lengths.iter().find(|l| **l > config.max_seq_len) {
        let what = format!("--length {long} is more than the model's {}", config.max_seq_len);
        return Err(Refusal::usage(what).into());
    }
    let engine = candidate(backend, context)?;
    let _scratch = Scratch::make()?;
    let version = match engine.availability() {
        Availability::Ready { version, .. } => version,
        Availability::Missing { what, .. } => what,
    };
    let mut watch = Watch::begin(backend.gpu());
    let mut bench = Bench::open(args, (&manifest, &config, &options), engine.as_ref())?;
    let mut runs = Vec::new();
    let progress = context.progress();
    for batch in sizes(&args.batch, 1) {
        for length in &lengths {
            for candidates in sizes(&args.candidates, CANDIDATES) {
                runs.push(bench.run((batch, *length, candidates), progress)?);
                watch.look();
            }
        }
    }
    let device = bench.stages.values().next().map(|s| s.session.placement().device);
    Ok(LocalDone {
        dir: args.dir.clone(),
        backend: version,
        precision: manifest.precision_words(),
        device: device.unwrap_or_default(),
        opened: bench.opened(),
        runs,
        memory: watch.peak(),
    })
}

fn sizes(asked: &[u32], otherwise: u32) -> Vec<usize> {
    let list = if asked.is_empty() { &[otherwise][..] } else { asked };
    list.iter().map(|n| *n as usize).collect()
}

struct Stage {
    session: Box<dyn Session>,
    inputs: Vec<(String, DType)>,
    weights: Weights,
    build_seconds: Option<f64>,
    /// Bytes of the latest run.
    bytes: u64,
    open: Duration,
    first: Option<Duration>,
}

struct Bench<'a> {
    args: &'a BenchArgs,
    config: &'a ModelConfig,
    options: &'a GraphOptions,
    stages: BTreeMap<GraphKind, Stage>,
}

impl<'a> Bench<'a> {
    fn open(
        args: &'a BenchArgs,
        (manifest, config, options): (&Manifest, &'a ModelConfig, &'a GraphOptions),
        backend: &dyn Backend,
    ) -> anyhow::Result<Self> {
        let mut stages = BTreeMap::new();
        for kind in STAGES {
            let graph = manifest.graphs.iter().find(|graph| graph.name == kind.name());
            let graph = graph.ok_or_else(|| {
                Refusal::usage(format!("{} has no graph {}", args.dir.display(), kind.name()))
            })?;
            let typed =
                |dtype: &str| DType::from_name(dtype).context("an unknown type in onr.json");
            let inputs = graph.inputs.iter().map(|t| Ok((t.name.clone(), typed(&t.dtype)?)));
            let inputs = inputs.collect::<anyhow::Result<_>>()?;
            let file = args.dir.join(graph.file_name());
            let weights = Weights::of(&file)?;
            let began = Instant::now();
            let session = backend.open(&file)?;
            let open = began.elapsed();
            let plan = manifest.engines.get(kind.name()).filter(|_| !backend.runs_files());
            let build_seconds = plan.map(|plan| plan.seconds);
            let stage =
                Stage { session, inputs, weights, build_seconds, bytes: 0, open, first: None };
            stages.insert(kind, stage);
        }
        Ok(Self { args, config, options, stages })
    }

    fn opened(&self) -> Vec<Opened> {
        let seconds = |time: Option<Duration>| time.map_or(0.0, |t| t.as_secs_f64());
        let one = |(kind, stage): (&GraphKind, &Stage)| Opened {
            graph: kind.name(),
            build_seconds: stage.build_seconds,
            open_seconds: stage.open.as_secs_f64(),
            first_seconds: seconds(stage.first),
        };
        self.stages.iter().map(one).collect()
    }

    fn run(&mut self, size: (usize, usize, usize), progress: &dyn Progress) -> anyhow::Result<Run> {
        let (batch, length, candidates) = size;
        let mut state = self.requests(size);
        for kind in STAGES {
            let outputs = self.once(kind, &state)?;
            state.extend(
                outputs.into_iter().map(|(n, v)| (n.replace("present.", "past_key_values."), v)),
            );
        }
        let name = format!("{batch} x {length} behaviours, {candidates} candidates");
        progress.stage(&name, 5);
        let mut measured = BTreeMap::new();
        let each = STAGES.map(|kind| (kind.name(), vec![kind]));
        let whole = [("cached", STAGES[1..].to_vec()), ("full", STAGES.to_vec())];
        for (name, kinds) in each.into_iter().chain(whole) {
            measured.insert(name, self.measure(&kinds, size, &state)?);
            if progress.advance(1).is_break() {
                return Err(ExportError::Interrupted.into());
            }
        }
        let (cached, full) = (&measured["cached"], &measured["full"]);
        let speed_up = full.latency.p50_ms / cached.latency.p50_ms;
        let counted = |kinds: &[GraphKind]| self.flops(kinds, size) as f64;
        let counted_speed_up = counted(&STAGES) / counted(&STAGES[1..]);
        Ok(Run { batch, length, candidates, measured, speed_up, counted_speed_up })
    }

    /// Runs one graph on what it asks for.
    fn once(&mut self, kind: GraphKind, state: &Values) -> anyhow::Result<Values> {
        let stage = self.stages.get_mut(&kind).context("every stage is open")?;
        let mut feeds = Values::new();
        for (name, dtype) in &stage.inputs {
            let value = state.get(name).and_then(|value| value.cast(*dtype));
            feeds.insert(name.clone(), value.with_context(|| format!("nothing makes `{name}`"))?);
        }
        let began = Instant::now();
        let outputs = stage.session.run_values(&feeds, &|_| kind != GraphKind::Rank)?;
        stage.first.get_or_insert_with(|| began.elapsed());
        stage.bytes = stage.weights.of_run(&feeds, &outputs);
        Ok(outputs)
    }

    /// Runs some graphs, one behind the other, again and again.
    fn measure(
        &mut self,
        kinds: &[GraphKind],
        size: (usize, usize, usize),
        state: &Values,
    ) -> anyhow::Result<Measured> {
        let mut latencies = Latencies::new()?;
        let warm = Instant::now();
        let go = |bench: &mut Self| -> anyhow::Result<()> {
            kinds.iter().try_for_each(|kind| bench.once(*kind, state).map(drop))
        };
        go(self)?;
        while warm.elapsed() < self.args.warmup {
            go(self)?;
        }
        let began = Instant::now();
        while latencies.count() < 3 || began.elapsed() < self.args.seconds {
            let one = Instant::now();
            go(self)?;
            latencies.record(one.elapsed());
        }
        let (runs, seconds) = (latencies.count(), began.elapsed().as_secs_f64());
        let per_second = runs as f64 / seconds;
        let operations = self.flops(kinds, size);
        Ok(Measured {
            runs,
            latency: latencies.summary(),
            operations,
            bytes: kinds.iter().map(|kind| self.stages[kind].bytes).sum(),
            gflops: operations as f64 * per_second / 1e9,
            rows_per_second: size.0 as f64 * per_second,
        })
    }

    fn flops(
        &self,
        kinds: &[GraphKind],
        (batch, length, candidates): (usize, usize, usize),
    ) -> u64 {
        let sizes = Sizes { batch, seq: length, kv: length, candidates, ..Sizes::default() };
        kinds.iter().map(|kind| flops(self.config, self.options, *kind, sizes)).sum()
    }

    /// Full histories of known items, and candidates, the same in every run.
    fn requests(&self, (batch, length, candidates): (usize, usize, usize)) -> Values {
        let ids = |count: usize, most: usize| -> Vec<i64> {
            (0..count).map(|i| (1 + i * 7919 % (most - 1)) as i64).collect()
        };
        let matrix = |width: usize, values: Vec<i64>| HostTensor::of(&[batch, width], values);
        let times = (0..batch * length).map(|i| 1_700_000_000 + 613 * (i % length) as i64);
        let column = |value: i64| HostTensor::of(&[batch], vec![value; batch]);
        let all = [
            ("item_ids", matrix(length, ids(batch * length, self.config.n_items))),
            ("action_ids", matrix(length, vec![0; batch * length])),
            ("timestamps", matrix(length, times.collect())),
            ("candidate_ids", matrix(candidates, ids(batch * candidates, self.config.n_items))),
            ("seq_lens", column(length as i64)),
            ("request_time", column(1_700_000_000 + 613 * length as i64)),
        ];
        all.into_iter().map(|(name, tensor)| (name.to_owned(), Value::Host(tensor))).collect()
    }
}

impl Report for LocalDone {
    fn human(&self, _: Detail) -> String {
        let mut opened = Table::new(&["graph", "build s", "open s", "first run s"]);
        for one in &self.opened {
            opened.row([
                one.graph.to_owned(),
                one.build_seconds.map_or_else(|| "-".to_owned(), |s| format!("{s:.1}")),
                format!("{:.3}", one.open_seconds),
                format!("{:.3}", one.first_seconds),
            ]);
        }
        let head = [
            "batch",
            "length",
            "candidates",
            "what",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "rows/s",
            "GFLOP/s",
        ];
        let mut table = Table::new(&head);
        let mut gains = Vec::new();
        for run in &self.runs {
            for name in ["encode", "generate", "rank", "cached", "full"] {
                let m = &run.measured[name];
                table.row([
                    run.batch.to_string(),
                    run.length.to_string(),
                    run.candidates.to_string(),
                    name.to_owned(),
                    format!("{:.3}", m.latency.p50_ms),
                    format!("{:.3}", m.latency.p90_ms),
                    format!("{:.3}", m.latency.p99_ms),
                    format!("{:.0}", m.rows_per_second),
                    format!("{:.1}", m.gflops),
                ]);
            }
            gains.push(format!(
                "{} x {}, {} candidates: keys and values that are there save a factor of {:.2}; counted operations allow {:.2}",
                run.batch,
                run.length,
                run.candidates,
                run.speed_up,
                run.counted_speed_up
            ));
        }
        format!(
            "{} in {} on {} ({})\n\n{}\n\n{}\n\n{}\n{}Copies of ids to the device and of scores back are in the figures; keys and values stay where they were computed.",
            self.dir.display(),
            self.precision,
            self.backend,
            self.device,
            opened.text(),
            table.text(),
            gains.join("\n"),
            self.memory.words(),
        )
    }
}

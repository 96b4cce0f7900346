//! How much of the speed-up that counted operations allow does `rank` reach, when it reads keys and values that are
//! there, against computing all of them for each request?
//!
//! `cargo build --release --workspace --example kv_passthrough`, then `target/release/examples/kv_passthrough
//! [ROUNDS [THREADS..]]` prints a table. Random weights, 256 behaviours,
//! 8 generator and 2 ranker layers, ONNX Runtime on the CPU. A round runs `encode`, `generate` and `rank` once each; there are so many
//! of them at least, and two seconds of them. Figures are medians over rounds, the speed-up that of each round's ratio. What engines
//! give is not copied out, so nothing but their own work is measured.

use std::{
    error::Error,
    io::{self, Write as _},
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};

use onr_exporter::{Checkpoint, ExportJob, Silent, export, init};
use onr_graphs::{
    Attention, GraphKind, GraphOptions, ModelConfig, Profile,
    flops::{Sizes, flops},
};
use onr_requests::Request;
use onr_runtime::{
    backend::{Backend as _, Session},
    backends::ort::OrtBackend,
    libraries::Search,
    parity::{BatchShape, batches, keep_history},
    tensor::Feeds,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BEHAVIOURS: usize = 256;
const KINDS: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

fn config(attention: Attention, d_model: usize) -> ModelConfig {
    ModelConfig {
        n_items: 20_000,
        n_actions: 4,
        d_model,
        n_heads: d_model / 64,
        n_layers: 8,
        n_rank_layers: 2,
        max_seq_len: BEHAVIOURS,
        attention,
        tasks: ["impression", "click", "conversion", "value"].map(str::to_owned).to_vec(),
        n_fake_items: 32,
        rel_pos_buckets: 128,
        time_buckets: 64,
        layer_norm_eps: 1e-5,
        temperature: 0.05,
    }
}

fn main() -> Result<()> {
    let mut typed = std::env::args().skip(1).map(|n| n.parse::<usize>());
    let rounds = typed.next().transpose()?.unwrap_or(11).max(1);
    let mut threads = typed.collect::<std::result::Result<Vec<_>, _>>()?;
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    line(
        "| attention | D | threads | batch | candidates | all, ms | `rank`, ms | speed-up | FLOPs allow | share |",
    )?;
    line("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for attention in [Attention::Hstu, Attention::Softmax] {
        for d_model in [256, 512] {
            let model = Exported::new(config(attention, d_model))?;
            for &threads in &threads {
                model.measure(rounds, threads)?;
            }
        }
    }
    Ok(())
}

fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A random model in a temporary directory.
struct Exported {
    dir: tempfile::TempDir,
    config: ModelConfig,
    options: GraphOptions,
}

impl Exported {
    fn new(config: ModelConfig) -> Result<Self> {
        let (dir, options) = (tempfile::tempdir()?, GraphOptions::new(1));
        let weights = dir.path().join("weights.safetensors");
        init(&config, 0, &weights, &Silent)?;
        let job = ExportJob {
            config: &config,
            options: &options,
            graphs: &KINDS,
            checkpoint: &Checkpoint::open(&weights)?,
            strict: true,
            profile: &Profile::for_model(config.max_seq_len),
            round_weights: None,
            out: dir.path(),
        };
        export(&job, &Silent)?;
        Ok(Self { dir, config, options })
    }

    /// All shapes with so many threads.
    fn measure(&self, rounds: usize, threads: usize) -> Result<()> {
        let count = NonZeroUsize::new(threads).ok_or("threads are at least 1")?;
        let backend = OrtBackend::new(Search::from_env()).with_threads(count).with_arena();
        for batch in [1, 8] {
            for candidates in [64, 256, 1024] {
                // Memory of other shapes would stay in the arena.
                let open = |kind: GraphKind| backend.open(&file(self.dir.path(), kind));
                let [encode, generate, rank] = KINDS.map(open);
                let mut stages = [encode?, generate?, rank?];
                let feeds = self.feeds(&mut stages, batch, candidates)?;
                let taken = measured(&mut stages, &feeds, rounds)?;
                self.row((threads, batch, candidates), &taken)?;
            }
        }
        Ok(())
    }

    fn row(&self, shape: (usize, usize, usize), taken: &[Round]) -> io::Result<()> {
        let (threads, batch, candidates) = shape;
        let at = Sizes { batch, seq: BEHAVIOURS, new: 0, kv: BEHAVIOURS, candidates };
        let [encode, generate, ranked] =
            KINDS.map(|kind| flops(&self.config, &self.options, kind, at) as f64);
        let allowed = (encode + generate + ranked) / ranked;
        let all = median(taken.iter().map(|round| round.all));
        let rank = median(taken.iter().map(|round| round.rank));
        let reached = median(taken.iter().map(|round| round.all / round.rank));
        line(&format!(
            "| {} | {} | {threads} | {batch} | {candidates} | {:.1} | {:.1} | {reached:.2} | {allowed:.2} | {:.2} |",
            self.config.attention.name(),
            self.config.d_model,
            all * 1e3,
            rank * 1e3,
            reached / allowed,
        ))
    }

    /// Inputs of the three graphs.
    fn feeds(
        &self,
        stages: &mut [Box<dyn Session>; 3],
        rows: usize,
        candidates: usize,
    ) -> Result<[Feeds; 3]> {
        let requests: Vec<Request> =
            (0..rows).map(|row| request(row, candidates, self.config.n_items)).collect();
        let shape = BatchShape { rows, seq_step: BEHAVIOURS, candidate_step: 1 };
        let all = batches(&requests, &self.config, &self.options, shape);
        let mut state = all.into_iter().next().ok_or("no batch")?.inputs;
        let [encode, generate, _] = stages;
        let first = only(&state, &["item_ids", "action_ids", "timestamps", "seq_lens"]);
        keep_history(&mut state, &encode.run(&first)?);
        let past = |name: &str| name.starts_with("past_key_values.");
        let request = ["seq_lens", "timestamps", "request_time"];
        let mut second = only(&state, &request);
        second.extend(state.iter().filter(|(n, _)| past(n)).map(|(n, x)| (n.clone(), x.clone())));
        let generated = generate.run(&second)?;
        let mut third = only(&state, &["candidate_ids", "seq_lens", "timestamps", "request_time"]);
        third.extend(generated);
        for layer in self.config.source_layer(0)..self.config.n_layers {
            for part in ["key", "value"] {
                let name = format!("past_key_values.{layer}.{part}");
                third.extend(only(&state, &[&name]));
            }
        }
        Ok([first, second, third])
    }
}

fn file(dir: &Path, kind: GraphKind) -> std::path::PathBuf {
    dir.join(format!("{}.onnx", kind.name()))
}

fn only(state: &Feeds, names: &[&str]) -> Feeds {
    let one = |name: &&str| Some(((*name).to_owned(), state.get(*name)?.clone()));
    names.iter().filter_map(one).collect()
}

/// A full history; ids and gaps that repeat only after long.
fn request(row: usize, candidates: usize, items: usize) -> Request {
    let id = |i: usize| ((i * 7919 + row * 104_729) % (items - 1) + 1) as i64;
    let time = |i: usize| 1_700_000_000 + (i * i * 37 + 11 * i) as i64;
    Request {
        user: row.to_string(),
        items: (0..BEHAVIOURS).map(id).collect(),
        actions: (0..BEHAVIOURS).map(|i| (i % 4) as i64).collect(),
        timestamps: (0..BEHAVIOURS).map(time).collect(),
        request_time: time(BEHAVIOURS),
        candidates: (0..candidates).map(|i| id(i + 3 * BEHAVIOURS)).collect(),
    }
}

/// Seconds of one round.
struct Round {
    all: f64,
    rank: f64,
}

/// How long rounds last together at least.
const LEAST: Duration = Duration::from_secs(2);

/// Runs the stages in turn; the first round warms up.
fn measured(
    stages: &mut [Box<dyn Session>; 3],
    feeds: &[Feeds; 3],
    rounds: usize,
) -> Result<Vec<Round>> {
    let mut taken: Vec<Round> = Vec::new();
    let mut began = None;
    while taken.len() < rounds || began.is_some_and(|at: Instant| at.elapsed() < LEAST) {
        let mut seconds = [0.0; 3];
        for ((stage, feeds), seconds) in stages.iter_mut().zip(feeds).zip(&mut seconds) {
            let at = Instant::now();
            stage.observe(feeds, &mut |_, _, _| {})?;
            *seconds = at.elapsed().as_secs_f64();
        }
        match began {
            None => began = Some(Instant::now()),
            Some(_) => taken.push(Round { all: seconds.iter().sum(), rank: seconds[2] }),
        }
    }
    Ok(taken)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

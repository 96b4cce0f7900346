//! Random models, random users, and graphs opened on a backend.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use onr_exporter::{Checkpoint, ExportJob, Exported, Silent, export, init, write_model};
use onr_graphs::{Attention, Filter, GraphKind, GraphOptions, ItemInput, ModelConfig, Profile};
use onr_requests::Request;
use onr_runtime::{
    backend::{Backend, Session},
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    parity::{Coded, ParityJob, ParityReport, Reference, check},
    tensor::{Feeds, HostTensor},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// tract and ONNX Runtime.
pub(crate) fn backends() -> [Box<dyn Backend>; 2] {
    [Box::new(TractBackend::new()), Box::new(ort())]
}

pub(crate) fn ort() -> OrtBackend {
    OrtBackend::new(Search::from_env())
}

/// A small model; sizes that must not be confused differ.
pub(crate) fn config(attention: Attention, fakes: usize, time_buckets: usize) -> ModelConfig {
    ModelConfig {
        n_items: 53,
        n_actions: 4,
        d_model: 16,
        n_heads: 2,
        n_layers: 3,
        n_rank_layers: 2,
        max_seq_len: 11,
        attention,
        tasks: ["impression", "click", "value"].map(str::to_owned).to_vec(),
        n_fake_items: fakes,
        rel_pos_buckets: 6,
        time_buckets,
        layer_norm_eps: 1e-5,
        temperature: 0.1,
    }
}

/// An exported model in a temporary directory.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) config: ModelConfig,
    pub(crate) options: GraphOptions,
    pub(crate) exported: Exported,
    pub(crate) weights: PathBuf,
}

impl World {
    pub(crate) fn new(config: ModelConfig, options: GraphOptions, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let weights = dir.path().join("weights.safetensors");
        init(&config, seed, &weights, &Silent).unwrap();
        std::fs::write(dir.path().join("model.toml"), write_model(&config)).unwrap();
        let exported = export_to(&config, &options, &weights, dir.path());
        Self { dir, config, options, exported, weights }
    }

    /// All graphs on one backend.
    pub(crate) fn open(&self, backend: &dyn Backend) -> Graphs {
        let open = |name: &str| {
            let file = self.dir.path().join(format!("{name}.onnx"));
            let session = backend.open(&file).unwrap_or_else(|e| panic!("{e}"));
            (GraphKind::from_name(name).unwrap(), session)
        };
        let sessions = self.exported.graphs.iter().map(|g| open(&g.name)).collect();
        let inputs = self.exported.graphs.iter().map(|g| {
            let names = g.inputs.iter().map(|t| t.name.clone()).collect();
            (GraphKind::from_name(&g.name).unwrap(), names)
        });
        Graphs { sessions, inputs: inputs.collect() }
    }
}

/// Exports all graphs that the options allow.
pub(crate) fn export_to(
    config: &ModelConfig,
    options: &GraphOptions,
    weights: &Path,
    out: &Path,
) -> Exported {
    let graphs = match options.item_input {
        ItemInput::Ids => &GraphKind::ALL[..],
        ItemInput::Embeddings => &GraphKind::ALL[..4],
    };
    let job = ExportJob {
        config,
        options,
        graphs,
        checkpoint: &Checkpoint::open(weights).unwrap(),
        strict: true,
        profile: &Profile::for_model(config.max_seq_len),
        round_weights: None,
        out,
    };
    export(&job, &Silent).unwrap()
}

/// Parity of what lies in a world's directory, on ONNX Runtime.
pub(crate) fn compare(
    world: &World,
    reference: &Reference,
    requests: &[Request],
    rows: usize,
) -> ParityReport {
    let job = ParityJob {
        config: &world.config,
        options: &world.options,
        graphs: &world.exported.graphs,
        dir: world.dir.path(),
        candidate: &ort(),
        reference: &TractBackend::new(),
        requests,
        requests_from: "test",
        rows,
        coded: Coded::default(),
    };
    check(&job, reference, &Silent).unwrap()
}

/// Open graphs that pick their inputs out of a larger set.
pub(crate) struct Graphs {
    sessions: BTreeMap<GraphKind, Box<dyn Session>>,
    inputs: BTreeMap<GraphKind, Vec<String>>,
}

impl Graphs {
    pub(crate) fn has(&self, kind: GraphKind) -> bool {
        self.sessions.contains_key(&kind)
    }

    /// The graph's own inputs out of `state`.
    pub(crate) fn feeds(&self, kind: GraphKind, state: &Feeds) -> Feeds {
        let of = |name: &String| {
            let value = state.get(name).unwrap_or_else(|| panic!("{kind:?} needs {name}"));
            (name.clone(), value.clone())
        };
        self.inputs[&kind].iter().map(of).collect()
    }

    pub(crate) fn run(&mut self, kind: GraphKind, state: &Feeds) -> Feeds {
        let feeds = self.feeds(kind, state);
        let session = self.sessions.get_mut(&kind).unwrap();
        session.run(&feeds).unwrap_or_else(|e| panic!("{kind:?}: {e}"))
    }
}

/// Users with histories, and what stands in the padding: anything.
#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) lens: Vec<usize>,
    items: Vec<Vec<i64>>,
    actions: Vec<Vec<i64>>,
    pub(crate) times: Vec<Vec<i64>>,
    request: Vec<i64>,
    vectors: Vec<Vec<f32>>,
    pub(crate) candidates: Vec<Vec<i64>>,
    junk: u64,
    width: usize,
}

impl Users {
    /// Users with histories of `lens` and `candidates` candidates each. Times have ties; a request
    /// may come before its last behaviour.
    pub(crate) fn new(
        rng: &mut ChaCha8Rng,
        config: &ModelConfig,
        lens: &[usize],
        candidates: usize,
    ) -> Self {
        let ids = |rng: &mut ChaCha8Rng, n: usize, most: usize| {
            (0..n).map(|_| rng.random_range(0..most as i64)).collect::<Vec<_>>()
        };
        let times = |rng: &mut ChaCha8Rng, n: usize| {
            let mut t = 1_600_000_000 + rng.random_range(0..100_000_000_i64);
            let gap = |rng: &mut ChaCha8Rng| match rng.random_range(0..4) {
                0 => 0,
                _ => rng.random_range(0.0..16.0_f64).exp() as i64,
            };
            (0..n)
                .map(|_| {
                    t += gap(rng);
                    t
                })
                .collect::<Vec<_>>()
        };
        let times: Vec<Vec<i64>> = lens.iter().map(|&n| times(rng, n)).collect();
        let last = |t: &Vec<i64>| t.last().copied().unwrap_or(1_700_000_000);
        Self {
            lens: lens.to_vec(),
            items: lens.iter().map(|&n| ids(rng, n, config.n_items)).collect(),
            actions: lens.iter().map(|&n| ids(rng, n, config.n_actions)).collect(),
            request: times.iter().map(|t| last(t) + rng.random_range(-60..10_000)).collect(),
            times,
            vectors: lens
                .iter()
                .map(|&n| (0..n * config.d_model).map(|_| rng.random_range(-1.0..1.0)).collect())
                .collect(),
            candidates: lens.iter().map(|_| ids(rng, candidates, config.n_items)).collect(),
            junk: rng.random(),
            width: config.d_model,
        }
    }

    /// Other values in everything that must not matter.
    pub(crate) fn with_other_junk(&self) -> Self {
        Self { junk: self.junk.wrapping_add(1), ..self.clone() }
    }

    /// One user alone.
    pub(crate) fn only(&self, user: usize) -> Self {
        Self {
            lens: vec![self.lens[user]],
            items: vec![self.items[user].clone()],
            actions: vec![self.actions[user].clone()],
            times: vec![self.times[user].clone()],
            request: vec![self.request[user]],
            vectors: vec![self.vectors[user].clone()],
            candidates: vec![self.candidates[user].clone()],
            ..self.clone()
        }
    }

    /// Base inputs of all graphs: histories padded to `seq`, times to `slots` on request.
    pub(crate) fn state(&self, config: &ModelConfig, options: &GraphOptions, seq: usize) -> Feeds {
        let mut rng = ChaCha8Rng::seed_from_u64(self.junk);
        let b = self.lens.len();
        let mut state = self.behaviours(&mut rng, seq, |b| 0..self.lens[b]);
        state.insert("timestamps".into(), self.timestamps(seq));
        let lens: Vec<i64> = self.lens.iter().map(|&n| n as i64).collect();
        state.insert("seq_lens".into(), HostTensor::of(&[b], lens));
        state.insert("request_time".into(), HostTensor::of(&[b], self.request.clone()));
        let c = self.candidates[0].len();
        state.insert("candidate_ids".into(), HostTensor::of(&[b, c], self.candidates.concat()));
        let vectors = self.candidates.concat().into_iter().flat_map(|id| {
            let mut own = ChaCha8Rng::seed_from_u64(id as u64);
            (0..self.width).map(|_| own.random_range(-1.0..1.0_f32)).collect::<Vec<_>>()
        });
        let vectors = HostTensor::of(&[b, c, self.width], vectors.collect::<Vec<_>>());
        state.insert("candidate_embeddings".into(), vectors);
        let mut stock = ChaCha8Rng::seed_from_u64(5);
        let v = config.n_items;
        let (shape, share): (Vec<usize>, &[f64]) = match options.filter {
            Filter::User => (vec![b, v], &[0.0, 0.05, 0.5, 1.0]),
            _ => (vec![v], &[0.4]),
        };
        let bits = (0..shape.iter().product::<usize>())
            .map(|i| stock.random_bool(share[i / v % share.len()]))
            .collect::<Vec<_>>();
        state.insert("allowed_items".into(), HostTensor::of(&shape, bits));
        state
    }

    /// `timestamps [B, slots]`, wild values in the padding.
    pub(crate) fn timestamps(&self, slots: usize) -> HostTensor {
        let mut rng = ChaCha8Rng::seed_from_u64(self.junk ^ 99);
        let rows = self.times.iter().flat_map(|t| {
            let mut row = t.clone();
            row.resize_with(slots, || rng.random_range(-(1_i64 << 61)..1 << 61));
            row
        });
        HostTensor::of(&[self.lens.len(), slots], rows.collect::<Vec<_>>())
    }

    /// `item_ids`, `action_ids`, `item_embeddings` of a range of each history, padded to `len`.
    pub(crate) fn behaviours(
        &self,
        rng: &mut ChaCha8Rng,
        len: usize,
        range: impl Fn(usize) -> std::ops::Range<usize>,
    ) -> Feeds {
        let (mut items, mut actions, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
        let b = self.lens.len();
        for user in 0..b {
            let range = range(user);
            let real = range.len();
            let ids = |from: &Vec<i64>, rng: &mut ChaCha8Rng| {
                let mut row = from[range.clone()].to_vec();
                row.resize_with(len, || rng.random_range(-1000..1000));
                row
            };
            items.extend(ids(&self.items[user], rng));
            actions.extend(ids(&self.actions[user], rng));
            vectors.extend_from_slice(
                &self.vectors[user][range.start * self.width..range.end * self.width],
            );
            vectors.extend(
                (real * self.width..len * self.width).map(|_| rng.random_range(-50.0..50.0_f32)),
            );
        }
        Feeds::from([
            ("item_ids".to_owned(), HostTensor::of(&[b, len], items)),
            ("action_ids".to_owned(), HostTensor::of(&[b, len], actions)),
            ("item_embeddings".to_owned(), HostTensor::of(&[b, len, self.width], vectors)),
        ])
    }

    /// Adds `present.*` as `past_key_values.*` with capacity `slots` and junk in unused slots.
    pub(crate) fn keep(
        &self,
        state: &mut Feeds,
        present: &Feeds,
        slots: usize,
        lens: impl Fn(usize) -> usize,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.junk ^ 7);
        for (name, kv) in present {
            let (&[b, h, held, width], Some(from)) = (kv.shape(), kv.to_f32()) else { panic!() };
            let mut data = Vec::with_capacity(b * h * slots * width);
            for row in 0..b * h {
                let real = lens(row / h) * width;
                data.extend_from_slice(&from[row * held * width..][..real]);
                data.extend((real..slots * width).map(|_| rng.random_range(-90.0..90.0_f32)));
            }
            let name = name.replace("present.", "past_key_values.");
            let tensor = HostTensor::of(&[b, h, slots, width], data);
            state.insert(name, tensor.cast(kv.dtype()).unwrap());
        }
        state.insert("timestamps".into(), self.timestamps(slots));
    }
}

/// Largest difference over `max(1, rms)` of what was expected.
pub(crate) fn distance(want: &[f64], got: &HostTensor) -> f64 {
    let got = got.to_f32().expect("a float output");
    assert_eq!(want.len(), got.len());
    assert!(got.iter().all(|x| x.is_finite()));
    let rms = (want.iter().map(|x| x * x).sum::<f64>() / want.len().max(1) as f64).sqrt();
    let worst = want.iter().zip(&got).map(|(w, g)| (w - f64::from(*g)).abs());
    worst.fold(0.0, f64::max) / rms.max(1.0)
}

/// As [`distance`], between two tensors.
pub(crate) fn apart(want: &HostTensor, got: &HostTensor) -> f64 {
    assert_eq!(want.shape(), got.shape());
    let want: Vec<f64> = want.to_f32().unwrap().into_iter().map(f64::from).collect();
    distance(&want, got)
}

/// What a comparison complains about.
pub(crate) fn failures(report: &ParityReport) -> Vec<String> {
    report.failures().collect()
}

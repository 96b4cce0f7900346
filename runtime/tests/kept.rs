//! Requests through a store are answered as if nothing were kept: whatever histories do, on both backends.
#![cfg(all(feature = "ort", feature = "tract"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, sync::Arc, thread};

use onr_exporter::{Checkpoint, ExportJob, Silent, export, init};
use onr_graphs::{Attention, GraphKind, GraphOptions, ModelConfig, Precision, Profile};
use onr_kvstore::Store;
use onr_requests::Request;
use onr_runtime::{
    backend::Backend,
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
    manifest::Manifest,
    serving::{Answer, Deployment, Kept, Origin, ServeError, Service, Steps},
    tensor::HostTensor,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const STEPS: Steps = Steps { slots: 4, candidates: 3 };

fn config(attention: Attention) -> ModelConfig {
    ModelConfig {
        n_items: 53,
        n_actions: 4,
        d_model: 16,
        n_heads: 2,
        n_layers: 3,
        n_rank_layers: 2,
        max_seq_len: 14,
        attention,
        tasks: ["impression", "click", "value"].map(str::to_owned).to_vec(),
        n_fake_items: 4,
        rel_pos_buckets: 6,
        time_buckets: 20,
        layer_norm_eps: 1e-5,
        temperature: 0.1,
    }
}

fn backends() -> [Box<dyn Backend>; 2] {
    [Box::new(OrtBackend::new(Search::from_env())), Box::new(TractBackend::new())]
}

/// An exported model.
struct World {
    dir: TempDir,
    config: ModelConfig,
    options: GraphOptions,
    manifest: Manifest,
}

impl World {
    fn new(attention: Attention, precision: Precision) -> Self {
        let (dir, config) = (tempfile::tempdir().unwrap(), config(attention));
        let options = GraphOptions { precision, ..GraphOptions::new(5) };
        let weights = dir.path().join("w.safetensors");
        init(&config, 3, &weights, &Silent).unwrap();
        let profile = Profile::for_model(config.max_seq_len);
        let job = ExportJob {
            config: &config,
            options: &options,
            graphs: &GraphKind::ALL,
            checkpoint: &Checkpoint::open(&weights).unwrap(),
            strict: true,
            profile: &profile,
            round_weights: None,
            out: dir.path(),
        };
        let graphs = export(&job, &Silent).unwrap().graphs;
        let sha256 = "of this export".to_owned();
        let manifest = Manifest { graphs, sha256, ..Manifest::new(&config, &options, &profile) };
        Self { dir, config, options, manifest }
    }

    fn without(mut self, kind: GraphKind) -> Self {
        self.manifest.graphs.retain(|graph| graph.name != kind.name());
        self
    }

    fn open(&self, backend: &dyn Backend, store: &Arc<Store<Kept>>) -> Result<Service, ServeError> {
        let deployment = Deployment {
            dir: self.dir.path(),
            manifest: &self.manifest,
            config: &self.config,
            options: &self.options,
        };
        Service::open(backend, deployment, Arc::clone(store), STEPS)
    }
}

/// What a user did.
type Done = Vec<(i64, i64, i64)>;

/// Users whose histories grow, change, lose their beginning or their end, one at a time.
struct Users {
    rng: ChaCha8Rng,
    histories: Vec<Done>,
    longest: usize,
}

impl Users {
    fn new(seed: u64, users: usize, longest: usize) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, histories: vec![Vec::new(); users], longest }
    }

    fn next(&mut self) -> Request {
        let user = self.rng.random_range(0..self.histories.len());
        let mut done = std::mem::take(&mut self.histories[user]);
        match self.rng.random_range(0..10) {
            0 if !done.is_empty() => self.change(&mut done),
            1 => drop(done.drain(..done.len() / 2)),
            2 => done.truncate(done.len() / 2 + 1),
            3 => {}
            _ => self.grow(&mut done),
        }
        let request = self.request(user, &done);
        self.histories[user] = done;
        request
    }

    fn grow(&mut self, done: &mut Done) {
        for _ in 0..self.rng.random_range(1..4) {
            let time = done.last().map_or(1_700_000_000, |last| last.2);
            let gap = self.rng.random_range(0.0..12.0_f64).exp() as i64;
            done.push((self.rng.random_range(-1..53), self.rng.random_range(0..4), time + gap));
        }
        done.drain(..done.len().saturating_sub(self.longest));
    }

    /// One behaviour is another, by its item, its action or its time alone.
    fn change(&mut self, done: &mut Done) {
        let at = self.rng.random_range(0..done.len());
        match self.rng.random_range(0..3) {
            0 => done[at].0 = (done[at].0 + 2) % 53,
            1 => done[at].1 = (done[at].1 + 1) % 4,
            _ => done[at..].iter_mut().for_each(|b| b.2 += 1000),
        }
    }

    fn request(&mut self, user: usize, done: &Done) -> Request {
        let candidates = self.rng.random_range(0..6);
        Request {
            user: user.to_string(),
            items: done.iter().map(|b| b.0).collect(),
            actions: done.iter().map(|b| b.1).collect(),
            timestamps: done.iter().map(|b| b.2).collect(),
            request_time: done.last().map_or(1_700_000_000, |b| b.2 + 30),
            candidates: (0..candidates).map(|_| self.rng.random_range(0..53)).collect(),
        }
    }
}

/// Largest difference over `max(1, rms)`.
fn apart(want: &HostTensor, got: &HostTensor) -> f64 {
    assert_eq!(want.shape(), got.shape());
    let (want, got) = (want.to_f64(), got.to_f64());
    let rms = (want.iter().map(|x| x * x).sum::<f64>() / want.len().max(1) as f64).sqrt();
    let worst = want.iter().zip(&got).map(|(w, g)| (w - g).abs()).fold(0.0, f64::max);
    worst / rms.max(1.0)
}

/// An answer is what is computed from nothing: bit for bit where the same was run, else up to rounding.
fn agree(request: &Request, anew: &Answer, got: &Answer, most: f64) {
    let same = matches!(got.origin, Origin::Encoded | Origin::Empty);
    let most = if same { 0.0 } else { most };
    assert_eq!(got.scores.shape(), [1, request.candidates.len(), 3]);
    for (want, got) in
        [(&anew.scores, &got.scores), (&anew.generator_logits, &got.generator_logits)]
    {
        let apart = apart(want, got);
        assert!(apart <= most, "{apart} apart: {request:?}");
    }
}

/// Requests of many kinds through a service; how often which way was taken.
fn interleaved(world: &World, backend: &dyn Backend, most: f64) -> BTreeMap<&'static str, usize> {
    // Room for about three of five users.
    let bound = if world.options.precision == Precision::F32 { 30_000 } else { 12_000 };
    let store = Arc::new(Store::new(bound));
    let mut service = world.open(backend, &store).unwrap();
    let mut users = Users::new(11, 5, world.config.max_seq_len);
    let mut seen = BTreeMap::new();
    for _ in 0..150 {
        let request = users.next();
        let got = service.answer(&request).unwrap();
        let anew = service.answer_anew(&request).unwrap();
        agree(&request, &anew, &got, most);
        assert_eq!(anew.flops, service.flops_anew(&request));
        let (way, cheaper) = match got.origin {
            Origin::Empty => ("empty", got.flops == anew.flops),
            // It may have more slots than the request alone would.
            Origin::Kept => ("kept", true),
            Origin::Appended(_) => ("appended", got.flops < anew.flops),
            Origin::Encoded => ("encoded", got.flops == anew.flops),
        };
        assert!(cheaper, "{way}: {} and {}", got.flops, anew.flops);
        *seen.entry(way).or_default() += 1;
    }
    let counted = store.statistics();
    assert!(counted.evicted > 0 && counted.changed > 0 && counted.peak_bytes <= bound);
    seen
}

#[test]
fn answers_are_those_of_an_empty_store_whatever_histories_do() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        let world = World::new(attention, Precision::F32);
        for backend in backends() {
            let seen = interleaved(&world, backend.as_ref(), 1e-4);
            let often = |way| seen.get(way).copied().unwrap_or(0);
            assert!(
                often("kept") > 5 && often("appended") > 20 && often("encoded") > 20,
                "{seen:?}"
            );
        }
    }
}

#[test]
fn half_precision_is_kept_as_it_is() {
    let world = World::new(Attention::Hstu, Precision::F16);
    let [ort, _] = backends();
    interleaved(&world, ort.as_ref(), 5e-3);
}

#[test]
fn without_append_what_is_kept_serves_only_the_same_history() {
    let world = World::new(Attention::Hstu, Precision::F32).without(GraphKind::Append);
    let [ort, _] = backends();
    let seen = interleaved(&world, ort.as_ref(), 1e-4);
    assert!(!seen.contains_key("appended") && seen["kept"] > 5, "{seen:?}");
}

#[test]
fn no_more_behaviours_are_appended_than_plans_take() {
    let mut world = World::new(Attention::Hstu, Precision::F32);
    world.manifest.profile.insert("new".into(), "1:1:2".into());
    let store = Arc::new(Store::new(1 << 20));
    let [ort, _] = backends();
    let mut service = world.open(ort.as_ref(), &store).unwrap();
    let mut users = Users::new(4, 1, 14);
    let history: Vec<_> = (0..12).map(|i| (1 + i, 1, 10 * i)).collect();
    let mut origins = Vec::new();
    for len in [3, 5, 8, 9, 12] {
        let request = users.request(0, &history[..len].to_vec());
        origins.push(service.answer(&request).unwrap().origin);
    }
    let (encoded, appended) = (Origin::Encoded, Origin::Appended);
    assert_eq!(origins, [encoded, appended(2), encoded, appended(1), encoded]);
}

#[test]
fn another_version_finds_nothing() {
    let mut world = World::new(Attention::Hstu, Precision::F32);
    let store = Arc::new(Store::new(1 << 20));
    let [ort, _] = backends();
    let mut users = Users::new(2, 1, 14);
    let request = users.request(0, &vec![(1, 1, 10), (2, 1, 20)]);
    for version in ["one", "two"] {
        world.manifest.sha256 = version.to_owned();
        let mut service = world.open(ort.as_ref(), &store).unwrap();
        assert_eq!(service.answer(&request).unwrap().origin, Origin::Encoded);
        assert_eq!(service.answer(&request).unwrap().origin, Origin::Kept);
    }
    assert_eq!(store.statistics().entries, 2);
}

#[test]
fn threads_that_share_a_store_get_right_answers_for_one_user() {
    let world = World::new(Attention::Softmax, Precision::F32);
    let store = Arc::new(Store::new(1 << 20));
    let [ort, _] = backends();
    thread::scope(|scope| {
        for who in 0..2 {
            let (world, store, ort) = (&world, &store, &ort);
            scope.spawn(move || {
                let mut service = world.open(ort.as_ref(), store).unwrap();
                // The same steps, from another request on for each: histories of one user that meet and part.
                let mut users = Users::new(5, 1, world.config.max_seq_len);
                for _ in 0..60 + who {
                    let request = users.next();
                    let got = service.answer(&request).unwrap();
                    let anew = service.answer_anew(&request).unwrap();
                    agree(&request, &anew, &got, 1e-4);
                }
            });
        }
    });
    assert!(store.statistics().lookups() > 100);
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let world = World::new(Attention::Hstu, Precision::F32);
    let store = Arc::new(Store::new(1 << 20));
    let [ort, _] = backends();
    let mut service = world.open(ort.as_ref(), &store).unwrap();
    let mut users = Users::new(2, 1, 14);
    let mut request = users.request(0, &vec![(1, 1, 1); 15]);
    let error = service.answer(&request).unwrap_err();
    assert_eq!(error.to_string(), "the history of `0` has 15 behaviours, the model takes 14");
    request.actions.pop();
    let error = service.answer(&request).unwrap_err();
    assert!(matches!(error, ServeError::Lengths { actions: 14, .. }), "{error}");
    let world = world.without(GraphKind::Rank);
    let error = world.open(ort.as_ref(), &store).err().unwrap();
    assert_eq!(error.to_string(), "the directory has no graph rank");
    assert_eq!(store.statistics().lookups(), 0);
}

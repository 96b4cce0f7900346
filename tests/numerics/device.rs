//! Plans in process, with a device that is memory of this process and engines that run the plan's ONNX file on ONNX
//! Runtime: everything between a request and TensorRT, with true numbers. Nothing here is about CUDA or TensorRT.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use onr_device::{Device, DeviceError, DeviceInfo, host::HostDriver};
use onr_exporter::{Silent, TensorInfo, artifact, init};
use onr_graphs::{Attention, GraphKind, GraphOptions, Precision, Profile};
use onr_kvstore::Store;
use onr_requests::{Limits, Request, random_requests};
use onr_runtime::{
    backend::{Availability, Backend, RunError, Session},
    backends::{engine::EngineBackend, tract::TractBackend},
    builder::{BuiltEngine, NetworkSummary, PlanKind, PlanWeights},
    manifest::Manifest,
    parity::{Coded, ParityJob, ParityReport, Reference, check},
    serving::{Deployment, Origin, Service, Steps},
    tensor::{Feeds, HostTensor, Value, Values},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    onnx_engines::{OnnxEngines, VERSION},
    support::{Users, World, config, export_to, failures, ort},
};

fn engine(kind: PlanKind, targets: &[&str]) -> BuiltEngine {
    BuiltEngine {
        kind,
        builder: "stand-in".into(),
        version: VERSION.into(),
        library: "none".into(),
        targets: targets.iter().map(|t| (*t).to_owned()).collect(),
        network: NetworkSummary {
            inputs: Vec::new(),
            outputs: Vec::new(),
            layers: BTreeMap::new(),
            f32_layers: Vec::new(),
        },
        products: Vec::new(),
        profiles: Vec::new(),
        warnings: Vec::new(),
        weights: PlanWeights::Refittable,
        seconds: 0.0,
    }
}

/// A "plan" for every graph, and a manifest that names them.
fn add_plans(world: &World, kind: PlanKind, targets: &[&str]) {
    let dir = world.dir.path();
    let profile = Profile::for_model(world.config.max_seq_len);
    let mut manifest = Manifest::new(&world.config, &world.options, &profile);
    let weights = artifact::hash_file(&dir.join("weights.data")).unwrap();
    manifest.add_export(weights, world.exported.graphs.clone());
    for graph in &world.exported.graphs {
        let onnx = dir.join(format!("{}.onnx", graph.name));
        fs::write(dir.join(format!("{}.plan", graph.name)), onnx.to_str().unwrap()).unwrap();
        manifest.engines.insert(graph.name.clone(), engine(kind, targets));
    }
    manifest.write(dir).unwrap();
}

fn backend(driver: &HostDriver, kind: PlanKind) -> EngineBackend {
    let on = driver.clone();
    let engines = Arc::new(OnnxEngines(driver.clone()));
    let open = move || Ok(Device::new(on.clone(), 1 << 24));
    EngineBackend::new("stand-in", (kind, VERSION.into()), engines, open)
}

fn requests(world: &World, count: usize) -> Vec<Request> {
    let config = &world.config;
    let limits = Limits {
        n_items: config.n_items,
        n_actions: config.n_actions,
        max_seq_len: config.max_seq_len,
    };
    random_requests(&limits, count, 0, 12)
}

fn prove(world: &World, candidate: &dyn Backend) -> ParityReport {
    let checkpoint = onr_exporter::Checkpoint::open(&world.weights).unwrap();
    let graphs = &world.exported.graphs;
    let reference =
        Reference::build(&world.config, &world.options, graphs, &checkpoint, None, &Silent)
            .unwrap();
    let job = ParityJob {
        config: &world.config,
        options: &world.options,
        graphs,
        dir: world.dir.path(),
        candidate,
        reference: &TractBackend::new(),
        requests: &requests(world, 24),
        requests_from: "test",
        rows: 8,
        coded: Coded::default(),
    };
    check(&job, &reference, &Silent).unwrap()
}

#[test]
fn parity_and_all_relations_hold_through_a_device() {
    let precisions = [(Attention::Hstu, Precision::F32), (Attention::Softmax, Precision::F16)];
    for (attention, precision) in precisions {
        let options = GraphOptions { precision, ..GraphOptions::new(8) };
        let world = World::new(config(attention, 4, 12), options, 5);
        add_plans(&world, PlanKind::Tensorrt, &[]);
        for recordings in [0, 2] {
            let driver = HostDriver::new(1 << 28);
            let device = backend(&driver, PlanKind::Tensorrt).with_recordings(recordings);
            let report = prove(&world, &device);
            assert!(report.passed(), "{:?}", failures(&report));
            drop(device);
            assert_eq!((driver.used(), driver.held()), (0, [0; 5]), "everything was given back");
        }
    }
}

/// `encode`, `generate` and `rank` of one batch, keys and values handed on as they come.
fn chain(
    sessions: &mut BTreeMap<GraphKind, Box<dyn Session>>,
    inputs: &BTreeMap<GraphKind, Vec<String>>,
    state: &Feeds,
    stays: bool,
) -> HostTensor {
    let mut known: Values =
        state.iter().map(|(n, t)| (n.clone(), Value::Host(t.clone()))).collect();
    for kind in [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank] {
        let feeds = inputs[&kind].iter().map(|name| (name.clone(), known[name].clone())).collect();
        let keep = |name: &str| stays && name != "scores";
        let outputs = sessions.get_mut(&kind).unwrap().run_values(&feeds, &keep).unwrap();
        for (name, value) in outputs {
            let name = name.replace("present.", "past_key_values.");
            known.insert(name, value);
        }
    }
    known["scores"].on_host().unwrap()
}

struct Open {
    world: World,
    driver: HostDriver,
    device: EngineBackend,
    inputs: BTreeMap<GraphKind, Vec<String>>,
}

impl Open {
    fn new(seed: u64) -> Self {
        let world = World::new(config(Attention::Hstu, 4, 12), GraphOptions::new(8), seed);
        add_plans(&world, PlanKind::Tensorrt, &[]);
        let driver = HostDriver::new(1 << 28);
        let device = backend(&driver, PlanKind::Tensorrt);
        let inputs = world.exported.graphs.iter().map(|g| {
            let names = g.inputs.iter().map(|t| t.name.clone()).collect();
            (GraphKind::from_name(&g.name).unwrap(), names)
        });
        let inputs = inputs.collect();
        Self { world, driver, device, inputs }
    }

    fn sessions(&self) -> BTreeMap<GraphKind, Box<dyn Session>> {
        let kinds = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];
        let open = |kind: GraphKind| {
            let file = self.world.dir.path().join(format!("{}.onnx", kind.name()));
            (kind, self.device.open(&file).unwrap())
        };
        kinds.into_iter().map(open).collect()
    }

    fn state(&self, seed: u64) -> Feeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let users = Users::new(&mut rng, &self.world.config, &[7, 0, 3], 5);
        users.state(&self.world.config, &self.world.options, 8)
    }
}

#[test]
fn keys_and_values_stay_on_the_device_from_encode_to_rank() {
    let open = Open::new(6);
    let state = open.state(1);
    let mut sessions = open.sessions();
    let moved = chain(&mut sessions, &open.inputs, &state, false);
    assert_eq!(chain(&mut sessions, &open.inputs, &state, true), moved, "the same bits either way");

    let file = open.world.dir.path().join("rank.onnx");
    let mut rank = open.device.session(&file).unwrap();
    let mut known: Values =
        state.iter().map(|(n, t)| (n.clone(), Value::Host(t.clone()))).collect();
    for kind in [GraphKind::Encode, GraphKind::Generate] {
        let feeds = open.inputs[&kind].iter().map(|n| (n.clone(), known[n].clone())).collect();
        let outputs = sessions.get_mut(&kind).unwrap().run_values(&feeds, &|_| true).unwrap();
        known.extend(
            outputs.into_iter().map(|(n, v)| (n.replace("present.", "past_key_values."), v)),
        );
    }
    let feeds: Values =
        open.inputs[&GraphKind::Rank].iter().map(|n| (n.clone(), known[n].clone())).collect();
    rank.run_values(&feeds, &|_| true).unwrap();
    let ids = |value: &Value| matches!(value, Value::Host(_)).then(|| value.bytes() as u64);
    let wanted: u64 = feeds.values().filter_map(ids).sum();
    let counters = rank.counters();
    assert_eq!(
        (counters.uploaded, counters.downloaded),
        (wanted, 0),
        "only ids, lengths and times moved"
    );
    assert!(feeds.keys().any(|n| n.starts_with("past_key_values.")));
}

#[expect(clippy::print_stdout, reason = "the figures of a long run are to be seen")]
#[test]
fn eight_threads_get_the_same_answers_and_memory_does_not_grow() {
    let open = Open::new(7);
    let states: Vec<Feeds> = (0..4).map(|seed| open.state(seed)).collect();
    let mut sessions = open.sessions();
    let wanted: Vec<_> =
        states.iter().map(|s| chain(&mut sessions, &open.inputs, s, true)).collect();
    chain(&mut sessions, &open.inputs, &states[0], false);
    drop(sessions);
    let alone = open.driver.used();
    let ask = |long: Duration| {
        let (began, asked) = (Instant::now(), AtomicU64::new(0));
        thread::scope(|scope| {
            for worker in 0..8 {
                let (open, states, wanted, asked) = (&open, &states, &wanted, &asked);
                scope.spawn(move || {
                    let mut sessions = open.sessions();
                    for round in 0.. {
                        if round >= 8 && began.elapsed() >= long {
                            break;
                        }
                        let at = (round + worker) % states.len();
                        let got = chain(&mut sessions, &open.inputs, &states[at], round % 2 == 0);
                        assert_eq!(got, wanted[at]);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        (asked.into_inner(), open.driver.used(), resident())
    };
    let long = Duration::from_secs(seconds());
    let tenths: Vec<_> = (0..10).map(|_| ask(long / 10)).collect();
    for (asked, used, resident) in &tenths {
        println!("{asked} requests, {used} bytes on the device, {resident} resident");
        // Twice, because buffers of one thread cannot always stand in for those of another.
        assert!(*used <= 16 * alone, "{used} bytes after {asked} requests, {alone} for one thread");
    }
    let (early, late) = (tenths[1].2, tenths[9].2);
    assert!(late <= early + (32 << 20), "{early} bytes resident, then {late}");
}

/// How long the load lasts. `ONR_TEST_SECONDS=600` asks for more.
fn seconds() -> u64 {
    std::env::var("ONR_TEST_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    4096 * pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// Why `open` refuses a graph of `dir`.
fn refusal(device: &dyn Backend, dir: &Path) -> RunError {
    device.open(&dir.join("rank.onnx")).err().unwrap()
}

#[test]
fn plans_that_cannot_run_here_are_refused_with_a_way_out() {
    let world = World::new(config(Attention::Hstu, 0, 0), GraphOptions::new(8), 8);
    let dir = world.dir.path();
    let driver = HostDriver::new(1 << 28);
    let device = backend(&driver, PlanKind::Tensorrt);
    let told = refusal(&device, dir).to_string();
    assert!(told.contains("it runs plans, and no manifest names one"), "{told}");

    add_plans(&world, PlanKind::TensorrtRtx, &[]);
    let told = refusal(&device, dir).to_string();
    assert!(told.contains("it is a plan of TensorRT for RTX 1.2.3"), "{told}");

    add_plans(&world, PlanKind::Tensorrt, &["sm80", "sm90"]);
    let error = refusal(&device, dir);
    let wanted =
        "stand-in: the plan is for sm80, sm90, this device (memory of this process) is sm0";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(error.hint(), Some("build the plan for this GPU: `onr build-engine --target`"));

    add_plans(&world, PlanKind::Tensorrt, &["sm0"]);
    device.open(&dir.join("rank.onnx")).unwrap();
    let other = EngineBackend::new(
        "stand-in",
        (PlanKind::Tensorrt, "9.9.9".into()),
        Arc::new(OnnxEngines(driver.clone())),
        move || Ok(Device::new(driver.clone(), 0)),
    );
    let told = refusal(&other, dir).to_string();
    assert!(told.contains("a plan loads only in the version that wrote it"), "{told}");

    fs::write(dir.join("rank.plan"), "no such file").unwrap();
    let fresh = backend(&HostDriver::new(1 << 28), PlanKind::Tensorrt);
    assert!(matches!(refusal(&fresh, dir), RunError::Load { .. }));
}

#[test]
fn a_device_that_is_not_there_or_full_says_so() {
    let world = World::new(config(Attention::Hstu, 0, 0), GraphOptions::new(8), 9);
    add_plans(&world, PlanKind::Tensorrt, &[]);
    let absent = [
        DeviceError::NoDriver { what: "libcuda.so.1 cannot be loaded".into() },
        DeviceError::NoDevice { ordinal: 3, what: "CUDA_ERROR_NO_DEVICE".into() },
    ];
    for cause in absent {
        let driver = HostDriver::new(0);
        let words = cause.to_string();
        let none = EngineBackend::new(
            "stand-in",
            (PlanKind::Tensorrt, VERSION.into()),
            Arc::new(OnnxEngines(driver)),
            move || Err(cause.clone()),
        );
        let error = refusal(&none, world.dir.path());
        assert!(matches!(error, RunError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(&words) && error.hint().is_some());
        let Availability::Missing { what, .. } = none.availability() else {
            panic!("it is not there")
        };
        assert_eq!(what, words);
    }
    let driver = HostDriver::new(20_000);
    let device = backend(&driver, PlanKind::Tensorrt);
    let mut encode = device.open(&world.dir.path().join("encode.onnx")).unwrap();
    let inputs: Vec<_> =
        world.exported.graphs.iter().find(|g| g.name == "encode").unwrap().inputs.clone();
    let feeds = |rows: usize| -> Feeds {
        let of = |info: &TensorInfo| {
            let shape = if info.shape.len() == 1 { vec![rows] } else { vec![rows, 8] };
            let count = shape.iter().product();
            (info.name.clone(), HostTensor::of(&shape, vec![0_i64; count]))
        };
        inputs.iter().map(of).collect()
    };
    let error = encode.run(&feeds(8)).unwrap_err();
    assert!(error.to_string().contains("memory of this process has no"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("smaller batches")));
    encode.run(&feeds(1)).unwrap();
    let info = DeviceInfo { ..device.device().unwrap().info().clone() };
    assert_eq!(info.target(), "sm0");
}

/// The plans of one checkpoint with the weights of another answer as the other's graphs do.
#[test]
fn a_refit_gives_the_answers_of_the_new_checkpoint() {
    let open = Open::new(10);
    let other = tempfile::tempdir().unwrap();
    let weights = other.path().join("other.safetensors");
    init(&open.world.config, 77, &weights, &Silent).unwrap();
    let exported = export_to(&open.world.config, &open.world.options, &weights, other.path());
    for (old, new) in open.world.exported.graphs.iter().zip(&exported.graphs) {
        assert_eq!(
            old.file.sha256, new.file.sha256,
            "{}: the same graph, weights lie elsewhere",
            old.name
        );
    }
    let state = open.state(3);
    let before = chain(&mut open.sessions(), &open.inputs, &state, true);
    let dir = open.world.dir.path();
    for graph in &exported.graphs {
        let (plan, onnx) = (format!("{}.plan", graph.name), format!("{}.onnx", graph.name));
        let fresh = other.path().join(&plan);
        open.device.refit(&dir.join(&plan), &other.path().join(onnx), &fresh).unwrap();
        fs::copy(&fresh, dir.join(&plan)).unwrap();
    }
    // A backend keeps what it has loaded; this one loads the new plans.
    let fresh = backend(&open.driver, PlanKind::Tensorrt);
    let again = Open { device: fresh, ..open };
    let after = chain(&mut again.sessions(), &again.inputs, &state, true);
    assert_ne!(after, before);
    let mut plain = BTreeMap::new();
    for kind in [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank] {
        let file = other.path().join(format!("{}.onnx", kind.name()));
        plain.insert(kind, ort().open(&file).unwrap());
    }
    assert_eq!(chain(&mut plain, &again.inputs, &state, false), after);

    let told =
        again.device.refit(&other.path().join("nothing.plan"), &weights, &weights).unwrap_err();
    assert!(matches!(told, RunError::Load { .. }), "{told}");
}

/// A user's history grows; keys and values stay on the device, and answers are those of the host.
#[test]
fn a_store_of_keys_and_values_may_lie_on_the_device() {
    let open = Open::new(11);
    let dir = open.world.dir.path();
    let manifest = Manifest::read(dir).unwrap();
    let (config, options) = (&open.world.config, &open.world.options);
    let deployment = Deployment { dir, manifest: &manifest, config, options };
    let steps = Steps { slots: 4, candidates: 4 };
    let bound = 1 << 16;
    let stores = [Arc::new(Store::new(bound)), Arc::new(Store::new(bound))];
    let on_host = ort();
    let mut services = [&open.device as &dyn Backend, &on_host]
        .into_iter()
        .zip(&stores)
        .map(|(backend, store)| {
            Service::open(backend, deployment, Arc::clone(store), steps).unwrap()
        })
        .collect::<Vec<_>>();
    let whole = &requests(&open.world, 40);
    let longest = whole.iter().max_by_key(|r| r.items.len()).unwrap();
    let mut origins = Vec::new();
    for len in [0, 1, 3, 4, 4, 7, longest.items.len()] {
        let request = Request {
            items: longest.items[..len].to_vec(),
            actions: longest.actions[..len].to_vec(),
            timestamps: longest.timestamps[..len].to_vec(),
            candidates: vec![3, 9, 20, 7, 1],
            ..longest.clone()
        };
        let answers: Vec<_> = services.iter_mut().map(|s| s.answer(&request).unwrap()).collect();
        assert_eq!(answers[0].scores, answers[1].scores, "{len} behaviours");
        assert_eq!(answers[0].origin, answers[1].origin);
        origins.push(answers[0].origin);
    }
    assert!(origins.contains(&Origin::Kept), "{origins:?}");
    assert!(origins.iter().any(|o| matches!(o, Origin::Appended(_))), "{origins:?}");
    assert!(stores.iter().all(|store| store.statistics().bytes <= bound));
    drop(services);
    drop(stores);
    let Open { device, driver, .. } = open;
    drop(device);
    assert_eq!((driver.used(), driver.held()), (0, [0; 5]), "what the store held was given back");
}

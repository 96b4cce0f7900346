//! Every output of every graph against the float64 implementation in `tests/reference`, which was
//! written from the contract and not from the Rust code.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use onr_graphs::{Attention, Filter, GraphKind, GraphOptions, ItemInput, ModelConfig};
use onr_runtime::tensor::{Data, Feeds, HostTensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::support::{Graphs, Users, World, backends, config, distance, root};

/// Largest error accepted, in units of `max(1, rms)` of the output. All are below 1e-5 today.
const TOLERANCE: f64 = 1e-4;

/// Capacity of keys and values: neither the padded length nor the longest history.
const SLOTS: usize = 17;
/// Padded length.
const SEQ: usize = 13;

struct Case {
    name: &'static str,
    config: ModelConfig,
    options: GraphOptions,
    candidates: usize,
}

fn cases(attention: Attention) -> Vec<Case> {
    let plain = GraphOptions::new(5);
    let case = |name, fakes, buckets, options, candidates| {
        let config = config(attention, fakes, buckets);
        Case { name, config, options, candidates }
    };
    let mut list = vec![
        case("all features", 4, 20, plain, 7),
        case("no fake items, no time", 0, 0, plain, 7),
        case("one candidate", 3, 145, plain, 1),
        case("global filter", 4, 20, GraphOptions { filter: Filter::Global, ..plain }, 3),
        case("user filter", 4, 20, GraphOptions { filter: Filter::User, ..plain }, 3),
        case("item vectors", 4, 20, GraphOptions { item_input: ItemInput::Embeddings, ..plain }, 7),
        case("everything retrieved", 0, 8, GraphOptions::new(52), 7),
    ];
    let mut small = case("one layer, one task, one bucket", 2, 1, plain, 7);
    small.config = ModelConfig {
        n_layers: 1,
        n_rank_layers: 1,
        n_heads: 1,
        tasks: vec!["value".into()],
        rel_pos_buckets: 1,
        ..small.config
    };
    list.push(small);
    // Tables that are too large to be summed for every pair of buckets.
    let mut tables = case("large tables of biases", 2, 145, plain, 7);
    tables.config.rel_pos_buckets = 300;
    list.push(tables);
    let mut deep = case("as many ranker as generator layers", 4, 20, plain, 7);
    deep.config.n_rank_layers = 3;
    list.push(deep);
    list
}

#[test]
fn hstu_agrees_with_numpy() {
    agrees(Attention::Hstu);
}

#[test]
fn softmax_agrees_with_numpy() {
    agrees(Attention::Softmax);
}

fn agrees(attention: Attention) {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases(attention);
    let mut worlds = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let world = World::new(case.config.clone(), case.options, i as u64);
        let at = dir.path().join(format!("case-{i}"));
        fs::create_dir(&at).unwrap();
        fs::copy(world.dir.path().join("model.toml"), at.join("model.toml")).unwrap();
        fs::copy(&world.weights, at.join("weights.safetensors")).unwrap();
        let embeddings = case.options.item_input == ItemInput::Embeddings;
        let item_input = if embeddings { "embeddings" } else { "ids" };
        let options = serde_json::json!({"item_input": item_input, "top_k": case.options.top_k});
        fs::write(at.join("options.json"), options.to_string()).unwrap();
        let inputs = inputs(case, &world, &at);
        worlds.push((world, inputs));
    }
    run_reference(dir.path());
    for ((i, case), (world, inputs)) in cases.iter().enumerate().zip(&worlds) {
        let at = dir.path().join(format!("case-{i}"));
        for backend in backends() {
            let mut graphs = world.open(backend.as_ref());
            for (kind, feeds) in inputs {
                let want = load(&at.join(format!("expected.{}.safetensors", kind.name())));
                let got = graphs.run(*kind, feeds);
                let place =
                    format!("{} ({attention:?}), {}, {}", case.name, backend.name(), kind.name());
                compare(&place, *kind, &want, &got, case);
            }
        }
    }
}

/// Inputs of every graph: histories of mixed lengths, wild values wherever nothing should matter.
fn inputs(case: &Case, world: &World, at: &Path) -> BTreeMap<GraphKind, Feeds> {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let lens = [0, 1, SEQ, 6, 9];
    let users = Users::new(&mut rng, &case.config, &lens, case.candidates);
    let [tract, _] = backends();
    let mut graphs = world.open(tract.as_ref());
    let mut state = users.state(&case.config, &case.options, SEQ);
    let mut all = BTreeMap::new();
    let mut take = |graphs: &Graphs, kind: GraphKind, state: &Feeds| {
        let feeds = graphs.feeds(kind, state);
        save(&at.join(format!("inputs.{}.safetensors", kind.name())), &feeds);
        all.insert(kind, feeds);
    };
    take(&graphs, GraphKind::Encode, &state);
    if graphs.has(GraphKind::OneRanker) {
        take(&graphs, GraphKind::OneRanker, &state);
    }
    let present = graphs.run(GraphKind::Encode, &state);

    let new = 4;
    let fresh = |b: usize| [0, 1, 4, 3, 0][b];
    let past = |b: usize| lens[b] - fresh(b);
    let mut append = users.behaviours(&mut rng, new, |b| past(b)..lens[b]);
    let column = |f: &dyn Fn(usize) -> usize| {
        HostTensor::of(&[lens.len()], (0..lens.len()).map(|b| f(b) as i64).collect::<Vec<_>>())
    };
    append.insert("new_lens".into(), column(&fresh));
    append.insert("past_lens".into(), column(&past));
    users.keep(&mut append, &present, SLOTS, past);
    take(&graphs, GraphKind::Append, &append);

    users.keep(&mut state, &present, SLOTS, |b| lens[b]);
    take(&graphs, GraphKind::Generate, &state);
    let generated = graphs.run(GraphKind::Generate, &state);
    state.extend(generated);
    take(&graphs, GraphKind::Rank, &state);
    all
}

fn run_reference(cases: &Path) {
    let python = root().join(".onr/venv/bin/python");
    assert!(python.is_file(), "no {}: `make setup` makes it", python.display());
    let output = Command::new(python)
        .arg(root().join("tests/reference/run.py"))
        .arg(cases)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn compare(
    place: &str,
    kind: GraphKind,
    want: &BTreeMap<String, Stored>,
    got: &Feeds,
    case: &Case,
) {
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(want.keys().collect()), names(got.keys().collect()), "{place}");
    let swapped =
        if kind == GraphKind::OneRanker { swaps(place, want, got, case) } else { Vec::new() };
    for (name, want) in want {
        let got = &got[name];
        assert_eq!(want.shape, got.shape(), "{place} {name}");
        let Numbers::Float(mut values) = want.numbers.clone() else { continue };
        let mut got = got.to_f32().unwrap();
        let tasks = case.config.n_tasks();
        for &slot in &swapped {
            values[slot * tasks..(slot + 1) * tasks].fill(0.0);
            got[slot * tasks..(slot + 1) * tasks].fill(0.0);
        }
        // The filler's logit would drown everything else.
        for (w, g) in values.iter_mut().zip(&mut got) {
            if *w < -1e29 {
                assert!(*g < -1e29, "{place} {name}: a filler has logit {g}");
                (*w, *g) = (0.0, 0.0);
            }
        }
        let error = distance(&values, &HostTensor::of(&want.shape, got));
        assert!(error <= TOLERANCE, "{place} {name}: {error:e}");
    }
}

/// Slots whose item differs; only where the two logits are as good as equal.
fn swaps(place: &str, want: &BTreeMap<String, Stored>, got: &Feeds, case: &Case) -> Vec<usize> {
    let (Numbers::Int(ids), Numbers::Float(logits)) =
        (&want["candidate_ids"].numbers, &want["generator_logits"].numbers)
    else {
        panic!("{place}")
    };
    let tasks = case.config.n_tasks();
    let found = got["candidate_ids"].as_i64().unwrap();
    let values = got["generator_logits"].to_f32().unwrap();
    let differ: Vec<usize> = (0..ids.len()).filter(|&i| ids[i] != found[i]).collect();
    for &slot in &differ {
        let own = slot * tasks + slot / case.options.top_k % tasks;
        let gap = (logits[own] - f64::from(values[own])).abs();
        assert!(gap <= TOLERANCE, "{place}: slot {slot} has {} for {}", found[slot], ids[slot]);
    }
    assert!(differ.len() * 10 <= ids.len(), "{place}: {} of {} swapped", differ.len(), ids.len());
    differ
}

struct Stored {
    shape: Vec<usize>,
    numbers: Numbers,
}

#[derive(Clone)]
enum Numbers {
    Float(Vec<f64>),
    Int(Vec<i64>),
}

fn load(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let one = |(name, view): (&str, TensorView<'_>)| {
        let (chunks, _) = view.data().as_chunks::<8>();
        let numbers = match view.dtype() {
            Dtype::F64 => Numbers::Float(chunks.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::I64 => Numbers::Int(chunks.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            other => panic!("{name} is {other:?}"),
        };
        (name.to_owned(), Stored { shape: view.shape().to_vec(), numbers })
    };
    file.iter().map(one).collect()
}

pub(crate) fn save(path: &Path, feeds: &Feeds) {
    let bytes: BTreeMap<_, _> = feeds.iter().map(|(n, t)| (n, raw(t))).collect();
    let views = feeds.iter().map(|(n, t)| {
        let (dtype, data) = &bytes[n];
        (n.as_str(), TensorView::new(*dtype, t.shape().to_vec(), data).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn raw(tensor: &HostTensor) -> (Dtype, Vec<u8>) {
    match tensor.data() {
        Data::F32(v) => (Dtype::F32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::I64(v) => (Dtype::I64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Data::Bool(v) => (Dtype::BOOL, v.iter().map(|&b| u8::from(b)).collect()),
        other => panic!("{other:?}"),
    }
}

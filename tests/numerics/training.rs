//! The forward pass of training against the graphs that are exported from its checkpoint.

use onr_evaluation::Recommender;
use onr_exporter::Silent;
use onr_graphs::{GraphKind, GraphOptions, ModelConfig};
use onr_interactions::Event;
use onr_mutation::models::random_config;
use onr_runtime::{
    backend::Backend,
    tensor::{Feeds, HostTensor},
};
use onr_training::{OneRanker, read_weights, write_weights};
use rand::{Rng, SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;

use crate::support::{World, apart, backends, export_to};

const CANDIDATES: usize = 6;

/// Histories of 1 to `longest` behaviours.
fn histories(rng: &mut ChaCha8Rng, config: &ModelConfig, count: usize) -> Vec<Vec<Event>> {
    let one = |rng: &mut ChaCha8Rng| {
        let mut time = 1_600_000_000;
        let n = rng.random_range(1..=config.max_seq_len);
        let mut event = |rng: &mut ChaCha8Rng| {
            time += rng.random_range(0.0..16.0_f64).exp() as i64 - 1;
            Event {
                item: rng.random_range(1..config.n_items as u32),
                action: rng.random_range(0..config.n_actions as u16),
                labels: 1,
                value: 0.0,
                time,
            }
        };
        (0..n).map(|_| event(rng)).collect()
    };
    (0..count).map(|_| one(rng)).collect()
}

/// The histories padded to `T`, as the graphs take them.
fn feeds(histories: &[Vec<Event>], candidates: &[Vec<u32>]) -> Feeds {
    let (b, t) = (histories.len(), histories.iter().map(Vec::len).max().unwrap());
    let padded = |of: fn(&Event) -> i64| {
        let row = |h: &Vec<Event>| (0..t).map(|i| h.get(i).map_or(0, of)).collect::<Vec<_>>();
        HostTensor::of(&[b, t], histories.iter().flat_map(row).collect::<Vec<i64>>())
    };
    let each = |of: fn(&Vec<Event>) -> i64| {
        HostTensor::of(&[b], histories.iter().map(of).collect::<Vec<i64>>())
    };
    let ids = candidates.iter().flatten().map(|&i| i64::from(i)).collect::<Vec<_>>();
    Feeds::from([
        ("item_ids".to_owned(), padded(|e| e.item.into())),
        ("action_ids".to_owned(), padded(|e| e.action.into())),
        ("timestamps".to_owned(), padded(|e| e.time)),
        ("seq_lens".to_owned(), each(|h| h.len() as i64)),
        ("request_time".to_owned(), each(|h| h.last().map_or(0, |e| e.time))),
        ("candidate_ids".to_owned(), HostTensor::of(&[b, CANDIDATES], ids)),
    ])
}

fn check(seed: u64, backend: &dyn Backend) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = random_config(&mut rng);
    let random = World::new(config.clone(), GraphOptions::new(2), seed);
    // Through training's own reader and writer: what it writes exports without conversion.
    let params = read_weights(&random.weights, &config).unwrap();
    let weights = random.dir.path().join("trained.safetensors");
    write_weights(&weights, &params, &[]).unwrap();
    let exported = export_to(&config, &random.options, &weights, random.dir.path());
    let world = World { exported, weights, ..random };

    let histories = histories(&mut rng, &config, 4);
    let list = |rng: &mut ChaCha8Rng| -> Vec<u32> {
        index::sample(rng, config.n_items - 1, CANDIDATES).iter().map(|i| i as u32 + 1).collect()
    };
    let candidates: Vec<Vec<u32>> = histories.iter().map(|_| list(&mut rng)).collect();
    let mut graphs = world.open(backend);
    let mut state = feeds(&histories, &candidates);
    for (name, tensor) in graphs.run(GraphKind::Encode, &state) {
        state.insert(name.replace("present", "past_key_values"), tensor);
    }
    state.extend(graphs.run(GraphKind::Generate, &state));
    let outputs = graphs.run(GraphKind::Rank, &state);

    let borrowed: Vec<&[Event]> = histories.iter().map(Vec::as_slice).collect();
    let mut trained = OneRanker::new("trained", &config, &params, true);
    let ranked = trained.rank(&borrowed, &candidates).unwrap().unwrap();
    let shape = [histories.len(), CANDIDATES, config.n_tasks()];
    let scores = ranked.iter().flat_map(|r| r.scores.clone()).collect::<Vec<_>>();
    let logits = ranked.iter().flat_map(|r| r.generator_logits.clone()).collect::<Vec<_>>();
    for (name, ours) in [("scores", scores), ("generator_logits", logits)] {
        let distance = apart(&HostTensor::of(&shape, ours), &outputs[name]);
        assert!(distance <= 1e-4, "seed {seed}: {name} of {config:?} is {distance} apart");
    }
    catalogue(&mut trained, &borrowed, &candidates, (&config, &outputs["generator_logits"]));
}

/// The logits of the whole catalogue, read at the candidates.
fn catalogue(
    trained: &mut OneRanker<'_>,
    histories: &[&[Event]],
    candidates: &[Vec<u32>],
    (config, expected): (&ModelConfig, &HostTensor),
) {
    let (n, v) = (config.n_tasks(), config.n_items);
    let all = trained.retrieve(histories).unwrap();
    let mut picked = Vec::new();
    for (user, list) in candidates.iter().enumerate() {
        for &item in list {
            picked.extend((0..n).map(|task| all[(user * n + task) * v + item as usize]));
        }
    }
    let shape = [histories.len(), CANDIDATES, n];
    assert!(apart(&HostTensor::of(&shape, picked), expected) <= 1e-4);
}

#[test]
fn forward_equals_the_exported_graphs() {
    let [tract, ort] = backends();
    for seed in 0..24 {
        check(seed, if seed % 3 == 0 { tract.as_ref() } else { ort.as_ref() });
    }
}

#[test]
fn an_untouched_checkpoint_comes_back_bit_for_bit() {
    let config = random_config(&mut ChaCha8Rng::seed_from_u64(7));
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|n| dir.path().join(n));
    onr_exporter::init(&config, 1, &first, &Silent).unwrap();
    let params = read_weights(&first, &config).unwrap();
    write_weights(&second, &params, &[]).unwrap();
    let open = |path| onr_exporter::Checkpoint::open(path).unwrap();
    let (a, b) = (open(&first), open(&second));
    assert!(a.keys().eq(b.keys()));
    assert!(a.keys().all(|k| a.tensor(k).unwrap().bytes == b.tensor(k).unwrap().bytes));
}

//! The identities at the end of the contract, over random configurations.

use onr_graphs::{GraphKind, GraphOptions, ModelConfig};
use onr_mutation::models::well_conditioned_config;
use onr_runtime::{
    backend::Backend,
    tensor::{Feeds, HostTensor},
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::support::{Graphs, Users, World, apart, backends};

/// Float error of sums in another order. Of 4,000 seeds the worst was 1.1e-5 in models of width 6, 2.5e-6 in wider ones.
const TOLERANCE: f64 = 2e-5;

/// A random model with random users on one backend.
struct Scene {
    world: World,
    graphs: Graphs,
    users: Users,
    rng: ChaCha8Rng,
    seq: usize,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = well_conditioned_config(&mut rng);
        let top_k = rng.random_range(1..config.n_items.min(9));
        let world = World::new(config, GraphOptions::new(top_k), seed);
        let seq = rng.random_range(2..=world.config.max_seq_len + 3);
        let mut lens = vec![0, seq, 1];
        lens.extend((0..2).map(|_| rng.random_range(0..=seq)));
        let candidates = rng.random_range(2..9);
        let users = Users::new(&mut rng, &world.config, &lens, candidates);
        // Most seeds on ONNX Runtime, every fourth on tract, whose plans take longer to make.
        let [tract, ort] = backends();
        let backend: Box<dyn Backend> = if seed.is_multiple_of(4) { tract } else { ort };
        let graphs = world.open(backend.as_ref());
        Self { world, graphs, users, rng, seq }
    }

    fn config(&self) -> &ModelConfig {
        &self.world.config
    }

    fn base(&self, users: &Users, seq: usize) -> Feeds {
        users.state(self.config(), &self.world.options, seq)
    }

    /// Everything that `rank` needs, for histories padded to `seq` in `slots` slots.
    fn ranked(&mut self, users: &Users, seq: usize, slots: usize) -> (Feeds, Feeds) {
        let mut state = self.base(users, seq);
        let present = self.graphs.run(GraphKind::Encode, &state);
        users.keep(&mut state, &present, slots, |b| users.lens[b]);
        let generated = self.graphs.run(GraphKind::Generate, &state);
        state.extend(generated);
        let outputs = self.graphs.run(GraphKind::Rank, &state);
        (state, outputs)
    }
}

/// Rows `[B, C, N]` of some candidates.
fn columns(scores: &HostTensor, which: &[usize]) -> HostTensor {
    let &[b, c, n] = scores.shape() else { panic!() };
    let values = scores.to_f32().unwrap();
    let rows = (0..b).flat_map(|i| which.iter().map(move |j| (i * c + j) * n));
    let picked = rows.flat_map(|at| values[at..at + n].to_vec()).collect::<Vec<_>>();
    HostTensor::of(&[b, which.len(), n], picked)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefix_and_append_equal_the_whole(seed in any::<u64>()) {
        let mut s = Scene::new(seed);
        let users = s.users.clone();
        let state = s.base(&users, s.seq);
        let whole = s.graphs.run(GraphKind::Encode, &state);
        let new = s.rng.random_range(1..=s.seq);
        let fresh: Vec<usize> = users.lens.iter().map(|&n| s.rng.random_range(0..=n.min(new))).collect();
        let past = |b: usize| users.lens[b] - fresh[b];
        // The prefix on its own: its keys and values cannot know what follows.
        let mut prefix = s.base(&users, s.seq);
        let b = users.lens.len();
        let column = |f: &dyn Fn(usize) -> usize| {
            HostTensor::of(&[b], (0..b).map(|i| f(i) as i64).collect::<Vec<_>>())
        };
        prefix.insert("seq_lens".into(), column(&past));
        let held = s.graphs.run(GraphKind::Encode, &prefix);
        let mut state = users.behaviours(&mut s.rng, new, |b| past(b)..users.lens[b]);
        state.insert("new_lens".into(), column(&|b| fresh[b]));
        state.insert("past_lens".into(), column(&past));
        let slots = s.seq + s.rng.random_range(0..4);
        users.keep(&mut state, &held, slots, past);
        let before = state.clone();
        let appended = s.graphs.run(GraphKind::Append, &state);
        for (name, got) in &appended {
            let (&[b, h, _, w], got) = (got.shape(), got.to_f32().unwrap()) else { panic!() };
            let want = whole[name].to_f32().unwrap();
            let kept = before[&name.replace("present", "past_key_values")].to_f32().unwrap();
            for row in 0..b * h {
                let real = users.lens[row / h] * w;
                for i in 0..real {
                    let (want, got) = (want[row * s.seq * w + i], got[row * slots * w + i]);
                    prop_assert!((want - got).abs() < 2e-5, "{name}: {want} {got}");
                }
                let rest = row * slots * w + real..(row + 1) * slots * w;
                prop_assert_eq!(&got[rest.clone()], &kept[rest]);
            }
        }
    }

    #[test]
    fn split_equals_fused(seed in any::<u64>()) {
        let mut s = Scene::new(seed);
        let users = s.users.clone();
        let state = s.base(&users, s.seq);
        let fused = s.graphs.run(GraphKind::OneRanker, &state);
        let slots = s.seq + 2;
        let (mut state, _) = s.ranked(&users, s.seq, slots);
        state.insert("candidate_ids".into(), fused["candidate_ids"].clone());
        let split = s.graphs.run(GraphKind::Rank, &state);
        for name in ["scores", "generator_logits"] {
            let error = apart(&split[name], &fused[name]);
            prop_assert!(error < TOLERANCE, "{name}: {error:e}");
        }
    }

    #[test]
    fn candidates_do_not_see_each_other(seed in any::<u64>()) {
        let mut s = Scene::new(seed);
        let users = s.users.clone();
        let (mut state, alone) = s.ranked(&users, s.seq, s.seq);
        let &[b, c] = state["candidate_ids"].shape() else { panic!() };
        let mut order: Vec<usize> = (0..c).collect();
        order.shuffle(&mut s.rng);
        let ids = users.candidates.clone();
        let permuted: Vec<i64> = ids.iter().flat_map(|r| order.iter().map(|&j| r[j]).collect::<Vec<_>>()).collect();
        state.insert("candidate_ids".into(), HostTensor::of(&[b, c], permuted));
        let turned = s.graphs.run(GraphKind::Rank, &state);
        let more = s.rng.random_range(1..6);
        let grown: Vec<i64> = ids.iter().flat_map(|r| r.iter().copied().chain((0..more).map(|i| i % 7)).collect::<Vec<_>>()).collect();
        state.insert("candidate_ids".into(), HostTensor::of(&[b, c + more as usize], grown));
        let larger = s.graphs.run(GraphKind::Rank, &state);
        let all: Vec<usize> = (0..c).collect();
        for name in ["scores", "generator_logits"] {
            let error = apart(&columns(&alone[name], &order), &turned[name]);
            prop_assert!(error < TOLERANCE, "permuted {name}: {error:e}");
            let error = apart(&alone[name], &columns(&larger[name], &all));
            prop_assert!(error < TOLERANCE, "added {name}: {error:e}");
        }
    }

    #[test]
    fn padding_and_junk_change_nothing(seed in any::<u64>()) {
        let mut s = Scene::new(seed);
        let users = s.users.clone();
        let (_, want) = s.ranked(&users, s.seq, s.seq);
        let (seq, slots) = (s.seq + s.rng.random_range(1..5), s.seq + s.rng.random_range(5..9));
        let (_, got) = s.ranked(&users.with_other_junk(), seq, slots);
        for name in ["scores", "generator_logits"] {
            let error = apart(&want[name], &got[name]);
            prop_assert!(error < TOLERANCE, "{name}: {error:e}");
        }
        let state = s.base(&users, s.seq);
        let want = s.graphs.run(GraphKind::OneRanker, &state);
        let state = s.base(&users.with_other_junk(), seq);
        let got = s.graphs.run(GraphKind::OneRanker, &state);
        let sorted = |f: &Feeds| f["scores"].to_f32().unwrap().len();
        prop_assert_eq!(sorted(&want), sorted(&got));
        if want["candidate_ids"] == got["candidate_ids"] {
            let error = apart(&want["scores"], &got["scores"]);
            prop_assert!(error < TOLERANCE, "fused: {error:e}");
        }
    }

    #[test]
    fn users_of_a_batch_do_not_see_each_other(seed in any::<u64>()) {
        let mut s = Scene::new(seed);
        let users = s.users.clone();
        let (_, together) = s.ranked(&users, s.seq, s.seq);
        let last = users.lens.len() - 1;
        let alone = users.only(last);
        let (_, single) = s.ranked(&alone, s.seq, s.seq);
        for name in ["scores", "generator_logits"] {
            let whole = together[name].to_f32().unwrap();
            let one = single[name].to_f32().unwrap();
            let row = HostTensor::of(single[name].shape(), whole[last * one.len()..].to_vec());
            let error = apart(&row, &single[name]);
            prop_assert!(error < TOLERANCE, "{name}: {error:e}");
        }
    }
}

//! Gradients of every tensor of the model against finite differences, in F64.

use candle_core::DType;
use onr_graphs::{Attention, ModelConfig};
use onr_interactions::{Event, ValueRule};

use crate::{
    config::{ConsistencyConfig, DataConfig, RankerConfig, RankerLoss, TaskConfig, TrainConfig},
    init,
    loss::Losses,
    model::{Cut, Forward, Params, Sequence, Tokens},
    sample::Sampler,
};

fn model(attention: Attention, layers: (usize, usize), fakes: usize, time: usize) -> ModelConfig {
    ModelConfig {
        n_items: 23,
        n_actions: 4,
        d_model: 12,
        n_heads: 2,
        n_layers: layers.0,
        n_rank_layers: layers.1,
        max_seq_len: 9,
        attention,
        tasks: ["impression", "click", "value"].map(str::to_owned).to_vec(),
        n_fake_items: fakes,
        rel_pos_buckets: 5,
        time_buckets: time,
        layer_norm_eps: 1e-3,
        temperature: 0.3,
    }
}

fn config(ranker: RankerConfig, sampled_negatives: usize) -> TrainConfig {
    let task = |name: &str, weight: f64, value: Option<ValueRule>| TaskConfig {
        name: name.to_owned(),
        when: "*".to_owned(),
        value,
        weight,
    };
    let value = ValueRule { column: "v".to_owned(), minus: 0.0, times: 1.0 };
    TrainConfig {
        task: vec![
            task("impression", 1.0, None),
            task("click", 0.7, None),
            task("value", 0.4, Some(value)),
        ],
        data: DataConfig { actions: "*:1".to_owned(), ..DataConfig::default() },
        schedule: crate::ScheduleConfig {
            steps: 10,
            users_per_step: 3,
            cuts_per_user: 4,
            checkpoint_every: 5,
        },
        optimizer: crate::OptimizerConfig::default(),
        generator: crate::GeneratorConfig { weight: 0.9, sampled_negatives },
        ranker,
        consistency: ConsistencyConfig { weight: 0.0, temperature: 1.3, start: 0.0 },
        fake_items: crate::FakeItemsConfig::default(),
    }
}

/// Histories of 12, 5 and 4 behaviours with labels, values and uneven times.
fn histories() -> Vec<Vec<Event>> {
    let event = |user: u32, i: u32| Event {
        item: 1 + (user * 7 + i * 5) % 22,
        action: 1 + ((user + i) % 3) as u16,
        labels: [0b001, 0b011, 0b111, 0b001][((user + i) % 4) as usize],
        value: 0.5 + (i % 3) as f32,
        time: 1_000_000 + i64::from(user * 50 + i * i * 37),
    };
    [(0, 12), (1, 5), (2, 4)].map(|(user, n)| (0..n).map(|i| event(user, i)).collect()).to_vec()
}

/// Largest difference between a gradient and its finite difference, relative to the tensor's largest gradient.
fn check(cfg: &ModelConfig, train: &TrainConfig, dropout: f64) {
    let params = Params::new(cfg, DType::F64, |name, shape| {
        let mut values = init::values(cfg, 3, name, shape);
        // Off the neutral start, so that nothing is hidden by a zero or a one.
        let nudge = |i: usize| 0.3 * ((i as f32 + name.len() as f32) * 1.7).sin();
        values.iter_mut().enumerate().for_each(|(i, v)| *v += nudge(i));
        values
    })
    .unwrap();
    let popularity: Vec<f64> = (0..cfg.n_items).map(|i| (i % 5) as f64).collect();
    let sampler = Sampler { model: cfg, config: train, seed: 11 };
    let batch = sampler.batch(2, &[0, 1, 2], &histories());
    let losses = Losses { model: cfg, config: train, popularity: &popularity, seed: 11 };
    let loss = || losses.terms(&params, &batch, 2, dropout).unwrap().total().unwrap().unwrap();
    let grads = loss().backward().unwrap();
    let value = || loss().to_scalar::<f64>().unwrap();
    for (name, var) in params.iter() {
        let shape = var.shape().clone();
        let original: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
        let grad: Vec<f64> = match grads.get(var) {
            Some(grad) => grad.flatten_all().unwrap().to_vec1().unwrap(),
            None => vec![0.0; original.len()],
        };
        let scale = grad.iter().fold(1e-6_f64, |m, g| m.max(g.abs()));
        let step = (original.len() / 7).max(1);
        let checked = (0..original.len()).step_by(step).chain([largest(&grad)]);
        for i in checked {
            let at = |delta: f64| {
                let mut moved = original.clone();
                moved[i] += delta;
                let tensor =
                    candle_core::Tensor::from_vec(moved, &shape, &candle_core::Device::Cpu)
                        .unwrap();
                var.set(&tensor).unwrap();
                value()
            };
            let h = 1e-5;
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            at(0.0);
            assert!(
                (numeric - grad[i]).abs() < 1e-5 * scale + 1e-8,
                "{name}[{i}]: gradient {} but finite difference {numeric}",
                grad[i]
            );
        }
    }
}

fn largest(grad: &[f64]) -> usize {
    (0..grad.len()).max_by(|&a, &b| grad[a].abs().total_cmp(&grad[b].abs())).unwrap_or(0)
}

fn lists() -> RankerConfig {
    RankerConfig {
        weight: 0.8,
        cuts_per_user: 3,
        hard_negatives: 3,
        hard_from_top: 22,
        in_batch_negatives: 2,
        random_negatives: 2,
        ..RankerConfig::default()
    }
}

#[test]
fn a_cut_does_not_see_the_others() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        let cfg = model(attention, (3, 2), 3, 6);
        let params =
            Params::new(&cfg, DType::F64, |name, shape| init::values(&cfg, 5, name, shape))
                .unwrap();
        let train = config(lists(), 0);
        let batch =
            Sampler { model: &cfg, config: &train, seed: 4 }.batch(0, &[0, 1, 2], &histories());
        let forward = Forward { cfg: &cfg, params: &params, dropout: 0.0, seed: 0 };
        let candidates: Vec<u32> = (0..batch.cuts.len() as u32 * 3).map(|i| 1 + i % 22).collect();
        let run = |sequences: &[Sequence], cuts: &[Cut], candidates: &[u32]| -> Vec<f64> {
            let tokens = Tokens::new(&cfg, sequences, cuts);
            let generated = forward.generate(&tokens).unwrap();
            let all: Vec<usize> = (0..cuts.len()).collect();
            let scores = forward.rank((&tokens, &generated), &all, candidates, false).unwrap();
            let users = generated.user_embeddings.flatten_all().unwrap().to_vec1().unwrap();
            [users, scores.flatten_all().unwrap().to_vec1().unwrap()].concat()
        };
        let together = run(&batch.sequences, &batch.cuts, &candidates);
        let (n, d) = (cfg.n_tasks(), cfg.d_model);
        for (i, cut) in batch.cuts.iter().enumerate() {
            // The prefix alone: later behaviours are not even there.
            let whole = &batch.sequences[cut.sequence];
            let prefix = Sequence {
                items: whole.items[..cut.at].to_vec(),
                actions: whole.actions[..cut.at].to_vec(),
                times: whole.times[..cut.at].to_vec(),
            };
            let alone =
                run(&[prefix], &[Cut { sequence: 0, ..*cut }], &candidates[3 * i..3 * i + 3]);
            let users = &together[i * n * d..(i + 1) * n * d];
            let scores = &together[batch.cuts.len() * n * d + i * 3 * n..][..3 * n];
            let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(same(users, &alone[..n * d]) && same(scores, &alone[n * d..]), "cut {i}");
        }
    }
}

#[test]
fn generator_and_listwise_ranker() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        for (layers, fakes, time) in
            [((2, 1), 3, 6), ((3, 2), 0, 0), ((1, 1), 2, 4), ((3, 3), 2, 5)]
        {
            // All items but the targets compete: lists do not change under the finite differences.
            check(&model(attention, layers, fakes, time), &config(lists(), 0), 0.0);
        }
    }
}

#[test]
fn binary_ranker_and_sampled_generator() {
    let ranker = RankerConfig { loss: RankerLoss::Bce, hard_negatives: 0, ..lists() };
    check(&model(Attention::Hstu, (2, 2), 2, 4), &config(ranker, 6), 0.0);
}

#[test]
fn dropout_is_a_function_of_the_step() {
    let ranker = RankerConfig { hard_negatives: 0, ..lists() };
    check(&model(Attention::Softmax, (2, 1), 2, 4), &config(ranker, 0), 0.2);
}

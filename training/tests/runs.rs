//! Whole runs on small histories: determinism, resuming, and what stops a run.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{ops::ControlFlow, path::Path};

use onr_graphs::{Attention, ModelConfig};
use onr_interactions::{Event, Store};
use onr_training::{
    Params, StepReport, TrainConfig, TrainJob, Trained, TrainingError, Without, baseline,
};
use tempfile::TempDir;

fn model() -> ModelConfig {
    ModelConfig {
        n_items: 60,
        n_actions: 3,
        d_model: 16,
        n_heads: 2,
        n_layers: 2,
        n_rank_layers: 1,
        max_seq_len: 16,
        attention: Attention::Hstu,
        tasks: ["impression", "click", "value"].map(str::to_owned).to_vec(),
        n_fake_items: 4,
        rel_pos_buckets: 8,
        time_buckets: 8,
        layer_norm_eps: 1e-5,
        temperature: 0.1,
    }
}

const CONFIG: &str = r#"
[[task]]
name = "impression"
when = "*"
[[task]]
name = "click"
when = "click==1"
[[task]]
name = "value"
when = "click==1"
value = { column = "value" }

[data]
actions = "*:1"

[schedule]
steps = 12
users_per_step = 4
cuts_per_user = 6
checkpoint_every = 5

[optimizer]
warmup_steps = 3

[ranker]
cuts_per_user = 2
hard_negatives = 8
hard_from_top = 16
random_negatives = 4

[fake_items]
cluster_every = 4
"#;

fn config() -> TrainConfig {
    TrainConfig::parse(CONFIG, &model()).unwrap()
}

/// Users who walk along the items, each from another place.
fn histories(users: usize, length: usize) -> Vec<Vec<Event>> {
    let event = |user: usize, i: usize| Event {
        item: 1 + ((user * 11 + i * 2) % 59) as u32,
        action: 1 + (i % 2) as u16,
        labels: if (user + i).is_multiple_of(3) { 0b111 } else { 0b001 },
        value: if (user + i).is_multiple_of(3) { 1.0 + (i % 4) as f32 } else { 0.0 },
        time: 1_000_000 + 60 * (i as i64 / 2),
    };
    (0..users).map(|user| (0..length).map(|i| event(user, i)).collect()).collect()
}

struct World {
    _dir: TempDir,
    store: Store,
}

fn world(histories: Vec<Vec<Event>>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::from_histories(60, model().tasks, histories, &dir.path().join("store")).unwrap();
    World { _dir: dir, store }
}

fn run(
    (model, config): (&ModelConfig, &TrainConfig),
    world: &World,
    state: Option<&Path>,
    observe: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Trained, TrainingError> {
    TrainJob { model, config, store: &world.store, seed: 3, state }.run(observe)
}

fn go(_: &StepReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn values(params: &Params) -> Vec<(String, Vec<u32>)> {
    let bits = |name: &str| params.values(name).unwrap().into_iter().map(f32::to_bits).collect();
    params.iter().map(|(name, _)| (name.to_owned(), bits(name))).collect()
}

#[test]
fn a_seed_decides_the_weights_whatever_the_threads() {
    let world = world(histories(20, 14));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        values(&pool.install(|| run((&model(), &config()), &world, None, &mut go)).unwrap().params)
    };
    let once = on(1);
    assert!(once == on(1), "the same run twice");
    assert!(once == on(3), "on other numbers of threads");
}

#[test]
fn a_stopped_run_goes_on_to_the_same_weights() {
    let world = world(histories(20, 14));
    let whole = run((&model(), &config()), &world, None, &mut go).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for stop in [2, 5, 9] {
        let mut until = |report: &StepReport| {
            if report.step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = run((&model(), &config()), &world, Some(dir.path()), &mut until);
        assert!(matches!(stopped, Err(TrainingError::Interrupted { step }) if step == stop));
    }
    let resumed = run((&model(), &config()), &world, Some(dir.path()), &mut go).unwrap();
    assert_eq!(resumed.first_step, 9);
    assert!(values(&resumed.params) == values(&whole.params));
}

#[test]
fn a_state_of_another_run_is_refused() {
    let world = world(histories(20, 14));
    let dir = tempfile::tempdir().unwrap();
    run((&model(), &config()), &world, Some(dir.path()), &mut go).unwrap();
    let mut other = config();
    other.optimizer.learning_rate *= 2.0;
    let error = run((&model(), &other), &world, Some(dir.path()), &mut go).unwrap_err();
    assert!(error.to_string().contains("belongs to a run with another model"), "{error}");
}

#[test]
fn losses_fall_and_every_variant_trains() {
    let world = world(histories(20, 14));
    let mut variants = vec![(model(), config())];
    for without in Without::ALL {
        let (mut model, mut config) = (model(), config());
        without.apply(&mut model, &mut config);
        variants.push((model, config));
    }
    let (mut model, mut config) = (model(), config());
    baseline(&mut model, &mut config);
    variants.push((model, config));
    for (model, mut config) in variants {
        config.schedule.steps = 40;
        let mut generator = Vec::new();
        run((&model, &config), &world, None, &mut |report| {
            generator.push(report.terms[0].1);
            ControlFlow::Continue(())
        })
        .unwrap();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&generator[..5]), mean(&generator[35..]));
        assert!(last < 0.8 * first, "{first} to {last}");
    }
}

#[test]
fn an_exploding_loss_names_step_term_and_users() {
    let world = world(histories(20, 14));
    let mut config = config();
    config.optimizer.learning_rate = 1e30;
    config.optimizer.warmup_steps = 0;
    let error = run((&model(), &config), &world, None, &mut go).unwrap_err();
    let TrainingError::NotFinite { step, term, users, .. } = &error else { panic!("{error}") };
    assert!(*step >= 1 && !term.is_empty() && users.len() == 4, "{error}");
}

#[test]
fn nothing_to_learn_from_is_said() {
    let short = run((&model(), &config()), &world(histories(5, 3)), None, &mut go).unwrap_err();
    assert!(matches!(short, TrainingError::NothingToLearn { users: 5, events: 15 }), "{short}");
    let mut plain = histories(5, 8);
    plain.iter_mut().flatten().for_each(|e| e.labels &= 0b101);
    let error = run((&model(), &config()), &world(plain), None, &mut go).unwrap_err();
    assert!(matches!(&error, TrainingError::NoPositives { task } if task == "click"), "{error}");
    // One user is enough.
    run((&model(), &config()), &world(histories(1, 9)), None, &mut go).unwrap();
}

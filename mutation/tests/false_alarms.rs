//! Parity must not cry wolf: exports that are right pass, relations included, whatever the model.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use onr_graphs::Attention;
use onr_mutation::{kind::Kind, mutant::World};
use onr_runtime::{
    backends::{ort::OrtBackend, tract::TractBackend},
    libraries::Search,
};

/// Models per attention and precision. `ONR_TEST_MODELS=200` asks for more.
fn models() -> u64 {
    std::env::var("ONR_TEST_MODELS").ok().and_then(|n| n.parse().ok()).unwrap_or(4)
}

fn none_in(kind: Kind) {
    none_of(kind, 0..models());
}

fn none_of(kind: Kind, seeds: impl IntoIterator<Item = u64>) {
    let (mut alarms, mut all) = (Vec::new(), 0);
    for seed in seeds {
        all += 2;
        for attention in [Attention::Hstu, Attention::Softmax] {
            let world = World::new(1000 + seed, kind, Some(attention)).unwrap();
            let (ort, tract) = (OrtBackend::new(Search::from_env()), TractBackend::new());
            let report = world.parity(&world.job(world.dir(), &ort, &tract)).unwrap();
            if !report.passed() {
                let failures: Vec<String> = report.failures().collect();
                alarms.push(format!("seed {seed}: {failures:?}\n  {:?}", world.config));
            }
        }
    }
    assert!(alarms.is_empty(), "{} of {all}:\n{}", alarms.len(), alarms.join("\n"));
}

#[test]
fn no_false_alarm_in_f32() {
    none_in(Kind::F32);
}

#[test]
fn no_false_alarm_in_f16() {
    none_in(Kind::F16);
}

/// Narrow models, whose rounded activations cost more than twice what their rounded weights do.
#[test]
fn no_false_alarm_in_f16_where_weights_cost_little() {
    none_of(Kind::F16, [38, 194, 199]);
}

#[test]
fn no_false_alarm_in_int8() {
    none_in(Kind::Int8);
}

//! Figures in the text format of Prometheus, for its textfile collector.

use std::sync::atomic::AtomicU64;

use onr_runtime::parity::OutputParity;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::outcome::{Counts, ParityDone, Run};

/// A directory on a backend.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRun {
    dir: String,
    backend: String,
    precision: String,
    /// `from-checkpoint`, `golden` or `same-file`.
    against: &'static str,
}

/// An output of one.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutput {
    #[prometheus(flatten)]
    run: OfRun,
    graph: String,
    output: String,
}

/// Checks by what came of them.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

type Value = Gauge<f64, AtomicU64>;
type Figure<L> = (&'static str, &'static str, fn(&L) -> Option<f64>);

/// Name, help and value of what an output has.
const OUTPUTS: [Figure<OutputParity>; 6] = [
    ("max_abs", "Largest absolute difference", |o| Some(o.max_abs)),
    ("rms_error", "Root mean square of the differences", |o| Some(o.rms_error)),
    ("rms", "Root mean square of the reference", |o| Some(o.rms_reference)),
    ("min_cosine", "Smallest cosine of a request", |o| Some(o.min_cosine)),
    ("sqnr_decibels", "Power of the reference over that of the differences", |o| o.sqnr_db),
    ("error_ratio", "rms error over that of rounded weights alone", |o| o.error_ratio),
];

/// The same of a run.
const RUNS: [Figure<Run>; 9] = [
    ("passed", "1 where all checks hold", |r| Some(f64::from(u8::from(r.report.passed())))),
    ("requests", "Requests that were compared", |r| Some(r.report.requests as f64)),
    ("overlap_mean", "Tie-aware overlap of the first candidates", |r| {
        Some(r.report.order.as_ref()?.mean_overlap)
    }),
    ("overlap_min", "Smallest overlap of a request", |r| {
        Some(r.report.order.as_ref()?.min_overlap)
    }),
    ("kendall", "Kendall's tau over all candidates", |r| r.report.order.as_ref()?.kendall),
    ("ndcg_shift", "1 - NDCG of the candidate's order in the reference's eyes", |r| {
        Some(r.report.order.as_ref()?.ndcg_shift)
    }),
    ("dc_reference_nats", "Distribution consistency of the reference", |r| {
        Some(r.report.consistency.as_ref()?.reference)
    }),
    ("dc_nats", "Distribution consistency of the candidate", |r| {
        Some(r.report.consistency.as_ref()?.candidate)
    }),
    ("seconds", "Time inside the two backends", |r| {
        Some(r.report.reference_seconds + r.report.candidate_seconds)
    }),
];

pub(super) fn text(done: &ParityDone) -> anyhow::Result<String> {
    let mut registry = Registry::with_prefix("onr_parity");
    let checks = Family::<OfStatus, Gauge>::default();
    let Counts { passed, failed, excused, skipped } = done.counts();
    for (status, count) in
        [("passed", passed), ("failed", failed), ("excused", excused), ("skipped", skipped)]
    {
        checks.get_or_create(&OfStatus { status }).set(count as i64);
    }
    registry.register("checks", "Checks by what came of them", checks);
    for (name, help, value) in RUNS {
        let family = Family::<OfRun, Value>::default();
        for run in &done.runs {
            set(&family, &OfRun::of(run), value(run));
        }
        registry.register(name, help, family);
    }
    for (name, help, value) in OUTPUTS {
        let family = Family::<OfOutput, Value>::default();
        for run in &done.runs {
            for output in &run.report.outputs {
                let labels = OfOutput {
                    run: OfRun::of(run),
                    graph: output.graph.clone(),
                    output: output.output.clone(),
                };
                set(&family, &labels, value(output));
            }
        }
        registry.register(format!("output_{name}"), help, family);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(sorted(&text))
}

/// Samples of each metric in the order of their labels: the library's is that of a hash map.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for samples in lines.chunk_by_mut(|a, b| a.starts_with('#') == b.starts_with('#')) {
        if !samples[0].starts_with('#') {
            samples.sort_unstable();
        }
    }
    lines.join("\n") + "\n"
}

fn set<L: Clone + std::hash::Hash + Eq>(family: &Family<L, Value>, labels: &L, value: Option<f64>) {
    if let Some(value) = value {
        family.get_or_create(labels).set(value);
    }
}

impl OfRun {
    fn of(run: &Run) -> Self {
        Self {
            dir: run.dir.display().to_string(),
            backend: run.report.backend.clone(),
            precision: run.report.precision.clone(),
            against: run.report.strength.name(),
        }
    }
}

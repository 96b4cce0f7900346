//! What came out.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{series::Series, tally::Tally};

/// The outcome of a load. Calls of the warm-up are in no figure but `warm_up`; their failures count as all others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Calls that were answered.
    pub requests: u64,
    /// Rows in them, as the calls said.
    pub rows: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were due and never made, because all places were taken until the end: the rate was too high.
    pub unsent: u64,
    /// Calls that were made before measuring began.
    pub warm_up: u64,
    /// From the end of the warm-up to the end of the last call, at least the length that was asked for.
    pub elapsed_seconds: f64,
    /// Answers a second.
    pub requests_per_second: f64,
    /// Rows a second.
    pub rows_per_second: f64,
    /// Of calls that were answered.
    pub latency: Latency,
    /// Failures by kind, the most frequent first.
    pub failures: Vec<FailureKind>,
    /// The same by the second in which calls ended; the last one may have been cut short.
    pub seconds: Vec<Second>,
    /// Did somebody stop it?
    pub stopped: bool,
}

/// Latencies in milliseconds, to three digits. In an open loop they begin when calls were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Their mean.
    pub mean_ms: f64,
    /// Half of them are no longer than this.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 95 of a hundred.
    pub p95_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// 999 of a thousand.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureKind {
    /// `timeout`, `refused`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// What the first one said.
    pub first: String,
}

/// One second of a load. Latencies are 0 where nothing was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Second {
    /// Which one: 0 is the first after the warm-up.
    pub second: u64,
    /// Answers.
    pub requests: u64,
    /// Failures.
    pub failed: u64,
    /// 99 of a hundred answers took no longer, milliseconds.
    pub p99_ms: f64,
    /// The slowest answer, milliseconds.
    pub max_ms: f64,
}

pub(crate) fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |share| milliseconds(histogram.value_at_quantile(share));
        Self {
            mean_ms: histogram.mean() / 1e6,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(histogram.max()),
        }
    }
}

impl Measured {
    pub(crate) fn of(tally: Tally, series: Series, elapsed: Duration, stopped: bool) -> Self {
        let seconds = elapsed.as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let kinds = tally.failed.into_iter();
        let mut failures: Vec<_> = kinds
            .map(|(kind, failed)| FailureKind { kind, count: failed.count, first: failed.words })
            .collect();
        failures.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        Self {
            requests: tally.requests,
            rows: tally.rows,
            failed: failures.iter().map(|kind| kind.count).sum(),
            unsent: tally.unsent,
            warm_up: tally.warm_up,
            elapsed_seconds: seconds,
            requests_per_second: rate(tally.requests),
            rows_per_second: rate(tally.rows),
            latency: Latency::of(&tally.latency),
            failures,
            seconds: series.finish(elapsed),
            stopped,
        }
    }
}

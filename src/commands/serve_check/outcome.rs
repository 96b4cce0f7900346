//! What `onr serve-check` says.

use std::path::PathBuf;

use onr_kvstore::Statistics;
use onr_requests::{LogReport, Request};
use onr_runtime::parity::Tolerance;
use serde::Serialize;

use super::ways::WayFigures;
use crate::{
    commands::requests::noticed,
    exit::Exit,
    show::{Detail, Report, Table, bytes, figure},
};

/// Failures that are told one by one.
const TOLD: usize = 8;

/// A log replayed through a store.
#[derive(Serialize)]
pub(crate) struct ServeChecked {
    pub(super) dir: PathBuf,
    pub(super) backend: String,
    pub(super) device: String,
    pub(super) log: LogReport,
    pub(super) requests: u64,
    pub(super) ways: Vec<WayFigures>,
    /// Operations of products that were run for the answers, those from scratch for comparison not included.
    pub(super) flops: u64,
    /// Operations of the same answers without a store.
    pub(super) flops_from_scratch: u64,
    /// `1 - flops / flops_from_scratch`
    pub(super) saved_share: f64,
    pub(super) store_bound_bytes: u64,
    pub(super) store: Statistics,
    pub(super) verified: Verified,
}

/// Answers that were compared with what is computed from nothing.
#[derive(Serialize)]
pub(crate) struct Verified {
    pub(super) answers: u64,
    /// In units of an output's rms.
    largest_difference: f64,
    allowed: f64,
    /// Outputs that are further away, or not finite.
    failed: u64,
    /// The first of them, in words.
    failures: Vec<String>,
}

impl Verified {
    /// None yet.
    pub(super) const fn of(tolerance: Tolerance) -> Self {
        let allowed = tolerance.most_apart();
        Self { answers: 0, largest_difference: 0.0, allowed, failed: 0, failures: Vec::new() }
    }

    /// One output of an answer, and how far it is from the other.
    pub(super) fn add(&mut self, request: &Request, output: &str, apart: Option<f64>) {
        let what = match apart {
            Some(apart) => {
                self.largest_difference = self.largest_difference.max(apart);
                if apart <= self.allowed {
                    return;
                }
                format!("is {} of its rms away", figure(apart))
            }
            None => "is not finite, or has another shape".to_owned(),
        };
        self.failed += 1;
        if self.failures.len() < TOLD {
            let (user, time) = (&request.user, request.request_time);
            self.failures.push(format!("user {user} at {time}: `{output}` {what}"));
        }
    }
}

impl ServeChecked {
    fn table(&self) -> String {
        let head = ["", "requests", "share", "p50", "p95", "p99", "max", "GFLOP each"];
        let mut table = Table::new(&head);
        for way in &self.ways {
            let share = 100.0 * way.requests as f64 / self.requests.max(1) as f64;
            let latency = &way.latency;
            let ms = [latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms];
            let flops = way.flops_each.map(|n| format!("{:.3}", n as f64 / 1e9));
            let counts = [way.way.to_owned(), way.requests.to_string(), format!("{share:.1} %")];
            let times = ms.map(|ms| format!("{ms:.2} ms"));
            table.row(counts.into_iter().chain(times).chain(flops));
        }
        table.text()
    }

    fn stored(&self) -> String {
        let s = &self.store;
        format!(
            "store: {} of {} at most, {} entries, {} evicted, {} too large\n\
             look-ups: {} exact, {} of a prefix, {} of a changed history, {} of an absent user",
            bytes(s.peak_bytes),
            bytes(self.store_bound_bytes),
            s.entries,
            s.evicted,
            s.rejected,
            s.exact,
            s.prefix,
            s.changed,
            s.absent
        )
    }
}

impl Report for ServeChecked {
    fn human(&self, _: Detail) -> String {
        let verified = &self.verified;
        let failures = verified.failures.iter().map(|line| format!("\n  {line}"));
        format!(
            "{} on {} ({}): {} requests of {} users, in the order of time\n{}\n{}\n\
             products: {:.3} TFLOP, from scratch {:.3}: {:.1} % saved\n\
             verified: {} answers, largest difference {} of an output's rms, {} allowed: {}{}",
            self.dir.display(),
            self.backend,
            self.device,
            self.requests,
            self.log.users,
            self.table(),
            self.stored(),
            self.flops as f64 / 1e12,
            self.flops_from_scratch as f64 / 1e12,
            100.0 * self.saved_share,
            verified.answers,
            figure(verified.largest_difference),
            figure(verified.allowed),
            if verified.failed == 0 { "pass" } else { "FAIL" },
            failures.collect::<String>()
        )
    }

    fn warnings(&self) -> Vec<String> {
        noticed(&self.log)
    }

    fn exit(&self) -> Exit {
        if self.verified.failed == 0 { Exit::Fine } else { Exit::Tolerance }
    }
}

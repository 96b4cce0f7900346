//! What `onr bench` says.

use onr_load::{Measured, Second};
use serde::Serialize;

use super::statistics::ModelShare;
use crate::{
    args::{BenchArgs, SpacingArg},
    exit::Exit,
    settings::Requests,
    show::{Detail, Report, Table, figure},
};

/// A deployed model under load.
#[derive(Serialize)]
pub(crate) struct BenchDone {
    model: String,
    server: String,
    load: String,
    seconds: f64,
    warmup_seconds: f64,
    requests_from: String,
    /// One for each size of a request.
    pub(super) batches: Vec<Batched>,
    #[serde(skip)]
    noticed: Vec<String>,
}

/// One run with requests of one size.
#[derive(Serialize)]
pub(super) struct Batched {
    /// Rows of a request.
    pub(super) batch: usize,
    /// Different requests, sent in turn.
    pub(super) inputs: usize,
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// Of answers that were not the first one's bytes, in units of the output's rms.
    pub(super) largest_difference: f64,
    /// Ids that were others than in the first answer.
    pub(super) moved_ids: u64,
    /// None if the server gave no statistics.
    pub(super) server: Option<Vec<ModelShare>>,
}

impl BenchDone {
    pub(super) fn new(
        args: &BenchArgs,
        model: String,
        server: String,
        requests: &Requests,
    ) -> Self {
        let load = match (args.rate, args.spacing) {
            (None, _) => format!("{} clients, each as fast as it is answered", args.clients),
            (Some(rate), SpacingArg::Even) => format!("{rate} requests a second, evenly spaced"),
            (Some(rate), SpacingArg::Poisson) => {
                format!("{rate} requests a second, spaced as by independent users")
            }
        };
        Self {
            model,
            server,
            load,
            seconds: args.seconds.as_secs_f64(),
            warmup_seconds: args.warmup.as_secs_f64(),
            requests_from: requests.from.clone(),
            batches: Vec::new(),
            noticed: requests.warnings.clone(),
        }
    }

    fn failed(&self) -> u64 {
        self.batches.iter().map(|batched| batched.measured.failed).sum()
    }
}

impl Report for BenchDone {
    fn human(&self, detail: Detail) -> String {
        let mut lines = vec![
            format!("{} on {}", self.model, self.server),
            format!(
                "load       {}, {} s after {} s of warm-up",
                self.load, self.seconds, self.warmup_seconds
            ),
            format!("requests   {}", self.requests_from),
            "latency    of a client: copies over the network are included".to_owned(),
            self.table(),
            self.server_table(),
        ];
        lines.extend(self.batches.iter().map(Batched::answers));
        lines.extend(self.batches.iter().filter_map(Batched::pace));
        lines.extend(self.batches.iter().flat_map(Batched::failures));
        if detail == Detail::All {
            lines.extend(self.batches.iter().map(|batched| seconds(&batched.measured.seconds)));
        }
        lines.retain(|line| !line.is_empty());
        lines.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.noticed.clone();
        for Batched { batch, measured, server, .. } in &self.batches {
            if measured.unsent > 0 {
                let unsent = measured.unsent;
                warnings.push(format!("batch {batch}: {unsent} requests were due and never sent: the rate is too high for this server or this client"));
            }
            if measured.requests + measured.failed == 0 {
                warnings.push(format!("batch {batch}: nothing was answered"));
            }
            if server.is_none() {
                warnings.push(format!("batch {batch}: the server gave no statistics"));
            }
        }
        warnings
    }

    fn exit(&self) -> Exit {
        if self.failed() > 0 {
            Exit::Wrong
        } else if self.batches.iter().any(|batched| batched.measured.stopped) {
            Exit::Interrupted
        } else {
            Exit::Fine
        }
    }
}

impl BenchDone {
    fn table(&self) -> String {
        let mut table = Table::new(&[
            "batch",
            "requests",
            "failed",
            "requests/s",
            "rows/s",
            "mean ms",
            "p50",
            "p90",
            "p95",
            "p99",
            "p99.9",
            "max",
        ]);
        for Batched { batch, measured: m, .. } in &self.batches {
            let l = &m.latency;
            let counts = [batch.to_string(), m.requests.to_string(), m.failed.to_string()];
            let rates = [m.requests_per_second, m.rows_per_second].map(|x| format!("{x:.1}"));
            let times = [l.mean_ms, l.p50_ms, l.p90_ms, l.p95_ms, l.p99_ms, l.p999_ms, l.max_ms];
            table.row(counts.into_iter().chain(rates).chain(times.map(ms)));
        }
        table.text()
    }

    fn server_table(&self) -> String {
        if self.batches.iter().all(|batched| batched.server.is_none()) {
            return String::new();
        }
        let mut table = Table::new(&[
            "batch",
            "model",
            "requests",
            "rows/execution",
            "mean ms",
            "queue",
            "input",
            "compute",
            "output",
        ]);
        for batched in &self.batches {
            for share in batched.server.iter().flatten() {
                let counts = [
                    batched.batch.to_string(),
                    share.model.clone(),
                    share.requests.to_string(),
                    format!("{:.2}", share.rows_per_execution),
                ];
                let times = [
                    share.request_ms,
                    share.queue_ms,
                    share.input_ms,
                    share.infer_ms,
                    share.output_ms,
                ];
                table.row(counts.into_iter().chain(times.map(ms)));
            }
        }
        format!(
            "by the server's own count, warm-up included, means of a request:\n{}",
            table.text()
        )
    }
}

impl Batched {
    fn answers(&self) -> String {
        let difference = match self.largest_difference {
            0.0 => "to the bit".to_owned(),
            x => format!("within {} of their rms", figure(x)),
        };
        let moved = match self.moved_ids {
            0 => String::new(),
            n => format!(", {n} ids of nearly tied items were others"),
        };
        let (batch, inputs) = (self.batch, self.inputs);
        let which = if self.measured.failed == 0 { "all" } else { "those that were compared" };
        format!(
            "answers    batch {batch}: {inputs} different requests; {which} as the first ones {difference}{moved}"
        )
    }

    /// The best and the worst whole second.
    fn pace(&self) -> Option<String> {
        let whole = self.measured.elapsed_seconds as usize;
        let seconds = &self.measured.seconds[..whole.min(self.measured.seconds.len())];
        let counts = || seconds.iter().map(|second| second.requests);
        let slowest = seconds.iter().map(|second| second.p99_ms).fold(0.0, f64::max);
        Some(format!(
            "by second  batch {}: {} to {} requests, p99 at most {} ms",
            self.batch,
            counts().min()?,
            counts().max()?,
            ms(slowest)
        ))
    }

    fn failures(&self) -> Vec<String> {
        let all = &self.measured;
        let line = |kind: &onr_load::FailureKind| {
            format!(
                "failed     batch {}: {} x {}: {}",
                self.batch, kind.count, kind.kind, kind.first
            )
        };
        all.failures.iter().map(line).collect()
    }
}

fn seconds(seconds: &[Second]) -> String {
    let mut table = Table::new(&["second", "requests", "failed", "p99 ms", "max ms"]);
    for s in seconds {
        let counts = [s.second, s.requests, s.failed].map(|n| n.to_string());
        table.row(counts.into_iter().chain([s.p99_ms, s.max_ms].map(ms)));
    }
    table.text()
}

/// Three digits, at least one after the point.
fn ms(x: f64) -> String {
    match x {
        x if x >= 100.0 => format!("{x:.1}"),
        x if x >= 10.0 => format!("{x:.2}"),
        x => format!("{x:.3}"),
    }
}

//! What the server itself counted.

use onr_kserve::{Client, ModelConfig, Spent};
use serde::Serialize;

/// Counts of a model and, for an ensemble, of those it is made of.
pub(super) struct Server(Vec<Counts>);

#[derive(Clone, Default)]
struct Counts {
    model: String,
    rows: u64,
    executions: u64,
    success: Spent,
    fail: Spent,
    queue: Spent,
    input: Spent,
    infer: Spent,
    output: Spent,
}

/// What one model did during a run, as its server counted it; times are means of a request, in milliseconds.
#[derive(Serialize)]
pub(super) struct ModelShare {
    pub(super) model: String,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) executions: u64,
    /// Rows in an execution.
    pub(super) rows_per_execution: f64,
    pub(super) request_ms: f64,
    pub(super) queue_ms: f64,
    pub(super) input_ms: f64,
    pub(super) infer_ms: f64,
    pub(super) output_ms: f64,
}

impl Server {
    /// What it says now; `None` if it doesn't say.
    pub(super) fn read(client: &Client, config: &ModelConfig) -> Option<Self> {
        let mut models = vec![config.name.as_str()];
        models.extend(config.steps.iter().map(|step| step.model.as_str()));
        models.dedup();
        models.iter().map(|model| Counts::read(client, model)).collect::<Option<_>>().map(Self)
    }

    /// What was done since then.
    pub(super) fn since(&self, before: &Self) -> Vec<ModelShare> {
        self.0.iter().zip(&before.0).map(|(after, before)| after.since(before)).collect()
    }
}

impl Counts {
    fn read(client: &Client, model: &str) -> Option<Self> {
        let mut all = Self { model: model.to_owned(), ..Self::default() };
        for version in client.statistics(Some(model), None).ok()? {
            all.rows += version.inference_count;
            all.executions += version.execution_count;
            for (sum, one) in [
                (&mut all.success, version.success),
                (&mut all.fail, version.fail),
                (&mut all.queue, version.queue),
                (&mut all.input, version.compute_input),
                (&mut all.infer, version.compute_infer),
                (&mut all.output, version.compute_output),
            ] {
                sum.count += one.count;
                sum.ns += one.ns;
            }
        }
        Some(all)
    }

    fn since(&self, before: &Self) -> ModelShare {
        // A server that began anew counts from 0.
        let less = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        let mean = |now: Spent, then: Spent| {
            let count = less(now.count, then.count).max(1);
            less(now.ns, then.ns) as f64 / count as f64 / 1e6
        };
        let executions = less(self.executions, before.executions);
        ModelShare {
            model: self.model.clone(),
            requests: less(self.success.count, before.success.count),
            failed: less(self.fail.count, before.fail.count),
            executions,
            rows_per_execution: less(self.rows, before.rows) as f64 / executions.max(1) as f64,
            request_ms: mean(self.success, before.success),
            queue_ms: mean(self.queue, before.queue),
            input_ms: mean(self.input, before.input),
            infer_ms: mean(self.infer, before.infer),
            output_ms: mean(self.output, before.output),
        }
    }
}

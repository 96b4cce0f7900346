//! From measurements to a report: every output judged, the order, the consistency.

use onr_requests::Request;

use super::{
    batch::Batch,
    check::Check,
    compare::{Difference, Differences},
    job::Measured,
    order::{Ranked, kendall, ndcg, top_k_overlap},
    report::{Consistency, OrderParity, OutputParity, ParityReport, RankedRequest, WorstRequest},
    tolerance::{Limit, MIN_OVERLAP, OVERLAP_K, Tolerance},
};
use crate::tensor::{Feeds, HostTensor};

/// Fills in outputs, order, consistency and failures.
pub(super) fn verdict(measured: &Measured, tolerance: Tolerance, report: &mut ParityReport) {
    judge_all(measured, tolerance, report);
    let tie = match tolerance {
        Tolerance::Elements { times_rms } | Tolerance::Pooled { times_rms } => {
            times_rms * scale_of_scores(&measured.candidate)
        }
        // What rounding the weights alone may swap is no fault of the candidate.
        Tolerance::WeightsOnly { tie, .. } => {
            let rounded = weights_only(&measured.rounded, "rank", "scores");
            tie * rounded.map_or(0.0, Difference::rms_error)
        }
    };
    verdict_on_order(measured, tie, report);
}

impl Measured {
    /// Has an output more error than the weights account for?
    pub(super) fn exceeds(&self, tolerance: Tolerance) -> bool {
        let wrong = |(graph, output, difference): (&str, &str, &Difference)| {
            tolerance.judge(difference, weights_only(&self.rounded, graph, output)).is_some()
        };
        self.candidate.iter().any(wrong)
    }

    /// Takes `half`, what the same arithmetic costs elsewhere, for the costs of the outputs where it is more. Up to twice
    /// what the weights allow: beyond that, something is wrong there too.
    pub(super) fn allow(&mut self, half: &Differences, tolerance: Tolerance) {
        for (graph, output, cost) in half.iter() {
            let base = self.rounded.get(graph, output);
            let most = 2.0 * tolerance.limit(cost, base).value();
            let less = base.map_or(0.0, Difference::rms_error);
            if (less..=most).contains(&cost.rms_error()) {
                *self.rounded.entry(graph, output) = cost.clone();
            }
        }
    }
}

/// Judges every output.
pub(super) fn judge_all(measured: &Measured, tolerance: Tolerance, report: &mut ParityReport) {
    for (graph, output, difference) in measured.candidate.iter() {
        let base = weights_only(&measured.rounded, graph, output);
        let limit = tolerance.limit(difference, base);
        report.outputs.push(describe((graph, output), difference, base, limit));
        let name = format!("{graph}.{output}");
        report.checks.push(match tolerance.judge(difference, base) {
            None if difference.count == 0 => Check::skipped(name, "no request has any of it"),
            wrong => Check::of(name, wrong),
        });
    }
    report.checks.extend(measured.failures.iter().cloned());
}

/// Adds order and consistency. Scores closer than `tie` may swap.
pub(super) fn verdict_on_order(measured: &Measured, tie: f64, report: &mut ParityReport) {
    report.order = order(&measured.ranked, tie);
    if let Some(order) = &report.order {
        let wrong = (order.mean_overlap < MIN_OVERLAP).then(|| {
            format!("top-{} overlap {:.4} is below {MIN_OVERLAP}", order.k, order.mean_overlap)
        });
        report.checks.push(Check::of("order", wrong));
    }
    report.consistency = consistency(&measured.ranked);
}

/// The candidates of each request of a batch with the last task's scores and logits.
pub(super) fn ranked_rows(batch: &Batch, outputs: &Feeds, tasks: usize) -> Vec<Ranked> {
    let column = |name: &str| outputs.get(name).and_then(HostTensor::to_f32).unwrap_or_default();
    let (scores, logits) = (column("scores"), column("generator_logits"));
    let width = outputs.get("scores").map_or(0, |t| t.shape()[1] * tasks);
    let rows = batch.candidates.iter().enumerate();
    rows.map(|(b, ids)| {
        let row = b * width..b * width + ids.len() * tasks;
        Ranked::last_task(ids, &scores[row.clone()], &logits[row], tasks)
    })
    .collect()
}

fn scale_of_scores(candidate: &Differences) -> f64 {
    candidate.get("rank", "scores").map_or(0.0, Difference::rms_want)
}

/// The same output with rounded weights. `append` writes what `encode` would, the fused graph is
/// judged on what it retrieved, and retrieval by its logits.
fn weights_only<'a>(rounded: &'a Differences, graph: &str, output: &str) -> Option<&'a Difference> {
    let graph = match graph {
        "append" => "encode",
        "split" => "oneranker",
        same => same,
    };
    let output = if output == super::RETRIEVED { "generator_logits" } else { output };
    rounded.get(graph, output)
}

fn describe(
    (graph, output): (&str, &str),
    difference: &Difference,
    base: Option<&Difference>,
    limit: Limit,
) -> OutputParity {
    let ratio = |base: &Difference| difference.rms_error() / base.rms_error();
    OutputParity {
        graph: graph.to_owned(),
        output: output.to_owned(),
        max_abs: difference.max_abs,
        max_rel: difference.max_rel,
        min_cosine: 1.0 - difference.max_turn,
        rms_error: difference.rms_error(),
        rms_reference: difference.rms_want(),
        error_ratio: base.map(ratio).filter(|r| r.is_finite()),
        max_ulp: difference.max_ulp,
        sqnr_db: difference.sqnr_db(),
        limit,
        worst_request: difference.worst_request,
    }
}

fn order(ranked: &[(Ranked, Ranked)], tie: f64) -> Option<OrderParity> {
    let overlaps: Vec<f64> =
        ranked.iter().filter_map(|(want, got)| top_k_overlap(want, got, OVERLAP_K, tie)).collect();
    let least = overlaps.iter().copied().reduce(f64::min)?;
    let each = |f: &dyn Fn(&Ranked, &Ranked) -> Option<f64>| -> Option<f64> {
        let values: Vec<f64> = ranked.iter().filter_map(|(want, got)| f(want, got)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Some(OrderParity {
        k: OVERLAP_K,
        tie,
        requests: overlaps.len(),
        mean_overlap: overlaps.iter().sum::<f64>() / overlaps.len() as f64,
        min_overlap: least,
        kendall: each(&|want, got| kendall(&want.scores, &got.scores, tie)),
        ndcg_shift: each(&|want, got| ndcg(want, got, OVERLAP_K)).map_or(0.0, |x| 1.0 - x),
    })
}

/// Adds what is known of single requests.
pub(super) fn by_request(measured: Measured, requests: &[Request], report: &mut ParityReport) {
    report.worst = worst(&measured, requests, report);
    let ranked = measured.ranked.into_iter().enumerate();
    report.requests_ranked = ranked
        .map(|(at, (want, got))| {
            let request = requests.get(at).cloned().unwrap_or_default();
            RankedRequest { request, want, got }
        })
        .collect();
}

/// The request with the lowest overlap, among equals the one whose scores are furthest off.
fn worst(measured: &Measured, requests: &[Request], report: &ParityReport) -> Option<WorstRequest> {
    let order = report.order.as_ref()?;
    let figures = measured.ranked.iter().enumerate().filter_map(|(index, (want, got))| {
        let overlap = top_k_overlap(want, got, order.k, order.tie)?;
        let errors = want.scores.iter().zip(&got.scores).map(|(w, g)| (w - g).powi(2));
        let rms = (errors.sum::<f64>() / want.scores.len().max(1) as f64).sqrt();
        Some((index, overlap, rms))
    });
    let least = figures.min_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
    let (index, overlap, score_error) = least?;
    let request = requests.get(index)?.clone();
    Some(WorstRequest { index, overlap, score_error, request })
}

fn consistency(ranked: &[(Ranked, Ranked)]) -> Option<Consistency> {
    let pairs: Vec<(f64, f64)> = ranked
        .iter()
        .filter_map(|(w, g)| w.distribution_consistency().zip(g.distribution_consistency()))
        .collect();
    let mean = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / pairs.len() as f64;
    (!pairs.is_empty()).then(|| Consistency {
        reference: mean(|p| p.0),
        candidate: mean(|p| p.1),
        max_shift: pairs.iter().map(|p| (p.0 - p.1).abs()).fold(0.0, f64::max),
    })
}

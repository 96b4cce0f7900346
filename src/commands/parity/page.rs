//! The outcome as a page for people.

use onr_report::{
    Consistency, MissingBackend, OrderFigures, Outcome, OutputFigures, OutputLimit, ParityCheck,
    ParityPage, ParityRun, RequestRow, Requests, Scores, WorstRequest,
};
use onr_runtime::parity::{
    Check, Limit, OutputParity, ParityReport, RankedRequest, RequestAccuracy, Status,
};

use super::outcome::{ParityDone, Run};

/// Rows of the table of the worst requests.
const WORST: usize = 10;

/// Items that are shown of the worst request.
const ITEMS: usize = 10;

pub(super) fn text(done: &ParityDone) -> String {
    let missing = done.skipped.iter().map(|skipped| MissingBackend {
        backend: skipped.backend.clone(),
        reason: skipped.what.clone(),
        hint: skipped.hint.clone(),
        required: skipped.required,
    });
    ParityPage {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runs: done.runs.iter().map(run).collect(),
        missing: missing.collect(),
        warnings: done.warnings.clone(),
    }
    .html()
}

fn run(Run { dir, report }: &Run) -> ParityRun {
    ParityRun {
        directory: dir.display().to_string(),
        backend: report.backend.clone(),
        candidate: report.candidate.clone(),
        device: report.device.clone(),
        precision: report.precision.clone(),
        against: report.strength.name().to_owned(),
        reference: report.reference.clone(),
        requests_from: report.requests_from.clone(),
        requests: report.requests as u64,
        reference_seconds: Some(report.reference_seconds).filter(|s| *s > 0.0),
        candidate_seconds: Some(report.candidate_seconds).filter(|s| *s > 0.0),
        order: report.order.as_ref().map(|order| OrderFigures {
            k: order.k as u64,
            tie: order.tie,
            requests: order.requests as u64,
            overlap: order.mean_overlap,
            overlap_least: order.min_overlap,
            kendall: order.kendall,
            ndcg_shift: Some(order.ndcg_shift),
        }),
        consistency: report.consistency.as_ref().map(|dc| Consistency {
            reference: dc.reference,
            candidate: dc.candidate,
            shift: dc.max_shift,
        }),
        outputs: report.outputs.iter().map(output).collect(),
        checks: report.checks.iter().map(check).collect(),
        scores: scores(&report.requests_ranked),
        by_request: by_request(report),
        worst: worst(report),
    }
}

fn output(output: &OutputParity) -> OutputFigures {
    OutputFigures {
        graph: output.graph.clone(),
        output: output.output.clone(),
        max_abs: output.max_abs,
        max_rel: output.max_rel,
        rms_error: output.rms_error,
        rms_reference: output.rms_reference,
        min_cosine: Some(output.min_cosine),
        sqnr_db: output.sqnr_db,
        error_ratio: output.error_ratio,
        max_ulp: output.max_ulp,
        limit: Some(match output.limit {
            Limit::Largest(value) => OutputLimit::Largest(value),
            Limit::Rms(value) => OutputLimit::Rms(value),
        }),
        worst_request: Some(output.worst_request as u64),
    }
}

fn check(check: &Check) -> ParityCheck {
    let outcome = match check.status.clone() {
        Status::Passed => Outcome::Passed,
        Status::Failed { why } => Outcome::Failed { why },
        Status::Excused { why, reason } => Outcome::Excused { why, reason },
        Status::Skipped { why } => Outcome::Skipped { why },
    };
    ParityCheck { name: check.name.clone(), outcome }
}

fn scores(ranked: &[RankedRequest]) -> Option<Scores> {
    let pairs: Vec<(f64, f64)> = ranked
        .iter()
        .flat_map(|r| r.want.scores.iter().copied().zip(r.got.scores.iter().copied()))
        .collect();
    (!pairs.is_empty()).then(|| Scores::of(&pairs))
}

fn by_request(report: &ParityReport) -> Requests {
    let Some(order) = &report.order else { return Requests::default() };
    // Where nobody has kept what was asked, nothing can be said by length of history.
    let known = report.requests_ranked.iter().filter(|r| r.request != Default::default());
    let rows: Vec<RequestRow> = known
        .filter_map(|RankedRequest { request, want, got }| {
            // Ties are judged in units of the scores there, in those of their deviation here.
            let found = RequestAccuracy::within(want, got, order.k, order.tie)?;
            Some(RequestRow {
                user: request.user.clone(),
                history: request.items.len() as u64,
                candidates: want.ids.len() as u64,
                overlap: found.overlap,
                overlap_exact: found.overlap_exact,
                kendall: found.kendall,
            })
        })
        .collect();
    Requests::of(&rows, order.k as u64, WORST)
}

fn worst(report: &ParityReport) -> Option<WorstRequest> {
    let worst = report.worst.as_ref()?;
    let ranked = report.requests_ranked.get(worst.index)?;
    let first = |of: &onr_runtime::parity::Ranked| -> Vec<String> {
        of.final_order().into_iter().take(ITEMS).map(|at| of.ids[at].to_string()).collect()
    };
    let request = &worst.request;
    let last = request.items.iter().rev().take(ITEMS).rev();
    Some(WorstRequest {
        index: worst.index as u64,
        user: Some(request.user.clone()).filter(|user| !user.is_empty()),
        overlap: worst.overlap,
        score_error: worst.score_error,
        history: request.items.len() as u64,
        candidates: ranked.want.ids.len() as u64,
        items: last.map(ToString::to_string).collect(),
        first_reference: first(&ranked.want),
        first_candidate: first(&ranked.got),
    })
}

//! JUnit XML: a suite for each run, a case for each check.

use std::time::Duration;

use onr_runtime::parity::{Check, Status};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::outcome::{ParityDone, Run, SkippedBackend};

pub(super) fn text(done: &ParityDone) -> anyhow::Result<String> {
    let mut report = Report::new("onr parity");
    report.add_test_suites(done.runs.iter().map(suite));
    report.add_test_suites(done.skipped.iter().map(missing));
    Ok(report.to_string()?)
}

fn suite(run: &Run) -> TestSuite {
    let mut suite = TestSuite::new(run.name());
    let report = &run.report;
    let seconds = report.reference_seconds + report.candidate_seconds;
    suite.set_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    for (name, value) in [
        ("reference", &report.reference),
        ("candidate", &report.candidate),
        ("device", &report.device),
        ("requests", &report.requests_from),
    ] {
        suite.add_property((name, value.as_str()));
    }
    suite.add_test_cases(report.checks.iter().map(|check| case(run, check)));
    suite
}

fn case(run: &Run, check: &Check) -> TestCase {
    let status = match &check.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Failed { why } => failed(why),
        // The format has no word for it; a case that is skipped with a reason is shown and fails nothing.
        Status::Excused { why, reason } => skipped(&format!("excused ({reason}): {why}")),
        Status::Skipped { why } => skipped(why),
    };
    let mut case = TestCase::new(check.name.as_str(), status);
    case.set_classname(run.name());
    case
}

fn failed(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(why);
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

fn missing(backend: &SkippedBackend) -> TestSuite {
    let why = format!("{}; {}", backend.what, backend.hint);
    let status = if backend.required { failed(&why) } else { skipped(&why) };
    let mut case = TestCase::new("backend", status);
    case.set_classname(backend.backend.as_str());
    let mut suite = TestSuite::new(backend.backend.as_str());
    suite.add_test_case(case);
    suite
}

//! The page of comparisons: whole, escaped, failures first, the same each time, and sensible without sense.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod html;
#[path = "../examples/parity/made_up.rs"]
mod made_up;

use html::{check, nothing_from_outside};
use onr_report::{
    Consistency, Group, MissingBackend, OrderFigures, Outcome, OutputFigures, OutputLimit,
    ParityCheck, ParityPage, ParityRun, RequestRow, Requests, Scores, WorstRequest,
};

fn passed(name: &str) -> ParityCheck {
    ParityCheck { name: name.into(), outcome: Outcome::Passed }
}

fn failed(name: &str) -> ParityCheck {
    ParityCheck { name: name.into(), outcome: Outcome::Failed { why: "it is off".into() } }
}

fn output(graph: &str, output: &str) -> OutputFigures {
    OutputFigures {
        graph: graph.into(),
        output: output.into(),
        max_abs: 1e-5,
        rms_error: 1e-6,
        rms_reference: 1.0,
        limit: Some(OutputLimit::Largest(3e-5)),
        ..OutputFigures::default()
    }
}

fn page_of(run: ParityRun) -> ParityPage {
    ParityPage { runs: vec![run], ..ParityPage::default() }
}

/// Where a text comes first.
fn at(html: &str, words: &str) -> usize {
    html.find(words).unwrap_or_else(|| panic!("{words} is not there"))
}

#[test]
fn the_page_is_whole_and_needs_nothing() {
    let page = made_up::page(8);
    let html = page.html();
    check(&html);
    nothing_from_outside(&html);
    assert_eq!(html, made_up::page(8).html());
    let parts =
        ["id=\"runs\"", "id=\"missing\"", "id=\"run-1\"", "id=\"run-5\"", "id=\"glossary\""];
    assert!(parts.windows(2).all(|two| at(&html, two[0]) < at(&html, two[1])));
    for run in 1..=5 {
        assert_eq!(html.matches(&format!("href=\"#run-{run}\"")).count(), 1, "run {run}");
    }
    for words in ["✗ FAILS", "1 excused", "2 skipped", "onr 0.1.0", "cuda is not here."] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn many_runs_of_a_deep_model_stay_small() {
    let html = made_up::page(24).html();
    check(&html);
    assert!(html.len() < 1_200_000, "{}", html.len());
}

#[test]
fn failures_come_before_figures() {
    let run = ParityRun {
        outputs: vec![output("rank", "scores"), output("encode", "present.0.key")],
        checks: vec![passed("order"), failed("rank.scores")],
        ..ParityRun::default()
    };
    let html = page_of(run).html();
    check(&html);
    assert!(at(&html, "1 check failed") < at(&html, "Error by output"));
    assert!(html.contains("1 of 2 checks fails, in 1 of 1 run"));
    assert!(html.contains(">✗</text>"), "the drawing marks what failed");
    assert!(html.contains("Keys and values of layers"));
}

#[test]
fn a_long_list_is_folded_and_equal_reasons_share_a_line() {
    let mut checks: Vec<_> = (0..20).map(|n| failed(&format!("encode.present.{n}.key"))).collect();
    for name in ["relation.append", "relation.profile.new"] {
        let why = "the directory has no graph append".into();
        checks.push(ParityCheck { name: name.into(), outcome: Outcome::Skipped { why } });
    }
    let html = page_of(ParityRun { checks, ..ParityRun::default() }).html();
    check(&html);
    assert!(html.contains("<summary>12 more</summary>"));
    let skipped = html.split("2 checks skipped").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!(skipped.matches("<li>").count(), 1);
}

#[test]
fn relations_are_explained_and_unknown_ones_shown() {
    let checks = vec![passed("relation.padding"), failed("relation.of-tomorrow")];
    let html = page_of(ParityRun { checks, ..ParityRun::default() }).html();
    check(&html);
    assert!(html.contains("What stands in the slots behind a history does not matter."));
    assert!(html.contains("of-tomorrow"));
    assert!(!page_of(ParityRun::default()).html().contains("Relations"));
}

#[test]
fn what_is_not_here_is_told_and_may_fail() {
    let missing = |required| MissingBackend {
        backend: "cuda".into(),
        reason: "no library".into(),
        hint: "install it".into(),
        required,
    };
    let run = ParityRun { checks: vec![passed("order")], ..ParityRun::default() };
    let page = |required| ParityPage { missing: vec![missing(required)], ..page_of(run.clone()) };
    let (fine, fails) = (page(false).html(), page(true).html());
    check(&fine);
    check(&fails);
    assert!(fine.contains("Parity <b class=\"good\">holds") && fine.contains("install it"));
    assert!(fails.contains("Parity <b class=\"bad\">FAILS"));
    assert!(fails.contains("not here, and had to be"));
}

#[test]
fn an_empty_page_says_so() {
    let html = ParityPage::default().html();
    check(&html);
    assert!(html.contains("nothing compared") && html.contains("Nothing was run."));
    assert!(!html.contains("<svg") && !html.contains("id=\"missing\""));
    let run = ParityRun {
        scores: Some(Scores::of(&[])),
        by_request: Requests::of(&[], 10, 5),
        worst: Some(WorstRequest::default()),
        order: Some(OrderFigures::default()),
        consistency: Some(Consistency::default()),
        ..ParityRun::default()
    };
    let html = page_of(run).html();
    check(&html);
    assert!(html.contains("nothing checked") && !html.contains("<svg"));
}

#[test]
fn one_request_and_no_error_are_drawn() {
    let row = RequestRow { overlap: 1.0, kendall: 1.0, ..RequestRow::default() };
    let same = OutputFigures { max_abs: 0.0, rms_error: 0.0, ..output("rank", "scores") };
    let run = ParityRun {
        requests: 1,
        outputs: vec![same, OutputFigures { rms_reference: 0.0, ..output("rank", "empty") }],
        scores: Some(Scores::of(&[(0.5, 0.5)])),
        by_request: Requests::of(&[row], 10, 0),
        checks: vec![passed("rank.scores")],
        ..ParityRun::default()
    };
    let html = page_of(run).html();
    check(&html);
    assert!(html.contains("The only check holds."));
    assert!(html.contains("1 output without an error that is a number"));
    assert_eq!(html.matches("<svg").count(), 5);
}

const BAD: [f64; 6] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE];

fn degenerate(bad: f64) -> ParityRun {
    let limits = [None, Some(OutputLimit::Largest(bad)), Some(OutputLimit::Rms(bad))];
    let outputs = limits.into_iter().enumerate().map(|(at, limit)| OutputFigures {
        graph: "encode".into(),
        output: format!("present.{at}.key"),
        max_abs: bad,
        max_rel: bad,
        rms_error: bad,
        rms_reference: if at == 0 { bad } else { 1.0 },
        min_cosine: Some(bad),
        sqnr_db: Some(bad),
        max_ulp: Some(u64::MAX),
        error_ratio: Some(bad),
        limit,
        worst_request: Some(u64::MAX),
    });
    let row = RequestRow { overlap: bad, kendall: bad, ..RequestRow::default() };
    let group = Group { overlap: bad, interval: Some([bad, 1.0]), ..Group::default() };
    ParityRun {
        requests: u64::MAX,
        reference_seconds: Some(bad),
        candidate_seconds: Some(bad),
        order: Some(OrderFigures {
            k: u64::MAX,
            tie: bad,
            requests: u64::MAX,
            overlap: bad,
            overlap_least: bad,
            kendall: Some(bad),
            ndcg_shift: Some(bad),
        }),
        consistency: Some(Consistency { reference: bad, candidate: bad, shift: bad }),
        outputs: outputs.collect(),
        checks: vec![failed("encode.present.0.key")],
        scores: Some(Scores::of(&[(bad, bad), (1.0, 1.0)])),
        by_request: Requests {
            histogram: vec![u64::MAX],
            not_finite: u64::MAX,
            by_history: vec![group],
            worst: vec![row],
        },
        worst: Some(WorstRequest {
            index: u64::MAX,
            overlap: bad,
            score_error: bad,
            history: u64::MAX,
            items: vec![String::new()],
            ..WorstRequest::default()
        }),
        ..ParityRun::default()
    }
}

#[test]
fn numbers_that_are_none_are_dashes() {
    for bad in BAD {
        check(&page_of(degenerate(bad)).html());
    }
}

#[test]
fn names_cannot_break_the_page() {
    let evil = "</td><script>alert('x')</script>&\"\u{0}";
    let mut page = made_up::page(2);
    page.version = evil.into();
    page.warnings = vec![evil.into()];
    page.missing[0] = MissingBackend {
        backend: evil.into(),
        reason: evil.into(),
        hint: evil.into(),
        required: true,
    };
    let run = &mut page.runs[0];
    for name in [
        &mut run.directory,
        &mut run.backend,
        &mut run.candidate,
        &mut run.device,
        &mut run.precision,
        &mut run.against,
        &mut run.reference,
        &mut run.requests_from,
        &mut run.outputs[0].graph,
    ] {
        *name = evil.into();
    }
    run.outputs[1].output = evil.into();
    let (why, reason) = (evil.to_owned(), evil.to_owned());
    run.checks[0].outcome = Outcome::Failed { why: why.clone() };
    run.checks[1].outcome = Outcome::Excused { why: why.clone(), reason };
    run.checks[2] = ParityCheck { name: evil.into(), outcome: Outcome::Skipped { why } };
    run.checks.push(passed(&format!("relation.{evil}")));
    run.worst = Some(WorstRequest {
        user: Some(evil.into()),
        items: vec![evil.into()],
        first_reference: vec![evil.into()],
        first_candidate: vec![evil.into(), "1".into()],
        ..WorstRequest::default()
    });
    let html = page.html();
    check(&html);
    assert!(!html.contains("<script") && !html.contains('\u{0}'));
}

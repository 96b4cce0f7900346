//! The page of a precision report: whole, escaped, the same each time, small, and sensible without sense.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod html;
#[path = "../examples/precision/made_up.rs"]
mod made_up;

use html::{check, nothing_from_outside};
use onr_report::{
    Alone, Density, Figures, FileSize, GraphSize, Group, Left, LeftNode, Limit, Magnitudes,
    PrecisionReport, Product, RequestRow, Requests, Scores, Sizes, Way,
};

#[test]
fn the_page_is_whole_and_needs_nothing() {
    let report = made_up::report(4);
    let html = report.html();
    check(&html);
    nothing_from_outside(&html);
    assert_eq!(html, made_up::report(4).html());
    for section in ["budget", "requests", "scores", "products", "left", "sizes", "glossary"] {
        assert!(html.contains(&format!("<h2 id=\"{section}\">")), "{section}");
    }
    assert!(html.contains("1 of 4 limits broken"));
}

#[test]
fn three_hundred_products_stay_below_a_megabyte() {
    let report = made_up::report(50);
    assert!(report.products.len() > 300);
    let html = report.html();
    check(&html);
    assert!(html.len() < 1_000_000, "{}", html.len());
    assert!(report.json().unwrap().len() < 1_000_000);
}

#[test]
fn json_says_what_the_page_says() {
    let report = made_up::report(1);
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["precision"], "INT8");
    assert_eq!(json["figures"]["requests"], 1600);
    assert_eq!(json["products"].as_array().unwrap().len(), report.products.len());
    assert!(["wide", "narrow", "smoothed"].contains(&json["products"][0]["way"].as_str().unwrap()));
}

#[test]
fn an_empty_report_says_so() {
    let html = PrecisionReport::default().html();
    check(&html);
    assert!(html.contains("No request was scored") && html.contains("No request was compared."));
    assert!(!html.contains("id=\"products\"") && !html.contains("id=\"sizes\""));
    let unscored = PrecisionReport {
        figures: Some(Figures::default()),
        scores: Some(Scores::of(&[])),
        requests: Requests::of(&[], 10, 5),
        ..PrecisionReport::default()
    };
    check(&unscored.html());
    assert!(unscored.html().contains("No candidate has a score on both sides."));
}

#[test]
fn sixteen_bits_need_no_columns_of_eight() {
    let products =
        vec![Product { node: "a/MatMul".into(), graph: "encode".into(), ..Product::default() }];
    let html = PrecisionReport { products, ..PrecisionReport::default() }.html();
    check(&html);
    assert!(
        html.contains("16/32 bit")
            && !html.contains("Weight scale")
            && !html.contains("Above clip")
    );
}

const BAD: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN];

fn degenerate(bad: f64) -> PrecisionReport {
    let figures = Figures {
        requests: u64::MAX,
        k: u64::MAX,
        tie: bad,
        overlap: bad,
        overlap_p05: bad,
        overlap_exact: bad,
        kendall: bad,
        dc_reference: bad,
        dc: bad,
        dc_shift: bad,
        score_error: bad,
    };
    let row = RequestRow { user: "u".into(), overlap: bad, kendall: bad, ..RequestRow::default() };
    let group =
        Group { label: "g".into(), overlap: bad, interval: Some([bad, 1.0]), ..Group::default() };
    let product = Product {
        node: "n".into(),
        way: Way::Narrow,
        flops_share: Some(bad),
        magnitudes: Some(Magnitudes::of(&[u64::MAX; 2048], bad, u64::MAX, Some(bad))),
        activation_scale: Some(bad),
        weight_scales: Some([bad, 0.0]),
        dead_channels: Some(u64::MAX),
        alone: Some(Alone { score_error: bad, overlap: bad, ..Alone::default() }),
        ..Product::default()
    };
    let empty = Product { magnitudes: Some(Magnitudes::default()), ..product.clone() };
    let node = LeftNode { node: "n".into(), value: Some(bad), ..LeftNode::default() };
    PrecisionReport {
        figures: Some(figures),
        narrow_share: Some(bad),
        budget: vec![Limit { found: bad, ..Limit::default() }],
        bands: vec![Group::of_places("none", 0, 0), group.clone()],
        requests: Requests {
            histogram: vec![u64::MAX],
            not_finite: u64::MAX,
            by_history: vec![group],
            worst: vec![row.clone()],
        },
        scores: Some(Scores::of(&[(bad, bad), (1.0, 1.0)])),
        products: vec![product, empty],
        left: vec![Left { nodes: vec![node], ..Left::default() }, Left::default()],
        sizes: Sizes {
            weights_before: u64::MAX,
            weights_after: 0,
            graphs: vec![GraphSize { before: 0, after: u64::MAX, ..GraphSize::default() }],
            files: vec![
                FileSize { after: Some(u64::MAX), ..FileSize::default() },
                FileSize { before: Some(u64::MAX), ..FileSize::default() },
                FileSize::default(),
            ],
        },
        ..PrecisionReport::default()
    }
}

#[test]
fn numbers_that_are_none_are_dashes() {
    for bad in BAD {
        let report = degenerate(bad);
        check(&report.html());
        assert!(report.json().is_ok());
    }
}

#[test]
fn one_of_everything_is_drawn() {
    let row =
        RequestRow { user: "only".into(), overlap: 1.0, kendall: 1.0, ..RequestRow::default() };
    let html = PrecisionReport {
        bands: vec![Group::of_places("head", 10, 10)],
        requests: Requests::of(&[row], 10, 20),
        scores: Some(Scores {
            pairs: Density::of(&[(0.5, 0.5)], true),
            errors: Density::of(&[(0.5, 0.0)], false),
        }),
        ..PrecisionReport::default()
    }
    .html();
    check(&html);
    assert!(html.contains("Worst requests"));
    assert!(html.contains("100.0\u{a0}%"));
}

#[test]
fn names_cannot_break_the_page() {
    let evil = "</td><script>alert('x')</script>&\"\u{0}";
    let mut report = made_up::report(1);
    report.model = evil.into();
    report.precision = evil.into();
    report.checkpoint = evil.into();
    report.calibration = Some(evil.into());
    report.backend = Some(evil.into());
    report.budget[0].limit = evil.into();
    report.bands[0].label = evil.into();
    report.bands[0].unit = evil.into();
    report.requests.worst[0].user = evil.into();
    report.requests.by_history[0].label = evil.into();
    let product = &mut report.products[0];
    for name in
        [&mut product.node, &mut product.graph, &mut product.activation, &mut product.weight]
    {
        *name = evil.into();
    }
    let left = &mut report.left[2];
    for name in [&mut left.rule, &mut left.meaning, &mut left.kept, &mut left.nodes[0].node] {
        *name = evil.into();
    }
    left.nodes[0].tensor = Some(evil.into());
    left.nodes[0].op = evil.into();
    report.sizes.files[0].file = evil.into();
    report.sizes.graphs[0].graph = evil.into();
    let html = report.html();
    check(&html);
    assert!(!html.contains("<script") && !html.contains('\u{0}'));
}

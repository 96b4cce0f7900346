//! Which model this is, what its precision costs in one sentence, and the key figures.

use super::{
    super::parts::{Tile, facts, hash, or_none, tiles, words},
    precision,
};
use crate::{
    data::{Figures, PrecisionReport},
    element::{Element, el, text},
    number::{self, NONE, bytes, fixed, percent, signed},
};

/// Name of the page.
pub(super) fn title(report: &PrecisionReport) -> String {
    format!("What {} costs: {}", precision(report), or_none(&report.model))
}

/// All that stands above the sections.
pub(super) fn header(report: &PrecisionReport) -> Element {
    let title = el("h1")
        .text("What ")
        .child(text("b", precision(report)))
        .text(" costs ")
        .child(text("span", or_none(&report.model)).class("model"));
    let verdict = el("p").class("verdict").children(badge(report)).text(&sentence(report));
    el("header").child(title).child(verdict).child(figures(report)).child(compared(report))
}

/// Does the budget hold?
fn badge(report: &PrecisionReport) -> Option<Element> {
    let broken = report.budget.iter().filter(|l| !l.holds).count();
    let (class, words) = match (report.budget.len(), broken) {
        (0, _) => return None,
        (_, 0) => ("badge good", "✓ budget holds".to_owned()),
        (all, broken) => ("badge bad", format!("✗ {broken} of {all} limits broken")),
    };
    Some(el("a").class(class).attr("href", "#budget").text(&words))
}

fn sentence(report: &PrecisionReport) -> String {
    let precision = precision(report);
    let mut words = match &report.figures {
        Some(f) if f.requests > 0 => format!(
            "{precision} keeps {} of the first {} places on average, and {} or more in 19 of 20 requests.",
            percent(f.overlap, 1),
            f.k,
            percent(f.overlap_p05, 0),
        ),
        _ => format!("No request was scored, so nobody knows what {precision} does to the order."),
    };
    let (before, after) = (report.sizes.weights_before, report.sizes.weights_after);
    if before > 0 {
        let change = number::change(before, after);
        words += &format!(" Weights go from {} to {} ({change}).", bytes(before), bytes(after));
    }
    words
}

fn figures(report: &PrecisionReport) -> Element {
    let scored = report.figures.iter().filter(|f| f.requests > 0);
    tiles(scored.flat_map(order).chain(cost(report)))
}

/// What becomes of the order.
fn order(f: &Figures) -> Vec<Tile> {
    let k = if f.k > 0 { format!("Top-{} overlap", f.k) } else { "Top-k overlap".into() };
    let ties = format!("mean; ties within {} sd forgiven", number::exact(f.tie, 2));
    let shift = f.dc - f.dc_reference;
    vec![
        (k, percent(f.overlap, 1), ties),
        (
            "… 5th percentile".into(),
            percent(f.overlap_p05, 1),
            "19 of 20 requests keep at least this".into(),
        ),
        ("… ties not forgiven".into(), percent(f.overlap_exact, 1), "mean over requests".into()),
        ("Kendall’s τ".into(), fixed(f.kendall, 4), "mean; 1 is the same order".into()),
        (
            "Score error".into(),
            number::significant(f.score_error, 2),
            "rms, in standard deviations of a request’s scores".into(),
        ),
        (
            "DC".into(),
            format!("{} → {}", fixed(f.dc_reference, 3), fixed(f.dc, 3)),
            format!("nats; {} in the mean, {} a request", signed(shift, 4), fixed(f.dc_shift, 4)),
        ),
    ]
}

/// What is gained.
fn cost(report: &PrecisionReport) -> Vec<Tile> {
    let share = report.narrow_share.map_or(NONE.into(), |s| percent(s, 1));
    let (before, after) = (report.sizes.weights_before, report.sizes.weights_after);
    let known = before > 0 || after > 0;
    let weights =
        if known { format!("{} → {}", bytes(before), bytes(after)) } else { NONE.into() };
    let note = if known { number::change(before, after) } else { "not known".into() };
    vec![
        ("FLOPs in 8 bits".into(), share, "of products with weights".into()),
        ("Weights".into(), weights, note),
    ]
}

/// What was compared.
fn compared(report: &PrecisionReport) -> Element {
    let requests = report.figures.map_or(0, |f| f.requests);
    let calibration = report.calibration.as_deref().map_or_else(|| words("none needed"), hash);
    let mut all = vec![("Requests", words(&number::count(requests)))];
    all.extend(report.backend.iter().map(|b| ("Scored by", words(b))));
    all.push(("Checkpoint", hash(&report.checkpoint)));
    all.push(("Calibration", calibration));
    facts(all)
}

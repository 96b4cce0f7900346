//! One run: what is wrong first, then how far outputs, scores and order are off.

use super::{
    super::{
        Section,
        overlap::{self, Overlap},
        parts::{Tile, facts, many, or_none, tiles, words},
        scores,
    },
    against, errors, findings, head, id, marks, outputs, relations, worst,
};
use crate::{
    data::{Counts, OrderFigures, ParityRun},
    element::{Element, el, text},
    number::{NONE, fixed, percent, significant},
};

/// A section; only those that are `listed` stand in the list of sections.
pub(super) fn section(at: usize, run: &ParityRun, listed: bool) -> Section {
    let prefix = format!("{}-", id(at));
    let body = el("div")
        .child(findings::findings(&run.checks))
        .children(figures(run))
        .child(compared(run))
        .children(drawings(run, &prefix))
        .children(outputs::tables(run))
        .children(relations::list(&run.checks))
        .children(overlap::worst(&run.by_request.worst))
        .children(run.worst.as_ref().map(worst::worst));
    let body = body.class("run");
    let title = if listed { title(run) } else { String::new() };
    Section { heading: Some(heading(run)), ..Section::new(&id(at), &title, body) }
}

/// The last part of the directory, and where it ran.
fn title(run: &ParityRun) -> String {
    let name = run.directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("{} · {} · {}", or_none(name), or_none(&run.backend), against(run))
}

fn heading(run: &ParityRun) -> Element {
    let counts = Counts::of(&run.checks);
    let (class, word) = marks::verdict(counts);
    let to = match run.against.as_str() {
        "from-checkpoint" => "its checkpoint",
        "golden" => "a golden file",
        "same-file" => "the same file elsewhere",
        other => or_none(other),
    };
    let about = format!("{} {} against {to}", or_none(&run.backend), or_none(&run.precision));
    el("h2")
        .class("of-run")
        .child(text("span", or_none(&run.directory)).class("directory"))
        .child(text("span", &about).class("about"))
        .child(marks::badge(class, word))
        .children(marks::beside(counts))
}

fn figures(run: &ParityRun) -> Option<Element> {
    let mut all: Vec<Tile> = run.order.iter().flat_map(order).collect();
    all.extend(run.consistency.map(|c| {
        let value = format!("{} → {}", fixed(c.reference, 3), fixed(c.candidate, 3));
        let mean = significant(c.candidate - c.reference, 2);
        let note = format!("nats; shift {mean} in the mean, at most {}", significant(c.shift, 2));
        ("DC".to_owned(), value, note)
    }));
    (!all.is_empty()).then(|| tiles(all))
}

fn order(order: &OrderFigures) -> Vec<Tile> {
    let k = if order.k > 0 { order.k.to_string() } else { "k".into() };
    let mut all = vec![
        (
            format!("Top-{k} overlap"),
            percent(order.overlap, 1),
            format!(
                "mean of {}, the worst has {}; ties within {} forgiven",
                many(order.requests, "request"),
                percent(order.overlap_least, 0),
                significant(order.tie, 2)
            ),
        ),
        (
            "Kendall’s τ".into(),
            order.kendall.map_or_else(|| NONE.into(), |k| fixed(k, 4)),
            "mean; 1 is the same order".into(),
        ),
    ];
    all.extend(order.ndcg_shift.map(|shift| {
        (format!("1 − NDCG@{k}"), significant(shift, 2), "mean; 0 is the reference’s order".into())
    }));
    all
}

fn compared(run: &ParityRun) -> Element {
    let time = |seconds: Option<f64>| {
        let fine = seconds.filter(|s| s.is_finite());
        fine.map_or_else(|| NONE.to_owned(), |s| format!("{} s", significant(s, 2)))
    };
    let (reference, candidate) = (time(run.reference_seconds), time(run.candidate_seconds));
    let timed = run.reference_seconds.is_some() || run.candidate_seconds.is_some();
    let mut all = vec![
        ("Reference", words(&run.reference)),
        ("Candidate", words(&run.candidate)),
        ("Device", words(&run.device)),
        ("Requests", words(&head::asked(run.requests, &run.requests_from))),
    ];
    let time = format!("reference {reference}, candidate {candidate}; loading included");
    all.extend(timed.then(|| ("Time", words(&time))));
    facts(all)
}

/// Drawings in two columns, as they fit.
fn drawings(run: &ParityRun, prefix: &str) -> Option<Element> {
    let overlap = Overlap { k: run.order.map(|o| o.k), prefix };
    let what = format!("score on {}", or_none(&run.backend));
    let mut panels: Vec<Element> = errors::panel(run, prefix).into_iter().collect();
    panels.extend(overlap.spread(&run.by_request));
    panels.extend(overlap.lengths(&run.by_request.by_history));
    panels.extend(run.scores.iter().flat_map(|scores| scores::panels(scores, &what, prefix)));
    (!panels.is_empty()).then(|| el("div").class("flow").children(panels))
}

//! All runs in one table.

use super::{
    super::{
        Section,
        parts::or_none,
        table::{code, num, row, table},
    },
    against, id, marks,
};
use crate::{
    data::{Counts, ParityPage, ParityRun},
    element::{Element, el, text},
    number::{self, NONE, fixed, percent, significant},
};

pub(super) fn section(page: &ParityPage) -> Section {
    let body = if page.runs.is_empty() {
        text("p", "Nothing was run.").class("empty")
    } else {
        el("div").class("matrix").child(matrix(&page.runs))
    };
    Section::new("runs", "Runs", body)
}

/// `Top-10 overlap`, where all runs have the same `k`.
fn overlap(runs: &[ParityRun]) -> String {
    let mut ks = runs.iter().filter_map(|run| run.order).map(|order| order.k);
    match ks.next() {
        Some(k) if k > 0 && ks.all(|other| other == k) => format!("Top-{k} overlap"),
        _ => "Top-k overlap".into(),
    }
}

fn matrix(runs: &[ParityRun]) -> Element {
    let overlap = overlap(runs);
    let heads = [
        ("Directory", ""),
        ("Verdict", ""),
        ("Backend", ""),
        ("Precision", ""),
        ("Against", ""),
        (&overlap, "num"),
        ("Kendall’s τ", "num"),
        ("DC shift", "num"),
        ("Passed", "num"),
        ("Failed", "num"),
        ("Excused", "num"),
        ("Skipped", "num"),
    ];
    let rows = runs.iter().enumerate().map(|(at, run)| line(at, run));
    let caption =
        "Each directory on each backend against each reference. A name leads to its figures.";
    table(caption, &heads, vec![el("tbody").children(rows)])
}

fn line(at: usize, run: &ParityRun) -> Element {
    let counts = Counts::of(&run.checks);
    let name =
        el("a").attr("href", format_args!("#{}", id(at))).child(code(or_none(&run.directory)));
    let cell = |words: &str| text("td", or_none(words));
    let figure = |written: Option<String>| num(&written.unwrap_or_else(|| NONE.into()));
    let (class, word) = marks::verdict(counts);
    row(
        name,
        [
            el("td").child(text("span", word).class(class)),
            cell(&run.backend),
            cell(&run.precision),
            cell(against(run)),
            figure(run.order.map(|o| percent(o.overlap, 1))),
            figure(run.order.and_then(|o| o.kendall).map(|k| fixed(k, 4))),
            figure(run.consistency.map(|c| significant(c.shift, 2))),
            tally(counts.passed, ""),
            tally(counts.failed, "bad"),
            tally(counts.excused, "warn"),
            tally(counts.skipped, ""),
        ],
    )
}

/// A count; none is pale.
fn tally(n: u64, class: &str) -> Element {
    let class = if n == 0 { "none" } else { class };
    el("td").class("num").child(text("span", &number::count(n)).class(class))
}

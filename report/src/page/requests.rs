//! Whom it hits: overlap over requests, by popularity of items and by length of the history.

use super::{
    Section, many, panel,
    table::{code, narrow, num, row},
};
use crate::{
    data::{Group, PrecisionReport, RequestRow},
    element::{Element, el, text},
    number::{self, fixed, percent},
    svg::{Bar, Bars, Columns, Mark, Unit},
};

pub(super) fn section(report: &PrecisionReport) -> Section {
    let first: Vec<Element> = [spread(report), bands(report)].into_iter().flatten().collect();
    let first = (!first.is_empty()).then(|| el("div").class("stack").children(first));
    let panels: Vec<Element> = [first, lengths(report)].into_iter().flatten().collect();
    let body = if panels.is_empty() {
        text("p", "No request was compared.").class("empty")
    } else {
        el("div").child(el("div").class("panels").children(panels)).children(worst(report))
    };
    Section { id: "requests", title: "Order of candidates", body }
}

fn top(report: &PrecisionReport) -> String {
    report.figures.filter(|f| f.k > 0).map_or_else(|| "k".into(), |f| f.k.to_string())
}

/// How many requests have which overlap.
fn spread(report: &PrecisionReport) -> Option<Element> {
    let counts = &report.requests.histogram;
    let first = counts.iter().position(|n| *n > 0)?;
    let last = counts.len() - 1;
    // What is empty at the bad end only takes room.
    let from = first.min(last.saturating_sub(5));
    let share = |at: usize| percent(at as f64 / last.max(1) as f64, 0);
    let columns: Vec<_> = (from..=last).map(|at| (share(at), counts[at])).collect();
    let all = counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let drawing = Columns {
        id: "spread",
        title: "Requests by overlap",
        description: &format!(
            "{}; the lowest overlap is near {}.",
            many(all, "request"),
            share(first)
        ),
        name: &format!("top-{} overlap of a request, to the nearest column", top(report)),
        unit: "requests",
        columns: &columns,
    };
    let caption = match report.requests.not_finite {
        0 => "How many requests keep how much.".to_owned(),
        n => format!(
            "How many requests keep how much. {} have no overlap that is a number.",
            number::count(n)
        ),
    };
    Some(panel("Over requests", drawing.draw(), &caption))
}

fn bands(report: &PrecisionReport) -> Option<Element> {
    let caption = "Places of the reference’s list that stay, by popularity of the item. Lines are 95 % intervals \
                   (Wilson’s, as if places were independent).";
    groups("bands", "By popularity", &report.bands, caption, report)
}

fn lengths(report: &PrecisionReport) -> Option<Element> {
    let caption = "Requests by behaviours in the history. Lines are 95 % intervals of the mean; one request has \
                   none.";
    groups("lengths", "By length of the history", &report.requests.by_history, caption, report)
}

fn groups(
    id: &str,
    title: &str,
    groups: &[Group],
    caption: &str,
    report: &PrecisionReport,
) -> Option<Element> {
    let rows: Vec<Bar> = groups.iter().map(bar).collect();
    let said: Vec<_> = rows.iter().map(|r| format!("{} {}", r.label, r.written)).collect();
    let drawing = Bars {
        id,
        title: &format!("Overlap {}", title.to_lowercase()),
        description: &format!("{}.", said.join("; ")),
        name: &format!("top-{} overlap", top(report)),
        unit: Unit::Share,
        mark: Mark::Dot,
        rows: &rows,
    };
    (!rows.is_empty()).then(|| panel(title, drawing.draw(), caption))
}

fn bar(group: &Group) -> Bar {
    let unit = if group.count == 1 { group.unit.trim_end_matches('s') } else { &group.unit };
    Bar {
        label: group.label.clone(),
        note: format!("{} {unit}", number::count(group.count)),
        value: group.overlap,
        interval: group.interval,
        written: percent(group.overlap, 1),
        tone: "a",
    }
}

fn worst(report: &PrecisionReport) -> Option<Element> {
    let rows = &report.requests.worst;
    let heads = [
        ("User", ""),
        ("Overlap", "num"),
        ("… ties not forgiven", "num"),
        ("Kendall’s τ", "num"),
        ("History", "num"),
        ("Candidates", "num"),
    ];
    let caption =
        format!("Those that lose most, the worst first: {}", many(rows.len() as u64, "request"));
    let body = el("tbody").children(rows.iter().map(request));
    let table = narrow(&caption, &heads, vec![body]);
    (!rows.is_empty()).then(|| el("div").child(text("h3", "Worst requests")).child(table))
}

fn request(r: &RequestRow) -> Element {
    let cells = [
        percent(r.overlap, 1),
        percent(r.overlap_exact, 1),
        fixed(r.kendall, 3),
        number::count(r.history),
        number::count(r.candidates),
    ];
    row(code(&r.user), cells.iter().map(|c| num(c)))
}

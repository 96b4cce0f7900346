//! Overlap of the first places: over requests, by groups of them, and the worst ones.

use super::{
    many, panel,
    table::{code, narrow, num, row},
};
use crate::{
    data::{Group, RequestRow, Requests},
    element::{Element, el, text},
    number::{self, fixed, percent},
    svg::{Bar, Bars, Columns, Mark, Unit},
};

/// What the drawings of a run have in common.
#[derive(Clone, Copy)]
pub(super) struct Overlap<'a> {
    /// `k` of the overlap, where it is known.
    pub(super) k: Option<u64>,
    /// What ids begin with.
    pub(super) prefix: &'a str,
}

impl Overlap<'_> {
    fn top(self) -> String {
        self.k.filter(|k| *k > 0).map_or_else(|| "k".into(), |k| k.to_string())
    }

    /// How many requests have which overlap.
    pub(super) fn spread(self, requests: &Requests) -> Option<Element> {
        let counts = &requests.histogram;
        let first = counts.iter().position(|n| *n > 0)?;
        let last = counts.len() - 1;
        // What is empty at the bad end only takes room.
        let from = first.min(last.saturating_sub(5));
        let share = |at: usize| percent(at as f64 / last.max(1) as f64, 0);
        let columns: Vec<_> = (from..=last).map(|at| (share(at), counts[at])).collect();
        let all = counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let drawing = Columns {
            id: &format!("{}spread", self.prefix),
            title: "Requests by overlap",
            description: &format!(
                "{}; the lowest overlap is near {}.",
                many(all, "request"),
                share(first)
            ),
            name: &format!("top-{} overlap of a request, to the nearest column", self.top()),
            unit: "requests",
            columns: &columns,
        };
        let caption = match requests.not_finite {
            0 => "How many requests keep how much.".to_owned(),
            n => format!(
                "How many requests keep how much. {} have no overlap that is a number.",
                number::count(n)
            ),
        };
        Some(panel("Over requests", drawing.draw(), &caption))
    }

    /// By length of the history.
    pub(super) fn lengths(self, groups: &[Group]) -> Option<Element> {
        let caption = "Requests by behaviours in the history. Lines are 95 % intervals of the mean; one request \
                       has none.";
        self.groups("lengths", "By length of the history", groups, caption)
    }

    /// A dot for each group.
    pub(super) fn groups(
        self,
        id: &str,
        title: &str,
        groups: &[Group],
        caption: &str,
    ) -> Option<Element> {
        let rows: Vec<Bar> = groups.iter().map(bar).collect();
        let said: Vec<_> = rows.iter().map(|r| format!("{} {}", r.label, r.written)).collect();
        let drawing = Bars {
            id: &format!("{}{id}", self.prefix),
            title: &format!("Overlap {}", title.to_lowercase()),
            description: &format!("{}.", said.join("; ")),
            name: &format!("top-{} overlap", self.top()),
            unit: Unit::Share,
            mark: Mark::Dot,
            rows: &rows,
        };
        (!rows.is_empty()).then(|| panel(title, drawing.draw(), caption))
    }
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

/// The worst requests, as a table.
pub(super) fn worst(rows: &[RequestRow]) -> Option<Element> {
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

//! Bytes before and after, by graph and by file.

use super::super::{
    Section,
    table::{code, num, row, table},
};
use crate::{
    data::{PrecisionReport, Sizes},
    element::{Element, el, text},
    number::{NONE, bytes, change},
    svg::before_after,
};

/// A name, and its bytes before and after.
type Size<'a> = (&'a str, Option<u64>, Option<u64>);

pub(super) fn section(report: &PrecisionReport) -> Option<Section> {
    let Sizes { graphs, files, .. } = &report.sizes;
    if graphs.is_empty() && files.is_empty() {
        return None;
    }
    let graphs: Vec<Size<'_>> =
        graphs.iter().map(|g| (g.graph.as_str(), Some(g.before), Some(g.after))).collect();
    let files: Vec<Size<'_>> = files.iter().map(|f| (f.file.as_str(), f.before, f.after)).collect();
    let by_graph = "Weights that each graph reads; graphs share weights, so they add up to more than the files";
    let body = el("div")
        .class("two")
        .children(sizes(by_graph, "Graph", &graphs, false))
        .children(sizes("Files of the export", "File", &files, true));
    Some(Section::new("sizes", "Sizes", body))
}

fn sizes(caption: &str, what: &str, all: &[Size<'_>], sum: bool) -> Option<Element> {
    let each = all.iter().flat_map(|(_, before, after)| [*before, *after]);
    let most = each.flatten().max().unwrap_or(0);
    let heads = [
        (what, ""),
        ("Reference", "num"),
        ("Now", "num"),
        ("Change", "num"),
        ("Grey: reference", "bar"),
    ];
    let mut bodies = vec![el("tbody").children(all.iter().map(|s| line(code(s.0), *s, most)))];
    if sum && all.len() > 1 {
        let total = |f: fn(&Size<'_>) -> Option<u64>| {
            Some(all.iter().filter_map(f).fold(0, u64::saturating_add))
        };
        let total = ("all", total(|s| s.1), total(|s| s.2));
        bodies.push(el("tbody").class("total").child(line(text("span", "All"), total, 0)));
    }
    (!all.is_empty()).then(|| table(caption, &heads, bodies))
}

fn line(name: Element, (what, before, after): Size<'_>, most: u64) -> Element {
    let size = |n: Option<u64>| num(&n.map_or_else(|| NONE.into(), bytes));
    let (old, new) = (before.unwrap_or(0), after.unwrap_or(0));
    let changed = match (before, after) {
        (Some(before), Some(after)) => change(before, after),
        (None, Some(_)) => "new".into(),
        (Some(_), None) => "gone".into(),
        (None, None) => NONE.into(),
    };
    let said = format!("{what}: {} before, {} now", bytes(old), bytes(new));
    let bar =
        el("td").class("bar").children((most > 0).then(|| before_after(&said, old, new, most)));
    row(name, [size(before), size(after), num(&changed), bar])
}

//! Limits of a budget beside what was found.

use super::super::{
    Section,
    table::{narrow, num, row},
};
use crate::{
    data::{Limit, PrecisionReport},
    element::{Element, el, text},
    number,
};

pub(super) fn section(report: &PrecisionReport) -> Option<Section> {
    if report.budget.is_empty() {
        return None;
    }
    let heads = [("Limit", ""), ("Found", "num"), ("Verdict", "")];
    let rows = el("tbody").children(report.budget.iter().map(limit));
    let body = narrow(
        "Limits, each over all requests with the whole model in this precision",
        &heads,
        vec![rows],
    );
    Some(Section::new("budget", "Budget", body))
}

fn limit(limit: &Limit) -> Element {
    let (class, words) = if limit.holds { ("good", "✓ holds") } else { ("bad", "✗ broken") };
    let found = num(&number::exact(limit.found, 4));
    row(text("code", &limit.limit), [found, el("td").child(text("span", words).class(class))])
}

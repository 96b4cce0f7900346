//! Whom it hits: overlap over requests, by popularity of items and by length of the history.

use super::super::{
    Section,
    overlap::{self, Overlap},
};
use crate::{
    data::PrecisionReport,
    element::{Element, el, text},
};

pub(super) fn section(report: &PrecisionReport) -> Section {
    let overlap = Overlap { k: report.figures.map(|f| f.k), prefix: "" };
    let bands = "Places of the reference’s list that stay, by popularity of the item. Lines are 95 % intervals \
                 (Wilson’s, as if places were independent).";
    let bands = overlap.groups("bands", "By popularity", &report.bands, bands);
    let first: Vec<Element> =
        [overlap.spread(&report.requests), bands].into_iter().flatten().collect();
    let first = (!first.is_empty()).then(|| el("div").class("stack").children(first));
    let lengths = overlap.lengths(&report.requests.by_history);
    let panels: Vec<Element> = [first, lengths].into_iter().flatten().collect();
    let body = if panels.is_empty() {
        text("p", "No request was compared.").class("empty")
    } else {
        let worst = overlap::worst(&report.requests.worst);
        el("div").child(el("div").class("panels").children(panels)).children(worst)
    };
    Section::new("requests", "Order of candidates", body)
}

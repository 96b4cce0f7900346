//! What a precision costs: a head with the key figures, and a section for each question.

mod budget;
mod glossary;
mod head;
mod left;
mod product_rows;
mod products;
mod requests;
mod sizes;

use super::{Page, Section, parts, scores};
use crate::{data::PrecisionReport, element::el};

/// The whole page.
pub(crate) fn html(report: &PrecisionReport) -> String {
    let sections = [
        budget::section(report),
        Some(requests::section(report)),
        scores(report),
        products::section(report),
        left::section(report),
        sizes::section(report),
        Some(parts::glossary(&glossary::TERMS)),
    ];
    let page = Page {
        title: head::title(report),
        style: include_str!("style.css"),
        header: head::header(report),
        sections: sections.into_iter().flatten().collect(),
    };
    page.html()
}

fn scores(report: &PrecisionReport) -> Option<Section> {
    let what = format!("score in {}", precision(report));
    let panels = scores::panels(report.scores.as_ref()?, &what, "");
    Some(Section::new("scores", "Scores", el("div").class("panels").children(panels)))
}

/// The precision, as people write it.
fn precision(report: &PrecisionReport) -> &str {
    if report.precision.is_empty() { "this precision" } else { &report.precision }
}

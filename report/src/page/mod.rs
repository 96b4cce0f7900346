//! The page: a head with the key figures, and a section for each question.

mod budget;
mod glossary;
mod head;
mod left;
mod product_rows;
mod products;
mod requests;
mod scores;
mod sizes;
mod table;

use crate::{
    data::PrecisionReport,
    element::{Element, el, text},
};

/// A part of the page under its own heading.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Element,
}

/// The whole page.
pub(crate) fn html(report: &PrecisionReport) -> String {
    let sections: Vec<Section> = [
        budget::section(report),
        Some(requests::section(report)),
        scores::section(report),
        products::section(report),
        left::section(report),
        sizes::section(report),
        Some(glossary::section()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let meta = |name: &str, content: &str| el("meta").attr("name", name).attr("content", content);
    let head = el("head")
        .child(el("meta").attr("charset", "utf-8"))
        .child(meta("viewport", "width=device-width, initial-scale=1"))
        .child(meta("color-scheme", "light dark"))
        .child(text("title", &head::title(report)))
        .child(Element::style(include_str!("style.css")));
    let links = sections.iter().map(|s| text("a", s.title).attr("href", format_args!("#{}", s.id)));
    let contents = el("nav").attr("aria-label", "Sections").children(links);
    let main = el("main").children(sections.into_iter().map(|s| {
        let heading = text("h2", s.title).attr("id", s.id);
        el("section").attr("aria-labelledby", s.id).child(heading).child(s.body)
    }));
    let body = el("body").child(head::header(report)).child(contents).child(main);
    let page = el("html").attr("lang", "en").child(head).child(body).render();
    format!("<!doctype html>\n{page}\n")
}

/// A drawing with words below it.
fn figure(drawing: Element, caption: &str) -> Element {
    el("figure").child(drawing).child(text("figcaption", caption))
}

/// A drawing with its heading above and words below it.
fn panel(title: &str, drawing: Element, caption: &str) -> Element {
    el("div").class("panel").child(text("h3", title)).child(figure(drawing, caption))
}

/// The precision, as people write it.
fn precision(report: &PrecisionReport) -> &str {
    if report.precision.is_empty() { "this precision" } else { &report.precision }
}

/// A word for so many: `1 request`, `2,000 requests`.
fn many(n: u64, one: &str) -> String {
    format!("{} {one}{}", crate::number::count(n), if n == 1 { "" } else { "s" })
}

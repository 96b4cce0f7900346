//! Small parts that pages are made of.

use super::{Section, table::code};
use crate::{
    element::{Element, el, text},
    number::{self, NONE},
};

/// A drawing with words below it.
pub(super) fn figure(drawing: Element, caption: &str) -> Element {
    el("figure").child(drawing).child(text("figcaption", caption))
}

/// A drawing with its heading above and words below it.
pub(super) fn panel(title: &str, drawing: Element, caption: &str) -> Element {
    el("div").class("panel").child(text("h3", title)).child(figure(drawing, caption))
}

/// A word for so many: `1 request`, `2,000 requests`.
pub(super) fn many(n: u64, one: &str) -> String {
    format!("{} {one}{}", number::count(n), if n == 1 { "" } else { "s" })
}

/// A key figure: what it is, its value, what to know about it.
pub(super) type Tile = (String, String, String);

/// Key figures, side by side.
pub(super) fn tiles(all: impl IntoIterator<Item = Tile>) -> Element {
    let tile = |(name, value, note): Tile| {
        let value = text("dd", &value).class("figure");
        el("div").child(text("dt", &name)).child(value).child(text("dd", &note).class("note"))
    };
    el("dl").class("tiles").children(all.into_iter().map(tile))
}

/// What was compared, where and with what.
pub(super) fn facts(all: impl IntoIterator<Item = (&'static str, Element)>) -> Element {
    let fact = |(name, value): (&str, Element)| {
        el("div").child(text("dt", name)).child(el("dd").child(value))
    };
    el("dl").class("facts").children(all.into_iter().map(fact))
}

/// A text of a fact; a dash where there is none.
pub(super) fn words(of: &str) -> Element {
    text("span", or_none(of))
}

/// A hash; a dash where there is none.
pub(super) fn hash(hash: &str) -> Element {
    if hash.is_empty() { text("span", NONE) } else { code(hash).class("hash") }
}

pub(super) fn or_none(words: &str) -> &str {
    if words.is_empty() { NONE } else { words }
}

/// What the words of a page mean.
pub(super) fn glossary(terms: &[(&str, &str)]) -> Section {
    let entry =
        |(term, means): &(&str, &str)| el("div").child(text("dt", term)).child(text("dd", means));
    let body = el("dl").class("glossary").children(terms.iter().map(entry));
    Section::new("glossary", "Glossary", body)
}

//! Tables: always with a caption and headers, and never wider than the page.

use crate::element::{Element, el, text};

/// A column: what it says, and its class: `num` for numbers.
pub(super) type Head<'a> = (&'a str, &'a str);

/// A [`table`] that is only as wide as it must be.
pub(super) fn narrow(caption: &str, heads: &[Head<'_>], bodies: Vec<Element>) -> Element {
    el("div").class("narrow").child(table(caption, heads, bodies))
}

/// A table that scrolls sideways where the page is narrow. `bodies` are `tbody`.
pub(super) fn table(caption: &str, heads: &[Head<'_>], bodies: Vec<Element>) -> Element {
    let cell = |(words, class): &Head<'_>| text("th", words).attr("scope", "col").class(class);
    let head = el("thead").child(el("tr").children(heads.iter().map(cell)));
    let table = el("table").child(text("caption", caption)).child(head).children(bodies);
    // A region that scrolls has to be within reach of the keyboard.
    el("div")
        .class("scroll")
        .attr("role", "region")
        .attr("aria-label", caption)
        .attr("tabindex", 0)
        .child(table)
}

/// A row: the first cell says what it is about.
pub(super) fn row(about: Element, cells: impl IntoIterator<Item = Element>) -> Element {
    let about = el("th").attr("scope", "row").child(about);
    el("tr").child(about).children(cells)
}

/// A number, right-aligned.
pub(super) fn num(written: &str) -> Element {
    text("td", written).class("num")
}

/// A name, in the letters of code.
pub(super) fn code(name: &str) -> Element {
    // Long names break at their dots and slashes.
    name.split_inclusive(['.', '/', '_']).fold(el("code"), |code, part| {
        if code.is_empty() { code.text(part) } else { code.child(el("wbr")).text(part) }
    })
}

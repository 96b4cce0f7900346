//! The request that came out worst.

use super::super::table::code;
use crate::{
    data::WorstRequest,
    element::{Element, el, text},
    number::{self, percent, significant},
};

pub(super) fn worst(worst: &WorstRequest) -> Element {
    let fact = |name: &str, value: Element| [text("dt", name), el("dd").child(value)];
    let said = |words: String| text("span", &words);
    let mut facts = Vec::new();
    let user = worst.user.as_deref();
    let name = el("span").text(&format!("{}, counted from 0", number::count(worst.index)));
    facts.extend(fact("Request", name));
    facts.extend(user.into_iter().flat_map(|user| fact("User", code(user))));
    facts.extend(fact("Overlap", said(percent(worst.overlap, 1))));
    facts.extend(fact("Score error", said(format!("{} rms", significant(worst.score_error, 2)))));
    facts.extend(fact("History", said(number::count(worst.history))));
    facts.extend(fact("Candidates", said(number::count(worst.candidates))));
    if !worst.items.is_empty() {
        let more = worst.history > worst.items.len() as u64;
        let items = items(&worst.items, &worst.items);
        facts.extend(fact("Items", if more { items.text(" …") } else { items }));
    }
    let (want, got) = (&worst.first_reference, &worst.first_candidate);
    if !want.is_empty() && !got.is_empty() {
        facts.extend(fact("Reference’s first", items(want, got)));
        facts.extend(fact("Candidate’s first", items(got, want)));
    }
    el("div").class("worst").child(text("h3", "The worst request")).child(el("dl").children(facts))
}

/// Items in their order; those that the other list lacks are marked.
fn items(all: &[String], other: &[String]) -> Element {
    all.iter().enumerate().fold(el("span").class("items"), |list, (at, item)| {
        let list = if at > 0 { list.text(" ") } else { list };
        let item = code(item);
        list.child(if other.contains(&all[at]) { item } else { el("mark").child(item) })
    })
}

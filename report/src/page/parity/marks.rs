//! Verdicts as marks and words: never by colour alone.

use super::super::parts::many;
use crate::{
    data::{Counts, Outcome},
    element::{Element, el, text},
};

/// Class, sign and word of an outcome.
const fn words(outcome: &Outcome) -> [&'static str; 3] {
    match outcome {
        Outcome::Passed => ["good", "✓", "holds"],
        Outcome::Failed { .. } => ["bad", "✗", "FAILS"],
        Outcome::Excused { .. } => ["warn", "!", "excused"],
        Outcome::Skipped { .. } => ["plain", "–", "skipped"],
    }
}

/// A sign that says what it is.
pub(super) fn mark(outcome: &Outcome) -> Element {
    let [class, sign, word] = words(outcome);
    el("span")
        .class(&format!("mark {class}"))
        .attr("role", "img")
        .attr("aria-label", word)
        .attr("title", word)
        .text(sign)
}

/// A pill.
pub(super) fn badge(class: &str, words: &str) -> Element {
    text("span", words).class(&format!("badge {class}"))
}

/// Does all that was looked at hold?
pub(super) fn verdict(counts: Counts) -> (&'static str, &'static str) {
    match (counts.failed, counts.made()) {
        (0, 0) => ("plain", "– nothing checked"),
        (0, _) => ("good", "✓ holds"),
        _ => ("bad", "✗ FAILS"),
    }
}

/// What stands beside a verdict: what was excused, what was skipped.
pub(super) fn beside(counts: Counts) -> Vec<Element> {
    let some = |n: u64, class: &str, word: &str| {
        (n > 0).then(|| badge(class, &format!("{} {word}", crate::number::count(n))))
    };
    let all = [some(counts.excused, "warn", "excused"), some(counts.skipped, "plain", "skipped")];
    all.into_iter().flatten().collect()
}

/// That all of so many hold.
pub(super) fn all_hold(n: u64) -> String {
    if n == 1 { "The only check holds".into() } else { format!("All {} hold", checks(n)) }
}

/// `1 check`, `12 checks`.
pub(super) fn checks(n: u64) -> String {
    many(n, "check")
}

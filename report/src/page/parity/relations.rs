//! Relations: what must hold between answers of the same engine, whatever the right ones are.

use super::{super::table::code, marks};
use crate::{
    data::{Outcome, ParityCheck},
    element::{Element, el, text},
};

/// What names of relations begin with.
const PREFIX: &str = "relation.";

/// What each says.
const MEANINGS: [(&str, &str); 16] = [
    ("repeated-runs", "The same batch again gives the same bits."),
    ("concurrent-runs", "Sessions that run at the same time do not disturb each other."),
    ("identical-rows", "A request that stands in all rows of a batch has the same answer in each."),
    ("other-rows", "An answer depends neither on the row of its request nor on its neighbours."),
    ("permuted-candidates", "Candidates in another order keep their scores."),
    ("added-candidates", "More candidates do not change the scores of those that were there."),
    ("padding", "What stands in the slots behind a history does not matter."),
    ("stale-slots", "Keys and values in slots behind a history do not matter."),
    (
        "strange-ids",
        "Ids outside the table, also those that 32 bits would cut to real ones, read row 0.",
    ),
    (
        "shifted-times",
        "All times of a request later by the same, beyond 32 bits, give the same answers.",
    ),
    ("sold-out", "Where fewer items are in stock than are asked for, id 0 fills the rest."),
    ("append", "A history that grew gives the answers of one that came whole."),
    ("profile.batch", "Answers are the same at every batch size of the profile."),
    ("profile.seq", "Answers are the same at every padded length of histories."),
    ("profile.candidates", "Scores are the same at every number of candidates."),
    ("profile.new", "Histories may grow by any number of behaviours that the profile allows."),
];

/// The relations among the checks; `None` without one.
pub(super) fn list(checks: &[ParityCheck]) -> Option<Element> {
    let some = checks.iter().filter_map(|c| Some((c.name.strip_prefix(PREFIX)?, c)));
    let list = el("ul").class("relations").children(some.map(|(name, check)| one(name, check)));
    (!list.is_empty()).then(|| {
        let note = "They compare the candidate with itself and need no reference.";
        el("div").child(text("h3", "Relations")).child(text("p", note).class("note")).child(list)
    })
}

fn one(name: &str, check: &ParityCheck) -> Element {
    let meaning = MEANINGS.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
    let words = el("div").child(code(name)).children(meaning.map(|words| text("span", words)));
    let why = match &check.outcome {
        Outcome::Passed => None,
        Outcome::Failed { why } => Some(("bad", why)),
        Outcome::Excused { why, .. } => Some(("warn", why)),
        Outcome::Skipped { why } => Some(("note", why)),
    };
    let why = why.map(|(class, words)| text("span", words).class(&format!("why {class}")));
    el("li").child(marks::mark(&check.outcome)).child(words.children(why))
}

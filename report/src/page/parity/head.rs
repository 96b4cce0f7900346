//! The verdict on everything in one sentence, and what was compared.

use std::collections::BTreeSet;

use super::{
    super::parts::{facts, many, or_none, words},
    marks::{self, badge},
};
use crate::{
    data::{Counts, ParityPage, ParityRun},
    element::{Element, el, text},
    number::{self, NONE},
};

/// All checks of all runs.
pub(super) fn counts(page: &ParityPage) -> Counts {
    Counts::of(page.runs.iter().flat_map(|run| &run.checks))
}

fn lacking(page: &ParityPage) -> usize {
    page.missing.iter().filter(|m| m.required).count()
}

/// Class and words of the verdict.
fn verdict(page: &ParityPage) -> (&'static str, &'static str) {
    let counts = counts(page);
    match (counts.made(), lacking(page)) {
        (0, 0) => ("bad", "✗ nothing compared"),
        (_, 0) => marks::verdict(counts),
        _ => ("bad", "✗ FAILS"),
    }
}

/// Name of the page.
pub(super) fn title(page: &ParityPage) -> String {
    let word = verdict(page).1.trim_start_matches(['✓', '✗', ' ']);
    match directories(page)[..] {
        [] => format!("Parity: {word}"),
        [one] => format!("Parity of {}: {word}", or_none(one)),
        ref all => format!("Parity of {}: {word}", many_directories(all.len())),
    }
}

/// All that stands above the sections.
pub(super) fn header(page: &ParityPage) -> Element {
    let (class, word) = verdict(page);
    let title = el("h1")
        .text("Parity ")
        .child(text("b", word.trim_start_matches(['✓', '✗', ' '])).class(class))
        .children(subtitle(page));
    let line = el("p")
        .class("verdict")
        .child(badge(class, word))
        .children(marks::beside(counts(page)))
        .text(&sentence(page));
    let warnings = page.warnings.iter().map(|w| el("li").text(w));
    let warnings =
        (!page.warnings.is_empty()).then(|| el("ul").class("warnings").children(warnings));
    el("header").child(title).child(line).children(warnings).child(compared(page))
}

fn subtitle(page: &ParityPage) -> Option<Element> {
    let all = directories(page);
    (!all.is_empty()).then(|| text("span", &all.join(" · ")).class("model"))
}

/// Each once, in the order of the runs.
fn each<'a>(page: &'a ParityPage, of: impl Fn(&'a ParityRun) -> &'a str) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let all = page.runs.iter().map(of).filter(|words| !words.is_empty());
    all.filter(|words| seen.insert(*words)).collect()
}

fn directories(page: &ParityPage) -> Vec<&str> {
    each(page, |run| &run.directory)
}

fn many_directories(n: usize) -> String {
    if n == 1 { "1 directory".into() } else { format!("{n} directories") }
}

fn sentence(page: &ParityPage) -> String {
    let counts = counts(page);
    let runs = page.runs.len() as u64;
    let broken = page.runs.iter().filter(|run| Counts::of(&run.checks).failed > 0).count() as u64;
    let scope = format!(
        "{} of {} on {}",
        many(runs, "run"),
        many_directories(directories(page).len()),
        many(each(page, |run| &run.backend).len() as u64, "backend")
    );
    let mut words = match (counts.made(), counts.failed) {
        (0, _) => "Nothing was compared, so nothing is proven.".to_owned(),
        (made, 0) if counts.excused > 0 => format!(
            "{} of {} hold, in {scope}; what does not is excused.",
            number::count(counts.passed),
            marks::checks(made)
        ),
        (made, 0) => format!("{}, in {scope}.", marks::all_hold(made)),
        (made, failed) => format!(
            "{} of {} {}, in {} of {scope}.",
            number::count(failed),
            marks::checks(made),
            if failed == 1 { "fails" } else { "fail" },
            number::count(broken)
        ),
    };
    words += &absent(page);
    words
}

/// Backends that are not here.
fn absent(page: &ParityPage) -> String {
    let names = |required: bool| -> Vec<&str> {
        let some = page.missing.iter().filter(|m| m.required == required);
        some.map(|m| or_none(&m.backend)).collect()
    };
    let mut words = String::new();
    for (names, end) in [(names(true), "not here, and had to be"), (names(false), "not here")] {
        let is = if names.len() == 1 { "is" } else { "are" };
        if !names.is_empty() {
            words += &format!(" {} {is} {end}.", names.join(" and "));
        }
    }
    words
}

/// What was compared, where and by whom.
fn compared(page: &ParityPage) -> Element {
    let joined = |of: fn(&ParityRun) -> &str| words(&each(page, of).join(" · "));
    let version =
        if page.version.is_empty() { NONE.into() } else { format!("onr {}", page.version) };
    facts([
        ("Compared by", words(&version)),
        ("Requests", words(&requests(page))),
        ("Reference", joined(|run| &run.reference)),
        ("Candidate", joined(|run| &run.candidate)),
        ("Precision", joined(|run| &run.precision)),
        ("Device", joined(|run| &run.device)),
    ])
}

/// How many requests there were, and from where.
fn requests(page: &ParityPage) -> String {
    let mut seen = BTreeSet::new();
    let all = page.runs.iter().filter(|run| seen.insert((run.requests, &run.requests_from)));
    let each: Vec<String> = all.map(|run| asked(run.requests, &run.requests_from)).collect();
    each.join(" · ")
}

/// `64 from seed 0`.
pub(super) fn asked(n: u64, from: &str) -> String {
    let n = number::count(n);
    if from.is_empty() { n } else { format!("{n}, {from}") }
}

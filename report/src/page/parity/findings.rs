//! What failed, what was excused and what was skipped, with the reasons.

use super::{super::table::code, marks};
use crate::{
    data::{Counts, Outcome, ParityCheck},
    element::{Element, el, text},
    number,
};

/// So many are shown at once; the rest is opened.
const SHOWN: usize = 8;

/// Failures first. Where there is nothing to tell, a sentence.
pub(super) fn findings(checks: &[ParityCheck]) -> Element {
    let counts = Counts::of(checks);
    let of = |wanted: fn(&Outcome) -> bool| checks.iter().filter(move |c| wanted(&c.outcome));
    let failed = of(|o| matches!(o, Outcome::Failed { .. })).map(one).collect();
    let excused = of(|o| matches!(o, Outcome::Excused { .. })).map(one).collect();
    let lists = [
        list("bad", &format!("{} failed", marks::checks(counts.failed)), failed),
        list("warn", &format!("{} excused", marks::checks(counts.excused)), excused),
        list("plain", &format!("{} skipped", marks::checks(counts.skipped)), skipped(checks)),
    ];
    let calm = (counts.passed > 0 && counts.passed == counts.made())
        .then(|| text("p", &format!("{}.", marks::all_hold(counts.passed))).class("calm"));
    el("div").class("findings").children(calm).children(lists.into_iter().flatten())
}

fn list(class: &str, title: &str, mut items: Vec<Element>) -> Option<Element> {
    if items.is_empty() {
        return None;
    }
    let rest = items.split_off(items.len().min(SHOWN));
    let more = (!rest.is_empty()).then(|| {
        let words = format!("{} more", number::count(rest.len() as u64));
        el("details").child(text("summary", &words)).child(el("ul").children(rest))
    });
    let title = text("h3", title).class(class);
    let all = el("div").class(&format!("found {class}")).child(title);
    Some(all.child(el("ul").children(items)).children(more))
}

/// A check that does not hold.
fn one(check: &ParityCheck) -> Element {
    let item = el("li").child(marks::mark(&check.outcome)).child(code(&check.name));
    match &check.outcome {
        Outcome::Excused { why, reason } => {
            let reason = el("span").class("reason").child(text("b", "Excused: ")).text(reason);
            item.child(text("span", why)).child(reason)
        }
        Outcome::Failed { why } | Outcome::Skipped { why } => item.child(text("span", why)),
        Outcome::Passed => item,
    }
}

/// Those that lack the same thing share a line.
fn skipped(checks: &[ParityCheck]) -> Vec<Element> {
    let mut reasons: Vec<(&str, Vec<&ParityCheck>)> = Vec::new();
    for check in checks {
        let Outcome::Skipped { why } = &check.outcome else { continue };
        match reasons.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, all)) => all.push(check),
            None => reasons.push((why, vec![check])),
        }
    }
    let line = |(why, all): (&str, Vec<&ParityCheck>)| {
        let mark = all.first().map(|check| marks::mark(&check.outcome));
        let names = all.iter().enumerate().fold(el("span").class("names"), |names, (at, check)| {
            let names = if at > 0 { names.text(", ") } else { names };
            names.child(code(&check.name))
        });
        el("li").children(mark).child(names).child(text("span", why))
    };
    reasons.into_iter().map(line).collect()
}

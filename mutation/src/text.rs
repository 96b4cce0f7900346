//! The study as a page of the documentation.

use std::collections::BTreeMap;

use crate::{curve::Point, mutant::Fate, operators::Operator, study::Outcome};

/// `docs/mutation.md`.
#[must_use]
pub fn page(seed: u64, all: &[Outcome], curve: &[Point]) -> String {
    let mut lines: Vec<String> = vec![
        "# Does parity find faults?".into(),
        String::new(),
        format!(
            "`make mutation` (seed {seed}): {} faults in the exported graphs of random models, one at a time, half of them in FP32, a quarter in FP16 and in INT8. ",
            all.len()
        ) + "Each is compared as `onr parity` does, but for the comparison of weights bit by bit, with 24 drawn requests. `onr bisect` is asked for the node where outputs show the fault.",
        String::new(),
    ];
    lines.extend(summary(all));
    lines.push(String::new());
    lines.extend(by_operator(all));
    lines.push(String::new());
    lines.extend(survivors(all));
    lines.push(String::new());
    lines.extend(missed(all));
    lines.push(String::new());
    lines.extend(weights(curve));
    lines.join("\n") + "\n"
}

fn percent(part: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / of.max(1) as f64)
}

fn is_killed(o: &Outcome) -> bool {
    o.fate != Fate::Survived
}

fn summary(all: &[Outcome]) -> Vec<String> {
    let killed = all.iter().filter(|o| is_killed(o)).count();
    let explained = all.iter().filter(|o| o.reason.is_some()).count();
    let real = all.len() - explained;
    let named: Vec<bool> = all.iter().filter_map(Outcome::is_named).collect();
    let right = named.iter().filter(|is| **is).count();
    let alone =
        |o: &&Outcome| matches!(o.fate, Fate::Killed { by_outputs: false, by_relations: true, .. });
    vec![
        "| | |".into(),
        "| --- | --- |".into(),
        format!("| killed | {killed} of {}, {} |", all.len(), percent(killed, all.len())),
        format!("| survivors that compute the same, with the reason below | {explained} |"),
        format!(
            "| survivors that rounding hides: outputs at most 1.1 times as far from the reference as the right graph's | {} |",
            real - killed - all.iter().filter(|o| o.is_missed()).count()
        ),
        format!("| survivors that show | {} |", all.iter().filter(|o| o.is_missed()).count()),
        format!("| killed of those that do not compute the same | {} |", percent(killed, real)),
        format!("| killed by relations alone | {} |", all.iter().filter(alone).count()),
        format!(
            "| `bisect` names the node | {right} of {}, {} |",
            named.len(),
            percent(right, named.len())
        ),
    ]
}

fn by_operator(all: &[Outcome]) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        "| fault | faults | refused by an engine | outputs | relations alone | the same | not found | node named |".into(),
        "| --- | --- | --- | --- | --- | --- | --- | --- |".into(),
    ];
    for operator in Operator::ALL {
        let of: Vec<&Outcome> = all.iter().filter(|o| o.mutant.operator == operator).collect();
        let count = |is: &dyn Fn(&Outcome) -> bool| of.iter().filter(|o| is(o)).count();
        let named = count(&|o| o.is_named() == Some(true));
        let asked = count(&|o| o.is_named().is_some());
        lines.push(format!(
            "| {operator} | {} | {} | {} | {} | {} | {} | {} |",
            of.len(),
            count(&|o| matches!(o.fate, Fate::Refused { .. })),
            count(&|o| matches!(o.fate, Fate::Killed { by_outputs: true, .. })),
            count(&|o| matches!(o.fate, Fate::Killed { by_outputs: false, .. })),
            count(&|o| o.reason.is_some()),
            count(&|o| o.fate == Fate::Survived && o.reason.is_none()),
            if asked == 0 { "-".into() } else { format!("{named} of {asked}") },
        ));
    }
    lines
}

fn survivors(all: &[Outcome]) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        "## Survivors".into(),
        String::new(),
        "| why it is not seen | faults |".into(),
        "| --- | --- |".into(),
    ];
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for o in all.iter().filter(|o| o.fate == Fate::Survived) {
        let m = &o.mutant;
        let fault = format!("`{}` {}: {}", m.node, m.operator, m.change.what);
        let reason = o.reason.map_or_else(|| farther(o), str::to_owned);
        reasons.entry(reason).or_default().push(fault);
    }
    for (reason, faults) in reasons {
        lines.push(format!("| {reason} | {}: {} |", faults.len(), faults.join("; ")));
    }
    lines
}

/// What a survivor without a reason does to the outputs.
fn farther(o: &Outcome) -> String {
    let ratio = o.farther.unwrap_or(f64::INFINITY);
    let how = if o.is_missed() { "**not known**" } else { "rounding hides it" };
    format!(
        "{how}: in {}, outputs {ratio:.3} times as far from the reference as the right graph's",
        o.precision
    )
}

fn missed(all: &[Outcome]) -> Vec<String> {
    let mut lines: Vec<String> = vec!["## Where bisect names another node".into(), String::new()];
    let missed: Vec<String> = all
        .iter()
        .filter(|o| o.is_named() == Some(false))
        .map(|o| {
            let m = &o.mutant;
            let blamed = o.blamed.as_ref().and_then(|b| b.first().cloned());
            let blamed = blamed.map_or_else(|| "nothing".into(), |name| format!("`{name}`"));
            format!(
                "- {} `{}`, {}: {}. It names {blamed}.",
                o.precision, m.node, m.operator, m.change.what
            )
        })
        .collect();
    lines.extend(if missed.is_empty() { vec!["Nowhere.".into()] } else { missed });
    lines
}

fn weights(curve: &[Point]) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        "## The smallest error of a weight".into(),
        String::new(),
        "All numbers of one weight (of its scales, where it is in codes) times 1 + error; how many of them outputs show, of random weights of random models. \
         `onr parity` also compares every weight bit by bit, and finds all of these."
            .into(),
        String::new(),
    ];
    let mut precisions: Vec<&str> = curve.iter().map(|p| p.precision).collect();
    precisions.dedup();
    let mut errors: Vec<f64> = curve.iter().map(|p| p.error).collect();
    errors.sort_by(|a, b| b.total_cmp(a));
    errors.dedup();
    lines.push(format!("| error | {} |", precisions.join(" | ")));
    lines.push(format!("| --- |{}", " --- |".repeat(precisions.len())));
    for error in errors {
        let cells = precisions.iter().map(|precision| {
            let point = curve.iter().find(|p| p.precision == *precision && p.error == error);
            point.map_or_else(String::new, |p| format!("{} of {}", p.found, p.of))
        });
        let cells: Vec<String> = cells.collect();
        lines.push(format!("| 2^{} = {error:.1e} | {} |", error.log2(), cells.join(" | ")));
    }
    lines
}

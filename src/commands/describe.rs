//! A comparison for people. Its JSON and the manifest keep everything.

use onr_runtime::parity::{OutputParity, ParityReport, Status, Strength};

use crate::show::{Detail, Table, figure, seconds};

/// One comparison, on a screen unless all is asked for.
pub(super) fn describe(report: &ParityReport, detail: Detail) -> String {
    let mut lines = head(report);
    let rows: Vec<Row> = match detail {
        Detail::All => report.outputs.iter().map(Row::of).collect(),
        Detail::Short => group(&report.outputs),
    };
    lines.push(table(&rows));
    lines.extend(tail(report, detail));
    lines.join("\n")
}

fn head(report: &ParityReport) -> Vec<String> {
    let strength = match report.strength {
        Strength::FromCheckpoint | Strength::OtherFile => "",
        Strength::Golden => " (recorded elsewhere)",
        Strength::SameFile => " (weaker: a wrong export would agree with itself)",
    };
    vec![
        format!("reference  {}{strength}", report.reference),
        format!(
            "candidate  {} on {}, {}, {} requests ({})",
            report.candidate,
            report.device,
            report.precision,
            report.requests,
            report.requests_from
        ),
    ]
}

/// A line of the table: one output, or the worst of several.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    outputs: usize,
    max_abs: f64,
    max_rel: f64,
    rms_error: f64,
    rms_reference: f64,
    distance: f64,
    error_ratio: Option<f64>,
}

impl Row {
    fn of(o: &OutputParity) -> Self {
        Self {
            name: format!("{} {}", o.graph, o.output),
            outputs: 1,
            max_abs: o.max_abs,
            max_rel: o.max_rel,
            rms_error: o.rms_error,
            rms_reference: o.rms_reference,
            distance: (1.0 - o.min_cosine).max(0.0),
            error_ratio: o.error_ratio,
        }
    }

    /// The worse of each figure. What is not a number is worst.
    fn join(&mut self, other: &Self) {
        let larger = |a: f64, b: f64| if b.is_nan() || b > a { b } else { a };
        self.outputs += 1;
        self.max_abs = larger(self.max_abs, other.max_abs);
        self.max_rel = larger(self.max_rel, other.max_rel);
        self.rms_error = larger(self.rms_error, other.rms_error);
        self.rms_reference = self.rms_reference.min(other.rms_reference);
        self.distance = larger(self.distance, other.distance);
        self.error_ratio = match (self.error_ratio, other.error_ratio) {
            (Some(a), Some(b)) => Some(larger(a, b)),
            (a, b) => a.or(b),
        };
    }
}

/// Keys and values of all layers of a graph in one row.
fn group(outputs: &[OutputParity]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for output in outputs {
        let mut row = Row::of(output);
        let layer = output.output.split_once('.').map(|(family, _)| family);
        if let Some(family) = layer {
            row.name = format!("{} {family}.*", output.graph);
        }
        match rows.iter_mut().find(|r| layer.is_some() && r.name == row.name) {
            Some(same) => same.join(&row),
            None => rows.push(row),
        }
    }
    for row in rows.iter_mut().filter(|r| r.outputs > 1) {
        row.name = format!("{} (worst of {})", row.name, row.outputs);
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let half = rows.iter().any(|r| r.error_ratio.is_some());
    let mut head = vec!["output", "max abs", "max rel", "rms error", "rms", "1 - cosine"];
    if half {
        head.push("x weights");
    }
    let mut table = Table::new(&head);
    for r in rows {
        let figures = [r.max_abs, r.max_rel, r.rms_error, r.rms_reference, r.distance];
        let mut cells = vec![r.name.clone()];
        cells.extend(figures.map(figure));
        if half {
            cells.push(r.error_ratio.map_or_else(String::new, |x| format!("{x:.2}")));
        }
        table.row(cells);
    }
    table.text()
}

fn tail(report: &ParityReport, detail: Detail) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(o) = &report.order {
        let tau = o.kendall.map_or_else(|| "-".to_owned(), |tau| format!("{tau:.4}"));
        lines.push(format!(
            "order      top-{k} overlap {:.4} ({:.2} at worst), tau {tau}, NDCG@{k} lower by {}; ties below {}",
            o.mean_overlap,
            o.min_overlap,
            figure(o.ndcg_shift.max(0.0)),
            figure(o.tie),
            k = o.k,
        ));
    }
    if let Some(dc) = &report.consistency {
        lines.push(format!(
            "DC         {:.4} nats in the reference, {:.4} in the candidate, shift at most {}",
            dc.reference,
            dc.candidate,
            figure(dc.max_shift)
        ));
    }
    lines.extend(relations(report, detail));
    lines.push(format!(
        "time       {} in the reference, {} in the candidate",
        seconds(report.reference_seconds),
        seconds(report.candidate_seconds)
    ));
    lines.push(format!("parity     {}", if report.passed() { "holds" } else { "FAILS" }));
    lines.extend(failures(&report.failures().collect::<Vec<_>>()));
    lines.extend(report.checks.iter().filter_map(|check| match &check.status {
        Status::Excused { why, reason } => {
            Some(format!("  excused, {reason}: {}: {why}", check.name))
        }
        _ => None,
    }));
    lines
}

/// What must hold between the engine's own answers.
fn relations(report: &ParityReport, detail: Detail) -> Vec<String> {
    let mut all =
        report.checks.iter().filter(|check| check.name.starts_with("relation.")).peekable();
    if all.peek().is_none() {
        return Vec::new();
    }
    let (mut hold, mut broken, mut skipped) = (0, 0, Vec::new());
    for check in all {
        match &check.status {
            Status::Passed => hold += 1,
            Status::Failed { .. } | Status::Excused { .. } => broken += 1,
            Status::Skipped { why } => skipped.push(format!("  {} skipped: {why}", check.name)),
        }
    }
    let mut words = format!("relations  {hold} hold");
    if broken > 0 {
        words += &format!(", {broken} broken");
    }
    match (skipped.len(), detail) {
        (0, _) => return vec![words],
        (n, Detail::Short) => words += &format!(", {n} skipped (-v says why)"),
        (n, Detail::All) => words += &format!(", {n} skipped"),
    }
    let reasons = if detail == Detail::All { skipped } else { Vec::new() };
    [vec![words], reasons].concat()
}

/// The first failures; one wrong weight makes dozens.
fn failures(failures: &[String]) -> Vec<String> {
    const SHOWN: usize = 8;
    let mut lines: Vec<String> = failures.iter().take(SHOWN).map(|f| format!("  {f}")).collect();
    if failures.len() > SHOWN {
        lines.push(format!("  and {} more (--json has all)", failures.len() - SHOWN));
    }
    lines
}

#[cfg(test)]
mod tests {
    use onr_runtime::parity::Limit;

    use super::*;

    fn output(graph: &str, output: &str, error: f64) -> OutputParity {
        OutputParity {
            graph: graph.into(),
            output: output.into(),
            max_abs: error,
            max_rel: 2.0 * error,
            min_cosine: 1.0 - error,
            rms_error: error / 2.0,
            rms_reference: 1.0 + error,
            error_ratio: None,
            max_ulp: None,
            sqnr_db: None,
            limit: Limit::Largest(1.0),
            worst_request: 0,
        }
    }

    #[test]
    fn layers_are_shown_by_the_worst_of_them() {
        let rows = group(&[
            output("encode", "present.0.key", 1e-6),
            output("encode", "present.0.value", 4e-6),
            output("append", "present.0.key", 9e-6),
            output("rank", "scores", 3e-6),
        ]);
        let names: Vec<_> = rows.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["encode present.* (worst of 2)", "append present.*", "rank scores"]);
        assert_eq!((rows[0].max_abs, rows[0].rms_reference), (4e-6, 1.0 + 1e-6));
    }

    #[test]
    fn not_a_number_is_worst() {
        let bad = output("encode", "present.1.key", f64::NAN);
        let rows = group(&[output("encode", "present.0.key", 1e-6), bad]);
        assert!(rows[0].max_abs.is_nan());
    }
}

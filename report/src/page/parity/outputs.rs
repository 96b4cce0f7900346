//! All outputs with their figures; those of layers are opened.

use super::{
    super::{
        parts::many,
        table::{code, row, table},
    },
    errors::broken,
    lines::{Line, lines},
};
use crate::{
    data::{Outcome, OutputFigures, OutputLimit, ParityRun},
    element::{Element, el, text},
    number::{self, NONE, fixed, significant},
};

/// A table of single outputs with a line for what the layers of each graph have in common, and one of the layers.
pub(super) fn tables(run: &ParityRun) -> Vec<Element> {
    if run.outputs.is_empty() {
        return Vec::new();
    }
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|c| run.outputs.iter().any(|o| (c.cell)(o).is_some())).collect();
    let graphs = lines(&run.outputs);
    let single = |line: &&Line<'_>| line.layer.is_none();
    let mut plain = Vec::new();
    let mut layered = Vec::new();
    for (graph, lines) in &graphs {
        let of = |some: Vec<&Line<'_>>| body(run, graph, &some, &columns);
        plain.extend(of(lines.iter().filter(single).collect()));
        layered.extend(of(lines.iter().filter(|l| !single(l)).collect()));
    }
    let count = |layers: bool| {
        let all = graphs.iter().flat_map(|(_, lines)| lines);
        all.filter(|l| l.layer.is_some() == layers).map(|l| l.outputs.len()).sum::<usize>() as u64
    };
    let heads: Vec<_> =
        std::iter::once(("Output", "")).chain(columns.iter().map(|c| (c.head, "num"))).collect();
    let mut all = vec![text("h3", "Outputs")];
    if !plain.is_empty() {
        let caption = format!("{}, in the order of the graphs", many(count(false), "output"));
        all.push(el("div").class("outputs").child(table(&caption, &heads, plain)));
    }
    if !layered.is_empty() {
        all.push(fold(run, &graphs, count(true), table("Layer by layer", &heads, layered)));
    }
    all
}

/// The table of layers, closed: its summary has what matters.
fn fold(run: &ParityRun, graphs: &[(&str, Vec<Line<'_>>)], n: u64, table: Element) -> Element {
    let of_layers = || {
        let lines = graphs.iter().flat_map(|(_, lines)| lines).filter(|l| l.layer.is_some());
        lines.flat_map(|l| l.outputs.iter().copied())
    };
    let wrong = of_layers().filter(|o| broken(run, o)).count();
    let worst = of_layers().filter_map(|o| Some((o.relative(o.rms_error)?, o)));
    let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).map_or_else(String::new, |(error, o)| {
        format!("worst is {}.{}, relative {}", o.graph, o.output, significant(error, 2))
    });
    let verdict = (wrong > 0).then(|| {
        let words = format!("✗ {wrong} out of tolerance");
        text("span", &words).class("bad")
    });
    let summary = el("summary")
        .child(text("b", "Keys and values of layers"))
        .child(text("span", &worst).class("note"))
        .children(verdict)
        .child(text("span", &many(n, "output")).class("many"));
    let table = el("div").class("outputs").child(table);
    el("div").class("rules").child(el("details").child(summary).child(table))
}

/// The outputs of a graph below its name.
fn body(run: &ParityRun, graph: &str, lines: &[&Line<'_>], columns: &[&Column]) -> Option<Element> {
    if lines.is_empty() {
        return None;
    }
    let name = text("span", super::super::parts::or_none(graph)).class("still");
    let head = el("th").attr("scope", "rowgroup").attr("colspan", columns.len() + 1).child(name);
    let outputs = lines.iter().flat_map(|line| {
        let mut outputs = line.outputs.clone();
        outputs.sort_by(|a, b| a.output.cmp(&b.output));
        outputs
    });
    let rows = outputs.map(|output| {
        let mark = broken(run, output).then(|| super::marks::mark(&outcome(run, output)));
        let name = el("span").child(code(&output.output)).children(mark);
        let cell = |c: &&Column| {
            let written = (c.cell)(output).unwrap_or_else(|| NONE.into());
            text("td", &written).class("num")
        };
        row(name, columns.iter().map(cell))
    });
    Some(el("tbody").child(el("tr").class("graph").child(head)).children(rows))
}

fn outcome(run: &ParityRun, output: &OutputFigures) -> Outcome {
    let name = format!("{}.{}", output.graph, output.output);
    let check = run.checks.iter().find(|check| check.name == name);
    check.map(|check| check.outcome.clone()).unwrap_or_default()
}

/// A column of the table; one without a single cell is left out.
struct Column {
    head: &'static str,
    cell: fn(&OutputFigures) -> Option<String>,
}

const COLUMNS: [Column; 11] = [
    Column { head: "max abs", cell: |o| Some(significant(o.max_abs, 2)) },
    Column { head: "max rel", cell: |o| Some(significant(o.max_rel, 2)) },
    Column { head: "rms error", cell: |o| Some(significant(o.rms_error, 2)) },
    Column { head: "rms", cell: |o| Some(significant(o.rms_reference, 2)) },
    Column { head: "Relative", cell: |o| o.relative(o.rms_error).map(|r| significant(r, 2)) },
    Column { head: "Limit", cell: limit },
    Column { head: "1 − cosine", cell: |o| o.min_cosine.map(|c| significant(1.0 - c, 2)) },
    Column { head: "SQNR, dB", cell: |o| o.sqnr_db.map(|db| fixed(db, 1)) },
    Column { head: "ULP", cell: |o| o.max_ulp.map(number::short) },
    Column { head: "× weights", cell: |o| o.error_ratio.map(|r| significant(r, 2)) },
    Column { head: "Request", cell: |o| o.worst_request.map(number::count) },
];

fn limit(output: &OutputFigures) -> Option<String> {
    let (of, value) = match output.limit? {
        OutputLimit::Largest(value) => ("max", value),
        OutputLimit::Rms(value) => ("rms", value),
    };
    Some(format!("{of} {}", significant(value, 2)))
}

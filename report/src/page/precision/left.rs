//! What was left in a wider type, and why.

use super::super::{
    Section, many,
    table::{code, num, row, table},
};
use crate::{
    data::{Left, LeftNode, PrecisionReport},
    element::{Element, el, text},
    number::{NONE, significant},
};

pub(super) fn section(report: &PrecisionReport) -> Option<Section> {
    let mut rules: Vec<&Left> = report.left.iter().filter(|l| !l.nodes.is_empty()).collect();
    if rules.is_empty() {
        return None;
    }
    rules.sort_by_key(|l| std::cmp::Reverse(l.nodes.len()));
    let nodes = rules.iter().map(|l| l.nodes.len()).sum::<usize>() as u64;
    let total = format!(
        "{} by {}, those with the most first.",
        many(nodes, "node"),
        many(rules.len() as u64, "rule")
    );
    let body =
        el("div").class("rules").child(text("p", &total)).children(rules.into_iter().map(rule));
    Some(Section::new("left", "Left in wider types", body))
}

fn rule(left: &Left) -> Element {
    let summary = el("summary")
        .child(code(&left.rule))
        .child(text("span", &left.meaning).class("note"))
        .child(text("span", &left.kept).class("way wide"))
        .child(text("span", &many(left.nodes.len() as u64, "node")).class("many"));
    el("details").child(summary).child(nodes(left))
}

/// Columns without a single cell are left out.
fn nodes(left: &Left) -> Element {
    let tensors = left.nodes.iter().any(|n| n.tensor.is_some());
    let values = left.nodes.iter().any(|n| n.value.is_some());
    let mut heads = vec![("Node", ""), ("Operator", "")];
    heads.extend(tensors.then_some(("Decided by", "")));
    heads.extend(values.then_some(("Value", "num")));
    let cells = |node: &LeftNode| {
        let tensor = || node.tensor.as_deref().map_or_else(|| text("span", NONE), code);
        let value = || node.value.map_or_else(|| NONE.into(), |v| significant(v, 3));
        let mut cells = vec![text("td", &node.op)];
        cells.extend(tensors.then(|| el("td").child(tensor())));
        cells.extend(values.then(|| num(&value())));
        row(code(&node.node), cells)
    };
    let body = el("tbody").children(left.nodes.iter().map(cells));
    table(&format!("Nodes kept in {} by {}", left.kept, left.rule), &heads, vec![body])
}

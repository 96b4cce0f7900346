//! The text form of a graph: what snapshots compare and `onr inspect` shows.

use std::fmt::Write as _;

use crate::{
    dim::show_shape,
    graph::{Attr, Graph, Literal, Role, Value, ValueId},
};

/// One line per input, weight, node and output. Stable: no values of weights, no paths, no times.
#[must_use]
pub fn dump(graph: &Graph) -> String {
    let mut lines = vec![format!("graph {}", graph.name)];
    for value in &graph.values {
        match &value.role {
            Role::Input => lines.push(format!("input  {}", typed(value))),
            Role::Weight { .. } => lines.push(format!("weight {}", typed(value))),
            Role::Const(_) | Role::Node => {}
        }
    }
    for node in &graph.nodes {
        let results: Vec<_> = node.outputs.iter().map(|&o| typed(graph.value(o))).collect();
        let operands: Vec<_> = node.inputs.iter().map(|&i| operand(graph, i)).collect();
        let mut line = format!("{} = {}({})", results.join(", "), node.op, operands.join(", "));
        for (name, attr) in &node.attrs {
            let _ = write!(line, " {name}={}", show(attr));
        }
        lines.push(line);
    }
    let outputs: Vec<_> = graph.outputs.iter().map(|&o| graph.value(o).name.as_str()).collect();
    lines.push(format!("return {}", outputs.join(", ")));
    lines.join("\n")
}

fn typed(value: &Value) -> String {
    format!("{} {}{}", value.name, value.dtype, show_shape(&value.shape))
}

fn operand(graph: &Graph, id: ValueId) -> String {
    const MOST: usize = 6;
    let value = graph.value(id);
    let Role::Const(literal) = &value.role else { return value.name.clone() };
    let numbers: Vec<String> = match literal {
        Literal::Float(v) => v.iter().take(MOST).map(|x| format!("{x:?}")).collect(),
        Literal::Int(v) => v.iter().take(MOST).map(i64::to_string).collect(),
        Literal::Bool(v) => v.iter().take(MOST).map(|&b| u8::from(b).to_string()).collect(),
    };
    let count = value.shape.iter().filter_map(|d| d.fixed()).product::<usize>();
    let more = if count > MOST { ",.." } else { "" };
    format!("{}{}{{{}{more}}}", value.dtype, show_shape(&value.shape), numbers.join(","))
}

fn show(attr: &Attr) -> String {
    match attr {
        Attr::Int(n) => n.to_string(),
        Attr::Ints(v) => format!("{v:?}").replace(' ', ""),
        Attr::Float(x) => format!("{x:?}"),
        Attr::Type(t) => t.to_string(),
    }
}

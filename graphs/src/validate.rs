//! The rules that every graph keeps.

use std::collections::BTreeSet;

use crate::{
    graph::{Graph, Role},
    ops::spec,
};

/// Checks a graph: known operators with the right number and type of inputs, every operand defined
/// before it is read, unique names, outputs that exist.
///
/// # Errors
/// The first rule that is broken, with the node.
pub fn validate(graph: &Graph) -> Result<(), String> {
    unique_names(graph)?;
    let mut defined: BTreeSet<_> =
        (0..graph.values.len()).filter(|&i| !matches!(graph.values[i].role, Role::Node)).collect();
    for node in &graph.nodes {
        let spec = spec(node.op).ok_or_else(|| format!("`{}`: unknown {}", node.name, node.op))?;
        if !spec.arity.contains(&node.inputs.len()) {
            return Err(format!("`{}`: {} with {} inputs", node.name, node.op, node.inputs.len()));
        }
        let first = graph.value(node.inputs[0]).dtype;
        if !spec.dtypes.contains(&first) {
            return Err(format!("`{}`: {} of {first}", node.name, node.op));
        }
        for input in &node.inputs {
            if !defined.contains(&input.index()) {
                let name = &graph.value(*input).name;
                return Err(format!("`{}` reads `{name}` before it is computed", node.name));
            }
        }
        for output in &node.outputs {
            if !defined.insert(output.index()) {
                return Err(format!("`{}` is computed twice", graph.value(*output).name));
            }
        }
    }
    for output in &graph.outputs {
        if !defined.contains(&output.index()) {
            return Err(format!("output `{}` is never computed", graph.value(*output).name));
        }
    }
    Ok(())
}

fn unique_names(graph: &Graph) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match graph.values.iter().find(|v| !seen.insert(v.name.as_str())) {
        Some(value) => return Err(format!("two values are named `{}`", value.name)),
        None => seen.clear(),
    }
    match graph.nodes.iter().find(|n| !seen.insert(n.name.as_str())) {
        Some(node) => Err(format!("two nodes are named `{}`", node.name)),
        None => Ok(()),
    }
}

//! Changes that several rewrites need.

use std::collections::{HashMap, HashSet};

use crate::{
    ElemType, Model,
    proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type},
    tensor::tensor,
};

/// A node of the default domain.
#[must_use]
pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    NodeProto {
        op_type: Some(op.to_owned()),
        name: Some(name.to_owned()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

/// An integer attribute.
#[must_use]
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

/// `output = Cast(input)`, the node named `output/Cast`.
#[must_use]
pub fn cast(input: &str, output: &str, to: ElemType) -> NodeProto {
    let mut cast = node("Cast", &format!("{output}/Cast"), &[input], &[output]);
    cast.attribute.push(int("to", to.code().into()));
    cast
}

/// Removes nodes whose results nobody reads, then initializers that nobody reads.
///
/// Values that the bodies of `If`, `Loop` and `Scan` take from outside count as read.
pub fn prune(graph: &mut GraphProto) {
    let mut live: HashSet<String> = graph.output.iter().map(|o| o.label().to_owned()).collect();
    let mut keep = vec![false; graph.node.len()];
    for (at, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|o| live.contains(o)) {
            keep[at] = true;
            live.extend(reads(node));
        }
    }
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().unwrap_or(false));
    let gone = |t: &TensorProto| !live.contains(t.label());
    let dropped: HashSet<String> =
        graph.initializer.iter().filter(|t| gone(t)).map(|t| t.label().to_owned()).collect();
    graph.initializer.retain(|t| !gone(t));
    // Old files list their initializers among the inputs.
    graph.input.retain(|input| !dropped.contains(input.label()));
    let made: HashSet<_> = graph.node.iter().flat_map(|n| n.output.iter().cloned()).collect();
    graph.value_info.retain(|info| made.contains(info.label()));
}

/// All values that a node reads: its inputs, and what its bodies read, their own values included.
#[must_use]
pub fn reads(node: &NodeProto) -> HashSet<String> {
    let mut names: HashSet<String> = node.input.iter().filter(|i| !i.is_empty()).cloned().collect();
    let bodies = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
    bodies.for_each(|body| names_read(body, &mut names));
    names
}

/// All names that a body reads, its own values included.
fn names_read(body: &GraphProto, names: &mut HashSet<String>) {
    for node in &body.node {
        names.extend(node.input.iter().cloned());
        for inner in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            names_read(inner, names);
        }
    }
    names.extend(body.output.iter().map(|o| o.label().to_owned()));
}

/// Makes the constants that products take as weights initializers: the tensors of `Constant` nodes, and
/// initializers behind an `Identity`. The nodes stay where somebody else reads them.
pub fn settle_weights(graph: &mut GraphProto) {
    let mut given: HashSet<String> =
        graph.initializer.iter().map(|t| t.label().to_owned()).collect();
    let makers: HashMap<String, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(at, n)| n.output.iter().cloned().map(move |o| (o, at)))
        .collect();
    for at in 0..graph.node.len() {
        if !matches!(graph.node[at].op(), "MatMul" | "Gemm" | "Conv") {
            continue;
        }
        for input in 0..graph.node[at].input.len() {
            let name = graph.node[at].input[input].clone();
            let Some(maker) = makers.get(&name).map(|maker| &graph.node[*maker]) else { continue };
            if maker.op() == "Identity" && maker.input.first().is_some_and(|i| given.contains(i)) {
                graph.node[at].input[input] = maker.input[0].clone();
                continue;
            }
            let value = maker.attribute("value").filter(|_| maker.op() == "Constant");
            let Some(tensor) = value.and_then(|value| value.t.clone()) else { continue };
            let settled = format!("{name}/settled");
            if given.insert(settled.clone()) {
                graph.initializer.push(TensorProto { name: Some(settled.clone()), ..tensor });
            }
            graph.node[at].input[input] = settled;
        }
    }
}

/// Reductions whose axes became an input in opset 18.
const REDUCTIONS: [&str; 9] = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
];

/// Brings a model to `opset` of the default domain, 21 at most, if it is below.
///
/// # Errors
/// The opset of the model and why it can't be raised, in words: below 13 operators changed in more ways than
/// this knows.
pub fn upgrade(model: &mut Model, opset: i64) -> Result<(), String> {
    let from = model.opset();
    if from >= opset {
        return Ok(());
    }
    if from < 13 {
        return Err(format!("opset {from} is older than 13: convert the model first"));
    }
    if from < 18 && opset >= 18 {
        let graph = model.graph_mut();
        let mut axes = Vec::new();
        for (at, node) in graph.node.iter_mut().enumerate() {
            if node.op() == "Split" && node.input.len() < 2 {
                node.attribute.push(int("num_outputs", node.output.len() as i64));
            }
            if REDUCTIONS.contains(&node.op())
                && let Some(index) =
                    node.attribute.iter().position(|a| a.name.as_deref() == Some("axes"))
            {
                let list = node.attribute.remove(index).ints;
                let name = format!("{}/axes.{at}", node.label());
                let bytes: Vec<u8> = list.iter().flat_map(|n| n.to_le_bytes()).collect();
                axes.push(tensor(&name, ElemType::Int64, &[list.len() as i64], bytes));
                node.input.push(name);
            }
        }
        graph.initializer.extend(axes);
    }
    model.raise_opset(opset);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proto::attribute_type::TENSOR, tensor::scalar};

    #[test]
    fn weights_in_constant_nodes_and_behind_identities_are_settled() {
        let mut constant = node("Constant", "c", &[], &["w"]);
        constant.attribute.push(AttributeProto {
            name: Some("value".into()),
            t: Some(scalar("", ElemType::Float, 2.0)),
            r#type: Some(TENSOR),
            ..AttributeProto::default()
        });
        let mut graph = GraphProto {
            node: vec![
                constant,
                node("Identity", "i", &["v"], &["shared"]),
                node("MatMul", "a", &["x", "w"], &["y"]),
                node("MatMul", "b", &["y", "w"], &["z"]),
                node("Gemm", "g", &["z", "shared"], &["out"]),
            ],
            initializer: vec![scalar("v", ElemType::Float, 1.0)],
            ..GraphProto::default()
        };
        settle_weights(&mut graph);
        let reads: Vec<_> = graph.node[2..].iter().map(|n| n.input[1].as_str()).collect();
        assert_eq!(reads, ["w/settled", "w/settled", "v"]);
        let names: Vec<_> = graph.initializer.iter().map(TensorProto::label).collect();
        assert_eq!(names, ["v", "w/settled"]);
    }

    #[test]
    fn inputs_of_initializers_go_with_them() {
        let info = |name: &str| crate::proto::ValueInfoProto {
            name: Some(name.to_owned()),
            ..crate::proto::ValueInfoProto::default()
        };
        let mut graph = GraphProto {
            node: vec![node("Add", "a", &["x", "v"], &["y"])],
            input: vec![info("x"), info("v"), info("w"), info("unread")],
            output: vec![info("y")],
            initializer: ["v", "w"].map(|name| scalar(name, ElemType::Float, 1.0)).to_vec(),
            ..GraphProto::default()
        };
        prune(&mut graph);
        let inputs: Vec<_> = graph.input.iter().map(|i| i.label()).collect();
        assert_eq!(inputs, ["x", "v", "unread"]);
    }
}

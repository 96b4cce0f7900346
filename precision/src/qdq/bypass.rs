//! The same model without the rounding of activations.

use std::collections::HashMap;

use onr_onnx::{edit, proto::GraphProto};

/// Lets what read an activation's codes read the activation: `QuantizeLinear` and the `DequantizeLinear` behind it go.
/// Codes of weights stay, and so do codes that are inputs or outputs of the graph. Returns how many pairs went.
///
/// What is left computes with the same numbers up to the steps of the codes that are gone, and unlike them it is
/// smooth: two such models that are the same but for the order of sums agree as closely as their float types allow.
pub fn bypass_activations(graph: &mut GraphProto) -> usize {
    let sources: HashMap<String, String> = graph
        .node
        .iter()
        .filter(|node| node.op() == "QuantizeLinear")
        .filter_map(|node| Some((node.output.first()?.clone(), node.input.first()?.clone())))
        .collect();
    let mut instead: HashMap<String, String> = HashMap::new();
    for node in graph.node.iter().filter(|node| node.op() == "DequantizeLinear") {
        let (Some(codes), Some(back)) = (node.input.first(), node.output.first()) else { continue };
        let published = graph.output.iter().any(|output| output.label() == back);
        if let Some(source) = sources.get(codes).filter(|_| !published) {
            // Pairs in a row: nodes stand in order, so the first of them is known.
            let source = instead.get(source).unwrap_or(source).clone();
            instead.insert(back.clone(), source);
        }
    }
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(source) = instead.get(name) {
            name.clone_from(source);
        }
    }
    edit::prune(graph);
    instead.len()
}

#[cfg(test)]
mod tests {
    use onr_onnx::{ElemType, proto::ValueInfoProto, scalar};

    use super::*;

    fn info(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
    }

    fn graph(nodes: &[(&str, [&str; 3], &str)], output: &str) -> GraphProto {
        GraphProto {
            node: nodes
                .iter()
                .map(|(op, read, made)| edit::node(op, made, read, &[made]))
                .collect(),
            input: vec![info("x")],
            output: vec![info(output)],
            initializer: ["s", "z", "w"].map(|n| scalar(n, ElemType::Float, 1.0)).to_vec(),
            ..GraphProto::default()
        }
    }

    #[test]
    fn activations_lose_their_codes_and_weights_keep_theirs() {
        let mut graph = graph(
            &[
                ("QuantizeLinear", ["x", "s", "z"], "q"),
                ("DequantizeLinear", ["q", "s", "z"], "d"),
                ("QuantizeLinear", ["d", "s", "z"], "q2"),
                ("DequantizeLinear", ["q2", "s", "z"], "d2"),
                ("DequantizeLinear", ["w", "s", "z"], "dw"),
                ("MatMul", ["d2", "dw", ""], "y"),
            ],
            "y",
        );
        assert_eq!(bypass_activations(&mut graph), 2);
        let ops: Vec<&str> = graph.node.iter().map(|node| node.op()).collect();
        assert_eq!(ops, ["DequantizeLinear", "MatMul"]);
        assert_eq!(graph.node[1].input[..2], ["x", "dw"]);
    }

    #[test]
    fn codes_that_leave_the_graph_stay() {
        let mut out = graph(&[("QuantizeLinear", ["x", "s", "z"], "q")], "q");
        assert_eq!((bypass_activations(&mut out), out.node.len()), (0, 1));
        let nodes =
            [("QuantizeLinear", ["x", "s", "z"], "q"), ("DequantizeLinear", ["q", "s", "z"], "d")];
        let mut out = graph(&nodes, "d");
        assert_eq!((bypass_activations(&mut out), out.node.len()), (0, 2));
    }
}

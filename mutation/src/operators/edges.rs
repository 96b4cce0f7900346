//! Nodes that are put in between.

use onr_onnx::{ElemType, edit, proto::NodeProto};
use rand::Rng as _;

use super::{Done, Site};

impl Site<'_> {
    /// Puts a node behind the first output of this one; it keeps the output's name.
    fn behind(&mut self, make: impl FnOnce(&str, &str) -> NodeProto) -> Option<Vec<String>> {
        let own = self.node().label().to_owned();
        let output = self.node().output.first()?.clone();
        let inner = self.fresh(&output);
        let node = make(&inner, &output);
        let added = node.label().to_owned();
        let at = self.at;
        let graph = self.graph();
        graph.node[at].output[0].clone_from(&inner);
        graph.node.insert(at + 1, node);
        Some(vec![own, added])
    }

    /// Makes all readers of a graph input read what `nodes` make of it.
    fn before_readers(&mut self, input: &str, nodes: Vec<NodeProto>, result: &str) -> Vec<String> {
        let mut right = self.readers(input);
        let graph = self.graph();
        for node in &mut graph.node {
            for read in node.input.iter_mut().filter(|read| *read == input) {
                result.clone_into(read);
            }
        }
        right.extend(nodes.iter().map(|node| node.label().to_owned()));
        graph.node.splice(0..0, nodes);
        right
    }
}

/// A little more or less.
pub(super) fn scale(site: &mut Site<'_>) -> Done {
    let output = site.node().output.first()?.clone();
    let elem = site.elem(&output).filter(|elem| elem.is_activation())?;
    let k = site.rng.random_range(1..=8);
    let sign = if site.rng.random() { 1.0 } else { -1.0 };
    let factor = 1.0 + sign * 2_f32.powi(-k);
    let name = format!("{output}/mutant.factor");
    site.graph().initializer.push(onr_onnx::scalar(&name, elem, factor));
    let right = site.behind(|inner, output| {
        edit::node("Mul", &format!("{output}/mutant.Mul"), &[inner, &name], &[output])
    })?;
    Some((format!("times {factor}"), right))
}

/// The opposite of a mask.
pub(super) fn invert_mask(site: &mut Site<'_>) -> Done {
    let output = site.node().output.first()?.clone();
    site.elem(&output).filter(|elem| *elem == ElemType::Bool)?;
    let right = site.behind(|inner, output| {
        edit::node("Not", &format!("{output}/mutant.Not"), &[inner], &[output])
    })?;
    Some(("the opposite".into(), right))
}

/// Lengths that are one off. The first node stands for the graph's inputs.
pub(super) fn stale_slot(site: &mut Site<'_>) -> Done {
    let lens: Vec<String> = site
        .model
        .graph()
        .input
        .iter()
        .map(|input| input.label().to_owned())
        .filter(|name| name.ends_with("_lens"))
        .collect();
    let read = site.node().input.iter().find(|input| lens.contains(input))?.clone();
    let step: i64 = if site.rng.random() { 1 } else { -1 };
    let (name, result) = (format!("{read}/mutant.step"), format!("{read}/mutant"));
    let constant = onr_onnx::tensor(&name, ElemType::Int64, &[], step.to_le_bytes().to_vec());
    site.graph().initializer.push(constant);
    let node = edit::node("Add", &format!("{read}/mutant.Add"), &[&read, &name], &[&result]);
    let right = site.before_readers(&read, vec![node], &result);
    Some((format!("`{read}` {step:+}"), right))
}

/// Integers that pass through 32 bits.
pub(super) fn truncate_ids(site: &mut Site<'_>) -> Done {
    let inputs = site.model.graph().input.iter();
    let ids: Vec<String> = inputs
        .map(|input| input.label().to_owned())
        .filter(|name| name.ends_with("_ids") || name.contains("time"))
        .collect();
    let read = site.node().input.iter().find(|input| ids.contains(input))?.clone();
    let (short, result) = (format!("{read}/mutant.short"), format!("{read}/mutant"));
    let nodes = vec![
        edit::cast(&read, &short, ElemType::Int32),
        edit::cast(&short, &result, ElemType::Int64),
    ];
    let right = site.before_readers(&read, nodes, &result);
    Some((format!("`{read}` cut to 32 bits"), right))
}

/// A gathered value from the row before.
pub(super) fn other_row(site: &mut Site<'_>) -> Done {
    if site.node().op() != "Gather" {
        return None;
    }
    let own = site.own();
    let indices = site.node().input.get(1)?.clone();
    if site.is_constant(&indices) {
        return None;
    }
    let (name, result) = (format!("{}/mutant.one", own[0]), site.fresh(&own[0]));
    // The row before: negative indices count from the end, which is a row too.
    let one = onr_onnx::tensor(&name, ElemType::Int64, &[], 1_i64.to_le_bytes().to_vec());
    let node = edit::node("Sub", &format!("{result}.Sub"), &[&indices, &name], &[&result]);
    let added = node.label().to_owned();
    let at = site.at;
    let graph = site.graph();
    graph.initializer.push(one);
    graph.node[at].input[1].clone_from(&result);
    graph.node.insert(at, node);
    Some(("the row before".into(), vec![own[0].clone(), added]))
}

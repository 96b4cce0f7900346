//! Changes of a node itself.

use onr_onnx::{ElemType, edit};
use rand::Rng as _;

use super::{Done, Site};

/// Two axes of a `Transpose` swapped, or a square constant in front of a product transposed.
pub(super) fn transpose(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let node = site.node();
    if node.op() == "Transpose" {
        let at = site.at;
        let n = node.attribute("perm")?.ints.len();
        let first = site.rng.random_range(0..n);
        let second = (first + site.rng.random_range(1..n)) % n;
        let perm = site.graph().node[at].attribute.iter_mut();
        let perm = perm.into_iter().find(|a| a.name.as_deref() == Some("perm"))?;
        perm.ints.swap(first, second);
        let what = format!("perm {:?}", perm.ints);
        return Some((what, own));
    }
    if node.op() != "MatMul" {
        return None;
    }
    let weight = node.input.get(1)?.clone();
    let dims = site.model.initializer(&weight)?.dims.clone();
    if !matches!(dims.as_slice(), [a, b] if a == b && *a > 1) {
        return None;
    }
    let turned = site.fresh(&own[0]);
    let node = edit::node("Transpose", &turned, &[&weight], &[&turned]);
    let at = site.at;
    let graph = site.graph();
    graph.node[at].input[1].clone_from(&turned);
    graph.node.insert(at, node);
    Some((format!("`{weight}` transposed"), vec![own[0].clone(), turned]))
}

/// The first two inputs of an operator for which they differ; the two sides of a `Where`.
pub(super) fn swap_inputs(site: &mut Site<'_>) -> Done {
    const CARES: [&str; 9] =
        ["Sub", "Div", "MatMul", "Less", "LessOrEqual", "GreaterOrEqual", "Concat", "Pow", "Where"];
    let own = site.own();
    let node = site.node();
    let (a, b) = if node.op() == "Where" { (1, 2) } else { (0, 1) };
    let cares = CARES.contains(&node.op()) && node.input.get(a)? != node.input.get(b)?;
    if !cares {
        return None;
    }
    let at = site.at;
    site.graph().node[at].input.swap(a, b);
    Some((format!("inputs {a} and {b} swapped"), own))
}

/// An `axis` attribute that is another one.
pub(super) fn wrong_axis(site: &mut Site<'_>) -> Done {
    let own = site.own();
    let at = site.at;
    let step = if site.rng.random() { 1 } else { -1 };
    let axis = site.graph().node[at].attribute.iter_mut();
    let axis = axis.into_iter().find(|a| a.name.as_deref() == Some("axis"))?;
    let old = axis.i?;
    axis.i = Some(old + step);
    Some((format!("axis {} for {old}", old + step), own))
}

/// A choice that always takes one side.
pub(super) fn drop_mask(site: &mut Site<'_>) -> Done {
    let own = site.own();
    if site.node().op() != "Where" {
        return None;
    }
    let side: usize = if site.rng.random() { 1 } else { 2 };
    let condition = site.fresh(&own[0]);
    let always = onr_onnx::tensor(&condition, ElemType::Bool, &[], vec![u8::from(side == 1)]);
    let old = site.node().input[0].clone();
    let at = site.at;
    // Broadcast with the old condition, so that the shape stays.
    let op = if side == 1 { "Or" } else { "And" };
    let joined = format!("{condition}/{op}");
    let node = edit::node(op, &joined, &[&old, &condition], &[&joined]);
    let graph = site.graph();
    graph.initializer.push(always);
    graph.node[at].input[0].clone_from(&joined);
    graph.node.insert(at, node);
    Some((format!("takes input {side} always"), vec![own[0].clone(), joined]))
}

/// Operators that are nearly the same.
pub(super) fn wrong_operator(site: &mut Site<'_>) -> Done {
    const NEAR: [(&str, &[&str]); 15] = [
        ("Add", &["Sub", "Mul"]),
        ("Sub", &["Add"]),
        ("Mul", &["Add", "Div"]),
        ("Div", &["Mul"]),
        ("Less", &["LessOrEqual", "Greater"]),
        ("LessOrEqual", &["Less", "GreaterOrEqual"]),
        ("GreaterOrEqual", &["Greater", "LessOrEqual"]),
        ("And", &["Or"]),
        ("Max", &["Min"]),
        ("Min", &["Max"]),
        ("Floor", &["Ceil", "Round"]),
        ("Sigmoid", &["Tanh", "Relu"]),
        ("Sqrt", &["Identity"]),
        ("ReduceSum", &["ReduceMean", "ReduceMax"]),
        ("Softmax", &["LogSoftmax"]),
    ];
    let own = site.own();
    let op = site.node().op().to_owned();
    let near = NEAR.iter().find(|(of, _)| *of == op)?.1;
    let other = near[site.rng.random_range(0..near.len())];
    let at = site.at;
    site.graph().node[at].op_type = Some(other.to_owned());
    Some((format!("{other} for {op}"), own))
}

/// A function of one value that is not applied.
pub(super) fn skip(site: &mut Site<'_>) -> Done {
    const FUNCTIONS: [&str; 7] =
        ["Sigmoid", "Abs", "Log", "Floor", "LayerNormalization", "Sqrt", "Softmax"];
    let own = site.own();
    let op = site.node().op().to_owned();
    if !FUNCTIONS.contains(&op.as_str()) {
        return None;
    }
    let at = site.at;
    let node = &mut site.graph().node[at];
    node.op_type = Some("Identity".to_owned());
    node.input.truncate(1);
    node.attribute.clear();
    Some((format!("no {op}"), own))
}

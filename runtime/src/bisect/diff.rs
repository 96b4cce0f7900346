//! What differs between the same place of two files, in words: `candidate / reference`.

use std::collections::HashSet;

use onr_onnx::{
    ElemType, floats,
    proto::{AttributeProto, NodeProto, TensorProto},
};

use super::{matching::Matching, matching::is_type_only, plan::Region, side::Side, side::as_type};
use crate::tensor::HostTensor;

/// Constants of at most this many numbers are told whole.
const FEW: usize = 4;

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The candidate's node that has it.
    pub(super) node: Option<usize>,
    pub(super) words: String,
}

/// A model and the nodes of it that are compared.
type Place<'a> = (&'a Side<'a>, &'a Region);

/// The differences of two regions, those that are of more than types first.
pub(super) fn changes(ours: Place<'_>, theirs: Place<'_>, matching: &Matching) -> Vec<Change> {
    let (candidate, reference) = (ours.0, theirs.0);
    let mut found = Vec::new();
    let mut types = Vec::new();
    let mut met = HashSet::new();
    for at in &ours.1.nodes {
        let node = &candidate.model.graph().node[*at];
        let Some(other) = matching.nodes.get(at) else {
            let words = format!("{} `{}` is only in the candidate", node.op(), node.label());
            match is_type_only(node) {
                true => types.push(Change { node: None, words }),
                false => found.push(Change { node: Some(*at), words }),
            }
            continue;
        };
        met.insert(*other);
        let reference_node = &reference.model.graph().node[*other];
        let words = pair((candidate, node), (reference, reference_node), matching);
        found.extend(words.into_iter().map(|words| Change { node: Some(*at), words }));
    }
    for at in theirs.1.nodes.iter().filter(|at| !met.contains(at)) {
        let node = &reference.model.graph().node[*at];
        let words = format!("{} `{}` is only in the reference", node.op(), node.label());
        let into = if is_type_only(node) { &mut types } else { &mut found };
        into.push(Change { node: None, words });
    }
    found.append(&mut types);
    found
}

/// The differences of two nodes.
fn pair(
    ours: (&Side<'_>, &NodeProto),
    theirs: (&Side<'_>, &NodeProto),
    m: &Matching,
) -> Vec<String> {
    let (a, b) = (ours.1, theirs.1);
    let mut words = Vec::new();
    let called = format!("{} `{}`", a.op(), a.label());
    if a.op() != b.op() || a.domain.as_deref().unwrap_or("") != b.domain.as_deref().unwrap_or("") {
        words.push(format!("operator of `{}`: {} / {}", a.label(), a.op(), b.op()));
    }
    if !is_type_only(a) {
        words.extend(attributes(a, b).into_iter().map(|w| format!("{called}: {w}")));
    }
    let mut moved = false;
    for at in 0..a.input.len().max(b.input.len()) {
        let empty = String::new();
        let (x, y) = (a.input.get(at).unwrap_or(&empty), b.input.get(at).unwrap_or(&empty));
        match (constant(ours.0, x), constant(theirs.0, y)) {
            (Some(x), Some(y)) => words.extend(numbers((ours.0, x), (theirs.0, y))),
            (None, None) => {
                let x = behind(ours.0, x);
                moved |= m.values.get(x).map_or(x, String::as_str) != behind(theirs.0, y);
            }
            _ => moved = true,
        }
    }
    if moved {
        let (x, y) = (a.input.join(", "), b.input.join(", "));
        words.push(format!("{called}: inputs {x} / {y}"));
    }
    words
}

/// Attributes that differ.
fn attributes(a: &NodeProto, b: &NodeProto) -> Vec<String> {
    let names = |node: &NodeProto| -> Vec<String> {
        node.attribute.iter().filter_map(|a| a.name.clone()).collect()
    };
    let mut all = [names(a), names(b)].concat();
    all.sort();
    all.dedup();
    let text = |node: &NodeProto, name: &str| match node.attribute(name) {
        None => "none".to_owned(),
        Some(attribute) => value(attribute),
    };
    let same = |name: &String| {
        let plain = |node: &NodeProto| {
            let attribute = node.attribute(name).cloned();
            attribute.map(|a| AttributeProto { doc_string: None, ..a })
        };
        plain(a) == plain(b)
    };
    let differ = all.into_iter().filter(|name| !same(name));
    differ.map(|name| format!("{name} {} / {}", text(a, &name), text(b, &name))).collect()
}

/// An attribute for people.
fn value(attribute: &AttributeProto) -> String {
    if let Some(number) = attribute.i {
        return number.to_string();
    }
    if let Some(number) = attribute.f {
        return number.to_string();
    }
    if let Some(text) = &attribute.s {
        return format!("`{}`", String::from_utf8_lossy(text));
    }
    if !attribute.floats.is_empty() {
        return format!("{:?}", attribute.floats);
    }
    match (&attribute.t, &attribute.g) {
        (Some(_), _) => "a tensor".to_owned(),
        (_, Some(_)) => "a body".to_owned(),
        _ => format!("{:?}", attribute.ints),
    }
}

/// The value behind casts.
fn behind<'s>(side: &'s Side<'_>, mut name: &'s str) -> &'s str {
    let nodes = &side.model.graph().node;
    while let Some(node) = side.links.producer(name).map(|at| &nodes[at]) {
        match node.input.first().filter(|_| is_type_only(node)) {
            Some(input) => name = input,
            None => break,
        }
    }
    name
}

/// The constant that a node reads, casts aside.
fn constant<'s>(side: &'s Side<'_>, input: &'s str) -> Option<&'s TensorProto> {
    let name = behind(side, input);
    let made = || {
        let node = &side.model.graph().node[side.links.producer(name)?];
        node.attribute("value").filter(|_| node.op() == "Constant")?.t.as_ref()
    };
    side.model.initializer(name).or_else(made)
}

/// How two constants differ; rounding to another type is no difference.
fn numbers(ours: (&Side<'_>, &TensorProto), theirs: (&Side<'_>, &TensorProto)) -> Option<String> {
    let (a, b) = (ours.1, theirs.1);
    let name = a.label();
    if a.dims != b.dims {
        return Some(format!("weight {name} has shape {:?} / {:?}", a.dims, b.dims));
    }
    let elem = |t: &TensorProto| t.data_type.and_then(ElemType::of);
    let (x, y) = (elem(a)?, elem(b)?);
    let bytes = (ours.0.model.bytes(a).ok()?, theirs.0.model.bytes(b).ok()?);
    if x == y && bytes.0 == bytes.1 {
        return None;
    }
    let wide = (floats(x, &bytes.0), floats(y, &bytes.1));
    let (Some(got), Some(want)) = wide else {
        return Some(match x == y {
            false => format!("weight {name} is {x} / {y}"),
            true => integers(name, x, &bytes.0, &bytes.1),
        });
    };
    let want = rounded(want, x)?;
    let differ = got.iter().zip(&want).filter(|(g, w)| g.to_bits() != w.to_bits()).count();
    match (differ, want.len()) {
        (0, _) => None,
        (_, n) if n <= FEW => Some(format!("constant {name}: {got:?} / {want:?}")),
        (_, n) => Some(format!("weight {name} differs in {differ} of {n} numbers")),
    }
}

/// Numbers that are no floats.
fn integers(name: &str, elem: ElemType, got: &[u8], want: &[u8]) -> String {
    let width = elem.bits().div_ceil(8).max(1);
    let count = got.len() / width;
    if elem == ElemType::Int64 && count <= FEW {
        let list = |bytes: &[u8]| -> Vec<i64> {
            bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
        };
        return format!("constant {name}: {:?} / {:?}", list(got), list(want));
    }
    let pairs = got.chunks(width).zip(want.chunks(width));
    let differ = pairs.filter(|(g, w)| g != w).count();
    format!("weight {name} differs in {differ} of {count} numbers")
}

fn rounded(values: Vec<f32>, elem: ElemType) -> Option<Vec<f32>> {
    let count = values.len();
    as_type(&HostTensor::of(&[count], values), elem)?.to_f32()
}

//! Which value of one file is which of another.
//!
//! A node is another's when it is the same operator on the same values; names decide where several are, and
//! where the fault itself made a difference. What only changes the type of numbers (`Cast`, and what quantizes)
//! is looked through, so that a file in another precision keeps its places.

use std::collections::{BTreeMap, HashMap, HashSet};

use onr_onnx::{
    Links,
    proto::{GraphProto, NodeProto},
};

/// Operators that change the type of numbers.
const TYPES_ONLY: [&str; 4] = ["Cast", "Identity", "QuantizeLinear", "DequantizeLinear"];

/// Does a node only change the type of numbers?
pub(super) fn is_type_only(node: &NodeProto) -> bool {
    TYPES_ONLY.contains(&node.op())
}

/// Counterparts in the reference, by candidate.
#[derive(Debug, Default)]
pub(super) struct Matching {
    pub(super) values: HashMap<String, String>,
    pub(super) nodes: BTreeMap<usize, usize>,
}

impl Matching {
    /// Of a file with itself.
    pub(super) fn identity(graph: &GraphProto) -> Self {
        let made = graph.node.iter().flat_map(|n| &n.output).filter(|o| !o.is_empty());
        let values = made.chain(graph.input.iter().filter_map(|i| i.name.as_ref()));
        Self {
            values: values.map(|v| (v.clone(), v.clone())).collect(),
            nodes: (0..graph.node.len()).map(|n| (n, n)).collect(),
        }
    }

    /// Of two files.
    pub(super) fn of(candidate: &GraphProto, reference: &GraphProto) -> Self {
        let (ours, theirs) = (Sources::new(candidate), Sources::new(reference));
        let known: HashSet<&str> = reference.input.iter().map(|i| i.label()).collect();
        let inputs = candidate.input.iter().map(|i| i.label()).filter(|name| known.contains(name));
        let mut matching = Self {
            values: inputs.map(|name| (name.to_owned(), name.to_owned())).collect(),
            nodes: BTreeMap::new(),
        };
        let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
        let mut by_output: HashMap<&str, usize> = HashMap::new();
        for (at, node) in reference.node.iter().enumerate() {
            by_key.entry(theirs.key(node, &str::to_owned)).or_default().push(at);
            by_output.extend(node.output.iter().map(|o| (o.as_str(), at)));
        }
        let mut taken = HashSet::new();
        for (at, node) in candidate.node.iter().enumerate() {
            let values = &matching.values;
            let key = ours.key(node, &|name| values.get(name).cloned().unwrap_or(name.to_owned()));
            let alike = by_key.get(&key).map_or(&[][..], Vec::as_slice);
            let free: Vec<usize> = alike.iter().copied().filter(|n| !taken.contains(n)).collect();
            let found = choose(node, &free, reference, &ours, &theirs).or_else(|| {
                let same = node.output.first().and_then(|o| by_output.get(o.as_str()))?;
                let their_key = theirs.key(&reference.node[*same], &str::to_owned);
                (!taken.contains(same) && key.is_near(&their_key)).then_some(*same)
            });
            let Some(found) = found else { continue };
            taken.insert(found);
            matching.nodes.insert(at, found);
            let outputs = node.output.iter().zip(&reference.node[found].output);
            let outputs = outputs.filter(|(a, b)| !a.is_empty() && !b.is_empty());
            matching.values.extend(outputs.map(|(a, b)| (a.clone(), b.clone())));
        }
        // The outputs of a graph are a contract: their names decide.
        let known: HashSet<&str> = reference.output.iter().map(|o| o.label()).collect();
        for output in candidate.output.iter().map(|o| o.label()).filter(|o| known.contains(o)) {
            matching.values.insert(output.to_owned(), output.to_owned());
        }
        matching
    }
}

/// Of several nodes that do the same, the one with the name, or the only one, or the one with the constants.
fn choose(
    node: &NodeProto,
    free: &[usize],
    reference: &GraphProto,
    ours: &Sources<'_>,
    theirs: &Sources<'_>,
) -> Option<usize> {
    let named = free.iter().find(|n| reference.node[**n].output.first() == node.output.first());
    if let Some(named) = named {
        return Some(*named);
    }
    if let [only] = free {
        return Some(*only);
    }
    let constants = ours.constants(node);
    free.iter().copied().find(|n| theirs.constants(&reference.node[*n]) == constants)
}

/// What a node does on what.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Key {
    domain: String,
    op: String,
    sources: Vec<Source>,
}

#[derive(PartialEq, Eq, Hash, Debug, Clone, PartialOrd, Ord)]
enum Source {
    Absent,
    Constant,
    Value(String),
}

impl Key {
    /// Could one be the other with a fault in it?
    fn is_near(&self, other: &Self) -> bool {
        let sorted = |key: &Self| {
            let mut sources = key.sources.clone();
            sources.sort();
            sources
        };
        let values = |key: &Self| -> HashSet<Source> {
            key.sources.iter().filter(|s| matches!(s, Source::Value(_))).cloned().collect()
        };
        let (a, b) = (values(self), values(other));
        let shared = !a.is_disjoint(&b);
        let none = a.is_empty() && b.is_empty();
        let same_op = self.op == other.op && self.domain == other.domain;
        (same_op && (shared || none)) || (shared && sorted(self) == sorted(other))
    }
}

/// Where the values of a graph come from, types aside.
struct Sources<'a> {
    graph: &'a GraphProto,
    links: Links,
    constants: HashSet<&'a str>,
}

impl<'a> Sources<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let stored = graph.initializer.iter().map(|t| t.label());
        let made = graph.node.iter().filter(|n| n.op() == "Constant");
        let constants = stored.chain(made.flat_map(|n| &n.output).map(String::as_str)).collect();
        Self { graph, links: Links::new(graph), constants }
    }

    /// The value behind casts.
    fn behind<'v>(&'v self, mut value: &'v str) -> &'v str {
        while let Some(node) = self.links.producer(value).map(|n| &self.graph.node[n]) {
            match node.input.first().filter(|_| is_type_only(node)) {
                Some(input) => value = input,
                None => break,
            }
        }
        value
    }

    fn key(&self, node: &NodeProto, name: &dyn Fn(&str) -> String) -> Key {
        let source = |input: &String| {
            if input.is_empty() {
                return Source::Absent;
            }
            let value = self.behind(input);
            if self.constants.contains(value) {
                return Source::Constant;
            }
            Source::Value(name(value))
        };
        Key {
            domain: node.domain.clone().unwrap_or_default(),
            op: node.op().to_owned(),
            sources: node.input.iter().map(source).collect(),
        }
    }

    fn constants<'v>(&'v self, node: &'v NodeProto) -> Vec<&'v str> {
        let behind = node.input.iter().map(|input| self.behind(input));
        behind.filter(|value| self.constants.contains(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use onr_onnx::{ElemType, edit::node, scalar};

    use super::*;

    fn graph(nodes: &[(&str, &[&str], &str)]) -> GraphProto {
        let info = |name: &str| onr_onnx::proto::ValueInfoProto {
            name: Some(name.to_owned()),
            ..onr_onnx::proto::ValueInfoProto::default()
        };
        GraphProto {
            node: nodes.iter().map(|(op, inputs, out)| node(op, out, inputs, &[out])).collect(),
            initializer: ["c", "d"].map(|name| scalar(name, ElemType::Float, 1.0)).to_vec(),
            input: vec![info("x")],
            output: vec![info("y")],
            ..GraphProto::default()
        }
    }

    fn pairs(
        candidate: &[(&str, &[&str], &str)],
        reference: &[(&str, &[&str], &str)],
    ) -> Vec<String> {
        let matching = Matching::of(&graph(candidate), &graph(reference));
        let made = candidate.iter().map(|(_, _, out)| *out);
        made.filter_map(|v| Some(format!("{v}={}", matching.values.get(v)?))).collect()
    }

    #[test]
    fn numbers_in_names_may_shift_and_casts_may_be_in_between() {
        let reference: &[(&str, &[&str], &str)] = &[
            ("Relu", &["x"], "Relu"),
            ("Mul", &["Relu", "c"], "Mul"),
            ("Add", &["Mul", "x"], "y"),
        ];
        let candidate: &[(&str, &[&str], &str)] = &[
            ("Relu", &["x"], "Relu"),
            ("Mul", &["x", "d"], "Mul"),
            ("Cast", &["Relu"], "Cast"),
            ("Mul", &["Cast", "c"], "Mul_1"),
            ("Add", &["Mul_1", "x"], "y"),
        ];
        assert_eq!(pairs(candidate, reference), ["Relu=Relu", "Mul_1=Mul", "y=y"]);
    }

    #[test]
    fn a_node_with_a_fault_is_still_that_node() {
        let reference: &[(&str, &[&str], &str)] =
            &[("Relu", &["x"], "a"), ("Sub", &["a", "x"], "b"), ("Add", &["b", "a"], "y")];
        let swapped: &[(&str, &[&str], &str)] =
            &[("Relu", &["x"], "a"), ("Sub", &["x", "a"], "b"), ("Add", &["b", "a"], "y")];
        assert_eq!(pairs(swapped, reference), ["a=a", "b=b", "y=y"]);
        let other: &[(&str, &[&str], &str)] =
            &[("Abs", &["x"], "a"), ("Sub", &["a", "x"], "b"), ("Add", &["b", "a"], "y")];
        assert_eq!(pairs(other, reference), ["a=a", "b=b", "y=y"]);
    }

    #[test]
    fn a_node_that_is_missing_leaves_the_others_in_place() {
        let reference: &[(&str, &[&str], &str)] =
            &[("Relu", &["x"], "a"), ("Neg", &["a"], "b"), ("Abs", &["b"], "y")];
        let candidate: &[(&str, &[&str], &str)] = &[("Neg", &["x"], "b"), ("Abs", &["b"], "y")];
        assert_eq!(pairs(candidate, reference), ["y=y"]);
    }
}

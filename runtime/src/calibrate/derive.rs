//! Values whose statistics follow from those of other values.
//!
//! Statistics know no order, so those of a `Reshape` or `Transpose` are those of its input, those of a `Concat` are the
//! sum of its inputs', and those of what a `Split` cuts are the sum of the pieces'. Nothing of it has to be looked at,
//! nor be kept by the engine until the run is over.

use std::{collections::BTreeMap, num::NonZeroUsize};

use onr_calibration::TensorStats;
use onr_onnx::proto::GraphProto;

/// Values by name, with the channels whose largest magnitudes are asked for.
pub(super) type Values = BTreeMap<String, Option<NonZeroUsize>>;

/// Operators that only move the elements of their first input.
const MOVES: [&str; 6] = ["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"];

/// Which values are looked at, and which others follow.
#[derive(Debug, Default)]
pub(super) struct Derivation {
    /// To be looked at.
    pub(super) watched: Values,
    /// Value, and the watched values that hold its elements.
    derived: Vec<(String, Vec<String>)>,
}

impl Derivation {
    /// Looks at as few of the `wanted` values as it takes.
    pub(super) fn new(graph: &GraphProto, wanted: &Values) -> Self {
        let classes = Classes::new(graph, wanted);
        let mut made = Self::default();
        for (name, channels) in wanted {
            if channels.is_some() {
                made.watched.insert(name.clone(), *channels);
                continue;
            }
            let mut sources = Vec::new();
            classes.sources(name, &mut sources);
            for source in &sources {
                made.watched.entry(source.clone()).or_insert_with(|| wanted[source]);
            }
            if sources != [name.as_str()] {
                made.derived.push((name.clone(), sources));
            }
        }
        made
    }

    /// Adds the values that follow.
    pub(super) fn complete(&self, stats: &mut BTreeMap<String, TensorStats>) {
        let sums = self.derived.iter().map(|(name, sources)| {
            let mut sum = TensorStats::new(None);
            sources.iter().filter_map(|source| stats.get(source)).for_each(|s| sum.add_values(s));
            (name.clone(), sum)
        });
        let sums: Vec<_> = sums.collect();
        stats.extend(sums);
    }
}

/// Values with the same elements, each class called after the value that the others were moved from.
struct Classes<'a> {
    /// What a value was moved from.
    root: BTreeMap<&'a str, &'a str>,
    /// The member of a class that is looked at anyway, for its channels.
    channelled: BTreeMap<&'a str, &'a str>,
    /// The classes that a class is the sum of.
    sum: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Classes<'a> {
    fn new(graph: &'a GraphProto, wanted: &'a Values) -> Self {
        let mut classes =
            Self { root: BTreeMap::new(), channelled: BTreeMap::new(), sum: BTreeMap::new() };
        let is_wanted = |name: &String| wanted.contains_key(name);
        for node in &graph.node {
            let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
                continue;
            };
            if MOVES.contains(&node.op()) && is_wanted(input) && is_wanted(output) {
                let root = classes.root(input);
                classes.root.insert(output, root);
            }
        }
        for (name, _) in wanted.iter().filter(|(_, channels)| channels.is_some()) {
            classes.channelled.entry(classes.root(name)).or_insert(name);
        }
        for node in &graph.node {
            let (whole, parts) = match (node.op(), node.input.first(), node.output.first()) {
                ("Concat", _, Some(output)) => (output, &node.input),
                ("Split", Some(input), _) => (input, &node.output),
                _ => continue,
            };
            let whole_root = classes.root(whole);
            let is_free = !classes.channelled.contains_key(whole_root);
            if is_free && is_wanted(whole) && parts.iter().all(is_wanted) {
                let parts = parts.iter().map(|part| classes.root(part)).collect();
                classes.sum.entry(whole_root).or_insert(parts);
            }
        }
        classes
    }

    fn root(&self, name: &'a str) -> &'a str {
        self.root.get(name).copied().unwrap_or(name)
    }

    /// The values to look at for a value. Sums can't go round: pieces of a `Split` come behind it and are only
    /// made of their own pieces, and inputs of a `Concat` come before it.
    fn sources(&self, name: &'a str, into: &mut Vec<String>) {
        let root = self.root(name);
        match (self.channelled.get(root), self.sum.get(root)) {
            (Some(member), _) => into.push((*member).to_owned()),
            (None, Some(parts)) => parts.iter().for_each(|part| self.sources(part, into)),
            (None, None) => into.push(root.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use onr_onnx::edit::node;

    use super::*;

    fn graph() -> GraphProto {
        let nodes = vec![
            node("MatMul", "m", &["x", "w"], &["m"]),
            node("Reshape", "r", &["m", "shape"], &["r"]),
            node("Transpose", "t", &["r"], &["t"]),
            node("Split", "s", &["t", "sizes"], &["a", "b"]),
            node("Relu", "c", &["a"], &["c"]),
            node("Concat", "d", &["c", "b"], &["d"]),
            node("Flatten", "e", &["d"], &["e"]),
        ];
        GraphProto { node: nodes, ..GraphProto::default() }
    }

    fn wanted(channels: &[&str]) -> Values {
        let width = |name| channels.contains(&name).then_some(NonZeroUsize::MIN);
        let names = ["x", "m", "r", "t", "a", "b", "c", "d", "e"];
        names.map(|name| (name.to_owned(), width(name))).into_iter().collect()
    }

    fn watched(channels: &[&str]) -> Vec<String> {
        Derivation::new(&graph(), &wanted(channels)).watched.into_keys().collect()
    }

    #[test]
    fn what_was_only_moved_is_not_looked_at() {
        assert_eq!(watched(&[]), ["a", "b", "c", "x"]);
        assert_eq!(watched(&["t"]), ["a", "b", "c", "t", "x"]);
        assert_eq!(watched(&["e", "r"]), ["a", "b", "c", "e", "r", "x"]);
    }

    #[test]
    fn sums_are_what_looking_would_have_counted() {
        let (a, b, c) = ([1.0, -7.5, 0.0, f32::NAN], [2e9, -1e-9], [1.0, 0.0, 0.0, 0.5]);
        let of = |parts: &[&[f32]]| {
            let mut stats = TensorStats::new(None);
            parts.iter().for_each(|part| stats.observe(part, 3).unwrap());
            stats
        };
        let one = |name: &str, part: &[f32]| (name.to_owned(), of(&[part]));
        let mut stats = BTreeMap::from([one("a", &a), one("b", &b), one("c", &c), one("x", &b)]);
        Derivation::new(&graph(), &wanted(&[])).complete(&mut stats);
        assert_eq!(stats.len(), 9);
        let whole = of(&[&[1.0, 2e9, -7.5], &[-1e-9, 0.0, f32::NAN]]);
        for name in ["m", "r", "t"] {
            assert_eq!(stats[name], whole, "{name}");
        }
        for name in ["d", "e"] {
            assert_eq!(stats[name], of(&[&[0.5, -1e-9, 0.0], &[2e9, 1.0, 0.0]]), "{name}");
        }
    }

    #[test]
    fn a_value_that_nobody_wants_is_no_source() {
        let mut some = wanted(&[]);
        some.remove("b");
        let made = Derivation::new(&graph(), &some);
        let names: Vec<_> = made.watched.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "c", "d", "m", "x"]);
    }
}

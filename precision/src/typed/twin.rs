//! Which value of the F32 graph a value is, and by which power of two it differs.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType,
    proto::{GraphProto, NodeProto},
};

use super::constants::{Constants, power};
use crate::cast::ops::{Kind, find};

/// A value of the F32 graph; ours is `2^shift` times it, rounding aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) of: String,
    pub(super) shift: i32,
}

/// The sources of all values of a graph, where they are known.
pub(super) struct Twins<'a> {
    types: BTreeMap<&'a str, ElemType>,
    ours: Constants<'a>,
    theirs: Constants<'a>,
    nodes: BTreeMap<&'a str, &'a NodeProto>,
    sources: BTreeMap<&'a str, Source>,
    /// Constants that were cast, by the value that the cast made.
    cast: BTreeMap<&'a str, &'a str>,
}

/// What an operand says about the factor of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    /// Zero: it fits any.
    Any,
    Shift(i32),
}

impl<'a> Twins<'a> {
    /// Follows values from the inputs down, in the graph's order.
    pub(super) fn follow(
        graph: &'a GraphProto,
        wide: &'a GraphProto,
        types: &BTreeMap<String, ElemType>,
    ) -> Self {
        let values = graph.input.iter().map(|v| v.label());
        let values = values.chain(graph.initializer.iter().map(|t| t.label()));
        let values = values.chain(graph.node.iter().flat_map(|n| &n.output).map(String::as_str));
        let mut twins = Self {
            types: values.filter_map(|v| Some((v, *types.get(v)?))).collect(),
            ours: Constants::of(graph),
            theirs: Constants::of(wide),
            nodes: wide.node.iter().map(|n| (n.label(), n)).collect(),
            sources: BTreeMap::new(),
            cast: BTreeMap::new(),
        };
        let theirs: Vec<_> = wide.input.iter().map(|v| v.label()).collect();
        for input in graph.input.iter().map(|v| v.label()) {
            if twins.is_float(input) && theirs.contains(&input) {
                twins.sources.insert(input, Source { of: input.to_owned(), shift: 0 });
            }
        }
        for node in &graph.node {
            if let ("Cast", [from], [to]) = (node.op(), &node.input[..], &node.output[..])
                && twins.ours.has(from)
            {
                twins.cast.insert(to, from);
            }
            for (at, output) in node.output.iter().enumerate() {
                if let Some(source) = twins.result(node, at) {
                    twins.sources.insert(output, source);
                }
            }
        }
        twins
    }

    /// What a value is.
    pub(super) fn source(&self, value: &str) -> Option<&Source> {
        self.sources.get(value)
    }

    fn is_float(&self, value: &str) -> bool {
        self.types.get(value).is_some_and(|elem| elem.is_activation())
    }

    fn result(&self, node: &NodeProto, at: usize) -> Option<Source> {
        if !self.is_float(node.output.get(at)?) {
            return None;
        }
        // Casts are numbered differently in every precision: their names say nothing.
        if node.op() == "Cast" {
            return self.sources.get(node.input.first()?.as_str()).cloned();
        }
        self.same(node, at).or_else(|| self.own(node))
    }

    /// The result of the node of the same name, if that does the same to the same values.
    fn same(&self, node: &NodeProto, at: usize) -> Option<Source> {
        let twin = self.nodes.get(node.label()).filter(|twin| twin.op() == node.op())?;
        if twin.input.len() != node.input.len() {
            return None;
        }
        let operands = node.input.iter().zip(&twin.input).filter(|(own, _)| self.is_float(own));
        let factors: Vec<Factor> =
            operands.map(|(own, their)| self.factor(own, their)).collect::<Option<_>>()?;
        Some(Source { of: twin.output.get(at)?.clone(), shift: combined(node.op(), &factors)? })
    }

    fn factor(&self, own: &str, their: &str) -> Option<Factor> {
        let own = self.cast.get(own).copied().unwrap_or(own);
        if !self.ours.has(own) {
            let source = self.sources.get(own).filter(|source| source.of == their)?;
            return Some(Factor::Shift(source.shift));
        }
        match (self.ours.scalar(own), self.theirs.scalar(their)) {
            (Some(0.0), Some(0.0)) => Some(Factor::Any),
            (Some(a), Some(b)) => {
                let ratio = a / b;
                // A constant that was rounded to 16 bits is still the same.
                let rounded = (ratio - 1.0).abs() < 0.01;
                rounded.then_some(0).or_else(|| power(ratio)).map(Factor::Shift)
            }
            // Weights are those of one checkpoint.
            _ => (self.ours.dims(own) == self.theirs.dims(their)).then_some(Factor::Shift(0)),
        }
    }

    /// The result of a node that the F32 graph does not have: the same numbers moved, or times a power of two.
    fn own(&self, node: &NodeProto) -> Option<Source> {
        let first = node.input.first()?;
        match find(node.op()).map(|op| op.kind) {
            Some(Kind::Layout | Kind::Lookup) if node.op() != "Concat" => {
                self.sources.get(first.as_str()).cloned()
            }
            _ if node.op() == "Mul" => {
                let second = node.input.get(1)?;
                let times = |value: &str, factor: &str| {
                    let source = self.sources.get(value)?;
                    let shift = source.shift + power(self.ours.scalar(factor)?)?;
                    Some(Source { of: source.of.clone(), shift })
                };
                times(first, second).or_else(|| times(second, first))
            }
            _ => None,
        }
    }
}

/// The factor of a result from those of its operands.
fn combined(op: &str, factors: &[Factor]) -> Option<i32> {
    let shift = |factor: &Factor| match factor {
        Factor::Any => 0,
        Factor::Shift(shift) => *shift,
    };
    match (op, factors) {
        ("Mul" | "MatMul", _) => return Some(factors.iter().map(shift).sum()),
        ("Div", [a, b]) => return Some(shift(a) - shift(b)),
        _ => {}
    }
    let mut shifts = factors.iter().filter(|factor| **factor != Factor::Any).map(shift);
    let first = shifts.next().unwrap_or(0);
    let agree = shifts.all(|shift| shift == first);
    (agree && (first == 0 || scales(op))).then_some(first)
}

/// Whether twice its operands is twice its result.
fn scales(op: &str) -> bool {
    let moves = find(op).is_some_and(|op| matches!(op.kind, Kind::Layout | Kind::Lookup));
    let alike = [
        "Where",
        "Add",
        "Sub",
        "Sum",
        "Max",
        "Min",
        "Mean",
        "Neg",
        "Abs",
        "Relu",
        "LeakyRelu",
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
    ];
    moves || alike.contains(&op)
}

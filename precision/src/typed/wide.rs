//! The nodes that a builder left in F32, and the rule that each of them falls under.
//!
//! The rules are read off the graph: what a node is, what it reads, who reads it. So they also hold for a graph of
//! another architecture that was built in the same manner.

use std::collections::{BTreeMap, BTreeSet};

use onr_onnx::{ElemType, Links, proto::NodeProto};

use super::{TypedJob, Wide, constants::Constants};
use crate::cast::{
    Rule,
    ops::{Kind, find},
};

/// Activation functions.
const ACTIVATIONS: [&str; 11] = [
    "Sigmoid",
    "Tanh",
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Erf",
    "HardSigmoid",
    "HardSwish",
    "Mish",
];

/// Lists them, in the graph's order; `largest` is what was measured of a value.
pub(super) fn list(
    job: &TypedJob<'_>,
    types: &BTreeMap<String, ElemType>,
    largest: impl Fn(&str) -> Option<f32>,
) -> Vec<Wide> {
    let view = View::new(job, types);
    let rules = view.rules();
    let nodes = job.graph.node.iter().zip(rules);
    let wide = nodes.filter_map(|(node, rule)| {
        let touched = view.wide_values(&node.output).chain(view.wide_values(&node.input));
        let measured = touched.filter_map(|value| Some((value, largest(value)?)));
        let most = measured.reduce(|a, b| if b.1 > a.1 { b } else { a });
        Some(Wide {
            node: node.label().to_owned(),
            op: node.op().to_owned(),
            rule: rule?,
            tensor: most.map(|(value, _)| value.to_owned()),
            max_abs: most.map(|(_, number)| number),
        })
    });
    wide.collect()
}

/// What the rules ask of a graph.
struct View<'a> {
    nodes: &'a [NodeProto],
    types: &'a BTreeMap<String, ElemType>,
    links: Links,
    constants: Constants<'a>,
    outputs: BTreeSet<&'a str>,
    /// Values that products of two computed values made, and what became of them up to the next norm or product.
    paired: BTreeSet<&'a str>,
}

impl<'a> View<'a> {
    fn new(job: &TypedJob<'a>, types: &'a BTreeMap<String, ElemType>) -> Self {
        let mut view = Self {
            nodes: &job.graph.node,
            types,
            links: Links::new(job.graph),
            constants: Constants::of(job.graph),
            outputs: job.graph.output.iter().map(|v| v.label()).collect(),
            paired: BTreeSet::new(),
        };
        for node in &job.graph.node {
            if view.pairs(node) {
                view.paired.extend(node.output.iter().map(String::as_str));
            }
        }
        view
    }

    /// From the back: what a node is for shows in who reads it.
    fn rules(&self) -> Vec<Option<Rule>> {
        let mut rules = vec![None; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if self.is_wide(node) {
                rules[at] = Some(self.rule(node, &rules));
            }
        }
        rules
    }

    fn rule(&self, node: &NodeProto, rules: &[Option<Rule>]) -> Rule {
        let kind = kind(node);
        let read_by = |rule: Rule| {
            let mut readers = self.readers(node).peekable();
            readers.peek().is_some() && readers.all(|reader| rules[reader] == Some(rule))
        };
        let fixed = match kind {
            Some(Kind::Norm) => Some(Rule::Norm),
            Some(Kind::Softmax) => Some(Rule::Softmax),
            Some(Kind::Rank) => Some(Rule::FinalScores),
            Some(Kind::Reduce) => Some(Rule::Reduction),
            _ if !self.makes_floats(node) => Some(Rule::Index),
            Some(Kind::Product) => None,
            _ if read_by(Rule::Index) => Some(Rule::Index),
            Some(Kind::Steep) => Some(Rule::Steep),
            Some(Kind::Quotient) => Some(Rule::Quotient),
            _ => None,
        };
        if let Some(rule) = fixed {
            return rule;
        }
        let result = node.output.iter().any(|value| self.outputs.contains(value.as_str()));
        let ranked = kind == Some(Kind::Product)
            && self.readers(node).any(|reader| rules[reader] == Some(Rule::FinalScores));
        if result || ranked || (read_by(Rule::FinalScores) && !self.feeds_product(node)) {
            return Rule::FinalScores;
        }
        if read_by(Rule::Reduction) {
            return Rule::Reduction;
        }
        self.elementwise(node, read_by(Rule::Attention), rules)
    }

    /// The rule of what works element by element; `scores` says that only attention reads it.
    fn elementwise(&self, node: &NodeProto, scores: bool, rules: &[Option<Rule>]) -> Rule {
        let computed = self.computed(node).count();
        let adds = matches!(node.op(), "Add" | "Sub" | "Sum");
        if adds && node.input.iter().any(|value| self.constants.is_list(value)) {
            return Rule::Bias;
        }
        if ACTIVATIONS.contains(&node.op()) || (node.op() == "Mul" && computed == 2) {
            return Rule::Gate;
        }
        let moves = matches!(kind(node), Some(Kind::Layout | Kind::Lookup));
        if !moves && self.computed(node).any(|value| self.paired.contains(value)) {
            return Rule::Attention;
        }
        if adds && computed > 1 {
            return if scores { Rule::Attention } else { Rule::Residual };
        }
        let wide_readers = self.readers(node).all(|reader| rules[reader].is_some());
        let wide_inputs = self.computed(node).all(|value| {
            let maker = self.links.producer(value).map(|at| &self.nodes[at]);
            maker.is_some_and(|maker| !self.is_float_cast(maker))
        });
        if wide_readers && wide_inputs { Rule::Surrounded } else { Rule::RoundedLater }
    }

    /// Whether a node computes in F32: it makes or reads such numbers, and does more than to cast them.
    fn is_wide(&self, node: &NodeProto) -> bool {
        let wide = self.wide_values(&node.output).next().is_some()
            || (!self.makes_floats(node) && self.wide_values(&node.input).next().is_some());
        wide && !self.is_float_cast(node) && kind(node) != Some(Kind::Inspect)
    }

    fn is_float_cast(&self, node: &NodeProto) -> bool {
        let float = |value: Option<&String>| value.is_some_and(|value| self.is_float(value));
        node.op() == "Cast" && float(node.input.first()) && float(node.output.first())
    }

    fn makes_floats(&self, node: &NodeProto) -> bool {
        node.output.iter().any(|value| self.is_float(value))
    }

    fn is_float(&self, value: &str) -> bool {
        self.types.get(value).is_some_and(|elem| elem.is_activation())
    }

    /// Values of F32 that are no constants.
    fn wide_values<'b>(&'b self, values: &'b [String]) -> impl Iterator<Item = &'b str> {
        let wide = |value: &&str| {
            self.types.get(*value) == Some(&ElemType::Float) && !self.constants.has(value)
        };
        values.iter().map(String::as_str).filter(wide)
    }

    /// Float inputs of a node that are no constants.
    fn computed<'b>(&'b self, node: &'b NodeProto) -> impl Iterator<Item = &'b str> {
        let inputs = node.input.iter().map(String::as_str);
        inputs.filter(|value| self.is_float(value) && !self.constants.has(value))
    }

    fn readers(&self, node: &NodeProto) -> impl Iterator<Item = usize> {
        node.output.iter().flat_map(|value| self.links.uses(value)).map(|reader| reader.node)
    }

    fn feeds_product(&self, node: &NodeProto) -> bool {
        self.readers(node).any(|reader| kind(&self.nodes[reader]) == Some(Kind::Product))
    }

    /// Whether a node makes paired values, or passes them on. A square is no pair.
    fn pairs(&self, node: &NodeProto) -> bool {
        let two = |node: &NodeProto| self.computed(node).collect::<BTreeSet<_>>().len() == 2;
        match kind(node) {
            Some(Kind::Product) => two(node),
            Some(Kind::Reduce) => {
                let maker = node.input.first().and_then(|value| self.links.producer(value));
                maker.is_some_and(|at| self.nodes[at].op() == "Mul" && two(&self.nodes[at]))
            }
            Some(Kind::Layout | Kind::Lookup | Kind::Light | Kind::Convert) => {
                self.computed(node).any(|value| self.paired.contains(value))
            }
            _ => false,
        }
    }
}

fn kind(node: &NodeProto) -> Option<Kind> {
    find(node.op()).map(|op| op.kind)
}

//! What of two models can be compared, and what is made from what.

use std::collections::{BTreeSet, HashMap, HashSet};

use onr_onnx::{ElemType, edit::reads, proto::GraphProto};

use super::{BisectError, matching::Matching, side::Side};

/// A value that both sides have.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) candidate: String,
    pub(super) reference: String,
    /// The candidate's node that makes it.
    pub(super) node: usize,
}

/// The pairs of two models, in the order of the candidate's nodes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) matching: Matching,
    pub(super) pairs: Vec<Pair>,
    by_candidate: HashMap<String, usize>,
    /// The pairs that each pair is made from, with nothing comparable in between.
    pub(super) made_from: Vec<Vec<usize>>,
    /// What is judged: the outputs, or what they are made from where they have no counterpart.
    pub(super) targets: Vec<usize>,
    /// Outputs that one side lacks or has in another type.
    pub(super) unmatched: Vec<String>,
}

/// Nodes, and the values that come into them.
#[derive(Debug, Default, Clone)]
pub(super) struct Region {
    pub(super) nodes: BTreeSet<usize>,
    pub(super) inputs: BTreeSet<String>,
}

impl Plan {
    pub(super) fn new(
        candidate: &Side<'_>,
        reference: &Side<'_>,
        is_same: bool,
    ) -> Result<Self, BisectError> {
        let (ours, theirs) = (candidate.model.graph(), reference.model.graph());
        let matching = if is_same { Matching::identity(ours) } else { Matching::of(ours, theirs) };
        let mut plan = Self {
            pairs: Vec::new(),
            by_candidate: HashMap::new(),
            made_from: Vec::new(),
            targets: Vec::new(),
            unmatched: Vec::new(),
            matching,
        };
        for (node, proto) in ours.node.iter().enumerate().filter(|(_, n)| n.op() != "Constant") {
            for output in &proto.output {
                let Some(other) = plan.matching.values.get(output) else { continue };
                let made = reference.links.producer(other).is_some();
                if made && comparable(candidate.types.get(output), reference.types.get(other)) {
                    let pair = Pair { candidate: output.clone(), reference: other.clone(), node };
                    plan.by_candidate.insert(output.clone(), plan.pairs.len());
                    plan.pairs.push(pair);
                }
            }
        }
        for at in 0..plan.pairs.len() {
            let region = plan.region(candidate, &[at], &HashSet::new());
            plan.made_from.push(plan.known(&region.inputs));
        }
        plan.judge(candidate, theirs)?;
        Ok(plan)
    }

    fn judge(&mut self, candidate: &Side<'_>, theirs: &GraphProto) -> Result<(), BisectError> {
        let names = |graph: &GraphProto| -> Vec<String> {
            graph.output.iter().map(|o| o.label().to_owned()).collect()
        };
        let (ours, theirs) = (names(candidate.model.graph()), names(theirs));
        let mut targets = BTreeSet::new();
        for output in &ours {
            if let Some(at) = self.by_candidate.get(output) {
                targets.insert(*at);
                continue;
            }
            self.unmatched.push(output.clone());
            if theirs.contains(output) {
                let is_border = |name: &str| self.by_candidate.contains_key(name);
                let region = upstream(candidate, [output.as_str()], &is_border);
                targets.extend(self.known(&region.inputs));
            }
        }
        let met: HashSet<&str> =
            targets.iter().map(|at| self.pairs[*at].reference.as_str()).collect();
        let alone = theirs.iter().filter(|o| !ours.contains(o) && !met.contains(o.as_str()));
        self.unmatched.extend(alone.cloned());
        if targets.is_empty() {
            let (candidate, reference) = (ours.join(", "), theirs.join(", "));
            return Err(BisectError::Outputs { candidate, reference });
        }
        self.targets = targets.into_iter().collect();
        Ok(())
    }

    /// The nodes that make `pairs` out of other pairs and inputs; those `inside` are no border.
    pub(super) fn region(
        &self,
        candidate: &Side<'_>,
        pairs: &[usize],
        inside: &HashSet<usize>,
    ) -> Region {
        let names = pairs.iter().map(|at| self.pairs[*at].candidate.as_str());
        let is_border =
            |name: &str| self.by_candidate.get(name).is_some_and(|at| !inside.contains(at));
        upstream(candidate, names, &is_border)
    }

    /// Those of the names that are pairs.
    pub(super) fn known(&self, names: &BTreeSet<String>) -> Vec<usize> {
        names.iter().filter_map(|name| self.by_candidate.get(name).copied()).collect()
    }

    /// The pair of that name in the candidate.
    pub(super) fn pair(&self, name: &str) -> Option<usize> {
        self.by_candidate.get(name).copied()
    }
}

/// The nodes behind `values` up to the border; what no node makes is border too, constants are not.
pub(super) fn upstream<'n>(
    side: &Side<'_>,
    values: impl IntoIterator<Item = &'n str>,
    is_border: &dyn Fn(&str) -> bool,
) -> Region {
    let (graph, links) = (side.model.graph(), &side.links);
    let mut region = Region::default();
    let mut stack: Vec<usize> =
        values.into_iter().filter_map(|value| links.producer(value)).collect();
    while let Some(node) = stack.pop() {
        if !region.nodes.insert(node) {
            continue;
        }
        for name in reads(&graph.node[node]) {
            if side.constants.contains(&name) {
                continue;
            }
            let is_input = match links.producer(&name) {
                Some(producer) if region.nodes.contains(&producer) => false,
                Some(producer) if !is_border(&name) => {
                    stack.push(producer);
                    false
                }
                Some(_) => true,
                // Else a value inside a body.
                None => side.inputs.iter().any(|i| i.name == name),
            };
            if is_input {
                region.inputs.insert(name);
            }
        }
    }
    // What a node inside makes is no input, whichever was met first.
    region.inputs.retain(|name| links.producer(name).is_none_or(|n| !region.nodes.contains(&n)));
    region
}

/// Floats of any width are the same numbers, others have to be of the same type.
fn comparable(a: Option<&ElemType>, b: Option<&ElemType>) -> bool {
    use ElemType::{Bool, Double, Int8, Int32, Int64, Uint8};
    let (Some(a), Some(b)) = (a, b) else { return false };
    let whole = matches!(a, Int64 | Int32 | Int8 | Uint8 | Bool | Double);
    (a.is_activation() && b.is_activation()) || (a == b && whole)
}

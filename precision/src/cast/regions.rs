//! Rules that look at the graph: chains that end as integers or as results, and islands in F32.

use std::collections::BTreeSet;

use onr_onnx::ElemType;

use super::{
    CastJob, IoTypes,
    ops::Kind,
    report::{Pinned, Rule},
    rules::Judge,
    view::View,
};

/// What was decided for each node so far.
pub(super) struct Verdicts {
    /// Why a node stays in F32.
    pub(super) pins: Vec<Option<Pinned>>,
    /// Nodes that this pass has nothing to say about.
    pub(super) neutral: Vec<bool>,
}

impl Verdicts {
    /// Applies all rules.
    pub(super) fn reach(judge: &Judge<'_>) -> Self {
        let nodes = 0..judge.view.graph.node.len();
        let neutral: Vec<_> = nodes.clone().map(|node| !judge.view.concerns(node)).collect();
        let pins = nodes.map(|node| if neutral[node] { None } else { judge.pin(node) }).collect();
        let mut verdicts = Self { pins, neutral };
        verdicts.index_chains(judge);
        verdicts.final_scores(judge);
        verdicts.islands(judge, is_light, Readers::All);
        verdicts.islands(judge, is_layout, Readers::Any);
        verdicts
    }

    /// Whether a node computes in the target type.
    pub(super) fn narrow(&self, node: usize) -> bool {
        !self.neutral[node] && self.pins[node].is_none()
    }

    fn pin(&mut self, judge: &Judge<'_>, node: usize, rule: Rule, tensor: Option<&str>) {
        self.pins[node] = Some(judge.pinned(node, (rule, tensor.map(str::to_owned), None)));
    }

    /// From each float that becomes an integer or a size, upwards as far as numbers are only rearranged or
    /// changed one by one. A rounding there would pick another bucket.
    fn index_chains(&mut self, judge: &Judge<'_>) {
        let view = judge.view;
        for node in 0..self.pins.len() {
            let proto = view.node(node);
            let cast =
                view.kind(node) == Some(Kind::Convert) && view.results(node).next().is_none();
            let integer =
                cast && proto.output.first().and_then(|v| view.type_of(v)).is_some_and(is_integer);
            let ends: Vec<&str> = if integer {
                proto.input.iter().map(String::as_str).filter(|v| view.is_float(v)).collect()
            } else {
                view.ports(node).filter(|port| port.fixed).map(|port| port.value).collect()
            };
            for end in ends {
                self.climb(judge, end, Rule::Index, |_, _| true);
            }
        }
    }

    /// From each result that stays F32, and from what is ranked, upwards to the product that makes it, as
    /// long as nobody else reads what lies between: a key that is also a result does not pin its layer.
    /// The product's own inputs may be narrow: cast up, they are summed in F32.
    fn final_scores(&mut self, judge: &Judge<'_>) {
        let view = judge.view;
        let mut ends: Vec<&str> = Vec::new();
        if judge.job.io == IoTypes::Keep {
            let outputs = view.graph.output.iter().map(|v| v.label());
            ends.extend(outputs.filter(|v| view.is_float(v)));
        }
        let ranks = (0..self.pins.len()).filter(|node| view.kind(*node) == Some(Kind::Rank));
        ends.extend(ranks.flat_map(|node| view.ports(node).map(|port| port.value)));
        // A value that is read by two chains joins when the second has come by.
        let mut more = true;
        while more {
            more = false;
            for end in &ends {
                more |= self.climb(judge, end, Rule::FinalScores, |verdicts, node| {
                    let mut readers = view.results(node).flat_map(|value| view.readers(value));
                    readers.all(|port| port.fixed || !verdicts.narrow(port.node))
                });
            }
        }
    }

    /// Pins what makes a value, and what that reads, through products at most; says whether anything was.
    fn climb(
        &mut self,
        judge: &Judge<'_>,
        end: &str,
        rule: Rule,
        joins: impl Fn(&Self, usize) -> bool,
    ) -> bool {
        let view = judge.view;
        let mut pinned = false;
        let mut open = vec![end];
        let mut seen = BTreeSet::new();
        while let Some(value) = open.pop() {
            let Some(node) = view.producer(value) else { continue };
            if self.neutral[node] || !seen.insert(node) || view.looks_up(node) {
                continue;
            }
            let product = rule == Rule::FinalScores && view.kind(node) == Some(Kind::Product);
            if !product && !passes(view, node, rule) {
                continue;
            }
            if self.narrow(node) {
                if !joins(self, node) {
                    continue;
                }
                self.pin(judge, node, rule, Some(end));
                pinned = true;
            }
            if !product {
                open.extend(view.computed(node));
            }
        }
        pinned
    }

    /// Pins connected nodes of a kind that read nothing but F32, if all or some of their readers are F32.
    fn islands(
        &mut self,
        judge: &Judge<'_>,
        member: impl Fn(&View<'_>, usize) -> bool,
        readers: Readers,
    ) {
        let mut seen = vec![false; self.pins.len()];
        for start in 0..self.pins.len() {
            let belongs = |node: usize| self.narrow(node) && member(judge.view, node);
            if seen[start] || !belongs(start) {
                continue;
            }
            let island = spread(judge.view, start, belongs);
            island.iter().for_each(|node| seen[*node] = true);
            if self.surrounded(judge, &island, readers) {
                island.iter().for_each(|node| self.pin(judge, *node, Rule::Surrounded, None));
            }
        }
    }

    fn surrounded(&self, judge: &Judge<'_>, island: &BTreeSet<usize>, readers: Readers) -> bool {
        let view = judge.view;
        let wide_in = island.iter().flat_map(|node| view.computed(*node)).all(|value| {
            match view.producer(value) {
                Some(node) => island.contains(&node) || !self.narrow(node),
                None => !narrows(judge, value),
            }
        });
        let mut wide = 0_usize;
        let mut narrow = 0_usize;
        for value in island.iter().flat_map(|node| view.results(*node)) {
            for port in view.readers(value) {
                match port.fixed || !self.narrow(port.node) {
                    true => wide += 1,
                    false => narrow += usize::from(!island.contains(&port.node)),
                }
            }
            let result = view.outputs.contains(value);
            wide += usize::from(result && judge.job.io == IoTypes::Keep);
            narrow += usize::from(result && judge.job.io == IoTypes::Narrow);
            wide += usize::from(view.captured.contains(value));
        }
        match readers {
            Readers::All => wide_in && narrow == 0,
            Readers::Any => wide_in && wide > 0,
        }
    }
}

/// Which of an island's readers have to be F32.
#[derive(Clone, Copy)]
enum Readers {
    All,
    Any,
}

/// Whether an input of the graph becomes narrow: it was asked for, its numbers allow it, and no initializer or
/// body says otherwise.
pub(super) fn narrows(judge: &Judge<'_>, input: &str) -> bool {
    let CastJob { io, .. } = judge.job;
    *io == IoTypes::Narrow
        && judge.out_of_range(input).is_none()
        && !judge.view.captured.contains(input)
        && judge.view.graph.initializer.iter().all(|t| t.label() != input)
}

/// Nodes that hang together with `start` through values.
fn spread(view: &View<'_>, start: usize, belongs: impl Fn(usize) -> bool) -> BTreeSet<usize> {
    let mut island = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        let before = view.computed(node).filter_map(|value| view.producer(value));
        let after = view.results(node).flat_map(|v| view.readers(v)).map(|port| port.node);
        for next in before.chain(after).filter(|next| belongs(*next)).collect::<Vec<_>>() {
            if island.insert(next) {
                open.push(next);
            }
        }
    }
    island
}

/// Whether a node costs nothing worth a cast.
fn is_light(view: &View<'_>, node: usize) -> bool {
    match view.kind(node) {
        Some(Kind::Product) | None => false,
        Some(_) => !view.looks_up(node),
    }
}

/// Whether a chain goes on above a node: numbers are rearranged or changed one by one, or are those that a
/// softmax makes results of.
fn passes(view: &View<'_>, node: usize, rule: Rule) -> bool {
    match view.kind(node) {
        Some(Kind::Softmax) => rule == Rule::FinalScores,
        Some(kind) => matches!(
            kind,
            Kind::Light
                | Kind::Layout
                | Kind::Lookup
                | Kind::Steep
                | Kind::Quotient
                | Kind::Convert
        ),
        None => false,
    }
}

fn is_layout(view: &View<'_>, node: usize) -> bool {
    matches!(view.kind(node), Some(Kind::Layout)) && view.computed(node).next().is_some()
}

const fn is_integer(elem: ElemType) -> bool {
    !elem.is_activation() && !matches!(elem, ElemType::Bool | ElemType::Double)
}

//! Constants that say "never" to a softmax.
//!
//! A fill of -1e4, -3.4e38 or `-inf` is no number that anybody computes with: it stands for a weight of 0. It
//! must neither pin what reads it by its range nor become an infinity that turns a row without any choice
//! into NaN. So it becomes the lowest finite number; half of that where an `Add` follows or is the reader,
//! because the lowest number plus a negative score, or plus another mask, would be `-inf` again.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    numbers::{MASK, Narrow},
    ops::Kind,
    view::View,
};

/// What a mask becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// Numbers from [`MASK`] down become the lowest finite number.
    Lowest,
    /// Numbers below half the lowest finite number become that.
    Half,
}

impl Fill {
    /// What a number of the mask becomes.
    pub(super) fn of(self, x: f32, narrow: Narrow) -> f32 {
        match self {
            Self::Lowest if x <= MASK => narrow.lowest(),
            Self::Half if x <= MASK => x.max(narrow.lowest() / 2.0),
            _ => x,
        }
    }
}

/// The masks of a graph.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Node and input that read a mask.
    pub(super) fills: BTreeMap<(usize, usize), Fill>,
    /// Values that hold masked scores: what was measured of them tells nothing about the scores.
    pub(super) masked: BTreeSet<String>,
}

impl Masks {
    /// Finds them, from each softmax upwards.
    pub(super) fn find(view: &View<'_>) -> Self {
        let mut masks = Self::default();
        for node in 0..view.graph.node.len() {
            if view.kind(node) == Some(Kind::Softmax) {
                for value in view.computed(node).take(1) {
                    masks.climb(view, value, false, &mut BTreeSet::new());
                }
            }
        }
        masks
    }

    /// Follows scores to what masks them. `added` says that an `Add` follows. Returns whether the value is
    /// masked.
    fn climb(
        &mut self,
        view: &View<'_>,
        value: &str,
        added: bool,
        seen: &mut BTreeSet<(String, bool)>,
    ) -> bool {
        let Some(node) = view.producer(value) else { return false };
        if !seen.insert((value.to_owned(), added)) {
            return self.masked.contains(value);
        }
        let proto = view.node(node);
        let (inputs, added) = match (proto.op(), view.kind(node)) {
            ("Where", _) => (1..3, added),
            ("Add", _) => (0..2, true),
            ("Mul" | "Div", _) => (0..2, added),
            ("Concat", _) => (0..proto.input.len(), added),
            (_, Some(Kind::Layout | Kind::Lookup)) => (0..1, added),
            _ => return false,
        };
        let mut masked = false;
        for input in inputs {
            let Some(name) = proto.input.get(input) else { continue };
            masked |= match view.constants.get(name.as_str()) {
                Some(stats) if stats.lowest <= MASK => self.fill(view, node, input, added),
                Some(_) => false,
                None => shrinks(view, node, input) && self.climb(view, name, added, seen),
            };
        }
        if masked {
            self.masked.insert(value.to_owned());
        }
        masked
    }

    /// Notes a mask that a node reads. A factor is one when what it multiplies is 0 or 1.
    fn fill(&mut self, view: &View<'_>, node: usize, input: usize, added: bool) -> bool {
        let proto = view.node(node);
        let fill = match proto.op() {
            "Where" if !added => Fill::Lowest,
            "Mul" if !zero_or_one(view, &proto.input[1 - input]) => return false,
            "Where" | "Add" | "Mul" => Fill::Half,
            _ => return false,
        };
        let old = self.fills.entry((node, input)).or_insert(fill);
        *old = (*old).max(fill);
        true
    }
}

/// Whether a value that goes into input `input` of a product comes out no larger; true for what is no product.
fn shrinks(view: &View<'_>, node: usize, input: usize) -> bool {
    let proto = view.node(node);
    let other = || proto.input.get(1 - input).and_then(|other| view.scalar(other));
    match proto.op() {
        "Mul" => other().is_some_and(|x| (0.0..=1.0).contains(&x)),
        "Div" => input == 0 && other().is_some_and(|x| x >= 1.0),
        _ => true,
    }
}

/// Whether a value is 0 or 1 by its making: a bool as a float, or 1 minus one, wherever it was moved.
/// Integers count, because attention masks come as such.
fn zero_or_one(view: &View<'_>, value: &str) -> bool {
    let Some(node) = view.producer(value) else { return false };
    let input = &view.node(node).input;
    match (view.node(node).op(), view.kind(node)) {
        ("Cast", _) => input.first().is_some_and(|from| !view.is_float(from)),
        ("Sub", _) => view.scalar(&input[0]) == Some(1.0) && zero_or_one(view, &input[1]),
        (_, Some(Kind::Layout)) => zero_or_one(view, &input[0]),
        _ => false,
    }
}

//! Graphs that were built in FP16 or BF16, judged by what was measured of the same graphs in F32.
//!
//! Whoever built the graph placed the types by what its layers are. Here the numbers have their say: each
//! 16-bit value is followed to the value of the F32 graph that it is, or is a power of two times of, and what
//! was measured of that decides with the limits of [`cast`](crate::cast). Nothing is rewritten. Each node that
//! stayed in F32 is listed with the rule that it falls under.

mod constants;
mod scaled;
mod twin;
mod wide;

use std::collections::{BTreeMap, BTreeSet};

use onr_calibration::TensorStats;
use onr_onnx::{
    ElemType, elem_types,
    proto::{GraphProto, NodeProto},
};
use serde::Serialize;

use crate::{
    Measured,
    cast::{
        CastError, Rule,
        numbers::{Narrow, too_small},
        ops::{Kind, find},
    },
};
use twin::{Source, Twins};

/// What was measured of a value of the F32 graph, by its name.
pub type Lookup<'a> = dyn Fn(&str) -> Option<TensorStats> + 'a;

/// A graph in 16 bits, and what is known about its numbers.
#[derive(Clone, Copy)]
pub struct TypedJob<'a> {
    /// The graph. Weights need no bytes, scalars do.
    pub graph: &'a GraphProto,
    /// Its 16-bit type.
    pub to: ElemType,
    /// The same graph in F32, its nodes under the same names.
    pub wide: &'a GraphProto,
    /// What was measured; without, the list of F32 nodes has no numbers and no value is judged.
    pub measured: Option<&'a Lookup<'a>>,
}

/// A value whose numbers do not fit its 16-bit type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Misfit {
    /// The value.
    pub value: String,
    /// [`Rule::Overflow`] or [`Rule::Underflow`].
    pub rule: Rule,
    /// The largest magnitude, or the share of elements that are too small.
    pub number: f64,
}

/// A node that computes in F32.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wide {
    /// Its label.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub rule: Rule,
    /// Of the values that it makes and reads, the one with the largest measured magnitude.
    pub tensor: Option<String>,
    /// That magnitude.
    pub max_abs: Option<f32>,
}

/// What is to be said about a graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TypedReport {
    /// 16-bit values whose numbers are known.
    pub judged: usize,
    /// 16-bit values of which nothing was measured, in the graph's order; empty if nothing was at all.
    pub unmeasured: Vec<String>,
    /// Values that come too close to the largest number, or exceed it. Who only moves them is left out.
    pub overflow: Vec<Misfit>,
    /// Values that lose too much at the small end, in the same way.
    pub underflow: Vec<Misfit>,
    /// Nodes in F32, in the graph's order. Casts between floats are none.
    pub wide: Vec<Wide>,
}

/// Judges a graph.
///
/// # Errors
/// [`CastError::Target`] when `to` is no 16-bit float.
pub fn judge(job: &TypedJob<'_>) -> Result<TypedReport, CastError> {
    let narrow = Narrow::of(job.to).ok_or(CastError::Target(job.to))?;
    let numbers = Numbers::follow(job);
    let mut report = TypedReport::default();
    if job.measured.is_some() {
        judge_values(job, narrow, &numbers, &mut report);
    }
    report.wide = wide::list(job, &numbers.types, |value| numbers.largest(value));
    Ok(report)
}

/// Float values, and what is known of their numbers.
struct Numbers<'a> {
    types: BTreeMap<String, ElemType>,
    twins: Twins<'a>,
    measured: Option<&'a Lookup<'a>>,
}

impl<'a> Numbers<'a> {
    fn follow(job: &TypedJob<'a>) -> Self {
        let types = elem_types(job.graph);
        let twins = Twins::follow(job.graph, job.wide, &types);
        Self { types, twins, measured: job.measured }
    }

    /// What was measured of a value, in the units that it has here.
    fn measured(&self, value: &str) -> Option<Measured> {
        let Source { of, shift } = self.twins.source(value)?;
        Some(scaled::measured(&self.measured?(of)?, *shift))
    }

    fn largest(&self, value: &str) -> Option<f32> {
        self.measured(value).map(|seen| seen.max_abs)
    }
}

/// Judges all values of the 16-bit type: inputs, then what nodes make.
fn judge_values(
    job: &TypedJob<'_>,
    narrow: Narrow,
    numbers: &Numbers<'_>,
    report: &mut TypedReport,
) {
    let inputs = job.graph.input.iter().map(|input| (input.label(), None));
    let made =
        job.graph.node.iter().flat_map(|n| n.output.iter().map(move |v| (v.as_str(), Some(n))));
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (value, node) in inputs.chain(made) {
        if numbers.types.get(value) != Some(&job.to) {
            continue;
        }
        let Some(seen) = numbers.measured(value) else {
            report.unmeasured.push(value.to_owned());
            continue;
        };
        report.judged += 1;
        let Some((rule, number)) = misfit(&seen, narrow) else { continue };
        let moved = node.and_then(moved).is_some_and(|source| told.contains(source));
        told.insert(value);
        if moved {
            continue;
        }
        let list = match rule {
            Rule::Overflow => &mut report.overflow,
            _ => &mut report.underflow,
        };
        list.push(Misfit { value: value.to_owned(), rule, number });
    }
}

/// What a node only moves.
fn moved(node: &NodeProto) -> Option<&str> {
    let moves = find(node.op()).is_some_and(|op| matches!(op.kind, Kind::Layout | Kind::Lookup));
    node.input.first().filter(|_| moves).map(String::as_str)
}

/// The rule that numbers break, and by how much.
fn misfit(seen: &Measured, narrow: Narrow) -> Option<(Rule, f64)> {
    if seen.max_abs >= narrow.overflow() {
        return Some((Rule::Overflow, f64::from(seen.max_abs)));
    }
    let small = narrow == Narrow::F16
        && seen.max_abs > 0.0
        && too_small(seen.subnormal, seen.flushed, seen.count);
    #[expect(clippy::cast_precision_loss, reason = "a share that is shown")]
    let share = || seen.subnormal.max(seen.flushed) as f64 / seen.count as f64;
    small.then(|| (Rule::Underflow, share()))
}

//! FP16 and BF16.
//!
//! A model in F32 becomes a strongly typed one: each node computes in the target type or in F32, and a `Cast`
//! stands where a value is read in the type it does not have, one a value and direction. Only F32 is ever
//! cast; ids, bools, sizes and the bodies of `If`, `Loop` and `Scan` are left alone.
//!
//! Whatever stays in F32 is reported with the rule and the number that pinned it. Not here: measuring, and
//! running the result.

mod error;
mod masks;
pub(crate) mod numbers;
pub(crate) mod ops;
mod opset;
mod regions;
mod report;
mod rewrite;
mod rules;
mod view;
mod weights;

use std::collections::BTreeMap;

use onr_onnx::{ElemType, Model, proto::TensorProto};

pub use error::CastError;
pub use report::{CastReport, Pinned, Rule};

use crate::Measurements;
use masks::Masks;
use numbers::Narrow;
use regions::{Verdicts, narrows};
use rewrite::Plan;
use rules::{Judge, refuse_nan};
use view::View;
use weights::Storage;

/// What happens to the types of the graph's own inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IoTypes {
    /// They stay.
    #[default]
    Keep,
    /// F32 becomes the target type, where the numbers allow it.
    Narrow,
}

/// What to cast to, and what is known about the numbers.
#[derive(Clone, Copy)]
pub struct CastJob<'a> {
    /// [`ElemType::Float16`] or [`ElemType::Bfloat16`].
    pub to: ElemType,
    /// What was measured of the model's values. Without, integers of more than 8 bits, divisors and long
    /// sums are taken for the worst, and products for harmless.
    pub measured: Option<&'a Measurements>,
    /// Types of inputs and outputs.
    pub io: IoTypes,
    /// Nodes, by label, that stay in F32 whatever is known about them.
    pub keep: &'a dyn Fn(&str) -> bool,
}

/// Casts a model. The same model and job give the same bytes.
///
/// # Errors
/// [`CastError`]; the model is as it was then.
pub fn cast(model: &mut Model, job: &CastJob<'_>) -> Result<CastReport, CastError> {
    let narrow = Narrow::of(job.to).ok_or(CastError::Target(job.to))?;
    refuse_nan(job)?;
    let mut draft = model.clone();
    opset::ensure(&mut draft, narrow)?;
    weights::hoist(draft.graph_mut());
    let bytes_before = weights::bytes(draft.graph());
    let (plan, mut report) = plan(&draft, job, narrow)?;
    plan.apply(&mut draft, narrow)?;
    report.bytes_before = bytes_before;
    report.bytes_after = weights::bytes(draft.graph());
    *model = draft;
    Ok(report)
}

/// Decides everything about a model, and changes nothing.
fn plan(model: &Model, job: &CastJob<'_>, narrow: Narrow) -> Result<(Plan, CastReport), CastError> {
    let view = View::new(model, narrow)?;
    let masks = Masks::find(&view);
    let judge = Judge { view: &view, job, masks: &masks, axes: axes(model) };
    let verdicts = Verdicts::reach(&judge);
    let storage = Storage::decide(&view, &verdicts, &masks);
    let plan = Plan::new(&judge, &verdicts, storage);
    let nodes = 0..view.graph.node.len();
    let narrowed = nodes.filter(|node| verdicts.narrow(*node)).count();
    let mut pinned = wide_inputs(&judge);
    pinned.extend(verdicts.pins.into_iter().flatten());
    Ok((plan, CastReport { narrowed, pinned, bytes_before: 0, bytes_after: 0 }))
}

/// Inputs that were to be narrowed and cannot be.
fn wide_inputs(judge: &Judge<'_>) -> Vec<Pinned> {
    let view = judge.view;
    let floats = view.graph.input.iter().map(|v| v.label()).filter(|v| view.is_float(v));
    let wide = floats.filter(|v| judge.job.io == IoTypes::Narrow && !narrows(judge, v));
    wide.map(|input| {
        let (rule, value) = match judge.out_of_range(input) {
            Some((rule, value)) => (rule, Some(value)),
            None if view.captured.contains(input) => (Rule::Subgraph, None),
            None => (Rule::Keep, None),
        };
        let (node, op) = (input.to_owned(), "Input".to_owned());
        Pinned { node, op, rule, tensor: Some(input.to_owned()), value }
    })
    .collect()
}

/// The integer constants of a model that are short enough to be axes.
fn axes(model: &Model) -> BTreeMap<String, Vec<i64>> {
    let short = |t: &&TensorProto| {
        t.data_type == Some(ElemType::Int64.code()) && t.dims.iter().product::<i64>() <= 8
    };
    let list = |t: &TensorProto| {
        let bytes = model.bytes(t).ok()?;
        let number = |b: &[u8]| Some(i64::from_le_bytes(b.try_into().ok()?));
        Some((t.label().to_owned(), bytes.chunks_exact(8).filter_map(number).collect()))
    };
    model.graph().initializer.iter().filter(short).filter_map(list).collect()
}

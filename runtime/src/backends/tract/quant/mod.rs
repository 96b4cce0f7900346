//! Quantization for tract, bit for bit as ONNX Runtime's CPU kernels do it.
//!
//! tract has no FP8 and no 4-bit numbers, and its own `QuantizeLinear` rounds and divides in other ways.
//! So a file that has such nodes goes through four steps:
//!
//! 1. [`adapt`] rewrites the messages: FP8 becomes its codes in 8 bits, 4-bit constants are unpacked to
//!    8 bits, and each node is told which codes it reads or writes.
//! 2. [`register`] makes tract parse those nodes as [`Coding`], operators that its optimiser neither
//!    knows nor moves.
//! 3. [`check`] names the node whose scale, axis or zero point makes no sense.
//! 4. [`fold`] computes what hangs on constants only, once: weights are numbers from then on.

mod adapt;
mod check;
mod coding;
mod fold;
mod numbers;
mod params;

use tract_onnx::{
    Onnx,
    model::ParsingContext,
    pb::NodeProto,
    prelude::{DatumType, TractResult},
    tract_core::internal::{TractErrorContext as _, bail},
    tract_hir::infer::InferenceOp,
};

pub(super) use self::{adapt::adapt, check::check, fold::fold};
use self::{
    adapt::{AXIS, CODES, DECODE, ENCODE},
    coding::{Codes, Coding},
};

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Makes `onnx` read the nodes that [`adapt`] has prepared.
pub(super) fn register(onnx: &mut Onnx) {
    let operators = &mut onnx.op_register;
    operators.insert("QuantizeLinear", |_, node| built(Coding::Quantize(along(node)?)));
    operators.insert("DequantizeLinear", |_, node| built(Coding::Dequantize(along(node)?)));
    operators.insert(ENCODE, |_, _| built(Coding::Encode));
    operators.insert(DECODE, decode);
}

fn decode(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    built(Coding::Decode(node.get_attr::<DatumType>("to")?))
}

fn built(coding: Coding) -> Built {
    Ok((Box::new(coding), Vec::new()))
}

/// Axis and codes of a node. Bodies of `If`, `Loop` and `Scan` have not been prepared.
fn along(node: &NodeProto) -> TractResult<coding::Along> {
    let told =
        node.get_attr_opt::<i64>(CODES)?.context("cannot stand in a body of control flow")?;
    let Some(codes) = Codes::from_attribute(told) else { bail!("has codes of type {told}") };
    Ok(coding::Along { axis: node.get_attr_opt(AXIS)?.unwrap_or(1), codes })
}

#[cfg(test)]
mod tests;

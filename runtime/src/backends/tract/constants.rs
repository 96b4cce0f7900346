//! One copy of each large constant, however many graphs and plans use it.
//!
//! The graphs of a model share their tables: parsed one after the other, each would bring its own.
//! Optimising a graph keeps its tables as they are, but transposes weights, and packs those of
//! matrix products for the kernel that suits the shapes: each plan gets copies of its own, and most
//! of them are the same bytes again.

use std::sync::{Arc, Weak};

use tract_linalg::{
    mmm::{EagerPackedInput, PackedExoticFact},
    pack::PackedFormat,
};
use tract_onnx::{
    prelude::{Blob, InferenceFact, InferenceModel, Tensor, TractResult, TypedModel, tract_linalg},
    tract_core::ops::{
        konst::Const,
        matmul::optimized::{MatMulOperand, OptMatMul, ProtoFusedSpec},
    },
};

/// Smaller constants are not worth a comparison.
const LARGE: usize = 16 * 1024;

/// The large constants that are in use somewhere.
#[derive(Debug, Default)]
pub(super) struct Constants {
    tensors: Vec<Weak<Tensor>>,
    packed: Vec<(PackedExoticFact, Weak<Blob>)>,
}

impl Constants {
    /// Replaces the large constants of a parsed graph by equal ones that another graph brought, and
    /// knows the others from now on. They stay as long as somebody uses them.
    pub(super) fn adopt(&mut self, model: &mut InferenceModel) -> TractResult<()> {
        self.tensors.retain(|known| known.strong_count() > 0);
        for node in &mut model.nodes {
            let Some(constant) = node.op_as::<Const>() else { continue };
            let value = self.tensor(constant.val());
            if !Arc::ptr_eq(&value, constant.val()) && constant.exotic_fact().is_none() {
                node.outputs[0].fact = InferenceFact::try_from(&value)?;
                node.op = Box::new(Const::new(value)?);
            }
        }
        Ok(())
    }

    /// Replaces the large constants of `model` by equal ones that are in use already.
    pub(super) fn share(&mut self, model: &mut TypedModel) -> TractResult<()> {
        self.tensors.retain(|known| known.strong_count() > 0);
        self.packed.retain(|(_, known)| known.strong_count() > 0);
        for node in &mut model.nodes {
            for value in node.outputs.iter_mut().filter_map(|output| output.fact.konst.as_mut()) {
                *value = self.tensor(value);
            }
            if let Some(constant) = node.op_as::<Const>() {
                let value = self.tensor(constant.val());
                if !Arc::ptr_eq(&value, constant.val()) && constant.exotic_fact().is_none() {
                    node.op = Box::new(Const::new(value)?);
                }
            } else if let Some(product) = node.op_as_mut::<OptMatMul>() {
                for input in product.micro_ops.iter_mut().flat_map(packed_inputs) {
                    self.share_packed(input);
                }
            }
        }
        Ok(())
    }

    /// `value` itself, or an equal tensor that came before.
    fn tensor(&mut self, value: &Arc<Tensor>) -> Arc<Tensor> {
        if value.as_plain_ram().is_none_or(|plain| plain.as_bytes().len() < LARGE) {
            return value.clone();
        }
        let known: Vec<_> = self.tensors.iter().filter_map(Weak::upgrade).collect();
        // The pointer first: most constants are the parsed graph's own.
        let same = known.iter().find(|other| Arc::ptr_eq(other, value));
        if let Some(equal) = same.or_else(|| known.iter().find(|other| equal(other, value))) {
            return equal.clone();
        }
        self.tensors.push(Arc::downgrade(value));
        value.clone()
    }

    fn share_packed(&mut self, input: &mut EagerPackedInput) {
        if input.packed.len() < LARGE {
            return;
        }
        let equal = self.packed.iter().find_map(|(fact, known)| {
            let known = known.upgrade()?;
            (*fact == input.fact && equal_panels(input, &known)).then_some(known)
        });
        match equal {
            Some(known) => input.packed = known,
            None => self.packed.push((input.fact.clone(), Arc::downgrade(&input.packed))),
        }
    }
}

/// Equal bytes, not equal numbers: zero has two signs.
fn equal(a: &Tensor, b: &Tensor) -> bool {
    a.datum_type() == b.datum_type()
        && a.shape() == b.shape()
        && a.as_plain_ram().zip(b.as_plain_ram()).is_some_and(|(a, b)| a.as_bytes() == b.as_bytes())
}

/// The packed constants among the operands of a product.
pub(super) fn packed_inputs(
    op: &mut ProtoFusedSpec,
) -> impl Iterator<Item = &mut EagerPackedInput> {
    let operands = match op {
        ProtoFusedSpec::AddMatMul { a, b, .. } => vec![a, b],
        _ => vec![],
    };
    operands.into_iter().filter_map(|operand| match operand {
        MatMulOperand::Const(value) => value.downcast_mut(),
        MatMulOperand::Input(_) => None,
    })
}

/// Does `other`, packed in the same way, hold the same elements? Panels end in padding that nobody
/// ever writes.
fn equal_panels(input: &EagerPackedInput, other: &Blob) -> bool {
    let Some(format) = input.fact.format.downcast_ref::<PackedFormat>() else {
        return *input.packed == *other;
    };
    let filled = format.r * input.fact.k * format.dt.size_of();
    let mut panels = input.packed.chunks(input.panel_bytes).zip(other.chunks(input.panel_bytes));
    input.packed.len() == other.len() && panels.all(|(a, b)| a.get(..filled) == b.get(..filled))
}

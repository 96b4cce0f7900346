//! What hangs on constants only is computed once, when the graph is read.
//!
//! tract would do it again for each set of shapes, and would leave large weights as codes: their numbers
//! take more memory than it allows itself.

use std::{collections::BTreeSet, mem, sync::Arc};

use tract_onnx::{
    prelude::{
        DatumType, InferenceFact, InferenceModel, IntoTValue as _, IntoTensor as _, OutletId, TVec,
        Tensor, TractResult,
    },
    tract_core::ops::konst::Const,
};

use super::coding::Coding;

/// Replaces each of our operators on constants by its result, together with what makes those constants
/// out of others. Codes that nobody reads any more are gone afterwards.
pub(in super::super) fn fold(model: &mut InferenceModel) -> TractResult<()> {
    let order = model.eval_order()?;
    let mut wanted = BTreeSet::new();
    for &id in order.iter().rev() {
        let node = model.node(id);
        if node.op_is::<Coding>() || wanted.contains(&id) {
            wanted.insert(id);
            wanted.extend(node.inputs.iter().map(|input| input.node));
        }
    }
    for id in order.into_iter().filter(|id| wanted.contains(id)) {
        if let Some(value) = value(model, id)? {
            replace(model, id, Arc::new(value))?;
        }
    }
    model.compact()
}

/// What a node makes of constants; none when it takes something else.
fn value(model: &InferenceModel, id: usize) -> TractResult<Option<Tensor>> {
    let node = model.node(id);
    let inputs: Option<TVec<_>> = node.inputs.iter().map(|i| constant(model, *i)).collect();
    let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty() && node.outputs.len() == 1) else {
        return Ok(None);
    };
    let inputs = inputs.into_iter().map(|value| value.clone().into_tvalue()).collect();
    let made = node.op.eval_out_of_plan(inputs)?.and_then(|mut made| made.pop());
    // Sizes may be symbols still; they are tract's.
    Ok(made.map(|value| value.into_tensor()).filter(|t| t.datum_type() != DatumType::TDim))
}

fn constant(model: &InferenceModel, outlet: OutletId) -> Option<&Arc<Tensor>> {
    model.node(outlet.node).op_as::<Const>().map(Const::val)
}

fn replace(model: &mut InferenceModel, id: usize, value: Arc<Tensor>) -> TractResult<()> {
    for input in mem::take(&mut model.nodes[id].inputs) {
        let source = &mut model.nodes[input.node].outputs[input.slot];
        source.successors.retain(|reader| reader.node != id);
    }
    let node = &mut model.nodes[id];
    node.outputs[0].fact = InferenceFact::try_from(&value)?;
    node.op = Box::new(Const::new(value)?);
    Ok(())
}

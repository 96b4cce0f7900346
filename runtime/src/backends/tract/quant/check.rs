//! Scales, axes and zero points that make no sense, found before anything runs.

use std::sync::Arc;

use tract_onnx::{
    prelude::{InferenceFact, InferenceModel, InferenceModelExt as _, Tensor, TractResult},
    tract_core::{
        internal::{DimLike as _, bail},
        ops::Op as _,
    },
    tract_hir::infer::Factoid as _,
};

use super::{
    coding::{Along, Codes, Coding},
    params::{counts, fits, is_float, is_per_tensor, place},
};

/// Says which node is wrong, as far as the file tells without a run.
pub(in super::super) fn check(model: &InferenceModel) -> TractResult<()> {
    let mut known = model.clone();
    // What contradicts itself elsewhere is for the run to say; what was found out until then counts.
    let _ = known.analyse(true);
    for node in known.nodes() {
        let Some(coding) = node.op_as::<Coding>() else { continue };
        let facts: Result<Vec<_>, _> = node.inputs.iter().map(|i| known.outlet_fact(*i)).collect();
        if let Some(problem) = problem(coding, &facts?) {
            bail!("`{}` ({}): {problem}", node.name, coding.name());
        }
    }
    Ok(())
}

fn problem(coding: &Coding, facts: &[&InferenceFact]) -> Option<String> {
    let (along, quantizes) = match coding {
        Coding::Quantize(along) => (along, true),
        Coding::Dequantize(along) => (along, false),
        Coding::Encode | Coding::Decode(_) => return None,
    };
    let &[tensor, scale, ref zero @ ..] = facts else {
        return Some("it has no scale".to_owned());
    };
    let types = || quantizes.then(|| mixed(tensor, scale)).flatten();
    let spread = || scales(along, tensor, scale).err();
    let zero = || zero.first().and_then(|zero| zero_point(along, scale, zero));
    types().or_else(spread).or_else(|| value(scale).and_then(|s| unusable(&s))).or_else(zero)
}

/// ONNX Runtime's kernels divide F32 by F32 and F16 by F16 only.
fn mixed(tensor: &InferenceFact, scale: &InferenceFact) -> Option<String> {
    let (x, scale) = (tensor.datum_type.concretize()?, scale.datum_type.concretize()?);
    (x != scale || !is_float(x)).then(|| format!("it divides {x:?} by a scale of {scale:?}"))
}

/// Do the scales fit the tensor?
fn scales(along: &Along, tensor: &InferenceFact, scale: &InferenceFact) -> Result<(), String> {
    let Some(shape) = sizes(scale) else { return Ok(()) };
    let &[count] = shape.as_slice() else {
        let words = || format!("its scale has shape {shape:?}, not one axis");
        return is_per_tensor(&shape).then_some(()).ok_or_else(words);
    };
    let Some(rank) = tensor.shape.rank().concretize() else { return Ok(()) };
    if is_per_tensor(&shape) {
        return Ok(());
    }
    let at = place(along.axis, usize::try_from(rank).unwrap_or_default())?;
    let size = tensor.shape.dim(at).and_then(|dim| dim.concretize());
    match size.and_then(|size| size.to_usize().ok()) {
        Some(size) => fits(count, along.axis, size),
        None => Ok(()),
    }
}

/// A scale that no number can be divided by.
fn unusable(scale: &Tensor) -> Option<String> {
    let wide = scale.cast_to::<f32>().ok()?;
    let scales = wide.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?;
    let at = scales.iter().position(|s| !(s.is_finite() && *s > 0.0))?;
    Some(format!("scale {at} is {}, not a positive number", scales[at]))
}

fn zero_point(along: &Along, scale: &InferenceFact, zero: &InferenceFact) -> Option<String> {
    let count = |fact| sizes(fact).map(|sizes| sizes.iter().product::<usize>());
    if let (Some(scales), Some(zeros)) = (count(scale), count(zero))
        && scales != zeros
    {
        return Some(counts(scales, zeros));
    }
    let codes = value(zero).filter(|_| along.codes == Codes::F8)?;
    // Zero has two signs.
    let shifted = codes.try_as_plain_ram().ok()?.as_bytes().iter().any(|code| code & 0x7f != 0);
    shifted.then(|| "it has an FP8 zero point that is not zero".to_owned())
}

fn sizes(fact: &InferenceFact) -> Option<Vec<usize>> {
    let shape = fact.shape.concretize()?;
    shape.iter().map(|size| size.to_usize().ok()).collect()
}

fn value(fact: &InferenceFact) -> Option<Arc<Tensor>> {
    fact.value.concretize()
}

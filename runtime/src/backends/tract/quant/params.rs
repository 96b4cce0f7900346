//! Scales and zero points of a node, and which element has which.

use tract_onnx::{
    prelude::{DatumType, TValue, TVec, Tensor, TractResult},
    tract_core::internal::{bail, ensure, format_err},
};

use super::coding::Along;

/// Scales and zero points, spread over the elements of a tensor.
pub(super) struct Params {
    scales: Vec<f32>,
    zeros: Vec<i32>,
    /// How many elements in a row have one scale.
    run: usize,
}

impl Params {
    /// Those of `inputs`: the tensor, its scales and perhaps its zero points.
    pub(super) fn new(along: &Along, inputs: &[&Tensor]) -> TractResult<Self> {
        let &[tensor, scale, ref zero @ ..] = inputs else { bail!("takes a tensor and a scale") };
        let run = run(tensor.shape(), along.axis, scale.shape()).map_err(|e| format_err!("{e}"))?;
        let scales = floats(scale)?;
        let zeros = match zero {
            [zero, ..] if along.codes.is_integer() => integers(zero)?,
            _ => vec![0; scales.len()],
        };
        ensure!(scales.len() == zeros.len(), "{}", counts(scales.len(), zeros.len()));
        Ok(Self { scales, zeros, run })
    }

    /// `number` of each element with its scale and zero point.
    pub(super) fn map<X: Copy, Y>(&self, x: &[X], number: impl Fn(X, f32, i32) -> Y) -> Vec<Y> {
        let mut out = Vec::with_capacity(x.len());
        let params = self.scales.iter().zip(&self.zeros).cycle();
        // An empty tensor has runs of nothing.
        for (run, (scale, zero)) in x.chunks(self.run.max(1)).zip(params) {
            out.extend(run.iter().map(|x| number(*x, *scale, *zero)));
        }
        out
    }
}

/// One element, as a scalar or as a list: the whole tensor has it.
pub(super) fn is_per_tensor(scale: &[usize]) -> bool {
    matches!(scale, [] | [1])
}

/// Place of an axis, which counts from the end when it is negative.
pub(super) fn place(axis: i64, rank: usize) -> Result<usize, String> {
    let signed = rank as i64;
    match if axis < 0 { axis + signed } else { axis } {
        at if (0..signed).contains(&at) => Ok(at as usize),
        _ => Err(format!("axis {axis} is outside a tensor of {rank} axes")),
    }
}

/// That there are `scales` scales for an axis of `size`.
pub(super) fn fits(scales: usize, axis: i64, size: usize) -> Result<(), String> {
    let words = || format!("it has {scales} scales for axis {axis} of {size} elements");
    (scales == size).then_some(()).ok_or_else(words)
}

/// What to say of unequal numbers of scales and zero points.
pub(super) fn counts(scales: usize, zeros: usize) -> String {
    format!("it has {scales} scales and {zeros} zero points")
}

/// How many elements of a tensor of `shape` follow each other with one scale.
fn run(shape: &[usize], axis: i64, scale: &[usize]) -> Result<usize, String> {
    match scale {
        scale if is_per_tensor(scale) => Ok(shape.iter().product()),
        &[scales] => {
            let at = place(axis, shape.len())?;
            fits(scales, axis, shape[at])?;
            Ok(shape[at + 1..].iter().product())
        }
        other => Err(format!("its scale has shape {other:?}, not one axis")),
    }
}

fn floats(tensor: &Tensor) -> TractResult<Vec<f32>> {
    ensure!(is_float(tensor.datum_type()), "its scale is {:?}", tensor.datum_type());
    Ok(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

fn integers(tensor: &Tensor) -> TractResult<Vec<i32>> {
    Ok(tensor.cast_to::<i32>()?.try_as_plain_ram()?.as_slice::<i32>()?.to_vec())
}

/// Can numbers be of this type here?
pub(super) const fn is_float(datum: DatumType) -> bool {
    matches!(datum, DatumType::F32 | DatumType::F16)
}

/// The tensors behind tract's values.
pub(super) fn tensors(values: &[TValue]) -> TVec<&Tensor> {
    values.iter().map(|value| &**value).collect()
}

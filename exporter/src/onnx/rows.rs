//! Tables in codes against the checkpoint: made anew, they must be the same to the bit.

use half::{bf16, f16};
use onr_onnx::{ElemType, Model, OnnxError, proto::TensorProto};
use onr_precision::{Plan, tables::quantize_rows};

use crate::checkpoint::Checkpoint;

/// What is wrong with the codes or scales of a table, if anything; `None` for a tensor that is no codes of a table.
///
/// A table may have been rounded to 16 bits before it became codes.
pub(super) fn check_rows(
    model: &Model,
    tensor: &TensorProto,
    checkpoint: &Checkpoint,
    plan: &Plan,
) -> Result<Option<String>, OnnxError> {
    let Some((key, "words" | "codes")) = tensor.label().split_once("/rows.") else {
        return Ok(None);
    };
    let Some(format) = plan.tables.get(key) else {
        return Ok(Some(format!("weights: `{key}` is in codes, which the plan does not say")));
    };
    let Some(values) = checkpoint.values(key).ok().flatten() else {
        return Ok(Some(format!("weights: `{key}` is not in the checkpoint")));
    };
    let codes = model.bytes(tensor)?;
    let scales_name = format!("{key}/rows.scales");
    let Some(scales) = model.initializer(&scales_name) else {
        return Ok(Some(format!("weights: `{scales_name}` is missing")));
    };
    let scales = model.bytes(scales)?;
    let rows = scales.len() / 4;
    let same = |elem: ElemType| {
        let bytes = stored(&values, elem);
        let made = quantize_rows(key, elem, &bytes, values.len() / rows.max(1), *format);
        made.is_ok_and(|made| {
            made.codes == codes
                && made.scales.iter().flat_map(|s| s.to_le_bytes()).eq(scales.iter().copied())
        })
    };
    let types = [ElemType::Float, ElemType::Float16, ElemType::Bfloat16];
    let wrong = !types.into_iter().any(same);
    Ok(wrong.then(|| format!("weights: codes of `{key}` are not the checkpoint's")))
}

fn stored(values: &[f32], elem: ElemType) -> Vec<u8> {
    match elem {
        ElemType::Float16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        ElemType::Bfloat16 => {
            values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()
        }
        _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

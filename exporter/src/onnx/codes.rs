//! Codes of 8-bit weights against the checkpoint: every number within half a step of its scale.

use onr_calibration::fp8;
use onr_onnx::{ElemType, Model, OnnxError, floats, proto::TensorProto};
use onr_precision::Plan;

use crate::checkpoint::Checkpoint;

/// Relative error of a weight that was rounded to 16 bits before it became a code.
const HALF: f32 = 1.0 / 1024.0;

/// What is wrong with an initializer that a plan added, if anything; `None` for one that is no code.
///
/// Scales have no counterpart in the checkpoint: a wrong one shows in the codes that it scales.
pub(super) fn check_codes(
    model: &Model,
    tensor: &TensorProto,
    checkpoint: &Checkpoint,
    plan: &Plan,
) -> Result<Option<String>, OnnxError> {
    let Some(key) = tensor.label().strip_suffix("/codes") else { return Ok(None) };
    let (key, smoothed) = match key.strip_suffix("/smoothed") {
        Some(key) => (key, true),
        None => (key, false),
    };
    let Some(wanted) = checkpoint.values(key).ok().flatten() else {
        return Ok(Some(format!("weights: `{key}` is not in the checkpoint")));
    };
    let scales_name = tensor.label().replace("/codes", "/scales");
    let Some(scales) = model.initializer(&scales_name) else {
        return Ok(Some(format!("weights: `{scales_name}` is missing")));
    };
    let scales = floats(ElemType::Float, &model.bytes(scales)?).unwrap_or_default();
    let factors = plan.smooth.get(key).filter(|_| smoothed);
    let codes = model.bytes(tensor)?;
    let decode: fn(u8) -> f32 = match tensor.data_type.and_then(ElemType::of) {
        Some(ElemType::Int8) => |code| f32::from(code.cast_signed()),
        _ => fp8::decode,
    };
    // Steps of FP8 grow with the number: half of one is a sixteenth of it.
    let (relative, absolute) = match tensor.data_type.and_then(ElemType::of) {
        Some(ElemType::Int8) => (HALF, 0.501),
        _ => (HALF + 1.0 / 15.9, 1.0 / 1023.0),
    };
    if codes.len() != wanted.len() || scales.is_empty() {
        let (have, want) = (codes.len(), wanted.len());
        return Ok(Some(format!("weights: `{key}` has {have} codes for {want} numbers")));
    }
    let columns = scales.len();
    let wrong = wanted.iter().zip(codes.iter()).enumerate().find(|(at, (want, code))| {
        let want = **want * factors.map_or(1.0, |f| f[at / columns]);
        let scale = scales[at % columns];
        let held = decode(**code) * scale;
        let off = (want - held).abs();
        off > relative * want.abs() + absolute * scale || off.is_nan()
    });
    Ok(wrong.map(|(at, _)| format!("weights: the code of `{key}`[{at}] is not the checkpoint's")))
}

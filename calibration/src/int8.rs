//! INT8 with a zero point of 0, as ONNX's `QuantizeLinear`.

/// The magnitude that a scale is made for: symmetric ranges do not use -128.
pub const MAX: f32 = 127.0;

/// `clamp(round_half_even(value / scale), -128, 127)`, divided in F32 as ONNX Runtime does; NaN becomes 0.
///
/// `scale` must be positive.
#[must_use]
pub fn quantize(value: f32, scale: f32) -> i8 {
    (value / scale).round_ties_even().clamp(-128.0, 127.0) as i8
}

/// `code * scale` in F32.
#[must_use]
pub fn dequantize(code: i8, scale: f32) -> f32 {
    f32::from(code) * scale
}

/// `value` as the codes have it.
#[must_use]
pub fn round_trip(value: f32, scale: f32) -> f32 {
    dequantize(quantize(value, scale), scale)
}

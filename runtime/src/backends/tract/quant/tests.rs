//! Each operator beside ONNX Runtime, bit for bit; whole graphs; what is refused.

#[cfg(feature = "ort")]
mod graphs;
#[cfg_attr(
    not(feature = "ort"),
    expect(dead_code, reason = "some helpers are for what ONNX Runtime is asked")
)]
mod model;
#[cfg(feature = "ort")]
mod operators;
mod refused;

//! What the exported graphs compute, on both CPU backends: against the NumPy reference, against
//! themselves (the contract's identities), and against parity's own sensitivity.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod checker;
mod device;
mod engines;
mod golden;
mod half;
mod identities;
mod numpy;
mod onnx_engines;
mod sensitivity;
mod support;
mod training;

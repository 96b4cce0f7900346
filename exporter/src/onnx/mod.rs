//! The ONNX wire format.

mod encode;
pub mod proto;

pub use encode::{Placement, encode};

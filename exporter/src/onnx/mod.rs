//! The ONNX wire format.

mod encode;
pub mod proto;
mod read;

pub use encode::{Placement, encode};
pub use read::OnnxFile;

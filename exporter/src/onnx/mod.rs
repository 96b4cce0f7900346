//! The ONNX wire format.

mod encode;
mod read;
mod weights;

pub use encode::{Placement, encode};
pub use read::OnnxFile;
pub use weights::check_weights;

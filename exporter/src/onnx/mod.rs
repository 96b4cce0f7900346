//! The ONNX wire format.

mod codes;
mod encode;
mod read;
mod rows;
mod save;
mod weights;

pub use encode::{Placement, elem_type, encode};
pub use read::OnnxFile;
pub use save::{Weights, save};
pub use weights::check_weights;

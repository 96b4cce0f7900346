//! ONNX files.
//!
//! In: paths. Out: models as data (the messages of `onnx.proto`), tensors wherever they are stored, what a
//! graph says about its values. Files are mapped, so a model of gigabytes costs what is read of it.
//! Never here: running a model, or a decision about its numbers.

pub mod edit;
mod elem;
mod error;
mod graph;
mod mapped;
mod model;
pub mod proto;
mod tensor;

pub use elem::ElemType;
pub use error::OnnxError;
pub use graph::{Links, Use, elem_types};
pub use mapped::Mapped;
pub use model::{Model, confined};
pub use tensor::{floats, le_bytes, scalar, tensor};

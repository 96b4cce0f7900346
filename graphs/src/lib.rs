//! The OneRanker graphs.
//!
//! In: a model configuration and a choice of precision. Out: a typed graph of ONNX operators with
//! symbolic dimensions, whose weights are named but not loaded. Never done here: files, protobuf,
//! weight values, GPUs.

pub mod builder;
pub mod dim;
pub mod dtype;
mod dump;
mod error;
pub mod flops;
pub mod graph;
pub mod model;
pub mod ops;
pub mod profile;
pub mod profiles;
mod validate;

pub use builder::{GraphBuilder, Tensor};
pub use dim::{Bindings, Dim};
pub use dtype::DType;
pub use dump::dump;
pub use error::BuildError;
pub use graph::Graph;
pub use model::{
    build,
    config::{
        Attention, Filter, GraphKind, GraphOptions, IdType, ItemInput, ModelConfig, Precision,
    },
};
pub use profile::{Profile, ProfileError, Range};
pub use profiles::{Axis, AxisError, Profiles};
pub use validate::validate;

//! The compilers behind [`crate::builder::EngineBuilder`], one file each, and what they share.

pub(crate) mod diagnosis;
mod log;
pub(crate) mod process;
mod shapes;
#[cfg(feature = "tensorrt-rtx")]
pub mod tensorrt;
pub mod trtexec;

#[cfg(feature = "tensorrt-rtx")]
pub use tensorrt::TensorRt;
pub use trtexec::Trtexec;

//! The compilers behind [`crate::builder::EngineBuilder`], one file each, and what they share.

mod diagnosis;
mod log;
pub(crate) mod process;
mod shapes;
#[cfg(feature = "tensorrt-rtx")]
pub mod tensorrt_rtx;
pub mod trtexec;

#[cfg(feature = "tensorrt-rtx")]
pub use tensorrt_rtx::TensorRtRtx;
pub use trtexec::Trtexec;

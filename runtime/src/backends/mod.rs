//! The engines behind [`crate::backend::Backend`], one file each.

pub mod engine;
#[cfg(feature = "ort")]
pub mod ort;
pub(crate) mod plan;
pub(crate) mod signature;
#[cfg(feature = "tensorrt-rtx")]
pub mod tensorrt;
#[cfg(feature = "tract")]
pub mod tract;
#[cfg(feature = "triton")]
pub mod triton;
pub mod trtexec;

#[cfg(test)]
#[cfg(any(feature = "ort", feature = "tract"))]
#[cfg_attr(
    not(all(feature = "ort", feature = "tract")),
    expect(dead_code, reason = "some models are for one backend")
)]
mod fixture;
#[cfg(test)]
#[cfg(all(feature = "ort", feature = "tract"))]
mod tests;

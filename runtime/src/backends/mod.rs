//! The engines behind [`crate::backend::Backend`], one file each.

#[cfg(feature = "ort")]
pub mod ort;
pub(crate) mod signature;
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

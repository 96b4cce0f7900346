//! The GPU that data-centre TensorRT compiles on and for.

use cudarc::driver::{CudaContext, sys};

use crate::builder::Target;

/// The compute capability of the first GPU that the driver shows: the one that TensorRT takes.
///
/// # Errors
/// In words: no driver, or what the driver said.
#[expect(
    unsafe_code,
    reason = "cudarc panics where there is no driver, and asks for one in no safe way"
)]
pub(super) fn target() -> Result<Target, String> {
    // SAFETY: the loader is asked for the driver's library, whose initialisers run.
    if !unsafe { sys::is_culib_present() } {
        return Err("there is no CUDA driver: no libcuda.so.1".to_owned());
    }
    let said = |error| format!("the CUDA driver shows no usable GPU: {error}");
    let (major, minor) =
        CudaContext::new(0).and_then(|gpu| gpu.compute_capability()).map_err(said)?;
    u32::try_from(10 * major + minor)
        .map(Target)
        .map_err(|_| format!("the CUDA driver names capability {major}.{minor}"))
}

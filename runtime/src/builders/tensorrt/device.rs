//! The GPU that data-centre TensorRT compiles on and for.

use onr_device::{Driver, cuda::CudaDriver};

use crate::builder::Target;

/// The compute capability of the first GPU that the driver shows: the one that TensorRT takes.
///
/// # Errors
/// In words: no driver, or what the driver said.
pub(super) fn target() -> Result<Target, String> {
    let driver = CudaDriver::open(0).map_err(|error| error.to_string())?;
    Ok(Target(driver.info().capability))
}

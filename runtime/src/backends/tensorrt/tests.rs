//! What can be tested of TensorRT's runtime where there is no GPU: that it says so.

use onr_device::{DeviceError, Driver as _, Engines as _, cuda::CudaDriver};

use super::{TensorRtEngines, TensorRtOptions};
use crate::{
    backend::{Availability, Backend as _},
    builders::TensorRt,
    libraries::Search,
};

fn rtx() -> TensorRt {
    let found =
        Search::from_env().tensorrt().unwrap_or_else(|error| panic!("{error}; {}", error.hint()));
    TensorRt::new(found.runtime.path, found.parser.path)
}

#[test]
fn without_a_driver_there_is_no_backend_and_the_reason_is_given() {
    let backend = rtx().backend(TensorRtOptions::default()).unwrap();
    match (CudaDriver::open(0), backend.availability()) {
        (Ok(driver), Availability::Ready { version, .. }) => {
            assert!(version.ends_with(&driver.info().name), "{version}");
        }
        (Err(error), Availability::Missing { what, .. }) => assert_eq!(what, error.to_string()),
        (driver, found) => panic!("{driver:?}, {found:?}"),
    }
}

#[test]
fn what_is_no_plan_is_refused_in_words() {
    let version = rtx().load().unwrap().to_string();
    let engines = TensorRtEngines::new(version, None);
    for plan in [&b""[..], b"vtrt", &[7; 4096]] {
        match engines.load(plan).err() {
            Some(DeviceError::Plan { reason }) => assert!(!reason.is_empty()),
            other => panic!("{other:?}"),
        }
        assert!(matches!(engines.refit(plan, &[]), Err(DeviceError::Plan { .. })));
    }
}

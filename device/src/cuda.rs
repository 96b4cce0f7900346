//! The CUDA driver, looked for when it is first needed.
#![expect(unsafe_code, reason = "calls of the CUDA driver")]

use std::{ffi::c_void, fmt, ptr, sync::Arc};

use cudarc::driver::{CudaContext, DriverError, result, sys};

use crate::{Address, DeviceError, DeviceInfo, Driver, Handle, Memory};

/// A device of the machine, in its primary context: the one that TensorRT and CUDA's runtime use as well.
pub struct CudaDriver {
    context: Arc<CudaContext>,
    info: DeviceInfo,
}

impl fmt::Debug for CudaDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDriver").field("info", &self.info).finish_non_exhaustive()
    }
}

impl CudaDriver {
    /// The device of that number.
    ///
    /// # Errors
    /// [`DeviceError::NoDriver`], [`DeviceError::NoDevice`].
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        // SAFETY: the loader is asked for the driver's library, whose initialisers run.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::NoDriver { what: "libcuda.so.1 cannot be loaded".to_owned() });
        }
        let context = CudaContext::new(ordinal).map_err(|error| absent(ordinal, error))?;
        let said = |call| move |error| failed(call, error);
        let (major, minor) = context.compute_capability().map_err(said("cuDeviceGetAttribute"))?;
        let multiprocessors = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(said("cuDeviceGetAttribute"))?;
        let mut driver = 0;
        // SAFETY: it writes one integer.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) }
            .result()
            .map_err(said("cuDriverGetVersion"))?;
        let info = DeviceInfo {
            ordinal,
            name: context.name().map_err(said("cuDeviceGetName"))?,
            capability: u32::try_from(10 * major + minor).unwrap_or_default(),
            multiprocessors: u32::try_from(multiprocessors).unwrap_or_default(),
            memory: context.total_mem().map_err(said("cuDeviceTotalMem"))? as u64,
            driver: u32::try_from(driver).unwrap_or_default(),
        };
        Ok(Self { context, info })
    }
}

/// Why there is no device.
fn absent(ordinal: usize, error: DriverError) -> DeviceError {
    use sys::CUresult::{
        CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, CUDA_ERROR_STUB_LIBRARY,
        CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
    };
    let what = words(error);
    match error.0 {
        CUDA_ERROR_STUB_LIBRARY
        | CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => DeviceError::NoDriver { what },
        _ => DeviceError::NoDevice { ordinal, what },
    }
}

/// `CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected`.
fn words(error: DriverError) -> String {
    // SAFETY: see `open`. Without the library its text cannot be asked for.
    let text = unsafe { sys::is_culib_present() }.then(|| error.error_string().ok()).flatten();
    let text = text.map(|text| format!(": {}", text.to_string_lossy())).unwrap_or_default();
    format!("{:?}{text}", error.0)
}

fn failed(call: &'static str, error: DriverError) -> DeviceError {
    DeviceError::Driver { call, what: words(error) }
}

fn stream_of(handle: Handle) -> sys::CUstream {
    ptr::with_exposed_provenance_mut(handle as usize)
}

fn event_of(handle: Handle) -> sys::CUevent {
    ptr::with_exposed_provenance_mut(handle as usize)
}

fn launch_of(handle: Handle) -> sys::CUgraphExec {
    ptr::with_exposed_provenance_mut(handle as usize)
}

fn host_of(at: Address) -> *mut u8 {
    ptr::with_exposed_provenance_mut(at as usize)
}

fn number<T>(pointer: *mut T) -> u64 {
    pointer.expose_provenance() as u64
}

impl CudaDriver {
    /// The driver's state is per thread: every call begins here.
    fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> Result<T, DriverError>,
    ) -> Result<T, DeviceError> {
        self.context.bind_to_thread().and_then(|()| call()).map_err(|error| failed(name, error))
    }
}

// SAFETY: addresses and handles are the driver's own.
unsafe impl Driver for CudaDriver {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn memory(&self) -> Result<Memory, DeviceError> {
        let (free, total) = self.call("cuMemGetInfo", result::mem_get_info)?;
        Ok(Memory { free: free as u64, total: total as u64 })
    }

    fn enter(&self) -> Result<(), DeviceError> {
        self.call("cuCtxSetCurrent", || Ok(()))
    }

    fn allocate(&self, bytes: usize) -> Result<Address, DeviceError> {
        self.enter()?;
        // SAFETY: the size is not 0.
        match unsafe { result::malloc_sync(bytes.max(1)) } {
            Ok(at) => Ok(at),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let Memory { free, total } = self.memory()?;
                let device = self.info.name.clone();
                Err(DeviceError::OutOfMemory { device, asked: bytes as u64, free, total })
            }
            Err(error) => Err(failed("cuMemAlloc", error)),
        }
    }

    unsafe fn free(&self, at: Address) {
        // SAFETY: the caller's promise. What fails here has failed before: there is nobody to tell.
        let _ = self.call("cuMemFree", || unsafe { result::free_sync(at) });
    }

    fn pin(&self, bytes: usize) -> Result<Address, DeviceError> {
        // SAFETY: the size is not 0.
        self.call("cuMemHostAlloc", || unsafe { result::malloc_host(bytes.max(1), 0) }).map(number)
    }

    unsafe fn unpin(&self, at: Address) {
        // SAFETY: the caller's promise.
        let _ = self
            .call("cuMemFreeHost", || unsafe { result::free_host(host_of(at).cast::<c_void>()) });
    }

    unsafe fn write_pinned(&self, at: Address, bytes: &[u8]) {
        // SAFETY: the caller's promise: pinned memory of that size, which nobody reads now.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), host_of(at), bytes.len()) }
    }

    unsafe fn read_pinned(&self, at: Address, bytes: &mut [u8]) {
        // SAFETY: the caller's promise: pinned memory of that size, which nobody writes now.
        unsafe { ptr::copy_nonoverlapping(host_of(at), bytes.as_mut_ptr(), bytes.len()) }
    }

    fn stream(&self) -> Result<Handle, DeviceError> {
        let kind = result::stream::StreamKind::NonBlocking;
        self.call("cuStreamCreate", || result::stream::create(kind)).map(number)
    }

    unsafe fn end_stream(&self, stream: Handle) {
        // SAFETY: the caller's promise.
        let _ =
            self.call("cuStreamDestroy", || unsafe { result::stream::destroy(stream_of(stream)) });
    }

    unsafe fn synchronize(&self, stream: Handle) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        self.call("cuStreamSynchronize", || unsafe {
            result::stream::synchronize(stream_of(stream))
        })
    }

    unsafe fn upload(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.call("cuMemcpyHtoDAsync", || {
            // SAFETY: the caller's promise: pinned memory of that size until the copy is done.
            let from = unsafe { std::slice::from_raw_parts(host_of(from), bytes) };
            // SAFETY: likewise for the device's.
            unsafe { result::memcpy_htod_async(to, from, stream_of(stream)) }
        })
    }

    unsafe fn download(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        self.call("cuMemcpyDtoHAsync", || {
            // SAFETY: the caller's promise: pinned memory of that size until the copy is done.
            let to = unsafe { std::slice::from_raw_parts_mut(host_of(to), bytes) };
            // SAFETY: likewise for the device's.
            unsafe { result::memcpy_dtoh_async(to, from, stream_of(stream)) }
        })
    }

    unsafe fn copy(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
        stream: Handle,
    ) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        let copied = || unsafe { result::memcpy_dtod_async(to, from, bytes, stream_of(stream)) };
        self.call("cuMemcpyDtoDAsync", copied)
    }

    unsafe fn clear(&self, at: Address, bytes: usize, stream: Handle) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        self.call("cuMemsetD8Async", || unsafe {
            result::memset_d8_async(at, 0, bytes, stream_of(stream))
        })
    }

    unsafe fn record(&self, stream: Handle) -> Result<(), DeviceError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the caller's promise.
        self.call("cuStreamBeginCapture", || unsafe {
            result::stream::begin_capture(stream_of(stream), mode)
        })
    }

    unsafe fn recorded(&self, stream: Handle) -> Result<Handle, DeviceError> {
        // SAFETY: the caller's promise.
        let end = || unsafe { result::stream::end_capture(stream_of(stream)) };
        let graph = self.call("cuStreamEndCapture", end)?;
        if graph.is_null() {
            return Err(DeviceError::Driver {
                call: "cuStreamEndCapture",
                what: "it gave no graph".into(),
            });
        }
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the graph was just made.
        let made =
            self.call("cuGraphInstantiate", || unsafe { result::graph::instantiate(graph, flags) });
        // SAFETY: an instance does not need the graph that it came from.
        let _ = self.call("cuGraphDestroy", || unsafe { result::graph::destroy(graph) });
        made.map(number)
    }

    unsafe fn launch(&self, recording: Handle, stream: Handle) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        self.call("cuGraphLaunch", || unsafe {
            result::graph::launch(launch_of(recording), stream_of(stream))
        })
    }

    unsafe fn forget(&self, recording: Handle) {
        // SAFETY: the caller's promise.
        let _ = self.call("cuGraphExecDestroy", || unsafe {
            result::graph::exec_destroy(launch_of(recording))
        });
    }

    fn event(&self) -> Result<Handle, DeviceError> {
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        self.call("cuEventCreate", || result::event::create(flags)).map(number)
    }

    unsafe fn end_event(&self, event: Handle) {
        // SAFETY: the caller's promise.
        let _ = self.call("cuEventDestroy", || unsafe { result::event::destroy(event_of(event)) });
    }

    unsafe fn mark(&self, event: Handle, stream: Handle) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        self.call("cuEventRecord", || unsafe {
            result::event::record(event_of(event), stream_of(stream))
        })
    }

    unsafe fn elapsed(&self, from: Handle, to: Handle) -> Result<f32, DeviceError> {
        // SAFETY: the caller's promise.
        self.call("cuEventElapsedTime", || unsafe {
            result::event::elapsed(event_of(from), event_of(to))
        })
    }
}

#[cfg(test)]
mod tests {
    use sys::CUresult;

    use super::*;

    #[test]
    fn what_the_driver_says_about_devices_is_told_apart() {
        let none = absent(3, DriverError(CUresult::CUDA_ERROR_NO_DEVICE));
        assert!(matches!(none, DeviceError::NoDevice { ordinal: 3, .. }), "{none}");
        let none = absent(9, DriverError(CUresult::CUDA_ERROR_INVALID_DEVICE));
        assert!(matches!(none, DeviceError::NoDevice { ordinal: 9, .. }), "{none}");
        let stub = absent(0, DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY));
        assert!(matches!(stub, DeviceError::NoDriver { .. }), "{stub}");
    }

    /// On a machine with a GPU the other half is `make gpu-check`.
    #[test]
    fn a_machine_without_a_driver_says_so() {
        // SAFETY: see `open`.
        if unsafe { sys::is_culib_present() } {
            return;
        }
        let error = CudaDriver::open(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no usable CUDA driver: libcuda.so.1 cannot be loaded"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("--candidate ort")));
    }
}

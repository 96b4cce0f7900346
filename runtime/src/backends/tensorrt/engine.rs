//! A loaded plan and its contexts.
#![expect(unsafe_code, reason = "TensorRT takes streams and addresses on trust")]

use std::{
    ffi::c_void,
    path::Path,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onr_device::{Address, Binding, Context, DeviceError, Engine, Handle};
use trtx::{ExecutionContext, TensorIOMode, trtx_sys::Dims};

use super::{
    cache::Cache,
    library::{Loaded, explained},
    names::dtype,
};

fn failed(reason: impl ToString) -> DeviceError {
    DeviceError::Engine { reason: reason.to_string() }
}

/// A plan on a device.
pub(super) struct TensorRtEngine {
    shared: Arc<Shared>,
    bindings: Vec<Binding>,
    profiles: usize,
}

/// The engine, which every context of it keeps.
struct Shared {
    // Dropped before the engine that it came from.
    cache: Option<Cache>,
    loaded: Mutex<Loaded>,
}

// SAFETY: TensorRT's engines may be used from any thread; what changes one is behind the mutex.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(cache) = &self.cache {
            cache.save();
        }
    }
}

impl TensorRtEngine {
    /// What `loaded` says of itself; `cache` is the folder for what is compiled at load.
    pub(super) fn new(loaded: Loaded, plan: &[u8], cache: Option<&Path>) -> Result<Self, String> {
        let engine = &loaded.engine;
        let said = |error: trtx::Error| error.to_string();
        let count = engine.nb_io_tensors().map_err(said)?;
        let binding = |index| {
            let name = engine.io_tensor_name(index).map_err(said)?;
            let theirs = engine.tensor_data_type(&name).map_err(said)?;
            let dtype =
                dtype(&theirs).ok_or_else(|| format!("`{name}` has the type {theirs:?}"))?;
            let shape = engine.tensor_shape(&name).map_err(said)?;
            Ok(Binding {
                input: engine.tensor_io_mode(&name).map_err(said)? == TensorIOMode::kINPUT,
                shape: shape.into_iter().map(|size| usize::try_from(size).ok()).collect(),
                dtype,
                name,
            })
        };
        let bindings = (0..count).map(binding).collect::<Result<_, String>>()?;
        let profiles = engine.nb_optimization_profiles().map_err(said)?;
        let cache = cache.map(|folder| Cache::new(folder, plan));
        Ok(Self {
            shared: Arc::new(Shared { loaded: Mutex::new(loaded), cache }),
            bindings,
            profiles: usize::try_from(profiles).unwrap_or(0),
        })
    }
}

impl Engine for TensorRtEngine {
    fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    fn profiles(&self) -> usize {
        self.profiles
    }

    fn context(&self) -> Result<Box<dyn Context>, DeviceError> {
        let inner = explained(|_| {
            let mut loaded = self.shared.loaded();
            super::cache::context(&mut loaded.engine, self.shared.cache.as_ref())
        });
        let inner = inner.map_err(failed)?;
        Ok(Box::new(TensorRtContext { inner, _engine: Arc::clone(&self.shared) }))
    }
}

/// Scratch memory, shapes and addresses of one run after the other.
struct TensorRtContext {
    // Dropped before the engine.
    inner: ExecutionContext<'static>,
    _engine: Arc<Shared>,
}

// SAFETY: a context may be used from any thread, one at a time: `&mut` sees to that. Its configuration is counted
// without locks, but nobody else holds it.
unsafe impl Send for TensorRtContext {}

fn stream_of(stream: Handle) -> *mut c_void {
    ptr::with_exposed_provenance_mut(stream as usize)
}

// SAFETY: addresses and streams go to TensorRT as they are.
unsafe impl Context for TensorRtContext {
    unsafe fn choose(&mut self, profile: usize, stream: Handle) -> Result<(), DeviceError> {
        let index = i32::try_from(profile).map_err(failed)?;
        if self.inner.optimization_profile() == index {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        match unsafe { self.inner.set_optimization_profile_async(index, stream_of(stream)) } {
            true => Ok(()),
            false => Err(failed(format!("profile {profile} cannot be used"))),
        }
    }

    fn resize(&mut self, input: &str, shape: &[usize]) -> Result<(), DeviceError> {
        let sizes: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        self.inner.set_input_shape(input, &Dims::from_slice(&sizes)).map_err(|_| {
            DeviceError::Input {
                input: input.to_owned(),
                reason: format!("cannot have shape {shape:?}"),
            }
        })
    }

    fn output(&self, name: &str) -> Result<Vec<usize>, DeviceError> {
        let dims = self.inner.tensor_shape(name).map_err(failed)?;
        let rank = usize::try_from(dims.nbDims)
            .map_err(|_| failed(format!("`{name}` has no shape yet")))?;
        let sizes = dims.d.iter().take(rank);
        sizes
            .map(|size| {
                usize::try_from(*size).map_err(|_| failed(format!("`{name}` has no shape yet")))
            })
            .collect()
    }

    unsafe fn bind(&mut self, name: &str, at: Address) -> Result<(), DeviceError> {
        let at = ptr::with_exposed_provenance_mut(at as usize);
        // SAFETY: the caller's promise.
        unsafe { self.inner.set_tensor_address(name, at) }.map_err(failed)
    }

    unsafe fn enqueue(&mut self, stream: Handle) -> Result<(), DeviceError> {
        // SAFETY: the caller's promise.
        unsafe { self.inner.enqueue_v3(stream_of(stream)) }.map_err(failed)
    }
}

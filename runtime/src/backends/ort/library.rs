//! ONNX Runtime's library, and what `ort` does not ask it: its version, and where nodes run.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
    fs,
    path::PathBuf,
    ptr, slice,
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    AsPointer,
    environment::Environment,
    logging::LogLevel,
    session::{Session, builder::SessionBuilder},
};

use super::NAME;
use crate::{
    backend::{Placement, RunError},
    libraries::{ONNXRUNTIME_VARIABLE, Search},
};

/// What `ort` is built for, by its feature `api-24`.
const OLDEST: &str = "1.24";

/// The library of this process.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) environment: Environment,
    /// `onnxruntime 1.31.1`
    pub(super) version: String,
    pub(super) path: PathBuf,
}

/// `ort` allows one library and one environment a process, and no second one after the first.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// The library that `search` finds, loaded if it is not yet.
pub(super) fn load(search: &Search) -> Result<Loaded, RunError> {
    let found = search.onnxruntime().map_err(|error| missing(error.to_string(), error.hint()))?;
    // One file has many names: `.onr/lib` links to the wheel's.
    let path = fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = loaded.as_ref() {
        if first.path == path {
            return Ok(first.clone());
        }
        let (wanted, used) = (path.display(), first.path.display());
        let what = format!("this process uses {used} already, and {wanted} is a second library");
        return Err(missing(what, "ask for both in processes of their own".to_owned()));
    }
    let unusable = |reason: String| {
        let origin = &found.origin;
        let hint = format!(
            "it was found {origin}; set {ONNXRUNTIME_VARIABLE} to a library of version {OLDEST} or later"
        );
        missing(reason, hint)
    };
    let builder = ort::init_from(&path).map_err(|e| unusable(e.to_string()))?;
    let environment = builder
        .with_name("onr")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|e| unusable(e.message().to_owned()))?;
    environment.set_log_level(LogLevel::Warning);
    let version = format!("onnxruntime {}", version(&environment).as_deref().unwrap_or("unknown"));
    Ok(loaded.insert(Loaded { environment, version, path }).clone())
}

fn missing(what: String, hint: String) -> RunError {
    RunError::Missing { backend: NAME, what, hint }
}

/// ONNX Runtime's log, which would go to the standard error otherwise. Its errors come back as
/// values too, so they are no news here.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!(category, location, "{message}"),
        LogLevel::Warning => tracing::warn!(category, location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::debug!(category, location, "{message}"),
    }
}

/// What ONNX Runtime calls its CPU.
const CPU: &str = "CPUExecutionProvider";
const CUDA: &str = "CUDAExecutionProvider";

/// The version that the CPU's provider carries: the library's own.
fn version(environment: &Environment) -> Option<String> {
    let cpu = environment.devices().find(|device| device.ep().is_ok_and(|name| name == CPU))?;
    // SAFETY: the device and its metadata live as long as the environment. Keys and values are
    // strings that end in zero; a missing key gives null.
    #[expect(unsafe_code, reason = "ort has no function for a device's metadata")]
    unsafe {
        let metadata = (ort::api().EpDevice_EpMetadata)(cpu.ptr());
        text((ort::api().GetKeyValue)(metadata, c"version".as_ptr()))
    }
}

/// Asks the session for what [`placement`] reads.
pub(super) fn record_placement(builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    Ok(builder.with_config_entry("session.record_ep_graph_assignment_info", "1")?)
}

/// Where ONNX Runtime put the nodes of an open session. All were asked to run on this GPU, or on the CPU.
pub(super) fn placement(session: &Session, gpu: Option<usize>) -> ort::Result<Placement> {
    let nodes = nodes_by_provider(session)?;
    let asked = if gpu.is_some() { CUDA } else { CPU };
    let elsewhere: Vec<_> = nodes.iter().filter(|(name, _)| *name != asked).collect();
    let device = match (elsewhere.as_slice(), gpu) {
        ([], None) => "cpu".to_owned(),
        (_, Some(gpu)) if nodes.contains_key(CUDA) => format!("cuda:{gpu}"),
        (some, _) => some.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("+"),
    };
    Ok(Placement { device, fallback_nodes: elsewhere.iter().map(|(_, count)| **count).sum() })
}

/// How many nodes each provider has, by the provider's name.
#[expect(unsafe_code, reason = "ort has no function for the assignment of nodes")]
pub(super) fn nodes_by_provider(session: &Session) -> ort::Result<BTreeMap<String, usize>> {
    let mut nodes = BTreeMap::new();
    let (mut parts, mut count) = (ptr::null(), 0);
    // SAFETY: the session is open and keeps the array of `count` parts until it is closed.
    let parts = unsafe {
        let api = ort::api();
        let status = (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &mut parts, &mut count);
        ort::Error::result_from_status(status)?;
        if count == 0 { &[][..] } else { slice::from_raw_parts(parts, count) }
    };
    for part in parts {
        let (mut name, mut list, mut count) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `part` is one of the session's; only the count of its nodes is used.
        let name = unsafe {
            let api = ort::api();
            ort::Error::result_from_status((api.EpAssignedSubgraph_GetEpName)(*part, &mut name))?;
            let status = (api.EpAssignedSubgraph_GetNodes)(*part, &mut list, &mut count);
            ort::Error::result_from_status(status)?;
            text(name)
        };
        *nodes.entry(name.unwrap_or_default()).or_insert(0) += count;
    }
    Ok(nodes)
}

/// A copy of a string that ONNX Runtime owns.
///
/// # Safety
/// `string` is null or points to bytes that end in zero.
#[expect(unsafe_code, reason = "ort keeps its conversion of strings to itself")]
unsafe fn text(string: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned())
}

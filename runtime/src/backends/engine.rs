//! Plans on a device, run in process: whatever [`Engines`] loads, on whatever [`Device`] there is.
//!
//! `open("graphs/encode.onnx")` is the plan that `graphs/onr.json` has of it. A plan is loaded once; each session is a
//! context of its own.

mod refit;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use onr_device::{
    Counters, Device, DeviceError, Engine, Engines, Feed, Keep, Ranges, Runner, RunnerOptions,
};
use onr_exporter::TensorInfo;
use onr_graphs::{Dim, Profile, profile::End};

use super::plan::{self, Plan, Reader};
use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    builder::PlanKind,
    tensor::{Feeds, HostTensor, Value, Values},
};

/// Finds the device, when it is first needed.
type Open = Box<dyn Fn() -> Result<Device, DeviceError> + Send + Sync>;

/// What runs plans of one kind in process, as a [`Backend`].
pub struct EngineBackend {
    name: &'static str,
    kind: PlanKind,
    version: String,
    engines: Arc<dyn Engines>,
    open: Open,
    device: OnceLock<Result<Device, DeviceError>>,
    loaded: Mutex<BTreeMap<PathBuf, Arc<dyn Engine>>>,
    recordings: usize,
}

impl EngineBackend {
    /// Plans of `kind`, written by `version`, loaded by `engines` on the device that `open` finds.
    #[must_use]
    pub fn new(
        name: &'static str,
        (kind, version): (PlanKind, String),
        engines: Arc<dyn Engines>,
        open: impl Fn() -> Result<Device, DeviceError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            kind,
            version,
            engines,
            open: Box::new(open),
            device: OnceLock::new(),
            loaded: Mutex::default(),
            recordings: 0,
        }
    }

    /// Keeps up to so many recorded runs a session: see [`RunnerOptions::recordings`].
    #[must_use]
    pub fn with_recordings(self, recordings: usize) -> Self {
        Self { recordings, ..self }
    }

    /// The device.
    ///
    /// # Errors
    /// [`RunError::Missing`] where there is none.
    pub fn device(&self) -> Result<&Device, RunError> {
        let found = self.device.get_or_init(&self.open);
        found.as_ref().map_err(|cause| RunError::of_device(self.name, cause.clone()))
    }

    /// A session with what only such a session has.
    ///
    /// # Errors
    /// As [`Backend::open`].
    pub fn session(&self, model: &Path) -> Result<EngineSession, RunError> {
        let device = self.device()?;
        let reader = Reader {
            kind: self.kind,
            version: &self.version,
            name: &self.engines.title(),
            builder: self.name,
        };
        let plan =
            plan::beside(model, &reader).map_err(|(file, reason)| self.refused(&file, reason))?;
        self.check_target(&plan, device)?;
        let engine = self.engine(&plan.file, device)?;
        let profiles = ranges(&plan).map_err(|reason| self.refused(&plan.file, reason))?;
        let options = RunnerOptions { profiles, recordings: self.recordings };
        let runner = Runner::new(device, engine, options)
            .map_err(|cause| RunError::of_device(self.name, cause))?;
        let info = device.info();
        let placement = Placement {
            device: format!("cuda:{} ({})", info.ordinal, info.name),
            fallback_nodes: 0,
        };
        Ok(EngineSession { backend: self.name, runner, placement })
    }

    /// A plan of data-centre TensorRT runs on the GPUs that it was compiled for; one for RTX says itself where.
    fn check_target(&self, plan: &Plan, device: &Device) -> Result<(), RunError> {
        let (targets, found) = (&plan.engine.targets, device.info().target());
        if self.kind != PlanKind::Tensorrt || targets.is_empty() || targets.contains(&found) {
            return Ok(());
        }
        let cause = DeviceError::Capability {
            plan: targets.join(", "),
            device: device.info().name.clone(),
            found,
        };
        Err(RunError::of_device(self.name, cause))
    }

    fn engine(&self, plan: &Path, device: &Device) -> Result<Arc<dyn Engine>, RunError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = loaded.get(plan) {
            return Ok(Arc::clone(engine));
        }
        let bytes = fs::read(plan).map_err(|error| self.refused(plan, error.to_string()))?;
        let engine =
            device.enter().and_then(|()| self.engines.load(&bytes)).map_err(
                |cause| match cause {
                    DeviceError::Plan { reason } => self.refused(plan, reason),
                    other => RunError::of_device(self.name, other),
                },
            )?;
        loaded.insert(plan.to_owned(), Arc::clone(&engine));
        Ok(engine)
    }

    fn refused(&self, file: &Path, reason: impl Into<String>) -> RunError {
        RunError::Load { backend: self.name, model: file.to_owned(), reason: reason.into() }
    }
}

impl Backend for EngineBackend {
    fn name(&self) -> &'static str {
        self.name
    }

    fn availability(&self) -> Availability {
        match self.device() {
            Ok(device) => Availability::Ready {
                version: format!("{} on {}", self.engines.title(), device.info().name),
                library: None,
            },
            Err(RunError::Missing { what, hint, .. }) => Availability::Missing { what, hint },
            Err(other) => Availability::Missing { what: other.to_string(), hint: String::new() },
        }
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        Ok(Box::new(self.session(model)?))
    }

    fn runs_files(&self) -> bool {
        false
    }
}

/// What each profile of a plan takes: the dynamic inputs of its graph at both ends.
fn ranges(plan: &Plan) -> Result<Vec<Ranges>, String> {
    let graph = plan.manifest.graphs.iter().find(|graph| graph.name == plan.graph);
    let Some(graph) = graph else { return Ok(Vec::new()) };
    let profiles = profiles(plan)?;
    Ok(profiles.iter().map(|profile| range(&graph.inputs, profile)).collect())
}

fn profiles(plan: &Plan) -> Result<Vec<Profile>, String> {
    let manifest = &plan.manifest;
    let longest = match &manifest.model {
        Some(_) => manifest.config().map_err(|e| e.join("; "))?.max_seq_len,
        None => 1,
    };
    plan.engine.profiles(&manifest.profile(longest)?)
}

fn range(inputs: &[TensorInfo], profile: &Profile) -> Ranges {
    let mut ranges = Ranges::default();
    for input in inputs {
        let shape: Vec<Dim> = input
            .shape
            .iter()
            .map(|d| d.parse().map_or_else(|_| Dim::named(d), Dim::Fixed))
            .collect();
        if shape.iter().all(|dim| dim.fixed().is_some()) {
            continue;
        }
        if let (Some(least), Some(most)) =
            (profile.resolve(&shape, End::Min), profile.resolve(&shape, End::Max))
        {
            ranges.0.insert(input.name.clone(), least.into_iter().zip(most).collect());
        }
    }
    ranges
}

/// One context of a plan.
pub struct EngineSession {
    backend: &'static str,
    runner: Runner,
    placement: Placement,
}

impl EngineSession {
    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.runner.counters()
    }

    fn go(
        &mut self,
        feeds: &BTreeMap<&str, Feed<'_>>,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Keep>, RunError> {
        self.runner.run(feeds, stays).map_err(|cause| RunError::of_device(self.backend, cause))
    }

    fn value(&self, name: &str, keep: Keep) -> Result<Value, RunError> {
        let (shape, dtype, bytes) = match keep {
            Keep::Device(tensor) => return Ok(Value::Device(tensor)),
            Keep::Host(shape, dtype, bytes) => (shape, dtype, bytes),
        };
        let tensor = HostTensor::from_le_bytes(dtype, &shape, &bytes);
        tensor.map(Value::Host).ok_or(RunError::Type {
            backend: self.backend,
            tensor: name.to_owned(),
            dtype,
        })
    }
}

fn host(tensor: &HostTensor) -> Feed<'_> {
    Feed::Host {
        shape: tensor.shape(),
        dtype: tensor.dtype(),
        bytes: Cow::Owned(tensor.le_bytes()),
    }
}

fn feed(value: &Value) -> Feed<'_> {
    match value {
        Value::Host(tensor) => host(tensor),
        Value::Device(tensor) => Feed::Device(tensor),
    }
}

impl Session for EngineSession {
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError> {
        let feeds = feeds.iter().map(|(name, tensor)| (name.as_str(), host(tensor))).collect();
        let mut outputs = Feeds::new();
        for (name, keep) in self.go(&feeds, &|_| false)? {
            if let Value::Host(tensor) = self.value(&name, keep)? {
                outputs.insert(name, tensor);
            }
        }
        Ok(outputs)
    }

    fn run_values(
        &mut self,
        feeds: &Values,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<Values, RunError> {
        let feeds = feeds.iter().map(|(name, value)| (name.as_str(), feed(value))).collect();
        let outputs = self.go(&feeds, stays)?;
        outputs
            .into_iter()
            .map(|(name, keep)| Ok((name.clone(), self.value(&name, keep)?)))
            .collect()
    }

    fn placement(&self) -> Placement {
        self.placement.clone()
    }
}

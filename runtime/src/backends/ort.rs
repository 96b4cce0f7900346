//! ONNX Runtime: the second engine on the CPU, and our checker of ONNX files.
//!
//! The library is loaded at run time, once a process, from where [`Search`] finds it. `ort` changes
//! its interface between release candidates: nothing outside this file and its folder names it.
//!
//! Of the execution providers there are the CPU's and CUDA's, which a library has or has not. One that cannot be had is
//! an error, not skipped as ONNX Runtime would, and [`Session::placement`] is read back from it all the same.

mod bf16;
mod convert;
mod library;

use std::{borrow::Cow, num::NonZeroUsize, path::Path, thread};

use onr_onnx::Model;
use ort::{
    ep::{self, ExecutionProvider as _},
    session::{
        Session as OrtHandle, SessionInputValue,
        builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder},
    },
};

use prost::Message as _;

use self::library::Loaded;
use super::signature::Signature;
use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    libraries::{ONNXRUNTIME_VARIABLE, Search},
    tensor::{Feeds, Floats},
};

const NAME: &str = "ort";
/// On a GPU.
const CUDA: &str = "ort-cuda";

/// How far ONNX Runtime may rewrite a graph before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimisation {
    /// Not at all: each node of the file runs as it stands.
    Disable,
    /// As far as it can, which is its own default.
    #[default]
    All,
}

/// ONNX Runtime on the CPU, as a [`Backend`].
#[derive(Debug, Clone)]
pub struct OrtBackend {
    search: Search,
    optimisation: Optimisation,
    threads: Option<NonZeroUsize>,
    arena: bool,
    /// Number of the GPU; none: on the CPU.
    gpu: Option<usize>,
}

impl OrtBackend {
    /// Fully optimised, on all cores, with the library that `search` finds.
    #[must_use]
    pub const fn new(search: Search) -> Self {
        Self { search, optimisation: Optimisation::All, threads: None, arena: false, gpu: None }
    }

    /// Rewrites graphs as far as `optimisation` says.
    #[must_use]
    pub fn with_optimisation(self, optimisation: Optimisation) -> Self {
        Self { optimisation, ..self }
    }

    /// Shares each node's work among `threads` threads instead of all cores.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Keeps the memory of a run for the next one: faster where all runs have the same shapes, and a waste
    /// where they differ.
    #[must_use]
    pub fn with_arena(self) -> Self {
        Self { arena: true, ..self }
    }

    /// Runs on a GPU, by the library's CUDA provider. What that cannot run runs on the CPU: [`Placement::fallback_nodes`]
    /// counts it.
    #[must_use]
    pub fn on_gpu(self, number: usize) -> Self {
        Self { gpu: Some(number), ..self }
    }

    /// Has the library a CUDA provider that can be loaded? Whether it finds a GPU shows when a session is opened.
    fn check_provider(&self, loaded: &Loaded) -> Result<(), RunError> {
        if self.gpu.is_none() {
            return Ok(());
        }
        let missing = |what, hint| RunError::Missing { backend: CUDA, what, hint };
        if !ep::CUDA::is_available().unwrap_or(false) {
            return Err(missing(
                "this ONNX Runtime has no CUDA provider".to_owned(),
                format!("set {ONNXRUNTIME_VARIABLE} to the library of the wheel onnxruntime-gpu"),
            ));
        }
        self.builder(loaded).map(drop).map_err(|error| {
            let said = error.message();
            let reason = said.rsplit_once("with error: ").map_or(said, |(_, reason)| reason);
            missing(
                format!("ONNX Runtime's CUDA provider cannot be loaded: {}", reason.trim()),
                "it needs NVIDIA's driver, and CUDA's libraries and cuDNN on LD_LIBRARY_PATH: those of \
                 the wheels of onnxruntime-gpu[cuda,cudnn] will do"
                    .to_owned(),
            )
        })
    }

    fn refused(&self, model: &Path, reason: &impl ToString) -> RunError {
        RunError::Load { backend: self.name(), model: model.to_owned(), reason: reason.to_string() }
    }

    /// Is `model` a valid ONNX file? ONNX Runtime checks each node against its schema and infers
    /// all types and shapes.
    ///
    /// A valid node that the CPU has no kernel for (`MatMul` in BF16) is no mistake of the file.
    ///
    /// # Errors
    /// [`RunError::Load`] with the node and the operator, [`RunError::Missing`] without the library.
    pub fn check(&self, model: &Path) -> Result<(), RunError> {
        let loaded = library::load(&self.search)?;
        let checker = Self { optimisation: Optimisation::Disable, ..self.clone() };
        // Copying weights into another order would be most of the work, for nothing.
        let builder = checker.builder(&loaded).and_then(|b| Ok(b.with_prepacking(false)?));
        match builder.and_then(|mut builder| builder.commit_from_file(model)) {
            Err(error) if error.code() != ort::ErrorCode::NotImplemented => {
                Err(self.refused(model, &error))
            }
            _ => Ok(()),
        }
    }

    fn builder(&self, loaded: &Loaded) -> ort::Result<SessionBuilder> {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let level = match self.optimisation {
            Optimisation::Disable => GraphOptimizationLevel::Disable,
            Optimisation::All => GraphOptimizationLevel::All,
        };
        // An arena and memory patterns keep the memory of the largest shapes ever seen.
        let cpu = ep::CPU::default().with_arena_allocator(self.arena).build().error_on_failure();
        let cuda = self.gpu.map(|gpu| {
            let gpu = i32::try_from(gpu).unwrap_or(i32::MAX);
            ep::CUDA::default().with_device_id(gpu).build().error_on_failure()
        });
        let providers: Vec<_> = cuda.into_iter().chain([cpu]).collect();
        let builder = OrtHandle::builder(&loaded.environment)?
            // `ort` itself asks for the most efficient device: an NPU where there is one.
            .with_auto_device(AutoDevicePolicy::PreferCPU)?
            .with_execution_providers(providers)?
            .with_memory_pattern(false)?
            // Threads of one session would spin while those of the next one work: graphs run in turns.
            .with_intra_op_spinning(false)?
            // What stands in the file is computed: fused integer kernels do not know FP8, and add up
            // otherwise than a GPU.
            .with_quant_qdq(false)?
            .with_optimization_level(level)?
            .with_intra_threads(self.threads.map_or_else(cores, NonZeroUsize::get))?;
        library::record_placement(builder)
    }
}

impl OrtBackend {
    /// Loads a model from memory; tensors in external data are read from files in `folder`. Without
    /// `pack` weights stay in the files' pages: slower, but never in memory twice.
    ///
    /// # Errors
    /// As [`Backend::open`]; `folder` stands for the file.
    pub fn open_bytes(
        &self,
        model: &[u8],
        folder: &Path,
        pack: bool,
    ) -> Result<Box<dyn Session + Send>, RunError> {
        let loaded = library::load(&self.search)?;
        let folder_text = folder.to_string_lossy();
        let builder = self.builder(&loaded).and_then(|builder| {
            Ok(builder
                .with_prepacking(pack)?
                .with_config_entry(EXTERNAL_FOLDER, folder_text.as_ref())?)
        });
        let session = builder.and_then(|mut builder| builder.commit_from_memory(model));
        self.session(folder, session)
    }

    fn session(
        &self,
        model: &Path,
        session: ort::Result<OrtHandle>,
    ) -> Result<Box<dyn Session + Send>, RunError> {
        let session = session.map_err(|error| self.refused(model, &error))?;
        let placement =
            library::placement(&session, self.gpu).map_err(|error| self.refused(model, &error))?;
        let inputs: Result<_, _> = session.inputs().iter().map(convert::input).collect();
        let inputs = inputs.map_err(|reason: String| self.refused(model, &reason))?;
        let backend = self.name();
        let signature = Signature::new(backend, inputs);
        Ok(Box::new(OrtSession { backend, session, signature, placement }))
    }
}

/// Where a model that comes from memory has its external data.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";

impl Backend for OrtBackend {
    fn name(&self) -> &'static str {
        if self.gpu.is_some() { CUDA } else { NAME }
    }

    fn availability(&self) -> Availability {
        match library::load(&self.search).and_then(|l| self.check_provider(&l).map(|()| l)) {
            Ok(loaded) => {
                Availability::Ready { version: loaded.version, library: Some(loaded.path) }
            }
            Err(error) => Availability::Missing {
                hint: error.hint().unwrap_or_default().to_owned(),
                what: match error {
                    RunError::Missing { what, .. } => what,
                    other => other.to_string(),
                },
            },
        }
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        let loaded = library::load(&self.search)?;
        // What can't be read here is ONNX Runtime's to refuse.
        let read = Model::open(model).ok();
        let wide = read.and_then(|read| bf16::widened(&read).transpose()).transpose();
        if let Some(wide) = wide.map_err(|error| self.refused(model, &error))? {
            let folder = model.parent().filter(|p| !p.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            return Ok(self.open_bytes(&wide.encode_to_vec(), folder, true)?);
        }
        let builder = self.builder(&loaded);
        let session = builder.and_then(|mut builder| builder.commit_from_file(model));
        Ok(self.session(model, session)?)
    }
}

struct OrtSession {
    backend: &'static str,
    session: OrtHandle,
    signature: Signature,
    placement: Placement,
}

impl Session for OrtSession {
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError> {
        let backend = self.backend;
        let failed = |reason: String| RunError::Run { backend, reason };
        let in_words = |error: ort::Error| failed(error.message().to_owned());
        let inputs = self.signature.arrange(feeds)?;
        let inputs: ort::Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>> = inputs
            .into_iter()
            .map(|(input, tensor)| Ok((Cow::from(&input.name), convert::to_ort(tensor)?)))
            .collect();
        let outputs = self.session.run(inputs.map_err(in_words)?).map_err(in_words)?;
        outputs
            .iter()
            .map(|(name, value)| {
                let tensor = convert::from_ort(&value)
                    .map_err(|reason| failed(format!("output `{name}` {reason}")))?;
                Ok((name.to_owned(), tensor))
            })
            .collect()
    }

    fn observe(
        &mut self,
        feeds: &Feeds,
        look: &mut dyn FnMut(&str, &[usize], Floats<'_>),
    ) -> Result<(), RunError> {
        let backend = self.backend;
        let failed = |reason: String| RunError::Run { backend, reason };
        let in_words = |error: ort::Error| failed(error.message().to_owned());
        let inputs = self.signature.arrange(feeds)?;
        let inputs: ort::Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>> = inputs
            .into_iter()
            .map(|(input, tensor)| Ok((Cow::from(&input.name), convert::to_ort(tensor)?)))
            .collect();
        let outputs = self.session.run(inputs.map_err(in_words)?).map_err(in_words)?;
        for (name, value) in outputs.iter() {
            convert::look(&value, &mut |shape, floats| look(name, shape, floats))
                .map_err(|reason| failed(format!("output `{name}` {reason}")))?;
        }
        Ok(())
    }

    fn placement(&self) -> Placement {
        self.placement.clone()
    }
}

#[cfg(test)]
mod tests;

//! The backend behind what was typed.

use std::sync::Arc;

#[cfg(feature = "triton")]
use onr_runtime::backends::triton::TritonBackend;
use onr_runtime::{
    backend::{Availability, Backend, RunError},
    backends::{
        engine::EngineBackend, ort::OrtBackend, tensorrt::TensorRtOptions, tract::TractBackend,
        trtexec::TrtexecBackend,
    },
    builder::PlanKind,
    builders::TensorRt,
};

use crate::{args::CandidateArg, context::Context};

/// The backend that runs the candidate, if it is here.
pub(super) fn candidate(
    which: &CandidateArg,
    context: &Context,
) -> Result<Box<dyn Backend>, RunError> {
    let backend: Box<dyn Backend> = match which {
        CandidateArg::Ort => Box::new(OrtBackend::new(context.search.clone())),
        CandidateArg::OrtCuda { device } => {
            Box::new(OrtBackend::new(context.search.clone()).on_gpu(*device))
        }
        CandidateArg::Tract => Box::new(TractBackend::new()),
        CandidateArg::Trtexec(path) => {
            let path = path.clone().unwrap_or_else(|| context.search.trtexec());
            let progress = context.shared_progress();
            let go_on = Arc::new(move || progress.advance(0));
            Box::new(TrtexecBackend::new(path).stopped_by(go_on))
        }
        CandidateArg::Engine { kind, device } => Box::new(own_engine(*kind, *device, context)?),
        #[cfg(feature = "triton")]
        CandidateArg::Triton { server, package } => Box::new(TritonBackend::new(server, package)?),
    };
    match backend.availability() {
        Availability::Ready { .. } => Ok(backend),
        Availability::Missing { what, hint } => {
            Err(RunError::Missing { backend: backend.name(), what, hint })
        }
    }
}

/// Plans in this process, on a GPU of this machine.
pub(super) fn own_engine(
    kind: PlanKind,
    device: usize,
    context: &Context,
) -> Result<EngineBackend, RunError> {
    if kind != TensorRt::KIND {
        let (backend, hint) = match kind {
            PlanKind::TensorrtRtx => ("tensorrt-rtx", "build it without `--features tensorrt`"),
            PlanKind::Tensorrt => (
                "tensorrt",
                "build it with `cargo build --release --features tensorrt`, or use trtexec[=PATH]",
            ),
        };
        let what = format!("this onr was not built with {kind}");
        return Err(RunError::Missing { backend, what, hint: hint.to_owned() });
    }
    let found = context.search.tensorrt().map_err(|error| RunError::Missing {
        backend: TensorRt::NAME,
        hint: error.hint(),
        what: error.to_string(),
    })?;
    let cache = context.search.cache.as_ref().map(|folder| folder.join("kernels"));
    let options = TensorRtOptions { device, cache, ..TensorRtOptions::default() };
    TensorRt::new(found.runtime.path, found.parser.path).backend(options)
}

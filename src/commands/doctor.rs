//! `onr doctor`: which libraries were found, where, and what to do about a missing one.

use onr_device::{Driver as _, cuda::CudaDriver};
use onr_runtime::{
    backend::{Availability, Backend},
    backends::{ort::OrtBackend, tract::TractBackend},
    builder::EngineBuilder,
    builders::{TensorRt, Trtexec},
};
use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct Diagnosis {
    onr: &'static str,
    parts: Vec<Part>,
    /// What plans run on, in process; most machines have none, and need none.
    gpu: Availability,
    /// The tool of data-centre TensorRT; likewise.
    trtexec: Availability,
}

#[derive(Serialize)]
struct Part {
    name: &'static str,
    purpose: &'static str,
    #[serde(flatten)]
    state: Availability,
    origin: Option<String>,
}

pub(crate) fn run(context: &Context) -> Diagnosis {
    let tract = Part {
        name: "tract",
        purpose: "CPU reference, built in",
        state: TractBackend::new().availability(),
        origin: None,
    };
    let ort = Part {
        name: "onnxruntime",
        purpose: "runs candidates",
        state: OrtBackend::new(context.search.clone()).availability(),
        origin: context.search.onnxruntime().ok().map(|f| f.origin.to_string()),
    };
    let libraries = context.search.tensorrt();
    let origin = libraries.as_ref().ok().map(|l| l.runtime.origin.to_string());
    let state = match libraries {
        Ok(l) => TensorRt::new(l.runtime.path, l.parser.path).availability(),
        Err(e) => Availability::Missing { what: e.to_string(), hint: e.hint() },
    };
    let purpose = match cfg!(feature = "tensorrt") {
        true => "compiles plans for this machine's GPU",
        false => "compiles plans for workstations",
    };
    let tensorrt = Part { name: TensorRt::NAME, purpose, state, origin };
    Diagnosis {
        onr: env!("CARGO_PKG_VERSION"),
        parts: vec![tract, ort, tensorrt],
        gpu: gpu(),
        trtexec: Trtexec::new(context.search.trtexec()).availability(),
    }
}

/// The first GPU that the driver shows.
fn gpu() -> Availability {
    match CudaDriver::open(0) {
        Ok(driver) => {
            let info = driver.info();
            let (memory, cuda) = (bytes(info.memory), info.driver);
            let version = format!(
                "{}, {}, {memory}, driver of CUDA {}.{}",
                info.name,
                info.target(),
                cuda / 1000,
                cuda % 1000 / 10
            );
            Availability::Ready { version, library: None }
        }
        Err(error) => Availability::Missing {
            what: error.to_string(),
            hint: error.hint().unwrap_or_default().to_owned(),
        },
    }
}

/// What `trtexec` is for.
const PLANS: &str = "data-centre plans, what Triton loads";

impl Report for Diagnosis {
    fn human(&self, _: Detail) -> String {
        let mut lines = vec![format!("onr {}", self.onr)];
        for part in &self.parts {
            match &part.state {
                Availability::Ready { version, library } => {
                    lines.push(format!("{:<13} {version} ({})", part.name, part.purpose));
                    if let Some(library) = library {
                        lines.push(format!("{:<13} {}", "", library.display()));
                    }
                    if let Some(origin) = &part.origin {
                        lines.push(format!("{:<13} {origin}", ""));
                    }
                }
                Availability::Missing { what, hint } => {
                    lines.push(format!("{:<13} MISSING ({}): {what}", part.name, part.purpose));
                    lines.push(format!("{:<13} hint: {hint}", ""));
                }
            }
        }
        lines.push(match &self.gpu {
            Availability::Ready { version, .. } => format!("{:<13} {version}", "gpu"),
            Availability::Missing { what, .. } => {
                format!("{:<13} none, and none is needed to build: {what}", "gpu")
            }
        });
        lines.push(match &self.trtexec {
            Availability::Ready { version, library } => {
                let path = library.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
                format!("{:<13} {version} ({PLANS})\n{:<13} {path}", "trtexec", "")
            }
            Availability::Missing { .. } => {
                format!("{:<13} give its path to --builder trtexec=PATH ({PLANS})", "trtexec")
            }
        });
        lines.join("\n")
    }

    fn exit(&self) -> Exit {
        let missing = |p: &Part| matches!(p.state, Availability::Missing { .. });
        if self.parts.iter().any(missing) { Exit::Missing } else { Exit::Fine }
    }
}

//! Backends, as they are typed.

use std::{path::PathBuf, str::FromStr};

#[cfg(feature = "triton")]
use onr_kserve::{Endpoint, KserveError};
use onr_runtime::builder::PlanKind;

/// A backend, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CandidateArg {
    /// ONNX Runtime on the CPU
    Ort,
    /// ONNX Runtime on a GPU
    OrtCuda {
        /// Number of the GPU
        device: usize,
    },
    /// tract
    Tract,
    /// The plans of the directory, on the `trtexec` of this machine or at this path
    Trtexec(Option<PathBuf>),
    /// The plans of the directory, in this process
    Engine {
        /// Which TensorRT
        kind: PlanKind,
        /// Number of the GPU
        device: usize,
    },
    /// The models of a package on a server
    #[cfg(feature = "triton")]
    Triton {
        /// Where it listens
        server: Endpoint,
        /// `--name` of the package
        package: String,
    },
}

#[cfg(feature = "triton")]
impl CandidateArg {
    /// Number of the GPU that computes in this process.
    pub(crate) const fn gpu(&self) -> Option<usize> {
        match self {
            Self::OrtCuda { device } | Self::Engine { device, .. } => Some(*device),
            _ => None,
        }
    }
}

impl FromStr for CandidateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ort" => Ok(Self::Ort),
            "tract" => Ok(Self::Tract),
            "trtexec" => Ok(Self::Trtexec(None)),
            _ if text.starts_with("trtexec=") && text.len() > "trtexec=".len() => {
                Ok(Self::Trtexec(Some(text.trim_start_matches("trtexec=").into())))
            }
            _ if text.starts_with("tensorrt") || text.starts_with("ort-cuda") => {
                engine(text).ok_or_else(|| format!("`{text}` is no backend; {BACKENDS}"))
            }
            #[cfg(feature = "triton")]
            _ if text.starts_with("triton=") => {
                let DeployedArg { server, package } = text.trim_start_matches("triton=").parse()?;
                Ok(Self::Triton { server, package })
            }
            _ => Err(BACKENDS.to_owned()),
        }
    }
}

const BACKENDS: &str = "backends are ort, ort-cuda[=GPU], tract, tensorrt-rtx[=GPU], tensorrt[=GPU], trtexec[=PATH] and \
                        triton=http://HOST:PORT[/NAME]";

/// `ort-cuda`, `tensorrt-rtx` or `tensorrt`, with the number of a GPU or without.
fn engine(text: &str) -> Option<CandidateArg> {
    let (name, device) = text.split_once('=').unwrap_or((text, "0"));
    let device = device.parse().ok()?;
    match name {
        "ort-cuda" => Some(CandidateArg::OrtCuda { device }),
        "tensorrt-rtx" => Some(CandidateArg::Engine { kind: PlanKind::TensorrtRtx, device }),
        "tensorrt" => Some(CandidateArg::Engine { kind: PlanKind::Tensorrt, device }),
        _ => None,
    }
}

/// A package on a server, as it is typed.
#[cfg(feature = "triton")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeployedArg {
    /// Where it listens
    pub(crate) server: Endpoint,
    /// `--name` of the package
    pub(crate) package: String,
}

#[cfg(feature = "triton")]
impl FromStr for DeployedArg {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let path = url.find("://").and_then(|at| url[at + 3..].find('/').map(|to| at + 3 + to));
        let (server, package) = path.map_or((url, ""), |at| (&url[..at], &url[at + 1..]));
        let server = server
            .parse()
            .map_err(|e: KserveError| format!("{e}; {}", e.hint().unwrap_or_default()))?;
        let package = if package.is_empty() { "oneranker" } else { package }.to_owned();
        Ok(Self { server, package })
    }
}

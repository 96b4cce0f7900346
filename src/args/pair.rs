//! Arguments of the verbs that compare any two ONNX models.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{backend::CandidateArg, build::RequestArgs};

/// Two models, and inputs for both.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("given").args(["data", "random"]))]
pub(crate) struct PairArgs {
    /// Any ONNX model, in place of a directory
    #[arg(long, value_name = "ONNX", requires = "given")]
    pub(crate) onnx: Option<PathBuf>,
    /// Model to compare it with [default: the same]
    #[arg(long, value_name = "ONNX", requires = "onnx")]
    pub(crate) against: Option<PathBuf>,
    /// Inputs, as `onr quantize` takes them; rounded to each model's float types
    #[arg(long, value_name = "NPZ", requires = "onnx")]
    pub(crate) data: Option<PathBuf>,
    /// Draw four batches of inputs
    #[arg(long, requires = "onnx")]
    pub(crate) random: bool,
    /// Seed of drawn inputs
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random")]
    pub(crate) seed: u64,
    /// Sizes of drawn inputs: symbol=size or symbol=min:opt:max, separated by commas
    #[arg(long, value_name = "RANGES", requires = "random")]
    pub(crate) profile: Option<String>,
    /// Backend that runs the model to compare with: ort or tract
    #[arg(long, value_name = "BACKEND", default_value = "tract")]
    pub(crate) reference: CandidateArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr bisect --onnx model.onnx --data inputs.npz --out found
  onr bisect --onnx model.fp16.onnx --against model.onnx --random --candidate ort --reference ort
  onr bisect engine --requests requests.jsonl --out found

--out receives node.onnx (the node alone), against.onnx (that of the other file), inputs.npz and bisect.json.")]
#[command(group = ArgGroup::new("compared").required(true).args(["dir", "onnx"]))]
pub(crate) struct BisectArgs {
    /// Directory that `onr export` or `onr build-engine` wrote: its graphs against FP32 graphs built anew
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    /// Checkpoint to build the reference from [default: the manifest's]
    #[arg(long, value_name = "FILE", conflicts_with = "onnx")]
    pub(crate) weights: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Backend that runs the candidate: ort or tract
    #[arg(long, value_name = "BACKEND", default_value = "ort")]
    pub(crate) candidate: CandidateArg,
    /// Largest error of an element, relative to it or to the rms of its value [default: 1e-4 in FP32, 0.05 in FP16,
    /// 0.4 in BF16, 0.5 in 8 bits]
    #[arg(long, value_name = "X")]
    pub(crate) tolerance: Option<f64>,
    /// Directory that receives the node as a model of its own, and its inputs
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
